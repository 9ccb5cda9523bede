"""Translated protocols in `check` and `explain`: what they need of examples, and what they show."""

from pathlib import Path

import pytest

from proxy.rehearsal import asking, checking, explaining
from proxy.settings import Settings
from translators.load import load

RULES = """\
platform: speaker
upstream: https://api.speaker.example
auth: {header: {x-api-key: "${secret.SPEAKER_KEY}"}}
models: [s-1]
unsupported: drop
routes:
  POST /v1/messages: carry
translate:
  chat to messages: {with: {max_tokens: 9}}
  generate to messages: {}
examples:
  - title: its own
    client: {send: POST /v1/messages, json: {model: s-1}}
    answer: {json: {}}
    result: same
"""
CHAT = """\
  - title: chat
    client: {send: POST /v1/chat/completions, json: {model: s-1, messages: [{role: user, content: Hi}]}}
    upstream: {send: POST /v1/messages, json: {model: s-1, max_tokens: 9, "...": any}}
    answer: {json: {id: m, type: message, role: assistant, model: s-1, content: [{type: text, text: Yes}], stop_reason: end_turn}}
    result: {json: {choices: [{message: {content: Yes, "...": any}, "...": any}], "...": any}}
"""
GENERATE = """\
  - title: generate
    client: {send: "POST /v1/models/s-1:generateContent", json: {contents: [{role: user, parts: [{text: Hi}]}]}}
    upstream: {send: POST /v1/messages, json: {model: s-1, max_tokens: 4096, "...": any}}
    answer: {status: 401, json: {type: error, error: {type: authentication_error, message: No.}}}
    result: {status: 401, json: {error: {code: 401, message: No., status: UNAUTHENTICATED}}}
"""


def problems(directory: Path, text: str) -> list[str]:
    (directory / "speaker.yaml").write_text(text)
    return [str(problem).removeprefix(f"{directory}/") for problem in checking.check(directory).problems]


def test_one_example_is_enough_for_all_routes_of_a_pair(tmp_path: Path) -> None:
    assert problems(tmp_path, RULES + CHAT + GENERATE) == []


def test_a_pair_without_an_example_is_told_at_its_place(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, RULES + CHAT)
    assert found.startswith("speaker.yaml:10:3: no example reaches the pair `generate to messages`")
    assert "POST /v1beta/models/{model}:generateContent" in found


def test_a_single_translated_route_needs_an_example_of_its_own(tmp_path: Path) -> None:
    text = RULES.replace("translate:", "  POST /ask: {translate: messages to chat, send: POST /x}\ntranslate:")
    assert any("no example reaches the route `POST /ask`" in found for found in problems(tmp_path, text + CHAT + GENERATE))


@pytest.mark.parametrize("model", ["s-1", "s-2"])
def test_explain_shows_the_call_as_it_is_sent_and_what_was_left_out(model: str, tmp_path: Path) -> None:
    (tmp_path / "speaker.yaml").write_text(RULES)
    body = f'{{"model":"{model}","seed":1,"messages":[{{"role":"user","content":"Hi"}}]}}'
    request = asking.request("POST", "/speaker/v1/chat/completions", ["X-Dragoman-Explain: 1", "openai-beta: x"], body, [])
    found = explaining.explain(load([tmp_path]), Settings(), {}, request, [])
    (call,) = found.calls
    assert call.head[0] == "POST /v1/messages HTTP/1.1"
    assert not [line for line in call.head if "explain" in line.lower() or "openai" in line.lower()]
    assert (
        call.body
        == f'{{"model":"{model}","messages":[{{"role":"user","content":[{{"type":"text","text":"Hi"}}]}}],"max_tokens":9}}'
    )
    assert found.dropped == ("seed",)
    assert "left out, because the platform's protocol cannot say it: seed" in explaining.as_text(found, colour=False)
    assert '"dropped": [\n    "seed"\n  ]' in explaining.as_json(found)
    reason = next(reason for reason in found.reasons if reason.what == "route POST /v1/chat/completions")
    assert reason.why == "method and path fit; it is translated, chat to messages"
