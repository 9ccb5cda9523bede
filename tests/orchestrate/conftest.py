"""One Redis server for the tests of this room."""

from collections.abc import Iterator

import pytest

from tests.harness.certificates import Authority
from tests.orchestrate import stage
from tests.store.running import redis_server


@pytest.fixture(scope="session", autouse=True)
def short_trust(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One trusted certificate instead of the system's: reading those takes longer than most tests here."""
    stage.trusted = Authority.create(tmp_path_factory.mktemp("trust")).file


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("redis", reason="the redis package is not installed")
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.peer)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the setting `store` says; gateways with the same share one."""
    if request.param == "sqlite":
        return str(tmp_path_factory.mktemp("store") / "store.db")
    return str(request.getfixturevalue("redis_url"))
