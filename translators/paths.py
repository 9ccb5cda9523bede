"""Path patterns, compiled: `/v1beta/models/{model}:generateContent` against raw request paths.

A variable is one non-empty run of characters inside one segment. Matching is on the raw path, byte for byte: an encoded slash
(`%2F`) neither ends a segment nor is decoded (rule C05), `%7E` is not `~` (C07). Of several patterns the one with the longest
literal prefix wins, then the one declared first (C10); a pattern without variables is all prefix. Nothing here knows platforms.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Generic, TypeVar

from translators.problems import InvalidValueError, quote, suggest

T = TypeVar("T")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_VARIABLE_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*\Z")  # RFC 3986 section 3.3
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}\Z")


@dataclass(frozen=True)
class PathPattern:
    """A checked pattern. `parts` are literal texts and, at every odd index, the names of the variables between them."""

    text: str
    parts: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """The literal text before the first variable."""
        return self.parts[0]

    @property
    def variables(self) -> tuple[str, ...]:
        return self.parts[1::2]

    @cached_property
    def shape(self) -> str:
        """The same for two patterns that match the same paths: variables without their names."""
        return "{}".join(self.parts[::2])

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Needs time linear in the path for each literal part: a variable cannot cross a slash."""
        return re.compile("([^/]+)".join(re.escape(part) for part in self.parts[::2]))

    def match(self, path: str) -> Mapping[str, str] | None:
        found = self.regex.fullmatch(path)
        return dict(zip(self.variables, found.groups(), strict=True)) if found else None

    def covers(self, other: "PathPattern") -> bool:
        """Whether every path that `other` matches is matched by this one too."""
        mine, theirs = self.shape.split("/"), other.shape.split("/")
        return len(mine) == len(theirs) and all(_segment_covers(a, b) for a, b in zip(mine, theirs, strict=True))

    def overlaps(self, other: "PathPattern") -> bool:
        """Whether some path is matched by both."""
        mine, theirs = self.shape.split("/"), other.shape.split("/")
        return len(mine) == len(theirs) and all(_segments_overlap(a, b) for a, b in zip(mine, theirs, strict=True))


def _segment_covers(general: str, special: str) -> bool:
    if "{}" not in general:
        return general == special
    before, after = general.split("{}")
    long_enough = len(special.replace("{}", "x")) > len(before) + len(after)  # a variable stands for at least one character
    return long_enough and special.partition("{}")[0].startswith(before) and special.rpartition("{}")[2].endswith(after)


def _segments_overlap(a: str, b: str) -> bool:
    if "{}" not in a:
        return _segment_covers(b, a)
    if "{}" not in b:
        return _segment_covers(a, b)
    (before_a, after_a), (before_b, after_b) = a.split("{}"), b.split("{}")
    prefixes = before_a.startswith(before_b) or before_b.startswith(before_a)
    return prefixes and (after_a.endswith(after_b) or after_b.endswith(after_a))


def parse_pattern(text: str) -> PathPattern:
    """Checks a pattern; raises InvalidValueError."""
    if not text.startswith("/"):
        raise InvalidValueError(f"the path {quote(text)} does not start with `/`", "Write `METHOD /path`.")
    if "?" in text or "#" in text:
        raise InvalidValueError(f"the path {quote(text)} holds a query or a fragment", "Remove it: a query is passed on as it is.")
    parts = tuple(_VARIABLE.split(text))
    for name in parts[1::2]:
        if not _VARIABLE_NAME.match(name):
            raise InvalidValueError(
                f"{quote('{' + name + '}')} is no variable", "A name is lower-case letters, digits and _: {task_id}."
            )
        if parts[1::2].count(name) > 1:
            raise InvalidValueError(f"the variable {quote('{' + name + '}')} stands twice in one path")
    for literal in parts[::2]:
        if not _LITERAL.match(literal):
            raise InvalidValueError(
                f"the path {quote(text)} holds a character that no request path has",
                "Only letters, digits, -._~!$&'()*+,;=:@/ and %XX; variables as {name}.",
            )
    segments = "{}".join(parts[::2])[1:].split("/")
    for index, segment in enumerate(segments):
        if not segment and index < len(segments) - 1:
            raise InvalidValueError(f"the path {quote(text)} has an empty segment", "Remove the doubled slash.")
        if _DOTS.match(segment):
            raise InvalidValueError(f"the path {quote(text)} has a dot segment", "Such requests are refused: write the plain path.")
        if segment.count("{}") > 1:
            raise InvalidValueError(
                f"the path {quote(text)} has two variables in one segment", "One variable per segment is possible."
            )
    return PathPattern(text, parts)


def parse_route(text: str) -> tuple[str, PathPattern]:
    """`METHOD /path` to both; raises InvalidValueError."""
    method, blank, path = text.partition(" ")
    if not blank:
        raise InvalidValueError(f"{quote(text)} is no route", "Write `METHOD /path`, for example `POST /v1/chat/completions`.")
    if method not in METHODS:
        hint = suggest(method, METHODS) or f"Methods: {', '.join(METHODS)}."
        raise InvalidValueError(f"{quote(method)} is no method a route can have", hint)
    return method, parse_pattern(path)


def find_conflict(first: PathPattern, second: PathPattern) -> str | None:
    """Why two patterns of one method, declared in this order, cannot stand together; None when they can (rules C10, O05)."""
    if first.shape == second.shape:
        return "matches the same paths as"
    if len(first.prefix) != len(second.prefix) or not first.overlaps(second):
        return None
    if first.covers(second):
        return "is never reached, because all its paths are matched by"
    return None if second.covers(first) else "matches some paths that are also matched by"


class PathTable(Generic[T]):
    """Compiled routes of one platform. Immutable; patterns without variables are found by one dictionary look-up."""

    __slots__ = ("_exact", "_methods", "_patterns")

    def __init__(
        self,
        exact: Mapping[tuple[str, str], T],
        patterns: Mapping[tuple[str, int], tuple[tuple[str, PathPattern, T], ...]],
        methods: tuple[str, ...],
    ) -> None:
        self._exact = exact
        self._patterns = patterns  # by method and number of slashes: what cannot match is not tried
        self._methods = methods

    @classmethod
    def build(cls, routes: Iterable[tuple[str, str, T]]) -> "PathTable[T]":
        """From `(method, path pattern, value)` in order of declaration; of equal patterns the first counts."""
        exact: dict[tuple[str, str], T] = {}
        patterns: dict[tuple[str, int], list[tuple[str, PathPattern, T]]] = {}
        methods: dict[str, None] = {}
        for method, text, value in routes:
            pattern = parse_pattern(text)
            methods[method] = None
            if pattern.variables:
                patterns.setdefault((method, text.count("/")), []).append((pattern.prefix, pattern, value))
            else:
                exact.setdefault((method, text), value)
        for found in patterns.values():
            found.sort(key=lambda entry: -len(entry[0]))  # stable: declaration order among equals
        return cls(exact, {key: tuple(found) for key, found in patterns.items()}, tuple(methods))

    def match(self, method: str, path: str) -> tuple[T, Mapping[str, str]] | None:
        """The value of the route and its variables, undecoded."""
        try:
            return self._exact[method, path], _NO_VARIABLES
        except KeyError:
            pass
        for prefix, pattern, value in self._patterns.get((method, path.count("/")), ()):
            if path.startswith(prefix) and (variables := pattern.match(path)) is not None:
                return value, variables
        return None

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that have a route for this path, for `Allow` (rule A08)."""
        return tuple(method for method in METHODS if method in self._methods and self.match(method, path) is not None)


def conflicts(routes: Iterable[tuple[str, PathPattern, T]]) -> Iterable[tuple[T, T, str]]:
    """`(earlier, later, why)` of the routes of one file that cannot stand together."""
    # Two patterns are in each other's way only if what stands before their first variable is the same.
    seen: dict[tuple[str, int, str], list[tuple[PathPattern, T]]] = {}
    for method, pattern, value in routes:
        group = seen.setdefault((method, pattern.text.count("/"), pattern.prefix), [])
        for earlier, earlier_value in group:
            if why := find_conflict(earlier, pattern):
                yield earlier_value, value, why
                break
        group.append((pattern, value))
