"""Where members stand in the text of a JSON object that is here as a whole, found without building the values.

Offsets follow from the lengths of the raw values that a fast decoder gives. This is exact for valid texts; judging the rest of
the text is left to `strict_json.loads`, which the caller uses on such small texts anyway. Texts that arrive in pieces, and those
with a key that stands twice, are read by `scanner`. Nothing here changes a text (`edits` does).
"""

import re
from typing import Final

import msgspec

from translators.formats.members import Member, ObjectSpan, Path, Spans, Watch
from translators.formats.scanner import SpanScanner

__all__ = [
    "Member",
    "ObjectSpan",
    "Path",
    "SpanScanner",
    "Spans",
    "Watch",
    "duplicate_top_level_key",
    "find_spans",
    "raw_members",
    "repeats",
]

_NOTHING: Final = Watch(())
_RAW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MEMBER: Final = re.compile(rb'[ \t\n\r]*+([{,])[ \t\n\r]*+("(?:[^"\\]++|\\.)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_CLOSE: Final = re.compile(rb"[ \t\n\r]*+}[ \t\n\r]*+\Z")


def find_spans(data: bytes, watch: Watch) -> Spans:
    """The spans of a valid, whole text. Raises BadJsonError for structural faults it happens to meet."""
    spans = Spans()
    try:
        _find(data, 0, watch, spans)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, _UnevenError):
        scanner = SpanScanner(watch)
        scanner.feed(data)
        return scanner.finish()
    spans.length = len(data)
    return spans


def duplicate_top_level_key(data: bytes) -> str | None:
    """A key that stands more than once in the outermost object of a valid text, or None; None too when it is no object."""
    raws = raw_members(data)
    if not raws:
        return None
    spans = find_spans(data, Watch((key,) for key in raws))
    return spans.duplicates[0][0] if spans.duplicates else None


def repeats(data: bytes) -> bool:
    """Whether a key stands more than once in the outermost object of a valid text; False too when it is no object."""
    raws = raw_members(data)
    if not raws:
        return False
    try:
        if not _find_compact(0, len(data) - 1, raws, _NOTHING, Spans()):
            _find_spaced(data, 0, raws, _NOTHING, Spans())
    except _UnevenError:
        return True
    return False


def raw_members(data: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of the outermost object, values as they are written, of keys that stand twice the last; None when it is none.

    `data` must have passed `strict_json.loads`.
    """
    try:
        return _RAW.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


class _UnevenError(Exception):
    """The text and its decoded members do not run in step: a key stands twice."""


def _find(data: bytes, base: int, watch: Watch, spans: Spans) -> None:
    """Record the watched members of the object that is the whole of `data`, which stands at offset `base` of the text."""
    raws = _RAW.decode(data)
    if not _find_compact(base, base + len(data) - 1, raws, watch, spans):
        _find_spaced(data, base, raws, watch, spans)
    for key, inner in watch.deep:
        if key in raws:
            start = spans.members[inner.path].value_start
            if data[start - base] == 0x7B:
                _find(bytes(raws[key]), start, inner, spans)


def _find_compact(open_: int, close: int, raws: dict[str, msgspec.Raw], watch: Watch, spans: Spans) -> bool:
    """Offsets by arithmetic alone, when the text is as short as its members allow; False when it is longer.

    `raws` has each key once, and no member can be written shorter than quote, key, quote, colon, value. So when the shortest
    members, their commas and the braces make up the whole length, there is no space, no escape in a key and no second member
    of one name, and the members stand one after the other in order.
    """
    below = watch.below
    members = []
    at = open_ + 1
    for key, raw in raws.items():
        key_end = at + 2 + (len(key) if key.isascii() else len(key.encode()))
        value_end = key_end + 1 + len(raw)
        if key in below:
            comma = -1 if at == open_ + 1 else at - 1
            next_key = value_end + 1 if value_end < close else -1
            members.append((below[key].path, (at, key_end, key_end + 1, value_end, comma, next_key)))
        at = value_end + 1
    if at != close + 1 or not raws:
        return False
    spans.objects[watch.path] = ObjectSpan(open_, close, empty=False)
    found = spans.members
    for path, offsets in members:
        found[path] = Member._make(offsets)
    return True


def _find_spaced(data: bytes, base: int, raws: dict[str, msgspec.Raw], watch: Watch, spans: Spans) -> None:
    """Offsets by one anchored match a member. Raises _UnevenError when a value is not the one decoded for its key."""
    at = 0
    open_ = data.index(b"{")
    last: tuple[Path, int, int, int, int, int] | None = None  # a watched member whose successor is not known yet
    for key, raw in raws.items():
        match = _MEMBER.match(data, at)
        if match is None:
            raise _UnevenError
        key_start, key_end = match.span(2)
        if last is not None:
            spans.members[last[0]] = Member(*last[1:], base + key_start)
            last = None
        value_start = match.end()
        at = value_start + len(raw)
        # a value cannot begin with another whole value, but for numbers, and there the next match fails: equal means the same
        if data[value_start:at] != bytes(raw):
            raise _UnevenError
        if key in watch.below:
            comma = -1 if match.start(1) == open_ else base + match.start(1)
            last = (watch.below[key].path, base + key_start, base + key_end, base + value_start, base + at, comma)
    if last is not None:
        spans.members[last[0]] = Member(*last[1:], -1)
    if not raws:
        at = open_ + 1
    if _CLOSE.match(data, at) is None:
        raise _UnevenError
    spans.objects[watch.path] = ObjectSpan(base + open_, base + data.index(b"}", at), not raws)
