"""What every store does, whichever it is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.store.interface import MAX_KEY, RecordTooLargeError, Store, StoreError
from tests.harness.runner import async_test
from tests.store.running import Opener, opened

EVERY_BYTE = bytes(range(256)) * 5


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


@async_test(loops=False)
async def test_a_record_comes_back_byte_for_byte(opener: Opener) -> None:
    async with opened(opener) as store:
        await store.put("job", EVERY_BYTE, 60)
        await store.put("empty", b"", 60)
        assert await store.get("job") == EVERY_BYTE
        assert await store.get("empty") == b""


@async_test(loops=False)
async def test_there_is_nothing_under_an_unknown_key(opener: Opener) -> None:
    async with opened(opener) as store:
        assert await store.get("nothing") is None


@async_test(loops=False)
async def test_a_later_record_replaces_the_earlier_one(opener: Opener) -> None:
    async with opened(opener) as store:
        await store.put("job", b"running", 60)
        await store.put("job", b"done", 60)
        assert await store.get("job") == b"done"


@async_test(loops=False)
async def test_a_record_is_gone_when_its_time_is_over(opener: Opener) -> None:
    async with opened(opener) as store:
        await store.put("short", b"record", 0.02)
        await store.put("long", b"record", 60)

        async def gone() -> bool:
            return await store.get("short") is None

        await eventually(gone)
        assert await store.get("long") == b"record"


@async_test(loops=False)
async def test_a_record_is_seen_by_another_who_opens_the_store_and_outlives_who_put_it(opener: Opener) -> None:
    async with opened(opener) as reader:
        async with opened(opener) as writer:
            await writer.put("job", b"record", 60)
        assert await reader.get("job") == b"record"
    async with opened(opener) as later:
        assert await later.get("job") == b"record"


@async_test(loops=False)
async def test_one_owner_has_a_claim_and_may_renew_it(opener: Opener) -> None:
    async with opened(opener) as one, opened(opener) as other:
        assert await one.claim("job", "worker 1", 60)
        assert not await other.claim("job", "worker 2", 60)
        assert await one.claim("job", "worker 1", 60)
        assert await other.claim("another job", "worker 2", 60)


@async_test(loops=False)
async def test_a_claim_that_was_not_renewed_goes_to_the_next(opener: Opener) -> None:
    async with opened(opener) as store:
        assert await store.claim("job", "dead", 0.02)
        await eventually(lambda: store.claim("job", "alive", 60))
        assert not await store.claim("job", "dead", 60)


@async_test(loops=False)
async def test_a_renewed_claim_lasts_as_long_as_the_last_renewal_says(opener: Opener) -> None:
    async with opened(opener) as store:
        assert await store.claim("job", "worker 1", 60)
        assert await store.claim("job", "worker 1", 0.02)
        await eventually(lambda: store.claim("job", "worker 2", 60))


@async_test(loops=False)
async def test_of_many_who_claim_at_once_one_wins(opener: Opener) -> None:
    async with opened(opener) as one, opened(opener) as other:
        answers = await asyncio.gather(*((one, other)[n % 2].claim("job", f"worker {n}", 60) for n in range(20)))
    assert answers.count(True) == 1


@async_test(loops=False)
async def test_claims_and_records_know_nothing_of_each_other(opener: Opener) -> None:
    async with opened(opener) as store:
        assert await store.claim("job", "worker 1", 60)
        assert await store.get("job") is None
        await store.put("job", b"record", 60)
        assert not await store.claim("job", "worker 2", 60)


@async_test(loops=False)
async def test_a_record_may_have_the_limit_s_size_and_not_one_byte_more(opener: Opener) -> None:
    async with opened(opener, max_record=10) as store:
        await store.put("job", bytes(10), 60)
        with pytest.raises(RecordTooLargeError, match="11 bytes is not kept: the store's limit is 10 bytes"):
            await store.put("job", bytes(11), 60)
        assert await store.get("job") == bytes(10)


@pytest.mark.parametrize("key", ["a" * MAX_KEY, "with blank and \x00 and ' quote", "任务", "*", "record:job"])
@async_test(loops=False)
async def test_a_key_may_hold_any_text(opener: Opener, key: str) -> None:
    async with opened(opener) as store:
        await store.put(key, b"record", 60)
        await store.put("job", b"other", 60)
        assert await store.get(key) == b"record"


@pytest.mark.parametrize("key", ["", "a" * (MAX_KEY + 1)])
@async_test(loops=False)
async def test_a_key_that_is_empty_or_too_long_is_refused(opener: Opener, key: str) -> None:
    async with opened(opener) as store:
        for call in (store.put(key, b"", 60), store.get(key), store.claim(key, "worker", 60)):
            with pytest.raises(ValueError, match="1 to 512 characters"):
                await call


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
@async_test(loops=False)
async def test_a_time_to_live_that_is_none_is_refused(opener: Opener, ttl: float) -> None:
    async with opened(opener) as store:
        for call in (store.put("job", b"", ttl), store.claim("job", "worker", ttl)):
            with pytest.raises(ValueError, match="above 0"):
                await call


@async_test(loops=False)
async def test_a_closed_store_says_so_and_may_be_closed_again(opener: Opener) -> None:
    async def used(store: Store) -> None:
        await store.get("job")

    async with opened(opener) as store:
        await store.close()
        with pytest.raises(StoreError, match="is closed"):
            await used(store)
