"""One coarse timer wheel per worker.

Every connection has at most one deadline. Putting it off costs one attribute: the wheel looks again when the old one comes due.
Only bringing it forward touches the wheel. Deadlines are monotonic seconds, kept to within one tick.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from math import inf

TICK = 0.1


class Timed:
    """Something with a deadline. `slot` is the earliest deadline for which the wheel will look at it in time."""

    __slots__ = ("deadline", "slot")

    def __init__(self) -> None:
        self.deadline = inf
        self.slot = inf

    def on_deadline(self) -> None:
        raise NotImplementedError


class Wheel:
    """Buckets of connections by the tick at which to look at them. `now` is the loop's time, at most a tick old."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, list[Timed]] = {}
        self._watchers: list[Callable[[], None]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._ticks = 0
        self.now = loop.time()
        self._last = int(self.now / TICK)
        self.date = b""

    def start(self) -> None:
        self._tick()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def each_second(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` about once a second."""
        self._watchers.append(watcher)

    def arm(self, timed: Timed, deadline: float) -> None:
        """Set a deadline; the hot path does the same inline where it only puts one off."""
        timed.deadline = deadline
        if deadline < timed.slot:
            self._insert(timed)

    def _insert(self, timed: Timed) -> None:
        key = max(int(timed.deadline / TICK), self._last) + 1
        timed.slot = (key - 1) * TICK  # any deadline from here on is looked at in time
        self._buckets.setdefault(key, []).append(timed)

    def _tick(self) -> None:
        self._handle = self._loop.call_later(TICK, self._tick)
        self.now = now = self._loop.time()
        current = int(now / TICK)
        for key in range(self._last + 1, current + 1):
            self._last = key
            for timed in self._buckets.pop(key, ()):
                if timed.slot == (key - 1) * TICK:
                    self._look(timed, now)
        if self._ticks % round(1 / TICK) == 0:
            self.date = formatdate(usegmt=True).encode("ascii")
            for watcher in self._watchers:
                watcher()
        self._ticks += 1

    def _look(self, timed: Timed, now: float) -> None:
        timed.slot = inf
        if timed.deadline <= now:
            timed.deadline = inf
            timed.on_deadline()
        elif timed.deadline < inf:
            self._insert(timed)
