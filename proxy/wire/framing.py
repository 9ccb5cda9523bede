"""Chunked transfer coding, read strictly and passed on untouched.

`ChunkedReader` follows the framing of one body and returns the bytes to forward: the same object it was given where nothing had
to change, so that splicing costs no copy. Chunk extensions and trailers are left out (rules B06, B07, E11). An incomplete
framing line is held back until it is whole, the data of a chunk never is. The end is given out only when it was read whole (B11).
"""

import re

_LAST = b"0\r\n\r\n"
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_EXTENSION = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t\x20-\x7e\x80-\xff]*")
# A trailer may not change how the message is framed, routed or authenticated (RFC 9110 section 6.5.1).
_FORBIDDEN = frozenset(
    (
        b"authorization",
        b"content-length",
        b"cookie",
        b"host",
        b"proxy-authorization",
        b"transfer-encoding",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"modelname",
    )
)
_MAX_SIZE = (1 << 63) - 1
_LINE_LIMIT = 8 * 1024
_sizes: dict[bytes, int] = {}  # size lines seen before: a look-up costs a fifth of the check (benchmarks/micro.py)


class FramingError(ValueError):
    """The chunked framing is broken; the connection it came from cannot be used further."""


def _read_size(line: bytes) -> tuple[int, bool]:
    """The size and whether the line is nothing but the size. Blanks, signs and prefixes are errors (rule B05)."""
    if len(line) > _LINE_LIMIT:
        raise FramingError("chunk size line too long")
    digits, semicolon, extension = line.partition(b";")
    if _SIZE.fullmatch(digits) is None or _EXTENSION.fullmatch(extension) is None:
        raise FramingError("bad chunk size line")
    size = int(digits, 16)
    if size > _MAX_SIZE:
        raise FramingError("chunk size too large")
    if not semicolon:
        if len(_sizes) >= 4096:
            _sizes.clear()
        _sizes[line] = size
    return size, not semicolon


class ChunkedReader:
    """Follows one chunked body. `feed` returns what to forward; `done` and `rest` tell about the end.

    `total` counts the data bytes announced so far. With `payload` set to a list, the data bytes are also appended to it.
    `between` is true where the forwarded bytes end exactly between two chunks.
    """

    __slots__ = ("_held", "_need", "_section_left", "done", "payload", "rest", "total")

    def __init__(self, section_limit: int = 64 * 1024) -> None:
        self._need = 0  # data bytes of the open chunk still to come; -1: its CRLF is still to come
        self._held = b""  # an incomplete framing line
        self._section_left = section_limit  # bytes of trailers that may still come
        self.done = False
        self.rest = b""
        self.total = 0
        self.payload: list[bytes] | None = None

    @property
    def between(self) -> bool:
        return self._need == 0

    @property
    def received(self) -> int:
        """Data bytes that have come so far."""
        return self.total - max(self._need, 0)

    def feed(self, data: bytes) -> bytes:
        """Bytes as received -> bytes to forward. Raises FramingError."""
        if self._need == 0 and not self._held:
            # Most reads of a stream are one whole chunk: the way below, for that case (a third of its cost, benchmarks/micro.py).
            end = data.find(b"\r\n", 0, 18)
            known = _sizes.get(data[:end]) if end > 0 else None
            if known and len(data) == end + known + 4 and data.endswith(b"\r\n"):
                self.total += known
                if self.payload is not None:
                    self.payload.append(data[end + 2 : -2])
                return data
        if self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        pos = 0
        need = self._need
        payload = self.payload
        pieces: list[bytes] | None = None  # only where something is left out
        start = 0  # of the run not yet in pieces
        while True:
            if need > 0:
                if size - pos <= need:
                    if payload is not None and size > pos:
                        payload.append(data[pos:])
                    self._need = need - (size - pos) or -1
                    return self._out(data, pieces, start, size)
                if payload is not None:
                    payload.append(data[pos : pos + need])
                pos += need
                need = -1
            if need < 0:
                if data[pos : pos + 2] != b"\r\n":
                    if data[pos:] in {b"", b"\r"}:
                        return self._hold(data, pieces, start, pos, -1)
                    raise FramingError("chunk data does not end where its size says")
                pos += 2
                need = 0
            end = data.find(b"\r\n", pos)
            if end < 0:
                self._check_partial(data, pos)
                return self._hold(data, pieces, start, pos, 0)
            line = data[pos:end]
            known = _sizes.get(line)
            if known is None:
                known, plain = _read_size(line)
                if not plain and known:
                    pieces = [] if pieces is None else pieces
                    pieces += (data[start:pos], b"%x\r\n" % known)
                    start = end + 2
            if known == 0:
                return self._finish(data, pieces, start, pos, end)
            self.total += known
            need = known
            pos = end + 2

    @staticmethod
    def _out(data: bytes, pieces: list[bytes] | None, start: int, end: int) -> bytes:
        if pieces is None:
            return data if end == len(data) else data[:end]
        pieces.append(data[start:end])
        return b"".join(pieces)

    def _hold(self, data: bytes, pieces: list[bytes] | None, start: int, pos: int, need: int) -> bytes:
        """Forward up to `pos` and keep the incomplete framing line after it."""
        self._held = data[pos:]
        self._need = need
        return self._out(data, pieces, start, pos)

    @staticmethod
    def _check_partial(data: bytes, pos: int) -> None:
        """An incomplete size line must be able to become a right one."""
        line = data[pos:]
        if len(line) > _LINE_LIMIT:
            raise FramingError("chunk size line too long")
        if b"\n" in line or b"\r" in line[:-1]:
            raise FramingError("bare CR or LF in a chunk size line")
        digits = line.removesuffix(b"\r").partition(b";")[0]
        if digits and _SIZE.fullmatch(digits) is None:
            raise FramingError("bad chunk size line")

    def _finish(self, data: bytes, pieces: list[bytes] | None, start: int, pos: int, end: int) -> bytes:
        """The last chunk: its line starts at `pos` and ends at `end`. Trailers are read, checked and left out."""
        first = at = end + 2
        while (line_end := data.find(b"\r\n", at)) != at:
            if line_end < 0:
                if len(data) - first > self._section_left + 1 or b"\n" in data[at:]:  # the last line's CR is not counted
                    raise FramingError("bad trailer section")
                return self._hold_trailer(data, pieces, start, pos, first, at)
            match = _TRAILER.fullmatch(data, at, line_end)
            if match is None or match.group(1).lower().replace(b"_", b"-") in _FORBIDDEN:
                raise FramingError("field not allowed in a trailer")
            at = line_end + 2
        if at - first > self._section_left:
            raise FramingError("bad trailer section")
        self.done = True
        self.rest = data[at + 2 :]
        self._need = 0
        if at == pos + 3:  # a plain last chunk without trailers
            return self._out(data, pieces, start, at + 2)
        return self._out(data, pieces, start, pos) + _LAST

    def _hold_trailer(self, data: bytes, pieces: list[bytes] | None, start: int, pos: int, first: int, at: int) -> bytes:
        """Keep the incomplete line at `at` behind a plain last chunk: the lines read since `first` are checked and forgotten."""
        out = self._hold(data, pieces, start, pos, 0)
        self._section_left -= at - first
        self._held = b"0\r\n" + data[at:]
        return out
