"""A `multipart/form-data` body carried on with only the named parts changed (rule P07).

Bytes in, bytes out, as they come: besides what `multipart` holds, no more is held than the value of one part that `Replace` looks
at, while it still is the one looked for.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from translators.formats.multipart import (
    End,
    MultipartError,
    MultipartLimits,
    MultipartReader,
    Outside,
    PartData,
    PartEnd,
    PartHead,
    Piece,
    RepeatedPartError,
    quoted,
    text_head,
)


@dataclass(frozen=True, slots=True)
class Rename:
    """The parts `old` get the name `new`; what stands in brackets after `old` stays."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Set:
    """The first part `name` becomes this text field, further ones leave; appended where there is none."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Default:
    """This text field is appended where there is no part `name`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Remove:
    """The parts `name` leave."""

    name: str


Change = Rename | Set | Default | Remove


@dataclass(frozen=True, slots=True)
class Replace:
    """The text part `name` whose value is `old` gets the value `new`, before any other change; nothing is appended."""

    name: str
    old: str
    new: str


class MultipartRewriter:
    """Carries a body on with only the named parts changed; all other bytes stay as they came (rule P07).

    A change names a part, and with it all parts that go on with a bracket: `image` is `image`, `image[]` and `image[0]`, as
    `metadata[a]` is also `metadata[a][b]`. The changes hold one after another, as in an `edit`. A text part that is set keeps its
    header section; what is appended stands before the closing boundary line.
    The boundary stays the client's: that a new one is free could only be known at the end of the body. A value that holds the
    boundary is therefore refused when the rewriter is made, with MultipartError. `once`: names of parts that may stand only once,
    and not as a list.
    """

    __slots__ = (
        "_awaited", "_boundary", "_carrying", "_changed", "_changes", "_met", "_new", "_old", "_once", "_reader", "_replaced",
        "_seen", "_started",
    )  # fmt: skip

    def __init__(
        self,
        boundary: bytes,
        changes: Sequence[Change],
        limits: MultipartLimits | None = None,
        *,
        replace: Replace | None = None,
        once: Collection[str] = (),
    ) -> None:
        self._reader = MultipartReader(boundary, limits)
        self._boundary = boundary
        self._changes = tuple(changes)
        values = [(change.name, change.value) for change in self._changes if isinstance(change, Set | Default)]
        values += [(replace.name, replace.new)] if replace is not None else []
        for name, value in values:
            if b"--" + boundary in _bytes(value):
                raise MultipartError(f"the new value of the part `{name}` holds the boundary of the body")
        self._replaced = replace.name if replace is not None else None
        self._old, self._new = (_bytes(replace.old), _bytes(replace.new)) if replace is not None else (b"", b"")
        self._awaited: bytes | None = None  # of a part that may be replaced: what has come of its value
        self._once = once
        self._seen: set[str] = set()  # of `once`
        self._met: set[int] = set()  # indices of the Set and Default changes that have met their part
        self._carrying = True  # the data of the current part goes on
        self._changed = False  # what stood before the next boundary line is no more what came
        self._started = False  # a byte went out

    @property
    def idle(self) -> bool:
        """Whether nothing is changed: what goes on is what came."""
        return not self._changes and self._replaced is None

    def feed(self, data: bytes) -> bytes:
        """The bytes that go on for these; raises MultipartError."""
        return self._write(self._reader.feed(data))

    def finish(self) -> bytes:
        """The last bytes; raises MultipartError for a body without its closing boundary line."""
        return self._write(self._reader.finish())

    def _write(self, pieces: list[Piece]) -> bytes:
        out: list[bytes | memoryview] = []
        for piece in pieces:
            match piece:
                case PartData(data):
                    if self._awaited is not None:
                        out.append(self._compared(data))
                    elif self._carrying:
                        out.append(data)
                case PartEnd():
                    if self._awaited is not None:
                        out.append(self._compared_whole(self._awaited))
                case Outside(data):
                    out.append(data)
                case PartHead():
                    out += self._part(piece)
                case End(delimiter):
                    for head, value in self._missing():
                        self._changed = True
                        out += [self._line(b"--" + self._boundary + b"\r\n"), head, value]
                        self._changed = True
                    out.append(self._line(delimiter))
            self._started = self._started or bool(out)
        return b"".join(out)

    def _compared(self, data: memoryview) -> bytes:
        """Of a value that may be replaced: what goes on as it is clear by now that it stays."""
        awaited = (self._awaited or b"") + data
        if self._old.startswith(awaited):
            self._awaited = awaited
            return b""
        self._awaited = None
        return awaited

    def _compared_whole(self, value: bytes) -> bytes:
        """What goes on at the end of a part whose value may be replaced."""
        self._awaited = None
        if value != self._old:
            return value
        self._changed = True
        return self._new

    def _check_once(self, name: str) -> None:
        key = name.removesuffix("[]")
        if key in self._once:
            if key in self._seen or key != name:
                raise RepeatedPartError(key)
            self._seen.add(key)

    def _part(self, head: PartHead) -> list[bytes]:
        if head.name is not None:
            self._check_once(head.name)
        kept = (head.name, None) if head.name is None else self._after_changes(head.name, None, 0)
        self._carrying = kept is not None and kept[1] is None
        if self._carrying and head.name is not None and head.name == self._replaced and head.filename is None:
            self._awaited = b""
        if kept is None:
            self._changed = True
            return []
        name, value = kept
        line = self._line(head.delimiter)
        if value is None:
            return [line, head.raw if name is None or name == head.name else _renamed(head, name)]
        self._changed = True
        same = name == head.name and head.filename is None
        plain = same and all(key.lower() in (b"content-disposition", b"content-type") for key, _ in head.headers)
        return [line, head.raw if plain else text_head(name or ""), value]

    def _line(self, delimiter: bytes) -> bytes:
        """The boundary line, which keeps its bytes unless what stood before it left or is new."""
        self._started, started = True, self._started
        if not self._changed:
            return delimiter
        self._changed = False
        return (b"\r\n" if started else b"") + delimiter.removeprefix(b"\r\n")

    def _after_changes(self, name: str, value: bytes | None, first: int) -> tuple[str, bytes | None] | None:
        """The name and new value (None: its own) of a part after the changes from `first` on; None when it leaves."""
        for index, change in enumerate(self._changes[first:], first):
            key = change.old if isinstance(change, Rename) else change.name
            if name != key and not name.startswith(key + "["):
                continue
            if isinstance(change, Rename):
                name = change.new + name[len(key) :]
            elif isinstance(change, Remove) or (isinstance(change, Set) and index in self._met):
                return None
            else:
                self._met.add(index)
                if isinstance(change, Set):
                    name, value = key, _bytes(change.value)
        return name, value

    def _missing(self) -> list[tuple[bytes, bytes]]:
        found = []
        for index, change in enumerate(self._changes):
            if isinstance(change, Set | Default) and index not in self._met:
                field = self._after_changes(change.name, _bytes(change.value), index + 1)
                if field:
                    found.append((text_head(field[0]), field[1] or b""))
        return found


def _renamed(head: PartHead, name: str) -> bytes:
    start, end = head.name_span
    return head.raw[:start] + quoted(name) + head.raw[end:]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
