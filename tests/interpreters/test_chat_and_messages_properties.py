"""Chat and messages there and back keep their meaning, and nothing that is sent to the pairs breaks them."""

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpreters.readers import WORLD, read_chat_stream, read_messages_stream, told
from tests.interpreters.vectors import vectors
from translators.interpreters.base import DONE, Ask, BadAnswerError, Event, FailedError, Interpreter, Settings, UntranslatableError
from translators.interpreters.chat_to_messages import ChatToMessages
from translators.interpreters.messages_to_chat import MessagesToChat

FEW = settings(max_examples=60, deadline=None)
HOSTILE = settings(max_examples=60, deadline=None)
PNG = "iVBORw0KGgo="

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: not text.isspace())
names = st.sampled_from(["f", "get_weather", "g-1"])
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5)
arguments = st.dictionaries(words, values, max_size=3)
pictures = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"},
    ]
)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns of the messages protocol: user first and last, every call answered in the next turn, results first."""
    turns: list[dict[str, Any]] = []
    calls: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        turns.append({"role": "user", "content": _user(draw, calls)})
        blocks = [text(said) for said in draw(st.lists(words, max_size=1))]
        calls = [
            f"call:{len(turns)}.{at}" if draw(st.booleans()) else f"toolu_{len(turns)}_{at}"
            for at in range(draw(st.integers(0, 3)))
        ]
        blocks += [{"type": "tool_use", "id": ident, "name": draw(names), "input": draw(arguments)} for ident in calls]
        turns.append({"role": "assistant", "content": blocks or [text("Yes")]})
    return [*turns, {"role": "user", "content": _user(draw, calls)}]


def _user(draw: st.DrawFn, calls: list[str]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": ident, "content": draw(words)} for ident in draw(st.permutations(calls))
    ]
    return blocks + draw(st.lists(words.map(text) | pictures, min_size=0 if calls else 1, max_size=3))


@FEW
@given(conversations(), st.lists(words, max_size=1), st.lists(arguments, max_size=2), st.booleans())
def test_a_request_of_messages_there_and_back(turns: Any, system: list[str], schemas: list[Any], parallel: bool) -> None:
    body: dict[str, Any] = {"model": "m", "max_tokens": 7, "messages": turns, "stop_sequences": ["END"], "stream": True}
    if system:
        body["system"] = [text(system[0])]
    if schemas:
        schema = {"type": "object", "properties": schemas[0]}
        body["tools"] = [{"name": f"f{at}", "description": "D", "input_schema": schema} for at in range(len(schemas))]
        body["tool_choice"] = {"type": "any", **({} if parallel else {"disable_parallel_tool_use": True})}
    hub = MessagesToChat(Settings(), WORLD).request(Ask(body, "m", True), {})
    back = ChatToMessages(Settings(), WORLD).request(hub, {})
    safe = json.loads(json.dumps(back.body))
    _same_ids(turns, safe["messages"])
    assert safe == body


def _same_ids(turns: Any, back: Any) -> None:
    """Ids with other characters are written another way; the same one way everywhere, and none like another."""
    seen: dict[str, str] = {}
    for turn, other in zip(turns, back, strict=True):
        for block, made in zip(turn["content"], other["content"], strict=True):
            for key in {"id", "tool_use_id"} & set(block):
                assert seen.setdefault(made[key], block[key]) == block[key]
                made[key] = block[key]


@FEW
@given(conversations())
def test_a_request_of_chat_there_and_back(turns: Any) -> None:
    hub = MessagesToChat(Settings(), WORLD).request(Ask({"messages": turns, "max_tokens": 7}, "m", False), {})
    there = ChatToMessages(Settings(), WORLD).request(hub, {})
    assert MessagesToChat(Settings(), WORLD).request(there, {}) == hub


thoughts = st.builds(lambda said, sign: {"type": "thinking", "thinking": said, "signature": sign}, words, words)
redacted = st.builds(lambda data: {"type": "redacted_thinking", "data": data}, words)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """A message: thoughts, a text, calls."""
    blocks: list[dict[str, Any]] = draw(st.lists(thoughts | redacted, max_size=2))
    blocks += [text(said) for said in draw(st.lists(words, max_size=1))]
    blocks += [
        {"type": "tool_use", "id": f"toolu_{at}", "name": draw(names), "input": draw(arguments)}
        for at in range(draw(st.integers(0, 2)))
    ]
    stop = "tool_use" if blocks and blocks[-1]["type"] == "tool_use" else draw(st.sampled_from(["end_turn", "max_tokens"]))
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 1,
        "output_tokens": draw(st.integers(0, 9)),
    }
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


@FEW
@given(answers())
def test_an_answer_there_and_back(answer: Any) -> None:
    hub = ChatToMessages(Settings(), WORLD).answer(answer)
    assert MessagesToChat(Settings(), WORLD).answer(hub) == answer


def streamed(draw: st.DrawFn, answer: Any) -> list[Event]:
    """The stream of a message, its texts and arguments in pieces."""
    start = {**answer, "content": [], "stop_reason": None, "usage": {**answer["usage"], "output_tokens": 1}}
    events = [{"type": "message_start", "message": start}]
    for index, block in enumerate(answer["content"]):
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}.get(
            block["type"], {}
        )
        events.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        deltas = {
            "text": [("text_delta", "text", block.get("text"))],
            "thinking": [
                ("thinking_delta", "thinking", block.get("thinking")),
                ("signature_delta", "signature", block.get("signature")),
            ],
            "tool_use": [("input_json_delta", "partial_json", json.dumps(block.get("input")))],
        }
        for kind, key, whole in deltas.get(block["type"], []):
            at = draw(st.integers(0, len(whole)))
            pieces = [whole] if kind == "signature_delta" else [whole[:at], whole[at:]]
            events += [{"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}} for piece in pieces]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": answer["usage"]["output_tokens"]}})
    return [Event(event["type"], event) for event in [*events, {"type": "message_stop"}]]


@settings(max_examples=30, deadline=None)
@given(answers(), st.data())
def test_a_stream_there_and_back(answer: Any, data: st.DataObject) -> None:
    far = ChatToMessages(Settings(), WORLD)
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": True}}
    far.request(Ask(body, "m", True), {})
    hub = told(far, streamed(data.draw, answer))
    if answer["stop_reason"] != "max_tokens":
        read_chat_stream(hub)
    read = read_messages_stream(told(MessagesToChat(Settings(), WORLD), hub))
    for block in read.message["content"]:
        assert {block.pop(added, None) for added in ("citations", "caller")} == {None}  # older SDKs add them
    wanted = {key: answer[key] for key in ("content", "stop_reason", "usage")}
    assert {key: read.message[key] for key in wanted} == wanted


# --- hostile ---


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all members and items."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, held in items for found in [(*path, key), *places(held, (*path, key))]]


rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "text", "{", "tool_use", "https://[", "data:,", 1.5, 10**30]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id", "index"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """The value with up to three of its members replaced or gone."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        found = places(value)
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        holder = value
        for key in path:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(rubbish)
        elif isinstance(holder, dict):
            del holder[last]
    return value


CHAT_REQUEST = {
    **vectors()["A-P1-OAI"].json,
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
    "web_search_options": {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "P"}}},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
}
CHAT_REQUEST["messages"] = [
    *CHAT_REQUEST["messages"],
    {**vectors()["A-P3-OAI"].json["choices"][0]["message"], "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "function", "name": "f", "content": "x"},
    {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "c", "input": "i"}}]},
]
MESSAGES_REQUEST = copy.deepcopy(vectors()["A-P2-ANT"].json)
MESSAGES_REQUEST["messages"][0]["content"] += [
    {"type": "document", "source": {"type": "content", "content": [text("x")]}, "context": "c", "citations": {"enabled": False}},
    {"type": "search_result", "title": "t", "source": "s", "content": [text("x")]},
]
MESSAGES_REQUEST |= {
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "output_config": {"format": {"type": "json_schema", "schema": {}}},
}


def tried(interpreter: Interpreter, body: Any) -> None:
    list(interpreter.urls(Ask(body, "m", True)))
    try:
        json.dumps(interpreter.request(Ask(body, "m", True), {}).body)
    except UntranslatableError as error:
        interpreter.origin(error.path)


@HOSTILE
@given(st.data(), st.sampled_from(["adaptive", "budget", "off"]), st.sampled_from(["drop", "refuse"]))
def test_no_request_breaks_the_pairs(data: st.DataObject, thinking: Any, unsupported: Any) -> None:
    options = Settings(thinking=thinking, unsupported=unsupported, system_turns=data.draw(st.booleans()))
    tried(ChatToMessages(options, WORLD), spoiled(data.draw, CHAT_REQUEST))
    tried(MessagesToChat(options, WORLD), spoiled(data.draw, MESSAGES_REQUEST))


@HOSTILE
@given(st.data())
def test_no_answer_breaks_the_pairs(data: st.DataObject) -> None:
    for interpreter, name in ((ChatToMessages, "A-P3-ANT"), (MessagesToChat, "A-P3-OAI"), (MessagesToChat, "A-P4-OAI")):
        try:
            json.dumps(interpreter(Settings(), WORLD).answer(spoiled(data.draw, vectors()[name].json)))
        except (BadAnswerError, FailedError):
            pass


def disturbed(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """Events dropped, doubled, moved and spoiled."""
    events = list(events)
    for _ in range(draw(st.integers(1, 4))):
        at, to = draw(st.integers(0, len(events) - 1)), draw(st.integers(0, len(events) - 1))
        how = draw(st.sampled_from(["drop", "double", "move", "spoil"]))
        if how == "double":
            events.insert(to, events[at])
        elif how == "move":
            events.insert(to, events.pop(at))
        elif how == "drop" and len(events) > 1:
            events.pop(at)
        elif how == "spoil" and isinstance(events[at].data, dict):
            events[at] = Event(events[at].name, spoiled(draw, events[at].data))
    return events


@HOSTILE
@given(st.data(), st.sampled_from(["A-S1-ANT", "A-S2-ANT", "A-S4-ANT", "A-S6-ANT"]))
def test_no_stream_of_messages_breaks_the_pair(data: st.DataObject, name: str) -> None:
    try:
        out = told(ChatToMessages(Settings(), WORLD), disturbed(data.draw, vectors()[name].events))
    except (BadAnswerError, FailedError):
        return
    last = out[-1].data
    assert last == DONE or (isinstance(last, dict) and "error" in last), "it ends, or says why not"
    assert sum(event.data == DONE for event in out) <= 1
    finishes = [
        event for event in out if isinstance(event.data, dict) and any(c["finish_reason"] for c in event.data.get("choices", ()))
    ]
    assert len(finishes) == (last == DONE)


@HOSTILE
@given(st.data(), st.sampled_from(["A-S2-OAI", "A-S3-OAI", "A-S5-OAI", "O-SSE-TOOLS", "G-S2-OAI"]))
def test_no_stream_of_chat_breaks_the_pair(data: st.DataObject, name: str) -> None:
    try:
        out = told(MessagesToChat(Settings(), WORLD), disturbed(data.draw, vectors()[name].events))
    except (BadAnswerError, FailedError):
        return
    opened = None
    for event, following in zip(out, [*out[1:], None], strict=True):
        assert isinstance(event.data, dict)
        kind = event.data["type"]
        if kind == "content_block_start":
            assert opened is None, "one block at a time"
            opened = event.data["index"]
        elif kind.startswith("content_block"):
            assert event.data["index"] == opened
            opened = None if kind == "content_block_stop" else opened
        assert (following is None) == (kind in ("message_stop", "error")), "it ends, or says why not"
