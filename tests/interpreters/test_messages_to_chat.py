"""A messages client on a chat platform: its requests (M2)."""

import base64
from typing import Any

import pytest

from tests.interpreters.readers import WORLD
from tests.interpreters.vectors import vectors
from translators.interpreters.base import (
    Ask,
    Media,
    Settings,
    UntranslatableError,
)
from translators.interpreters.messages_to_chat import MessagesToChat

PNG = "iVBORw0KGgo="
USER = {"role": "user", "content": "Hi"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def made(settings: dict[str, Any] | None = None, media: dict[str, Media] | None = None, **body: Any) -> tuple[Any, list[str]]:
    """The platform's body, and what was dropped."""
    body.setdefault("messages", [USER])
    pair = MessagesToChat(Settings(**settings or {}), WORLD)
    before = repr(body)
    out = pair.request(Ask(body, "gpt", False), media or {})
    assert pair.request(Ask(body, "gpt", False), media or {}) == out, "a second call gives the same"
    assert repr(body) == before, "the client's request is not changed"
    return out.body, pair.dropped


def turns(*messages: Any, **settings: Any) -> Any:
    return made(settings, messages=list(messages))[0]["messages"]


def refused(settings: dict[str, Any] | None = None, **body: Any) -> str:
    with pytest.raises(UntranslatableError) as caught:
        made(settings, **body)
    return caught.value.path


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(ident: str, name: str = "f", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": name, "input": given}


# --- the sheet's vectors ---


def test_golden_P2_a_request_with_results_media_and_thoughts() -> None:
    said = vectors()["A-P2-ANT"].json
    pair = MessagesToChat(Settings(reasoning_history=True, unsupported="drop"), WORLD)
    out = pair.request(Ask(said, said["model"], True), {})
    assert out == Ask(vectors()["A-P2-OAI"].json, "claude-sonnet-4-5", True)
    assert pair.dropped == ["system[0].cache_control"]


# --- M2: turns ---


def test_system_in_its_forms_and_between_the_turns() -> None:
    assert made(system="S")[0]["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]
    assert made(system=[text("A"), text("B")])[0]["messages"][0]["content"] == "A\nB"
    assert made(system=[])[0]["messages"][0]["role"] == "user"
    out = turns(USER, {"role": "system", "content": [text("Now")]}, USER)
    assert [(turn["role"], turn["content"]) for turn in out] == [("user", "Hi"), ("system", "Now"), ("user", "Hi")]


def result(ident: str, content: Any, **members: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content, **members}


def test_results_come_first_and_what_they_show_follows() -> None:
    url = {"type": "image", "source": {"type": "url", "url": "https://e.com/p.jpg"}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"}
    found = {"type": "search_result", "source": "https://e.com", "title": "E", "content": [text("c")]}
    out = turns(
        USER,
        {"role": "assistant", "content": [use("a"), use("b"), use("c")]},
        {
            "role": "user",
            "content": [text("So"), result("b", [text("x"), url, text("y"), pdf]), result("a", [found], is_error=True)],
        },
        {"role": "assistant", "content": [use("d")]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "d"}]},
    )
    assert [(turn["role"], turn.get("tool_call_id")) for turn in out[2:]] == [
        ("tool", "b"),
        ("tool", "a"),
        ("user", None),
        ("assistant", None),
        ("tool", "d"),
    ]
    assert [turn["content"] for turn in out[2:4]] == ["x\ny", "Error: E\nhttps://e.com\nc"]
    assert out[4]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://e.com/p.jpg"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        text("So"),
    ]
    assert out[6]["content"] == ""


def test_what_the_assistant_said_before() -> None:
    said = [
        {"type": "thinking", "thinking": "T", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "RU5D"},
        text("A"),
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        text("B"),
        use("x", "f", b=1, a=[None]),
    ]
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":[null]}'}}
    wanted = {"role": "assistant", "content": "AB", "tool_calls": [call]}
    assert turns(USER, {"role": "assistant", "content": said}, USER)[1] == wanted
    out = turns(USER, {"role": "assistant", "content": said}, USER, reasoning_history=True)
    assert out[1] == {**wanted, "reasoning_content": "T"}
    assert turns(USER, {"role": "assistant", "content": [use("x")]}, USER)[1]["content"] is None


def test_the_beginning_of_an_answer_is_refused_or_dropped() -> None:
    messages = [USER, {"role": "assistant", "content": "{"}]
    assert refused(messages=messages) == "messages[1]"
    body, dropped = made({"unsupported": "drop"}, messages=messages)
    assert (body["messages"], dropped) == ([{"role": "user", "content": "Hi"}], ["messages[1]"])


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ({"type": "base64", "media_type": "image/png", "data": PNG}, f"data:image/png;base64,{PNG}"),
        ({"type": "base64", "media_type": "image/jpeg", "data": PNG}, f"data:image/png;base64,{PNG}"),  # mislabelled
        ({"type": "url", "url": "https://e.com/a.png"}, "https://e.com/a.png"),
    ],
)
def test_pictures_in_all_forms(source: dict[str, Any], url: str) -> None:
    out = turns({"role": "user", "content": [{"type": "image", "source": source}]})
    assert out[0]["content"] == [{"type": "image_url", "image_url": {"url": url}}]


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        ({"source": {"type": "text", "media_type": "text/plain", "data": "T"}, "context": "C"}, [text("C"), text("T")]),
        (
            {
                "source": {
                    "type": "content",
                    "content": [text("a"), {"type": "image", "source": {"type": "url", "url": "https://e.com"}}],
                }
            },
            [text("a"), {"type": "image_url", "image_url": {"url": "https://e.com"}}],
        ),
        ({"source": {"type": "content", "content": "a"}, "citations": {"enabled": False}}, "a"),
        (
            {"source": {"type": "url", "url": "https://e.com/a.pdf"}, "title": None},
            [{"type": "file", "file": {"filename": "document.pdf", "file_data": "https://e.com/a.pdf"}}],
        ),
    ],
)
def test_documents_in_all_forms(document: dict[str, Any], parts: Any) -> None:
    assert turns({"role": "user", "content": [{"type": "document", **document}]})[0]["content"] == parts


def test_a_url_whose_content_was_read_is_sent_as_data() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://e.com/a"}}
    messages = [{"role": "user", "content": [result("a", [picture]), text("Hi")]}]
    pair = MessagesToChat(Settings(urls="inline"), WORLD)
    assert list(pair.urls(Ask({"messages": messages}, "m", False))) == ["https://e.com/a"]
    out, _ = made(media={"https://e.com/a": Media(base64.b64decode(PNG), None)}, messages=messages)
    assert out["messages"][1]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{PNG}"


def user(*blocks: Any) -> list[Any]:
    return [USER, {"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([], "messages"),
        ([{"role": "assistant", "content": "x"}], "messages"),
        (None, "messages"),
        ([{"role": "tool"}], "messages[0].role"),
        (user("x"), "messages[1].content[0]"),
        (user({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages[1].content[0].source.file_id"),
        (
            user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!"}}),
            "messages[1].content[0].source.data",
        ),
        (user({"type": "image", "source": {"type": "x"}}), "messages[1].content[0].source.type"),
        (user({"type": "container_upload", "file_id": "f"}), "messages[1].content[0]"),
        (user(use("a")), "messages[1].content[0]"),
        (user(result("a", [{"type": "audio"}])), "messages[1].content[0].content[0]"),
        (user(result("a", 7)), "messages[1].content[0].content"),
        ([USER, {"role": "assistant", "content": [{**use("a"), "input": "{}"}]}, USER], "messages[1].content[0].input"),
        ([USER, {"role": "assistant", "content": [{"type": "image"}]}, USER], "messages[1].content[0]"),
        ([USER, {"role": "assistant", "content": 5}, USER], "messages[1].content"),
    ],
)
def test_what_would_change_the_conversation_is_always_refused(messages: Any, path: str) -> None:
    assert refused({"unsupported": "drop"}, messages=messages) == path


# --- M2: options ---


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"max_tokens": 5, "temperature": 0.2, "top_p": 0.5}, {"max_completion_tokens": 5, "temperature": 0.2, "top_p": 0.5}),
        ({"stop_sequences": ["A", "B"]}, {"stop": ["A", "B"]}),
        ({"stop_sequences": [], "service_tier": "auto", "speed": "standard", "stream": False}, {}),
        ({"metadata": {"user_id": "u"}}, {"safety_identifier": "u"}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4095}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 16384}}, {"reasoning_effort": "high"}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}},
        ),
        (
            {
                "tools": [
                    {"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", "city": "P"}}
                ]
            },
            {"web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "P"}}}},
        ),
    ],
)
def test_options_have_the_platforms_words(said: dict[str, Any], wanted: dict[str, Any]) -> None:
    body, dropped = made(**said)
    assert body == {"model": "gpt", "messages": [{"role": "user", "content": "Hi"}], **wanted}
    assert dropped == []


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"tool_choice": "required", "parallel_tool_calls": False}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (None, {}),
    ],
)
def test_tools_and_choices_of_them(choice: Any, wanted: dict[str, Any]) -> None:
    tool = {**TOOL, "type": "custom", "description": "D", "strict": True, "eager_input_streaming": True}
    body, _ = made(tools=[tool], tool_choice=choice)
    function = {"name": "f", "description": "D", "parameters": TOOL["input_schema"], "strict": True}
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == {
        "tools": [{"type": "function", "function": function}],
        **wanted,
    }
    assert "tool_choice" not in made(tool_choice=choice)[0], "without tools there is no choice"


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"top_k": 5}, "top_k"),
        ({"service_tier": "standard_only"}, "service_tier"),
        ({"speed": "fast"}, "speed"),
        ({"container": "c"}, "container"),
        ({"cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"brand_new": 1}, "brand_new"),
        ({"metadata": {"other": 1}}, "metadata.other"),
        ({"metadata": {"user_id": "u" * 129}}, "metadata.user_id"),
        ({"output_config": {"other": 1}}, "output_config.other"),
        ({"thinking": {"type": "between_tools"}}, "thinking"),
        ({"stop_sequences": list("abcde")}, "stop_sequences[4]"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        ({"tools": [{"type": "web_search_20250305", "max_uses": 5}]}, "tools[0].max_uses"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]}, "tools[0].cache_control"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "web_search"}}, "tool_choice"),
        ({"messages": user({**text("a"), "cache_control": {"type": "ephemeral"}})}, "messages[1].content[0].cache_control"),
        (
            {"messages": user({"type": "document", "source": {"type": "text", "data": "a"}, "citations": {"enabled": True}})},
            "messages[1].content[0].citations",
        ),
    ],
)
def test_options_without_a_counterpart_are_refused_or_dropped_as_the_rule_says(said: dict[str, Any], path: str) -> None:
    assert refused(**said) == path
    assert made({"unsupported": "drop"}, **said)[1] == [path]


def test_a_model_that_does_not_think_is_not_told_to() -> None:
    assert refused({"thinking": "off"}, thinking={"type": "enabled", "budget_tokens": 5000}) == "thinking"
    assert "reasoning_effort" not in made({"thinking": "off"}, thinking={"type": "disabled"})[0]


def test_a_stream_is_asked_for_with_its_usage() -> None:
    out = MessagesToChat(Settings(), WORLD).request(Ask({"messages": [USER]}, "gpt", True), {})
    assert (out.body["stream"], out.body["stream_options"], out.stream) == (True, {"include_usage": True}, True)


def test_origins_name_the_places_in_the_clients_request() -> None:
    pair = MessagesToChat(Settings(), WORLD)
    messages = [
        USER,
        {"role": "assistant", "content": [text("A"), use("a")]},
        {"role": "user", "content": [text("B"), result("a", "1")]},
    ]
    tools = [{"type": "web_search_20250305", "name": "web_search"}, TOOL]
    pair.request(Ask({"system": "S", "messages": messages, "max_tokens": 5, "tools": tools}, "gpt", False), {})
    assert [
        pair.origin(path)
        for path in (
            "messages[0].content",
            "messages[2].tool_calls[0].function.arguments",
            "messages[3]",
            "messages[4].content[0]",
            "max_completion_tokens",
            "tools[0].function.parameters.x",
            "unknown[3]",
        )
    ] == [
        "system",
        "messages[1].content[1]",
        "messages[2].content[1]",
        "messages[2].content[0]",
        "max_tokens",
        "tools[1]",
        "unknown[3]",
    ]
