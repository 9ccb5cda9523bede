"""A small request that is here as a whole, and of which the rule changes the body and nothing else.

The commonest of what `handled` can do, without what the rest of it needs: one write sends it, its answer is carried. Whatever is
not as plain as that goes the long way; what comes out is the same (5 us of 20 less, benchmarks/micro.py).
"""

from time import perf_counter

from proxy.carry.exchange import Exchange
from proxy.carry.gathering import too_large_to_hold
from proxy.carry.refusals import raised
from proxy.carry.sending import SLICE, message
from proxy.carry.upload import PEEK
from proxy.outcomes import Phase
from proxy.routing.plan import Dispatch, Plan
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.model import DuplicateModelError, peek_json
from proxy.wire.refusal import Refusal

_WAIT = Phase.WAIT  # looked up on its class, it costs 50 ns
_ROOM = SLICE // 2  # a body up to this size is small enough for one write, whatever a rule adds


def dispatch_of(plan: Plan, length: int, body: bytes) -> Dispatch | None:
    """Where this request goes, if it is as plain as that; `plan.settled` says that another of its head was."""
    if not 0 < length <= _ROOM or len(body) < length or plan.coding:
        return None
    dispatch = plan.dispatch
    if dispatch is None:
        if not plan.json_type or length > PEEK:
            return None
        try:
            dispatch = plan.for_model(peek_json(body if len(body) == length else body[:length]))
        except (DuplicateModelError, Refusal):
            return None  # the long way says why not
    work = dispatch.work
    return dispatch if work is not None and work.plain and work.standing is not None and work.standing.settled else None


class ChangedExchange(Exchange):
    """See the module."""

    __slots__ = ("_message",)

    def start(self, length: int, body: bytes) -> None:
        if len(body) > length:
            self.client.queue(body[length:])
            body = body[:length]
        self._bytes_in = length
        dispatch = self.dispatch
        assert dispatch is not None  # it came from `dispatch_of`, which looked for all of these
        work = dispatch.work
        assert work is not None
        assert work.prepared is not None
        assert work.standing is not None
        if length > work.body_limit:
            raise too_large_to_hold()
        self.counted = True
        dispatch.metrics.in_flight.inc()
        try:
            call, data, _ = work.prepared.call(work.standing, body)
        except Exception as error:
            raise raised(error) from None
        head = work.head(call, same_body=data is body, converted=False, data=None, now=0.0)
        self.method = call.method
        data = data or b""
        # a template may hold more than what is usually written at once
        self._message = message(call.method, head, data) or b"%bContent-Length: %d\r\n\r\n%b" % (head, len(data), data)
        self._connect(fresh=False)

    def _connect(self, *, fresh: bool) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        got = dispatch.pool.acquire(self, fresh=fresh)
        if isinstance(got, UpstreamConnection):
            self.upstream_ready(got)
        else:
            self._opening = got

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self._opening = None
        self.upstream = connection
        self.reused = connection.reused
        assert connection.transport is not None
        connection.transport.write(self._message)
        connection.sent()
        self.sent_at = now = perf_counter()
        self.phase = _WAIT
        if not self.overhead:
            self.overhead = now - self.started

    def upstream_full(self, full: bool) -> None:
        """Nothing more will be written."""

    def _send_again(self) -> None:
        self._connect(fresh=True)
