"""What is wrong with a file that somebody wrote by hand, and how it is said.

Rule files and the configuration file share this: every check adds a `Problem` and goes on, so that one run reports them all.
Nothing here knows YAML or the words of the rule language, and no message may hold the value of a secret (rule N01).
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from translators.place import Where

QUOTED_CHARACTERS = 60  # of a value shown in a message
REPORTED_PROBLEMS = 100  # of one run; a file with more has one cause


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: what is wrong, where, and what to do about it."""

    message: str
    where: Where | None = None
    hint: str | None = None

    def __str__(self) -> str:
        """`file:line:column: message`, and the hint on a second, indented line."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n    {self.hint}" if self.hint else text


class InvalidFileError(Exception):
    """A file (or a set of files) that cannot be used; `problems` are in the order of their places."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_place))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class InvalidValueError(Exception):
    """A value that cannot be read; raised by the readers of single values, which know no place."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Problems:
    """Collects the problems of one run; keeps the first `REPORTED_PROBLEMS`."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, message: str, where: Where | None, hint: str | None = None) -> None:
        problem = Problem(message, where, hint)
        if len(self._found) < REPORTED_PROBLEMS and problem not in self._found:
            self._found.append(problem)

    def add_all(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.add(problem.message, problem.where, problem.hint)

    def raise_any(self) -> None:
        """Raises InvalidFileError when a problem was found."""
        if self._found:
            raise InvalidFileError(self._found)


def suggest(word: str, known: Iterable[str]) -> str | None:
    """`Did you mean ...?` with the nearest of the known words; None when nothing is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower()[:QUOTED_CHARACTERS], by_lower, n=1, cutoff=0.6)
    return f"Did you mean `{by_lower[near[0]]}`?" if near else None


def suggest_or_list(word: str, known: Iterable[str], what: str = "known words") -> str:
    """The nearest known word, else all of them."""
    names = list(known)
    return suggest(word, names) or f"{what}: {', '.join(names)}"


def quote(text: str) -> str:
    """The text in backticks, shortened, with nothing in it that a terminal or a log could take for more than text (rule N07)."""
    short = text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"
    safe = "".join(character if character.isprintable() else f"\\u{{{ord(character):x}}}" for character in short)
    return f"`{safe}`"


def _place(problem: Problem) -> tuple[str, int, int]:
    where = problem.where
    return (str(where.file), where.line, where.column) if where else ("", 0, 0)
