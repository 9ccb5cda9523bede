"""Answers: failures in the client's protocol, templates, bytes, URLs, what passes as it came."""

import base64
import json
from typing import Any

import pytest

from tests.translators.runtime.making import (
    HERE,
    Played,
    body,
    branch,
    constant,
    edit,
    errors,
    ex,
    incoming,
    passed,
    platform,
    reply,
    route,
    text,
)
from translators.model import Protocol, Response, Route, Usage
from translators.runtime.request import program
from translators.runtime.steps import Answer, Conversion, Download, Reply, RuleRefusal
from translators.runtime.usage import Counts, answer_scope, counts

TABLE = errors(
    when="body.code != `0`",
    status={"1000-1004": 401, "1203": 404, "-5": 429, "busy": 503},
    code="body.code",
    message="body.message",
)


def response(value: Any = None, unknown: str = "forward", **said: Any) -> Response:
    return Response(body(value, unknown) if value is not None else None, HERE, **said)


def conversion(rule: Route, data: bytes = b'{"prompt":"P"}') -> Conversion:
    found = passed(program(platform(rule), rule, incoming(data))).convert
    assert found is not None
    return found


def said(rule: Route, answered: Reply) -> tuple[int, Any]:
    answer = conversion(rule).whole(answered)
    assert answer is not None
    return answer.status, json.loads(answer.body)


def test_a_route_that_only_edits_has_no_conversion() -> None:
    rule = route(branch(edits=edit("remove", ["user"])))
    assert passed(program(platform(rule), rule, incoming(b"{}"))).convert is None


@pytest.mark.parametrize(
    ("code", "status"),
    [(1000, 401), (1004, 401), ("1002", 401), (1005, 502), (1203, 404), (-5, 429), ("busy", 503), (10**30, 502), ("1e9", 502)],
)
def test_a_failure_below_400_has_the_status_of_its_code(code: object, status: int) -> None:
    rule = route(branch(), errors=TABLE)
    found, value = said(
        rule, reply(json.dumps({"code": code, "message": "M"}) if code != 10**30 else f'{{"code":{code},"message":"M"}}')
    )
    assert found == status
    assert value["error"]["message"] == "M"
    assert value["error"]["code"] == str(code)


def test_an_answer_without_a_failure_passes_as_it_is() -> None:
    assert conversion(route(branch(), errors=TABLE)).whole(reply('{"code":0, "x" : 1}')) is None


def test_what_is_no_JSON_object_is_not_asked_for_a_failure() -> None:
    assert conversion(route(branch(), errors=TABLE)).whole(reply(b"ID3\0\0", content_type="audio/mpeg")) is None


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (Protocol.CHAT, {"error": {"message": "M", "type": "authentication_error", "param": None, "code": "1001"}}),
        (Protocol.MESSAGES, {"type": "error", "error": {"type": "authentication_error", "message": "M"}}),
        (Protocol.GENERATE, {"error": {"code": 401, "message": "M", "status": "UNAUTHENTICATED"}}),
    ],
)
def test_a_failure_is_said_in_the_clients_protocol(protocol: Protocol, expected: Any) -> None:
    rule = route(branch(), protocol=protocol, errors=TABLE)
    assert said(rule, reply('{"code":1001,"message":"M"}')) == (401, expected)


def test_a_status_of_the_platform_stands_where_the_table_names_none() -> None:
    assert said(route(branch(), errors=TABLE), reply('{"code":77,"message":"M"}', 422))[0] == 422


def test_an_error_that_is_no_JSON_keeps_its_text() -> None:
    status, value = said(route(branch(response=response({"a": 1}))), reply("<html>Bad " + "x" * 900, 503, content_type="text/html"))
    assert status == 503
    assert value["error"]["message"] == ("<html>Bad " + "x" * 900)[:500]


def test_an_error_in_the_clients_words_already_passes_as_it_is() -> None:
    raw = reply('{"error":{"message":"M","type":"t","extra":1}}', 400)
    assert conversion(route(branch(response=response({"a": 1})))).whole(raw) is None


def test_the_usual_places_tell_an_error_where_the_rule_does_not() -> None:
    status, value = said(route(branch(response=response({"a": 1}))), reply('{"code":"c","msg":"M"}', 404))
    assert (status, value["error"]["code"], value["error"]["message"]) == (404, "c", "M")


def test_a_template_says_the_answer_and_what_it_does_not_name_goes_on() -> None:
    rule = route(branch(response=response({"id": "${body.task}", "p": "${request.prompt}"})), errors=TABLE)
    answered = reply('{"task":"t","code":0,"message":"ok","big":12345678901234567890123,"usage":{"n":1}}', 201)
    answer = conversion(rule).whole(answered)
    assert answer is not None
    assert (answer.status, answer.content_type) == (201, "application/json")
    assert answer.body == b'{"big":12345678901234567890123,"usage":{"n":1},"id":"t","p":"P"}'


def test_unknown_members_of_an_answer_are_dropped_where_the_rule_says_so() -> None:
    assert said(route(branch(response=response({"id": "${body.task}"}, "drop"))), reply('{"task":"t","x":1}')) == (200, {"id": "t"})


def test_status_and_headers_of_an_answer_come_from_the_rule() -> None:
    rule = route(branch(response=response({"a": 1}, status=ex("body.code"), headers=(("X-Id", text("${body.id}")),))))
    answer = conversion(rule).whole(reply('{"code":202,"id":"i"}'))
    assert answer is not None
    assert (answer.status, answer.headers) == (202, (("X-Id", "i"),))
    for bad in ('{"code":99,"id":"i"}', '{"code":"x","id":"i"}', '{"code":200,"id":"a\\r\\nb"}'):
        with pytest.raises(RuleRefusal) as caught:
            conversion(rule).whole(reply(bad))
        assert caught.value.status == 502


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"a":', b"\xff\xfe"])
def test_an_answer_that_is_no_JSON_where_a_template_needs_it_is_502(data: bytes) -> None:
    with pytest.raises(RuleRefusal) as caught:
        conversion(route(branch(response=response({"a": 1})))).whole(reply(data))
    assert (caught.value.status, caught.value.code) == (502, "bad_answer")


def test_P08_no_transform_passes_everything_as_it_is() -> None:
    convert = conversion(route(branch(response=response({"a": 1})), errors=TABLE))
    headers = {"cache-control": "public, No-Transform", "content-type": "application/json"}
    assert convert.whole(Reply(500, headers, b"{}")) is None
    stream = convert.stream(200, headers)
    assert stream is not None
    assert stream.feed(b"abc") + stream.finish() == b"abc"


def test_bytes_of_an_answer() -> None:
    rule = route(branch(response=response(bytes=ex("hex_to_base64(body.data.audio)"), content_type=text("audio/mpeg"))))
    answer = conversion(rule).whole(reply('{"data":{"audio":"494433"}}'))
    assert answer is not None
    assert (answer.body, answer.content_type) == (b"ID3", "audio/mpeg")
    for bad in ('{"data":{"audio":"zz"}}', '{"data":{}}'):
        with pytest.raises(RuleRefusal) as caught:
            conversion(rule).whole(reply(bad))
        assert caught.value.status == 502


def test_a_URL_of_an_answer_is_downloaded() -> None:
    rule = route(branch(response=response(url=ex("body.urls"), content_type=text("audio/mpeg"))), errors=TABLE)
    here = platform(rule)
    played = Played(program(here, rule, incoming(b"{}")), reply('{"code":0,"urls":["https://x.example/a?b=%2f"]}'))
    assert played.result == Download("https://x.example/a?b=%2f", content_type="audio/mpeg")
    played = Played(program(here, rule, incoming(b"{}")), reply('{"code":1000,"message":"M"}'))
    assert isinstance(played.result, Answer)
    assert played.result.status == 401


def test_opaque_answers_are_not_read_whole_for_an_errors_rule() -> None:
    convert = conversion(route(branch(), errors=TABLE))
    for kind in ("audio/mpeg", "video/mp4", "text/event-stream"):
        stream = convert.stream(200, {"content-type": kind})
        assert stream is not None
        assert stream.feed(b"x") == b"x"
    assert convert.stream(200, {"content-type": "application/json"}) is None
    assert convert.stream(500, {"content-type": "text/event-stream"}) is None


def test_usage_is_counted_where_the_rule_says() -> None:
    rule = Usage(input=ex("body.usage.in"), output=ex("body.usage.out"), cached=ex("body.usage.c"), reasoning=constant(None))
    value = {"usage": {"in": 3, "out": True, "c": -1}}
    assert counts(rule, answer_scope(value)) == Counts(input=3)
    assert counts(Usage(input=ex("sum(body.x)")), answer_scope({"x": "y"})) == Counts()


def test_base64_with_a_data_URI_head_is_decoded() -> None:
    rule = route(branch(response=response(bytes=ex("body.b"))))
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    answer = conversion(rule).whole(reply(json.dumps({"b": f"data:image/png;base64,{data}"})))
    assert answer is not None
    assert (answer.body, answer.content_type) == (b"\x89PNG\r\n\x1a\n", "image/png")
