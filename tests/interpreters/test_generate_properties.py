"""Chat and generate, there and back, and anything at all in place of anything."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpreters.readers import WORLD
from tests.interpreters.vectors import vectors
from translators.formats.strict_json import dumps
from translators.interpreters.base import (
    Ask,
    BadAnswerError,
    Event,
    FailedError,
    Interpreter,
    Settings,
    UntranslatableError,
)
from translators.interpreters.chat_to_generate import ChatToGenerate
from translators.interpreters.generate_to_chat import GenerateToChat
from translators.interpreters.generate_words import opened

QUICK = settings(max_examples=60)

words = st.text('abc äö{}[]"\\\n東🙂', min_size=1, max_size=12).filter(str.strip)
names = st.sampled_from(["f", "g_1", "get_weather"])
arguments = st.dictionaries(
    st.sampled_from(["a", "snake_case", "camelCase"]), st.one_of(st.integers(), words, st.none(), st.lists(words)), max_size=3
)
pictures = st.sampled_from(["data:image/png;base64,iVBORw0KGgo=", "data:image/gif;base64,R0lGODlh", "https://a.example/x.jpg"])
signatures = st.one_of(st.none(), st.sampled_from(["U0lH", "QUJD"]))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Chat messages; roles alternate, since generate merges neighbours."""
    said: list[dict[str, Any]] = [{"role": "system", "content": draw(words)}] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        parts: list[Any] = [{"type": "text", "text": draw(words)}]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in draw(st.lists(pictures, max_size=2))]
        said.append({"role": "user", "content": parts if len(parts) > 1 else parts[0]["text"]})
        calls = []
        for number in range(draw(st.integers(0, 3))):
            call: dict[str, Any] = {"id": f"c{turn}.{number}", "type": "function"}
            call["function"] = {"name": draw(names), "arguments": json.dumps(draw(arguments))}
            if number == 0 and (signature := draw(signatures)):
                call["extra_content"] = {"google": {"thought_signature": signature}}
            calls.append(call)
        answer = {"role": "assistant", "content": draw(words if not calls else st.one_of(words, st.none()))}
        said.append(answer | ({"tool_calls": calls} if calls else {}))
        said += [{"role": "tool", "tool_call_id": call["id"], "content": json.dumps(draw(arguments))} for call in calls]
    return said


def parsed(messages: list[Any]) -> list[Any]:
    """The same with its JSON texts read, so that only what they say is compared."""
    made = copy.deepcopy(messages)
    for message in made:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        if message["role"] == "tool":
            message["content"] = json.loads(message["content"])
    return made


@QUICK
@given(conversations())
def test_a_conversation_survives_the_way_there_and_back(said: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(said)
    there = ChatToGenerate(Settings(), WORLD).request(Ask({"messages": said}, "m", stream=False), {})
    back = GenerateToChat(Settings(reasoning_history=True), WORLD).request(Ask(there.body, "m", stream=False), {})
    assert said == before
    assert parsed(back.body["messages"]) == parsed(said)


@QUICK
@given(st.lists(words, max_size=2), words, st.lists(st.tuples(names, arguments, signatures), max_size=3))
def test_an_answer_survives_the_way_there_and_back(thoughts: list[str], text: str, called: list[Any]) -> None:
    parts: list[Any] = [{"text": thought, "thought": True} for thought in thoughts[:1]]
    parts.append({"text": text})
    for number, (name, args, signature) in enumerate(called):
        call = {"functionCall": {"id": f"c{number}", "name": name, "args": args}}
        parts.append(call | ({"thoughtSignature": signature} if signature else {}))
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "totalTokenCount": 9}
    said = {
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": "STOP"}],
        "usageMetadata": usage,
        "modelVersion": "m",
        "responseId": "chatcmpl-1",
    }
    hub = ChatToGenerate(Settings(), WORLD).answer(said)
    assert unsealed(GenerateToChat(Settings(), WORLD).answer(hub)) == said
    streaming, returning = ChatToGenerate(Settings(), WORLD), GenerateToChat(Settings(), WORLD)
    streaming.request(
        Ask({"messages": [{"role": "user", "content": "?"}], "stream_options": {"include_usage": True}}, "m", stream=True), {}
    )
    pieces = [{**said, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts]
    pieces.append({**said, "candidates": [{"index": 0, "finishReason": "STOP"}]})
    hubs = [out for piece in pieces for out in streaming.event(Event(None, piece))] + streaming.end()
    outs = [out.data for hub_event in hubs for out in returning.event(hub_event)] + [out.data for out in returning.end()]
    made = [part for out in outs for part in unsealed(out)["candidates"][0]["content"]["parts"]]  # type: ignore[index]
    assert [part for part in made if part != {"text": ""}] == parts
    assert outs[-1]["usageMetadata"] == usage  # type: ignore[index]


def unsealed(answer: Any) -> Any:
    """The answer with the signatures that the seals on its calls hold."""
    for part in answer["candidates"][0]["content"]["parts"]:
        if held := opened(part.get("thoughtSignature", "")):
            part["thoughtSignature"] = held["extra"]["google"]["thought_signature"]
    return answer


# --- anything in place of anything ---

numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), numbers, st.text(max_size=8), st.sampled_from(["STOP", "function", "data:", "http://x", "gs://"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys, at every depth."""
    found: list[tuple[Any, Any]] = []
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    for key, held in pairs:
        found += [(value, key), *places(held)]
    return found


def mutated(value: Any, changes: list[tuple[int, Any]]) -> Any:
    """A copy with other values in some places."""
    made = copy.deepcopy(value)
    for place, other in changes:
        found = places(made)
        if found:
            container, key = found[place % len(found)]
            container[key] = copy.deepcopy(other)
    return made


changes = st.lists(st.tuples(st.integers(0, 10_000), anything), min_size=1, max_size=3)
PAIRS: list[tuple[Callable[..., Interpreter], str, str, str]] = [
    (ChatToGenerate, "G-P1-OAI", "G-P3-GEM", "G-S"),
    (GenerateToChat, "G-P2-GEM", "G-P4-OAI", "A-S"),
]


@pytest.mark.parametrize(("make", "asked", "answer", "streams"), PAIRS)
@QUICK
@given(changes, st.sampled_from(["full", "subset"]))
def test_any_request_is_translated_or_refused(
    make: Callable[..., Interpreter], asked: str, answer: str, streams: str, change: list[Any], schema: str
) -> None:
    body = mutated(vectors()[asked].json, change)
    interpreter = make(Settings(unsupported="drop", schema=schema, urls="inline"), WORLD)
    list(interpreter.urls(Ask(body, "m", stream=True)))
    try:
        made = interpreter.request(Ask(body, "m", stream=True), {})
    except UntranslatableError:
        return
    assert dumps(made.body)


@pytest.mark.parametrize(("make", "asked", "answer", "streams"), PAIRS)
@QUICK
@given(changes)
def test_any_answer_is_translated_or_refused(
    make: Callable[..., Interpreter], asked: str, answer: str, streams: str, change: list[Any]
) -> None:
    try:
        assert dumps(make(Settings(), WORLD).answer(mutated(vectors()[answer].json, change)))
    except (BadAnswerError, FailedError):
        return


@pytest.mark.parametrize(("make", "asked", "answer", "streams"), PAIRS)
@QUICK
@given(st.data())
def test_any_stream_is_translated_or_refused(
    make: Callable[..., Interpreter], asked: str, answer: str, streams: str, data: st.DataObject
) -> None:
    ending = "GEM" if streams == "G-S" else "OAI"
    stream = data.draw(st.sampled_from([name for name in vectors() if name.startswith(streams) and name.endswith(ending)]))
    events = data.draw(st.lists(st.sampled_from([event.data for event in vectors()[stream].events]), max_size=8))
    if data.draw(st.booleans()):
        events = mutated(events, data.draw(changes))
    interpreter = make(Settings(), WORLD)
    for event in events:
        try:
            outs = interpreter.event(Event(None, event))
        except BadAnswerError:
            continue
        except FailedError:
            return
        assert all(dumps(out.data) for out in outs)
    assert all(dumps(out.data) for out in interpreter.end())
