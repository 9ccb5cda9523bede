"""The process log: JSON lines on standard error, for loggers named `dragoman.*` and, from warnings up, everybody else's.

Everything is redacted and escaped in the one place where records become bytes, whoever wrote them. Writing is synchronous, so that
the last words of a crash are not lost; whatever a client can trigger goes through a `RateLimiter` first (rules A13, N09).
"""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TextIO

import orjson

from proxy.telemetry.escaping import escape
from proxy.telemetry.redaction import Redactor, shared

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
MESSAGE_CHARS = 2000
TRACEBACK_CHARS = 16_000
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_RESERVED = frozenset({"ts", "level", "logger", "message", "traceback"})


class JsonFormatter(logging.Formatter):
    """One JSON object per record: ts, level, logger, message, the record's extras, and a traceback when there is one."""

    def __init__(self, redactor: Redactor = shared) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(record.created)) + f"{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage(), MESSAGE_CHARS),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                key = self._clean(f"extra_{name}" if name in _RESERVED else name)
                line[key] = self._value(value)
        if record.exc_info and record.exc_info[0] is not None:
            text = self._redactor.redact(self.formatException(record.exc_info))
            line["traceback"] = escape(text, TRACEBACK_CHARS, keep="\n")
        return orjson.dumps(line).decode()

    def _value(self, value: object) -> object:
        if value is None or isinstance(value, bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
            return value
        return self._clean(value if type(value) is str else str(value))

    def _clean(self, text: str, limit: int = 256) -> str:
        return escape(self._redactor.redact(text), limit)


class _Handler(logging.StreamHandler[TextIO]):
    """Stands out by its class, so that `setup` finds its own, and says nothing of a record that cannot be formatted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the standard library's
        """The inherited one prints the record's arguments, unredacted."""
        kind = sys.exc_info()[0]
        try:
            self.stream.write(
                f'{{"level":"error","logger":"dragoman.logs","message":"a log record of {record.pathname!r} line {record.lineno} '
                f'could not be written: {kind.__name__ if kind else "unknown"}"}}\n'
            )
        except (OSError, ValueError):
            pass  # standard error is gone; there is nowhere left to say so


def setup(level: str = "info", stream: TextIO | None = None, redactor: Redactor = shared) -> None:
    """Send all logs to `stream` (standard error) as JSON lines; `level` holds for `dragoman.*`. ValueError for an unknown level.

    May be called again: the handler of an earlier call is replaced, other handlers stay.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: expected one of {', '.join(LEVELS)}")
    teardown()
    handler = _Handler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(redactor))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("dragoman").setLevel(LEVELS[level.lower()])


def teardown() -> None:
    """Take the handler of `setup` away again."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)


class RateLimiter:
    """Says whether one more line about this key (a peer's address) may be written.

    Each key has a bucket of `rate` lines that refills within a minute; all keys together have ten times that, so that many peers
    cannot flood what one may not. At most `capacity` keys are remembered, the least recently seen is forgotten first.
    """

    def __init__(self, rate: float = 6.0, capacity: int = 1024, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # lines left, when that was
        self._everybody = (rate * 10, clock())
        self.suppressed = 0  # lines refused since the start

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, key: str) -> bool:
        """True: write it. False: it is counted in `suppressed` and must not be written."""
        now = self._clock()
        own = _refilled(self._buckets.pop(key, (self._rate, now)), self._rate, now)
        everybody = _refilled(self._everybody, self._rate * 10, now)
        allowed = own >= 1.0 and everybody >= 1.0
        spent = 1.0 if allowed else 0.0
        self._buckets[key] = (own - spent, now)
        self._everybody = (everybody - spent, now)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        self.suppressed += not allowed
        return allowed


def _refilled(bucket: tuple[float, float], rate: float, now: float) -> float:
    left, then = bucket
    return min(rate, left + (now - then) * rate / 60.0)
