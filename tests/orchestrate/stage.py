"""A platform with asynchronous jobs, a shelf of finished work, and one route that answers at once.

Everything lives on one peer, whose origin is the platform's own and therefore may be private. Answers are made per path; the
requests of a path can be counted and waited for.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.harness.chaos import Heard, Peer, answer
from tests.harness.client import Answer
from tests.harness.gateway import Stage, stage
from tests.harness.runner import until

Responder = Callable[[Heard], bytes | Awaitable[bytes | None] | None]

RULE = """\
platform: test
title: Jobs of the tests
docs: https://example.com
upstream: {upstream}
auth: {{bearer: "${{secret.TEST_KEY}}"}}
models: [m1]
on_client_abort: {abort}
fetch: {{hosts: ["*"], types: [image/*], size: 1MiB, timeout: 2s}}
errors:
  when: ${{body.error}}
  otherwise: 502
  code: ${{body.error.code}}
  message: ${{body.error.message}}
tasks:
  video:
    id: ${{body.id}}
    poll: GET /jobs/${{id}}
    status: ${{body.status}}
    states: {{waiting: queued, working: in_progress, done: completed, broken: failed}}
    error: {{code: broken_job, message: "${{body.reason}}"}}
    result: ${{body.url}}
    type: video/mp4
    wait: {{first: 5ms, every: 5ms, timeout: {patience}}}
    cancel: POST /jobs/${{id}}/end
  image:
    id: ${{body.id}}
    poll: GET /jobs/${{id}}
    status: ${{body.status}}
    states: {{waiting: queued, working: in_progress, done: completed, broken: failed}}
    result: ${{body.url}}
    type: image/png
    wait: {{first: 5ms, every: 5ms, timeout: {patience}}}
  clip:
    kind: video
    collection: /v1/clips
    id: ${{body.id}}
    poll: GET /jobs/${{id}}
    status: ${{body.status}}
    states: {{done: completed}}
    type: video/mp4
    download:
      - send: GET /files/${{body.file}}
        url: ${{body.link}}
  own:
    kind: video
    collection: /v1/own
    id: ${{body.id}}
    poll: GET /jobs/${{id}}
    status: ${{body.status}}
    states: {{done: completed}}
    result: ${{body.url}}
    type: video/mp4
    download_auth: true
routes:
  POST /v1/videos: {{task: video, send: POST /jobs}}
  POST /v1/images/generations: {{task: image, send: POST /jobs}}
  POST /v1/clips: {{task: clip, send: POST /jobs}}
  POST /v1/own: {{task: own, send: POST /jobs}}
  POST /v1/images/edits: {{send: POST /edits, async: image, edit: [{{default: {{n: 1}}}}]}}
  POST /v1/blends:
    send: POST /blend
    media: {{refs: base64}}
    body: {{picture: "${{refs[0]}}"}}
  POST /v1/music: {{send: POST /songs, async: music, response: {{url: "${{body.url}}", type: audio/mpeg}}}}
  POST /v1/chat/completions: carry
"""


trusted: Path | None = None  # certificates; the session says which


class Studio:
    """The platform. `on` says what a path answers; a path without an answer is a 404."""

    def __init__(self) -> None:
        self.peer = Peer(self._answer, early=False)
        self._responders: dict[str, Responder] = {}

    def on(self, path: str, responder: Responder | bytes) -> None:
        """`METHOD /path`; bytes are the whole answer."""
        self._responders[path] = (lambda _: responder) if isinstance(responder, bytes) else responder

    async def _answer(self, heard: Heard) -> None:
        target = heard.target.decode().partition("?")[0]
        responder = self._responders.get(f"{heard.method.decode()} {target}")
        said = answer(b"404 Not Found") if responder is None else responder(heard)
        if isinstance(said, Awaitable):
            said = await said
        if said is not None:
            await heard.say(said)

    def heard(self, path: str) -> list[Heard]:
        method, _, target = path.partition(" ")
        return [
            one for one in self.peer.requests if one.method == method.encode() and one.target.partition(b"?")[0] == target.encode()
        ]

    async def hears(self, path: str, times: int = 1) -> Heard:
        """Wait for the so-manieth request of a path."""
        await until(lambda: len(self.heard(path)) >= times)
        return self.heard(path)[times - 1]

    def job(self, name: str, *polls: dict[str, Any]) -> None:
        """A job: created as `waiting`, then one answer per poll, the last one again and again."""
        self.on("POST /jobs", says({"id": name, "status": "waiting"}))
        left = list(polls)
        self.on(f"GET /jobs/{name}", lambda _: says(left.pop(0) if len(left) > 1 else left[0]))

    def url(self, path: str) -> str:
        return f"{self.peer.url}{path}"


def says(value: Any, status: bytes = b"200 OK") -> bytes:
    return answer(status, json.dumps(value).encode(), b"Content-Type: application/json")


def never(_: Heard) -> None:
    """An answer that does not come."""


def held(event: asyncio.Event, said: bytes) -> Responder:
    """An answer that comes when the event is set."""

    async def respond(_: Heard) -> bytes:
        await event.wait()
        return said

    return respond


def post(path: str, **members: Any) -> bytes:
    body = json.dumps({"model": "m1", **members}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway", *fields, "", ""]).encode()


def rule(studio: Studio, *, abort: str = "cancel", patience: str = "5s") -> str:
    return RULE.format(upstream=studio.peer.url, abort=abort, patience=patience)


@asynccontextmanager
async def gateway(studio: Studio, *, abort: str = "cancel", patience: str = "5s", **settings: Any) -> AsyncIterator[Stage]:
    """A gateway in front of the studio."""
    settings.setdefault("ca_file", trusted)
    async with stage(studio.peer, rules={"test": rule(studio, abort=abort, patience=patience)}, **settings) as scene:
        yield scene


async def created(scene: Stage, path: str = "/test/v1/videos", **members: Any) -> str:
    """The id of a new task."""
    made: Answer = await scene.asks(post(path, **members))
    assert made.status == 200, made.body
    identity: str = made.json()["id"]
    return identity
