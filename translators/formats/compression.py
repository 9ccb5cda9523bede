"""Content codings undone as the bytes arrive, with a bound on what comes out (rule P05).

A body of many codings is one budget: what the last stage gives is measured against what came from the wire. Nothing here knows
which message a body belongs to; the caller turns the errors into 413, 415 or 502. Brotli and Zstandard are understood where a
library for them is installed that can bound its output.
"""

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

KIB = 1024
MIB = 1024 * KIB

DEFAULT_RATIO = 100  # after RATIO_FLOOR, as table J says
RATIO_FLOOR = 1 * MIB  # the ratio counts only above it: short, repetitive texts pack very well
MAX_CODINGS = 8  # nobody needs two; a long chain is an attack
MAX_MEMBERS = 1024  # of one gzip or zstd body
_INPUT_STEP = 64 * KIB  # bounds the copies that libraries make of input they have not used yet
_OUTPUT_STEP = 256 * KIB
_ZSTD_WINDOW_LOG = 23  # 8 MiB, the most a sender may ask of a receiver (RFC 9659, section 3)
_ZSTD_BLOCK = 128 * KIB  # the most that one block expands to (RFC 8878, section 3.1.1.2.4)
_ZSTD_STEP = 8 * MIB
_ZSTD_SHORTEST_BLOCK = 4  # bytes: a header of three and one byte to repeat


class CompressionError(Exception):
    """A body cannot be decoded; the message says why."""


class TooLargeError(CompressionError):
    """The decoded body passes its size or its ratio (413 for a request, 502 for an answer)."""


class BadEncodingError(CompressionError):
    """The bytes are not what `Content-Encoding` says, stop too early or go on after the end (400 or 502)."""


class UnknownCodingError(CompressionError):
    """`Content-Encoding` names a coding that is not understood here (415 for a request)."""


class _Stage(Protocol):
    """One coding of a body."""

    def decode(self, data: bytes, limit: Callable[[], int]) -> Iterator[bytes]:
        """What the data makes, in pieces; `limit()` is what may still come out, and a piece is not much larger than that."""

    def finish(self) -> None:
        """Raises BadEncodingError when the end has not been reached."""


class Decoder:
    """Decodes a body whose codings `content_encoding` lists, in the order they were applied.

    `feed` gives the decoded bytes of those put in, `finish` checks that the end was reached. At most `max_size` bytes come out in
    all, and above `ratio_floor` at most `max_ratio` times what was put in; one byte more raises TooLargeError. A body of no bytes
    at all decodes to nothing. After an error the decoder is of no more use.
    Raises UnknownCodingError at once, TooLargeError and BadEncodingError while decoding.
    """

    __slots__ = ("_given", "_max_ratio", "_max_size", "_ratio_floor", "_stages", "_taken")

    def __init__(
        self, content_encoding: str, max_size: int, max_ratio: int = DEFAULT_RATIO, ratio_floor: int = RATIO_FLOOR
    ) -> None:
        self._max_size = max_size
        self._max_ratio = max_ratio
        self._ratio_floor = ratio_floor
        self._taken = 0  # bytes from the wire
        codings = codings_of(content_encoding)
        if len(codings) > MAX_CODINGS:
            raise UnknownCodingError(f"the body has {len(codings)} codings one over another; at most {MAX_CODINGS} are undone")
        self._stages = [_stage(coding) for coding in reversed(codings)]
        self._given = [0] * len(self._stages)  # bytes out of each stage: the inner ones are bounded like the last

    def feed(self, data: bytes) -> bytes:
        if not self._stages:
            self._taken += len(data)
            if self._taken > self._max_size:
                raise TooLargeError(f"the body is larger than {self._max_size} bytes")
            return data
        out: list[bytes] = []
        view = memoryview(data)
        for start in range(0, len(view), _INPUT_STEP):
            piece = bytes(view[start : start + _INPUT_STEP])
            self._taken += len(piece)
            out += self._run(0, piece)
        return b"".join(out)

    def finish(self) -> bytes:
        """Raises BadEncodingError for a body that stops too early; there is never anything left to give."""
        if self._taken:
            for stage in self._stages:
                stage.finish()
        return b""

    def _run(self, index: int, data: bytes) -> Iterator[bytes]:
        """What the stages from `index` on make of the data, piece by piece: no stage runs ahead of the one after it."""
        if index == len(self._stages):
            yield data
            return
        for piece in self._stages[index].decode(data, lambda: self._left(index)):
            self._given[index] += len(piece)
            if self._left(index) < 0:
                raise self._too_large(index)
            yield from self._run(index + 1, piece)

    def _left(self, index: int) -> int:
        allowed = min(self._max_size, max(self._ratio_floor, self._max_ratio * self._taken))
        return allowed - self._given[index]

    def _too_large(self, index: int) -> TooLargeError:
        if self._given[index] > self._max_size:
            return TooLargeError(f"the decoded body is larger than {self._max_size} bytes")
        return TooLargeError(
            f"the body decodes to more than {self._max_ratio} times its size ({self._taken} bytes so far): it looks like an attack"
        )


def codings_of(content_encoding: str) -> list[str]:
    """The codings of a `Content-Encoding` value, lower case, without `identity`, in the order they were applied."""
    names = (name.strip(" \t").lower() for name in content_encoding.split(","))
    return [name for name in names if name not in ("", "identity")]


def known_codings() -> tuple[str, ...]:
    """The codings that can be undone with what is installed."""
    return ("gzip", "deflate", *(name for name, found in (("br", _BROTLI), ("zstd", _ZSTD_BOUNDED or _ZSTD_UNBOUNDED)) if found))


class _Zlib:
    """`deflate`: with the zlib wrapper, as RFC 9110 has it, or raw, as some senders do; the first two bytes tell."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._first = b""

    def decode(self, data: bytes, limit: Callable[[], int]) -> Iterator[bytes]:
        if self._engine is None:
            self._first += data
            if len(self._first) < 2:
                return
            data = self._first
            # A raw stream cannot look like this: it would be a stored block with a padding bit set.
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._engine = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        if not self._engine.eof:
            yield from _inflate(self._engine, data, limit, "deflate")
            data = self._engine.unused_data
        if self._engine.eof and data:
            raise BadEncodingError("bytes follow the end of the `deflate` body")

    def finish(self) -> None:
        if self._engine is None or not self._engine.eof:
            raise _cut_short("deflate")


class _Gzip:
    """`gzip`: one member after another (RFC 1952, section 2.2)."""

    def __init__(self) -> None:
        self._engine: Any = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._members = 1

    def decode(self, data: bytes, limit: Callable[[], int]) -> Iterator[bytes]:
        while data:
            if self._engine.eof:
                self._members = _next_member(self._members, "gzip")
                self._engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield from _inflate(self._engine, data, limit, "gzip")
            data = self._engine.unused_data

    def finish(self) -> None:
        if not self._engine.eof:
            raise _cut_short("gzip")


def _inflate(engine: Any, data: bytes, limit: Callable[[], int], coding: str) -> Iterator[bytes]:
    while not engine.eof:
        wanted = min(limit() + 1, _OUTPUT_STEP)
        try:
            piece = engine.decompress(data, wanted)
        except zlib.error as error:
            raise _bad(coding, error) from None
        if piece:
            yield piece
        data = engine.unconsumed_tail
        # A full piece may leave more inside the engine with no input left to ask for it with.
        if not data and len(piece) < wanted:
            return


class _Brotli:
    """`br`, by the library `brotli` or `brotlicffi` from 1.2 on; older ones cannot bound their output."""

    def __init__(self) -> None:
        self._engine: Any = _BROTLI.Decompressor()

    def decode(self, data: bytes, limit: Callable[[], int]) -> Iterator[bytes]:
        while True:
            if self._engine.is_finished() and data:
                raise BadEncodingError("bytes follow the end of the `br` body")
            try:
                # The library rounds the limit up to whole blocks of its own: up to twice as much comes out.
                piece = self._engine.process(data, output_buffer_limit=min(limit() + 1, _OUTPUT_STEP))
            except _BROTLI.error as error:
                raise _bad("br", error) from None
            if not piece:
                return
            yield piece
            data = b""

    def finish(self) -> None:
        if not self._engine.is_finished():
            raise _cut_short("br")


class _Zstd:
    """`zstd`, one frame after another, by a library that bounds its output itself."""

    def __init__(self) -> None:
        self._engine: Any = self._new()
        self._frames = 1

    def decode(self, data: bytes, limit: Callable[[], int]) -> Iterator[bytes]:
        while True:
            if self._engine.eof:
                if not data:
                    return
                self._frames = _next_member(self._frames, "zstd")
                self._engine = self._new()
            try:
                piece = self._engine.decompress(data, min(limit() + 1, _OUTPUT_STEP))
            except _ZSTD_BOUNDED.ZstdError as error:
                raise _bad("zstd", error) from None
            if piece:
                yield piece
            data = self._engine.unused_data if self._engine.eof else b""
            if not self._engine.eof and self._engine.needs_input:
                return

    def finish(self) -> None:
        if not self._engine.eof:
            raise _cut_short("zstd")

    def _new(self) -> Any:
        parameter = _ZSTD_BOUNDED.DecompressionParameter.window_log_max
        return _ZSTD_BOUNDED.ZstdDecompressor(options={parameter: _ZSTD_WINDOW_LOG})


class _ZstdInSteps:
    """`zstd` by the library `zstandard`, which gives all that its input holds.

    It is given so little at a time that even blocks of one repeated byte stay within what may still come out, or within one block.
    """

    def __init__(self) -> None:
        self._engine: Any = self._new()
        self._frames = 1

    def decode(self, data: bytes, limit: Callable[[], int]) -> Iterator[bytes]:
        place = 0
        while place < len(data):
            if self._engine.eof:
                self._frames = _next_member(self._frames, "zstd")
                self._engine = self._new()
            step = max(1, min(limit(), _ZSTD_STEP) // _ZSTD_BLOCK * _ZSTD_SHORTEST_BLOCK)
            part = data[place : place + step]
            try:
                piece = self._engine.decompress(part)
            except _ZSTD_UNBOUNDED.ZstdError as error:
                raise _bad("zstd", error) from None
            place += len(part) - len(self._engine.unused_data)
            if piece:
                yield piece

    def finish(self) -> None:
        if not self._engine.eof:
            raise _cut_short("zstd")

    def _new(self) -> Any:
        return _ZSTD_UNBOUNDED.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG).decompressobj()


def _next_member(count: int, coding: str) -> int:
    if count == MAX_MEMBERS:
        raise BadEncodingError(f"the `{coding}` body is made of more than {MAX_MEMBERS} parts")
    return count + 1


def _bad(coding: str, error: Exception) -> BadEncodingError:
    return BadEncodingError(f"the body is not valid `{coding}`, which its Content-Encoding says: {error}")


def _cut_short(coding: str) -> BadEncodingError:
    return BadEncodingError(f"the `{coding}` body stops before its end")


def _stage(coding: str) -> _Stage:
    if coding in ("gzip", "x-gzip"):
        return _Gzip()
    if coding == "deflate":
        return _Zlib()
    if coding == "br" and _BROTLI:
        return _Brotli()
    if coding == "zstd" and _ZSTD_BOUNDED:
        return _Zstd()
    if coding == "zstd" and _ZSTD_UNBOUNDED:
        return _ZstdInSteps()
    raise UnknownCodingError(f"the coding `{coding[:40]}` is not understood here; known are {', '.join(known_codings())}")


def _first_of(*names: str) -> Any:
    """The first of the modules that is installed, else None."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _brotli() -> Any:
    module = _first_of("brotli", "brotlicffi")
    try:
        module.Decompressor().process(b"", output_buffer_limit=1)
        return module
    except (AttributeError, TypeError):
        return None


_BROTLI: Any = _brotli()
_ZSTD_BOUNDED: Any = _first_of("compression.zstd", "backports.zstd")
_ZSTD_UNBOUNDED: Any = _first_of("zstandard")
