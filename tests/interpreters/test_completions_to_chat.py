"""A client of legacy completions before a chat platform."""

from typing import Any

import openai
import pytest

from tests.interpreters.readers import cut
from tests.interpreters.readers_responses import read_completions_answer, read_completions_stream, world
from tests.interpreters.vectors import vectors
from translators.interpreters.base import DONE, Ask, BadAnswerError, Event, FailedError, Settings, UntranslatableError
from translators.interpreters.completions_to_chat import CompletionsToChat

DROP = Settings(unsupported="drop")


def pair(body: dict[str, Any] | None = None, with_: Settings = Settings(), *, stream: bool = False) -> CompletionsToChat:  # noqa: B008
    one = CompletionsToChat(with_, world())
    one.request(Ask({"prompt": "?", **(body or {})}, "m", stream), {})
    return one


def asked(body: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    one = CompletionsToChat(Settings(), world())
    first = one.request(Ask(body, "m", stream), {})
    assert one.request(Ask(body, "m", stream), {}) == first
    return first.body


def streamed(events: list[Event], body: dict[str, Any] | None = None) -> list[Event]:
    one = pair(body, stream=True)
    return [out for event in events for out in one.event(event)] + one.end()


@pytest.mark.parametrize("prompt", ["Say", ["Say"]])
def test_a_prompt_is_one_user_message(prompt: Any) -> None:
    body = {"model": "x", "prompt": prompt, "max_tokens": 7, "stop": ["."], "n": 2, "echo": False, "suffix": None, "best_of": 2}
    expected = {"model": "m", "messages": [{"role": "user", "content": "Say"}], "max_tokens": 7, "stop": ["."], "n": 2}
    assert asked(body) == expected
    assert asked({**body, "stream": True}, stream=True) == {**expected, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
    ],
)
def test_what_changes_the_meaning_is_refused_whatever_the_rule_says(members: dict[str, Any], path: str) -> None:
    with pytest.raises(UntranslatableError) as caught:
        pair(members, DROP)
    assert caught.value.path == path


@pytest.mark.parametrize(("name", "value"), [("logprobs", 2), ("best_of", 3), ("something", 1)])
def test_options_that_chat_lacks_are_refused_or_dropped(name: str, value: Any) -> None:
    with pytest.raises(UntranslatableError) as caught:
        pair({name: value})
    assert caught.value.path == name
    assert pair({name: value}, DROP).dropped == [name]


def test_paths_lead_back_to_the_prompt() -> None:
    assert pair().origin("messages[0].content") == "prompt"
    assert pair().origin("logit_bias") == "logit_bias"


def test_the_golden_answer_comes_from_its_chat_answer() -> None:
    wanted = vectors()["O-COMPL"].json
    choice = wanted["choices"][0]
    message = {"role": "assistant", "content": choice["text"]}
    chat = {**wanted, "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "length"}]}
    assert pair().answer(chat) == wanted
    assert read_completions_answer(pair().answer(chat)).choices[0].text == choice["text"]


def test_every_choice_of_an_answer_is_given() -> None:
    chat = vectors()["O-CHAT"].json
    chat["choices"].append({**chat["choices"][0], "index": 1, "message": {"content": None, "refusal": "No."}})
    made = pair().answer(chat)
    assert [(choice["index"], choice["text"]) for choice in made["choices"]] == [(0, "Hello!"), (1, "No.")]
    assert made["usage"] == chat["usage"]


def test_the_golden_stream_comes_from_its_chat_stream() -> None:
    wanted = vectors()["O-COMPL-SSE"]
    events = []
    for event in wanted.events[:-1]:
        assert isinstance(event.data, dict)
        (choice,) = event.data["choices"]
        chunk = {"index": 0, "delta": {"content": choice["text"]}, "finish_reason": choice["finish_reason"]}
        events.append(Event(None, {**event.data, "object": "chat.completion.chunk", "choices": [chunk]}))
    assert streamed([*events, Event(None, DONE)]) == wanted.events
    assert read_completions_stream(wanted.events) == ("This is", "stop", None)


def test_a_chat_stream_means_the_same_wherever_it_is_cut() -> None:
    vector = vectors()["O-SSE-TEXT"]
    asking = {"stream_options": {"include_usage": True}}
    whole = streamed(vector.events, asking)
    data = vector.stream
    assert streamed(cut(data[place : place + 1] for place in range(len(data))), asking) == whole
    text, finish, usage = read_completions_stream(whole)
    assert (text, finish, usage.total_tokens) == ("Hello", "stop", 10)
    assert read_completions_stream(streamed(vector.events)) == ("Hello", "stop", None)


def test_a_cut_stream_gets_an_error_and_no_end() -> None:
    events = vectors()["O-SSE-TEXT"].events
    for count in range(2):
        out = streamed(events[:count])
        with pytest.raises(openai.APIError, match="ended before"):
            read_completions_stream(out)
    assert streamed([*events[:2], Event(None, DONE)])[-1].data != DONE


def test_failures_and_other_shapes() -> None:
    error = Event(None, {"error": {"message": "Slow.", "type": "rate_limit_error", "code": None}})
    with pytest.raises(FailedError):
        streamed([error])
    out = streamed([*vectors()["O-SSE-TEXT"].events[:2], error])
    with pytest.raises(openai.APIError, match="Slow"):
        read_completions_stream(out)
    for bad in ({}, {"choices": [5]}, {"choices": [{"message": 5}]}, {"choices": [{"message": {"content": 5}}]}):
        with pytest.raises(BadAnswerError):
            pair().answer(bad)
    for data in ("text", [], {"choices": 5}, {"choices": [{"delta": 5}]}):
        with pytest.raises(BadAnswerError):
            streamed([Event(None, data)])  # type: ignore[arg-type]
