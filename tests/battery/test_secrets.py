"""Battery K: credentials and logs."""

import ast
import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from proxy.server import StartError
from tests.harness.chaos import OK, Fin, Peer, Say, answer, closed_port, play, says
from tests.harness.gateway import SECRET, rule_file, serve, stage
from tests.harness.runner import async_test, turns, until
from tests.harness.words import CHAT, HEAD, MESSAGES, get, post, stream

MARK = b"MARKER5a1f"
UPSTREAM_MARK = "sk-test-UPSTREAMMARKER77"
CARRIERS = [
    b"Authorization: Bearer " + MARK,
    b"x-api-key: " + MARK,
    b"x-goog-api-key: " + MARK,
    b"api-key: " + MARK,
    b"Cookie: session=" + MARK,
    b"Proxy-Authorization: Basic " + MARK,
    b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key." + MARK,
    b"X-Request-Id: " + MARK + b" not valid",
]


def error_corpus() -> list[bytes]:
    """Requests that fail in every way a client can make them fail, with the mark wherever a credential may stand."""
    query = b"?key=" + MARK + b"&api_key=" + MARK + b"&X-Amz-Signature=" + MARK
    corpus = [get(b"/test/v1/models" + query, line) for line in CARRIERS]
    corpus += [get(path + query, *CARRIERS) for path in (b"/nowhere", b"/test/%zz", b"/test/..", CHAT)]
    corpus += [get(b"/test/v1/models", line + b"\x01") for line in CARRIERS]
    corpus += [get(b"/test/v1/models", line + b"x" * 20_000) for line in CARRIERS]
    corpus += [
        get(b"http://user:" + MARK + b"@gateway/test/v1/models"),
        b"GET /test/v1/models HTTP/1.1\r\nHost: user:" + MARK + b"@gateway\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\nAuthorization: " + MARK + b"\r\n\r\n",
        HEAD + b"Authorization : " + MARK + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + MARK + b"\r\n",
        HEAD + b"Expect: " + MARK + b"\r\n\r\n",
        b"BREW" + MARK + b" / HTTP/1.1\r\n\r\n",
        post(b'{"model":"' + MARK + b'"}', path=b"/v1/chat/completions", model=MARK),
        post(b'{"model":"' + MARK, *CARRIERS, path=b"/v1/chat/completions"),
        post(b"{}", b"Authorization: Bearer " + MARK, path=MESSAGES),
        b"GET /test/v1/models" + query + b" HTTP/1.1\r\nHost: gateway\r\nX: " + MARK,
    ]
    return corpus


@pytest.mark.parametrize("upstream", ["fine", "down", "cut", "junk", "cut stream"])
@async_test(loops=False, patience=60)
async def test_N01_N04_N08_N10_case74_no_credential_shows_in_any_log_metric_answer_or_admin_page(upstream: str) -> None:
    scripts = {
        "fine": says(OK),
        "cut": play(Fin()),
        "junk": play(Say(b"junk " + MARK + b"\r\n\r\n"), Fin()),
        "cut stream": play(Say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n"), Fin()),
    }
    async with Peer(scripts.get(upstream)) as peer:
        url = f"http://127.0.0.1:{closed_port()}" if upstream == "down" else peer.url
        async with serve(url, "--log-level", "debug", settings=quick_file(), environ={"TEST_KEY": UPSTREAM_MARK}) as served:

            async def all_it_says_to(request: bytes) -> bytes:
                client = await served.client()
                await client.says(request, tolerant=True)
                await client.end()
                client.leaves()
                return bytes(client.buffer)

            seen = b"".join(await asyncio.gather(*map(all_it_says_to, [*error_corpus(), stream(*CARRIERS)])))
            for page in ("/", "/metrics", "/healthz", "/readyz", "/config"):
                seen += (await served.admin(page)).body
            await until(lambda: (served.directory / "access.log").exists())
            seen += Path(f"/proc/{served.process.pid}/cmdline").read_bytes()
            served.process.terminate()
            assert await served.exit(10) == 0
            seen += served.log().encode() + (served.directory / "access.log").read_bytes()
            assert MARK not in seen, around(seen, MARK)
            assert UPSTREAM_MARK.encode() not in seen, around(seen, UPSTREAM_MARK.encode())
            assert b"Traceback" not in seen, around(seen, b"Traceback")
            assert all(MARK not in value for heard in peer.requests for value in heard.all(b"authorization"))


def quick_file() -> dict[str, object]:
    """A configuration file whose keep-alive and header times are short, so that every connection ends soon."""
    return {"timeouts": {"t_header": "300ms", "t_keepalive": "200ms", "pre_drain": 0, "t_drain": "1s"}}


def around(text: bytes, mark: bytes) -> bytes:
    place = text.find(mark)
    return text[max(0, place - 300) : place + 100]


@async_test()
async def test_N02_N03_case75_credentials_go_to_no_peer_but_the_one_they_belong_to() -> None:
    async with Peer(says(OK)) as one, Peer(says(OK)) as two:
        rules = {
            "test": rule_file(one.url),
            "two": rule_file(two.url, "two", models="t1"),
        }
        async with stage(rules=rules, environ={"TWO_KEY": "sk-test-two"}) as scene:
            for path, model in ((b"/test", b"m1"), (b"/two", b"t1")):
                assert (
                    await scene.asks(post(b"{}", *CARRIERS[:6], path=path + b"/v1/chat/completions", model=model))
                ).status == 200
            (first,), (second,) = one.requests, two.requests
            assert MARK not in bytes(first.line.raw) + bytes(second.line.raw)
            assert (first.get(b"authorization"), second.get(b"authorization")) == (
                f"Bearer {SECRET}".encode(),
                b"Bearer sk-test-two",
            )
            assert b"sk-test-two" not in bytes(first.line.raw)
            assert SECRET.encode() not in bytes(second.line.raw)


@async_test()
async def test_N02_the_licence_in_any_position_goes_to_no_provider() -> None:
    licence = b"lic-" + MARK
    digest = "sha256:" + hashlib.sha256(licence).hexdigest()
    async with stage(Peer(says(OK)), open=False, licences=(digest,)) as scene:
        for line in (
            b"Authorization: Bearer " + licence,
            b"Authorization: " + licence,
            b"x-api-key: " + licence,
            b"x-goog-api-key: " + licence,
        ):
            assert (await scene.asks(get(b"/test/v1/models", line))).status == 200, line
        assert (await scene.asks(get(b"/test/v1/models?key=" + licence + b"&a=b"))).status == 200
        for heard in scene.peer.requests:
            assert MARK not in bytes(heard.line.raw)


@async_test()
async def test_N02_passthrough_sends_the_clients_own_key_only_where_the_rule_says_so() -> None:
    async with Peer(says(OK)) as own, Peer(says(OK)) as ours:
        rules = {
            "test": rule_file(ours.url),
            "own": rule_file(own.url, "own", models="o1").replace('auth: {bearer: "${secret.OWN_KEY}"}', "auth: pass"),
        }
        async with stage(rules=rules) as scene:
            await scene.asks(get(b"/own/v1/models", b"Authorization: Bearer sk-test-mine"))
            await scene.asks(get(b"/test/v1/models", b"Authorization: Bearer sk-test-mine"))
            assert (await own.hears()).get(b"authorization") == b"Bearer sk-test-mine"
            assert b"sk-test-mine" not in bytes((await ours.hears()).line.raw)


@async_test()
async def test_N04_the_log_holds_the_path_without_its_query() -> None:
    async with stage(Peer(says(OK))) as scene:
        await scene.asks(get(b"/test/v1/models?key=" + MARK + b"&plain=word"))
        await until(lambda: scene.log())
        text = scene.access_log.read_text()
        assert "/v1/models" in text
        assert "plain=word" not in text
        assert "?" not in scene.log()[0]["path"]


@async_test()
async def test_N05_an_empty_secret_is_an_error_and_a_trailing_newline_is_stripped(tmp_path: Path) -> None:
    (tmp_path / "MOUNTED_KEY").write_text("sk-test-from-directory\n")
    async with Peer(says(OK)) as peer:
        rules = {"test": rule_file(peer.url).replace("TEST_KEY", "MOUNTED_KEY")}
        async with stage(rules=rules, secrets_dir=tmp_path) as scene:
            await scene.asks(get())
            assert (await peer.hears()).get(b"authorization") == b"Bearer sk-test-from-directory"
    with pytest.raises(StartError, match="TEST_KEY"):
        async with stage(environ={"TEST_KEY": ""}):
            pass


@async_test()
async def test_N05_a_secret_may_come_from_a_file_named_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-test-from-file\n")
    async with Peer(says(OK)) as peer:
        rules = {"test": rule_file(peer.url).replace("TEST_KEY", "FILED_KEY")}
        async with stage(rules=rules, environ={"FILED_KEY_FILE": str(tmp_path / "key")}) as scene:
            assert (await scene.asks(get())).status == 200
            assert (await peer.hears()).get(b"authorization") == b"Bearer sk-test-from-file"


@async_test()
async def test_N06_wrong_licences_are_refused_and_limited_per_peer() -> None:
    async with stage(open=False, licences=("sha256:" + "0" * 64,)) as scene:
        statuses = [(await scene.asks(get(b"/test/v1/models", b"Authorization: Bearer wrong"))).status for _ in range(60)]
        assert statuses[0] == 403
        assert statuses[-1] == 429
        assert set(statuses) == {403, 429}
        assert scene.peer.lines == []


def test_N06_licences_are_compared_in_constant_time() -> None:
    source = Path("proxy/routing/gate.py")
    calls = {
        node.attr
        for node in ast.walk(ast.parse((Path(__file__).parents[2] / source).read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert "compare_digest" in calls


@async_test()
async def test_N07_case76_hostile_text_stays_one_escaped_json_line_per_request() -> None:
    nasty = [
        get(b"/test/%1b%5B31mred"),
        get(b"/test/" + b"%E2%80%AEbidi"),
        get(b"/test/a%22%7D%0a%7B"),
        get(b"/test/a%0d%0aX:%20y"),
        get(b"/test/\x1b[31m"),
        get(b"/test/x", b"User-Agent: \x1b[31m"),
        get(b"/test/x", b'User-Agent: "}\\n{"'),
        post(b"{}", model=b"m-\x1b[31m"),
        post(b"{}", model=b'm-"\\n'),
        post('{"model":"m-\u202ebidi\\n\\u001b[31m"}'.encode(), path=b"/v1/chat/completions", model=b"m-x").replace(
            b"ModelName: m-x\r\n", b""
        ),
        get(b"/test/" + b"long" * 1000),
    ]
    async with stage(Peer(says(OK))) as scene:
        for request in nasty:
            await scene.asks(request)
        await until(lambda: len(scene.log()) == len(nasty))
        await turns()
        raw = scene.access_log.read_bytes()
        assert raw.count(b"\n") == len(nasty)
        assert not any(byte < 0x20 and byte != 0x0A for byte in raw)
        text = raw.decode()
        assert not {"\u202e", "\u202d", "\u2066", "\u2028", "\x7f", "\x1b"} & set(text)
        for line in scene.log():
            assert all(len(value) <= 300 for value in line.values() if isinstance(value, str))


@async_test()
async def test_N08_bodies_and_field_values_are_not_logged() -> None:
    async with stage(Peer(says(answer(b"200 OK", b'{"secret":"answer-' + MARK + b'"}', b"X-Theirs: " + MARK)))) as scene:
        await scene.asks(post(b'{"model":"m1","secret":"' + MARK + b'"}', b"X-Mine: " + MARK))
        await until(lambda: scene.log())
        assert MARK not in scene.access_log.read_bytes()


@async_test()
async def test_N09_I10_client_mistakes_cost_one_line_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(Peer(says(OK))) as scene:
        for request in (b"\x16\x03\x01\x02\x00", HEAD + b"Content-Length: 10\r\n\r\nhalf", get(b"/test/\x00")):
            client = await scene.client()
            await client.says(request, tolerant=True)
            await turns(10)
            client.vanishes()
        await scene.calms_down()
        await turns()
        assert len(scene.log()) <= 3
        assert not [record for record in caplog.records if record.exc_info]
        assert len(caplog.records) <= 3


@async_test()
async def test_N01_settings_and_objects_do_not_show_a_secret() -> None:
    async with stage(Peer(says(OK))) as scene:
        await scene.asks(get())
        shown = (
            repr(scene.gateway)
            + repr(scene.gateway.settings)
            + repr(scene.gateway.worker.table)
            + json.dumps(scene.gateway.counts())
        )
        assert SECRET not in shown
