"""What every exchange is: an answer comes down, byte for byte where nothing else was asked, and failures end it honestly.

An exchange stands between a client connection and an upstream connection and is called by both; it owns no socket, and its data
path makes no task and queues nothing. Each callback passes on what it was given before it returns. How the request goes up is
for the kinds of exchange: `carried` passes it on as it comes, `handled` reads it whole and lets a rule decide.

Answers are framed in one of four ways, chosen once per answer:

    VERBATIM   the upstream's framing goes on as it is
    ENCHUNK    the upstream marks the end by closing (or must not announce a length): each read becomes a chunk
    DECHUNK    an HTTP/1.0 client cannot read chunks: only the data goes on
    RAW        the end of the connection is the end of the body, on both sides
"""

import asyncio
from enum import IntEnum
from time import perf_counter
from typing import Protocol

from proxy.carry.downstream import Downstream
from proxy.carry.tap import Tap
from proxy.outcomes import Outcome, Phase
from proxy.routing.plan import Dispatch, Plan
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.answers import error_event
from proxy.wire.fields import NOTHING, bodyless, response_lines
from proxy.wire.framing import ChunkedReader
from proxy.wire.head import CHUNKED
from proxy.wire.refusal import Refusal
from proxy.wire.response import UNTIL_CLOSE, ResponseHead

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})  # rule K06
CLIENT_LEFT = 499
_CODING = frozenset((b"transfer-encoding",))
FRAMING_FIELDS = frozenset((b"content-length", b"transfer-encoding"))


class Framing(IntEnum):
    VERBATIM = 0
    ENCHUNK = 1
    DECHUNK = 2
    RAW = 3


# Looked up on its class, each of these costs 50 ns.
_VERBATIM, _ENCHUNK = Framing.VERBATIM, Framing.ENCHUNK
_POOL, _RECEIVE = Phase.POOL, Phase.RECEIVE
_OK, _UPSTREAM_ERROR = Outcome.OK, Outcome.UPSTREAM_ERROR


class RequestBody(Protocol):
    """Follows the body of a request."""

    left: int  # what the client still has to send: a count, CHUNKED, or 0

    @property
    def received(self) -> int | None:
        """Data bytes so far; None where the framing has no bytes of its own."""

    def forget(self) -> None:
        """Let go of what is held."""


class Exchange:
    """See the module. Times are those of `perf_counter`."""

    __slots__ = (
        "_answer_reader",
        "_bytes_in",
        "_bytes_out",
        "_discard",
        "_event_stream",
        "_framing",
        "_keep_alive",
        "_last_chunk",
        "_opening",
        "_payload",
        "_retried",
        "_upload",
        "client",
        "counted",
        "dispatch",
        "head",
        "head_at",
        "method",
        "overhead",
        "phase",
        "plan",
        "request_id",
        "reused",
        "sent_at",
        "started",
        "tap",
        "upstream",
        "whole",
    )

    def __init__(self, client: Downstream, plan: Plan, request_id: bytes) -> None:
        self.client = client
        self.plan = plan
        self.method = plan.method
        self.request_id = request_id
        self.started = perf_counter()
        self.phase = _POOL
        self.dispatch: Dispatch | None = plan.dispatch
        self.upstream: UpstreamConnection | None = None
        self.counted = False  # among those in flight
        self.reused = False  # the upstream connection had served before
        self._bytes_in = self._bytes_out = 0
        self.sent_at = self.head_at = self.overhead = 0.0
        self.head: ResponseHead | None = None  # of the answer, once it has gone out
        self.tap: Tap | None = None  # watches an answer that comes in pieces
        self.whole = b""  # the body of an answer that came at once
        self._upload: RequestBody | None = None
        self._opening: asyncio.Task[None] | None = None
        self._retried = self._event_stream = False
        self._discard = False  # what is left of the request is not wanted any more (rule F10)
        self._framing = _VERBATIM
        self._keep_alive = plan.keep_alive
        self._payload: ChunkedReader | None = None
        self._last_chunk = 0.0
        self._answer_reader: ChunkedReader | None = None  # the upstream connection's, where it follows chunks

    @property
    def peer_bytes(self) -> bytes:
        return self.client.peer_bytes

    @property
    def bytes_in(self) -> int:
        """Data bytes of the request body, without framing."""
        upload = self._upload
        return upload.received if upload is not None and upload.received is not None else self._bytes_in

    @property
    def bytes_out(self) -> int:
        """Data bytes of the answer's body, without framing."""
        return self._answer_reader.received if self._answer_reader is not None else self._bytes_out

    # -- the request

    @property
    def body_left(self) -> int:
        """What the client still has to send: a count, CHUNKED, or 0."""
        return self._upload.left if self._upload is not None else 0

    def start(self, length: int, body: bytes) -> None:
        """Begin with the bytes that came behind the head. Raises Refusal."""
        raise NotImplementedError

    def request_data(self, data: bytes) -> None:
        """Further body bytes. Raises Refusal."""
        raise NotImplementedError

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        """A connection that had to be waited for is there."""
        raise NotImplementedError

    def upstream_full(self, full: bool) -> None:
        """The upstream does not take what was written to it, or does again (rule F07)."""
        raise NotImplementedError

    def _send_again(self) -> None:
        """The same request over a fresh connection."""
        raise NotImplementedError

    def client_full(self, full: bool) -> None:
        """The client does not take what was written to it, or does again (rule F04)."""
        upstream = self.upstream
        if upstream is None:
            return
        if full:
            upstream.pause()
        else:
            upstream.resume()

    # -- the answer

    def leave_body(self) -> None:
        """What is not sent yet of the request is not wanted any more (rule F10)."""
        self._discard = True
        if self.body_left:
            self._keep_alive = False
            self.client.pause_reading()

    def interim_response(self, head: ResponseHead) -> None:
        dispatch = self.dispatch
        if dispatch is not None and head.code == 103 and dispatch.served.platform.early_hints and not self.plan.http10:
            lines = response_lines(head, set_cookie=False, drop=FRAMING_FIELDS)
            self.client.write(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % lines)

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        self.head_at = arrived = perf_counter()
        upstream = self.upstream
        assert upstream is not None
        if not upstream.request_sent:
            self.leave_body()  # the upstream has made up its mind
        if done:
            self.upstream = None  # it is back in the pool: a full client must not pause it
        self.phase = _RECEIVE
        self.head = head
        self._answer_reader = upstream.reader
        self._event_stream = head.event_stream
        if done and not self._event_stream:
            self.whole = body
        else:
            self.tap = Tap(stream=self._event_stream)
        client = self.client
        head_bytes = self._head_bytes(head)  # chooses the framing
        client.write(head_bytes + (body if self._framing is _VERBATIM else self._framed(body)) if body else head_bytes)
        if body:
            self._saw(body, arrived)
        self.overhead += perf_counter() - arrived
        if done:
            self._end()
        elif client.full:
            upstream.pause()

    def _head_bytes(self, head: ResponseHead) -> bytes:
        """The answer's head for the client, and the choice of its framing."""
        worker, shape = self.client.worker, head.shape
        if (
            shape.complete and head.code == 200 and head.length != UNTIL_CLOSE and self._keep_alive and self.plan.plain_answer
            and not (self._event_stream or worker.draining or head.http10)
        ):  # fmt: skip
            return head.raw  # what the rules below would make of it, too (a microsecond less)
        drop, extra = self._choose_framing(head)
        return self._edited_head(head, drop, extra)

    def _edited_head(self, head: ResponseHead, drop: frozenset[bytes], extra: bytes) -> bytes:
        """The head without these fields, with these lines and what the rules of group E want besides."""
        worker, shape, dispatch = self.client.worker, head.shape, self.dispatch
        assert dispatch is not None
        lines = [head.status_line, response_lines(head, set_cookie=dispatch.served.platform.set_cookie, drop=drop), extra]
        if not shape.has_date:
            lines.append(b"Date: %b\r\n" % worker.wheel.date)
        if not shape.has_request_id:
            lines.append(b"x-request-id: %b\r\n" % self.request_id)
        self._add_stream_lines(lines, head)
        self._end_head(lines)
        return b"".join(lines)

    def _add_stream_lines(self, lines: list[bytes], head: ResponseHead) -> None:
        """What keeps caches and buffers between us and the client out of an event stream, where the platform has not said it."""
        if self._event_stream:
            if b"cache-control" not in head.shape.lower:
                lines.append(b"Cache-Control: no-cache\r\n")
            if b"x-accel-buffering" not in head.shape.lower:
                lines.append(b"X-Accel-Buffering: no\r\n")

    def _end_head(self, lines: list[bytes]) -> None:
        """The last lines of an answer's head; nothing keeps the connection any more once the gateway drains (rule M01)."""
        if self.client.worker.draining:
            self._keep_alive = False
        if not self._keep_alive:
            lines.append(b"Connection: close\r\n")
        lines.append(b"\r\n")

    def _choose_framing(self, head: ResponseHead) -> tuple[frozenset[bytes], bytes]:
        """Sets the framing; returns the framing fields to leave out and those to add (rules E03, E07, I06)."""
        http10, code, length = self.plan.http10, head.code, head.length
        if bodyless(code, self.method):
            if code == 205:
                return FRAMING_FIELDS, b"Content-Length: 0\r\n"
            return (FRAMING_FIELDS if code == 204 else _CODING if http10 else NOTHING), b""
        if length >= 0 and not self._event_stream:
            return NOTHING, b""
        if length == CHUNKED and not http10:
            return NOTHING, b""
        if not http10:
            self._framing = Framing.ENCHUNK
            return FRAMING_FIELDS, b"Transfer-Encoding: chunked\r\n"
        if length == CHUNKED:
            self._payload = ChunkedReader()
        self._framing = Framing.DECHUNK if length == CHUNKED else Framing.RAW
        self._keep_alive = False
        return FRAMING_FIELDS, b""

    def _framed(self, data: bytes) -> bytes:
        """Body bytes as the client must get them where the framing is not the upstream's."""
        if self._framing is Framing.ENCHUNK:
            return b"%x\r\n%b\r\n" % (len(data), data)
        reader = self._payload
        if reader is None:
            return data
        pieces: list[bytes] = []
        reader.payload = pieces
        reader.feed(data)
        return b"".join(pieces)

    def response_body(self, data: bytes, done: bool) -> None:
        if done:
            self.upstream = None
        if data:
            self.client.write(data if self._framing is _VERBATIM else self._framed(data))
            self._saw(data, perf_counter() if self._event_stream else 0.0)
        if done:
            self._end()

    def _saw(self, data: bytes, now: float) -> None:
        """After a write: what the metrics want to know."""
        self._bytes_out += len(data)
        if self.tap is not None:
            self.tap.feed(data)
        if self._event_stream:
            metrics = self.dispatch.metrics  # type: ignore[union-attr]
            if self._last_chunk:
                metrics.chunk_gap.observe(now - self._last_chunk)
            else:
                metrics.first_chunk.observe(now - self.started)
            self._last_chunk = now

    def _end(self) -> None:
        if self._framing is _ENCHUNK:
            self.client.write(b"0\r\n\r\n")
        code = self.head.code  # type: ignore[union-attr]
        client = self.client
        client.worker.recorder.record(self, code, _UPSTREAM_ERROR if code >= 400 else _OK)
        client.exchange_done(keep_alive=self._keep_alive, body_left=bool(self.body_left))

    # -- failures

    @property
    def _begun(self) -> int:
        """The status of the answer whose head has gone out; 0: none has."""
        return self.head.code if self.head is not None else 0

    def upstream_failed(self, refusal: Refusal, *, silent: bool) -> None:
        upstream, self.upstream = self.upstream, None
        self._opening = None
        if self._begun:
            self._cut(refusal, Outcome.TRUNCATED, chunked=upstream is not None and upstream.between_chunks)
        elif silent and self.reused and self._may_retry():
            self._retried = True
            if self.dispatch is not None:
                self.dispatch.pool.metrics.retries.inc()
            self._send_again()
        else:
            self.refuse(refusal)

    def _may_retry(self) -> bool:
        """Only what has no effect and no body, and only once (rule K06)."""
        return self.method in _IDEMPOTENT and not (self._retried or self._bytes_in or self.body_left)

    def refuse(self, refusal: Refusal, outcome: Outcome | None = None) -> None:
        """End with a local answer; the upstream request, if any, is left unfinished."""
        refusal.protocol = self.plan.protocol
        if self._begun:
            upstream = self.upstream
            self._cut(refusal, outcome or Outcome.TRUNCATED, chunked=upstream is not None and upstream.between_chunks)
            return
        self._abandon()
        if outcome is None:
            outcome = Outcome.FAILED if refusal.status >= 500 else Outcome.REFUSED
        self._record(refusal.status, outcome, refusal)
        self.client.answer(refusal, self.request_id, body_left=bool(self.body_left))

    def _cut(self, refusal: Refusal, outcome: Outcome, *, chunked: bool) -> None:
        """The answer broke after its head had gone out: it must never look whole (rules I05 to I08)."""
        words = self._last_words(refusal, chunked=chunked)
        self._abandon()
        self._record(self._begun, outcome, refusal)
        self.client.cut(words, reset=self._framing in {Framing.RAW, Framing.DECHUNK})

    def _last_words(self, refusal: Refusal, *, chunked: bool) -> bytes:
        """The error event for a stream that stands between two events, framed; empty where none may be sent."""
        tap = self.tap
        if not self._event_stream or tap is None or (self._framing is Framing.VERBATIM and not chunked):
            return b""
        if not tap.at_event_boundary(chunked=self._framing in {Framing.VERBATIM, Framing.DECHUNK}):
            return b""
        event = error_event(refusal, self.plan.protocol)
        if event is None:
            return b""
        if self._framing in {Framing.RAW, Framing.DECHUNK}:
            return event
        return b"%x\r\n%b\r\n" % (len(event), event)

    def client_left(self) -> None:
        """The client is gone: stop the upstream at once, in whatever phase (rule L01)."""
        if self.dispatch is not None:
            self.dispatch.pool.metrics.cancel(self.phase)
        self._abandon()
        self._record(CLIENT_LEFT, Outcome.CLIENT_CLOSED, None)

    def _record(self, status: int, outcome: Outcome, refusal: Refusal | None) -> None:
        self.client.worker.recorder.record(self, status, outcome, refusal)

    def _abandon(self) -> None:
        if self._upload is not None:
            self._upload.forget()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
