"""The `edit` of a rule: members of a JSON object are set, given a default, renamed or removed, and no other byte changes (P04).

A plan is compiled once from the paths that a rule names; what is set is given with each request. The plan works on `Spans`, on a
text that is here as a whole (`apply`) or on one kept as the pieces it arrived in (`segments`), where the untouched stretches
stay where they are. Nothing here evaluates an expression or knows a field of any protocol.

What an edit means, in order, each seeing what the ones before it left:
- a new member stands last in its object, directly before the closing brace; missing objects on the way to it are made;
- a member that is removed takes one comma with it, and the white space between it and that comma;
- a rename below the same object changes the key and nothing else; to another object, the value moves as it is;
- a null says nothing: it gives way to an object that is wanted in its place, and of two names of a rename the other one counts.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from translators.formats import strict_json
from translators.formats.chunks import Piece, Source, bytes_of
from translators.formats.members import Member, Path, Spans, Watch
from translators.formats.overlay import Entry, Object, Patch, deletions, joined, new_entry, start_of
from translators.formats.spans import find_spans, raw_members
from translators.formats.strict_json import BadJsonError


class Set(NamedTuple):
    """The member gets this value (JSON text); None leaves it as it is, present or absent."""

    path: Path
    value: bytes | None = None


class Default(NamedTuple):
    """The member gets this value (JSON text) when it is absent; a null is present. None leaves it absent."""

    path: Path
    value: bytes | None = None


class Rename(NamedTuple):
    """The member gets another key, or another place; nothing happens when it is absent."""

    path: Path
    new_path: Path


class Remove(NamedTuple):
    """The member goes, when it is there."""

    path: Path


Edit = Set | Default | Rename | Remove

_Step = tuple[type[Edit], str, Any]  # what is done with the member of this key; its new value (Raw), or its new key
_PRINT: Final = msgspec.json.Encoder().encode  # a Raw stands as it is

_SEGMENT: Final = re.compile(r'("(?:[^"\\]|\\.)+")|([^\s."\\\[\]{}()*|&,:]+)')


def parse_path(text: str) -> Path:
    """`a.b` or `"a.b".c` as keys; a key in double quotes is written as in JSON. Raises ValueError with the reason."""
    keys: list[str] = []
    at = 0
    while True:
        match = _SEGMENT.match(text, at)
        if match is None:
            hint = "list indices are not supported" if text[at : at + 1] == "[" else 'write other keys in double quotes: "a.b".c'
            raise ValueError(f"the path {text!r} has no key at character {at + 1}; keys are joined by dots, {hint}")
        try:
            keys.append(strict_json.loads(match[1].encode()) if match[1] else match[2])
        except BadJsonError:
            raise ValueError(f"the path {text!r} has a key at character {at + 1} that is no JSON string") from None
        at = match.end()
        if at == len(text):
            return tuple(keys)
        if text[at] != ".":
            hint = "list indices are not supported" if text[at] == "[" else "a dot was expected"
            raise ValueError(f"the path {text!r} cannot be read from character {at + 1} on; {hint}")
        at += 1


def format_path(path: Path) -> str:
    """A path as `parse_path` reads it."""
    return ".".join(key if (match := _SEGMENT.fullmatch(key)) and match[2] else orjson.dumps(key).decode() for key in path)


def read(source: Source, spans: Spans, path: Path, default: Any = None) -> Any:
    """The value of a watched member, `default` when it is absent. Parses that member only.

    Raises BadJsonError as `strict_json.loads` does, and (400) when a watched key stands twice.
    """
    spans.refuse_duplicates()
    member = spans.members.get(path)
    return default if member is None else strict_json.loads(bytes_of(source, member.value_start, member.value_end))


class EditPlan:
    """The paths of one rule's edits, compiled. Immutable; `watch` is what a SpanScanner needs."""

    __slots__ = ("_apart", "_known", "_last", "_outermost", "_tokens", "watch")

    def __init__(self, edits: Iterable[Edit], reads: Iterable[Path] = ()) -> None:
        known: set[Path] = set()
        for edit in edits:
            known.add(edit.path)
            if isinstance(edit, Rename):
                known.add(edit.new_path)
                shorter = min(len(edit.path), len(edit.new_path))
                if edit.path[:shorter] == edit.new_path[:shorter]:
                    paths = f"{format_path(edit.path)} cannot be renamed to {format_path(edit.new_path)}"
                    raise ValueError(f"{paths}: one path lies within the other; name two different members")
        reads = tuple(reads)
        if () in known or () in reads:
            raise ValueError("a path needs at least one key")
        self._known = frozenset(known)
        self._last: tuple[Sequence[Edit] | None, list[_Step] | None] = (None, None)  # see `_outermost_edited`
        self._apart = not any(path[:size] in known for path in known for size in range(1, len(path)))
        self._tokens = {key: orjson.dumps(key) for path in known for key in path}
        # members of the outermost object, of whose keys both printers think alike
        self._outermost = frozenset(path for path in known if len(path) == 1 and _PRINT(path[0]) == self._tokens[path[0]])
        self.watch = Watch((*known, *reads))

    def apply(self, data: bytes, operations: Sequence[Edit], spans: Spans | None = None) -> bytes:
        """The edited text; `data` itself when nothing changes. `spans` spares finding them again.

        `data` must have passed `strict_json.loads` (or a scanner). Raises BadJsonError (400) when the body is no object, an
        object on a path is something else, a watched key stands twice, or a rename finds both names.
        """
        if not operations:
            return data
        if spans is None:
            edited = self._outermost_edited(data, operations)
            if edited is not None:
                return edited
            spans = find_spans(data, self.watch)
        patches = self._patches(data, spans, operations)
        if not patches:
            return data
        pieces: list[bytes] = []
        at = 0
        for start, end, new in patches:
            pieces.append(data[at:start])
            pieces.extend(piece if isinstance(piece, bytes) else data[piece[0] : piece[1]] for piece in new)
            at = end
        pieces.append(data[at:])
        return b"".join(pieces)

    def _outermost_edited(self, data: bytes, operations: Sequence[Edit]) -> bytes | None:
        """The edited text when it is compact and every edit is of a member of the outermost object; None for all else.

        A text is compact when its members print as the text itself: no white space is between them then, and no key has an escape
        or stands twice. The patches below give the same in three times the time (1 KB).
        """
        last, steps = self._last
        if operations is not last:
            steps = self._steps(operations)
            if isinstance(operations, tuple):  # it cannot change: a rule mostly has the same ones for every request
                self._last = (operations, steps)
        members = None if steps is None else raw_members(data)
        if steps is None or members is None or _PRINT(members) != data:
            return None
        for kind, key, new in steps:
            if kind is Set:
                members[key] = new
            elif kind is Default:
                members.setdefault(key, new)
            elif kind is Remove:
                members.pop(key, None)
            elif key in members:
                if new in members:
                    return None
                members = {new if name == key else name: raw for name, raw in members.items()}
        edited = _PRINT(members)
        return data if edited == data else edited

    def _steps(self, operations: Sequence[Edit]) -> list[_Step] | None:
        """The edits as changes of a dict, when each is of a member of the outermost object."""
        steps: list[_Step] = []
        for operation in operations:
            if operation.path not in self._outermost:
                return None
            if isinstance(operation, Rename):
                if operation.new_path not in self._outermost:
                    return None
                steps.append((Rename, operation.path[0], operation.new_path[0]))
            elif isinstance(operation, Remove):
                steps.append((Remove, operation.path[0], None))
            elif operation.value is not None:
                steps.append((type(operation), operation.path[0], msgspec.Raw(operation.value)))
        return steps

    def segments(self, source: Source, spans: Spans, operations: Sequence[Edit]) -> list[Piece]:
        """The edited text as stretches of the source and new bytes, in order. Errors as for `apply`.

        The source is looked into only when an edit reaches into a value that another one moved.
        """
        return joined(0, spans.length, self._patches(source, spans, operations) if operations else [])

    def _patches(self, source: Source, spans: Spans, operations: Sequence[Edit]) -> list[Patch]:
        spans.refuse_duplicates()
        known = self._known
        for operation in operations:
            if operation.path not in known or (isinstance(operation, Rename) and operation.new_path not in known):
                raise ValueError(f"{format_path(operation.path)} is no path of this plan; compile the plan with it")
        if () not in spans.objects:
            raise BadJsonError(400, "body_not_object", "the body is JSON, but not an object; send a JSON object")
        patches = self._direct(spans, operations) if self._apart else None
        if patches is None:
            run = _Run(source, spans, self)
            for operation in operations:
                run.do(operation)
            patches = []
            run.root.patches(patches)
        if len(patches) > 1:
            patches.sort(key=start_of)
        return patches

    def _direct(self, spans: Spans, operations: Sequence[Edit]) -> list[Patch] | None:
        """The patches when no edit can see what another one left; None when one can, or when an error is to be told.

        The overlay gives the same; this takes half its time for the usual two or three edits of 1 KB.
        """
        members, objects = spans.members, spans.objects
        patches: list[Patch] = []
        gone: dict[Path, list[Member]] = {}
        new: dict[Path, list[bytes]] = {}
        touched: set[Path] = set()
        for operation in operations:
            path = operation.path
            if path in touched:
                return None
            touched.add(path)
            member = members.get(path)
            if isinstance(operation, Remove):
                if member is not None:
                    gone.setdefault(path[:-1], []).append(member)
            elif isinstance(operation, Rename):
                new_path = operation.new_path
                if member is None:
                    continue
                if path[:-1] != new_path[:-1] or new_path in members or new_path in touched:
                    return None
                touched.add(new_path)
                patches.append((member.key_start, member.key_end, [self._tokens[new_path[-1]]]))
            elif operation.value is None:
                continue
            elif member is not None:
                if isinstance(operation, Set):
                    patches.append((member.value_start, member.value_end, [operation.value]))
            elif path[:-1] in objects:
                new.setdefault(path[:-1], []).append(b",%b:%b" % (self._tokens[path[-1]], operation.value))
            else:
                return None
        emptied = [parent for parent, leaving in gone.items() if deletions(leaving, patches)]
        for parent, added in new.items():
            span = objects[parent]
            if span.empty or parent in emptied:
                added[0] = added[0][1:]
            patches.append((span.close, span.close, [*added]))
        return patches

    def token(self, key: str) -> bytes:
        """The key as JSON text."""
        return self._tokens[key]


class _Run:
    """The edits of one request on one text."""

    __slots__ = ("plan", "root", "source")

    def __init__(self, source: Source, spans: Spans, plan: EditPlan) -> None:
        self.source = source
        self.plan = plan
        self.root = Object((), plan.watch, spans)

    def do(self, operation: Edit) -> None:
        if isinstance(operation, (Set, Default)):
            if operation.value is not None:
                self._put(operation, operation.value)
        elif isinstance(operation, Remove):
            where = self._find(operation.path)
            if where is not None:
                where.take(operation.path[-1])
        else:
            self._rename(operation)

    def _put(self, operation: Set | Default, value: bytes) -> None:
        where = self._make(operation.path)
        key = operation.path[-1]
        entry = where.entries.get(key)
        if entry is None:
            where.entries[key] = new_entry(self.plan.token(key), [value])
        elif isinstance(operation, Set):
            entry.value = [value]

    def _rename(self, operation: Rename) -> None:
        old, new = operation.path, operation.new_path
        source = self._find(old)
        if source is None or old[-1] not in source.entries:
            return
        target = self._make(new)
        there = target.entries.get(new[-1])
        if there is not None and self._is_null(there):
            target.take(new[-1])
        elif there is not None and self._is_null(source.entries[old[-1]]):
            source.take(old[-1])
            return
        elif there is not None:
            message = f"the body gives both {format_path(old)} and {format_path(new)}, which mean the same; send one of them"
            raise BadJsonError(400, "conflicting_fields", message)
        token = self.plan.token(new[-1])
        if old[:-1] == new[:-1]:
            source.entries[old[-1]].key = token
            # in its old place: the order of the entries is the order in which new members are written
            source.entries = {new[-1] if key == old[-1] else key: entry for key, entry in source.entries.items()}
            return
        taken = source.take(old[-1])
        assert taken is not None
        target.entries[new[-1]] = new_entry(token, taken.value if isinstance(taken.value, Object) else taken.pieces())

    def _find(self, path: Path) -> Object | None:
        """The object that would hold the member; None when there is none."""
        where = self.root
        for index in range(1, len(path)):
            entry = where.entries.get(path[index - 1])
            inner = None if entry is None else self._enter(entry, path[:index])
            if inner is None:
                return None
            where = inner
        return where

    def _make(self, path: Path) -> Object:
        """The object that holds the member or will; made when it is missing. BadJsonError (400) when something else is there."""
        where = self.root
        for index in range(1, len(path)):
            key = path[index - 1]
            entry = where.entries.get(key)
            if entry is None:
                made = Object()
                where.entries[key] = new_entry(self.plan.token(key), made)
                where = made
                continue
            inner = self._enter(entry, path[:index])
            if inner is None and self._is_null(entry):
                entry.value = inner = Object()
            if inner is None:
                message = f"{format_path(path[:index])} in the body is not an object, but {format_path(path)} belongs into it"
                raise BadJsonError(400, "not_an_object", message + "; send an object or leave it out")
            where = inner
        return where

    def _enter(self, entry: Entry, path: Path) -> Object | None:
        """The object that is the entry's value, None when it is something else; `path` is where the entry stands by now."""
        wanted = self.plan.watch
        for key in path:
            wanted = wanted.below[key]
        value = entry.value
        if isinstance(value, Object):
            if value.watch is None or value.watch.below.keys() >= wanted.below.keys():
                return value
        elif value is None and entry.path == path and entry.home is not None and entry.home.spans is not None:
            if path not in entry.home.spans.objects:
                return None
            entry.value = Object(path, wanted, entry.home.spans, entry.home.text)
            return entry.value
        # an edit has put it here, with members inside that nobody has looked for yet
        text = self._text(entry.pieces())
        spans = find_spans(text, wanted)
        spans.refuse_duplicates()
        if path not in spans.objects:
            return None
        entry.value = Object(path, wanted, spans, text)
        return entry.value

    def _is_null(self, entry: Entry) -> bool:
        if isinstance(entry.value, Object):
            return False
        pieces = entry.pieces()
        size = sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)
        return size == len(b"null") and self._text(pieces) == b"null"

    def _text(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(piece if isinstance(piece, bytes) else bytes_of(self.source, *piece) for piece in pieces)
