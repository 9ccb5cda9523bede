"""Expressions of rule files: JMESPath text in, one Python closure out.

The grammar is the published one, and the `jmespath` library parses it; its interpreter is not used. A closure takes the value at
hand and gives the value of its part of the expression, so that evaluating costs a few calls and no look at the syntax tree.

While compiling, the compiler knows of each part whether the value at hand is the scope (`Place.SCOPE`), the message itself
(`Place.BODY`, the value of the scope's `body`) or something inside (`Place.INSIDE`). From this it finds names that do not exist,
and which keys of the body an expression reads. What can be found wrong without a value is an ExpressionError with its column.

Bounds: text of `MAX_LENGTH` characters, syntax of `MAX_DEPTH` levels, and `MAX_COPIES` copies of one value in a result (copies of
copies would grow without end). Values that a function makes are bounded in `functions`. Results may share parts with the scope and
with the expression's own literals: who gets one must not change it.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from operator import ge, gt, le, lt
from typing import Any

from translators.expressions.signature import (
    NUMBERS,
    EvaluationError,
    Evaluator,
    Function,
    Functions,
    JsonValue,
    Parameter,
    json_equal,
    key_text,
)
from translators.expressions.syntax import (
    QUOTED,
    ExpressionError,
    Node,
    calls,
    check_bounds,
    check_commas,
    children,
    columns_of,
    parse,
)
from translators.problems import quote, suggest, suggest_or_list

__all__ = ["EvaluationError", "Expression", "ExpressionError", "JsonValue", "compile_expression", "is_true"]

MAX_COPIES = 256


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `body_keys`: top-level keys of `body` that it reads, None when it needs the whole of it.

    `member`: it is this member of `body` and nothing else (None: it is more than that), so that a template need not call it.
    """

    text: str
    names: frozenset[str]
    body_keys: frozenset[str] | None
    evaluate: Callable[[Mapping[str, Any]], Any]
    member: str | None = None


class Place(Enum):
    """What the value at hand is."""

    SCOPE = "scope"
    BODY = "body"
    INSIDE = "inside"


def compile_expression(
    text: str,
    *,
    names: Collection[str] | None,
    functions: Functions,
    tables: Mapping[str, Mapping[str, Any]] = {},
) -> Expression:
    """Compiles one expression. Raises ExpressionError.

    `names` may stand at its root (None: any JSON value is the scope); `tables` are those that lookup() knows.
    """
    node, tokens = parse(text)
    check_bounds(node)
    check_commas(node, tokens)
    compiler = _Compiler(text, names, functions, tables, columns_of(node, tokens))
    if (copies := compiler.copies(node)) > MAX_COPIES:
        raise ExpressionError(f"the result could hold {copies:,} copies of one value; the most is {MAX_COPIES}")
    evaluate = _guarded(text, compiler.value(node, Place.SCOPE)) if calls(node) else compiler.value(node, Place.SCOPE)
    body_keys = None if compiler.whole_body else frozenset(compiler.body_keys)
    return Expression(text, frozenset(compiler.read), body_keys, evaluate, _member_of_body(node) if names is not None else None)


def _member_of_body(node: Node) -> str | None:
    kinds = [child["type"] for child in children(node)]
    if node["type"] != "subexpression" or kinds != ["field", "field"] or node["children"][0]["value"] != "body":
        return None
    name: str = node["children"][1]["value"]
    return name


def is_true(value: Any) -> bool:
    """JMESPath's truth: null, false and what is empty are false, every number is true."""
    return bool(value) or type(value) in NUMBERS


# Closures


class _Compiler:
    """Turns nodes into closures and notes what they read. One instance compiles one expression."""

    def __init__(
        self,
        text: str,
        names: Collection[str] | None,
        functions: Functions,
        tables: Mapping[str, Mapping[str, Any]],
        columns: Mapping[int, int],
    ) -> None:
        self.text = text
        self.names = names
        self.functions = functions
        self.tables = tables
        self.columns = columns
        self.read: set[str] = set()
        self.body_keys: set[str] = set()
        self.whole_body = False

    def value(self, node: Node, place: Place) -> Evaluator:
        """The closure of a node whose value is used as it is."""
        evaluate = self.step(node, place)
        if self.after(node, place) is Place.BODY:
            self.whole_body = True
        return evaluate

    def step(self, node: Node, place: Place) -> Evaluator:
        """The closure of a node of whose value only what follows is used."""
        compiled: Evaluator = getattr(self, f"_{node['type']}")(node, place)
        return compiled

    def after(self, node: Node, place: Place) -> Place:
        """What the value of a node is."""
        kind = node["type"]
        if kind in ("identity", "current"):
            return place
        if kind == "field":
            return Place.BODY if place is Place.SCOPE and node["value"] == "body" else Place.INSIDE
        if kind in ("pipe", "subexpression", "index_expression"):
            for child in node["children"]:
                place = self.after(child, place)
            return place
        return Place.INSIDE

    def copies(self, node: Node) -> int:
        """How often one value that the node reads can stand in its result, at most."""
        kind = node["type"]
        counts = [self.copies(child) for child in children(node)]
        if kind in ("comparator", "not_expression", "field", "literal"):
            return 1
        if kind in ("multi_select_list", "multi_select_dict"):
            return max(sum(counts), 1)
        if kind in ("or_expression", "and_expression"):
            return max(counts)
        if kind == "filter_projection":
            return counts[0] * counts[2]
        if kind == "function_expression" and not any(child["type"] == "expref" for child in node["children"]):
            return max(sum(counts), 1)
        return math.prod(counts)

    def error(self, node: Node, message: str, hint: str | None = None) -> ExpressionError:
        return ExpressionError(message, self.columns.get(id(node), 1), hint)

    # Paths

    def _field(self, node: Node, place: Place) -> Evaluator:
        return _path([self._key(node, place)], is_scope=self._is_mapping(place))

    def _key(self, node: Node, place: Place) -> str:
        name: str = node["value"]
        if place is Place.SCOPE:
            if self.names is not None and name not in self.names:
                raise self.error(node, f"{quote(name)} is not known here", self._instead(node, name, self.names))
            self.read.add(name)
        elif place is Place.BODY:
            self.body_keys.add(name)
        return name

    def _instead(self, node: Node, name: str, names: Collection[str]) -> str:
        if name in ("null", "true", "false"):
            return f"a value of JSON stands in backticks: `{name}`"
        if self.text[self.columns.get(id(node), 1) - 1 :].startswith('"'):
            return f"{QUOTED}: '{name}'"
        known = f"known: {', '.join(sorted(names))}"
        near = suggest(name, names)
        return f"{near} {known}" if near else known

    def _is_mapping(self, place: Place) -> bool:
        return place is Place.SCOPE and self.names is not None

    def _identity(self, node: Node, place: Place) -> Evaluator:
        if self._is_mapping(place):
            raise self.error(
                node,
                "an expression starts with a name; the scope itself is no value",
                f"known: {', '.join(sorted(self.names or ()))}",
            )
        return _same

    _current = _identity

    def _subexpression(self, node: Node, place: Place) -> Evaluator:
        """A run of steps, each on the value of the one before; neighbouring names and indices become one walk."""
        if self.names is not None and node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression":
            inner = node["children"][0]["children"][0]  # the grammar is so, and nobody who writes it means it: the result is null
            raise self.error(inner, "`!` takes only the name behind it, not the whole path", "write !(a.b) for !a.b")
        is_scope = self._is_mapping(place)
        steps: list[Evaluator] = []
        keys: list[str | int] = []
        for child, at in self._chain(node, place):
            if child["type"] == "field":
                keys.append(self._key(child, at))
            elif child["type"] == "index":
                keys.append(child["value"])
            else:
                if keys:
                    steps.append(_path(keys, is_scope=is_scope and not steps))
                    keys = []
                if child["type"] != "identity":
                    steps.append(self.step(child, at))
                elif self._is_mapping(at):
                    self._identity(child, at)
        if keys:
            steps.append(_path(keys, is_scope=is_scope and not steps))
        return _sequence(steps)

    _index_expression = _pipe = _subexpression

    def _chain(self, node: Node, place: Place) -> Iterator[tuple[Node, Place]]:
        for child in node["children"]:
            if child["type"] in ("subexpression", "index_expression", "pipe"):
                yield from self._chain(child, place)
            else:
                yield child, place
            place = self.after(child, place)

    def _index(self, node: Node, _place: Place) -> Evaluator:
        return _path([node["value"]], is_scope=False)

    def _slice(self, node: Node, _place: Place) -> Evaluator:
        part = slice(*node["children"])
        return lambda value: value[part] if isinstance(value, list) else None

    # Projections

    def _projection(self, node: Node, place: Place) -> Evaluator:
        left, right = node["children"]
        source, each = self.value(left, place), self.step(right, Place.INSIDE)
        if each is _same:
            return _elements(source)

        def project(value: Any) -> Any:
            base = source(value)
            return [result for element in base if (result := each(element)) is not None] if isinstance(base, list) else None

        return project

    def _value_projection(self, node: Node, place: Place) -> Evaluator:
        left, right = node["children"]
        source, each = self.value(left, place), self.step(right, Place.INSIDE)

        def project(value: Any) -> Any:
            base = source(value)
            if not isinstance(base, Mapping):
                return None
            return [result for member in base.values() if (result := each(member)) is not None]

        return project

    def _filter_projection(self, node: Node, place: Place) -> Evaluator:
        left, right, test = node["children"]
        source, holds, each = self.value(left, place), self.step(test, Place.INSIDE), self.step(right, Place.INSIDE)

        def project(value: Any) -> Any:
            base = source(value)
            if not isinstance(base, list):
                return None
            return [result for element in base if is_true(holds(element)) and (result := each(element)) is not None]

        return project

    def _flatten(self, node: Node, place: Place) -> Evaluator:
        source = self.value(node["children"][0], place)

        def flatten(value: Any) -> Any:
            base = source(value)
            if not isinstance(base, list):
                return None
            flat: list[Any] = []
            for element in base:
                if isinstance(element, list):
                    flat.extend(element)
                else:
                    flat.append(element)
            return flat

        return flatten

    # Multiselects, logic, literals

    def _multi_select_list(self, node: Node, place: Place) -> Evaluator:
        parts = tuple(self.value(child, place) for child in node["children"])
        return lambda value: None if value is None else [part(value) for part in parts]

    def _multi_select_dict(self, node: Node, place: Place) -> Evaluator:
        parts = tuple((child["value"], self.value(child["children"][0], place)) for child in node["children"])
        return lambda value: None if value is None else {key: part(value) for key, part in parts}

    def _or_expression(self, node: Node, place: Place) -> Evaluator:
        first, second = (self.value(child, place) for child in node["children"])
        return lambda value: found if is_true(found := first(value)) else second(value)

    def _and_expression(self, node: Node, place: Place) -> Evaluator:
        first, second = (self.value(child, place) for child in node["children"])
        return lambda value: second(value) if is_true(found := first(value)) else found

    def _not_expression(self, node: Node, place: Place) -> Evaluator:
        inner = self.value(node["children"][0], place)
        return lambda value: not is_true(inner(value))

    def _comparator(self, node: Node, place: Place) -> Evaluator:
        left, right = node["children"]
        first, second = self.value(left, place), self.value(right, place)
        operator: str = node["value"]
        if operator in _ORDER:
            return _ordering(_ORDER[operator], first, second)
        if right["type"] == "literal":
            equal = _equality(first, right["value"]) or _equal(first, second)
        elif left["type"] == "literal":
            equal = _equality(second, left["value"]) or _equal(first, second)
        else:
            equal = _equal(first, second)
        return equal if operator == "eq" else lambda value: not equal(value)

    def _literal(self, node: Node, _place: Place) -> Evaluator:
        return _constant(node["value"])

    def _expref(self, node: Node, _place: Place) -> Evaluator:
        raise self.error(node, "`&` stands only before an argument of a function that takes an expression")

    # Functions

    def _function_expression(self, node: Node, place: Place) -> Evaluator:
        name: str = node["value"]
        function = self.functions.get(name)
        if function is None:
            raise self.error(node, f"there is no function {quote(name + '()')}", suggest_or_list(name, self.functions, "functions"))
        self._check_count(node, function)
        if function.call is None:
            made: Evaluator = getattr(self, f"_make_{name}")(node, place, function)
            return made
        arguments = [self._argument(node, function, index, place) for index in range(len(node["children"]))]
        nullable = any(parameter.passes_null for parameter in function.parameters)
        return (_nullable_call if nullable else _call)(function, arguments)

    def _check_count(self, node: Node, function: Function) -> None:
        count, fewest, most = len(node["children"]), function.fewest, function.most
        if count < fewest or (most is not None and count > most):
            expected = f"{fewest} or more" if most is None else str(fewest) if most == fewest else f"{fewest} to {most}"
            raise self.error(node, f"{function.name}() takes {expected} arguments, not {count}", function.signature)

    def _argument(self, node: Node, function: Function, index: int, place: Place) -> Evaluator:
        child: Node = node["children"][index]
        parameter = function.parameter(index)
        if parameter.is_expression:
            if child["type"] != "expref":
                raise self.error(
                    node, f"{function.name}() takes an expression as `{parameter.name}`: write & before it", function.signature
                )
            expression = self.step(child["children"][0], Place.INSIDE)
            return _constant(expression)
        if child["type"] == "expref":
            raise self.error(node, f"{function.name}() takes no expression as `{parameter.name}`", function.signature)
        if child["type"] == "literal":
            try:
                parameter.check(child["value"], function.name)
            except EvaluationError as error:
                raise self.error(node, error.message, function.signature) from None
            return self._literal(child, place)
        return _checked(self.value(child, place), parameter, function.name)

    def _make_lookup(self, node: Node, place: Place, function: Function) -> Evaluator:
        name = node["children"][0]["value"] if node["children"][0]["type"] == "literal" else None
        if not isinstance(name, str):
            raise self.error(node, "lookup() takes the name of a table in single quotes first", function.signature)
        if name not in self.tables:
            hint = suggest_or_list(name, self.tables, "tables") if self.tables else "say it under `tables`"
            raise self.error(node, f"there is no table {quote(name)}", hint)
        exact, ranges = _table(self.tables[name])
        key = self._argument(node, function, 1, place)
        default = self._argument(node, function, 2, place) if len(node["children"]) > 2 else _null

        def lookup(value: Any) -> Any:
            found = key(value)
            if found is None:
                return None
            text = found if type(found) is str else key_text(found)
            if text in exact:
                return exact[text]
            if ranges and len(text) < 20 and text.isascii() and text.isdigit():
                number = int(text)
                for low, high, result in ranges:
                    if low <= number <= high:
                        return result
            return default(value)

        return lookup

    def _make_if(self, node: Node, place: Place, function: Function) -> Evaluator:
        condition, then, otherwise = (self._argument(node, function, index, place) for index in range(3))
        return lambda value: then(value) if is_true(condition(value)) else otherwise(value)

    def _make_now(self, node: Node, place: Place, function: Function) -> Evaluator:
        name = function.name
        if place is not Place.SCOPE:
            raise self.error(node, f"{name}() cannot stand inside a filter, a projection or behind a pipe", "put it at the start")
        self.read.add(name)

        def supplied(scope: Any) -> Any:
            found = scope.get(name) if isinstance(scope, Mapping) else None
            if found is None:
                raise EvaluationError(f"{name}() has no value here")
            return found() if callable(found) else found

        return supplied

    _make_uuid = _make_now


_ORDER = {"lt": lt, "lte": le, "gt": gt, "gte": ge}


def _ordering(compare: Callable[[Any, Any], bool], first: Evaluator, second: Evaluator) -> Evaluator:
    def order(value: Any) -> Any:
        left, right = first(value), second(value)
        return compare(left, right) if type(left) in NUMBERS and type(right) in NUMBERS else None

    return order


def _equal(first: Evaluator, second: Evaluator) -> Evaluator:
    return lambda value: json_equal(first(value), second(value))


def _equality(evaluate: Evaluator, literal: Any) -> Evaluator | None:
    """Equality with a scalar, without the general comparison: most conditions of rules are so. None for lists and objects."""
    if literal is None or isinstance(literal, bool):
        return lambda value: evaluate(value) is literal
    if isinstance(literal, str):
        return lambda value: bool(evaluate(value) == literal)
    if type(literal) in NUMBERS:
        return lambda value: (found := evaluate(value)) == literal and type(found) in NUMBERS
    return None


def _same(value: Any) -> Any:
    return value


def _constant(value: Any) -> Evaluator:
    return lambda _: value


_null = _constant(None)


def _elements(source: Evaluator) -> Evaluator:
    def elements(value: Any) -> Any:
        base = source(value)
        return [element for element in base if element is not None] if isinstance(base, list) else None

    return elements


def _member(value: Any, key: str | int) -> Any:
    """One step of a path: a name in an object, an index in a list, null for anything else."""
    if isinstance(key, str):
        return value.get(key) if isinstance(value, Mapping) else None
    return value[key] if isinstance(value, list) and -len(value) <= key < len(value) else None


def _path(keys: list[str | int], *, is_scope: bool) -> Evaluator:
    """A walk along names and indices. `is_scope`: the first name is asked of the scope, which is a mapping for certain.

    The short paths that rules are made of are written out: a loop costs half as much again.
    """
    first, rest = keys[0], tuple(keys[1:])
    if not is_scope:
        return _walker((first, *rest))
    if not rest:
        return lambda scope: scope.get(first)
    second = rest[0]
    if len(rest) == 1 and isinstance(second, str):

        def two(scope: Any) -> Any:
            value = scope.get(first)
            return value.get(second) if type(value) is dict else _member(value, second)

        return two
    walk = _walker(rest)
    return lambda scope: walk(scope.get(first))


def _walker(keys: tuple[str | int, ...]) -> Evaluator:
    if len(keys) == 1:
        key = keys[0]
        if isinstance(key, int):
            return lambda value: _member(value, key)
        return lambda value: value.get(key) if type(value) is dict else _member(value, key)

    def walk(value: Any) -> Any:
        for key in keys:
            if type(value) is dict and type(key) is str:
                value = value.get(key)
            elif value is None:
                return None
            else:
                value = _member(value, key)
        return value

    return walk


def _sequence(steps: list[Evaluator]) -> Evaluator:
    if not steps:
        return _same
    if len(steps) == 1:
        return steps[0]
    if len(steps) == 2:
        first, second = steps
        return lambda value: second(first(value))

    def sequence(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return sequence


def _checked(argument: Evaluator, parameter: Parameter, function: str) -> Evaluator:
    types, check = parameter.types, parameter.check
    if types is None:
        return argument
    simple = not parameter.elements

    def checked(value: Any) -> Any:
        found = argument(value)
        if not (simple and type(found) in types):
            check(found, function)
        return found

    return checked


def _call(function: Function, arguments: list[Evaluator]) -> Evaluator:
    call = function.call
    assert call is not None
    if len(arguments) == 1:
        only = arguments[0]
        return lambda value: call(only(value))
    if len(arguments) == 2:
        first, second = arguments
        return lambda value: call(first(value), second(value))
    return lambda value: call(*[argument(value) for argument in arguments])


def _nullable_call(function: Function, arguments: list[Evaluator]) -> Evaluator:
    """As _call, but null for a parameter that takes null makes the result null."""
    call = function.call
    assert call is not None
    passing = [index for index in range(len(arguments)) if function.parameter(index).passes_null]

    def nullable(value: Any) -> Any:
        found = [argument(value) for argument in arguments]
        for index in passing:
            if found[index] is None:
                return None
        return call(*found)

    return nullable


def _guarded(text: str, evaluate: Evaluator) -> Evaluator:
    """The last net below the functions: data nested too deep, memory that is not there. What goes wrong is said with its place."""

    def guarded(value: Any) -> Any:
        try:
            return evaluate(value)
        except (RecursionError, OverflowError):
            raise EvaluationError(f"a value is too deep or too large for {quote(text)}") from None
        except EvaluationError as error:
            raise EvaluationError(f"{error.message}, in {quote(text)}") from None

    return guarded


def _table(table: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[int, int, Any]]]:
    """Exact keys, and ranges like 1000-1004 in the order of the file."""
    exact: dict[str, Any] = {}
    ranges = []
    for key, value in table.items():
        text = key_text(key)
        exact[text] = value
        low, dash, high = text.partition("-")
        if dash and all(part.isascii() and part.isdigit() and len(part) < 20 for part in (low, high)):
            ranges.append((int(low), int(high), value))
    return exact, ranges
