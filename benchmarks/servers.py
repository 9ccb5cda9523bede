"""The processes of a run: the mock, and the servers that are measured one at a time.

Servers are pinned to one core, the mock (and the load generator, see load.py) to another. A server that is not being measured is
stopped with SIGSTOP, so that its timers and its open connections cost nothing. Whoever starts a process here has it ended by
`Processes.close`.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks import prepare, system
from benchmarks.targets import SERVERS, Server, Site, Target, access_log

START_LIMIT_S = 30.0
STOP_LIMIT_S = 5.0
POLL_S = 0.002


@dataclass(slots=True)
class Running:
    name: str
    process: subprocess.Popen[bytes]
    port: int
    ready_after: float  # seconds from exec

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _answers_200(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Processes:
    """Starts, stops and wakes servers; a context manager."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._running: dict[str, Running] = {}
        self.mock = self._start_mock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_mock(self) -> Running:
        command = system.pinned(system.LOAD_CPU, [str(prepare.MOCK), str(self.site.mock)])
        return self._start("mock", command, self.site.mock, dict(os.environ), lambda: _accepts(self.site.mock))

    def _start(self, name: str, command: list[str], port: int, environment: dict[str, str], ready: Callable[[], bool]) -> Running:
        if _accepts(port):
            raise RuntimeError(f"port {port}, meant for {name}, is in use; end what listens there or choose another --port-base")
        log = prepare.LOGS / f"{name}.log"
        with log.open("wb") as out:
            begin = time.monotonic()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
            )
        running = Running(name, process, port, 0.0)
        while not ready():
            if process.poll() is not None or time.monotonic() - begin > START_LIMIT_S:
                self._stop(running)
                raise RuntimeError(f"{name} did not start; the last line of benchmarks/work/logs/{log.name}: {_last_words(log)}")
            time.sleep(POLL_S)
        running.ready_after = time.monotonic() - begin
        return running

    def _start_server(self, server: Server) -> Running:
        port, admin, path = self.site.port(server.name), self.site.admin(server.name), server.ready_path
        command = system.pinned(system.GATEWAY_CPU, server.command(self.site))
        environment = {**os.environ, **server.environment}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed gateway is compiled once, not at every start
        ready = (lambda: _answers_200(admin, path)) if path else (lambda: _accepts(port))
        return self._start(server.name, command, port, environment, ready)

    @staticmethod
    def _stop(running: Running) -> None:
        running.signal(signal.SIGCONT)
        running.signal(signal.SIGTERM)
        try:
            running.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            running.signal(signal.SIGKILL)
            running.process.wait()

    def stop(self, server: str) -> None:
        running = self._running.pop(server, None)
        if running:
            self._stop(running)

    def restart(self, server: str) -> Running:
        self.stop(server)
        running = self._running[server] = self._start_server(SERVERS[server])
        return running

    @contextlib.contextmanager
    def awake(self, target: Target, *, fresh: bool = False) -> Iterator[Running | None]:
        """The target's server, running while the context lasts and frozen afterwards; None for `direct`."""
        if target.server is None:
            yield None
            return
        running = self._running.get(target.server)
        if running is None or fresh:
            running = self.restart(target.server)
        log = access_log(target.server)
        if log.exists():
            os.truncate(log, 0)
        running.signal(signal.SIGCONT)
        try:
            yield running
        finally:
            running.signal(signal.SIGSTOP)

    def port(self, target: Target) -> int:
        return self.site.mock if target.server is None else self.site.port(target.server)

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)
        self._stop(self.mock)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")
