"""A client of chat before a platform of responses: requests (M7), answers and streams (M8), there and back."""

import copy
import json
from collections.abc import Iterable
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpreters.readers import cut, read_chat_answer, read_chat_stream
from tests.interpreters.readers_responses import world
from tests.interpreters.test_responses_to_chat import JSON, TEXT, changed, places
from tests.interpreters.vectors import vectors
from translators.interpreters.base import DONE, Ask, BadAnswerError, Event, FailedError, Media, Settings, UntranslatableError
from translators.interpreters.chat_to_responses import ChatToResponses
from translators.interpreters.responses_to_chat import ResponsesToChat

DROP = Settings(unsupported="drop")
KEEP = Settings(reasoning_history=True)
USAGE = {"stream_options": {"include_usage": True}}


def pair(with_: Settings = Settings()) -> ChatToResponses:  # noqa: B008 - frozen
    return ChatToResponses(with_, world())


def asked(body: dict[str, Any], with_: Settings = Settings(), media: dict[str, Media] | None = None) -> dict[str, Any]:  # noqa: B008
    """The request of responses; also that the client's is not touched and that asking twice gives the same."""
    one, before = pair(with_), copy.deepcopy(body)
    ask = Ask(body, "m", body.get("stream") is True)
    first = one.request(ask, media or {})
    assert one.request(ask, media or {}) == first
    assert body == before
    return first.body


def items(messages: Any) -> Any:
    return asked({"messages": messages})["input"]


def streamed(events: Iterable[Event], body: dict[str, Any] | None = None) -> list[Event]:
    one = pair()
    one.request(Ask({"messages": [], **(body or {})}, "m", True), {})
    return [out for event in events for out in one.event(event)] + one.end()


def said(kind: str, **members: Any) -> Event:
    return Event(f"response.{kind}", {"type": f"response.{kind}", **members})


def created() -> Event:
    return said("created", response={"id": "resp_1", "created_at": 1, "model": "x", "error": None})


def completed(*output: dict[str, Any], **members: Any) -> Event:
    return said("completed", response={"id": "resp_1", "status": "completed", "error": None, "output": list(output), **members})


def response(*output: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**vectors()["O-RESP"].json, "output": list(output), **members}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"x":1}', "status": "completed"}
CUSTOM = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "b", "name": "p", "input": "raw"}


# --- requests ---


def test_the_request_with_tools_of_the_sheet() -> None:
    body = vectors()["O-REQ-TOOLS"].json
    del body["stop"]
    parameters = body["tools"][0]["function"]["parameters"]
    assert asked(body) == {
        "model": "m",
        "instructions": "You are a weather bot.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Weather in Paris and Rome?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
                ],
            },
            {"type": "function_call", "call_id": "call_a", "name": "get_weather", "arguments": '{"city":"Paris"}'},
            {"type": "function_call", "call_id": "call_b", "name": "get_weather", "arguments": '{"city":"Rome"}'},
            {"type": "function_call_output", "call_id": "call_a", "output": "18C"},
            {"type": "function_call_output", "call_id": "call_b", "output": "24C"},
            {"role": "user", "content": "Summarise."},
        ],
        "tools": [
            {"type": "function", "name": "get_weather", "description": "Current weather", "parameters": parameters, "strict": True}
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_output_tokens": 256,
        "temperature": 0.2,
        "store": False,
        "stream": True,
    }


def test_the_request_with_a_schema_of_the_sheet() -> None:
    shape = vectors()["O-REQ-SCHEMA"].json["response_format"]["json_schema"]
    made = asked(vectors()["O-REQ-SCHEMA"].json)
    assert made["text"] == {"format": {"type": "json_schema", "name": "Out", "strict": True, "schema": shape["schema"]}}
    assert made["instructions"] == "s"


def test_there_and_back_the_golden_request_is_the_same() -> None:
    chat = vectors()["A-R1-OAI"].json
    there = asked(chat)
    back = ResponsesToChat(KEEP, world()).request(Ask(there, "gpt-4.1", True), {}).body
    del chat["messages"][2]["reasoning_content"]  # only its own thoughts are something to this platform
    assert back == chat


def test_every_option_has_its_place() -> None:
    body = {
        "messages": [{"role": "user", "content": "?"}],
        "max_tokens": 7,
        "reasoning_effort": "low",
        "verbosity": "high",
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "top_logprobs": 3,
        "store": True,
        "metadata": {"a": "b"},
        "n": 1,
        "stop": None,
        "modalities": ["text"],
        "web_search_options": {
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"city": "x"}},
        },
        "tools": [
            {"type": "function", "function": {"name": "f"}},
            {
                "type": "custom",
                "custom": {"name": "p", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s"}}},
            },
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "p"}}]},
        },
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }
    assert asked(body) == {
        "model": "m",
        "input": [{"role": "user", "content": "?"}],
        "max_output_tokens": 7,
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "text": {"format": {"type": "json_object"}, "verbosity": "high"},
        "top_logprobs": 3,
        "store": True,
        "metadata": {"a": "b"},
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
            {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "s"}},
            {"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "city": "x"}},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "p"}]},
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }


def test_every_message_has_its_item() -> None:
    history = [
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {
            "role": "user",
            "content": [
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_data": "https://h/a.pdf"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "r"}]},
        {"role": "assistant", "content": "b", "refusal": "s"},
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "custom", "custom": {"name": "p", "input": "i"}}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "o"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "q"},
        {"role": "system", "content": "late"},
    ]
    assert items(history) == [
        {"role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://h/a.pdf"},
                {"type": "input_file", "file_id": "file-1"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "r"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "s"}]},
        {"type": "custom_tool_call", "call_id": "x", "name": "p", "input": "i"},
        {"type": "custom_tool_call_output", "call_id": "x", "output": [{"type": "input_text", "text": "o"}]},
        {"type": "function_call", "call_id": "call_6", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_6", "output": "q"},
        {"role": "system", "content": "late"},
    ]


def test_urls_are_read_where_the_platform_reads_none() -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a.gif"}}]}]}
    assert list(pair().urls(Ask(body, "m", False))) == ["https://h/a.gif"]
    part = asked(body, media={"https://h/a.gif": Media(b"\x01", "image/gif")})["input"][0]["content"][0]
    assert part == {"type": "input_image", "image_url": "data:image/gif;base64,AQ==", "detail": "auto"}


@pytest.mark.parametrize("name", ["stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "prediction", "top_k"])
def test_options_that_responses_lack_are_refused_or_dropped(name: str) -> None:
    body = {"messages": [], name: {"1": 1} if name in ("logit_bias", "prediction") else 1}
    with pytest.raises(UntranslatableError) as caught:
        asked(body)
    assert caught.value.path == name
    one = pair(DROP)
    assert name not in one.request(Ask(body, "m", False), {}).body
    assert one.dropped == [name]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "critic"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0].file"),
        ({"tools": [{"type": "hosted"}]}, "tools[0].type"),
        ({"response_format": {"type": "x"}}, "response_format.type"),
    ],
)
def test_what_changes_the_meaning_is_refused_whatever_the_rule_says(members: dict[str, Any], path: str) -> None:
    with pytest.raises(UntranslatableError) as caught:
        asked({"messages": [], **members}, DROP)
    assert caught.value.path == path


def test_names_and_marks_for_caching_are_refused_or_dropped() -> None:
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    body = {"messages": [{"role": "user", "name": "Ann", "content": [marked]}]}
    one = pair(DROP)
    assert one.request(Ask(body, "m", False), {}).body["input"] == [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]}
    ]
    assert one.dropped == ["messages[0].content[0].cache_control", "messages[0].name"]
    with pytest.raises(UntranslatableError):
        asked(body)


# --- answers ---


def test_the_golden_answer() -> None:
    one = pair()
    read = read_chat_answer(one.answer(vectors()["O-RESP"].json))
    assert (read.text, read.finish) == ("In a grove…", "stop")
    assert read.usage == {
        "prompt_tokens": 36,
        "completion_tokens": 87,
        "total_tokens": 123,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert (read.message["id"], read.message["created"], read.message["model"]) == ("resp_67ccd2", 1741476542, "gpt-4.1-2025-04-14")


def test_the_items_of_an_answer_are_one_message() -> None:
    cited = {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "https://h", "title": "t"}
    made = pair().answer(
        response(
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "E"},
            message({"type": "output_text", "text": "One ", "annotations": []}),
            message({"type": "output_text", "text": "two", "annotations": [cited]}, {"type": "refusal", "refusal": "No."}),
            CALL,
            CUSTOM,
        )
    )
    read = read_chat_answer(made)
    assert (read.text, read.thinking, read.finish) == ("One two", "Hm.", "tool_calls")
    assert read.tools == [("a", "f", '{"x":1}'), ("b", "p", "raw")]
    told = made["choices"][0]["message"]
    assert told["refusal"] == "No."
    assert told["annotations"] == [
        {"type": "url_citation", "url_citation": {"start_index": 4, "end_index": 5, "url": "https://h", "title": "t"}}
    ]
    history = [{"role": "user", "content": "?"}, told, {"role": "tool", "tool_call_id": "a", "content": "r"}]
    back = asked({"messages": history})
    assert back["input"][1] == {"type": "reasoning", "summary": [], "encrypted_content": "E", "id": "rs_1"}
    assert back["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("status", "reason", "finish"),
    [
        ("completed", None, "stop"),
        ("incomplete", "max_output_tokens", "length"),
        ("incomplete", "content_filter", "content_filter"),
        ("incomplete", "steered", "length"),
    ],
)
def test_the_table_of_states(status: str, reason: str | None, finish: str) -> None:
    members = {"status": status, "incomplete_details": {"reason": reason} if reason else None}
    made = pair().answer(response(message({"type": "output_text", "text": "x"}), **members))
    assert made["choices"][0]["finish_reason"] == finish
    whole = said(status, response={**members, "output": []})
    out = streamed([created(), whole])
    assert [event.data["choices"][0]["finish_reason"] for event in out[:-1]] == [None, finish]  # type: ignore[index]


def test_failures_and_other_shapes_of_an_answer() -> None:
    with pytest.raises(FailedError) as caught:
        pair().answer(response(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow."}))
    assert (caught.value.failure.status, caught.value.failure.message) == (429, "Slow.")
    for bad in ({"choices": []}, response(status="queued"), {"output": [5]}, response({**CALL, "call_id": None})):
        with pytest.raises(BadAnswerError):
            pair().answer(bad)


# --- streams ---


def test_the_golden_stream() -> None:
    out = streamed(vectors()["O-RSSE-FC"].events, USAGE)
    wanted = vectors()["A-R4-OAI"].events
    assert len(out) == len(wanted)
    for made, expected in zip(out[:-2], wanted[:-2], strict=True):
        assert isinstance(made.data, dict)
        assert isinstance(expected.data, dict)
        assert {**made.data, "created": 0} == {**expected.data, "created": 0}
    read = read_chat_stream(out)
    assert read.tools == [("call_a", "get_weather", '{"city":"Paris"}')]
    assert (read.finish, [read.usage[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")]) == (
        "tool_calls",
        [30, 12, 42],
    )
    assert out[-1] == (None, DONE)


@pytest.mark.parametrize("name", ["O-RSSE-TEXT", "O-RSSE-FC", "O-RSSE-WEB", "A-R2-RESP"])
def test_a_stream_of_responses_means_the_same_wherever_it_is_cut(name: str) -> None:
    vector = vectors()[name]
    data = vector.stream
    whole = streamed(vector.events)
    assert streamed(cut(data[place : place + 1] for place in range(len(data)))) == whole
    read = read_chat_stream(whole)
    assert read.text == vector.expect.get("expect", "")
    assert ",".join(":".join(tool) for tool in read.tools) == vector.expect.get("expect-calls", "")
    assert read.usage is None  # nobody asked
    if name == "A-R2-RESP":
        assert read.thinking == "Two calls."
    if name == "O-RSSE-WEB":
        assert read.message["choices"][0]["message"]["annotations"][0]["url_citation"]["url"] == "https://example.com/a"


def test_there_and_back_the_golden_streams_mean_the_same() -> None:
    for name in ("O-RSSE-TEXT", "O-RSSE-FC", "A-R2-RESP"):
        events = vectors()[name].events
        near = ResponsesToChat(Settings(), world())
        near.request(Ask({"input": "?"}, "m", True), {})
        out = [back for event in streamed(events, USAGE) for back in near.event(event)]
        first, last = events[-1].data["response"], out[-1].data["response"]  # type: ignore[index]
        assert last["usage"] == first["usage"]

        def plain(item: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in item.items() if key != "id"}

        assert [plain(item) for item in last["output"]] == [plain(item) for item in first["output"]]


def test_arguments_that_came_in_no_delta_are_said() -> None:
    added = said("output_item.added", output_index=0, item={**CALL, "arguments": ""})
    done = said("output_item.done", output_index=0, item=CALL)
    arguments = said("function_call_arguments.done", output_index=0, arguments=CALL["arguments"])
    for events in ([added, done], [added, arguments, done], [done], []):
        out = streamed([created(), *events, completed(CALL)])
        assert read_chat_stream(out).tools == [("a", "f", '{"x":1}')]


def test_custom_calls_in_a_stream() -> None:
    events = [
        said("output_item.added", output_index=0, item={**CUSTOM, "input": ""}),
        said("custom_tool_call_input.delta", output_index=0, delta="ra"),
        said("custom_tool_call_input.delta", output_index=0, delta="w"),
        said("custom_tool_call_input.done", output_index=0, input="raw"),
        said("output_item.done", output_index=0, item=CUSTOM),
    ]
    assert read_chat_stream(streamed([created(), *events, completed(CUSTOM)])).tools == [("b", "p", "raw")]


def test_text_that_came_in_no_delta_is_said() -> None:
    whole = message({"type": "output_text", "text": "Hi"}, {"type": "refusal", "refusal": "No."})
    for events in ([said("output_item.done", output_index=0, item=whole)], []):
        read = read_chat_stream(streamed([created(), *events, completed(whole)]))
        assert (read.text, read.message["choices"][0]["message"]["refusal"]) == ("Hi", "No.")


def test_thoughts_in_a_stream_are_carried_with_their_seal() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
    events = [
        said("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}),
        said("reasoning_summary_part.added", output_index=0, summary_index=0),
        said("reasoning_summary_text.delta", output_index=0, delta="a"),
        said("reasoning_summary_part.added", output_index=0, summary_index=1),
        said("reasoning_summary_text.delta", output_index=0, delta="b"),
        said("output_item.done", output_index=0, item=item),
        said("output_item.added", output_index=1, item=message()),
        said("reasoning_text.delta", output_index=1, delta="c"),
        said("refusal.delta", output_index=1, delta="No."),
    ]
    read = read_chat_stream(streamed([created(), *events, completed(item)]))
    assert read.thinking == "a\n\nbc"
    told = read.message["choices"][0]["message"]
    assert told["refusal"] == "No."
    entry = {"type": "reasoning.encrypted", "data": "E", "format": "openai-responses-v1", "index": 0, "id": "rs_1"}
    assert told["reasoning_details"] == [entry]


def test_logprobs_in_a_stream() -> None:
    probs = [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]
    events = [said("output_text.delta", output_index=0, delta="a", logprobs=probs) for _ in range(2)]
    out = streamed([created(), *events])
    assert [event.data["choices"][0]["logprobs"] for event in out[1:3]] == [{"content": probs, "refusal": None}] * 2  # type: ignore[index]


def test_a_cut_stream_gets_an_error_and_no_end() -> None:
    events = vectors()["O-RSSE-WEB"].events
    for count in range(len(events)):
        out = streamed(events[:count])
        assert "error" in out[-1].data
        assert Event(None, DONE) not in out
        with pytest.raises(openai.APIError, match="ended before"):
            read_chat_stream(out)


def test_an_error_before_anything_is_the_answers_and_later_the_streams() -> None:
    error = Event("error", {"type": "error", "code": "rate_limit_exceeded", "message": "Slow.", "param": None})
    failed = said("failed", response={"status": "failed", "error": {"code": "server_error", "message": "Slow."}})
    for event in (error, failed):
        with pytest.raises(FailedError):
            streamed([event])
        out = streamed([created(), event, said("output_text.delta", output_index=0, delta="x")])
        assert len(out) == 2
        with pytest.raises(openai.APIError, match="Slow"):
            read_chat_stream(out)


# --- properties ---


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_request_makes_it_stumble(data: st.DataObject) -> None:
    body = vectors()[data.draw(st.sampled_from(["O-REQ-TOOLS", "A-R1-OAI", "O-REQ-SCHEMA"]))].json
    for _ in range(data.draw(st.integers(1, 3))):
        body = changed(body, data.draw(st.sampled_from(places(body)[1:])), data.draw(JSON))
    try:
        path = pair(data.draw(st.sampled_from([DROP, Settings()]))).request(Ask(body, "m", True), {}).model
    except UntranslatableError as error:
        path = error.path
    assert path


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_stream_makes_it_stumble(data: st.DataObject) -> None:
    events: list[Any] = [event.data for event in vectors()[data.draw(st.sampled_from(["O-RSSE-WEB", "A-R2-RESP"]))].events]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(events) - 1))
        kind = data.draw(st.sampled_from(["drop", "double", "swap", "change"]))
        if kind == "drop" and len(events) > 1:
            del events[place]
        elif kind == "double":
            events.insert(place, events[place])
        elif kind == "swap":
            events[place], events[-1] = events[-1], events[place]
        else:
            events[place] = changed(events[place], data.draw(st.sampled_from(places(events[place])[1:])), data.draw(JSON))
    try:
        out = streamed([Event(None, event) for event in events])
    except (BadAnswerError, FailedError):
        return
    json.dumps([event.data for event in out])
    ends = [place for place, event in enumerate(out) if event.data == DONE or "error" in event.data]
    assert ends == [len(out) - 1]
    calls = [call for event in out[:-1] for choice in event.data["choices"] for call in choice["delta"].get("tool_calls", ())]  # type: ignore[index]
    named = [call["index"] for call in calls if "id" in call]
    assert named == list(range(len(named)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_answer_makes_it_stumble(data: st.DataObject) -> None:
    body = response(message({"type": "output_text", "text": "x", "annotations": [{"type": "url_citation"}]}), CALL, CUSTOM)
    body = changed(body, data.draw(st.sampled_from(places(body)[1:])), data.draw(JSON))
    try:
        assert pair().answer(body)["object"] == "chat.completion"
    except (BadAnswerError, FailedError):
        pass


CALLS = st.lists(st.tuples(st.sampled_from(["f", "g"]), TEXT, TEXT), max_size=3)
TURNS = st.lists(st.tuples(st.sampled_from(["user", "system", "assistant"]), TEXT, CALLS), max_size=5)


@settings(max_examples=60, deadline=None)
@given(TURNS)
def test_conversations_come_back_as_they_went(turns: list[tuple[str, str, list[tuple[str, str, str]]]]) -> None:
    conversation: list[dict[str, Any]] = [{"role": "user", "content": "?"}]
    for number, (role, text, calls) in enumerate(turns):
        if role != "assistant" or not calls:
            conversation.append({"role": role, "content": text})
            continue
        made = [
            {"id": f"c{number}{place}", "type": "function", "function": {"name": name, "arguments": json.dumps({"x": value})}}
            for place, (name, value, _) in enumerate(calls)
        ]
        conversation.append({"role": "assistant", "content": text, "tool_calls": made})
        results = [
            {"role": "tool", "tool_call_id": f"c{number}{place}", "content": result} for place, (*_, result) in enumerate(calls)
        ]
        conversation += results
    there = asked({"messages": conversation})
    back = ResponsesToChat(KEEP, world()).request(Ask(there, "m", False), {}).body
    assert back["messages"] == conversation
