"""`dragoman check`: load, lint, play every example, and see that everything a rule says is reached by one.

The outcome is a `Report`; how it is printed is below, in three formats. Loading itself is `translators.load`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.rehearsal.coverage import coverage
from proxy.rehearsal.playing import run_examples
from proxy.rehearsal.stage import Stage
from proxy.rehearsal.tracing import Trace, traced
from translators import yamlfile
from translators.load import load, shipped_rules
from translators.model import Platform, RuleSet
from translators.overlay import EXTENDS
from translators.problems import InvalidFileError, Problem
from translators.report import routes_of


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. Counts are of the platforms that were checked."""

    platforms: int = 0
    routes: int = 0
    examples: int = 0
    carried: int = 0
    carried_reached: int = 0
    problems: tuple[Problem, ...] = ()


def check(directory: Path, *, examples: bool = True) -> Report:
    """Check one directory; where a file of it extends a shipped platform, laid over the shipped ones."""
    try:
        rules = load(_layers(directory))
    except InvalidFileError as error:
        return Report(problems=error.problems)
    here = {file.stem for file in directory.glob("*.yaml")}
    mine = [platform for platform in rules.platforms.values() if platform.name in here]
    routes = sum(len(routes_of(platform)) for platform in mine)
    if not examples or not mine:
        return Report(len(mine), routes)
    return check_examples(rules, mine)


def check_examples(rules: RuleSet, platforms: Sequence[Platform]) -> Report:
    """Play the examples of these platforms of a rule set."""
    trace = Trace()
    problems: list[Problem] = []
    played = carried = carried_reached = 0
    with Stage(traced(rules, trace)) as stage:
        for platform in platforms:
            runs = list(run_examples(stage, platform))
            played += len(runs)
            for run in runs:
                problems += run.problems
            found = coverage(platform, runs, frozenset(trace.reached))
            problems += found.missing
            carried += found.carried
            carried_reached += found.carried_reached
    routes = sum(len(routes_of(platform)) for platform in platforms)
    return Report(len(platforms), routes, played, carried, carried_reached, tuple(sorted(dict.fromkeys(problems), key=_place)))


def _layers(directory: Path) -> tuple[Path, ...]:
    shipped = shipped_rules()
    if directory.resolve() == shipped or not _extends_another(directory):
        return (directory,)
    return (shipped, directory)


def _extends_another(directory: Path) -> bool:
    """Whether a file here extends a platform that has no file here, or the one of its own name."""
    try:
        files = sorted(directory.glob("*.yaml"))
    except OSError:
        return False  # loading says what is wrong
    names = {file.stem for file in files}
    for file in files:
        try:
            node = yamlfile.read(file)
        except InvalidFileError:
            continue
        for key, value in node.entries if isinstance(node, yamlfile.Mapping) else ():
            outside = isinstance(value, yamlfile.Scalar) and (value.value == file.stem or value.value not in names)
            if key.value == EXTENDS and outside:
                return True
    return False


def _place(problem: Problem) -> tuple[str, int, int]:
    where = problem.where
    return (str(where.file), where.line, where.column) if where else ("", 0, 0)


# --- how it is said ---


def as_text(report: Report, directory: Path) -> str:
    """For people: every problem, and a last line that counts."""
    if report.problems:
        return "\n".join([*map(str, report.problems), f"{directory}: {_many(len(report.problems), 'problem')}"])
    lines = [f"{directory}: {_many(report.platforms, 'platform')}, {_many(report.routes, 'route')}, no problems"]
    if report.examples:
        all_went = "it went as it says" if report.examples == 1 else "all went as they say"
        lines.append(f"{_many(report.examples, 'example')} {'was' if report.examples == 1 else 'were'} played, and {all_went}")
    return "\n".join(lines)


def _many(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def as_github(report: Report) -> str:
    """One workflow command for each problem; empty without a problem."""
    return "\n".join(_annotation(problem) for problem in report.problems)


def _annotation(problem: Problem) -> str:
    text = _escaped(problem.message + (f"\n{problem.hint}" if problem.hint else ""))
    if problem.where is None:
        return f"::error::{text}"
    file = _escaped(str(problem.where.file)).replace(":", "%3A").replace(",", "%2C")
    return f"::error file={file},line={problem.where.line},col={problem.where.column}::{text}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def as_json(report: Report) -> str:
    """`{ok, platforms, routes, examples, carried: {routes, with_example}, problems: [{file, line, column, message, hint}]}`."""
    problems: list[dict[str, Any]] = [
        {
            "file": str(problem.where.file) if problem.where else None,
            "line": problem.where.line if problem.where else None,
            "column": problem.where.column if problem.where else None,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in report.problems
    ]
    shown = {
        "ok": not problems,
        "platforms": report.platforms,
        "routes": report.routes,
        "examples": report.examples,
        "carried": {"routes": report.carried, "with_example": report.carried_reached},
        "problems": problems,
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)
