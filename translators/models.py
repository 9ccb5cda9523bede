"""Model names, compiled: which of the names a platform lists is meant by the name in a request. Nothing here knows routes."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from translators.model import ModelRule

T = TypeVar("T")


class ModelTable(Generic[T]):
    """Names and patterns with one `*` to values. An exact name wins, then the pattern with the longest text before the `*`,
    then the one with the longest text after it: two different patterns are never equal for one name."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, exact: Mapping[str, T], patterns: tuple[tuple[str, str, T], ...]) -> None:
        self._exact = exact
        self._patterns = patterns

    @classmethod
    def build(cls, names: Iterable[tuple[str, T]]) -> "ModelTable[T]":
        """From `(name or pattern, value)`; of equal names the first counts."""
        exact: dict[str, T] = {}
        patterns: dict[tuple[str, str], T] = {}
        for name, value in names:
            before, star, after = name.partition("*")
            if star:
                patterns.setdefault((before, after), value)
            else:
                exact.setdefault(name, value)
        ordered = sorted(patterns.items(), key=lambda item: (-len(item[0][0]), -len(item[0][1])))
        return cls(exact, tuple((before, after, value) for (before, after), value in ordered))

    @classmethod
    def of(cls, rules: Iterable[ModelRule]) -> "ModelTable[ModelRule]":
        """The table of one platform."""
        return ModelTable[ModelRule].build((rule.name, rule) for rule in rules)

    def match(self, name: str) -> T | None:
        """The value for a model name; a `*` stands for any run of characters, also none."""
        if name in self._exact:
            return self._exact[name]
        for before, after, value in self._patterns:
            if len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after):
                return value
        return None
