"""What is written down about an exchange when it has ended: metrics and the line of the access log."""

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from proxy.carry.tap import Tap, usage_in
from proxy.outcomes import ErrorType, Outcome, Phase
from proxy.routing.plan import NO_ROUTE, Dispatch, Plan
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.metrics import Metrics
from proxy.wire.refusal import Refusal
from proxy.wire.response import ResponseHead

_PLAIN = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-"
_CLIENT_CLOSED = Outcome.CLIENT_CLOSED  # looked up on its class, it costs 50 ns

# How a deferred call ended: the status of its answer, the outcome, what went wrong, the call's own outcome, bytes of the answer.
Later = Callable[[int, Outcome, ErrorType | None, str, int], None]
_OUTCOMES = {outcome: outcome.label.encode("ascii") for outcome in Outcome}


class Recorded(Protocol):
    """What is written down of an exchange. Times are those of `perf_counter`, 0.0 where something never happened."""

    plan: Plan
    dispatch: Dispatch | None
    request_id: bytes
    started: float
    sent_at: float
    head_at: float
    overhead: float
    counted: bool
    reused: bool
    phase: Phase
    head: ResponseHead | None
    tap: Tap | None
    whole: bytes

    @property
    def peer_bytes(self) -> bytes: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...


class Recorder:
    """Counts and logs exchanges."""

    __slots__ = ("_log", "_metrics")

    def __init__(self, metrics: Metrics, log: AccessLog) -> None:
        self._metrics = metrics
        self._log = log

    def record(self, exchange: Recorded, status: int, outcome: Outcome, refusal: Refusal | None = None) -> None:
        """One exchange ended with this status (499 when the client left) and outcome."""
        duration = perf_counter() - exchange.started
        dispatch, plan = exchange.dispatch, exchange.plan
        tap = exchange.tap
        tokens_in, tokens_out = tap.usage() if tap is not None else usage_in(exchange.whole)
        bytes_in, bytes_out = exchange.bytes_in, exchange.bytes_out
        ttfb = exchange.head_at - exchange.started if exchange.head_at else 0.0
        if dispatch is not None:
            metrics = dispatch.metrics
            if exchange.counted:
                metrics.in_flight.dec()
            metrics.duration.observe(duration)
            metrics.overhead.observe(exchange.overhead)
            if ttfb:
                metrics.first_byte.observe(ttfb)
            if bytes_in:
                metrics.request_bytes.inc(bytes_in)
            if bytes_out:
                metrics.response_bytes.inc(bytes_out)
            if tokens_in or tokens_out:
                metrics.tokens(tokens_in, tokens_out)
        else:
            metrics = self._metrics.exchange(NO_ROUTE, plan.label, plan.method, None)
        metrics.count(status, outcome)
        if refusal is not None:
            metrics.error(refusal.error)
            if refusal.limit is not None:
                self._metrics.limit(refusal.limit).inc()
        if self._log.enabled:
            fixed = dispatch.log_fixed if dispatch is not None else None
            if fixed is None:
                fixed = self._fixed(dispatch, plan)
            more = _more(exchange, outcome, refusal, tokens_in, tokens_out)
            waited = exchange.head_at - exchange.sent_at if ttfb and exchange.sent_at else 0.0
            self._log.write_exchange(
                exchange.request_id,
                exchange.peer_bytes,
                fixed,
                status,
                _OUTCOMES[outcome],
                bytes_in,
                bytes_out,
                (duration * 1e3, ttfb * 1e3, waited * 1e3),
                more,
            )

    def later(self, exchange: Recorded) -> Later:
        """For a call that goes on behind the answer to this request: its line, beside the request's. Holds no exchange."""
        request_id, peer, plan, dispatch = exchange.request_id, exchange.peer_bytes, exchange.plan, exchange.dispatch
        started, bytes_in = exchange.started, exchange.bytes_in

        def ended(status: int, outcome: Outcome, error: ErrorType | None, how: str, bytes_out: int) -> None:
            if self._log.enabled:
                failed = b',"error":"%b"' % error.value.encode("ascii") if error is not None else b""
                more = b',"deferred":"%b"%b' % (how.encode("ascii"), failed)
                times = (perf_counter() - started) * 1e3, 0.0, 0.0
                fixed, label = self._fixed(dispatch, plan), _OUTCOMES[outcome]
                self._log.write_exchange(request_id, peer, fixed, status, label, bytes_in, bytes_out, times, more)

        return ended

    def _fixed(self, dispatch: Dispatch | None, plan: Plan) -> bytes:
        """The part of the line that is the same for every exchange of a dispatch."""
        if dispatch is None:
            return self._log.fixed(plan.method, plan.path, None, plan.label, None)
        dispatch.log_fixed = self._log.fixed(plan.method, plan.path, dispatch.served.platform.name, plan.label, dispatch.model)
        return dispatch.log_fixed


def _more(exchange: Recorded, outcome: Outcome, refusal: Refusal | None, tokens_in: int, tokens_out: int) -> bytes:
    """The fields that not every line has. Everything here is a number or from a closed list, but the upstream's id."""
    head = exchange.head
    more = b""
    if head is not None:
        tokens = b',"tokens_in":%d,"tokens_out":%d' % (tokens_in, tokens_out) if tokens_in or tokens_out else b""
        more = b',"upstream_status":%d%b%b%b' % (
            head.code,
            b"" if head.request_id is None else _upstream_id(head.request_id),
            tokens,
            b',"reused":true' if exchange.reused else b"",
        )
    if refusal is not None:
        more += b',"error":"%b"' % refusal.error.value.encode("ascii")
    if outcome is _CLIENT_CLOSED:
        more += b',"phase":"%b"' % exchange.phase.value.encode("ascii")
    return more


def _upstream_id(text: bytes) -> bytes:
    if len(text) <= 128 and not text.translate(None, _PLAIN):
        return b',"upstream_request_id":"%b"' % text
    return AccessLog.text_field("upstream_request_id", text.decode("latin-1"))
