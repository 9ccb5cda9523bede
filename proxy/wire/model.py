"""Finding the model a request names, without parsing the rest of its body.

Three readers with one interface: `feed(data)` takes body bytes as they come and returns True once the answer is known,
`model` is then the name, or None where the body names none. They never hold more than one short token, whatever the body's size.

`peek_json` is the quick way for a body that is already there as a whole; `tests/wire/test_model.py` shows that it agrees
with the reader on generated documents.
"""

import re
from typing import Protocol

import msgspec
import orjson

_MAX_MODEL = 1024  # bytes of UTF-8; a longer one names no model
_MAX_TOKEN = 6 * _MAX_MODEL  # the same as it may be written in JSON, each byte as \u00XX
_STRUCTURE = re.compile(rb'["{}\[\],:]')
_KEY = b'"model"'
_ESCAPED_LETTER = b"\\u006"  # the key could be spelled with escapes: its letters are U+0064 to U+006F


class _Named(msgspec.Struct):
    model: object = None


_DECODER = msgspec.json.Decoder(_Named)


class DuplicateModelError(ValueError):
    """The body names its model twice: parsers disagree on which one counts (rule P02)."""


class ModelFinder(Protocol):
    """Reads a body piece by piece until the model is known."""

    model: str | None

    def feed(self, data: bytes) -> bool: ...


def peek_json(body: bytes) -> str | None:
    """The top-level `model` of a complete JSON body; None where there is none. Raises DuplicateModelError."""
    if body.count(_KEY) > 1 or _ESCAPED_LETTER in body:
        return _read_whole(body)
    try:
        model = _DECODER.decode(body).model
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_whole(body)
    return _name(model) if isinstance(model, str) else None


def _name(text: str | None) -> str | None:
    """A name of a length that names can have."""
    return text if text is not None and len(text.encode("utf-8", "surrogatepass")) <= _MAX_MODEL else None


def _read_whole(body: bytes) -> str | None:
    finder = JsonModelFinder(stop_early=False)
    finder.feed(body)
    return finder.model


class JsonModelFinder:
    """Finds the top-level `model` of a JSON object. Not a validator: a body that is not JSON just names no model.

    With `stop_early` it is finished at the first `model`; without, it reads on and raises DuplicateModelError at a second one.
    """

    __slots__ = (
        "_depth",
        "_escaped",
        "_expect_key",
        "_finished",
        "_found",
        "_in_string",
        "_is_key",
        "_key",
        "_stop_early",
        "_token",
        "model",
    )

    def __init__(self, *, stop_early: bool = True) -> None:
        self.model: str | None = None
        self._stop_early = stop_early
        self._depth = 0
        self._in_string = False
        self._escaped = False  # an odd run of backslashes stood at the end of the last piece
        self._token: bytearray | None = None  # the string being read, if it may matter
        self._expect_key = False
        self._is_key = False
        self._key: str | None = None
        self._found = False
        self._finished = False

    def feed(self, data: bytes) -> bool:
        pos = 0
        size = len(data)
        while pos < size and not self._finished:
            pos = self._string(data, pos) if self._in_string else self._structure(data, pos)
        return self._finished

    def _string(self, data: bytes, pos: int) -> int:
        """Read on in a string; the position after it, or the end of data."""
        start = pos
        size = len(data)
        if self._escaped:
            pos += 1
            self._escaped = False
        while True:
            quote = data.find(b'"', pos)
            end = size if quote < 0 else quote
            run = end
            while run > pos and data[run - 1] == 0x5C:  # a backslash
                run -= 1
            odd = (end - run) % 2 == 1
            if quote < 0:
                self._escaped = odd
                self._collect(data, start, size)
                return size
            if not odd:
                self._collect(data, start, quote)
                self._in_string = False
                self._end_string()
                return quote + 1
            pos = quote + 1

    def _collect(self, data: bytes, start: int, end: int) -> None:
        if self._token is not None:
            if len(self._token) + end - start > _MAX_TOKEN:
                self._token = None
            else:
                self._token += data[start:end]

    def _end_string(self) -> None:
        token, self._token = self._token, None
        if self._depth != 1:
            return
        text: str | None = None
        if token is not None:
            try:
                text = orjson.loads(b'"' + token + b'"')
            except orjson.JSONDecodeError:
                text = None
        if self._is_key:
            self._key = text
        elif self._key == "model":
            self._hit(_name(text))

    def _hit(self, model: str | None) -> None:
        if self._found:
            raise DuplicateModelError
        self._found = True
        self._key = None
        self.model = model
        self._finished = self._stop_early

    def _structure(self, data: bytes, pos: int) -> int:
        """Read on outside of strings; the position after the next structural character."""
        if self._depth == 0:
            return self._open(data, pos)
        match = _STRUCTURE.search(data, pos)
        if match is None:
            return len(data)
        char = data[match.start()]
        top = self._depth == 1
        if char == 0x22:  # "
            self._in_string = True
            self._is_key = top and self._expect_key
            wanted = top and (self._is_key or self._key == "model")
            self._token = bytearray() if wanted else None
        elif char in b"{[":
            if top and self._key == "model":
                self._hit(None)
            self._depth += 1
        elif char in b"}]":
            self._depth -= 1
            if top:
                self._scalar_end()
            self._finished = self._finished or self._depth == 0
        elif char == 0x2C and top:  # a comma
            self._scalar_end()
            self._expect_key = True
        elif char == 0x3A and top:  # a colon
            self._expect_key = False
        return match.end()

    def _scalar_end(self) -> None:
        """A value that was no string, object or array has ended."""
        if self._key == "model" and not self._expect_key:
            self._hit(None)
        self._key = None

    def _open(self, data: bytes, pos: int) -> int:
        rest = data[pos:].lstrip(b" \t\r\n")
        if not rest:
            return len(data)
        if rest[0] != 0x7B:  # {
            self._finished = True
            return len(data)
        self._depth = 1
        self._expect_key = True
        return len(data) - len(rest) + 1


_NAME = re.compile(rb'\r\ncontent-disposition:[^\r\n]*;[ \t]*name="model"', re.IGNORECASE)
_MAX_PADDING = 64  # blanks that may stand behind a boundary
_MAX_PART_HEAD = 16 * 1024
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)


def boundary_of(content_type: str) -> bytes | None:
    """The boundary parameter of a multipart content type."""
    match = _BOUNDARY.search(content_type)
    return (match.group(1) or match.group(2)).encode("latin-1") if match else None


class MultipartModelFinder:
    """Finds the value of the part named `model` in multipart/form-data. Parts it does not need are skipped, not held."""

    __slots__ = ("_buffer", "_delimiter", "_finished", "_longest", "_state", "model")

    def __init__(self, boundary: bytes) -> None:
        self.model: str | None = None
        # A boundary with anything else behind it is data.
        self._delimiter = re.compile(rb"\r\n--%b(?:--|[ \t]{0,%d}\r\n)" % (re.escape(boundary), _MAX_PADDING))
        self._longest = len(boundary) + _MAX_PADDING + 6
        self._buffer = b"\r\n"  # so that the first delimiter looks like the others
        self._state = "skip"  # skip: to the next delimiter; head: a part's field lines; value: the model's value
        self._finished = False

    def feed(self, data: bytes) -> bool:
        self._buffer += data
        while not self._finished and self._step():
            pass
        return self._finished

    def _step(self) -> bool:
        """One move; False when more bytes are needed."""
        buffer = self._buffer
        if self._state == "head":
            return self._part_head(buffer)
        match = self._delimiter.search(buffer)
        if match is None:
            if self._state == "skip":
                self._buffer = buffer[-self._longest :]
            else:
                self._finished = len(buffer) > _MAX_MODEL + self._longest
            return False
        if self._state == "value":
            self.model = _text(buffer[: match.start()])
            self._finished = True
        else:
            self._buffer = buffer[match.end() - 2 :]
            self._state = "head"
            self._finished = self._buffer.startswith(b"--")
        return True

    def _part_head(self, buffer: bytes) -> bool:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._finished = len(buffer) > _MAX_PART_HEAD
            return False
        self._state = "value" if _NAME.search(buffer, 0, end + 2) else "skip"
        self._buffer = buffer[end + 4 :] if self._state == "value" else buffer[end + 2 :]
        return True


def _text(value: bytes) -> str | None:
    """The value of a part as a name: UTF-8, or none."""
    try:
        return _name(value.decode("utf-8").strip()) or None
    except UnicodeDecodeError:
        return None


class NoModel:
    """For a body that cannot name a model (another media type, or one that is compressed)."""

    __slots__ = ("model",)

    def __init__(self) -> None:
        self.model: str | None = None

    def feed(self, data: bytes) -> bool:  # noqa: ARG002 - the interface's shape
        return True


def finder_for(content_type: str, *, compressed: bool) -> ModelFinder:
    """The reader for a body of this media type."""
    kind = content_type.partition(";")[0].strip().lower()
    if compressed:
        return NoModel()
    if kind == "multipart/form-data":
        boundary = boundary_of(content_type)
        return MultipartModelFinder(boundary) if boundary else NoModel()
    if kind == "application/json" or kind.endswith("+json") or not kind:
        return JsonModelFinder()
    return NoModel()
