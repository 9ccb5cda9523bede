"""The pool: which connection serves next, and that no slot is ever lost or given twice."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.outcomes import ErrorType, Phase
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import Pool, reusable
from proxy.wire.refusal import Refusal, bad_response
from tests.engine.memory import MemoryTransport
from tests.engine.stage import Scene, stage
from tests.harness.runner import async_test, turns


class Waiter:
    """An exchange as the pool sees it."""

    def __init__(self) -> None:
        self.method = "GET"
        self.phase = Phase.POOL
        self.connection: UpstreamConnection | None = None
        self.refusal: Refusal | None = None
        self.task: asyncio.Task[None] | None = None

    def asks(self, pool: Pool, *, fresh: bool = False) -> "Waiter":
        got = pool.acquire(self, fresh=fresh)  # type: ignore[arg-type]  # the part of a consumer that the pool calls
        if isinstance(got, UpstreamConnection):
            self.connection = got
        else:
            self.task = got
        return self

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        assert connection.consumer is self
        self.connection = connection

    def upstream_failed(self, refusal: Refusal, *, silent: bool) -> None:
        self.refusal = refusal

    def gives_back(self, pool: Pool) -> None:
        assert self.connection is not None
        self.connection.consumer = None
        if not pool.put(self.connection):
            self.connection.abort()
        self.connection = None


def calm(pool: Pool) -> bool:
    """No slot is taken by anybody who does not have a connection to show for it."""
    return pool._opening == 0 and not pool._waiting and len(pool._all) == len(pool._idle)


def made_up(idle_since: float, born: float, usable: bool) -> UpstreamConnection:
    return cast("UpstreamConnection", SimpleNamespace(idle_since=idle_since, born=born, usable=lambda: usable))


@pytest.mark.parametrize(
    ("idle", "age", "usable", "expected"),
    [
        (0.0, 0.0, True, True), (3.99, 299.99, True, True), (4.0, 10.0, True, False), (0.0, 300.0, True, False), (0.0, 0.0, False,
        False),
        (100.0, 1000.0, False, False),
    ],
)  # fmt: skip
def test_K03_a_connection_serves_again_while_it_is_neither_stale_nor_old_nor_closed(
    idle: float, age: float, usable: bool, expected: bool
) -> None:
    assert reusable(made_up(1000.0 - idle, 1000.0 - age, usable), 1000.0, 4.0, 300.0) is expected


@async_test(loops=False)
async def test_K04_the_connection_used_last_serves_next_and_what_is_stale_on_the_way_is_closed() -> None:
    async with stage() as scene:
        pool = scene.pool()
        waiters = [Waiter().asks(pool) for _ in range(4)]
        await turns(6)
        connections = [waiter.connection for waiter in waiters]
        for waiter in waiters:
            waiter.gives_back(pool)
        last, third = connections[3], connections[2]
        assert last is not None
        assert third is not None
        last.idle_since -= 1000
        assert Waiter().asks(pool).connection is third
        assert cast("MemoryTransport", last.transport).aborted
        assert pool.idle == 2
        await turns()
        assert len(pool._all) == 3


@async_test(loops=False)
async def test_sweeping_closes_what_has_been_idle_too_long_and_nothing_else() -> None:
    async with stage() as scene:
        pool = scene.pool()
        waiters = [Waiter().asks(pool) for _ in range(3)]
        await turns(6)
        for waiter in waiters:
            waiter.gives_back(pool)
        oldest = pool._idle[0]
        oldest.idle_since -= 1000
        pool.sweep()
        assert pool.idle == 2
        assert oldest not in pool._all


@async_test(loops=False)
async def test_K02_beyond_the_limit_waiters_are_served_in_order_with_the_connections_given_back() -> None:
    async with stage(limits={"upstream_connections": 2}) as scene:
        pool = scene.pool()
        waiters = [Waiter().asks(pool) for _ in range(5)]
        await turns(6)
        assert [waiter.connection is not None for waiter in waiters] == [True, True, False, False, False]
        assert scene.dialer().dialed == 2
        for number in range(3):
            waiters[number].gives_back(pool)
            await turns(6)
            assert waiters[number + 2].connection is not None
        assert scene.dialer().dialed == 2
        for waiter in waiters[3:]:
            waiter.gives_back(pool)
        assert calm(pool)


@async_test(loops=False)
async def test_K02_a_closed_connection_makes_room_for_a_new_one() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        first, second = Waiter().asks(pool), Waiter().asks(pool)
        await turns(6)
        assert first.connection is not None
        first.connection.abort()
        await turns(6)
        assert second.connection is not None
        assert second.connection is not first.connection
        assert scene.dialer().dialed == 2


@async_test(loops=False)
async def test_K02_a_connection_that_could_not_be_opened_makes_room_too() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        scene.dialer().error = bad_response(ErrorType.CONNECTION_REFUSED, "connection_refused", "no")
        waiters = [Waiter().asks(pool) for _ in range(3)]
        await turns(30)
        assert [waiter.refusal is not None for waiter in waiters] == [True] * 3
        assert calm(pool)


@async_test(loops=False)
async def test_J_a_waiter_that_is_not_served_in_time_is_told_so_and_leaves_no_trace() -> None:
    async with stage(limits={"upstream_connections": 1}, timeouts={"t_pool_wait": 0.001}) as scene:
        pool = scene.pool()
        first, second = Waiter().asks(pool), Waiter().asks(pool)
        assert second.task is not None
        await asyncio.wait_for(second.task, 20)
        assert second.refusal is not None
        assert (second.refusal.status, second.refusal.limit) == (503, "upstream_connections")
        first.gives_back(pool)
        assert calm(pool)
        assert pool.idle == 1


@async_test(loops=False)
async def test_L05_a_waiter_cancelled_in_the_turn_in_which_it_is_served_loses_no_connection() -> None:
    for served_first in (True, False):
        async with stage(limits={"upstream_connections": 1}) as scene:
            pool = scene.pool()
            first, second, third = (Waiter().asks(pool) for _ in range(3))
            await turns(6)
            assert second.task is not None
            if served_first:
                first.gives_back(pool)
                second.task.cancel()
            else:
                second.task.cancel()
                first.gives_back(pool)
            await turns(6)
            assert second.connection is None
            assert third.connection is not None
            third.gives_back(pool)
            assert calm(pool)


@async_test(loops=False)
async def test_L05_a_waiter_cancelled_in_the_turn_in_which_it_may_dial_passes_the_slot_on() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        first, second, third = (Waiter().asks(pool) for _ in range(3))
        await turns(6)
        assert first.connection is not None
        assert second.task is not None
        first.connection.abort()
        second.task.cancel()
        await turns(6)
        assert third.connection is not None
        third.gives_back(pool)
        assert calm(pool)


@async_test(loops=False)
async def test_L05_a_dial_that_is_cancelled_gives_its_slot_to_the_next() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        scene.dialer().go.clear()
        first, second = Waiter().asks(pool), Waiter().asks(pool)
        await turns(6)
        assert first.task is not None
        first.task.cancel()
        scene.dialer().go.set()
        await turns(6)
        assert second.connection is not None


@async_test(loops=False)
async def test_L05_a_waiter_that_times_out_in_the_turn_in_which_it_is_served_loses_no_connection() -> None:
    async with stage(limits={"upstream_connections": 1}, timeouts={"t_pool_wait": 0.02}) as scene:
        pool = scene.pool()
        first = Waiter().asks(pool)
        await turns(6)
        second = Waiter().asks(pool)
        await turns(2)
        asyncio.get_running_loop().call_later(0.015, first.gives_back, pool)
        time.sleep(0.05)  # both the serving and the timeout are now due in the same turn
        await turns(6)
        assert second.connection is not None or pool.idle == 1


@async_test(loops=False)
async def test_K02_the_limit_holds_when_one_asks_in_the_turn_in_which_a_waiter_is_woken() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        first = Waiter().asks(pool)
        await turns(6)
        Waiter().asks(pool)
        await turns(2)
        assert first.connection is not None
        Waiter().asks(pool)
        first.connection.abort()
        await turns(6)
        assert len(pool._all) <= 1


@async_test(loops=False)
async def test_a_connection_that_is_lost_before_its_dial_returns_is_an_error_of_that_exchange_and_leaves_no_trace() -> None:
    async with stage() as scene:
        pool = scene.pool()

        async def dial(factory: Any, waiting: Any) -> UpstreamConnection:
            connection: UpstreamConnection = factory()
            MemoryTransport(connection).resets()
            await turns()
            return connection

        scene.dialer().dial = dial  # type: ignore[method-assign]
        client = scene.client()
        client.says(b"GET /test/v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
        await turns(8)
        scene.errors.clear()
        assert client.heard()[9:12] == b"502"
        assert len(pool._all) == 0


@async_test(loops=False)
async def test_K02_who_asks_in_the_turn_in_which_a_connection_is_given_back_gets_it() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        first = Waiter().asks(pool)
        await turns(6)
        second = Waiter().asks(pool)
        first.gives_back(pool)
        await turns(6)
        assert second.connection is not None


@async_test(loops=False)
async def test_K02_K06_an_idle_connection_makes_room_for_one_that_must_be_fresh() -> None:
    async with stage(limits={"upstream_connections": 1}) as scene:
        pool = scene.pool()
        first = Waiter().asks(pool)
        await turns(6)
        first.gives_back(pool)
        second = Waiter().asks(pool, fresh=True)
        await turns(6)
        assert second.connection is not None
        assert len(pool._all) == 1


async def run_steps(scene: Scene, steps: list[tuple[str, int]]) -> None:
    """Ask, give back, abort, cancel and fail in any order, with the loop turned now and then."""
    pool = scene.pool()
    waiters: list[Waiter] = []
    for what, number in steps:
        chosen = waiters[number % len(waiters)] if waiters else None
        if what == "ask":
            waiters.append(Waiter().asks(pool, fresh=number == 7))
        elif what == "turn":
            await turns(number)
        elif chosen is None:
            continue
        elif what == "give back" and chosen.connection is not None:
            chosen.gives_back(pool)
        elif what == "abort" and chosen.connection is not None:
            chosen.connection.abort()
            chosen.connection = None
        elif what == "cancel" and chosen.task is not None:
            chosen.task.cancel()
            if chosen.connection is not None:
                chosen.gives_back(pool)
    for _ in range(len(waiters) + 2):
        await turns(8)
        for waiter in waiters:
            if waiter.connection is not None:
                waiter.gives_back(pool)
    assert calm(pool)
    assert all(waiter.refusal is None for waiter in waiters)


STEPS = st.sampled_from(["ask", "ask", "ask", "turn", "give back", "abort", "cancel"])


@given(st.lists(st.tuples(STEPS, st.integers(0, 7)), max_size=25))
@example([("ask", 0), ("ask", 0), ("turn", 7), ("ask", 0), ("give back", 0), ("give back", 1)])
def test_L05_whatever_happens_in_whatever_turn_no_slot_is_lost(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        async with stage(limits={"upstream_connections": 2}) as scene:
            await run_steps(scene, steps)

    asyncio.run(main())
