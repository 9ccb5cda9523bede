"""One carried exchange: a request goes up, an answer comes down, the bytes of both bodies untouched.

The exchange stands between a client connection and an upstream connection and is called by both; it owns no socket, makes no task
and queues nothing but what must wait for a connection or for the model's name. Each callback passes on what it was given before it
returns. Answers are framed in one of four ways, chosen once per answer:

    VERBATIM   the upstream's framing goes on as it is
    ENCHUNK    the upstream marks the end by closing (or must not announce a length): each read becomes a chunk
    DECHUNK    an HTTP/1.0 client cannot read chunks: only the data goes on
    RAW        the end of the connection is the end of the body, on both sides
"""

import asyncio
from enum import IntEnum
from time import perf_counter
from typing import TYPE_CHECKING

from proxy.table import Dispatch, Plan
from proxy.tap import Tap
from proxy.telemetry.access_log import AccessRecord
from proxy.telemetry.outcomes import ErrorType, Outcome, Phase
from proxy.upstream import UpstreamConnection
from proxy.wire.answers import error_event
from proxy.wire.fields import bodyless, response_lines
from proxy.wire.framing import ChunkedReader, FramingError
from proxy.wire.head import CHUNKED, UNTIL_CLOSE, ResponseHead
from proxy.wire.model import DuplicateModelError, ModelFinder, finder_for, peek_json
from proxy.wire.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from proxy.client import ClientConnection

_PEEK = 64 * 1024  # a complete body up to this size is looked into for the model
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})  # rule K06
_CLIENT_LEFT = 499
_LENGTH = frozenset((b"content-length",))
_CODING = frozenset((b"transfer-encoding",))
_BOTH = _LENGTH | _CODING
_NONE: frozenset[bytes] = frozenset()


class Framing(IntEnum):
    VERBATIM = 0
    ENCHUNK = 1
    DECHUNK = 2
    RAW = 3


class Exchange:
    """See the module. `body_left` is what the client still has to send: a count, CHUNKED, or 0."""

    __slots__ = (
        "_answered",
        "_code",
        "_counted",
        "_discard",
        "_event_stream",
        "_finder",
        "_framing",
        "_held",
        "_held_bytes",
        "_keep_alive",
        "_last_chunk",
        "_opening",
        "_overhead",
        "_payload",
        "_reader",
        "_request_bytes",
        "_response_bytes",
        "_retried",
        "_sent_at",
        "_started",
        "_tap",
        "_ttfb",
        "_upstream_id",
        "body_left",
        "client",
        "dispatch",
        "method",
        "phase",
        "plan",
        "request_id",
        "upstream",
    )

    def __init__(self, client: "ClientConnection", plan: Plan, length: int, request_id: str) -> None:
        self.client = client
        self.plan = plan
        self.method = plan.method
        self.request_id = request_id
        self.phase = Phase.POOL
        self.dispatch: Dispatch | None = plan.dispatch
        self.upstream: UpstreamConnection | None = None
        self.body_left = length
        self._reader: ChunkedReader | None = None
        self._finder: ModelFinder | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._discard = False
        self._opening: asyncio.Task[None] | None = None
        self._retried = False
        self._answered = False  # the answer's head has gone out
        self._framing = Framing.VERBATIM
        self._payload: ChunkedReader | None = None
        self._keep_alive = plan.keep_alive
        self._event_stream = False
        self._tap: Tap | None = None
        self._code = 0
        self._counted = False  # among those in flight
        self._upstream_id: str | None = None
        self._request_bytes = 0
        self._response_bytes = 0
        self._started = perf_counter()
        self._sent_at = 0.0
        self._overhead = 0.0
        self._ttfb = 0.0
        self._last_chunk = 0.0

    # -- the request

    def start(self, body: bytes) -> bytes:
        """Begin with the bytes that came behind the head; returns those that belong to the next request. Raises Refusal."""
        plan = self.plan
        length = self.body_left
        rest = b""
        framed = body
        if length == CHUNKED:
            self._reader = ChunkedReader(self.client.server.limits.header_section)
            if plan.needs_model:
                self._reader.payload = []
            framed, rest = self._read_chunks(body) if body else (b"", b"")
        elif length:
            limit = plan_limit(plan, self)
            if limit and length > limit:
                raise _too_large()
            if len(body) >= length:
                framed, rest = body[:length], body[length:]
                self.body_left = 0
            else:
                self.body_left = length - len(body)
        elif body:
            framed, rest = b"", body
        self._request_bytes = len(framed)
        if self.body_left and plan.expect_continue and not body:
            self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._find_dispatch(framed)
        if self.dispatch is not None:
            self._connect(framed)
        if self.body_left:
            self.client.upload_began()
        return rest

    def _find_dispatch(self, framed: bytes) -> None:
        """Read the model where something depends on it; without it, the bytes wait."""
        plan = self.plan
        if self.dispatch is not None:
            return
        complete = not self.body_left
        try:
            if complete and self._reader is None and len(framed) <= _PEEK and _may_be_json(plan):
                self.dispatch = plan.for_model(peek_json(framed))
            elif not plan.needs_model:
                self.dispatch = plan.for_model(None)
            else:
                self._finder = finder_for(plan.content_type, compressed=plan.compressed)
                self._look_for_model(framed)
        except DuplicateModelError:
            raise _twice() from None

    def _look_for_model(self, framed: bytes) -> None:
        """Feed the finder; at its answer, or at the body's end, the dispatch is known."""
        finder = self._finder
        assert finder is not None
        found = False
        reader = self._reader
        if reader is None:
            found = finder.feed(framed)
        elif reader.payload:
            pieces, reader.payload = reader.payload, []
            found = any(finder.feed(piece) for piece in pieces)
        if found or not self.body_left:
            self._finder = None
            if reader is not None:
                reader.payload = None
            self.dispatch = self.plan.for_model(finder.model)
        elif framed:
            self._hold(framed)

    def _hold(self, framed: bytes) -> None:
        """Keep bytes until they can be sent. Bounded per exchange and per process."""
        self._held.append(framed)
        self._held_bytes += len(framed)
        self.client.server.hold(len(framed))
        if self._held_bytes > self.client.server.limits.buffered_body:
            raise Refusal(
                413,
                ErrorType.HTTP_REQUEST_ERROR,
                "model_too_late",
                "The request's model stands too far back to be looked for; send it in a ModelName header or call /{platform}/....",
                limit="buffered_body",
                close=True,
            )

    def _release_held(self) -> None:
        if self._held_bytes:
            self.client.server.hold(-self._held_bytes)
            self._held_bytes = 0
        self._held = []

    def _connect(self, framed: bytes, *, fresh: bool = False) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        if not self._counted:
            self._counted = True
            dispatch.metrics.in_flight.inc()
        got = dispatch.pool.acquire(self, fresh=fresh)
        if isinstance(got, UpstreamConnection):
            self._send(got, framed)
        else:
            self._opening = got
            if framed:
                self._hold(framed)
            if self.body_left:
                self.client.pause_reading()

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self._opening = None
        self._send(connection, b"")
        if self.body_left:
            self.client.resume_reading()

    def _send(self, connection: UpstreamConnection, framed: bytes) -> None:
        """The head and all of the body that is here, in one write."""
        dispatch = self.dispatch
        transport = connection.transport
        assert dispatch is not None
        assert transport is not None
        self.upstream = connection
        self.phase = Phase.SEND
        if self._held:
            framed = b"".join((*self._held, framed))
            self._release_held()
        plan = self.plan
        if self._reader is not None:
            transport.write(b"%bTransfer-Encoding: chunked\r\n\r\n%b" % (dispatch.head, framed))
        elif self.body_left or framed:
            transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (dispatch.head, self.body_left + len(framed), framed))
        else:
            transport.write(b"%b%b\r\n" % (dispatch.head, plan.default_length_line))
        now = perf_counter()
        if not self._overhead:
            self._overhead = now - self._started
        if not self.body_left:
            self._sent_at = now
            self.phase = Phase.WAIT
            connection.sent()

    def request_data(self, data: bytes) -> bytes:
        """Further body bytes; returns those of the next request. Raises Refusal."""
        rest = b""
        if self._reader is not None:
            data, rest = self._read_chunks(data)
        elif len(data) >= self.body_left:
            data, rest = data[: self.body_left], data[self.body_left :]
            self.body_left = 0
        else:
            self.body_left -= len(data)
        self._request_bytes += len(data)
        if self._finder is not None:
            self._look_for_model(data)
            if self.dispatch is not None:
                self._connect(data)
        elif self._discard:
            pass  # the answer is already on its way (rule F10)
        elif self.upstream is not None:
            self._forward(data)
        else:
            self._hold(data)
        if not self.body_left:
            self.client.upload_ended()
        return rest

    def _forward(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is None or upstream.transport is None:
            return
        if data:
            upstream.transport.write(data)
        if not self.body_left:
            self._sent_at = perf_counter()
            self.phase = Phase.WAIT
            upstream.sent()

    def _read_chunks(self, data: bytes) -> tuple[bytes, bytes]:
        reader = self._reader
        assert reader is not None
        try:
            framed = reader.feed(data)
        except FramingError:
            raise bad_request("bad_chunk", "The request body's chunked framing is broken.") from None
        limit = plan_limit(self.plan, self)
        if limit and reader.total > limit:
            raise _too_large()
        self.body_left = 0 if reader.done else CHUNKED
        return framed, reader.rest

    def upstream_full(self, full: bool) -> None:
        """Backpressure of the upload (rule F07)."""
        if not self.body_left or self._discard:
            return
        if full:
            self.client.pause_reading()
        else:
            self.client.resume_reading()

    # -- the answer

    def interim_response(self, head: ResponseHead) -> None:
        dispatch = self.dispatch
        if dispatch is not None and head.code == 103 and dispatch.served.platform.early_hints and not self.plan.http10:
            self.client.write(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % response_lines(head, set_cookie=False))

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        arrived = perf_counter()
        upstream = self.upstream
        if self.body_left or (upstream is not None and not upstream.request_sent):
            self._discard = True  # the upstream has made up its mind: what is not sent yet is not wanted (rule F10)
            self._keep_alive = False
            self.client.pause_reading()
        self.phase = Phase.RECEIVE
        self._code = head.code
        self._answered = True
        self._event_stream = head.event_stream
        self._ttfb = arrived
        if head.event_stream or not done or body:
            self._tap = Tap(stream=head.event_stream)
        client = self.client
        if done:
            self.upstream = None
            upstream = None
        client.write(self._head_bytes(head) + (self._framed(body) if body else b""))
        if body:
            self._saw(body, arrived)
        self._overhead += perf_counter() - arrived
        if done:
            self._end()
        elif client.full and upstream is not None:
            upstream.pause()

    def _head_bytes(self, head: ResponseHead) -> bytes:
        """The answer's head for the client, and the choice of its framing."""
        plan, client = self.plan, self.client
        dispatch = self.dispatch
        assert dispatch is not None
        drop, extra = self._choose_framing(head)
        lines = [
            b"HTTP/1.1 %d %b\r\n" % (head.code, head.reason),
            response_lines(head, set_cookie=dispatch.served.platform.set_cookie, drop=drop),
            extra,
        ]
        names = head.names
        if b"date" not in names:
            lines.append(b"Date: %b\r\n" % client.server.wheel.date)
        if b"x-request-id" not in names:
            lines.append(b"x-request-id: %b\r\n" % self.request_id.encode("ascii"))
        else:
            self._upstream_id = (head.value(b"x-request-id") or b"").decode("latin-1")
        if head.event_stream:
            if b"cache-control" not in names:
                lines.append(b"Cache-Control: no-cache\r\n")
            if b"x-accel-buffering" not in names:
                lines.append(b"X-Accel-Buffering: no\r\n")
        if self._keep_alive and client.server.draining:
            self._keep_alive = False
        if not self._keep_alive and (plan.keep_alive or plan.http10 or self._framing is Framing.RAW):
            lines.append(b"Connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _choose_framing(self, head: ResponseHead) -> tuple[frozenset[bytes], bytes]:
        """Sets the framing; returns the framing fields to leave out and those to add (rules E03, E07, I06)."""
        http10 = self.plan.http10
        if bodyless(head.code, self.method):
            if head.code == 205:
                return _BOTH, b"Content-Length: 0\r\n"
            return (_BOTH if head.code == 204 else _CODING if http10 else _NONE), b""
        if head.length == UNTIL_CLOSE:
            self._framing = Framing.RAW if http10 else Framing.ENCHUNK
        elif head.length == CHUNKED:
            self._framing = Framing.DECHUNK if http10 else Framing.VERBATIM
        elif head.event_stream:
            self._framing = Framing.RAW if http10 else Framing.ENCHUNK
        if self._framing is Framing.VERBATIM:
            return _NONE, b""
        if self._framing is Framing.ENCHUNK:
            return _BOTH, b"Transfer-Encoding: chunked\r\n"
        if self._framing is Framing.DECHUNK:
            self._payload = ChunkedReader()
        self._keep_alive = False
        return _BOTH, b""

    def _framed(self, data: bytes) -> bytes:
        framing = self._framing
        if framing is Framing.VERBATIM or framing is Framing.RAW:
            return data
        if framing is Framing.ENCHUNK:
            return b"%x\r\n%b\r\n" % (len(data), data)
        reader = self._payload
        assert reader is not None
        pieces: list[bytes] = []
        reader.payload = pieces
        reader.feed(data)
        return b"".join(pieces)

    def response_body(self, data: bytes, done: bool) -> None:
        if data:
            self.client.write(data if self._framing is Framing.VERBATIM else self._framed(data))
            self._saw(data, perf_counter())
        if done:
            self.upstream = None
            self._end()

    def _saw(self, data: bytes, now: float) -> None:
        """After a write: what the metrics want to know."""
        self._response_bytes += len(data)
        if self._tap is not None:
            self._tap.feed(data)
        if self._event_stream and self.dispatch is not None:
            if self._last_chunk:
                self.dispatch.metrics.chunk_gap.observe(now - self._last_chunk)
            else:
                self.dispatch.metrics.first_chunk.observe(now - self._started)
            self._last_chunk = now

    def _end(self) -> None:
        if self._framing is Framing.ENCHUNK:
            self.client.write(b"0\r\n\r\n")
        self._record(self._code, Outcome.UPSTREAM_ERROR if self._code >= 400 else Outcome.OK)
        self.client.exchange_done(keep_alive=self._keep_alive and not self.body_left)

    # -- failures

    def upstream_failed(self, refusal: Refusal, *, silent: bool) -> None:
        upstream, self.upstream = self.upstream, None
        self._opening = None
        if self._answered:
            self._cut(refusal, chunked=upstream is not None and upstream.between_chunks)
        elif (
            silent
            and upstream is not None
            and upstream.reused
            and not self._retried
            and self.method in _IDEMPOTENT
            and not self._request_bytes
            and not self.body_left
        ):
            self._retried = True
            if self.dispatch is not None:
                self.dispatch.pool.metrics.retries.inc()
            self._connect(b"", fresh=True)
        else:
            self.refuse(refusal)

    def refuse(self, refusal: Refusal) -> None:
        """End with a local answer; the upstream request, if any, is left unfinished."""
        refusal.protocol = self.plan.protocol
        self._abandon()
        if self._answered:
            self._cut(refusal, chunked=False)
            return
        self._record(refusal.status, Outcome.FAILED if refusal.status >= 500 else Outcome.REFUSED, refusal)
        self.client.answer(refusal, self.request_id, body_left=bool(self.body_left))

    def _cut(self, refusal: Refusal, *, chunked: bool) -> None:
        """The answer broke after its head had gone out: it must never look whole (rules I05 to I08)."""
        self._abandon()
        self._record(self._code, Outcome.TRUNCATED, refusal)
        self.client.cut(self._last_words(refusal, chunked=chunked), reset=self._framing in {Framing.RAW, Framing.DECHUNK})

    def _last_words(self, refusal: Refusal, *, chunked: bool) -> bytes:
        """The error event for a stream that stands between two events, framed; empty where none may be sent."""
        tap = self._tap
        if not self._event_stream or tap is None:
            return b""
        if self._framing is Framing.VERBATIM and not chunked:
            return b""
        if not tap.at_event_boundary(chunked=self._framing in {Framing.VERBATIM, Framing.DECHUNK}):
            return b""
        event = error_event(refusal, self.plan.protocol)
        if event is None:
            return b""
        if self._framing in {Framing.RAW, Framing.DECHUNK}:
            return event
        return b"%x\r\n%b\r\n" % (len(event), event)

    def drain_expired(self) -> None:
        """The shutdown has waited long enough (rule M01)."""
        refusal = Refusal(
            503,
            ErrorType.PROXY_INTERNAL_RESPONSE,
            "shutting_down",
            "The gateway is shutting down.",
            limit="t_drain",
            fields=(("Retry-After", "1"),),
            close=True,
        )
        refusal.protocol = self.plan.protocol
        upstream = self.upstream
        if self._answered:
            chunked = upstream is not None and upstream.between_chunks
            words = self._last_words(refusal, chunked=chunked)
            self._abandon()
            self._record(self._code, Outcome.DRAINED, refusal)
            self.client.cut(words, reset=self._framing in {Framing.RAW, Framing.DECHUNK})
        else:
            self._abandon()
            self._record(503, Outcome.DRAINED, refusal)
            self.client.answer(refusal, self.request_id, body_left=bool(self.body_left))

    def client_left(self) -> None:
        """The client is gone: stop the upstream at once, in whatever phase (rule L01)."""
        if self.dispatch is not None:
            self.dispatch.pool.metrics.cancel(self.phase)
        self._abandon()
        self._record(_CLIENT_LEFT, Outcome.CLIENT_CLOSED)

    def _abandon(self) -> None:
        self._release_held()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    # -- the record

    def _record(self, status: int, outcome: Outcome, refusal: Refusal | None = None) -> None:
        ended = perf_counter()
        dispatch, plan, server = self.dispatch, self.plan, self.client.server
        tokens_in = tokens_out = 0
        if self._tap is not None:
            tokens_in, tokens_out = self._tap.usage()
        if dispatch is not None:
            metrics = dispatch.metrics
            if self._counted:
                metrics.in_flight.dec()
            metrics.duration.observe(ended - self._started)
            metrics.overhead.observe(self._overhead)
            if self._ttfb:
                metrics.first_byte.observe(self._ttfb - self._started)
            if self._request_bytes:
                metrics.request_bytes.inc(self._request_bytes)
            if self._response_bytes:
                metrics.response_bytes.inc(self._response_bytes)
            if tokens_in or tokens_out:
                metrics.tokens(tokens_in, tokens_out)
        else:
            metrics = server.metrics.exchange("none", plan.label, plan.method, None)
        metrics.count(status, outcome)
        if refusal is not None:
            metrics.error(refusal.error)
            if refusal.limit is not None:
                server.metrics.limit(refusal.limit).inc()
        server.access_log.write(
            AccessRecord(
                id=self.request_id,
                peer=self.client.peer,
                method=plan.method,
                path=plan.path,
                status=status,
                outcome=outcome.label,
                platform=dispatch.served.platform.name if dispatch is not None else None,
                route=plan.label,
                model=dispatch.model if dispatch is not None else None,
                error=refusal.error if refusal is not None else None,
                phase=self.phase if outcome is Outcome.CLIENT_CLOSED else None,
                upstream_status=self._code or None,
                upstream_request_id=self._upstream_id,
                bytes_in=self._request_bytes,
                bytes_out=self._response_bytes,
                duration_ms=_ms(ended - self._started),
                ttfb_ms=_ms(self._ttfb - self._started) if self._ttfb else None,
                upstream_ms=_ms(self._ttfb - self._sent_at) if self._ttfb and self._sent_at else None,
                tokens_in=tokens_in or None,
                tokens_out=tokens_out or None,
            )
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _may_be_json(plan: Plan) -> bool:
    return not plan.compressed and (not plan.content_type or "json" in plan.content_type.lower())


def plan_limit(plan: Plan, exchange: Exchange) -> int:
    """The greatest body size for this exchange; 0: none."""
    dispatch = plan.dispatch
    return dispatch.served.body_limit if dispatch is not None else exchange.client.server.limits.body


def _too_large() -> Refusal:
    return Refusal(
        413, ErrorType.HTTP_REQUEST_ERROR, "body_too_large", "The request body is larger than the limit.", limit="body", close=True
    )


def _twice() -> Refusal:
    return bad_request("duplicate_model", "The request body names its model twice.")
