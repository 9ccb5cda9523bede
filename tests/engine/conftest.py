"""The head parser for tests that read request heads."""

import asyncio
from collections.abc import Iterator

import pytest

from proxy.wire.parser import HeadParser


@pytest.fixture
def parser() -> Iterator[HeadParser]:
    loop = asyncio.new_event_loop()
    yield HeadParser(loop)
    loop.close()
