"""Answers and streams of responses and of legacy completions, read by the official SDK without a socket."""

import json
from collections.abc import Iterable
from itertools import count
from typing import Any

from openai.types.responses import Response

from tests.interpreters.readers import Read, _openai, printed
from translators.interpreters.base import Event, World


def world() -> World:
    """A clock that stands still, and ids that are all different."""
    numbers = count()
    return World(now=lambda: 1700000000.5, new_id=lambda: f"{next(numbers):08d}")


def read_responses_answer(answer: Any) -> Read:
    with _openai(json.dumps(answer).encode(), "application/json") as client:
        return _read(client.responses.create(model="m", input="?"))


def read_responses_stream(events: Iterable[Event]) -> Read:
    """What the last event's response says; the helper that puts events together, and the order of events, are checked, too."""
    events = list(events)
    check_order([event.data for event in events])
    assert all(event.name == event.data["type"] for event in events)  # type: ignore[index]
    with _openai(printed(events), "text/event-stream") as client:
        last = None
        for event in client.responses.create(model="m", input="?", stream=True):
            last = event
        final: Any = getattr(last, "response", None)
        with client.responses.stream(model="m", input="?") as stream:
            for _ in stream:
                pass
            if final is not None and final.status == "completed":
                assert stream.get_final_response().id == final.id
    assert final is not None, "the stream has no response at its end"
    return _read(final)


def check_order(events: list[Any]) -> None:
    """The order that the protocol promises: numbers without gaps, one item after the other, deltas that make up the whole."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    ident = events[0]["response"]["id"]
    assert all(event["response"]["id"] == ident for event in events if "response" in event)
    closed: list[Any] = []
    opened: Any = None
    texts: dict[str, str] = {}
    for event in events[2:]:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert opened is None
            assert event["output_index"] == len(closed)
            opened, texts = event["item"], {}
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == opened["id"]
            assert event["item"]["type"] == opened["type"]
            assert event["output_index"] == len(closed)
            assert event["item"].get("call_id") == opened.get("call_id")
            closed.append(event["item"])
            opened = None
        elif "item_id" in event:
            assert event["item_id"] == opened["id"]
            assert event["output_index"] == len(closed)
            name = kind.removeprefix("response.").removesuffix(".delta").removesuffix(".done")
            if kind.endswith(".delta"):
                texts[name] = texts.get(name, "") + event["delta"]
            elif kind.endswith(".done") and "part" not in event:
                said = next(event[key] for key in ("text", "refusal", "arguments", "input") if key in event)
                assert texts.pop(name, "") == said
        else:
            assert event is events[-1]
            assert opened is None or kind == "response.failed"
            assert event["response"]["output"] == closed


def _read(response: Response) -> Read:
    text, thinking, tools = "", "", []
    for item in response.output:
        if item.type == "message":
            text += "".join(getattr(part, "text", "") for part in item.content)
        elif item.type == "reasoning":
            thinking += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            tools.append((item.call_id, item.name, item.arguments))
        elif item.type == "custom_tool_call":
            tools.append((item.call_id, item.name, item.input))
    usage = response.usage.model_dump(exclude_unset=True) if response.usage else None
    return Read(text, thinking, tools, response.status, usage, response.model_dump(mode="json", exclude_unset=True, warnings=False))


def read_completions_answer(answer: Any) -> Any:
    with _openai(json.dumps(answer).encode(), "application/json") as client:
        return client.completions.create(model="m", prompt="?")


def read_completions_stream(events: Iterable[Event]) -> tuple[str, str | None, Any]:
    """Text, finish reason and usage of the first choice."""
    text, finish, usage = "", None, None
    with _openai(printed(events), "text/event-stream") as client:
        for chunk in client.completions.create(model="m", prompt="?", stream=True):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.text
                finish = choice.finish_reason or finish
    return text, finish, usage
