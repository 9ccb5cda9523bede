"""A request body that is read whole before anything is decided: bounded, accounted for, its content coding undone (rules J03, P05).

Pure: bytes in, bytes out. Whole small bodies without a coding never come here. A large body is never joined where a rule can work
on its pieces: the members that the rule names are found while it comes (benchmarks, W5).
"""

from collections.abc import Callable

from proxy.carry.upload import twice
from proxy.outcomes import ErrorType
from proxy.wire.framing import ChunkedReader, FramingError
from proxy.wire.head import CHUNKED
from proxy.wire.model import DuplicateModelError, ModelFinder
from proxy.wire.refusal import Refusal, bad_request
from translators.formats.compression import BadEncodingError, Decoder, TooLargeError, UnknownCodingError
from translators.formats.spans import Spans, SpanScanner, Watch

LARGE = 256 * 1024  # from this size on a body stays in its pieces


def too_large_to_hold() -> Refusal:
    """A body that must be held, beyond the limit for that."""
    return Refusal(
        413,
        ErrorType.HTTP_REQUEST_ERROR,
        "body_too_large",
        "The request body is larger than the limit for bodies that a rule works on.",
        limit="buffered_body",
        close=True,
    )


class Gathering:
    """Collects one body. `left` is what is still to come: a count, CHUNKED, or 0.

    `account` is told of every change in the bytes held; it raises Refusal when the process holds too many.
    """

    __slots__ = ("_account", "_finder", "_limit", "_reader", "_scanner", "_size", "_watch", "held_bytes", "left", "named", "pieces")

    def __init__(
        self,
        length: int,
        limit: int,
        account: Callable[[int], None],
        *,
        section_limit: int,
        finder: ModelFinder | None,
        watch: Watch | None = None,
    ) -> None:
        if length > limit:
            raise too_large_to_hold()
        self.left = length
        self.held_bytes = 0
        self.pieces: list[bytes] = []
        self._account = account
        self._limit = limit
        self._size = 0
        self._finder = finder
        self.named = finder is None  # whether what comes yet has nothing to say about the model
        self._watch = watch
        self._scanner: SpanScanner | None = None
        self._reader: ChunkedReader | None = None
        if length == CHUNKED:
            self._reader = ChunkedReader(section_limit)
            self._reader.payload = self.pieces

    def go_on(self, reader: ChunkedReader, *, whole: bool) -> None:
        """From now on the framing is followed by a reader that has followed it so far; `whole`: to its end."""
        self._reader = reader
        reader.payload = self.pieces
        if whole:
            self.left = 0
        self._came(0)

    @property
    def received(self) -> int:
        """Data bytes so far."""
        return self._size

    @property
    def model(self) -> str | None:
        """The model that the body names; asked for once it is whole."""
        return self._finder.model if self._finder is not None else None

    def feed(self, data: bytes) -> bytes:
        """Received bytes -> bytes of the next request. Raises Refusal (400, 413, 503)."""
        reader = self._reader
        before = len(self.pieces)
        if reader is None:
            left = self.left
            self.left = max(left - len(data), 0)
            rest = data[left:]
            self.pieces.append(data[:left] if rest else data)
        else:
            try:
                reader.feed(data)
            except FramingError:
                raise bad_request("bad_chunk", "The request body's chunked framing is broken.") from None
            if reader.total > self._limit:
                raise too_large_to_hold()
            rest = reader.rest
            if reader.done:
                self.left = 0
            if len(self.pieces) - before > 1:  # many small chunks are no reason for many small pieces
                self.pieces[before:] = [b"".join(self.pieces[before:])]
        self._came(before)
        return rest

    def _came(self, before: int) -> None:
        """The pieces from here on are new."""
        try:
            for piece in self.pieces[before:]:
                self._size += len(piece)
                self.held_bytes += len(piece)
                self._account(len(piece))
                if self._finder is not None and not self.named:
                    self.named = self._finder.feed(piece)
            self._scan(before)
        except DuplicateModelError:
            raise twice() from None

    def _scan(self, before: int) -> None:
        """Look for the watched members of a large body while it comes, so that nothing is left to be done at its end."""
        scanner = self._scanner
        if scanner is None:
            if self._watch is None or self._size < LARGE:
                return
            scanner = self._scanner = SpanScanner(self._watch)
            before = 0
        for piece in self.pieces[before:]:
            scanner.feed(piece)

    def spans(self) -> Spans | None:
        """Where the watched members of a large body stand; None for one that was not large. Raises BadJsonError, as `feed` does."""
        return self._scanner.finish() if self._scanner is not None else None

    def whole(self) -> bytes:
        """The body in one piece."""
        if len(self.pieces) > 1:
            self.pieces[:] = [b"".join(self.pieces)]
        return self.pieces[0] if self.pieces else b""

    def forget(self) -> None:
        """Let go of what was held."""
        if self.held_bytes:
            self._account(-self.held_bytes)
            self.held_bytes = 0
        self.pieces.clear()


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its content coding. Raises Refusal (400, 413, 415)."""
    try:
        decoder = Decoder(coding, limit)
        return decoder.feed(body) + decoder.finish()
    except UnknownCodingError as error:
        raise _refused(415, "unsupported_content_encoding", error) from None
    except TooLargeError as error:
        raise _refused(413, "body_too_large", error, limit="buffered_body") from None
    except BadEncodingError as error:
        raise _refused(400, "bad_content_encoding", error) from None


def _refused(status: int, code: str, error: Exception, limit: str | None = None) -> Refusal:
    return Refusal(status, ErrorType.HTTP_REQUEST_ERROR, code, f"The request body cannot be read: {error}.", limit=limit)
