"""The sandbox's pure parts: words and tokens, schemas and the values that fit them, and bodies of any shape."""

import random
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.sandbox.brain import Ask, Tool, Turn, answer, wanted_tools
from proxy.sandbox.replies import Context, Plain, RefusalError, frames
from proxy.sandbox.routes import find
from proxy.sandbox.schema import Filler
from proxy.sandbox.text import count_tokens, fragments, names_in, pieces


@given(st.text())
def test_pieces_and_fragments_add_up_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert "".join(fragments(text)) == text
    assert len(pieces(text)) == count_tokens(text) or not count_tokens(text)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("one two, three!", 5), ("get_weather(2)", 4), ("東京 tower", 3), ("日本語", 3)]
)
def test_tokens_are_words_ideographs_and_punctuation(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_names_are_capitalised_words_that_do_not_open_the_text() -> None:
    assert names_in("Is Paris nearer than Rome to me?") == ["Paris", "Rome"]


NODE = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]}}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "sandbox"),
        ({"const": 7}, 7),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "STRING", "maxLength": 3}, "san"),
        ({"type": "string", "minLength": 9}, "sandbox.."),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "maximum": 0.25}, 0.25),
        ({"type": "array", "items": {"type": "integer"}, "minItems": "2"}, [1, 1]),
        ({"prefixItems": [{"const": 1}, {"const": "a"}]}, [1, "a"]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]}, {"a": 1}),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 3}}}, 3),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}, {"b": "sandbox"}),
    ],
)
def test_a_value_fits_its_schema(schema: dict[str, object], value: object) -> None:
    assert Filler(schema).value() == value


def test_a_schema_that_refers_to_itself_ends_where_null_is_allowed() -> None:
    value = Filler({"$ref": "#/$defs/N", "$defs": {"N": {**NODE, "required": ["v", "next"]}}}).value()
    depth = 0
    while value is not None:
        assert isinstance(value, dict)
        assert value["v"] == 1
        value, depth = value["next"], depth + 1
    assert 0 < depth < 10


def test_a_schema_that_branches_without_end_is_bounded() -> None:
    tree = {"type": "object", "properties": {name: {"$ref": "#"} for name in "abcd"}, "required": list("abcd")}
    assert len(orjson.dumps(Filler(tree).value())) < 1_000_000


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("What is the weather?", ["get_weather"]),
        ("Any storms coming?", ["get_weather"]),
        ("Weather and time, please", ["get_weather", "readTime"]),
        ("Use a tool", ["get_weather"]),
        ("Hello", []),
    ],
)
def test_tools_are_wanted_when_the_question_speaks_of_them(asked: str, wanted: list[str]) -> None:
    tools = (Tool("get_weather", "Tells of storms", {}), Tool("readTime", "", {}))
    turns = (Turn("user", asked),)
    assert [tool.name for tool in wanted_tools(Ask("m", turns, tools))] == wanted
    assert [call.name for call in answer(Ask("m", turns, tools, parallel=False)).calls] == wanted[:1]
    assert wanted_tools(Ask("m", (*turns, Turn("tool", "done")), tools, choice="required")) == []


WORDS = (
    *(
        "model",
        "messages",
        "role",
        "user",
        "tool",
        "content",
        "text",
        "tools",
        "function",
        "parameters",
        "tool_choice",
        "stream",
        "n",
    ),
    *("custom", "local_shell", "functionDeclarations", "tool_choice", "reasoning", "summary", "thinking", "enabled", "output"),
    *(
        "function_call_output",
        "tool_calls",
        "assistant",
        "use the tool `x`",
        "command",
        "$ref",
        "enum",
        "items",
        "anyOf",
        "minimum",
    ),
    *("input", "contents", "parts", "generationConfig", "response_format", "json_schema", "schema", "type", "object", "properties"),
    *(
        "required",
        "max_tokens",
        "prompt",
        "image",
        "size",
        "stop",
        "tool_result",
        "functionResponse",
        "requests",
        "input_schema",
        "name",
    ),
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.sampled_from(WORDS) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4), max_leaves=25
)
PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"),
    *("/v1/models/m:generateContent", "/v1/models/m:streamGenerateContent", "/v1/models/m:countTokens"),
)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60)
@given(body=st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8))
def test_a_body_of_any_shape_is_answered_or_refused_but_never_breaks_the_sandbox(path: str, body: dict[str, object]) -> None:
    whole = {"model": "m", "max_tokens": 5, "messages": [{}], "input": "x", "prompt": "x", "contents": [{}], "size": "8x8", **body}
    status, raw = answered(path, whole)
    assert (status == 200 and raw) or 400 <= status < 500


def answered(path: str, body: dict[str, object]) -> tuple[int, bytes]:
    """The status and the bytes that a body gets; anything but a refusal is raised."""
    try:
        reply = find(path, "POST", {}).operation(body, Context(0, "http://sandbox", random.Random(1)))
    except RefusalError as refused:
        return refused.status, b""
    return 200, reply.encode() if isinstance(reply, Plain) else b"".join(frames(reply))


def test_numbers_of_a_response_follow_each_other_with_the_type_first() -> None:
    stream = find("/v1/responses", "POST", {}).operation(
        {"model": "m", "input": "x", "stream": True}, Context(0, "http://sandbox", random.Random(1))
    )
    assert not isinstance(stream, Plain)
    events = list(stream.events)
    assert all(after["sequence_number"] - before["sequence_number"] == 1 for before, after in pairwise(events))
    assert all(list(event)[:2] == ["type", "sequence_number"] for event in events)
