"""Gateways for the battery: `stage` runs one in this process, `serve` runs the command line in its own.

Lives here: the rule file of the test platform, settings with short times, and the checks that hold after every test: no
exception reached the event loop, and nothing of the gateway is left running.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from proxy.server import Gateway
from proxy.settings import Limits, Settings, Timeouts
from tests.harness.chaos import Peer
from tests.harness.client import PATIENCE, Answer, Client
from tests.harness.runner import turns, until

SECRET = "sk-test-upstream-secret"
CREDENTIALS = {"TEST_KEY": SECRET}
QUICK = Timeouts(t_drain=1.0, pre_drain=0.0)
CALM = ("client_connections", "exchanges", "upstream_busy", "held_bytes", "watched")

RULE = """\
platform: {name}
title: Upstream of the tests
docs: https://example.com
upstream: {upstream}
auth: {{bearer: "${{secret.{secret}}}"}}
headers: {{ModelName: "${{model}}"}}
models: [{models}]
routes:
  POST /v1/chat/completions: carry
  POST /v1/messages: carry
  POST /v1/responses: carry
  GET /v1/models: carry
  GET /v1/models/{{model}}: carry
  POST /v1beta/models/{{model}}:generateContent: carry
  POST /v1beta/models/{{model}}:streamGenerateContent: carry
native: carry
"""


def rule_file(upstream: str, name: str = "test", extra: str = "", models: str = 'm1, "m-*"') -> str:
    """The rule file of a test platform, with a secret of its own (`TEST_KEY` for `test`); `extra` is appended."""
    return RULE.format(name=name, upstream=upstream, models=models, secret=f"{name.upper()}_KEY") + extra


@dataclass
class Stage:
    """One gateway between clients and a peer."""

    gateway: Gateway
    peer: Peer
    directory: Path
    errors: list[dict[str, Any]] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int] | str:
        address: tuple[str, int] | str = self.gateway.addresses[0]
        return address

    @property
    def admin_address(self) -> tuple[str, int]:
        host, _, port = self.gateway.admin_address.rpartition(":")
        return host, int(port)

    @property
    def access_log(self) -> Path:
        return self.directory / "access.log"

    async def client(self, *, receive_buffer: int = 0, keep: bool = True) -> Client:
        """A new connection to the gateway."""
        client = await Client.connect(self.address, receive_buffer=receive_buffer, keep=keep)
        self.clients.append(client)
        return client

    async def asks(self, request: bytes, *, within: float = PATIENCE) -> Answer:
        """Say one request over a fresh connection, hear its answer and leave."""
        client = await self.client()
        await client.says(request, tolerant=True)
        answer = await client.hears(to=request.partition(b" ")[0], within=within)
        client.leaves()
        self.clients.remove(client)
        return answer

    async def admin(self, path: str, *, method: str = "GET") -> Answer:
        """Ask the admin listener."""
        client = await Client.connect(self.admin_address)
        await client.says(f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        try:
            return await client.hears()
        finally:
            client.leaves()

    def count(self, name: str) -> int:
        return int(self.gateway.counts()[name])

    async def calms_down(self, within: float = PATIENCE) -> float:
        """Wait until no connection, exchange or busy upstream line is left; the seconds it took."""
        return await until(lambda: all(self.count(name) == 0 for name in CALM), within)

    def log(self) -> list[dict[str, Any]]:
        """The access log as far as it is written, parsed; a line that is no JSON object fails."""
        if not self.access_log.exists():
            return []
        written = self.access_log.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in written.splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that carry these labels."""
        return sum(
            value
            for key, given, value in samples(self.gateway.metrics.exposition())
            if key == name and labels.items() <= given.items()
        )


def samples(exposition: bytes) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every sample."""
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(exposition.decode())
    return [(sample.name, dict(sample.labels), sample.value) for family in families for sample in family.samples]


@asynccontextmanager
async def stage(
    peer: Peer | None = None,
    *,
    rules: Mapping[str, str] | None = None,
    extra: str = "",
    limits: Mapping[str, int] | None = None,
    timeouts: Mapping[str, float] | None = None,
    environ: Mapping[str, str] | None = None,
    resolver: Any = None,
    noisy: bool = False,
    started: bool = True,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """A gateway in this process and loop, open to all, in front of `peer` (an interactive one when none is given).

    `rules` are files by platform name and replace the one of the test platform; `extra` is appended to it. `noisy` allows
    exceptions that reach the loop's handler (never used to hide one that a rule forbids). `started=False` leaves the start to
    the test.
    """
    peer = peer or Peer()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for platform, text in (rules or {"test": rule_file(peer.url, extra=extra)}).items():
            (directory / "rules").mkdir(exist_ok=True)
            (directory / "rules" / f"{platform}.yaml").write_text(text)
        chosen = Settings(
            listen=settings.pop("listen", ("127.0.0.1:0",)),
            admin=settings.pop("admin", "127.0.0.1:0"),
            rules=(directory / "rules",),
            shipped_rules=False,
            open=settings.pop("open", True),
            access_log=settings.pop("access_log", str(directory / "access.log")),
            limits=replace(Limits(), **(limits or {})),
            timeouts=replace(QUICK, **(timeouts or {})),  # type: ignore[arg-type]
            **settings,
        )
        errors: list[dict[str, Any]] = []
        others = asyncio.all_tasks()
        more = {"resolver": resolver} if resolver is not None else {}
        secrets = {f"{platform.upper()}_KEY": f"sk-test-{platform}-secret" for platform in rules or ()}
        gateway = Gateway(chosen, environ={**secrets, **CREDENTIALS, **(environ or {})}, **more)
        async with peer:
            if started:
                await gateway.start()
            asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
            scene = Stage(gateway, peer, directory, errors)
            try:
                yield scene
            finally:
                for client in scene.clients:
                    client.leaves()
                await gateway.stop()
            await turns()  # what an SDK of the test has left behind (a stream it did not read to its end) ends now
        assert noisy or not errors, f"exceptions reached the event loop: {errors}"
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() - others - {mine} if not of_the_tests(task)]
        assert not left, f"tasks left running: {left}"


def of_the_tests(task: asyncio.Task[Any]) -> bool:
    """The task runs a coroutine of the harness or of a test, not of the gateway."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "/tests/" in code.co_filename


@dataclass
class Served:
    """A gateway in its own process."""

    process: asyncio.subprocess.Process
    address: tuple[str, int]
    admin_address: tuple[str, int]
    directory: Path
    stderr: Path

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit(self, within: float) -> int:
        return await asyncio.wait_for(self.process.wait(), within)

    async def client(self, *, receive_buffer: int = 0, keep: bool = True) -> Client:
        return await Client.connect(self.address, receive_buffer=receive_buffer, keep=keep)

    async def admin(self, path: str) -> Answer:
        client = await Client.connect(self.admin_address)
        try:
            await client.says(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
            return await client.hears()
        finally:
            client.leaves()

    def log(self) -> str:
        return self.stderr.read_text()


_PORTS = re.compile(r"(?:is listening on|metrics and health:) http://127\.0\.0\.1:([0-9]+)[/\n]")


def command(
    directory: Path, upstream: str, *arguments: str, listen: int, admin: int, settings: Mapping[str, Any] | None = None
) -> list[str]:
    """The command line of `serve`, with the test platform as its only one."""
    rules = directory / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "test.yaml").write_text(rule_file(upstream))
    line = [sys.executable, "-m", "proxy", "serve", "--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}"]
    line += ["--rules", str(rules), "--open", "--access-log", str(directory / "access.log")]
    if settings:
        config = directory / "dragoman.yaml"
        config.write_text(json.dumps(settings))
        line += ["--config", str(config)]
    return [*line, *arguments]


@asynccontextmanager
async def serve(
    upstream: str,
    *arguments: str,
    settings: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> AsyncIterator[Served]:
    """`dragoman serve` in a subprocess, ready; `settings` is its configuration file, `prefix` a wrapper such as prlimit."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        line = [*prefix, *command(directory, upstream, *arguments, listen=0, admin=0, settings=settings)]
        errors = directory / "stderr"
        with errors.open("wb") as sink:
            environment = {**os.environ, **CREDENTIALS, **(environ or {})}
            process = await asyncio.create_subprocess_exec(*line, stdout=sink, stderr=sink, env=environment)
        try:
            async with asyncio.timeout(40):
                served = await _ready(process, directory, errors)
            yield served
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, directory: Path, errors: Path) -> Served:
    """Wait until it says where it listens, and is ready there."""
    while len(ports := _PORTS.findall(errors.read_text())) < 2:
        assert process.returncode is None, f"it ended with {process.returncode}: {errors.read_text()}"
        await asyncio.sleep(0.02)
    served = Served(process, *(("127.0.0.1", int(port)) for port in ports[:2]), directory, errors)
    while (await served.admin("/readyz")).status != 200:
        await asyncio.sleep(0.02)
    return served
