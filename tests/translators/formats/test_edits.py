"""Edits change the bytes of the members they name, and no other byte (rule P04, law 1)."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.formats.documents import Document, documents
from translators.formats.chunks import Chunks
from translators.formats.edits import (
    Default,
    Edit,
    EditPlan,
    Remove,
    Rename,
    Set,
    format_path,
    parse_path,
    read,
)
from translators.formats.scanner import SpanScanner
from translators.formats.spans import find_spans
from translators.formats.strict_json import BadJsonError


def edited(text: bytes, *operations: Edit) -> bytes:
    """The text edited as a whole; the same must come out of its pieces."""
    plan = EditPlan(operations)
    whole = plan.apply(text, operations)
    for size in (1, 7, 1000):
        assert in_pieces(plan, text, operations, size) == whole
    assert plan.apply(text, list(operations)) == whole
    spans = find_spans(text, plan.watch)  # with them, without the short way for compact texts
    assert plan.apply(text, operations, spans) == whole
    plan._apart = False  # without the short way for edits that do not meet
    assert plan.apply(text, operations, spans) == whole
    return whole


def in_pieces(plan: EditPlan, text: bytes, operations: tuple[Edit, ...], size: int) -> bytes:
    chunks = Chunks()
    scanner = SpanScanner(plan.watch)
    for start in range(0, len(text), size):
        piece = text[start : start + size]
        chunks.append(piece)
        scanner.feed(piece)
    out = b""
    for segment in plan.segments(chunks, scanner.finish(), operations):
        out += segment if isinstance(segment, bytes) else b"".join(chunks.slices(*segment))
    return out


# --- single edits, byte for byte ----------------------------------------------------------------------------------------------

BODY = b'{ "model" : "m" ,\n  "n": 1E5,\t"o":{"x":1.0 , "y":[1, 2]},"e":{ } }\n'

CASES: list[tuple[str, bytes, Edit, bytes]] = [
    ("set replaces the value", BODY, Set(("model",), b'"k"'), BODY.replace(b'"m"', b'"k"')),
    ("set adds a member before the brace", BODY, Set(("z",), b"1"), BODY.replace(b"} }", b'} ,"z":1}')),
    ("set inside an object", BODY, Set(("o", "x"), b"2"), BODY.replace(b"1.0", b"2")),
    ("set adds inside an object", BODY, Set(("o", "z"), b"null"), BODY.replace(b"2]}", b'2],"z":null}')),
    ("set adds to an empty object without a comma", BODY, Set(("e", "z"), b"1"), BODY.replace(b"{ }", b'{ "z":1}')),
    ("set makes the objects on the way", BODY, Set(("p", "q r", "s"), b"1"), BODY.replace(b"} }", b'} ,"p":{"q r":{"s":1}}}')),
    ("set of nothing does nothing", BODY, Set(("p", "q"), None), BODY),
    ("set in an empty body", b"{}", Set(("a",), b"1"), b'{"a":1}'),
    ("default leaves what is there", BODY, Default(("n",), b"2"), BODY),
    ("default leaves null", b'{"a":null}', Default(("a",), b"2"), b'{"a":null}'),
    ("default adds what is absent", b'{"a":null}', Default(("b",), b"2"), b'{"a":null,"b":2}'),
    ("default inside a null makes it an object", b'{"a" : null ,"b":1}', Default(("a", "b"), b"2"), b'{"a" : {"b":2} ,"b":1}'),
    ("set inside a null far down", b'{"a":{"b":null}}', Set(("a", "b", "c", "d"), b"2"), b'{"a":{"b":{"c":{"d":2}}}}'),
    ("remove inside a null", b'{"a":null}', Remove(("a", "b")), b'{"a":null}'),
    ("rename to a name that is null", b'{"b":null, "a": 1E5}', Rename(("a",), ("b",)), b'{"b": 1E5}'),
    ("rename to another object's null", b'{"a":1,"b":{"c":null}}', Rename(("a",), ("b", "c")), b'{"b":{"c":1}}'),
    ("rename of a null to a name that says more", b'{"a":null,"b":[1.0]}', Rename(("a",), ("b",)), b'{"b":[1.0]}'),
    ("rename of a null to a null", b'{"a":null,"b":null}', Rename(("a",), ("b",)), b'{"b":null}'),
    ("default of nothing makes no object", BODY, Default(("p", "q"), None), BODY),
    ("rename changes the key only", BODY, Rename(("n",), ("m",)), BODY.replace(b'"n"', b'"m"')),
    ("rename of what is absent", BODY, Rename(("q",), ("m", "r")), BODY),
    ("rename below a value that is no object", BODY, Rename(("n", "q"), ("m",)), BODY),
    (
        "rename to another object moves the value as it is",
        BODY,
        Rename(("n",), ("o", "n")),
        BODY.replace(b',\n  "n": 1E5', b"").replace(b"2]}", b'2],"n":1E5}'),
    ),
    (
        "rename out of an object",
        BODY,
        Rename(("o", "y"), ("y",)),
        BODY.replace(b' , "y":[1, 2]', b" ").replace(b"} }", b'} ,"y":[1, 2]}'),
    ),
    ("remove of the first", BODY, Remove(("model",)), BODY.replace(b'"model" : "m" ,\n  ', b"")),
    ("remove of one in the middle", BODY, Remove(("n",)), BODY.replace(b',\n  "n": 1E5', b"")),
    ("remove of the last", BODY, Remove(("e",)), BODY.replace(b',"e":{ }', b"")),
    ("remove of the only one", b'{ "a": 1 }', Remove(("a",)), b"{  }"),
    ("remove of what is absent", BODY, Remove(("o", "q")), BODY),
    ("remove below a value that is no object", BODY, Remove(("n", "q")), BODY),
    ("a key written with an escape is the same key", b'{"\\u0061":1,"b":2}', Remove(("a",)), b'{"b":2}'),
    ("the brace in a string is no brace", b'{"s":"}","a":1}', Set(("z",), b"1"), b'{"s":"}","a":1,"z":1}'),
]


@pytest.mark.parametrize(("text", "edit", "result"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_P04_an_edit_changes_exactly_its_bytes(text: bytes, edit: Edit, result: bytes) -> None:
    assert edited(text, edit) == result
    if text == result:
        assert EditPlan([edit]).apply(text, [edit]) is text


MANY: list[tuple[str, bytes, list[Edit], bytes]] = [
    ("the first two go", b'{"a":1, "b":2, "c":3}', [Remove(("b",)), Remove(("a",))], b'{"c":3}'),
    ("the first and the last go", b'{"a":1, "b":2, "c":3}', [Remove(("a",)), Remove(("c",))], b'{"b":2}'),
    ("all go", b'{"a":1, "b":2, "c":3}', [Remove(("a",)), Remove(("c",)), Remove(("b",))], b"{}"),
    ("all go and one comes", b'{"a":1, "b":2 }', [Remove(("a",)), Remove(("b",)), Set(("c",), b"3")], b'{ "c":3}'),
    ("renamed, then defaulted", b'{"a":1}', [Rename(("a",), ("b",)), Default(("b",), b"2")], b'{"b":1}'),
    ("absent, so defaulted under the new name", b"{}", [Rename(("a",), ("b",)), Default(("b",), b"2")], b'{"b":2}'),
    ("renamed and replaced", b'{"a":1}', [Rename(("a",), ("b",)), Set(("b",), b"2")], b'{"b":2}'),
    ("renamed, and a new one under the old name", b'{"a":1}', [Rename(("a",), ("b",)), Set(("a",), b"2")], b'{"b":1,"a":2}'),
    ("swapped", b'{"a":1,"b":2}', [Rename(("a",), ("t",)), Rename(("b",), ("a",)), Rename(("t",), ("b",))], b'{"b":1,"a":2}'),
    ("removed and set again stands last", b'{"a":1,"b":2}', [Remove(("a",)), Set(("a",), b"3")], b'{"b":2,"a":3}'),
    ("set and removed again", b'{"b":2}', [Set(("a",), b"3"), Remove(("a",))], b'{"b":2}'),
    ("set, then set inside", b'{"a":1}', [Set(("a",), b'{"x": 1}'), Set(("a", "y"), b"2")], b'{"a":{"x": 1,"y":2}}'),
    ("renamed, then set inside", b'{"a":{"x": 1}}', [Rename(("a",), ("b",)), Set(("b", "x"), b"2")], b'{"b":{"x": 2}}'),
    (
        "moved, then set inside, then moved out of it",
        b'{"a":{"x": 1.0,"y":0} , "o":{}}',
        [Rename(("a",), ("o", "a")), Default(("o", "a", "z"), b"2"), Rename(("o", "a", "x"), ("x",))],
        b'{"o":{"a":{"y":0,"z":2}},"x":1.0}',
    ),
    (
        "edited inside, then moved",
        b'{"a":{"x": 1.0,"y":0} , "o":{}}',
        [Remove(("a", "x")), Set(("a", "z"), b"[]"), Rename(("a",), ("o", "b"))],
        b'{"o":{"b":{"y":0,"z":[]}}}',
    ),
    (
        "an object made, then moved and added to",
        b"{}",
        [Set(("a", "b"), b"1"), Rename(("a",), ("c", "d")), Set(("c", "d", "e"), b"2"), Rename(("c", "d", "b"), ("c", "d", "f"))],
        b'{"c":{"d":{"f":1,"e":2}}}',
    ),
]


@pytest.mark.parametrize(("text", "edits", "result"), [case[1:] for case in MANY], ids=[case[0] for case in MANY])
def test_each_edit_sees_what_the_ones_before_it_left(text: bytes, edits: list[Edit], result: bytes) -> None:
    assert edited(text, *edits) == result


# --- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "edit", "code"),
    [
        (b'{"a":1}', Set(("a", "b"), b"1"), "not_an_object"),
        (b'{"a":0}', Default(("a", "b", "c"), b"1"), "not_an_object"),
        (b'{"a":[],"c":1}', Rename(("c",), ("a", "b")), "not_an_object"),
        (b'{"a":1,"b":2}', Rename(("a",), ("b",)), "conflicting_fields"),
        (b'{"a":1,"b":{"c":0}}', Rename(("a",), ("b", "c")), "conflicting_fields"),
        (b'{"a":1,"a":2}', Remove(("a",)), "duplicate_key"),
        (b'{"o":{"a":1, "\\u0061":2}}', Set(("o", "a"), b"1"), "duplicate_key"),
        (b'{"o":{},"o":{}}', Set(("o", "a"), b"1"), "duplicate_key"),
        (b'[{"a":1}]', Remove(("a",)), "body_not_object"),
        (b"1", Remove(("a",)), "body_not_object"),
    ],
)
def test_P02_a_body_that_an_edit_cannot_mean_is_400(text: bytes, edit: Edit, code: str) -> None:
    with pytest.raises(BadJsonError) as caught:
        edited(text, edit)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert ";" in caught.value.message


def test_an_error_names_the_path() -> None:
    with pytest.raises(BadJsonError, match=r'"a\.b" in the body is not an object, but "a\.b"\.c belongs into it'):
        edited(b'{"a.b":1}', Set(("a.b", "c"), b"1"))


def test_one_plan_serves_requests_with_different_edits() -> None:
    first, second = (Set(("a",), b"1"), Remove(("b",))), (Default(("a",), b"2"), Rename(("b",), ("c",)))
    plan = EditPlan((*first, *second))
    text = b'{"b":0,"x":"}"}'
    for _ in range(2):
        assert plan.apply(text, first) == b'{"x":"}","a":1}'
        assert plan.apply(text, second) == b'{"c":0,"x":"}","a":2}'
    assert plan.apply(b'{"b":0}', (Remove(("b",)),)) == b"{}"


def test_a_twice_named_key_that_no_edit_names_passes() -> None:
    assert edited(b'{"z":1,"z":2,"a":0}', Remove(("a",))) == b'{"z":1,"z":2}'


def test_a_value_put_in_by_an_edit_is_held_to_the_same_rules() -> None:
    with pytest.raises(BadJsonError, match="more than once"):
        edited(b"{}", Set(("a",), b'{"b":1,"b":2}'), Remove(("a", "b")))
    with pytest.raises(BadJsonError, match="not an object"):
        edited(b"{}", Set(("a",), b"3"), Set(("a", "b"), b"1"))


@pytest.mark.parametrize("new", [("a",), ("a", "b"), ()])
def test_a_rename_into_itself_is_no_plan(new: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be renamed"):
        EditPlan([Rename(("a",), new)])


def test_an_operation_must_be_known_to_its_plan() -> None:
    with pytest.raises(ValueError, match="no path of this plan"):
        EditPlan([Remove(("a",))]).apply(b"{}", [Remove(("b",))])
    with pytest.raises(ValueError, match="at least one key"):
        EditPlan([Remove(())])


# --- paths --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("stream_options.include_usage", ("stream_options", "include_usage")),
        ('"a.b".c', ("a.b", "c")),
        ('x."\\u00e9\\""', ("x", 'é"')),
        ("é-1.$x", ("é-1", "$x")),
    ],
)
def test_a_path_is_read_and_written_back(text: str, path: tuple[str, ...]) -> None:
    assert parse_path(text) == path
    assert parse_path(format_path(path)) == path


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4).map(tuple))
@settings(max_examples=50, deadline=None)
def test_any_keys_can_be_named_by_a_path(path: tuple[str, ...]) -> None:
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize("text", ["", ".", "a.", "a..b", ".a", "messages[0].name", "[0]", "a b", '"a', '"\\x".b', '"a"b', "a,b"])
def test_a_path_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the path"):
        parse_path(text)


# --- large bodies -------------------------------------------------------------------------------------------------------------


def test_a_large_body_leaves_as_the_pieces_it_came_in() -> None:
    pieces = [b'{"model":"m","image":"', *[bytes([65 + i]) * 65536 for i in range(20)], b'","user":"u"}']
    chunks = Chunks(pieces)
    operations = [Set(("model",), b'"k"'), Remove(("user",)), Default(("n",), b"1")]
    plan = EditPlan(operations)
    scanner = SpanScanner(plan.watch)
    for piece in pieces:
        scanner.feed(piece)
    segments = plan.segments(chunks, scanner.finish(), operations)
    assert sum(len(segment) for segment in segments if isinstance(segment, bytes)) == len(b'"k","n":1')
    views = [view for segment in segments if isinstance(segment, tuple) for view in chunks.slices(*segment)]
    assert {id(view.obj) for view in views} <= {id(piece) for piece in pieces}
    assert len(chunks) == chunks.length == sum(map(len, pieces))
    assert b"".join(chunks.slices(5, 5)) == b""


def test_a_watched_member_of_a_large_body_is_read_alone() -> None:
    text = b'{"model":"m","big":123456789012345678901234567890,"o":{"s":true,"t":[1,2]},"junk":"' + b"x" * 1000 + b'"}'
    plan = EditPlan([Remove(("model",))], [("big",), ("o", "s"), ("o",), ("none",)])
    scanner = SpanScanner(plan.watch)
    chunks = Chunks(text[i : i + 11] for i in range(0, len(text), 11))
    for view in chunks.slices(0, len(chunks)):
        scanner.feed(bytes(view))
    spans = scanner.finish()
    for source in (text, chunks):
        assert read(source, spans, ("model",)) == "m"
        assert read(source, spans, ("big",)) == 123456789012345678901234567890
        assert read(source, spans, ("o", "s")) is True
        assert read(source, spans, ("o",)) == {"s": True, "t": [1, 2]}
        assert read(source, spans, ("none",), "absent") == "absent"


# --- against a slow model -----------------------------------------------------------------------------------------------------


class Obj(list[tuple[str, Any]]):
    """An object as pairs; numbers are kept as written."""

    def get(self, key: str) -> Any:
        return next((value for name, value in self if name == key), KeyError)

    def index_of(self, key: str) -> int:
        return [name for name, _ in self].index(key)


class Number(str):
    __slots__ = ()


def decoded(text: bytes) -> Any:
    return json.loads(text, object_pairs_hook=Obj, parse_int=Number, parse_float=Number)


class Refused(Exception):  # noqa: N818
    pass


def holder(root: Obj, path: tuple[str, ...], *, make: bool) -> Obj | None:
    here = root
    for key in path[:-1]:
        inner = here.get(key)
        if inner is KeyError and make:
            inner = Obj()
            here.append((key, inner))
        elif inner is None and make:  # a null says nothing
            inner = Obj()
            here[here.index_of(key)] = (key, inner)
        if not isinstance(inner, Obj):
            if make:
                raise Refused
            return None
        here = inner
    return here


def slow(root: Obj, operation: Edit) -> None:
    path = operation.path
    key = path[-1]
    if isinstance(operation, Rename):
        source = holder(root, path, make=False)
        if source is None or source.get(key) is KeyError:
            return
        target = holder(root, operation.new_path, make=True)
        assert target is not None
        there = target.get(operation.new_path[-1])
        if there is None:
            del target[target.index_of(operation.new_path[-1])]
        elif there is not KeyError and source.get(key) is None:
            del source[source.index_of(key)]
            return
        elif there is not KeyError:
            raise Refused
        at, value = source.index_of(key), source.get(key)
        if target is source:
            source[at] = (operation.new_path[-1], value)
        else:
            del source[at]
            target.append((operation.new_path[-1], value))
    elif isinstance(operation, Remove):
        where = holder(root, path, make=False)
        if where is not None and where.get(key) is not KeyError:
            del where[where.index_of(key)]
    elif operation.value is not None:
        where = holder(root, path, make=True)
        assert where is not None
        if where.get(key) is KeyError:
            where.append((key, decoded(operation.value)))
        elif isinstance(operation, Set):
            where[where.index_of(key)] = (key, decoded(operation.value))


PATHS = st.lists(st.sampled_from(["a", "b", "c", "model", "é", "x.y"]), min_size=1, max_size=3).map(tuple)
VALUES = st.sampled_from([None, b"1E5", b'"new"', b"[ ]", b"{}", b'{"a": 1.50}', b'{ "b":{"a":{"c":2}} ,"c":null}'])
OPERATIONS = (
    st.builds(Set, PATHS, VALUES)
    | st.builds(Default, PATHS, VALUES)
    | st.builds(Remove, PATHS)
    | st.tuples(PATHS, PATHS)
    .filter(lambda pair: pair[0][: len(pair[1])] != pair[1] and pair[1][: len(pair[0])] != pair[0])
    .map(lambda pair: Rename(*pair))
)


@given(documents(), st.lists(OPERATIONS, max_size=5))
@settings(max_examples=100, deadline=None)
def test_P04_edits_do_what_the_slow_model_does_and_touch_nothing_else(document: Document, operations: list[Edit]) -> None:
    model = decoded(document.text)
    try:
        for operation in operations:
            slow(model, operation)
    except Refused:
        with pytest.raises(BadJsonError):
            edited(document.text, *operations)
        return
    result = edited(document.text, *operations)
    assert decoded(result) == model
    named = {path[0] for operation in operations for path in (operation.path, getattr(operation, "new_path", operation.path))}
    for key, member in document.members:
        assert key in named or member.encode() in result


@given(documents(unique=False))
@settings(max_examples=50, deadline=None)
def test_P04_no_operation_gives_the_same_bytes_object(document: Document) -> None:
    plan = EditPlan([Set(("a",)), Default(("b", "c"))])
    assert plan.apply(document.text, []) is document.text


TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|[a-z]+|[{}\[\]:,]|\s+')


def test_P04_case_80_token_by_token_only_the_edited_member_differs() -> None:
    text = b'{"model":"m","n":1E5,"big":12345678901234567890123,"f":1.10,"s":"\\u00e9\\/","o":{"z":[1.0 , -0.0],"n":2},\r\n"t":1}'
    before = TOKEN.findall(text)
    after = TOKEN.findall(edited(text, Set(("o", "n"), b"3")))
    assert b"".join(before) == text
    assert len(before) == len(after)
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [(b"2", b"3")]
