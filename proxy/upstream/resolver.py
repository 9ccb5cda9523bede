"""Names to addresses, without ever holding up another name (rule K09).

The system's resolver runs in threads of its own, one lookup in flight per name, and answers are kept for a short time. It does
not tell a record's TTL, so every answer is kept for `SYSTEM_TTL` seconds, below what providers publish; a resolver that knows the
TTL can be put in its place.
"""

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

SYSTEM_TTL = 5.0
NEGATIVE_TTL = 1.0
MIN_TTL, MAX_TTL = 1.0, 60.0
_MAX_THREADS = 64


class Address(NamedTuple):
    """One address to connect to; `sockaddr` as `socket.connect` takes it."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]
    ttl: float


class Resolver(Protocol):
    """Looks a name up. Raises OSError when it has no address."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]: ...


class SystemResolver:
    """`getaddrinfo` in daemon threads: one hung name costs its own thread and nothing else, and never delays the exit."""

    def __init__(self) -> None:
        self._running = 0

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        if self._running >= _MAX_THREADS:
            raise OSError("too many name lookups are hanging")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Address]] = loop.create_future()

        def settle(result: list[Address] | None, error: OSError | None) -> None:
            self._running -= 1
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result or [])

        def look_up() -> None:
            result: list[Address] | None = None
            error: OSError | None = None
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                result = [Address(family, sockaddr, SYSTEM_TTL) for family, _, _, _, sockaddr in found]  # type: ignore[arg-type]
            except OSError as exc:
                error = exc
            except UnicodeError:
                error = OSError("not a valid host name")
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                pass  # the loop has ended meanwhile

        try:
            threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        except RuntimeError:
            raise OSError("no thread can be started for the lookup") from None
        self._running += 1
        return await future


class CachingResolver:
    """Keeps answers within their TTL, failures for a second, and lets all who ask for one name share one lookup."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[str, int], tuple[float, Sequence[Address] | OSError]] = {}
        self._pending: dict[tuple[str, int], asyncio.Task[Sequence[Address]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        key = (host, port)
        known = self._known.get(key)
        if known is not None and known[0] > self._loop.time():
            if isinstance(known[1], OSError):
                raise OSError(*known[1].args)
            return known[1]
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = self._loop.create_task(self._look_up(key))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _look_up(self, key: tuple[str, int]) -> Sequence[Address]:
        try:
            found = await self._resolver.resolve(*key)
            if not found:
                raise OSError("the name has no address")
        except OSError as exc:
            self._known[key] = (self._loop.time() + NEGATIVE_TTL, exc)
            raise
        else:
            ttl = min(max(min(address.ttl for address in found), MIN_TTL), MAX_TTL)
            self._known[key] = (self._loop.time() + ttl, found)
            return found
        finally:
            del self._pending[key]

    async def close(self) -> None:
        """End lookups that still run."""
        for task in list(self._pending.values()):
            task.cancel()
        await asyncio.gather(*self._pending.values(), return_exceptions=True)
