"""What a function of an expression is: its signature, read from the words it is documented with, and the bounds all of them keep.

A signature is written `name(first: string, [optional: number], rest...: any) -> string`. `string?` takes null too, and then the
result is null: what is absent stays absent. `expression` takes `&...`.

Bounds: what only selects from its input is as large as its input. What makes new text, or splits it, gives at most `MAX_TEXT`
characters or `MAX_ITEMS` elements. A number that leaves 64 bits, and a float that overflows, is an EvaluationError.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

JsonValue: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None
Evaluator: TypeAlias = Callable[[Any], Any]  # the value at hand -> a value

MAX_TEXT = 1 << 20  # characters of a text that a function makes
MAX_ITEMS = 10_000  # elements of a list that a function makes
MAX_DEPTH = 128  # of what `json` reads, as for every body
SMALLEST, LARGEST = -(1 << 63), (1 << 64) - 1  # integers that JSON text carries safely through every reader here
MILLISECONDS_FROM = 1e11  # a time above this is in milliseconds; in seconds it would be the year 5138

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EvaluationError(ValueError):
    """An expression met a value it cannot use, or passed a bound."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


# Types

KINDS: Mapping[str, frozenset[type]] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}
NUMBERS = KINDS["number"]


def kind_of(value: object) -> str:
    """The JMESPath name of a value's type; a mapping that is no dict is an object too."""
    for kind, types in KINDS.items():
        if type(value) in types:
            return kind
    if isinstance(value, Mapping):
        return "object"
    return "string" if isinstance(value, str) else "unknown"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, read from a signature. `types` None: anything; `elements`: one of these sets must hold every element."""

    name: str
    text: str
    optional: bool = False
    variadic: bool = False
    types: frozenset[type] | None = None
    elements: tuple[frozenset[type], ...] = ()

    @property
    def is_expression(self) -> bool:
        return self.text == "expression"

    @property
    def passes_null(self) -> bool:
        return self.text.endswith("?")

    def check(self, value: Any, function: str) -> None:
        """Raises EvaluationError when the value is not of the type that the signature says."""
        if self.types is None:
            return
        if type(value) not in self.types and not (dict in self.types and isinstance(value, Mapping)):
            raise EvaluationError(f"{function}() takes {self.text} as `{self.name}`, not {kind_of(value)}")
        if self.elements and not any(all(type(element) in types for element in value) for types in self.elements):
            kinds = ", ".join(sorted({kind_of(element) for element in value}))
            raise EvaluationError(f"{function}() takes {self.text} as `{self.name}`, not an array of {kinds}")


def _parameter(text: str) -> Parameter:
    optional = text.startswith("[")
    name, _, kind = (text[1:-1] if optional else text).partition(": ")
    variadic, name = name.endswith("..."), name.removesuffix("...")
    parameter = Parameter(name, kind, optional, variadic)
    if kind in ("any", "expression"):
        return parameter
    types: set[type] = set()
    elements = []
    for part in kind.removesuffix("?").split("|"):
        outer, _, inner = part.partition("[")
        types |= KINDS[outer]
        if inner:
            elements.append(KINDS[inner.rstrip("]")])
    if parameter.passes_null:
        types |= KINDS["null"]
    return Parameter(name, kind, optional, variadic, frozenset(types), tuple(elements))


@dataclass(frozen=True, slots=True)
class Function:
    """One function: the row of the documentation, and what does it. `impure`: its result differs from call to call."""

    signature: str
    doc: str
    example: str
    result: JsonValue
    call: Callable[..., Any] | None = None
    impure: bool = False
    name: str = field(init=False)
    parameters: tuple[Parameter, ...] = field(init=False)

    def __post_init__(self) -> None:
        name, _, rest = self.signature.partition("(")
        inside = rest.rpartition(") -> ")[0]
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameters", tuple(_parameter(part) for part in inside.split(", ")) if inside else ())

    @property
    def fewest(self) -> int:
        return sum(not parameter.optional for parameter in self.parameters)

    @property
    def most(self) -> int | None:
        """None when any number of arguments may follow."""
        return None if any(parameter.variadic for parameter in self.parameters) else len(self.parameters)

    def parameter(self, index: int) -> Parameter:
        return self.parameters[min(index, len(self.parameters) - 1)]


Functions: TypeAlias = Mapping[str, Function]


# Bounds and helpers


def bounded_text(text: str, function: str) -> str:
    if len(text) > MAX_TEXT:
        raise EvaluationError(f"{function}() would make a text of {len(text):,} characters; the most is {MAX_TEXT:,}")
    return text


def bounded_number(value: Any) -> int | float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvaluationError("the result is too large for a number")
    elif not SMALLEST <= value <= LARGEST:
        raise EvaluationError("the result is an integer of more than 64 bits")
    number: int | float = value
    return number


def json_equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: as Python's, but true is not 1 and false is not 0, at any depth."""
    if left != right:
        return False
    return isinstance(left, str) or left is None or _same_booleans(left, right)


def _same_booleans(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list):
        return all(map(_same_booleans, left, right))
    if isinstance(left, dict):
        return all(_same_booleans(value, right[key]) for key, value in left.items())
    return True


def identity_key(value: Any) -> Any:
    """Something hashable that is equal for equal JSON values only."""
    if isinstance(value, list):
        return ("array", *map(identity_key, value))
    if isinstance(value, Mapping):
        return ("object", frozenset((key, identity_key(member)) for key, member in value.items()))
    return (isinstance(value, bool), value)


def check_size(value: Any, function: str) -> None:
    """Stops as soon as the JSON text of the value must be longer than MAX_TEXT, before it is made."""
    size, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        size += 2
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, list):
            waiting.extend(item[:MAX_TEXT])
        elif isinstance(item, Mapping):
            size += sum(map(len, item))
            waiting.extend(item.values())
        if size > MAX_TEXT:
            raise EvaluationError(f"{function}() would make a text of more than {MAX_TEXT:,} characters")


def key_text(value: Any) -> str:
    """A scalar as the key of a table: text as it is, numbers and booleans as their JSON text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def nested_deeper(value: Any, most: int) -> bool:
    """Whether arrays and objects stand in one another deeper than `most` levels; looks level by level, without recursion."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for item in level
            if isinstance(item, list | dict)
            for inner in (item if isinstance(item, list) else item.values())
        ]
        if not level:
            return False
    return any(isinstance(item, list | dict) for item in level)
