"""A client connection: finds heads, feeds the exchange, writes its answers, and knows when the client is gone.

One exchange at a time; what a client sends ahead waits in a bounded buffer (rule B20). The protocol owns the socket and the timers
of the client's side; what a request means is decided in `wire` and `table`, what happens to it in `exchange`.
"""

import asyncio
import re
from math import inf
from typing import cast

from proxy.carry.carried import CarriedExchange
from proxy.carry.changed import ChangedExchange, dispatch_of
from proxy.carry.exchange import Exchange
from proxy.carry.handled import HandledExchange
from proxy.carry.upload import Upload
from proxy.carry.worker import Worker
from proxy.net.sockets import reset_on_close
from proxy.net.timers import Timed
from proxy.outcomes import ErrorType, Outcome
from proxy.routing.plan import Plan
from proxy.upstream.connection import TURN
from proxy.wire.answers import render
from proxy.wire.head import check_incomplete
from proxy.wire.refusal import Refusal

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_TIMED_OUT = "The request did not arrive in time."


class ClientConnection(asyncio.Protocol, Timed):
    """See the module. `full` says that the client does not take what was written to it."""

    __slots__ = (
        "_buffer",
        "_closing",
        "_fd",
        "_half_closed",
        "_linger_left",
        "_paused",
        "_plan",
        "_stalled_at",
        "_total_at",
        "_upload_bytes",
        "_upload_since",
        "exchange",
        "full",
        "peer",
        "peer_bytes",
        "transport",
        "worker",
    )

    def __init__(self, worker: Worker) -> None:
        Timed.__init__(self)
        self.worker = worker
        self.transport: asyncio.Transport | None = None
        self.exchange: Exchange | None = None
        self.peer = ""
        self.peer_bytes = b""  # the same for the access log
        self.full = False
        self._fd = -1
        self._buffer = b""
        self._paused = False
        self._plan: Plan | None = None  # of the last head
        self._closing = False
        self._half_closed = False  # the client has sent its FIN and is served all the same
        self._linger_left = 0  # bytes still to be read and thrown away before closing; 0: not lingering
        self._stalled_at = 0  # size of the send buffer when the write stall was last looked at
        self._total_at = inf  # end of the running exchange's time
        self._upload_since = 0.0
        self._upload_bytes = 0

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        worker = self.worker
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=worker.limits.write_buffer)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else "unix"
        self.peer_bytes = self.peer.encode("ascii", "replace")
        sock = transport.get_extra_info("socket")
        self._fd = sock.fileno() if sock is not None else -1
        if not worker.admit(self):
            self._refuse(
                Refusal(
                    503,
                    ErrorType.CONNECTION_LIMIT_REACHED,
                    "too_many_connections",
                    "Too many connections.",
                    limit="client_connections",
                    fields=(("Retry-After", "1"),),
                    close=True,
                )
            )
            return
        worker.wheel.arm(self, worker.wheel.now + worker.timeouts.t_header)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface's shape
        self.transport = None
        self.deadline = inf
        self._plan = None  # a timer may hold the connection for a while: not its whole configuration with it
        if self._paused:
            self.worker.departures.forget(self._fd)
        self.worker.dismiss(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_left()

    def eof_received(self) -> bool:
        """A FIN is a disconnect (rule L04), unless the platform of the running exchange serves half-closed clients."""
        exchange = self.exchange
        if exchange is None or exchange.body_left or exchange.dispatch is None:
            return False
        self._half_closed = exchange.dispatch.served.platform.half_close
        return self._half_closed

    def pause_writing(self) -> None:
        self.full = True
        if self.exchange is not None:
            self.exchange.client_full(True)
        self._watch_stall()

    def resume_writing(self) -> None:
        self.full = False
        if self._closing:
            return  # the timer of the end is running
        self.worker.wheel.arm(self, self._total_at)
        exchange = self.exchange
        if exchange is None:
            self._rest()
        else:
            exchange.client_full(False)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            if self._linger_left:
                self._drain(len(data))
            elif not self._closing:
                self._next(self._buffer + data if self._buffer else data)
        elif exchange.body_left:
            self._upload(exchange, data)
        else:
            self.queue(data)

    # -- requests

    def _next(self, data: bytes) -> None:
        """Begin the next request, if its head is here as a whole."""
        plan = self._plan
        if plan is not None and plan.table is self.worker.table and data.startswith(plan.prefix):
            # Most often a client repeats its head but for the length: no search, no look-up (benchmarks/micro.py).
            start = len(plan.prefix)
            end = data.find(b"\r\n", start, start + 16)
            digits = data[start:end]
            if end > 0 and digits.isdigit() and data.startswith(plan.suffix, end) and (length := int(digits)):
                self._buffer = b""
                self._begin(plan, length, data[end + len(plan.suffix) :])
                return
        if data.startswith(b"\r\n"):  # rule A10
            data = data[_EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]  # it matches
        end = data.find(b"\r\n\r\n")
        try:
            if end < 0:
                self._wait_for_head(data)
                return
            end += 4
            self._buffer = b""
            plan, length = self.worker.plan(data[:end], self.peer)
        except Refusal as refusal:
            self._refuse(refusal, b"" if end < 0 else data[end:])
            return
        self._plan = plan if plan.prefix else None
        self._begin(plan, length, data[end:])

    def _wait_for_head(self, data: bytes) -> None:
        if not data:
            self._buffer = b""
            if self.deadline == inf:
                self._rest()
            return
        check_incomplete(data, self.worker.limits)
        if not self._buffer:
            self.worker.wheel.arm(self, self.worker.wheel.now + self.worker.timeouts.t_header)
        self._buffer = data

    def _begin(self, plan: Plan, length: int, body: bytes) -> None:
        worker = self.worker
        total = worker.timeouts.t_total
        self.deadline = self._total_at = inf
        if total:
            self._total_at = worker.wheel.now + total
            worker.wheel.arm(self, self._total_at)
        dispatch = dispatch_of(plan, length, body) if plan.settled else None
        kind = ChangedExchange if dispatch is not None else HandledExchange if plan.handled else CarriedExchange
        exchange: Exchange = kind(self, plan, plan.request_id or worker.new_id())
        if dispatch is not None:
            exchange.dispatch = dispatch
        self.exchange = exchange
        try:
            exchange.start(length, body)
        except Refusal as refusal:
            self._running(exchange).refuse(refusal)

    def _upload(self, exchange: Exchange, data: bytes) -> None:
        worker = self.worker
        now = worker.wheel.now
        if not self.full:
            self.deadline = now + worker.timeouts.t_body_idle
        self._upload_bytes += len(data)
        elapsed = now - self._upload_since
        rate = worker.timeouts.body_min_rate
        try:
            if rate and elapsed > worker.timeouts.body_rate_grace and self._upload_bytes < rate * elapsed:
                raise _too_slow("body_min_rate")
            exchange.request_data(data)
        except Refusal as refusal:
            self._running(exchange).refuse(refusal)
            return
        if len(data) >= TURN and self.transport is not None:
            # libuv goes on reading as long as there is something; others shall have their turn (benchmarks, W5).
            self.transport.pause_reading()
            worker.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def upload_began(self) -> None:
        """A body is on its way: from now on it must not idle (rule J02)."""
        wheel = self.worker.wheel
        self._upload_since = wheel.now
        self._upload_bytes = 0
        if not self._paused:
            wheel.arm(self, wheel.now + self.worker.timeouts.t_body_idle)

    def upload_ended(self) -> None:
        self.worker.wheel.arm(self, self._total_at)

    def queue(self, data: bytes) -> None:
        """Bytes of later requests: kept, within bounds, until the running exchange has ended."""
        self._buffer += data
        limits = self.worker.limits
        if len(self._buffer) > limits.header_section or self._buffer.count(b"\r\n\r\n") >= limits.pipelined_requests:
            self.pause_reading()

    # -- for the exchange

    def _running(self, begun: Exchange) -> Exchange:
        """The exchange that goes on: the one that was begun, or the one it has handed over to."""
        return begun if self.exchange is None else self.exchange

    def hand_over(self, exchange: CarriedExchange, upload: Upload | None, framed: bytes) -> None:
        """Go on with an exchange that a rule handles."""
        handled = HandledExchange(self, exchange.plan, exchange.request_id)
        self.exchange = handled
        handled.take_over(exchange, upload, framed)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def pause_reading(self) -> None:
        """Stop reading; a watch on the socket notices if the client leaves meanwhile (rule L03)."""
        transport = self.transport
        if transport is None or self._paused or transport.is_closing():
            return
        self._paused = True
        transport.pause_reading()
        if not self.full:
            self.deadline = inf  # the client is not to blame for what we do not read
        exchange = self.exchange
        half_close = exchange is not None and exchange.dispatch is not None and exchange.dispatch.served.platform.half_close
        if self._fd >= 0:
            self.worker.departures.watch(self._fd, self._departed, half_close=half_close)

    def resume_reading(self) -> None:
        transport = self.transport
        if transport is None or not self._paused or transport.is_closing():
            return
        self._paused = False
        self.worker.departures.forget(self._fd)
        transport.resume_reading()
        if self.exchange is not None and self.exchange.body_left:
            self.upload_began()

    def _departed(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def exchange_done(self, *, keep_alive: bool, body_left: bool) -> None:
        """The answer went out whole."""
        self.exchange = None
        if not keep_alive or self._half_closed:
            self._close(linger=body_left)
            return
        if self._buffer:
            self.worker.loop.call_soon(self._continue)
        else:
            self._rest()

    def _continue(self) -> None:
        """Go on with what was sent ahead."""
        if self.transport is None or self.exchange is not None or self._closing:
            return
        data, self._buffer = self._buffer, b""
        self.resume_reading()
        self._next(data)

    def _rest(self) -> None:
        """Idle between requests."""
        worker = self.worker
        if self._closing or self._linger_left:
            return
        deadline = self.deadline = worker.wheel.now + worker.timeouts.t_keepalive
        if deadline < self.slot:
            worker.wheel.arm(self, deadline)

    def answer(self, refusal: Refusal, request_id: bytes, *, body_left: bool) -> None:
        """A local answer ends the exchange. With a body still to come, the connection cannot go on (rule F09)."""
        exchange, self.exchange = self.exchange, None
        plan = exchange.plan if exchange is not None else None
        keep_alive = plan is not None and plan.keep_alive and not (body_left or refusal.close or self.worker.draining)
        self.write(
            render(
                refusal,
                refusal.protocol,
                request_id=request_id,
                pseudonym=self.worker.settings.via,
                close=not keep_alive,
                head_only=plan is not None and plan.method == "HEAD",
            )
        )
        if not keep_alive:
            self._close(linger=True)
        elif self._buffer:
            self.worker.loop.call_soon(self._continue)
        else:
            self._rest()

    def cut(self, last_words: bytes, *, reset: bool) -> None:
        """End an answer that broke off: the last words, then a close that no reader takes for an end (rules I05, I06)."""
        self.exchange = None
        self.write(last_words)
        transport = self.transport
        if transport is None:
            return
        if reset:
            reset_on_close(transport)
            transport.abort()
        else:
            self._close(linger=False)

    # -- the end

    def _refuse(self, refusal: Refusal, rest: bytes = b"") -> None:
        """A local answer to a head that never became an exchange; `rest` came behind it."""
        worker = self.worker
        request_id = refusal.request_id or worker.new_id()
        worker.note_refusal(refusal, request_id, self.peer)
        keep_alive = not (refusal.close or worker.draining)
        self.write(
            render(
                refusal,
                refusal.protocol,
                request_id=request_id,
                pseudonym=worker.settings.via,
                close=not keep_alive,
                head_only=refusal.head_only,
            )
        )
        if not keep_alive:
            self._close(linger=True)
        elif rest:
            self._buffer = rest
            worker.loop.call_soon(self._continue)
        else:
            self._rest()

    def _close(self, *, linger: bool) -> None:
        """Close once everything was written. With `linger`, first read what the client still sends, within bounds."""
        transport = self.transport
        if transport is None:
            return
        self._closing = True
        self._buffer = b""
        worker = self.worker
        if linger and worker.limits.linger_bytes and not transport.is_closing():
            self._linger_left = worker.limits.linger_bytes
            self.resume_reading()
            try:
                if transport.can_write_eof():
                    transport.write_eof()
            except OSError:  # the client has reset the connection, and the loop has not looked yet
                transport.abort()
                return
            worker.wheel.arm(self, worker.wheel.now + worker.timeouts.t_linger)
            return
        transport.close()
        if transport.get_write_buffer_size():
            self._watch_stall()

    def _drain(self, size: int) -> None:
        self._linger_left -= size
        if self._linger_left <= 0:
            self._linger_left = 0
            self._abort()

    def _watch_stall(self) -> None:
        if self.transport is not None:
            self._stalled_at = self.transport.get_write_buffer_size()
            self.worker.wheel.arm(self, self.worker.wheel.now + self.worker.timeouts.t_write_stall)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def close_idle(self) -> None:
        """Close if no exchange is running and none has begun to arrive (rule M01)."""
        if self.exchange is None and not self._buffer and not self._closing and self.transport is not None:
            self._close(linger=False)

    def close_now(self) -> None:
        """The shutdown has waited long enough."""
        if self.exchange is not None:
            self.exchange.refuse(
                Refusal(
                    503,
                    ErrorType.PROXY_INTERNAL_RESPONSE,
                    "shutting_down",
                    "The gateway is shutting down.",
                    limit="t_drain",
                    fields=(("Retry-After", "1"),),
                    close=True,
                ),
                Outcome.DRAINED,
            )
        if self.transport is not None and not self._closing:
            self._close(linger=False)

    def on_deadline(self) -> None:
        exchange = self.exchange
        transport = self.transport
        if transport is None:
            return
        if self.full or self._closing:
            self._check_stall(transport)
        elif exchange is None:
            if self._buffer:
                self._refuse(_too_slow("t_header"))
            else:
                self._close(linger=False)
        elif exchange.body_left and not self._paused:
            exchange.refuse(_too_slow("t_body_idle"))
        else:
            exchange.refuse(
                Refusal(
                    504,
                    ErrorType.HTTP_RESPONSE_TIMEOUT,
                    "total_timeout",
                    "It took too long.",
                    limit="t_total",
                    close=True,
                )
            )

    def _check_stall(self, transport: asyncio.Transport) -> None:
        """No progress in writing to the client since the last look (rule J02)."""
        size = transport.get_write_buffer_size()
        if self._linger_left or size >= self._stalled_at:
            if size:
                self.worker.metrics.limit("t_write_stall").inc()
            transport.abort()
        else:
            self._watch_stall()


def _too_slow(limit: str) -> Refusal:
    return Refusal(408, ErrorType.HTTP_REQUEST_ERROR, "request_timeout", _TIMED_OUT, limit=limit, close=True)
