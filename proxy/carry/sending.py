"""A request that is here as a whole on its way to the upstream: in one write where it is small, else in slices under backpressure.

The slices of a large body are views of what is held, so that sending copies nothing and never fills the connection's buffer by more
than a slice; after `_TURN` bytes the loop has its turn, so that other exchanges are not kept waiting (benchmarks, W5).
"""

import asyncio
from collections.abc import Callable, Iterator

from proxy.upstream.connection import UpstreamConnection
from translators.runtime.steps import Pieces

SLICE = 64 * 1024
_TURN = 256 * 1024
_NEEDS_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # rule B10


def message(method: str, head: bytes, body: object) -> bytes | None:
    """The whole request, where its body is bytes, and few enough for one write; `head` up to its framing field."""
    if not body:
        return b"%bContent-Length: 0\r\n\r\n" % head if method in _NEEDS_LENGTH else b"%b\r\n" % head
    if isinstance(body, bytes) and len(body) <= SLICE:
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    return None


class Sending:
    """One request. `sent` is called once all of it was handed over; `send` may be called again on another connection."""

    __slots__ = ("_body", "_connection", "_head", "_parts", "_sent", "_turn", "_whole")

    def __init__(self, method: str, head: bytes, body: bytes | Pieces | None, sent: Callable[[], None]) -> None:
        self._head = head
        self._body = body
        self._whole = message(method, head, body)
        self._sent = sent
        self._parts: Iterator[bytes | memoryview] | None = None
        self._connection: UpstreamConnection | None = None
        self._turn: asyncio.Handle | None = None

    def send(self, connection: UpstreamConnection) -> None:
        transport = connection.transport
        assert transport is not None
        body = self._body
        if self._whole is not None:
            transport.write(self._whole)
        else:
            assert body is not None  # it is large
            transport.write(b"%bContent-Length: %d\r\n\r\n" % (self._head, len(body)))
            self._parts = _slices((body,) if isinstance(body, bytes) else body.parts())
            self._connection = connection
            self.go_on()
            return
        connection.sent()
        self._sent()

    def go_on(self) -> None:
        """Write as much as the connection takes, for one turn."""
        self._turn = None
        connection, parts = self._connection, self._parts
        if connection is None or parts is None:
            return
        written = 0
        while connection.transport is not None and not connection.full:
            if written >= _TURN:
                self._turn = asyncio.get_running_loop().call_soon(self.go_on)
                return
            part = next(parts, None)
            if part is None:
                self._parts = self._connection = None
                connection.sent()
                self._sent()
                return
            connection.transport.write(part)
            written += len(part)

    def room(self) -> None:
        """The connection takes more again."""
        if self._turn is None:
            self.go_on()

    def stop(self) -> None:
        """Send no further."""
        self._parts = self._connection = None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None


def _slices(parts: "Iterator[bytes | memoryview] | tuple[bytes, ...]") -> Iterator[memoryview]:
    """The parts in pieces of at most SLICE bytes, not copied."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), SLICE):
            yield view[start : start + SLICE]
