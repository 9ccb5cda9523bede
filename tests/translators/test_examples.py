"""Examples compared with what went over the wire: each kind of body, what is exact, and what may be there beside it."""

from pathlib import Path

import pytest

from translators.examples import (
    Heard,
    answer_differences,
    carried_differences,
    content_of,
    json_differences,
    request_differences,
    same_answer_differences,
)
from translators.formats.forms import FileRef, write_form
from translators.model import Message
from translators.place import Where

HERE = Where(Path("example.yaml"), 1, 1)
FORM = "multipart/form-data; boundary=b"


def request(target: str = "/x", body: bytes = b"", *headers: tuple[str, str], method: str = "POST") -> Heard:
    return Heard(headers, body, method=method, target=target)


def expected(target: str | None = "/x", method: str | None = "POST", **said: object) -> Message:
    return Message(HERE, method=method, target=target, **said)  # type: ignore[arg-type]


def json(value: object, *, open_top: bool = False) -> Message:
    return expected(json=value, has_json=True, open=open_top)


# --- requests ---


def test_method_and_path_are_exact() -> None:
    assert request_differences(expected(), request()) == []
    assert request_differences(expected(), request("/y", method="PUT")) == [
        "method: expected POST, got PUT",
        "path: expected /x, got /y",
    ]


@pytest.mark.parametrize(
    ("wanted", "got", "differences"),
    [
        ("/x?a=1&b=2", "/x?b=2&a=1", []),
        ("/x?a=b%20c", "/x?a=b+c", []),
        ("/x?a=1&a=1", "/x?a=1", ["query: expected a=1, which is not there"]),
        ("/x?a=1", "/x?a=1&a=1", ["query: a=1 is there and not expected"]),
        ("/x?a=1", "/x?a=2", ["query: expected a=1, which is not there", "query: a=2 is there and not expected"]),
        ("/x", "/x?key=secret", []),
        (
            "/x?key=other",
            "/x?key=secret",
            ["query: expected key=other, which is not there", "query: key=secret is there and not expected"],
        ),
    ],
)
def test_the_query_is_compared_as_a_bag_of_pairs(wanted: str, got: str, differences: list[str]) -> None:
    assert request_differences(expected(wanted), request(got), passing=frozenset({"key"})) == differences


def test_headers_are_a_subset_and_their_names_have_no_case() -> None:
    heard = request("/x", b"", ("host", "h"), ("ModelName", "m"), ("Accept", "a"), ("Accept", "b"))
    assert request_differences(expected(headers=(("Host", "h"), ("modelname", "m"), ("accept", "b"))), heard) == []
    assert request_differences(expected(headers=(("ModelName", "n"),)), heard) == ["header ModelName: expected n, got m"]
    assert request_differences(expected(headers=(("X", "n"),)), heard) == ["header X: expected n, got none"]


def test_a_body_that_is_not_told_must_not_be_sent() -> None:
    assert request_differences(expected(), request(body=b"{}")) == ["body: expected none, got {}"]


def test_what_is_carried_is_the_same_byte_for_byte() -> None:
    client = request("/x?a=1", b'{"a": 1}')
    assert carried_differences(client, request("/x?a=1", b'{"a": 1}')) == []
    assert carried_differences(client, request("/x?a=1", b'{"a":1}')) == [
        'body: different from byte 5 on: expected {"a": 1}, got {"a":1}'
    ]
    assert carried_differences(client, request("/y", b'{"a": 1}', method="GET"))[:2] == [
        "method: the client's is POST, got GET",
        "path: expected /x, got /y",
    ]


# --- JSON ---


@pytest.mark.parametrize(
    ("wanted", "got", "differences"),
    [
        ({"a": 1}, b'{"a": 1}', []),
        ({"a": 1}, b'{"a": 1.0}', ["json.a: expected 1, got 1.0"]),
        ({"a": 1}, b'{"a": true}', ["json.a: expected 1, got true"]),
        ({"a": "1"}, b'{"a": 1}', ['json.a: expected "1", got 1']),
        ({"a": None}, b'{"a": null}', []),
        ({"a": None}, b"{}", ["json.a: expected null, which is not there"]),
        ({}, b'{"a": 1}', ["json.a: 1 is there and not expected"]),
        ({"a": [1, {"b": 2}]}, b'{"a": [1, {"b": 3}]}', ["json.a[1].b: expected 2, got 3"]),
        ({"a": [1]}, b'{"a": [1, 2]}', ["json.a: expected 1 elements, got 2"]),
        ({"a": "any"}, b'{"a": {"b": 1}}', []),
        ({"a": "any"}, b"{}", ['json.a: expected "any", which is not there']),
        ({"a": {"b": 1, "...": "any"}}, b'{"a": {"b": 1, "c": 2}}', []),
        ({"a": 1, "...": "any"}, b'{"a": 1, "c": 2}', []),
        ({"a": {}}, b'{"a": []}', ["json.a: expected {}, got []"]),
    ],
)
def test_json_is_exact_and_so_are_its_types(wanted: object, got: bytes, differences: list[str]) -> None:
    assert request_differences(json(wanted), request(body=got)) == differences


def test_further_members_may_be_there_where_the_message_is_open() -> None:
    assert request_differences(json({"a": 1}, open_top=True), request(body=b'{"a": 1, "b": 2}')) == []
    assert json_differences({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, "json", open_top=True) == [
        "json.a.c: 2 is there and not expected"
    ]


def test_a_body_that_is_no_json_is_shown() -> None:
    (difference,) = request_differences(json({}), request(body=b"<html>"))
    assert difference.startswith("body: expected JSON, got <html>")


# --- forms, text, bytes ---


def form(fields: dict[str, object]) -> Heard:
    return request("/x", write_form(fields, b"b"), ("Content-Type", FORM))


@pytest.mark.parametrize(
    ("wanted", "differences"),
    [
        ((("prompt", "Hi"), ("image", {"file": "iVBORw==", "name": "a.png", "type": "image/png"})), []),
        ((("image", {"file": "iVBORw==", "name": "a.png"}), ("prompt", "Hi")), []),
        (
            (("image", {"file": "iVBORw==", "name": "b.png"}), ("prompt", "Hi")),
            ["form image: file name: expected b.png, got a.png"],
        ),
        (
            (("image", {"file": "iVBORw==", "name": "a.png", "type": "image/gif"}), ("prompt", "Hi")),
            ["form image: type: expected image/gif, got image/png"],
        ),
        ((("prompt", "Hi"),), ["form image: is there and not expected"]),
        (
            (("prompt", ["Hi", "Ho"]), ("image", {"file": "iVBORw==", "name": "a.png"})),
            ["form prompt: expected 2 parts, got 1"],
        ),
    ],
)
def test_a_form_is_compared_part_by_part(wanted: tuple[tuple[str, object], ...], differences: list[str]) -> None:
    heard = form({"prompt": "Hi", "image": FileRef("a.png", "image/png", b"\x89PNG")})
    assert request_differences(expected(form=wanted), heard) == differences


def test_a_part_of_other_data_and_a_body_that_is_no_form_are_told() -> None:
    assert request_differences(expected(form=(("a", "1"),)), form({"a": "2"})) == [
        "form a: different from byte 0 on: expected 1, got 2"
    ]
    assert request_differences(expected(form=()), request(body=b"x")) == ["body: expected a form, got no media type"]


def test_text_is_compared_byte_for_byte_and_a_stream_ends_in_a_blank_line() -> None:
    assert answer_differences(expected(None, None, text="a"), Heard((), b"a\n", status=200)) != []
    stream = expected(None, None, text="data: 1\n", sse=True)
    assert answer_differences(stream, Heard((), b"data: 1\n\n", status=200)) == []
    (difference,) = answer_differences(stream, Heard((), b"data: 1\n\ndata: [DONE]\n\n", status=200))
    assert difference.startswith("text: different from line 3 on: ")


def test_bytes_are_compared_and_shown_safely() -> None:
    (difference,) = answer_differences(expected(None, None, data=b"\x00\x01"), Heard((), b"\x00\x1b[2J", status=200))
    assert "\x1b" not in difference
    assert "byte 1" in difference


# --- answers ---


def test_an_answer_has_the_status_200_unless_it_says_another() -> None:
    assert answer_differences(expected(None, None), Heard((), b"whatever", status=200)) == []
    assert answer_differences(expected(None, None), Heard((), b"", status=201)) == ["status: expected 200, got 201"]
    assert answer_differences(expected(None, None, status=201), Heard((), b"", status=201)) == []


def test_a_failure_that_was_not_expected_shows_its_body() -> None:
    heard = Heard((), b'{"error":{"message":"no"}}', status=502)
    assert answer_differences(expected(None, None), heard)[-1] == 'the body of the answer: {"error":{"message":"no"}}'


def test_the_same_answer_has_status_type_and_bytes_of_the_platforms() -> None:
    given = Heard((("Content-Type", "text/plain"),), b"a", status=200)
    assert same_answer_differences(given, given) == []
    assert same_answer_differences(given, Heard((), b"b", status=500)) == [
        "status: the platform's is 200, got 500",
        "Content-Type: the platform's is text/plain, got None",
        "body: different from byte 0 on: expected a, got b",
    ]


# --- as bytes ---


@pytest.mark.parametrize(
    ("said", "body", "content_type"),
    [
        ({"json": {"a": 1}, "has_json": True}, b'{"a":1}', "application/json"),
        ({"json": None, "has_json": True}, b"null", "application/json"),
        ({"text": "a"}, b"a", "text/plain; charset=utf-8"),
        ({"text": "data: 1", "sse": True}, b"data: 1\n\n", "text/event-stream"),
        ({"data": b"\x00"}, b"\x00", "application/octet-stream"),
        ({"text": "a", "headers": (("content-type", "text/html"),)}, b"a", None),
        ({}, None, None),
    ],
)
def test_a_message_has_the_bytes_and_the_type_it_says(
    said: dict[str, object], body: bytes | None, content_type: str | None
) -> None:
    assert content_of(expected(**said)) == (body, content_type)  # type: ignore[arg-type]


def test_a_form_is_written_as_it_is_compared() -> None:
    parts = (("a", "1"), ("f", [{"file": "iVBORw==", "name": "a.png", "type": "image/png"}, "text"]))
    body, content_type = content_of(expected(form=parts))
    assert body is not None
    assert content_type is not None
    heard = request("/x", body, ("Content-Type", content_type))
    assert request_differences(expected(form=parts), heard) == []
