"""One connection to an upstream.

It serves one exchange at a time, seen here only through `Consumer`; where it came from and goes back to is its `Home`. It reads the
answer's head, follows the framing of its body and hands every read on in the same callback.
"""

import asyncio
import select
from enum import IntEnum
from math import inf
from typing import Protocol, cast

from proxy.net.sockets import ended_cleanly
from proxy.net.timers import Timed, Wheel
from proxy.outcomes import ErrorType, Phase
from proxy.settings import Limits
from proxy.telemetry.metrics import UpstreamMetrics
from proxy.wire.fields import bodyless
from proxy.wire.framing import ChunkedReader, FramingError
from proxy.wire.head import CHUNKED
from proxy.wire.refusal import Refusal, bad_response
from proxy.wire.response import UNTIL_CLOSE, ResponseHead, ResponseReader


class Consumer(Protocol):
    """The exchange, as its upstream connection sees it."""

    method: str
    phase: Phase

    def upstream_ready(self, connection: "UpstreamConnection") -> None:
        """A connection that had to be waited for is there."""

    def upstream_failed(self, refusal: Refusal, *, silent: bool) -> None:
        """No answer, or no more of it; `silent` when not one byte of it was read."""

    def interim_response(self, head: ResponseHead) -> None:
        """A 1xx answer other than 100 and 101."""

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The final head with the body bytes that came with it, framed as received."""

    def response_body(self, data: bytes, done: bool) -> None:
        """Further body bytes, framed as received."""

    def upstream_full(self, full: bool) -> None:
        """The connection's send buffer is above its high-water mark, or below its low one again."""


class Home(Protocol):
    """The pool, as its connections see it."""

    wheel: Wheel
    limits: Limits
    reader: ResponseReader
    metrics: UpstreamMetrics
    t_between_bytes: float
    t_first_byte: float
    t_write_stall: float

    def put(self, connection: "UpstreamConnection") -> bool:
        """Take back an idle connection; False if it is not wanted any more."""

    def forget(self, connection: "UpstreamConnection") -> None:
        """A connection is gone."""


TURN = 64 * 1024  # a read of this size ends a connection's turn


class State(IntEnum):
    IDLE = 0
    WAIT = 1  # a request was handed over, no complete head yet
    BODY = 2
    CLOSED = 3


# Looked up on its class, each of these costs 50 ns.
IDLE, _WAIT, _BODY = State.IDLE, State.WAIT, State.BODY


class UpstreamConnection(asyncio.Protocol, Timed):
    """One connection. `request_sent` is set by the consumer once the whole request was handed over."""

    __slots__ = (
        "_buffer",
        "_eof",
        "_interims",
        "_keep",
        "_left",
        "_poll",
        "born",
        "consumer",
        "full",
        "idle_since",
        "paused",
        "pool",
        "reader",
        "request_sent",
        "reused",
        "state",
        "transport",
    )

    def __init__(self, pool: Home) -> None:
        Timed.__init__(self)
        self.pool = pool
        self.transport: asyncio.Transport | None = None
        self.consumer: Consumer | None = None
        self.state = IDLE
        self.born = self.idle_since = pool.wheel.now
        self.reused = False
        self.request_sent = False
        self.paused = False
        self.full = False  # the send buffer is above its high-water mark
        self._buffer = b""
        self._left = 0
        self.reader: ChunkedReader | None = None  # follows the framing of a chunked answer
        self._keep = True
        self._interims = 0
        self._eof = False
        self._poll: select.poll | None = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self.pool.limits.write_buffer)
        fd = transport.get_extra_info("socket")
        if fd is not None:
            self._poll = select.poll()
            self._poll.register(fd.fileno(), select.POLLIN | select.POLLRDHUP)

    def pause_writing(self) -> None:
        self.full = True
        if self.consumer is not None:
            if self.state is State.WAIT and not self.request_sent:
                self.pool.wheel.arm(self, self.pool.wheel.now + self.pool.t_write_stall)
            self.consumer.upstream_full(True)

    def resume_writing(self) -> None:
        self.full = False
        if self.consumer is not None:
            if self.state is State.WAIT and not self.request_sent:
                self.deadline = inf
            self.consumer.upstream_full(False)

    def eof_received(self) -> None:
        self._eof = self.transport is not None and ended_cleanly(self.transport)  # rule I08

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        state, self.state = self.state, State.CLOSED
        self.deadline = inf
        consumer, self.consumer = self.consumer, None
        self.pool.forget(self)
        if consumer is None:
            return
        if state is State.BODY:
            if self._left == UNTIL_CLOSE and self._eof and exc is None:
                consumer.response_body(b"", True)
                return
            refusal = bad_response(ErrorType.HTTP_RESPONSE_INCOMPLETE, "upstream_cut", "The upstream's answer broke off.")
        else:
            refusal = bad_response(
                ErrorType.CONNECTION_TERMINATED, "upstream_closed", "The upstream closed the connection without an answer."
            )
        consumer.upstream_failed(refusal, silent=state is State.WAIT and not (self._buffer or self._interims))

    def data_received(self, data: bytes) -> None:
        state = self.state
        if len(data) >= TURN and self.transport is not None:
            # libuv goes on reading as long as there is something; others shall have their turn (benchmarks, W5).
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)
        if state is _BODY:
            self.deadline = self.pool.wheel.now + self.pool.t_between_bytes
            left = self._left
            if left == CHUNKED:
                self._chunked(data)
            elif left == UNTIL_CLOSE:
                self.consumer.response_body(data, False)  # type: ignore[union-attr]  # BODY has a consumer
            elif len(data) < left:
                self._left = left - len(data)
                self.consumer.response_body(data, False)  # type: ignore[union-attr]
            else:
                self._end(data[:left], data[left:])
        elif state is _WAIT:
            self._head(self._buffer + data if self._buffer else data)
        elif state is State.IDLE:
            self.pool.metrics.unsolicited_bytes.inc(len(data))  # nobody asked for these bytes; nobody gets them (rule B17)
            self.abort()

    def _next_turn(self) -> None:
        if not self.paused and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # -- timers

    def on_deadline(self) -> None:
        consumer = self.consumer
        if consumer is None:
            return
        if self.state is State.WAIT and not self.request_sent:
            refusal = Refusal(
                504,
                ErrorType.CONNECTION_TIMEOUT,
                "upstream_stalled",
                "The upstream stopped reading the request.",
                limit="t_write_stall",
            )
        elif self.state is State.WAIT:
            refusal = Refusal(
                504,
                ErrorType.HTTP_RESPONSE_TIMEOUT,
                "upstream_timeout",
                "The upstream did not answer in time.",
                limit="t_first_byte",
            )
        else:
            refusal = Refusal(
                504,
                ErrorType.CONNECTION_READ_TIMEOUT,
                "upstream_stalled",
                "The upstream stopped in the middle of its answer.",
                limit="t_between_bytes",
            )
        self.abort()
        consumer.upstream_failed(refusal, silent=False)

    # -- for the consumer

    def begin(self, consumer: Consumer) -> None:
        """Serve this consumer from now on."""
        self.consumer = consumer
        self.state = _WAIT
        self.request_sent = False
        self.reader = None
        self._interims = 0
        self._keep = True

    def sent(self) -> None:
        """The whole request was handed over: wait for the answer."""
        self.request_sent = True
        wheel = self.pool.wheel
        deadline = self.deadline = wheel.now + self.pool.t_first_byte
        if deadline < self.slot:
            wheel.arm(self, deadline)

    def pause(self) -> None:
        """Read no further for now; the upstream is not to blame for what does not come (rule J04)."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            self.paused = True
            self.deadline = inf

    def resume(self) -> None:
        if self.paused and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.paused = False
            pool = self.pool
            if self.state is State.BODY:
                pool.wheel.arm(self, pool.wheel.now + pool.t_between_bytes)
            elif self.request_sent:
                pool.wheel.arm(self, pool.wheel.now + pool.t_first_byte)

    def abort(self) -> None:
        """Close at once and forget the exchange; the connection is never used again (rules B11, L05)."""
        self.consumer = None
        self.state = State.CLOSED
        self.deadline = inf
        self.pool.forget(self)
        if self.transport is not None:
            self.transport.abort()

    def usable(self) -> bool:
        """Whether the next request may go over this idle connection: it is open and has nothing unread (rule K03).

        The kernel is asked, because bytes or a FIN may have come that the loop has not looked at yet.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    # -- reading the answer

    def _head(self, data: bytes) -> None:
        pool = self.pool
        consumer = self.consumer
        assert consumer is not None
        try:
            while True:
                end = data.find(b"\r\n\r\n")
                if end < 0:
                    self._buffer = data
                    self._check_partial_head(data)
                    return
                end += 4
                head = pool.reader.read(data[:end], pool.limits)
                data = data[end:]
                if head.code >= 200:
                    break
                self._interim(head, consumer)
                if not data:
                    self._buffer = b""
                    return
        except Refusal as refusal:
            self._fail(refusal)
            return
        self._buffer = b""
        self._keep = head.keep_alive
        self._begin_body(head, data, consumer)

    def _check_partial_head(self, data: bytes) -> None:
        if len(data) > self.pool.limits.response_header_section:
            raise bad_response(
                ErrorType.HTTP_RESPONSE_HEADER_SECTION_SIZE,
                "response_header_section_too_large",
                "The upstream's header section is too large.",
                limit="response_header_section",
            )
        if not b"HTTP/1.".startswith(data[:7]) or data.count(b"\n") != data.count(b"\r\n"):
            raise bad_response(ErrorType.HTTP_PROTOCOL_ERROR, "bad_response", "The upstream's answer is not valid HTTP/1.1.")

    def _interim(self, head: ResponseHead, consumer: Consumer) -> None:
        self._interims += 1
        if head.code == 101 or self._interims > self.pool.limits.interim_responses:
            raise bad_response(
                ErrorType.HTTP_PROTOCOL_ERROR, "bad_interim_response", "The upstream sent interim answers nobody asked for."
            )
        if head.code != 100:
            consumer.interim_response(head)

    def _begin_body(self, head: ResponseHead, data: bytes, consumer: Consumer) -> None:
        length = 0 if bodyless(head.code, consumer.method) else head.length
        self.state = _BODY
        self._left = length
        if length == CHUNKED:
            self.reader = reader = ChunkedReader(self.pool.limits.header_section)
            try:
                body = reader.feed(data) if data else b""
            except FramingError:
                self._fail(_bad_chunks())
                return
            if reader.done:
                self._release(reader.rest)
            consumer.response_head(head, body, reader.done)
        elif length == UNTIL_CLOSE:
            self._keep = False
            consumer.response_head(head, data, False)
        elif len(data) >= length:
            self._release(data[length:])
            consumer.response_head(head, data[:length], True)
            return
        else:
            self._left = length - len(data)
            consumer.response_head(head, data, False)
        if self.state is State.BODY and not self.paused:
            self.pool.wheel.arm(self, self.pool.wheel.now + self.pool.t_between_bytes)

    def _chunked(self, data: bytes) -> None:
        reader = self.reader
        consumer = self.consumer
        assert reader is not None
        assert consumer is not None
        try:
            body = reader.feed(data)
        except FramingError:
            self._fail(_bad_chunks())
            return
        if reader.done:
            self._end(body, reader.rest)
        elif body:
            consumer.response_body(body, False)

    def _end(self, data: bytes, surplus: bytes) -> None:
        consumer = self.consumer
        assert consumer is not None
        self._release(surplus)
        consumer.response_body(data, True)

    @property
    def between_chunks(self) -> bool:
        """Whether what was handed on so far ends between two chunks, so that another chunk could follow."""
        return self.reader is not None and self.reader.between

    def _fail(self, refusal: Refusal) -> None:
        consumer = self.consumer
        self.abort()
        if consumer is not None:
            consumer.upstream_failed(refusal, silent=False)

    def _release(self, surplus: bytes) -> None:
        """The answer was read whole: back to the pool if nothing speaks against it (rule K08)."""
        self.consumer = None
        self.deadline = inf
        transport = self.transport
        if surplus:
            self.pool.metrics.surplus_bytes.inc(len(surplus))
        if (
            transport is None
            or surplus
            or self._eof
            or not self._keep
            or not self.request_sent
            or transport.get_write_buffer_size()
            or not self.pool.put(self)
        ):
            self.abort()


def _bad_chunks() -> Refusal:
    return bad_response(
        ErrorType.HTTP_RESPONSE_TRANSFER_CODING, "bad_response_framing", "The upstream's chunked framing is broken."
    )
