"""The table of everything served, from the rules alone: what `dragoman routes` prints. Nothing here loads or checks."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from translators.model import Platform, RuleSet


@dataclass(frozen=True, slots=True)
class Row:
    """One route. `models` counts the names and patterns that reach it without the prefix."""

    method: str
    path: str
    platform: str
    upstream: str
    models: int
    kind: str


_HEAD = Row("METHOD", "PATH", "PLATFORM", "UPSTREAM", 0, "KIND")


def rows(rules: RuleSet) -> list[Row]:
    """By platform, in the order of the files; a native platform's last row stands for all its other paths."""
    return [row for platform in rules.platforms.values() for row in _rows_of(platform)]


def _rows_of(platform: Platform) -> list[Row]:
    base = f"{platform.upstream.scheme}://{platform.upstream.authority}{platform.upstream.base}"
    found = [
        Row(route.method, f"/{platform.name}{route.path}", platform.name, base + route.path, len(platform.models), "carry")
        for route in platform.routes
    ]
    if platform.native:
        found.append(Row("*", f"/{platform.name}/*", platform.name, f"{base}/*", 0, "carry"))
    return found


def as_table(found: Sequence[Row]) -> str:
    """Aligned columns with a head line; ends in a line feed."""
    cells = [[row.method, row.path, row.platform, row.upstream, str(row.models), row.kind] for row in (_HEAD, *found)]
    cells[0][4] = "MODELS"
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    return "\n".join(lines) + "\n"


def as_json(found: Sequence[Row]) -> str:
    """A list of objects with the names of `Row`; ends in a line feed."""
    return json.dumps([asdict(row) for row in found], indent=2) + "\n"
