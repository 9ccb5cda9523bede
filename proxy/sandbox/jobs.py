"""Live tasks: what was created here, how far it has come, and under which id the outside knows it.

A task takes a fixed time: a quarter of it queued, the rest in progress. It ends well unless its request speaks of failing.
"""

import random
import re
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proxy.sandbox.asked import Asked, leaves
from proxy.sandbox.known import Known
from translators.model import Task

MOST = 10_000  # tasks that are remembered; the oldest are forgotten
_QUEUED = 0.25  # of the whole time
_FAIL = re.compile(r"\bfail", re.IGNORECASE)
_LONG_TEXT = 4096  # media as text is longer and says nothing
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LETTERS, _DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
_RUN = 4  # characters of a run that may be part of a number; a shorter one may be a version
_SHORT = 8  # random characters that an id has at least


@dataclass(slots=True)
class Job:
    """One task. `example_id` is its id in the examples; `path` and `source` are those of its creation; times in seconds."""

    id: str
    example_id: str
    task: Task
    path: str
    source: Known
    began: float
    takes: float
    fails: bool
    asked: Asked
    cancelled: bool = False

    def state(self, now: float) -> str:
        """queued, in_progress, completed or failed."""
        if self.cancelled:
            return "failed"
        done = self.done(now)
        if done >= 1:
            return "failed" if self.fails else "completed"
        return "queued" if done < _QUEUED else "in_progress"

    def done(self, now: float) -> float:
        """How much of it is done, from 0 to 1."""
        return min(max((now - self.began) / self.takes, 0.0), 1.0) if self.takes > 0 else 1.0


@dataclass(slots=True)
class Jobs:
    """The tasks of one platform, by id."""

    source: random.Random
    live: "OrderedDict[str, Job]" = field(default_factory=OrderedDict)

    def add(self, job: Job) -> None:
        self.live[job.id] = job
        while len(self.live) > MOST:
            self.live.popitem(last=False)

    def keep(self, tasks: Mapping[str, Task]) -> None:
        """Let the live tasks follow the rules as they are now; those whose rule is gone are forgotten."""
        for job in list(self.live.values()):
            if job.task.name in tasks:
                job.task = tasks[job.task.name]
            else:
                del self.live[job.id]

    def named(self, texts: Iterable[str]) -> Job | None:
        """The task that one of some texts names."""
        return next((job for text in texts if (job := self.live.get(text)) is not None), None)

    def fresh_id(self, example: str) -> str:
        """An id that looks like the example's and was not given out before."""
        while (made := _like(example, self.source)) in self.live or made == example:
            pass
        return made


def wants_failure(asked: Asked) -> bool:
    """Whether a request speaks of failing: `fail` begins a word of one of its texts."""
    return any(isinstance(text, str) and len(text) <= _LONG_TEXT and _FAIL.search(text) for _, text in leaves(asked.body))


def _like(example: str, source: random.Random) -> str:
    if _UUID.fullmatch(example):
        return str(uuid.UUID(int=source.getrandbits(128), version=4))
    return _mixed(example, source)


def _mixed(example: str, source: random.Random) -> str:
    """The example with its last run of letters and digits made anew, and every longer one that holds a digit: words stay."""
    if example.isdecimal():
        return str(source.randrange(1, 10)) + "".join(source.choice(_DIGITS) for _ in range(max(len(example), _SHORT) - 1))
    runs = re.split(r"([A-Za-z0-9]+)", example)
    last = len(runs) - 2
    made = [
        "".join(_other(character, source) for character in run)
        if place == last or (len(run) >= _RUN and re.search(r"\d", run))
        else run
        for place, run in enumerate(runs)
    ]
    missing = _SHORT - sum(len(run) for place, run in enumerate(runs) if place % 2 and run != made[place])
    return "".join(made) + "".join(source.choice(_DIGITS) for _ in range(max(missing, 0)))


def _other(character: str, source: random.Random) -> str:
    if character.isdecimal():
        return source.choice(_DIGITS)
    return source.choice(_LETTERS if character.islower() else _LETTERS.upper())
