"""Examples: their fields to the model, and whether they speak of routes and examples that there are."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from translators.examples import lists_at, told_length
from translators.model import Example, Message, Platform
from translators.paths import PathTable
from translators.place import Where
from translators.problems import Problems, quote, suggest
from translators.schema import Fields
from translators.words import examples as words
from translators.words.platform import plain_value
from translators.yamlfile import Node, Scalar

OPEN = "..."  # the member of an expected object that stands for further ones
_ID = re.compile(r"\$\{\s*id\s*\}")


def build_examples(written: Iterable[Fields], problems: Problems) -> tuple[Example, ...]:
    examples = tuple(example for fields in written if (example := _example(fields, problems)) is not None)
    titles: dict[str, Where] = {}
    for example in examples:
        first = titles.setdefault(example.title, example.where)
        if first is not example.where:
            message = f"the title {quote(example.title)} stands twice: first in line {first.line}"
            problems.add(message, example.where, "Give each example a title of its own.")
    for example in examples:
        if example.after is not None and example.after not in titles:
            message = f"`after` names no example of this file: {quote(example.after)}"
            problems.add(message, example.where, suggest(example.after, titles))
        elif example.after is None and example.client.target and _ID.search(example.client.target):
            problems.add("`${id}` is the id in the result of another example", example.client.where, "Say which with `after`.")
    return examples


def _example(fields: Fields, problems: Problems) -> Example | None:
    title, client = fields.get(words.TITLE), fields.get(words.CLIENT)
    if title is None or client is None:
        return None
    asked, calls = _message(client, problems), _calls(fields, problems)
    for upstream, answer in calls:
        if answer is not None:
            _check_repeat(asked if upstream.same else upstream, answer, problems)
    return Example(
        title=title,
        where=fields.place,
        client=asked,
        calls=calls,
        result=_given(fields.get(words.RESULT), problems),
        fetches={
            url: _message(answer, problems, fetched=True) for _, url, answer in fields.get(words.FETCHES) or ()
        },
        after=fields.get(words.AFTER),
    )  # fmt: skip


def _calls(fields: Fields, problems: Problems) -> tuple[tuple[Message, Message | None], ...]:
    several = fields.get(words.CALLS)
    single = fields.said(words.CALL)
    if several is not None and single:
        hint = "Put it into the list, or remove `calls`."
        problems.add(f"`calls` and `{single[0].name}` cannot stand together", fields.where(single[0]), hint)
    found = several if several is not None else (fields,) if single else ()
    return tuple(_call(call, problems) for call in found)


def _call(fields: Fields, problems: Problems) -> tuple[Message, Message | None]:
    upstream = _given(fields.get(words.UPSTREAM), problems) or Message(fields.place, same=True)
    answer = fields.get(words.ANSWER_WORD)
    return upstream, _message(answer, problems) if answer is not None else None


def _check_repeat(request: Message, answer: Message, problems: Problems) -> None:
    """An example that says how long its lists are keeps to it."""
    body = dict(request.form) if request.form is not None else request.json
    for path, member in answer.repeat:
        lists, told = list(lists_at(answer.json, path)), told_length(body, member)
        if not lists or not all(isinstance(found, list) and found for found in lists):
            message = f"{quote(path)} is no list in `json` that holds something"
            hint = "Write the path of one, with its first elements."
        elif told is None:
            message, hint = f"the request of this example has no {quote(member)}", "Let the example ask for what it shows."
        elif any(len(found) != told for found in lists):
            message = f"{quote(path)} holds {len(lists[0])}, and {quote(member)} of this example's request says {told}"
            hint = "Make the two agree."
        else:
            continue
        problems.add(f"`repeat`: {message}", answer.where, hint)


def _given(written: Any, problems: Problems) -> Message | None:
    """A message, or `same`."""
    if isinstance(written, Scalar):
        return Message(written.where, same=True)
    return _message(written, problems) if isinstance(written, Fields) else None


def _message(fields: Fields, problems: Problems, *, fetched: bool = False) -> Message:
    said = fields.said(words.BODIES)
    if len(said) > 1:
        names = " and ".join(f"`{word.name}`" for word in said)
        problems.add(f"{names} cannot stand together: a message has one body", fields.where(said[1]), "Keep one of them.")
    node = fields.get(words.MESSAGE_JSON)
    sse = fields.get(words.MESSAGE_SSE)
    method, target = fields.get(words.MESSAGE_SEND) or (None, None)
    form = fields.get(words.MESSAGE_FORM)
    value = _json(node, problems) if node is not None else None
    status = fields.get(words.MESSAGE_STATUS)
    return Message(
        fields.place,
        method=method,
        target=target,
        status=200 if status is None and (fetched or method is None) else status or None,
        headers=_headers(fields),
        json=value,
        has_json=words.MESSAGE_JSON in fields,
        text=_ended(sse) if sse is not None else fields.get(words.MESSAGE_TEXT),
        data=fields.get(words.MESSAGE_BASE64),
        form=tuple((name, part) for _, name, part in form) if form is not None else None,
        open=isinstance(value, Mapping) and OPEN in value,
        sse=sse is not None,
        repeat=tuple((path, member) for _, path, member in fields.get(words.MESSAGE_REPEAT) or ()),
    )


def _headers(fields: Fields) -> tuple[tuple[str, str], ...]:
    """The headers, and the type where it is said by itself."""
    found = [(name, node.text) for name, node in fields.get(words.MESSAGE_HEADERS) or ()]
    media_type = fields.get(words.MESSAGE_TYPE)
    if media_type is not None and not any(name.lower() == "content-type" for name, _ in found):
        found.append(("Content-Type", media_type))
    return tuple(found)


def _ended(text: str) -> str:
    """A stream of events with the blank line that ends its last one."""
    return text if not text or text.endswith("\n\n") else text + ("\n" if text.endswith("\n") else "\n\n")


def _json(node: Node, problems: Problems) -> object:
    return plain_value(node, problems)


# --- with the routes ---


def check_routes(platform: Platform, problems: Problems) -> None:
    """Every example's client asks for a path that the platform serves."""
    table = PathTable.build((route.method, route.path, route) for route in platform.routes)
    prefix = f"/{platform.name}"
    for example in platform.examples:
        method, target = example.client.method, example.client.target
        if method is None or target is None:
            continue
        path = _ID.sub("x", target).partition("?")[0]
        inside = path.startswith(prefix + "/")
        own = path.removeprefix(prefix) if inside else path
        if table.match(method, own) is None and not (inside and platform.native):
            methods = table.methods(own)
            hint = f"It is served for {', '.join(methods)}." if methods else f"Paths start with {prefix}/ and stand under `routes`."
            problems.add(f"no route serves {quote(f'{method} {path}')}", example.client.where, hint)
