"""Ids of tasks: what goes in comes out, and nothing else is an id."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.runtime.ids import MAX_LENGTH, BadIdError, Identity, decode, encode

GOOD = Identity("video", "example", "video", "0a1b2c3d", "tasks/a:b/c", "public", 1_760_000_000, {"seconds": "8"})
words = st.text(st.characters(codec="utf-8"), max_size=30)


@given(
    words, words, words.filter(bool), st.none() | words, st.integers(0, 1 << 39), st.dictionaries(words, words | st.integers(0, 99))
)
@settings(max_examples=100)
def test_what_goes_in_comes_out(
    task: str, place: str, provider_id: str, model: str | None, created: int, keep: dict[str, object]
) -> None:
    identity = Identity("image", "p", task, place, provider_id, model, created, keep)
    text = encode(identity)
    assert decode(text) == identity
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def packed(members: object, kind: str = "video") -> str:
    raw = members if isinstance(members, bytes) else json.dumps(members, separators=(",", ":")).encode()
    return f"{kind}_{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


MEMBERS = [1, "example", "video", "x", "id", None, 5, {}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "video_",
        "video",
        "video_abc",
        "video_%2e%2e",
        "../../etc",
        "video_" + "A" * 5000,
        encode(GOOD) + "=",
        encode(GOOD) + "A",
        encode(GOOD)[:-2],
        encode(GOOD).replace("video_", "Video_"),
        encode(GOOD) + "\n",
        packed([2, *MEMBERS[1:]]),
        packed([True, *MEMBERS[1:]]),
        packed([1.0, *MEMBERS[1:]]),
        packed(MEMBERS[:-1]),
        packed([*MEMBERS, 1]),
        packed({"a": 1}),
        packed([*MEMBERS[:4], 17, *MEMBERS[5:]]),
        packed([*MEMBERS[:4], "", *MEMBERS[5:]]),
        packed([*MEMBERS[:6], "5", {}]),
        packed([*MEMBERS[:6], -5, {}]),
        packed([*MEMBERS[:6], 10**30, {}]),
        packed([*MEMBERS[:7], []]),
        packed(json.dumps(MEMBERS).encode()),
        packed(b'[1,"example","video","x","id",null,5,{"a":1,"a":2}]'),
        packed(b"[" * 2000),
        packed(b"\xff"),
    ],
)
def test_nothing_else_is_an_id(text: str) -> None:
    with pytest.raises(BadIdError):
        decode(text)


def test_the_plain_form_of_the_rejected_ones_is_an_id() -> None:
    assert decode(packed(MEMBERS)).provider_id == "id"


def test_an_id_that_no_path_could_hold_is_not_made() -> None:
    with pytest.raises(BadIdError):
        encode(Identity("video", "p", "t", "", "x" * MAX_LENGTH, None, 0))
    with pytest.raises(BadIdError):
        encode(Identity("video", "p", "t", "", "x", None, 0, {"a": "\ud800"}))
