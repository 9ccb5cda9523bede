"""One Redis server for all tests of this room, a fresh store for each."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store.redis import RedisStore
from tests.store.running import Opener, redis_server, sqlite_opener

_numbers = itertools.count()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("redis", reason="the redis package is not installed")
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.peer)])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens one and the same empty store, each time anew."""
    if request.param == "sqlite":
        return sqlite_opener(tmp_path)
    url, prefix = str(request.getfixturevalue("redis_url")), f"test-{next(_numbers)}:"
    return lambda max_record: RedisStore.open(url, prefix=prefix, max_record=max_record)
