"""One interleaved run: which target is measured when, and what is kept of it.

Absolute values of a shared machine drift from minute to minute. So the targets take turns, the reference stands between every two
of them, and report.py divides each run by the reference's run that is nearest in time.
"""

import http.client
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import preflight
from benchmarks.servers import Processes
from benchmarks.targets import DIRECT, REFERENCE, Target
from benchmarks.workloads import Pace, Run, Workload

REHEARSAL_S = 0.5


def turns(targets: Sequence[Target], round_number: int) -> list[Target]:
    """The order of one round: the reference, two others, the reference, two others, ... Odd rounds go through the others
    backwards, so that no target always runs after the same one."""
    reference = [target for target in targets if target.name == REFERENCE]
    others = [target for target in targets if target.name != REFERENCE]
    if round_number % 2:
        others.reverse()
    order: list[Target] = []
    for at in range(0, len(others), 2):
        order += reference + others[at : at + 2]
    return order or reference


def taking_part(workload: Workload, targets: Sequence[Target]) -> list[Target]:
    return [
        target
        for target in targets
        if (not target.workloads or workload.name in target.workloads) and (workload.with_direct or target.name != DIRECT)
    ]


def check_all(processes: Processes, targets: Sequence[Target]) -> tuple[list[Target], list[Run]]:
    """The targets that do their work, and a failed run for each that does not."""
    good, failed = [], []
    for target in targets:
        try:
            preflight.check(processes, target)
        except (OSError, ValueError, RuntimeError, http.client.HTTPException) as error:
            failed.append(Run("preflight", target.name, problems=[str(error) or type(error).__name__]))
            print(f"preflight {target.name}: NOT MEASURED: {failed[-1].problems[0]}", flush=True)
        else:
            good.append(target)
    return good, failed


def _measured(workload: Workload, processes: Processes, target: Target, pace: Pace) -> Run:
    try:
        return workload.measure(workload, processes, target, pace)
    except RuntimeError as error:  # a server or a load generator that died: the other targets go on
        if target.server:
            processes.stop(target.server)
        return Run(workload.name, target.name, problems=[str(error)])


def run_all(
    processes: Processes, workloads: Sequence[Workload], targets: Sequence[Target], pace: Pace, rounds: int, *, rehearse: bool
) -> list[Run]:
    """All runs, in the order they were made, the failed ones with their problems."""
    good, runs = check_all(processes, targets)
    for workload in workloads:
        part = taking_part(workload, good)
        if rehearse and workload.rehearsal:
            for target in part:
                _measured(workload, processes, target, replace(pace, seconds=REHEARSAL_S))
        for number in range(min(rounds, workload.max_rounds)):
            for target in turns(part, number):
                run = _measured(workload, processes, target, pace)
                run.round = number
                runs.append(run)
                print(one_line(run), flush=True)
    return runs


SHOWN = (
    ("requests_per_s", "requests/s", 1),
    ("events_per_s", "events/s", 1),
    ("cpu_per_request_us", "µs CPU/request", 1),
    ("cpu_per_event_us", "µs CPU/event", 1),
    ("cpu_share", "of a core", 1),
    ("latency_p50_us", "ms p50", 1e3),
    ("latency_p99_us", "ms p99", 1e3),
    ("first_event_p50_us", "ms first event p50", 1e3),
    ("first_event_p99_us", "ms p99", 1e3),
    ("event_latency_p99_us", "ms event p99", 1e3),
    ("bytes_per_stream", "KiB/stream", 1024),
    ("growth_bytes", "MiB growth", 1024 * 1024),
    ("ready_ms", "ms to ready", 1),
    ("resident_bytes", "MiB resident", 1024 * 1024),
)


def one_line(run: Run) -> str:
    """What scrolls by while the harness works."""
    words = [f"{run.figures[name] / scale:,.4g} {unit}" for name, unit, scale in SHOWN if name in run.figures]
    end = " · NOT USED: " + "; ".join(run.problems) if run.problems else " · disturbed" if run.disturbed else ""
    return f"{run.workload:7} {run.target:20} " + " · ".join(words) + end
