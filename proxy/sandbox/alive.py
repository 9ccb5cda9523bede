"""Makes an example's answer alive: ids are those of the task at hand, times are now, URLs lead to the sandbox, media is real.

What is not recognised stays as the example has it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from proxy.sandbox import media
from proxy.sandbox.asked import leaves
from proxy.sandbox.media import FILES, Kind
from proxy.sandbox.pictures import AUTO
from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.model import Upstream

_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")
_TIME = re.compile(r"(?:^|_)(?:at|time|timestamp|created|updated|expires|ts)$|(?:At|Time|Timestamp)$")
_FORMAT = re.compile(r"format|type$", re.IGNORECASE)
_ERA = range(1_500_000_000, 2_500_000_000)  # Unix seconds that are meant as a date
_HINTS = {"video": media.MP4, "audio": media.MP3, "music": media.MP3, "mp3": media.MP3, "wav": media.WAV}


@dataclass(frozen=True, slots=True)
class Reviver:
    """`ids` are ids of the example with those that stand for them, `shift` the seconds that times move by,
    but not past `now`, except for an expiry.

    `base` is the platform's address in the sandbox, `upstream` the real one, `kinds` what the examples tell of URLs, `default` the
    kind of the others. `seed` lets two tasks have different files; `wanted` and `size` are what the request asked for. `echoed` has
    what the example's answer repeats of its request, by member and value, with what this request says there.
    """

    base: str
    upstream: Upstream
    ids: Mapping[str, str] = field(default_factory=dict)
    shift: float = 0.0
    now: float = 0.0
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    default: Kind = media.PNG
    seed: str = ""
    wanted: Kind | None = None
    size: tuple[int, int] = AUTO
    echoed: Mapping[tuple[str, object], object] = field(default_factory=dict)

    def value(self, value: Any, name: str = "", place: str = "") -> Any:
        """A JSON value, alive; `name` is the member that holds it, `place` tells the later elements of lists apart."""
        if isinstance(value, Mapping):
            return {key: self.value(member, str(key), place) for key, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(element, name, f"{place} {number}" if number else place) for number, element in enumerate(value)]
        if not isinstance(value, bool) and (name, value) in self.echoed and str(value) not in self.ids:
            return self.echoed[name, value]
        if isinstance(value, str):
            return self._text(value, name, place)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value, name)
        return value

    def _number(self, value: float, name: str) -> float:
        fresh = self.ids.get(str(value))
        if fresh is not None and fresh.isdecimal():
            return int(fresh)
        if _TIME.search(name):
            for scale in (1, 1000):
                if int(value / scale) in _ERA:
                    moved = value + self.shift * scale
                    return type(value)(moved if "xpire" in name else min(moved, self.now * scale))
        return value

    def _text(self, text: str, name: str, place: str = "") -> str:
        if isinstance(text, _Piece):
            return str(text)
        if text in self.ids:
            return self.ids[text]
        if _URL.fullmatch(text):
            return self._url(text, name, place)
        if _TIME.search(name) and text.isdecimal():
            return str(self._number(int(text), name))
        found = media.embedded(text)
        if found is not None:
            return found.write(self.file(found.kind, name + place))
        if self.wanted is not None and _FORMAT.search(name):
            kind = media.by_extension(text)
            return self.wanted.extension if kind is not None and kind.family == self.wanted.family else text
        for old, fresh in self.ids.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(old)}(?![A-Za-z0-9])", fresh, text)
        return text

    def _url(self, url: str, name: str, place: str) -> str:
        """A URL of the platform's own leads to the same path in the sandbox, any other to a file of the kind it seems to mean."""
        split = urlsplit(url)
        kind = self.kinds.get(url) or media.by_extension(split.path.rpartition(".")[2])
        if kind is None and split.hostname == self.upstream.host:
            rest = url.partition("://")[2][len(split.netloc) :].removeprefix(self.upstream.base)
            return self.base + self._renamed_path(rest)
        kind = kind or next((hint for word, hint in _HINTS.items() if word in name.lower()), self.default)
        return self.base + FILES + media.name_of(self.made(kind), media.seed_of(self.seed, url + place), self.size)

    def _renamed_path(self, rest: str) -> str:
        path, mark, query = rest.partition("?")
        return "/".join(self.ids.get(part, part) for part in path.split("/")) + mark + query

    def made(self, kind: Kind) -> Kind:
        """The kind itself, or the one the request asked for, where both are of one family."""
        return self.wanted if self.wanted is not None and self.wanted.family == kind.family else kind

    def file(self, kind: Kind, name: str) -> bytes:
        """The file of a name, of this kind or of the one that the request asked for."""
        return media.made(self.made(kind), media.seed_of(self.seed, name), self.size)

    # -- streams

    def events(self, text: str) -> list[bytes]:
        """The events of a stream, in order, each with its blank line. Media that is cut into events is cut anew."""
        blocks = [block for block in re.split(r"(?<=\n)\n+", text) if block.strip()]
        values = [_data_of(block) for block in blocks]
        self._cut(values)
        out = []
        for block, value in zip(blocks, values, strict=True):
            data = self.value(value) if value is not None else None
            lines = block.rstrip("\n").split("\n")
            kept = [line for line in lines if not line.startswith("data:")] if value is not None else lines
            new = [f"data: {dumps(data).decode()}"] if value is not None else []
            out.append(("\n".join([*kept, *new]) + "\n\n").encode())
        return out

    def _cut(self, values: Sequence[Any]) -> None:
        """Put a whole file in place of the pieces of one that the events hold; an end that repeats them repeats the new ones."""
        paths = {path for value in values for path, text in leaves(value) if isinstance(text, str) and media.embedded(text)}
        for path in sorted(path for path in paths if "[]" not in path):
            pieces = [(value, text) for value in values for at, text in leaves(value) if at == path and isinstance(text, str)]
            written = media.embedded(pieces[0][1])
            if written is None or len(pieces) < 2:
                continue
            repeated = pieces[-1][1] == "".join(text for _, text in pieces[:-1])
            parts = len(pieces) - repeated
            if any(media.embedded(text) for _, text in pieces[1:parts]):
                continue  # each is a file of its own
            data = self.file(written.kind, path)
            step = -(-len(data) // parts)
            new = [data[place * step : (place + 1) * step] for place in range(parts)] + ([data] if repeated else [])
            for (value, _), piece in zip(pieces, new, strict=True):
                _put(value, path, _Piece(written.write(piece)))


class _Piece(str):
    """A text that is alive already."""

    __slots__ = ()


def _put(value: Any, path: str, text: str) -> None:
    *parents, last = path.lstrip(".").split(".")
    for name in parents:
        value = value[name]
    value[last] = text


def _data_of(block: str) -> Any:
    """The JSON of an event's data; None where it is none."""
    data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
    try:
        found = loads(data.encode())
    except BadJsonError:
        return None
    return found if isinstance(found, dict) else None


# --- single values changed ---


def with_progress(value: Any, reads: Callable[[Any], object], percent: int) -> Any:
    """The value with its progress set, where changing one scalar changes what `reads` reads; else the value as it is."""
    for path, old in _places(value):
        new = _like(old, percent)
        if new is None:
            continue
        changed = _with(value, path, new)
        if reads(changed) != reads(value) or (new == old and reads(_with(value, path, _like(old, percent + 1))) != reads(value)):
            return changed
    return value


def with_text(value: Any, reads: Callable[[Any], object], text: str) -> Any:
    """The value with the one scalar set that `reads` reads; None where there is none."""
    changes = (_with(value, path, text) for path, old in _places(value) if isinstance(old, str))
    return next((changed for changed in changes if reads(changed) == text), None)


def _like(old: object, percent: int) -> object:
    if isinstance(old, str):
        found = re.fullmatch(r"\d{1,3}(?:\.\d+)?(\s*%?)", old)
        return f"{percent}{found[1]}" if found else None
    if isinstance(old, bool) or not isinstance(old, int | float):
        return None
    return percent / 100 if isinstance(old, float) and 0 < old < 1 else percent


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from _places(member, (*path, name))
    elif isinstance(value, list | tuple):
        for place, member in enumerate(value):
            yield from _places(member, (*path, place))
    else:
        yield path, value


def _with(value: Any, path: tuple[str | int, ...], new: object) -> Any:
    """A copy with another value at one place."""
    if not path:
        return new
    if isinstance(value, Mapping):
        return {name: _with(member, path[1:], new) if name == path[0] else member for name, member in value.items()}
    return [_with(member, path[1:], new) if place == path[0] else member for place, member in enumerate(value)]
