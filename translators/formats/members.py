"""What is to be found in the text of a JSON object, and what was found: the data that `spans`, `scanner` and `edits` share.

All offsets count bytes from the start of the text. Nothing here reads a text.
"""

from collections.abc import Iterable
from typing import NamedTuple

from translators.formats.strict_json import BadJsonError

Path = tuple[str, ...]


class Member(NamedTuple):
    """One member of an object: `"key": value`, with the offsets an editor needs."""

    key_start: int  # the key's opening quote
    key_end: int  # after its closing quote
    value_start: int
    value_end: int
    comma: int  # the comma before it; -1 for the first member
    next_key: int  # the opening quote of the next member's key; -1 for the last member


class ObjectSpan(NamedTuple):
    """One object: offsets of its braces, and whether nothing stands between them."""

    open: int
    close: int
    empty: bool


class Spans:
    """What was found. `members` and `objects` are keyed by path (the outermost object is `()`).

    `objects` has the outermost object and every watched member that is an object and has watched members below it.
    `duplicates` are watched paths whose key stands more than once in its object; `members` then has the first of them.
    `length` is the size of the whole text.
    """

    __slots__ = ("duplicates", "length", "members", "objects")

    def __init__(self) -> None:
        self.members: dict[Path, Member] = {}
        self.objects: dict[Path, ObjectSpan] = {}
        self.duplicates: list[Path] = []
        self.length = 0

    def refuse_duplicates(self) -> None:
        """Raise BadJsonError (400) when a watched key stands twice: parsers disagree on which one counts (rule P02)."""
        if self.duplicates:
            name = ".".join(self.duplicates[0])
            message = f"the key {name!r} stands more than once in the same JSON object; send it once"
            raise BadJsonError(400, "duplicate_key", message)


class Watch:
    """The paths to find, as a tree; immutable once made."""

    __slots__ = ("below", "deep", "longest", "path")

    def __init__(self, paths: Iterable[Path], path: Path = ()) -> None:
        heads: dict[str, list[Path]] = {}
        for key, *rest in paths:
            heads.setdefault(key, [])
            if rest:
                heads[key].append(tuple(rest))
        self.path = path
        self.below = {key: Watch(rests, (*path, key)) for key, rests in heads.items()}
        self.deep = tuple((key, watch) for key, watch in self.below.items() if watch.below)
        # a character takes six bytes as an escape (twelve outside the basic plane): a longer key is none of ours
        self.longest = max((12 * len(key) for key in self.below), default=0)
