"""Durations and sizes as people write them. Pure numbers stay what they are: seconds and bytes."""

import math
import re

from translators.problems import InvalidValueError, quote

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]+)(B|KiB|MiB|GiB)\Z")
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

MAX_SECONDS = 30 * 24 * 3600.0  # longer is a slip of the unit
MAX_NUMBER = 2**40  # of bytes or things; the same


def duration(value: object) -> float:
    """Seconds from a number or from `500ms`, `10s`, `5m`, `1h`; raises InvalidValueError."""
    hint = "Write seconds as a number, or 500ms, 10s, 5m, 1h."
    if isinstance(value, str) and (match := _DURATION.match(value)):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise InvalidValueError(f"{_shown(value)} is no duration", hint)
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_SECONDS:
        raise InvalidValueError(f"{_shown(value)} is out of range: a duration is from 0 to {MAX_SECONDS:.0f} seconds", hint)
    return seconds


def size(value: object) -> int:
    """Bytes from a number or from `512B`, `64KiB`, `1MiB`, `2GiB`; raises InvalidValueError."""
    hint = "Write bytes as a whole number, or 64KiB, 1MiB, 2GiB."
    if isinstance(value, str) and (match := _SIZE.match(value)) and len(value) < 20:
        return _in_range(int(match[1]) * _BYTES[match[2]], value, hint)
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(value, value, hint)
    raise InvalidValueError(f"{_shown(value)} is no size", hint)


def count(value: object) -> int:
    """A whole number of things; raises InvalidValueError."""
    hint = "Write a whole number."
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(value, value, hint)
    raise InvalidValueError(f"{_shown(value)} is no whole number", hint)


def _in_range(number: int, written: object, hint: str) -> int:
    if not 0 <= number <= MAX_NUMBER:
        raise InvalidValueError(f"{_shown(written)} is out of range: from 0 to {MAX_NUMBER}", hint)
    return number


def _shown(value: object) -> str:
    return quote("null" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
