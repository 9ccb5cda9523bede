"""Fixtures of this room: one gateway for all tests that only ask, and one of its own for a test that counts or records."""

from collections.abc import Iterator

import pytest

from tests.sdk.host import Host, running
from tests.sdk.relay import Relay, relaying


@pytest.fixture(scope="session")
def shared() -> Iterator[Host]:
    """A gateway with the sandbox behind it."""
    with running() as host:
        yield host


@pytest.fixture
def recorded() -> Iterator[Host]:
    """A gateway for one test, with a recorder between it and the sandbox."""
    with running(record=True) as host:
        yield host


@pytest.fixture(scope="session")
def relay() -> Iterator[Relay]:
    """A gateway with a capture server behind it."""
    with relaying() as made:
        yield made


@pytest.fixture(scope="session")
def offline() -> Iterator[Host]:
    """A gateway with the sandbox behind it, whose tasks take a moment only."""
    with running() as host:
        host.sandbox.times.task = 0.3
        yield host
