"""How late the event loop is: a timer that says, four times a second, by how much it missed its hour."""

import asyncio
import time

from proxy.telemetry.slots import Histogram

INTERVAL = 0.25  # seconds


class LoopLag:
    """Feeds a histogram (seconds) from `start` to `stop`. Uses the monotonic clock: uvloop's own is cached and rounded to 1 ms."""

    def __init__(self, histogram: Histogram, interval: float = INTERVAL) -> None:
        self._histogram = histogram
        self._interval = interval
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Start in the running loop; a second call is the same as none."""
        if self._handle is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = time.monotonic() + self._interval
        self._handle = loop.call_later(self._interval, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._histogram.observe(max(0.0, time.monotonic() - self._due))
        self._arm(loop)
