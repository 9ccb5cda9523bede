"""Examples in a rule file: what they give, and what every common slip says. Whether they are right is for `check`."""

from pathlib import Path

import pytest

from tests.translators.rulefiles import problem, problems, read

HEAD = 'routes: {POST /v1/a: carry, "GET /v1/a/{id}": carry}\nexamples:\n'
EXAMPLE = """\
  - title: create
    client:
      send: POST /example/v1/a?x=1
      headers: {Authorization: Bearer sk-test-client}
      form: {prompt: Hi, image: [{file: QUJD, name: a.png, type: image/png}, text]}
    upstream: same
    answer: {status: 201, json: {id: "7", n: 1.5, none: null}}
    result: {status: any, json: {id: any, "...": any}}
  - title: stream
    after: create
    client: {send: "GET /example/v1/a/${id}"}
    calls:
      - upstream: {send: GET /v1/b, headers: {Authorization: Bearer test-KEY}}
        answer: {sse: "data: 1\\n"}
      - answer: {base64: QUJD, type: image/png}
    fetches: {"https://example.com/a.png": {type: image/png, base64: QUJD}}
    result: same
"""


def test_an_example_holds_what_was_written(tmp_path: Path) -> None:
    create, stream = read(tmp_path, HEAD + EXAMPLE).examples
    assert (create.client.method, create.client.target) == ("POST", "/example/v1/a?x=1")
    assert create.client.form == (("prompt", "Hi"), ("image", [{"file": "QUJD", "name": "a.png", "type": "image/png"}, "text"]))
    ((upstream, answer),) = create.calls
    assert upstream.same
    assert answer is not None
    assert (answer.status, answer.json) == (201, {"id": "7", "n": 1.5, "none": None})
    assert create.result is not None
    assert (create.result.status, create.result.open) == (None, True)
    (first, sse), (second, picture) = stream.calls
    assert first.headers == (("Authorization", "Bearer test-KEY"),)
    assert sse is not None
    assert (sse.text, sse.sse, sse.headers) == ("data: 1\n\n", True, ())
    assert second.same
    assert picture is not None
    assert (picture.data, picture.headers, picture.status) == (b"ABC", (("Content-Type", "image/png"),), 200)
    assert stream.fetches["https://example.com/a.png"].data == b"ABC"
    assert stream.result is not None
    assert stream.result.same
    assert stream.after == "create"


REPEATING = """\
  - title: vectors
    client: {{send: POST /v1/a, json: {asked}}}
    answer: {{repeat: {repeat}, json: {{data: [{{v: [1, 2]}}], none: [], text: a}}}}
"""


def test_an_answer_says_which_member_of_the_request_its_lists_are_as_long_as(tmp_path: Path) -> None:
    text = REPEATING.format(repeat='{data: input, "data[].v": deep.n}', asked='{input: Hi, deep: {n: "2"}}')
    ((_, answer),) = read(tmp_path, HEAD + text).examples[0].calls
    assert answer is not None
    assert answer.repeat == (("data", "input"), ("data[].v", "deep.n"))


@pytest.mark.parametrize(
    ("repeat", "asked", "message"),
    [
        ("{data: n}", "{n: 2}", "`data` holds 1, and `n` of this example's request says 2"),
        ("{data: n}", "{m: 1}", "the request of this example has no `n`"),
        ("{data: n}", "{n: 1.5}", "the request of this example has no `n`"),
        ("{none: n}", "{n: 0}", "`none` is no list in `json` that holds something"),
        ("{text: n}", "{n: 1}", "`text` is no list in `json` that holds something"),
        ("{data.v: n}", "{n: 1}", "`data.v` is no list in `json` that holds something"),
        ("{'data[0]': n}", "{n: 1}", "goes into a list"),
        ("{'[].v': n}", "{n: 1}", "is no path of members"),
        ("{}", "{n: 1}", "an empty mapping says nothing"),
    ],
)
def test_an_example_keeps_to_the_length_that_it_tells(repeat: str, asked: str, message: str, tmp_path: Path) -> None:
    assert message in problem(tmp_path, HEAD + REPEATING.format(repeat=repeat, asked=asked))


def test_an_example_of_a_refusal_calls_nobody(tmp_path: Path) -> None:
    text = "  - {title: no, client: {send: POST /v1/a, json: {}}, result: {status: 400}}\n"
    (example,) = read(tmp_path, HEAD + text).examples
    assert example.calls == ()


SLIPS = [
    ("title: stream", "title: create", "14:5: the title `create` stands twice: first in line 6"),
    ("after: create", "after: creat", "14:5: `after` names no example of this file: `creat`\n    Did you mean `create`?"),
    ("    after: create\n", "", "15:13: `${id}` is the id in the result of another example"),
    ("POST /example/v1/a?", "POST /example/v1/b?", "8:7: no route serves `POST /example/v1/b`"),
    ("POST /example/v1/a?", "DELETE /example/v1/a?", "8:7: no route serves `DELETE /example/v1/a`\n    It is served for POST."),
    ("POST /example/v1/a?", "post /example/v1/a?", "8:13: `post /example/v1/a?x=1` is no request"),
    ("file: QUJD", "file: '?'", "10:41: this is no base64"),
    ("file: QUJD, ", "", "10:34: the word `file` is missing in this file"),
    ("upstream: same", "upstream: equal", "11:15: `upstream` must be a mapping, not a text"),
    ("status: 201, json", "status: 99, json", "12:22: a whole number from 200 to 599 is expected here"),
    ("status: 201, json", "text: a, json", "12:14: `json` and `text` cannot stand together: a message has one body"),
    ("    calls:", "    answer: {}\n    calls:", "17:5: `calls` and `answer` cannot stand together"),
    ("client: {send", "clients: {send", "16:5: unknown word `clients` in this example"),
    ("sk-test-client", "sk-proj-0123456789abcdef", "9:32: this looks like a credential that is written out"),
    ("n: 1.5", "n: .nan", "12:46: JSON has no infinite numbers and no NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), SLIPS, ids=[expected for _, _, expected in SLIPS])
def test_O03_a_slip_in_an_example_is_said_with_its_place_and_a_cure(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in EXAMPLE
    found = problems(tmp_path, HEAD + EXAMPLE.replace(old, new, 1))
    assert any(text.startswith(expected) for text in found), found


@pytest.mark.parametrize(
    "text", ["AIzaSyA0123456789abcdefghijklmnopqrstuv", "Bearer abcdef0123456789", "eyJhbGciOiJIUzI1NiIs.eyJpc3M"]
)
def test_N05_no_text_of_a_file_looks_like_a_key(tmp_path: Path, text: str) -> None:
    found = problem(tmp_path, f"routes:\n  POST /v1/x: {{body: {{a: {text}}}}}\n")
    assert found.startswith("5:26: this looks like a credential that is written out")
    assert text not in found


@pytest.mark.parametrize(
    "text", ["sk-test-0123456789abcdef", "Bearer test-OPENAI_API_KEY", "Bearer sk-test-0123456789", "Basic ingredients"]
)
def test_texts_that_say_that_they_are_made_up_are_no_keys(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"routes:\n  POST /v1/x: {{body: {{a: {text}}}}}\n").routes
