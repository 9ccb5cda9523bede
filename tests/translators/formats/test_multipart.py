"""Forms as streams and whole (rule P07, case 84): every cut, every limit, only what is named changes."""

import re
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.formats.forms import FileRef, Part, form_content_type, form_scope, free_boundary, read_form, write_form
from translators.formats.multipart import (
    End,
    MultipartError,
    MultipartLimits,
    MultipartReader,
    Outside,
    PartData,
    PartEnd,
    PartHead,
    Piece,
    RepeatedPartError,
    boundary_of,
)
from translators.formats.rewriter import Default, MultipartRewriter, Remove, Rename, Replace, Set

B = b"xyz"


def text(name: str, value: str) -> bytes:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(name: str, data: bytes, filename: str = "a.png") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: image/png\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = b"--xyz--\r\n"
BODY = (
    text("prompt", "猫") + text("model", "m-1") + file("image[]", b"\x89PNG\r\n--xy\r\n--xyzz\r\n\r") + file("image[]", b"2") + END
)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def read(parts: list[bytes], boundary: bytes = B, limits: MultipartLimits | None = None) -> list[Piece]:
    reader = MultipartReader(boundary, limits)
    return [piece for part in parts for piece in reader.feed(part)] + reader.finish()


def joined(pieces: list[Piece]) -> list[Piece]:
    """The pieces with data that was divided put together again."""
    out: list[Piece] = []
    for piece in pieces:
        last = out[-1] if out else None
        if isinstance(piece, PartData):
            before = bytes(last.data) if isinstance(last, PartData) else b""
            out = out[:-1] if isinstance(last, PartData) else out
            out.append(PartData(memoryview(before + bytes(piece.data))))
        elif isinstance(piece, Outside) and isinstance(last, Outside):
            out[-1] = Outside(last.data + piece.data)
        else:
            out.append(piece)
    return out


def bytes_of(pieces: list[Piece]) -> bytes:
    out = b""
    for piece in pieces:
        match piece:
            case Outside(data) | PartData(data):
                out += data
            case PartHead():
                out += piece.delimiter + piece.raw
            case End(delimiter):
                out += delimiter
    return out


def rewrite(parts: list[bytes], *changes: Rename | Set | Default | Remove) -> bytes:
    rewriter = MultipartRewriter(B, changes)
    return b"".join(map(rewriter.feed, parts)) + rewriter.finish()


DATA = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--xyz", b"\r\n--xy", b"--xyz--", b"\r\n--xyz-x", b"z", b"a"])
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies with all that the grammar allows, and data made of what looks like a boundary."""
    out = draw(st.sampled_from([b"", b"\r\n", b"preamble\r\n", b"--xyzz\r\n"]))
    for index in range(draw(st.integers(0, 4))):
        data = b"\r\n" + b"".join(draw(DATA)) + b"\r\n"
        while (cleaned := re.sub(rb"\r\n--xyz(--)?\r\n", b"\r\n", data)) != data:
            data = cleaned
        data = data[2:-2]
        kind = draw(st.integers(0, 3))
        if kind == 0:
            out += b"--xyz \t\r\n\r\n" + data + b"\r\n"
        elif kind == 1:
            out += b'--xyz\r\nContent-Disposition: form-data; name="shared"\r\n\r\n'  # its line end is also the boundary's
        else:
            out += file(f"f{index}", data) if kind == 2 else text(f"t{index}", data.decode())
    return out + b"--xyz--" + draw(st.sampled_from([b"", b" ", b"\r\n", b"\r\nepilogue\r\n--xyz\r\n"]))


@settings(max_examples=100, deadline=None)
@given(bodies(), st.lists(st.integers(0, 500), max_size=10))
def test_P07_a_body_is_read_the_same_at_every_cut_and_no_byte_is_lost(body: bytes, cuts: list[int]) -> None:
    whole = read([body])
    assert bytes_of(whole) == body
    assert joined(read(cut(body, cuts))) == joined(whole)
    assert joined(read(bytewise(body))) == joined(whole)


@settings(max_examples=100, deadline=None)
@given(bodies(), st.lists(st.integers(0, 500), max_size=10))
def test_P07_identity_changes_no_byte(body: bytes, cuts: list[int]) -> None:
    absent = (Rename("no", "yes"), Remove("nothing"))
    assert rewrite(cut(body, cuts), *absent) == body
    assert rewrite(bytewise(body)) == body


@settings(max_examples=100, deadline=None)
@given(bodies(), st.lists(st.integers(0, 500), max_size=10))
def test_P07_after_changes_the_other_parts_are_what_they_were(body: bytes, cuts: list[int]) -> None:
    changes = (Remove("f0"), Rename("t0", "f0"), Set("f1", "new"), Default("d", "added"), Remove("shared"))
    out = rewrite(cut(body, cuts), *changes)
    assert out == rewrite([body], *changes)
    expected = [
        ("f0" if part.name == "t0" else part.name, part.data) for part in read_form(body, B) if part.name not in ("f0", "shared")
    ]
    expected = [(name, memoryview(b"new") if name == "f1" else data) for name, data in expected]
    if not any(name == "f1" for name, _ in expected):
        expected.append(("f1", memoryview(b"new")))
    assert [(part.name, part.data) for part in read_form(out, B)] == [*expected, ("d", memoryview(b"added"))]


def test_P07_a_real_body_gives_its_parts_with_boundary_like_bytes_as_data() -> None:
    parts = read_form(BODY, B)
    assert [(part.name, part.filename, part.content_type) for part in parts] == [
        ("prompt", None, None),
        ("model", None, None),
        ("image[]", "a.png", "image/png"),
        ("image[]", "a.png", "image/png"),
    ]
    assert bytes(parts[2].data) == b"\x89PNG\r\n--xy\r\n--xyzz\r\n\r"
    assert parts[2].data.obj is BODY  # a view of the body, not a copy


def test_P07_changes_touch_the_bytes_of_the_named_parts_only() -> None:
    out = rewrite([BODY], Rename("image", "picture"), Set("model", "m-2"), Default("n", "1"), Default("prompt", "no"))
    expected = BODY.replace(b'"image[]"', b'"picture[]"').replace(b"m-1", b"m-2")
    assert out == expected.removesuffix(END) + text("n", "1") + END
    assert rewrite([BODY], Remove("image")) == text("prompt", "猫") + text("model", "m-1") + END
    assert rewrite([BODY], Remove("prompt")) == BODY.removeprefix(text("prompt", "猫"))


def test_P07_changes_hold_one_after_another() -> None:
    body = text("a", "1") + text("b", "2") + END
    assert rewrite([body], Remove("a"), Default("a", "3")) == text("b", "2") + text("a", "3") + END
    assert rewrite([body], Rename("a", "c"), Set("c", "4")) == text("c", "4") + text("b", "2") + END
    assert rewrite([body], Set("n", "5"), Rename("n", "m")) == body.removesuffix(END) + text("m", "5") + END
    assert rewrite([body], Set("n", "5"), Remove("n")) == body
    assert rewrite([body], Remove("a"), Remove("b")) == END
    assert rewrite([END], Set("a", "1"), Set("b", "2")) == body
    assert rewrite([text("a", "1") + text("a", "2") + END], Set("a", "3")) == text("a", "3") + END
    assert rewrite([file("a", b"1") + END], Set("a", "3")) == text("a", "3") + END


def test_P07_a_value_that_holds_the_boundary_is_refused_before_the_first_byte() -> None:
    for change in (Set("a", "\r\n--xyz--"), Default("a", "--xyz")):
        with pytest.raises(MultipartError, match="holds the boundary"):
            MultipartRewriter(B, [change])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_P07_a_value_is_replaced_where_it_is_the_one_looked_for(size: int) -> None:
    def replaced(body: bytes, *changes: Rename | Set | Default | Remove, new: str = "longer") -> bytes:
        rewriter = MultipartRewriter(B, changes, replace=Replace("m", "old", new))
        return b"".join(rewriter.feed(body[at : at + size]) for at in range(0, len(body), size)) + rewriter.finish()

    rest = text("m[]", "old") + text("n", "old") + file("f", b"old") + END
    assert replaced(text("m", "old") + rest) == text("m", "longer") + rest
    assert replaced(text("m", "old") + END, new="") == text("m", "") + END
    for kept in (text("m", "older"), text("m", "ol"), text("m", ""), file("m", b"old"), b""):
        assert replaced(kept + rest) == kept + rest
    assert replaced(text("m", "old") + END, Rename("m", "n")) == text("n", "longer") + END
    assert replaced(text("m", "old") + END, Set("m", "x")) == text("m", "x") + END
    assert replaced(text("m", "old") + END, Remove("m")) == END
    with pytest.raises(MultipartError, match="holds the boundary"):
        replaced(END, new="--xyz")


@pytest.mark.parametrize("again", ["m", "m[]"])
def test_P02_a_part_that_may_stand_once_does(again: str) -> None:
    rewriter = MultipartRewriter(B, (), once=("m",))
    rewriter.feed(text("a", "1") + text("a", "2") + text("m", "1"))
    with pytest.raises(RepeatedPartError) as caught:
        rewriter.feed(text(again, "2"))
    assert (caught.value.name, caught.value.status) == ("m", 400)


def test_P07_a_renamed_part_keeps_every_other_byte_of_its_header() -> None:
    head = b'--xyz\r\ncontent-disposition:form-data;filename="n.png" ; name=image\r\nX-Odd:  1\r\n\r\n'
    assert rewrite([head + b"d\r\n" + END], Rename("image", 'a"b')) == head.replace(b"=image", b'="a%22b"') + b"d\r\n" + END


def test_P07_128_parts_pass_and_the_129th_is_refused() -> None:
    assert len(read_form(text("a", "1") * 128 + END, B)) == 128
    with pytest.raises(MultipartError, match="128 parts") as caught:
        MultipartReader(B).feed(text("a", "1") * 128 + b"--xyz\r\n")
    assert caught.value.status == 413


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_P07_a_header_section_at_the_limit_passes_and_a_larger_one_is_refused(size: int) -> None:
    def body(length: int) -> list[bytes]:
        whole = b"--xyz\r\nX: " + b"x" * (length - 7) + b"\r\n\r\ndata\r\n" + END
        return [whole[i : i + size] for i in range(0, len(whole), size)]

    limits = MultipartLimits(part_header=1024)
    assert len(joined(read(body(1024), limits=limits))) == 5
    for length in (1025, 64 * 1024):
        with pytest.raises(MultipartError, match="header section") as caught:
            read(body(length), limits=limits)
        assert caught.value.status == 431
    with pytest.raises(MultipartError):
        read(body(64 * 1024))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        BODY[: -len(END)],
        BODY[:-5],
        BODY[:20],
        b"--xyz",
        b"--xyz\r\n",
        b"--xyz--\r",
        b"--xyz-",
        b"--xyz--x",
        b"--xyzz--",
    ],
)
def test_P07_a_body_without_its_closing_boundary_line_is_refused(body: bytes) -> None:
    for parts in ([body], bytewise(body)):
        with pytest.raises(MultipartError, match="closing boundary") as caught:
            read(parts)
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "head",
    [
        b"no colon\r\n\r\n",
        b"A: b\nC: d\r\n\r\n",
        b"A: b\rC\r\n\r\n",
        b"A: \0\r\n\r\n",
        b"A : b\r\n\r\n",
        b" folded: first\r\n\r\n",
        b"Content-Type: a\r\ncontent-type: b\r\n\r\n",
        b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"\r\n\r\n',
        b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\n',
        b'Content-Disposition: form-data; name="a\r\n\r\n',
        b'Content-Disposition: form-data; name="a" x\r\n\r\n',
        b"A: b\r\n--xyz\r\n\r\n",
        b"A: b\r\n--xyz--\r\n\r\n",
    ],
)
def test_P07_a_header_section_that_readers_take_differently_is_refused(head: bytes) -> None:
    for parts in ([b"--xyz\r\n" + head + END], bytewise(b"--xyz\r\n" + head + END)):
        with pytest.raises(MultipartError) as caught:
            read(parts)
        assert caught.value.status == 400


def test_a_boundary_line_of_endless_white_space_is_refused() -> None:
    assert len(read([b"--xyz--" + b" " * 64])) == 1
    with pytest.raises(MultipartError, match="white space"):
        MultipartReader(B).feed(b"--xyz" + b" " * 65)


@pytest.mark.parametrize(
    ("written", "name", "filename"),
    [
        (b'name="a"', "a", None),
        (b"name=a", "a", None),
        (b'name=""', "", None),
        (b'NAME="a"; FileName="b"', "a", "b"),
        (rb'name="a\"b"; filename="c\\d"', 'a"b', "c\\d"),
        (rb'name="a"; filename="C:\dir\f.png"', "a", "C:\\dir\\f.png"),
        (b'name="a%22%0D%0ab"; filename="100%25 %41.png"', 'a"\r\nb', "100%25 %41.png"),
        ('name="猫"; filename="犬.png"'.encode(), "猫", "犬.png"),
        (b'name="a;b"; filename="c;name=d"', "a;b", "c;name=d"),
        (b"name=a; filename*=UTF-8''%e7%8c%ab", "a", "UTF-8''%e7%8c%ab"),
        (b"name=a; filename=\"x\"; filename*=UTF-8''%e7", "a", "x"),
        (b'name="a";', "a", None),
        (b'name="\xff"', "\udcff", None),
    ],
)
def test_names_and_file_names_are_read_as_clients_write_them(written: bytes, name: str, filename: str | None) -> None:
    body = b"--xyz\r\nContent-Disposition: form-data; " + written + b"\r\n\r\n\r\n" + END
    [part] = read_form(body, B)
    assert (part.name, part.filename) == (name, filename)
    assert rewrite([body]) == body


def test_P07_a_nested_body_is_opaque() -> None:
    inner = b"--xyz1\r\nContent-Disposition: file\r\n\r\ndata\r\n--xyz1--\r\n"
    body = file("a", inner).replace(b"image/png", b"multipart/mixed; boundary=xyz1") + END
    [part] = read_form(body, B)
    assert part.data == inner


def test_P07_a_file_of_100_mib_takes_no_memory() -> None:
    rewriter = MultipartRewriter(B, [Set("model", "m-2")])
    chunk = bytes(range(256)) * 1024
    tracemalloc.start()
    try:
        sent = len(rewriter.feed(text("model", "m-1") + file("a", b"")[:-2]))
        for _ in range(400):
            sent += len(rewriter.feed(chunk))
        sent += len(rewriter.feed(b"\r\n" + END) + rewriter.finish())
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert sent == len(text("model", "m-1") + file("a", b"") + END) + 400 * len(chunk)


@pytest.mark.parametrize("held", [b"\r\n--xy", b"\r\n--xyz-", b"\r\n--xyz" + b" " * 64])
def test_P07_no_more_than_a_boundary_line_is_held_back(held: bytes) -> None:
    reader = MultipartReader(B)
    reader.feed(file("a", b"")[:-2])
    [piece] = reader.feed(b"data" + held)
    assert piece == PartData(memoryview(b"data"))
    assert joined(reader.feed(b"x")) == [PartData(memoryview(held + b"x"))]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*bytewise(b"\r\n-:;\"'\\= \t\0a\xff"), B, b"--xyz\r\n", b"\r\n\r\n", b"Content-Disposition: ", b'name="a"']
        )
    )
)
def test_hostile_bytes_end_in_an_error_of_ours_or_come_out_as_they_were(parts: list[bytes]) -> None:
    try:
        whole = read(parts)
    except MultipartError as error:
        refused: str | None = str(error)
    else:
        refused = None
        assert bytes_of(whole) == b"".join(parts)
    assert refused is None or "part" in refused or "boundary" in refused


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ("Multipart/Form-Data;BOUNDARY=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ('multipart/form-data; boundary="a\\bc";', b"abc"),
        ("multipart/form-data; boundary=" + "a" * 70, b"a" * 70),
        ("multipart/form-data; boundary=" + "a" * 71, None),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ('multipart/form-data; boundary=""', None),
        ('multipart/form-data; boundary="a "', None),
        ("multipart/form-data; boundary=a b", None),
        ("multipart/form-data; boundary=a; boundary=a", None),
        ("multipart/form-data; boundary=a\r\nb", None),
        ("multipart/form-data; boundary=ä", None),
        ("multipart/mixed; boundary=a", None),
        ("application/json", None),
    ],
)
def test_a_boundary_is_read_strictly(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("boundary", [b"", b"a" * 71, b"a\r\nb", b"a ", b"\xff"])
def test_a_reader_takes_no_boundary_that_the_format_does_not_allow(boundary: bytes) -> None:
    with pytest.raises(MultipartError, match="boundary"):
        MultipartReader(boundary)


def part(name: str | None, value: str | bytes, filename: str | None = None) -> Part:
    data = value.encode() if isinstance(value, str) else value
    return Part(name, filename, "image/png" if filename else None, memoryview(data))


@pytest.mark.parametrize(
    ("names", "scope"),
    [
        (["a", "b"], {"a": "0", "b": "1"}),
        (["a", "b", "a"], {"a": ["0", "2"], "b": "1"}),
        (["a[]"], {"a": ["0"]}),
        (["a[]", "a[]", "a"], {"a": ["0", "1", "2"]}),
        (["a[b]", "a[c]"], {"a": {"b": "0", "c": "1"}}),
        (["a[b][c]", "a[b][d][]", "a[b][d][]"], {"a": {"b": {"c": "0", "d": ["1", "2"]}}}),
        (["a[1]", "a[0]", "a[10]"], {"a": ["1", "0", "2"]}),
        (["a[0]", "a[x]"], {"a": {"0": "0", "x": "1"}}),
        (["a[][b]", "a[][b]"], {"a": [{"b": "0"}, {"b": "1"}]}),
        (["a[", "a]", "[b]", "a[b]c", ""], {"a[": "0", "a]": "1", "[b]": "2", "a[b]c": "3", "": "4"}),
        ([None], {}),
    ],
)
def test_a_form_is_seen_as_an_object(names: list[str | None], scope: dict[str, Any]) -> None:
    assert form_scope([part(name, str(index)) for index, name in enumerate(names)]) == scope


def test_a_file_part_is_a_file_under_the_same_names() -> None:
    scope = form_scope([part("image[]", b"\xff", "a.png"), part("image[]", "https://x.test/a")])
    assert scope == {"image": [FileRef("a.png", "image/png", memoryview(b"\xff")), "https://x.test/a"]}


@pytest.mark.parametrize(
    "names", [["a", "a[b]"], ["a[b]", "a"], ["a[]", "a[b]"], ["a[b]", "a[]"], ["a[b]", "a[b][c]"], ["a" + "[b]" * 9]]
)
def test_a_form_with_two_meanings_is_refused(names: list[str]) -> None:
    with pytest.raises(MultipartError, match=r"value and an object|nests deeper") as caught:
        form_scope([part(name, "1") for name in names])
    assert caught.value.status == 400


@pytest.mark.parametrize("bad", [part("a", b"\xff"), part("\udcff", "a")])
def test_text_that_is_not_utf8_is_refused_when_rules_want_to_see_it(bad: Part) -> None:
    with pytest.raises(MultipartError, match="UTF-8"):
        form_scope([bad])


def test_a_form_is_written_as_browsers_write_it() -> None:
    fields = {
        "t": "猫",
        "yes": True,
        "n": 1.5,
        "none": None,
        "big": 12345678901234567890123,
        "l[]": ["a", None, 2],
        "o": {"k": ["v", None]},
        'q"\r\n': "",
        "f": FileRef('a"b\r\n.png', "image/png", b"\x89PNG"),
        "g": FileRef("g", None, memoryview(b"data")),
    }
    head = b'--b\r\nContent-Disposition: form-data; name="'
    assert write_form(fields, b"b") == (
        head + 't"\r\n\r\n猫\r\n'.encode() + head + b'yes"\r\n\r\ntrue\r\n' + head + b'n"\r\n\r\n1.5\r\n'
        + head + b'big"\r\n\r\n12345678901234567890123\r\n' + head + b'l[]"\r\n\r\na\r\n' + head + b'l[]"\r\n\r\n2\r\n'
        + head + b'o"\r\n\r\n{"k":["v",null]}\r\n' + head + b'q%22%0D%0A"\r\n\r\n\r\n'
        + head + b'f"; filename="a%22b%0D%0A.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n'
        + head + b'g"; filename="g"\r\nContent-Type: application/octet-stream\r\n\r\ndata\r\n--b--\r\n'
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]%\0"), max_size=5),
        st.text(st.characters(exclude_categories=["Cs"]))
        | st.binary(max_size=50).map(lambda data: FileRef("f\\", "image/png", data)),
        max_size=5,
    )
)
def test_what_is_written_is_read_back(fields: dict[str, str | FileRef]) -> None:
    boundary = free_boundary("dragoman", fields.values())
    assert form_scope(read_form(write_form(fields, boundary), boundary)) == fields


def test_the_boundary_of_a_written_form_stands_in_no_value() -> None:
    values = ["a b", FileRef("f", None, b"--b1"), {"b": 2}, None]
    assert free_boundary("b", values) == b"b2"
    with pytest.raises(MultipartError, match="holds the boundary"):
        write_form({"x": ["a", FileRef("f", None, b"..b1..")]}, b"b1")
    assert form_content_type(b"b1") == "multipart/form-data; boundary=b1"
    assert boundary_of(form_content_type(b"a b:c")) == b"a b:c"


@pytest.mark.parametrize("value", [{"a": FileRef("f", None, b"")}, float("nan"), FileRef("f", "a\r\nX: y", b""), {1, 2}])
def test_what_no_form_can_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"form cannot hold|not JSON compliant|line end"):
        write_form({"x": value}, b"b")


def test_every_part_of_a_reading_ends_before_the_next_begins() -> None:
    kinds = [type(piece) for piece in joined(read(bytewise(BODY)))]
    assert kinds == [PartHead, PartData, PartEnd] * 4 + [End, Outside]


def test_a_folded_header_line_is_unfolded_to_be_understood_and_kept_as_it_was() -> None:
    body = b'--xyz\r\nContent-Disposition: form-data;\r\n name="a"\r\nContent-Type: text/plain;\r\n\tx=y\r\n\r\n1\r\n' + END
    [part] = read_form(body, B)
    assert (part.name, part.content_type) == ("a", "text/plain;\tx=y")
    assert rewrite([body], Set("a", "2")) == body.replace(b"\r\n1\r\n", b"\r\n2\r\n")


def test_a_part_without_data_whose_blank_line_is_also_the_boundarys_can_be_set() -> None:
    body = b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n--xyz--'
    assert rewrite([body], Set("a", "v")) == body.replace(b"--xyz--", b"v\r\n--xyz--")
    assert rewrite([body], Set("b", "v")) == body.replace(b"--xyz--", b"\r\n" + text("b", "v") + b"--xyz--")
