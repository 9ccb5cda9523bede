"""Platforms of the dialogues about translated protocols, and what is said on them."""

import json
from typing import Any

from tests.engine.memory import MemoryTransport
from tests.engine.stage import Scene, chunk, stream_head
from tests.harness.runner import turns

# It speaks messages, and chat clients, old completions clients and responses clients talk to it.
SPEAKER = """\
platform: speaker
upstream: http://speaker.example/base
auth: {header: {x-api-key: "${secret.SPEAKER_KEY}"}}
models: [s1, {alias: real}]
unsupported: drop
fetch: {hosts: [pictures.example]}
routes:
  POST /v1/messages: carry
  POST /strict:
    translate: chat to messages
    unsupported: refuse
    send: POST /v2/${model}/${if(stream, 'live', 'once')}?q=${model}
    headers: {X-Rule: "${body.user}"}
    errors: {when: "${body.code > `0`}", status: {"7": 429}, message: "${body.msg}"}
translate:
  chat to messages:
    with: {max_tokens: 100, sampling: "${model != 'real'}"}
    headers: {anthropic-version: "2023-06-01"}
  responses to messages: {}
"""
# It speaks chat, by a route with a rule of its own.
HUB = """\
platform: hub
upstream: http://hub.example
auth: {bearer: "${secret.HUB_KEY}"}
models: [h1]
routes:
  POST /v1/chat/completions:
    send: POST /api/chat
    edit:
      - set: {own: true}
    stream:
      events:
        - when: ${data.skip}
          drop: true
    retry: {attempts: 2, on: [503], wait: 1ms}
translate: [messages to chat, generate to chat, responses to chat]
"""
RULES = {"speaker": SPEAKER, "hub": HUB}

CHAT = {"model": "s1", "messages": [{"role": "user", "content": "Hi"}]}
WHOLE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "s1", "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 4},
}  # fmt: skip


def asking(body: Any, path: str = "/speaker/v1/chat/completions", more: bytes = b"") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n".encode()
    return head + more + b"Content-Length: %d\r\n\r\n" % len(data) + data


async def asks(scene: Scene, request: bytes, name: str = "speaker", **client: Any) -> tuple[MemoryTransport, MemoryTransport]:
    """A client whose request has reached the platform."""
    one = scene.client(**client)
    one.says(request)
    upstream = await scene.upstream(name)
    await turns()
    return one, upstream


def told(name: str, data: Any) -> bytes:
    """An event of a stream of messages."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


START = told("message_start", {"type": "message_start", "message": {**WHOLE, "content": [], "stop_reason": None}})
BLOCK = told("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
CLOSED = told("content_block_stop", {"type": "content_block_stop", "index": 0})
ENDING = told("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}})
STOP = told("message_stop", {"type": "message_stop"})


def delta(text: str) -> bytes:
    said = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return told("content_block_delta", said)


STREAM = (START, BLOCK, delta("Hel"), delta("lo"), CLOSED, ENDING, STOP)
HEAD = stream_head()


def streamed(*events: bytes, end: bool = True) -> bytes:
    """A whole answer that streams these events."""
    return HEAD + b"".join(map(chunk, events)) + (b"0\r\n\r\n" if end else b"")


def data_of(events: bytes) -> list[Any]:
    """The parsed data of each event; the closing word of chat as it is. Every event ends in one blank line."""
    text = events.replace(b"\r\n", b"\n")
    assert text.endswith(b"\n\n") or not text
    lines = [line[6:] for line in text.split(b"\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def chunks_of(framed: bytes) -> bytes:
    """The data of chunks, with or without the last one."""
    out = b""
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        out += framed[: int(size, 16)]
        framed = framed[int(size, 16) + 2 :]
    return out


def text_of(chat: list[Any]) -> str:
    """What a chat stream says."""
    said = (event["choices"][0]["delta"].get("content") for event in chat if event != "[DONE]" and event["choices"])
    return "".join(text for text in said if text)
