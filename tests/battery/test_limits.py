"""Battery T: limits and timeouts. Times are short here; what is asserted is the order and the outcome."""

import asyncio
import time

import pytest

from tests.harness.chaos import OK, Heard, Peer, Say, answer, play, says
from tests.harness.client import SilenceError
from tests.harness.gateway import Stage, stage
from tests.harness.runner import async_test, turns, until
from tests.harness.words import HEAD, get, post

LICENCES = {"open": False, "licences": ("sha256:" + "0" * 64,)}


@async_test()
async def test_J01_case62_a_dripping_head_is_408_at_t_header_however_often_it_drips() -> None:
    async with stage(timeouts={"t_header": 0.5, "t_linger": 0.5}) as scene:
        client = await scene.client()
        started = time.monotonic()
        dripping = asyncio.ensure_future(drip(client, b"GET /test/v1/models HTTP/1.1\r\nX: " + b"x" * 100, 0.05))
        reply = await client.hears()
        taken = time.monotonic() - started
        await dripping
        assert (reply.status, reply.get(b"connection"), reply.error) == (408, b"close", "http_request_error")
        assert 0.4 <= taken <= 5.0
        assert await client.end() in ("fin", "rst")
        assert scene.metric("dragoman_limit_hits_total", limit="t_header") == 1


async def drip(client: object, data: bytes, pause: float) -> None:
    """Say one byte at a time until the gateway ends the connection."""
    for byte in data:
        try:
            await client.wire.send(bytes([byte]))  # type: ignore[attr-defined]
        except (ConnectionError, OSError):
            return
        await asyncio.sleep(pause)


@async_test()
async def test_J02_case62_a_body_below_the_minimum_rate_is_408_or_cut() -> None:
    for framing, piece in ((b"Content-Length: 10000\r\n\r\n", b"x"), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")):
        async with stage(timeouts={"body_rate_grace": 0.2, "body_min_rate": 1000, "t_linger": 0.5}) as scene:
            client = await scene.client()
            await client.says(HEAD + framing)
            dripping = asyncio.ensure_future(drip(client, piece * 200, 0.02))
            try:
                assert (await client.hears()).status == 408
            except SilenceError:
                pass
            await client.end()
            await dripping
            await scene.calms_down()
            assert not any(heard.complete for heard in scene.peer.requests)
            assert scene.metric("dragoman_limit_hits_total", limit="body_min_rate") == 1


@async_test()
async def test_J02_case62_a_body_that_stops_is_408_or_cut() -> None:
    async with stage(timeouts={"t_body_idle": 0.3, "t_linger": 0.5}) as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 100\r\n\r\nsome")
        try:
            reply = await client.hears()
            assert (reply.status, reply.get(b"connection")) == (408, b"close")
        except SilenceError:
            pass
        await client.end()
        await scene.calms_down()
        assert not any(heard.complete for heard in scene.peer.requests)
        assert scene.metric("dragoman_limit_hits_total", limit="t_body_idle") == 1


@pytest.mark.slow
@async_test(patience=60)
async def test_J01_J02_case62_three_hundred_slow_clients_leave_the_service_available() -> None:
    """What slowhttptest does with -H, -B and -X, with raw clients."""
    big = answer(b"200 OK", b"x" * 1_000_000)

    async def respond(heard: Heard) -> None:
        await heard.say(big if heard.target == b"/big" else OK)

    times = {"t_header": 1.0, "t_body_idle": 1.0, "t_write_stall": 1.0, "body_rate_grace": 0.5}
    async with stage(Peer(respond), timeouts=times) as scene:
        slow = []
        for number in range(300):
            client = await scene.client(receive_buffer=4096 if number % 3 == 2 else 0)
            slow.append(client)
            await client.says(
                (b"GET /test/x HTTP/1.1\r\nX: ", HEAD + b"Content-Length: 9999\r\n\r\nx", get(b"/test/big"))[number % 3]
            )
        for _ in range(20):
            assert (await scene.asks(post())).status == 200
            await asyncio.sleep(0.05)
        await until(lambda: scene.count("client_connections") == 0)
        assert (await scene.asks(post())).status == 200


@async_test()
async def test_J02_case63_a_client_that_stops_reading_is_cut_and_the_peer_closed() -> None:
    async def flood(heard: Heard) -> None:
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await heard.line.wire.send(b"x" * 65536)

    async with stage(Peer(flood), timeouts={"t_write_stall": 0.4}) as scene:
        client = await scene.client(receive_buffer=4096)
        await client.says(get())
        assert await (await scene.peer.accepts()).gone()
        await scene.calms_down()
        assert scene.metric("dragoman_limit_hits_total", limit="t_write_stall") == 1


@async_test()
async def test_J02_a_slow_reader_that_still_reads_is_not_cut() -> None:
    body = b"x" * 3_000_000
    async with stage(Peer(says(answer(b"200 OK", body))), timeouts={"t_write_stall": 1.0}) as scene:
        client = await scene.client(receive_buffer=4096)
        await client.says(get())
        reply = await client.hears_head()
        for _ in range(20):
            await asyncio.sleep(0.07)
            for _ in range(10):
                await client.hears_more(reply)
        await client.hears_rest(reply)
        assert (reply.complete, len(reply.body)) == (True, len(body))


async def status_of(scene: Stage, request: bytes) -> int:
    reply = await scene.asks(request)
    if reply.status >= 400:
        assert (reply.get(b"connection"), reply.error) == (b"close", "http_request_error")
    return reply.status


@async_test()
async def test_J03_case64_the_request_line_at_its_limit() -> None:
    async with stage(Peer(says(OK)), limits={"request_line": 8192}) as scene:
        rest = len(b"GET /test/ HTTP/1.1")
        for size, status in ((8191, 200), (8192, 200), (8193, 414), (100_000, 414)):
            assert await status_of(scene, get(b"/test/" + b"x" * (size - rest))) == status, size
        assert scene.metric("dragoman_limit_hits_total", limit="request_line") == 2


@async_test()
async def test_J03_case64_a_request_line_without_end_is_refused_before_it_ends() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(b"GET /" + b"x" * 100_000, tolerant=True)
        assert (await client.hears()).status == 414


@async_test()
async def test_J03_case64_a_header_field_at_its_limit() -> None:
    async with stage(Peer(says(OK)), limits={"header_field": 1000}) as scene:
        for size, status in ((999, 200), (1000, 200), (1001, 431)):
            assert await status_of(scene, get(b"/test/x", b"X: " + b"y" * (size - 1))) == status, size


@async_test()
async def test_J03_case64_the_header_section_at_its_limit() -> None:
    """The limit counts field lines; whether the empty line and the first CRLF belong to it (4 bytes) is not settled by the rule."""
    async with stage(Peer(says(OK)), limits={"header_section": 4096, "header_field": 4096}) as scene:
        own = len(b"Host: gateway\r\nX: \r\n")
        for size, status in ((4000, 200), (4092, 200), (4101, 431), (60_000, 431)):
            assert await status_of(scene, get(b"/test/x", b"X: " + b"y" * (size - own))) == status, size


@async_test()
async def test_J03_case64_a_header_section_without_end_is_refused_before_it_ends() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(b"GET /test/x HTTP/1.1\r\n" + b"X: y\r\n" * 50_000, tolerant=True)
        assert (await client.hears()).status == 431


@async_test()
async def test_J03_case64_the_number_of_fields_at_its_limit() -> None:
    async with stage(Peer(says(OK)), limits={"header_count": 20}) as scene:
        for count, status in ((19, 200), (20, 200), (21, 431)):
            assert await status_of(scene, get(b"/test/x", *[b"X: y"] * (count - 1))) == status, count


@async_test()
async def test_J03_case64_a_body_with_a_length_at_its_limit() -> None:
    async with stage(Peer(says(OK)), limits={"body": 1000}) as scene:
        for size, status in ((999, 200), (1000, 200), (1001, 413)):
            assert await status_of(scene, post(b"x" * size)) == status, size
        assert len(scene.peer.requests) == 2
        assert scene.metric("dragoman_limit_hits_total", limit="body") == 1


@async_test()
async def test_J03_case64_a_chunked_body_at_its_limit() -> None:
    async with stage(Peer(says(OK)), limits={"body": 1000}) as scene:
        for size, whole in ((999, True), (1000, True), (1001, False)):
            client = await scene.client()
            await client.says(
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n", tolerant=True
            )
            try:
                assert (await client.hears()).status == (200 if whole else 413)
            except SilenceError:
                assert not whole
            await turns()
            assert scene.peer.requests[-1].complete == whole or len(scene.peer.requests) == 2


@async_test()
async def test_J03_case64_a_body_that_must_be_held_to_find_its_model_at_its_limit() -> None:
    """What is held is everything up to the model; whether the read that brings the model counts is not settled by the rule."""
    rest = b'","model":"m1"}'
    async with stage(Peer(says(OK)), limits={"buffered_body": 1000}) as scene:
        for size, status in ((999 - len(rest), 200), (1000 - len(rest), 200), (1001, 413)):
            first = b'{"pad":"' + b"x" * (size - 8)
            client = await scene.client()
            await client.says(b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n")
            await client.says(b"Content-Length: %d\r\n\r\n" % (size + len(rest)), first)
            await client.says(rest, tolerant=True)
            assert (await client.hears()).status == status, size
            if status == 200:
                assert (await scene.peer.hears()).body == first + rest


@async_test()
async def test_J03_case64_answer_heads_at_their_limits() -> None:
    limits = {"response_header_section": 4096, "response_header_field": 1000, "response_header_count": 20}
    cases = [
        (b"X: " + b"y" * 999 + b"\r\n", 200),
        (b"X: " + b"y" * 1000 + b"\r\n", 502),
        (b"X: y\r\n" * 19, 200),
        (b"X: y\r\n" * 20, 502),
        ((b"X: " + b"y" * 900 + b"\r\n") * 4, 200),
        ((b"X: " + b"y" * 900 + b"\r\n") * 5, 502),
    ]
    for fields, status in cases:
        async with stage(Peer(says(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n")), limits=limits) as scene:
            reply = await scene.asks(get())
            assert reply.status == status, fields[:20]
            if status == 502:
                assert reply.error == "http_response_header_section_size"


@async_test()
async def test_J03_case64_client_connections_at_their_limit() -> None:
    async with stage(Peer(says(OK)), limits={"client_connections": 3}, timeouts={"t_linger": 0.5}) as scene:
        clients = [await scene.client() for _ in range(3)]
        for client in clients:
            await client.says(get())
            assert (await client.hears()).status == 200
        extra = await scene.client()
        await extra.says(get(), tolerant=True)
        reply = await extra.hears()
        assert (reply.status, reply.error, reply.get(b"connection")) == (503, "connection_limit_reached", b"close")
        assert reply.get(b"retry-after")
        clients[0].leaves()
        await until(lambda: scene.count("client_connections") < 3)
        assert (await scene.asks(get())).status == 200


@pytest.mark.parametrize("why", ["body too large", "no licence"])
@async_test()
async def test_F09_case65_an_early_refusal_of_an_upload_is_readable_and_the_connection_soon_gone(why: str) -> None:
    settings = LICENCES if why == "no licence" else {"limits": {"body": 1000}}
    async with stage(timeouts={"t_linger": 0.5}, **settings) as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 100000000\r\n\r\n")
        uploading = asyncio.ensure_future(client.says(b"x" * 100_000_000, tolerant=True))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        reply = await client.hears()
        assert reply.status == (401 if why == "no licence" else 413)
        assert reply.get(b"connection") == b"close"
        assert await client.end() in ("fin", "rst")
        assert time.monotonic() - started < 10.0
        client.leaves()
        await asyncio.gather(uploading, return_exceptions=True)
        await until(lambda: scene.count("client_connections") == 0)
        assert scene.peer.requests == []


@async_test()
async def test_F09_a_refused_upload_that_ends_soon_still_reads_its_answer_and_a_fin() -> None:
    async with stage(limits={"body": 1000}) as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 500000\r\n\r\n" + b"x" * 500_000, tolerant=True)
        assert (await client.hears()).status == 413
        assert await client.end() == "fin"


EXPECT = b"Expect: 100-continue\r\n"


@async_test()
async def test_H02_case66_a_refused_expectation_gets_its_status_and_no_100() -> None:
    async with stage(**LICENCES) as scene:
        client = await scene.client()
        await client.says(HEAD + EXPECT + b"Content-Length: 100000000\r\n\r\n")
        reply = await client.hears()
        assert (reply.status, reply.interim) == (401, [])
        assert scene.peer.lines == []


@async_test()
async def test_H02_case66_a_body_too_large_or_no_route_gets_its_status_and_no_100() -> None:
    async with stage(limits={"body": 1000}) as scene:
        for request, status in (
            (HEAD + EXPECT + b"Content-Length: 1001\r\n\r\n", 413),
            (HEAD.replace(b"/test/", b"/nowhere/") + EXPECT + b"Content-Length: 10\r\n\r\n", 404),
        ):
            client = await scene.client()
            await client.says(request)
            reply = await client.hears()
            assert (reply.status, reply.interim) == (status, [])


@async_test()
async def test_H02_H03_case66_an_accepted_expectation_gets_100_and_expect_goes_no_further() -> None:
    async with stage(Peer(says(OK))) as scene:
        client = await scene.client()
        await client.says(HEAD + EXPECT + b"Content-Length: 4\r\n\r\n")
        assert await heard_so_far(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.says(b"body")
        reply = await client.hears()
        heard = await scene.peer.hears()
        assert (reply.status, heard.body, heard.all(b"expect")) == (200, b"body", [])


async def heard_so_far(client: object, marker: bytes) -> bytes:
    """What came up to `marker`, left in the client's buffer for the next reader."""
    async with asyncio.timeout(5):
        while marker not in client.buffer:  # type: ignore[attr-defined]
            assert await client._more()  # type: ignore[attr-defined]
    return bytes(client.buffer)  # type: ignore[attr-defined]


@async_test()
async def test_H02_a_body_that_comes_without_waiting_needs_no_100() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(HEAD + EXPECT + b"Content-Length: 4\r\n\r\nbody")).status == 200
        assert (await scene.peer.hears()).body == b"body"


@async_test()
async def test_H03_case66_another_expectation_is_417() -> None:
    async with stage() as scene:
        for value in (b"magic", b"100-continue, magic", b"200-ok"):
            reply = await scene.asks(HEAD + b"Expect: " + value + b"\r\nContent-Length: 0\r\n\r\n")
            assert (reply.status, reply.error) == (417, "http_request_error"), value
        assert scene.peer.lines == []


@async_test()
async def test_H02_case66_a_1_0_client_gets_no_100() -> None:
    async with stage(Peer(says(OK))) as scene:
        client = await scene.client()
        await client.says(HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + EXPECT + b"Content-Length: 4\r\n\r\n")
        await client.nothing(0.1)
        await client.says(b"body")
        reply = await client.hears()
        assert (reply.status, reply.interim) == (200, [])


@async_test()
async def test_J04_case67_a_client_that_pauses_does_not_trip_the_time_between_bytes() -> None:
    body = b"x" * 5_000_000
    async with stage(Peer(says(answer(b"200 OK", body))), timeouts={"t_between_bytes": 0.6, "t_write_stall": 30.0}) as scene:
        client = await scene.client(receive_buffer=4096)
        await client.says(get())
        reply = await client.hears_head()
        await asyncio.sleep(1.0)
        await client.hears_rest(reply)
        assert (reply.complete, len(reply.body)) == (True, len(body))


@async_test()
async def test_J04_a_silent_upstream_does_trip_it_before_and_after_the_head() -> None:
    for said, times in ((b"", {"t_first_byte": 0.3}), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", {"t_between_bytes": 0.3})):
        async with stage(Peer(play(Say(said))), timeouts=times) as scene:
            reply = await scene.asks(get())
            assert (reply.status, reply.complete) in ((504, True), (200, False))
            assert await scene.peer.lines[0].gone()
            assert scene.metric("dragoman_limit_hits_total", limit=next(iter(times))) == 1


@async_test()
async def test_J01_an_idle_connection_is_closed_at_t_keepalive_without_an_answer() -> None:
    async with stage(Peer(says(OK)), timeouts={"t_keepalive": 0.3}) as scene:
        client = await scene.client()
        await client.says(get())
        assert (await client.hears()).status == 200
        assert await client.end() == "fin"
        assert client.buffer == b""


@async_test()
async def test_J04_the_first_byte_waits_for_a_long_upload_and_total_time_does_not() -> None:
    async with stage(Peer(says(OK)), timeouts={"t_first_byte": 0.6}) as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.1)
            await client.says(b"x")
        assert (await client.hears()).status == 200
    async with stage(timeouts={"t_total": 0.3}) as scene:
        reply = await scene.asks(post())
        assert reply.status == 504
