"""What the tests of the examples' side share: a few shipped rule files in a directory, and a clock that is set by hand."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from translators.load import shipped_rules

PLATFORMS = ("kling", "minimax", "midjourney")


@dataclass
class Clock:
    """Gives Unix seconds; `now` is set by the test."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def copy_rules(directory: Path) -> Path:
    """The rule files of `PLATFORMS`, so that a test loads no more than it needs."""
    for name in PLATFORMS:
        shutil.copy(shipped_rules() / f"{name}.yaml", directory)
    return directory
