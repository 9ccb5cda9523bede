"""An exchange that makes one call of its own: the request is here as a whole, its head is made for it, its answer is the client's.

The call may have to wait for its credential, and may be made again where the rule's `retry` says so, as long as the client has
heard nothing (rule K07).
"""

import asyncio
from time import perf_counter

from proxy.carry.converted import ConvertedExchange
from proxy.carry.downstream import Downstream
from proxy.carry.forming import FormSending
from proxy.carry.replies import reply_headers
from proxy.carry.retrying import pause_before
from proxy.carry.sending import Sending, message
from proxy.outcomes import Phase
from proxy.routing.calls import Work
from proxy.routing.plan import Plan
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.refusal import Refusal
from proxy.wire.response import ResponseHead
from translators.runtime.steps import Call, Conversion, Pieces

_SEND, _WAIT = Phase.SEND, Phase.WAIT  # looked up on its class, each costs 50 ns


class CalledExchange(ConvertedExchange):
    """See the module."""

    __slots__ = ("_attempts", "_message", "_plain", "_raw", "_sending", "_timer")

    def __init__(self, client: Downstream, plan: Plan, request_id: bytes) -> None:
        ConvertedExchange.__init__(self, client, plan, request_id)  # not super(): 0.1 us less
        self._plain = self._raw = b""  # the client's body, without and with its content coding
        self._message: bytes | None = None  # the request, where one write is enough for it
        self._sending: Sending | FormSending | None = None  # one that is larger
        self._attempts = 0  # further ones, that the rule's `retry` has asked for
        self._timer: asyncio.TimerHandle | None = None  # until the next of them

    # -- the call

    def _begin(self, work: Work, call: Call, body: bytes | Pieces | FormSending | None, convert: Conversion | None) -> None:
        """Make the call, with this body, whose answer the client gets. Raises Refusal."""
        credential = work.served.credential
        now, data = 0.0, None
        if credential is not None:
            now = work.served.now()
            if credential.source is not None and credential.source.current(now) is None:
                self._opening = self.client.worker.loop.create_task(self._wait_for_token(work, call, body, convert))
                return
        same = body is self._plain or not (body or self._plain)
        if same:
            body = self._raw
        elif isinstance(body, FormSending):
            same = body.unchanged
        if credential is not None and credential.whole:
            assert not isinstance(body, FormSending)  # `form_limit` saw to it
            data = body if isinstance(body, bytes) else b"".join(body.parts()) if body is not None else b""
        head = work.head(call, same_body=same, converted=convert is not None, data=data, now=now)
        self.method = call.method if self.plan.method != "HEAD" else "HEAD"
        self._convert = convert
        self._as_is = convert is None and work.usage is None and work.retry is None
        self._message = message(call.method, head, body)
        if self._message is None:
            if isinstance(body, FormSending):
                body.head = head
                self._sending = body
            else:
                self._sending = Sending(call.method, head, body, self._was_sent)
        self._connect(fresh=False)

    async def _wait_for_token(
        self, work: Work, call: Call, body: bytes | Pieces | FormSending | None, convert: Conversion | None
    ) -> None:
        credential = work.served.credential
        assert credential is not None
        assert credential.source is not None
        try:
            await credential.source.wait()
            self._opening = None
            self._begin(work, call, body, convert)
        except Refusal as refusal:
            self._opening = None
            self.refuse(refusal)

    def _connect(self, *, fresh: bool) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        got = dispatch.pool.acquire(self, fresh=fresh)
        if isinstance(got, UpstreamConnection):
            self._send(got)
        else:
            self._opening = got

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self._opening = None
        self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self.upstream = connection
        self.reused = connection.reused
        self.phase = _SEND
        if self._message is not None:
            assert connection.transport is not None
            connection.transport.write(self._message)
            connection.sent()
            self._was_sent()
        else:
            assert self._sending is not None
            self._sending.send(connection)
        if not self.overhead:
            self.overhead = perf_counter() - self.started

    def _was_sent(self) -> None:
        self.sent_at = perf_counter()
        self.phase = _WAIT

    def upstream_full(self, full: bool) -> None:
        if not full and self._sending is not None:
            self._sending.room()

    def _send_again(self) -> None:
        self._connect(fresh=True)

    # -- its answer

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        if self._sending is not None:
            self._sending.stop()
        pause = self._pause(head.code, head)
        if pause is not None:
            self._try_later(pause, done)
        else:
            super().response_head(head, body, done)

    def upstream_failed(self, refusal: Refusal, *, silent: bool) -> None:
        if self._sending is not None:
            self._sending.stop()
        pause = self._pause(refusal.status) if not self._begun and self._map is None else None
        if pause is not None:
            self.upstream = self._opening = None
            self._try_later(pause, True)
        else:
            super().upstream_failed(refusal, silent=silent)

    def _pause(self, status: int, head: ResponseHead | None = None) -> float | None:
        """Seconds until the rule's `retry` wants another attempt; None: it wants none. Nothing has gone to the client yet. A form
        that has begun to go up is gone (rule K07)."""
        dispatch = self.dispatch
        retry = dispatch.work.retry if dispatch is not None and dispatch.work is not None else None
        if retry is None or status not in retry.on or (isinstance(self._sending, FormSending) and self._sending.begun):
            return None
        return pause_before(retry, self._attempts, status, reply_headers(head) if head is not None else {})

    def _try_later(self, pause: float, done: bool) -> None:
        """Let this attempt go, and make another one after so many seconds."""
        dispatch = self.dispatch
        assert dispatch is not None
        self._attempts += 1
        dispatch.pool.metrics.retries.inc()
        self._let_go(done)
        self.phase = Phase.POOL
        self._timer = self.client.worker.loop.call_later(pause, self._try_now)

    def _try_now(self) -> None:
        self._timer = None
        self._connect(fresh=False)

    def _let_go(self, done: bool) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None and not done:
            upstream.abort()

    # -- the end

    def _abandon(self) -> None:
        if self._sending is not None:
            self._sending.stop()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        super()._abandon()
