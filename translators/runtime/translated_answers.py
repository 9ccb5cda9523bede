"""The answer of a platform that speaks another protocol than the client, said to the client: whole, event by event, failures.

One event that comes gives its events at once; a whole answer, where a stream was asked for, gives all of its own. A stream is never
given an end that it did not have: where one breaks, the client gets the error event of its protocol, and nothing that looks like an
end.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import orjson

from translators.formats.events import Event as CutEvent
from translators.formats.events import EventCutter, EventTooLargeError, read_event
from translators.formats.strict_json import BadJsonError, loads
from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, Interpreter
from translators.interpreters.failures import failure_body, failure_event, failure_in, read_failure, translated_headers
from translators.interpreters.wholes import told
from translators.interpreters.wire import EVENTS, Events, JsonArray, printed, printer
from translators.model import Protocol, Translation
from translators.runtime.answer import not_json
from translators.runtime.failures import JSON, NOT_JSON, bad_answer, media_type, parsed
from translators.runtime.steps import Answer, Conversion, Headers, Note, Reply, RuleRefusal, StreamMap
from translators.runtime.streams import Verbatim

DROPPED: Final = "X-Dragoman-Dropped"
_MOST_DROPPED = 4000  # characters of the header
_NO_BODY = (204, 205)
_CALL: Final = b'"functionCall"'
# What a platform's comment or ping is to a client: nothing at all where readers are strict (rule G09).
_HEARTBEATS: Final = {
    Protocol.CHAT: b": keep-alive\n\n",
    Protocol.RESPONSES: b": keep-alive\n\n",
    Protocol.MESSAGES: b'event: ping\ndata: {"type":"ping"}\n\n',
}


class TranslatedAnswer:
    """What becomes of the answer of one call. `convert` is what the platform's own route makes of it first; `usage`: a client of
    chat wants it in its stream."""

    __slots__ = ("_convert", "_interpreter", "_now", "_stream", "_target", "_told", "_translation", "_usage")

    def __init__(
        self,
        translation: Translation,
        interpreter: Interpreter,
        convert: Conversion | None,
        *,
        stream: bool,
        usage: bool,
        target: str,
        now: Callable[[], float],
        told: bool,
    ) -> None:
        self._translation = translation
        self._interpreter = interpreter
        self._convert = convert
        self._stream = stream
        self._usage = usage
        self._target = target
        self._now = now
        self._told = told

    def stream(self, status: int, headers: Mapping[str, str]) -> StreamMap | None:
        """A map for a stream of events that was asked for; None: the answer is read whole.

        `no-transform` (P08) is no reason to hand a client what it cannot read: the translation is what it asked for.
        """
        if status >= 300 or not self._stream:
            return None
        own = self._convert.stream(status, headers) if self._convert is not None else None
        if isinstance(own, Verbatim):
            own = None
        kind = own.content_type if own is not None and own.content_type is not None else media_type(headers)
        if kind != EVENTS:
            return None
        client = self._translation.client.protocol
        made = printer(client, self._target)
        return TranslatedStream(
            self._translation,
            self._interpreter,
            own,
            made,
            self._fields(headers, None),
            self._notes,
            partial(self._failed, headers),
        )

    def whole(self, reply: Reply) -> Answer | None:
        """The client's answer; None: the platform's goes through as it is (a redirect, an empty one). Raises RuleRefusal (502)."""
        own = self._convert.whole(reply) if self._convert is not None else None
        if own is not None:
            reply = Reply(own.status, {**reply.headers, "content-type": own.content_type or ""}, own.body)
        if 300 <= reply.status < 400 or reply.status in _NO_BODY:
            return own
        value = parsed(reply)
        if reply.status >= 400:
            return self._failed(reply.headers, _failure(self._translation.platform, reply, value))
        failure = failure_in(self._translation.platform, value)
        if failure is not None:
            return self._failed(reply.headers, failure)
        if value is NOT_JSON:
            raise self._no_answer(reply)
        if not isinstance(value, dict):
            raise bad_answer("the platform's answer is JSON, but no object, as its protocol has it")
        fields = self._fields(reply.headers, None)
        try:
            if self._stream:  # some platforms do not stream whatever they are asked
                made = printer(self._translation.client.protocol, self._target)
                events = told(self._interpreter, value, usage=self._usage)
                return Answer(200, made.put(events) + made.end(), made.content_type, fields, notes=self._notes)
            said = self._interpreter.answer(value)
        except FailedError as error:
            return self._failed(reply.headers, error.failure)
        except BadAnswerError as error:
            raise bad_answer(f"the platform's answer cannot be translated: {error}") from None
        return Answer(200, printed(said), JSON, fields, notes=self._notes)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields of the client's request that were left out."""
        return tuple(self._interpreter.dropped)

    def _no_answer(self, reply: Reply) -> RuleRefusal:
        if media_type(reply.headers) == EVENTS and not self._stream:
            return bad_answer("no stream was asked for, and the platform gave one; ask with `stream`")
        return not_json(reply)

    def _failed(self, headers: Mapping[str, str], failure: Failure) -> Answer:
        status, body = failure_body(self._translation.client.protocol, failure)
        return Answer(status, printed(body), JSON, self._fields(headers, failure), notes=self._notes)

    def _fields(self, headers: Mapping[str, str], failure: Failure | None) -> Headers:
        """Header fields that are said in the client's protocol too, and what was left out where the client wants to know."""
        translation, dropped = self._translation, self._interpreter.dropped
        changed = translated_headers(translation.platform, translation.client.protocol, headers, self._now(), failure)
        fields = [(name, value) for name, value in changed.items() if value is not None]
        if self._told and dropped:
            fields.append((DROPPED, ", ".join(quote(path, safe="[]._-") for path in dropped)[:_MOST_DROPPED]))
        return tuple(fields)

    @property
    def _notes(self) -> tuple[Note, ...]:
        dropped = self._interpreter.dropped
        return (Note("field_dropped", ", ".join(dropped)[:_MOST_DROPPED]),) if dropped else ()


def _failure(platform: Protocol, reply: Reply, value: Any) -> Failure:
    """The failure that an answer from 400 on is; a text that is no JSON is its message."""
    if value is NOT_JSON:
        text = reply.body[:2000].decode("utf-8", "replace")[:500].strip()
        value = {"message": text} if text else None
    return read_failure(platform, reply.status, value, reply.headers)


class TranslatedStream:
    """One stream, event by event. Raises RuleRefusal where it cannot go on, with what still goes out before its last words."""

    __slots__ = ("_client", "_cutter", "_failure", "_heartbeat", "_instead", "_interpreter", "_last", "_objects", "_own",
        "_printer", "content_type", "headers", "notes")  # fmt: skip

    def __init__(
        self,
        translation: Translation,
        interpreter: Interpreter,
        own: StreamMap | None,
        made: Events | JsonArray,
        headers: Headers,
        notes: tuple[Note, ...],
        instead: Callable[[Failure], Answer],
    ) -> None:
        self._interpreter = interpreter
        self._own = own
        self._client = translation.client.protocol
        self._heartbeat = _HEARTBEATS.get(self._client, b"")
        # Arguments of calls are objects there, whose numbers must keep their digits; elsewhere they are texts.
        self._objects = translation.platform is Protocol.GENERATE
        self._printer = made
        self._cutter = EventCutter()
        self._last: Event | None = None  # that went out
        self._failure: Failure | None = None  # of the platform, that ends the stream
        self._instead = instead  # the answer to give where nothing has gone out
        self.content_type: str | None = made.content_type
        self.headers = headers
        self.notes = notes

    def feed(self, data: bytes) -> bytes:
        if self._own is not None:
            try:
                data = self._own.feed(data)
            except RuleRefusal as refusal:
                raise self._own_ended(refusal) from None
        return self._read(data)

    def _own_ended(self, refusal: RuleRefusal) -> RuleRefusal:
        """The platform's own route ends the stream; what that still says is in the platform's words, which hold no status."""
        try:
            refusal.said, refusal.words = self._read(refusal.said + refusal.words), b""
        except RuleRefusal as told:
            if self._failure is not None:
                self._failure = replace(self._failure, status=refusal.status)
                told.status = refusal.status
            return told
        return refusal

    def _read(self, data: bytes) -> bytes:
        try:
            events = self._cutter.feed(data)
        except EventTooLargeError as error:
            raise self._broken(str(error), self._all(error.events)) from None
        if len(events) == 1 and (only := events[0]).data is not None:  # most often, and at once
            out = self._one(only.name, only.data, b"")
        else:
            out = self._all(events)
        if not out and any(event.data is None or event.name == "ping" for event in events):
            return self._heartbeat
        return out

    def finish(self) -> bytes:
        """The regular end of the platform's answer. What its protocol lacks then is said as a failure, and never made up."""
        out = b""
        if self._own is not None:
            try:
                last = self._own.finish()
            except RuleRefusal as refusal:
                raise self._own_ended(refusal) from None
            out = self._read(last)
        rest = self._cutter.finish()
        if rest.strip():
            event = read_event(rest)
            if event.data is not None:
                out = self._one(event.name, event.data, out)
        try:
            events = self._interpreter.end()
        except FailedError as error:
            raise self._failed(replace(error.failure, status=502), out) from None
        except BadAnswerError as error:
            raise self._broken(str(error), out) from None
        failure = failure_in(self._client, events[-1].data) if events else None
        if failure is not None and self._last is None:
            raise self._failed(replace(failure, status=502), out)
        out += self._put(events) if events else b""
        if failure is not None:
            raise _refusal(failure, out)
        return out + self._printer.end()

    def boundary(self) -> bool:
        return self._last is None or failure_in(self._client, self._last.data) is None  # else the client has heard of it

    def last_words(self, status: int, code: str, message: str) -> bytes:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        failure = self._failure or Failure(status, message, kind, code)
        if self._last is None and (said := self._interpreter.failed(failure)):
            return self._put(said)
        last = self._last.data if self._last is not None else None
        number = last.get("sequence_number") if isinstance(last, dict) else None
        return self._put([failure_event(self._client, failure, number + 1 if isinstance(number, int) else 0)])

    def instead(self) -> Answer | None:
        return self._instead(self._failure) if self._failure is not None else None

    def _all(self, events: list[CutEvent]) -> bytes:
        out = b""
        for event in events:
            if event.data is not None:
                out = self._one(event.name, event.data, out)
        return out

    def _one(self, name: str | None, data: bytes, out: bytes) -> bytes:
        """What goes out for one event, behind `out`."""
        try:
            if data == b"[DONE]":
                said = self._interpreter.event(Event(name, DONE))
            else:
                value = loads(data) if self._objects and _CALL in data else orjson.loads(data)  # 1.5 us less
                if type(value) is not dict:
                    raise BadAnswerError("an event holds JSON that is no object")
                said = self._interpreter.event(Event(name, value))
        except FailedError as error:
            raise self._failed(error.failure, out) from None
        except (BadJsonError, orjson.JSONDecodeError) as error:
            word = data.strip()
            if not word:
                return out  # nothing, said to keep the connection awake
            if word == b"[DONE]":
                return self._one(name, word, out)
            raise self._broken(f"an event holds no valid JSON: {error}", out) from None
        except BadAnswerError as error:
            raise self._broken(str(error), out) from None
        return out + self._put(said) if said else out

    def _put(self, events: list[Event]) -> bytes:
        self._last = events[-1]
        return self._printer.put(events)

    def _failed(self, failure: Failure, said: bytes) -> RuleRefusal:
        """The platform's failure, of which the client has not heard yet."""
        self._failure = failure
        return _refusal(failure, said)

    @staticmethod
    def _broken(message: str, said: bytes) -> RuleRefusal:
        refusal = bad_answer(f"the platform's stream cannot be translated: {message}")
        refusal.said = said
        return refusal


def _refusal(failure: Failure, said: bytes) -> RuleRefusal:
    refusal = RuleRefusal(failure.status, failure.code or "upstream_error", failure.message)
    refusal.said = said
    return refusal
