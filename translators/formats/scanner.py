"""Finds members in a JSON text that arrives in pieces, cut anywhere: sans-I/O, at the speed of C through long strings.

It is a state machine over tokens, strict (rule P03) in all but the size of numbers, which it does not read. It gives the same
`Spans` as `spans.find_spans` gives for the whole text, and keeps no piece. Nothing here knows a field of any protocol.
"""

import codecs
import re
from typing import Final

import orjson

from translators.formats.members import Member, ObjectSpan, Path, Spans, Watch
from translators.formats.strict_json import MAX_DEPTH, BadJsonError, bad_syntax, byte_order_mark, lone_surrogate, not_utf8, too_deep

_SPACE: Final = rb"[ \t\n\r]*+"
_HEX: Final = rb"[0-9a-fA-F]"
_HIGH: Final = rb"[dD][89abAB]" + _HEX * 2
_PLAIN: Final = rb'[^"\\\x00-\x1f]'
_ESCAPE: Final = rb'\\(?:["\\/bfnrt]|u(?:' + _HIGH + rb"\\u[dD][c-fC-F]" + _HEX * 2 + rb"|(?![dD][89a-fA-F])" + _HEX * 4 + rb"))"
_SHORT_STRING: Final = rb'"(?:' + _PLAIN + rb"{1,64}+|" + _ESCAPE + rb'){0,4}+"'  # longer ones are left to faster ways
_NUMBER: Final = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+"
_FLAT: Final = _SHORT_STRING + b"|" + _NUMBER + b"|true|false|null"


def _or_containers(inner: bytes) -> bytes:
    """The pattern of a whole value: a flat one, or an array or object of values that match `inner`."""
    array = rb"\[" + _SPACE + b"(?:" + inner + _SPACE + b"(?:," + _SPACE + rb"(?!\])|(?=\])))*+\]"
    pair = _SHORT_STRING + _SPACE + b":" + _SPACE + inner
    object_ = rb"\{" + _SPACE + b"(?:" + pair + _SPACE + b"(?:," + _SPACE + rb"(?!\})|(?=\})))*+\}"
    return b"(?>" + _FLAT + b"|" + array + b"|" + object_ + b")"


# Most of a large text that is not one long string is small values in containers nobody watches. One match takes a run of them,
# nested up to _RUN_DEPTH, where the state machine below would take a microsecond for each.
_RUN_DEPTH: Final = 3
_NESTED: Final = _or_containers(_or_containers(_or_containers(b"(?>" + _FLAT + b")")))
_ARRAY_RUN: Final = re.compile(b"(?:" + _SPACE + _NESTED + _SPACE + b",)*+" + _SPACE)
_OBJECT_RUN: Final = re.compile(
    b"(?:" + _SPACE + _SHORT_STRING + _SPACE + b":" + _SPACE + _NESTED + _SPACE + b",)*+" + _SPACE,
)
_WHITESPACE: Final = re.compile(_SPACE)
_SHORT: Final = re.compile(_SHORT_STRING)
_REST_OF_STRING: Final = re.compile(b"(?:" + _PLAIN + b"++|" + _ESCAPE + b")*+")
_PLAIN_RUN: Final = re.compile(_PLAIN + b"*+")
_CUT_ESCAPE: Final = re.compile(
    rb"\\(?:u(?:" + _HEX + rb"{0,3}|" + _HIGH + rb"(?:\\(?:u(?:[dD](?:[c-fC-F]" + _HEX + rb"?)?)?)?)?)?)?\Z",
)
_LONE: Final = re.compile(rb"\\u[dD][89a-fA-F]" + _HEX * 2)
_WHOLE_NUMBER: Final = re.compile(_NUMBER)
_NUMBER_BYTES: Final = re.compile(rb"[-+.0-9eE]*+")
_DIGITS: Final = re.compile(rb"([0-9]{2})[0-9]+")
_LONG: Final = 256  # from here on the checks of long strings pay

# What may come next; the last two are inside a token.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _NEXT, _DONE, _SCALAR, _IN_STRING = range(9)
_EXPECTED: Final = {
    _VALUE: "a value was expected",
    _VALUE_OR_END: "a value or ']' was expected",
    _KEY: "a key in double quotes was expected",
    _KEY_OR_END: "a key in double quotes or '}' was expected",
    _COLON: "':' was expected after the key",
    _NEXT: "',' or the end of the array or object was expected",
    _DONE: "nothing but white space may follow the value",
    _SCALAR: "a value was expected",
    _IN_STRING: "the string is not closed",
}
_OBJECT: Final = 0x7D  # an open container that is not watched is kept as its closing bracket
_ARRAY: Final = 0x5D


class _Frame:
    """A watched object that is open."""

    __slots__ = ("comma", "empty", "key", "key_end", "key_start", "open", "pending", "seen", "value_start", "watch")

    def __init__(self, watch: Watch, open_: int) -> None:
        self.watch = watch
        self.open = open_
        self.empty = True
        self.comma = -1  # the comma before the current member
        self.seen: set[str] = set()
        self.key: str | None = None  # of the current member, when it is watched
        self.key_start = self.key_end = self.value_start = -1
        self.pending: tuple[Path, Member] | None = None  # a member whose successor is not known yet

    def settle(self, spans: Spans, next_key: int) -> None:
        """The member before is whole: its successor's key is known, or -1 at the end of the object."""
        if self.pending is not None:
            path, member = self.pending
            spans.members[path] = member._replace(next_key=next_key) if next_key >= 0 else member
            self.pending = None

    def name(self, raw: bytes | None, start: int, end: int, spans: Spans) -> None:
        """A key was read; `raw` is its text with quotes, or None when it is too long to be a watched one."""
        self.empty = False
        self.settle(spans, start)
        self.key = None
        if raw is None or len(raw) > self.watch.longest + 2:
            return
        key: str = orjson.loads(raw) if b"\\" in raw else raw[1:-1].decode()
        if key not in self.watch.below:
            return
        if key in self.seen:
            spans.duplicates.append((*self.watch.path, key))
            return
        self.seen.add(key)
        self.key = key
        self.key_start, self.key_end = start, end

    def value_ends(self, end: int) -> None:
        if self.key is not None:
            member = Member(self.key_start, self.key_end, self.value_start, end, self.comma, -1)
            self.pending = ((*self.watch.path, self.key), member)


class SpanScanner:
    """Finds the spans of a text that is fed in pieces, cut anywhere; keeps none of them but a few bytes of a cut token.

    Call `feed` for each piece, then `finish` once. Both raise BadJsonError at the first fault seen.
    """

    __slots__ = (
        "_base",
        "_decoder",
        "_final",
        "_frames",
        "_in_key",
        "_key",
        "_length",
        "_spans",
        "_state",
        "_string_start",
        "_tail",
        "_watch",
    )

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._spans = Spans()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._frames: list[_Frame | int] = []
        self._state = _VALUE
        self._length = 0  # bytes fed
        self._base = 0  # offset in the text of the first byte of the piece being scanned
        self._tail = b""  # a token cut by the end of the last piece
        self._final = False
        self._in_key = False
        self._string_start = 0
        self._key: bytearray | None = None  # the part of a cut key that was read

    def feed(self, chunk: bytes) -> None:
        self._check_encoding(chunk, final=False)
        self._base = self._length - len(self._tail)
        self._length += len(chunk)
        self._scan(self._tail + chunk if self._tail else chunk)

    def finish(self) -> Spans:
        self._check_encoding(b"", final=True)
        if self._state == _SCALAR:
            self._final = True
            self._base = self._length - len(self._tail)
            self._scan(self._tail)
        if self._state != _DONE:
            raise bad_syntax(f"it ends too early, {_EXPECTED[self._state]}", self._length)
        self._spans.length = self._length
        return self._spans

    def _check_encoding(self, chunk: bytes, *, final: bool) -> None:
        cut = self._decoder.getstate()[0]
        if chunk.isascii() and not cut:
            return
        try:
            self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise not_utf8(self._length - len(cut) + error.start) from None

    def _scan(self, text: bytes) -> None:
        at, size = 0, len(text)
        while True:
            if self._state != _IN_STRING and at < size and text[at] <= 0x20:
                match = _WHITESPACE.match(text, at)
                at = match.end() if match else at
            if at >= size:
                break
            state = self._state
            if state == _NEXT:
                after = self._next(text, at)
            elif state == _IN_STRING:
                after = self._string(text, at)
            elif state <= _VALUE_OR_END:
                after = self._value(text, at)
            elif state <= _KEY_OR_END:
                after = self._key_or_end(text, at)
            elif state == _COLON and text[at] == 0x3A:
                self._state = _VALUE
                after = at + 1
            elif state == _SCALAR:
                after = self._scalar(text, at)
            else:
                raise self._fault(text, at)
            if after <= at and self._state in (_SCALAR, _IN_STRING) and state == self._state:
                break  # a cut token: it goes on with the next piece
            at = after
        self._tail = text[at:]
        if self._state == _SCALAR:
            # a number may be longer than any piece: two digits of a row stand for all of them
            self._tail = _DIGITS.sub(rb"\1", self._tail)
            if len(self._tail) > 16:
                raise self._fault(text, at)

    # --- one step each; all return where the next one begins

    def _value(self, text: bytes, at: int) -> int:
        frame = self._frames[-1] if self._frames else None
        if frame == _ARRAY:
            if self._state == _VALUE_OR_END and text[at] == _ARRAY:
                return self._close(at)
            if len(self._frames) + _RUN_DEPTH <= MAX_DEPTH:
                run = _ARRAY_RUN.match(text, at)
                if run is not None and run.end() > at:
                    self._state = _VALUE
                    at = run.end()
                    if at == len(text):
                        return at
        byte = text[at]
        watched = type(frame) is _Frame and frame.key is not None
        if watched and type(frame) is _Frame:
            frame.value_start = self._base + at
        if byte == 0x22:
            return self._begin_string(text, at, in_key=False)
        if byte == 0x7B or byte == 0x5B:
            if len(self._frames) >= MAX_DEPTH:
                raise too_deep(MAX_DEPTH, self._base + at)
            if byte == 0x5B:
                self._frames.append(_ARRAY)
                self._state = _VALUE_OR_END
                return at + 1
            self._frames.append(self._opened(frame, self._base + at))
            self._state = _KEY_OR_END
            return at + 1
        if byte == 0x2D or 0x30 <= byte <= 0x39 or byte in b"tfn":
            self._state = _SCALAR
            return at
        raise self._fault(text, at)

    def _opened(self, frame: _Frame | int | None, offset: int) -> _Frame | int:
        """What to keep for an object that opens inside `frame`."""
        if frame is None:
            return _Frame(self._watch, offset)
        if isinstance(frame, _Frame) and frame.key is not None:
            watch = frame.watch.below[frame.key]
            if watch.below:
                return _Frame(watch, offset)
        return _OBJECT

    def _scalar(self, text: bytes, at: int) -> int:
        """A number or a literal; stays where it is when the piece ends before the token does."""
        match = _NUMBER_BYTES.match(text, at)
        end = match.end() if match else at
        if end > at and text[at] not in b"eE+.":
            if end == len(text) and not self._final:
                return at
            if _WHOLE_NUMBER.fullmatch(text, at, end) is None:
                raise bad_syntax("the number is not written as JSON wants it", self._base + at)
            return self._value_ends(end)
        for literal in (b"true", b"false", b"null"):
            if text.startswith(literal, at):
                return self._value_ends(at + len(literal))
            if len(text) - at < len(literal) and literal.startswith(text[at:]) and not self._final:
                return at
        raise self._fault(text, at)

    def _key_or_end(self, text: bytes, at: int) -> int:
        frame = self._frames[-1]
        if frame == _OBJECT and len(self._frames) + _RUN_DEPTH <= MAX_DEPTH:
            run = _OBJECT_RUN.match(text, at)
            if run is not None and run.end() > at:
                self._state = _KEY
                at = run.end()
                if at == len(text):
                    return at
        if text[at] == 0x22:
            return self._begin_string(text, at, in_key=True)
        if text[at] == _OBJECT and self._state == _KEY_OR_END:
            return self._close(at)
        raise self._fault(text, at)

    def _next(self, text: bytes, at: int) -> int:
        frame = self._frames[-1]
        byte = text[at]
        if byte == 0x2C:
            if frame == _ARRAY:
                self._state = _VALUE
            else:
                self._state = _KEY
                if isinstance(frame, _Frame):
                    frame.comma = self._base + at
            return at + 1
        if byte == _ARRAY if frame == _ARRAY else byte == _OBJECT:
            return self._close(at)
        raise self._fault(text, at)

    def _close(self, at: int) -> int:
        frame = self._frames.pop()
        if isinstance(frame, _Frame):
            frame.settle(self._spans, -1)
            self._spans.objects[frame.watch.path] = ObjectSpan(frame.open, self._base + at, frame.empty)
        return self._value_ends(at + 1)

    def _value_ends(self, end: int) -> int:
        if not self._frames:
            self._state = _DONE
            return end
        frame = self._frames[-1]
        if isinstance(frame, _Frame):
            frame.value_ends(self._base + end)
        self._state = _NEXT
        return end

    def _begin_string(self, text: bytes, at: int, *, in_key: bool) -> int:
        self._in_key = in_key
        self._string_start = self._base + at
        match = _SHORT.match(text, at)
        if match is not None:
            end = match.end()
            return self._string_ends(text[at:end] if in_key else None, end)
        self._state = _IN_STRING
        self._key = bytearray(b'"') if in_key and isinstance(self._frames[-1], _Frame) else None
        return at + 1

    def _string(self, text: bytes, at: int) -> int:
        """Go on inside a string: to behind its end, or as far as this piece allows."""
        quote = text.find(b'"', at)
        end = quote if quote >= 0 else len(text)
        escape = text.find(b"\\", at, end)
        stop = end if escape < 0 else escape
        self._check_plain(text, at, stop)
        if escape >= 0:
            match = _REST_OF_STRING.match(text, escape)
            stop = match.end() if match else escape
            quote = stop if stop < len(text) and text[stop] == 0x22 else -1
            if quote < 0 and stop < len(text) and _CUT_ESCAPE.match(text, stop) is None:
                raise self._string_fault(text, stop)
        if self._key is not None:
            self._key += text[at:stop]
            frame = self._frames[-1]
            if isinstance(frame, _Frame) and len(self._key) > frame.watch.longest + 2:
                self._key = None  # no watched key is that long
        if quote < 0:
            return stop
        raw = None if self._key is None else bytes(self._key) + b'"'
        self._key = None
        return self._string_ends(raw, quote + 1)

    def _string_ends(self, raw: bytes | None, end: int) -> int:
        if not self._in_key:
            return self._value_ends(end)
        frame = self._frames[-1]
        if isinstance(frame, _Frame):
            frame.name(raw, self._string_start, self._base + end, self._spans)
        self._state = _COLON
        return end

    def _check_plain(self, text: bytes, start: int, stop: int) -> None:
        """No control character may stand in a string."""
        if stop - start > _LONG:
            piece = text[start:stop]
            if piece.isascii():
                # the fast parser looks at 16 bytes and more at a time: 0.3 ns a byte, a regular expression takes six times that
                try:
                    orjson.loads(b'"%b"' % piece)
                except orjson.JSONDecodeError:
                    pass
                else:
                    return
        match = _PLAIN_RUN.match(text, start, stop)
        if match is not None and match.end() < stop:
            raise self._string_fault(text, match.end())

    def _string_fault(self, text: bytes, at: int) -> BadJsonError:
        if text[at] < 0x20:
            return bad_syntax("a control character stands in a string, write it as an escape", self._base + at)
        if _LONE.match(text, at):
            return lone_surrogate(self._base + at)
        return bad_syntax("the escape in the string is none of JSON's", self._base + at)

    def _fault(self, text: bytes, at: int) -> BadJsonError:
        offset = self._base + at
        if text[at] == 0:  # no JSON text holds a NUL; UTF-16 does
            return not_utf8(offset)
        if text[at] == 0xEF and not self._frames and self._state == _VALUE:
            return byte_order_mark()
        return bad_syntax(_EXPECTED[self._state], offset)
