"""Requests: branches, edits, templates, forms, what is not named, references, large bodies."""

import base64
import json
from typing import Any

import pytest

from tests.translators.runtime.making import Played, body, branch, edit, incoming, passed, platform, route
from translators.formats.chunks import Chunks
from translators.formats.forms import FileRef, form_scope, read_form
from translators.formats.multipart import boundary_of
from translators.formats.spans import SpanScanner
from translators.model import Edit, FetchRule, Form, Media, Route, Unknown
from translators.runtime.branches import filled
from translators.runtime.request import Prepared, prepare, program
from translators.runtime.scope import Standing
from translators.runtime.steps import Call, Fetched, Incoming, Pass, RuleRefusal

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
PNG64 = base64.b64encode(PNG).decode()


def called(rule: Route, given: Incoming, **said: Any) -> Call:
    return passed(program(platform(rule, **said), rule, given)).call


def sent(rule: Route, value: object, **said: Any) -> Any:
    call = called(rule, incoming(json.dumps(value).encode(), **said))
    assert isinstance(call.body, bytes)
    return json.loads(call.body)


def refusal(rule: Route, given: Incoming, **said: Any) -> RuleRefusal:
    with pytest.raises(RuleRefusal) as caught:
        called(rule, given, **said)
    return caught.value


# --- edits ---


def test_P04_an_edit_touches_only_the_bytes_it_names() -> None:
    rule = route(branch(edits=edit("rename", {"max_completion_tokens": "max_tokens"}) + edit("remove", ["user"])))
    data = b'{ "temperature" : 1E0, "max_completion_tokens":5 ,"user":"u","x":"\\u00e9" , "n": 12345678901234567890123}'
    expected = b'{ "temperature" : 1E0, "max_tokens":5 ,"x":"\\u00e9" , "n": 12345678901234567890123}'
    assert called(rule, incoming(data)).body == expected


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"a","model":"b"}',
        b'{"stream":true, "x":1, "stream":false}',
        b'{"model":"a","m\\u006fdel":"b"}',
        b'{"x":{"model":"c"},"model":"a" ,"user":"u","model":"a"}',
    ],
)
def test_P02_a_deciding_key_that_stands_twice_is_refused_where_a_rule_only_edits(data: bytes) -> None:
    rule = route(branch(edits=edit("set", {"max_tokens": 5}) + edit("remove", ["user"])))
    assert refusal(rule, incoming(data)).code == "duplicate_key"


def test_a_call_whose_head_no_body_decides_is_made_once_for_all_bodies() -> None:
    rule = route(branch(edits=edit("set", {"a": "${body.b}"})))
    prepared, standing = prepare(platform(rule), rule), Standing(incoming(b""))
    first, one, _ = prepared.call(standing, b'{"b":1}')
    second, two, _ = prepared.call(standing, b'{"b":2}')
    assert first is second
    assert (one, two) == (b'{"b":1,"a":1}', b'{"b":2,"a":2}')


def outcome(prepared: Prepared, standing: Standing, data: bytes) -> tuple[object, ...]:
    """What a body comes to: the call, or the refusal."""
    try:
        return prepared.call(standing, data)
    except RuleRefusal as refused:
        return refused.status, refused.code, refused.message


BODIES = [
    b'{"model":"m","user":"u","max_tokens":1}',
    b'{ "model" : "m" , "user":"u" }',
    b'{"n":12345678901234567890123,"x":1E400,"y":0.10000000000000000001}',
    b'{"\xc3\xa9":1,"a/b":2,"a\\/b":3,"\x7f":4}',
    b'{"m\\u0061x_tokens":1}',
    b"{}",
    b"",
    b'{"user":1,"user":2}',
    b'{"model":"a","model":"b"}',
    b'{"model":"a","mod\\u0065l":"b"}',
    b'{"a":NaN}',
    b'{"a":"\\ud800"}',
    b'{"a":"\xff"}',
    b"\xef\xbb\xbf{}",
    b'{"a":1}x',
    b"[1]",
    b'{"a":' + b"[" * 128 + b"]" * 128 + b"}",
    b'{"a":' + b"1" * 1001 + b"}",
]


@pytest.mark.parametrize("data", BODIES)
def test_P04_the_same_edits_come_to_the_same_whether_the_head_has_come_before_or_not(data: bytes) -> None:
    rule = route(branch(edits=edit("set", {"max_tokens": 5}) + edit("remove", ["user"]) + edit("default", {"stream": False})))
    prepared = prepare(platform(rule), rule)

    known = Standing(incoming(b""))
    prepared.call(known, b'{"model":"m"}')
    assert known.edited is not None
    assert outcome(prepared, known, data) == outcome(prepared, Standing(incoming(b"")), data)


@pytest.mark.parametrize(
    "data",
    [
        *BODIES,
        b'{"model":"m","b":[1]}',
        b'{"model":"m","b":1,"c":2}',
        b'{"model":"m","b":null,"t":4}',
        b'{"model":"m","b":"x","t":1}',
    ],
)
@pytest.mark.parametrize("unknown", list(Unknown))
def test_P04_the_same_template_comes_to_the_same_whether_the_head_has_come_before_or_not(unknown: Unknown, data: bytes) -> None:
    rule = route(branch(body=body({"model": "${model}", "b": "${body.b}", "t": "${to_number(body.t)}"}, unknown)))
    prepared = prepare(platform(rule), rule)

    known = Standing(incoming(b""))
    prepared.call(known, b'{"model":"m","b":1,"t":"2"}')
    assert known.templated is not None
    assert outcome(prepared, known, data) == outcome(prepared, Standing(incoming(b"")), data)


def test_edits_on_which_a_body_has_a_say_are_chosen_for_each_body() -> None:
    rule = route(branch(edits=edit("remove", ["user"])))
    prepared, standing = prepare(platform(rule), rule), Standing(incoming(b"", model="private", public="public"))
    for data, expected in ((b'{"model":"public"}', b'{"model":"private"}'), (b'{"model":"other"}', b'{"model":"other"}')):
        assert [prepared.call(standing, data)[1] for _ in range(2)] == [expected, expected]


def test_P01_an_edit_whose_condition_does_not_hold_changes_nothing() -> None:
    rule = route(branch(edits=edit("default", {"stream_options.include_usage": True}, "body.stream")))
    data = b'{"stream": false, "a" : 1.0}'
    assert called(rule, incoming(data)).body is data
    call = called(rule, incoming(b'{"stream":true}'))
    assert call.body == b'{"stream":true,"stream_options":{"include_usage":true}}'
    assert call.content_type == "application/json"


def test_a_set_of_an_absent_value_does_nothing_and_one_of_null_sends_null() -> None:
    rule = route(branch(edits=edit("set", {"a": "${body.none}", "b": None, "c": "${model}"})))
    assert called(rule, incoming(b'{"a":1}')).body == b'{"a":1,"b":null,"c":"m-1"}'


def test_an_alias_is_put_into_the_body() -> None:
    rule = route(branch(send="POST /up"))
    given = incoming(b'{"model":"public"}', model="private", public="public")
    assert called(rule, given).body == b'{"model":"public"}'  # nothing of this route reads a body
    rule = route(branch(edits=edit("remove", ["user"])))
    assert called(rule, given).body == b'{"model":"private"}'


@pytest.mark.parametrize(
    "data", [b'{"model":"a","model":"b"}', b'{"model":"a","mod\\u0065l":"b"}', b'{"stream":true,"stream":false}']
)
@pytest.mark.parametrize("said", [{"edits": edit("remove", ["user"])}, {"body": body({"m": "${body.model}"})}])
def test_P02_a_key_that_decides_may_stand_once(data: bytes, said: dict[str, Any]) -> None:
    refused = refusal(route(branch(**said)), incoming(data))
    assert (refused.status, refused.code) == (400, "duplicate_key")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b'{"a":NaN}', 400),
        (b'{"a":1,}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"[1]", 400),
        (b'"x"', 400),
        (b"{", 400),
        (b'{"a":"\\ud800"}', 422),
        (b'{"a":' + b"[" * 129 + b"]" * 129 + b"}", 422),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
        ('{"a":1}'.encode("utf-16"), 400),
    ],
)
def test_P03_what_is_no_strict_JSON_object_is_refused(data: bytes, status: int) -> None:
    rule = route(branch(body=body({"a": "${body.a}"})))
    assert refusal(rule, incoming(data)).status == status


def test_a_body_of_another_type_is_415() -> None:
    rule = route(branch(body=body({"a": "${body.a}"})))
    assert refusal(rule, incoming(b"<a/>", content_type="application/xml")).status == 415


def test_comments_are_taken_out_where_the_rule_tolerates_them() -> None:
    rule = route(branch(comments=True))
    data = b'{"a":1, // one\n"url":"https://x//y", "b":"\\"//"}// end'
    assert called(rule, incoming(data)).body == b'{"a":1, \n"url":"https://x//y", "b":"\\"//"}'
    assert refusal(route(branch(edits=edit("remove", ["x"]))), incoming(data)).status == 400


def test_a_string_without_an_end_is_refused_in_linear_time() -> None:
    data = b'{"a": "//' + b'\\"' * 1_000_000
    assert refusal(route(branch(comments=True)), incoming(data)).status == 400


def test_a_get_without_a_body_has_none() -> None:
    rule = route(branch(send="GET /up?m=${model}", edits=edit("remove", ["x"])), on="GET /v1/things")
    call = called(rule, incoming(method="GET"))
    assert (call.body, call.content_type, call.target) == (None, None, "/up?m=m-1")


# --- templates ---


def test_members_that_the_rule_does_not_name_go_on() -> None:
    rule = route(
        branch(when="body.kind != 'x'", send="POST /up/${body.where}", body=body({"m": "${model}", "p": "${body.prompt}", "z": 1}))
    )
    value = {"model": "m-1", "prompt": "P", "where": "w", "kind": "k", "seed": 7, "z": 2}
    assert sent(rule, value) == {"m": "m-1", "p": "P", "z": 1, "seed": 7}


def test_unknown_members_are_dropped_or_refused_where_the_rule_says_so() -> None:
    value = {"prompt": "P", "seed": 7}
    assert sent(route(branch(body=body({"p": "${body.prompt}"}, "drop"))), value) == {"p": "P"}
    rule = route(branch(body=body({"p": "${body.prompt}"}, "refuse")))
    refused = refusal(rule, incoming(json.dumps(value).encode()))
    assert (refused.status, refused.code, refused.param) == (400, "unknown_parameter", "seed")


def test_the_rest_stands_where_the_rule_puts_it() -> None:
    rule = route(branch(body=body({"input": {"prompt": "${body.prompt}", "...": "${body}"}}, "drop")))
    assert sent(rule, {"prompt": "P", "seed": 7, "n": 2}) == {"input": {"prompt": "P", "seed": 7, "n": 2}}


def test_an_expression_over_the_whole_body_names_all_of_it() -> None:
    rule = route(branch(body=body({"all": "${body}"})))
    assert sent(rule, {"prompt": "P"}) == {"all": {"prompt": "P"}}


def test_a_member_that_the_template_left_absent_is_the_clients_own() -> None:
    written = frozenset(("size", "n"))
    assert filled({"n": 1}, {}, False, written, {"size": "1x1", "n": 2, "o": 3}) == {"n": 1, "size": "1x1"}


def test_a_null_of_the_client_goes_on_where_the_template_left_its_member_absent() -> None:
    rule = route(branch(body=body({"p": "${body.prompt}", "size": "${body.shape}"})))
    assert sent(rule, {"prompt": "P", "size": None}) == {"p": "P", "size": None}
    assert sent(rule, {"prompt": "P", "size": None, "shape": "1x1"}) == {"p": "P", "size": "1x1"}


def test_numbers_keep_their_digits_through_a_template() -> None:
    rule = route(branch(body=body({"a": "${body.a}"})))
    data = b'{"a":[12345678901234567890123,1.00000000000000000001,1E400],"b":0.1}'
    assert called(rule, incoming(data)).body == b'{"a":[12345678901234567890123,1.00000000000000000001,1E400],"b":0.1}'


def test_the_first_branch_that_holds_counts() -> None:
    rule = route(
        branch(when="body.a", send="POST /a"),
        branch(when="body.b", refuse="no ${body.b} here"),
        branch(when="body.c", send="POST /c"),
    )
    assert called(rule, incoming(b'{"c":1,"a":1}')).target == "/a"
    assert called(rule, incoming(b'{"c":1}')).target == "/c"
    refused = refusal(rule, incoming(b'{"b":"pigs"}'))
    assert (refused.status, refused.message) == (400, "no pigs here")
    assert "no branch" in refusal(rule, incoming(b"{}")).message


def test_a_value_that_the_rule_cannot_use_is_refused_and_no_failure() -> None:
    rule = route(branch(body=body({"a": "${sum(body.a)}"})))
    assert refusal(rule, incoming(b'{"a":"x"}')).status == 400


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (edit("set", {"model": "x/${model}"}), b'{"model":"x/private"}'),
        (edit("rename", {"model": "engine"}), b'{"engine":"private"}'),
        (edit("remove", ["model"]), b"{}"),
    ],
)
def test_a_rule_has_the_last_word_on_a_model_whose_alias_was_replaced(edits: tuple[Edit, ...], expected: bytes) -> None:
    rule = route(branch(edits=edits))
    assert called(rule, incoming(b'{"model":"public"}', model="private", public="public")).body == expected
    data, kind = form(("model", b"public", ""))
    body = called(rule, incoming(data, content_type=kind, model="private", public="public")).body
    assert isinstance(body, bytes)
    assert form_scope(read_form(body, b"B")) == json.loads(expected)


# --- forms ---


def form(*parts: tuple[str, bytes, str]) -> tuple[bytes, str]:
    lines = [
        b'--B\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), extra.encode(), data)
        for name, data, extra in parts
    ]
    return b"".join(lines) + b"--B--\r\n", "multipart/form-data; boundary=B"


FILE = '; filename="a.png"\r\nContent-Type: image/png'


def test_P07_an_edit_of_a_form_keeps_all_other_bytes() -> None:
    data, kind = form(("prompt", b"P", ""), ("model", b"public", ""), ("user", b"u", ""), ("image[]", PNG, FILE))
    rule = route(branch(edits=edit("rename", {"prompt": "text"}) + edit("remove", ["user"]) + edit("default", {"n": 1})))
    expected, _ = form(("text", b"P", ""), ("model", b"private", ""), ("image[]", PNG, FILE), ("n", b"1", ""))
    assert called(rule, incoming(data, content_type=kind, model="private", public="public")).body == expected


def test_P07_a_form_can_pass_as_a_stream() -> None:
    data, kind = form(("model", b"public", ""), ("user", b"u", ""), ("image[]", PNG * 100, FILE))
    rule = route(branch(send="POST /up", edits=edit("remove", ["user"])))
    prepared = prepare(platform(rule), rule)
    found = prepared.streamed_form(incoming(model="private", public="public", **{"content-type": kind}))
    assert found is not None
    result, rewriter = found
    assert rewriter is not None
    assert not rewriter.idle
    assert (result.call.target, result.call.body, result.call.content_type) == ("/up", None, kind)
    out = b"".join(rewriter.feed(data[at : at + 7]) for at in range(0, len(data), 7)) + rewriter.finish()
    assert out == passed(prepared.program(incoming(data, content_type=kind, model="private", public="public"))).call.body
    assert b"private" in out
    assert b"user" not in out
    reading = route(branch(edits=edit("remove", ["user"], "body.user")))
    assert prepare(platform(reading), reading).streamed_form(incoming(**{"content-type": kind})) is None
    assert prepared.streamed_form(incoming(b"{}")) is None
    untouched = route(branch(send="POST /up"))
    found = prepare(platform(untouched), untouched).streamed_form(incoming(**{"content-type": kind}))
    assert found is not None
    assert found[1] is None


def test_a_form_becomes_JSON_by_rule() -> None:
    data, kind = form(("prompt", b"P", ""), ("n", b"2", ""), ("seed", b"7", ""))
    rule = route(branch(body=body({"p": "${body.prompt}", "count": "${number(body.n)}"})))
    call = called(rule, incoming(data, content_type=kind))
    assert call.content_type == "application/json"
    assert json.loads(call.body) == {"p": "P", "count": 2, "seed": "7"}  # type: ignore[arg-type]


def test_JSON_becomes_a_form_by_rule() -> None:
    rule = route(branch(media=Media({"refs": Form.FILE}), body=body({"p": "${body.prompt}", "image": "${refs[0]}"}, form=True)))
    call = called(rule, incoming(json.dumps({"prompt": "P", "image": PNG64, "n": 2}).encode()))
    assert call.content_type is not None
    assert isinstance(call.body, bytes)
    parts = form_scope(read_form(call.body, boundary_of(call.content_type) or b""))
    assert isinstance(parts["image"], FileRef)
    assert (bytes(parts["image"].data), parts["image"].content_type, parts["p"], parts["n"]) == (PNG, "image/png", "P", "2")


def test_a_file_that_the_rule_does_not_name_is_refused_for_JSON() -> None:
    data, kind = form(("prompt", b"P", ""), ("video", PNG, FILE))
    rule = route(branch(body=body({"p": "${body.prompt}"})))
    assert "video" in refusal(rule, incoming(data, content_type=kind)).message


def test_P07_a_broken_form_is_refused() -> None:
    data, kind = form(("prompt", b"P", ""))
    rule = route(branch(body=body({"p": "${body.prompt}"})))
    assert refusal(rule, incoming(data[:-8], content_type=kind)).status == 400
    assert refusal(rule, incoming(data, content_type="multipart/form-data")).status == 400
    many, kind = form(*[("a", b"", "")] * 201)
    assert refusal(rule, incoming(many, content_type=kind)).status == 413


def test_P02_a_form_names_its_model_once() -> None:
    data, kind = form(("model", b"a", ""), ("model", b"b", ""))
    assert refusal(route(branch(edits=edit("remove", ["x"]))), incoming(data, content_type=kind)).code == "duplicate_key"


def test_an_urlencoded_form_is_edited_field_by_field() -> None:
    rule = route(branch(edits=edit("rename", {"a": "b"}) + edit("remove", ["x"]) + edit("set", {"s": "1 2"})))
    call = called(rule, incoming(b"a=%7e+1&x=2&c=%e9%a8%ac", content_type="application/x-www-form-urlencoded"))
    assert call.body == b"b=%7e+1&c=%e9%a8%ac&s=1+2"


# --- references ---


def reference_rule(form_: Form | None) -> Route:
    media = Media({"refs": form_}) if form_ else None
    return route(branch(media=media, body=body({"image": "${refs[0]}", "count": "${length(refs)}"})))


@pytest.mark.parametrize("given", [PNG64, f"data:image/png;base64,{PNG64}", {"image_url": f"data:image/png;base64,{PNG64}"}])
def test_references_leave_in_the_form_that_the_rule_wants(given: object) -> None:
    assert sent(reference_rule(Form.BASE64), {"image": given}) == {"image": PNG64, "count": 1}
    assert sent(reference_rule(Form.DATA_URI), {"image": given}) == {"image": f"data:image/png;base64,{PNG64}", "count": 1}
    assert sent(reference_rule(None), {"image": given}) == {"image": f"data:image/png;base64,{PNG64}", "count": 1}


def test_a_file_part_is_a_reference() -> None:
    data, kind = form(("prompt", b"P", ""), ("input_reference[]", PNG, FILE))
    call = called(reference_rule(Form.BASE64), incoming(data, content_type=kind))
    assert json.loads(call.body) == {"image": PNG64, "count": 1, "prompt": "P"}  # type: ignore[arg-type]


def test_the_choice_sees_what_kind_of_reference_came() -> None:
    rule = route(
        branch(when="starts_with(refs[0], 'data:image/png;base64,')", send="POST /data"),
        branch(when="is_url(refs[0])", send="POST /url"),
    )
    data, kind = form(("image", PNG, FILE))
    assert called(rule, incoming(data, content_type=kind)).target == "/data"
    for given, target in ((PNG64, "/data"), (f"data:image/png;base64,{PNG64}", "/data"), ("https://x.example/a", "/url")):
        call = called(rule, incoming(json.dumps({"image": given}).encode()))
        assert (call.target, json.loads(call.body)) == (target, {"image": given})  # type: ignore[arg-type]


def test_a_URL_is_fetched_where_its_data_is_wanted() -> None:
    rule = reference_rule(Form.BASE64)
    here = platform(rule, fetch=FetchRule(("*",)))
    url = "https://x.example/a.png"
    played = Played(program(here, rule, incoming(json.dumps({"image": url}).encode())), fetches={url: Fetched(PNG, "image/png")})
    assert played.fetched == [url]
    assert isinstance(played.result, Pass)
    assert json.loads(played.result.call.body) == {"image": PNG64, "count": 1}  # type: ignore[arg-type]


def test_R01_without_a_fetch_rule_no_URL_is_fetched() -> None:
    refused = refusal(reference_rule(Form.BASE64), incoming(b'{"image":"https://x.example/a.png"}'))
    assert (refused.status, refused.code) == (400, "url_not_supported")
    assert sent(reference_rule(None), {"image": "https://x.example/a.png"})["image"] == "https://x.example/a.png"


def test_what_is_no_reference_is_refused() -> None:
    assert refusal(reference_rule(None), incoming(b'{"image":"not a picture"}')).code == "unsupported_reference"


# --- large bodies ---


def test_a_large_body_is_edited_in_its_chunks() -> None:
    rule = route(
        branch(
            when="body.stream",
            send="POST /up/${model}",
            edits=edit("set", {"model": "${model}"}) + edit("default", {"options.usage": True}, "body.stream"),
        ),
        branch(send="POST /other"),
    )
    prepared = prepare(platform(rule), rule)
    assert prepared.large_watch is not None
    data = json.dumps({"model": "public", "image": "A" * 300_000, "stream": True}).encode()
    pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    scanner = SpanScanner(prepared.large_watch)
    for piece in pieces:
        scanner.feed(piece)
    given = incoming(model="private", public="public", content_type="application/json")
    result = prepared.large(given, Chunks(pieces), scanner.finish())
    assert result.call.target == "/up/private"
    assert result.call.body is not None
    assert not isinstance(result.call.body, bytes)
    out = b"".join(result.call.body.parts())
    assert len(result.call.body) == len(out)
    assert out == passed(prepared.program(incoming(data, model="private", public="public"))).call.body


@pytest.mark.parametrize("said", [{"body": body({"a": 1})}, {"comments": True}, {"edits": edit("set", {"a": "${length(body)}"})}])
def test_a_rule_that_needs_the_whole_body_does_not_offer_the_large_way(said: dict[str, Any]) -> None:
    rule = route(branch(**said))
    assert prepare(platform(rule), rule).large_watch is None
