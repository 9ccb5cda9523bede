"""The JSON Schema for editors: it takes what the loader takes, and refuses the broken files whose mistake one word shows."""

from pathlib import Path
from typing import Any

import pytest

from tests.translators.rulefiles import HEAD, read
from translators import yamlfile
from translators.json_schema import json_schema
from translators.load import shipped_rules
from translators.problems import InvalidFileError, Problems
from translators.words.platform import plain_value

jsonschema = pytest.importorskip("jsonschema")
SHIPPED = sorted(shipped_rules().glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def value_of(text: str) -> object:
    return plain_value(yamlfile.parse(text.encode(), Path("example.yaml")), Problems())


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_rule_file_is_valid(validator: Any, file: Path) -> None:
    errors = [
        f"{error.json_path}: {error.message}" for error in validator.iter_errors(plain_value(yamlfile.read(file), Problems()))
    ]
    assert errors == []


def test_an_overlay_holds_parts_only(validator: Any) -> None:
    assert validator.is_valid(value_of("platform: a\nextends: b\ntasks: {video: {result: null}}\n"))
    assert not validator.is_valid(value_of("platform: a\nextends: b\nupsteam: x\n"))


BROKEN = [
    "nativ: carry",
    "native: cary",
    "set_cookie: yes",
    "routes: [POST /v1/a]",
    "routes: {Post /v1/a: carry}",
    "routes: {POST /v1/a: cary}",
    "routes: {POST /v1/a: {}}",
    "routes: {POST /v1/a: {sent: POST /b}}",
    "routes: {POST /v1/a: {send: b}}",
    "routes: {POST /v1/a: {unknown: keep}}",
    "routes: {POST /v1/a: {when: body.x}}",
    "routes: {POST /v1/a: {edit: []}}",
    "routes: {POST /v1/a: {edit: [{delete: [a]}]}}",
    "routes: {POST /v1/a: {body: [a]}}",
    "routes: {POST /v1/a: {media: {refs: png}}}",
    "routes: {POST /v1/a: {choose: [{wen: x}]}}",
    "routes: {POST /v1/a: {stream: {when: '${body.stream}'}}}",
    "routes: {POST /v1/a: {retry: {attempts: 2}}}",
    "routes: {POST /v1/a: {timeouts: {t_drain: 1s}}}",
    "routes: {POST /v1/a: {timeouts: {t_first_byte: 1 s}}}",
    "routes: {POST /v1/a: {async: film}}",
    "tables: {}",
    "tasks: {video: {id: '${body.id}'}}",
    "fetch: {hosts: []}",
    "errors: {status: {1: ok}}",
    "examples: [{title: a}]",
    "examples: [{title: a, client: {json: {}}}]",
    "examples: [{title: a, client: {send: GET /a}, result: different}]",
    "limits: {bodi: 5}",
]


@pytest.mark.parametrize("text", BROKEN)
def test_O03_a_broken_file_is_refused_by_the_schema_as_by_the_loader(validator: Any, text: str, tmp_path: Path) -> None:
    rest = text if text.startswith(("nativ", "routes")) else f"native: carry\n{text}"
    assert not validator.is_valid(value_of(HEAD + rest))
    with pytest.raises(InvalidFileError):
        read(tmp_path, rest)


@pytest.mark.parametrize("line", ["platform: example", "upstream: https://api.example.com", "auth: none"])
def test_O03_what_must_be_there_is_required(validator: Any, line: str) -> None:
    text = (HEAD + "native: carry\n").replace(line + "\n", "")
    assert not validator.is_valid(value_of(text))


@pytest.mark.parametrize(
    "auth",
    ["bearer", "{}", "{bearer: sk-x}", "{baerer: '${secret.K}'}", "{pass: x}", "{header: {a: '${secret.A}', b: '${secret.B}'}}"],
)
def test_auth_has_one_of_its_forms(validator: Any, auth: str) -> None:
    assert not validator.is_valid(value_of(f"platform: a\nupstream: https://a.example.com\nauth: {auth}\nnative: carry\n"))


def test_completion_shows_what_the_reference_says(validator: Any) -> None:
    schema = json_schema()
    route = schema["$defs"]["platform"]["properties"]["routes"]["additionalProperties"]["anyOf"][1]["$ref"].rpartition("/")[2]
    described = schema["$defs"][route]["properties"]
    assert described["unknown"]["enum"] == ["forward", "drop", "refuse"]
    assert described["unknown"]["description"].endswith("Default: forward.")
