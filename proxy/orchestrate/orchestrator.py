"""What a worker holds of this room: it runs programs, streams downloads, and knows the deferred calls.

Made once per process; the store is opened when a deferred call first needs it, the fetching client at the first URL.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from proxy.fetch.fetcher import Fetched, Fetcher
from proxy.fetch.targets import FetchError, FetchOutcome, FetchPolicy
from proxy.orchestrate.deferred import DeferredCalls, DeferredOutcome
from proxy.orchestrate.downloads import Downloader, GoneError, redirected, refusal_of
from proxy.orchestrate.interface import Host, Sink
from proxy.orchestrate.policy import download_policy
from proxy.orchestrate.running import Runner
from proxy.outcomes import ErrorType
from proxy.settings import Settings
from proxy.store.interface import Store
from proxy.telemetry.metrics import Metrics
from proxy.upstream.dialing import MissingTrustError, tls_context
from proxy.upstream.resolver import Resolver
from proxy.wire.refusal import Refusal
from translators.model import Platform, Route
from translators.runtime import deferred
from translators.runtime.ids import Identity
from translators.runtime.steps import Answer, Download, Incoming, Program, Result, RuleRefusal, Step

PURPOSES = ("fetch", "download")
_MOST_SOURCES = 8  # of one download; a program has fewer


class Orchestrator:
    """See the module. `open_store` opens the store of deferred calls; it is asked until it has succeeded once.
    `hold` accounts for bytes in memory, and raises Refusal when there are too many."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolver: Resolver,
        metrics: Metrics,
        open_store: Callable[[], Awaitable[Store]],
        hold: Callable[[int], None],
        fetchers: Mapping[str, Fetcher] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        limits, timeouts = settings.limits, settings.timeouts
        self._settings = settings
        self._resolver = resolver
        self._metrics = metrics
        self._given_store = open_store
        self._opening = asyncio.Lock()  # the store
        self._making = asyncio.Lock()  # the fetchers
        self._opened: Store | None = None
        self._fetchers: Mapping[str, Fetcher] = fetchers or {}  # by purpose; made at the first URL where none are given
        self._reading = asyncio.Semaphore(limits.fetches)
        self._runner = Runner(self._read, timeouts.t_program, hold)
        self._deferred = DeferredCalls(
            self._store,
            self._runner,
            most=limits.deferred_calls,
            kept=timeouts.t_kept,
            lease=timeouts.t_lease,
            observe=self._count_deferred,
            gauge=metrics.deferred_running,
            hold=hold,
            clock=clock,
        )

    # -- programs

    async def run(self, program: Program, first_step: Step, host: Host) -> Result:
        """Do what the program asks for, until it ends. Raises Refusal, RuleRefusal, and what the program raises."""
        running = self._metrics.programs(host.platform.name)
        running.inc()
        try:
            return await self._runner.run(program, first_step, host)
        finally:
            running.dec()

    async def download(self, download: Download, host: Host, sink: Sink) -> None:
        """Stream what stands behind the download's URL into the sink, up to its `end` or `cut`. Raises Refusal, RuleRefusal, before
        `head` only."""
        policy = download_policy(host.platform, host.upstream, self._settings.timeouts)
        downloader = Downloader(await self._fetcher("download"), self._metrics.download_bytes(host.platform.name).inc)
        result: Result = download
        for _ in range(_MOST_SOURCES):
            if not isinstance(result, Download) or not isinstance(result.source, str):
                break
            try:
                await downloader.stream(result, policy, host.incoming, sink)
            except GoneError as error:
                if result.again is None:
                    raise refusal_of(error) from None
            except FetchError as error:
                raise refusal_of(error) from None
            else:
                return
            result = await self._runner.again(result, host)
        else:
            raise refusal_of(GoneError())
        _write_whole(await self._runner.settle(result, host), host, sink)

    def redirected(self, download: Download, host: Host, status: int, location: str) -> Download | None:
        """Where the answer to a download's own call sends on to; None: the answer itself is passed on."""
        return redirected(download, host.upstream, status, location)

    # -- deferred calls

    def takes(self, platform: Platform, route: Route, incoming: Incoming) -> bool:
        """Whether the request begins a deferred call or asks for one. Raises RuleRefusal."""
        handling = route.handling
        if handling is None:
            return False
        if handling.of is not None:
            return self._identity(platform, incoming) is not None
        return deferred.wanted(route, incoming)

    async def serve(self, host: Host) -> Result:
        """The answer to a request that `takes` has taken. Raises Refusal, RuleRefusal."""
        incoming = host.incoming
        handling = host.route.handling if host.route is not None else None
        assert handling is not None  # `takes` looked
        if handling.of is None:
            return await self._deferred.begin(host)
        identity = self._identity(host.platform, incoming)
        assert identity is not None  # the same
        if handling.action == "content":
            return await self._deferred.content(identity, incoming)
        if handling.action == "poll":
            return await self._deferred.look(identity, incoming)
        raise RuleRefusal(405, "not_deletable", "a call that the gateway runs cannot be deleted; it is forgotten after a time")

    @staticmethod
    def _identity(platform: Platform, incoming: Incoming) -> Identity | None:
        return deferred.identify(platform, incoming.path.get("task_id", ""))

    @property
    def deferred_running(self) -> int:
        """Deferred calls of this worker that have no answer yet."""
        return self._deferred.running

    # -- what is opened late

    async def open_store(self) -> None:
        """Open the store now, to find out whether it can be. Raises StoreError."""
        await self._store()

    async def _store(self) -> Store:
        async with self._opening:
            if self._opened is None:
                self._opened = await self._given_store()
            return self._opened

    async def _read(self, url: str, policy: FetchPolicy) -> Fetched:
        """The file behind a URL, when there is room for one more. Raises FetchError, Refusal."""
        fetcher = await self._fetcher("fetch")
        try:
            async with asyncio.timeout(self._settings.timeouts.t_pool_wait):
                await self._reading.acquire()
        except TimeoutError:
            raise Refusal(
                503,
                ErrorType.CONNECTION_LIMIT_REACHED,
                "too_many_fetches",
                "The gateway reads as many URLs as it may at the moment; send this later, or send data in place of URLs.",
                limit="fetches",
                fields=(("Retry-After", "1"),),
            ) from None
        try:
            return await fetcher.fetch(url, policy)
        finally:
            self._reading.release()

    async def _fetcher(self, purpose: str) -> Fetcher:
        """The client that reads URLs for a purpose, of which the metrics tell. Raises Refusal."""
        async with self._making:
            if not self._fetchers:
                try:  # tens of milliseconds: all trusted certificates are read
                    context = await asyncio.to_thread(tls_context, insecure=False, ca_file=self._settings.ca_file)
                except (MissingTrustError, OSError):
                    text = "The gateway has no certificates to verify servers with."
                    raise Refusal(500, ErrorType.PROXY_CONFIGURATION_ERROR, "no_trust", text) from None
                agent = self._settings.via or "dragoman"
                self._fetchers = {
                    name: Fetcher(self._resolver, context, observe=self._count_fetch(name), user_agent=agent) for name in PURPOSES
                }
        return self._fetchers[purpose]

    # -- counting

    def _count_fetch(self, purpose: str) -> Callable[[FetchOutcome], None]:
        return lambda outcome: self._metrics.fetch(purpose, outcome.value).inc()

    def _count_deferred(self, platform: str, outcome: DeferredOutcome) -> None:
        self._metrics.deferred(platform, outcome.value).inc()

    # -- the end

    async def close(self) -> None:
        """Interrupt deferred calls and say so in the store, then close it."""
        await self._deferred.close()
        await self._runner.close()
        async with self._opening:
            store, self._opened = self._opened, None
        if store is not None:
            await store.close()


def _write_whole(answer: Answer, host: Host, sink: Sink) -> None:
    """An answer that came where a file was expected: the task has failed meanwhile, say."""
    fields = [*answer.headers, ("Content-Length", str(len(answer.body)))]
    if answer.content_type is not None:
        fields.append(("Content-Type", answer.content_type))
    sink.head(answer.status, tuple(fields))
    if host.incoming.method != "HEAD":
        sink.write(answer.body)
    sink.end()
