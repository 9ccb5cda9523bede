"""Battery U: request targets and routing."""

from pathlib import Path

import pytest

from tests.harness.chaos import OK, Peer, answer, says
from tests.harness.gateway import rule_file, stage
from tests.harness.runner import async_test, turns
from tests.harness.words import BODY, get, post
from translators.load import load
from translators.problems import InvalidFileError

DOTS = [
    b"/test/v1/../admin",
    b"/test/v1/%2e%2e/admin",
    b"/test/v1/..%2fadmin",
    b"/test/v1/%2e%2e%5cadmin",
    b"/test/v1/.%2e/admin",
    b"/test/v1/%2E./admin",
    b"/test/v1/.",
    b"/test/v1/./x",
    b"/test/v1/a%2f..%2fb",
    b"/..",
    b"/test/%2e",
]


@pytest.mark.parametrize("target", DOTS)
@async_test()
async def test_C04_case17_dot_segments_are_refused_however_they_are_written(target: bytes) -> None:
    async with stage() as scene:
        reply = await scene.asks(get(target))
        assert (reply.status, reply.error) == (400, "http_request_error")
        await turns()
        assert scene.peer.lines == []


@async_test()
async def test_C04_dots_inside_a_segment_are_carried() -> None:
    async with stage(Peer(says(OK))) as scene:
        for target in (b"/test/v1/a..b", b"/test/v1/...", b"/test/.well-known/x", b"/test/v1.5/x."):
            assert (await scene.asks(get(target))).status == 200, target
            assert (await scene.peer.hears()).target == target.removeprefix(b"/test")


@async_test()
async def test_C05_C07_case18_an_encoded_slash_stays_one_segment_and_its_bytes() -> None:
    async with stage(Peer(says(OK))) as scene:
        for name in (b"m-a%2Fb", b"m-a%2fb", b"m-%7E%c3%A9"):
            reply = await scene.asks(get(b"/test/v1/models/" + name))
            assert (reply.status, (await scene.peer.hears()).target) == (200, b"/v1/models/" + name)


@async_test()
async def test_C01_C07_percent_encoding_is_routed_and_forwarded_as_it_was_written() -> None:
    async with stage(Peer(says(OK))) as scene:
        target = b"/test/files/%41%7e%C3%a9;v=1,2/x:y@z!$&'()*+=-._~"
        assert (await scene.asks(get(target))).status == 200
        assert (await scene.peer.hears()).target == target.removeprefix(b"/test")
        encoded = await scene.asks(get(b"/test/v1/%6dodels"))  # not the listed route, but a native path
        assert (encoded.status, (await scene.peer.hears()).target) == (200, b"/v1/%6dodels")
        assert (await scene.asks(get(b"/%74est/v1/models"))).status == 404


ELSEWHERE = [b"//evil/x", b"/\\evil", b"/test//\\evil/x", b"http://evil.example/test/v1/models", b"https://gateway/test/v1/models"]
ODD = [
    b"evil.example:80",
    b"ftp://gateway/test/x",
    b"http:/test/x",
    b"*",
    b"test/v1/models",
    b"?x",
    b"http://u@gateway/test/v1/models",
]


@pytest.mark.parametrize("target", ELSEWHERE + ODD)
@async_test()
async def test_C02_C06_case19_a_target_for_elsewhere_is_never_followed(target: bytes) -> None:
    async with stage() as scene:
        reply = await scene.asks(get(target))
        assert reply.status in (400, 404)
        await turns()
        assert scene.peer.lines == []


@async_test()
async def test_C02_absolute_form_with_the_same_authority_is_reduced_to_origin_form() -> None:
    async with stage(Peer(says(OK))) as scene:
        for target in (b"http://gateway/test/v1/models?a=b", b"HTTP://Gateway/test/v1/models?a=b"):
            assert (await scene.asks(get(target))).status == 200
            assert (await scene.peer.hears()).target == b"/v1/models?a=b"


@async_test()
async def test_C02_D12_asterisk_form_is_for_options_only_and_is_answered_here() -> None:
    async with stage() as scene:
        reply = await scene.asks(get(b"*", b"Max-Forwards: 0", method=b"OPTIONS"))
        assert reply.status in (200, 204)
        assert scene.peer.lines == []


@async_test()
async def test_C06_empty_segments_are_not_merged() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(get(b"/v1//models", b"ModelName: m1"))).status == 404
        assert (await scene.asks(get(b"//test/v1/models"))).status == 404
        assert (await scene.asks(get(b"/test//host/x"))).status in (200, 404)
        for heard in scene.peer.requests:
            assert heard.target == b"//host/x"
            assert heard.get(b"host") == b"127.0.0.1:%d" % scene.peer.port


@async_test()
async def test_C07_C08_case20_the_query_is_forwarded_byte_for_byte() -> None:
    query = b"?a=%2f&b=%7E&c=+&d=%E4%BD%A0&;x&e"
    async with stage(Peer(says(OK))) as scene:
        for target in (b"/test/v1/models", b"/test/native/x"):
            for tail in (query, b"?", b"??/../%2e%2e/", b"?a=b?c=d/e"):
                assert (await scene.asks(get(target + tail))).status == 200, tail
                assert (await scene.peer.hears()).target == target.removeprefix(b"/test") + tail


ILLEGAL = [
    b"/test/a#b",
    b"/test/a b",
    b"/test/a\\b",
    b"/test/%zz",
    b"/test/%4",
    b"/test/%",
    b"/test/%00",
    "/test/é".encode(),
    b"/test/%0d%0a",
    b"/test/%0A",
]
ILLEGAL += [b"/test/a\x00b", b"/test/a\x7fb", b"/test/a\tb", b"/test/x?a#b", b"/test/x?\xff"]


@pytest.mark.parametrize("target", ILLEGAL)
@async_test()
async def test_C03_case21_bytes_that_no_target_may_hold_are_refused(target: bytes) -> None:
    async with stage() as scene:
        reply = await scene.asks(get(target))
        assert reply.status == 400
        assert scene.peer.lines == []


def test_C10_case22_two_routes_of_the_same_shape_are_a_load_error_that_names_both(tmp_path: Path) -> None:
    text = rule_file("http://127.0.0.1:1").replace(
        "  GET /v1/models/{model}", "  GET /v1/models/{id}: carry\n  GET /v1/models/{model}"
    )
    (tmp_path / "test.yaml").write_text(text)
    with pytest.raises(InvalidFileError) as caught:
        load([tmp_path])
    assert "{id}" in str(caught.value)
    assert "{model}" in str(caught.value)


@async_test()
async def test_C10_the_longer_literal_wins_over_a_variable() -> None:
    text = rule_file("{url}").replace("  GET /v1/models:", "  GET /v1/models/special: carry\n  GET /v1/models:")
    async with Peer(says(OK)) as peer, stage(peer, rules={"test": text.replace("{url}", peer.url)}) as scene:
        assert (await scene.asks(get(b"/test/v1/models/special"))).status == 200
        assert (await peer.hears()).all(b"modelname") == []
        assert (await scene.asks(get(b"/test/v1/models/m1"))).status == 200
        assert (await peer.hears()).all(b"modelname") == [b"m1"]


@async_test()
async def test_C12_case23_our_own_pseudonym_in_via_is_a_loop() -> None:
    async with stage(Peer(says(OK))) as scene:
        for via in (b"Via: 1.1 dragoman", b"Via: 1.0 a, 1.1 dragoman (note)", b"Via: 1.1 other\r\nVia: HTTP/1.1 dragoman"):
            reply = await scene.asks(get(b"/test/v1/models", via))
            assert (reply.status, reply.error) == (508, "proxy_loop_detected"), via
        assert scene.peer.lines == []
        assert (await scene.asks(get(b"/test/v1/models", b"Via: 1.1 dragoman2, 1.1 not-dragoman"))).status == 200


@async_test()
async def test_C09_host_never_chooses_the_upstream() -> None:
    async with Peer(says(OK)) as other, stage(Peer(says(OK))) as scene:
        request = b"GET /test/v1/models HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % other.port
        assert (await scene.asks(request)).status == 200
        assert (await scene.peer.hears()).get(b"host") == b"127.0.0.1:%d" % scene.peer.port
        assert other.lines == []


@async_test()
async def test_C11_without_a_route_the_answer_is_our_404() -> None:
    async with stage() as scene:
        for target in (b"/", b"/nowhere", b"/testing/v1/models", b"/v2/x"):
            reply = await scene.asks(get(target))
            assert (reply.status, reply.error) == (404, "destination_not_found"), target
            assert reply.json()["error"]["message"]
        reply = await scene.asks(post(model=b"unknown-model", path=b"/v1/chat/completions"))
        assert reply.status == 404
        assert scene.peer.lines == []


@async_test()
async def test_C11_without_prefix_the_model_decides_by_its_header_or_the_body() -> None:
    async with Peer(says(answer(b"200 OK", b"other"))) as other, Peer(says(answer(b"200 OK", b"test"))) as peer:
        rules = {"test": rule_file(peer.url), "other": rule_file(other.url, "other", models="o1")}
        async with stage(peer, rules=rules) as scene:
            by_header = await scene.asks(post(BODY, path=b"/v1/chat/completions", model=b"o1"))
            assert by_header.body == b"other"
            assert (await other.hears()).get(b"modelname") == b"o1"
            body = b'{"messages":[{"model":"o1"}],"model":"m-7"}'
            request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            assert (await scene.asks(request)).body == b"test"
            heard = await peer.hears()
            assert (heard.get(b"modelname"), heard.body) == (b"m-7", body)
