"""How a closed schema is written down and checked: words, and readers that turn nodes into values.

A `Word` is the one definition of a key: its name, its form, one sentence of documentation and the function that reads it. The
check runs from it and so does the reference in docs/rules.md. A reader gives None after it has reported a problem, so that one
run finds as many as possible. The words themselves stand in `translators.words`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar, cast

from translators import yamlfile
from translators.model import Where
from translators.problems import InvalidValueError, Problems, quote, suggest_or_list
from translators.yamlfile import Node, Scalar, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)

Reader = Callable[[Node, Problems], T | None]


@dataclass(frozen=True, slots=True)
class Word(Generic[T_co]):
    """One key of a mapping. `form` and `default` are for people."""

    name: str
    form: str
    doc: str
    read: Callable[[Node, Problems], T_co | None]
    required: bool = False
    default: str = ""


class Fields:
    """The values of one mapping that were there and could be read."""

    __slots__ = ("_keys", "_values")

    def __init__(self) -> None:
        self._values: dict[str, object] = {}
        self._keys: dict[str, Where] = {}

    def put(self, name: str, where: Where, value: object) -> None:
        self._keys[name] = where
        if value is not None:
            self._values[name] = value

    def get(self, word: Word[T]) -> T | None:
        """The value; None when the key is absent or its value was wrong."""
        return cast("T | None", self._values.get(word.name))

    def where(self, word: Word[T]) -> Where | None:
        """The place of the key; None when it is absent."""
        return self._keys.get(word.name)

    def __contains__(self, word: Word[T]) -> bool:
        return word.name in self._keys


def read_fields(node: Node, words: Iterable[Word[object]], problems: Problems, what: str) -> Fields | None:
    """Reads a mapping by its words: unknown and missing keys are problems. None when the node is no mapping."""
    known = {word.name: word for word in words}
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"{what} must be a mapping, not {kind_of(node)}", node.where, f"Words: {', '.join(known)}.")
        return None
    fields = Fields()
    for key, value in node.entries:
        word = known.get(key.text)
        if word is None:
            problems.add(f"unknown word {quote(key.text)} in {what}", key.where, suggest_or_list(key.text, known, "Words"))
        else:
            fields.put(word.name, key.where, word.read(value, problems))
    for word in known.values():
        if word.required and word not in fields:
            problems.add(f"the word `{word.name}` is missing in {what}", node.where, f"`{word.name}`: {word.doc}")
    return fields


def kind_of(node: Node) -> str:
    """What a node is, in words; never its value, which may be a secret."""
    if isinstance(node, yamlfile.Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    match node.value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return "a text"
        case _:
            return "a number"


def read_value(parse: Callable[[str], T], node: Scalar, problems: Problems, text: str) -> T | None:
    """Calls a reader of single values and gives its problem the place of the node."""
    try:
        return parse(text)
    except InvalidValueError as error:
        problems.add(error.message, node.where, error.hint)
        return None


def text(parse: Callable[[str], T]) -> Reader[T]:
    """A scalar that is text; numbers and true or false must be quoted to be that."""

    def read(node: Node, problems: Problems) -> T | None:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return read_value(parse, node, problems, node.value)
        hint = "Put it in quotes if it is meant as text." if isinstance(node, Scalar) and node.value is not None else None
        problems.add(f"a text is expected here, not {kind_of(node)}", node.where, hint)
        return None

    return read


def flag(node: Node, problems: Problems) -> bool | None:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    problems.add(f"true or false is expected here, not {kind_of(node)}", node.where)
    return None


def number(parse: Callable[[object], T]) -> Reader[T]:
    """A scalar read by one of `translators.units`."""

    def read(node: Node, problems: Problems) -> T | None:
        if not isinstance(node, Scalar):
            problems.add(f"a single value is expected here, not {kind_of(node)}", node.where)
            return None
        return read_value(lambda _: parse(node.value), node, problems, "")

    return read


def one_of(choices: type[E]) -> Reader[E]:
    """One of the values of an enumeration."""
    names = [choice.value for choice in choices]

    def parse(name: str) -> E:
        if name not in names:
            raise InvalidValueError(f"{quote(name)} is not possible here", suggest_or_list(name, names, "Possible"))
        return choices(name)

    return text(parse)


def items(read: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list; what is wrong in it is left out of the result."""

    def read_all(node: Node, problems: Problems) -> tuple[T, ...] | None:
        if not isinstance(node, Sequence):
            problems.add(
                f"a list is expected here, not {kind_of(node)}", node.where, "Write [a, b], or one item per line with `- `."
            )
            return None
        return tuple(value for item in node.items if (value := read(item, problems)) is not None)

    return read_all


def named(readers: Mapping[str, Reader[T]], what: str) -> Reader[Mapping[str, T]]:
    """A mapping from a closed list of names to values."""

    def read_all(node: Node, problems: Problems) -> Mapping[str, T] | None:
        if not isinstance(node, yamlfile.Mapping):
            problems.add(f"a mapping is expected here, not {kind_of(node)}", node.where, f"Names: {', '.join(readers)}.")
            return None
        values: dict[str, T] = {}
        for key, value in node.entries:
            reader = readers.get(key.text)
            if reader is None:
                problems.add(f"{quote(key.text)} is no {what}", key.where, suggest_or_list(key.text, readers, "Names"))
            elif (found := reader(value, problems)) is not None:
                values[key.text] = found
        return values

    return read_all
