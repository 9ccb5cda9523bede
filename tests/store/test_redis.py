"""What is particular to the store in Redis: how it is opened, and what its errors say."""

import sys
from pathlib import Path

import pytest

from proxy.store.interface import StoreError
from proxy.store.opening import open_store
from proxy.store.redis import RedisStore
from tests.harness.runner import async_test
from tests.store.running import redis_server


@async_test(loops=False)
async def test_without_the_redis_package_the_error_says_what_to_install() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "redis.asyncio", None)
        with pytest.raises(StoreError, match=r"pip install 'dragoman\[redis\]'"):
            await open_store("redis://localhost")


@async_test(loops=False)
async def test_a_url_of_another_kind_is_refused_without_showing_it() -> None:
    pytest.importorskip("redis")
    with pytest.raises(StoreError, match="expected redis://") as raised:
        await RedisStore.open("http://:sk-test-password@localhost")
    assert "sk-test" not in str(raised.value)


@async_test(loops=False)
async def test_N01_a_server_that_is_not_there_is_told_without_the_url(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    with pytest.raises(StoreError, match=r"PING failed \(ConnectionError\)") as raised:
        await open_store(f"unix://:sk-test-password@{tmp_path}/none.sock")
    assert "sk-test" not in repr(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.peer
@async_test(loops=False)
async def test_a_server_that_has_restarted_is_found_again(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    with redis_server(tmp_path) as url:
        store = await open_store(url)
        await store.put("job", b"record", 60)
    with pytest.raises(StoreError, match="GET failed"):
        await store.get("job")
    with redis_server(tmp_path):
        assert await store.get("job") is None
    await store.close()


@pytest.mark.peer
@async_test(loops=False)
async def test_a_store_that_refuses_a_write_says_which_kind_of_error_it_was(redis_url: str) -> None:
    store = await RedisStore.open(redis_url, prefix="full:")
    other = await RedisStore.open(redis_url, prefix="")
    await other._run("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreError, match=r"SET failed \(OutOfMemoryError\)") as raised:
            await store.put("job", b"sk-test-private", 60)
        assert "sk-test" not in str(raised.value)
    finally:
        await other._run("CONFIG", "SET", "maxmemory", "0")
    await store.close()
    await other.close()


@pytest.mark.peer
@async_test(loops=False)
async def test_stores_with_other_prefixes_do_not_see_each_other(redis_url: str) -> None:
    one, other = await RedisStore.open(redis_url, prefix="one:"), await RedisStore.open(redis_url, prefix="other:")
    await one.put("job", b"record", 60)
    assert await other.get("job") is None
    await one.close()
    await other.close()
