"""Compiling: names and their columns, what of the body is read, bounds, and where the standard and the library differ."""

from typing import Any

import pytest
from multidict import CIMultiDict

from translators.expressions.compile import EvaluationError, Expression, ExpressionError, compile_expression
from translators.expressions.functions import EXAMPLE_TABLES, FUNCTIONS

NAMES = {"body", "model", "refs", "header", "status"}


def compiled(text: str) -> Expression:
    return compile_expression(text, names=NAMES, functions=FUNCTIONS, tables=EXAMPLE_TABLES)


def value(text: str, **scope: Any) -> Any:
    return compiled(text).evaluate(scope)


def refused(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        compiled(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("body.prompt", {"body"}),
        ("body.a || model", {"body", "model"}),
        ("{a: body.x, b: [status, refs[0]]}", {"body", "status", "refs"}),
        ("body.items[?kind == model].name", {"body"}),
        ("sort_by(refs, &body)", {"refs"}),
        ("body | model", {"body"}),
        ("body.[model, status]", {"body"}),
        ("if(!refs, 'a', model)", {"refs", "model"}),
        ("sub(now(), body.x)", {"body", "now"}),
        ("`1`", set()),
    ],
)
def test_only_names_read_from_the_scope_are_its_names(text: str, names: set[str]) -> None:
    assert compiled(text).names == names


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("body.prompt", {"prompt"}),
        ("body.messages[0].content", {"messages"}),
        ("body.a.body.b", {"a"}),
        ("body.{a: x, b: y.z}", {"x", "y"}),
        ("body.[x, length(y)]", {"x", "y"}),
        ("body | x", {"x"}),
        ("body | @ | x", {"x"}),
        ("(body).x", {"x"}),
        ("body.x == body.y && body.z", {"x", "y", "z"}),
        ("lookup('ratio', body.size)", {"size"}),
        ("body.length(x)", {"x"}),
        ("model", set()),
        ("refs[*].body", set()),
        ("body", None),
        ("body.*", None),
        ("body | @", None),
        ("keys(body)", None),
        ("body.length(@)", None),
        ("[body, body.x]", None),
        ("(body || model).x", None),
        ("body == `null`", None),
        ("body[0]", set()),
        ("body[*].x", None),
    ],
)
def test_the_keys_of_the_body_that_an_expression_reads_are_known(text: str, keys: set[str] | None) -> None:
    assert compiled(text).body_keys == keys


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("bdy.x", 1, "`bdy` is not known here", "Did you mean `body`? known: body, header"),
        ("body.x || modle", 11, "`modle` is not known here", "Did you mean `model`?"),
        ("refs[?zzz].a && zzz", 17, "`zzz` is not known here", "known: body"),
        ("@", 1, "starts with a name", "known: body"),
        ("body.x || @.y", 11, "starts with a name", "known: body"),
        ("*", 1, "starts with a name", "known: body"),
        ("[0]", 1, "starts with a name", "known: body"),
        ("[?a]", 1, "starts with a name", "known: body"),
        ("[]", 1, "starts with a name", "known: body"),
        ("body.x && lenght(body.x)", 11, "no function `lenght()`", "Did you mean `length`?"),
        ("length(body.x, body.y)", 1, "takes 1 arguments, not 2", "length(value:"),
        ("substring('a')", 1, "takes 2 to 3 arguments, not 1", "substring("),
        ("not_null()", 1, "takes 1 or more arguments, not 0", "not_null("),
        ("abs('x')", 1, "takes number as `value`, not string", "abs("),
        ("sort_by(refs, a)", 1, "write & before it", "sort_by("),
        ("length(&a)", 1, "takes no expression", "length("),
        ("lookup('rato', model)", 1, "no table `rato`", "Did you mean `ratio`?"),
        ("lookup(model, model)", 1, "table in single quotes", "lookup("),
        ("refs[*].now()", 9, "cannot stand inside", "at the start"),
        ("body.code == 0", 14, "goes wrong at `0`", "in backticks: `0`"),
        ("body.a = 'x'", 8, "`=` means nothing here", "written =="),
        ("body.a + 'x'", 8, "`+` means nothing here", "add()"),
        ("header.x-name", 9, "`-` means nothing here", "hyphen stands in double quotes"),
        ("status || !body.stream", 12, "`!` takes only the name behind it", "write !(a.b)"),
        ("body.", 6, "ends before it is complete", None),
        ("", 1, "is empty", None),
        ("body.'x", 6, "opened and not closed", None),
        ("model == `gpt`", 10, "no JSON", "single quotes"),
        ("contains(refs 'a')", 1, "a comma is missing", None),
        ("contains(refs, 'a',)", 19, "a comma stands where nothing follows", None),
        ("`NaN`", 1, "a number that JSON does not carry", None),
        ("`[1e999]`", 1, "a number that JSON does not carry", None),
        ("refs[::0]", 1, "step of a slice cannot be 0", None),
        ("&model", 1, "`&` stands only before an argument", None),
    ],
)
def test_what_is_wrong_is_said_with_its_column_and_what_to_do(text: str, column: int, message: str, hint: str | None) -> None:
    error = refused(text)
    assert (error.column, message in error.message) == (column, True), error.message
    assert hint in error.hint if hint and error.hint else error.hint is hint


@pytest.mark.parametrize(
    "text",
    [
        "body." + "a" * 4096,
        " | ".join(["body"] * 80),
        "(" * 2000 + "body" + ")" * 2000,
        "!" * 100 + "body",
        "`" + "[" * 80 + "]" * 80 + "`",
        "`" + "[" * 2000 + "]" * 2000 + "`",
        "body" + " | [@, @]" * 20,
        "body.x" + ".[@, @][]" * 12,
    ],
    ids=["long", "pipes", "parentheses", "not", "literal", "deep literal", "copies of copies", "flattened copies"],
)
def test_o07_an_expression_beyond_the_bounds_is_refused(text: str) -> None:
    assert "the most is" in refused(text).message or "nested deeper" in refused(text).message


def test_a_value_passes_unchanged_however_large_it_is() -> None:
    image = "A" * (20 << 20)
    assert value("body.image", body={"image": image}) is image
    assert value("body.{image: image}", body={"image": image})["image"] is image
    assert value("body.missing || body.image", body={"image": image}) is image


def test_truth_and_falsehood_are_no_numbers_at_any_depth() -> None:
    assert value("body.a == `1`", body={"a": True}) is False
    assert value("body.a != `0`", body={"a": False}) is True
    assert value("body.a == `true`", body={"a": 1}) is False
    assert value("body.a == body.b", body={"a": [True, {"x": 0}], "b": [1, {"x": False}]}) is False
    assert value("body.a == body.b", body={"a": [1, {"x": 0}], "b": [1.0, {"x": 0}]}) is True
    assert value("body.a == `[1]`", body={"a": [True]}) is False
    assert value("contains(body.a, `true`)", body={"a": [1]}) is False


def test_only_numbers_have_an_order() -> None:
    assert value("body.a < 'b'", body={"a": "a"}) is None
    assert value("body.a < `5`", body={"a": "a"}) is None
    assert value("body.a < `5`", body={"a": True}) is None
    assert value("body.a < `5`", body={"a": 4.5}) is True


def test_every_number_is_true_and_what_is_empty_is_false() -> None:
    assert value("body.zero && 'yes'", body={"zero": 0}) == "yes"
    assert value("!(body.zero)", body={"zero": 0.0}) is False
    for empty in ("", [], {}, None, False):
        assert value("body.x && 'yes' || 'no'", body={"x": empty}) == "no"


def test_any_mapping_is_an_object() -> None:
    header = CIMultiDict({"Content-Type": "text/plain"})
    assert value('header."content-type"', header=header) == "text/plain"
    assert value("keys(header)", header=header) == ["Content-Type"]


def test_a_name_that_the_scope_does_not_hold_is_null() -> None:
    assert value("body.x.y") is None
    assert value("[model, refs[0], refs[*].a]") == [None, None, None]


def test_only_the_branch_that_is_chosen_is_evaluated() -> None:
    assert value("if(model, 'a', abs(model))", model="x") == "a"
    with pytest.raises(EvaluationError, match=r"abs\(\) takes number as `value`, not null"):
        value("if(model, 'a', abs(model))")


def test_impure_functions_ask_the_scope_each_time() -> None:
    ticks = iter([5, 6])
    expression = compiled("add(now(), `1`)")
    assert [expression.evaluate({"now": lambda: next(ticks)}) for _ in "ab"] == [6, 7]
    assert value("uuid()", uuid="u-1") == "u-1"
    with pytest.raises(EvaluationError, match=r"now\(\) has no value here"):
        value("now()")


def test_a_compiled_expression_is_not_changed_by_a_later_one_of_the_same_text() -> None:
    first = compiled("body.a")
    with pytest.raises(ExpressionError):
        compile_expression("body.a", names={"model"}, functions=FUNCTIONS)
    assert first.evaluate({"body": {"a": 1}}) == 1
