"""Counting tokens for a client of another protocol."""

import pytest

from tests.interpreters.readers import WORLD
from translators.interpreters.base import Ask, BadAnswerError, Interpreter, Settings, UntranslatableError
from translators.interpreters.counting import count_answer, count_request
from translators.interpreters.pairs import interpreter
from translators.model import Protocol, Spoken


def pair(client: Spoken, platform: Protocol) -> Interpreter:
    return interpreter(client, platform, Settings(), WORLD)


def test_a_messages_client_counts_on_a_generate_platform() -> None:
    body = {"model": "m", "system": "s", "messages": [{"role": "user", "content": "hi"}]}
    counting = pair(Spoken.MESSAGES, Protocol.GENERATE)
    assert count_request(counting, Ask(body, "m", stream=False), {}) == {
        "generateContentRequest": {
            "model": "models/m",
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        }
    }
    assert count_answer(counting, {"totalTokens": 7, "cachedContentTokenCount": 1}) == {"input_tokens": 7}
    assert count_answer(counting, {}) == {"input_tokens": 0}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_generate_client_counts_on_a_messages_platform(*, wrapped: bool) -> None:
    body = {"contents": [{"parts": [{"text": "hi"}]}], "system_instruction": {"parts": [{"text": "s"}]}}
    counting = pair(Spoken.GENERATE, Protocol.MESSAGES)
    asked = count_request(counting, Ask({"generate_content_request": body} if wrapped else body, "m", stream=False), {})
    assert set(asked) == {"model", "system", "messages"}
    assert (asked["model"], asked["messages"]) == ("m", [{"role": "user", "content": [{"type": "text", "text": "hi"}]}])
    assert count_answer(counting, {"input_tokens": 7}) == {"totalTokens": 7}


def test_a_platform_that_does_not_count_says_so() -> None:
    with pytest.raises(UntranslatableError, match="does not count"):
        count_request(pair(Spoken.MESSAGES, Protocol.CHAT), Ask({}, "m", stream=False), {})
    with pytest.raises(BadAnswerError, match="input_tokens"):
        count_answer(pair(Spoken.GENERATE, Protocol.MESSAGES), {"input_tokens": "7"})
