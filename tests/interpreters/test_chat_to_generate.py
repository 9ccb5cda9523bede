"""A chat client on a generate platform: requests (G1), answers (G3), streams (G4), thought signatures (section 4)."""

import copy
import json
from typing import Any

import openai
import pytest

from tests.interpreters.readers import WORLD, cut, read_chat_answer, read_chat_stream
from tests.interpreters.vectors import vectors
from translators.interpreters.base import (
    DONE,
    Ask,
    BadAnswerError,
    Event,
    FailedError,
    Media,
    Settings,
    UntranslatableError,
)
from translators.interpreters.chat_to_generate import ChatToGenerate

PNG = "iVBORw0KGgo="
PIXEL = {"inlineData": {"mimeType": "image/png", "data": PNG}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


def pair(**settings: Any) -> ChatToGenerate:
    return ChatToGenerate(Settings(**settings), WORLD)


def asked(body: dict[str, Any], model: str = "m", media: dict[str, Media] | None = None, **settings: Any) -> dict[str, Any]:
    before = copy.deepcopy(body)
    made = pair(**settings).request(Ask(body, model, stream=False), media or {}).body
    assert body == before
    return made


def contents(*messages: dict[str, Any], **settings: Any) -> list[Any]:
    found: list[Any] = asked({"messages": list(messages)}, **settings)["contents"]
    return found


def options(**fields: Any) -> dict[str, Any]:
    settings = fields.pop("settings", {})
    made = asked({"messages": [user("hi")], **fields}, **settings)
    return {key: value for key, value in made.items() if key != "contents"}


def config(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = options(**fields)["generationConfig"]
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def call(ident: str, name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def result(ident: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": content}


def refused(body: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(UntranslatableError) as caught:
        asked({"messages": [user("hi")], **body}, **settings)
    return caught.value.path


def piece(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [{**candidate, **more}], "modelVersion": "m", "responseId": "abc"}


def streamed(*pieces: Any, interpreter: ChatToGenerate | None = None) -> list[Event]:
    interpreter = interpreter or pair()
    return [out for data in pieces for out in interpreter.event(Event(None, data))] + interpreter.end()


# --- golden vectors ---


def test_the_golden_request() -> None:
    body = vectors()["G-P1-OAI"].json
    interpreter = pair(thinking="level")
    for _ in range(2):  # the second time gives the same
        made = interpreter.request(Ask(body, body["model"], stream=True), {})
        assert made.body == vectors()["G-P1-GEM"].json
        assert (made.model, made.stream, interpreter.dropped) == ("gemini-3.5-flash", True, [])


def test_the_golden_answer() -> None:
    answer = pair().answer(vectors()["G-P3-GEM"].json)
    assert answer == vectors()["G-P3-OAI"].json
    assert read_chat_answer(answer).tools == [("call_0", "get_weather", '{"city":"Paris"}'), ("call_1", "get_time", "{}")]


def events_of(name: str, pieces: list[bytes]) -> list[Event]:
    interpreter = pair()
    ask = {"messages": [user("?")], "stream_options": {"include_usage": True}} if name == "G-S1" else {"messages": [user("?")]}
    interpreter.request(Ask(ask, "m", stream=True), {})
    return [out for event in cut(pieces) for out in interpreter.event(event)] + interpreter.end()


@pytest.mark.parametrize("name", ["G-S1", "G-S2", "G-S6"])
def test_the_golden_streams(name: str) -> None:
    golden = vectors()[f"{name}-OAI"]
    said, wanted = read_chat_stream(events_of(name, [vectors()[f"{name}-GEM"].stream])), read_chat_stream(golden.events)
    assert (said.text, said.thinking, said.tools, said.finish, said.usage) == wanted[:5]
    assert said.text == golden.expect.get("expect", "")
    assert said.finish == golden.expect["expect-finish"]


@pytest.mark.parametrize("name", ["G-S1", "G-S2", "G-S5", "G-S6"])
def test_a_stream_cut_at_every_byte_gives_the_same_events(name: str) -> None:
    raw = vectors()[f"{name}-GEM"].stream
    whole = events_of(name, [raw])
    assert len(whole) > 2
    assert events_of(name, [raw[at : at + 1] for at in range(len(raw))]) == whole
    for at in range(1, len(raw)):
        assert events_of(name, [raw[:at], raw[at:]]) == whole


def test_an_error_in_the_middle_is_an_error_event_and_no_end() -> None:
    events = events_of("G-S5", [vectors()["G-S5-GEM"].stream])
    golden = vectors()["G-S5-OAI"].events
    assert events == golden
    with pytest.raises(openai.APIError, match="overloaded"):
        read_chat_stream(events)


def test_a_blocked_prompt_fails_the_call_whole_and_streamed() -> None:
    golden = vectors()["G-S4-OAI"].json["error"]
    block = vectors()["G-S4-GEM"].events[0]
    for attempt in (lambda: pair().answer(block.data), lambda: pair().event(block)):  # type: ignore[arg-type]
        with pytest.raises(FailedError) as caught:
            attempt()
        failure = caught.value.failure
        assert failure.status == 400
        assert (failure.message, failure.kind, failure.param, failure.code) == tuple(
            golden[key] for key in ("message", "type", "param", "code")
        )


# --- G1: the conversation ---


def test_instructions_from_anywhere_become_parts_of_the_system_instruction() -> None:
    system = {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    made = asked({"messages": [system, user("hi"), {"role": "developer", "content": "c"}]})
    assert made["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}
    assert made["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]


def test_a_conversation_of_instructions_only_gets_its_last_one_as_content() -> None:
    made = asked({"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]})
    assert made == {"systemInstruction": {"parts": [{"text": "a"}]}, "contents": [{"role": "user", "parts": [{"text": "b"}]}]}
    assert asked({"messages": [user("")]}) == {"contents": [{"role": "user", "parts": [{"text": " "}]}]}


def test_neighbours_of_one_role_are_merged_and_empty_texts_dropped() -> None:
    made = contents(user("a"), user(""), user([{"type": "text", "text": "b"}]), {"role": "assistant", "content": ""}, user("c"))
    assert made == [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}]


@pytest.mark.parametrize(
    ("part", "made"),
    [
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}, PIXEL),
        ({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}}, PIXEL),  # mislabelled
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}}, PIXEL),
        ({"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}, PIXEL),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/x.mp4?y=1"}},
            {"fileData": {"fileUri": "https://a.example/x.mp4?y=1", "mimeType": "video/mp4"}},
        ),
        ({"type": "image_url", "image_url": {"url": "https://a.example/x"}}, {"fileData": {"fileUri": "https://a.example/x"}}),
        (
            {"type": "video_url", "video_url": {"url": "https://a.example/x"}},
            {"fileData": {"fileUri": "https://a.example/x", "mimeType": "video/mp4"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/x.png"}},
            {"fileData": {"fileUri": "gs://bucket/x.png", "mimeType": "image/png"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
        ),
        (
            {"type": "file", "file": {"file_data": "https://a.example/a.pdf"}},
            {"fileData": {"fileUri": "https://a.example/a.pdf", "mimeType": "application/pdf"}},
        ),
    ],
)
def test_media_of_every_form(part: Any, made: Any) -> None:
    assert contents(user([part])) == [{"role": "user", "parts": [made]}]


def test_urls_are_read_and_sent_as_data_where_the_rule_says_so() -> None:
    read, film = "https://a.example/cat", "https://www.youtube.com/watch?v=1"
    kept = "https://platform.example/v1beta/files/abc"
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in (read, film, kept, read)]
    body = {"messages": [user([*parts, {"type": "file", "file": {"file_data": "https://a.example/a.txt"}}])]}
    interpreter = pair(urls="inline")
    assert list(interpreter.urls(Ask(body, "m", stream=False))) == [read, "https://a.example/a.txt"]
    media = {
        read: Media(b"\x89PNG\r\n\x1a\n", "text/html"),
        "https://a.example/a.txt": Media(b"hello", "text/plain; charset=utf-8"),
    }
    made = interpreter.request(Ask(body, "m", stream=False), media).body["contents"][0]["parts"]
    assert made[0] == made[3] == {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert made[1:3] == [{"fileData": {"fileUri": film}}, {"fileData": {"fileUri": kept}}]
    assert made[4] == {"inlineData": {"mimeType": "text/plain", "data": "aGVsbG8="}}


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (user([{"type": "file", "file": {"file_id": "file-1"}}]), "messages[0].content[0].file.file_id"),
        (user([{"type": "hologram"}]), "messages[0].content[0].type"),
        (user([{"type": "image_url", "image_url": {"url": "nonsense"}}]), "messages[0].content[0].image_url.url"),
        ({"role": "assistant", "audio": {"id": "audio_1"}}, "messages[0].audio"),
        ({"role": "assistant", "tool_calls": [call("a", arguments="[1]")]}, "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [call("a", arguments="{")]}, "messages[0].tool_calls[0].function.arguments"),
        (result("unknown", "x"), "messages[0].tool_call_id"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        (user(3), "messages[0].content"),
        ("hello", "messages[0]"),
    ],
)
def test_what_changes_the_conversation_is_refused_whatever_the_rule_says(message: Any, path: str) -> None:
    assert refused({"messages": [message]}, unsupported="drop") == path
    assert refused({"messages": []}, unsupported="drop") == "messages"


def test_pictures_in_the_text_of_earlier_answers_are_parts_again() -> None:
    said = {"role": "assistant", "content": f"Here: ![image](data:image/png;base64,{PNG}) done", "refusal": "no more"}
    more = {"role": "assistant", "content": None, "images": [{"type": "image_url", "image_url": {"url": PNG}}]}
    made = contents(user("draw"), said, more)[1]
    assert made == {"role": "model", "parts": [{"text": "Here: "}, PIXEL, {"text": " done"}, {"text": "no more"}, PIXEL]}


def test_what_only_looks_like_a_picture_stays_text() -> None:
    for text in (
        "x](data:image/png;base64,AAAA)",
        "![a\n]b](data:image/png;base64,AAAA)",
        "![a](data:image/png;base64,AAAA",
        "![](data:)",
    ):
        assert contents(user("?"), {"role": "assistant", "content": text})[1]["parts"] == [{"text": text}]
    many = "![" * 100_000 + "](data:"
    assert contents(user("?"), {"role": "assistant", "content": many})[1]["parts"] == [{"text": many}]


def test_results_stand_together_with_the_names_of_their_functions_before_other_words() -> None:
    calls = {"role": "assistant", "content": "Hm.", "tool_calls": [call("a", "f", '{"x":1}'), call("b", "g", "")]}
    photo = result("b", [{"type": "text", "text": "[1]"}, {"type": "image_url", "image_url": {"url": PNG}}])
    made = contents(calls, user("wait"), photo, result("a", "Error: gone"))
    assert made == [
        {
            "role": "model",
            "parts": [
                {"text": "Hm."},
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "b", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "b", "name": "g", "response": {"result": [1]}}},
                {"functionResponse": {"id": "a", "name": "f", "response": {"error": "gone"}}},
                {"text": "wait"},
                PIXEL,
            ],
        },
    ]


def test_calls_of_the_time_before_tools_are_understood_and_answered_alike() -> None:
    body = {
        "messages": [
            user("?"),
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
            {"role": "function", "name": "f", "content": "4"},
        ],
        "functions": [{"name": "f", "parameters": SCHEMA}],
        "function_call": {"name": "f"},
    }
    interpreter = pair()
    made = interpreter.request(Ask(body, "m", stream=False), {}).body
    assert made["contents"][1:] == [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "4"}}}]},
    ]
    assert made["tools"] == [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}]
    assert made["toolConfig"]["functionCallingConfig"] == {"mode": "ANY", "allowedFunctionNames": ["f"]}
    said = piece({"functionCall": {"name": "f", "args": {"a": 2}}}, finish="STOP")
    choice = interpreter.answer(said)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":2}'}
    assert choice["finish_reason"] == "function_call"
    events = streamed(said, interpreter=interpreter)
    assert events[1].data["choices"][0]["delta"] == {"function_call": {"name": "f", "arguments": '{"a":2}'}}  # type: ignore[index]


# --- section 4: thought signatures ---


def signatures(*messages: dict[str, Any], **settings: Any) -> list[str | None]:
    return [part.get("thoughtSignature") for content in contents(*messages, **settings) for part in content["parts"]]


def test_signatures_return_on_the_part_they_came_with() -> None:
    google = {"extra_content": {"google": {"thought_signature": "U0lH"}}}
    portkey = call("b")
    portkey["function"]["thought_signature"] = "QUJD"
    detail = {"type": "reasoning.encrypted", "data": "REVG", "format": "google-gemini-v1", "id": "c"}
    alien = {"type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    said = {"role": "assistant", "tool_calls": [call("a", **google), portkey, call("c")], "reasoning_details": [detail, alien]}
    assert signatures(said) == ["U0lH", "QUJD", "REVG"]


def test_the_first_call_of_each_foreign_step_gets_the_escape_value() -> None:
    step = {"role": "assistant", "tool_calls": [call("a"), call("b")]}
    own = {"role": "assistant", "tool_calls": [call("c", extra_content={"google": {"thought_signature": "U0lH"}}), call("d")]}
    history = [user("?"), step, result("a", "1"), result("b", "2"), own]
    assert signatures(*history) == [None, None, None, None, None, "U0lH", None]
    assert signatures(*history, foreign_signature="skip") == [None, "skip", None, None, None, "U0lH", None]


def test_signatures_of_texts_and_pictures_survive_the_way_through_the_client() -> None:
    said = piece(
        {"text": "Look", "thoughtSignature": "QQ=="},
        PIXEL | {"thoughtSignature": "Qg=="},
        {"text": "."},
        {"text": "."},
        finish="STOP",
    )
    whole = pair().answer(said)["choices"][0]["message"]
    assert whole["content"] == f"Look![image](data:image/png;base64,{PNG}).."
    pieces = [piece(part) for part in said["candidates"][0]["content"]["parts"]]
    read = read_chat_stream(streamed(*pieces, piece({"text": "", "thoughtSignature": "Qw=="}, finish="STOP"))).message
    assert contents(whole) == [
        {
            "role": "model",
            "parts": [{"text": "Look", "thoughtSignature": "QQ=="}, PIXEL | {"thoughtSignature": "Qg=="}, {"text": ".."}],
        }
    ]
    assert signatures(read["choices"][0]["message"]) == ["QQ==", "Qg==", "Qw=="]
    alone = read_chat_stream(streamed(piece({"text": "", "thoughtSignature": "Qw=="}, finish="STOP"))).message
    assert contents(alone["choices"][0]["message"]) == [{"role": "model", "parts": [{"text": "", "thoughtSignature": "Qw=="}]}]


# --- G1: options ---


def test_plain_options() -> None:
    given = {"temperature": 0, "top_p": 0.5, "top_k": 3, "seed": 1, "presence_penalty": 0.1, "frequency_penalty": 0.2, "n": 2}
    assert config(**given, max_tokens=5, logprobs=True, top_logprobs=2, stop=["a", "b"]) == {
        "temperature": 0,
        "topP": 0.5,
        "topK": 3,
        "seed": 1,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "candidateCount": 2,
        "maxOutputTokens": 5,
        "responseLogprobs": True,
        "logprobs": 2,
        "stopSequences": ["a", "b"],
    }
    assert config(max_tokens=5, max_completion_tokens=6) == {"maxOutputTokens": 6}


def test_what_says_nothing_needs_no_field() -> None:
    nothing = {"temperature": None, "stop": None, "tools": [], "logit_bias": {}, "store": False, "parallel_tool_calls": True}
    assert options(**nothing, service_tier="auto", response_format={"type": "text"}, modalities=["text"], stream=False) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parallel_tool_calls", False),
        ("user", "u"),
        ("metadata", {"a": "b"}),
        ("store", True),
        ("service_tier", "flex"),
        ("logit_bias", {"1": 2}),
        ("prediction", {"type": "content", "content": "x"}),
        ("audio", {"voice": "a", "format": "wav"}),
        ("prompt_cache_key", "k"),
        ("something_new", 1),
    ],
)
def test_options_without_a_counterpart_are_refused_or_dropped_as_the_rule_says(field: str, value: Any) -> None:
    assert refused({field: value}) == field
    interpreter = pair(unsupported="drop")
    made = interpreter.request(Ask({"messages": [user("hi")], field: value}, "m", stream=False), {})
    assert set(made.body) == {"contents"}
    assert interpreter.dropped == [field]


def test_fields_of_messages_without_a_counterpart_are_named_by_their_path() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    assert refused({"messages": [user([image])]}) == "messages[0].content[0].image_url.detail"
    assert refused({"messages": [{**user("x"), "name": "bob"}]}) == "messages[0].name"
    text = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert refused({"messages": [user([text])]}) == "messages[0].content[0].cache_control"


def test_structured_output() -> None:
    assert config(response_format={"type": "json_object"}) == {"responseMimeType": "application/json"}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"$schema": "x", **SCHEMA}}}
    assert config(response_format=wanted)["responseJsonSchema"] == {"$schema": "x", **SCHEMA}
    assert config(response_format=wanted, settings={"schema": "subset"}) == {
        "responseMimeType": "application/json",
        "responseSchema": SCHEMA,
    }


def test_tools_in_full_and_in_the_subset() -> None:
    bare = {"type": "function", "function": {"name": "g", "description": "d", "parameters": {"type": "object", "properties": {}}}}
    strict = {"type": "function", "function": {"name": "h", "strict": True}}
    assert options(tools=[TOOL, bare, strict])["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "parametersJsonSchema": SCHEMA},
                {"name": "g", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}},
                {"name": "h"},
            ]
        }
    ]
    assert options(tools=[TOOL, bare], settings={"schema": "subset"})["tools"] == [
        {"functionDeclarations": [{"name": "f", "parameters": SCHEMA}, {"name": "g", "description": "d"}]}
    ]


def test_hosted_tools() -> None:
    named = [{"type": "function", "function": {"name": name}} for name in ("googleSearch", "codeExecution", "urlContext")]
    assert options(tools=named, web_search_options={})["tools"] == [{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}]
    assert options(web_search_options={"search_context_size": "medium"})["tools"] == [{"googleSearch": {}}]
    assert refused({"web_search_options": {"user_location": {"type": "approximate"}}}) == "web_search_options.user_location"
    assert refused({"tools": [{"type": "web_search"}]}, unsupported="drop") == "tools[0].type"


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_among_tools(choice: Any, made: Any) -> None:
    assert options(tools=[TOOL], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": made}


def test_a_choice_narrowed_to_some_tools_offers_these_alone() -> None:
    other = {"type": "function", "function": {"name": "g"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [other]}}
    made = options(tools=[TOOL, other], tool_choice=allowed)
    assert made["tools"] == [{"functionDeclarations": [{"name": "g"}]}]
    assert made["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_a_custom_tool_is_a_function_of_one_text_and_its_calls_come_back_custom() -> None:
    tool = {"type": "custom", "custom": {"name": "run", "description": "code"}}
    used = {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "run", "input": "1+1"}}]}
    interpreter = pair()
    made = interpreter.request(Ask({"messages": [user("?"), used, result("c", "2")], "tools": [tool]}, "m", stream=False), {}).body
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert made["tools"][0]["functionDeclarations"] == [{"name": "run", "description": "code", "parametersJsonSchema": schema}]
    assert made["contents"][1]["parts"] == [{"functionCall": {"id": "c", "name": "run", "args": {"input": "1+1"}}}]
    said = piece({"functionCall": {"name": "run", "args": {"input": "2+2"}}}, finish="STOP")
    assert read_chat_answer(interpreter.answer(said)).tools == [("call_0", "run", "2+2")]
    calls = streamed(said, interpreter=interpreter)[1].data["choices"][0]["delta"]["tool_calls"]  # type: ignore[index]
    assert calls == [{"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "run", "input": "2+2"}}]
    grammar = {"type": "custom", "custom": {"name": "run", "format": {"type": "grammar", "grammar": {}}}}
    assert refused({"tools": [grammar]}) == "tools[0].custom.format"


@pytest.mark.parametrize(
    ("effort", "level", "budget"),
    [
        ("none", {"includeThoughts": True, "thinkingLevel": "MINIMAL"}, {"thinkingBudget": 0}),
        ("minimal", {"includeThoughts": True, "thinkingLevel": "MINIMAL"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("low", {"includeThoughts": True, "thinkingLevel": "LOW"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("medium", {"includeThoughts": True, "thinkingLevel": "MEDIUM"}, {"includeThoughts": True, "thinkingBudget": 8192}),
        ("high", {"includeThoughts": True, "thinkingLevel": "HIGH"}, {"includeThoughts": True, "thinkingBudget": 24576}),
        ("max", {"includeThoughts": True, "thinkingLevel": "HIGH"}, {"includeThoughts": True, "thinkingBudget": 24576}),
    ],
)
def test_effort_as_a_level_and_as_a_budget(effort: str, level: Any, budget: Any) -> None:
    assert config(reasoning_effort=effort, settings={"thinking": "level"})["thinkingConfig"] == level
    assert config(reasoning_effort=effort, settings={"thinking": "budget"})["thinkingConfig"] == budget


def test_a_model_that_does_not_think_is_asked_for_no_thoughts() -> None:
    assert refused({"reasoning_effort": "low"}, thinking="off") == "reasoning_effort"
    assert options(reasoning_effort="none", settings={"thinking": "off"}) == {}


@pytest.mark.parametrize(
    ("model", "name", "thinking"),
    [
        ("m-1-thinking", "m-1", {"includeThoughts": True}),
        ("m-1-thinking-2048", "m-1", {"includeThoughts": True, "thinkingBudget": 2048}),
        ("m-1-nothinking", "m-1", {"thinkingBudget": 0}),
    ],
)
def test_suffixes_of_models_say_how_they_think(model: str, name: str, thinking: Any) -> None:
    made = pair().request(Ask({"messages": [user("hi")]}, model, stream=False), {})
    assert (made.model, made.body["generationConfig"]) == (name, {"thinkingConfig": thinking})


def test_what_only_this_protocol_has_comes_in_extra_body() -> None:
    google = {"thinking_config": {"include_thoughts": True, "thinking_budget": 5}, "image_config": {"aspectRatio": "1:1"}}
    wanted = {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 5}, "imageConfig": {"aspectRatio": "1:1"}}
    assert config(extra_body={"google": google}) == wanted
    assert config(google=google, aspect_ratio="16:9") == wanted
    assert config(modalities=["text", "image"], aspect_ratio="16:9") == {
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "16:9"},
    }
    assert refused({"extra_body": {"google": {"new": 1}}}) == "extra_body.google.new"


# --- G3: answers ---


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *[(word, "content_filter") for word in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE")],
        *[(word, "content_filter") for word in ("MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION")],
        *[(word, "stop") for word in ("OTHER", "FINISH_REASON_UNSPECIFIED", "CONTINUATION", "SOMETHING_NEW")],
        *[(word, "stop") for word in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "NO_IMAGE")],
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    said = piece({"text": "x"}, finish=reason)
    assert pair().answer(said)["choices"][0]["finish_reason"] == finish
    assert read_chat_stream(streamed(said)).finish == finish


@pytest.mark.parametrize(
    "reason",
    ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "NO_IMAGE", "IMAGE_OTHER"],
)
def test_a_fault_of_the_model_that_left_nothing_is_a_failure(reason: str) -> None:
    said = {"candidates": [{"index": 0, "finishReason": reason, "finishMessage": "Broken."}]}
    for attempt in (pair().answer, lambda data: pair().event(Event(None, data))):
        with pytest.raises(FailedError, match="Broken") as caught:
            attempt(said)
        assert (caught.value.failure.status, caught.value.failure.kind) == (502, "upstream_error")
    with pytest.raises(openai.APIError, match="Broken"):  # thoughts have gone out already
        read_chat_stream(streamed(piece({"text": "Hm.", "thought": True}), said))


def test_a_finish_reason_that_was_not_given_is_not_made_up() -> None:
    assert pair().answer(piece({"text": "x"}))["choices"][0]["finish_reason"] is None


def test_an_answer_without_candidates_is_a_failure() -> None:
    with pytest.raises(FailedError) as caught:
        pair().answer({"usageMetadata": {"promptTokenCount": 3}})
    assert (caught.value.failure.status, caught.value.failure.code) == (502, "empty_response")
    with pytest.raises(FailedError, match="overloaded"):
        pair().answer({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})


def test_parts_of_every_kind() -> None:
    message = pair().answer(
        piece(
            {"text": "Draft", "thought": True},
            {**PIXEL, "thought": True},
            {"text": "a"},
            {"text": "\n"},
            PIXEL,
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            {"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/x.png"}},
            {"somethingNew": {}},
            finish="STOP",
        )
    )["choices"][0]["message"]
    assert message["reasoning_content"] == "Draft"
    assert message["content"] == (
        f"a\n![image](data:image/png;base64,{PNG})\n```python\nprint(1)\n```\n\n```\n1\n```\n![image](https://a.example/x.png)"
    )


def test_calls_count_for_their_own_candidate_only() -> None:
    called = {"index": 1, "content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}
    said = {"candidates": [{"index": 0, "content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}, called]}
    choices = pair().answer(said)["choices"]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices] == [(0, "stop"), (1, "tool_calls")]
    assert choices[1]["message"]["content"] is None
    events = streamed(said)
    last = [event.data["choices"][0] for event in events[-3:-1]]  # type: ignore[index]
    assert [(choice["index"], choice["finish_reason"]) for choice in last] == [(0, "stop"), (1, "tool_calls")]


def test_ids_that_were_made_up_are_new_to_the_whole_conversation() -> None:
    history = [user("?"), {"role": "assistant", "tool_calls": [call("call_0"), call("call_7"), call("x")]}]
    history += [result(ident, "1") for ident in ("call_0", "call_7", "x")]
    interpreter = pair()
    interpreter.request(Ask({"messages": history}, "m", stream=False), {})
    said = piece({"functionCall": {"name": "f"}}, {"functionCall": {"id": "given", "name": "f"}}, finish="STOP")
    assert [ident for ident, _, _ in read_chat_answer(interpreter.answer(said)).tools] == ["call_8", "given"]


def test_usage_with_hosted_tools_cache_thoughts_and_modalities() -> None:
    usage = {"promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 2}
    details = {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": "IMAGE", "tokenCount": 6}]}
    said = piece({"text": "x"}, finish="STOP") | {"usageMetadata": {**usage, **details, "totalTokenCount": 24}}
    assert pair().answer(said)["usage"] == {
        "prompt_tokens": 15,
        "completion_tokens": 9,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 4, "image_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert "usage" not in pair().answer(piece({"text": "x"}, finish="STOP"))


def test_sources_become_annotations_with_offsets_in_characters() -> None:
    grounding = {
        "webSearchQueries": ["q"],
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"web": {"uri": "https://b.example", "title": "B"}},
        ],
        "groundingSupports": [{"segment": {"startIndex": 4, "endIndex": 9, "text": "Tür z"}, "groundingChunkIndices": [0, 9]}],
    }
    citations = {"citations": [{"startIndex": 0, "endIndex": 3, "uri": "https://c.example"}]}
    ends = {"finish": "STOP", "groundingMetadata": grounding, "citationMetadata": citations}
    message = pair().answer(piece({"text": "Üb Tür zu"}, **ends))["choices"][0]["message"]
    found = [cited(entry) for entry in message["annotations"]]
    assert found == [(3, 8, "A", "https://a.example"), (0, 0, "B", "https://b.example"), (0, 2, "", "https://c.example")]
    interpreter = pair()
    interpreter.request(Ask({"messages": [user("?")], "web_search_options": {}}, "m", stream=True), {})
    events = streamed(piece({"text": "Üb T"}), piece({"text": "ür zu"}, **ends), interpreter=interpreter)
    annotations = read_chat_stream(events).message["choices"][0]["message"]["annotations"]
    assert [cited(entry) for entry in annotations] == found
    assert [entry["index"] for entry in annotations] == [0, 1, 2]  # the official accumulator needs them


def cited(entry: Any) -> tuple[Any, ...]:
    return tuple(entry["url_citation"][key] for key in ("start_index", "end_index", "title", "url"))


def test_probabilities_of_tokens() -> None:
    logprobs = {
        "chosenCandidates": [{"token": "ü", "tokenId": 1, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "u", "logProbability": -2}]}],
    }
    wanted = {
        "content": [
            {
                "token": "ü",
                "logprob": -0.5,
                "bytes": [195, 188],
                "top_logprobs": [{"token": "u", "logprob": -2, "bytes": [117]}],
            }
        ],
        "refusal": None,
    }
    said = piece({"text": "ü"}, finish="STOP", logprobsResult=logprobs)
    assert pair().answer(said)["choices"][0]["logprobs"] == wanted
    assert streamed(said)[1].data["choices"][0]["logprobs"] == wanted  # type: ignore[index]


def test_why_an_answer_was_filtered_is_the_refusal() -> None:
    said = {"candidates": [{"index": 0, "finishReason": "SAFETY", "finishMessage": "Unsafe."}]}
    choice = pair().answer(said)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["refusal"]) == ("content_filter", "Unsafe.")
    assert read_chat_stream(streamed(said)).message["choices"][0]["message"]["refusal"] == "Unsafe."


def test_an_answer_that_names_neither_itself_nor_its_model_gets_both() -> None:
    interpreter = pair()
    interpreter.request(Ask({"messages": [user("?")]}, "asked", stream=False), {})
    answer = interpreter.answer({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]})
    assert (answer["id"], answer["model"], answer["created"]) == ("chatcmpl-Id0123456789", "asked", 1700000000)


# --- G4: streams ---


def test_a_stream_that_ends_without_a_finish_reason_is_given_none() -> None:
    events = streamed(piece({"text": "Par"}))
    assert DONE not in [event.data for event in events]
    with pytest.raises(openai.APIError, match="ended before"):
        read_chat_stream(events)


def test_a_stream_without_anything_is_an_error() -> None:
    with pytest.raises(openai.APIError, match="no candidates"):
        read_chat_stream(streamed({"usageMetadata": {"promptTokenCount": 3}}))


def test_usage_is_the_last_that_was_told_and_goes_out_if_asked_for() -> None:
    first = piece({"text": "a"}) | {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}}
    more = piece({"text": "b"}) | {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}}
    last = piece({"text": "c"}, finish="STOP") | {
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
    }
    assert read_chat_stream(streamed(first, more, last)).usage is None
    interpreter = pair()
    interpreter.request(Ask({"messages": [user("?")], "stream_options": {"include_usage": True}}, "m", stream=True), {})
    read = read_chat_stream(streamed(first, more, last, interpreter=interpreter))
    assert read.usage["total_tokens"] == 13
    assert read.usage["completion_tokens"] == 4


def test_sources_that_are_none_are_an_error_at_the_end() -> None:
    with pytest.raises(openai.APIError, match="groundingChunks"):
        read_chat_stream(streamed(piece({"text": "x"}, finish="STOP", groundingMetadata={"groundingChunks": 3})))


def test_thoughts_and_text_of_one_chunk_are_told_apart() -> None:
    read = read_chat_stream(streamed(piece({"text": "Hm", "thought": True}, {"text": "A"}), piece({"text": "B"}, finish="STOP")))
    assert (read.thinking, read.text) == ("Hm", "AB")


def test_nothing_follows_an_error_or_the_end() -> None:
    interpreter = pair()
    interpreter.event(Event(None, piece({"text": "a"})))
    assert interpreter.event(Event(None, {"error": {"code": 500, "message": "x", "status": "INTERNAL"}}))
    assert interpreter.event(Event(None, piece({"text": "b"}, finish="STOP"))) == []
    assert interpreter.end() == []


def test_an_error_before_anything_else_fails_the_call() -> None:
    with pytest.raises(FailedError) as caught:
        pair().event(Event(None, {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}))
    assert caught.value.failure.status == 429


@pytest.mark.parametrize("data", [[], "text", None, {"candidates": [3]}, {"candidates": {}}, {"candidates": [{"content": []}]}])
def test_an_event_of_another_protocol_is_a_bad_answer(data: Any) -> None:
    with pytest.raises(BadAnswerError):
        pair().event(Event(None, data))


def test_what_goes_out_can_be_printed() -> None:
    events = streamed(piece({"functionCall": {"name": "f", "args": {"a": [1, {"b": None}]}}}, finish="STOP"))
    assert all(json.dumps(event.data) for event in events)
