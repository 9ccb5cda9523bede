"""The 26 functions that JMESPath fixes."""

import json as json_codec
import math
import re
from collections.abc import Mapping
from typing import Any

from translators.expressions.signature import (
    LARGEST,
    MAX_TEXT,
    NUMBERS,
    SMALLEST,
    EvaluationError,
    Evaluator,
    Function,
    bounded_number,
    check_size,
    json_equal,
    kind_of,
)


def _average(numbers: list[float]) -> float | None:
    return _total(numbers) / len(numbers) if numbers else None


def _total(numbers: list[float]) -> int | float:
    try:
        return bounded_number(sum(numbers))
    except OverflowError:
        raise EvaluationError("the result is too large for a number") from None


def _ceil(value: float) -> int | float:
    return bounded_number(math.ceil(value))


def _floor(value: float) -> int | float:
    return bounded_number(math.floor(value))


def _contains(subject: list[Any] | str, search: Any) -> bool:
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    return any(json_equal(element, search) for element in subject)


def _join(glue: str, texts: list[str]) -> str:
    size = sum(map(len, texts)) + len(glue) * max(len(texts) - 1, 0)
    if size > MAX_TEXT:
        raise EvaluationError(f"join() would make a text of {size:,} characters; the most is {MAX_TEXT:,}")
    return glue.join(texts)


def _keyed(function: str, expression: Evaluator, elements: list[Any]) -> list[tuple[Any, int]]:
    """The keys of the elements with their places, so that no two compare equal and equal keys keep their order."""
    keys = [expression(element) for element in elements]
    kinds = {kind_of(key) for key in keys}
    if len(kinds) > 1 or not kinds <= {"number", "string"}:
        raise EvaluationError(f"{function}() needs all numbers or all strings as keys, not {', '.join(sorted(kinds))}")
    return list(zip(keys, range(len(keys)), strict=True))


def _sort_by(elements: list[Any], expression: Evaluator) -> list[Any]:
    return [elements[place] for _, place in sorted(_keyed("sort_by", expression, elements))]


def _max_by(elements: list[Any], expression: Evaluator) -> Any:
    return elements[max(_keyed("max_by", expression, elements), key=lambda pair: pair[0])[1]] if elements else None


def _min_by(elements: list[Any], expression: Evaluator) -> Any:
    return elements[min(_keyed("min_by", expression, elements))[1]] if elements else None


def _merge(*objects: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for members in objects:
        merged.update(members)
    return merged


_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")


def to_number(value: Any) -> int | float | None:
    if not isinstance(value, str):
        return value if type(value) in NUMBERS else None
    match = _JSON_NUMBER.fullmatch(value)
    if match is None:
        return None
    if match[1] is None and match[2] is None and SMALLEST <= (integer := int(value)) <= LARGEST:
        return integer
    return result if math.isfinite(result := float(value)) else None


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    check_size(value, "to_string")
    try:
        return json_codec.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=dict)
    except (TypeError, ValueError):
        raise EvaluationError("to_string() takes a JSON value") from None


STANDARD_FUNCTIONS = (
    Function("abs(value: number) -> number", "The number without its sign.", "abs(`-3`)", 3, abs),
    Function("avg(list: array[number]) -> number|null", "The mean; null for an empty list.", "avg([`1`, `2`])", 1.5, _average),
    Function("ceil(value: number) -> number", "Rounded up.", "ceil(`1.2`)", 2, _ceil),
    Function(
        "contains(subject: array|string, search: any) -> boolean",
        "Whether it is in the list or text.",
        "contains('abc', 'b')",
        True,
        _contains,
    ),
    Function(
        "ends_with(text: string, suffix: string) -> boolean",
        "Whether the text ends so.",
        "ends_with('a.png', '.png')",
        True,
        str.endswith,
    ),
    Function("floor(value: number) -> number", "Rounded down.", "floor(`1.8`)", 1, _floor),
    Function(
        "join(glue: string, list: array[string]) -> string",
        "The texts of the list with the glue between them.",
        "join('-', ['a', 'b'])",
        "a-b",
        _join,
    ),
    Function("keys(value: object) -> array", "The names of the members.", 'keys(`{"a": 1, "b": 2}`)', ["a", "b"], list),
    Function("length(value: string|array|object) -> number", "How many characters, elements or members.", "length('abc')", 3, len),
    Function(
        "map(each: expression, list: array) -> array",
        "The expression of each element, nulls kept.",
        'map(&a, `[{"a": 1}, {}]`)',
        [1, None],
        lambda each, elements: [each(element) for element in elements],
    ),
    Function(
        "max(list: array[number]|array[string]) -> any",
        "The largest; null for an empty list.",
        "max([`1`, `3`])",
        3,
        lambda elements: max(elements, default=None),
    ),
    Function(
        "max_by(list: array, each: expression) -> any",
        "The element with the largest key.",
        'max_by(`[{"a": 1}, {"a": 2}]`, &a)',
        {"a": 2},
        _max_by,
    ),
    Function(
        "merge(objects...: object) -> object", "One object; later members win.", 'merge(`{"a": 1}`, `{"a": 2}`)', {"a": 2}, _merge
    ),
    Function(
        "min(list: array[number]|array[string]) -> any",
        "The smallest; null for an empty list.",
        "min([`1`, `3`])",
        1,
        lambda elements: min(elements, default=None),
    ),
    Function(
        "min_by(list: array, each: expression) -> any",
        "The element with the smallest key.",
        'min_by(`[{"a": 1}, {"a": 2}]`, &a)',
        {"a": 1},
        _min_by,
    ),
    Function(
        "not_null(values...: any) -> any",
        "The first that is not null.",
        "not_null(`null`, 'a', 'b')",
        "a",
        lambda *values: next((value for value in values if value is not None), None),
    ),
    Function("reverse(value: array|string) -> any", "Back to front.", "reverse('abc')", "cba", lambda value: value[::-1]),
    Function("sort(list: array[string]|array[number]) -> array", "In ascending order.", "sort([`2`, `1`])", [1, 2], sorted),
    Function(
        "sort_by(list: array, each: expression) -> array",
        "In ascending order of the key.",
        'sort_by(`[{"a": 2}, {"a": 1}]`, &a)',
        [{"a": 1}, {"a": 2}],
        _sort_by,
    ),
    Function(
        "starts_with(text: string, prefix: string) -> boolean",
        "Whether the text starts so.",
        "starts_with('abc', 'a')",
        True,
        str.startswith,
    ),
    Function("sum(list: array[number]) -> number", "The sum; 0 for an empty list.", "sum([`1`, `2`])", 3, _total),
    Function(
        "to_array(value: any) -> array",
        "A list with this one element; a list stays.",
        "to_array('a')",
        ["a"],
        lambda value: value if isinstance(value, list) else [value],
    ),
    Function(
        "to_number(value: any) -> number|null",
        "The number that a text spells in JSON, else null.",
        "to_number('1.5')",
        1.5,
        to_number,
    ),
    Function(
        "to_string(value: any) -> string", "The JSON text of what is no text.", "to_string([`1`, 'a'])", '[1,"a"]', _to_string
    ),
    Function("type(value: any) -> string", "The name of the type.", "type(`null`)", "null", kind_of),
    Function(
        "values(value: object) -> array",
        "The values of the members.",
        'values(`{"a": 1, "b": 2}`)',
        [1, 2],
        lambda value: list(value.values()),
    ),
)
