"""What has changed between two messages: field lines that went and came, and the members of JSON that differ.

A change is `(sign, text)`: `-` for what is there no more, `+` for what is new, `~` for a value that became another, and a blank for
a remark. Bodies that are no JSON are compared by lines where they are text, and by size where they are not.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from translators.examples import Heard
from translators.formats.strict_json import BadJsonError, dumps, loads

Change = tuple[str, str]

_MOST = 200  # changes of one body
_LONGEST = 200  # characters of one value


def head_changes(before: Heard, after: Heard) -> list[Change]:
    """The request or status line where it differs, then the field lines, in the order of the messages."""
    first, second = _first_line(before), _first_line(after)
    found = [("-", first), ("+", second)] if first != second else []
    old, new = [f"{name}: {value}" for name, value in before.headers], [f"{name}: {value}" for name, value in after.headers]
    found += [("-", line) for line in old if line not in new]
    found += [("+", line) for line in new if line not in old]
    return found


def _first_line(message: Heard) -> str:
    return f"{message.method} {message.target}" if message.method else str(message.status)


def body_changes(before: bytes, after: bytes) -> list[Change]:
    """What differs between two bodies; empty where every byte is the same."""
    if before == after:
        return []
    try:
        changes = list(json_changes(loads(before), loads(after)))
    except BadJsonError:
        changes = _other_changes(before, after)
    else:
        changes = changes or [(" ", "the same values, written in another way")]
    if len(changes) > _MOST:
        return [*changes[:_MOST], (" ", f"and {len(changes) - _MOST} more")]
    return changes


def json_changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """The members that went, came or became others, by their paths."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in before:
            inner = f"{path}.{name}" if path else str(name)
            if name not in after:
                yield "-", f"{inner}: {_value(before[name])}"
            else:
                yield from json_changes(before[name], after[name], inner)
        for name in after:
            if name not in before:
                yield "+", f"{path}.{name}: {_value(after[name])}" if path else f"{name}: {_value(after[name])}"
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            inner = f"{path}[{place}]"
            if place >= len(after):
                yield "-", f"{inner}: {_value(before[place])}"
            elif place >= len(before):
                yield "+", f"{inner}: {_value(after[place])}"
            else:
                yield from json_changes(before[place], after[place], inner)
    elif type(before) is not type(after) or before != after:
        yield "~", f"{path or 'all of it'}: {_value(before)} -> {_value(after)}"


def _other_changes(before: bytes, after: bytes) -> list[Change]:
    if not before or not after:
        shown = before or after
        return [("-" if before else "+", line) for line in _lines(shown)]
    old, new = _lines(before), _lines(after)
    lines = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]  # behind the two names of files
    return [(line[0], line[1:]) for line in lines if line[0] in "+-"]


def _lines(body: bytes) -> list[str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return [f"{len(body)} bytes that are no text"]
    return [_short(line) for line in text.splitlines()]


def _value(value: Any) -> str:
    return _short(dumps(value).decode())


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}… ({len(text)} characters)"
