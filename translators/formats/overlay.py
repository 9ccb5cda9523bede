"""What edits have made of the objects of one JSON text, before it is written: which members stay, go, come, or have another key.

An overlay knows only the members that a plan watches; it never holds the text, but stretches of it. `edits` says what an edit
means and drives this; here it is turned into patches.
"""

from translators.formats.chunks import Piece
from translators.formats.members import Member, ObjectSpan, Path, Spans, Watch

Patch = tuple[int, int, list[Piece]]  # from, up to, what stands there instead


def start_of(patch: Patch) -> int:
    return patch[0]


def joined(start: int, end: int, patches: list[Patch]) -> list[Piece]:
    """The stretch from `start` to `end` with its patches put in."""
    pieces: list[Piece] = []
    for from_, to, new in patches:
        if from_ > start:
            pieces.append((start, from_))
        pieces.extend(piece for piece in new if piece)
        start = to
    if end > start:
        pieces.append((start, end))
    return pieces


class Entry:
    """A member as the edits have left it so far."""

    __slots__ = ("home", "key", "member", "path", "value")

    def __init__(self, home: "Object | None", path: Path, member: Member | None) -> None:
        self.home = home  # the object in whose text it stands, and
        self.member = member  # where; None for a new one
        self.path = path  # its path in that text
        self.key: bytes | None = None  # its new key, as JSON text
        self.value: Object | list[Piece] | None = None  # None: as it stands in the text

    def pieces(self) -> list[Piece]:
        value = self.value
        if value is None:
            assert self.member is not None
            assert self.home is not None
            return self.home.resolved([(self.member.value_start, self.member.value_end)])
        return value.pieces() if isinstance(value, Object) else value


def new_entry(key: bytes, value: "Object | list[Piece]") -> Entry:
    entry = Entry(None, (), None)
    entry.key = key
    entry.value = value
    return entry


class Object:
    """A watched object as the edits have left it so far.

    `span` is where it stands: in the source, or in `text` when an edit has put it there; None when an edit made it. `watch` are
    the members known of it; None means all.
    """

    __slots__ = ("entries", "gone", "span", "spans", "text", "watch")

    def __init__(self, path: Path = (), watch: Watch | None = None, spans: Spans | None = None, text: bytes | None = None) -> None:
        self.watch = watch
        self.spans = spans
        self.text = text
        self.span: ObjectSpan | None = None
        self.entries: dict[str, Entry] = {}
        self.gone: list[Member] = []
        if watch is not None and spans is not None:
            self.span = spans.objects[path]
            members = spans.members
            for key in watch.below:
                here = (*path, key)
                if here in members:
                    self.entries[key] = Entry(self, here, members[here])

    def take(self, key: str) -> Entry | None:
        entry = self.entries.pop(key, None)
        if entry is not None and entry.member is not None:
            self.gone.append(entry.member)
        return entry

    def resolved(self, pieces: list[Piece]) -> list[Piece]:
        """Stretches of an own text as bytes; those of the source as they are."""
        if self.text is None:
            return pieces
        return [piece if isinstance(piece, bytes) else self.text[piece[0] : piece[1]] for piece in pieces]

    def pieces(self) -> list[Piece]:
        if self.span is None:
            return [b"{", *self._appended(first=True), b"}"]
        patches: list[Patch] = []
        self.patches(patches)
        patches.sort(key=start_of)
        return self.resolved(joined(self.span.open, self.span.close + 1, patches))

    def patches(self, out: list[Patch]) -> None:
        """Add what must change in the text of an object that stands in it."""
        assert self.span is not None
        empty = deletions(self.gone, out) if self.gone else self.span.empty
        new = False
        for entry in self.entries.values():
            member = entry.member
            if member is None:
                new = True
                continue
            if entry.key is not None:
                out.append((member.key_start, member.key_end, [entry.key]))
            value = entry.value
            if value is None:
                continue
            if isinstance(value, Object) and value.text is self.text and value.span is not None:
                value.patches(out)
            else:
                out.append((member.value_start, member.value_end, entry.pieces()))
        if new:
            out.append((self.span.close, self.span.close, self._appended(first=empty)))

    def _appended(self, *, first: bool) -> list[Piece]:
        pieces: list[Piece] = []
        for entry in self.entries.values():
            if entry.member is None:
                assert entry.key is not None
                pieces.append(entry.key + b":" if first else b"," + entry.key + b":")
                pieces.extend(entry.pieces())
                first = False
        return pieces


def deletions(gone: list[Member], out: list[Patch]) -> bool:
    """Take members out of one object, each with one comma; True when none is left.

    The members removed from the front go with the comma after them, up to the first key that stays, all others with the comma
    before them.
    """
    gone.sort()
    rest = 0
    if gone[0].comma < 0:
        rest = 1
        while rest < len(gone) and gone[rest - 1].next_key == gone[rest].key_start:
            rest += 1
        last = gone[rest - 1]
        out.append((gone[0].key_start, last.next_key if last.next_key >= 0 else last.value_end, []))
        if last.next_key < 0:
            return True
    out.extend((member.comma, member.value_end, []) for member in gone[rest:])
    return False
