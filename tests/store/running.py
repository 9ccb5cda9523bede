"""Stores to test: a SQLite file, and a Redis server of our own on a socket in a directory of the test."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from proxy.store.interface import MAX_RECORD, Store
from proxy.store.sqlite import SQLiteStore

Opener = Callable[[int], Awaitable[Store]]  # with the largest record


def sqlite_opener(directory: Path) -> Opener:
    return lambda max_record: SQLiteStore.open(directory / "store.db", max_record=max_record)


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """The URL of a server that runs as long as the block, without network, files or persistence."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    path = directory / "redis.sock"
    process = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not listens(path):
            assert process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not listen"
            time.sleep(0.005)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.asynccontextmanager
async def opened(opener: Opener, max_record: int = MAX_RECORD) -> AsyncIterator[Store]:
    store = await opener(max_record)
    try:
        yield store
    finally:
        await store.close()
