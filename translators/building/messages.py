"""Edits, templates, answers, streams, failures and calls, from their fields to the model."""

from collections.abc import Iterable

from translators import values, yamlfile
from translators.building import scopes
from translators.building.scopes import Scope
from translators.building.texts import Compiler
from translators.expressions.compile import Expression
from translators.expressions.template import ValueTemplate
from translators.formats.edits import format_path
from translators.formats.members import Path
from translators.model import (
    Body,
    Edit,
    EditKind,
    ErrorRule,
    EventRule,
    FetchRule,
    Hop,
    Media,
    Poll,
    Response,
    Retry,
    Stream,
    Text,
    Unknown,
    Usage,
)
from translators.place import Where
from translators.problems import Problems, quote
from translators.schema import Fields, Word, read_value
from translators.words import message as words
from translators.yamlfile import Node, Scalar, Sequence

Named = tuple[tuple[str, Text], ...]


def exactly_one(fields: Fields, choices: Iterable[Word[object]], what: str, problems: Problems) -> Word[object] | None:
    """The one of some words that stands there; a problem when none or several do."""
    choices = list(choices)
    said = fields.said(choices)
    if len(said) == 1:
        return said[0]
    if fields.flawed and not said:
        return None
    names = ", ".join(f"`{word.name}`" for word in choices)
    found = " and ".join(f"`{word.name}`" for word in said) or "none"
    problems.add(f"{what} needs exactly one of {names}; found {found}", fields.place, "Keep one." if said else "Say one of them.")
    return None


def check_repeated(written: Iterable[tuple[Scalar | None, Where]], what: str, problems: Problems) -> None:
    """Of two lines with the same `when` the second is never reached."""
    seen: dict[str, Where] = {}
    for when, where in written:
        if when is not None and (first := seen.setdefault(when.text, where)) is not where:
            message = f"this {what} is never reached: the one in line {first.line} has the same `when`"
            problems.add(message, when.where, "Remove one of the two, or change its `when`.")


def named_texts(entries: Iterable[tuple[str, Scalar]] | None, compiler: Compiler, scope: Scope) -> Named:
    """Headers, or parameters of a query."""
    return tuple((name, text) for name, node in entries or () if (text := compiler.text(node, scope)) is not None)


def headers(entries: tuple[tuple[str, Scalar], ...] | None, compiler: Compiler, scope: Scope) -> Named:
    for name, node in entries or ():
        if isinstance(node.value, str) and "${" not in node.value:
            read_value(values.header_literal, node, compiler.problems, node.value)
            if values.looks_like_credential(node.value):
                hint = "Say it with `auth`, or in the `headers` of the file with ${secret.NAME}."
                compiler.problems.add(f"the header {quote(name)} seems to hold a credential that is written out", node.where, hint)
    return named_texts(entries, compiler, scope)


# --- edits ---


def edits(written: Iterable[Fields], compiler: Compiler, scope: Scope) -> tuple[Edit, ...]:
    return tuple(edit for fields in written for edit in _edits(fields, compiler, scope))


def _edits(fields: Fields, compiler: Compiler, scope: Scope) -> list[Edit]:
    kind = exactly_one(fields, words.EDIT_KINDS, "an edit", compiler.problems)
    when = compiler.expression(fields.get(words.EDIT_WHEN), scope)
    if kind is words.EDIT_RENAME:
        _check_renames(fields.get(words.EDIT_RENAME) or (), compiler.problems)
        return [Edit(EditKind.RENAME, old, key.where, to=new, when=when) for key, old, new in fields.get(words.EDIT_RENAME) or ()]
    if kind is words.EDIT_REMOVE:
        return [Edit(EditKind.REMOVE, path, fields.place, when=when) for path in fields.get(words.EDIT_REMOVE) or ()]
    if kind is None:
        return []
    word = words.EDIT_SET if kind is words.EDIT_SET else words.EDIT_DEFAULT
    found: list[Edit] = []
    node = fields.get(word)
    if node is not None and not node.entries:
        compiler.problems.add("an empty mapping says nothing", node.where, "Write path: value.")
    for key, value in node.entries if node else ():
        path = read_value(values.dotted_path, key, compiler.problems, key.text)
        if path is not None:
            template = compiler.template(value, scope)
            found.append(Edit(EditKind(word.name), path, key.where, template, when=when))
    paths = {edit.path for edit in found}
    for edit in found:
        if any(edit.path[:size] in paths for size in range(1, len(edit.path))):
            message = f"{quote(format_path(edit.path))} lies within another path of this `{word.name}`"
            compiler.problems.add(message, edit.where, "Write the whole value at the shorter path.")
    return found


def _check_renames(renames: Iterable[tuple[Scalar, Path, Path]], problems: Problems) -> None:
    for key, old, new in renames:
        shorter = min(len(old), len(new))
        if old[:shorter] == new[:shorter]:
            message = f"{quote(format_path(old))} cannot be renamed to {quote(format_path(new))}: one path lies within the other"
            problems.add(message, key.where, "Name two different members.")


# --- templates ---


def body(
    node: Node | None, unknown: Unknown, compiler: Compiler, scope: Scope, *, form: bool = False, drop: Iterable[str] = ()
) -> Body | None:
    return Body(compiler.template(node, scope), unknown, form, frozenset(drop)) if node is not None else None


def media(fields: Fields | None) -> Media | None:
    if fields is None:
        return None
    return Media({word.name: form for word in words.MEDIA if (form := fields.get(word)) is not None})


# --- answers ---


def response(fields: Fields | None, compiler: Compiler, scope: Scope) -> Response | None:
    if fields is None:
        return None
    exactly_one(fields, words.RESPONSE_CONTENT, "an answer", compiler.problems)
    unknown = fields.get(words.RESPONSE_UNKNOWN)
    if unknown is not None and words.RESPONSE_BODY not in fields:
        compiler.problems.add("`unknown` belongs to `body`", fields.where(words.RESPONSE_UNKNOWN), "Remove it.")
    return Response(
        body(fields.get(words.RESPONSE_BODY), Unknown(unknown or Unknown.FORWARD), compiler, scope),
        fields.place,
        bytes=compiler.expression(fields.get(words.RESPONSE_BYTES), scope),
        url=compiler.expression(fields.get(words.RESPONSE_URL), scope),
        content_type=_content_type(fields.get(words.RESPONSE_TYPE), compiler, scope),
        status=_status(fields.get(words.RESPONSE_STATUS), compiler, scope),
        headers=headers(fields.get(words.RESPONSE_HEADERS), compiler, scope),
    )


def _content_type(node: Scalar | None, compiler: Compiler, scope: Scope) -> Text | None:
    if node is not None and "${" not in node.text:
        read_value(values.media_type, node, compiler.problems, node.text)
    return compiler.text(node, scope)


def _status(node: Scalar | None, compiler: Compiler, scope: Scope) -> Expression | None:
    if node is not None and isinstance(node.value, str) and not node.value.lstrip().startswith("${"):
        compiler.problems.add("a status is a number or an expression", node.where, "Write 200 or ${...}.")
    elif node is not None and not isinstance(node.value, str) and node.value not in range(200, 600):
        compiler.problems.add("a status is a whole number from 200 to 599", node.where)
    return compiler.value(node, scope)


# --- failures ---


def error_rule(fields: Fields | None, compiler: Compiler, scope: Scope) -> ErrorRule | None:
    if fields is None:
        return None
    table = fields.get(words.ERRORS_STATUS) or ()
    _check_ranges([(key.text, key.where) for key, _, _ in table], compiler.problems)
    return ErrorRule(
        fields.place,
        when=compiler.expression(fields.get(words.ERRORS_WHEN), scope),
        status={code: status for _, code, status in table},
        otherwise=fields.get(words.ERRORS_OTHERWISE),
        code=compiler.value(fields.get(words.ERROR_CODE), scope),
        message=compiler.value(fields.get(words.ERROR_MESSAGE), scope),
        type=compiler.value(fields.get(words.ERROR_TYPE), scope),
    )


def _check_ranges(codes: Iterable[tuple[str, Where]], problems: Problems) -> None:
    spans = sorted((span, text, where) for text, where in codes if (span := values.code_range(text)) for _ in (0,))
    widest: tuple[int, str] | None = None
    for (low, high), text, where in spans:
        if widest is not None and low <= widest[0]:
            problems.add(f"the codes {quote(text)} overlap with {quote(widest[1])}", where, "Give every code one status.")
        if widest is None or high > widest[0]:
            widest = high, text


# --- streams ---


def stream(fields: Fields | None, compiler: Compiler, request: Scope) -> Stream | None:
    if fields is None:
        return None
    scope = scopes.STREAM
    for name, members in request.members:
        if name in scope.names:
            scope = scope.knowing(name, members)
    events = fields.get(words.STREAM_EVENTS) or ()
    rules = tuple(_event(event, compiler, scope) for event in events)
    for event, rule in zip(events[:-1], rules[:-1], strict=True):
        if words.EVENT_WHEN not in event:
            message = "the events below this one are never reached: it has no `when`"
            compiler.problems.add(message, rule.where, "Give it a `when`, or put it last.")
            break
    check_repeated([(event.get(words.EVENT_WHEN), event.place) for event in events], "event", compiler.problems)
    return Stream(
        rules,
        fields.place,
        when=compiler.expression(fields.get(words.STREAM_WHEN), request),
        lines=fields.get(words.STREAM_LINES) or False,
        content_type=fields.get(words.STREAM_TYPE),
    )


def _event(fields: Fields, compiler: Compiler, scope: Scope) -> EventRule:
    exactly_one(fields, words.EVENT_ACTIONS, "an event", compiler.problems)
    if words.EVENT_NAME in fields and words.EVENT_SEND not in fields:
        compiler.problems.add("`event` names what `send` sends", fields.where(words.EVENT_NAME), "Remove it, or say `send`.")
    return EventRule(
        fields.place,
        when=compiler.expression(fields.get(words.EVENT_WHEN), scope),
        send=_sent(fields.get(words.EVENT_SEND), compiler, scope),
        name=compiler.text(fields.get(words.EVENT_NAME), scope),
        bytes=compiler.expression(fields.get(words.EVENT_BYTES), scope),
        drop=fields.get(words.EVENT_DROP) or False,
        error=_event_error(fields.get(words.EVENT_FAILURE), compiler, scope),
    )


def _sent(node: Node | None, compiler: Compiler, scope: Scope) -> tuple[ValueTemplate, ...]:
    if node is None:
        return ()
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        compiler.problems.add("an empty list says nothing", node.where, "Write `drop: true` if nothing is to go out.")
    if isinstance(node, Sequence) and [item.value for item in items if isinstance(item, Scalar)] == ["DONE"] and len(items) == 1:
        compiler.problems.add("[DONE] is a list in YAML", node.where, 'Quote it: "[DONE]".')
    for item in items:
        if not isinstance(item, yamlfile.Mapping) and not (isinstance(item, Scalar) and isinstance(item.value, str)):
            compiler.problems.add(
                "what goes out is a mapping or a text", item.where, "A mapping becomes JSON, a text stands as it is."
            )
    return tuple(compiler.template(item, scope) for item in items)


def _event_error(fields: Fields | None, compiler: Compiler, scope: Scope) -> ErrorRule | None:
    if fields is None:
        return None
    return ErrorRule(
        fields.place,
        otherwise=fields.get(words.EVENT_ERROR_STATUS),
        code=compiler.value(fields.get(words.ERROR_CODE), scope),
        message=compiler.value(fields.get(words.ERROR_MESSAGE), scope),
        type=compiler.value(fields.get(words.ERROR_TYPE), scope),
    )


# --- calls of the proxy's own ---


def poll(written: object, compiler: Compiler, scope: Scope) -> Poll | None:
    """A call, in its short form or as a mapping."""
    if isinstance(written, Scalar):
        send = compiler.send(written, scope)
        return Poll(send, written.where) if send else None
    if not isinstance(written, Fields):
        return None
    send = compiler.send(written.get(words.CALL_SEND), scope)
    fields = headers(written.get(words.CALL_HEADERS), compiler, scope)
    template = _call_body(written, compiler, scope)
    return Poll(send, written.place, fields, template) if send else None


def hop(fields: Fields, compiler: Compiler, scope: Scope) -> Hop | None:
    """A step of a download. `body` is the answer before it in its call, and its own answer in its `url`."""
    send = compiler.send(fields.get(words.CALL_SEND), scope)
    url = compiler.expression(fields.get(words.HOP_URL), scope)
    named = headers(fields.get(words.CALL_HEADERS), compiler, scope)
    template = _call_body(fields, compiler, scope)
    return Hop(send, url, fields.place, template, named) if send and url else None


def _call_body(fields: Fields, compiler: Compiler, scope: Scope) -> Body | None:
    return body(fields.get(words.CALL_BODY), Unknown.DROP, compiler, scope)


# --- accounting, repetition, fetching ---


def usage(fields: Fields | None, compiler: Compiler) -> Usage | None:
    if fields is None:
        return None
    read = [compiler.expression(fields.get(word), scopes.USAGE) for word in _USAGE]
    return Usage(*read)


_USAGE = (words.USAGE_INPUT, words.USAGE_OUTPUT, words.USAGE_CACHED, words.USAGE_REASONING)


def retry(fields: Fields | None) -> Retry | None:
    attempts = fields.get(words.RETRY_ATTEMPTS) if fields else None
    if fields is None or attempts is None:
        return None
    wait = fields.get(words.RETRY_WAIT)
    return Retry(attempts, frozenset(fields.get(words.RETRY_ON) or ()), 1.0 if wait is None else wait)


def fetch(fields: Fields | None) -> FetchRule | None:
    if fields is None:
        return None
    default = FetchRule(())
    return FetchRule(
        fields.get(words.FETCH_HOSTS) or (),
        fields.get(words.FETCH_TYPES) or (),
        fields.get(words.FETCH_SIZE) or default.size,
        fields.get(words.FETCH_TIMEOUT) or default.timeout,
    )
