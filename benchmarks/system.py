"""What Linux tells about processes and about this machine: CPU time, memory, file limits, names and versions.

Reads /proc and asks programs for their versions; starts nothing that is measured.
"""

import contextlib
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KIB = 1024
TICKS = os.sysconf("SC_CLK_TCK")
GATEWAY_CPU = 0
LOAD_CPU = 1


def pinned(cpu: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(cpu), *command]


def process_tree(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Time on a CPU of the whole tree, user and kernel, from schedstat: nanoseconds, not clock ticks."""
    total = 0
    for process in process_tree(pid):
        for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1e9


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of user-space memory of a process tree; `peak` is the highest `resident` since `forget_peak`."""

    resident: int
    proportional: int
    peak: int


def _kib_lines(path: str) -> Iterator[tuple[str, int]]:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                yield name, int(value.split()[0]) * KIB


def memory(pid: int) -> Memory:
    resident = proportional = peak = 0
    for process in process_tree(pid):
        rollup = dict(_kib_lines(f"/proc/{process}/smaps_rollup"))
        resident += rollup.get("Rss", 0)
        proportional += rollup.get("Pss", 0)
        peak += dict(_kib_lines(f"/proc/{process}/status")).get("VmHWM", 0)
    return Memory(resident, proportional, peak)


def forget_peak(pid: int) -> None:
    for process in process_tree(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5")


@dataclass(frozen=True, slots=True)
class MachineTime:
    """Seconds since boot, summed over the CPUs."""

    busy: float
    stolen: float  # by the hypervisor


def machine_time() -> MachineTime:
    fields = [int(field) / TICKS for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, stolen = fields
    return MachineTime(user + nice + system + irq + softirq, stolen)


def raise_file_limit() -> int:
    """Raises the soft limit of open files to the hard one, for this process and those it starts; returns it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter((done.stdout + done.stderr).splitlines()), "unknown")


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit(root: Path) -> str:
    git = ["git", "-C", str(root)]
    done = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    if done.returncode:
        return "unknown"
    status = [*git, "status", "--porcelain", "--", ".", ":!benchmarks/results"]
    changes = subprocess.run(status, capture_output=True, text=True, check=False).stdout
    return done.stdout.strip() + (" with uncommitted changes" if changes else "")


def conditions(root: Path) -> dict[str, str]:
    """What a reader must know to compare figures: program, machine, versions."""
    return {
        "commit": _commit(root),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "aiohttp": _package("aiohttp"),
        "uvloop": _package("uvloop"),
        "nginx": _first_line("nginx", "-v").removeprefix("nginx version: "),
        "C compiler": _first_line("cc", "--version"),
        "open files": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    }
