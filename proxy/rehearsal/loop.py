"""An event loop in which waiting takes no time: when nothing is left to do, its clock jumps to the next timer.

Only the public parts of asyncio are used: a selector that does not sleep, and a loop that asks it for the time.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

_REAL_WAIT = 10.0  # seconds for what happens outside of the loop (a thread), where there is no timer to jump to

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class StandstillError(RuntimeError):
    """Nothing can happen any more: what is waited for never comes."""


class _Jumping(selectors.BaseSelector):
    """Looks at its files for `patience` seconds at most; what it was asked to wait counts as spent all the same."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._files = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = self._files.select(_REAL_WAIT)
            if not ready:
                raise StandstillError("nothing is left to do, and nothing to wait for")
            return ready
        ready = self._files.select(min(timeout, self._patience))
        if not ready:
            self.now += timeout
        return ready

    def register(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        return self._files.register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._files.unregister(fileobj)

    def modify(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        return self._files.modify(fileobj, events, data)

    def close(self) -> None:
        self._files.close()

    def get_map(self) -> "Mapping[FileDescriptorLike, selectors.SelectorKey]":
        return self._files.get_map()


class JumpingLoop(asyncio.SelectorEventLoop):
    """See the module. Its time begins at 0. `patience`: real seconds that sockets get before the clock jumps."""

    def __init__(self, patience: float = 0.0) -> None:
        self._jumping = _Jumping(patience)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now
