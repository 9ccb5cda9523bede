"""A chat client on a messages platform: answers (M3) and streams (M5)."""

from typing import Any

import openai
import pytest

from tests.interpreters.readers import WORLD, cut, read_chat_answer, read_chat_stream, told
from tests.interpreters.vectors import vectors
from translators.interpreters.base import Ask, BadAnswerError, Event, FailedError, Settings
from translators.interpreters.chat_to_messages import ChatToMessages

USER = {"role": "user", "content": "Hi"}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# --- the sheet's vectors ---


def test_golden_P3_an_answer_with_thoughts_and_two_calls() -> None:
    answer = ChatToMessages(Settings(), WORLD).answer(vectors()["A-P3-ANT"].json)
    assert answer == vectors()["A-P3-OAI"].json
    read = read_chat_answer(answer)
    assert read.text == "Checking both."
    assert read.message["choices"][0]["message"]["reasoning_details"][0]["signature"] == "U0lH"


@pytest.mark.parametrize("name", ["S1", "S2", "S4", "S6"])
def test_golden_streams_give_the_same_at_every_cut(name: str) -> None:
    source, wanted = vectors()[f"A-{name}-ANT"], vectors()[f"A-{name}-OAI"]
    for pieces in [[source.stream[at : at + 1] for at in range(len(source.stream))]] + [
        [source.stream[:at], source.stream[at:]] for at in range(len(source.stream))
    ]:
        assert cut(pieces) == source.events
    interpreter = ChatToMessages(Settings(), WORLD)
    body = {"messages": [USER], "stream_options": {"include_usage": name == "S1"}}
    interpreter.request(Ask(body, "claude-opus-5-5", True), {})
    events = told(interpreter, source.events)
    if name == "S6":  # the vector leaves out what the model said of its refusal
        assert events.pop(1).data["choices"][0]["delta"] == {"refusal": "Policy."}  # type: ignore[index]
    assert events == wanted.events
    if name == "S4":
        with pytest.raises(openai.APIError, match="Overloaded"):
            read_chat_stream(events)
        return
    read = read_chat_stream(events)
    assert (read.text, read.finish) == (wanted.expect["expect"], wanted.expect["expect-finish"])
    assert read.thinking == wanted.expect.get("expect-reasoning", "")
    assert ",".join(":".join(tool) for tool in read.tools) == wanted.expect.get("expect-tools", "")
    if usage := wanted.expect.get("expect-usage"):
        assert "/".join(str(read.usage[f"{part}_tokens"]) for part in ("prompt", "completion", "total")) == usage


# --- M3 ---


def message(*blocks: Any, **members: Any) -> dict[str, Any]:
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "stop_reason": "end_turn"}
    return {**said, "content": list(blocks), **members}


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("brand_new", "brand_new"),  # nobody knows whether it is a regular end
        (None, None),
    ],
)
def test_stop_reasons_are_finish_reasons(stop: str | None, finish: str | None) -> None:
    answer = ChatToMessages(Settings(), WORLD).answer(message(text("Hi"), stop_reason=stop))
    assert answer["choices"][0]["finish_reason"] == finish


def test_an_answer_with_citations_hosted_blocks_and_a_free_form_call() -> None:
    interpreter = ChatToMessages(Settings(), WORLD)
    body = {"messages": [USER], "tools": [{"type": "custom", "custom": {"name": "sh"}}]}
    interpreter.request(Ask(body, "claude", False), {})
    cited = {"type": "web_search_result_location", "url": "https://e.com", "title": "E", "cited_text": "c", "encrypted_index": "x"}
    answer = interpreter.answer(
        message(
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            text("See "),
            {**text("this"), "citations": [cited, {"type": "char_location"}]},
            {"type": "tool_use", "id": "t", "name": "sh", "input": {"input": "ls"}},
            stop_reason="tool_use",
        )
    )
    said = answer["choices"][0]["message"]
    assert said["annotations"] == [
        {"type": "url_citation", "url_citation": {"start_index": 4, "end_index": 8, "url": "https://e.com", "title": "E"}}
    ]
    assert "usage" not in answer, "none was told"
    assert read_chat_answer(answer)[:4] == ("See this", "", [("t", "sh", "ls")], "tool_calls")


def test_a_refusal_has_its_explanation() -> None:
    details = {"type": "refusal", "category": None, "explanation": "No."}
    answer = ChatToMessages(Settings(), WORLD).answer(message(stop_reason="refusal", stop_details=details))
    said = answer["choices"][0]["message"]
    assert (said["content"], said["refusal"]) == (None, "No.")


def test_an_error_under_200_and_an_answer_of_another_protocol() -> None:
    interpreter = ChatToMessages(Settings(), WORLD)
    with pytest.raises(FailedError) as caught:
        interpreter.answer({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert caught.value.failure.status == 503
    with pytest.raises(BadAnswerError, match="content"):
        interpreter.answer({"choices": []})


# --- M5 ---

START = Event(
    "message_start", {"type": "message_start", "message": {"id": "m", "model": "c", "content": [], "usage": {"input_tokens": 3}}}
)


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any], stop: bool = True) -> list[Event]:
    out = [Event("content_block_start", {"type": "content_block_start", "index": index, "content_block": start})]
    out += [Event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
    return out + ([Event("content_block_stop", {"type": "content_block_stop", "index": index})] if stop else [])


def finish(reason: str | None = "end_turn", **usage: Any) -> Event:
    return Event(
        "message_delta", {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 2, **usage}}
    )


STOP = Event("message_stop", {"type": "message_stop"})


def stream(*events: Event, **body: Any) -> list[Event]:
    interpreter = ChatToMessages(Settings(), WORLD)
    interpreter.request(Ask({"messages": [USER], **body}, "claude", True), {})
    return told(interpreter, events)


def words(value: str) -> dict[str, str]:
    return {"type": "text_delta", "text": value}


def json_delta(value: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": value}


def test_calls_that_come_in_one_piece_at_once_or_without_an_end() -> None:
    use = {"type": "tool_use", "input": {}}
    events = [
        START,
        *block(0, {**use, "id": "a", "name": "f", "input": {"x": 1}}),
        *block(1, {**use, "id": "b", "name": "g"}, json_delta("{"), stop=False),
        *block(2, {**use, "id": "c", "name": "h"}, json_delta(""), json_delta('{"y":2}'), stop=False),
        *block(1, {**use, "id": "d", "name": "i"}, stop=False),  # the index of one that is still open
        finish("tool_use"),
        STOP,
    ]
    tools = [("a", "f", '{"x":1}'), ("b", "g", "{"), ("c", "h", '{"y":2}'), ("d", "i", "{}")]
    assert read_chat_stream(stream(*events)).tools == tools


def test_free_form_calls_come_whole() -> None:
    start = {"type": "tool_use", "id": "a", "name": "sh", "input": {}}
    events = stream(
        START,
        *block(0, start, json_delta('{"inp'), json_delta('ut":"ls"}')),
        finish("tool_use"),
        STOP,
        tools=[{"type": "custom", "custom": {"name": "sh"}}],
    )
    deltas = [event.data["choices"][0]["delta"] for event in events[:-1]]  # type: ignore[index]
    assert {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]} in deltas


def test_citations_of_a_stream_have_their_places_and_numbers() -> None:
    def cited(url: str) -> dict[str, Any]:
        location = {"type": "web_search_result_location", "url": url, "title": "E"}
        return {"type": "citations_delta", "citation": location}

    hosted = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    events = stream(
        START,
        *block(0, hosted, json_delta('{"q":1}')),
        *block(1, text(""), words("See ")),
        *block(2, text(""), words("this"), cited("https://a"), {"type": "citations_delta", "citation": {"type": "page_location"}}),
        *block(3, text(""), words("!"), cited("https://b")),
        finish(),
        STOP,
    )
    read = read_chat_stream(events)
    assert (read.text, read.tools) == ("See this!", [])
    found = [entry["url_citation"] for entry in read.message["choices"][0]["message"]["annotations"]]
    assert [(entry["url"], entry["start_index"], entry["end_index"]) for entry in found] == [
        ("https://a", 4, 8),
        ("https://b", 8, 9),
    ]


def test_usage_is_merged_and_told_only_where_it_was_asked_for() -> None:
    events = [START, *block(0, text(""), words("Hi")), finish(input_tokens=None, cache_read_input_tokens=4), STOP]
    assert all("usage" not in event.data for event in stream(*events)[:-1])
    told_usage = read_chat_stream(stream(*events, stream_options={"include_usage": True})).usage
    assert (told_usage["prompt_tokens"], told_usage["completion_tokens"], told_usage["total_tokens"]) == (7, 2, 9)


def test_an_end_that_was_not_said_is_never_made_up() -> None:
    for events in ([], [START, *block(0, text(""), words("Par"), stop=False)], [START, STOP]):
        out = stream(*events)
        assert out[-1].data["error"]["type"] == "server_error"  # type: ignore[index]
        assert all(event.data != "[DONE]" for event in out)
    assert stream(START, finish())[-1].data == "[DONE]", "only the closing word was missing"


def test_a_failure_before_the_first_word_is_raised_and_silences_what_follows() -> None:
    interpreter = ChatToMessages(Settings(), WORLD)
    with pytest.raises(FailedError, match="Overloaded"):
        interpreter.event(Event("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    assert interpreter.event(START) == []
    assert interpreter.end() == []


def test_what_is_new_or_of_no_use_is_passed_over() -> None:
    ping = Event("ping", {"type": "ping"})
    events = stream(
        ping,
        START,
        ping,
        *block(0, {"type": "brand_new"}, {"type": "brand_new_delta"}, json_delta("{")),
        Event("brand_new", {"type": "brand_new"}),
        START,
        *block(1, text("H"), words(""), words("i")),
        finish(None),
        finish(),
        finish("max_tokens"),
        STOP,
        ping,
        Event(None, "[DONE]"),
    )
    assert read_chat_stream(events)[:4] == ("Hi", "", [], "stop")
    assert [event.data for event in events].count("[DONE]") == 1


@pytest.mark.parametrize("event", [Event(None, "Hi"), STOP, Event("x", {"type": "content_block_delta", "delta": 3})])
def test_a_stream_of_another_protocol_is_said_to_be_one(event: Event) -> None:
    with pytest.raises(BadAnswerError):
        stream(event)
