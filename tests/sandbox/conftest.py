"""A sandbox on its own loop in its own thread, so that synchronous and asynchronous clients alike can talk to it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from proxy.sandbox import Sandbox


@contextmanager
def running(pace: float = 0.0) -> Iterator[Sandbox]:
    """A started sandbox; it is stopped and its loop closed at the end."""
    loop = asyncio.new_event_loop()
    sandbox = Sandbox(pace=pace, seed=7)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(60)
    try:
        yield sandbox
    finally:
        asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without pauses, shared by all tests that do not count."""
    with running() as started:
        yield started


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """A sandbox for one test, whose counter starts at 0."""
    with running() as started:
        yield started


@pytest.fixture
def slow_sandbox() -> Iterator[Sandbox]:
    """A sandbox for one test; asked to be slow, it pauses long enough for a client to leave in the middle of a stream."""
    with running(pace=0.02) as started:
        yield started


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Wait up to twenty seconds for something that another thread brings about; says whether it came."""

    def wait(holds: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 20
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.005)
        return holds()

    return wait
