"""Battery S and P where memory counts: a gateway in its own process, so that its resident bytes are its own."""

import asyncio
import hashlib
import time

import pytest

from tests.harness.chaos import Heard, Peer, Say, answer, play, says
from tests.harness.client import SilenceError
from tests.harness.gateway import Served, serve
from tests.harness.runner import async_test, until
from tests.harness.words import HEAD, get, post

MIB = 1 << 20
pytestmark = pytest.mark.slow


async def warm(served: Served) -> int:
    """Resident bytes after a few exchanges."""
    for _ in range(20):
        client = await served.client()
        await client.says(post())
        await client.hears()
        client.leaves()
    return served.memory()


@async_test(loops=False, patience=120)
async def test_F01_F08_case37_a_gibibyte_passes_whole_without_growing_the_process() -> None:
    block = bytes(range(256)) * 4096
    count = 1024

    async def respond(heard: Heard) -> None:
        if heard.target != b"/big":
            await heard.say(answer())
            return
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(block)))
        for _ in range(count):
            await heard.line.wire.send(block)
            await asyncio.sleep(0)

    expected = hashlib.sha256()
    for _ in range(count):
        expected.update(block)
    async with Peer(respond) as peer, serve(peer.url) as served:
        before = await warm(served)
        client = await served.client(keep=False)
        await client.says(get(b"/test/big"))
        reply = await client.hears(within=100)
        client.leaves()
        assert (reply.status, reply.complete, reply.stream.size) == (200, True, count * len(block))
        assert reply.stream.sha256.digest() == expected.digest()
        assert served.memory() - before <= 20 * MIB


@async_test(loops=False, patience=120)
async def test_F04_F05_F06_case38_two_hundred_clients_that_never_read_cost_little_and_delay_nobody() -> None:
    async def respond(heard: Heard) -> None:
        if heard.target != b"/flood":
            await heard.say(answer())
            return
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await heard.line.wire.send(b"x" * 65536)

    async with Peer(respond) as peer, serve(peer.url) as served:
        before = await warm(served)
        alone = await latency(served)
        stalled = [await served.client(receive_buffer=4096) for _ in range(200)]
        for client in stalled:
            await client.says(get(b"/test/flood"))
        await until(lambda: sum(heard.target == b"/flood" for heard in peer.requests) == 200)
        await asyncio.sleep(2.0)
        grown = served.memory() - before
        beside = [await latency(served)]
        while beside[-1] > max(2 * alone, 0.02) and len(beside) < 20:  # a busy machine may delay some rounds, hardly all
            beside.append(await latency(served))
        for client in stalled:
            client.vanishes()
        assert grown <= 100 * MIB, f"{grown / MIB:.0f} MiB for 200 stalled clients"
        assert beside[-1] <= max(2 * alone, 0.02), (alone, beside)


async def latency(served: Served) -> float:
    """The 99th percentile of 100 small exchanges, seconds."""
    client = await served.client()
    taken = []
    for _ in range(100):
        started = time.monotonic()
        await client.says(post())
        await client.hears()
        taken.append(time.monotonic() - started)
    client.leaves()
    return sorted(taken)[98]


@async_test(loops=False, patience=120)
async def test_F07_case40_a_slow_peer_holds_a_large_upload_outside_the_process() -> None:
    async def respond(heard: Heard) -> None:
        await heard.say(answer())

    async with Peer(respond, keep=False, receive_buffer=65536) as peer, serve(peer.url) as served:
        before = await warm(served)
        client = await served.client()
        await client.says(HEAD + b"Content-Length: %d\r\n\r\n" % (100 * MIB))
        uploading = asyncio.ensure_future(client.says(b"x" * (100 * MIB)))
        heard = await asyncio.wait_for(anext_big(peer), 20)
        highest = 0
        for _ in range(20):
            heard.line.stop_reading()
            await asyncio.sleep(0.05)
            highest = max(highest, served.memory())
            heard.line.read_on()
            await asyncio.sleep(0.02)
        await uploading
        assert (await client.hears(within=30)).status == 200
        client.leaves()
        assert heard.stream.size == 100 * MIB
        assert max(highest, served.memory()) - before <= 5 * MIB


async def anext_big(peer: Peer) -> Heard:
    while (heard := await peer.hears_head()).get(b"content-length") != b"%d" % (100 * MIB):
        pass
    return heard


@async_test(loops=False, patience=120)
async def test_B20_F11_case10_ten_thousand_pipelined_requests_do_not_grow_the_process() -> None:
    async with Peer(says(answer()), keep=False) as peer, serve(peer.url) as served:
        before = await warm(served)
        client = await served.client()
        sending = asyncio.ensure_future(client.says(get() * 10_000, tolerant=True))
        answered = 0
        try:
            while answered < 10_000:
                assert (await client.hears(within=20)).status == 200
                answered += 1
        except SilenceError:
            assert client.ended
        grown = served.memory() - before
        client.leaves()
        await asyncio.gather(sending, return_exceptions=True)
        assert grown <= 5 * MIB


@async_test(loops=False, patience=120)
async def test_M08_the_process_outlives_everything_this_file_can_do_to_one_connection() -> None:
    async with Peer(play(Say(b"\x00" * 100_000))) as peer, serve(peer.url) as served:
        for request in (get(), post(), b"\x00" * 100_000, b"\r\n" * 100_000, get() * 1000):
            client = await served.client()
            await client.says(request, tolerant=True)
            await asyncio.sleep(0.05)
            client.vanishes()
        peer.answer = says(answer())
        assert await warm(served)
        assert (await served.admin("/healthz")).status == 200
        assert "Traceback" not in served.log()
