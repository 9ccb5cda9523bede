"""Finding the model: the readers agree with a whole parse of the same document, wherever the bytes are cut."""

import email.message
import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from proxy.wire.model import (
    DuplicateModelError,
    JsonModelFinder,
    ModelFinder,
    MultipartModelFinder,
    NoModel,
    boundary_of,
    finder_for,
    peek_json,
)

Cuts = list[int]


def pieces(data: bytes, cuts: Cuts) -> Iterator[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return (data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True))


def found(finder: ModelFinder, data: bytes, cuts: Cuts = []) -> str | None:  # noqa: B006 - never changed
    """The model after all pieces, fed as the engine feeds them: until the answer is known."""
    for piece in pieces(data, cuts):
        if finder.feed(piece):
            break
    return finder.model


def top_level_names(document: str) -> list[str]:
    """The keys of the outermost object, with repetitions."""
    last: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> dict[str, object]:
        last[:] = [name for name, _ in pairs]
        return dict(pairs)

    json.loads(document, object_pairs_hook=note)  # the outermost object is finished last
    return last


# -- generated documents: written with escapes in keys and values, blanks between, the model anywhere or nowhere

KEYS = st.one_of(st.sampled_from(["model", "models", "Model", "mode", "", 'm"odel', "\\model", "stream"]), st.text(max_size=6))
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"', "\\", '\\"', '"model"', '{"model":"x"}', "a\\", '\\\\"', "模型", "\x00\x1f", "\U0001f600"]),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)


@st.composite
def written_string(draw: st.DrawFn, text: str) -> str:
    """A string as one of the ways to write it."""
    plain = json.dumps(text, ensure_ascii=draw(st.booleans()))
    if not draw(st.booleans()):
        return plain
    units = text.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2)) + '"'


@st.composite
def written(draw: st.DrawFn, depth: int = 3) -> str:
    """A JSON value as text."""
    gap = draw(st.sampled_from(["", " ", "\n\t", "\r\n"]))
    kind = draw(st.sampled_from(["scalar", "object", "array"])) if depth else "scalar"
    if kind == "array":
        return "[" + gap + f",{gap}".join(draw(st.lists(written(depth=depth - 1), max_size=3))) + gap + "]"
    if kind == "object":
        return draw(written_object(depth=depth))
    value = draw(SCALARS)
    return draw(written_string(value)) if isinstance(value, str) else json.dumps(value)


@st.composite
def written_object(draw: st.DrawFn, depth: int = 3) -> str:
    gap = draw(st.sampled_from(["", " ", "\n\t", "\r\n"]))
    keys = draw(st.lists(KEYS, max_size=5))
    members = [f"{draw(written_string(key))}{gap}:{gap}{draw(written(depth=depth - 1))}" for key in keys]
    return gap + "{" + gap + f"{gap},".join(members) + gap + "}" + gap


def expected(document: str) -> str | None:
    """The top-level model if it is a string; DuplicateModelError where it stands twice."""
    if top_level_names(document).count("model") > 1:
        raise DuplicateModelError
    model = json.loads(document).get("model")
    return model if isinstance(model, str) else None


def encodable(document: str) -> bytes | None:
    """As UTF-8; None for a document with a lone surrogate in it, which is another test's subject."""
    try:
        json.dumps(json.loads(document), ensure_ascii=False).encode()
        return document.encode()
    except UnicodeEncodeError:
        return None


@given(written_object(), st.lists(st.integers(0, 3000), max_size=8))
def test_P02_the_reader_and_the_peek_find_what_a_whole_parse_finds(document: str, cuts: Cuts) -> None:
    body = encodable(document)
    if body is None:
        return
    try:
        wanted = expected(document)
    except DuplicateModelError:
        with pytest.raises(DuplicateModelError):
            found(JsonModelFinder(stop_early=False), body, cuts)
        with pytest.raises(DuplicateModelError):
            peek_json(body)
    else:
        assert found(JsonModelFinder(stop_early=False), body, cuts) == wanted
        assert found(JsonModelFinder(), body, cuts) == wanted
        assert peek_json(body) == wanted


@given(written_object(), st.lists(st.integers(0, 3000), max_size=4), st.lists(st.integers(0, 3000), max_size=40))
def test_where_a_document_is_cut_makes_no_difference(document: str, one: Cuts, other: Cuts) -> None:
    body = document.encode("utf-8", "surrogatepass")
    assert found(JsonModelFinder(), body, one) == found(JsonModelFinder(), body, other)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_any_bytes_at_all_are_read_without_an_error_and_alike(data: bytes, cuts: Cuts) -> None:
    for start in (b"", b'{"model"', b'{"a":{"', b'{"model":"x'):
        assert found(JsonModelFinder(), start + data, cuts) == found(JsonModelFinder(), start + data)


@pytest.mark.parametrize("cut", range(60))
@pytest.mark.parametrize("run", range(1, 9))
def test_a_run_of_backslashes_may_be_cut_anywhere(run: int, cut: int) -> None:
    text = "x" * 20 + "\\" * run + '"' + "y" * 10
    for name in ("before", "model"):
        body = json.dumps({name: text, "model2": 1, "last": "\\" * run} | ({"model": "m"} if name == "before" else {})).encode()
        assert found(JsonModelFinder(), body, [cut, cut + 1]) == ("m" if name == "before" else text)


def test_a_huge_string_full_of_backslashes_is_not_held() -> None:
    finder = JsonModelFinder()
    assert not finder.feed(b'{"image": "')
    for _ in range(300):
        assert not finder.feed(b'\\\\\\"' * 4096)
        assert finder._token is None
    assert finder.feed(b'", "model": "m"')
    assert finder.model == "m"


def test_a_long_key_is_not_held_and_is_not_the_model() -> None:
    finder = JsonModelFinder()
    finder.feed(b'{"model')
    for _ in range(100):
        finder.feed(b"l" * 4096)
        assert len(finder._token or b"") <= 6 * 1024
    assert finder.feed(b'": "no", "model": "yes"')
    assert finder.model == "yes"


@pytest.mark.parametrize("length", [1024, 1025, 7000])
@pytest.mark.parametrize("letter", ["a", "\u00e9", '"'])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_model_longer_than_a_kilobyte_is_none_for_every_reader(length: int, letter: str, ascii_only: bool) -> None:
    model = letter * (length // len(letter.encode()))
    fits = len(model.encode()) <= 1024
    body = json.dumps({"model": model, "x": 1}, ensure_ascii=ascii_only).encode()
    for cuts in ([], [500], list(range(0, 8000, 7))):
        assert found(JsonModelFinder(), body, cuts) == (model if fits else None)
    assert peek_json(body) == (model if fits else None)


@pytest.mark.parametrize("value", ["null", "1", "true", "1.5e3", "{}", '{"model":"x"}', "[]", '["x"]', '""'])
def test_a_model_that_is_no_text_names_nothing(value: str) -> None:
    body = f'{{"a": 1, "model": {value}, "b": 2}}'.encode()
    wanted = "" if value == '""' else None
    assert found(JsonModelFinder(), body) == peek_json(body) == wanted


@pytest.mark.parametrize(
    "body",
    ['{"model":"a","model":"a"}', '{"model":1,"x":{},"model":"b"}', '{"model":{},"model":[]}', '{"model":"a","\\u006dodel":"b"}',
    '{"m\\u006fdel":null,"model":"b"}'],
)  # fmt: skip
def test_P02_a_model_named_twice_is_an_error_in_every_spelling(body: str) -> None:
    with pytest.raises(DuplicateModelError):
        peek_json(body.encode())
    with pytest.raises(DuplicateModelError):
        found(JsonModelFinder(stop_early=False), body.encode(), list(range(len(body))))


def test_P02_a_model_deeper_down_is_no_duplicate() -> None:
    body = b'{"a":{"model":"x"},"model":"m","b":[{"model":"y"}],"c":"\\"model\\":\\"z\\""}'
    assert peek_json(body) == "m"
    assert found(JsonModelFinder(stop_early=False), body, list(range(len(body)))) == "m"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'[{"model":"x"}]',
        b'"model"',
        b"5",
        b"model=x",
        b"\xef\xbb\xbf{}",
        b"<a>",
        b"\x00",
        b"{",
        b'{"model',
        b'{"model":',
    ],
)
def test_what_is_no_json_object_names_no_model(body: bytes) -> None:
    assert peek_json(body) is None
    assert found(JsonModelFinder(), body, [1, 3]) is None


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00x", "a\\ud83dz", "\\x", "\\u12"])
def test_P03_a_lone_surrogate_or_a_broken_escape_names_no_model(text: str) -> None:
    body = f'{{"model":"{text}"}}'.encode()
    assert peek_json(body) is None
    assert found(JsonModelFinder(), body) is None


def test_P03_depth_without_end_is_read_without_recursion() -> None:
    body = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"model":"m"}'
    assert peek_json(body) == "m"


# -- multipart

BOUNDARY = "boundary-of-the-test"
FILE = b"\x89PNG\r\n--boundary-of-the-tesx\r\n\x00\xff--boundary-of-the-test\r\n\n--" + bytes(range(256))
TRAP = (
    b'x\r\n--boundary-of-the-test-longer\r\nContent-Disposition: form-data; name="model"\r\n\r\ntrap\r\n--boundary-of-the-test!\r\n'
)


def by_urllib3(parts: list[tuple[str, bytes, str | None]]) -> bytes:
    """As urllib3, and with it requests, encodes a form."""
    fields = []
    for name, value, filename in parts:
        field = RequestField(name, value, filename=filename)
        field.make_multipart(content_type="application/octet-stream" if filename else None)
        fields.append(field)
    return encode_multipart_formdata(fields, BOUNDARY)[0]


def by_hand(parts: list[tuple[str, bytes, str | None]], *, preamble: bytes = b"", padding: bytes = b"", first: str = "") -> bytes:
    """In the layout of the HTTP clients of the SDKs: the disposition first, then the type; or the other way round."""
    out = preamble
    for name, value, filename in parts:
        disposition = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        lines = [first, disposition] if first else [disposition, *(["Content-Type: image/png"] if filename else [])]
        out += f"--{BOUNDARY}".encode() + padding + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + value + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()


ENCODERS = [
    by_urllib3,
    by_hand,
    lambda parts: by_hand(parts, preamble=b"This is a preamble\r\n"),
    lambda parts: by_hand(parts, padding=b" \t "),
    lambda parts: by_hand(parts, first="Content-Type: text/plain; charset=utf-8"),
]
Parts = list[tuple[str, bytes, str | None]]
MODEL_LAST: Parts = [("image", FILE, "a.png"), ("prompt", b"draw", None), ("mode", b"no", None), ("model", b"gpt-image-1", None)]
MODEL_FIRST: Parts = [("model", b"gpt-image-1", None), ("image", FILE, "a.png")]
WITH_TRAP: Parts = [("image", TRAP, "model"), ("model", b"gpt-image-1", None)]
WITHOUT: Parts = [("image", FILE, "a.png"), ("models", b"x", None), ("remodel", b"x", None)]


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    ("parts", "model"),
    [(MODEL_LAST, "gpt-image-1"), (MODEL_FIRST, "gpt-image-1"), (WITH_TRAP, "gpt-image-1"), (WITHOUT, None), ([], None)],
)
def test_the_part_named_model_is_found_wherever_the_body_is_cut(
    encode: Callable[[Parts], bytes], parts: Parts, model: str | None
) -> None:
    body = encode(parts)
    for cut in range(len(body) + 1):
        assert found(MultipartModelFinder(BOUNDARY.encode()), body, [cut]) == model
    assert found(MultipartModelFinder(BOUNDARY.encode()), body, list(range(len(body)))) == model


@given(st.lists(st.integers(0, 2000), max_size=10), st.binary(max_size=50))
def test_the_value_of_the_model_part_may_be_any_short_text(cuts: Cuts, value: bytes) -> None:
    body = by_hand([("image", FILE, "a.png"), ("model", value, None)])
    try:
        wanted = value.decode().strip() or None
    except UnicodeDecodeError:
        wanted = None
    assert found(MultipartModelFinder(BOUNDARY.encode()), body, cuts) == wanted


@pytest.mark.parametrize("length", [1024, 1025, 5000])
def test_a_part_longer_than_a_kilobyte_is_no_model_however_it_is_cut(length: int) -> None:
    body = by_hand([("model", b"m" * length, None)])
    for cuts in ([], [700], list(range(0, len(body), 11))):
        assert found(MultipartModelFinder(BOUNDARY.encode()), body, cuts) == ("m" * length if length <= 1024 else None)


def test_the_part_head_is_limited_and_a_file_is_not_held() -> None:
    finder = MultipartModelFinder(BOUNDARY.encode())
    finder.feed(by_hand([("image", FILE, "a.png")])[:-30])
    for _ in range(200):
        assert not finder.feed(b"\r\n--boundary-of-the" * 1000)
        assert len(finder._buffer) < 200
    finder = MultipartModelFinder(BOUNDARY.encode())
    assert not finder.feed(f"--{BOUNDARY}\r\nX: ".encode())
    assert any(finder.feed(b"x" * 1000) for _ in range(20))
    assert finder.model is None


def test_after_the_closing_delimiter_nothing_is_read() -> None:
    finder = MultipartModelFinder(BOUNDARY.encode())
    assert finder.feed(by_hand([]) + by_hand(MODEL_FIRST))
    assert finder.model is None


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary=abc', b"abc"), ('multipart/form-data; Boundary="a b:c"', b"a b:c"),
        ("multipart/form-data; charset=x; boundary=----x_Y1; z=1", b"----x_Y1"),
        ("multipart/form-data", None), ("multipart/form-data; boundary=", None), ("multipart/form-data; boundary=" + "a" * 70,
        b"a" * 70),
    ],
)  # fmt: skip
def test_the_boundary_is_read_as_the_standard_library_reads_it(content_type: str, boundary: bytes | None) -> None:
    message = email.message.Message()
    message["Content-Type"] = content_type
    assert boundary_of(content_type) == boundary == ((message.get_boundary() or "").encode() or None)


@pytest.mark.parametrize(
    ("content_type", "compressed", "kind"),
    [
        ("application/json", False, JsonModelFinder), ("application/json; charset=utf-8", False, JsonModelFinder),
        ("Application/JSON", False, JsonModelFinder),
        ("application/vnd.x+json", False, JsonModelFinder), ("", False, JsonModelFinder), ("application/json", True, NoModel),
        ("text/plain", False, NoModel),
        ("multipart/form-data; boundary=x", False, MultipartModelFinder), ("multipart/form-data", False, NoModel),
        ("multipart/form-data; boundary=x", True, NoModel),
        ("application/x-www-form-urlencoded", False, NoModel), ("application/octet-stream", False, NoModel),
    ],
)  # fmt: skip
def test_the_media_type_chooses_the_reader(content_type: str, compressed: bool, kind: type) -> None:
    assert type(finder_for(content_type, compressed=compressed)) is kind


def test_a_body_that_cannot_name_a_model_is_known_at_once() -> None:
    finder = NoModel()
    assert finder.feed(b'{"model":"m"}')
    assert finder.model is None
