"""The command line: `python -m benchmarks run` and `python -m benchmarks profile`, from the top folder of the repository."""

import argparse
import datetime as dt
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import prepare, profiling, report, run, system
from benchmarks.servers import Processes
from benchmarks.targets import DEFAULT_TARGETS, QUICK_TARGETS, TARGETS, Site, Target, find_dragoman, missing_program
from benchmarks.workloads import WORKLOADS, Pace, Workload


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int
    pace: Pace


RESULTS = prepare.HERE / "results"
FILES_RESERVED = 200  # of a process, for everything that is no stream
FULL = Effort(rounds=5, pace=Pace(seconds=2.5, warm_up=0.5, streams=9000))
QUICK = Effort(rounds=1, pace=Pace(seconds=0.4, warm_up=0.2, streams=1000))


def workloads_from(text: str) -> list[Workload]:
    """Names separated by commas; `w1` means all of its three."""
    chosen = []
    for word in text.split(","):
        found = [workload for name, workload in WORKLOADS.items() if name == word or name.partition("c")[0] == word]
        if not found:
            raise argparse.ArgumentTypeError(f"no workload {word!r}; there are {', '.join(WORKLOADS)}")
        chosen += found
    return chosen


def targets_from(text: str) -> list[Target]:
    unknown = [name for name in text.split(",") if name not in TARGETS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    return [TARGETS[name] for name in text.split(",")]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks; benchmarks/README.md explains them.")
    parser.add_argument("--port-base", type=int, default=19100, help="first of a dozen free ports (default %(default)s)")
    parser.add_argument(
        "--dragoman", default=find_dragoman(), metavar="COMMAND", help="the dragoman to measure (default %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True)

    one = commands.add_parser("run", help="measure targets, interleaved")
    one.add_argument(
        "--workloads", type=workloads_from, default=list(WORKLOADS.values()), help=f"of {','.join(WORKLOADS)}; default all"
    )
    one.add_argument("--targets", type=targets_from, help=f"of {','.join(TARGETS)}; default {','.join(DEFAULT_TARGETS)}")
    one.add_argument("--rounds", type=int, help=f"runs of each target (default {FULL.rounds}; w4 at most 3)")
    one.add_argument("--seconds", type=float, help=f"measured time of a run (default {FULL.pace.seconds}; w3 and w4 twice that)")
    one.add_argument(
        "--streams", type=int, help=f"open streams of w4 (default {FULL.pace.streams}, or what the limit of open files allows)"
    )
    one.add_argument("--quick", action="store_true", help="one short round of everything, to see that it works")
    one.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=RESULTS,
        metavar="FOLDER",
        help="write latest.md and latest.json (default benchmarks/results)",
    )

    two = commands.add_parser("profile", help="watch a target with py-spy under load")
    two.add_argument("target", type=targets_from)
    two.add_argument("workload", type=workloads_from)
    two.add_argument("--seconds", type=int, default=5)
    two.add_argument("--native", action="store_true", help="C frames too")
    two.add_argument("--top", type=int, default=30)

    parsed = parser.parse_args(words)
    if parsed.command == "run" and parsed.quick and parsed.write == RESULTS:
        parser.error("--quick is too short to publish: leave out --quick, or give --write another folder")
    return parsed


def available(wanted: list[Target] | None, names: Sequence[str], site: Site) -> list[Target]:
    """The targets to measure. One that was asked for must be there; of those in `names`, the default, missing ones are left out."""
    targets = []
    for target in wanted or [TARGETS[name] for name in names]:
        missing = missing_program(target, site)
        if missing and wanted:
            raise RuntimeError(f"the target {target.name} needs {missing}, which is not installed")
        if missing:
            print(f"left out: {target.name}, because {missing} is not installed", flush=True)
        else:
            targets.append(target)
    return targets


def effort(args: argparse.Namespace, files: int) -> Effort:
    """What was asked for, over the defaults; no more streams than a gateway may open files for."""
    default = QUICK if args.quick else FULL
    streams = args.streams or default.pace.streams
    most = (files - FILES_RESERVED) // 2  # a gateway needs two files for a stream
    if streams > most:
        print(f"w4 with {most} streams instead of {streams}: the limit of open files is {files}", flush=True)
        streams = most
    return Effort(args.rounds or default.rounds, Pace(args.seconds or default.pace.seconds, default.pace.warm_up, streams))


def run_command(args: argparse.Namespace, site: Site) -> int:
    chosen = effort(args, site.files)
    targets = available(args.targets, QUICK_TARGETS if args.quick else DEFAULT_TARGETS, site)
    conditions = {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **system.conditions(prepare.HERE.parent),
        "pinning": f"gateway on CPU {system.GATEWAY_CPU}, load generator and mock on CPU {system.LOAD_CPU}",
        "rounds": f"{chosen.rounds} of {chosen.pace.seconds:g} s each",
        "command": "python -m benchmarks " + shlex.join(sys.argv[1:]),
    }
    with Processes(site) as processes:
        runs = run.run_all(processes, args.workloads, targets, chosen.pace, chosen.rounds, rehearse=not args.quick)
    print("\n" + report.markdown(runs, conditions))
    if args.write:
        report.write(args.write, runs, conditions)
    return 1 if any(one.problems for one in runs) else 0


def profile_command(args: argparse.Namespace, site: Site) -> int:
    with Processes(site) as processes:
        profiling.profile(
            processes, available(args.target, (), site)[0], args.workload[0], args.seconds, native=args.native, top=args.top
        )
    return 0


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no frozen server is left behind
    site = Site(args.port_base, system.raise_file_limit(), args.dragoman)
    try:
        if (os.cpu_count() or 1) < 2:
            raise RuntimeError("two cores are needed: one for the gateway, one for the load generator and the mock")
        os.sched_setaffinity(0, {system.LOAD_CPU})
        prepare.prepare()
        return run_command(args, site) if args.command == "run" else profile_command(args, site)
    except RuntimeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
