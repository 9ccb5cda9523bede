"""Upstream answers as a rule reads them: without framing, without content coding, whole where that is asked for.

Pure: bytes in, bytes out.
"""

from collections.abc import Mapping

from proxy.outcomes import ErrorType
from proxy.wire.framing import ChunkedReader
from proxy.wire.head import CHUNKED
from proxy.wire.refusal import Refusal, bad_response
from proxy.wire.response import ResponseHead
from translators.formats.compression import CompressionError, Decoder, TooLargeError, UnknownCodingError
from translators.runtime.steps import Reply

_ENCODING = b"content-encoding"
_UNLIMITED = 1 << 62  # a stream is as long as it is; its events and its ratio are bounded


def reply_headers(head: ResponseHead) -> dict[str, str]:
    """The fields of an answer by lower-case name; repeated ones are joined by commas."""
    found: dict[str, str] = {}
    for name, line in zip(head.shape.lower, head.lines.split(b"\r\n"), strict=False):
        key = name.decode("ascii")
        value = line[len(name) + 1 :].strip(b" \t").decode("latin-1")
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


class UnreadableCodingError(Exception):
    """The answer has a content coding that is not understood here: it can only be carried (rule P05)."""


class ReplyReader:
    """Takes an answer's bytes as they are framed, gives its data without coding. Raises Refusal (502).

    `whole` collects the data, up to `limit` bytes; without it nothing is kept. Making one raises UnreadableCodingError.
    """

    __slots__ = ("_chunks", "_decoder", "_limit", "_payload", "_raw", "_shared", "coded", "size", "status")

    def __init__(self, head: ResponseHead, headers: Mapping[str, str], limit: int, *, whole: bool) -> None:
        coding = headers.get("content-encoding", "")
        self.coded = coding.strip().lower() not in {"", "identity"}
        self._limit = limit if whole else 0
        try:
            self._decoder = Decoder(coding, limit if whole else _UNLIMITED) if self.coded else None
        except UnknownCodingError:
            raise UnreadableCodingError from None
        self.status = head.code
        self.size = 0
        self._raw: list[bytes] = []  # as received, without framing
        self._payload: list[bytes] = []
        self._chunks = ChunkedReader() if head.length == CHUNKED else None
        self._shared = False

    def share(self, reader: ChunkedReader) -> None:
        """From now on the data is what this reader lets through, which follows the same answer (0.7 us a chunk less)."""
        reader.payload = self._payload
        self._chunks = None
        self._shared = True

    def feed(self, framed: bytes) -> bytes:
        """The data in these bytes, decoded; collected instead where the answer is read whole."""
        chunks = self._chunks
        if chunks is not None:
            chunks.payload = self._payload
            chunks.feed(framed)  # checked already: it is what the connection's own reader let through
        if chunks is not None or self._shared:
            data = b"".join(self._payload)
            self._payload.clear()
        else:
            data = framed
        self.size += len(data)
        if self._limit:
            if self.size > self._limit:
                raise too_large_answer()
            self._raw.append(data)
            return b""
        return self._decode(data) if self._decoder is not None else data

    def _decode(self, data: bytes) -> bytes:
        assert self._decoder is not None
        try:
            return self._decoder.feed(data)
        except TooLargeError as error:
            raise too_large_answer(f"The upstream's answer cannot be read: {error}.") from None
        except CompressionError:
            raise _bad_coding() from None

    def finish(self) -> None:
        """The answer has ended; one whose coding has not is no whole answer."""
        if self._decoder is not None:
            try:
                self._decoder.finish()
            except CompressionError:
                raise _bad_coding() from None

    @property
    def raw(self) -> bytes:
        """The data collected so far, in its content coding."""
        if len(self._raw) > 1:
            self._raw[:] = [b"".join(self._raw)]
        return self._raw[0] if self._raw else b""

    def reply(self, headers: Mapping[str, str]) -> Reply:
        """The whole answer, decoded."""
        body = self.raw
        if self._decoder is not None:
            body = self._decode(body)
            self.finish()
        return Reply(self.status, headers, body)


def too_large_answer(message: str = "The upstream's answer is larger than the limit for answers that a rule works on.") -> Refusal:
    """An answer that a rule must read whole, beyond the limit, or one whose coding makes far more of it than came."""
    return bad_response(ErrorType.HTTP_PROTOCOL_ERROR, "answer_too_large", message, limit="buffered_body")


def unreadable_coding() -> Refusal:
    """An answer in a content coding that nobody asked for, where it cannot be carried."""
    return bad_response(
        ErrorType.HTTP_PROTOCOL_ERROR,
        "bad_content_encoding",
        "The upstream's answer has a content coding that is not understood here, and none was asked for.",
    )


def _bad_coding() -> Refusal:
    return bad_response(
        ErrorType.HTTP_PROTOCOL_ERROR, "bad_content_encoding", "The upstream's answer is not what its Content-Encoding says."
    )
