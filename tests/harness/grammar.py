"""A minimal HTTP/1.1 reader of the tests' own: strict, slow, independent of every library the gateway uses.

Lives here: heads, body framing, nothing about sockets. What is not exactly RFC 9112 raises `MalformedError`: a gateway that emits
something sloppy is found out by every test and not only by the one about it.
"""

import hashlib
import re
from dataclasses import dataclass, field

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(rb"[\x20-\x7e\x80-\xff\t]*")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) HTTP/(1\.[01])")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9]) ([\x20-\x7e\x80-\xff\t]*)")
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")

Field = tuple[bytes, bytes]


class MalformedError(Exception):
    """The bytes are no HTTP/1.1 message."""


@dataclass(slots=True)
class Head:
    """A start line and field lines; names keep their case, values their bytes (outer blanks removed)."""

    start: bytes
    fields: list[Field]
    raw: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The value of a field that stands at most once; AssertionError when it stands twice."""
        found = self.all(name)
        assert len(found) < 2, f"{name!r} stands {len(found)} times in {self.raw!r}"
        return found[0] if found else None

    def names(self) -> list[bytes]:
        return [key.lower() for key, _ in self.fields]


def take_head(buffer: bytearray) -> Head | None:
    """Cut one head from the front of `buffer`; None when it is not all there."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    raw = bytes(buffer[: end + 4])
    del buffer[: end + 4]
    start, *lines = raw[:-4].split(b"\r\n")
    return Head(start, [_field(line) for line in lines], raw)


def _field(line: bytes) -> Field:
    name, colon, value = line.partition(b":")
    if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
        raise MalformedError(f"field line {line!r}")
    return name, value.strip(b" \t")


@dataclass(slots=True)
class Body:
    """Reads one body by its framing; `length` None with `chunked` False means: up to the end of the connection."""

    chunked: bool = False
    length: int | None = None
    keep: bool = True
    data: bytearray = field(default_factory=bytearray)
    trailers: list[Field] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    extensions: list[bytes] = field(default_factory=list)
    size: int = 0
    done: bool = False
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _left: int = 0
    _part: str = "size"

    def feed(self, buffer: bytearray) -> None:
        """Take from the front of `buffer` what belongs to this body."""
        if self.chunked:
            while not self.done and self._chunk_step(buffer):
                pass
        elif self.length is None:
            self._take(buffer, len(buffer))
        else:
            self._take(buffer, min(len(buffer), self.length - self.size))
            self.done = self.size == self.length

    def end_of_connection(self) -> None:
        if not self.chunked and self.length is None:
            self.done = True

    def _take(self, buffer: bytearray, count: int) -> None:
        piece = bytes(buffer[:count])
        del buffer[:count]
        self.size += count
        if self.keep:
            self.data += piece
        else:
            self.sha256.update(piece)

    def _chunk_step(self, buffer: bytearray) -> bool:
        if self._part == "data":
            count = min(self._left, len(buffer))
            self._take(buffer, count)
            self._left -= count
            if self._left or len(buffer) < 2:
                return False
            if buffer[:2] != b"\r\n":
                raise MalformedError(f"chunk data ends with {bytes(buffer[:2])!r}")
            del buffer[:2]
            self._part = "size"
            return True
        line_end = buffer.find(b"\r\n")
        if line_end < 0:
            return False
        line = bytes(buffer[:line_end])
        del buffer[: line_end + 2]
        if self._part == "trailers":
            if line:
                self.trailers.append(_field(line))
            else:
                self.done = True
            return True
        size, semicolon, extension = line.partition(b";")
        if not CHUNK_SIZE.fullmatch(size):
            raise MalformedError(f"chunk size {line!r}")
        if semicolon:
            self.extensions.append(extension)
        self._left = int(size, 16)
        self.chunks.append(self._left)
        self._part = "data" if self._left else "trailers"
        return True


def request_line(head: Head) -> tuple[bytes, bytes, bytes]:
    """Method, target and version (`1.1`)."""
    match = REQUEST_LINE.fullmatch(head.start)
    if not match:
        raise MalformedError(f"request line {head.start!r}")
    return match[1], match[2], match[3]


def status_line(head: Head) -> tuple[bytes, int, bytes]:
    """Version, status and reason."""
    match = STATUS_LINE.fullmatch(head.start)
    if not match:
        raise MalformedError(f"status line {head.start!r}")
    return match[1], int(match[2]), match[3]


def request_body(head: Head, *, keep: bool = True) -> Body:
    """The body a request announces (RFC 9112 section 6.3)."""
    chunked, length = _framing(head)
    return Body(chunked, None if chunked else length or 0, keep)


def response_body(head: Head, status: int, method: bytes, *, keep: bool = True) -> Body:
    """The body a response announces, given the method it answers."""
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return Body(length=0)
    chunked, length = _framing(head)
    return Body(chunked, length, keep)


def _framing(head: Head) -> tuple[bool, int | None]:
    codings, lengths = head.all(b"transfer-encoding"), head.all(b"content-length")
    if codings and (lengths or [coding.lower() for coding in codings] != [b"chunked"]):
        raise MalformedError(f"framing {codings!r} {lengths!r}")
    if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]+", lengths[0])):
        raise MalformedError(f"content-length {lengths!r}")
    return bool(codings), int(lengths[0]) if lengths else None
