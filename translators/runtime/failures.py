"""Failures of a platform: recognised in its answer, and said in the words of the client's protocol.

An answer from 400 on is a failure; below, one that the rule's `when` recognises. Its status, code and text come from the rule,
and where it says nothing from the places where most APIs put them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from translators.expressions.compile import EvaluationError, Expression, is_true
from translators.expressions.template import Scope, as_text
from translators.formats.strict_json import BadJsonError, loads
from translators.model import ErrorRule, Protocol
from translators.runtime.envelopes import error_body
from translators.runtime.steps import Answer, Reply, RuleRefusal

NOT_JSON: Final = object()  # what an answer's body is read as when it is no JSON
_MESSAGE = 500  # characters of a body that is no JSON that stand in a message
_LONGEST = 4000  # characters of a message
JSON = "application/json"
_TEXTS = ("message", "msg", "detail", "error_description", "title")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client hears of it."""

    status: int
    code: str
    message: str
    kind: str | None = None

    def answer(self, protocol: Protocol, extra: Mapping[str, object] | None = None) -> Answer:
        body = error_body(protocol, self.status, self.code, self.message, kind=self.kind, extra=extra)
        return Answer(self.status, body, JSON)


def bad_answer(message: str) -> RuleRefusal:
    """The answer of the platform is not what the rule expects: 502."""
    return RuleRefusal(502, "bad_answer", message)


def from_answer(expression: Expression, scope: Scope) -> Any:
    """The value of an expression over the platform's answer; one it cannot use is a 502."""
    try:
        return expression.evaluate(scope)
    except EvaluationError as error:
        raise bad_answer(f"the platform's answer does not fit the rule: {error}") from None


def media_type(headers: Mapping[str, str]) -> str:
    """The media type without parameters, lower case; empty when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def parsed(reply: Reply) -> Any:
    """The JSON value of an answer, NOT_JSON when its body is none."""
    try:
        return loads(reply.body) if reply.body else NOT_JSON
    except BadJsonError:
        return NOT_JSON


class FailureRules:
    """An `errors` rule, compiled; without a rule, from 400 on and by the usual places only."""

    __slots__ = ("_exact", "_ranges", "rule")

    def __init__(self, rule: ErrorRule | None) -> None:
        self.rule = rule
        self._exact: dict[str, int] = {}
        self._ranges: list[tuple[int, int, int]] = []
        for key, status in (rule.status if rule else {}).items():
            low, dash, high = key.partition("-")
            if dash and low.isdigit() and high.isdigit():
                self._ranges.append((int(low), int(high), status))
            else:
                self._exact[key] = status

    def status_of(self, code: str) -> int | None:
        """The table's status for a code."""
        if code in self._exact:
            return self._exact[code]
        if code.removeprefix("-").isdecimal() and len(code) < 20:
            number = int(code)
            return next((status for low, high, status in self._ranges if low <= number <= high), None)
        return None

    def found(self, reply: Reply, value: Any, scope: Scope) -> Failure | None:
        """The failure that an answer is, or None. `value` is its parsed body, the body of the scope."""
        if reply.status >= 400:
            return self.said(reply, value, scope)
        if self.rule is None or self.rule.when is None or not isinstance(value, dict | list):
            return None
        return self.said(reply, value, scope) if is_true(from_answer(self.rule.when, scope)) else None

    def said(self, reply: Reply, value: Any, scope: Scope) -> Failure:
        """What to say of an answer that is a failure."""
        rule = self.rule
        usual = _usual(value)
        code = _text(rule.code if rule else None, scope) or usual.get("code")
        message = _text(rule.message if rule else None, scope) or usual.get("message")
        kind = _text(rule.type if rule else None, scope) or usual.get("type")
        status = self.status_of(code) if code else None
        if status is None:
            status = reply.status if reply.status >= 400 else (rule and rule.otherwise) or 502
        if message is None:
            # All that the platform said, rather than a text of ours, so that nothing is lost.
            message = reply.body[: _MESSAGE * 4].decode("utf-8", "replace")[:_MESSAGE].strip()
        message = message or f"the platform answered with status {reply.status} and said nothing more"
        return Failure(status, (code or "upstream_error")[:_MESSAGE], message[:_LONGEST], kind[:_MESSAGE] if kind else None)


def speaks(protocol: Protocol, value: Any) -> bool:
    """Whether an error's body is in the client's protocol already."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return False
    return protocol is not Protocol.MESSAGES or value.get("type") == "error"


def _usual(value: Any) -> dict[str, str]:
    """Code, message and type from where most APIs put them."""
    if not isinstance(value, dict):
        return {}
    error = value.get("error")
    inner: dict[str, Any] = error if isinstance(error, dict) else value
    out: dict[str, str] = {}
    if isinstance(error, str):
        out["message"] = error
    for name in _TEXTS:
        if isinstance(text := inner.get(name), str) and text:
            out.setdefault("message", text)
    for name in ("code", "type"):
        found = inner.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            out[name] = as_text(found) if name == "code" or isinstance(found, str) else ""
    return {name: text for name, text in out.items() if text}


def _text(expression: Expression | None, scope: Scope) -> str | None:
    """The text an expression gives, None when absent. One that cannot read the failure must not hide it."""
    if expression is None:
        return None
    try:
        value = expression.evaluate(scope)
        return None if value is None else as_text(value)
    except (EvaluationError, TypeError):
        return None
