"""Properties: the compiled expression agrees with the library's interpreter, and nothing hostile gets another error than ours.

The library takes `true` for 1 inside lists and objects, orders texts, and lets Python's own errors out; the generated expressions
and documents stay clear of these, where we follow the standard and it does not. `test_compile` has those cases by hand.
"""

import contextlib
from typing import Any

import jmespath
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.expressions.compile import EvaluationError, Expression, ExpressionError, compile_expression
from translators.expressions.functions import EXAMPLE_TABLES, FUNCTIONS, STANDARD, Function

NAMES = st.sampled_from("abc")
SCALARS = st.none() | st.booleans() | st.integers(2, 9) | st.sampled_from([-3, 0.5, 2.5, "", "a", "b", "ab", "7"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=16
) | st.dictionaries(NAMES, st.lists(st.dictionaries(NAMES, SCALARS), max_size=4), max_size=3)

LITERALS = st.sampled_from(["`null`", "`true`", "`false`", "`5`", "`2.5`", "'a'", "'ab'", "`[2, 3]`", '`{"a": 7}`', "`[]`"])
STEPS = st.sampled_from([".a", ".b", "[0]", "[-1]", "[5]", "[1:]", "[::-1].b", "[:2].[a, b]", ".{a: b, c: c}"])
PROJECTIONS = st.sampled_from(["[*]", "[*].a", ".*", ".*.b", "[]", "[].a"])
FILTERS = st.sampled_from(["[?a]", "[?a == 'a'].b", "[?!b]", "[?to_number(a) > `2`]", "[?b != a].c"])
SUFFIXES = STEPS | PROJECTIONS | FILTERS
PATHS = st.builds(lambda start, suffixes: start + "".join(suffixes), NAMES | st.just("@"), st.lists(SUFFIXES, max_size=4))
SIMPLE = PATHS | LITERALS
OF_ANY = st.sampled_from(["type", "to_array", "not_null", "to_string", "to_number", "length", "reverse", "keys", "values", "merge"])
OF_NUMBERS = st.sampled_from(["sort", "max", "min", "avg", "sum", "abs", "ceil", "floor"])
ONE = OF_ANY | OF_NUMBERS
BY = st.sampled_from(["sort_by", "max_by", "min_by"])


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """`| @` behind an argument keeps it from being a literal, whose type would be checked before the library would."""
    return st.one_of(
        st.builds("({}){}".format, inner, SUFFIXES),
        st.builds("({} || {})".format, inner, inner),
        st.builds("({} && {})".format, inner, inner),
        st.builds("(!{})".format, inner),
        st.builds("({} == {})".format, SIMPLE, SIMPLE),
        st.builds("({} != {})".format, SIMPLE, SIMPLE),
        st.builds("(to_number({}) <= `{}`)".format, inner, st.integers(2, 9)),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{a: {}, b: {}}}".format, inner, inner),
        st.builds("({} | {})".format, inner, inner),
        st.builds("{}({} | @)".format, ONE, inner),
        st.builds("{}({} | @, &{})".format, BY, inner, PATHS),
        st.builds("map(&{}, {} | @)".format, inner, inner),
        st.builds("contains(to_array({} | @), {})".format, SIMPLE, SIMPLE),
        st.builds("join('-', {} | @)".format, inner),
    )


EXPRESSIONS = st.recursive(SIMPLE, larger, max_leaves=6)


def attempt(evaluate: Any, document: Any, errors: type[Exception] | tuple[type[Exception], ...]) -> str:
    try:
        return repr(evaluate(document))
    except errors:
        return "an error"


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, DOCUMENTS)
def test_a_compiled_expression_gives_what_the_library_gives(text: str, document: Any) -> None:
    ours = compile_expression(text, names=None, functions=STANDARD).evaluate
    theirs = jmespath.compile(text).search
    assert attempt(ours, document, EvaluationError) == attempt(theirs, document, Exception)


CHARACTERS = st.sampled_from("()[]{}.*@&|!<=,:09`'\"\\ \x00é")
WORDS = st.sampled_from(["a", "body", "keys", "sort_by", "if", "now", "[?", "[]", "&&", "||", "==", "-1", "`1`", "'x'", '"a"'])
TOKENS = st.lists(CHARACTERS | WORDS, max_size=12).map("".join)


def refusal(text: str, names: set[str] | None, document: Any) -> ExpressionError | None:
    """The error that compiling gives; else the expression runs, and may fail only as expressions may."""
    try:
        expression = compile_expression(text, names=names, functions=FUNCTIONS)
    except ExpressionError as error:
        return error
    with contextlib.suppress(EvaluationError):
        expression.evaluate({"body": document, "a": document} if names else document)
    return None


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | TOKENS, DOCUMENTS)
def test_hostile_text_gets_no_other_error_than_ours(text: str, document: Any) -> None:
    for names in (None, {"body", "a"}):
        error = refusal(text, names, document)
        assert error is None or (error.message and 1 <= error.column <= len(text) + 1)


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=12)  # with halves of surrogate pairs
    | st.sampled_from(["1e400", "9" * 40, "data:,%ff", "\ud800", "12:34", "0001-01-01", "9999-12-31T23:59:59-23:59"])
    | st.sampled_from(["[" * 900, "[" * 400 + "]" * 400, "a" * 99, "http://(", "-" * 30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "a"]), inner, max_size=3),
    max_leaves=6,
)


def call_of(function: Function, count: int) -> Expression:
    arguments = ["&a" if parameter.is_expression else f"body.{'xyz'[place]}" for place, parameter in enumerate(function.parameters)]
    return compile_expression(f"{function.name}({', '.join(arguments[:count])})", names={"body"}, functions=FUNCTIONS)


CALLS = [
    call_of(function, count)
    for name, function in FUNCTIONS.items()
    if name not in ("lookup", "now", "uuid")
    for count in {function.fewest, len(function.parameters)}
]


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE, min_size=3, max_size=3))
def test_no_function_raises_anything_but_an_evaluation_error(values: list[Any]) -> None:
    scope = {"body": dict(zip("xyz", values, strict=True))}
    for expression in CALLS:
        with contextlib.suppress(EvaluationError):
            expression.evaluate(scope)


@settings(max_examples=60, deadline=None)
@given(HOSTILE)
def test_a_key_of_any_kind_is_looked_up_or_refused(key: Any) -> None:
    expression = compile_expression("lookup('status', key, 'none')", names={"key"}, functions=FUNCTIONS, tables=EXAMPLE_TABLES)
    if isinstance(key, list | dict):
        assert attempt(expression.evaluate, {"key": key}, EvaluationError) == "an error"
    else:
        assert expression.evaluate({"key": key}) in (None, "none", 401, 404)
