"""A request body that did not come as a whole with its head, or that must be looked into before it can be sent.

Pure: bytes in, bytes out. It follows the client's framing, looks for the model's name where one is needed, and keeps the bytes that
have to wait for the name or for a connection. Whole small bodies never come here.
"""

from collections.abc import Callable

from proxy.outcomes import ErrorType
from proxy.routing.plan import Plan
from proxy.settings import Limits
from proxy.wire.framing import ChunkedReader, FramingError
from proxy.wire.head import CHUNKED
from proxy.wire.model import DuplicateModelError, ModelFinder, finder_for, peek_json
from proxy.wire.refusal import Refusal, bad_request

PEEK = 64 * 1024  # a body up to this size may be looked into as a whole


def too_large() -> Refusal:
    """A body beyond the limit (rule J03)."""
    return Refusal(
        413, ErrorType.HTTP_REQUEST_ERROR, "body_too_large", "The request body is larger than the limit.", limit="body", close=True
    )


def twice(*, close: bool = True) -> Refusal:
    """The body names its model twice (rule P02)."""
    refusal = bad_request("duplicate_model", "The request body names its model twice.")
    refusal.close = close
    return refusal


def named_too_late() -> Refusal:
    """A body whose model stands behind more than may be held."""
    return Refusal(
        413,
        ErrorType.HTTP_REQUEST_ERROR,
        "model_too_late",
        "The request's model stands too far back to be looked for; send a ModelName header or call /{platform}/....",
        limit="buffered_body",
        close=True,
    )


class Upload:
    """Follows one request body. `left` is what is still to come: a count, CHUNKED, or 0.

    `account` is told of every change in the bytes held; it raises Refusal when the process holds too many.
    """

    __slots__ = (
        "_account",
        "_body_limit",
        "_finder",
        "_held",
        "_held_limit",
        "_reader",
        "_searching",
        "_watched",
        "held_bytes",
        "left",
    )

    def __init__(self, plan: Plan, length: int, limits: Limits, body_limit: int, account: Callable[[int], None]) -> None:
        self.left = length
        self.held_bytes = 0
        self._held: list[bytes] = []
        self._held_limit = limits.buffered_body
        self._body_limit = body_limit
        self._account = account
        self._reader = ChunkedReader(limits.header_section) if length == CHUNKED else None
        self._finder: ModelFinder | None = None
        self._searching = plan.needs_model
        # A small body is looked into as a whole when it is here; if its model is wanted for the metrics only, it is not held back.
        # Where head or path have named the model, the body has nothing to say.
        wanted = plan.dispatch is None and plan.may_be_json and 0 < length <= PEEK
        self._watched: list[bytes] | None = [] if wanted else None
        if plan.needs_model and self._watched is None:
            self._finder = finder_for(plan.content_type, compressed=plan.compressed)
            if self._reader is not None:
                self._reader.payload = []

    @property
    def reader(self) -> ChunkedReader | None:
        """Follows the framing of a chunked body."""
        return self._reader

    @property
    def chunked(self) -> bool:
        return self._reader is not None

    @property
    def received(self) -> int | None:
        """Data bytes of a chunked body so far; None where the framing has no bytes of its own."""
        return self._reader.received if self._reader is not None else None

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Received bytes -> (bytes to forward, bytes of the next request). Raises Refusal."""
        reader = self._reader
        if reader is None:
            left = self.left
            self.left = max(left - len(data), 0)
            if self._watched is not None:
                self._watched.append(data[:left])
            return data[:left], data[left:]
        try:
            framed = reader.feed(data)
        except FramingError:
            raise bad_request("bad_chunk", "The request body's chunked framing is broken.") from None
        if self._body_limit and reader.total > self._body_limit:
            raise too_large()
        if reader.done:
            self.left = 0
        return framed, reader.rest

    @property
    def seen(self) -> bytes | None:
        """The whole body, where it was small enough to be watched."""
        return b"".join(self._watched) if self._watched is not None and not self.left else None

    def find_model(self, framed: bytes) -> tuple[bool, str | None]:
        """Look for the model in what `feed` just returned: (known, name). At the body's end it is known, if only as None."""
        finder, reader = self._finder, self._reader
        try:
            if finder is None:
                return self._find_in_whole()
            if reader is None:
                found = finder.feed(framed)
            else:
                pieces, reader.payload = reader.payload or [], []
                found = any([finder.feed(piece) for piece in pieces])  # noqa: C419 - all of them must be fed
        except DuplicateModelError:
            raise twice() from None
        if not found and self.left:
            return False, None
        self._finder = None
        self._searching = False
        if reader is not None:
            reader.payload = None
        return True, finder.model

    def _find_in_whole(self) -> tuple[bool, str | None]:
        """The model of a small JSON body, once it is complete."""
        if not self._searching:
            return True, None
        body = self.seen
        if body is None:
            return False, None
        self._searching = False
        return True, peek_json(body)

    def hold(self, framed: bytes) -> None:
        """Keep bytes until they can be sent. Raises Refusal (413, 503).

        While the model is looked for, at most `buffered_body` bytes; while a connection is opened, the client is not read.
        """
        if not framed:
            return
        self._held.append(framed)
        self.held_bytes += len(framed)
        self._account(len(framed))
        if self._searching and self.held_bytes > self._held_limit:
            raise named_too_late()

    def release(self) -> bytes:
        """What was held, in order."""
        held = b"".join(self._held)
        self.forget()
        return held

    def forget(self) -> None:
        """Let go of what was held."""
        if self.held_bytes:
            self._account(-self.held_bytes)
            self.held_bytes = 0
        self._held = []
