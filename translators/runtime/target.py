"""Values of a request placed where they land: path segments, query parameters, header fields (rule O06).

Every value is encoded for its place or refused with 400; nothing a client sends can become a second segment, a second parameter, a
second field line, a host or a method. Literal text of rules is written encoded already.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote_plus

from translators.expressions.compile import EvaluationError, Expression
from translators.expressions.template import Scope, as_text, render_text
from translators.model import Text
from translators.runtime.steps import Headers, RuleRefusal

MAX_VALUE = 8 * 1024  # bytes of a value in a path or a header field (O06)
MAX_TARGET = 16 * 1024  # bytes of path and query together
_UNSAFE_IN_HEADER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}")
SUBMITTED = "submitted.path"  # the one expression that is a path already: it was put together here


def refused(message: str, *, code: str = "invalid_parameter", param: str | None = None) -> RuleRefusal:
    """A refusal for what the client sent."""
    return RuleRefusal(400, code, message, param=param)


def evaluated(expression: Expression, scope: Scope) -> Any:
    """The value of an expression over a client's message; a value it cannot use is refused (400)."""
    try:
        return expression.evaluate(scope)
    except EvaluationError as error:
        raise refused(f"a value of the request does not fit the rule: {error}") from None


def rendered(text: Text, scope: Scope) -> str | None:
    """The text, None when it is absent; what cannot be put together is refused (400)."""
    try:
        return render_text(text.parts, scope)
    except (EvaluationError, TypeError) as error:  # TypeError: a file of a form, or a number of more than 64 bits
        raise refused(f"a value of the request does not fit the rule: {error}") from None


def encoded(value: str, place: str) -> str:
    """Percent-encoded but for the unreserved characters of RFC 3986."""
    if len(value) > MAX_VALUE:
        raise refused(f"a value for {place} has {len(value)} characters, at most {MAX_VALUE} fit; send a shorter one")
    try:
        return quote(value, safe="", errors="surrogateescape")  # a byte that is no text stays the byte it was
    except UnicodeEncodeError:
        raise refused(
            f"a value for {place} holds half of a surrogate pair, which no text can carry; send whole characters"
        ) from None


def placed(value: Any, place: str) -> str:
    """A JSON value as an encoded text."""
    try:
        return encoded(as_text(value), place)
    except EvaluationError as error:
        raise refused(f"a value for {place} does not fit: {error}") from None


def render_path(path: Text, scope: Scope) -> str:
    """The path with its values in place. Refuses absent and empty values, objects and lists, `.` and `..`."""
    out: list[str] = []
    dynamic = False
    for part in path.parts:
        if isinstance(part, str):
            out.append(part)
            continue
        dynamic = True
        value = evaluated(part, scope)
        if value is None or value == "":
            raise refused(f"the path of the call needs a value ({part.text}) that the request does not give")
        if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
            raise refused(f"the path of the call needs a text ({part.text}), and the request gives an object or a list")
        out.append(value if part.text.strip() == SUBMITTED else placed(value, "the path of the call"))
    text = "".join(out)
    if dynamic and any(_DOTS.fullmatch(segment) for segment in text.split("/")):
        raise refused("a value would make a dot segment (`.` or `..`) of the path of the call; send another value")
    return text


def header_value(value: str, name: str) -> str:
    """The value, if a field line can hold it."""
    if len(value.encode("utf-8", "replace")) > MAX_VALUE:
        raise refused(f"a value for the header {name} has more than {MAX_VALUE} bytes; send a shorter one")
    if _UNSAFE_IN_HEADER.search(value):
        raise refused(f"a value for the header {name} holds control characters; send it without line breaks and the like")
    return value


def render_headers(rules: Iterable[tuple[str, Text]], scope: Scope) -> Headers:
    """Header fields from their templates; an absent one is left out."""
    out: list[tuple[str, str]] = []
    for name, text in rules:
        value = rendered(text, scope)
        if value is not None:
            out.append((name, header_value(value, name)))
    return tuple(out)


def render_query(rules: Iterable[tuple[str, Text]], scope: Scope) -> list[tuple[str, str]]:
    """Parameters from their templates, encoded; an absent one is left out, a list is a repeated one."""
    out: list[tuple[str, str]] = []
    for name, text in rules:
        key = quote(name, safe="")
        what = f"the parameter {name}"
        if len(text.parts) == 1 and not isinstance(text.parts[0], str):
            value = evaluated(text.parts[0], scope)
            values = value if isinstance(value, list) else [value]
            out += [(key, placed(item, what)) for item in values if item is not None]
            continue
        parts: list[str] = []
        for part in text.parts:
            if isinstance(part, str):
                parts.append(encoded(part, what))
                continue
            value = evaluated(part, scope)
            if value is None:
                break
            parts.append(placed(value, what))
        else:
            out.append((key, "".join(parts)))
    return out


def raw_query(query: Mapping[str, str | list[str]]) -> str:
    """The query string of parsed parameters."""
    pairs = [(name, value) for name, given in query.items() for value in (given if isinstance(given, list) else [given])]
    return "&".join(f"{encoded(name, 'the query')}={encoded(value, 'the query')}" for name, value in pairs)


def query_names(raw: str) -> frozenset[str]:
    """The decoded names in a query string."""
    return frozenset(unquote_plus(pair.partition("=")[0]) for pair in raw.split("&")) if raw else frozenset()


def without(raw: str, names: Collection[str]) -> str:
    """The query string without the parameters of these names; every other byte stays as it came."""
    if not raw or not names:
        return raw
    kept = "&".join(pair for pair in raw.split("&") if unquote_plus(pair.partition("=")[0]) not in names)
    if ";" in kept and any(unquote_plus(pair.partition("=")[0]) in names for pair in re.split("[&;]", kept)):
        raise refused("a parameter that the rule sets stands behind a `;` in the query; separate parameters with `&`")
    return kept


def join(path: str, client: str, rule: Sequence[tuple[str, str]]) -> str:
    """Path and query as one target."""
    own = "&".join(f"{name}={value}" for name, value in rule)
    query = f"{client}&{own}" if client and own else client or own
    target = f"{path}?{query}" if query else path
    if len(target) > MAX_TARGET:
        raise refused(
            f"the target of the call would have {len(target)} characters, at most {MAX_TARGET} are sent; send shorter values"
        )
    return target
