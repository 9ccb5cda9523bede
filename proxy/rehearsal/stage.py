"""The stage: a worker of the proxy with its table, on connections in memory, and one exchange after the other played on it.

The table is made by the proxy's own assembly; only what opens connections, what fetches URLs and what tells the time are exchanged.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from proxy.assembly import Assembly
from proxy.carry.converted import ConvertedExchange
from proxy.carry.exchange import Exchange
from proxy.carry.worker import Worker
from proxy.net.timers import Wheel
from proxy.orchestrate.orchestrator import PURPOSES, Orchestrator
from proxy.rehearsal.fetching import RehearsedFetcher
from proxy.rehearsal.loop import JumpingLoop, StandstillError
from proxy.rehearsal.said import DATE, Said, read_answer
from proxy.rehearsal.wires import ClientWire, MemoryDialer, Performance, RehearsedClient
from proxy.routing.plan import Plan
from proxy.routing.served import Served
from proxy.settings import Limits, Settings, Timeouts
from proxy.store.interface import Store
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics, UpstreamMetrics
from proxy.telemetry.redaction import Redactor
from proxy.upstream.pool import OpensConnections
from proxy.upstream.resolver import CachingResolver, SystemResolver
from proxy.upstream.tokens import AccessTokens
from proxy.wire.parser import HeadParser
from proxy.wire.response import ResponseReader
from translators.model import Message, Platform, Route, RuleSet, Upstream

NOW = 1_760_000_000.0  # the moment at which examples play, Unix seconds
NEW_ID = "0123456789abcdef0123456789abcdef"  # every random id
ACCESS_TOKEN = "test-access-token"  # noqa: S105 - stands in for the token of a service account
_REQUEST_ID = b"rehearsal"
_MOST_LOOKS = 10_000  # at a call that goes on by itself; each takes no time

Answers = Callable[[int, Said], bytes | None]


def placeholders(rules: RuleSet) -> dict[str, str]:
    """`test-NAME` for every secret; one that is two values in one has both halves."""
    found: dict[str, str] = {}
    for platform in rules.platforms.values():
        separator = platform.auth.settings.get("split")
        for name in platform.secrets:
            paired = separator is not None and "secret" in platform.auth.parts and name in platform.auth.parts["secret"].secrets
            found[name] = f"test-{name}-id{separator}test-{name}" if paired else f"test-{name}"
    return found


@dataclass(frozen=True, slots=True)
class Played:
    """One exchange, played. `requests` are the upstream's, `answer` what the client got (None: it still waits, for an answer that
    nobody gives), `plan` what its head has decided, with the platform and route it went to."""

    request: bytes
    requests: tuple[Said, ...]
    given: tuple[bytes, ...]  # the answers of the platform
    answer: Said | None
    raw_answer: bytes
    plan: Plan | None
    served: Served | None
    route: Route | None
    starved: bool  # the last request found no answer
    dropped: tuple[str, ...] = ()  # fields of the request that a translation has left out


class Stage:
    """Plays exchanges. Use it as a context manager, or `close` it: it has an event loop of its own."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        settings: Settings | None = None,
        environ: Mapping[str, str] | None = None,
        now: Callable[[], float] = lambda: NOW,
    ) -> None:
        self.rules = rules
        self.loop = JumpingLoop()
        self._performance = Performance(lambda *_: None)
        self.orchestrator: Orchestrator | None = None
        self._fetches: Mapping[str, Message] = {}
        self.unknown: list[str] = []  # URLs that an exchange wanted to read and that hold nothing
        try:
            self.worker = self.loop.run_until_complete(self._build(settings or Settings(), environ, now))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def _build(self, settings: Settings, environ: Mapping[str, str] | None, now: Callable[[], float]) -> Worker:
        settings = replace(settings, open=True, access_log="off", admin=None, listen=())
        metrics, wheel, parser = Metrics(), Wheel(self.loop), HeadParser(self.loop)
        wheel.date = DATE.encode("ascii")
        assembly = _Assembly(
            settings,
            environ=placeholders(self.rules) if environ is None else environ,
            wheel=wheel,
            reader=ResponseReader(parser),
            resolver=CachingResolver(SystemResolver()),
            metrics=metrics,
            sandbox_url=None,
        )
        assembly.current = lambda: self._performance
        table = assembly.table(self.rules)
        for served in table.served.values():
            served.now, served.new_id = now, lambda: NEW_ID
        log = AccessLog.open("off", metrics, Redactor())
        worker = _Worker(settings, table, wheel=wheel, parser=parser, metrics=metrics, access_log=log)
        self.orchestrator = worker.orchestrator = rehearsed_orchestrator(
            worker, lambda: self._fetches, unknown=self.unknown, now=now
        )
        return worker

    def play(self, request: bytes, answers: Answers, fetches: Mapping[str, Message] | None = None) -> Played:
        """One exchange. `answers` is asked for the answer to each upstream request; None ends the play there."""
        self._fetches = fetches or {}
        self.unknown.clear()
        try:
            return self.loop.run_until_complete(self._play(request, answers))
        except StandstillError:
            self.loop.run_until_complete(_stop_all())
            performance = self._performance
            performance.starved = True
            return _played(request, performance, b"", None)

    async def _play(self, request: bytes, answers: Answers) -> Played:
        performance = self._performance = Performance(answers)
        connection = RehearsedClient(self.worker, performance)
        wire = ClientWire(connection)
        connection.data_received(request)
        if connection.exchange is not None:
            await performance.over.wait()
        exchange = connection.exchange or performance.exchange
        heard = bytes(wire.heard)
        await self._end_deferred(performance)
        played = _played(request, performance, heard, exchange)
        wire.abort()
        await _stop_all()
        for lingering in list(self.worker.background):
            lingering.stop()
        return played

    async def _end_deferred(self, performance: Performance) -> None:
        """A call that goes on behind the client's answer (`async`) has its own time."""
        for _ in range(_MOST_LOOKS):
            if self.orchestrator is None or not self.orchestrator.deferred_running or performance.starved:
                return
            await asyncio.sleep(0.1)

    def close(self) -> None:
        """Let go of the loop and of what still runs on it."""
        if not self.loop.is_closed():
            self.loop.run_until_complete(_stop_all())
            if self.orchestrator is not None:
                self.loop.run_until_complete(self.orchestrator.close())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


async def _stop_all() -> None:
    """End whatever still runs on the loop, and let it end."""
    mine = asyncio.current_task()
    for _ in range(3):
        await asyncio.sleep(0)
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _played(request: bytes, performance: Performance, heard: bytes, exchange: Exchange | None) -> Played:
    plan = performance.plan
    dispatch = exchange.dispatch if exchange is not None else plan.dispatch if plan is not None else None
    served = dispatch.served if dispatch is not None else None
    return Played(
        request=request,
        requests=tuple(performance.requests),
        given=tuple(performance.answered),
        answer=read_answer(heard, to=request.partition(b" ")[0].decode("latin-1")),
        raw_answer=heard,
        plan=plan,
        served=served,
        route=_route_of(served, plan),
        starved=performance.starved,
        dropped=exchange.dropped if isinstance(exchange, ConvertedExchange) else (),
    )


def _route_of(served: Served | None, plan: Plan | None) -> Route | None:
    """The route that the request went to; None for a native path, and where it went nowhere."""
    if served is None or plan is None:
        return None
    return next((route for route in served.platform.routes if route.id == plan.label), None)


def rehearsed_orchestrator(
    worker: Worker,
    fetches: Callable[[], Mapping[str, Message]],
    *,
    unknown: list[str] | None = None,
    now: Callable[[], float] = lambda: NOW,
) -> Orchestrator:
    """An orchestrator whose URLs hold what `fetches` says; `unknown` gets those that hold nothing. Its store ends with it."""
    resolver = CachingResolver(SystemResolver())
    fetcher = RehearsedFetcher(resolver, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    fetcher.fetches = fetches
    fetcher.unknown = unknown if unknown is not None else []
    return Orchestrator(
        worker.settings,
        resolver=resolver,
        metrics=worker.metrics,
        open_store=_open_store,
        hold=worker.hold,
        fetchers=dict.fromkeys(PURPOSES, fetcher),
        clock=now,
    )


class _Memory:
    """A store of deferred calls that ends with the stage; nothing in it grows old."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._owners: dict[str, str] = {}

    async def put(self, key: str, record: bytes, ttl: float) -> None:  # noqa: ARG002 - the interface's shape
        self._records[key] = record

    async def get(self, key: str) -> bytes | None:
        return self._records.get(key)

    async def claim(self, key: str, owner: str, ttl: float) -> bool:  # noqa: ARG002 - the interface's shape
        return self._owners.setdefault(key, owner) == owner

    async def close(self) -> None:
        """Nothing is open."""


async def _open_store() -> Store:
    return _Memory()


class _Assembly(Assembly):
    """Makes the table for a stage: pools that dial into memory, access tokens that nobody is asked for."""

    current: Callable[[], Performance]

    def _dialer(
        self,
        upstream: Upstream,  # noqa: ARG002 - the interface's shape
        insecure: bool,  # noqa: ARG002
        metrics: UpstreamMetrics,  # noqa: ARG002
        limits: Limits,  # noqa: ARG002
        times: Timeouts,  # noqa: ARG002
    ) -> OpensConnections:
        return MemoryDialer(self.current)

    def _tokens(self, platform: Platform, secrets: Mapping[str, str]) -> AccessTokens:  # noqa: ARG002 - the interface's shape
        return AccessTokens.fixed(ACCESS_TOKEN)


class _Worker(Worker):
    """A worker whose ids of requests are always the same."""

    def new_id(self) -> bytes:
        return _REQUEST_ID
