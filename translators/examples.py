"""Examples of a rule file: their messages as bytes, and what went over the wire compared with what they say.

Pure. Who runs an example is not known here; a message that went over the wire is a `Heard`, whoever heard it. Of what an example
leaves unsaid nothing is compared, but for the body of a request: one that is not told must not be sent.

In the `json` of what is expected, the text `any` stands for one value of any kind, and `"...": any` for further members.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from translators.formats.forms import FileRef, form_content_type, free_boundary, read_form, write_form
from translators.formats.multipart import MultipartError, boundary_of
from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.model import Message
from translators.values import base64_bytes

ANY: Final = "any"
REST: Final = "..."
Headers = tuple[tuple[str, str], ...]

_BOUNDARY: Final = "example-form-boundary"
_DIGITS: Final = 9
_SHOWN: Final = 100  # characters of a value in a difference
_JSON: Final = "application/json"
_FILE: Final = frozenset(("file", "name", "type"))


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it went over the wire: a request has `method` and `target`, an answer `status`. `body` is without framing."""

    headers: Headers
    body: bytes
    method: str = ""
    target: str = ""
    status: int = 0

    def header(self, name: str) -> str | None:
        """The first field of a name (lower case)."""
        return next((value for key, value in self.headers if key.lower() == name), None)


# --- answers whose lists are as long as the request says ---


def lists_at(value: Any, path: str) -> Iterator[Any]:
    """What stands at a path such as `data[].embedding`, once for each element; nothing where the path leads nowhere."""
    name, _, rest = path.partition(".")
    held = value.get(name.removesuffix("[]")) if isinstance(value, Mapping) else None
    for one in (held if isinstance(held, list) else []) if name.endswith("[]") else [held] if held is not None else []:
        yield from lists_at(one, rest) if rest else [one]


def told_length(body: Any, member: str) -> int | None:
    """How many a member of a request asks for: a number (also one written as text), a list by its length, another value as 1."""
    told = next(lists_at(body, member), None)
    if told is None or isinstance(told, bool | float):
        return None
    if isinstance(told, int):
        return told
    if isinstance(told, list):
        return len(told)
    return int(told) if isinstance(told, str) and told.isascii() and told.isdecimal() and len(told) < _DIGITS else 1


def with_length(value: Any, path: str, length: int) -> Any:
    """A copy whose lists at a path have so many elements; further ones repeat those that are there, an `index` is counted up."""
    name, _, rest = path.partition(".")
    name, each = name.removesuffix("[]"), name.endswith("[]")
    held = value.get(name) if isinstance(value, Mapping) else None
    if held is None or (each and not isinstance(held, list)):
        return value
    if rest:
        held = [with_length(one, rest, length) for one in held] if each else with_length(held, rest, length)
    elif isinstance(held, list) and held:
        held = [_numbered(held[place % len(held)], place) for place in range(length)]
    return {**value, name: held}


def _numbered(element: Any, place: int) -> Any:
    return {**element, "index": place} if isinstance(element, Mapping) and isinstance(element.get("index"), int) else element


# --- what an example says, as bytes ---


def content_of(message: Message) -> tuple[bytes | None, str | None]:
    """The body of a message and its media type; None where the message has none, or leaves the type to its headers."""
    body, content_type = _content(message)
    stated = any(name.lower() == "content-type" for name, _ in message.headers)
    return body, None if stated else content_type


def _content(message: Message) -> tuple[bytes | None, str | None]:
    if message.has_json:
        return dumps(message.json), _JSON
    if message.text is not None:
        return _text_of(message), "text/event-stream" if message.sse else "text/plain; charset=utf-8"
    if message.data is not None:
        return message.data, "application/octet-stream"
    if message.form is not None:
        fields = _fields(message.form)
        values = [value for field in fields.values() for value in field]
        boundary = free_boundary(_BOUNDARY, values)
        return write_form(fields, boundary), form_content_type(boundary)
    return None, None


def _text_of(message: Message) -> bytes:
    """The text; a stream of events ends in a blank line."""
    text = message.text or ""
    if message.sse and text and not text.endswith("\n\n"):
        text += "\n" if text.endswith("\n") else "\n\n"
    return text.encode()


def _fields(form: Iterable[tuple[str, object]]) -> dict[str, list[str | FileRef]]:
    """The parts of a form by name, in order."""
    fields: dict[str, list[str | FileRef]] = {}
    for name, value in form:
        for item in value if isinstance(value, list | tuple) else [value]:
            fields.setdefault(name, []).append(_part(item))
    return fields


def _part(value: object) -> str | FileRef:
    if isinstance(value, Mapping) and value.keys() <= _FILE:
        data = value.get("file", "")
        octets = data if isinstance(data, bytes) else base64_bytes(str(data))
        kind = value.get("type")
        return FileRef(str(value.get("name", "file")), str(kind) if kind is not None else None, octets)
    return value if isinstance(value, str) else dumps(value).decode()


# --- requests ---


def request_differences(expected: Message, heard: Heard, *, passing: frozenset[str] = frozenset()) -> list[str]:
    """What is different in a request, one line each. Parameters of the query named in `passing` may be there unsaid."""
    found: list[str] = []
    if expected.method is not None and expected.method != heard.method:
        found.append(f"method: expected {expected.method}, got {heard.method}")
    if expected.target is not None:
        found += _target_differences(expected.target, heard.target, passing)
    found += _header_differences(expected.headers, heard)
    if _says_body(expected):
        found += _body_differences(expected, heard)
    elif heard.body:
        found.append(f"body: expected none, got {shown(heard.body)}")
    return found


def carried_differences(client: Heard, heard: Heard, *, passing: frozenset[str] = frozenset()) -> list[str]:
    """What is different between what a client sent (its target without the platform's name) and what went on as `same`."""
    found: list[str] = []
    if client.method != heard.method:
        found.append(f"method: the client's is {client.method}, got {heard.method}")
    found += _target_differences(client.target, heard.target, passing)
    if client.body != heard.body:
        found.append(_bytes_difference("body", client.body, heard.body))
    return found


def _target_differences(expected: str, got: str, passing: frozenset[str]) -> list[str]:
    path, _, query = expected.partition("?")
    got_path, _, got_query = got.partition("?")
    found = [f"path: expected {path}, got {got_path}"] if path != got_path else []
    wanted, there = _parameters(query), _parameters(got_query)
    named = {name for name, _ in wanted}
    there = [pair for pair in there if pair[0] in named or pair[0].lower() not in passing]
    found += [f"query: expected {name}={value}, which is not there" for name, value in _without(wanted, there)]
    found += [f"query: {name}={value} is there and not expected" for name, value in _without(there, wanted)]
    return found


def _parameters(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _without(some: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """`some` less `others`, as multisets."""
    left = list(others)
    out = []
    for item in some:
        if item in left:
            left.remove(item)
        else:
            out.append(item)
    return out


# --- answers ---


def answer_differences(expected: Message, heard: Heard) -> list[str]:
    """What is different in an answer, one line each."""
    status = expected.status or 200
    found = [f"status: expected {status}, got {heard.status}"] if status != heard.status else []
    found += _header_differences(expected.headers, heard)
    if _says_body(expected):
        found += _body_differences(expected, heard)
    if found and status != heard.status and heard.body and heard.status >= 400:
        found.append(f"the body of the answer: {shown(heard.body)}")
    return found


def same_answer_differences(given: Heard, heard: Heard) -> list[str]:
    """What is different between the platform's answer and what the client got as `same`."""
    found = [f"status: the platform's is {given.status}, got {heard.status}"] if given.status != heard.status else []
    if given.header("content-type") != heard.header("content-type"):
        found.append(f"Content-Type: the platform's is {given.header('content-type')}, got {heard.header('content-type')}")
    if given.body != heard.body:
        found.append(_bytes_difference("body", given.body, heard.body))
    return found


# --- headers and bodies ---


def _says_body(message: Message) -> bool:
    return message.has_json or message.text is not None or message.data is not None or message.form is not None


def _header_differences(expected: Headers, heard: Heard) -> list[str]:
    found = []
    for name, value in expected:
        there = [given for key, given in heard.headers if key.lower() == name.lower()]
        if value not in there:
            found.append(f"header {name}: expected {shown(value)}, got {', '.join(map(shown, there)) or 'none'}")
    return found


def _body_differences(expected: Message, heard: Heard) -> list[str]:
    if expected.has_json:
        try:
            got = loads(heard.body)
        except BadJsonError as error:
            return [f"body: expected JSON, got {shown(heard.body)} ({error.message})"]
        return json_differences(expected.json, got, "json", open_top=expected.open)
    if expected.form is not None:
        return _form_differences(expected.form, heard)
    wanted = expected.data if expected.text is None else _text_of(expected)
    assert wanted is not None  # the caller looked
    return [] if wanted == heard.body else [_bytes_difference("text" if expected.text is not None else "body", wanted, heard.body)]


def json_differences(expected: Any, got: Any, path: str, *, open_top: bool = False) -> list[str]:
    """Where two JSON values differ, types included; `path` says where they stand."""
    if expected == ANY and isinstance(expected, str):
        return []
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return _member_differences(expected, got, path, open_top=open_top)
    if isinstance(expected, list | tuple) and isinstance(got, list):
        found = []
        for place, (one, other) in enumerate(zip(expected, got, strict=False)):
            found += json_differences(one, other, f"{path}[{place}]")
        if len(expected) != len(got):
            found.append(f"{path}: expected {len(expected)} elements, got {len(got)}")
        return found
    if _kind(expected) == _kind(got) and expected == got:
        return []
    return [f"{path}: expected {_json_shown(expected)}, got {_json_shown(got)}"]


def _member_differences(expected: Mapping[str, Any], got: Mapping[str, Any], path: str, *, open_top: bool) -> list[str]:
    found = []
    for name, value in expected.items():
        if name == REST and value == ANY:
            open_top = True
        elif name not in got:
            found.append(f"{path}.{name}: expected {_json_shown(value)}, which is not there")
        else:
            found += json_differences(value, got[name], f"{path}.{name}")
    if not open_top:
        found += [
            f"{path}.{name}: {_json_shown(value)} is there and not expected" for name, value in got.items() if name not in expected
        ]
    return found


def _kind(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return repr(type(value))
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "fraction"
    return "text" if isinstance(value, str) else "other"


def _form_differences(form: Iterable[tuple[str, object]], heard: Heard) -> list[str]:
    boundary = boundary_of(heard.header("content-type") or "")
    if boundary is None:
        return [f"body: expected a form, got {heard.header('content-type') or 'no media type'}"]
    try:
        parts = read_form(heard.body, boundary)
    except MultipartError as error:
        return [f"body: expected a form, and it cannot be read: {error.message}"]
    got: dict[str, list[tuple[str | None, str | None, bytes]]] = {}
    for part in parts:
        got.setdefault(part.name or "", []).append((part.filename, part.content_type, bytes(part.data)))
    wanted = {name: [_wanted(value) for value in values] for name, values in _fields(form).items()}
    found = [f"form {name}: is there and not expected" for name in got if name not in wanted]
    for name, values in wanted.items():
        there = got.get(name, [])
        if len(there) != len(values):
            found.append(f"form {name}: expected {len(values)} parts, got {len(there)}")
        for one, other in zip(values, there, strict=False):
            found += _part_differences(name, one, other)
    return found


def _wanted(value: str | FileRef) -> tuple[str | None, str | None, bytes]:
    if isinstance(value, str):
        return None, None, value.encode()
    return value.filename, value.content_type, bytes(value.data)


def _part_differences(
    name: str, wanted: tuple[str | None, str | None, bytes], got: tuple[str | None, str | None, bytes]
) -> list[str]:
    if wanted[0] is None and wanted[2] == ANY.encode():
        return []
    labels = ("file name", "type")
    found = [
        f"form {name}: {label}: expected {one}, got {other}"
        for label, one, other in zip(labels, wanted[:2], got[:2], strict=True)
        if one != other and not (label == "type" and one is None)
    ]
    if wanted[2] != got[2]:
        found.append(_bytes_difference(f"form {name}", wanted[2], got[2]))
    return found


# --- how differences are shown ---


def _bytes_difference(what: str, expected: bytes, got: bytes) -> str:
    """Where two runs of bytes part, with a little of both."""
    place = next(
        (at for at, (one, other) in enumerate(zip(expected, got, strict=False)) if one != other), min(len(expected), len(got))
    )
    line = expected.count(b"\n", 0, place) + 1
    start = max(place - 20, 0)
    sides = [shown(text[start : start + _SHOWN]) if text[start:] else "its end" for text in (expected, got)]
    where = f"line {line}" if b"\n" in expected else f"byte {place}"
    return f"{what}: different from {where} on: expected {sides[0]}, got {sides[1]}"


def _json_shown(value: Any) -> str:
    try:
        return shown(dumps(value))
    except (BadJsonError, TypeError):
        return shown(repr(value))


def shown(value: str | bytes) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in short)
