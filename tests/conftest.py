"""Fixtures for every room: the event loop a dialogue runs on. And how Hypothesis works here."""

import importlib.util

import pytest
from hypothesis import HealthCheck, settings

# A run on a busy machine judges the program and not the machine: no example has a deadline, slow or large data are no fault, and
# the examples are the same each time. `pytest --hypothesis-profile=search` looks for new ones. A fixture made once for all
# examples is meant so where a property takes one.
NO_FAULTS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example, HealthCheck.function_scoped_fixture)
LENIENT = settings(deadline=None, suppress_health_check=NO_FAULTS)
settings.register_profile("search", LENIENT)
settings.register_profile("steady", LENIENT, derandomize=True, database=None)
settings.load_profile("steady")

NO_UVLOOP = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")


@pytest.fixture(params=["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def loop_name(request: pytest.FixtureRequest) -> str:
    """The loop of an `async_test`: each runs on plain asyncio and, where it is installed, on uvloop."""
    return str(request.param)
