"""Signatures through clients of other protocols: what one provider signed comes back to it, and goes to no other (M9, G6)."""

from typing import Any

from tests.interpreters.readers import WORLD, read_messages_stream
from tests.interpreters.vectors import vectors
from translators.interpreters.base import Ask, Event, Interpreter, Settings
from translators.interpreters.pairs import interpreter
from translators.model import Protocol, Spoken


def pair(client: Spoken, platform: Protocol) -> Interpreter:
    return interpreter(client, platform, Settings(unsupported="drop"), WORLD)


def asked(client: Spoken, platform: Protocol, body: dict[str, Any]) -> dict[str, Any]:
    return pair(client, platform).request(Ask(body, "m", stream=True), {}).body


def streamed(client: Spoken, platform: Protocol, name: str) -> list[Event]:
    between = pair(client, platform)
    return [out for event in vectors()[name].events for out in between.event(event)] + between.end()


SIGNED = [
    {"functionCall": {"id": "call_0", "name": "get_weather", "args": {"city": "Paris"}}, "thoughtSignature": "U0lH"},
    {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Rome"}}},
    {"functionCall": {"id": "fc9", "name": "get_time", "args": {}}},
]


def test_a_messages_client_gives_the_signature_of_a_call_back() -> None:
    content = read_messages_stream(streamed(Spoken.MESSAGES, Protocol.GENERATE, "G-S2-GEM")).message["content"]
    calls = [block for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "x", "is_error": True} for block in calls]
    history = [{"role": "user", "content": "?"}, {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    body = {"model": "m", "max_tokens": 9, "messages": history}
    made = asked(Spoken.MESSAGES, Protocol.GENERATE, body)["contents"]
    assert made[1] == {"role": "model", "parts": SIGNED}
    assert [part["functionResponse"]["response"] for part in made[2]["parts"]] == [{"error": "x"}] * 3
    assert "U0lH" not in str(asked(Spoken.MESSAGES, Protocol.RESPONSES, body))


def test_a_responses_client_gives_the_signature_of_a_call_back() -> None:
    events = streamed(Spoken.RESPONSES, Protocol.GENERATE, "G-S2-GEM")
    output = events[-1].data["response"]["output"]  # type: ignore[index]
    calls = [item for item in output if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": item["call_id"], "output": "x"} for item in calls]
    body = {"model": "m", "input": [{"role": "user", "content": "?"}, *output, *results]}
    assert asked(Spoken.RESPONSES, Protocol.GENERATE, body)["contents"][1] == {"role": "model", "parts": SIGNED}


def test_a_generate_client_gives_signed_thoughts_back() -> None:
    events = streamed(Spoken.GENERATE, Protocol.MESSAGES, "A-S2-ANT")
    parts = [part for event in events for part in event.data["candidates"][0]["content"]["parts"]]  # type: ignore[index]
    body = {"contents": [{"parts": [{"text": "?"}]}, {"role": "model", "parts": parts}]}
    blocks = asked(Spoken.GENERATE, Protocol.MESSAGES, body)["messages"][-1]["content"]
    assert blocks[:2] == [
        {"type": "thinking", "thinking": "Two cities.", "signature": "U0lH"},
        {"type": "redacted_thinking", "data": "RU5D"},
    ]
    native = {"contents": [{"parts": [{"text": "?"}]}, {"role": "model", "parts": SIGNED}]}
    assert "U0lH" not in str(asked(Spoken.GENERATE, Protocol.MESSAGES, native))
