"""Runs the load generator (c/load.c) and judges what it reports."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any, Self

from benchmarks import prepare, system
from benchmarks.targets import Target


@dataclass(frozen=True, slots=True)
class Shape:
    """What the load generator does; the options of load.c, in its order."""

    body: str
    connections: int
    warm_up: float
    seconds: float
    rate: float = 0.0  # requests/s, open loop; 0: closed loop
    ramp: float = 0.0  # new connections/s; 0: all at once
    events: int = 0  # per complete answer; 0: the answer is no stream
    count_segments: bool = False
    hold: bool = False  # keep the connections after the measurement until `finish`


class Load:
    """One run of the load generator; a context manager that leaves no process behind."""

    def __init__(self, target: Target, port: int, shape: Shape) -> None:
        command = [
            *(str(prepare.LOAD), "-p", str(port), "-u", target.path, "-b", str(prepare.body_path(shape.body))),
            *("-c", str(shape.connections), "-w", str(shape.warm_up), "-d", str(shape.seconds)),
            *("-r", str(shape.rate), "-R", str(shape.ramp)),
        ]
        for line in target.fields:
            command += ["-h", line]
        if shape.events:
            command += ["-e", str(shape.events)]
        if shape.count_segments:
            command.append("-s")
        if shape.hold:
            command.append("-k")
        self._process = subprocess.Popen(
            system.pinned(system.LOAD_CPU, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.wait()

    def wait_for(self, word: str) -> None:
        """Returns when the measured time begins (`start`) or ends (`stop`)."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"the load generator said {line!r} where {word!r} was expected; exit status {self._process.wait()}")

    def finish(self) -> dict[str, Any]:
        """The JSON object of the load generator. Lets go of the connections when they were held."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        out = self._process.stdout.read()
        if self._process.wait() != 0:
            raise RuntimeError(f"the load generator ended with status {self._process.returncode}")
        report: dict[str, Any] = json.loads(out)
        return report


def problems(result: dict[str, Any], shape: Shape) -> list[str]:
    """Why the figures of a run must not be used; empty when they may."""
    found = []
    if result["errors"]:
        found.append(f"{result['errors']} errors, the first: {result['first_error']}")
    if result["wrong"]:
        wanted = f"{shape.events} events" if shape.events else "the size of the request body"
        found.append(f"{result['wrong']} answers without {wanted}")
    refused = {status: count for status, count in result["answers"].items() if status != "200"}
    if refused:
        found.append(f"answers {refused}, the first: {result['first_refusal']}")
    if not (result["events"] if shape.events else result["requests"]):
        found.append("nothing was answered in the measured time")
    return found
