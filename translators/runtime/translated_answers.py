"""The answer of a platform that speaks another protocol than the client, said to the client: whole, event by event, failures.

One event that comes gives its events at once. A stream is never given an end that it did not have: where one breaks, the client
gets the error event of its protocol, and nothing that looks like an end.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from translators.formats.events import Event as CutEvent
from translators.formats.events import EventCutter, EventTooLargeError, read_event
from translators.formats.strict_json import BadJsonError, loads
from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, Interpreter
from translators.interpreters.failures import failure_body, failure_event, failure_in, read_failure, translated_headers
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


class TranslatedAnswer:
    """What becomes of the answer of one call. `convert` is what the platform's own route makes of it first."""

    __slots__ = ("_convert", "_interpreter", "_now", "_stream", "_target", "_told", "_translation")

    def __init__(
        self,
        translation: Translation,
        interpreter: Interpreter,
        convert: Conversion | None,
        *,
        stream: bool,
        target: str,
        now: Callable[[], float],
        told: bool,
    ) -> None:
        self._translation = translation
        self._interpreter = interpreter
        self._convert = convert
        self._stream = stream
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
        return TranslatedStream(self._translation, self._interpreter, own, made, self._fields(headers, None), self._notes)

    def whole(self, reply: Reply) -> Answer | None:
        """The client's answer; None: the platform's goes through as it is (a redirect, an empty one). Raises RuleRefusal (502)."""
        own = self._convert.whole(reply) if self._convert is not None else None
        if own is not None:
            reply = Reply(own.status, {**reply.headers, "content-type": own.content_type or ""}, own.body)
        if 300 <= reply.status < 400 or reply.status in _NO_BODY:
            return own
        value = parsed(reply)
        if reply.status >= 400:
            return self._failed(_failure(self._translation.platform, reply, value), reply)
        failure = failure_in(self._translation.platform, value)
        if failure is not None:
            return self._failed(failure, reply)
        if value is NOT_JSON:
            raise self._no_answer(reply)
        if self._stream:
            raise bad_answer("a stream was asked for, and the platform gave a whole answer; ask again without `stream`")
        if not isinstance(value, dict):
            raise bad_answer("the platform's answer is JSON, but no object, as its protocol has it")
        try:
            said = self._interpreter.answer(value)
        except FailedError as error:
            return self._failed(error.failure, reply)
        except BadAnswerError as error:
            raise bad_answer(f"the platform's answer cannot be translated: {error}") from None
        return Answer(200, printed(said), JSON, self._fields(reply.headers, None), notes=self._notes)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields of the client's request that were left out."""
        return tuple(self._interpreter.dropped)

    def _no_answer(self, reply: Reply) -> RuleRefusal:
        if media_type(reply.headers) == EVENTS and not self._stream:
            return bad_answer("no stream was asked for, and the platform gave one; ask with `stream`")
        return not_json(reply)

    def _failed(self, failure: Failure, reply: Reply) -> Answer:
        status, body = failure_body(self._translation.client.protocol, failure)
        return Answer(status, printed(body), JSON, self._fields(reply.headers, failure), notes=self._notes)

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

    __slots__ = ("_client", "_cutter", "_failure", "_interpreter", "_last", "_objects", "_own", "_printer", "_told", "content_type",
        "headers", "notes")  # fmt: skip

    def __init__(
        self,
        translation: Translation,
        interpreter: Interpreter,
        own: StreamMap | None,
        made: Events | JsonArray,
        headers: Headers,
        notes: tuple[Note, ...],
    ) -> None:
        self._interpreter = interpreter
        self._own = own
        self._client = translation.client.protocol
        # Arguments of calls are objects there, whose numbers must keep their digits; elsewhere they are texts.
        self._objects = translation.platform is Protocol.GENERATE
        self._printer = made
        self._cutter = EventCutter()
        self._last: Event | None = None  # that went out
        self._failure: Failure | None = None  # of the platform, that ends the stream
        self._told = False  # the client has heard that the stream ends in a failure
        self.content_type: str | None = made.content_type
        self.headers = headers
        self.notes = notes

    def feed(self, data: bytes) -> bytes:
        if self._own is not None:
            data = self._own.feed(data)
        try:
            events = self._cutter.feed(data)
        except EventTooLargeError as error:
            raise self._broken(str(error), self._all(error.events)) from None
        if len(events) == 1 and (only := events[0]).data is not None:  # most often, and at once
            return self._one(only.name, only.data, b"")
        return self._all(events)

    def finish(self) -> bytes:
        """The regular end of the platform's answer. What its protocol lacks then is said as a failure, and never made up."""
        out = self.feed(self._own.finish()) if self._own is not None else b""
        rest = self._cutter.finish()
        if rest.strip():
            last = read_event(rest)
            if last.data is not None:
                out = self._one(last.name, last.data, out)
        try:
            events = self._interpreter.end()
        except BadAnswerError as error:
            raise self._broken(str(error), out) from None
        out += self._put(events) if events else b""
        failure = failure_in(self._client, events[-1].data) if events else None
        if failure is not None:
            self._told = True
            raise _refusal(failure, out)
        return out + self._printer.end()

    def boundary(self) -> bool:
        return not self._told

    def last_words(self, status: int, code: str, message: str) -> bytes:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        failure = self._failure or Failure(status, message, kind, code)
        last = self._last.data if self._last is not None else None
        number = last.get("sequence_number") if isinstance(last, dict) else None
        return self._put([failure_event(self._client, failure, number + 1 if isinstance(number, int) else 0)])

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
            self._failure = error.failure
            raise _refusal(error.failure, out) from None
        except (BadJsonError, orjson.JSONDecodeError) as error:
            raise self._broken(f"an event holds no valid JSON: {error}", out) from None
        except BadAnswerError as error:
            raise self._broken(str(error), out) from None
        return out + self._put(said) if said else out

    def _put(self, events: list[Event]) -> bytes:
        self._last = events[-1]
        return self._printer.put(events)

    @staticmethod
    def _broken(message: str, said: bytes) -> RuleRefusal:
        refusal = bad_answer(f"the platform's stream cannot be translated: {message}")
        refusal.said = said
        return refusal


def _refusal(failure: Failure, said: bytes) -> RuleRefusal:
    refusal = RuleRefusal(failure.status, failure.code or "upstream_error", failure.message)
    refusal.said = said
    return refusal
