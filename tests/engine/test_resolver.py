"""The caching resolver, with a resolver behind it that answers when the test says so (K09)."""

import asyncio
import gc
import socket
import threading
from collections.abc import Sequence

import pytest

from proxy.upstream import resolver as resolver_module
from proxy.upstream.resolver import MAX_TTL, MIN_TTL, NEGATIVE_TTL, Address, CachingResolver, SystemResolver
from tests.harness.runner import async_test, turns


def address(ttl: float, host: str = "192.0.2.1") -> Address:
    return Address(socket.AF_INET, (host, 80), ttl)


class Upstream:
    """Answers are futures that the test settles, by name in the order of the questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.pending: dict[str, asyncio.Future[Sequence[Address]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        self.pending[host] = asyncio.get_running_loop().create_future()
        return await self.pending[host]

    def answers(self, host: str, *addresses: Address) -> None:
        self.pending[host].set_result(addresses)


class Clocked(CachingResolver):
    """A caching resolver whose time is the test's."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self.now = 0.0
        self._loop = self  # type: ignore[assignment]

    def time(self) -> float:
        return self.now

    def create_task(self, coro: object) -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(coro)  # type: ignore[arg-type]


@async_test(loops=False)
async def test_K09_all_who_ask_for_one_name_share_one_lookup() -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    askers = [asyncio.create_task(resolver.resolve("a", 80)) for _ in range(5)]
    await turns()
    assert upstream.asked == ["a"]
    upstream.answers("a", address(10))
    assert await asyncio.gather(*askers) == [(address(10),)] * 5


@async_test(loops=False)
async def test_K09_a_name_that_hangs_does_not_delay_another() -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    hung = asyncio.create_task(resolver.resolve("hung", 80))
    other = asyncio.create_task(resolver.resolve("other", 80))
    await turns()
    upstream.answers("other", address(10))
    assert await other == (address(10),)
    assert not hung.done()
    hung.cancel()
    await resolver.close()


@async_test(loops=False)
async def test_L05_one_asker_that_leaves_takes_nothing_from_the_others() -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    first, second = (asyncio.create_task(resolver.resolve("a", 80)) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    upstream.answers("a", address(10))
    assert await second == (address(10),)
    assert first.cancelled()


@pytest.mark.parametrize(("ttl", "kept"), [(0.0, MIN_TTL), (0.5, MIN_TTL), (30.0, 30.0), (60.0, MAX_TTL), (86400.0, MAX_TTL)])
@async_test(loops=False)
async def test_K09_an_answer_is_kept_for_its_ttl_within_a_floor_and_a_cap(ttl: float, kept: float) -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    for round_number, (now, asked) in enumerate(((0.0, 1), (kept - 0.01, 1), (kept, 2)), start=1):
        resolver.now = now
        task = asyncio.create_task(resolver.resolve("a", 80))
        await turns()
        assert len(upstream.asked) == asked, f"round {round_number}"
        if not task.done():
            upstream.answers("a", address(ttl), address(86400.0, "192.0.2.2"))
        assert len(await task) == 2


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "Name or service not known"), OSError("broken")])
@async_test(loops=False)
async def test_K09_a_failure_is_kept_for_a_second(failure: OSError) -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    for now, asked in ((0.0, 1), (NEGATIVE_TTL - 0.01, 1), (NEGATIVE_TTL, 2)):
        resolver.now = now
        task = asyncio.create_task(resolver.resolve("a", 80))
        await turns()
        assert len(upstream.asked) == asked
        if not task.done():
            upstream.pending["a"].set_exception(failure)
        with pytest.raises(OSError, match=str(failure.args[-1])):
            await task


@async_test(loops=False)
async def test_a_name_without_an_address_is_a_failure() -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    task = asyncio.create_task(resolver.resolve("a", 80))
    await turns()
    upstream.answers("a")
    with pytest.raises(OSError, match="no address"):
        await task


@async_test(loops=False)
async def test_two_ports_of_one_name_are_two_answers() -> None:
    upstream = Upstream()
    resolver = Clocked(upstream)
    tasks = [asyncio.create_task(resolver.resolve("a", port)) for port in (80, 443)]
    await turns()
    assert upstream.asked == ["a", "a"]
    for task in tasks:
        task.cancel()
    await resolver.close()


@async_test(loops=False)
async def test_closing_ends_what_still_runs_and_a_failure_nobody_waits_for_is_no_noise() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    upstream = Upstream()
    resolver = Clocked(upstream)
    failing = asyncio.create_task(resolver.resolve("a", 80))
    hung = asyncio.create_task(resolver.resolve("b", 80))
    await turns()
    failing.cancel()
    await turns()
    upstream.pending["a"].set_exception(OSError("nobody listens"))
    await turns()
    await resolver.close()
    await asyncio.gather(failing, hung, return_exceptions=True)
    del failing, hung, upstream
    gc.collect()
    await turns()
    assert errors == []
    assert resolver._pending == {}


# -- the system's resolver


@async_test(loops=False)
async def test_K09_a_hung_system_lookup_costs_its_own_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "hung":
            release.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = SystemResolver()
    hung = [asyncio.create_task(resolver.resolve("hung", 80)) for _ in range(20)]
    try:
        found = await resolver.resolve("quick", 81)
        assert [one.sockaddr for one in found] == [("192.0.2.7", 81)]
        assert not any(task.done() for task in hung)
    finally:
        release.set()
    assert len(await asyncio.gather(*hung)) == 20
    assert resolver._running == 0


@async_test(loops=False)
async def test_K09_the_number_of_hanging_lookups_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(resolver_module, "_MAX_THREADS", 2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    resolver = SystemResolver()
    hung = [asyncio.create_task(resolver.resolve("hung", 80)) for _ in range(2)]
    await turns()
    with pytest.raises(OSError, match="too many name lookups"):
        await resolver.resolve("one more", 80)
    release.set()
    await asyncio.gather(*hung)
    assert list(await resolver.resolve("now", 80)) == []


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
@async_test(loops=False)
async def test_a_name_the_system_does_not_know_or_take_is_an_os_error(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match=r"unknown|valid host name"):
        await SystemResolver().resolve("x" * 100, 80)


@async_test(loops=False)
async def test_a_lookup_whose_asker_left_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    resolver = SystemResolver()
    task = asyncio.create_task(resolver.resolve("a", 80))
    await turns()
    task.cancel()
    release.set()
    while resolver._running:
        await asyncio.sleep(0.001)
    assert task.cancelled()
