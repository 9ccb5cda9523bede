"""Who works on a deferred call, who may say that nobody does, and whose word stands."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from proxy.orchestrate.deferred import DeferredCalls, DeferredOutcome
from proxy.orchestrate.interface import Host
from proxy.orchestrate.running import Runner
from proxy.store.interface import RecordTooLargeError, Store, StoreError
from proxy.store.sqlite import SQLiteStore
from proxy.telemetry.metrics import Metrics
from proxy.wire.refusal import Refusal
from tests.harness.chaos import closed_port
from tests.harness.client import Client
from tests.harness.gateway import CREDENTIALS
from tests.harness.runner import async_test, until
from tests.orchestrate.hosts import InTest, Reader
from tests.orchestrate.stage import Studio, gateway, get, held, post, rule
from translators.formats.strict_json import loads
from translators.runtime import ids
from translators.runtime.steps import Answer, Reply

LEASE, KEPT = 30.0, 3600.0
DONE = Reply(200, {"content-type": "application/json"}, b'{"data": []}')


class Waiting(InTest):
    """A host whose call is answered when the test says so."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, path="/v1/images/edits")
        self.answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    async def call(self, call: object) -> Reply:
        return await self.answered


class Worker:
    """One of several processes that share a store, whose clock the test sets."""

    def __init__(self, store: Store, lease: float = LEASE) -> None:
        self.outcomes: list[DeferredOutcome] = []

        async def opened() -> Store:
            return store

        runner = Runner(Reader().fetch, 60.0, lambda _: None)
        gauge = Metrics(series_limit=2).deferred_running
        self.calls = DeferredCalls(
            opened,
            runner,
            most=8,
            kept=KEPT,
            lease=lease,
            observe=lambda _, outcome: self.outcomes.append(outcome),
            gauge=gauge,
            hold=lambda _: None,
        )

    async def begins(self, host: InTest) -> ids.Identity:
        answer = await self.calls.begin(cast("Host", host))
        return ids.decode(loads(answer.body)["id"])

    async def sees(self, identity: ids.Identity, host: InTest) -> str:
        answer: Answer = await self.calls.look(identity, host.incoming)
        status: str = loads(answer.body)["status"]
        return status


class Clock:
    def __init__(self) -> None:
        self.now = 1760000000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(directory: Path, clock: Clock) -> AsyncIterator[Store]:
    store = await SQLiteStore.open(directory / "store.db", clock=clock)
    try:
        yield store
    finally:
        await store.close()


@async_test(loops=False)
async def test_as_long_as_the_lease_lasts_a_call_runs_for_everybody(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        one, other, host = Worker(store), Worker(store), Waiting(tmp_path)
        identity = await one.begins(host)
        clock.now += LEASE - 1
        assert await other.sees(identity, host) == await one.sees(identity, host) == "in_progress"
        host.answered.set_result(DONE)
        await until(lambda: one.outcomes)
        assert await other.sees(identity, host) == "completed"
        await one.calls.close()


@async_test(loops=False)
async def test_when_the_lease_is_over_the_call_counts_as_interrupted(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        one, other, host = Worker(store), Worker(store), Waiting(tmp_path)
        identity = await one.begins(host)
        clock.now += LEASE + 1  # and nobody has renewed
        assert await other.sees(identity, host) == "failed"
        assert other.outcomes == [DeferredOutcome.INTERRUPTED]
        assert await other.sees(identity, host) == "failed"
        assert len(other.outcomes) == 1
        await one.calls.close()


@async_test(loops=False)
async def test_an_answer_that_comes_after_all_is_not_lost(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        one, other, host = Worker(store), Worker(store), Waiting(tmp_path)
        identity = await one.begins(host)
        clock.now += LEASE + 1
        assert await other.sees(identity, host) == "failed"
        clock.now += 10  # the poll's claim has ended
        host.answered.set_result(DONE)
        await until(lambda: one.outcomes)
        assert await other.sees(identity, host) == "completed"
        await one.calls.close()


@async_test(loops=False)
async def test_a_poll_never_overwrites_an_answer_that_came_in_between(tmp_path: Path) -> None:
    clock = Clock()

    class Slow:
        """Between reading and claiming, the worker finishes."""

        def __init__(self, store: Store) -> None:
            self._store = store
            self.between = asyncio.Event()

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        async def claim(self, key: str, owner: str, ttl: float) -> bool:
            await self.between.wait()
            return await self._store.claim(key, owner, ttl)

    async with opened(tmp_path, clock) as store:
        slow = Slow(store)
        one, other, host = Worker(store), Worker(cast("Store", slow)), Waiting(tmp_path)
        identity = await one.begins(host)
        clock.now += LEASE + 1
        looking = asyncio.ensure_future(other.sees(identity, host))
        host.answered.set_result(DONE)
        await until(lambda: one.outcomes)
        clock.now += LEASE + 1
        slow.between.set()
        assert await looking == "completed"
        assert not other.outcomes
        await one.calls.close()


class Counting:
    """A store that counts claims."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.claims = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def claim(self, key: str, owner: str, ttl: float) -> bool:
        self.claims += 1
        return await self._store.claim(key, owner, ttl)


@async_test(loops=False)
async def test_a_worker_renews_its_claim_as_long_as_the_call_runs_and_no_longer(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        counting = Counting(store)
        worker, host = Worker(cast("Store", counting), lease=0.03), Waiting(tmp_path)
        await worker.begins(host)
        await until(lambda: counting.claims >= 4)
        host.answered.set_result(DONE)
        await until(lambda: not worker.calls.running)
        claims = counting.claims
        await asyncio.sleep(0.05)
        assert counting.claims == claims


class Failing:
    """A store that fails so many times at `put`, with this error."""

    def __init__(self, store: Store, error: StoreError, times: int) -> None:
        self._store = store
        self._error = error
        self.left = times

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def put(self, key: str, record: bytes, ttl: float) -> None:
        if b"running" not in record and self.left:
            self.left -= 1
            raise self._error
        await self._store.put(key, record, ttl)


@async_test(loops=False)
async def test_a_store_that_fails_for_a_moment_gets_the_answer_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        worker, host = Worker(cast("Store", Failing(store, StoreError("busy"), 1))), Waiting(tmp_path)
        identity = await worker.begins(host)
        host.answered.set_result(DONE)
        await until(lambda: worker.outcomes)
        assert worker.outcomes == [DeferredOutcome.COMPLETED]
        assert await worker.sees(identity, host) == "completed"


@async_test(loops=False)
async def test_a_shutdown_waits_for_an_answer_on_its_way_into_the_store(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        failing = Failing(store, StoreError("busy"), 1)
        worker, host = Worker(cast("Store", failing)), Waiting(tmp_path)
        identity = await worker.begins(host)
        host.answered.set_result(DONE)
        await until(lambda: not failing.left)  # it has failed once; another attempt follows
        await worker.calls.close()
        assert worker.outcomes == [DeferredOutcome.COMPLETED]
        assert await worker.sees(identity, host) == "completed"


@async_test(loops=False)
async def test_an_answer_that_is_too_large_is_told_and_not_tried_again(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        worker, host = Worker(cast("Store", Failing(store, RecordTooLargeError(9, 8), 1))), Waiting(tmp_path)
        identity = await worker.begins(host)
        host.answered.set_result(DONE)
        await until(lambda: worker.outcomes)
        assert worker.outcomes == [DeferredOutcome.NOT_KEPT]
        answer = await worker.calls.look(identity, host.incoming)
        assert loads(answer.body)["error"]["code"] == "answer_too_large"


@async_test(loops=False)
async def test_without_its_store_no_call_is_begun(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        worker, host = Worker(store), Waiting(tmp_path)
    with pytest.raises(Refusal) as caught:  # it is closed
        await worker.begins(host)
    assert (caught.value.status, caught.value.code) == (503, "store_unavailable")
    assert worker.calls.running == 0


@async_test(loops=False)
async def test_a_worker_that_was_killed_leaves_a_task_that_fails_when_its_lease_ends(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /edits", held(asyncio.Event(), b""))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "test.yaml").write_text(rule(studio))
    port, store = closed_port(), str(tmp_path / "store.db")
    config = tmp_path / "dragoman.yaml"
    config.write_text(
        f"listen: ['127.0.0.1:{port}']\nadmin: null\nopen: true\nshipped_rules: false\naccess_log: 'off'\nrules: [rules]\n"
        f"store: {store}\ntimeouts: {{t_lease: 2s}}\n"
    )
    async with gateway(studio, store=store) as scene:
        line = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(
            *line, env={**os.environ, **CREDENTIALS}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            identity = await _begun(("127.0.0.1", port))
            await studio.hears("POST /edits")
            path = f"/test/v1/images/{identity}"
            assert (await scene.asks(get(path))).json()["status"] == "in_progress"
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        while (task := (await scene.asks(get(path))).json())["status"] == "in_progress":
            await asyncio.sleep(0.02)
        assert (task["status"], task["error"]["code"]) == ("failed", "interrupted")
        assert scene.metric("dragoman_deferred_calls_total", outcome="interrupted") == 1


async def _begun(address: tuple[str, int]) -> str:
    """Begin a call at a gateway that is still starting."""
    async with asyncio.timeout(40):
        while True:
            try:
                client = await Client.connect(address)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            break
    await client.says(post("/test/v1/images/edits?async=true"))
    heard = await client.hears()
    client.leaves()
    identity: str = heard.json()["id"]
    return identity
