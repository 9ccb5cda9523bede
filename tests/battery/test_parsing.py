"""Battery P, rules A and B20: what is a request at all. Framing and the mutations of case 16 have their own files."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.battery.refusals import refused
from tests.harness.chaos import OK, Peer, answer, says
from tests.harness.client import SilenceError
from tests.harness.gateway import CREDENTIALS, stage
from tests.harness.grammar import request_line, take_head
from tests.harness.runner import async_test, until
from tests.harness.words import CHAT, HEAD, get


@async_test()
async def test_A03_A11_a_stray_carriage_return_before_the_request_line_ends_the_connection() -> None:
    async with stage(Peer(says(OK))) as scene:
        for stray in (b"\r", b"\r\r\n", b"\n", b"\r\n\r"):
            client = await scene.client()
            await client.says(stray + get(b"/test/one") + get(b"/test/two"), tolerant=True)
            assert (await client.hears()).status == 400, stray
            assert await client.end() in ("fin", "rst")
        assert scene.peer.requests == []


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


def test_the_request_head_of_the_tests_is_itself_well_formed() -> None:
    head = take_head(bytearray(HEAD + b"\r\n"))
    assert head is not None
    assert request_line(head) == (b"POST", CHAT, b"1.1")
