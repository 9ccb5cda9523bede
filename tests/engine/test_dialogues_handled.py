"""Dialogues about routes that a rule handles: what goes up, and what comes down, in every framing and at every cut."""

import asyncio
import gzip
import json
import zlib

import pytest

from tests.engine.handled import RULED, asks, head_and_body, posted
from tests.engine.stage import KEY, answer, chunk, error_of, post, stage, status_of, stream_head
from tests.harness.runner import async_test, turns, until

RULES = {"ruled": RULED}
BODY = b'{ "model":"alias", "max_tokens": 1E2,\n"x":"\\u00e9" }'
EDITED = b'{ "model":"real", "max_completion_tokens": 1E2,\n"x":"\\u00e9" }'
EVENTS = b'data: {"text":"a"}\n\n: ping\n\ndata: {"text":"\xc3\xa9"}\r\n\r\ndata: [DONE]\n\n'
MAPPED = b'data: {"delta":"a"}\n\n: ping\n\ndata: {"delta":"\xc3\xa9"}\n\ndata: [DONE]\n\n'


def payload(chunked: bytes) -> bytes:
    """The data of a whole chunked body."""
    out = b""
    while True:
        size, _, chunked = chunked.partition(b"\r\n")
        if not int(size, 16):
            assert chunked == b"\r\n"
            return out
        out += chunked[: int(size, 16)]
        chunked = chunked[int(size, 16) + 2 :]


# --- what goes up ---


@async_test(loops=False)
async def test_P04_an_edit_changes_the_bytes_it_names_and_the_length() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(BODY, more=b"Content-MD5: x\r\nX-Own: yes\r\nAuthorization: Bearer theirs\r\n"))
        start, fields, body = head_and_body(upstream.heard())
        assert (start, body) == (b"POST /base/chat HTTP/1.1", EDITED)
        assert fields == {
            "host": "ruled.example",
            "x-own": "yes",
            "accept-encoding": "gzip",
            "content-type": "application/json",
            "content-length": str(len(EDITED)),
            "authorization": f"Bearer {KEY}",
            "x-platform": "always",
            "via": "1.1 dragoman",
        }
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        assert scene.calm


@pytest.mark.parametrize("cut", [1, 7, 40, 300])
@async_test(loops=False)
async def test_B09_a_chunked_body_that_is_edited_goes_on_with_its_length(cut: int) -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        request = (
            b"POST /ruled/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n" + chunk(BODY[:9]) + chunk(BODY[9:30]) + chunk(BODY[30:]) + b"0\r\n\r\n"
        )  # fmt: skip
        client.says(*[request[at : at + cut] for at in range(0, len(request), cut)])
        upstream = await scene.upstream("ruled")
        await turns()
        _, fields, body = head_and_body(upstream.heard())
        assert body == EDITED
        assert fields["content-length"] == str(len(EDITED))
        assert "transfer-encoding" not in fields
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        assert scene.calm


@async_test(loops=False)
async def test_O06_values_are_placed_encoded_in_path_query_and_header() -> None:
    async with stage(rules_of=RULES) as scene:
        body = b'{"model":"r1","place":"a/b?c","q":"x y&z","text":"t","more":1}'
        client, upstream = await asks(scene, posted(body, "/ruled/v1/template?own=1"))
        start, fields, sent = head_and_body(upstream.heard())
        assert start == b"POST /base/made/a%2Fb%3Fc?own=1&q=x%20y%26z HTTP/1.1"
        assert fields["x-rule"] == "a/b?c"
        assert json.loads(sent) == {"name": "r1", "text": "t"}
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")


@async_test(loops=False)
async def test_H02_the_client_is_asked_to_go_on_before_its_body_is_read() -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        request = posted(BODY, more=b"Expect: 100-continue\r\n")
        at = request.index(b"\r\n\r\n") + 4
        client.says(request[:at])
        assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.says(request[at:])
        upstream = await scene.upstream("ruled")
        await turns()
        head, _, body = upstream.heard().partition(b"\r\n\r\n")
        assert b"Expect" not in head
        assert body == EDITED


@async_test(loops=False)
async def test_H02_J03_a_body_that_will_not_be_held_is_refused_before_it_is_asked_for() -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(
            b"POST /ruled/v1/small HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n",
        )
        heard = client.heard()
        assert status_of(heard) == 413
        assert error_of(heard)["code"] == "body_too_large"
        assert scene.dialer("ruled").dialed == 0


@pytest.mark.parametrize(("size", "status"), [(1024, 200), (1025, 413)])
@pytest.mark.parametrize("chunked", [False, True])
@async_test(loops=False)
async def test_J03_a_body_is_held_up_to_the_routes_limit_and_no_byte_further(size: int, status: int, chunked: bool) -> None:
    async with stage(rules_of=RULES) as scene:
        body = b'{"model":"r1","x":"' + b"y" * (size - 21) + b'"}'
        assert len(body) == size
        client = scene.client()
        if chunked:
            client.says(
                b"POST /ruled/v1/small HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
                chunk(body[:500]) + chunk(body[500:]) + b"0\r\n\r\n",
            )
        else:
            client.says(posted(body, "/ruled/v1/small"))
        if status == 200:
            upstream = await scene.upstream("ruled")
            await turns()
            assert upstream.heard().endswith(body)
            upstream.says(answer(b"{}"))
            assert client.heard() == answer(b"{}")
        else:
            await turns()
            assert status_of(client.heard()) == 413
            assert scene.dialer("ruled").dialed == 0
        assert scene.counts()["held_bytes"] == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@async_test(loops=False)
async def test_P05_P06_a_coded_body_is_read_and_goes_on_without_its_coding(coding: str) -> None:
    async with stage(rules_of=RULES) as scene:
        coded = gzip.compress(BODY) if coding == "gzip" else zlib.compress(BODY)
        client, upstream = await asks(scene, posted(coded, more=b"Content-Encoding: %b\r\n" % coding.encode()))
        _, fields, body = head_and_body(upstream.heard())
        assert body == EDITED
        assert "content-encoding" not in fields
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("snappy", BODY, 415),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY)[:-4], 400),
        ("gzip", gzip.compress(b"0" * (3 << 20)), 413),
    ],
)
@async_test(loops=False)
async def test_P05_a_coding_that_is_unknown_broken_or_a_bomb_is_refused(coding: str, body: bytes, status: int) -> None:
    async with stage(rules_of=RULES, limits={"buffered_body": 2 << 20}) as scene:
        client = scene.client()
        client.says(posted(body, more=b"Content-Encoding: %b\r\n" % coding.encode()))
        await turns()
        heard = client.heard()
        assert status_of(heard) == status
        assert error_of(heard)["type"] == "invalid_request_error"
        assert scene.dialer("ruled").dialed == 0
        assert scene.calm


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b'{"model":"r1","model":"r1"}', 400),
        (b'{"model":NaN}', 400),
        (b"[" * 200 + b"]" * 200, 422),
        (b'{"kind":"b"}', 400),
        (b'{"kind":"c"}', 400),
    ],
)
@async_test(loops=False)
async def test_P02_P03_what_a_rule_cannot_read_or_will_not_take_is_refused(body: bytes, status: int) -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(posted(body, "/ruled/v1/picky"))
        heard = client.heard()
        assert status_of(heard) in {status, 400}
        assert error_of(heard)["type"] == "invalid_request_error"
        assert scene.dialer("ruled").dialed == 0
        client.says(posted(b'{"kind":"a","model":"r1"}', "/ruled/v1/picky"))
        upstream = await scene.upstream("ruled")
        await turns()
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        assert scene.calm


@async_test(loops=False)
async def test_B20_pipelined_requests_behind_a_handled_one_are_answered_in_order() -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(posted(BODY) + posted(b'{"code":0,"text":"t"}', "/ruled/v1/whole") + post(b"{}", "/test/v1/messages"))
        upstream = await scene.upstream("ruled")
        await turns()
        assert upstream.heard().endswith(EDITED)
        upstream.says(answer(b"first"))
        await turns()
        upstream.says(answer(b'{"text":"second"}'))
        await turns()
        other = await scene.upstream("test")
        await turns()
        other.says(answer(b"third"))
        heard = client.heard()
        assert heard.startswith(answer(b"first"))
        assert heard.endswith(answer(b"third"))
        assert b'{"said":"second","status":200}' in heard
        assert scene.dialer("ruled").dialed == 1
        assert scene.calm


# --- whole answers ---


def framed(body: bytes, how: str) -> tuple[bytes, bool]:
    """An answer in one of the framings an upstream has, and whether the connection's end is its end."""
    head = b"HTTP/1.1 200 OK\r\nX-Own: theirs\r\nETag: a\r\nContent-Type: application/json; charset=x\r\nAccept-Ranges: bytes\r\n"
    if how == "gzip":
        body = gzip.compress(body)
        head += b"Content-Encoding: gzip\r\n"
    if how == "chunked":
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body[:5]) + chunk(body[5:]) + b"0\r\n\r\n", False
    if how == "close":
        return head + b"\r\n" + body, True
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, False


@pytest.mark.parametrize("cut", [1, 13, 1000])
@pytest.mark.parametrize("how", ["length", "chunked", "close", "gzip"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@async_test(loops=False)
async def test_E05_a_converted_answer_has_its_own_length_and_no_field_of_the_old_body(cut: int, how: str, version: bytes) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/whole", version=version))
        assert b"\r\nAccept-Encoding: identity\r\n" in upstream.heard()
        said, closes = framed('{"code":0,"text":"Grüße"}'.encode(), how)
        upstream.says(*[said[at : at + cut] for at in range(0, len(said), cut)])
        if closes:
            assert client.heard() == b""
            upstream.leaves()
            await turns()
        start, fields, body = head_and_body(client.heard())
        assert start == b"HTTP/1.1 200 OK"
        assert json.loads(body) == {"said": "Grüße", "status": 200}
        assert fields["content-length"] == str(len(body))
        assert fields["content-type"] == "application/json"
        assert fields["x-own"] == "theirs"
        assert fields["x-request-id"]
        assert not {"etag", "accept-ranges", "content-encoding", "transfer-encoding"} & set(fields)
        await turns()
        assert client.closed == (version == b"1.0")
        assert scene.calm


@async_test(loops=False)
async def test_I03_a_failure_inside_a_200_gets_its_status_and_the_clients_words() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/whole"))
        upstream.says(answer(b'{"code":7,"message":"too fast"}', more=b"Retry-After: 3\r\n"))
        start, fields, body = head_and_body(client.heard())
        assert start.startswith(b"HTTP/1.1 429 ")
        assert fields["retry-after"] == "3"
        assert json.loads(body)["error"]["message"] == "too fast"
        assert "proxy-status" not in fields
        assert scene.calm


@async_test(loops=False)
async def test_P05_an_answer_in_an_unknown_coding_goes_on_as_it_is() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/whole"))
        said = answer(b"??", more=b"Content-Encoding: snappy\r\n")
        upstream.says(said)
        assert client.heard() == said
        assert scene.calm


@pytest.mark.parametrize("how", ["length", "chunked", "gzip"])
@async_test(loops=False)
async def test_J03_an_answer_that_is_too_large_to_hold_is_a_502(how: str) -> None:
    async with stage(rules_of=RULES, limits={"buffered_body": 20_000}) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/whole"))
        said, _ = framed(b'{"text":"%b"}' % (b"y" * 30_000), how)
        upstream.says(said)
        heard = client.heard()
        assert status_of(heard) == 502
        assert error_of(heard)["code"] == "answer_too_large"
        assert not client.closed
        assert scene.calm


@pytest.mark.parametrize("how", ["leaves", "resets"])
@async_test(loops=False)
async def test_I02_a_converted_answer_that_breaks_off_is_a_502_and_never_half_an_answer(how: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/whole"))
        upstream.says(answer(b'{"text":"a"}')[:-3])
        getattr(upstream, how)()
        await turns()
        assert status_of(client.heard()) == 502
        assert not client.closed
        assert scene.calm


@async_test(loops=False)
async def test_P03_an_answer_that_is_no_json_where_the_rule_needs_it_is_a_502() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/whole"))
        upstream.says(answer(b"<html>"))
        heard = client.heard()
        assert status_of(heard) == 502
        assert scene.calm


@async_test(loops=False)
async def test_C05_a_variable_of_the_path_reaches_the_rule_decoded_and_leaves_it_encoded() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, b"GET /ruled/v1/things/a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n")
        heard = upstream.heard()
        assert heard.startswith(b"GET /base/thing/a%2Fb HTTP/1.1\r\n")
        assert b"Content-Length" not in heard
        upstream.says(answer(b'{"id":"a/b","more":1}'))
        assert head_and_body(client.heard())[2] == b'{"id":"a/b"}'


# --- streams ---


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 50, 5000])
@async_test(loops=False)
async def test_G11_a_mapped_stream_is_the_same_at_every_cut_and_every_event_goes_out_at_once(cut: int) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1","stream":true}', "/ruled/v1/events"))
        said = stream_head() + chunk(EVENTS[:25]) + chunk(EVENTS[25:]) + b"0\r\n\r\n"
        upstream.says(*[said[at : at + cut] for at in range(0, len(said), cut)])
        head, _, body = client.heard().partition(b"\r\n\r\n")
        assert head + b"\r\n\r\n" == stream_head()
        assert payload(body) == MAPPED
        assert scene.calm


@async_test(loops=False)
async def test_F02_G11_head_and_events_do_not_wait_for_more() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/events"))
        upstream.says(stream_head())
        upstream.says(chunk(b'data: {"text":"a"}\n\nda'))
        assert client.heard() == stream_head() + chunk(b'data: {"delta":"a"}\n\n')
        upstream.says(chunk(b'ta: {"text":"b"}\n\n'))
        assert client.heard() == chunk(b'data: {"delta":"b"}\n\n')
        upstream.says(b"0\r\n\r\n")
        assert client.heard() == b"0\r\n\r\n"
        assert scene.calm


@pytest.mark.parametrize("how", ["leaves", "resets"])
@pytest.mark.parametrize("path", ["/ruled/v1/events", "/ruled/v1/messages"])
@async_test(loops=False)
async def test_I07_a_mapped_stream_that_breaks_between_events_says_so_and_is_cut(path: str, how: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', path))
        upstream.says(stream_head() + chunk(b'data: {"text":"a"}\n\n'))
        client.heard()
        getattr(upstream, how)()
        await turns()
        heard = client.heard()
        assert b'"error"' in heard
        assert (b"event: error" in heard) == path.endswith("messages")
        assert not heard.endswith(b"0\r\n\r\n")
        assert client.closed
        assert scene.calm


@async_test(loops=False)
async def test_G06_G10_a_mapped_stream_that_breaks_inside_an_event_is_never_given_an_end() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/events"))
        upstream.says(stream_head() + chunk(b'data: {"text":"a"}\n\ndata: {"te'))
        upstream.resets()
        await turns()
        heard = client.heard()
        assert b"[DONE]" not in heard
        assert not heard.endswith(b"0\r\n\r\n")
        assert client.closed
        assert scene.calm


@async_test(loops=False)
async def test_I06_a_mapped_stream_to_a_client_without_chunks_ends_with_the_connection_and_is_reset_when_cut() -> None:
    async with stage(rules_of=RULES) as scene:
        for ending in ("whole", "cut"):
            client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/events", version=b"1.0"))
            upstream.says(stream_head() + chunk(EVENTS))
            if ending == "whole":
                upstream.says(b"0\r\n\r\n")
            else:
                upstream.resets()
            await turns()
            heard = client.heard()
            assert b"Transfer-Encoding" not in heard
            assert MAPPED in heard
            assert client.closed
            assert client.aborted == (ending == "cut")
            scene.pool("ruled").sweep()
            for connection in list(scene.pool("ruled")._idle):
                connection.abort()
            await turns()


@async_test(loops=False)
async def test_F04_a_client_that_does_not_take_a_mapped_stream_stops_the_upstream() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1"}', "/ruled/v1/events"), window=0)
        upstream.says(stream_head())
        for _ in range(40):
            upstream.says(chunk(b'data: {"text":"%b"}\n\n' % (b"y" * 4000)))
        assert not upstream.is_reading()
        client.takes()
        await turns()
        assert upstream.is_reading()
        upstream.says(b"0\r\n\r\n")
        await turns()
        assert client.heard().endswith(b"0\r\n\r\n")
        assert scene.calm


@async_test(loops=False)
async def test_G13_a_stream_that_was_asked_for_and_is_answered_with_json_is_json() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"r1","stream":true}', "/ruled/v1/events"))
        said = answer(b'{"error":{"message":"slow down"}}', status=b"429 Too Many Requests", more=b"Retry-After: 1\r\n")
        upstream.says(said)
        _, fields, body = head_and_body(client.heard())
        assert body == b'{"error":{"message":"slow down"}}'
        assert fields["retry-after"] == "1"
        assert scene.calm


SUMMED = """\
platform: summed
upstream: http://summed.example
auth: {bearer: "${secret.SUMMED_KEY}"}
models: [a1]
routes:
  POST /v1/chat/completions:
    send: POST /sum
    stream: {events: [{send: {sum: "${sum(data.x)}"}}]}
"""


@async_test(loops=False)
async def test_G12_I07_an_event_that_does_not_fit_the_rule_ends_the_stream_at_once_with_one_error() -> None:
    async with stage(rules_of={"summed": SUMMED}) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"a1"}', "/summed/v1/chat/completions"), "summed")
        upstream.says(stream_head() + chunk(b'data: {"x":[1,2]}\n\ndata: {"x":"none"}\n\ndata: {"x":[3]}\n\n'))
        await turns()
        framed = client.heard().partition(b"\r\n\r\n")[2]
        assert framed.count(b'data: {"sum":3}\n\n') == 1
        assert framed.count(b'"error"') == framed.count(b"data: ") - 1 == 1
        assert not framed.endswith(b"0\r\n\r\n")
        assert client.closed
        assert upstream.aborted
        assert scene.calm


TWICE = """\
platform: twice
upstream: http://twice.example
auth: {bearer: "${secret.TWICE_KEY}"}
models: [a1]
routes:
  POST /v1/chat/completions:
    send: POST /said
    response: {body: {said: "${body.said}"}}
    retry: {attempts: 1, on: [502], wait: 1ms}
"""


@async_test(loops=False)
async def test_K07_an_answer_that_broke_off_leaves_nothing_behind_for_the_one_of_the_next_attempt() -> None:
    async with stage(rules_of={"twice": TWICE}) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"a1"}', "/twice/v1/chat/completions"), "twice")
        upstream.says(answer(b'{"said":1}', more=b"Content-Type: application/json\r\n")[:-4])
        upstream.resets()
        second = await scene.upstream("twice")
        await turns()
        coded = answer(b"carried since nobody can read it", more=b"Content-Encoding: zzz\r\n")
        second.says(coded[:-10], coded[-10:])
        await turns()
        assert client.heard() == coded
        assert scene.calm


PATIENT = """\
platform: patient
upstream: http://patient.example
auth: {bearer: "${secret.PATIENT_KEY}"}
models: [a1]
routes:
  POST /v1/whole: {send: POST /x, retry: {attempts: 1, on: [503], wait: 1ms}}
  POST /v1/retried: {send: POST /x, response: {body: {a: "${body.a}"}}, retry: {attempts: 1, on: [503], wait: 1ms}}
"""


@pytest.mark.parametrize("path", ["/patient/v1/retried", "/patient/v1/whole"])
@async_test(loops=False)
async def test_K07_a_platform_that_asks_for_a_long_pause_has_said_no_and_the_client_hears_when_to_ask(path: str) -> None:
    async with stage(rules_of={"patient": PATIENT}) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"a1"}', path), "patient")
        upstream.says(answer(b"{}", status=b"503 Busy", more=b"Content-Type: application/json\r\nRetry-After: 600\r\n"))
        await turns()
        start, fields, _ = head_and_body(client.heard())
        assert (start[:12], fields["retry-after"]) == (b"HTTP/1.1 503", "600")
        assert scene.calm


@async_test(loops=False)
async def test_K07_a_platform_that_asks_for_a_pause_is_asked_again_after_it() -> None:
    async with stage(rules_of={"patient": PATIENT}) as scene:
        started = asyncio.get_running_loop().time()
        client, upstream = await asks(scene, posted(b'{"model":"a1"}', "/patient/v1/whole"), "patient")
        upstream.heard()
        upstream.says(answer(b"{}", status=b"503 Busy", more=b"Retry-After: 1\r\n"))
        await until(upstream.heard)
        assert asyncio.get_running_loop().time() - started >= 0.9
        assert client.heard() == b""
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")


QUOTED = """\
platform: quoted
upstream: http://quoted.example
auth: {bearer: "${secret.QUOTED_KEY}"}
models: [a1]
routes:
  GET /v1/things/{thing}: {send: "GET /t/${path.thing}", query: {own: "${query.q}"}}
  POST /v1/things/{thing}: {send: POST /t, body: {thing: "${path.thing}"}}
"""


@async_test(loops=False)
async def test_a_quoted_byte_that_is_no_text_stays_the_byte_it_was() -> None:
    async with stage(rules_of={"quoted": QUOTED}) as scene:
        request = b"GET /quoted/v1/things/a%ff%C3%A9?q=%fe+b HTTP/1.1\r\nHost: x\r\n\r\n"
        client, upstream = await asks(scene, request, "quoted")
        assert upstream.heard().partition(b" HTTP/1.1")[0] == b"GET /t/a%FF%C3%A9?q=%fe+b&own=%FE%20b"
        upstream.says(answer(b"{}"))
        assert status_of(client.heard()) == 200


@async_test(loops=False)
async def test_P03_a_byte_that_is_no_text_is_never_another_one_in_json() -> None:
    async with stage(rules_of={"quoted": QUOTED}) as scene:
        client = scene.client()
        client.says(posted(b'{"model":"a1"}', "/quoted/v1/things/a%ff"))
        await turns()
        assert status_of(client.heard()) == 422
