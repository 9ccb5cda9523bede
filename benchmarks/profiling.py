"""Where a target's time goes: py-spy looks at it while it is under load.

py-spy is optional (`pip install py-spy`) and needs the right to look into another process (root, or a relaxed ptrace_scope).
"""

import collections
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import prepare
from benchmarks.load import Load
from benchmarks.servers import Processes
from benchmarks.targets import Target
from benchmarks.workloads import Workload

RATE = 250  # samples per second
LINE = re.compile(r":\d+\)$")


def find_py_spy() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def profile(processes: Processes, target: Target, workload: Workload, seconds: int, *, native: bool, top: int) -> None:
    """Prints the functions that were on top of the stack, and those that were anywhere in it, in per cent of the samples."""
    py_spy = find_py_spy()
    if py_spy is None:
        raise RuntimeError("py-spy is not installed; `pip install py-spy`")
    if workload.shape is None or target.server is None:
        raise RuntimeError("profile works with w1c1, w1c32, w1c256, w2 and w3, and with a target that has a process")
    output = prepare.WORK / "profile.txt"
    shape = replace(workload.shape, seconds=seconds + 2, warm_up=0.5)
    with processes.awake(target) as server, Load(target, processes.port(target), shape) as load:
        assert server is not None
        load.wait_for("start")
        command = [py_spy, "record", "--pid", str(server.pid), "--duration", str(seconds), "--rate", str(RATE)]
        command += ["--format", "raw", "--output", str(output)] + (["--native"] if native else [])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"py-spy: {done.stderr.strip()}")
        load.wait_for("stop")
        result = load.finish()
    _print(output.read_text(), top)
    measured = result["seconds"]
    print(f"{result['requests'] / measured:,.0f} requests/s, {result['events'] / measured:,.0f} events/s while watched")


def _print(raw: str, top: int) -> None:
    """`raw`: one line per stack, frames separated by `;`, then a blank and the number of samples."""
    own: collections.Counter[str] = collections.Counter()
    within: collections.Counter[str] = collections.Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [LINE.sub(")", frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    samples = own.total() or 1
    for title, counter in (("on top", own), ("anywhere in the stack", within)):
        print(f"\n{title}, % of {samples} samples")
        for frame, hits in counter.most_common(top):
            print(f"{100 * hits / samples:6.1f}  {frame}")
