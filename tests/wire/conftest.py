"""What every test of the wire room needs: one head parser, and a loop object for it that never runs."""

import asyncio
from collections.abc import Iterator

import pytest

from proxy.wire.parser import HeadParser


@pytest.fixture
def parser() -> Iterator[HeadParser]:
    loop = asyncio.new_event_loop()
    yield HeadParser(loop)
    loop.close()
