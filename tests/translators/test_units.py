"""Durations, sizes and counts as people write them."""

import pytest

from translators import units
from translators.problems import InvalidValueError


@pytest.mark.parametrize(
    ("written", "seconds"), [(0, 0), (2, 2), (0.5, 0.5), ("500ms", 0.5), ("10s", 10), ("1.5s", 1.5), ("5m", 300), ("1h", 3600)]
)
def test_durations_are_seconds(written: object, seconds: float) -> None:
    assert units.duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", [-1, "-1s", "10", "10 s", "10S", "s", "1d", "١s", True, None, float("nan"), float("inf"), 10**9, "9" * 400 + "h"]
)
def test_other_durations_are_errors(written: object) -> None:
    with pytest.raises(InvalidValueError):
        units.duration(written)


@pytest.mark.parametrize(
    ("written", "size"), [(0, 0), (100, 100), ("100B", 100), ("64KiB", 65536), ("1MiB", 1048576), ("2GiB", 2147483648)]
)
def test_sizes_are_bytes(written: object, size: int) -> None:
    assert units.size(written) == size


@pytest.mark.parametrize(
    "written", [-1, 1.5, "64KB", "64 KiB", "64k", "1.5MiB", True, None, 2**41, "9" * 30 + "KiB", "99999999GiB"]
)
def test_other_sizes_are_errors(written: object) -> None:
    with pytest.raises(InvalidValueError):
        units.size(written)


@pytest.mark.parametrize("written", [-1, 1.0, "5", "64KiB", False, None])
def test_other_counts_are_errors(written: object) -> None:
    assert units.count(5) == 5
    with pytest.raises(InvalidValueError):
        units.count(written)
