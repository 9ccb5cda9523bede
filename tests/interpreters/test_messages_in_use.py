"""Chat and messages, looked at again: endings that are none, neighbours of one role, and fields that could get lost on the way."""

from typing import Any

import anthropic
import pytest

from tests.interpreters.readers import WORLD, read_chat_answer, read_chat_stream, read_messages_answer, read_messages_stream, told
from translators.interpreters.base import DONE, Ask, Event, FailedError, Settings, UntranslatableError
from translators.interpreters.chat_to_messages import ChatToMessages
from translators.interpreters.messages_to_chat import MessagesToChat
from translators.interpreters.pairs import interpreter
from translators.model import Protocol, Spoken

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}


def to_messages(model: str = "claude", settings: dict[str, Any] | None = None, **body: Any) -> Any:
    """What a messages platform gets of a chat client."""
    asked = Ask({"messages": [USER], **body}, model, False)
    return ChatToMessages(Settings(**settings or {}), WORLD).request(asked, {}).body


def to_chat(*messages: Any, **settings: Any) -> Any:
    """The messages that a chat platform gets of a messages client."""
    return MessagesToChat(Settings(**settings), WORLD).request(Ask({"messages": list(messages)}, "m", False), {}).body["messages"]


def chunk(finish: str | None = None, /, usage: Any = None, **delta: Any) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Event(
        None, {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# --- endings ---

FAILED = [
    ("network_error", "api_error", 502),
    ("insufficient_system_resource", "overloaded_error", 503),
    ("error", "api_error", 502),
]


@pytest.mark.parametrize(("finish", "kind", "status"), FAILED)
def test_a_finish_that_says_the_model_failed_is_a_failure(finish: str, kind: str, status: int) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Par"}, "finish_reason": finish}
    with pytest.raises(FailedError, match=finish) as caught:
        MessagesToChat(Settings(), WORLD).answer({"id": "c", "object": "chat.completion", "choices": [choice]})
    assert caught.value.failure.status == status
    with pytest.raises(FailedError, match=finish):  # nothing has gone out, so that the status tells it
        MessagesToChat(Settings(), WORLD).event(chunk(finish, role="assistant"))


@pytest.mark.parametrize("client", [Spoken.RESPONSES, Spoken.GENERATE, Spoken.COMPLETIONS])
def test_a_finish_that_says_the_model_failed_is_a_failure_for_every_client(client: Spoken) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Par"}, "finish_reason": "network_error"}
    pair = interpreter(client, Protocol.CHAT, Settings(), WORLD)
    with pytest.raises(FailedError, match="network_error"):
        pair.answer({"id": "c", "object": "chat.completion", "choices": [choice]})


@pytest.mark.parametrize(("finish", "kind", "status"), FAILED)
def test_a_stream_that_finishes_with_a_failure_ends_in_an_error(finish: str, kind: str, status: int) -> None:
    events = told(MessagesToChat(Settings(), WORLD), [chunk(content="Par"), chunk(finish, {"prompt_tokens": 1}), Event(None, DONE)])
    assert [event.name for event in events] == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert events[-1].data["error"]["type"] == kind  # type: ignore[index,call-overload]
    with pytest.raises(anthropic.APIStatusError, match=finish):
        read_messages_stream(events)


def test_a_finish_reason_that_nobody_knows_is_no_regular_end() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "brand_new"}
    answer = MessagesToChat(Settings(), WORLD).answer({"id": "c", "object": "chat.completion", "choices": [choice]})
    assert read_messages_answer(answer).finish == "brand_new"
    events = told(MessagesToChat(Settings(), WORLD), [chunk(content="Hi"), chunk("brand_new"), Event(None, DONE)])
    assert read_messages_stream(events).finish == "brand_new"


def test_a_call_with_a_finish_reason_that_nobody_knows_is_a_call() -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    events = told(MessagesToChat(Settings(), WORLD), [chunk(tool_calls=[call]), chunk("brand_new"), Event(None, DONE)])
    assert read_messages_stream(events).finish == "tool_use"


@pytest.mark.parametrize(("finish", "stop"), [("length", "max_tokens"), ("content_filter", "refusal"), ("sensitive", "refusal")])
def test_a_call_that_a_limit_or_a_filter_cut_ends_with_that_reason(finish: str, stop: str) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
    events = told(MessagesToChat(Settings(), WORLD), [chunk(tool_calls=[call]), chunk(finish), Event(None, DONE)])
    assert read_messages_stream(events).finish == stop


def message_stream(stop: Any, usage: Any = None) -> list[Event]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return [
        Event("message_start", {"type": "message_start", "message": message}),
        Event("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}),
        Event("message_stop", {"type": "message_stop"}),
    ]


def test_a_stop_reason_that_nobody_knows_is_no_regular_end() -> None:
    said = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [text("Hi")],
        "stop_reason": "brand_new",
    }
    assert read_chat_answer(ChatToMessages(Settings(), WORLD).answer(said)).finish == "brand_new"
    assert read_chat_stream(told(ChatToMessages(Settings(), WORLD), message_stream("brand_new"))).finish == "brand_new"


def test_a_stop_reason_that_is_no_word_is_none() -> None:
    events = told(ChatToMessages(Settings(), WORLD), message_stream({"type": "end_turn"}))
    assert "error" in events[-1].data, "the stream has no end"
    assert all(event.data != DONE for event in events)


# --- usage ---


def test_usage_that_the_platform_did_not_tell_is_not_made_up() -> None:
    pair = ChatToMessages(Settings(), WORLD)
    pair.request(Ask({"messages": [USER], "stream_options": {"include_usage": True}}, "m", True), {})
    events = told(pair, message_stream("end_turn"))
    assert read_chat_stream(events).usage is None
    assert events[-1].data == DONE


def test_usage_that_stands_in_the_closing_choice_is_read() -> None:
    end = chunk("stop")
    end.data["choices"][0]["usage"] = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}  # type: ignore[index,call-overload]
    usage = read_messages_stream(told(MessagesToChat(Settings(), WORLD), [chunk(content="Hi"), end, Event(None, DONE)])).usage
    assert (usage["input_tokens"], usage["output_tokens"]) == (9, 4)


def test_cached_tokens_under_their_older_name_are_no_input() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 16, "completion_tokens": 2, "prompt_cache_hit_tokens": 10, "prompt_cache_miss_tokens": 6}
    answer = MessagesToChat(Settings(), WORLD).answer({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})
    assert answer["usage"] == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 10,
        "output_tokens": 2,
    }


# --- neighbours of one role, which the messages protocol takes as one turn ---


def use(ident: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": "f", "input": {}}


def result(ident: str, content: Any = "r") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content}


def test_results_in_several_messages_still_follow_their_calls_directly() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}}
    out = to_chat(
        USER,
        {"role": "assistant", "content": [use("a"), use("b")]},
        {"role": "user", "content": [result("a", [text("A"), picture])]},
        {"role": "user", "content": [result("b"), text("Go on.")]},
    )
    assert [(said["role"], said.get("tool_call_id")) for said in out[2:]] == [("tool", "a"), ("tool", "b"), ("user", None)]
    assert [part["type"] for part in out[4]["content"]] == ["image_url", "text"]


def test_calls_in_several_messages_are_one_message_of_chat() -> None:
    out = to_chat(
        USER,
        {"role": "assistant", "content": "I look."},
        {"role": "assistant", "content": [use("a")]},
        {"role": "assistant", "content": [use("b")]},
        {"role": "user", "content": [result("a"), result("b")]},
    )
    assert [said["role"] for said in out] == ["user", "assistant", "tool", "tool"]
    assert out[1]["content"] == "I look."
    assert [call["id"] for call in out[1]["tool_calls"]] == ["a", "b"]


def test_neighbours_that_only_speak_stay_apart() -> None:
    assert to_chat({"role": "user", "content": "A"}, {"role": "user", "content": "B"}) == [
        {"role": "user", "content": "A"},
        {"role": "user", "content": "B"},
    ]


def test_the_beginning_of_an_answer_in_several_messages_is_left_out_whole() -> None:
    parts = [{"role": "assistant", "content": "{"}, {"role": "assistant", "content": '"a":'}]
    pair = MessagesToChat(Settings(unsupported="drop"), WORLD)
    assert pair.request(Ask({"messages": [USER, *parts]}, "m", False), {}).body["messages"] == [USER]
    assert pair.dropped == ["messages[1]", "messages[2]"]


# --- fields ---


def test_the_title_of_a_text_goes_with_it() -> None:
    document = {
        "type": "document",
        "title": "T",
        "context": "C",
        "source": {"type": "text", "media_type": "text/plain", "data": "D"},
    }
    assert to_chat({"role": "user", "content": [document]})[0]["content"] == [text("T"), text("C"), text("D")]


def test_citations_that_are_wanted_of_search_results_are_no_silent_loss() -> None:
    found = {"type": "search_result", "title": "T", "source": "s", "content": [text("x")], "citations": {"enabled": True}}
    with pytest.raises(UntranslatableError) as caught:
        to_chat({"role": "user", "content": [found]})
    assert caught.value.path == "messages[0].content[0].citations"


def test_a_file_that_a_hosted_tool_made_is_left_out_like_all_that_such_tools_did() -> None:
    made = {"type": "container_upload", "file_id": "file_1"}
    assert to_chat(USER, {"role": "assistant", "content": [text("Done."), made]}, USER)[1] == {
        "role": "assistant",
        "content": "Done.",
    }


def test_the_name_of_a_system_message_is_no_silent_loss() -> None:
    with pytest.raises(UntranslatableError) as caught:
        to_messages(messages=[{"role": "system", "name": "n", "content": "S"}, USER])
    assert caught.value.path == "messages[0].name"


def test_required_tools_of_which_there_is_none_are_refused() -> None:
    named = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    with pytest.raises(UntranslatableError) as caught:
        to_messages(tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": named})
    assert caught.value.path == "tool_choice.allowed_tools.tools"
    assert "tools" not in to_messages(
        tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": {**named, "mode": "auto"}}
    )


# --- thinking ---


@pytest.mark.parametrize(
    ("settings", "said", "thinking", "limit"),
    [
        ({"thinking": "adaptive"}, {}, {"type": "adaptive", "display": "summarized"}, 100),
        ({"thinking": "budget"}, {}, {"type": "enabled", "budget_tokens": 16384}, 16484),
        ({"thinking": "budget"}, {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 1024}, 1124),
        ({"thinking": "budget"}, {"reasoning_effort": "none"}, {"type": "disabled"}, 100),
        ({"thinking": "budget"}, {"thinking": {"type": "disabled"}}, {"type": "disabled"}, 100),
    ],
)
def test_a_model_whose_name_says_thinking_thinks(settings: Any, said: Any, thinking: Any, limit: int) -> None:
    out = to_messages("claude-x-thinking", settings, max_tokens=100, **said)
    assert (out["model"], out["thinking"], out["max_tokens"]) == ("claude-x", thinking, limit)


@pytest.mark.parametrize(
    ("mode", "said", "thinking"),
    [
        ("adaptive", {"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}),
        ("budget", {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 16384}),
    ],
)
def test_whether_thoughts_are_shown_survives_the_other_form_of_thinking(mode: str, said: Any, thinking: Any) -> None:
    out = to_messages(settings={"thinking": mode}, thinking={**said, "display": "omitted"}, max_tokens=20000)
    assert out["thinking"] == {**thinking, "display": "omitted"}
    assert out["max_tokens"] == (36384 if mode == "budget" else 20000), "a budget that is ours takes nothing of the answer's limit"


# --- where a system's turn may stand ---


def test_a_system_turn_stands_only_behind_a_users_and_before_an_assistants() -> None:
    said = [
        {"role": "system", "content": "first"},
        USER,
        {"role": "system", "content": "before a user"},
        {"role": "user", "content": "More"},
        {"role": "system", "content": "before an assistant"},
        {"role": "assistant", "content": "A"},
        {"role": "system", "content": "behind an assistant"},
        USER,
        {"role": "developer", "content": "last"},
    ]
    out = to_messages(settings={"system_turns": True}, messages=said)
    assert out["system"] == [text("first"), text("before a user"), text("behind an assistant")]
    assert [turn["role"] for turn in out["messages"]] == ["user", "system", "assistant", "user", "system"]
    assert out["messages"][0]["content"] == [text("Hi"), text("More")]
    assert out["messages"][1]["content"] == [text("before an assistant")]
    assert out["messages"][4]["content"] == [text("last")]


def test_a_system_turn_between_calls_and_results_goes_behind_the_results() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "system", "content": "S"},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": ""},
    ]
    out = to_messages(settings={"system_turns": True}, messages=said)
    assert [turn["role"] for turn in out["messages"]] == ["user", "assistant", "user", "system", "assistant", "user"]
    assert "system" not in out


def test_a_finish_reason_that_says_null_in_letters_is_none() -> None:
    events = told(MessagesToChat(Settings(), WORLD), [chunk("null", content="Hi"), chunk("null", content="!")])
    assert events[-1].name == "error"
    events = told(MessagesToChat(Settings(), WORLD), [chunk("null", content="Hi"), chunk("stop", content="!"), Event(None, DONE)])
    assert read_messages_stream(events)[:4] == ("Hi!", "", [], "end_turn")


def test_a_zero_told_later_does_not_undo_the_input_that_was_counted() -> None:
    pair = ChatToMessages(Settings(), WORLD)
    pair.request(Ask({"messages": [USER], "stream_options": {"include_usage": True}}, "m", True), {})
    start, delta, stop = message_stream("end_turn", {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 1})
    late = {"input_tokens": 0, "cache_read_input_tokens": None, "output_tokens": 0}
    delta.data["usage"] = late  # type: ignore[index,call-overload]
    usage = read_chat_stream(told(pair, [start, delta, stop])).usage
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (25, 0)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5
