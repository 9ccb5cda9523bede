"""A messages client on a chat platform: answers (M4), streams (M6), and what travels through sealed (M9)."""

from typing import Any

import anthropic
import pytest

from tests.interpreters.readers import WORLD, cut, read_messages_answer, read_messages_stream, told
from tests.interpreters.vectors import vectors
from translators.interpreters.base import DONE, Ask, BadAnswerError, Event, FailedError, Interpreter, Settings
from translators.interpreters.messages_to_chat import MessagesToChat
from translators.interpreters.pairs import interpreter
from translators.model import Protocol, Spoken

USER = {"role": "user", "content": "Hi"}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def turns(*messages: Any, **settings: Any) -> Any:
    """What the platform gets of a history."""
    body = {"messages": list(messages)}
    return MessagesToChat(Settings(**settings), WORLD).request(Ask(body, "gpt", False), {}).body["messages"]


def result(ident: str, content: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content}


# --- the sheet's vectors ---


def test_golden_P4_an_answer_with_calls() -> None:
    answer = MessagesToChat(Settings(), WORLD).answer(vectors()["A-P4-OAI"].json)
    assert answer == vectors()["A-P4-ANT"].json
    assert read_messages_answer(answer).tools == [("call_a", "f", {"a": 1}), ("call_b", "g", {})]


def test_golden_P3_back_gives_the_thoughts_their_signatures() -> None:
    answer = MessagesToChat(Settings(), WORLD).answer(vectors()["A-P3-OAI"].json)
    wanted = vectors()["A-P3-ANT"].json
    del wanted["usage"]["service_tier"]
    wanted["content"][2:4] = [text("Checking both.")]
    assert answer == wanted


@pytest.mark.parametrize("name", ["S3", "S5"])
def test_golden_streams_give_the_same_at_every_cut(name: str) -> None:
    source, wanted = vectors()[f"A-{name}-OAI"], vectors()[f"A-{name}-ANT"]
    for pieces in [[source.stream[at : at + 1] for at in range(len(source.stream))]] + [
        [source.stream[:at], source.stream[at:]] for at in range(len(source.stream))
    ]:
        assert cut(pieces) == source.events
    events = told(MessagesToChat(Settings(), WORLD), source.events)
    if name == "S5":
        assert events == wanted.events
        with pytest.raises(anthropic.APIStatusError, match="upstream failed"):
            read_messages_stream(events)
        return
    assert read_messages_stream(events) == read_messages_stream(wanted.events)


@pytest.mark.parametrize(
    "name", ["A-S1-OAI", "A-S2-OAI", "A-S6-OAI", "A-R2-OAI", "A-R3-OAI", "O-SSE-TEXT", "O-SSE-TOOLS", "G-S2-OAI"]
)
def test_every_chat_stream_of_the_sheets_is_a_stream_of_messages(name: str) -> None:
    source = vectors()[name]
    read = read_messages_stream(told(MessagesToChat(Settings(), WORLD), source.events))
    assert read.text == source.expect.get("expect", "")
    assert read.thinking == source.expect.get("expect-reasoning", "")
    names = [tool.split(":")[1] for tool in source.expect.get("expect-tools", "").replace("},", "}\n").split("\n") if tool]
    assert [tool[1] for tool in read.tools] == names
    finish = source.expect.get("expect-finish")
    stops = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
    assert finish is None or read.finish == stops[finish]


# --- M4 ---


def completion(finish: str | None = "stop", usage: Any = None, **said: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **said}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [choice, choice], "usage": usage}


def call(ident: str, name: str, arguments: str | None, **members: Any) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}, **members}


def answered(*args: Any, **said: Any) -> dict[str, Any]:
    answer = MessagesToChat(Settings(), WORLD).answer(completion(*args, **said))
    assert read_messages_answer(answer).finish == answer["stop_reason"]
    return answer


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        ("eos", "end_turn"),
        (None, None),
    ],
)
def test_finish_reasons_are_stop_reasons(finish: str | None, stop: str | None) -> None:
    assert answered(finish, content="Hi")["stop_reason"] == stop


def test_an_answer_with_thoughts_parts_and_a_refusal() -> None:
    answer = answered(content=[text("A"), text("B")], reasoning="T", refusal="No.")
    assert answer["content"] == [{"type": "thinking", "thinking": "T", "signature": ""}, text("AB"), text("No.")]
    assert (answer["stop_reason"], answer["usage"]) == ("refusal", {"input_tokens": 0, "output_tokens": 0})


def test_broken_arguments_stand_as_they_are_and_ids_are_put_into_safe_letters() -> None:
    calls = [call("functions.f:0", "f", '{"a":'), call("", "g", "[1]"), call("x", "h", None)]
    content = answered("stop", tool_calls=calls, function_call={"name": "i", "arguments": '{"b":1}'})["content"]
    assert [block["input"] for block in content] == [{"_raw_arguments": '{"a":'}, {"_raw_arguments": "[1]"}, {}, {"b": 1}]
    ids = [block["id"] for block in content]
    assert all(ident.replace("-", "").replace("_", "").isalnum() for ident in ids)
    back = turns(USER, {"role": "assistant", "content": content}, {"role": "user", "content": [result(ids[0], "1")]})
    assert (back[1]["tool_calls"][0]["id"], back[2]["tool_call_id"]) == ("functions.f:0", "functions.f:0")


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
            {"input_tokens": 2, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2},
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 1}},
            {
                "input_tokens": 0,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 5,
                "output_tokens": 2,
                "output_tokens_details": {"thinking_tokens": 1},
            },
        ),
    ],
)
def test_usage_leaves_out_of_the_input_what_was_cached(usage: Any, wanted: Any) -> None:
    assert answered("stop", usage, content="Hi")["usage"] == wanted


def test_an_error_under_200_and_an_answer_of_another_protocol() -> None:
    pair = MessagesToChat(Settings(), WORLD)
    with pytest.raises(FailedError, match="busy"):
        pair.answer({"error": {"message": "busy", "type": "server_error"}})
    with pytest.raises(BadAnswerError, match="choices"):
        pair.answer({"id": "msg", "content": []})


# --- M9 ---

SIGNED = {"extra_content": {"google": {"thought_signature": "U0lH"}}}
DETAIL = {"type": "reasoning.text", "text": "T", "signature": "s", "format": "google-gemini-v1", "index": 0}


def test_M9_signatures_of_calls_and_thoughts_survive_the_client() -> None:
    said = {"content": "A", "reasoning_content": "T", "reasoning_details": [DETAIL]}
    calls = [call("a", "f", "{}", **SIGNED), call("b", "g", "{}"), call("c", "h", "{}", **SIGNED)]
    content = answered("tool_calls", tool_calls=calls, **said)["content"]
    assert [block["type"] for block in content] == ["thinking", "text", "thinking", "tool_use", "tool_use", "thinking", "tool_use"]
    back = turns(USER, {"role": "assistant", "content": content}, USER)[1]
    assert (back["tool_calls"], back["reasoning_details"]) == (calls, [DETAIL])
    assert "reasoning_content" not in back


def test_M9_thoughts_of_a_chat_platform_go_back_to_one_that_wants_them() -> None:
    detail = {**DETAIL, "format": "openai-responses-v1", "id": "rs_1"}
    content = answered("stop", content="A", reasoning_details=[detail])["content"]
    assert content[0]["thinking"] == "T"
    history = [USER, {"role": "assistant", "content": content}, USER]
    assert turns(*history, reasoning_history=True)[1]["reasoning_details"] == [detail]
    assert "reasoning_details" not in turns(*history)[1]


def test_M9_signatures_survive_a_stream_too() -> None:
    deltas: list[Any] = [
        {"reasoning_content": "T"},
        {"reasoning_details": [DETAIL]},
        {"reasoning_content": "U"},
        {"tool_calls": [{"index": 0, **call("a", "f", "{}", **SIGNED)}]},
        {"tool_calls": [{"index": 1, **call("b", "g", "{}")}]},
        {"tool_calls": [{"index": 2, **call("c", "h", "", **SIGNED)}]},
    ]
    read = read_messages_stream(stream(*deltas, finish="tool_calls"))
    assert [block["type"] for block in read.message["content"]] == [
        "thinking",
        "thinking",
        "tool_use",
        "tool_use",
        "thinking",
        "tool_use",
    ]
    back = turns(USER, {"role": "assistant", "content": read.message["content"]}, USER)[1]
    assert back["reasoning_details"] == [DETAIL]
    assert [entry.get("extra_content") for entry in back["tool_calls"]] == [SIGNED["extra_content"], None, SIGNED["extra_content"]]


def test_M9_a_signature_without_words_goes_before_what_follows_and_never_ends_an_answer() -> None:
    signed = {"reasoning_details": [{**DETAIL, "text": ""}]}
    events = stream({"content": "A"}, signed, {"tool_calls": [{"index": 0, **call("a", "f", "{}")}]})
    assert shape(events) == ["text", "thinking", "tool_use"]
    assert shape(stream({"content": "A"}, signed)) == ["text"], "clients take the last block for the answer"


def test_M9_a_call_signed_by_a_generate_platform_comes_back_to_it_signed() -> None:
    def pair() -> Interpreter:
        return interpreter(Spoken.MESSAGES, Protocol.GENERATE, Settings(), WORLD)

    first = pair()
    first.request(Ask({"messages": [USER], "max_tokens": 9}, "g", True), {})
    said = read_messages_stream(told(first, vectors()["G-S2-GEM"].events)).message["content"]
    results = [result(block["id"], "1") for block in said if block["type"] == "tool_use"]
    history = [USER, {"role": "assistant", "content": said}, {"role": "user", "content": results}]
    again = pair().request(Ask({"messages": history, "max_tokens": 9}, "g", True), {})
    assert [part.get("thoughtSignature") for part in again.body["contents"][1]["parts"]] == ["U0lH", None, None]


# --- M6 ---


def chunk(delta: Any, finish: str | None = None, **members: Any) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Event(
        None, {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [choice], **members}
    )


def stream(*deltas: Any, finish: str | None = "stop", after: tuple[Event, ...] = (Event(None, DONE),)) -> list[Event]:
    events = [*(chunk(delta) for delta in deltas), chunk({}, finish)]
    return told(MessagesToChat(Settings(), WORLD), [*events, *after])


def piece(index: int, arguments: str, **members: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **members}]}


def shape(events: list[Event]) -> list[str]:
    """The blocks, in order, and that no two are open at once."""
    opened, out = False, []
    for name, data in events:
        assert isinstance(data, dict)
        assert data["type"] == name
        if name == "content_block_start":
            assert (opened, data["index"]) == (False, len(out))
            opened = True
            out.append(data["content_block"]["type"])
        elif name == "content_block_stop":
            assert (opened, data["index"]) == (True, len(out) - 1)
            opened = False
        elif name == "content_block_delta":
            assert opened
    assert not opened
    return out


def test_a_change_of_kind_closes_a_block_and_text_after_a_call_opens_another() -> None:
    events = stream(
        {"role": "assistant", "content": ""},
        {"content": None},
        {"reasoning_content": "T"},
        {"content": "A", "reasoning_content": None},
        {"content": "B"},
        {"tool_calls": [{"index": 0, **call("a", "f", '{"x":1}')}]},
        {"content": "C"},
        {"content": "D", "role": "assistant"},
    )
    assert shape(events) == ["thinking", "text", "tool_use", "text"]
    assert read_messages_stream(events)[:4] == ("ABCD", "T", [("a", "f", {"x": 1})], "tool_use")


def test_a_call_is_live_while_it_is_the_open_one() -> None:
    pair = MessagesToChat(Settings(), WORLD)
    pair.event(chunk({"tool_calls": [{"index": 0, **call("a", "f", "")}]}))
    out = [len(pair.event(chunk(piece(0, part)))) for part in ('{"a":', "1", "}")]
    assert out == [2, 1, 1]


def test_what_arrives_within_an_open_call_waits_in_its_order() -> None:
    events = stream(
        {"tool_calls": [{"index": 0, **call("a", "f", '{"a"')}, {"index": 1, **call("b", "g", "")}]},
        {"content": "then"},
        piece(1, '{"b":2}'),
        piece(0, ":1}"),
        {"content": " this"},
    )
    assert shape(events) == ["tool_use", "tool_use", "text"]
    assert read_messages_stream(events)[:3] == ("then this", "", [("a", "f", {"a": 1}), ("b", "g", {"b": 2})])


def test_names_in_pieces_repeated_names_and_missing_ids() -> None:
    events = stream(
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "get_"}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "time", "arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get_time", "arguments": ":1}"}}]},
        {"tool_calls": [{"index": 1, "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"index": 1, "id": "late", "function": {"name": "f", "arguments": "}"}}]},
        {"function_call": {"name": "g", "arguments": '{"y":2}'}},
    )
    tools = read_messages_stream(events).tools
    assert [tool[1:] for tool in tools] == [("get_time", {"x": 1}), ("f", {}), ("g", {"y": 2})]
    assert tools[0][0] == "a"
    assert all(tool[0].startswith("toolu_") for tool in tools[1:])


def test_whole_calls_that_are_all_numbered_0_or_not_at_all() -> None:
    for index in ({"index": 0}, {}):
        events = stream(*({"tool_calls": [{**index, **call(name, name, '{"x":1}')}]} for name in "ab"))
        assert read_messages_stream(events).tools == [("a", "a", {"x": 1}), ("b", "b", {"x": 1})]


def test_broken_arguments_stand_as_they_are_where_nothing_of_them_went_out() -> None:
    events = stream({"tool_calls": [{"index": 0, **call("a", "f", "oh no")}]})
    assert read_messages_stream(events).tools == [("a", "f", {"_raw_arguments": "oh no"})]


def test_broken_arguments_that_went_out_end_in_an_error_unless_the_limit_cut_them() -> None:
    deltas = {"tool_calls": [{"index": 0, **call("a", "f", '{"a":')}]}
    events = stream(deltas)
    assert (events[-1].name, "message_stop" in [event.name for event in events]) == ("error", False)
    assert read_messages_stream(stream(deltas, finish="length")).finish == "max_tokens"
    with pytest.raises(BadAnswerError, match="go on after"):
        stream(*({"tool_calls": [{"index": at, **call("a", "f", "{}")}]} for at in (0, 1, 0)))


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}


@pytest.mark.parametrize("place", ["finish", "later", "every", "never"])
def test_usage_from_wherever_it_comes(place: str) -> None:
    every = {"usage": USAGE} if place == "every" else {"usage": None}
    events = [chunk({"role": "assistant"}, **every), chunk({"content": "Hi"}, **every), chunk({"content": "!"}, **every)]
    events.append(chunk({}, "stop", usage=USAGE if place in ("finish", "every") else None))
    if place == "later":
        events.append(Event(None, {"id": "c1", "choices": [], "usage": USAGE}))
    events.append(Event(None, DONE))
    read = read_messages_stream(told(MessagesToChat(Settings(), WORLD), events))
    assert read.text == "Hi!"
    wanted = (0, 0) if place == "never" else (4, 2)
    assert (read.usage["input_tokens"], read.usage["output_tokens"]) == wanted


def test_the_end_waits_for_the_usage_and_no_longer() -> None:
    pair = MessagesToChat(Settings(), WORLD)
    assert [event.name for event in pair.event(chunk({}, "stop"))] == ["message_start"]
    ended = pair.event(Event(None, {"choices": [], "usage": USAGE}))
    assert [event.name for event in ended] == ["message_delta", "message_stop"]
    assert pair.event(Event(None, DONE)) + pair.end() == []


def test_chunks_that_say_nothing_begin_nothing() -> None:
    pair = MessagesToChat(Settings(), WORLD)
    assert pair.event(Event(None, {"id": "", "model": "", "choices": [], "prompt_filter_results": []})) == []
    start = pair.event(chunk({"content": ""}))
    assert [event.name for event in start] == ["message_start"]
    assert pair.event(Event(None, {"choices": [{"index": 1, "delta": {"content": "other"}}]})) == []


@pytest.mark.parametrize("after", [(), (Event(None, DONE),)])
def test_an_end_that_was_not_said_is_never_made_up(after: tuple[Event, ...]) -> None:
    events = stream({"content": "Par"}, finish=None, after=after)
    assert [event.name for event in events] == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert [event.name for event in told(MessagesToChat(Settings(), WORLD), after)] == ["error"]


def test_nothing_follows_a_failure() -> None:
    failed = Event(None, {"error": {"message": "busy", "type": "server_error", "code": None}})
    events = told(
        MessagesToChat(Settings(), WORLD), [chunk({"content": "Par"}), failed, chunk({"content": "is"}), Event(None, DONE)]
    )
    assert [event.name for event in events] == ["message_start", "content_block_start", "content_block_delta", "error"]
    with pytest.raises(FailedError, match="busy"):
        MessagesToChat(Settings(), WORLD).event(failed)
    with pytest.raises(BadAnswerError):
        MessagesToChat(Settings(), WORLD).event(Event(None, "Hi"))


def test_a_refusal_in_a_stream_is_text_and_a_reason() -> None:
    assert read_messages_stream(stream({"refusal": "No"}, {"refusal": "."}))[:4] == ("No.", "", [], "refusal")
