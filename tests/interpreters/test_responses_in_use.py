"""Habits and failures of platforms that a client of responses, or of completions, must not take for something else.

Finish reasons that say nothing yet or say a failure, usage in other places, pictures beside the text, ends within a call, failures
before the first event. Requests: the paths that a refusal names through two pairs.
"""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from openai import APIError

from tests.interpreters.readers import _openai, printed
from tests.interpreters.readers_responses import check_order, read_completions_stream, read_responses_stream, world
from translators.interpreters.base import (
    DONE,
    Ask,
    BadAnswerError,
    Event,
    Failure,
    Interpreter,
    Media,
    Settings,
    UntranslatableError,
)
from translators.interpreters.failures import failure_in
from translators.interpreters.pairs import interpreter
from translators.interpreters.wire import Events
from translators.model import Protocol, Spoken, Translation, Where
from translators.runtime.steps import Answer
from translators.runtime.translated_answers import TranslatedStream

PICTURE = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CUSTOM = {"type": "custom", "name": "p"}
DROP = Settings(unsupported="drop")
CLOSED = Event(None, DONE)


def between(client: Spoken, platform: Protocol = Protocol.CHAT, with_: Settings = DROP, **body: Any) -> Interpreter:
    """The pair, once it has been asked."""
    one = interpreter(client, platform, with_, world())
    asking = {"prompt": "?"} if client is Spoken.COMPLETIONS else {"input": "?"}
    one.request(Ask({**asking, **body}, "m", True), {})
    return one


def streamed(one: Interpreter, events: Iterable[Event]) -> list[Event]:
    return [out for event in events for out in one.event(event)] + one.end()


def chunk(delta: dict[str, Any], finish: str | None = None, **choice: Any) -> Event:
    said = {"index": 0, "delta": delta, "finish_reason": finish, **choice}
    return Event(None, {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [said]})


def response(events: list[Event]) -> Any:
    data = events[-1].data
    assert isinstance(data, dict)
    return data["response"]


# --- finish reasons ---


@pytest.mark.parametrize("nothing", ["", "null"])
def test_a_finish_reason_that_says_nothing_yet_is_none(nothing: str) -> None:
    said = [
        chunk({"role": "assistant", "content": ""}, nothing),
        chunk({"content": "Hel"}, nothing),
        chunk({"content": "lo"}, nothing),
    ]
    read = read_responses_stream(streamed(between(Spoken.RESPONSES), [*said, chunk({}, "stop"), CLOSED]))
    assert (read.text, read.finish, len(read.message["output"])) == ("Hello", "completed", 1)
    cut = streamed(between(Spoken.RESPONSES), said)
    assert (cut[-1].name, response(cut)["status"]) == ("response.failed", "failed")


@pytest.mark.parametrize("nothing", ["", "null"])
def test_completions_end_only_where_the_platform_says_why(nothing: str) -> None:
    said = [chunk({"content": "Hel"}, nothing), chunk({"content": "lo"}, nothing)]
    assert read_completions_stream(streamed(between(Spoken.COMPLETIONS), [*said, chunk({}, "stop"), CLOSED])) == (
        "Hello",
        "stop",
        None,
    )
    for end in ([], [CLOSED]):
        out = streamed(between(Spoken.COMPLETIONS), [*said, *end])
        assert failure_in(Protocol.CHAT, out[-1].data) is not None
        assert all(event.data != DONE for event in out)


@pytest.mark.parametrize(
    ("finish", "reason"), [("abort", "abort"), ("max_tokens", "max_output_tokens"), ("sensitive", "content_filter")]
)
def test_a_word_that_is_no_regular_end_is_never_completed(finish: str, reason: str) -> None:
    out = streamed(between(Spoken.RESPONSES), [chunk({"content": "x"}), chunk({}, finish), CLOSED])
    assert (out[-1].name, response(out)["incomplete_details"]) == ("response.incomplete", {"reason": reason})
    message = {"role": "assistant", "content": "x"}
    whole = between(Spoken.RESPONSES).answer({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": reason})


@pytest.mark.parametrize("finish", ["network_error", "insufficient_system_resource"])
def test_a_model_that_failed_is_a_failed_response(finish: str) -> None:
    out = streamed(between(Spoken.RESPONSES), [chunk({"content": "x"}), chunk({}, finish), CLOSED])
    assert [event.name for event in out[-2:]] == ["response.output_text.delta", "response.failed"]
    assert finish in response(out)["error"]["message"]


# --- ends within a call ---


def call(arguments: str) -> Event:
    return chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}]})


@pytest.mark.parametrize(
    ("arguments", "finish", "status", "said"),
    [
        ("", "tool_calls", "completed", "{}"),
        ("", "length", "incomplete", ""),  # whether it has arguments, nobody knows
        ('{"x":', "length", "incomplete", '{"x":'),
        ('{"x":', "content_filter", "incomplete", '{"x":'),
        ('{"x":1}', "length", "completed", '{"x":1}'),
    ],
)
def test_a_call_within_which_the_answer_ends_is_incomplete(arguments: str, finish: str, status: str, said: str) -> None:
    out = streamed(between(Spoken.RESPONSES, tools=[TOOL]), [call(arguments), chunk({}, finish), CLOSED])
    check_order([event.data for event in out])
    (item,) = response(out)["output"]
    assert (item["type"], item["status"], item["arguments"]) == ("function_call", status, said)


def test_the_input_of_a_custom_tool_within_which_the_answer_ends_is_incomplete() -> None:
    custom = {"name": "p", "arguments": '{"input":"*** Begin'}
    said = chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": custom}]})
    out = streamed(between(Spoken.RESPONSES, tools=[CUSTOM]), [said, chunk({}, "length"), CLOSED])
    (item,) = response(out)["output"]
    assert (item["type"], item["status"]) == ("custom_tool_call", "incomplete")


def test_calls_before_the_one_that_is_cut_are_whole() -> None:
    second = {"index": 1, "id": "b", "type": "function", "function": {"name": "f", "arguments": '{"y":'}}
    said = [call(""), chunk({"tool_calls": [second]}), chunk({}, "length"), CLOSED]
    items = response(streamed(between(Spoken.RESPONSES, tools=[TOOL]), said))["output"]
    assert [(item["arguments"], item["status"]) for item in items] == [("{}", "completed"), ('{"y":', "incomplete")]


def fragment(arguments: str, name: str | None = None, index: int = 0, **members: Any) -> dict[str, Any]:
    held = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": held, **members}]}


@pytest.mark.parametrize("word", ["content", "reasoning_content"])
@pytest.mark.parametrize("place", [1, 2])
def test_words_within_a_call_stand_behind_it(word: str, place: int) -> None:
    deltas = [fragment("", "f", id="a"), fragment('{"x":'), fragment("1}"), {"content": "!"}]
    deltas[place:place] = [{word: "So"}]
    out = streamed(between(Spoken.RESPONSES, tools=[TOOL]), [*map(chunk, deltas), chunk({}, "tool_calls"), CLOSED])
    read = read_responses_stream(out)
    assert read.tools == [("a", "f", '{"x":1}')]
    assert (read.text, read.thinking) == (("So!", "") if word == "content" else ("!", "So"))
    assert read.message["output"][0]["type"] == "function_call"


def test_words_before_the_arguments_of_a_call_go_on_with_their_message_at_once() -> None:
    one = between(Spoken.RESPONSES, tools=[TOOL])
    began = [chunk({"content": "a"}), chunk(fragment("", "f", id="a")), chunk({"content": "b"})]
    out = [said for event in began for said in one.event(event)]
    assert out[-1].name == "response.output_text.delta"
    out += streamed(one, [chunk(fragment("{}")), chunk({}, "tool_calls"), CLOSED])
    assert [item["type"] for item in read_responses_stream(out).message["output"]] == ["message", "function_call"]


# --- usage and pictures ---

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@pytest.mark.parametrize(
    "cached", [{"cached_tokens": 3}, {"prompt_cache_hit_tokens": 3}, {"prompt_tokens_details": {"cached_tokens": 3}}]
)
def test_usage_in_the_choice_counts_and_so_do_cached_tokens_beside_the_total(cached: dict[str, Any]) -> None:
    said = [chunk({"content": "x"}), chunk({}, "stop", usage={**USAGE, **cached}), CLOSED]
    usage = read_responses_stream(streamed(between(Spoken.RESPONSES), said)).usage
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (5, 2, 7)
    assert usage["input_tokens_details"]["cached_tokens"] == 3
    asking = {"stream_options": {"include_usage": True}}
    told = read_completions_stream(streamed(between(Spoken.COMPLETIONS, **asking), said))[2]
    assert told.total_tokens == 7


def test_pictures_beside_the_text_are_not_lost() -> None:
    image = {"type": "image_url", "index": 0, "image_url": {"url": PICTURE}}
    out = streamed(between(Spoken.RESPONSES), [chunk({"content": "Here: "}), chunk({"images": [image]}), chunk({}, "stop"), CLOSED])
    assert read_responses_stream(out).text == f"Here: ![image]({PICTURE})"


# --- failures of a stream ---


@pytest.mark.parametrize("platform", [Protocol.CHAT, Protocol.MESSAGES, Protocol.GENERATE])
def test_a_failure_before_the_first_event_begins_the_response_that_fails(platform: Protocol) -> None:
    out = between(Spoken.RESPONSES, platform).failed(Failure(503, "Busy.", "server_error", "overloaded"))
    check_order([event.data for event in out])
    assert [event.name for event in out] == ["response.created", "response.in_progress", "response.failed"]
    assert response(out)["error"] == {"code": "server_error", "message": "Busy."}


def never(failure: Failure) -> Answer:
    raise AssertionError(f"no answer is asked for: {failure}")


@pytest.mark.parametrize("before", [b"", b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'])
def test_the_gateway_says_created_before_it_says_a_failure(before: bytes) -> None:
    translation = Translation(Spoken.RESPONSES, Protocol.CHAT, Where("", 1, 1))
    made = TranslatedStream(translation, between(Spoken.RESPONSES), None, Events(Protocol.RESPONSES), (), (), never)
    out = made.feed(before) if before else b""
    names = re.findall(
        rb"^event: (\S+)", out + made.last_words(502, "upstream_reset", "The platform's connection broke."), re.MULTILINE
    )
    assert names[0] == b"response.created"
    assert names[-1] == (b"error" if before else b"response.failed")


def test_a_failure_of_the_gateways_own_ends_the_response_once() -> None:
    one = between(Spoken.RESPONSES)
    out = [*one.event(chunk({"content": "x"})), *one.failed(Failure(502, "Gone.", "server_error"))]
    check_order([event.data for event in out])
    assert (out[-1].name, one.failed(Failure(502, "Again.", "server_error")), one.end()) == ("response.failed", [], [])


def test_an_event_that_turns_out_bad_leaves_no_gap_in_the_numbers() -> None:
    one = between(Spoken.RESPONSES)
    nameless = {"index": 0, "id": "a", "type": "function", "function": {"arguments": "{}"}}
    with pytest.raises(BadAnswerError):
        one.event(chunk({"content": "x", "tool_calls": [nameless]}))
    out = one.failed(Failure(502, "Bad.", "server_error"))
    check_order([event.data for event in out])
    assert out[-1].name == "response.failed"


# --- what a platform of responses says at the end only ---

LAST = {
    "type": "message",
    "id": "msg_1",
    "content": [
        {
            "type": "output_text",
            "text": "hi",
            "annotations": [{"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://h", "title": "t"}],
        }
    ],
}
ASKED = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"x":1}'}


def told(kind: str, **members: Any) -> Event:
    return Event(f"response.{kind}", {"type": f"response.{kind}", **members})


def answered(*events: Event, status: str = "completed", output: list[Any], **members: Any) -> Any:
    """What a chat client reads of a stream: content, annotations, arguments of calls by their ids, finish reason."""
    end = told("completed", response={"id": "resp_1", "status": status, "error": None, "output": output, **members})
    one = between(Spoken.CHAT, Protocol.RESPONSES, messages=[])
    out = streamed(one, [told("created", response={"id": "resp_1"}), *events, end])
    with _openai(printed(out), "text/event-stream") as client, client.chat.completions.stream(model="m", messages=[]) as stream:
        for _ in stream:
            pass
        choice = stream.current_completion_snapshot.choices[0]
    calls = {call.id: call.function.arguments for call in choice.message.tool_calls or []}
    return choice.message.content, getattr(choice.message, "annotations", None) or [], calls, choice.finish_reason


def test_calls_that_only_the_whole_response_has_are_made() -> None:
    text = told("output_text.delta", output_index=0, content_index=0, item_id="msg_1", delta="hi")
    assert answered(text, output=[LAST, ASKED])[2:] == ({"a": '{"x":1}'}, "tool_calls")
    added = told("output_item.added", output_index=0, item={**ASKED, "arguments": ""})
    assert answered(added, output=[ASKED])[2:] == ({"a": '{"x":1}'}, "tool_calls")
    done = told("output_item.done", output_index=0, item=ASKED)
    assert answered(added, done, output=[ASKED])[2:] == ({"a": '{"x":1}'}, "tool_calls")


def test_sources_that_only_the_whole_item_has_are_given_once() -> None:
    text = told("output_text.delta", output_index=0, content_index=0, item_id="msg_1", delta="hi")
    done = told("output_item.done", output_index=0, item=LAST)
    content, annotations, _, finish = answered(text, done, output=[LAST])
    assert (content, finish, len(annotations)) == ("hi", "stop", 1)
    cited = told("output_text.annotation.added", output_index=0, content_index=0, annotation=LAST["content"][0]["annotations"][0])
    assert len(answered(text, cited, done, output=[LAST])[1]) == 1


def test_the_state_of_the_response_counts_and_not_the_name_of_its_event() -> None:
    assert answered(status="incomplete", output=[LAST], incomplete_details={"reason": "max_output_tokens"})[3] == "length"
    with pytest.raises(APIError, match="Slow"):
        answered(status="failed", output=[], error={"code": "server_error", "message": "Slow."})


def test_a_picture_that_the_platform_drew_stands_in_the_text() -> None:
    drawn = {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": "iVBORw0KGgo=",
        "output_format": "webp",
    }
    shown = "![image](data:image/webp;base64,iVBORw0KGgo=)"
    assert answered(told("output_item.done", output_index=0, item=drawn), output=[drawn])[0] == shown
    whole = between(Spoken.CHAT, Protocol.RESPONSES, messages=[]).answer(
        {"id": "r", "status": "completed", "output": [drawn, LAST]}
    )
    message = whole["choices"][0]["message"]
    assert message["content"] == shown + "hi"
    assert message["annotations"][0]["url_citation"]["start_index"] == len(shown)


# --- requests ---


def test_a_refusal_names_the_part_that_the_platform_cannot_take() -> None:
    parts = [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": PICTURE, "detail": "high"}]
    results = [{"type": "input_text", "text": "t"}, {"type": "input_file", "file_id": "file-1"}]
    items: list[Any] = [
        {"role": "user", "content": parts},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    ]
    one = between(Spoken.RESPONSES, Protocol.GENERATE, input=items)
    assert one.dropped == ["input[0].content[1].detail"]
    items += [{"type": "function_call_output", "call_id": "a", "output": results}]
    with pytest.raises(UntranslatableError) as caught:
        between(Spoken.RESPONSES, Protocol.MESSAGES, input=items)
    assert caught.value.path == "input[2].output[1].file_id"
    with pytest.raises(UntranslatableError) as caught:
        between(Spoken.RESPONSES, input=[{"role": "user", "content": [{"type": "input_image"}]}])
    assert caught.value.path == "input[0].content[0]"


def test_a_choice_among_tools_that_were_left_out_is_left_out() -> None:
    one = between(Spoken.RESPONSES, tools=[{"type": "image_generation"}], tool_choice="required")
    assert one.dropped == ["tools[0]", "tool_choice"]


def test_the_response_does_not_claim_an_option_that_was_left_out() -> None:
    one = between(Spoken.RESPONSES, truncation="auto", store=True, temperature=0.5)
    said = response(streamed(one, [chunk({"content": "x"}), chunk({}, "stop"), CLOSED]))
    assert one.dropped == ["store", "truncation"]
    assert (said["truncation"], said["store"], said["temperature"]) == ("disabled", False, 0.5)


def test_what_was_read_has_the_media_type_that_its_bytes_tell() -> None:
    url = "https://h/a"
    held = {url: Media(b"\x89PNG\r\n\x1a\n", "binary/octet-stream")}
    part = {"type": "input_image", "image_url": url}
    near = interpreter(Spoken.RESPONSES, Protocol.CHAT, DROP, world())
    made = near.request(Ask({"input": [{"role": "user", "content": [part]}]}, "m", stream=False), held).body
    shown = made["messages"][0]["content"][0]["image_url"]["url"]
    assert shown == "data:image/png;base64,iVBORw0KGgo="
    far = interpreter(Spoken.CHAT, Protocol.RESPONSES, DROP, world())
    chat = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    assert far.request(Ask({"messages": chat}, "m", stream=False), held).body["input"][0]["content"][0]["image_url"] == shown
