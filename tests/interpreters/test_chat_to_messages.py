"""A chat client on a messages platform: its requests (M1)."""

import base64
from typing import Any

import pytest

from tests.interpreters.readers import WORLD
from tests.interpreters.vectors import vectors
from translators.interpreters.base import Ask, Media, Settings, UntranslatableError
from translators.interpreters.chat_to_messages import ChatToMessages

PNG = "iVBORw0KGgo="
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}


def made(settings: dict[str, Any] | None = None, media: dict[str, Media] | None = None, **body: Any) -> tuple[Any, list[str]]:
    """The platform's body, and what was dropped."""
    body.setdefault("messages", [USER])
    interpreter = ChatToMessages(Settings(**settings or {}), WORLD)
    before = repr(body)
    out = interpreter.request(Ask(body, "claude", False), media or {})
    assert interpreter.request(Ask(body, "claude", False), media or {}) == out, "a second call gives the same"
    assert repr(body) == before, "the client's request is not changed"
    return out.body, interpreter.dropped


def turns(*messages: Any, **settings: Any) -> Any:
    return made(settings, messages=list(messages))[0]["messages"]


def refused(settings: dict[str, Any] | None = None, **body: Any) -> str:
    with pytest.raises(UntranslatableError) as caught:
        made(settings, **body)
    return caught.value.path


def call(ident: str, name: str, arguments: str | None) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# --- the sheet's vectors ---


def test_golden_P1_a_request_for_an_adaptive_model() -> None:
    said = vectors()["A-P1-OAI"].json
    out = ChatToMessages(Settings(thinking="adaptive"), WORLD).request(Ask(said, said["model"], True), {})
    assert out == Ask(vectors()["A-P1-ANT"].json, "claude-opus-5-5", True)


def test_golden_P1_a_request_for_a_model_with_a_budget() -> None:
    said = vectors()["A-P1-OAI"].json
    out = ChatToMessages(Settings(), WORLD).request(Ask(said, said["model"], True), {})
    assert out.body == {**vectors()["A-P1-ANT"].json, **vectors()["A-P1-ANT-BUDGET"].json}


# --- M1: turns ---


def test_system_messages_at_the_beginning_are_blocks_of_system() -> None:
    body, _ = made(messages=[{"role": "system", "content": "A"}, {"role": "developer", "content": [text("B"), text(" ")]}, USER])
    assert body["system"] == [text("A"), text("B")]
    assert body["messages"] == [{"role": "user", "content": [text("Hi")]}]


LATE = [
    USER,
    {"role": "system", "content": "Now"},
    {"role": "assistant", "content": "Yes"},
    {"role": "system", "content": "Then"},
    USER,
]


def test_a_later_system_message_stays_in_its_place_where_the_platform_takes_it() -> None:
    body, _ = made({"system_turns": True}, messages=LATE)
    assert [turn["role"] for turn in body["messages"]] == ["user", "system", "assistant", "user"]
    assert body["system"] == [text("Then")], "after the assistant none may stand"


def test_a_later_system_message_is_said_first_where_the_platform_takes_none_between_the_turns() -> None:
    body, _ = made(messages=LATE)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["system"] == [text("Now"), text("Then")]


def test_of_system_messages_alone_the_last_becomes_the_users() -> None:
    body, _ = made(messages=[{"role": "system", "content": "A"}, {"role": "system", "content": "B"}])
    assert (body["system"], body["messages"]) == ([text("A")], [{"role": "user", "content": [text("B")]}])


def test_a_user_stands_first_and_no_turn_is_empty() -> None:
    out = turns({"role": "assistant", "content": "Hello"}, {"role": "user", "content": " "}, {"role": "assistant", "content": ""})
    assert out == [
        {"role": "user", "content": [text("...")]},
        {"role": "assistant", "content": [text("Hello")]},
        {"role": "user", "content": [text("...")]},
    ]


def test_a_last_message_of_the_assistant_is_sent_as_it_is() -> None:
    assert turns(USER, {"role": "assistant", "content": "{"})[-1] == {"role": "assistant", "content": [text("{")]}


def test_neighbours_of_one_role_are_one_turn() -> None:
    out = turns(USER, USER, {"role": "assistant", "content": "A"}, {"role": "assistant", "refusal": "B", "content": None}, USER)
    assert [[block["text"] for block in turn["content"]] for turn in out] == [["Hi", "Hi"], ["A", "B"], ["Hi"]]


def test_results_stand_directly_after_their_calls_and_first() -> None:
    out = turns(
        USER,
        {"role": "assistant", "content": "T", "tool_calls": [call("a", "f", '{"x":1}'), call("b", "g", "")]},
        USER,
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [text("B"), {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
        },
        {"role": "user", "content": "More"},
        {"role": "tool", "tool_call_id": "a", "content": ""},
    )
    assert out[1]["content"] == [
        text("T"),
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    assert out[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "b", "content": [text("B"), picture]},
        {"type": "tool_result", "tool_use_id": "a", "content": ""},
        text("Hi"),
        text("More"),
    ]
    assert len(out) == 3


def test_results_find_their_place_across_a_system_turn() -> None:
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [call("a", "f", "{}"), call("b", "f", None)]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "system", "content": "Now"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]
    out = turns(*messages, system_turns=True)
    assert [turn["role"] for turn in out] == ["user", "assistant", "user", "system"]
    assert [block["tool_use_id"] for block in out[2]["content"]] == ["a", "b"]


def test_the_obsolete_form_of_a_call_and_its_result() -> None:
    out = turns(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "1"},
    )
    use, result = out[1]["content"][0], out[2]["content"][0]
    assert (use["input"], result["content"]) == ({"a": 1}, "1")
    assert use["id"] == result["tool_use_id"]


def test_ids_of_calls_are_put_into_safe_letters_alike_in_call_and_result() -> None:
    out = turns(
        USER,
        {"role": "assistant", "tool_calls": [call("functions.f:0", "f", "{}"), call("functions_f_0", "f", "{}")]},
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"},
    )
    ids = [block["id"] for block in out[1]["content"]]
    assert ids[0].replace("-", "").replace("_", "").isalnum()
    assert ids[1] == "functions_f_0" != ids[0]
    assert out[2]["content"][0]["tool_use_id"] == ids[0]


def test_thoughts_signed_by_such_a_platform_come_first_and_no_others() -> None:
    details = [
        {"type": "reasoning.text", "text": "T", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "RU5D", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "U", "signature": None, "format": "anthropic-claude-v1", "index": 2},
        {"type": "reasoning.text", "text": "V", "signature": "c2ln", "format": "google-gemini-v1", "index": 3},
    ]
    said = {"role": "assistant", "content": "A", "reasoning_content": "T", "reasoning_details": details}
    assert turns(USER, said, USER)[1]["content"] == [
        {"type": "thinking", "thinking": "T", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "RU5D"},
        text("A"),
    ]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (f"data:image/png;base64,{PNG}", {"type": "base64", "media_type": "image/png", "data": PNG}),
        (f"data:image/png;base64,{JPEG}", {"type": "base64", "media_type": "image/jpeg", "data": JPEG}),  # mislabelled
        (PNG, {"type": "base64", "media_type": "image/png", "data": PNG}),  # bare
        ("https://example.com/a.jpg", {"type": "url", "url": "https://example.com/a.jpg"}),
    ],
)
def test_pictures_in_all_forms(url: str, source: dict[str, Any]) -> None:
    for held in (url, {"url": url, "detail": "low"}):
        out = turns({"role": "user", "content": [{"type": "image_url", "image_url": held}]})
        assert out[0]["content"] == [{"type": "image", "source": source}]


def test_a_url_whose_content_was_read_is_sent_as_data() -> None:
    urls = ["https://example.com/a", "https://example.com/b"]
    parts = [
        {"type": "image_url", "image_url": {"url": urls[0]}},
        {"type": "file", "file": {"file_data": urls[1], "filename": "b.pdf"}},
    ]
    messages = [{"role": "user", "content": parts}]
    interpreter = ChatToMessages(Settings(urls="inline"), WORLD)
    assert list(interpreter.urls(Ask({"messages": messages}, "m", False))) == urls
    media = {urls[0]: Media(base64.b64decode(PNG), "text/plain"), urls[1]: Media(b"%PDF-1.7", None)}
    out, _ = made(media=media, messages=messages)
    sources = [block["source"] for block in out["messages"][0]["content"]]
    assert sources[0] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert sources[1] == {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-1.7").decode()}


@pytest.mark.parametrize(
    ("file", "block"),
    [
        (
            {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"},
        ),
        (
            {"file_data": "data:text/markdown;base64,R3LDvMOf", "filename": "a.md"},
            {"source": {"type": "text", "media_type": "text/plain", "data": "Grüß"}, "title": "a.md"},
        ),
        ({"file_data": "https://example.com/a.pdf"}, {"source": {"type": "url", "url": "https://example.com/a.pdf"}}),
    ],
)
def test_documents_in_all_forms(file: dict[str, Any], block: dict[str, Any]) -> None:
    for part in ({"type": "file", "file": file}, {"type": "file", **file}):
        assert turns({"role": "user", "content": [part]})[0]["content"] == [{"type": "document", **block}]


def test_marks_for_caching_stay_where_they_are() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    body, _ = made(
        messages=[{"role": "system", "content": [{**text("S"), **mark}]}, {"role": "user", "content": [{**text("U"), **mark}]}],
        tools=[{**TOOL, **mark}],
    )
    assert (body["system"][0], body["messages"][0]["content"][0]) == ({**text("S"), **mark}, {**text("U"), **mark})
    assert body["tools"][0]["cache_control"] == mark["cache_control"]


def part(**held: Any) -> list[Any]:
    return [USER, {"role": "user", "content": [text("a"), held]}]


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([], "messages"),
        ([{"role": "assistant", "content": ""}], "messages"),
        ("Hi", "messages"),
        ([USER, {"role": "robot"}], "messages[1].role"),
        (part(type="input_audio", input_audio={}), "messages[1].content[1]"),
        (part(type="video_url", video_url={"url": "https://e.com/a.mp4"}), "messages[1].content[1]"),
        (part(type="image_url", image_url={"url": "https://e.com/a.mp4?x"}), "messages[1].content[1].image_url.url"),
        (part(type="image_url", image_url={"url": "data:image/bmp;base64,AAAA"}), "messages[1].content[1].image_url.url"),
        (part(type="image_url", image_url={"url": 7}), "messages[1].content[1].image_url.url"),
        (part(type="file", file={"file_id": "file-1"}), "messages[1].content[1].file.file_id"),
        (part(type="file", file={"file_data": "data:audio/mpeg;base64,SUQz"}), "messages[1].content[1].file.file_data"),
        (part(type="file", file={"file_data": "data:text/plain;base64,/////w=="}), "messages[1].content[1].file.file_data"),
        ([USER, {"role": "assistant", "audio": {"id": "x"}}], "messages[1].audio"),
        ([USER, {"role": "assistant", "tool_calls": [call("a", "f", "{")]}], "messages[1].tool_calls[0].function.arguments"),
        ([USER, {"role": "assistant", "tool_calls": [call("a", "f", "[1]")]}], "messages[1].tool_calls[0].function.arguments"),
        ([USER, {"role": "assistant", "tool_calls": [call("", "f", "{}")]}], "messages[1].tool_calls[0].id"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "a", "type": "x"}]}], "messages[1].tool_calls[0].type"),
        ([USER, {"role": "tool", "content": "x"}], "messages[1].tool_call_id"),
        ([USER, {"role": "function", "name": "f", "content": "x"}], "messages[1].name"),
        ([{"role": "system", "content": [{"type": "image_url"}]}, USER], "messages[0].content[0]"),
    ],
)
def test_what_would_change_the_conversation_is_always_refused(messages: Any, path: str) -> None:
    assert refused({"unsupported": "drop"}, messages=messages) == path


# --- M1: options ---


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"max_completion_tokens": 5, "max_tokens": 7}, {"max_tokens": 5}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({}, {"max_tokens": 4096}),
        ({"temperature": 1.5, "top_p": 0.5, "top_k": 3}, {"temperature": 1, "top_p": 0.5, "top_k": 3}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": [" ", "", "A", "B"]}, {"stop_sequences": ["A", "B"]}),
        ({"n": 1, "stream_options": None, "logprobs": False, "store": False, "modalities": ["text"]}, {}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"safety_identifier": "s", "user": "u"}, {"metadata": {"user_id": "s"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "w", "strict": True, "schema": {"type": "object"}},
                }
            },
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"tool_choice": "required"}, {}),
        (
            {
                "web_search_options": {
                    "search_context_size": "high",
                    "user_location": {"type": "approximate", "approximate": {"city": "P"}},
                }
            },
            {
                "tools": [
                    {
                        "type": "web_search_20250305",
                        "name": "web_search",
                        "max_uses": 10,
                        "user_location": {"type": "approximate", "city": "P"},
                    }
                ]
            },
        ),
    ],
)
def test_options_have_the_platforms_words(said: dict[str, Any], wanted: dict[str, Any]) -> None:
    body, dropped = made(**said)
    assert body == {"model": "claude", "messages": [{"role": "user", "content": [text("Hi")]}], "max_tokens": 4096, **wanted}
    assert dropped == []


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        (None, None, None),
        ("auto", True, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
        ({"type": "custom", "custom": {"name": "c"}}, None, {"type": "tool", "name": "c"}),
    ],
)
def test_choices_of_tools(choice: Any, parallel: bool | None, wanted: Any) -> None:
    custom = {"type": "custom", "custom": {"name": "c", "description": "D", "format": {"type": "text"}}}
    body, _ = made(
        tools=[TOOL, custom, {"type": "function", "function": {"name": "g"}}], tool_choice=choice, parallel_tool_calls=parallel
    )
    assert body.get("tool_choice") == wanted
    assert body["tools"] == [
        {"name": "f", "input_schema": TOOL["function"]["parameters"]},  # type: ignore[index]
        {
            "name": "c",
            "description": "D",
            "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_allowed_tools_are_the_only_ones_that_are_sent() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    body, _ = made(
        tools=[TOOL, {"type": "function", "function": {"name": "g"}}],
        tool_choice={"type": "allowed_tools", "allowed_tools": allowed},
    )
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (["g"], {"type": "any"})


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"seed": 1}, "seed"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"logprobs": True}, "logprobs"),
        ({"brand_new": {}}, "brand_new"),
        ({"messages": [{**USER, "name": "Ann"}]}, "messages[0].name"),
        ({"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "grammar"}}}]}, "tools[0].custom.format"),
        ({"reasoning_effort": "low", "top_k": 5}, "top_k"),
        ({"reasoning_effort": "low", "temperature": 0.5}, "temperature"),
    ],
)
def test_options_without_a_counterpart_are_refused_or_dropped_as_the_rule_says(said: dict[str, Any], path: str) -> None:
    assert refused(**said) == path
    body, dropped = made({"unsupported": "drop"}, **said)
    assert dropped == [path]
    assert path not in body


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"n": 2}, "n"),
        ({"functions": [{}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters.type",
        ),
        ({"tool_choice": "f"}, "tool_choice"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"stop": [1]}, "stop[0]"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ],
)
def test_options_that_cannot_be_understood_are_always_refused(said: dict[str, Any], path: str) -> None:
    assert refused({"unsupported": "drop"}, **said) == path


def test_a_model_without_sampling_gets_none() -> None:
    assert refused({"sampling": False}, temperature=0.2) == "temperature"
    body, dropped = made({"sampling": False, "unsupported": "drop"}, temperature=0.2, top_p=1)
    assert dropped == ["temperature", "top_p"]
    assert not {"temperature", "top_p"} & set(body)


# --- M1: thinking ---


@pytest.mark.parametrize(
    ("effort", "adaptive", "budget"),
    [
        ("minimal", "low", 1024),
        ("low", "low", 1024),
        ("medium", "medium", 8192),
        ("high", "high", 16384),
        ("xhigh", "xhigh", 24576),
        ("max", "max", 32000),
    ],
)
def test_effort_becomes_an_effort_or_a_budget_on_top_of_the_limit(effort: str, adaptive: str, budget: int) -> None:
    body, _ = made({"thinking": "adaptive"}, reasoning_effort=effort, max_tokens=100)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive", "display": "summarized"}, {"effort": adaptive})
    assert body["max_tokens"] == 100
    body, _ = made({"thinking": "budget"}, reasoning_effort=effort, max_tokens=100, temperature=1)
    assert body["thinking"]["type"] == "enabled"
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (budget, 100 + budget)
    assert "temperature" not in body


def test_no_effort_is_no_thinking() -> None:
    for mode in ("adaptive", "budget"):
        assert made({"thinking": mode}, reasoning_effort="none")[0]["thinking"] == {"type": "disabled"}
    assert "thinking" not in made({"thinking": "off"}, reasoning_effort="none")[0]
    assert refused({"thinking": "off"}, reasoning_effort="low") == "reasoning_effort"


def test_thinking_in_the_platforms_own_words_passes_where_the_model_takes_that_form() -> None:
    enabled = {"type": "enabled", "budget_tokens": 2000}
    body, _ = made(thinking=enabled, max_tokens=3000)
    assert (body["thinking"], body["max_tokens"]) == (enabled, 3000)
    body, _ = made(thinking=enabled, max_tokens=1000)
    assert body["max_tokens"] == 3000, "the budget must be below the limit"
    for budget, effort in ((2000, "low"), (4096, "medium"), (16384, "high")):
        body, _ = made({"thinking": "adaptive"}, thinking={"type": "enabled", "budget_tokens": budget})
        assert (body["thinking"]["type"], body["output_config"]) == ("adaptive", {"effort": effort})
    body, _ = made({"thinking": "adaptive"}, thinking={"type": "adaptive"}, reasoning_effort="max")
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "max"})
    assert made(thinking={"type": "adaptive"})[0]["thinking"] == {"type": "enabled", "budget_tokens": 16384}
    assert made({"thinking": "adaptive"}, thinking={"type": "disabled"})[0]["thinking"] == {"type": "disabled"}


def test_M9_a_budget_is_given_up_for_a_turn_that_cannot_think() -> None:
    loop = [
        USER,
        {"role": "assistant", "tool_calls": [call("a", "f", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    body, dropped = made(messages=loop, reasoning_effort="low", max_tokens=10)
    assert ("thinking" in body, body["max_tokens"], dropped) == (False, 10, ["reasoning_effort"])
    assert "thinking" in made({"thinking": "adaptive"}, messages=loop, reasoning_effort="low")[0]
    assert "thinking" in made(messages=[*loop, USER], reasoning_effort="low")[0], "the user has spoken since"
    thought = {"type": "reasoning.text", "text": "T", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    signed = [USER, {**loop[1], "reasoning_details": [thought]}, loop[2]]
    assert "thinking" in made(messages=signed, reasoning_effort="low")[0]
    body, dropped = made(tools=[TOOL], tool_choice="required", reasoning_effort="low")
    assert ("thinking" in body, dropped) == (False, ["reasoning_effort"])
