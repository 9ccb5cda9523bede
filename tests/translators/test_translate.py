"""The word `translate`: what it brings, what it refuses when the file is loaded."""

from pathlib import Path

import pytest

from tests.translators.rulefiles import problem, problems, read
from translators.interpreters import options, wire
from translators.interpreters.base import Settings
from translators.load import load
from translators.model import Platform, Protocol, Spoken, Translation
from translators.words import translate as words

OWN = "routes:\n  POST /v1/messages: carry\n"


def translations(platform: Platform) -> dict[str, Translation]:
    handled = {route.id: route.handling for route in platform.routes if route.handling is not None}
    return {name: handling.translation for name, handling in handled.items() if handling.translation is not None}


def test_a_pair_brings_the_routes_of_the_clients_protocol(tmp_path: Path) -> None:
    platform = read(tmp_path, OWN + "translate: [chat to messages, generate to messages, completions to messages]\n")
    found = translations(platform)
    quoted = {name.replace("%3A", ":") for name in found if "%3A" in name}
    assert quoted == {name for name in found if "}:" in name}  # as some clients write it (quirk 2 of generate)
    found = {name: translation for name, translation in found.items() if "%3A" not in name}
    assert set(found) == {
        "POST /v1/chat/completions",
        "POST /v1/completions",
        "POST /v1beta/models/{model}:generateContent",
        "POST /v1beta/models/{model}:streamGenerateContent",
        "POST /v1/models/{model}:generateContent",
        "POST /v1/models/{model}:streamGenerateContent",
    }
    assert {route.id: route.protocol for route in platform.routes if route.id in found} == {
        name: Protocol.GENERATE if "models" in name else Protocol.CHAT for name in found
    }
    assert all(translation.platform is Protocol.MESSAGES and translation.brought for translation in found.values())
    assert found["POST /v1/completions"].client is Spoken.COMPLETIONS


def test_a_route_that_the_file_names_stays_as_it_is(tmp_path: Path) -> None:
    own = OWN + "  POST /v1/models/{model}:generateContent: carry\n"
    found = translations(read(tmp_path, own + "translate: [generate to messages]\n"))
    assert "POST /v1/models/{model}:generateContent" not in found
    assert "POST /v1/models/{model}%3AgenerateContent" not in found
    assert len([name for name in found if "%3A" not in name]) == 3


def test_a_pair_says_its_options_and_a_file_what_it_does_with_what_cannot_be_said(tmp_path: Path) -> None:
    text = OWN + (
        "unsupported: drop\ntranslate:\n"
        "  chat to messages:\n    with: {max_tokens: 7, thinking: off, sampling: \"${model == 'a'}\"}\n"
        "    headers: {X-Version: v1}\n"
        "  responses to messages: {unsupported: refuse}\n"
    )
    found = translations(read(tmp_path, text))
    chat, responses = found["POST /v1/chat/completions"], found["POST /v1/responses"]
    assert (chat.unsupported, responses.unsupported) == ("drop", "refuse")
    values = {name: option.evaluate({"model": "a"}) for name, option in chat.options}
    assert options.settings("drop", values) == Settings(unsupported="drop", max_tokens=7, thinking="off", sampling=True)


def test_a_single_route_is_translated_and_says_where_it_goes(tmp_path: Path) -> None:
    route = (
        "  POST /ask:\n    translate: messages to chat\n    send: POST /x/${if(stream, 'a', 'b')}?m=${model}\n"
        '    errors: {when: "${body.code > `0`}"}\n    headers: {X-A: "${body.user}"}\n'
    )
    platform = read(tmp_path, "routes:\n" + route)
    (translation,) = translations(platform).values()
    assert not translation.brought
    assert platform.routes[0].protocol is Protocol.MESSAGES


def test_a_translated_route_has_the_limits_of_the_one_it_goes_on_by(tmp_path: Path) -> None:
    own = "routes:\n  POST /v1/messages: {timeouts: {t_connect: 3s}, on_client_abort: drain, retry: {attempts: 2, on: [503]}}\n"
    platform = read(tmp_path, own + "translate: [chat to messages]\n")
    first, second = (route.handling for route in platform.routes)
    assert first is not None
    assert second is not None
    assert (second.timeouts, second.retry, second.on_client_abort) == (first.timeouts, first.retry, first.on_client_abort)


def test_edits_of_a_pair_have_no_place_where_the_platforms_own_route_writes_its_body(tmp_path: Path) -> None:
    own = "routes:\n  POST /v1/messages: {body: {a: 1}}\n"
    found = problem(tmp_path, own + "translate: {chat to messages: {edit: [{remove: [b]}]}}\n")
    assert "`edit` has no place" in found


def test_an_overlay_adds_a_pair_and_takes_one_away(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    head = "platform: example\nupstream: https://api.example.com\nauth: none\n"
    for directory, text in (
        (shipped, head + OWN + "translate: {chat to messages: {unsupported: drop}}\n"),
        (own, "platform: example\nextends: example\ntranslate: {chat to messages: null, responses to messages: {}}\n"),
    ):
        directory.mkdir()
        (directory / "example.yaml").write_text(text)
    assert set(translations(load([shipped, own]).platforms["example"])) == {"POST /v1/responses"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("translate: [chat to mesages]", "Did you mean `messages`?"),
        ("translate: [chatt to messages]", "Did you mean `chat`?"),
        ("translate: [chat to chat]", "both sides speak chat"),
        ("translate: [chat to completions]", "no platform speaks `completions`"),
        ("translate: [chat]", "is no pair of protocols"),
        ("translate: chat to messages", "must be a list or a mapping"),
        ("translate: [chat to messages, chat to messages]", "clients that speak chat are translated already, in line 6"),
        ("translate: [chat to generate]", "goes on by the file's own route `POST /v1beta/models/{model}:generateContent`"),
        ("translate: {chat to messages: {with: {max_token: 1}}}", "Did you mean `max_tokens`?"),
        ("translate: {chat to messages: {with: {max_tokens: 0}}}", "expected a whole number above 0"),
        ("translate: {chat to messages: {with: {thinking: much}}}", "expected one of adaptive, budget, level, off"),
        ("translate: {chat to messages: {with: {sampling: \"yes\"}}}", "expected true or false"),
        ("translate: {chat to messages: {with: {thinking: \"${refs}\"}}}", "refs"),
        ("translate: {chat to messages: {send: POST /x}}", "unknown word `send`"),
        ("unsupported: keep", "`keep` is not possible here"),
        ("translate: [messages to chat]", "`messages to chat` brings no route: the file names POST /v1/messages itself"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_say_is_told(text: str, message: str, tmp_path: Path) -> None:
    assert message in problem(tmp_path, OWN + text + "\n")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("{translate: chat to messages, body: {a: 1}}", "beside `translate`, `body` has no effect"),
        ("{translate: chat to messages, form: {a: 1}}", "beside `translate`, `form` has no effect"),
        ("{translate: chat to messages, choose: [{refuse: no}]}", "beside `translate`, `choose` has no effect"),
        ("{translate: chat to messages, async: video}", "beside `translate`, `async` has no effect"),
        ("{translate: chat to messages, protocol: chat}", "beside `translate`, `protocol` has no effect"),
        ("{translate: chat to messages, query: {a: b}}", "beside `translate`, `query` belongs to `send`"),
        ("{translate: chat to messages, send: \"POST /${body.a}\"}", "body"),
        ("{with: {sampling: false}, edit: [{remove: [a]}]}", "`with` belongs to `translate`"),
        ("{unsupported: drop}", "`unsupported` belongs to `translate`"),
    ],
)  # fmt: skip
def test_what_a_translated_route_cannot_say_is_told(route: str, message: str, tmp_path: Path) -> None:
    assert any(message in found for found in problems(tmp_path, f"{OWN}  POST /v1/x: {route}\n"))


def test_the_words_name_every_option_that_the_interpreters_read() -> None:
    names = {word.name for word in words.OPTION_WORDS}
    assert names | {"unsupported"} == set(Settings.__dataclass_fields__)
    assert names == set(options.OPTIONS)


def test_what_concerns_the_clients_protocol_alone_is_a_closed_list() -> None:
    names = ["anthropic-beta", "x-goog-api-client", "openai-beta", "x-stainless-lang", "user-agent", "x-request-id"]
    assert wire.own_headers(Protocol.MESSAGES, names) == ("anthropic-beta", "x-stainless-lang")
    assert wire.own_headers(Protocol.GENERATE, names) == ("x-goog-api-client",)
    assert wire.own_headers(Protocol.CHAT, names) == ("openai-beta", "x-stainless-lang")
