"""From runs to tables: medians, ratios to the reference, differences to the direct way; Markdown and JSON.

Pure but for `write`: it never starts or asks a process, so it can be tested with made-up runs.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from benchmarks.targets import DIRECT, REFERENCE
from benchmarks.workloads import WORKLOADS, Run

KIB, MIB = 1024, 1024 * 1024


class Kind(Enum):
    VALUE = "median"
    RATIO = "this run ÷ the reference's run nearest in time; minimum / median / maximum"
    ADDED = "this run - the direct run nearest in time; median"


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    figure: str
    kind: Kind = Kind.VALUE
    scale: float = 1.0  # the figure is divided by it
    digits: int = 0


CPU_REQUEST = Column("CPU µs/request", "cpu_per_request_us", digits=1)
GATEWAY_CORE = Column("gateway core, %", "cpu_share", scale=0.01)
LOAD_CORE = Column("load core, %", "load_core_share", scale=0.01)
CPU_EVENT = Column("CPU µs/event", "cpu_per_event_us", digits=2)

_W1 = (
    Column("requests/s", "requests_per_s"),
    Column(f"× {REFERENCE}", "requests_per_s", Kind.RATIO, digits=2),
    CPU_REQUEST,
    Column(f"CPU × {REFERENCE}", "cpu_per_request_us", Kind.RATIO, digits=2),
    Column("p50 ms", "latency_p50_us", scale=1e3, digits=3),
    Column("p99 ms", "latency_p99_us", scale=1e3, digits=3),
    GATEWAY_CORE,
    LOAD_CORE,
)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "w1c1": _W1,
    "w1c32": _W1,
    "w1c256": _W1,
    "w2": (
        Column("events/s", "events_per_s"),
        Column(f"× {REFERENCE}", "events_per_s", Kind.RATIO, digits=2),
        CPU_EVENT,
        Column(f"CPU × {REFERENCE}", "cpu_per_event_us", Kind.RATIO, digits=2),
        Column("events/segment", "events_per_segment", digits=2),
        Column("events/read", "events_per_read", digits=2),
        GATEWAY_CORE,
        LOAD_CORE,
    ),
    "w3": (
        Column("first event p50 ms", "first_event_p50_us", scale=1e3, digits=2),
        Column("p99 ms", "first_event_p99_us", scale=1e3, digits=2),
        Column("added p50 ms", "first_event_p50_us", Kind.ADDED, scale=1e3, digits=2),
        Column("added p99 ms", "first_event_p99_us", Kind.ADDED, scale=1e3, digits=2),
        Column("event one way p50 µs", "event_latency_p50_us"),
        Column("p99 µs", "event_latency_p99_us"),
        CPU_EVENT,
    ),
    "w4": (
        Column("streams", "streams"),
        Column("CPU, % of a core", "cpu_share", scale=0.01, digits=1),
        Column(f"CPU × {REFERENCE}", "cpu_share", Kind.RATIO, digits=2),
        Column("event one way p50 µs", "event_latency_p50_us"),
        Column("p99 µs", "event_latency_p99_us"),
        Column("KiB/stream", "bytes_per_stream", scale=KIB, digits=1),
        Column("MiB before", "before_streams_bytes", scale=MIB, digits=1),
    ),
    "w5": (
        Column("others' p99 ms, quiet", "quiet_latency_p99_us", scale=1e3, digits=2),
        Column("others' p99 ms, uploads", "latency_p99_us", scale=1e3, digits=2),
        Column(f"× {REFERENCE}", "latency_p99_us", Kind.RATIO, digits=2),
        Column("max ms", "latency_max_us", scale=1e3, digits=1),
        Column("growth MiB", "growth_bytes", scale=MIB, digits=1),
        Column("uploads/s", "uploads_per_s", digits=1),
        Column("an upload, p50 ms", "upload_p50_us", scale=1e3),
    ),
    "start": (
        Column("ready after ms", "ready_ms"),
        Column("resident MiB", "resident_bytes", scale=MIB, digits=1),
        Column("proportional MiB", "proportional_bytes", scale=MIB, digits=1),
    ),
}


def nearest(run: Run, candidates: Iterable[Run]) -> Run | None:
    """The candidate whose time is nearest to the run's."""
    return min(candidates, key=lambda other: abs(other.when - run.when), default=None)


def ratios(runs: Sequence[Run], references: Sequence[Run], figure: str) -> list[float]:
    """Each run divided by the nearest reference. Runs must be of one workload, and good ones."""
    found = []
    for run in runs:
        other = nearest(run, (reference for reference in references if reference.figures.get(figure)))
        if other and figure in run.figures:
            found.append(run.figures[figure] / other.figures[figure])
    return found


def differences(runs: Sequence[Run], references: Sequence[Run], figure: str) -> list[float]:
    found = []
    for run in runs:
        other = nearest(run, (reference for reference in references if figure in reference.figures))
        if other and figure in run.figures:
            found.append(run.figures[figure] - other.figures[figure])
    return found


def _number(value: float, column: Column) -> str:
    return f"{value / column.scale:,.{column.digits}f}"


def cell(column: Column, runs: Sequence[Run], all_good: Sequence[Run]) -> str:
    """One cell: `runs` are the good runs of the target, `all_good` those of all targets in the same workload."""
    if column.kind is Kind.RATIO:
        values = ratios(runs, [run for run in all_good if run.target == REFERENCE], column.figure)
        if not values:
            return "-"
        return " / ".join(f"{value:.{column.digits}f}" for value in (min(values), statistics.median(values), max(values)))
    if column.kind is Kind.ADDED:
        values = differences(runs, [run for run in all_good if run.target == DIRECT], column.figure)
    else:
        values = [run.figures[column.figure] for run in runs if column.figure in run.figures]
    return _number(statistics.median(values), column) if values else "-"


def table(workload: str, runs: Sequence[Run]) -> list[str]:
    mine = [run for run in runs if run.workload == workload]
    good = [run for run in mine if not run.problems]
    columns = COLUMNS[workload]
    lines = ["| target | runs | " + " | ".join(column.title for column in columns) + " |"]
    lines.append("|---" + "|--:" * (len(columns) + 1) + "|")
    for target in dict.fromkeys(run.target for run in mine):
        used = [run for run in good if run.target == target]
        failed = sum(run.target == target for run in mine) - len(used)
        count = f"{len(used)}" + (f" (+ {failed} failed)" if failed else "")
        lines.append(f"| {target} | {count} | " + " | ".join(cell(column, used, good) for column in columns) + " |")
    return lines


def markdown(runs: Sequence[Run], conditions: Mapping[str, str]) -> str:
    """The whole report."""
    lines = ["# Benchmark results", "", "Written by `python -m benchmarks`; what the columns mean: [README](../README.md).", ""]
    lines += ["| condition | |", "|---|---|", *(f"| {name} | {value} |" for name, value in conditions.items())]
    for name, workload in WORKLOADS.items():
        if any(run.workload == name for run in runs):
            lines += ["", f"## {name}: {workload.title}", "", *table(name, runs)]
    failed = [run for run in runs if run.problems]
    if failed:
        lines += ["", "## Not used", ""]
        lines += [f"- {run.workload}, {run.target}, round {run.round + 1}: {'; '.join(run.problems)}" for run in failed]
    disturbed = sum(run.disturbed for run in runs)
    lines += ["", f"{disturbed} of {len(runs)} runs were disturbed: other programs or the hypervisor took CPU time meanwhile."]
    return "\n".join(lines) + "\n"


def write(folder: Path, runs: Sequence[Run], conditions: Mapping[str, str]) -> None:
    """Replaces `latest.md` and `latest.json` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.md").write_text(markdown(runs, conditions))
    content = {"conditions": dict(conditions), "runs": [asdict(run) for run in runs]}
    (folder / "latest.json").write_text(json.dumps(content, indent=1) + "\n")
