"""What all connections of one process share: settings, timers, metrics, the routing table, and the few things they ask of it."""

import asyncio
import itertools
import os
import secrets as random_source
from pathlib import Path
from typing import Protocol

from proxy.carry.orchestration import NoOrchestrator, Orchestrator
from proxy.carry.record import Recorder
from proxy.net.departures import Departures
from proxy.net.timers import Wheel
from proxy.outcomes import ErrorType, Outcome
from proxy.routing.plan import NO_ROUTE, Plan, echoed_id
from proxy.routing.table import Table
from proxy.settings import Settings
from proxy.telemetry import logs
from proxy.telemetry.access_log import AccessLog, AccessRecord
from proxy.telemetry.metrics import Metrics
from proxy.wire.head import read_request_head
from proxy.wire.parser import HeadParser
from proxy.wire.refusal import Refusal


class Connected(Protocol):
    """A client connection, as the worker and the gateway see it."""

    @property
    def transport(self) -> asyncio.Transport | None: ...
    @property
    def exchange(self) -> object | None: ...
    def close_idle(self) -> None: ...
    def close_now(self) -> None: ...


class Lingering(Protocol):
    """An exchange that goes on without its client."""

    def stop(self) -> None: ...


class Worker:
    """See the module. `table` is replaced as a whole; `draining` tells connections to close behind their answers."""

    def __init__(
        self, settings: Settings, table: Table, *, wheel: Wheel, parser: HeadParser, metrics: Metrics, access_log: AccessLog
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.timeouts = settings.timeouts
        self.table = table
        self.wheel = wheel
        self.metrics = metrics
        self.loop = asyncio.get_running_loop()
        self.departures = Departures(self.loop)
        self.recorder = Recorder(metrics, access_log)
        self.scheme = b"http" if settings.tls_certificate is None else b"https"
        self.draining = False
        self.connections: set[Connected] = set()
        self.held = 0  # bytes of request bodies that wait in memory
        self._held_limit = self.limits.buffered_bytes_total or _memory_limit() // 4
        self.orchestrator: Orchestrator = NoOrchestrator()
        self.background: set[Lingering] = set()  # exchanges that go on without their client
        self._parser = parser
        self._access_log = access_log
        self._parse_log = logs.RateLimiter()
        self._id_prefix = random_source.token_hex(6).encode("ascii")
        self._ids = itertools.count(1)

    def stop(self) -> None:
        """The process ends: nothing goes on without a client any more."""
        self.departures.stop()
        for exchange in list(self.background):
            exchange.stop()
        self.background.clear()
        for served in self.table.served.values():
            if served.credential is not None and served.credential.source is not None:
                served.credential.source.stop()

    def plan(self, head: bytes, peer: str) -> tuple[Plan, int]:
        """The plan of a request head and the length of its body. Raises Refusal."""
        known = self.table.recall(head)
        if known is not None:
            return known
        parsed = read_request_head(self._parser, head, self.limits, self.scheme)
        try:
            plan = self.table.plan(parsed, peer)
        except Refusal as refusal:
            refusal.request_id = echoed_id(parsed)
            refusal.head_only = parsed.method == "HEAD"
            refusal.close = refusal.close or parsed.length != 0 or not parsed.keep_alive
            raise
        self.table.remember(head, plan)
        return plan, parsed.length

    def new_id(self) -> bytes:
        """An id for a request: unique in this process, hard to guess from outside."""
        return b"%b%08x" % (self._id_prefix, next(self._ids))

    def hold(self, size: int) -> None:
        """Account for bytes that wait in memory. Raises Refusal (503) when the process holds too much."""
        self.held += size
        if size > 0 and self.held > self._held_limit:
            raise Refusal(
                503,
                ErrorType.CONNECTION_LIMIT_REACHED,
                "memory_limit",
                "The gateway holds too many bodies at the moment.",
                limit="buffered_bytes_total",
                fields=(("Retry-After", "1"),),
                close=True,
            )

    def admit(self, connection: Connected) -> bool:
        """Count a connection in; False when there are too many."""
        self.connections.add(connection)
        count = len(self.connections)
        self.metrics.client_connections.set(count)
        return count <= self.limits.client_connections

    def dismiss(self, connection: Connected) -> None:
        self.connections.discard(connection)
        self.metrics.client_connections.set(len(self.connections))

    def note_refusal(self, refusal: Refusal, request_id: bytes, peer: str) -> None:
        """Count and log a local answer to a request that never became an exchange."""
        outcome = Outcome.OK if refusal.status < 400 else Outcome.REFUSED if refusal.status < 500 else Outcome.FAILED
        metrics = self.metrics.exchange(NO_ROUTE, NO_ROUTE, "other", None)
        metrics.count(refusal.status, outcome)
        if outcome is not Outcome.OK:
            metrics.error(refusal.error)
        if refusal.limit is not None:
            self.metrics.limit(refusal.limit).inc()
        if refusal.error is ErrorType.HTTP_REQUEST_ERROR and refusal.close:
            self.metrics.parse_errors.inc()
            if not self._parse_log.allow(peer):
                return
        method, path = refusal.asked or ("other", "-")
        self._access_log.write(
            AccessRecord(
                id=request_id.decode("ascii"),
                peer=peer,
                method=method,
                path=path,
                status=refusal.status,
                outcome=outcome.label,
                error=refusal.error if outcome is not Outcome.OK else None,
            )
        )


def _memory_limit() -> int:
    """The memory this process may use: the control group's limit, else the machine's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total
