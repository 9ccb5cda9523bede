"""Battery S: bodies and event streams through the gateway in this process. Memory under load has its own file."""

import asyncio
import gzip
import time
import zlib
from itertools import pairwise

import pytest

from tests.harness.chaos import Heard, Peer, answer, chunk, says
from tests.harness.gateway import stage
from tests.harness.runner import async_test, turns, until
from tests.harness.sse import CORPUS, decode
from tests.harness.words import HEAD, get, pieces, post, stream

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.slow
@async_test()
async def test_F02_F03_case35_every_event_passes_when_it_is_emitted() -> None:
    """In one stream of up to ten: a busy machine delays some. The battery asks for a 99th percentile of 5 ms on an idle one."""
    emitted: list[float] = []

    async def emit(heard: Heard) -> None:
        await heard.say(SSE_HEAD)
        for number in range(100):
            emitted.append(time.monotonic())
            await heard.say(chunk(b'data: {"n":%d}\n\n' % number))
            await asyncio.sleep(0.01)
        await heard.say(chunk(b""))

    seen: list[tuple[float, float]] = []
    async with stage(Peer(emit)) as scene:
        client = await scene.client()
        while not any(median < 0.005 and p99 < 0.02 for median, p99 in seen):
            assert len(seen) < 10, f"medians and 99th percentiles: {seen}"
            emitted.clear()
            await client.says(stream())
            reply = await client.hears_head()
            arrived = []
            for number in range(100):
                await client.hears_more(reply, b'data: {"n":%d}\n\n' % number)
                arrived.append(time.monotonic())
            await client.hears_rest(reply)
            assert reply.complete
            assert reply.body == b"".join(b'data: {"n":%d}\n\n' % number for number in range(100))
            assert all(later > sooner for sooner, later in pairwise(arrived))
            lateness = sorted(heard - said for heard, said in zip(arrived, emitted, strict=True))
            seen.append((lateness[50], lateness[98]))


@async_test()
async def test_F03_an_event_is_at_the_client_before_the_next_is_sent() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(stream())
        heard = await scene.peer.hears()
        await heard.say(SSE_HEAD)
        reply = await client.hears_head()
        for number in range(20):
            await heard.say(chunk(b"data: %d\n\n" % number))
            assert (await client.hears_more(reply)).endswith(b"data: %d\n\n" % number)
        await heard.say(chunk(b""))
        assert (await client.hears_rest(reply)).complete


@async_test()
async def test_F02_case36_the_head_goes_out_before_any_byte_of_the_body() -> None:
    for head in (SSE_HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"):
        async with stage() as scene:
            client = await scene.client()
            await client.says(stream())
            heard = await scene.peer.hears()
            await heard.say(head)
            reply = await client.hears_head()
            assert (reply.status, reply.body) == (200, b"")
            await client.nothing(0.05)


CODED = {
    b"gzip": gzip.compress(b'{"a":1}' * 1000),
    b"deflate": zlib.compress(b'{"a":1}' * 1000),
    b"br": bytes(range(256)) * 20,  # no coder is needed to see that bytes stay
    b"zstd": b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 20,
    b"gzip, br": b"\x1f\x8b" + bytes(range(255, -1, -1)) * 20,
}


@pytest.mark.parametrize("coding", CODED)
@async_test()
async def test_F08_case39_coded_bodies_pass_byte_for_byte_both_ways(coding: bytes) -> None:
    body = CODED[coding]
    reply_raw = answer(b"200 OK", body, b"Content-Encoding: " + coding)
    async with stage(Peer(says(reply_raw))) as scene:
        for fields in ((), (b"Accept-Encoding: " + coding,)):
            reply = await scene.asks(post(body, b"Content-Encoding: " + coding, *fields))
            heard = await scene.peer.hears()
            assert (reply.body, reply.get(b"content-encoding"), reply.get(b"content-length")) == (body, coding, b"%d" % len(body))
            assert (heard.body, heard.get(b"content-encoding")) == (body, coding)


@pytest.mark.parametrize("name", CORPUS)
@async_test()
async def test_G01_G02_G03_G04_G05_G06_G14_case41_a_carried_stream_means_the_same_however_it_is_cut(name: str) -> None:
    raw = CORPUS[name]
    expected = decode(raw)
    async with stage() as scene:
        client = await scene.client()
        for size in (1, 2, 3, 7, len(raw) + 1):
            await client.says(stream())
            heard = await scene.peer.hears()
            await heard.say(SSE_HEAD, *(chunk(piece) for piece in pieces(raw, size)), chunk(b""))
            reply = await client.hears()
            assert reply.complete
            assert reply.body == raw
            assert decode(reply.body) == expected


@async_test()
async def test_G01_a_stream_cut_inside_its_chunk_framing_passes_whole() -> None:
    raw = CORPUS["messages"]
    wire = SSE_HEAD + b"".join(chunk(piece) for piece in pieces(raw, 5)) + chunk(b"")
    async with stage() as scene:
        client = await scene.client()
        for size in (1, 2, 3, 7):
            await client.says(stream())
            heard = await scene.peer.hears()
            await heard.say(*pieces(wire, size))
            reply = await client.hears()
            assert (reply.complete, reply.body) == (True, raw)


@async_test()
async def test_G07_case42_an_event_of_eight_mebibytes_passes_whole() -> None:
    event = b"data: " + b"x" * (8 << 20) + b"\n\n"

    async def emit(heard: Heard) -> None:
        await heard.say(SSE_HEAD, chunk(event), chunk(b"data: [DONE]\n\n") + chunk(b""))

    async with stage(Peer(emit)) as scene:
        reply = await scene.asks(stream(), within=20)
        assert reply.complete
        assert reply.body == event + b"data: [DONE]\n\n"


@async_test()
async def test_G13_I03_case44_a_json_429_to_a_stream_request_stays_a_json_429() -> None:
    body = b'{"error": {"message": "slow down", "code": 1.0e5, "unknown": [1,  2]}}\n'
    raw = answer(b"429 Too Many Requests", body, b"Content-Type: application/json", b"Retry-After: 20", b"x-ratelimit-reset: 1s")
    async with stage(Peer(says(raw))) as scene:
        reply = await scene.asks(stream())
        assert (reply.status, reply.reason, reply.body) == (429, b"Too Many Requests", body)
        assert (reply.get(b"retry-after"), reply.get(b"x-ratelimit-reset")) == (b"20", b"1s")
        assert (reply.get(b"content-length"), reply.get(b"x-accel-buffering"), reply.local) == (b"%d" % len(body), None, False)


@async_test()
async def test_G10_the_end_marker_is_neither_invented_nor_removed() -> None:
    for events in (b"data: a\n\n", b"data: a\n\ndata: [DONE]\n\n"):
        async with stage(Peer(says(SSE_HEAD + chunk(events) + chunk(b"")))) as scene:
            reply = await scene.asks(stream())
            assert (reply.complete, reply.body) == (True, events)


@async_test()
async def test_F01_a_request_body_goes_on_while_it_is_still_coming() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"first"))
        heard = await scene.peer.hears_head()
        await until(lambda: heard.body == b"first")
        await client.says(chunk(b"second"))
        await until(lambda: heard.body == b"firstsecond")
        assert not heard.complete
        await client.says(chunk(b""))
        assert await heard.whole()


@async_test()
async def test_F04_F05_an_answer_nobody_reads_holds_the_upstream_after_a_bounded_number_of_bytes() -> None:
    sent = 0

    async def flood(heard: Heard) -> None:
        nonlocal sent
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await heard.line.wire.send(b"x" * 65536)
            sent += 65536
            await asyncio.sleep(0)

    async with stage(Peer(flood)) as scene:
        client = await scene.client(receive_buffer=4096)
        await client.says(get())
        await _still(lambda: sent)
        held = sent
        assert held < 8 << 20, f"{held} bytes were taken from the upstream for a client that reads nothing"
        reply = await client.hears_head()
        while reply.stream.size < 4 << 20:
            await client.hears_more(reply)
        await until(lambda: sent > held)
        client.vanishes()
        await scene.calms_down()


@async_test()
async def test_F07_an_upstream_that_does_not_read_holds_the_client() -> None:
    async with stage(Peer(receive_buffer=4096)) as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 100000000\r\n\r\n")
        heard = await scene.peer.hears_head()
        heard.line.stop_reading()
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while True:
                await client.wire.send(b"x" * 65536)
                sent += 65536
                await asyncio.sleep(0)

        uploading = asyncio.ensure_future(upload())
        await _still(lambda: sent)
        held = sent
        assert held < 16 << 20, f"{held} bytes were read for an upstream that takes nothing"
        heard.line.read_on()
        await until(lambda: sent > held)
        uploading.cancel()
        client.leaves()
        await asyncio.gather(uploading, return_exceptions=True)
        await scene.calms_down()


async def _still(value: object, for_: float = 0.3) -> None:
    """Wait until `value()` has not changed for a while."""
    assert callable(value)
    last, since = value(), time.monotonic()
    while time.monotonic() - since < for_:
        await asyncio.sleep(0.02)
        if (now := value()) != last:
            last, since = now, time.monotonic()


@async_test()
async def test_F10_an_answer_before_the_upload_is_read_is_relayed_and_the_upstream_closed() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 10000000\r\n\r\n", b"first")
        heard = await scene.peer.hears_head()
        await heard.say(answer(b"413 Content Too Large", b"too much"))
        reply = await client.hears()
        assert (reply.status, reply.body, reply.local) == (413, b"too much", False)
        assert await heard.line.gone()
        assert not heard.complete
        assert scene.count("upstream_idle") == 0


@async_test()
async def test_F11_no_task_is_made_for_a_chunk() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(stream())
        heard = await scene.peer.hears()
        await heard.say(SSE_HEAD)
        reply = await client.hears_head()
        await turns()
        before = len(asyncio.all_tasks())
        for _ in range(50):
            await heard.say(chunk(b"data: x\n\n"))
            await client.hears_more(reply)
            assert len(asyncio.all_tasks()) <= before


@async_test()
async def test_F08_G01_odd_json_and_multipart_bytes_pass_both_ways() -> None:
    bodies = [
        b'{"a":1E5,"b":12345678901234567890123,"c":1.10000000000000000001,"d":"\\u00e9\\/","d":2}',
        b'{ "nested" : [ ] ,\r\n\t"x":null}\n\n',
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"b"\r\n\r\n' + bytes(range(256)) + b"\r\n--b--\r\n",
        b"",
        b"\x00",
    ]
    for body in bodies:
        async with stage(Peer(says(answer(b"200 OK", body)))) as scene:
            reply = await scene.asks(post(body, b"X-Kind: multipart/form-data; boundary=b"))
            assert ((await scene.peer.hears()).body, reply.body) == (body, body)
