"""Fixtures of this room: one gateway for all tests that only ask, and one of its own for a test that counts or records."""

from collections.abc import Iterator

import pytest

from tests.sdk.host import Host, running


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
