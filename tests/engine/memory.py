"""A transport in memory that keeps asyncio's contract, for either end of an exchange.

The other end of it is the test: `says` delivers bytes to the protocol, `heard` is what it has written since the last
look. `window` is how many bytes the other end takes before they pile up in the send buffer; `takes` makes room again.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

ENDLESS = 1 << 62


class MemoryTransport(asyncio.Transport):
    """Callbacks that asyncio makes in a later turn (`connection_lost`) come in a later turn here too."""

    def __init__(self, protocol: asyncio.Protocol, *, window: int = ENDLESS, socket: Any = None) -> None:
        super().__init__({"peername": ("192.0.2.1", 50000), "socket": socket})
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._window = window
        self._taken = bytearray()
        self._buffer = bytearray()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._full = False
        self._closing = False
        self._lost = False
        self._reading = True
        self._inbox: list[bytes | None] = []
        self.aborted = False
        self.finished = False  # write_eof was called
        protocol.connection_made(self)

    # -- what the protocol calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.finished, "write after write_eof"
        if self._lost or self._closing:
            return
        self._buffer += data
        self._flush()
        if len(self._buffer) > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def pause_reading(self) -> None:
        if not self._closing:
            self._reading = False

    def resume_reading(self) -> None:
        if not self._closing and not self._reading:
            self._reading = True
            self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.finished = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._reading = False
            if not self._buffer:
                self._end(None)

    def abort(self) -> None:
        self.aborted = True
        self._closing = True
        self._reading = False
        self._buffer.clear()
        self._end(None)

    def _end(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, exc)

    def _flush(self) -> None:
        count = min(self._window, len(self._buffer))
        self._taken += self._buffer[:count]
        del self._buffer[:count]
        self._window -= count
        if self._full and len(self._buffer) <= self._low:
            self._full = False
            self._protocol.resume_writing()
        if self._closing and not self._buffer:
            self._end(None)

    # -- what the test calls

    @property
    def closed(self) -> bool:
        """Whether the protocol has closed its side, with all it had written taken by the other end."""
        return self._lost

    def heard(self) -> bytes:
        data = bytes(self._taken)
        self._taken.clear()
        return data

    def says(self, *pieces: bytes) -> None:
        """Deliver each piece as one read; while reading is paused they wait."""
        self._inbox += pieces
        self._deliver()

    def leaves(self) -> None:
        """A FIN, behind what was said."""
        self._inbox.append(None)
        self._deliver()

    def resets(self) -> None:
        """A RST: what is under way is lost."""
        self._closing = True
        self._inbox.clear()
        self._end(ConnectionResetError())

    def takes(self, count: int = ENDLESS) -> None:
        self._window += count
        self._flush()

    def _deliver(self) -> None:
        while self._inbox and self._reading and not self._closing:
            piece = self._inbox.pop(0)
            if piece is not None:
                self._protocol.data_received(piece)
            elif not self._protocol.eof_received():
                self.close()
