"""Numbers that are cheap to change: a bank of doubles, and counters, gauges and histograms that own slots of it.

Nothing here knows a metric's name or a label. An increment is one list-like access to preallocated memory: no lock, no dict, no
allocation. The price: **one thread per slot may write**. The bank is anonymous shared memory, so that a parent can create it
before it forks; each process still needs to know which slot means what, which is the business of `families`.
"""

import mmap
from bisect import bisect_left

DOUBLE = 8


class Bank:
    """Preallocated doubles, handed out in runs. The kernel gives memory only to the pages that are touched."""

    __slots__ = ("_used", "capacity", "values")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.values: memoryview[float] = memoryview(mmap.mmap(-1, capacity * DOUBLE)).cast("d")
        self._used = 0

    def take(self, count: int) -> int:
        """The index of the first of `count` new slots, all zero; MemoryError when the bank is exhausted."""
        index = self._used
        if index + count > self.capacity:
            raise MemoryError(f"metric bank of {self.capacity} slots is full: {count} more were asked for; raise the capacity")
        self._used = index + count
        return index


class Counter:
    """A number that only grows."""

    __slots__ = ("_index", "_values")

    def __init__(self, values: "memoryview[float]", index: int) -> None:
        self._values = values
        self._index = index

    def inc(self, n: float = 1.0) -> None:
        self._values[self._index] += n

    @property
    def value(self) -> float:
        return self._values[self._index]


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_index", "_values")

    def __init__(self, values: "memoryview[float]", index: int) -> None:
        self._values = values
        self._index = index

    def inc(self, n: float = 1.0) -> None:
        self._values[self._index] += n

    def dec(self, n: float = 1.0) -> None:
        self._values[self._index] -= n

    def set(self, value: float) -> None:
        self._values[self._index] = value

    @property
    def value(self) -> float:
        return self._values[self._index]


class Histogram:
    """Counts of observations by upper bound. Slots: one per bound, one for everything above, one for the sum."""

    __slots__ = ("_bounds", "_index", "_sum", "_values")

    def __init__(self, values: "memoryview[float]", index: int, bounds: tuple[float, ...]) -> None:
        self._values = values
        self._index = index
        self._bounds = bounds
        self._sum = index + len(bounds) + 1

    def observe(self, value: float) -> None:
        values = self._values
        values[self._index + bisect_left(self._bounds, value)] += 1.0  # a bound belongs to the bucket below it
        values[self._sum] += value

    @property
    def count(self) -> float:
        return sum(self._values[self._index : self._sum])

    @property
    def sum(self) -> float:
        return self._values[self._sum]
