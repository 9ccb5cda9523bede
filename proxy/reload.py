"""When to load the configuration again: a watch over what files hold (rule M05).

What counts is the content, by hash: time stamps and inodes lie where a file is replaced by rename, or a mounted directory by the
swap of a link. A change is taken up when it has stood still from one look to the next, so that a burst of writes is one change.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

logger = logging.getLogger("dragoman")

PERIOD = 0.5  # seconds between two looks; a change takes effect after one to two of them


def signature(sources: Iterable[Path]) -> tuple[object, ...]:
    """What tells cheaply that nothing was written: names, inodes, sizes, times; the change time is one that no writer can set.

    Hashing everything at every look costs the event loop milliseconds (the threads share one interpreter lock).
    """
    found: list[object] = []
    for source in sources:
        for path in _files(source):
            try:
                stat = path.stat()
            except OSError as error:
                found.append((path.name, error.errno))
            else:
                found.append((path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


def fingerprint(sources: Iterable[Path]) -> bytes:
    """A hash over the names and contents of files, and of the files in directories; one that cannot be read counts as such."""
    digest = hashlib.sha256()
    for source in sources:
        for path in _files(source):
            digest.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
            try:
                content = path.read_bytes()
            except OSError as error:
                digest.update(b"unreadable %d\0" % (error.errno or 0))
            else:
                digest.update(hashlib.sha256(content).digest())
    return digest.digest()


def _files(source: Path) -> list[Path]:
    """A directory's files, hidden ones aside: a mounted ConfigMap keeps its versions there. Any other path stands for itself."""
    try:
        return sorted(entry for entry in source.iterdir() if not entry.name.startswith(".") and entry.is_file())
    except OSError:
        return [source]


class Watch:
    """Calls `changed` when the sources hold something new. The first look is what the gateway has loaded."""

    def __init__(
        self, sources: Callable[[], Iterable[Path]], changed: Callable[[], Awaitable[object]], *, period: float = PERIOD
    ) -> None:
        self._sources = sources
        self._changed = changed
        self._period = period
        self._known = b""
        self._signature: tuple[object, ...] = ()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._known = await self._look()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look(self) -> bytes:
        return await asyncio.to_thread(fingerprint, tuple(self._sources()))

    async def _run(self) -> None:
        last = self._known
        while True:
            await asyncio.sleep(self._period)
            try:
                seen = await asyncio.to_thread(signature, tuple(self._sources()))
                if seen == self._signature and last == self._known:
                    continue
                self._signature = seen
                now = await self._look()
                if now == last and now != self._known:
                    self._known = now
                    await self._changed()
                last = now
            except Exception:
                logger.exception("watching the configuration failed; trying again")
