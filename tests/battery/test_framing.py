"""Battery P, rules B01 to B11: where a request's body ends, and how it is framed on its way up."""

import pytest

from tests.battery.refusals import refused
from tests.harness.chaos import OK, Peer, answer, says
from tests.harness.client import PATIENCE, Client, SilenceError
from tests.harness.gateway import stage
from tests.harness.runner import async_test, turns, until
from tests.harness.words import CHUNKED, HEAD, get, post

GOOD_CHUNKS, BAD_CHUNKS = b"2\r\n{}\r\n0\r\n\r\n", b"x\r\n{}\r\n"


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
        client.leaves()
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
            statuses.append((await client.hears(within=0.3 if statuses else PATIENCE)).status)
        except (SilenceError, TimeoutError):
            client.leaves()
            return statuses


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
        client.leaves()
        await scene.calms_down()
        assert not any(heard.complete for heard in scene.peer.requests)


@async_test()
async def test_B07_trailers_count_against_the_header_limits() -> None:
    async with stage(limits={"header_section": 8192}) as scene:
        client = await scene.client()
        trailers = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 100) for number in range(1000))
        await client.says(HEAD + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n", tolerant=True)
        assert await client.end() in ("fin", "rst")
        client.leaves()
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
