"""The functions of expressions: every row of the table holds, and what the rows do not show."""

import base64
import json
from typing import Any

import pytest

from translators.expressions.compile import EvaluationError, compile_expression
from translators.expressions.functions import (
    EXAMPLE_SCOPE,
    EXAMPLE_TABLES,
    FUNCTIONS,
    STANDARD,
)
from translators.expressions.signature import MAX_ITEMS, MAX_TEXT, json_equal, kind_of

NAMES = {"x", "y"}
TABLES = {
    **EXAMPLE_TABLES,
    "codes": {"5-9": "range", "7": "exact", "0-99": "later", "true": "yes", "a-b": "no range", 1.0: "one", "-3": "negative"},
}


def value(text: str, x: Any = None, y: Any = None) -> Any:
    return compile_expression(text, names=NAMES, functions=FUNCTIONS, tables=TABLES).evaluate({"x": x, "y": y, **EXAMPLE_SCOPE})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_example_gives_the_result_that_stands_beside_it(name: str) -> None:
    function = FUNCTIONS[name]
    assert function.example.startswith(f"{name}(")
    assert json_equal(value(function.example), function.result)
    kinds = function.signature.rpartition(" -> ")[2].split("|")
    assert "any" in kinds or kind_of(function.result) in kinds


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_explained_in_one_sentence(name: str) -> None:
    assert FUNCTIONS[name].doc.endswith(".")
    assert FUNCTIONS[name].doc.count(". ") == 0


def test_the_standard_functions_are_those_of_the_specification() -> None:
    assert " ".join(sorted(STANDARD)) == (
        "abs avg ceil contains ends_with floor join keys length map max max_by merge min min_by not_null reverse sort sort_by "
        "starts_with sum to_array to_number to_string type values"
    )
    assert {name for name, function in FUNCTIONS.items() if function.impure} == {"now", "uuid"}


CASES: list[tuple[str, Any, Any]] = [
    ("lookup('codes', x)", 8, "range"),
    ("lookup('codes', x)", "8", "range"),
    ("lookup('codes', x)", 7, "exact"),
    ("lookup('codes', x)", 50, "later"),
    ("lookup('codes', x)", 8.0, "range"),
    ("lookup('codes', x)", 8.5, None),
    ("lookup('codes', x)", -3, "negative"),
    ("lookup('codes', x)", 1, "one"),
    ("lookup('codes', x)", True, "yes"),
    ("lookup('codes', x)", "a-b", "no range"),
    ("lookup('codes', x)", "²", None),
    ("lookup('codes', x, 'other')", "zzz", "other"),
    ("lookup('codes', x, 'other')", None, None),
    ("nearest(x, [`5`, `10`])", 7.5, 10),
    ("nearest(x, [`5`, `10`])", "7", 5),
    ("nearest(x, ['5s', '10s'])", "9 seconds", "10s"),
    ("nearest(x, ['auto', '10'])", 1, "10"),
    ("nearest(x, `[]`)", 1, None),
    ("nearest(x, [`5`])", None, None),
    ("nearest(x, [`5`])", "soon", None),
    ("round_up(x, ['5', '10'])", "5.1", "10"),
    ("round_up(x, ['5', '10'])", 11, "10"),
    ("round_up(x, ['5', '10'])", 5, "5"),
    ("round_down(x, ['5', '10'])", 9, "5"),
    ("round_down(x, ['5', '10'])", 4, "5"),
    ("number(x)", " 12.50 ", 12.5),
    ("number(x)", "12.00", 12),
    ("number(x)", "5s", 5),
    ("number(x)", "-3 %", -3),
    ("number(x)", 5.0, 5),
    ("number(x)", "1280x720", None),
    ("number(x)", True, None),
    ("number(x)", None, None),
    ("number(x)", [1], None),
    ("integer(x)", "-12.7", -12),
    ("clamp(x, `1`, `4`)", 0, 1),
    ("clamp(x, `1`, `4`)", None, None),
    ("add(x, `0.5`)", 1, 1.5),
    ("sub(x, `1`)", None, None),
    ("mul(x, `3`)", 2, 6),
    ("div(x, `2`)", 4, 2),
    ("div(x, `2`)", 5, 2.5),
    ("div(x, `0`)", 5, None),
    ("div(x, `-2`)", 6, -3),
    ("unix(x)", 1735787045678, 1735787045),
    ("unix(x)", 1735787045.9, 1735787045),
    ("unix(x)", "1735787045678", 1735787045),
    ("unix(x)", "2025-01-02T03:04:05Z", 1735787045),
    ("unix(x)", "2025-01-02T03:04:05.999Z", 1735787045),
    ("unix(x)", "2025-01-02 03:04:05", 1735787045),
    ("unix(x)", "2025-01-02T11:04:05+08:00", 1735787045),
    ("unix(x)", "yesterday", None),
    ("unix(x)", True, None),
    ("unix(x)", None, None),
    ("iso(x)", 0, "1970-01-01T00:00:00Z"),
    ("iso(x)", -1, "1969-12-31T23:59:59Z"),
    ("width(x)", "1280×720", 1280),
    ("height(x)", "16:9", 9),
    ("height(x)", " 1024 X 768 ", 768),
    ("width(x)", "auto", None),
    ("width(x)", None, None),
    ("ratio(x)", "1024*1024", "1:1"),
    ("ratio(x)", "0x9", None),
    ("split(x, ',')", "", [""]),
    ("split(x, ',')", None, None),
    ("replace(x, 'a', '')", "banana", "bnn"),
    ("trim(x, '/')", "/a/", "a"),
    ("substring(x, `-3`)", "abcdef", "def"),
    ("substring(x, `1`, `-1`)", "视频生成", "频生"),
    ("json(x)", '{"a": [1, 2.5]}', {"a": [1, 2.5]}),
    ("json(x)", "{a}", None),
    ("json(x)", "NaN", None),
    ("json(x)", "", None),
    ("base64(x)", "é", "w6k="),
    ("unbase64(x)", "w6k", "é"),
    ("unbase64(x)", "_w", None),
    ("unbase64(x)", "!", None),
    ("hex_to_base64(x)", "FFfb", "//s="),
    ("hex_to_base64(x)", "xyz", None),
    ("data_uri('image/png', x)", None, None),
    ("from_data_uri(x)", "data:audio/wav;codecs=1;BASE64,QQ==", {"media_type": "audio/wav;codecs=1", "data": "QQ=="}),
    ("from_data_uri(x)", "data:,A%20B", {"media_type": "text/plain", "data": "QSBC"}),
    ("from_data_uri(x)", "https://example.com/a,b", None),
    ("is_url(x)", "HTTP://example.com", True),
    ("is_url(x)", "http://", False),
    ("is_url(x)", "http://a b", False),
    ("is_url(x)", "data:image/png;base64,QQ==", False),
    ("is_url(x)", None, False),
    ("first_url(x)", "视频：https://example.com/v(1).mp4?a=b&c=%20。下载", "https://example.com/v(1).mp4?a=b&c=%20"),
    ("first_url(x)", '<a href="https://example.com/x">', "https://example.com/x"),
    ("first_url(x)", "(see https://example.com/x).", "https://example.com/x"),
    ("first_url(x)", "https://", None),
    ("first_url(x)", "none here", None),
    ("omit_nulls(x)", {"a": None, "b": {"c": None}, "d": 0}, {"b": {"c": None}, "d": 0}),
    ("object(entries(x))", {"a": 1, "b": None}, {"a": 1, "b": None}),
    ("object(x)", [{"key": 1, "value": "one"}, {"key": "b"}], {"1": "one", "b": None}),
    (
        "unique(x)",
        [1, True, 1.0, "1", [1], [True], [1], {"a": 0}, {"a": False}],
        [1, True, "1", [1], [True], {"a": 0}, {"a": False}],
    ),
    ("to_string(x)", {"a": "é"}, '{"a":"é"}'),
    ("to_number(x)", "1_0", None),
    ("to_number(x)", "NaN", None),
    ("contains('a1', x)", 1, False),
    ("sort_by(x, &a)[*].b", [{"a": 1, "b": 1}, {"a": 0, "b": 2}, {"a": 1, "b": 3}], [2, 1, 3]),
    ("max_by(x, &a).b", [{"a": 1, "b": 1}, {"a": 1, "b": 2}], 1),
]


@pytest.mark.parametrize(("text", "given", "expected"), CASES)
def test_a_function_gives(text: str, given: Any, expected: Any) -> None:
    got = value(text, given)
    assert json_equal(got, expected), got
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("length(x)", 5, r"length\(\) takes string\|array\|object as `value`, not number"),
        ("sum(x)", [1, True], r"not an array of boolean, number"),
        ("max(x)", [1, "a"], r"not an array of number, string"),
        ("sort_by(x, &a)", [{"a": 1}, {"a": "b"}], r"all numbers or all strings"),
        ("min_by(x, &a)", [{}], r"all numbers or all strings as keys, not null"),
        ("lookup('codes', x)", {}, r"not object"),
        ("split(x, '')", "a", r"separator of at least one character"),
        ("replace(x, '', 'b')", "a", r"at least one character"),
        ("substring(x, `0.5`)", "a", r"whole numbers"),
        ("data_uri(x, 'QQ==')", "image", r"media type like image/png"),
        ("object(x)", [{"value": 1}], r"list of objects with a text as `key`"),
        ("iso(x)", 1e18, r"years 1 to 9999"),
        ("base64(x)", "\ud800", r"half a surrogate pair"),
        ("mul(x, x)", 10**12, r"more than 64 bits"),
        ("mul(x, x)", 1e200, r"too large for a number"),
        ("integer(x)", "9" * 25, r"more than 64 bits"),
        ("json(x)", "[" * 129 + "]" * 129, r"nested deeper than 128 levels"),
        ("json(x)", " " * (MAX_TEXT + 1), r"the most is 1,048,576"),
        ("join(x, [x, x])", "a" * 400_000, r"the most is 1,048,576"),
        ("replace(x, 'a', 'aa')", "a" * 600_000, r"the most is 1,048,576"),
        ("split(x, ',')", "," * MAX_ITEMS, r"the most is 10,000"),
        ("to_string(x)", ["a" * 600_000] * 2, r"more than 1,048,576"),
        ("to_string(x)", [None] * 600_000, r"more than 1,048,576"),
    ],
)
def test_o07_a_value_it_cannot_use_or_a_bound_exceeded_is_a_clear_error(text: str, given: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        value(text, given)


def test_megabytes_pass_the_conversions_of_media() -> None:
    octets = bytes(range(256)) * 8192
    assert value("hex_to_base64(x)", octets.hex()) == base64.b64encode(octets).decode()
    text = base64.b64encode(octets).decode()
    uri = value("data_uri('audio/wav', x)", text)
    assert value("from_data_uri(x)", uri) == {"media_type": "audio/wav", "data": text}


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("first_url(x)", "http://a" + ")" * 200_000, "http://a"),
        ("is_url(x)", "http://" + "a" * 200_000 + " ", False),
        ("number(x)", "1" + " " * 200_000 + "!", None),
        ("width(x)", " " * 200_000, None),
        ("nearest(x, [`1`])", " " * 200_000, None),
        ("unix(x)", "9" * 200_000, None),
        ("to_number(x)", "9" * 200_000, None),
    ],
)
def test_o07_hostile_text_costs_no_more_than_its_length(text: str, given: str, expected: Any) -> None:
    assert value(text, given) == expected  # a search that goes back and forth would need minutes


def test_functions_leave_what_they_are_given_as_it_was() -> None:
    given = [{"key": "a", "value": [2, 1]}, {"key": "b", "value": None}]
    before = json.dumps(given)
    for text in (
        "object(x)",
        "unique(x)",
        "reverse(x)",
        "sort_by(x, &key)",
        "sort(x[0].value)",
        "merge(x[0], x[1])",
        "omit_nulls(x[1])",
    ):
        value(text, given)
        assert json.dumps(given) == before, text
