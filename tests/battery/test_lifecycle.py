"""Battery L: start, drain, exhaustion. The command line in its own process, and the same sequence in this one where it suffices."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.chaos import OK, Heard, Peer, chunk, says
from tests.harness.client import Client
from tests.harness.gateway import CREDENTIALS, Served, command, rule_file, serve, stage
from tests.harness.runner import async_test, turns, until
from tests.harness.words import get, post, stream

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def times(**values: object) -> dict[str, object]:
    return {"timeouts": values}


async def tick(heard: Heard) -> None:
    """A stream of 40 events in two seconds; a POST without a stream is answered at once."""
    if b'"stream"' not in heard.body:
        await heard.say(OK)
        return
    await heard.say(SSE_HEAD)
    for number in range(40):
        await heard.say(chunk(b"data: %d\n\n" % number))
        await asyncio.sleep(0.05)
    await heard.say(chunk(b"data: [DONE]\n\n"), chunk(b""))


@pytest.mark.slow
@async_test(loops=False, patience=60)
async def test_M01_M02_M03_case68_a_sigterm_under_load_loses_nothing() -> None:
    async with Peer(tick) as peer, serve(peer.url, settings=times(pre_drain="3s", t_drain="20s")) as served:
        streaming = [await served.client() for _ in range(50)]
        for client in streaming:
            await client.says(stream())
        replies = [await client.hears_head() for client in streaming]
        stop, outcome = asyncio.Event(), {"answered": 0, "refused": 0}
        load = asyncio.ensure_future(hammer(served, stop, outcome))
        await until(lambda: outcome["answered"] > 10)
        served.signal(signal.SIGTERM)
        await until_unready(served)
        before = outcome["answered"]
        await until(lambda: outcome["answered"] > before + 10)
        stop.set()
        await load
        assert outcome["refused"] == 0
        ends = await asyncio.gather(*(client.hears_rest(reply) for client, reply in zip(streaming, replies, strict=True)))
        assert all(reply.complete and reply.body.endswith(b"data: [DONE]\n\n") for reply in ends)
        for client in streaming:
            client.leaves()
        assert await served.exit(within=15.0) == 0


async def hammer(served: Served, stop: asyncio.Event, outcome: dict[str, int]) -> None:
    """New connections, one request each, some hundred a second."""
    while not stop.is_set():
        try:
            client = await served.client()
            await client.says(post())
            assert (await client.hears()).status == 200
            client.leaves()
            outcome["answered"] += 1
        except (OSError, AssertionError):
            outcome["refused"] += 1
        await asyncio.sleep(0.01)


async def until_unready(served: Served) -> None:
    while (await served.admin("/readyz")).status != 503:
        await asyncio.sleep(0.005)


async def endless(heard: Heard) -> None:
    await heard.say(SSE_HEAD)
    while True:
        await heard.say(chunk(b"data: x\n\n"))
        await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
@async_test(loops=False, patience=60)
async def test_M01_M02_I07_case69_endless_streams_get_an_error_event_and_a_cut_and_the_exit_is_clean(signals: int) -> None:
    drain = 1.0 if signals == 1 else 20.0
    async with Peer(endless) as peer, serve(peer.url, settings=times(pre_drain=0, t_drain=f"{drain:.0f}s")) as served:
        client = await served.client()
        await client.says(stream())
        reply = await client.hears_head()
        await client.hears_more(reply)
        started = time.monotonic()
        served.signal(signal.SIGTERM)
        if signals == 2:
            await asyncio.sleep(0.3)
            started = time.monotonic()
            served.signal(signal.SIGTERM)
        await client.hears_rest(reply)
        assert not reply.complete
        last = reply.body.rstrip(b"\n").rpartition(b"\n\n")[2]
        assert last.startswith(b'data: {"error"')
        client.leaves()
        assert await served.exit(within=10.0) == 0
        assert time.monotonic() - started <= (drain + 8 if signals == 1 else 10)


@async_test()
async def test_M01_while_draining_live_connections_are_told_to_close_and_new_ones_refused() -> None:
    async with stage(timeouts={"pre_drain": 0.0, "t_drain": 25.0}) as scene:
        busy, idle = await scene.client(), await scene.client()
        await idle.says(get())
        await (await scene.peer.hears()).say(OK)
        await idle.hears()
        await busy.says(post())
        heard = await scene.peer.hears()
        draining = asyncio.ensure_future(scene.gateway.drain())
        assert await idle.end() == "fin"
        assert (await scene.admin("/readyz")).status == 503
        with pytest.raises(ConnectionRefusedError):
            await scene.client()
        await heard.say(OK)
        reply = await busy.hears()
        assert (reply.status, reply.get(b"connection")) == (200, b"close")
        assert await busy.end() == "fin"
        started = time.monotonic()
        await draining
        assert time.monotonic() - started < 12.0, "the drain waits although nothing runs any more"


@async_test()
async def test_M01_M03_before_accepting_stops_new_requests_are_served() -> None:
    async with stage(Peer(says(OK)), timeouts={"pre_drain": 40.0}) as scene:
        hurry = asyncio.Event()
        draining = asyncio.ensure_future(scene.gateway.drain(hurry))
        await turns()
        assert (await scene.admin("/readyz")).status == 503
        assert (await scene.asks(post())).status == 200
        hurry.set()
        await draining


@async_test()
async def test_M02_the_drain_ends_at_t_drain_and_not_twice_as_late() -> None:
    async with stage(Peer(endless), timeouts={"pre_drain": 0.0, "t_drain": 2.0}) as scene:
        client = await scene.client()
        await client.says(stream())
        reply = await client.hears_head()
        started = time.monotonic()
        await scene.gateway.drain()
        assert 1.9 <= time.monotonic() - started < 3.9
        assert not (await client.hears_rest(reply)).complete


def run_serve(
    directory: Path, *arguments: str, environ: dict[str, str] | None = None, settings: object = None
) -> subprocess.CompletedProcess[str]:
    """Start the command line and expect it to end by itself at once."""
    line = command(directory, "http://127.0.0.1:1", *arguments, listen=0, admin=0, settings=settings)  # type: ignore[arg-type]
    environment = {**os.environ, **(CREDENTIALS if environ is None else environ)}
    return subprocess.run(line, capture_output=True, text=True, timeout=30, env=environment, check=False)


def loud(run: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with an error and said why, clearly and once."""
    assert run.returncode not in (0, None)
    assert "Traceback" not in run.stderr
    for word in words:
        assert word in run.stderr
    assert 1 <= len(run.stderr.strip().splitlines()) <= 3, run.stderr


def test_M07_case72_an_unknown_option_is_fatal(tmp_path: Path) -> None:
    run = run_serve(tmp_path, "--no-such-option")
    assert run.returncode != 0
    assert "--no-such-option" in run.stderr
    assert "Traceback" not in run.stderr


def test_M07_case72_an_unknown_word_in_the_configuration_is_fatal(tmp_path: Path) -> None:
    loud(run_serve(tmp_path, settings={"timeouts": {"t_haeder": "1s"}}), "t_haeder", "t_header")


def test_M07_case72_a_missing_secret_is_fatal_when_its_platform_is_asked_for(tmp_path: Path) -> None:
    loud(run_serve(tmp_path, settings={"platforms": ["test"]}, environ={}), "TEST_KEY")


def test_M07_case72_a_port_in_use_is_fatal(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = command(tmp_path, "http://127.0.0.1:1", listen=port, admin=0)
        run = subprocess.run(line, capture_output=True, text=True, timeout=30, env={**os.environ, **CREDENTIALS}, check=False)
        loud(run, str(port))


def test_M07_case72_bad_yaml_is_fatal_and_says_where(tmp_path: Path) -> None:
    line = command(tmp_path, "http://127.0.0.1:1", listen=0, admin=0)
    (tmp_path / "rules" / "test.yaml").write_text(rule_file("http://127.0.0.1:1") + "routes: [\n")
    run = subprocess.run(line, capture_output=True, text=True, timeout=30, env={**os.environ, **CREDENTIALS}, check=False)
    assert run.returncode != 0
    assert "test.yaml:" in run.stderr
    assert "Traceback" not in run.stderr


def test_M07_an_open_listener_beyond_loopback_needs_licences_or_the_word(tmp_path: Path) -> None:
    line = [part for part in command(tmp_path, "http://127.0.0.1:1", listen=0, admin=0) if part != "--open"]
    line[line.index("--listen") + 1] = "0.0.0.0:0"
    run = subprocess.run(line, capture_output=True, text=True, timeout=30, env={**os.environ, **CREDENTIALS}, check=False)
    loud(run, "open")


@pytest.mark.slow
@async_test(loops=False, patience=60)
async def test_M09_M08_case73_running_out_of_descriptors_is_survived() -> None:
    small = ["prlimit", "--nofile=64:64", sys.executable, "-c", "import os,sys; os.execv(sys.argv[1], sys.argv[1:])"]
    async with Peer(says(OK)) as peer, serve(peer.url, prefix=small) as served:
        living = await served.client()
        await living.says(post())
        assert (await living.hears()).status == 200
        crowd = [await Client.connect(served.address) for _ in range(200)]
        for client in crowd:
            await client.says(post(), tolerant=True)
        await asyncio.sleep(0.5)
        await living.says(post())
        assert (await living.hears()).status in (200, 502, 503)
        for client in crowd:
            client.vanishes()
        started = time.monotonic()
        await recovers(served)
        assert time.monotonic() - started < 15.0
        assert served.process.returncode is None
        assert "Traceback" not in served.log()
        living.leaves()


async def recovers(served: Served) -> None:
    """Ask until an exchange succeeds again."""
    while True:
        client = await served.client()
        try:
            await client.says(post())
            if (await client.hears(within=1.0)).status == 200:
                return
        except (OSError, AssertionError, TimeoutError):
            await asyncio.sleep(0.05)
        finally:
            client.leaves()


@async_test()
async def test_M08_a_fault_in_one_exchange_ends_no_other() -> None:
    async with stage() as scene:
        good, bad = await scene.client(), await scene.client()
        await good.says(post())
        heard = await scene.peer.hears()
        await bad.says(get())
        (await scene.peer.hears()).line.rst()
        assert (await bad.hears()).status == 502
        await heard.say(OK)
        assert (await good.hears()).status == 200
        await until(lambda: scene.count("exchanges") == 0)
