"""A text in pieces: as it arrived (`Chunks`) and as it leaves, stretches of what arrived between new bytes (`Piece`)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[int, int]
Piece = Span | bytes  # a stretch of the text received, or new bytes


class Chunks:
    """A body as the pieces it arrived in, addressed by offsets into the whole."""

    __slots__ = ("_pieces", "_starts", "length")

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self.length = 0
        for piece in pieces:
            self.append(piece)

    def __len__(self) -> int:
        return self.length

    def append(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._starts.append(self.length)
            self.length += len(piece)

    def slices(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from `start` up to `end` as views of the pieces, without a copy."""
        index = bisect_right(self._starts, start) - 1
        while start < end:
            piece, base = self._pieces[index], self._starts[index]
            stop = min(end, base + len(piece))
            yield memoryview(piece)[start - base : stop - base]
            start = stop
            index += 1

    def bytes_of(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, copied."""
        return b"".join(self.slices(start, end))


Source = bytes | Chunks


def bytes_of(source: Source, start: int, end: int) -> bytes:
    return source[start:end] if isinstance(source, bytes) else source.bytes_of(start, end)
