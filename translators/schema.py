"""How a closed schema is written down and checked: words, and readers that turn nodes into values.

A `Word` is the one definition of a key: its name, its form, one sentence of documentation and the kind of its value. A `Kind` reads
a node and says what it accepts (its `Shape`), so the check runs from it, and so do the reference in docs/rules.md and the JSON
Schema for editors. A reader gives None after it has reported a problem, so that one run finds as many as possible. The words
themselves stand in `translators.words`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar, cast

from translators import yamlfile
from translators.place import Where
from translators.problems import InvalidValueError, Problems, quote, suggest_or_list
from translators.yamlfile import Node, Scalar, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
K = TypeVar("K")
E = TypeVar("E", bound=StrEnum)

Reader = Callable[[Node, Problems], T | None]


class Form(StrEnum):
    """The forms that a value can have."""

    ANY = "any"
    TEXT = "text"
    FLAG = "flag"
    NUMBER = "number"
    LIST = "list"
    MAP = "map"  # keys are free
    RECORD = "record"  # keys are words
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value looks like, as far as an editor can know without reading it: never narrower than its reader."""

    form: Form
    pattern: str | None = None  # of a text, or of the keys of a map
    values: tuple[str | bool | int, ...] = ()  # the only ones possible
    parts: tuple["Shape", ...] = ()  # of EITHER: the alternatives; of LIST and MAP: what stands in it
    words: tuple["Word[object]", ...] = ()  # of a RECORD
    least: int = 0  # of entries in a LIST or MAP
    most: int | None = None


ANY = Shape(Form.ANY)


def either(*shapes: Shape) -> Shape:
    return Shape(Form.EITHER, parts=shapes)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A reader that knows the shape of what it reads."""

    read: Callable[[Node, Problems], T_co | None]
    shape: Shape

    def __call__(self, node: Node, problems: Problems) -> T_co | None:
        return self.read(node, problems)


def shape_of(reader: Callable[[Node, Problems], object]) -> Shape:
    return reader.shape if isinstance(reader, Kind) else ANY


@dataclass(frozen=True, slots=True)
class Word(Generic[T_co]):
    """One key of a mapping. `form` and `default` are for people."""

    name: str
    form: str
    doc: str
    read: Kind[T_co]
    required: bool = False
    default: str = ""


class Fields:
    """The values of one mapping that were there and could be read."""

    __slots__ = ("_keys", "_values", "flawed", "place")

    def __init__(self, place: Where) -> None:
        self.place = place  # of the mapping
        self.flawed = False  # an unknown word stands here, perhaps in place of one that is missed
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

    def __contains__(self, word: Word[object]) -> bool:
        return word.name in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def names(self) -> tuple[str, ...]:
        """The words that stand here."""
        return tuple(self._keys)

    def said(self, words: Iterable[Word[object]]) -> list[Word[object]]:
        """Those of some words that stand here."""
        return [word for word in words if word.name in self._keys]

    def item(self, word: Word[object]) -> tuple[Where, object] | None:
        """The place of the key and its value (None: it was wrong); None when the key is absent."""
        where = self._keys.get(word.name)
        return (where, self._values.get(word.name)) if where else None

    def over(self, other: "Fields", words: Iterable[Word[object]]) -> "Fields":
        """These fields, and of some words those of another mapping where these say nothing."""
        merged = Fields(self.place)
        for fields, names in ((other, [word.name for word in words]), (self, list(self._keys))):
            for name in names:
                if found := fields.item(Word(name, "", "", _NOTHING)):
                    merged.put(name, *found)
        return merged


_NOTHING: Kind[object] = Kind(lambda _node, _problems: None, ANY)


def read_fields(node: Node, words: Iterable[Word[object]], problems: Problems, what: str) -> Fields | None:
    """Reads a mapping by its words: unknown and missing keys are problems. None when the node is no mapping."""
    known = {word.name: word for word in words}
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"{what} must be a mapping, not {kind_of(node)}", node.where, f"Words: {', '.join(known)}.")
        return None
    fields = Fields(node.where)
    for key, value in node.entries:
        word = known.get(key.text)
        if word is None:
            fields.flawed = True
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


def text(parse: Callable[[str], T], pattern: str | None = None) -> Kind[T]:
    """A scalar that is text; numbers and true or false must be quoted to be that."""

    def read(node: Node, problems: Problems) -> T | None:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return read_value(parse, node, problems, node.value)
        hint = "Put it in quotes if it is meant as text." if isinstance(node, Scalar) and node.value is not None else None
        problems.add(f"a text is expected here, not {kind_of(node)}", node.where, hint)
        return None

    return Kind(read, Shape(Form.TEXT, pattern))


def _flag(node: Node, problems: Problems) -> bool | None:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    problems.add(f"true or false is expected here, not {kind_of(node)}", node.where)
    return None


flag = Kind(_flag, Shape(Form.FLAG))


def number(parse: Callable[[object], T]) -> Kind[T]:
    """A scalar read by one of `translators.units`."""

    def read(node: Node, problems: Problems) -> T | None:
        if not isinstance(node, Scalar):
            problems.add(f"a single value is expected here, not {kind_of(node)}", node.where)
            return None
        return read_value(lambda _: parse(node.value), node, problems, "")

    return Kind(read, either(Shape(Form.NUMBER), Shape(Form.TEXT, r"^[0-9.]+(ms|s|m|h|B|KiB|MiB|GiB)$")))


def whole(least: int, most: int) -> Kind[int]:
    """A whole number in a range."""

    def read(node: Node, problems: Problems) -> int | None:
        value: object = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        problems.add(f"a whole number from {least} to {most} is expected here", node.where)
        return None

    return Kind(read, Shape(Form.NUMBER))


def one_of(choices: type[E]) -> Kind[E]:
    """One of the values of an enumeration."""
    names = [choice.value for choice in choices]

    def parse(name: str) -> E:
        if name not in names:
            raise InvalidValueError(f"{quote(name)} is not possible here", suggest_or_list(name, names, "Possible"))
        return choices(name)

    return Kind(text(parse).read, Shape(Form.TEXT, values=tuple(names)))


def items(read: Reader[T], least: int = 0) -> Kind[tuple[T, ...]]:
    """A list; what is wrong in it is left out of the result."""

    def read_all(node: Node, problems: Problems) -> tuple[T, ...] | None:
        if not isinstance(node, Sequence):
            problems.add(
                f"a list is expected here, not {kind_of(node)}", node.where, "Write [a, b], or one item per line with `- `."
            )
            return None
        if len(node.items) < least:
            problems.add("an empty list says nothing", node.where, "Remove it, or say what belongs there.")
        return tuple(value for item in node.items if (value := read(item, problems)) is not None)

    return Kind(read_all, Shape(Form.LIST, parts=(shape_of(read),), least=least))


def named(readers: Mapping[str, Reader[T]], what: str) -> Kind[Mapping[str, T]]:
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

    shape = tuple(Word(name, "", "", Kind(reader, shape_of(reader))) for name, reader in readers.items())
    return Kind(read_all, Shape(Form.RECORD, words=shape))


def mapping(key: Callable[[str], K], value: Reader[T], hint: str, least: int = 0) -> Kind[tuple[tuple[Scalar, K, T], ...]]:
    """A mapping with free keys: `(the key's node, the key read, the value)`."""

    def read_all(node: Node, problems: Problems) -> tuple[tuple[Scalar, K, T], ...] | None:
        if not isinstance(node, yamlfile.Mapping):
            problems.add(f"a mapping is expected here, not {kind_of(node)}", node.where, hint)
            return None
        if len(node.entries) < least:
            problems.add("an empty mapping says nothing", node.where, hint)
        found = []
        for name, item in node.entries:
            read_key = read_value(key, name, problems, name.text)
            read_item = value(item, problems)
            if read_key is not None and read_item is not None:
                found.append((name, read_key, read_item))
        return tuple(found)

    return Kind(read_all, Shape(Form.MAP, parts=(shape_of(value),), least=least))


def record(words: tuple[Word[object], ...], what: str, least: int = 0) -> Kind[Fields]:
    """A mapping of words."""

    def read(node: Node, problems: Problems) -> Fields | None:
        if isinstance(node, yamlfile.Mapping) and len(node.entries) < least:
            problems.add("an empty mapping says nothing", node.where, f"Words: {', '.join(word.name for word in words)}.")
        return read_fields(node, words, problems, what)

    return Kind(read, Shape(Form.RECORD, words=words, least=least))
