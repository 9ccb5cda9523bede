"""Values placed in paths, queries and headers: encoded or refused, never more than one value in one place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.runtime.making import branch, incoming, passed, platform, route, text
from translators.runtime.request import program
from translators.runtime.steps import Pass, RuleRefusal

HOSTILE = [
    "a\r\nHost: evil",
    "%0d%0aX: y",
    "/../admin",
    "..%2f",
    "?x=1",
    "@evil.example",
    "\0",
    "a b",
    "#f",
    "\\..\\",
    "é",
    "a;b",
    "a&b=c",
]


def sent(value: str, **said: object) -> Pass:
    rule = route(branch(**said))
    return passed(program(platform(rule), rule, incoming(model=value)))


@pytest.mark.parametrize("value", HOSTILE)
def test_O06_a_value_in_a_path_stays_one_segment(value: str) -> None:
    target = sent(value, send="POST /v1/models/${model}:run").call.target
    assert target.startswith("/v1/models/")
    assert target.endswith(":run")
    assert target.count("/") == 3
    assert set(target) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%/:")


@pytest.mark.parametrize("value", [".", "..", ""])
def test_O06_dot_segments_and_empty_segments_are_refused(value: str) -> None:
    with pytest.raises(RuleRefusal) as caught:
        sent(value, send="POST /v1/${model}/run")
    assert caught.value.status == 400


def test_O06_two_values_cannot_make_a_dot_segment_together() -> None:
    with pytest.raises(RuleRefusal):
        sent(".", send="POST /v1/${model}${model}")


@pytest.mark.parametrize("place", ["send", "query", "headers"])
def test_O06_a_megabyte_is_refused_everywhere(place: str) -> None:
    said: dict[str, object] = {"send": "POST /v1/run"}
    said |= {"send": "POST /v1/${model}"} if place == "send" else {place: {"X-Model": "${model}"}}
    with pytest.raises(RuleRefusal) as caught:
        sent("a" * 1_000_000, **said)
    assert caught.value.status == 400


@pytest.mark.parametrize("place", ["send", "query", "headers"])
def test_O06_half_a_surrogate_pair_is_refused_and_no_failure(place: str) -> None:
    said: dict[str, object] = {"send": "POST /v1/${model}"} if place == "send" else {place: {"X-Model": "${model}"}}
    with pytest.raises(RuleRefusal):
        sent("\ud800", **said)


@pytest.mark.parametrize("value", HOSTILE)
def test_O06_a_value_in_a_query_stays_one_parameter(value: str) -> None:
    target = sent(value, send="GET /v1/run?m=${model}&k=v", query={"n": "x-${model}"}).call.target
    path, _, query = target.partition("?")
    assert path == "/v1/run"
    assert [pair.partition("=")[0] for pair in query.split("&")] == ["m", "k", "n"]
    assert "#" not in target


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b", "a\x7fb", "a\x1bb", "a\u2028b", "a\x85b"])
def test_O06_controls_in_a_header_value_are_refused(value: str) -> None:
    with pytest.raises(RuleRefusal) as caught:
        sent(value, headers={"X-Model": "${model}"})
    assert "X-Model" in caught.value.message


def test_O06_more_than_8_KiB_in_a_header_are_refused() -> None:
    assert sent("a" * 8192, headers={"X-Model": "${model}"}).call.headers == (("X-Model", "a" * 8192),)
    with pytest.raises(RuleRefusal):
        sent("a" * 8193, headers={"X-Model": "${model}"})


@given(st.text(max_size=40))
@settings(max_examples=100)
def test_O06_any_text_is_encoded_or_refused(value: str) -> None:
    try:
        target = sent(value, send="POST /v1/${model}/end?m=${model}", headers={"M": "${model}"}).call.target
    except RuleRefusal:
        return  # a value that has no place there
    assert target.isascii()
    assert target.partition("?")[0].split("/")[3] == "end"
    assert not set(target) & set(" #\\\r\n")


def query_of(target: str | None, given_: dict[str, str | list[str]], **said: object) -> str:
    rule = route(branch(send="POST /up", **said))
    return passed(program(platform(rule), rule, incoming(query=given_, target=target))).call.target


def test_the_clients_query_goes_on_byte_for_byte_and_the_rules_parameters_win() -> None:
    assert query_of("/v1/x?a=%7e+b&c=1&%63=2", {"a": "~ b", "c": ["1", "2"]}, query={"c": "3"}) == "/up?a=%7e+b&c=3"


def test_an_absent_parameter_of_the_rule_leaves_the_clients_own() -> None:
    assert query_of("/v1/x?c=1", {"c": "1"}, query={"c": "${body.nothing}"}) == "/up?c=1"


def test_a_query_without_its_text_is_put_together_again() -> None:
    assert query_of(None, {"a": ["1", "2 3"], "b": "é"}) == "/up?a=1&a=2%203&b=%C3%A9"


def test_C08_a_parameter_of_the_rule_cannot_be_hidden_behind_a_semicolon() -> None:
    with pytest.raises(RuleRefusal):
        query_of("/v1/x?a=1;c=2", {"a": "1;c=2"}, query={"c": "3"})


def test_the_platforms_query_gives_way_to_the_clients() -> None:
    rule = route(branch(send="POST /up"))
    here = platform(rule, query=(("version", text("2")), ("region", text("eu"))))
    assert (
        passed(program(here, rule, incoming(query={"version": "1"}, target="/x?version=1"))).call.target
        == "/up?version=1&region=eu"
    )


def test_the_clients_own_path_goes_on_where_the_rule_says_none() -> None:
    rule = route(branch(headers={"X-A": "b"}), on="POST /v1/things/{thing_id}")
    here = platform(rule)
    assert (
        passed(program(here, rule, incoming(path={"thing_id": "a/b"}, target="/v1/things/a%2fb?q"))).call.target
        == "/v1/things/a%2fb?q"
    )
    assert passed(program(here, rule, incoming(path={"thing_id": "a/b"}))).call.target == "/v1/things/a%2Fb"


def test_an_alias_in_the_path_is_put_in() -> None:
    rule = route(branch(headers={"X-A": "b"}), on="POST /v1beta/models/{model}:generate")
    given_ = incoming(path={"model": "public"}, target="/v1beta/models/public:generate?k=v", model="private", public="public")
    assert passed(program(platform(rule), rule, given_)).call.target == "/v1beta/models/private:generate?k=v"
