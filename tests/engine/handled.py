"""The platform of the dialogues about routes that a rule handles, and what goes with it."""

from typing import Any

from tests.engine.memory import MemoryTransport
from tests.engine.stage import Scene
from tests.harness.runner import turns

RULED = """\
platform: ruled
title: A platform that a rule speaks to
docs: https://example.com
upstream: http://ruled.example/base
auth: {bearer: "${secret.RULED_KEY}"}
headers: {X-Platform: always}
models: [r1, {alias: real}]
routes:
  POST /v1/chat/completions:
    send: POST /chat
    edit:
      - rename: {max_tokens: max_completion_tokens}
      - set: {model: "${model}"}
  POST /v1/template:
    send: POST /made/${body.place}?q=${body.q}
    headers: {X-Rule: "${body.place}"}
    body: {name: "${model}", text: "${body.text}"}
    unknown: drop
  POST /v1/whole:
    send: POST /whole
    edit: [{set: {model: "${model}"}}]
    response:
      body: {said: "${body.text}", status: "${status}"}
      unknown: drop
    errors:
      when: ${body.code > `0`}
      status: {"7": 429}
      code: ${body.code}
      message: ${body.message}
  POST /v1/messages:
    send: POST /stream
    edit: [{set: {model: "${model}"}}]
    stream:
      events:
        - when: ${data.text}
          send: {delta: "${data.text}"}
  POST /v1/events:
    send: POST /stream
    edit: [{set: {model: "${model}"}}]
    stream:
      events:
        - when: ${data.text}
          send: {delta: "${data.text}"}
  POST /v1/again:
    send: POST /again
    edit: [{set: {model: "${model}"}}]
    retry: {attempts: 2, on: [502, 503], wait: 10ms}
  POST /v1/drained:
    send: POST /drained
    edit: [{set: {model: "${model}"}}]
    on_client_abort: drain
  POST /v1/picky:
    choose:
      - when: ${body.kind == 'a'}
        send: POST /a
        edit: [{set: {model: "${model}"}}]
      - when: ${body.kind == 'b'}
        refuse: kind b is not for us
  POST /v1/small:
    send: POST /small
    edit: [{set: {model: "${model}"}}]
    limits: {body: 1KiB}
  GET /v1/things/{thing_id}:
    send: GET /thing/${path.thing_id}
    response:
      body: {id: "${body.id}"}
      unknown: drop
"""


def posted(body: bytes, path: str = "/ruled/v1/chat/completions", more: bytes = b"", version: bytes = b"1.1") -> bytes:
    """A POST of JSON with fields that a client of an SDK sends."""
    head = b"POST " + path.encode() + b" HTTP/" + version + b"\r\nHost: h\r\nContent-Type: application/json\r\n"
    return head + b"Accept-Encoding: gzip\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def head_and_body(message: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Start line, fields by lower-case name (each must be there once), body."""
    head, _, body = message.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        assert name.decode().lower() not in fields, f"{name!r} stands twice"
        fields[name.decode().lower()] = value.decode()
    return start, fields, body


async def asks(scene: Scene, request: bytes, name: str = "ruled", **client: Any) -> tuple[MemoryTransport, MemoryTransport]:
    """A client whose request has reached the upstream."""
    one = scene.client(**client)
    one.says(request)
    upstream = await scene.upstream(name)
    await turns()
    return one, upstream
