"""Token counts from where a rule's `usage` says that they stand (`tap` knows the places of the common protocols without a rule).

Bounded like the tap: of a stream the first and the last events are kept, of a body no more than `_MOST_BODY` bytes.
"""

from collections import deque

import orjson

from proxy.carry.tap import Tap
from proxy.wire.framing import ChunkedReader
from translators.formats.events import EventCutter, EventTooLargeError
from translators.model import Usage
from translators.runtime.usage import answer_scope, counts

_MOST_BODY = 1024 * 1024
_FIRST, _LAST = 2, 4  # events; some protocols report the input in the first


def counts_in(usage: Usage, body: bytes, status: int = 200) -> tuple[int, int]:
    """Input and output tokens in a whole message; zeros where it tells none."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 0, 0
    found = counts(usage, answer_scope(message, status=status))
    return found.input or 0, found.output or 0


class KnownCounts(Tap):
    """Counts that were read already."""

    __slots__ = ("_counts",)

    def __init__(self, found: tuple[int, int]) -> None:
        super().__init__(stream=False)
        self._counts = found

    def usage(self) -> tuple[int, int]:
        return self._counts


class BodyCounts(Tap):
    """Counts in a body that comes in pieces, `chunked` as received or not."""

    __slots__ = ("_chunks", "_kept", "_rule", "_size")

    def __init__(self, usage: Usage, *, chunked: bool) -> None:
        super().__init__(stream=False)
        self._rule = usage
        self._chunks = ChunkedReader() if chunked else None
        self._kept: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        for piece in _data(self._chunks, data):
            self._size += len(piece)
            if self._size <= _MOST_BODY:
                self._kept.append(piece)

    def usage(self) -> tuple[int, int]:
        return counts_in(self._rule, b"".join(self._kept)) if self._size <= _MOST_BODY else (0, 0)


class EventCounts(Tap):
    """Counts in the events of a stream, `chunked` as received or not."""

    __slots__ = ("_chunks", "_cutter", "_first_events", "_last_events", "_rule")

    def __init__(self, usage: Usage, *, chunked: bool = False) -> None:
        super().__init__(stream=True)
        self._rule = usage
        self._chunks = ChunkedReader() if chunked else None
        self._cutter: EventCutter | None = EventCutter()
        self._first_events: list[bytes] = []
        self._last_events: deque[bytes] = deque(maxlen=_LAST)

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if self._cutter is None:
            return
        try:
            events = [event for piece in _data(self._chunks, data) for event in self._cutter.feed(piece)]
        except EventTooLargeError:
            self._cutter = None
            return
        for event in events:
            if event.data is None:
                continue
            if len(self._first_events) < _FIRST:
                self._first_events.append(event.data)
            self._last_events.append(event.data)

    def usage(self) -> tuple[int, int]:
        """Of each count the greatest: what a stream reports grows."""
        found = [counts_in(self._rule, data) for data in (*self._first_events, *self._last_events)]
        return max((given for given, _ in found), default=0), max((made for _, made in found), default=0)


def _data(chunks: ChunkedReader | None, data: bytes) -> list[bytes]:
    """The data of these bytes without framing."""
    if chunks is None:
        return [data]
    pieces: list[bytes] = []
    chunks.payload = pieces
    chunks.feed(data)  # checked already: it is what the connection's own reader let through
    return pieces
