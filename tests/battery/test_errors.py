"""Battery E: failures of the upstream and how the client learns of them; every row of the I-table."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.chaos import OK, Fin, Heard, Peer, Reset, Say, Sleep, Until, answer, black_hole, chunk, closed_port, play, says
from tests.harness.client import Answer
from tests.harness.gateway import rule_file, stage
from tests.harness.runner import async_test, until
from tests.harness.words import CHAT, GENERATE, HEAD, MESSAGES, RESPONSES, get, post, stream

SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"n":1}\n\n'

BEFORE_THE_END_OF_THE_HEAD = {
    "at once": b"",
    "in the status line": b"HTTP/1.1 20",
    "after the status line": b"HTTP/1.1 200 OK\r\n",
    "in the fields": b"HTTP/1.1 200 OK\r\nContent-Ty",
}
AFTER_IT = {
    "after the head": JSON_HEAD,
    "in a chunk size": JSON_HEAD + b"1",
    "in a chunk": JSON_HEAD + b'9\r\n{"a"',
    "between chunks": JSON_HEAD + chunk(b'{"a":1'),
    "before the last chunk": JSON_HEAD + chunk(b'{"a":1}'),
    "in the last chunk": JSON_HEAD + chunk(b'{"a":1}') + b"0\r\n",
}


@pytest.mark.parametrize("end", [Fin(), Reset()], ids=["FIN", "RST"])
@pytest.mark.parametrize("place", BEFORE_THE_END_OF_THE_HEAD)
@async_test()
async def test_I02_I04_case45_a_cut_before_the_end_of_the_head_is_a_whole_502(place: str, end: Fin | Reset) -> None:
    async with stage(Peer(play(Say(BEFORE_THE_END_OF_THE_HEAD[place]), end))) as scene:
        reply = await scene.asks(post())
        assert (reply.status, reply.complete) == (502, True)
        assert reply.error in ("connection_terminated", "http_response_incomplete")
        assert reply.json()["error"]["message"]
        assert len(scene.peer.requests) == 1


@pytest.mark.parametrize("end", [Fin(), Reset()], ids=["FIN", "RST"])
@pytest.mark.parametrize("place", AFTER_IT)
@async_test()
async def test_I04_I05_case45_a_cut_after_the_head_never_looks_whole(place: str, end: Fin | Reset) -> None:
    async with stage(Peer(play(Say(AFTER_IT[place]), end))) as scene:
        client = await scene.client()
        await client.says(post())
        reply = await client.hears()
        assert reply.status == 200
        assert not reply.complete
        assert reply.ended in ("fin", "rst")
        assert b"error" not in reply.body
        assert b"HTTP/1.1" not in reply.body
        await scene.calms_down()
        assert scene.count("upstream_idle") == 0
        await until(lambda: scene.metric("dragoman_exchanges_total", outcome="truncated") == 1)


@pytest.mark.parametrize("end", [Fin(), Reset()], ids=["FIN", "RST"])
@async_test()
async def test_I05_B18_case46_a_body_cut_short_of_its_length_is_read_short_and_closed(end: Fin | Reset) -> None:
    async with stage(Peer(play(Say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40), end))) as scene:
        client = await scene.client()
        await client.says(get())
        reply = await client.hears()
        assert (reply.status, len(reply.body), reply.complete) == (200, 40, False)
        assert reply.get(b"content-length") == b"100"
        await client.says(get(), tolerant=True)
        assert await client.end() in ("fin", "rst")
        assert client.buffer == b""


@async_test()
async def test_I06_case47_a_close_delimited_answer_that_fails_ends_with_a_reset() -> None:
    heard = asyncio.Event()
    async with stage(Peer(play(Say(b"HTTP/1.1 200 OK\r\n\r\npartial"), Until(heard), Reset()))) as scene:
        client = await scene.client()
        await client.says(b"GET /test/v1/models HTTP/1.0\r\n\r\n")
        reply = await client.hears_head()
        await client.hears_more(reply, b"partial")
        heard.set()
        await client.hears_rest(reply)
        assert (reply.status, reply.body, reply.ended) == (200, b"partial", "rst")


@async_test()
async def test_I06_a_chunked_answer_to_a_1_0_client_that_is_cut_ends_with_a_reset() -> None:
    async with stage(Peer(play(Say(JSON_HEAD + chunk(b"partial")), Sleep(0.05), Fin()))) as scene:
        client = await scene.client()
        await client.says(b"GET /test/v1/models HTTP/1.0\r\n\r\n")
        reply = await client.hears()
        assert reply.all(b"transfer-encoding") == []
        assert (reply.status, reply.body, reply.ended) == (200, b"partial", "rst")


@async_test()
async def test_I06_a_whole_answer_to_a_1_0_client_ends_with_fin() -> None:
    for raw in (JSON_HEAD + chunk(b"whole") + chunk(b""), answer(b"200 OK", b"whole")):
        async with stage(Peer(says(raw))) as scene:
            client = await scene.client()
            await client.says(b"GET /test/v1/models HTTP/1.0\r\n\r\n")
            reply = await client.hears()
            assert reply.all(b"transfer-encoding") == []
            assert (reply.status, reply.body) == (200, b"whole")
            assert await client.end() == "fin"


@async_test()
async def test_I06_a_close_delimited_answer_reaches_a_1_1_client_with_real_framing() -> None:
    async with stage(Peer(play(Say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole"), Sleep(0.02), Fin()))) as scene:
        reply = await scene.asks(get())
        assert (reply.body, reply.complete, reply.get(b"transfer-encoding")) == (b"whole", True, b"chunked")


@async_test()
async def test_I08_a_close_delimited_answer_that_is_reset_never_looks_whole() -> None:
    heard = asyncio.Event()
    async with stage(Peer(play(Say(b"HTTP/1.1 200 OK\r\n\r\npartial"), Until(heard), Reset()))) as scene:
        client = await scene.client()
        await client.says(get())
        reply = await client.hears_head()
        await client.hears_more(reply, b"partial")
        heard.set()
        await client.hears_rest(reply)
        assert (reply.body, reply.complete) == (b"partial", False)


@async_test()
async def test_I08_a_tls_close_without_close_notify_is_a_truncation(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    for polite in (True, False):

        async def speak(heard: Heard, polite: bool = polite) -> None:
            await heard.say(b"HTTP/1.1 200 OK\r\n\r\nbody")
            await asyncio.sleep(0.05)
            if polite:
                await heard.line.wire.say_goodbye()  # type: ignore[attr-defined]
            heard.line.fin()

        async with Peer(speak, tls=authority.server("localhost")) as peer:
            rules = {"test": rule_file(f"https://localhost:{peer.port}")}
            async with stage(Peer(), rules=rules, ca_file=authority.file) as scene:
                reply = await scene.asks(get())
                assert (reply.body, reply.complete) == (b"body", polite)


DIALECTS = [
    (CHAT, b'data: {"error":'),
    (MESSAGES, b'event: error\ndata: {"type":"error","error":{'),
    (RESPONSES, b"event: error\ndata: {"),
]


@pytest.mark.parametrize("end", [Fin(), Reset()], ids=["FIN", "RST"])
@pytest.mark.parametrize(("path", "start"), DIALECTS, ids=["chat", "messages", "responses"])
@async_test()
async def test_I07_case48_a_stream_cut_between_events_ends_with_an_error_event_and_broken_framing(
    path: bytes, start: bytes, end: Fin | Reset
) -> None:
    heard = asyncio.Event()
    async with stage(Peer(play(Say(SSE_HEAD + chunk(EVENT)), Until(heard), end))) as scene:
        client = await scene.client()
        await client.says(stream(path=path))
        reply = await client.hears_head()
        await client.hears_more(reply, EVENT)
        heard.set()
        await client.hears_rest(reply)
        assert not reply.complete
        assert reply.body.startswith(EVENT)
        event = reply.body.removeprefix(EVENT)
        assert event.replace(b": ", b":").replace(b", ", b",").startswith(start.replace(b": ", b":"))
        assert event.endswith(b"\n\n")
        assert event.count(b"\n\n") == 1
        payload = json.loads(event.partition(b"data:")[2])
        assert "message" in json.dumps(payload)


@async_test()
async def test_I07_case48_no_error_event_where_the_dialect_has_none() -> None:
    async with stage(Peer(play(Say(SSE_HEAD + chunk(EVENT)), Sleep(0.02), Fin()))) as scene:
        client = await scene.client()
        await client.says(stream(path=GENERATE))
        reply = await client.hears()
        assert (reply.body, reply.complete) == (EVENT, False)


@async_test()
async def test_I07_a_stream_cut_in_the_middle_of_an_event_gets_no_event_glued_to_it() -> None:
    half = b'data: {"n":'
    for path in (CHAT, MESSAGES, RESPONSES):
        async with stage(Peer(play(Say(SSE_HEAD + chunk(EVENT + half)), Sleep(0.02), Fin()))) as scene:
            client = await scene.client()
            await client.says(stream(path=path))
            reply = await client.hears()
            assert not reply.complete
            rest = reply.body.removeprefix(EVENT + half)
            assert rest == b"" or rest.startswith(b"\n\n")


@async_test()
async def test_I07_an_event_stream_with_a_length_gets_no_event_beyond_it() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n"
    async with stage(Peer(play(Say(head + EVENT), Sleep(0.02), Fin()))) as scene:
        client = await scene.client()
        await client.says(stream())
        reply = await client.hears()
        assert not reply.complete
        assert reply.body.startswith(EVENT)


@async_test()
async def test_I07_case48_the_openai_sdk_raises_its_api_error() -> None:
    openai = pytest.importorskip("openai", reason="the openai SDK is not installed")
    body = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m1","choices":[]}\n\n'
    async with stage(Peer(play(Say(SSE_HEAD + chunk(body)), Sleep(0.02), Fin()))) as scene:
        host, port = scene.address
        async with openai.AsyncOpenAI(base_url=f"http://{host}:{port}/test/v1", api_key="sk-test-x", max_retries=0) as sdk:
            answers = await sdk.chat.completions.create(model="m1", messages=[{"role": "user", "content": "x"}], stream=True)
            with pytest.raises(openai.APIError):
                [event async for event in answers]


@async_test()
async def test_I07_case48_the_anthropic_sdk_raises_its_api_error() -> None:
    anthropic = pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")
    start = {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m1", "content": []}}
    start["message"] |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}  # type: ignore[operator]
    body = b"event: message_start\ndata: " + json.dumps(start).encode() + b"\n\n"
    async with stage(Peer(play(Say(SSE_HEAD + chunk(body)), Sleep(0.02), Fin()))) as scene:
        host, port = scene.address
        async with anthropic.AsyncAnthropic(base_url=f"http://{host}:{port}/test", api_key="sk-test-x", max_retries=0) as sdk:
            answers = await sdk.messages.create(model="m1", max_tokens=5, messages=[{"role": "user", "content": "x"}], stream=True)
            with pytest.raises(anthropic.APIError):
                [event async for event in answers]


SECRETS_OF_THE_HOUSE = (b"127.0.0.1", b"Traceback", b"/proxy/", b".py", b"sk-test", b"localhost")


def check_local(reply: Answer, status: int, *errors: str) -> None:
    """A local answer in the chat dialect with this status and one of these error types, and nothing of the house in it."""
    assert reply.complete
    assert reply.status == status
    assert reply.error in errors
    error = reply.json()["error"]
    assert set(error) >= {"message", "type", "code"}
    assert error["message"]
    assert [mark for mark in SECRETS_OF_THE_HOUSE if mark in reply.body + reply.head.raw] == []


@async_test()
async def test_I01_I02_case49_refusals_of_requests() -> None:
    async with stage(limits={"body": 10, "request_line": 8192, "header_field": 16384}) as scene:
        check_local(await scene.asks(get(b"/test/..")), 400, "http_request_error")
        check_local(await scene.asks(get(b"/test/" + b"x" * 9000)), 414, "http_request_error")
        check_local(await scene.asks(get(b"/test/x", b"X: " + b"y" * 17000)), 431, "http_request_error")
        check_local(await scene.asks(b"GET /test/x HTTP/2.0\r\nHost: gateway\r\n\r\n"), 505, "http_request_error")
        check_local(await scene.asks(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"), 501, "http_request_error")
        check_local(await scene.asks(get(b"/nowhere")), 404, "destination_not_found")
        check_local(await scene.asks(get(b"/v1/chat/completions", b"ModelName: m1")), 405, "destination_not_found")
        check_local(await scene.asks(post(b"x" * 11)), 413, "http_request_error")
        check_local(await scene.asks(get(b"/test/x", b"Via: 1.1 dragoman")), 508, "proxy_loop_detected")
        assert scene.peer.lines == []
    async with stage(timeouts={"t_header": 0.3}) as scene:
        check_local(await scene.asks(b"GET /test/x HTTP/1.1\r\nHost: ga"), 408, "http_request_error")
        assert scene.peer.lines == []


@async_test()
async def test_I01_I02_case49_refusals_of_credentials() -> None:
    async with stage(open=False, licences=("sha256:" + "0" * 64,)) as scene:
        missing = await scene.asks(get())
        check_local(missing, 401, "http_request_denied")
        assert missing.get(b"www-authenticate")
        check_local(await scene.asks(get(b"/test/v1/models", b"Authorization: Bearer wrong")), 403, "http_request_denied")
        assert scene.peer.lines == []


@async_test()
async def test_I01_I02_case49_failures_of_the_upstream() -> None:
    down = rule_file(f"http://127.0.0.1:{closed_port()}")
    async with stage(rules={"test": down}) as scene:
        check_local(await scene.asks(post()), 502, "connection_refused")
    for script, status, error in (
        (play(Fin()), 502, "connection_terminated"),
        (says(b"nonsense\r\n\r\n"), 502, "http_protocol_error"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\n"), 502, "http_response_transfer_coding"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), 502, "http_response_header_section_size"),
        (play(), 504, "http_response_timeout"),
    ):
        async with stage(Peer(script), timeouts={"t_first_byte": 0.3 if status == 504 else 30.0}) as scene:
            check_local(await scene.asks(post()), status, error)
            await until(lambda scene=scene: scene.log())
            assert error in scene.access_log.read_text()  # I09


@async_test()
async def test_I09_the_error_type_stands_in_metric_and_log() -> None:
    async with stage(Peer(play(Fin()))) as scene:
        await scene.asks(post())
        await until(lambda: scene.log())
        assert "connection_terminated" in json.dumps(scene.log())
        assert b"connection_terminated" in scene.gateway.metrics.exposition()


@async_test()
async def test_I01_case49_every_dialect_gets_its_own_error_body() -> None:
    async with stage(Peer(play(Fin()))) as scene:
        chat = (await scene.asks(post())).json()
        assert set(chat["error"]) >= {"message", "type", "code", "param"}
        messages = (await scene.asks(post(path=MESSAGES))).json()
        assert messages["type"] == "error"
        assert set(messages["error"]) >= {"type", "message"}
        generate = (await scene.asks(post(path=GENERATE))).json()
        assert generate["error"]["code"] == 502
        assert set(generate["error"]) >= {"message", "status"}
        assert (await scene.asks(post(path=RESPONSES))).json()["error"]["message"]


@async_test()
async def test_I03_upstream_errors_pass_untouched() -> None:
    for status in (
        b"400 Bad Request",
        b"401 Unauthorized",
        b"404 Not Found",
        b"418 Teapot",
        b"500 Oops",
        b"503 Busy",
        b"529 Overloaded",
    ):
        raw = answer(
            status, b'{"theirs": 1.0}', b"Content-Type: application/problem+json", b"Retry-After: 3", b"WWW-Authenticate: Bearer"
        )
        async with stage(Peer(says(raw))) as scene:
            reply = await scene.asks(post())
            assert (b"%d %s" % (reply.status, reply.reason), reply.body, reply.local) == (status, b'{"theirs": 1.0}', False)
            assert (reply.get(b"retry-after"), reply.get(b"www-authenticate")) == (b"3", b"Bearer")


@async_test()
async def test_case50_a_refused_connect_is_502_and_an_unknown_name_too() -> None:
    class Unknown:
        async def resolve(self, host: str, port: int) -> list[object]:
            raise OSError(-2, "Name or service not known")

    async with stage(rules={"test": rule_file("http://nowhere.invalid:1")}, resolver=Unknown()) as scene:
        check_local(await scene.asks(post()), 502, "dns_error")


@async_test()
async def test_case50_a_name_that_never_resolves_is_504() -> None:
    class Hangs:
        async def resolve(self, host: str, port: int) -> list[object]:
            await asyncio.sleep(60)
            return []

    async with stage(rules={"test": rule_file("http://slow.invalid:1")}, resolver=Hangs(), timeouts={"t_dns": 0.3}) as scene:
        check_local(await scene.asks(post()), 504, "dns_timeout")


@async_test()
async def test_case50_a_black_holed_connect_is_504_at_t_connect() -> None:
    with black_hole() as port:
        async with stage(rules={"test": rule_file(f"http://127.0.0.1:{port}")}, timeouts={"t_connect": 0.6}) as scene:
            started = time.monotonic()
            check_local(await scene.asks(post()), 504, "connection_timeout")
            assert 0.5 <= time.monotonic() - started <= 4.5


@pytest.mark.parametrize("flaw", ["self-signed", "wrong name", "expired", "unknown authority"])
@async_test()
async def test_K12_case50_a_bad_certificate_is_502_and_no_request_is_sent(flaw: str, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    context = {
        "self-signed": lambda: authority.server("localhost", self_signed=True),
        "wrong name": lambda: authority.server("elsewhere.example"),
        "expired": lambda: authority.server("localhost", expired=True),
        "unknown authority": lambda: authority.server("localhost"),
    }[flaw]()
    async with Peer(says(OK), tls=context) as peer:
        rules = {"test": rule_file(f"https://localhost:{peer.port}")}
        trusted = {} if flaw == "unknown authority" else {"ca_file": authority.file}
        async with stage(rules=rules, **trusted) as scene:
            check_local(await scene.asks(post()), 502, "tls_certificate_error")
            assert peer.requests == []


@async_test()
async def test_K12_a_good_certificate_is_accepted_for_the_rules_own_name(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    peer = Peer(says(OK), tls=authority.server("localhost"))
    async with stage(peer, rules={"test": rule_file(f"https://localhost:{peer.port}")}, ca_file=authority.file) as scene:
        for _ in range(2):
            assert (await scene.asks(post())).status == 200
            assert (await peer.hears()).get(b"host") == b"localhost:%d" % peer.port
        assert len(peer.lines) == 1


@async_test()
async def test_K12_insecure_is_per_rule(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    async with Peer(says(OK), tls=authority.server("localhost", self_signed=True)) as peer:
        url = f"https://localhost:{peer.port}"
        async with stage(
            rules={"test": rule_file(url, extra="insecure: true\n"), "strict": rule_file(url, "strict", models="s1")}
        ) as scene:
            assert (await scene.asks(post())).status == 200
            assert (await scene.asks(post(path=b"/strict/v1/chat/completions", model=b"s1"))).status == 502


@async_test()
async def test_I10_a_client_that_left_is_logged_as_499_and_raises_nothing() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(post())
        await scene.peer.hears()
        client.leaves()
        await scene.calms_down()
        await until(lambda: scene.log())
        (line,) = scene.log()
        assert line["status"] == 499
        assert "client_closed" in json.dumps(line)
        assert scene.metric("dragoman_exchanges_total", outcome="client_closed") == 1


@async_test()
async def test_I07_J04_a_stream_that_falls_silent_ends_with_an_error_event() -> None:
    async with stage(Peer(play(Say(SSE_HEAD + chunk(EVENT)))), timeouts={"t_between_bytes": 0.3}) as scene:
        client = await scene.client()
        await client.says(stream())
        reply = await client.hears()
        assert not reply.complete
        assert reply.body.removeprefix(EVENT).startswith(b"data:")
        assert await scene.peer.lines[0].gone()
