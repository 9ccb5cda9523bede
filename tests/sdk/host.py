"""Gateways that blocking clients can talk to: `running` has one in a thread of its own, `command` one in a process of its own.

Lives here: starting, stopping and the checks that hold after every test (no exception reached the event loop, no task is left).
What the SDKs say to it stands in the test modules.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from proxy.assembly import load_rules, rule_directories
from proxy.sandbox import Sandbox
from proxy.server import Gateway
from proxy.settings import Settings, Timeouts
from tests.harness.gateway import samples
from tests.harness.runner import loop_factory
from tests.sdk.recorder import Recorder
from translators.load import load, shipped_rules
from translators.model import RuleSet

T = TypeVar("T")
PATIENCE = 60.0  # seconds; bounds a hang, never part of what a test asserts
PLATFORMS = ("openai", "anthropic", "gemini")


@dataclass
class Host:
    """A running gateway. `recorder` stands between it and the sandbox when the test asked for one."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    recorder: Recorder | None
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The base of the first listener, without a path."""
        address = self.gateway.addresses[0]
        assert not isinstance(address, str), "a unix socket has no URL"
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{self.gateway.worker.scheme.decode()}://{host}:{address[1]}"

    @property
    def sandbox(self) -> Sandbox:
        assert self.gateway.sandbox is not None
        return self.gateway.sandbox

    @property
    def recorded(self) -> Recorder:
        assert self.recorder is not None, "this gateway was started without a recorder"
        return self.recorder

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the gateway's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def count(self, name: str) -> int:
        """One of the gateway's counts of what is alive."""

        async def count() -> int:
            return int(self.gateway.counts()[name])

        return self.run(count())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that carry these labels."""

        async def exposition() -> bytes:
            return bytes(self.gateway.metrics.exposition())

        found = samples(self.run(exposition()))
        return sum(value for key, given, value in found if key == name and labels.items() <= given.items())


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {PATIENCE} s"
        time.sleep(0.002)


@contextmanager
def running(
    *,
    loop: str = "asyncio",
    pace: float = 0.0,
    record: bool = False,
    environ: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Host]:
    """A gateway with the shipped rules and, unless told otherwise, the sandbox behind every platform.

    `pace` takes the place of the sandbox's realistic pauses, so that tests are quick. With `record` the three platforms of the
    SDKs are reached through a relay that keeps what went over the wire.
    """
    with threaded_loop(loop) as running_loop:
        host = asyncio.run_coroutine_threadsafe(_start(pace, record, environ, settings), running_loop).result(PATIENCE)
        try:
            yield host
        finally:
            left = host.run(_stop(host))
        assert not host.errors, f"exceptions reached the event loop: {host.errors}"
        assert not left, f"tasks left running: {left}"


@contextmanager
def threaded_loop(name: str) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = loop_factory(name)()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


@cache
def _shipped(examples: bool) -> RuleSet:
    return load([shipped_rules()], examples=examples)


def rules_of(settings: Settings) -> RuleSet:
    """The rules of these settings. Those as shipped are read once for all gateways: that is most of a start."""
    return _shipped(settings.sandbox) if rule_directories(settings) == (shipped_rules(),) else load_rules(settings)


async def _start(pace: float, record: bool, environ: Mapping[str, str] | None, settings: dict[str, Any]) -> Host:
    recorder = None
    if record:
        recorder = Recorder()
        await recorder.start()
        settings["upstreams"] = {name: f"{recorder.url}/~{name}" for name in PLATFORMS}  # as the sandbox tells them apart
    chosen = {"listen": ("127.0.0.1:0",), "admin": None, "sandbox": True, "access_log": "off"} | settings
    gateway = Gateway(Settings(**chosen, timeouts=Timeouts(t_drain=1.0, pre_drain=0.0)), environ=environ or {})
    with patch("proxy.server.load_rules", rules_of):
        await gateway.start()
    if gateway.sandbox is not None:
        gateway.sandbox._pace = pace
        if recorder is not None:
            recorder.target = gateway.sandbox.url
    host = Host(gateway, asyncio.get_running_loop(), recorder)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: host.errors.append(context))
    return host


async def _stop(host: Host) -> list[asyncio.Task[Any]]:
    """Stop everything; the tasks that are still there afterwards."""
    await host.gateway.stop()
    if host.recorder is not None:
        await host.recorder.stop()
    current = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task is not current]


@contextmanager
def command(directory: Path, *arguments: str, config: Mapping[str, Any] | None = None, sandbox: bool = True) -> Iterator[str]:
    """`dragoman serve` as its users start it; yields the URL that its start line says."""
    line = [sys.executable, "-m", "proxy", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    line += ["--access-log", "off", *(["--sandbox"] if sandbox else []), *arguments]
    if config is not None:
        file = directory / "dragoman.yaml"
        file.write_text(json.dumps(config))
        line += ["--config", str(file)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stderr is not None
    try:
        said = process.stderr.readline().decode()
        assert " is listening on http://" in said, f"it said instead: {said}{process.stderr.read().decode()}"
        yield said.split()[-1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
