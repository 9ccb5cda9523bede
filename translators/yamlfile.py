"""Strict YAML with places: text in, a small tree of nodes out, each knowing its file, line and column.

The one rule of this room: nothing is built before the whole text was measured. A first pass over the parser's events counts
depth, nodes, aliases and the size after expansion (rule O02); only then a second pass over the same events makes the tree.
Scalars are read by the core schema of YAML 1.2 (rule O01), so `no`, `on` and `12:30` are text. The parser is libyaml's where
PyYAML has it: its events are asked for one by one, so that deep nesting is refused before it can hurt. What the keys mean is the
reader's business, not this module's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from translators.place import Where
from translators.problems import InvalidFileError, Problem, Problems, quote

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000
MAX_ALIASES = 100
MAX_EXPANDED_BYTES = 10 * 1024 * 1024
NODE_BYTES = 64  # what a node counts in the expanded size, besides its text


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `text` is what was written, `value` what the core schema reads in it; a quoted scalar is always text."""

    value: str | float | bool | None
    text: str
    where: Where


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple["Node", ...]
    where: Where


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys are scalars, no two with the same text. What `<<` takes in stands first; a key that is written out wins."""

    entries: tuple[tuple[Scalar, "Node"], ...]
    where: Where


Node = Scalar | Sequence | Mapping

MERGE = "<<"  # the merge key, written plain: YAML 1.1's type repository, kept by every reader of 1.2 that people use

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its events are used, never its constructors

_ENDS = frozenset({yaml.SequenceEndEvent, yaml.MappingEndEvent})
_OF_NODES = _ENDS | {yaml.ScalarEvent, yaml.AliasEvent, yaml.SequenceStartEvent, yaml.MappingStartEvent}

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset({"str", "int", "float", "bool", "null"})

# The core schema, YAML 1.2.2 section 10.3.2, but for one thing: decimal digits after a leading zero stay text. The core schema
# reads `010` as ten, YAML 1.1 as eight; who wrote it may have meant either.
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_BASED = re.compile(r"(?:0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")

_FIRST = frozenset("+-.0123456789nN~tTfF")  # the first characters of everything but text

# What YAML allows in a file (1.2.2 section 5.1); everything else must be escaped inside double quotes.
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(path: Path, *, without: str | None = None) -> Node:
    """The tree of a file; raises InvalidFileError, also when the file cannot be opened.

    `without` names a key of the top level whose value shall not be read: its lines are emptied before the text is parsed.
    """
    try:
        if not path.is_file():
            raise InvalidFileError([Problem("no such file" if not path.exists() else "not a regular file", Where(path, 1, 1))])
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidFileError([Problem(f"cannot be read: {error.strerror}", Where(path, 1, 1))]) from error
    if without is not None:
        shorter = _without(data, without)
        if shorter != data:
            try:
                return parse(shorter, path)
            except InvalidFileError:
                pass  # what is left may use an anchor that stands in there, or be wrong: the whole text tells
    return parse(data, path)


def _without(data: bytes, key: str) -> bytes:
    """The text with the lines of a top-level key emptied; places behind them stay what they are."""
    block = re.compile(rb"^%b:[^\n]*(?:\n(?:[ \t#-][^\n]*|\r?(?=\n)|\Z))*" % re.escape(key.encode()), re.MULTILINE)
    return block.sub(lambda found: b"\n" * found.group().count(b"\n"), data)


def parse(data: bytes, file: Path) -> Node:
    """The tree of a text; `file` is only for the places. A text without a document is an empty mapping. Raises InvalidFileError."""
    text = _decode(data, file)
    try:
        return _Builder(file).build(iter(_measured(text, file)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Where(file, mark.line + 1, mark.column + 1) if mark else Where(file, 1, 1)
        problem = Problem(f"not YAML: {error.problem or error.context}", where, _syntax_hint(text, where))
    except yaml.YAMLError as error:
        problem = Problem(f"not YAML: {error}", Where(file, 1, 1))
    raise InvalidFileError([problem])


def _decode(data: bytes, file: Path) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise _refused(f"the file is larger than {MAX_FILE_BYTES // 1024} KiB", Where(file, 1, 1), "Split it into several files.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise _refused("not UTF-8", _at(before, len(before), file), "Save the file as UTF-8.") from error
    text = text.removeprefix("\ufeff")
    if found := _NOT_PRINTABLE.search(text):
        message = f"the character U+{ord(found.group()):04X} is not allowed in YAML"
        raise _refused(message, _at(text, found.start(), file), "Remove it, or write it as an escape inside double quotes.")
    return text


def _at(text: str, position: int, file: Path) -> Where:
    line = text.count("\n", 0, position) + 1
    return Where(file, line, position - text.rfind("\n", 0, position))


def _refused(message: str, where: Where, hint: str | None = None) -> InvalidFileError:
    return InvalidFileError([Problem(message, where, hint)])


def _syntax_hint(text: str, where: Where) -> str | None:
    lines = text.splitlines()
    line = lines[where.line - 1] if where.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[where.column - 1 : where.column] == "\t":
        return "Indent with blanks: YAML does not allow tabs there."
    if "*" in line[max(where.column - 2, 0) : where.column]:
        return 'A text that starts with * must be quoted: "*-preview".'
    if "{" in line:
        return 'Inside { } and [ ] a text with braces must be quoted: {bearer: "${secret.NAME}"}.'
    return None


def _where(event: Any, file: Path) -> Where:
    mark = event.start_mark
    return Where(file, mark.line + 1, mark.column + 1)


def _events(text: str, file: Path) -> Iterator[Any]:
    """The node events of the only document; raises InvalidFileError for a second document or a directive."""
    documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if type(event) in _OF_NODES:
            yield event
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refused("a second document starts here", _where(event, file), "One file holds one document: remove `---`.")
            if event.version or event.tags:
                raise _refused("directives (%YAML, %TAG) are not read", _where(event, file), "Remove the line.")


def _measured(text: str, file: Path) -> list[Any]:
    """The events, when the bounds of rule O02 hold: they are asked for one by one, and no further than to what breaks a bound."""
    events: list[Any] = []
    nodes = aliases = 0
    sizes: dict[str, int] = {}  # of anchored nodes, expanded
    anchor: str | None
    open_collections: list[tuple[str | None, int]] = [(None, 0)]  # anchor, size so far

    for event in _events(text, file):
        events.append(event)
        kind = type(event)
        if kind in _ENDS:
            anchor, size = open_collections.pop()
        else:
            nodes += 1
            if nodes > MAX_NODES:
                raise _refused(f"more than {MAX_NODES:,} values", _where(event, file))
            anchor = event.anchor
            if kind is yaml.ScalarEvent:
                size = NODE_BYTES + len(event.value)
            elif kind is yaml.AliasEvent:
                aliases += 1
                if aliases > MAX_ALIASES:
                    raise _refused(f"more than {MAX_ALIASES} aliases", _where(event, file))
                size = _alias_size(event, sizes, open_collections, file)
                anchor = None
            else:
                if len(open_collections) > MAX_DEPTH:
                    raise _refused(f"nested deeper than {MAX_DEPTH} levels", _where(event, file))
                open_collections.append((anchor, NODE_BYTES))
                continue
        if anchor is not None:
            sizes[anchor] = size
        parent, total = open_collections[-1]
        if total + size > MAX_EXPANDED_BYTES:
            where = _where(event, file)
            raise _refused(f"the aliases expand to more than {MAX_EXPANDED_BYTES // (1024 * 1024)} MiB", where)
        open_collections[-1] = (parent, total + size)
    return events


def _alias_size(event: Any, sizes: dict[str, int], open_collections: list[tuple[str | None, int]], file: Path) -> int:
    if any(event.anchor == anchor for anchor, _ in open_collections):
        raise _refused(f"the alias {quote('*' + event.anchor)} stands inside what it names", _where(event, file))
    if event.anchor not in sizes:
        raise _refused(f"no anchor {quote('&' + event.anchor)} stands before this alias", _where(event, file))
    return sizes[event.anchor]


class _Builder:
    """Second pass: events to nodes. Problems of single nodes are collected; the tree exists only if there are none."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._problems = Problems()

    def build(self, events: Iterator[Any]) -> Node:
        first = next(events, None)
        node = self._node(first, events) if first else Mapping((), Where(self._file, 1, 1))
        self._problems.raise_any()
        return node

    def _node(self, event: Any, events: Iterator[Any]) -> Node:
        """One node and all below it; recursion is bounded by MAX_DEPTH."""
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._anchors[str(event.anchor)]
        anchor: str | None = event.anchor
        where = _where(event, self._file)
        node: Node
        if kind is yaml.ScalarEvent:
            node = self._scalar(event, where)
        elif kind is yaml.SequenceStartEvent:
            self._check_tag(event.tag, "seq", where)
            node = Sequence(tuple(self._items(events)), where)
        else:
            self._check_tag(event.tag, "map", where)
            node = self._mapping(events, where)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _items(self, events: Iterator[Any]) -> Iterator[Node]:
        while type(event := next(events)) not in _ENDS:
            yield self._node(event, events)

    def _mapping(self, events: Iterator[Any], where: Where) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        while type(event := next(events)) not in _ENDS:
            key = self._node(event, events)
            value = self._node(next(events), events)
            if type(event) is yaml.ScalarEvent and event.value == MERGE and event.implicit[0]:
                self._merge(value, merged, _where(event, self._file))
            elif not isinstance(key, Scalar):
                self._problems.add("a key must be a single word, not a list or a mapping", _where(event, self._file))
            elif key.text in entries:
                place = _where(event, self._file)
                first = entries[key.text][0].where
                message = f"the key {quote(key.text)} stands twice: first in line {first.line}, column {first.column}"
                self._problems.add(message, place, "Keep one of the two.")
            else:
                entries[key.text] = (key, value)
        return Mapping(tuple((merged | entries).values() if merged else entries.values()), where)

    def _merge(self, value: Node, merged: dict[str, tuple[Scalar, Node]], place: Where) -> None:
        """`<<`: the entries of a mapping, or of several; of two with one key the first counts."""
        sources = value.items if isinstance(value, Sequence) else (value,)
        if merged:
            self._problems.add(f"the key {quote(MERGE)} stands twice", place, "Write one, with a list: <<: [*a, *b].")
        for source in sources:
            if isinstance(source, Mapping):
                for key, node in source.entries:
                    merged.setdefault(key.text, (key, node))
            else:
                hint = "Write <<: *name, or <<: [*a, *b]; the name is given with &name at a mapping."
                self._problems.add(f"{quote(MERGE)} takes in the entries of a mapping", place, hint)

    def _check_tag(self, tag: str | None, expected: str, where: Where) -> None:
        if tag not in (None, "!", _TAG + expected):
            self._problems.add(f"the tag {quote(tag or '')} is not read here", where, "Remove the tag.")

    def _scalar(self, event: Any, where: Where) -> Scalar:
        tag = event.tag
        if tag is None:
            text = event.value
            if not event.implicit[0] or (text and text[0] not in _FIRST):
                return Scalar(text, text, where)
            return Scalar(self._resolve(text, where), text, where)
        if tag.removeprefix(_TAG) in _SCALAR_TAGS and tag.startswith(_TAG):
            kind = tag.removeprefix(_TAG)
        elif tag == "!":
            kind = "str"
        else:
            self._problems.add(f"the tag {quote(tag)} is not read here", where, "Remove the tag.")
            kind = "str"
        if kind == "str":
            return Scalar(event.value, event.value, where)
        value = self._resolve(event.value, where)
        if _kind_of(value) != kind and not (kind == "float" and isinstance(value, int)):
            self._problems.add(f"{quote(event.value)} is no {kind}, as its tag says", where)
        return Scalar(value, event.value, where)

    def _resolve(self, text: str, where: Where) -> str | float | bool | None:
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text[0] in "tT"
        based = _BASED.match(text)
        if based or _INT.match(text):
            number = None if len(text) > 2 + 22 else int(text, 0)  # 22 octal digits hold 64 bits
            if number is None or not -(2**63) <= number < 2**63:
                self._problems.add("an integer of more than 64 bits", where, "Quote it if it is text.")
                return 0
            return number
        if _FLOAT.match(text) or _SPECIAL.match(text):
            return float(re.sub(r"\.(?=[inIN])", "", text))
        return text


def _kind_of(value: str | float | bool | None) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "str"
