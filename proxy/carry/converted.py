"""Answers that a rule converts: event by event in the callback they came in, or whole.

A stream goes out in chunks of our own, each as soon as its input is there (rule G11); an answer that must be known as a whole goes
out with its length. Where the rule has nothing to say, the upstream's answer goes out as it is.
"""

import asyncio
import logging
from time import perf_counter

from proxy.carry.counting import BodyCounts, EventCounts, KnownCounts, counts_in
from proxy.carry.downstream import Downstream
from proxy.carry.exchange import Exchange, Framing
from proxy.carry.refusals import fault
from proxy.carry.replies import ReplyReader, UnreadableCodingError, reply_headers, unreadable_coding
from proxy.carry.tap import Tap
from proxy.outcomes import ErrorType, Outcome, Phase
from proxy.routing.plan import Plan
from proxy.wire.answers import made_head
from proxy.wire.fields import bodyless
from proxy.wire.head import CHUNKED
from proxy.wire.refusal import Refusal
from proxy.wire.refused import refusal_of
from proxy.wire.response import ResponseHead
from translators.model import Usage
from translators.runtime.steps import Answer, Conversion, Note, Reply, RuleRefusal, StreamMap
from translators.runtime.streams import Verbatim
from translators.runtime.translated_answers import TranslatedAnswer

logger = logging.getLogger("dragoman.handled")

GRACE = 0.1  # seconds that the head of a stream waits for the first event, which may be a failure
ASIDE = 1024 * 1024  # a message of this size is worked on in a thread (rule P09)
# Looked up on its class, each of these costs 50 ns.
_ENCHUNK, _OK, _UPSTREAM_ERROR = Framing.ENCHUNK, Outcome.OK, Outcome.UPSTREAM_ERROR
_EVENT_STREAM = "text/event-stream"
_LOCAL_OUTCOMES = {4: Outcome.REFUSED, 5: Outcome.FAILED}
LENGTHLESS = frozenset((204, 304))
_RULE_SAID = ErrorType.PROXY_INTERNAL_RESPONSE.value.encode("ascii")
_UNTYPED = frozenset(("", "application/octet-stream", "binary/octet-stream"))
_CONTENT_TYPE = frozenset((b"content-type",))


class ConvertedExchange(Exchange):
    """See the module. `_convert` None: the answer is carried. `_as_is`: it is, and the rule has nothing to do with it besides."""

    __slots__ = ("_arrived", "_as_is", "_content_type", "_convert", "_grace", "_held", "_made", "_map", "_reader", "_since",
        "_waiting")  # fmt: skip

    def __init__(self, client: Downstream, plan: Plan, request_id: bytes) -> None:
        Exchange.__init__(self, client, plan, request_id)  # not super(): 0.1 us less
        self._convert: Conversion | None = None
        self._as_is = False
        self._map: StreamMap | None = None
        self._reader: ReplyReader | None = None
        self._arrived: tuple[ResponseHead, dict[str, str]] | None = None  # a head that waits for its body
        self._content_type: str | None = None  # where the upstream tells none
        self._since = 0.0  # when the head came that is being worked on now
        self._waiting = b""  # the head of a stream that has said nothing yet
        self._grace: asyncio.TimerHandle | None = None  # until it goes out
        self._held = 0  # bytes of an answer that is not whole yet
        self._made = 0  # bytes of the body that a rule has made

    @property
    def bytes_out(self) -> int:
        if self._made:
            return self._made
        return self._answer_reader.received if self._answer_reader is not None else self._bytes_out

    @property
    def _usage(self) -> Usage | None:
        """Where the rule says that the token counts stand."""
        dispatch = self.dispatch
        return dispatch.work.usage if dispatch is not None and dispatch.work is not None else None

    @property
    def _translated(self) -> bool:
        """Whether the platform's own words would say nothing to the client."""
        dispatch = self.dispatch
        handling = dispatch.work.handling if dispatch is not None and dispatch.work is not None else None
        return handling is not None and handling.translation is not None

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields of the client's request that a translation has left out."""
        return self._convert.dropped if isinstance(self._convert, TranslatedAnswer) else ()

    # -- an answer comes

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        convert = self._convert
        if convert is None:
            self._carry_after_all(head, body, done)
            return
        headers = reply_headers(head)
        try:
            mapped = None if bodyless(head.code, self.method) else convert.stream(head.code, headers)
            if isinstance(mapped, Verbatim):
                self._carry_after_all(head, body, done)
                return
            reader = ReplyReader(head, headers, self._response_limit, whole=mapped is None)
        except UnreadableCodingError:
            if not self._translated:  # what cannot be read is not changed (rule P05)
                self._carry_after_all(head, body, done)
                return
            if done:
                self.upstream = None
            self.refuse(unreadable_coding())
            return
        except Exception as error:
            if done:
                self.upstream = None
            self._failed(error)
            return
        upstream = self.upstream
        assert upstream is not None
        self.head_at = self._since = arrived = perf_counter()
        if done:
            self.upstream = None
        self.phase = Phase.RECEIVE
        self._map, self._reader = mapped, reader
        self._arrived = (head, headers)
        if mapped is not None:
            self._begin_stream(head, mapped)
        self._take(body, done, arrived)
        if self._waiting:
            self._grace = self.client.worker.loop.call_later(GRACE, self._send_head)
        if upstream.reader is not None and not done:
            reader.share(upstream.reader)
        self.overhead += perf_counter() - arrived
        self._since = 0.0
        if not done and self.client.full and self.head is not None and self.upstream is not None:
            upstream.pause()

    def _carry_after_all(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The answer goes on as it is."""
        self._convert = self._reader = None
        super().response_head(head, body, done)
        if not done and (usage := self._usage) is not None:
            chunked = head.length == CHUNKED
            self.tap = (EventCounts if self._event_stream else BodyCounts)(usage, chunked=chunked)
            self.tap.feed(body)

    @property
    def _response_limit(self) -> int:
        dispatch = self.dispatch
        assert dispatch is not None
        assert dispatch.work is not None
        return dispatch.work.answer_limit

    def response_body(self, data: bytes, done: bool) -> None:
        if self._reader is None:
            super().response_body(data, done)
            return
        if done:
            self.upstream = None
        self._take(data, done, perf_counter() if self._event_stream else 0.0)

    def _take(self, framed: bytes, done: bool, now: float) -> None:
        """Bytes of the answer's body as they are framed."""
        reader, mapped = self._reader, self._map
        assert reader is not None
        out = b""
        try:
            data = reader.feed(framed) if framed else b""
            if mapped is None:
                if done:
                    self._whole(reader)
                else:
                    self._hold(len(framed))
                return
            out = mapped.feed(data) if data else b""
            if done:
                reader.finish()
                out += mapped.finish()
        except Refusal as refusal:
            self._put(out, now)
            self.refuse(refusal)
            return
        except RuleRefusal as refused:
            out += refused.said
            if self._waiting and not out:
                self._failed_at_once(refused)
                return
            self._put(out + refused.words, now)
            self.refuse(refusal_of(refused))
            return
        except Exception as error:
            self._failed(error)
            return
        if data and self.tap is not None:
            self.tap.feed(data)
        self._put(out, now)
        if done:
            self._send_head()
            self._end()

    def _hold(self, size: int) -> None:
        """Account for what is held of an answer until it is whole. Raises Refusal (503) when the process holds too much."""
        self._held += size
        self.client.worker.hold(size)

    def _put(self, out: bytes, now: float) -> None:
        """What a rule made of a stream, to the client."""
        if out:
            self._made += len(out)
            data = self._framed(out)
            self.client.write(self._head_now() + data if self._waiting else data)
            if self._event_stream:
                self._gap(now)

    def _failed(self, error: Exception) -> None:
        """A fault of ours while an answer was converted (rule M08)."""
        logger.error("the answer of a route could not be converted", exc_info=error)
        self.refuse(fault())

    def _frame_open_end(self, lines: list[bytes]) -> None:
        """Frame an answer whose length is not known yet: in chunks, or by the end of the connection (rules E07, I06)."""
        if self.plan.http10:
            self._framing = Framing.RAW
            self._keep_alive = False
        else:
            self._framing = Framing.ENCHUNK
            lines.append(b"Transfer-Encoding: chunked\r\n")

    # -- a stream

    def _begin_stream(self, head: ResponseHead, mapped: StreamMap) -> None:
        """The head goes out with the first event, or after `GRACE` (rule F02). What fails before that has a status of its own."""
        content_type = mapped.content_type
        self._event_stream = head.event_stream if content_type is None else content_type.startswith(_EVENT_STREAM)
        usage = self._usage
        self.tap = EventCounts(usage) if usage is not None else Tap(stream=True)
        self._note(mapped.notes)
        fields = (*mapped.headers, ("Content-Type", content_type)) if content_type is not None else mapped.headers
        lines = self._made_head(head, head.code, fields, retyped=content_type is not None)
        self._add_stream_lines(lines, head)
        self._frame_open_end(lines)
        self._end_head(lines)
        self._waiting = b"".join(lines)

    def _head_now(self) -> bytes:
        """The head that has waited, and does no more."""
        assert self._arrived is not None
        self.head = self._arrived[0]
        return self._forget_head()

    def _forget_head(self) -> bytes:
        waiting, self._waiting = self._waiting, b""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        return waiting

    def _send_head(self) -> None:
        if self._waiting:
            self.client.write(self._head_now())

    def _failed_at_once(self, refused: RuleRefusal) -> None:
        """The stream has failed before it said anything: the client gets a whole answer, with the failure's status."""
        assert self._map is not None
        assert self._arrived is not None
        answer = self._map.instead()
        if answer is None:
            self.refuse(refusal_of(refused))
            return
        self._abandon()
        self._write_answer(answer, self._arrived[0])

    def _abandon(self) -> None:
        if self._forget_head():
            self._framing, self._event_stream = Framing.VERBATIM, False
        super()._abandon()

    def _last_words(self, refusal: Refusal, *, chunked: bool) -> bytes:
        mapped = self._map
        if mapped is None:
            return super()._last_words(refusal, chunked=chunked)
        if not self._event_stream or not mapped.boundary():
            return b""
        event = mapped.last_words(refusal.status, refusal.code, refusal.message)
        return self._framed(event) if event else b""

    # -- a whole answer

    def _whole(self, reader: ReplyReader) -> None:
        """The answer is here: what does the rule make of it? Raises Refusal."""
        assert self._arrived is not None
        assert self._convert is not None
        reply = reader.reply(self._arrived[1])
        self._count(reply)
        if len(reply.body) > ASIDE:
            self._convert_aside(self._convert, reply)
            return
        try:
            answer = self._convert.whole(reply)
        except RuleRefusal as refused:
            raise refusal_of(refused) from None
        self._converted(answer)

    def _convert_aside(self, convert: Conversion, reply: Reply) -> None:
        """The same for a large answer, without holding up everybody else (rule P09); ends with `_converted`."""
        raise NotImplementedError

    def _converted(self, answer: Answer | None) -> None:
        """What the rule made of the answer; None: it goes on as it came, framed as it was."""
        assert self._arrived is not None
        assert self._reader is not None
        head, _ = self._arrived
        if answer is not None:
            self._note(answer.notes)
            self._write_answer(answer, head)
            return
        reader = self._reader
        raw = reader.raw
        self.head = head
        head_bytes = self._head_bytes(head)
        if head.length == CHUNKED and self._framing in {Framing.VERBATIM, Framing.DECHUNK}:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw) if raw else b"0\r\n\r\n"
            raw = self._framed(data) if self._framing is Framing.DECHUNK else data
        elif raw and self._framing is not Framing.VERBATIM:
            raw = self._framed(raw)
        self._made = reader.size
        self.client.write(head_bytes + (b"" if bodyless(head.code, self.plan.method) else raw))
        self._end()

    def _write_answer(self, answer: Answer, head: ResponseHead | None) -> None:
        """An answer that a rule made, with its length. `head` is the upstream's that stands behind it."""
        upstream_head = None if answer.local else head
        fields = answer.headers
        if answer.content_type is not None:
            fields = (*fields, ("Content-Type", answer.content_type))
        lines = self._made_head(upstream_head, answer.status, fields, retyped=True)
        body = answer.body
        if answer.content_type == _EVENT_STREAM and body:
            body = self._frame_stream(lines, head, body)
        elif answer.status not in LENGTHLESS:
            lines.append(b"Content-Length: %d\r\n" % len(body))
        if answer.local and answer.status >= 400:
            pseudonym = self.client.worker.settings.via or "proxy"
            lines.append(b"Proxy-Status: %b; error=%b\r\n" % (pseudonym.encode("ascii"), _RULE_SAID))
        self._end_head(lines)
        if not bodyless(answer.status, self.plan.method):
            lines.append(body)
            self._made = len(answer.body)
        self.head = head
        self.client.write(b"".join(lines))
        outcome = Outcome.OK
        if answer.status >= 400:
            outcome = _LOCAL_OUTCOMES[min(answer.status // 100, 5)] if answer.local else Outcome.UPSTREAM_ERROR
        self._ended(answer.status, outcome)

    def _frame_stream(self, lines: list[bytes], head: ResponseHead | None, body: bytes) -> bytes:
        """A stream that is here as a whole has the head and the framing of every other one (rule E07)."""
        self._event_stream = True
        if head is not None:
            self._add_stream_lines(lines, head)
        else:
            lines.append(b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n")
        self._frame_open_end(lines)
        return self._framed(body) + b"0\r\n\r\n" if self._framing is _ENCHUNK else body

    def _made_head(
        self, head: ResponseHead | None, status: int, fields: tuple[tuple[str, str], ...], *, retyped: bool
    ) -> list[bytes]:
        worker, dispatch = self.client.worker, self.dispatch
        return made_head(
            head,
            status,
            fields,
            retyped=retyped,
            set_cookie=dispatch is not None and dispatch.served.platform.set_cookie,
            date=worker.wheel.date,
            request_id=self.request_id,
        )

    def _head_bytes(self, head: ResponseHead) -> bytes:
        if self._content_type is None:
            return super()._head_bytes(head)
        return self._edited_head(head, *self._choose_framing(head))

    def _edited_head(self, head: ResponseHead, drop: frozenset[bytes], extra: bytes) -> bytes:
        """Of a carried answer; its content type is ours where it tells none."""
        content_type = self._content_type
        if content_type is not None and reply_headers(head).get("content-type", "").lower() in _UNTYPED:
            drop |= _CONTENT_TYPE
            extra += b"Content-Type: %b\r\n" % content_type.encode("latin-1", "replace")
        return super()._edited_head(head, drop, extra)

    # -- what is written down

    def _gap(self, now: float) -> None:
        metrics = self.dispatch.metrics  # type: ignore[union-attr]
        if self._last_chunk:
            metrics.chunk_gap.observe(now - self._last_chunk)
        else:
            metrics.first_chunk.observe(now - self.started)
        self._last_chunk = now

    def _count(self, reply: Reply) -> None:
        """Token counts of a whole answer, as the platform gave it."""
        usage = self._usage
        if usage is None:
            self.whole = reply.body
        else:
            self.tap = KnownCounts(counts_in(usage, reply.body, reply.status))

    def _note(self, notes: tuple[Note, ...]) -> None:
        """What an operator should hear of."""
        for note in notes:
            platform = self.dispatch.served.platform.name if self.dispatch is not None else ""
            self.client.worker.metrics.rule_note(platform, note.kind).inc()
            logger.info("%s on the platform %s: %s", note.kind, platform, note.text)

    def _end(self) -> None:
        if self._framing is _ENCHUNK:
            self.client.write(b"0\r\n\r\n")
        code = self.head.code  # type: ignore[union-attr]
        if not self._as_is and self.whole and self._convert is None and (usage := self._usage) is not None:
            self.tap = BodyCounts(usage, chunked=self._answer_reader is not None)
            self.tap.feed(self.whole)
        self._ended(code, _UPSTREAM_ERROR if code >= 400 else _OK)

    def _record(self, status: int, outcome: Outcome, refusal: Refusal | None) -> None:
        if self._held:
            self.client.worker.hold(-self._held)
            self._held = 0
        super()._record(status, outcome, refusal)

    def _ended(self, status: int, outcome: Outcome) -> None:
        """The answer went out whole."""
        if self._upload is not None:
            self._upload.forget()
        if self._since:
            self.overhead += perf_counter() - self._since
        self._record(status, outcome, None)
        self.client.exchange_done(keep_alive=self._keep_alive, body_left=bool(self.body_left))
