"""Battery P, rules B12 to B19: where an answer's body ends."""

import pytest

from tests.harness.chaos import OK, Peer, Say, answer, chunk, play
from tests.harness.gateway import stage
from tests.harness.runner import async_test
from tests.harness.words import CHUNKED, get, post

BAD_ANSWERS = {
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "different lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}",
    "length foo": b"HTTP/1.1 200 OK\r\nContent-Length: foo\r\n\r\n{}",
    "length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    "coding foo": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\n{}",
    "coding gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    "chunked not last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked in two lines": b"HTTP/1.1 200 OK\r\n" + CHUNKED * 2 + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked in a 1.0 answer": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\n{}",
    "status 1000": b"HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\n{}",
    "status 600": b"HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\n{}",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "CR in a value": b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\n{}",
    "ESC in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x1bb\r\nContent-Length: 2\r\n\r\n{}",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "name with a blank": b"HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 2\r\n\r\n{}",
    "no colon": b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\n{}",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTTP/2 preface": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18,
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
@async_test()
async def test_B12_B13_B14_B15_case13_a_malformed_answer_is_a_502_and_its_connection_is_not_reused(kind: str) -> None:
    async with stage(Peer(play(Say(BAD_ANSWERS[kind])))) as scene:
        client = await scene.client()
        for number in (1, 2):
            await client.says(post())
            reply = await client.hears()
            assert reply.status == 502
            assert reply.error in ("http_protocol_error", "http_response_transfer_coding")
            assert reply.json()["error"]["type"]
            assert await scene.peer.lines[number - 1].gone()
        assert len(scene.peer.lines) == 2
        assert scene.count("upstream_idle") == 0


@async_test()
async def test_B16_B19_case14_bytes_after_the_announced_length_reach_nobody() -> None:
    surplus = answer(b"200 OK", b"exact") + b"20 bytes too many..."
    async with stage() as scene:
        client = await scene.client()
        await client.says(get())
        first = await scene.peer.hears()
        await first.say(surplus)
        reply = await client.hears()
        assert (reply.status, reply.body, reply.get(b"content-length")) == (200, b"exact", b"5")
        assert await first.line.gone()
        await client.says(get())
        second = await scene.peer.hears()
        await second.say(OK)
        assert (await client.hears()).body == b'{"ok":true}'
        assert second.line is not first.line
        assert client.buffer == b""


@async_test()
async def test_B16_bytes_after_the_last_chunk_reach_nobody() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(get())
        first = await scene.peer.hears()
        await first.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"a") + chunk(b"") + OK)
        assert (await client.hears()).body == b"a"
        assert await first.line.gone()
        assert client.buffer == b""


@async_test()
async def test_B18_a_body_cut_short_of_its_length_aborts_the_client_connection() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(get() + get())
        heard = await scene.peer.hears()
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
        heard.line.fin()
        reply = await client.hears()
        assert (reply.body, reply.complete) == (b"short", False)
        assert reply.ended in ("fin", "rst")
        assert len(scene.peer.requests) == 1


@async_test()
async def test_B15_an_answer_with_reason_and_without_is_relayed_alike() -> None:
    async with stage(Peer()) as scene:
        for line, reason in ((b"HTTP/1.1 299 Odd But Fine", b"Odd But Fine"), (b"HTTP/1.1 200 ", b"")):
            client = await scene.client()
            await client.says(get())
            await (await scene.peer.hears()).say(line + b"\r\nContent-Length: 0\r\n\r\n")
            reply = await client.hears()
            assert (reply.status, reply.reason) == (int(line[9:12]), reason)
