"""A whole answer, said to a client that asked for a stream: the official SDKs read the same in both."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from tests.interpreters.readers import (
    Read,
    read_chat_answer,
    read_chat_stream,
    read_messages_answer,
    read_messages_stream,
)
from tests.interpreters.readers_generate import read_generate_answer, read_generate_stream
from tests.interpreters.readers_responses import (
    read_completions_answer,
    read_completions_stream,
    read_responses_answer,
    read_responses_stream,
    world,
)
from tests.interpreters.vectors import vectors
from translators.interpreters.base import DONE, Ask, BadAnswerError, FailedError, Interpreter, Settings
from translators.interpreters.pairs import interpreter
from translators.interpreters.wholes import chunks, told
from translators.model import Protocol, Spoken

ASKED: dict[Spoken, dict[str, Any]] = {
    Spoken.CHAT: {"messages": [{"role": "user", "content": "?"}]},
    Spoken.COMPLETIONS: {"prompt": "?"},
    Spoken.RESPONSES: {"input": "?"},
    Spoken.MESSAGES: {"max_tokens": 9, "messages": [{"role": "user", "content": "?"}]},
    Spoken.GENERATE: {"contents": [{"role": "user", "parts": [{"text": "?"}]}]},
}
READERS: dict[Spoken, tuple[Callable[[Any], Read], Callable[[Any], Read]]] = {
    Spoken.CHAT: (read_chat_answer, read_chat_stream),
    Spoken.RESPONSES: (read_responses_answer, read_responses_stream),
    Spoken.MESSAGES: (read_messages_answer, read_messages_stream),
    Spoken.GENERATE: (read_generate_answer, read_generate_stream),
}
CALLS = {
    "id": "c1", "object": "chat.completion", "created": 7, "model": "m", "system_fingerprint": "fp", "provider": "p",
    "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11},
    "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": {
        "role": "assistant", "content": "Both.", "refusal": None, "reasoning_content": "Two.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}],
}  # fmt: skip
REFUSED = {**CALLS, "choices": [{"index": 0, "finish_reason": "stop", "message": {
    "role": "assistant", "content": None, "refusal": "I will not."}}]}  # fmt: skip
THOUGHTS = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 2}, "content": [
        {"type": "thinking", "thinking": "One. ", "signature": "s1"}, {"type": "redacted_thinking", "data": "hidden"},
        {"type": "thinking", "thinking": "Two.", "signature": "s2"}, {"type": "text", "text": "Done"}]}  # fmt: skip
GOLDEN = {
    Protocol.CHAT: ("A-P3-OAI", "A-P4-OAI", "G-P3-OAI", "G-P4-OAI", "O-CHAT"),
    Protocol.MESSAGES: ("A-P3-ANT", "A-P4-ANT"),
    Protocol.GENERATE: ("G-P3-GEM", "G-P4-GEM"),
    Protocol.RESPONSES: ("O-RESP",),
}
OWN: dict[Protocol, dict[str, Any]] = {
    Protocol.CHAT: {"calls": CALLS, "refused": REFUSED},
    Protocol.MESSAGES: {"thoughts": THOUGHTS},
}
ANSWERS = [
    pytest.param(platform, said, id=name)
    for platform, names in GOLDEN.items()
    for name, said in [*((name, vectors()[name].json) for name in names), *OWN.get(platform, {}).items()]
]


def asked(client: Spoken, platform: Protocol) -> Interpreter:
    """A pair that has said a request for a stream."""
    pair = interpreter(client, platform, Settings(unsupported="drop"), world())
    pair.request(Ask({"model": "m", "stream": True, **ASKED[client]}, "m", True), {})
    return pair


def seen(read: Read) -> tuple[Any, ...]:
    """What a client sees, but for ids of calls that a platform gave none."""
    return read.text, read.thinking, [call[1:] for call in read.tools], read.finish, read.usage


def of_messages(answer: dict[str, Any], client: Spoken = Spoken.CHAT) -> list[Any]:
    return [event.data for event in told(asked(client, Protocol.MESSAGES), answer, usage=True)]


@pytest.mark.parametrize(
    ("platform", "said", "client"),
    [
        pytest.param(*one.values, client, id=f"{one.id}-{client}")
        for one, client in product(ANSWERS, READERS)
        if client.protocol is not one.values[0]
    ],
)
def test_the_sdk_reads_the_same_of_a_whole_answer_and_of_the_stream_that_says_it(
    platform: Protocol, said: dict[str, Any], client: Spoken
) -> None:
    answer, stream = READERS[client]
    whole = answer(asked(client, platform).answer(said))
    assert seen(stream(told(asked(client, platform), said, usage=True))) == seen(whole)


@pytest.mark.parametrize(("platform", "said"), ANSWERS)
def test_so_does_a_client_of_legacy_completions(platform: Protocol, said: dict[str, Any]) -> None:
    whole = read_completions_answer(asked(Spoken.COMPLETIONS, platform).answer(said))
    text, finish, _ = read_completions_stream(told(asked(Spoken.COMPLETIONS, platform), said, usage=True))
    assert (text, finish) == (whole.choices[0].text, whole.choices[0].finish_reason)


@pytest.mark.parametrize("said", [CALLS, REFUSED, *(vectors()[name].json for name in GOLDEN[Protocol.CHAT])])
def test_the_chunks_of_a_chat_completion_hold_all_of_it(said: dict[str, Any]) -> None:
    assert read_chat_stream(chunks(said, usage=True))[:5] == read_chat_answer(said)[:5]


def test_what_no_table_knows_stands_in_the_chunks_too() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": logprobs, "own": 2, "message": {
        "role": "assistant", "content": "Hi", "audio": {"id": "a"}, "annotations": [], "mood": 0}}  # fmt: skip
    *made, done = [event.data for event in chunks({**CALLS, "choices": [choice]}, usage=False)]
    assert done == DONE
    assert made[0]["provider"] == "p"  # type: ignore[index]
    assert all(data["system_fingerprint"] == "fp" and "usage" not in data for data in made)  # type: ignore[index, operator]
    start, words, others, end = [data["choices"][0] for data in made]  # type: ignore[index]
    assert start["delta"] == {"role": "assistant", "content": ""}
    assert (words["delta"], words["logprobs"]) == ({"content": "Hi"}, logprobs)
    assert others["delta"] == {"audio": {"id": "a"}, "mood": 0}
    assert (end["delta"], end["own"], end["finish_reason"]) == ({}, 2, "stop")


def test_every_choice_is_said_and_usage_only_where_it_was_asked_for() -> None:
    choices = [
        {"index": at, "finish_reason": "stop", "message": {"role": "assistant", "content": text}} for at, text in enumerate("ab")
    ]
    *made, last, done = [event.data for event in chunks({**CALLS, "choices": choices}, usage=True)]
    words = [(said["index"], said["delta"]["content"]) for data in made for said in data["choices"] if said["delta"].get("content")]  # type: ignore[index]
    assert words == [(0, "a"), (1, "b")]
    assert (last["choices"], last["usage"], done) == ([], CALLS["usage"], DONE)  # type: ignore[index]
    assert all("usage" not in event.data for event in chunks({**CALLS, "choices": choices, "usage": None}, usage=True))


def test_each_thought_stands_before_its_own_signature() -> None:
    deltas = [data["choices"][0]["delta"] for data in of_messages(THOUGHTS)[:-1] if data["choices"]]
    thoughts = [entry for delta in deltas for entry in delta.get("reasoning_details", [delta.get("reasoning_content")]) if entry]
    assert [entry if isinstance(entry, str) else entry.get("signature") or entry["data"] for entry in thoughts] == [
        "One. ", "s1", "hidden", "Two.", "s2"]  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"choices": []},
        {"choices": [{"index": 0, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {"content": 7}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {"content": "no end"}, "finish_reason": None}]},
    ],
)
def test_what_is_no_whole_answer_is_given_no_stream(said: dict[str, Any]) -> None:
    with pytest.raises(BadAnswerError):
        told(asked(Spoken.MESSAGES, Protocol.CHAT), said, usage=True)


def test_a_failure_is_one_before_anything_went_out() -> None:
    with pytest.raises(FailedError, match="blocked"):
        told(asked(Spoken.CHAT, Protocol.GENERATE), {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, usage=True)
