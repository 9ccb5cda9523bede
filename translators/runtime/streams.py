"""Streams, event by event: which events go out for which come in (`stream` of a rule), as server-sent events, lines or bytes.

The bytes of an event that no rule names go out as they came. What is cut is cut by `formats.events`, so the result is the same at
every cut of the input. No end is ever added: an end goes out when a rule sends it for an event that came.

Where the rule has `bytes`, the stream becomes a plain run of bytes (sound, say): an event that no rule names has no place in it.
"""

import base64
import binascii
from dataclasses import replace
from typing import Any

from translators.expressions.compile import EvaluationError, is_true
from translators.expressions.template import ABSENT, Scope, render_text
from translators.formats.events import Event, EventCutter, EventTooLargeError, LineCutter, format_event, read_event
from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.model import ErrorRule, EventRule, Protocol, Stream
from translators.runtime.envelopes import error_event
from translators.runtime.failures import Failure, FailureRules
from translators.runtime.scope import Values
from translators.runtime.steps import Answer, Headers, Note, Reply, RuleRefusal

_EVENTS = "text/event-stream"


class Verbatim:
    """A stream that goes out as it came."""

    __slots__ = ()
    content_type: str | None = None
    headers: Headers = ()
    notes: tuple[Note, ...] = ()

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def boundary(self) -> bool:
        # What passes is not looked into; an error put into an answer that may be no stream at all would be one too many.
        return False

    def last_words(self, status: int, code: str, message: str) -> bytes:  # noqa: ARG002
        return b""

    def instead(self) -> None: ...


class StreamRules:
    """A `stream` rule, compiled."""

    __slots__ = ("content_type", "errors", "protocol", "raw", "rule")

    def __init__(self, rule: Stream, protocol: Protocol, errors: ErrorRule | None) -> None:
        self.rule = rule
        self.protocol = protocol
        self.raw = any(event.bytes for event in rule.events)
        self.content_type = rule.content_type
        self.errors = tuple(FailureRules(_joined(event.error, errors)) for event in rule.events)

    def applies(self, client: Scope, kind: str) -> bool:
        """Whether the rule maps this answer: the client asked for a stream where the rule says so, and the answer is one."""
        when = self.rule.when
        if when is not None:
            try:
                if not is_true(when.evaluate(client)):
                    return False
            except EvaluationError:
                return False
            return kind == _EVENTS or (self.rule.lines and kind != "")
        return kind == _EVENTS or (self.rule.lines and ("jsonl" in kind or "ndjson" in kind or "stream+json" in kind))


class MappedStream:
    """One stream under its rule. Raises RuleRefusal where it cannot go on, with what still goes out and its error event."""

    __slots__ = ("_clean", "_cutter", "_failure", "_rules", "_scope", "content_type")
    headers: Headers = ()
    notes: tuple[Note, ...] = ()

    def __init__(self, rules: StreamRules, scope: Values) -> None:
        self._rules = rules
        self._cutter: EventCutter | LineCutter = LineCutter() if rules.rule.lines else EventCutter()
        self._scope = scope
        scope["first"] = True
        self._clean = True
        self._failure: Failure | None = None  # of the platform, that has ended the stream
        self.content_type: str | None = rules.content_type

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._cutter.feed(data)
        except EventTooLargeError as error:
            raise self._ended(Failure(502, "event_too_large", str(error)), self._all(error.events)) from None
        return self._all(events)

    def finish(self) -> bytes:
        """What an unfinished last event comes to: a whole one that lacks its line end counts, anything less goes as it came."""
        rest = self._cutter.finish()
        if not rest:
            return b""
        event = Event(rest, None, rest.strip() or None) if self._rules.rule.lines else read_event(rest)
        if event.data is not None and (rest.endswith((b"\n", b"\r")) or _is_json(event.data)):
            return self._all([event])
        if self._rules.raw:
            return b""
        self._clean = False
        return rest

    def boundary(self) -> bool:
        return self._clean and not self._rules.raw

    def last_words(self, status: int, code: str, message: str) -> bytes:
        return error_event(self._rules.protocol, status, code, message) or b""

    def instead(self) -> Answer | None:
        return self._failure.answer(self._rules.protocol) if self._failure is not None else None

    def _all(self, events: list[Event]) -> bytes:
        if len(events) == 1:
            return self._one(events[0])
        out: list[bytes] = []
        try:
            for event in events:
                out.append(self._one(event))  # noqa: PERF401 - what came before an error goes out, too
        except RuleRefusal as refusal:
            refusal.said = b"".join(out) + refusal.said
            raise
        return b"".join(out)

    def _one(self, event: Event) -> bytes:
        rules = self._rules
        if event.data is None and event.name is None:
            return b"" if rules.raw else event.raw
        scope = self._scope
        scope["event"] = event.name
        scope["data"] = scope["body"] = _value(event.data)
        try:
            for place, rule in enumerate(rules.rule.events):
                if rule.when is None or is_true(rule.when.evaluate(scope)):
                    out = self._mapped(rule, place, event)
                    break
            else:
                out = b"" if rules.raw else event.raw
        except (EvaluationError, BadJsonError, ValueError, TypeError) as error:
            message = f"an event of the platform's stream does not fit the rule: {error}"
            raise self._ended(Failure(502, "bad_answer", message)) from None
        if out:
            scope["first"] = False
        return out

    def _mapped(self, rule: EventRule, place: int, event: Event) -> bytes:
        if rule.drop:
            return b""
        if rule.error is not None:
            reply = Reply(200, {}, event.data or b"")
            failure = self._rules.errors[place].said(reply, self._scope["data"], self._scope)
            said = None if self._rules.raw else _event(self._rules.protocol, failure)
            if said is None or self._scope["first"]:
                # Nothing has gone out yet, or nothing in this stream can hold an error: then it ends as broken, so that no client
                # takes it for whole.
                self._failure = failure
                raise self._ended(failure)
            return said
        if rule.bytes is not None:
            return _octets(rule.bytes.evaluate(self._scope))
        name = render_text(rule.name.parts, self._scope) if rule.name is not None else None
        out = b""
        for template in rule.send:
            value = template.evaluate(self._scope)
            if value is not ABSENT:
                out += self._printed(value, name)
                self._scope["first"] = False
        return out

    def _printed(self, value: Any, name: str | None) -> bytes:
        data = value.encode() if isinstance(value, str) else dumps(value)
        return (
            data + b"\n"
            if self._rules.rule.lines and name is None and self._rules.content_type != _EVENTS
            else format_event(data, name)
        )

    def _ended(self, failure: Failure, out: bytes = b"") -> RuleRefusal:
        """How the stream ends here, behind `out`."""
        refusal = RuleRefusal(failure.status, failure.code, failure.message)
        refusal.said = out
        if not self._rules.raw:
            refusal.words = _event(self._rules.protocol, failure) or b""
        self._clean = False  # the client has heard of it
        return refusal


def _event(protocol: Protocol, failure: Failure) -> bytes | None:
    return error_event(protocol, failure.status, failure.code, failure.message, kind=failure.kind)


def _joined(own: ErrorRule | None, errors: ErrorRule | None) -> ErrorRule | None:
    """An event's `error`; what it leaves unsaid is what the route's `errors` says."""
    if own is None or errors is None:
        return own or errors
    said = replace(
        errors, where=own.where, code=own.code or errors.code, message=own.message or errors.message, type=own.type or errors.type
    )
    return said if own.otherwise is None else replace(said, status={}, otherwise=own.otherwise)


def _value(data: bytes | None) -> Any:
    """The JSON value of an event's data, else its text."""
    if data is None:
        return None
    try:
        return loads(data)
    except BadJsonError:
        return data.decode("utf-8", "replace")


def _is_json(data: bytes) -> bool:
    try:
        loads(data)
    except BadJsonError:
        return False
    return True


def _octets(value: Any) -> bytes:
    if value is None or value == "":
        return b""
    if not isinstance(value, str):
        raise EvaluationError("`bytes` needs base64 text")
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("`bytes` needs base64 text, and the event holds another") from None
