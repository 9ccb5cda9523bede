"""Battery L, reload: another configuration takes over as a whole, or not at all (rules M04 to M06, O05)."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.reload import Watch, fingerprint
from proxy.routing.served import Served
from proxy.routing.table import Plan, Table
from proxy.upstream.pool import Pool
from tests.harness.chaos import OK, Heard, Peer, says
from tests.harness.gateway import Stage, rule_file, serve, stage
from tests.harness.runner import async_test, until
from tests.harness.words import get, post
from translators.model import Platform


def rules_of(scene: Stage) -> Path:
    return scene.directory / "rules" / "test.yaml"


def version(url: str, number: int) -> str:
    """A rule file that says its version in two headers."""
    return rule_file(url).replace(
        'headers: {ModelName: "${model}"}', f'headers: {{ModelName: "${{model}}", X-One: v{number}, X-Two: v{number}}}'
    )


async def refuse_mixed(heard: Heard) -> None:
    assert heard.get(b"x-one") == heard.get(b"x-two")
    await heard.say(OK)


@async_test()
async def test_M04_case70_reloads_under_load_lose_nothing_and_mix_nothing() -> None:
    async with stage(Peer(refuse_mixed)) as scene:
        await scene.gateway._watch.stop()  # what is counted here is loaded here
        stop, answered = asyncio.Event(), 0

        async def load() -> None:
            nonlocal answered
            client = await scene.client()
            while not stop.is_set():
                await client.says(post())
                assert (await client.hears()).status == 200
                answered += 1

        loads = [asyncio.ensure_future(load()) for _ in range(4)]
        for number in range(1, 31):
            bad = number % 3 == 0
            rules_of(scene).write_text("platform: [" if bad else version(scene.peer.url, number))
            assert await scene.gateway.reload() is not bad
            assert scene.metric("dragoman_config_last_reload_success") == (0 if bad else 1)
        stop.set()
        await asyncio.gather(*loads)
        assert answered >= 30
        assert scene.metric("dragoman_config_reloads_total", outcome="refused") == 10
        assert scene.metric("dragoman_config_reloads_total", outcome="applied") == 20
        seen = {heard.get(b"x-one") for heard in scene.peer.requests}
        assert len(seen - {None}) > 3
        assert not seen & {b"v%d" % number for number in range(3, 31, 3)}


@async_test()
async def test_M04_a_refused_configuration_is_told_with_its_place_and_the_old_one_serves_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage(Peer(says(OK))) as scene:
        rules_of(scene).write_text(rule_file(scene.peer.url) + "hedaers: {}\n")
        assert await scene.gateway.reload() is False
        assert "test.yaml:" in caplog.text
        assert "hedaers" in caplog.text
        assert (await scene.asks(post())).status == 200


@async_test()
async def test_M04_a_request_that_has_begun_ends_under_its_own_configuration() -> None:
    async with stage(Peer(refuse_mixed)) as scene:
        rules_of(scene).write_text(version(scene.peer.url, 1))
        assert await scene.gateway.reload()
        client = await scene.client()
        whole = post(b'{"model":"m1","messages":[]}')
        await client.says(whole[:-5])
        await until(lambda: scene.count("exchanges") == 1)
        rules_of(scene).write_text(version(scene.peer.url, 2))
        assert await scene.gateway.reload()
        await client.says(whole[-5:])
        assert (await client.hears()).status == 200
        await client.says(whole)
        assert (await client.hears()).status == 200
        assert [heard.get(b"x-one") for heard in scene.peer.requests] == [b"v1", b"v2"]


@async_test()
async def test_M06_a_pool_that_would_come_out_the_same_stays_and_its_connections_with_it() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(post())).status == 200
        rules_of(scene).write_text(version(scene.peer.url, 1))
        assert await scene.gateway.reload()
        assert (await scene.asks(post())).status == 200
        assert len({id(heard.line) for heard in scene.peer.requests}) == 1


@async_test()
async def test_M06_a_pool_of_a_platform_that_moved_drains_and_is_forgotten() -> None:
    async with Peer(says(OK)) as other, stage(Peer(says(OK))) as scene:
        assert (await scene.asks(post())).status == 200
        rules_of(scene).write_text(rule_file(other.url))
        assert await scene.gateway.reload()
        assert (await scene.asks(post())).status == 200
        assert len(other.requests) == 1
        await until(lambda: scene.count("upstream_idle") == 1)


@pytest.mark.slow
@async_test(loops=False, patience=120)
async def test_M06_hundreds_of_reloads_leave_tasks_and_descriptors_where_they_were() -> None:
    async with stage(Peer(says(OK))) as scene:
        await scene.gateway._watch.stop()  # it would load the same file a second time, at a moment of its own

        async def round_trip(number: int) -> None:
            rules_of(scene).write_text(version(scene.peer.url, number))
            assert await scene.gateway.reload()
            assert (await scene.asks(post())).status == 200

        def counts() -> tuple[int, int, int]:
            gc.collect()
            ours = sum(isinstance(one, (Table, Plan, Served, Pool, Platform)) for one in gc.get_objects())
            return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), ours

        for number in range(20):
            await round_trip(number)
        before = counts()
        for number in range(20, 320):
            await round_trip(number)
        after = counts()
        assert after[0] == before[0]
        assert after[1] <= before[1] + 2
        assert after[2] == before[2]


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def as_an_editor(path: Path, text: str) -> None:
    """Move the old one away, write the new one in pieces, remove the old one."""
    backup = path.with_suffix(".yaml~")
    path.rename(backup)
    with path.open("w") as file:
        for line in text.splitlines(keepends=True):
            file.write(line)
            file.flush()
    backup.unlink()


@pytest.mark.parametrize("save", [in_place, by_rename, as_an_editor])
@async_test(loops=False, patience=60)
async def test_M05_case71_a_changed_file_takes_effect_by_itself_and_once(save: Callable[[Path, str], None]) -> None:
    async with stage(Peer(refuse_mixed)) as scene:
        save(rules_of(scene), version(scene.peer.url, 7))
        await until(lambda: scene.metric("dragoman_config_reloads_total", outcome="applied") == 1)
        assert (await scene.asks(post())).status == 200
        assert scene.peer.requests[-1].get(b"x-one") == b"v7"
        assert scene.metric("dragoman_config_reloads_total") == 1


@async_test(loops=False, patience=60)
async def test_M05_case71_the_swap_of_a_mounted_directory_is_seen() -> None:
    async with stage(Peer(refuse_mixed)) as scene:
        rules = scene.directory / "rules"
        for name, number in (("..first", 1), ("..second", 2)):
            (rules / name).mkdir()
            (rules / name / "test.yaml").write_text(version(scene.peer.url, number))
        rules_of(scene).unlink()
        (rules / "..data").symlink_to("..first")
        rules_of(scene).symlink_to(Path("..data") / "test.yaml")
        await until(lambda: scene.metric("dragoman_config_reloads_total", outcome="applied") == 1)
        (rules / "..fresh").symlink_to("..second")
        (rules / "..fresh").rename(rules / "..data")
        await until(lambda: scene.metric("dragoman_config_reloads_total", outcome="applied") == 2)
        assert (await scene.asks(post())).status == 200
        assert scene.peer.requests[-1].get(b"x-one") == b"v2"


@async_test(loops=False, patience=60)
async def test_M05_a_burst_of_writes_is_one_change() -> None:
    changes = 0
    content = 0

    async def changed() -> None:
        nonlocal changes
        changes += 1

    async def settle() -> None:
        await until(lambda: changes == 1)

    async with stage() as scene:
        path = rules_of(scene)
        watch = Watch(lambda: [path], changed, period=0.05)
        await watch.start()
        for content in range(40):
            path.write_text(f"# {content}")
            await asyncio.sleep(0.005)
        await settle()
        await watch.stop()
    assert content == 39
    assert changes == 1


@async_test(loops=False)
async def test_M05_a_reload_asked_for_during_the_start_comes_after_it() -> None:
    async with stage(started=False) as scene:
        starting = asyncio.ensure_future(scene.gateway.start())
        await asyncio.sleep(0)  # the start has begun and is not over: the sandbox and the listeners are awaited
        assert not starting.done()
        rules_of(scene).write_text(version(scene.peer.url, 9))
        assert await scene.gateway.reload() is True
        assert starting.done()
        client = await scene.client()
        await client.says(get())
        heard = await scene.peer.hears()
        assert heard.get(b"x-one") == b"v9"
        await heard.say(OK)
        assert (await client.hears()).status == 200


@async_test(loops=False, patience=60)
async def test_M05_sighup_loads_anew() -> None:
    async with Peer(refuse_mixed) as peer, serve(peer.url) as served:
        (served.directory / "rules" / "test.yaml").write_text(version(peer.url, 9))
        served.signal(signal.SIGHUP)

        async def asks() -> bytes | None:
            client = await served.client()
            try:
                await client.says(get())
                assert (await client.hears()).status == 200
            finally:
                client.leaves()
            return peer.requests[-1].get(b"x-one")

        async with asyncio.timeout(20):
            while await asks() != b"v9":
                await asyncio.sleep(0.02)


EARLY = """
import os, signal, sys
from proxy.cli import main
from proxy.server import Gateway

start = Gateway.start

async def hung_up(gateway):
    os.kill(os.getpid(), signal.SIGHUP)
    await start(gateway)

Gateway.start = hung_up
sys.exit(main(sys.argv[4:]))  # after -c: python -m proxy
"""


@async_test(loops=False, patience=60)
async def test_M05_a_sighup_during_the_start_ends_nothing() -> None:
    async with Peer(says(OK)) as peer, serve(peer.url, prefix=(sys.executable, "-c", EARLY)) as served:
        while "a new configuration is in use" not in served.log():
            await asyncio.sleep(0.02)
        client = await served.client()
        await client.says(get())
        assert (await client.hears()).status == 200
        client.leaves()


def test_M05_the_hash_sees_content_and_names_and_nothing_else(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("x")
    before = fingerprint([tmp_path])
    os.utime(first, (1, 1))
    (tmp_path / ".hidden").write_text("y")
    assert fingerprint([tmp_path]) == before
    first.rename(second)
    renamed = fingerprint([tmp_path])
    assert renamed != before
    second.write_text("z")
    assert fingerprint([tmp_path]) not in {before, renamed}
    assert fingerprint([tmp_path / "absent"]) != before
