"""What has changed between two messages, and what of it may be shown."""

from pathlib import Path

import pytest

from proxy.rehearsal import asking, explaining
from proxy.rehearsal.changes import Change, body_changes, head_changes
from proxy.rehearsal.hiding import Veil
from proxy.settings import Settings
from translators.examples import Heard
from translators.load import load


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (b'{"a":1}', b'{"a":1}', []),
        (b'{"a": 1}', b'{"a":1}', [(" ", "the same values, written in another way")]),
        (b'{"a":1,"b":2}', b'{"a":"1","c":3}', [("~", 'a: 1 -> "1"'), ("-", "b: 2"), ("+", "c: 3")]),
        (b'{"a":{"b":[1,2]}}', b'{"a":{"b":[1,3,4]}}', [("~", "a.b[1]: 2 -> 3"), ("+", "a.b[2]: 4")]),
        (b'{"a":true}', b'{"a":1}', [("~", "a: true -> 1")]),
        (b"one\ntwo\n", b"one\n2\n", [("-", "two"), ("+", "2")]),
        (b"", b"new", [("+", "new")]),
        (b"old", b"", [("-", "old")]),
        (b"\xff\xfe", b"\xff", [("-", "2 bytes that are no text"), ("+", "1 bytes that are no text")]),
    ],
)
def test_bodies_are_compared_by_their_members_or_their_lines(before: bytes, after: bytes, changes: list[Change]) -> None:
    assert body_changes(before, after) == changes


def test_a_body_that_changed_everywhere_is_not_shown_without_end() -> None:
    before, after = (b"[" + b",".join(b"%d" % (number + shift) for number in range(1000)) + b"]" for shift in (0, 1))
    changes = body_changes(before, after)
    assert len(changes) == 201
    assert changes[-1] == (" ", "and 800 more")


def test_long_values_are_shortened() -> None:
    ((_, text),) = body_changes(b"{}", b'{"a":"%b"}' % (b"x" * 5000))
    assert len(text) < 300
    assert text.endswith("(5002 characters)")


def test_heads_are_compared_line_by_line() -> None:
    before = Heard((("Host", "a"), ("Accept", "x")), b"", method="POST", target="/a")
    after = Heard((("Accept", "x"), ("Host", "b")), b"", method="POST", target="/b")
    assert head_changes(before, after) == [("-", "POST /a"), ("+", "POST /b"), ("-", "Host: a"), ("+", "Host: b")]
    assert head_changes(before, before) == []


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        ('{query: {key: "${secret.X_KEY}"}}', "GET /v1/models?key=[X_KEY] HTTP/1.1"),
        ('{header: {x-api-key: "${secret.X_KEY}"}}', "x-api-key: [X_KEY]"),
        (
            '{aws_v4: {access_key: "${secret.X_ID}", secret_key: "${secret.X_KEY}", region: r, service: s}}',
            "Signature=[signature]",
        ),
        (
            '{google: {service_account: "${secret.X_KEY}", scope: "https://x.example/scope"}}',
            "Authorization: Bearer [token made of X_KEY]",
        ),
        ("pass", "Authorization: [redacted]"),
    ],
)
def test_every_kind_of_credential_is_hidden(auth: str, shown: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"platform: x\nupstream: https://x.example\nauth: {auth}\nnative: carry\n")
    secrets = {"X_KEY": "sk-test-a b&c", "X_ID": "test-id-of-x"}
    request = asking.request("GET", "/x/v1/models", ["Authorization: Bearer sk-test-of-the-client"], None, [])
    found = explaining.explain(load([tmp_path]), Settings(), secrets, request, [])
    text = explaining.as_text(found, colour=False)
    assert shown in text
    assert "sk-test" not in text
    assert "test-id-of-x" not in text


def test_a_body_that_is_no_text_is_not_shown() -> None:
    veil = Veil(None, {})
    assert veil.body(b"\x89PNG\r\n\x1a\n") == "<8 bytes that are no text>"
    assert veil.body("a\r\nb ü".encode()) == "a\nb ü"
