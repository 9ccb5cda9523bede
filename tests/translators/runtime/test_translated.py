"""Translated routes at work, without a host: what they ask of the world, and what they refuse."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.translators.rulefiles import read
from translators.runtime.request import Prepared
from translators.runtime.steps import Answer, Fetch, Fetched, Incoming, Note, Pass, Program, Reply, RuleRefusal
from translators.runtime.translated import prepared

GENERATE = """\
routes:
  POST /v1beta/models/{model}:generateContent: carry
  POST /v1beta/models/{model}:streamGenerateContent: carry
translate: {chat to generate: {with: {urls: inline}}}
"""
FETCHING = "fetch: {hosts: [pictures.example]}\n"
PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}
PNG = b"\x89PNG\r\n\x1a\n"


def route(directory: Path, text: str, name: str = "POST /v1/chat/completions") -> Prepared:
    platform = read(directory, text)
    return prepared(platform, next(route for route in platform.routes if route.id == name))


def incoming(value: Any, target: str = "/v1/chat/completions", **headers: str) -> Incoming:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    model = value.get("model") if isinstance(value, dict) else None
    fields = {"content-type": "application/json", **headers}
    return Incoming("POST", {}, {}, fields, body, model, model, lambda: 1.0, lambda: "id", True, target)


def chat(*parts: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


def ended(program: Generator[Any, Any, Any]) -> Any:
    """What a program that asks for nothing ends with."""
    with pytest.raises(StopIteration) as end:
        next(program)
    return end.value.value


def test_a_picture_behind_a_url_is_asked_for_once_and_sent_as_data(tmp_path: Path) -> None:
    program = route(tmp_path, GENERATE + FETCHING).program(incoming(chat(PICTURE, PICTURE)))
    assert next(program) == Fetch("https://pictures.example/a.png")
    with pytest.raises(StopIteration) as end:
        program.send(Fetched(PNG, "image/png"))
    passed = end.value.value
    assert isinstance(passed, Pass)
    assert isinstance(passed.call.body, bytes)
    assert passed.call.target == "/v1beta/models/m:generateContent"
    parts = json.loads(passed.call.body)["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in parts] == ["image/png", "image/png"]


def test_a_url_is_refused_where_the_file_allows_none_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(RuleRefusal) as refusal:
        next(route(tmp_path, GENERATE).program(incoming(chat(PICTURE))))
    assert (refusal.value.status, refusal.value.code) == (400, "url_not_supported")


def test_without_a_url_nothing_is_asked_of_the_world(tmp_path: Path) -> None:
    passed = ended(route(tmp_path, GENERATE + FETCHING).program(incoming({**chat({"type": "text", "text": "Hi"}), "stream": True})))
    assert passed.call.target == "/v1beta/models/m:streamGenerateContent?alt=sse"


def test_an_option_that_comes_to_nothing_useful_is_a_fault_of_the_rule_that_names_the_route(tmp_path: Path) -> None:
    text = GENERATE.replace("urls: inline", 'thinking: "${body.user}"')
    with pytest.raises(RuleRefusal) as refusal:
        next(route(tmp_path, text).program(incoming({**chat(), "user": "much"})))
    assert refusal.value.status == 500
    assert "`with` of the route POST /v1/chat/completions: the option `thinking` is 'much'" in refusal.value.message


def test_an_option_that_is_null_keeps_its_default(tmp_path: Path) -> None:
    text = GENERATE.replace("urls: inline", 'thinking: "${body.user}"')
    body = {**chat({"type": "text", "text": "Hi"}), "reasoning_effort": "low"}
    passed = ended(route(tmp_path, text).program(incoming(body)))
    assert "thinkingBudget" in json.loads(passed.call.body)["generationConfig"]["thinkingConfig"]


def test_edits_of_a_pair_change_the_platforms_request_and_see_whether_it_streams(tmp_path: Path) -> None:
    text = (
        "routes:\n  POST /v1/chat/completions: {edit: [{set: {own: true}}]}\n"
        "translate:\n  messages to chat:\n    edit:\n      - rename: {max_completion_tokens: max_tokens}\n"
        '      - set: {live: "${stream}", twice: "${body.own}"}\n'
    )
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    passed = ended(route(tmp_path, text, "POST /v1/messages").program(incoming(body, "/v1/messages")))
    sent = json.loads(passed.call.body)
    assert (sent["max_tokens"], sent["live"], sent["own"]) == (5, True, True)
    assert "max_completion_tokens" not in sent


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (302, {"location": "/x"}, b"", None),
        (204, {}, b"", None),
        (418, {"content-type": "text/plain"}, b"I am a teapot", (418, "I am a teapot")),
        (500, {}, b"", (500, "the platform answered with status 500 and said nothing more")),
    ],
)
def test_answers_without_json(tmp_path: Path, status: int, headers: dict[str, str], body: bytes, expected: Any) -> None:
    passed = ended(route(tmp_path, GENERATE).program(incoming(chat({"type": "text", "text": "Hi"}))))
    answer = passed.convert.whole(Reply(status, headers, body))
    if expected is None:
        assert answer is None
    else:
        assert (answer.status, json.loads(answer.body)["error"]["message"]) == expected


@pytest.mark.parametrize(("depth", "status"), [(20, None), (120, 422)])
def test_a_deep_schema_goes_on_or_is_refused_but_is_never_a_fault(tmp_path: Path, depth: int, status: int | None) -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    body = {
        **chat({"type": "text", "text": "Hi"}),
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    program = route(tmp_path, GENERATE).program(incoming(body))
    if status is None:
        assert b'"parametersJsonSchema"' in ended(program).call.body
        return
    with pytest.raises(RuleRefusal) as refusal:
        next(program)
    assert refusal.value.status == status


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_of_a_program_is_said_with_what_was_left_out_and_what_the_program_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    made = route(
        tmp_path,
        "unsupported: drop\nroutes:\n  POST /v1/chat/completions: carry\ntranslate: [messages to chat]\n",
        "POST /v1/messages",
    )
    completion = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}

    def program(_: Prepared, __: Incoming) -> Program:
        yield from ()
        return Answer(200, json.dumps(completion).encode(), "application/json", (("X-Own", "1"),), notes=(Note("own", "n"),))

    monkeypatch.setattr(Prepared, "program", program)
    made.straight = False  # as where a program has several steps
    asked = {"model": "m", "max_tokens": 5, "stream": stream, "top_k": 3, "messages": [{"role": "user", "content": "?"}]}
    answer = ended(made.program(incoming(asked, "/v1/messages", **{"x-dragoman-explain": "1"})))
    assert answer.content_type == ("text/event-stream" if stream else "application/json")
    assert b"Hello" in answer.body
    assert answer.headers == (("X-Own", "1"), ("X-Dragoman-Dropped", "top_k"))
    assert [note.kind for note in answer.notes] == ["own", "field_dropped"]
