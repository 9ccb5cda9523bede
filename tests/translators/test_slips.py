"""Slips of somebody who writes a first rule file, which must not be taken for meant, and bodies that must be taken."""

import json
from pathlib import Path

import pytest

from tests.translators.rulefiles import HEAD, handling, problem, problems, read, write
from tests.translators.runtime.making import incoming, passed
from translators.load import load
from translators.paths import conflicts, parse_route
from translators.problems import InvalidFileError
from translators.runtime.request import Prepared
from translators.runtime.steps import Incoming, RuleRefusal
from translators.words import message as words
from translators.words.platform import MAX_MODELS
from translators.words.route import MAX_ROUTES


def sent(tmp_path: Path, route: str, asked: Incoming, more: str = "") -> bytes:
    """The body that goes upstream."""
    platform = read(tmp_path, f"{more}routes:\n  POST /v1/x:\n{route}")
    body = passed(Prepared(platform, platform.routes[0]).program(asked)).call.body
    assert isinstance(body, bytes)
    return body


# --- slips of a rule file ---

SAME_WHEN = "has the same `when`\n    Remove one of the two, or change its `when`."


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (
            "    edit: [{rename: {a: a.b}}]\n",
            "6:22: `a` cannot be renamed to `a.b`: one path lies within the other\n    Name two different members.",
        ),
        (
            "    edit: [{rename: {a: a}}]\n",
            "6:22: `a` cannot be renamed to `a`: one path lies within the other\n    Name two different members.",
        ),
        (
            "    edit: [{set: {a: 1, a.b: 2}}]\n",
            "6:25: `a.b` lies within another path of this `set`\n    Write the whole value at the shorter path.",
        ),
        (
            "    edit: [{remove: ['\"a']}]\n",
            '6:22: the path \'"a\' has no key at character 1; keys are joined by dots, write other keys in double quotes: "a.b".c',
        ),
        (
            '    choose:\n      - {when: "${body.a}", send: POST /a}\n      - {when: "${body.a}", send: POST /b}\n',
            f"8:16: this branch is never reached: the one in line 7 {SAME_WHEN}",
        ),
        (
            '    stream: {events: [{when: "${data.a}", drop: true}, {when: "${data.a}", send: x}]}\n',
            f"6:63: this event is never reached: the one in line 6 {SAME_WHEN}",
        ),
        (
            "    body: {a: '${header.\"X-Foo\"}'}\n",
            '6:15: `header.X-Foo` is never there: the names of headers are in lower case here\n    Write header."x-foo".',
        ),
        (
            '    body: {a: 1, "...": "${body}"}\n    unknown: drop\n',
            '7:5: `unknown: drop` and `"...": ${body}` say the opposite of each other\n    Keep one of the two.',
        ),
        (
            '    send: POST /v1/y?a=1\n    query: {a: "2"}\n',
            "7:13: the parameter `a` is written by `send` already\n    Keep one of the two.",
        ),
    ],
)
def test_O03_law_3_what_has_no_effect_or_cannot_be_is_said_when_the_file_is_read(tmp_path: Path, rest: str, said: str) -> None:
    assert problem(tmp_path, f"routes:\n  POST /v1/x:\n{rest}") == said


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("${lookup('x', body.a)}", "Say it under `tables`"),
        ("${lookup(body.t, body.a)}", "lookup(table: string, key: string|number|boolean?, [default: any]) -> any"),
        ("${nearest(body.a)}", "nearest(value: number|string?, list: array) -> any"),
        ('${body.a == "high"}', "Double quotes make a name of a field; a text stands in single quotes: 'high'"),
        ("${body.a == null}", "A value of JSON stands in backticks: `null`"),
        ("${body.a == true}", "A value of JSON stands in backticks: `true`"),
        ("${body.a and body.b}", "Both is written a && b"),
        ("${body.a or body.b}", "The first that is not empty is written a || b"),
        ("${not body.a}", "The opposite is written !a"),
        ("${body.a ? body.b}", "A choice is written a && b || c, or if(a, b, c)"),
    ],
)
def test_a_slip_in_an_expression_is_answered_with_how_it_is_written(tmp_path: Path, expression: str, hint: str) -> None:
    said = problem(tmp_path, f"routes:\n  POST /v1/x:\n    body:\n      a: {expression}\n")
    assert said.startswith("7:10: ")
    assert said.partition("\n    ")[2] == hint


@pytest.mark.parametrize("kind", ["bearer", "key"])
def test_a_credential_does_not_repeat_the_word_that_auth_writes(tmp_path: Path, kind: str) -> None:
    head = f'platform: example\nupstream: https://api.example.com\nauth: {{{kind}: "{kind.title()} ${{secret.A_KEY}}"}}\n'
    said = problem(tmp_path, "native: carry\n", head)
    assert f"`{kind}` writes {kind.title()!r} itself\n    Write the secret alone: ${{secret.NAME}}." in said


def test_a_parameter_that_auth_writes_is_not_written_twice(tmp_path: Path) -> None:
    head = 'platform: example\nupstream: https://api.example.com\nauth: {query: {key: "${secret.A_KEY}"}}\n'
    assert "4:1: the parameter `key` is written by `auth` already" in problem(tmp_path, "query: {key: x}\nnative: carry\n", head)


@pytest.mark.parametrize("said", ["errors: {otherwise: 500}", "retry: {attempts: 2, on: [503]}"])
def test_what_a_file_says_for_routes_that_are_all_carried_has_no_effect(tmp_path: Path, said: str) -> None:
    word = said.partition(":")[0]
    assert problem(tmp_path, f"{said}\nroutes: {{POST /v1/x: carry}}\n") == (
        f"4:1: `{word}` has no effect: it is for routes that say more than `carry`\n"
        f"    Say it at the route: POST /v1/...: {{{word}: ...}}."
    )
    assert read(tmp_path, f"{said}\nroutes: {{POST /v1/x: {{body: {{a: 1}}}}}}\n").routes


def test_an_alias_of_an_edited_route_has_an_effect(tmp_path: Path) -> None:
    edits = "    edit: [{remove: [z]}]\n"
    asked = incoming(b'{"model": "public","z":1}', model="own", public="public")
    assert sent(tmp_path, edits, asked, "models: [{public: own}]\n") == b'{"model": "own"}'


def test_K07_attempts_count_the_calls_after_the_first(tmp_path: Path) -> None:
    retry = handling(tmp_path, "    retry: {attempts: 1, on: [503]}\n").retry
    assert retry is not None
    assert retry.attempts == 1
    assert words.RETRY_ATTEMPTS.doc == "Further calls after the first, from 1 to 5."


# --- bounds ---


def test_O02_a_file_has_a_bound_of_routes_and_of_models(tmp_path: Path) -> None:
    routes = "".join(f"  GET /v1/{{a}}/{i}: carry\n" for i in range(MAX_ROUTES))
    models = ", ".join(f"m{i}" for i in range(MAX_MODELS))
    assert len(read(tmp_path, f"models: [{models}]\nroutes:\n{routes}").routes) == MAX_ROUTES
    found = problems(tmp_path, f"models: [{models}, more]\nroutes:\n{routes}  GET /more: carry\n")
    assert found == [
        "4:9: 2,001 models; the most is 2,000\n    Write patterns with `*` for most of them.",
        "6:3: 501 routes; the most is 500\n    Carry most of them with `native: carry`.",
    ]


def test_O05_routes_are_compared_only_where_they_begin_alike() -> None:
    """Compared each with each, those of this list would be some ten million pairs."""
    texts = [f"GET /v1/x{i}/{{a}}/y" for i in range(4000)] + ["GET /v1/x0/{b}/y"]
    found = list(conflicts([(*parse_route(text), text) for text in texts]))
    assert found == [(texts[0], texts[-1], "matches the same paths as")]


def test_C10_two_platforms_with_one_model_on_one_route_are_named(tmp_path: Path) -> None:
    rest = "models: [m]\nroutes: {POST /v1/x: carry, POST /v1/%s: carry}\n"
    write(tmp_path, HEAD.replace("example", "one") + rest % "one", "one")
    write(tmp_path, HEAD.replace("example", "two") + rest % "two", "two")
    with pytest.raises(InvalidFileError) as caught:
        load([tmp_path])
    (found,) = caught.value.problems
    assert found.message.startswith("the model `m` on `POST /v1/x` belongs to one already")
    assert found.where is not None
    assert found.where.file.name == "two.yaml"


# --- bodies ---


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"b": 1, "b": 2}',
        b'{"\\u0061":1,"a":2}',
        b'{"x\\/y":1,"x/y":2}',
        b'{"\xc3\xa9":1, "\\u00e9":1}',
        b'{"a":1, "a":2, "big":"' + b"x" * 70_000 + b'"}',
        b"{" + b",".join(b'"k%d":1' % i for i in range(2000)) + b',"k7":2}',
    ],
)
def test_P02_a_member_that_stands_twice_is_refused_where_a_template_would_lose_one(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(RuleRefusal) as caught:
        sent(tmp_path, '    body: {y: "${body.a}", "...": "${body}"}\n', incoming(body))
    assert (caught.value.status, caught.value.code) == (400, "duplicate_key")


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "a", "b": {"a": 1, "b": "\\"a\\""}}',
        b'{"a":1,"o":{"x":1,"x":2}}',
        b'{ "a" : 1 , "\\u00e9" : "\\/" }',
        b"{" + b", ".join(b'"k%d":1' % i for i in range(2000)) + b"}",
    ],
)
def test_P02_a_name_that_stands_again_elsewhere_is_no_second_member(tmp_path: Path, body: bytes) -> None:
    assert json.loads(sent(tmp_path, '    body: {"...": "${body}"}\n', incoming(body))) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"stream_options": null ,"n":1}', b'{"stream_options": {"include_usage":true} ,"n":1}'),
        (b'{"max_tokens": null, "max_completion_tokens": 5}', b'{"max_tokens": 5,"stream_options":{"include_usage":true}}'),
        (b'{"max_tokens":7,"max_completion_tokens":null}', b'{"max_tokens":7,"stream_options":{"include_usage":true}}'),
    ],
)
def test_a_client_that_writes_its_unset_options_as_null_is_served(tmp_path: Path, body: bytes, expected: bytes) -> None:
    edits = (
        "    edit:\n      - rename: {max_completion_tokens: max_tokens}\n      - default: {stream_options.include_usage: true}\n"
    )
    assert sent(tmp_path, edits, incoming(body)) == expected


def test_a_member_with_a_dot_in_its_name_is_named_in_quotes(tmp_path: Path) -> None:
    edits = "    edit: [{remove: ['\"a.b\"', 'c.\"d.e\"']}]\n"
    assert sent(tmp_path, edits, incoming(b'{"a.b":1,"a":{"b":2},"c":{"d.e":3}}')) == b'{"a":{"b":2},"c":{}}'


def test_a_number_without_bound_has_no_time(tmp_path: Path) -> None:
    template = '    body: {t: "${unix(body.at)}", n: "${body.n}"}\n'
    assert sent(tmp_path, template, incoming(b'{"at":1e400,"n":1e400}')) == b'{"n":1e400}'


def test_a_value_that_does_not_fit_is_refused_with_the_expression_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(RuleRefusal) as caught:
        sent(tmp_path, '    body: {a: "${upper(body.name)}"}\n', incoming(b'{"name":5}'))
    assert caught.value.status == 400
    assert caught.value.message.endswith("upper() takes string? as `text`, not number, in `upper(body.name)`")
