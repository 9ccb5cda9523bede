"""The stage of a dialogue: a real gateway whose client and upstream connections run over transports in memory.

async with stage() as scene:
    client = scene.client()
    client.says(...)
    upstream = await scene.upstream()
    upstream.heard() ...
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proxy.carry.client import ClientConnection
from proxy.server import Gateway
from proxy.settings import Limits, Settings, Timeouts
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import Pool
from tests.engine.memory import ENDLESS, MemoryTransport
from tests.harness.runner import turns

KEY = "sk-test-key-of-the-platform"
RULE = """\
platform: {name}
title: Upstream of the dialogues
docs: https://example.com
upstream: http://up.example
auth: {{bearer: "${{secret.TEST_KEY}}"}}
models: [m1, "m-*"]
routes:
  POST /v1/chat/completions: carry
  POST /v1/messages: carry
  GET /v1/models: carry
  POST /v1beta/models/{{model}}:streamGenerateContent: carry
native: carry
"""
OTHER = """\
platform: other
title: A platform that wants the model in a header
docs: https://example.com
upstream: http://other.example/base
auth: {bearer: "${secret.OTHER_KEY}"}
headers: {ModelName: "${model}"}
models: [z1, z-old]
routes:
  POST /v1/chat/completions: carry
"""
DATE = b"Date: Fri, 20 Nov 2026 00:00:00 GMT\r\nx-request-id: theirs\r\n"  # so that an answer can be compared byte for byte


def answer(body: bytes, *, more: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """A complete answer of the upstream with a length."""
    return b"HTTP/1.1 " + status + b"\r\n" + DATE + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def stream_head(more: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
        + more + b"Transfer-Encoding: chunked\r\n\r\n"
    )  # fmt: skip


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def get(path: str = "/test/v1/models", more: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET " + path.encode() + b" HTTP/" + version + b"\r\nHost: h\r\n" + more + b"\r\n"


def post(body: bytes, path: str = "/test/v1/chat/completions", more: bytes = b"") -> bytes:
    return (
        b"POST " + path.encode() + b" HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" + more
        + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


class FakeDialer:
    """Opens connections in memory; `hold` makes whoever dials wait until `go` is set."""

    def __init__(self, window: Callable[[], int]) -> None:
        self.opened: asyncio.Queue[MemoryTransport] = asyncio.Queue()
        self.dialed = 0
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None
        self._window = window

    async def dial(self, factory: Callable[[], UpstreamConnection], waiting: Any) -> UpstreamConnection:
        self.dialed += 1
        await asyncio.sleep(0)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        connection = factory()
        self.opened.put_nowait(MemoryTransport(connection, window=self._window()))
        return connection


class Scene:
    """One gateway; `errors` are exceptions that reached the loop, which are faults of ours (M08)."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.upstream_window = ENDLESS
        self.errors: list[dict[str, Any]] = []
        self.dialers: dict[str, FakeDialer] = {}
        for name, served in gateway.worker.table.served.items():
            if served.pool is not None:
                self.dialers[name] = FakeDialer(lambda: self.upstream_window)
                served.pool._dialer = self.dialers[name]  # type: ignore[assignment]

    def client(self, *, window: int = ENDLESS) -> MemoryTransport:
        return MemoryTransport(ClientConnection(self.gateway.worker), window=window)

    def connection_of(self, client: MemoryTransport) -> ClientConnection:
        assert isinstance(client._protocol, ClientConnection)
        return client._protocol

    def pool(self, name: str = "test") -> Pool:
        pool = self.gateway.worker.table.served[name].pool
        assert pool is not None
        return pool

    def dialer(self, name: str = "test") -> FakeDialer:
        return self.dialers[name]

    async def upstream(self, name: str = "test") -> MemoryTransport:
        """The next connection that was opened."""
        return await asyncio.wait_for(self.dialers[name].opened.get(), 20)

    def counts(self) -> dict[str, int]:
        """What is alive but for tasks."""
        return {name: count for name, count in self.gateway.counts().items() if name != "tasks"}

    @property
    def calm(self) -> bool:
        """Nothing is running and nothing is held."""
        counts = self.counts()
        return not any(counts[name] for name in ("exchanges", "upstream_busy", "held_bytes", "watched"))


@asynccontextmanager
async def stage(
    *,
    limits: Mapping[str, int] | None = None,
    timeouts: Mapping[str, float] | None = None,
    extra: str = "",
    rules_of: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """A started gateway with two platforms, `test` and `other`.

    `extra` is appended to the rule of `test`, `rules_of` are further files by name; each platform has a secret of its name.
    """
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test.yaml").write_text(RULE.format(name="test") + extra)
        for platform, text in {"other": OTHER, **(rules_of or {})}.items():
            (directory / f"{platform}.yaml").write_text(text)
        chosen = Settings(
            listen=(f"unix:{directory}/socket",),
            admin=None,
            rules=(directory,),
            shipped_rules=False,
            access_log="off",
            limits=replace(Limits(), **(limits or {})),
            timeouts=replace(Timeouts(), **(timeouts or {})),  # type: ignore[arg-type]
            **{"open": True, **settings},
        )
        keys = {f"{platform.upper()}_KEY": KEY for platform in ("test", "other", *(rules_of or {}))}
        gateway = Gateway(chosen, environ={**keys, **(environ or {})})
        await gateway.start()
        scene = Scene(gateway)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: scene.errors.append(context))
        try:
            yield scene
        finally:
            await gateway.stop()
            await turns()
        assert not scene.errors, f"exceptions reached the event loop: {scene.errors}"


def status_of(heard: bytes) -> int:
    return int(heard[9:12])


def error_of(heard: bytes) -> dict[str, str]:
    """The error object of a local answer, whose length must be right."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"\r\nProxy-Status: dragoman; error=" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    error: dict[str, str] = json.loads(body)["error"]
    return error


async def asked(scene: Scene, request: bytes | None = None) -> tuple[MemoryTransport, MemoryTransport]:
    """A client whose request has reached the upstream."""
    client = scene.client()
    client.says(get() if request is None else request)
    upstream = await scene.upstream()
    await turns()
    return client, upstream
