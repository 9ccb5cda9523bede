"""`multipart/form-data` read as a stream (rule P07).

`MultipartReader` cuts a body into parts as it arrives and keeps every byte in what it gives; it holds no more than one header
section or one boundary of the body. Carrying a body on with some parts changed is in `rewriter`, whole forms and their values are
in `forms`.

The grammar is that of RFC 2046, section 5.1.1, with RFC 7578 for names and file names. Where readers of that format disagree (a
header given twice, a bare CR or LF in a header section, a boundary line padded without end), a body is refused: the platform
must not see other parts than the rules saw.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

MAX_BOUNDARY = 70  # characters, RFC 2046
MAX_PADDING = 64  # white space after a boundary on its line

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FORM_DATA = re.compile(r"multipart/form-data[ \t]*(?=;|$)", re.IGNORECASE)
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*"))?[ \t]*(?=;|$)')
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*(?:\r\n[ \t][^\r\n\0]*)*)\r\n")
_DISPOSITION = re.compile(rb"[ \t\r\n]*[^;\s]+[ \t\r\n]*")
_ARGUMENT = re.compile(rb';[ \t\r\n]*([^\s=;"]+)=("(?:[^"\\\r\n]|\\.)*"|[^;"\s]*)[ \t\r\n]*')
_UNQUOTE = re.compile(rb'\\(["\\])|%(22|0[Dd]|0[Aa])')


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """Counts and sizes (bytes) of one body: more parts are refused with 413, a longer header section of a part with 431."""

    parts: int = 128  # rule table J
    part_header: int = 16 * 1024


class MultipartError(Exception):
    """A body that cannot be read or may not be; `status` is what the client should get (400, 413 or 431)."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class RepeatedPartError(MultipartError):
    """The part `name` may stand only once: readers disagree on which one counts (rule P02)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the field `{name}` stands more than once in the form; send it once")
        self.name = name


@dataclass(frozen=True, slots=True)
class Outside:
    """Bytes of the preamble or the epilogue."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartHead:
    """The start of a part.

    `delimiter` is the boundary line as it came, with the line end before it if it has one; `raw` the header section with the
    blank line that ends it. `name` and `filename` are decoded (None: not given; bytes that are no UTF-8 become surrogates);
    without a `filename`, the undecoded value of `filename*` stands there. `content_type` is the field's value, None if absent.
    `headers` are the fields, values unfolded. `name_span` is where the value of `name`, with its quotes, stands in `raw`.
    """

    delimiter: bytes
    raw: bytes
    name: str | None
    filename: str | None
    content_type: str | None
    headers: tuple[tuple[bytes, bytes], ...]
    name_span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of the data of the part: a view of the bytes that were fed."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is whole."""


@dataclass(frozen=True, slots=True)
class End:
    """The boundary line that closes the body, as it came, without the line end after it, which is of the epilogue."""

    delimiter: bytes


Piece = Outside | PartHead | PartData | PartEnd | End


class _State(Enum):
    PREAMBLE = auto()
    HEAD = auto()
    DATA = auto()
    EPILOGUE = auto()


class MultipartReader:
    """Cuts a body into pieces, the same ones at every cut but for where `PartData` and `Outside` are divided.

    The bytes of all pieces in order (`delimiter` + `raw`, `data`) are the body. A line that only begins like a boundary line is
    data, and so is a nested body with a boundary of its own. Raises MultipartError; the reader is of no more use then.
    """

    __slots__ = ("_buffer", "_delimiter", "_limits", "_needle", "_parts", "_start", "_state")

    def __init__(self, boundary: bytes, limits: MultipartLimits | None = None) -> None:
        if not _BOUNDARY.fullmatch(boundary.decode("latin-1")):
            raise MultipartError(f"the boundary is not 1 to {MAX_BOUNDARY} of the characters that RFC 2046 allows for it")
        self._needle = b"\r\n--" + boundary
        self._limits = limits or MultipartLimits()
        self._state = _State.PREAMBLE
        self._start = True  # at the start of a body or of a part's data: a boundary line needs no line end before it
        self._buffer = b""  # not given yet
        self._delimiter = b""  # of the part whose head is under way
        self._parts = 0

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that these bytes make up."""
        buffer = self._buffer + data if self._buffer else bytes(data)
        pieces: list[Piece] = []
        place, again = 0, True
        while again:
            if self._state is _State.HEAD:
                place, again = self._read_head(buffer, place, pieces)
            elif self._state is _State.EPILOGUE:
                if place < len(buffer):
                    pieces.append(Outside(buffer[place:]))
                place, again = len(buffer), False
            else:
                place, again = self._read_data(buffer, place, pieces)
        self._buffer = buffer[place:]
        return pieces

    def finish(self) -> list[Piece]:
        """The pieces that only the end of the body makes clear; raises MultipartError when the closing boundary line is missing."""
        if self._state is _State.EPILOGUE:
            return []
        rest = self._buffer
        needle = self._needle if rest.startswith(b"\r\n") or not self._start else self._needle[2:]
        closing = rest[len(needle) :] if rest.startswith(needle) else b""
        if self._state is _State.HEAD or not closing.startswith(b"--") or closing[2:].strip(b" \t"):
            raise MultipartError(
                "the multipart body has no closing boundary line: it was cut short, or its boundary is another one"
            )
        whole = [PartEnd()] if self._state is _State.DATA else []
        self._state = _State.EPILOGUE
        self._buffer = b""
        return [*whole, End(rest)]

    def _read_data(self, buffer: bytes, place: int, pieces: list[Piece]) -> tuple[int, bool]:
        """Gives the bytes up to the next boundary line; returns the place reached and whether to go on from there."""
        search = place
        while True:
            start, line = self._candidate(buffer, search)
            end, closing = self._line_end(buffer, line) if line else (0, False)
            if end < 0:
                self._start = False
                search = start + 2
                continue
            if start > place:
                view = memoryview(buffer)[place:start]
                pieces.append(PartData(view) if self._state is _State.DATA else Outside(bytes(view)))
            if not end:
                return start, False
            if self._state is _State.DATA:
                pieces.append(PartEnd())
            if closing:
                pieces.append(End(buffer[start:end]))
                self._state = _State.EPILOGUE
            else:
                self._parts += 1
                if self._parts > self._limits.parts:
                    raise MultipartError(f"the multipart body has more than {self._limits.parts} parts", 413)
                self._delimiter = buffer[start:end]
                self._state = _State.HEAD
            return end, True

    def _candidate(self, buffer: bytes, search: int) -> tuple[int, int]:
        """Where a boundary line may start, and the place after its boundary; 0 for the latter when that is still to come."""
        needle = self._needle
        if self._start:
            known = buffer[search : search + len(needle) - 2]
            if known == needle[2:]:
                return search, search + len(known)
            if needle.startswith(known, 2):
                return search, 0
            self._start = False
        found = buffer.find(needle, search)
        if found >= 0:
            return found, found + len(needle)
        found = buffer.find(b"\r", max(search, len(buffer) - len(needle) + 1))
        while found >= 0 and not needle.startswith(buffer[found:]):
            found = buffer.find(b"\r", found + 1)
        return (found if found >= 0 else len(buffer)), 0

    @staticmethod
    def _line_end(buffer: bytes, line: int) -> tuple[int, bool]:
        """Where the boundary line ends (0: more bytes are needed, -1: it is none) and whether it closes the body."""
        rest = buffer[line : line + MAX_PADDING + 5]
        if rest == b"-":
            return 0, False
        closing = rest.startswith(b"--")
        padded = rest[2:] if closing else rest
        after = padded.lstrip(b" \t")
        padding = len(padded) - len(after)
        if padding > MAX_PADDING:
            raise MultipartError(f"a boundary line has more than {MAX_PADDING} bytes of white space at its end")
        if after in (b"", b"\r"):
            return 0, closing
        if not after.startswith(b"\r\n"):
            return -1, False
        end = line + (2 if closing else 0) + padding
        return (end if closing else end + 2), closing

    def _read_head(self, buffer: bytes, place: int, pieces: list[Piece]) -> tuple[int, bool]:
        if buffer.startswith(b"\r\n", place):
            end = place + 2
        else:
            found = buffer.find(b"\r\n\r\n", place)
            end = found + 4 if found >= 0 else 0
        if (end or len(buffer)) - place > self._limits.part_header:
            raise MultipartError(f"the header section of a part is larger than {self._limits.part_header} bytes", 431)
        if not end:
            return place, False
        raw = buffer[place:end]
        if self._needle in b"\r\n" + raw:
            raise MultipartError("a boundary line stands in the header section of a part, before the blank line that ends it")
        pieces.append(_part_head(self._delimiter, raw))
        self._state = _State.DATA
        self._start = True
        return end, True


def _part_head(delimiter: bytes, raw: bytes) -> PartHead:
    headers: list[tuple[bytes, bytes]] = []
    spans: dict[bytes, tuple[int, int]] = {}
    place = 0
    while place < len(raw) - 2:
        field = _FIELD.match(raw, place)
        if not field:
            raise MultipartError("a part has a header line that is not `Name: value` ended by CR LF")
        key = field[1].lower()
        if key in spans and key in (b"content-disposition", b"content-type"):
            raise MultipartError(f"a part has two {field[1].decode()} lines, of which readers take one or the other")
        spans[key] = field.span(2)
        headers.append((field[1], field[2].replace(b"\r\n", b"").strip(b" \t")))
        place = field.end()
    arguments, name_span = _arguments(raw, *spans[b"content-disposition"]) if b"content-disposition" in spans else ({}, (0, 0))
    media_type = next((value.decode("utf-8", "surrogateescape") for key, value in headers if key.lower() == b"content-type"), None)
    filename = arguments.get("filename", arguments.get("filename*"))
    return PartHead(delimiter, raw, arguments.get("name"), filename, media_type, tuple(headers), name_span)


def _arguments(raw: bytes, start: int, end: int) -> tuple[dict[str, str], tuple[int, int]]:
    """The arguments of a Content-Disposition value, and where the value of `name` stands."""
    kind = _DISPOSITION.match(raw, start, end)
    place = kind.end() if kind else start
    arguments: dict[str, str] = {}
    name_span = (0, 0)
    while found := _ARGUMENT.match(raw, place, end):
        key = found[1].decode("latin-1").lower()
        if key in arguments:
            raise MultipartError(f"a part's Content-Disposition gives `{key[:40]}` twice, of which readers take one or the other")
        value = found[2]
        if value.startswith(b'"'):
            value = _UNQUOTE.sub(lambda match: match[1] or bytes.fromhex(match[2].decode()), value[1:-1])
        arguments[key] = value.decode("utf-8", "surrogateescape")
        if key == "name":
            name_span = found.span(2)
        place = found.end()
    if raw[place:end].strip(b" \t\r\n;"):
        raise MultipartError('a part\'s Content-Disposition cannot be read; expected `form-data; name="..."; filename="..."`')
    return arguments, name_span


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a `multipart/form-data` media type; None for another type, or where it is missing, given twice or invalid."""
    head = _FORM_DATA.match(content_type.strip(" \t"))
    if not head:
        return None
    place = head.end()
    text = content_type.strip(" \t")
    found: list[str] = []
    while place < len(text):
        parameter = _PARAMETER.match(text, place)
        if not parameter:
            return None
        if parameter[1] and parameter[1].lower() == "boundary":
            value = parameter[2]
            found.append(re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value)
        place = parameter.end()
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]):
        return None
    return found[0].encode()


def quoted(text: str) -> bytes:
    """A name or file name as browsers write it: in quotes, with CR, LF, NUL and `"` in percent form; a backslash is doubled."""
    escaped = text.replace("\\", "\\\\").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")
    return b'"' + escaped.encode("utf-8", "surrogateescape") + b'"'


def text_head(name: str) -> bytes:
    """The header section of a text field, with the blank line."""
    return b"Content-Disposition: form-data; name=" + quoted(name) + b"\r\n\r\n"
