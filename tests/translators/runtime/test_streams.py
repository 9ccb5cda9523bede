"""Streams by rule: the same at every cut, errors in the client's words, no end that did not come."""

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.runtime.making import HERE, branch, constant, errors, ex, incoming, passed, platform, route, template, text
from translators.model import EventRule, Protocol, Stream
from translators.runtime.request import program
from translators.runtime.steps import RuleRefusal, StreamMap

SSE = {"content-type": "text/event-stream; charset=utf-8"}


def rule(**said: Any) -> EventRule:
    if "when" in said:
        said["when"] = ex(said["when"])
    if "send" in said:
        said["send"] = tuple(template(value) for value in said["send"])
    return EventRule(HERE, **said)


CHAT = Stream(
    (
        rule(when="data.error", error=errors(status={"9": 429}, code="data.error.code", message="data.error.text")),
        rule(when="data.end", send=[{"choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]"]),
        rule(when="event == 'ping'", drop=True),
        rule(
            when="data.text",
            send=[{"choices": [{"delta": {"role": "${if(first, 'assistant', `null`)}", "content": "${data.text}"}}]}],
        ),
    ),
    HERE,
    when=ex("body.stream"),
)


def opened(
    stream: Stream = CHAT, protocol: Protocol = Protocol.CHAT, data: bytes = b'{"stream":true}', headers: Any = None
) -> StreamMap | None:
    here = route(branch(stream=stream), protocol=protocol)
    convert = passed(program(platform(here), here, incoming(data))).convert
    assert convert is not None
    return convert.stream(200, headers or SSE)


def mapped(data: bytes, cuts: list[int], stream: Stream = CHAT, headers: Any = None) -> bytes:
    found = opened(stream, headers=headers)
    assert found is not None
    out = b""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        out += found.feed(data[start:end])
    return out + found.finish()


IN = (
    b': hello\n\ndata: {"text":"A"}\n\nevent: ping\ndata: {}\n\nevent: other\nid: 7\ndata: {"x" : 1.0}\n\n'
    b'data: {"text":"B\xc3\xa9"}\r\n\r\ndata: {"error":{"code":9,"text":"slow"}}\n\ndata: {"end":true}\n\n'
)
OUT = (
    b': hello\n\ndata: {"choices":[{"delta":{"role":"assistant","content":"A"}}]}\n\nevent: other\nid: 7\ndata: {"x" : 1.0}\n\n'
    b'data: {"choices":[{"delta":{"content":"B\xc3\xa9"}}]}\n\n'
    b'data: {"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"9"}}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def test_events_go_out_by_rule_and_others_as_they_came() -> None:
    assert mapped(IN, []) == OUT


@given(st.lists(st.integers(0, len(IN)), max_size=8))
@settings(max_examples=100)
def test_G_the_result_is_the_same_at_every_cut(cuts: list[int]) -> None:
    assert mapped(IN, cuts) == OUT


def test_it_is_the_same_byte_by_byte() -> None:
    assert mapped(IN, list(range(len(IN)))) == OUT


def test_no_end_is_added_to_a_stream_that_has_none() -> None:
    assert b"DONE" not in mapped(b'data: {"text":"A"}\n\n', [])
    assert mapped(b'data: {"text":"A"}\n\ndata: {"tex', []).endswith(b'data: {"tex')


def test_a_whole_last_event_without_its_blank_line_counts() -> None:
    assert mapped(b'data: {"end":true}\n', []).endswith(b"data: [DONE]\n\n")
    assert mapped(b'data: {"end":true}', []).endswith(b"data: [DONE]\n\n")


def test_the_boundary_is_known() -> None:
    found = opened()
    assert found is not None
    assert found.feed(b'data: {"text":') == b""
    assert found.boundary()
    assert found.finish() == b'data: {"text":'
    assert not found.boundary()


def test_a_stream_is_mapped_only_where_the_client_asked_and_the_answer_streams() -> None:
    assert opened(headers={"content-type": "application/json"}) is None
    other = opened(data=b'{"stream":false}')
    assert other is not None
    assert other.feed(IN) == IN


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (Protocol.MESSAGES, b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"slow"}}\n\n'),
        (
            Protocol.RESPONSES,
            b'event: error\ndata: {"type":"error","code":"9","message":"slow","param":null,"sequence_number":0}\n\n',
        ),
    ],
)
def test_I07_errors_are_said_in_the_clients_protocol(protocol: Protocol, expected: bytes) -> None:
    found = opened(protocol=protocol)
    assert found is not None
    assert found.feed(b'data: {"text":"A"}\n\n') != b""
    assert found.feed(b'data: {"error":{"code":9,"text":"slow"}}\n\n') == expected


def test_I07_an_error_before_anything_else_is_an_answer_or_the_words_of_a_head_that_has_gone_out() -> None:
    found = opened()
    assert found is not None
    assert found.instead() is None
    with pytest.raises(RuleRefusal) as caught:
        found.feed(b'data: {"error":{"code":9,"text":"slow"}}\n\n')
    assert (caught.value.status, caught.value.said) == (429, b"")
    error = {"error": {"message": "slow", "type": "rate_limit_error", "param": None, "code": "9"}}
    assert json.loads(caught.value.words.removeprefix(b"data: ")) == error
    answer = found.instead()
    assert answer is not None
    assert (answer.status, json.loads(answer.body)) == (429, error)
    assert not found.boundary(), "the error would be said a second time"


def test_I07_where_no_error_can_be_said_the_stream_breaks() -> None:
    found = opened(protocol=Protocol.GENERATE)
    assert found is not None
    with pytest.raises(RuleRefusal) as caught:
        found.feed(b'data: {"error":{"code":9,"text":"slow"}}\n\n')
    assert (caught.value.status, caught.value.said) == (429, b"")


def test_an_event_that_the_rule_cannot_read_ends_the_stream_with_an_error() -> None:
    found = opened(Stream((rule(send=[{"a": "${sum(data.x)}"}]),), HERE))
    assert found is not None
    with pytest.raises(RuleRefusal) as caught:
        found.feed(b'data: {"x":[1]}\n\ndata: {"x":"y"}\n\ndata: {"x":[2]}\n\n')
    assert caught.value.said == b'data: {"a":1}\n\n'
    assert caught.value.words.startswith(b'data: {"error":')
    assert caught.value.words.count(b"data:") == 1
    assert not found.boundary(), "the error would be said a second time"


def test_a_text_of_the_platform_cannot_become_a_second_event() -> None:
    found = opened(Stream((rule(send=["${data.t}"], name=text("${data.n}")),), HERE))
    assert found is not None
    assert found.feed(b'data: {"t":"a\\n\\ndata: [DONE]","n":"x"}\n\n') == b"event: x\ndata: a\ndata: \ndata: data: [DONE]\n\n"
    with pytest.raises(RuleRefusal) as caught:
        found.feed(b'data: {"t":"a","n":"x\\ndata: y"}\n\n')
    assert b"error" in caught.value.words


def test_lines_become_lines() -> None:
    lines = Stream((rule(when="data.t", send=[{"c": "${data.t}"}]), rule(when="data.end", drop=True)), HERE, lines=True)
    data = b'{"t":"a"}\n\n{"x" : 1}\r\n{"end":1}\n{"t":"b"}'
    for cuts in ([], list(range(len(data)))):
        assert mapped(data, cuts, lines, {"content-type": "application/x-ndjson"}) == b'{"c":"a"}\n\n{"x" : 1}\r\n{"c":"b"}\n'


def test_lines_become_server_sent_events_where_the_rule_gives_that_type() -> None:
    lines = Stream((rule(send=[{"c": "${data.t}"}]),), HERE, lines=True, content_type="text/event-stream")
    assert mapped(b'{"t":"a"}\n', [], lines, {"content-type": "application/x-ndjson"}) == b'data: {"c":"a"}\n\n'


def test_events_become_bytes() -> None:
    sound = Stream(
        (rule(when="data.error", error=errors(message="data.error")), rule(when="data.a", bytes=ex("hex_to_base64(data.a)"))),
        HERE,
        content_type="audio/mpeg",
    )
    found = opened(sound)
    assert found is not None
    assert found.content_type == "audio/mpeg"
    assert found.feed(b': x\n\ndata: {"a":"4944"}\n\ndata: {"a":"33"}\n\ndata: [DONE]\n\ndata: {"other":1}\n\n') == b"ID3"
    with pytest.raises(RuleRefusal) as caught:
        found.feed(b'data: {"error":"no"}\n\n')
    assert caught.value.said == b""


def test_an_event_that_is_too_large_ends_the_stream_with_an_error() -> None:
    found = opened()
    assert found is not None
    with pytest.raises(RuleRefusal) as caught:
        found.feed(b'data: {"text":"A"}\n\ndata: ' + b"x" * (17 * 1024 * 1024))
    assert json.loads(caught.value.words.removeprefix(b"data: "))["error"]["code"] == "event_too_large"


def test_a_constant_can_be_sent_as_bytes() -> None:
    found = opened(Stream((rule(bytes=constant(base64.b64encode(b"x").decode())),), HERE))
    assert found is not None
    assert found.feed(b"data: 1\n\n") == b"x"
