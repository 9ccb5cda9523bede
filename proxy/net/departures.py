"""Noticing that a client left while nothing is read from it (rule L03).

While reading is paused the event loop does not look at a socket, so a FIN or RST goes unseen. The kernel knows: paused
connections are asked together, every `INTERVAL` seconds, without reading a byte. Nothing runs while no connection is paused.
"""

import asyncio
import select
from collections.abc import Callable

INTERVAL = 0.04


class Departures:
    """Sockets to watch, by file descriptor, with what to call when the peer has left."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._poll = select.poll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, fd: int, gone: Callable[[], None], *, half_close: bool) -> None:
        """Call `gone` once when the peer of `fd` has closed (with `half_close` only when it has closed both ways)."""
        self._watched[fd] = gone
        self._poll.register(fd, 0 if half_close else select.POLLRDHUP)  # HUP and ERR are always reported
        if self._handle is None:
            self._handle = self._loop.call_later(INTERVAL, self._look)

    def forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = None
        for fd, _ in self._poll.poll(0):
            gone = self._watched.get(fd)
            self.forget(fd)
            if gone is not None:
                gone()
        if self._watched:
            self._handle = self._loop.call_later(INTERVAL, self._look)
