"""Mutants of rule files: each line deleted, or one thing in it changed, and whether loading or an example notices.

`python -m tests.mutation FILE... [--most N]` prints the score of each file and the mutants that nobody noticed. A mutant is caught
when the file does not load any more, when an example fails, or when something is reached by no example any more.

Not mutated, but counted: comments, blank lines, `title` and `docs` of the platform, titles of examples, lines of brackets only, and
in examples `status: 200`, which is what is meant where nothing is said; nor is a line deleted that says one `upstream`, because
the example then means `same`, which is compared byte for byte.

Every mutant belongs to one of three kinds, counted apart: lines of the rule, lines of examples that ask or expect something, and
lines of what is given to the rule there (`answer`, `fetches`): of an answer a rule may well read less than the platform says, so a
mutant of it that nobody notices is no hole.
"""

import argparse
import random
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from proxy.assembly import StartError
from proxy.rehearsal.coverage import coverage
from proxy.rehearsal.playing import run_examples
from proxy.rehearsal.stage import Stage
from proxy.rehearsal.tracing import Trace, traced
from translators import yamlfile
from translators.load import read_platform, shipped_rules
from translators.model import Platform, RuleSet
from translators.problems import InvalidFileError

_TITLE = re.compile(r"(?:title|docs):|\s*(?:- )?\{?\s*title:")
_BRACKETS = re.compile(r"[\s\[\]{},-]*")
_DEFAULT = re.compile(r"\s*status: 200\s*")
_UPSTREAM = re.compile(r"\s*upstream: *[^ #]")
_GIVEN = re.compile(r"\s*(?:- )?\{?(?:answer|fetches):")
_ASKED = re.compile(r"\s*(?:- )?\{?(?:title|after|client|upstream|calls|result):")
_COMMENT = re.compile(r"""((?:[^\s#'"]|'[^']*'|"(?:[^"\\]|\\.)*"|['"]|\s+(?!#)|(?<=\S)#)*)""")
_EXPRESSION = re.compile(r"\$\{[^}]*\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.-])[0-9]+(?![A-Za-z0-9_])")
_PATH = re.compile(r"/[A-Za-z][A-Za-z0-9_/.-]*")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")


class Kind(StrEnum):
    """Where a mutant's line stands."""

    RULE = "rule"
    EXAMPLE = "example"
    GIVEN = "given"


WATCHED = (Kind.RULE, Kind.EXAMPLE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file with one line changed: `line` counts from 1, `now` is None where it is deleted."""

    line: int
    was: str
    now: str | None
    kind: Kind

    def __str__(self) -> str:
        return f"line {self.line}: {self.was.strip()}\n      ->  {self.now.strip() if self.now is not None else '(deleted)'}"


@dataclass(slots=True)
class Score:
    """What became of the mutants of one file."""

    file: Path
    excluded: int
    caught: Counter[Kind] = field(default_factory=Counter)
    survivors: list[Mutant] = field(default_factory=list)

    def tried(self, *kinds: Kind) -> int:
        return sum(self.caught[kind] for kind in kinds) + sum(mutant.kind in kinds for mutant in self.survivors)

    def share(self, *kinds: Kind) -> float:
        """The share of caught mutants among those of these kinds."""
        tried = self.tried(*kinds)
        return sum(self.caught[kind] for kind in kinds) / tried if tried else 1.0


# --- mutants ---


def mutants(text: str) -> tuple[list[Mutant], int]:
    """All mutants of a file's text, and how many lines are excluded."""
    found: list[Mutant] = []
    excluded = 0
    kind = Kind.RULE
    for number, line in enumerate(text.splitlines(), 1):
        kind = _kind_of(line, kind)
        if _left_out(line) or (kind is not Kind.RULE and _DEFAULT.fullmatch(code_of(line))):
            excluded += 1
            continue
        if not (kind is Kind.EXAMPLE and _UPSTREAM.match(line)):
            found.append(Mutant(number, line, None, kind))
        found += [Mutant(number, line, changed, kind) for changed in _changes(line)]
    return found, excluded


def _kind_of(line: str, before: Kind) -> Kind:
    """The kind of a line; most go on with what the one before them was."""
    if re.match(r"[A-Za-z_]", line):
        return Kind.EXAMPLE if line.startswith("examples:") else Kind.RULE
    if before is Kind.RULE:
        return before
    if _GIVEN.match(line):
        return Kind.GIVEN
    return Kind.EXAMPLE if _ASKED.match(line) else before


def _left_out(line: str) -> bool:
    code = code_of(line)
    return not code.strip() or bool(_BRACKETS.fullmatch(code)) or bool(_TITLE.match(code))


def code_of(line: str) -> str:
    """A line without the comment at its end."""
    if line.lstrip().startswith("#"):
        return ""
    match = _COMMENT.match(line)
    return match[0] if match else line


def _changes(line: str) -> Iterator[str]:
    """One change of each kind that the line has room for, always the same ones."""
    code = code_of(line)
    rest = line[len(code) :]
    dice = random.Random(zlib.crc32(line.encode()))
    expressions = [match.span() for match in _EXPRESSION.finditer(code)]
    inside = [match.span() for start, end in expressions for match in _NAME.finditer(code, start + 2, end)]
    outside = [match.span() for match in _WORD.finditer(code) if not _within(match.span(), expressions)]
    numbers = [match.span() for match in _NUMBER.finditer(code)]
    paths = [match.span() for match in _PATH.finditer(code) if not _within(match.span(), expressions)]
    for spans, change in ((inside, _letter), (numbers, _more), (paths, _letter), (outside, _letter)):
        if spans:
            start, end = dice.choice(spans)
            yield code[:start] + change(code[start:end], dice) + code[end:] + rest


def _within(span: tuple[int, int], others: list[tuple[int, int]]) -> bool:
    return any(start <= span[0] < end for start, end in others)


def _letter(word: str, dice: random.Random) -> str:
    """The word with one letter changed."""
    places = [place for place, letter in enumerate(word) if letter.isalnum()]
    place = dice.choice(places)
    return word[:place] + ("x" if word[place] != "x" else "q") + word[place + 1 :]


def _more(digits: str, dice: random.Random) -> str:
    return str(int(digits) + 1)


# --- whether somebody notices ---


def problem_of(platform: Platform) -> str | None:
    """The first thing that is wrong with a platform that loads; None when everything is as its examples say."""
    trace = Trace()
    runs = []
    try:
        with Stage(traced(RuleSet({platform.name: platform}), trace)) as stage:
            for run in run_examples(stage, platform):
                if run.problems:
                    return str(run.problems[0])
                runs.append(run)
    except (StartError, ValueError) as error:
        return str(error)
    missing = coverage(platform, runs, frozenset(trace.reached)).missing
    return str(missing[0]) if missing else None


def noticed(text: str, file: Path) -> str | None:
    """What is wrong with the text of a rule file; None when nobody notices anything."""
    try:
        platform = read_platform(yamlfile.parse(text.encode(), file), file)
    except InvalidFileError as error:
        return str(error)
    return problem_of(platform)


def score(file: Path, most: int | None = None) -> Score:
    """Try the mutants of a file, at most so many, chosen evenly and always the same. The file itself must be without a problem."""
    text = file.read_text("utf-8")
    wrong = noticed(text, file)
    if wrong is not None:
        raise ValueError(f"{file} is not right as it is, so no mutant says anything: {wrong}")
    found, excluded = mutants(text)
    lines = text.splitlines()
    result = Score(file, excluded)
    for mutant in _some(found, most):
        changed = [*lines[: mutant.line - 1], *([] if mutant.now is None else [mutant.now]), *lines[mutant.line :]]
        if noticed("\n".join(changed) + "\n", file) is None:
            result.survivors.append(mutant)
        else:
            result.caught[mutant.kind] += 1
    return result


def _some(found: list[Mutant], most: int | None) -> list[Mutant]:
    """As many as asked for, always the same: a line keeps its turn whatever is written above it."""
    if most is None or len(found) <= most:
        return found
    return sorted(found, key=lambda mutant: zlib.crc32(f"{mutant.was}|{mutant.now}".encode()))[:most]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description="Find the lines of rule files that no example watches."
    )
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="rule files (default: all shipped ones)")
    parser.add_argument("--most", metavar="N", type=int, help="at most so many mutants of each file")
    options = parser.parse_args(arguments)
    for file in options.files or sorted(shipped_rules().glob("*.yaml")):
        result = score(file, options.most)
        kinds = ", ".join(f"{kind} {result.share(kind):.1%} of {result.tried(kind)}" for kind in Kind)
        print(f"{file.name}: {result.share(*WATCHED):.1%} are caught ({kinds}); {result.excluded} lines left out")
        for mutant in sorted(result.survivors, key=lambda mutant: (mutant.kind is Kind.GIVEN, mutant.line)):
            print(f"  {mutant.kind} {mutant}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
