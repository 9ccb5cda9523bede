"""Battery P: what the gateway accepts as a request. The 5,000 mutations of case 16 have their own file."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.harness.chaos import OK, Peer, Say, answer, chunk, play, says
from tests.harness.client import Answer, Client, SilenceError
from tests.harness.gateway import CREDENTIALS, Stage, stage
from tests.harness.grammar import request_line, take_head
from tests.harness.runner import async_test, turns, until
from tests.harness.words import CHAT, HEAD, get, post

CHUNKED = b"Transfer-Encoding: chunked\r\n"
GOOD_CHUNKS, BAD_CHUNKS = b"2\r\n{}\r\n0\r\n\r\n", b"x\r\n{}\r\n"


async def refused(scene: Stage, request: bytes, *statuses: int) -> Answer:
    """Say a request that must be refused with one of `statuses` and a closed connection, and never reach the peer."""
    client = await scene.client()
    await client.says(request, tolerant=True)
    reply = await client.hears()
    assert reply.status in statuses, (request, reply.head.raw)
    assert reply.get(b"connection") == b"close"
    assert reply.complete
    assert reply.error == "http_request_error"
    assert await client.end(within=1.0) == "fin"
    assert client.buffer == b""
    await turns()
    assert scene.peer.lines == []
    return reply


@pytest.mark.parametrize("body", [GOOD_CHUNKS, BAD_CHUNKS], ids=["valid", "invalid"])
@pytest.mark.parametrize("first", ["length", "coding"])
@async_test()
async def test_B01_A11_case01_a_request_with_both_framings_is_refused_and_the_connection_closed(first: str, body: bytes) -> None:
    length = b"Content-Length: 2\r\n"
    framing = length + CHUNKED if first == "length" else CHUNKED + length
    async with stage() as scene:
        await refused(scene, HEAD + framing + b"\r\n" + body, 400)


LENGTHS = [
    b"+1",
    b"-1",
    b"0x1",
    b"1_0",
    b"1 0",
    b"",
    b"1,1",
    b"1;1",
    b"9" * 20,
    "٣".encode(),
    b"1, 1",
    b"\x0b1",
    b"9223372036854775808",
]


@async_test()
async def test_B02_case02_every_odd_content_length_is_refused() -> None:
    async with stage() as scene:
        for value in LENGTHS:
            await refused(scene, HEAD + b"Content-Length: " + value + b"\r\n\r\n{", 400)
        for second in (b"1", b"2"):
            await refused(scene, HEAD + b"Content-Length: 1\r\nContent-Length: " + second + b"\r\n\r\n{}", 400)


@async_test()
async def test_B02_a_good_request_before_it_makes_no_odd_length_acceptable() -> None:
    """Whatever the gateway remembers of a head it has seen, the length is read from the request at hand."""
    async with stage(Peer(says(OK))) as scene:
        for head in (HEAD, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")):
            for value, status in ((b"2", 200), *((value, 400) for value in LENGTHS), (b"2", 200)):
                reply = await scene.asks(head + b"Content-Length: " + value + b"\r\n\r\n{}")
                assert reply.status == status, (head, value)
        assert [heard.body for heard in scene.peer.requests] == [b"{}"] * 4


@async_test()
async def test_A03_A11_a_stray_carriage_return_before_the_request_line_ends_the_connection() -> None:
    async with stage(Peer(says(OK))) as scene:
        for stray in (b"\r", b"\r\r\n", b"\n", b"\r\n\r"):
            client = await scene.client()
            await client.says(stray + get(b"/test/one") + get(b"/test/two"), tolerant=True)
            assert (await client.hears()).status == 400, stray
            assert await client.end() in ("fin", "rst")
        assert scene.peer.requests == []


CODINGS = [
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b'Transfer-Encoding: "chunked"\r\n',
    b"Transfer-Encoding: ,chunked\r\n",
    b"Transfer-Encoding: chunked,\r\n",
    b"Transfer-Encoding: chunked;q=1\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: \xa0chunked\r\n",
    b"Transfer-Encoding:\r\n",
    CHUNKED + CHUNKED,
    CHUNKED + b"Transfer-Encoding: identity\r\n",
]


@async_test()
async def test_B03_case03_every_coding_but_chunked_is_refused() -> None:
    async with stage() as scene:
        for coding in CODINGS:
            await refused(scene, HEAD + coding + b"\r\n" + GOOD_CHUNKS, 501, 400)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"xchunked"])
@async_test(loops=False)
async def test_B03_an_unknown_coding_is_501(coding: bytes) -> None:
    async with stage() as scene:
        await refused(scene, HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + GOOD_CHUNKS, 501)


@async_test()
async def test_B03_chunked_in_any_case_is_accepted_and_stays_chunked_upstream() -> None:
    async with stage(Peer(says(OK))) as scene:
        for coding in (b"chunked", b"Chunked", b"\tchunked \t"):
            reply = await scene.asks(HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + GOOD_CHUNKS)
            heard = await scene.peer.hears()
            assert (reply.status, heard.body, heard.get(b"transfer-encoding")) == (200, b"{}", b"chunked")


@async_test()
async def test_B04_case04_a_coding_on_http_1_0_is_refused() -> None:
    async with stage() as scene:
        await refused(scene, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKED + b"\r\n" + GOOD_CHUNKS, 400)


CHUNK_CORPUS = [
    b"2\n{}\r\n0\r\n\r\n",
    b"0x2\r\n{}\r\n0\r\n\r\n",
    b" 2\r\n{}\r\n0\r\n\r\n",
    b"2 \r\n{}\r\n0\r\n\r\n",
    b"-2\r\n{}\r\n0\r\n\r\n",
    b"+2\r\n{}\r\n0\r\n\r\n",
    b"00000000000000002\r\n{}\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}x\r\n0\r\n\r\n",
    b"3\r\n{}\r\n0\r\n\r\n",
    b"2;a\rb\r\n{}\r\n0\r\n\r\n",
    b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}0\r\n\r\n",
    b"\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
    b"2\r\n{}\r\n0\n\n",
]


@pytest.mark.parametrize("number", range(len(CHUNK_CORPUS)))
@async_test()
async def test_B05_B11_A02_case05_a_bad_chunk_never_becomes_a_finished_request(number: int) -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(HEAD + CHUNKED + b"\r\n" + CHUNK_CORPUS[number], tolerant=True)
        try:
            reply = await client.hears()
            assert reply.status == 400
        except SilenceError:
            assert scene.peer.requests, "no answer although nothing was forwarded"
        assert await client.end() in ("fin", "rst")
        await scene.calms_down()
        assert not any(heard.complete for heard in scene.peer.requests)
        for line in scene.peer.lines:
            await line.gone()
        assert scene.count("upstream_idle") == 0


CONTROLS = [0x00, 0x01, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1B, 0x1F, 0x20, 0x7F, 0xA0]
PLACES = [
    b"%cTransfer-Encoding: chunked\r\n",
    b"Transfer%c-Encoding: chunked\r\n",
    b"Transfer-Encoding%c: chunked\r\n",
    b"Transfer-Encoding:%cchunked\r\n",
    b"Transfer-Encoding: %cchunked\r\n",
    b"Transfer-Encoding: chun%cked\r\n",
    b"Transfer-Encoding: chunked%c\r\n",
    b"Transfer-Encoding: chunked%c, identity\r\n",
    b"X: y%cTransfer-Encoding: chunked\r\n",
    b"X: y\r%cTransfer-Encoding: chunked\r\n",
]
SMUGGLED = b"GET /test/v1/smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n"


@pytest.mark.parametrize("control", CONTROLS)
@async_test()
async def test_A03_A04_B01_B05_case06_control_bytes_around_the_coding_never_split_a_request(control: int) -> None:
    async with stage(Peer(says(OK))) as scene:
        for place in PLACES:
            line = place % control
            body = b"0\r\n\r\n" + SMUGGLED
            client = await scene.client()
            await client.says(HEAD + line + b"Content-Length: %d\r\n\r\n" % len(body) + body, tolerant=True)
            statuses = await every_status(client)
            await turns()
            assert [heard for heard in scene.peer.requests if b"smuggled" in heard.target] == [], line
            assert len(statuses) == 1, line
            for heard in scene.peer.requests:
                assert heard.body == body, line
                assert heard.all(b"transfer-encoding") == [], line


async def every_status(client: Client) -> list[int]:
    """The statuses of all answers until the gateway closes or is silent for a moment after the last."""
    statuses: list[int] = []
    while True:
        try:
            statuses.append((await client.hears(within=0.3 if statuses else 5.0)).status)
        except (SilenceError, TimeoutError):
            client.leaves()
            return statuses


BAD_LINES = {
    "obs-fold": b"X-A: one\r\n two\r\n",
    "space before the colon": b"X-A : one\r\n",
    "tab before the colon": b"X-A\t: one\r\n",
    "empty name": b": one\r\n",
    "no colon": b"X-A\r\n",
    "name with a blank": b"X A: one\r\n",
    "name with a bracket": b"X(A): one\r\n",
    "name with a non-ASCII byte": b"X-\xc3\xa9: one\r\n",
}


@pytest.mark.parametrize("kind", BAD_LINES)
@async_test()
async def test_A03_case07_field_lines_outside_the_grammar_are_refused(kind: str) -> None:
    async with stage() as scene:
        await refused(scene, HEAD + BAD_LINES[kind] + b"Content-Length: 2\r\n\r\n{}", 400)


@async_test()
async def test_A03_case07_a_blank_before_the_first_field_is_refused() -> None:
    async with stage() as scene:
        for blank in (b" ", b"\t"):
            await refused(scene, b"GET /test/v1/models HTTP/1.1\r\n" + blank + b"Host: gateway\r\n\r\n", 400)


@pytest.mark.parametrize("control", [0x00, 0x01, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F])
@async_test()
async def test_A04_control_characters_in_a_value_are_refused(control: int) -> None:
    async with stage() as scene:
        await refused(scene, get(b"/test/v1/models", b"X-A: a%cb" % control), 400)


@async_test()
async def test_A04_a_tab_in_a_value_is_carried() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(get(b"/test/v1/models", b"X-A: a\tb"))).status == 200
        assert (await scene.peer.hears()).get(b"x-a") == b"a\tb"


@async_test()
async def test_A02_bare_line_feeds_and_carriage_returns_are_refused() -> None:
    async with stage() as scene:
        for request in (
            b"GET /test/v1/models HTTP/1.1\nHost: gateway\r\n\r\n",
            b"GET /test/v1/models HTTP/1.1\r\nHost: gateway\n\r\n",
            b"GET /test/v1/models HTTP/1.1\r\nHost: gateway\r\nX: y\n\n",
            b"GET /test/v1/models HTTP/1.1\r\nHost: gateway\rX: y\r\n\r\n",
            b"GET /test/v1/models HTTP/1.1\rHost: gateway\r\n\r\n",
        ):
            await refused(scene, request, 400)


BAD_HOSTS = [b"", b"a b", b"u@h", b"h/p", b"h:port", b"h:99999999", b"h?q", b"a,b", b"[::1", b"h#f", b"h\\x", b"[::1]x", b"::1"]


@async_test()
async def test_A06_case08_a_host_outside_the_grammar_is_refused() -> None:
    async with stage() as scene:
        await refused(scene, b"GET /test/v1/models HTTP/1.1\r\n\r\n", 400)
        await refused(scene, b"GET /test/v1/models HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400)
        for host in BAD_HOSTS:
            await refused(scene, b"GET /test/v1/models HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 400)


@async_test()
async def test_A06_C09_case08_every_valid_host_is_routed_and_none_reaches_upstream() -> None:
    async with stage(Peer(says(OK))) as scene:
        for host in (
            b"h",
            b"h:80",
            b"h.example.:8080",
            b"127.0.0.1",
            b"[::1]",
            b"[2001:db8::1]:443",
            b"xn--bcher-kva.example",
            b"h:",
        ):
            reply = await scene.asks(b"GET /test/v1/models HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            assert reply.status == 200, host
            assert (await scene.peer.hears()).get(b"host") == b"127.0.0.1:%d" % scene.peer.port
        assert (await scene.asks(b"GET /test/v1/models HTTP/1.0\r\n\r\n")).status == 200


@async_test()
async def test_A05_case09_only_http_1_1_and_1_0_go_further() -> None:
    async with stage() as scene:
        for version in (b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/11", b"HTTP/3.0"):
            await refused(scene, b"GET /test/v1/models " + version + b"\r\nHost: gateway\r\n\r\n", 505, 400)
        await refused(scene, b"GET /test/v1/models\r\n\r\n", 505, 400)
        await refused(scene, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 400)


@async_test()
async def test_A05_a_well_formed_other_version_is_505() -> None:
    async with stage() as scene:
        await refused(scene, b"GET /test/v1/models HTTP/2.0\r\nHost: gateway\r\n\r\n", 505)


@async_test()
async def test_A07_extra_blanks_in_the_request_line_are_refused_or_never_reach_upstream() -> None:
    async with stage(Peer(says(OK))) as scene:
        for line in (b"GET  /test/v1/models HTTP/1.1", b"GET /test/v1/models  HTTP/1.1", b"GET\t/test/v1/models HTTP/1.1"):
            reply = await scene.asks(line + b"\r\nHost: gateway\r\n\r\n")
            assert reply.status in (200, 400), line
        for heard in scene.peer.requests:
            assert heard.head.start == b"GET /v1/models HTTP/1.1"


@async_test()
async def test_A08_an_unlisted_method_gets_405_with_allow_and_an_unknown_one_400() -> None:
    async with stage() as scene:
        reply = await scene.asks(get(b"/v1/chat/completions", b"ModelName: m1"))
        assert (reply.status, reply.get(b"allow"), reply.error) == (405, b"POST", "destination_not_found")
        reply = await scene.asks(get(b"/v1/models", b"ModelName: m1", method=b"DELETE"))
        assert reply.status == 405
        assert b"GET" in (reply.get(b"allow") or b"")
        for method in (b"BREW", b"get", b"G@T"):
            reply = await scene.asks(get(method=method))
            assert reply.status in (400, 405), method
        assert scene.peer.lines == []


@async_test()
async def test_A09_connect_and_trace_are_405_always() -> None:
    async with stage() as scene:
        for request in (
            get(method=b"TRACE"),
            get(b"/nowhere", method=b"TRACE"),
            get(method=b"CONNECT"),
            get(b"a.example:443", method=b"CONNECT"),
        ):
            reply = await scene.asks(request)
            assert reply.status == 405, request
        assert scene.peer.lines == []


@async_test()
async def test_A10_empty_lines_before_a_request_are_skipped_but_not_without_end() -> None:
    async with stage(Peer(says(OK)), timeouts={"t_header": 0.5}) as scene:
        assert (await scene.asks(b"\r\n\r\n" + get())).status == 200
        client = await scene.client()
        await client.says(b"\r\n" * 100_000, tolerant=True)
        await client.end()


@async_test()
async def test_A12_A13_a_parse_error_answer_holds_no_byte_of_the_request_and_costs_one_log_line() -> None:
    async with stage() as scene:
        reply = await refused(
            scene, get(b"/test/v1/models", b"Authorization: Bearer sk-test-marker\x01", b"X: sk-test-marker"), 400
        )
        assert b"marker" not in reply.head.raw + reply.body
        assert reply.get(b"x-request-id")
        assert reply.json()["error"]["message"]
        await until(lambda: scene.log())
        assert len(scene.log()) == 1
        assert "marker" not in scene.access_log.read_text()


@async_test()
async def test_B20_case10_twenty_pipelined_requests_are_answered_in_order() -> None:
    async def echo(heard: object) -> None:
        await heard.say(answer(b"200 OK", heard.target))  # type: ignore[attr-defined]

    async with stage(Peer(echo)) as scene:
        client = await scene.client()
        await client.says(b"".join(get(b"/test/n/%d" % number) for number in range(20)))
        for number in range(20):
            reply = await client.hears()
            assert (reply.status, reply.body) == (200, b"/n/%d" % number)


@pytest.mark.slow
@async_test(patience=60)
async def test_B20_F11_case10_ten_thousand_pipelined_requests_are_answered_or_the_connection_closed() -> None:
    async with stage(Peer(says(answer(b"200 OK", b"x")), keep=False)) as scene:
        client = await scene.client()
        sending = asyncio.ensure_future(client.says(get() * 10_000, tolerant=True))
        answered = 0
        try:
            while answered < 10_000:
                assert (await client.hears()).status == 200
                answered += 1
        except SilenceError:
            pass
        assert answered == 10_000 or client.ended
        await asyncio.wait([sending], timeout=1)
        client.leaves()
        await asyncio.gather(sending, return_exceptions=True)


@async_test()
async def test_B20_a_client_that_pipelines_and_does_not_read_is_not_read_without_bound() -> None:
    async with stage() as scene:
        client = await scene.client()
        sending = asyncio.ensure_future(client.says(get() * 200_000, tolerant=True))
        await scene.peer.hears()
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done, "14 MB of pipelined requests were read although the first is not answered"
        assert len(scene.peer.requests) == 1
        client.leaves()
        await asyncio.gather(sending, return_exceptions=True)


@async_test()
async def test_A11_B20_case11_a_request_behind_a_malformed_one_is_never_run() -> None:
    async with stage(Peer(says(OK))) as scene:
        client = await scene.client()
        await client.says(get() + b"GET /test/bad HTTP/1.1\r\nHost : x\r\n\r\n" + get(b"/test/v1/after"), tolerant=True)
        assert (await client.hears()).status == 200
        assert (await client.hears()).status == 400
        assert await client.end() in ("fin", "rst")
        assert [heard.target for heard in scene.peer.requests] == [b"/v1/models"]


@pytest.mark.slow
def test_A01_case12_the_pure_python_parser_is_refused_at_start() -> None:
    environment = {**os.environ, **CREDENTIALS, "AIOHTTP_NO_EXTENSIONS": "1"}
    line = [sys.executable, "-m", "proxy", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--open"]
    run = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert run.returncode != 0
    assert "pars" in run.stderr.lower()
    assert "Traceback" not in run.stderr


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


@pytest.mark.parametrize("how", ["fin", "rst"])
@async_test()
async def test_B11_case15_an_upload_that_is_cut_never_gets_a_final_chunk(how: str) -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(HEAD + CHUNKED + b"\r\n", b"5\r\nfirst\r\n")
        heard = await scene.peer.hears_head()
        await until(lambda: heard.body == b"first")
        if how == "fin":
            client.leaves()
        else:
            client.vanishes()
        assert not await heard.whole()
        assert b"0\r\n\r\n" not in bytes(heard.line.raw)
        await scene.calms_down()
        assert scene.count("upstream_idle") == 0


@async_test()
async def test_B11_a_cut_upload_with_a_length_is_never_filled_up() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(HEAD + b"Content-Length: 10\r\n\r\n", b"first")
        heard = await scene.peer.hears_head()
        client.leaves()
        assert not await heard.whole()
        assert heard.body in (b"", b"first")


@async_test()
async def test_B06_chunk_extensions_are_accepted_limited_and_never_forwarded() -> None:
    async with stage(Peer(says(OK))) as scene:
        reply = await scene.asks(HEAD + CHUNKED + b'\r\n2;name="value";x\r\n{}\r\n0;last\r\n\r\n')
        heard = await scene.peer.hears()
        assert (reply.status, heard.body, heard.stream.extensions) == (200, b"{}", [])
        client = await scene.client()
        await client.says(HEAD + CHUNKED + b"\r\n2;" + b"x" * 200_000 + b"\r\n{}\r\n0\r\n\r\n", tolerant=True)
        assert await client.end() in ("fin", "rst")
        assert not any(heard.complete for heard in scene.peer.requests[1:])


@async_test()
async def test_B07_request_trailers_are_dropped() -> None:
    async with stage(Peer(says(OK))) as scene:
        reply = await scene.asks(HEAD + b"Trailer: X-Sum\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n")
        heard = await scene.peer.hears()
        assert (reply.status, heard.body, heard.stream.trailers) == (200, b"{}", [])
        assert heard.all(b"trailer") + heard.all(b"x-sum") == []


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding", b"Host", b"Authorization", b"ModelName", b"x-api-key"])
@async_test()
async def test_B07_framing_routing_and_credentials_in_a_trailer_are_refused(name: bytes) -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(HEAD + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n" + name + b": 1\r\n\r\n", tolerant=True)
        try:
            assert (await client.hears()).status == 400
        except SilenceError:
            assert scene.peer.requests
        await scene.calms_down()
        assert not any(heard.complete for heard in scene.peer.requests)


@async_test()
async def test_B07_trailers_count_against_the_header_limits() -> None:
    async with stage(limits={"header_section": 8192}) as scene:
        client = await scene.client()
        trailers = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 100) for number in range(1000))
        await client.says(HEAD + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n", tolerant=True)
        assert await client.end() in ("fin", "rst")
        await scene.calms_down()
        assert not any(heard.complete for heard in scene.peer.requests)


@async_test()
async def test_B08_B09_a_known_length_goes_upstream_as_the_same_length() -> None:
    async with stage(Peer(says(OK))) as scene:
        body = b"x" * 300_000
        assert (await scene.asks(post(body))).status == 200
        heard = await scene.peer.hears()
        assert (heard.all(b"content-length"), heard.all(b"transfer-encoding"), heard.body) == ([b"300000"], [], body)
        leading = HEAD + b"Content-Length: 0002\r\n\r\n{}"
        assert (await scene.asks(leading)).status in (200, 400)
        for heard in scene.peer.requests[1:]:
            assert heard.body == b"{}"


@async_test()
async def test_B10_a_request_without_a_body_gets_a_length_only_where_the_method_expects_one() -> None:
    async with stage(Peer(says(answer()))) as scene:
        for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST", b"PUT", b"PATCH"):
            assert (await scene.asks(get(b"/test/native", method=method))).status == 200, method
            heard = await scene.peer.hears()
            expected = [b"0"] if method in (b"POST", b"PUT", b"PATCH") else []
            assert (heard.method, heard.all(b"content-length"), heard.all(b"transfer-encoding")) == (method, expected, [])


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


def test_the_request_head_of_the_tests_is_itself_well_formed() -> None:
    head = take_head(bytearray(HEAD + b"\r\n"))
    assert head is not None
    assert request_line(head) == (b"POST", CHAT, b"1.1")
