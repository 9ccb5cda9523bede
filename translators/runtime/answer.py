"""The answer of a platform, said to the client: errors in its protocol, the `response` template, bytes, streams.

`AnswerRules` is compiled once for a branch of a route; an `AnswerConversion` joins it with one client's request. Tasks have their
own conversions, in `tasks`.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from translators.expressions.compile import EvaluationError
from translators.expressions.template import ABSENT, REST
from translators.formats.media import media_type_of
from translators.formats.strict_json import BadJsonError, dumps
from translators.model import Branch, ErrorRule, Protocol, Response, Unknown, Usage
from translators.runtime.failures import JSON, NOT_JSON, FailureRules, bad_answer, from_answer, media_type, parsed, speaks
from translators.runtime.scope import Values, answer_scope, named_by_answer
from translators.runtime.steps import Answer, Headers, Reply, RuleRefusal, StreamMap
from translators.runtime.streams import MappedStream, StreamRules, Verbatim
from translators.runtime.target import render_headers, rendered

_NO_BODY = (204, 205)
_STREAMED = ("text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json")
_OCTETS = "application/octet-stream"
_OPAQUE = ("audio/", "image/", "video/", "font/", _OCTETS, "application/zip", "application/pdf", "multipart/")


def must_not_change(headers: Mapping[str, str]) -> bool:
    """`Cache-Control: no-transform` (P08)."""
    return "no-transform" in headers.get("cache-control", "").lower()


class ResponseRules:
    """A `response` rule, compiled: how an answer is said."""

    __slots__ = ("named", "response")

    def __init__(self, response: Response, errors: ErrorRule | None, usage: Usage | None) -> None:
        self.response = response
        counts = (usage.input, usage.output, usage.cached, usage.reasoning) if usage else ()
        self.named = named_by_answer(response, errors, counts)

    def answer(self, reply: Reply, value: Any, scope: Values) -> Answer:
        """The client's answer from a `body` or `bytes` rule. Raises RuleRefusal (502)."""
        response = self.response
        status = reply.status
        if response.status is not None:
            found = from_answer(response.status, scope)
            if found is not None:
                if not isinstance(found, int) or isinstance(found, bool) or not 200 <= found <= 599:
                    raise bad_answer(f"the rule gives {found!r} as the status of the answer; expected a number from 200 to 599")
                status = found
        headers, content_type = self._fields(scope)
        if response.body is None:
            data = decoded(from_answer(response.bytes, scope) if response.bytes else None)
            return Answer(status, data, content_type or media_type_of(data) or _OCTETS, headers)
        return Answer(status, self._body(value, scope), content_type or JSON, headers)

    def content_type(self, scope: Values) -> str | None:
        """The media type that the rule says."""
        return self._fields(scope)[1]

    def _fields(self, scope: Values) -> tuple[Headers, str | None]:
        response = self.response
        if not response.headers and response.content_type is None:
            return (), None
        try:
            return render_headers(response.headers, scope), rendered(
                response.content_type, scope
            ) if response.content_type else None
        except RuleRefusal as refusal:
            raise bad_answer(refusal.message) from None

    def _body(self, value: Any, scope: Values) -> bytes:
        body = self.response.body
        assert body is not None  # the caller looked
        template = body.template
        rest: dict[str, Any] = {}
        named = self.named
        if isinstance(value, dict) and named is not None and (template.spreads_rest or body.unknown is Unknown.FORWARD):
            rest = {key: member for key, member in value.items() if key not in named}
        scope[REST] = rest
        try:
            out = template.evaluate(scope)
            if out is ABSENT:
                out = {}
            if rest and not template.spreads_rest and isinstance(out, dict):
                out = {**rest, **out}
            return dumps(out)
        except (EvaluationError, BadJsonError, TypeError) as error:
            raise bad_answer(f"the platform's answer does not fit the rule: {error}") from None


class AnswerRules:
    """Everything that a branch says of answers, compiled. `idle`: nothing, its answers are carried."""

    __slots__ = ("failures", "idle", "protocol", "response", "stream")

    def __init__(self, branch: Branch, errors: ErrorRule | None, usage: Usage | None, protocol: Protocol) -> None:
        self.protocol = protocol
        self.failures = FailureRules(errors)
        self.response = ResponseRules(branch.response, errors, usage) if branch.response else None
        self.stream = StreamRules(branch.stream, protocol, errors) if branch.stream else None
        self.idle = errors is None and branch.response is None and branch.stream is None


class AnswerConversion:
    """What becomes of the answer of one call. `client` is the scope of the request side."""

    __slots__ = ("_client", "_rules")

    def __init__(self, rules: AnswerRules, client: Values) -> None:
        self._rules = rules
        self._client = client

    def stream(self, status: int, headers: Mapping[str, str]) -> StreamMap | None:
        """A map when the answer streams (or is of no concern to the rule); None: it is to be read whole."""
        rules = self._rules
        if must_not_change(headers):
            return Verbatim()
        if status >= 400:
            return None
        kind = media_type(headers)
        if rules.stream is not None and rules.stream.applies(self._client, kind):
            return MappedStream(rules.stream, answer_scope(self._client, None, status, headers))
        if kind in _STREAMED or (rules.response is None and kind.startswith(_OPAQUE)):
            return Verbatim()
        return None

    def whole(self, reply: Reply) -> Answer | None:
        """The client's answer; None: it goes through as it is. Raises RuleRefusal (502)."""
        if must_not_change(reply.headers):
            return None
        value = parsed(reply)
        scope = answer_scope(self._client, None if value is NOT_JSON else value, reply.status, reply.headers)
        return self.say(reply, value, scope)

    def say(self, reply: Reply, value: Any, scope: Values) -> Answer | None:
        """As `whole`, where the body has been parsed already."""
        failed = self.failed(reply, value, scope)
        if failed is not None:
            return failed
        rules = self._rules
        if rules.response is None or reply.status >= 300 or reply.status in _NO_BODY:
            return None
        if value is NOT_JSON:
            raise not_json(reply)
        return rules.response.answer(reply, value, scope)

    def failed(self, reply: Reply, value: Any, scope: Values) -> Answer | None:
        """The answer to a failure; None when it is none, or says itself already what the client understands."""
        rules = self._rules
        failure = rules.failures.found(reply, value, scope)
        if failure is None or (rules.failures.rule is None and speaks(rules.protocol, value)):
            return None
        return failure.answer(rules.protocol)


def not_json(reply: Reply) -> RuleRefusal:
    """The refusal for an answer that a template needs as JSON and that is none; it quotes how the answer begins."""
    begins = reply.body[:800].decode("utf-8", "replace")[:200].strip()
    kind = media_type(reply.headers) or "no media type"
    found = f"it begins: {begins}" if begins else "it is empty" if not reply.body else "it begins with blanks"
    return bad_answer(f"the platform's answer (status {reply.status}, {kind}) is no valid JSON, which the rule needs; {found}")


def decoded(value: Any) -> bytes:
    """The bytes of base64 text, or of a data URI. Raises RuleRefusal (502)."""
    if not isinstance(value, str) or not value:
        raise bad_answer("the platform's answer holds no data where the rule expects base64 text")
    if value[:5].lower() == "data:":
        value = value.partition(",")[2]
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise bad_answer("the platform's answer holds text that is no base64 where the rule expects base64") from None
