"""Fixtures for every room: the event loop a dialogue runs on."""

import importlib.util

import pytest

NO_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")


@pytest.fixture(params=["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def loop_name(request: pytest.FixtureRequest) -> str:
    """The loop of an `async_test`: each runs on plain asyncio and, where it is installed, on uvloop."""
    return str(request.param)
