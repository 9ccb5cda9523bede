"""`explain`: why a request goes where it goes, the bytes of the calls, what has changed, and no secret in any of it."""

import json
from pathlib import Path

import pytest

from proxy import cli
from proxy.rehearsal import asking, explaining
from proxy.rehearsal.explaining import Explanation, as_json, as_text
from proxy.settings import Settings
from tests.rehearsal.stage_rules import rules_in
from translators.load import load
from translators.model import RuleSet

KEY = "sk-test-key-of-the-maker"
JWT = """\
platform: signer
title: A platform with tokens
upstream: https://signer.example
auth: {jwt: {iss: "${secret.SIGNER_ID}", key: "${secret.SIGNER_KEY}", ttl: 30m}}
models: [s-1]
routes:
  POST /v1/chat/completions: carry
"""


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    (tmp_path / "signer.yaml").write_text(JWT)
    return rules_in(tmp_path)


def explain(
    rules: RuleSet, method: str, url: str, body: str | None = None, *, answers: tuple[bytes, ...] = (), **secrets: str
) -> Explanation:
    request = asking.request(method, url, ["Authorization: Bearer sk-test-of-the-client"], body, [])
    return explaining.explain(rules, Settings(), secrets, request, answers)


def taken(found: Explanation) -> list[str]:
    return [reason.what for reason in found.reasons if reason.taken]


def why(found: Explanation, what: str) -> str:
    return next(reason.why for reason in found.reasons if reason.what == what)


# --- why ---


def test_the_one_way_of_a_translated_route_is_no_branch_that_was_not_taken(tmp_path: Path) -> None:
    own = "  POST /v1/messages: carry\ntranslate: {chat to messages: {headers: {x-version: '1'}}}\nunsupported: drop\n"
    text = f"platform: translated\nupstream: https://translated.example\nauth: none\nmodels: [t-1]\nroutes:\n{own}"
    (tmp_path / "translated.yaml").write_text(text)
    body = '{"model": "t-1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}'
    found = explain(load([tmp_path]), "POST", "/translated/v1/chat/completions", body)
    assert taken(found) == ["platform translated", "route POST /v1/chat/completions"]
    assert "x-version: 1" in found.calls[0].head
    assert [reason.what for reason in found.reasons if reason.what.startswith("branch")] == []


def test_platform_route_and_branch_are_named_with_their_places(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/maker/v1/videos", '{"model": "m-1", "prompt": "Hi"}')
    assert taken(found) == ["platform maker", "route POST /v1/videos", "branch 2"]
    assert why(found, "platform signer") == "the path begins with /maker/"
    assert why(found, "route GET /v1/models") == "its path is another"
    assert why(found, "branch 1") == "when: length(refs) == `1`  is false"
    assert why(found, "branch 2") == "when: length(refs) == `0`  is true"
    assert why(found, "branch 3 (a refusal)") == "a branch before it holds"
    assert all(str(reason.where).count(":") == 2 for reason in found.reasons)


def test_another_method_of_the_path_is_told(rules: RuleSet) -> None:
    found = explain(rules, "GET", "/maker/v1/models")
    assert why(found, "route GET /v1/models") == "method and path fit"
    assert why(explain(rules, "GET", "/maker/v1/chat/completions"), "platform maker") == "the path begins with /maker/"


def test_without_a_platform_in_the_path_the_model_is_the_reason(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/v1/chat/completions", '{"model": "s-1"}')
    assert taken(found)[0] == "platform signer"
    assert why(found, "platform signer") == "it serves the model s-1"
    assert why(found, "platform maker") == "its `models` do not list s-1"
    lost = explain(rules, "POST", "/v1/chat/completions", '{"model": "nobody"}')
    assert taken(lost) == []
    assert lost.local
    assert lost.answer is not None
    assert lost.answer.head[0].startswith("HTTP/1.1 404")
    nameless = explain(rules, "POST", "/v1/chat/completions", "{}")
    assert "names no model" in why(nameless, "platform maker")


def test_a_refusal_is_a_branch_and_its_answer_is_the_gateways_own(rules: RuleSet) -> None:
    body = '{"model": "m-1", "image": ["https://cdn.example.com/a.png", "https://cdn.example.com/b.png"]}'
    found = explain(rules, "POST", "/maker/v1/videos", body)
    assert taken(found)[-1] == "branch 3 (a refusal)"
    assert found.calls == ()
    assert found.local
    assert found.answer is not None
    assert "At most one picture" in found.answer.body


# --- the bytes ---


def test_the_call_is_shown_as_it_would_be_sent(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/maker/v1/chat/completions", '{"model":"m-1","max_completion_tokens": 5 }', MAKER_KEY=KEY)
    (call,) = found.calls
    assert found.upstream == "https://api.maker.example"
    assert list(call.head) == [
        "POST /base/v1/chat/completions HTTP/1.1",
        "Host: api.maker.example",
        "Accept-Encoding: identity",
        "Via: 1.1 dragoman",
        "Authorization: Bearer [MAKER_KEY]",
        "Content-Type: application/json",
        "Content-Length: 32",
    ]
    assert call.body == '{"model":"m-1","max_tokens": 5 }'
    assert call.body_changes == (("-", "max_completion_tokens: 5"), ("+", "max_tokens: 5"))
    assert found.waits
    assert found.missing == ()


def test_a_body_that_goes_on_untouched_is_said_to(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/signer/v1/chat/completions", '{ "model" : "s-1" }')
    assert found.calls[0].same_body
    assert found.calls[0].body_changes == ()
    assert "the body is the client's, byte for byte" in as_text(found, colour=False)


def test_the_answer_is_made_as_it_would_be(rules: RuleSet) -> None:
    given = asking.answer('{"code": 7, "said": "slowly"}', 200)
    found = explain(rules, "POST", "/maker/v1/videos", '{"prompt": "Hi"}', answers=(given,))
    assert found.answer is not None
    assert found.answer.head[0] == "HTTP/1.1 429 Too Many Requests"
    assert json.loads(found.answer.body)["error"]["message"] == "slowly"
    assert ("-", "code: 7") in found.answer.body_changes
    assert not found.waits
    assert not found.local


def test_several_calls_take_several_answers(rules: RuleSet) -> None:
    answers = tuple(asking.answer(text, 200) for text in ('{"code":0,"job":"1","state":"new"}', '{"state":"busy"}'))
    found = explain(rules, "POST", "/maker/v1/videos?async=false", '{"prompt": "Hi"}', answers=answers)
    assert [call.head[0] for call in found.calls] == ["POST /base/jobs HTTP/1.1", *["GET /base/jobs/1 HTTP/1.1"] * 2]
    assert found.waits
    assert found.answer is None


def test_a_url_is_not_read_and_that_is_said(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/maker/v1/videos", '{"image": "https://cdn.example.com/a.png"}')
    assert found.unread == ("https://cdn.example.com/a.png",)
    assert "would read https://cdn.example.com/a.png" in as_text(found, colour=False)


# --- secrets ---


def test_no_secret_is_shown_wherever_it_stands(rules: RuleSet) -> None:
    secrets = {"MAKER_KEY": KEY, "SIGNER_ID": "id-of-the-signer", "SIGNER_KEY": "key-of-the-signer"}
    for url in ("/maker/v1/chat/completions", "/signer/v1/chat/completions"):
        found = explain(
            rules, "POST", url, json.dumps({"model": "m-1", "note": KEY}), answers=(asking.answer(KEY, 200),), **secrets
        )
        for shown in (as_text(found, colour=True), as_json(found)):
            assert "sk-test-of-the-client" not in shown
            assert "of-the-signer" not in shown
            assert "eyJ" not in shown
            if "maker" in url:
                assert KEY not in shown
    assert "Authorization: Bearer [token made of SIGNER_ID, SIGNER_KEY]" in as_text(found, colour=False)


def test_without_secrets_placeholders_stand_for_them(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/signer/v1/chat/completions", '{"model": "s-1"}')
    assert found.missing == ("SIGNER_ID", "SIGNER_KEY")
    assert "not set here" in as_text(found, colour=False)


def test_colours_are_only_where_they_are_wanted(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/maker/v1/chat/completions", '{"model":"m-1","max_completion_tokens":5}')
    assert "\x1b[" not in as_text(found, colour=False)
    coloured = as_text(found, colour=True)
    assert "\x1b[31m  - max_completion_tokens: 5\x1b[0m" in coloured
    assert "\x1b[32m  + max_tokens: 5\x1b[0m" in coloured


def test_a_terminal_is_not_told_what_to_do(rules: RuleSet) -> None:
    found = explain(rules, "POST", "/signer/v1/chat/completions", '{"model": "s-1"}', answers=(asking.answer("\x1b[2J", 200),))
    assert "\x1b[2J" not in as_text(found, colour=False)


# --- asking ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "GE T", "/maker/v1/models"], "is no method"),
        (["explain", "GET", "maker/v1/models"], "is no path"),
        (["explain", "GET", "/maker/v1/mo dels"], "is no path"),
        (["explain", "GET", "/x", "-H", "no colon"], "is no header"),
        (["explain", "GET", "/x", "-H", "a: b\r\nc: d"], "is no header"),
        (["explain", "POST", "/x", "-d", "@/nowhere/at/all"], "cannot be read"),
        (["explain", "POST", "/x", "-d", "{}", "--form", "a=b"], "cannot stand together"),
        (["explain", "POST", "/x", "--form", "a"], "NAME=VALUE"),
        (["explain", "POST", "/x", "-H", "Content-Length: 3"], "follow from the body"),
        (["explain", "GET", "/x", "--answer", "{}", "--status", "99"], "from 200 to 599"),
        (["explain", "GET", "/x", "--answer", "HTTP/1.1 hello"], "no status line"),
        (["explain", "GET", "/x", "--config", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) <= 2


def test_a_form_is_sent_as_one(rules: RuleSet, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    request = asking.request("POST", "/maker/v1/videos", [], None, ["prompt=Hi", f"image=@{tmp_path}/a.png;type=image/png"])
    assert b"Content-Type: multipart/form-data; boundary=" in request
    found = explaining.explain(rules, Settings(), {}, request, [])
    assert '"picture":"iVBORw0KGgo="' in found.calls[0].body
    assert '"words":"Hi"' in found.calls[0].body


def test_data_comes_from_files_and_from_standard_input(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")
    assert asking.request("POST", "/x", [], f"@{tmp_path}/body.json", []).endswith(b"\r\n\r\n{}")
    assert asking.request("POST", "/x", [], "-", [], stdin=lambda: b"[1]").endswith(b"\r\n\r\n[1]")
    whole = asking.request("POST", "http://gateway.example:8080/x?a=b", [], None, [])
    assert whole.startswith(b"POST /x?a=b HTTP/1.1\r\nHost: gateway.example:8080\r\n")


def test_an_answer_may_be_given_with_its_head() -> None:
    given = asking.answer("HTTP/1.1 429 Too Many\nRetry-After: 3\nContent-Length: 99\n\nwait", 200)
    assert given.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"Retry-After: 3\r\n" in given
    assert given.endswith(b"Content-Length: 4\r\n\r\nwait")


def test_the_command_prints_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules_in(tmp_path)
    (config := tmp_path / "gateway.conf").write_text(f"shipped_rules: false\nrules: [{tmp_path}]\n")
    line = ["explain", "post", "/maker/v1/chat/completions", "-d", '{"model":"m-1"}', "--config", str(config)]
    assert cli.main(line) == 0
    assert capsys.readouterr().out.startswith("POST /maker/v1/chat/completions\n")
    assert cli.main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"request", "upstream", "reasons", "calls", "answer", "waits", "local", "missing", "dropped", "unread"}
    assert found["calls"][0]["head"][0] == "POST /base/v1/chat/completions HTTP/1.1"
