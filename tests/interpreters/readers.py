"""Answers and streams read by the official SDKs, without a socket: what a client would make of them."""

import importlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from translators.formats.events import EventCutter
from translators.interpreters.base import DONE, Event, Interpreter, World

WORLD = World(now=lambda: 1700000000.5, new_id=lambda: "Id0123456789")


class Read(NamedTuple):
    """What a client read. `tools`: id, name and arguments of each call; `usage` and `finish` as its protocol says them."""

    text: str
    thinking: str
    tools: list[tuple[str, str, Any]]
    finish: str | None
    usage: Any
    message: Any  # the whole answer, plain JSON


def printed(events: Iterable[Event]) -> bytes:
    """The bytes of a stream, framed as its client wants them."""
    out = b""
    for name, data in events:
        out += f"event: {name}\n".encode() if name else b""
        out += b"data: " + (data.encode() if isinstance(data, str) else json.dumps(data).encode()) + b"\n\n"
    return out


def told(interpreter: Interpreter, events: Iterable[Event]) -> list[Event]:
    """All that a client gets of a platform's stream, its end included."""
    return [out for event in events for out in interpreter.event(event)] + interpreter.end()


def cut(pieces: Iterable[bytes]) -> list[Event]:
    """The events of a stream that comes in pieces."""
    cutter = EventCutter()
    whole = [event for piece in pieces for event in cutter.feed(piece) if event.data is not None]
    return [Event(event.name, DONE if event.data == DONE.encode() else json.loads(event.data or b"")) for event in whole]


def _transport(sdk: Any, body: bytes, kind: str) -> Any:
    """A client of the HTTP library that this generation of an SDK is built on."""
    http = importlib.import_module(sdk.DefaultHttpxClient.__mro__[-2].__module__.partition(".")[0])

    def handle(_: Any) -> Any:
        return http.Response(200, headers={"content-type": kind}, content=body)

    return http.Client(transport=http.MockTransport(handle))


def _openai(body: bytes, kind: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test", base_url="http://proxy/v1", max_retries=0, http_client=_transport(openai, body, kind))


def _anthropic(body: bytes, kind: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="sk-test", base_url="http://proxy", max_retries=0, http_client=_transport(anthropic, body, kind)
    )


def read_chat_answer(answer: Any) -> Read:
    with _openai(json.dumps(answer).encode(), "application/json") as client:
        completion = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    return _chat(completion)


def read_chat_stream(events: Iterable[Event]) -> Read:
    """Raises openai.APIError where the stream tells a failure; also checked: the official accumulator takes every chunk."""
    state, usage = ChatCompletionStreamState(), None
    with _openai(printed(events), "text/event-stream") as client:
        messages: Any = [{"role": "user", "content": "?"}]
        for chunk in client.chat.completions.create(model="m", messages=messages, stream=True):
            usage = chunk.usage or usage
            state.handle_chunk(chunk)
    read = _chat(state.current_completion_snapshot)
    return read._replace(usage=usage.model_dump(exclude_unset=True) if usage else None)


def _chat(completion: Any) -> Read:
    choice = completion.choices[0]
    message = choice.message
    tools = []
    for call in message.tool_calls or ():
        given = call.custom if call.type == "custom" else call.function
        if isinstance(given, dict):
            tools.append((call.id, given["name"], given["input"]))
        else:
            tools.append((call.id, given.name, given.input if call.type == "custom" else given.arguments))
    return Read(
        message.content or "",
        getattr(message, "reasoning_content", None) or "",
        tools,
        choice.finish_reason,
        completion.usage.model_dump(exclude_unset=True) if completion.usage else None,
        completion.model_dump(mode="json", exclude_unset=True, warnings=False),
    )


def read_messages_answer(answer: Any) -> Read:
    with _anthropic(json.dumps(answer).encode(), "application/json") as client:
        message = client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}])
    return _message(message)


def read_messages_stream(events: Iterable[Event]) -> Read:
    """Raises anthropic.APIStatusError where the stream tells a failure."""
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
    with _anthropic(printed(events), "text/event-stream") as client, client.messages.stream(**asked) as stream:
        return _message(stream.get_final_message())


def _message(message: Any) -> Read:
    blocks = message.content
    return Read(
        "".join(block.text for block in blocks if block.type == "text"),
        "".join(block.thinking for block in blocks if block.type == "thinking"),
        [(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"],
        message.stop_reason,
        message.usage.model_dump(exclude_unset=True),
        message.model_dump(mode="json", exclude_unset=True, warnings=False),
    )
