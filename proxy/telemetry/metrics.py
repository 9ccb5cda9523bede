"""All metrics of one process: binds the families of `catalogue` to slots and gives them names that the code can hold on to.

Bind once (per compiled route, per upstream), then count through the bound object: an increment is a write into preallocated memory.
Children come into being at their first use, so that a route nobody called costs no series. Everything here belongs to the thread
of the event loop.
"""

import platform as python_platform
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from proxy import __version__
from proxy.outcomes import OTHER, ErrorType, Outcome, Phase, method_label
from proxy.settings import Limits, Timeouts
from proxy.telemetry import catalogue, exposition
from proxy.telemetry.families import OVERFLOW, AnyFamily, Family, Kind, Spec
from proxy.telemetry.slots import Bank, Counter, Gauge, Histogram

LIMIT_NAMES = frozenset(field.name for settings in (Limits, Timeouts) for field in fields(settings))
_STATUS_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_OUTCOMES = len(Outcome)


class _Unbound:
    """Stands in an attribute for a child that nothing has counted into; at its first use the child is made and takes its place."""

    __slots__ = ("_labels", "_metrics", "_name", "_owner", "_spec")

    def __init__(self, metrics: "Metrics", owner: object, name: str, spec: Spec, labels: tuple[str, ...]) -> None:
        self._metrics = metrics
        self._owner = owner
        self._name = name
        self._spec = spec
        self._labels = labels
        setattr(owner, name, self)

    def __getattr__(self, name: str) -> Any:
        child = self._metrics.family(self._spec).labels(*self._labels)
        setattr(self._owner, self._name, child)
        return getattr(child, name)


class ExchangeMetrics:
    """What is counted per exchange of one (platform, route, method, model). Get it from `Metrics.exchange`.

    Times are seconds, sizes bytes.
    """

    __slots__ = (
        "_counts",
        "_errors",
        "_labels",
        "_metrics",
        "chunk_gap",
        "duration",
        "first_byte",
        "first_chunk",
        "in_flight",
        "input_tokens",
        "output_tokens",
        "overhead",
        "request_bytes",
        "response_bytes",
    )

    in_flight: Gauge
    duration: Histogram
    first_byte: Histogram  # every exchange
    first_chunk: Histogram  # event streams only
    chunk_gap: Histogram  # event streams only
    overhead: Histogram
    request_bytes: Counter
    response_bytes: Counter
    input_tokens: Counter
    output_tokens: Counter

    def __init__(self, metrics: "Metrics", platform: str, route: str, method: str, model: str) -> None:
        self._metrics = metrics
        self._labels = (platform, route, method, model)
        self._counts: dict[int, Counter] = {}
        self._errors: dict[ErrorType, Counter] = {}
        of_platform, of_route, of_model = (platform,), (platform, route), (platform, route, model)
        _Unbound(metrics, self, "in_flight", catalogue.EXCHANGES_IN_FLIGHT, of_platform)
        _Unbound(metrics, self, "duration", catalogue.EXCHANGE_DURATION, of_model)
        _Unbound(metrics, self, "first_byte", catalogue.FIRST_BYTE, of_model)
        _Unbound(metrics, self, "first_chunk", catalogue.FIRST_CHUNK, of_model)
        _Unbound(metrics, self, "chunk_gap", catalogue.CHUNK_GAP, of_model)
        _Unbound(metrics, self, "overhead", catalogue.OVERHEAD, of_route)
        _Unbound(metrics, self, "request_bytes", catalogue.REQUEST_BYTES, of_route)
        _Unbound(metrics, self, "response_bytes", catalogue.RESPONSE_BYTES, of_route)
        _Unbound(metrics, self, "input_tokens", catalogue.TOKENS, (*of_model, "input"))
        _Unbound(metrics, self, "output_tokens", catalogue.TOKENS, (*of_model, "output"))

    def count(self, status: int, outcome: Outcome) -> None:
        """One exchange ended; `status` is the one logged (499 when the client left), 0 when there is none."""
        try:
            self._counts[status // 100 * _OUTCOMES + outcome].inc()
        except KeyError:
            self._bind_count(status // 100, outcome).inc()

    def tokens(self, input_tokens: int, output_tokens: int) -> None:
        """Usage as the upstream reported it."""
        self.input_tokens.inc(input_tokens)
        self.output_tokens.inc(output_tokens)

    def error(self, error: ErrorType) -> None:
        """One failure of this type (rule I09)."""
        counter = self._errors.get(error)
        if counter is None:
            platform, route, _, _ = self._labels
            counter = self._errors[error] = self._metrics.counter(catalogue.EXCHANGE_ERRORS).labels(platform, route, error.value)
        counter.inc()

    def _bind_count(self, hundreds: int, outcome: Outcome) -> Counter:
        status = _STATUS_CLASSES[hundreds if 0 < hundreds < len(_STATUS_CLASSES) else 0]
        counter = self._metrics.counter(catalogue.EXCHANGES).labels(*self._labels, status, outcome.label)
        if status != _STATUS_CLASSES[0] or hundreds == 0:  # odd statuses are not remembered: their number has no bound
            self._counts[hundreds * _OUTCOMES + outcome] = counter
        return counter


class UpstreamMetrics:
    """What is counted on the upstream side of one platform. Get it from `Metrics.upstream`.

    Times are seconds, sizes bytes.
    """

    __slots__ = (
        "_cancels",
        "_connects",
        "_metrics",
        "_platform",
        "busy",
        "connect_time",
        "dns_time",
        "idle",
        "insecure",
        "pool_wait",
        "retries",
        "reuses",
        "surplus_bytes",
        "tls_time",
        "unsolicited_bytes",
    )

    busy: Gauge
    idle: Gauge
    insecure: Gauge  # rule K12
    dns_time: Histogram
    connect_time: Histogram
    tls_time: Histogram
    pool_wait: Histogram
    reuses: Counter
    retries: Counter
    unsolicited_bytes: Counter  # rule B17
    surplus_bytes: Counter  # rule B16

    def __init__(self, metrics: "Metrics", platform: str) -> None:
        self._metrics = metrics
        self._platform = platform
        self._connects: dict[str, Counter] = {}
        self._cancels: dict[Phase, Counter] = {}
        own = (platform,)
        _Unbound(metrics, self, "busy", catalogue.POOL, (*own, "busy"))
        _Unbound(metrics, self, "idle", catalogue.POOL, (*own, "idle"))
        _Unbound(metrics, self, "insecure", catalogue.UPSTREAM_INSECURE, own)
        _Unbound(metrics, self, "dns_time", catalogue.DNS_TIME, own)
        _Unbound(metrics, self, "connect_time", catalogue.CONNECT_TIME, own)
        _Unbound(metrics, self, "tls_time", catalogue.TLS_TIME, own)
        _Unbound(metrics, self, "pool_wait", catalogue.POOL_WAIT, own)
        _Unbound(metrics, self, "reuses", catalogue.REUSES, own)
        _Unbound(metrics, self, "retries", catalogue.RETRIES, own)
        _Unbound(metrics, self, "unsolicited_bytes", catalogue.UNSOLICITED, own)
        _Unbound(metrics, self, "surplus_bytes", catalogue.SURPLUS, own)

    def connect(self, error: ErrorType | None = None) -> None:
        """One attempt to open a connection ended: with success, or with this error."""
        result = "ok" if error is None else error.value
        counter = self._connects.get(result)
        if counter is None:
            counter = self._connects[result] = self._metrics.counter(catalogue.CONNECTS).labels(self._platform, result)
        counter.inc()

    def cancel(self, phase: Phase) -> None:
        """One upstream request was cancelled in this phase because the client left."""
        counter = self._cancels.get(phase)
        if counter is None:
            counter = self._cancels[phase] = self._metrics.counter(catalogue.CANCELS).labels(self._platform, phase.value)
        counter.inc()


class Metrics:
    """The metrics of one process.

    `series_limit` is the greatest number of children per family, the overflow child included (rule Q03).
    `registry` is a `prometheus_client` registry over the same numbers; `exposition()` and `exposition_parts()` say the same faster.
    """

    def __init__(self, series_limit: int = 2000) -> None:
        if series_limit < 2:
            raise ValueError(f"series_limit must be at least 2 (one series and the overflow), got {series_limit}")
        self.series_limit = series_limit
        self.bank = Bank(sum(spec.slots * self._limit(spec) for spec in catalogue.ALL))
        self._families: dict[str, AnyFamily] = {spec.name: self._make(spec) for spec in catalogue.ALL}
        self._exchanges: dict[tuple[str, str, str, str], ExchangeMetrics] = {}
        self._upstreams: dict[str, UpstreamMetrics] = {}

        self.parse_errors = self.counter(catalogue.PARSE_ERRORS).labels()
        self.auth_failures = self.counter(catalogue.AUTH_FAILURES).labels()
        self.client_connections = self.gauge(catalogue.CLIENT_CONNECTIONS).labels()
        self.ready = self.gauge(catalogue.READY).labels()
        self.draining = self.gauge(catalogue.DRAINING).labels()
        self.insecure_parser = self.gauge(catalogue.INSECURE_PARSER).labels()
        self.loop_lag = self.histogram(catalogue.LOOP_LAG).labels()
        self.deferred_running = self.gauge(catalogue.DEFERRED_RUNNING).labels()
        self.config_hash = self.gauge(catalogue.CONFIG_HASH).labels()
        self.config_age = self.gauge(catalogue.CONFIG_AGE).labels()
        self.reloads = self.counter(catalogue.RELOADS)
        self.reload_success = self.gauge(catalogue.RELOAD_SUCCESS).labels()
        self.reload_time = self.gauge(catalogue.RELOAD_TIME).labels()
        self._limits: dict[str, Counter] = {}
        self.registry: CollectorRegistry = exposition.registry(self.families)

    def exchange(self, platform: str, route: str, method: str, model: str | None) -> ExchangeMetrics:
        """What to count for exchanges of this route. Pass only names from the configuration; None is a model that is not there."""
        key = (platform, route, method_label(method), model or OTHER)
        bound = self._exchanges.get(key)
        if bound is None:
            if len(self._exchanges) >= self.series_limit - 1:
                self._overflowed(catalogue.EXCHANGES.name)
                key = (OVERFLOW, OVERFLOW, OVERFLOW, OVERFLOW)
            bound = self._exchanges.setdefault(key, ExchangeMetrics(self, *key))
        return bound

    def upstream(self, platform: str) -> UpstreamMetrics:
        """What to count on the upstream side of this platform."""
        bound = self._upstreams.get(platform)
        if bound is None:
            if len(self._upstreams) >= self.series_limit - 1:
                self._overflowed(catalogue.CONNECTS.name)
                platform = OVERFLOW
            bound = self._upstreams.setdefault(platform, UpstreamMetrics(self, platform))
        return bound

    def limit(self, name: str) -> Counter:
        """The counter of a limit or timeout; `name` is a field of `Limits` or `Timeouts`, else ValueError."""
        counter = self._limits.get(name)
        if counter is None:
            if name not in LIMIT_NAMES:
                raise ValueError(f"no limit is named {name!r}; expected a field of Limits or Timeouts")
            counter = self._limits[name] = self.counter(catalogue.LIMIT_HITS).labels(name)
        return counter

    def programs(self, platform: str) -> Gauge:
        """Programs of several steps that run now."""
        return self.gauge(catalogue.PROGRAMS).labels(platform)

    def fetch(self, purpose: str, outcome: str) -> Counter:
        """URLs read; `purpose` is `fetch` (into memory) or `download` (to the client), `outcome` a `FetchOutcome`."""
        return self.counter(catalogue.FETCHES).labels(purpose, outcome)

    def download_bytes(self, platform: str) -> Counter:
        """Bytes of finished work that went from a URL to a client."""
        return self.counter(catalogue.DOWNLOAD_BYTES).labels(platform)

    def deferred(self, platform: str, outcome: str) -> Counter:
        """Deferred calls that ended; `outcome` is a `DeferredOutcome`."""
        return self.counter(catalogue.DEFERRED).labels(platform, outcome)

    def rule_note(self, platform: str, kind: str) -> Counter:
        """What a rule's program met; `kind` is from the closed list of `translators.runtime.steps.Note`."""
        return self.counter(catalogue.RULE_NOTES).labels(platform, kind)

    def log_dropped(self, reason: str) -> Counter:
        """Lost access-log lines; `reason` is `full` or `error`."""
        return self.counter(catalogue.ACCESS_LOG_DROPPED).labels(reason)

    def set_build(self, event_loop: str, parser: str) -> None:
        """Say what runs: `event_loop` is `uvloop` or `asyncio`, `parser` `compiled` or `python`."""
        build = (__version__, python_platform.python_version(), aiohttp.__version__, event_loop, parser)
        self.gauge(catalogue.BUILD_INFO).labels(*build).set(1.0)

    def exposition_parts(self) -> Iterator[bytes]:
        """The text format 0.0.4 in parts; take them with a turn of the loop between, and no scrape holds a stream up."""
        return exposition.parts(self.families)

    def exposition(self) -> bytes:
        """The text format 0.0.4 in one piece."""
        return b"".join(self.exposition_parts())

    @property
    def families(self) -> list[AnyFamily]:
        return list(self._families.values())

    def family(self, spec: Spec) -> AnyFamily:
        return self._families[spec.name]

    def counter(self, spec: Spec) -> Family[Counter]:
        family = self._families[spec.name]
        assert spec.kind is Kind.COUNTER
        return family  # type: ignore[return-value]

    def gauge(self, spec: Spec) -> Family[Gauge]:
        family = self._families[spec.name]
        assert spec.kind is Kind.GAUGE
        return family  # type: ignore[return-value]

    def histogram(self, spec: Spec) -> Family[Histogram]:
        family = self._families[spec.name]
        assert spec.kind is Kind.HISTOGRAM
        return family  # type: ignore[return-value]

    def _make(self, spec: Spec) -> AnyFamily:
        limit = self._limit(spec)
        match spec.kind:
            case Kind.COUNTER:
                return Family(spec, self.bank, Counter, limit, self._overflowed)
            case Kind.GAUGE:
                return Family(spec, self.bank, Gauge, limit, self._overflowed)
            case Kind.HISTOGRAM:
                return Family(spec, self.bank, partial(Histogram, bounds=spec.bounds), limit, self._overflowed)

    def _limit(self, spec: Spec) -> int:
        if spec is catalogue.SERIES_OVERFLOW:
            return len(catalogue.ALL) + 1  # a closed list, and the one family that must never overflow
        return self.series_limit if spec.labels else 1

    def _overflowed(self, metric: str) -> None:
        self.counter(catalogue.SERIES_OVERFLOW).labels(metric).inc()
