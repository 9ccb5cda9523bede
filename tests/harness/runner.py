"""Running a coroutine as a test, on plain asyncio and on uvloop.

Lives here: the `async_test` decorator and the waiting helpers. A dialogue that hangs fails after `PATIENCE` seconds instead of
hanging the run; that bound is never part of what a test asserts.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

PATIENCE = 60.0  # seconds for a test that is not marked slow

Loops = Callable[[], asyncio.AbstractEventLoop]


def loop_factory(name: str) -> Loops:
    """The function that makes the loop called `name` (`asyncio` or `uvloop`)."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.SelectorEventLoop


def async_test(
    *, loops: bool = True, patience: float = PATIENCE
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Make a test of a coroutine function. With `loops` it runs once on each event loop, else on plain asyncio only."""

    def decorate(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @wraps(function)
        def run(**fixtures: Any) -> None:
            name = fixtures.pop("loop_name", "asyncio") if loops else "asyncio"
            with asyncio.Runner(loop_factory=loop_factory(name)) as runner:
                runner.run(asyncio.wait_for(function(**fixtures), patience))

        del run.__dict__["__wrapped__"]
        signature = inspect.signature(function)
        if loops:
            chosen = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
            signature = signature.replace(parameters=[*signature.parameters.values(), chosen])
        run.__signature__ = signature  # type: ignore[attr-defined]
        return run

    return decorate


async def turns(count: int = 4) -> None:
    """Let the loop turn, so that what was sent is read before the next step."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], within: float = 20.0) -> float:
    """Wait until `condition()` holds and return the seconds it took; AssertionError after `within` seconds."""
    start = time.monotonic()
    pause = 0.0
    while not condition():
        spent = time.monotonic() - start
        assert spent < within, f"still not so after {within} s"
        await asyncio.sleep(pause)
        pause = min(0.01, pause + 0.001)
    return time.monotonic() - start
