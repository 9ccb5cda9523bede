"""The access log: one JSON object per exchange, without anything that a client or an upstream could use to say a secret in it.

Written are: what the configuration names (platform, route, model), numbers, ids, and of the request target its path, escaped and
redacted. Not written are query, header values and bodies (rules N04, N08); so a model that is not configured is `other`, because
what the client sent in its place is a piece of the body.
"""

import time
from pathlib import Path

import msgspec

from proxy.telemetry.escaping import escape
from proxy.telemetry.line_writer import BOUND, LineWriter
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.outcomes import METHODS, OTHER, ErrorType, Phase
from proxy.telemetry.redaction import Redactor, shared

_PATHS_REMEMBERED = 1024


class AccessRecord(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """What is known about one exchange when it ended. Fields that stay None are left out of the line.

    `path` may be given as the whole request target, `method` and `id` as received: `AccessLog` cleans them. `model` is the
    configured name. Times are milliseconds, sizes bytes of bodies. `status` is 499 when the client left first (rule I10).
    """

    id: str
    peer: str  # the address, without the port
    method: str
    path: str
    status: int
    outcome: str  # `Outcome.label`
    platform: str | None = None
    route: str | None = None
    model: str | None = None
    error: ErrorType | None = None
    phase: Phase | None = None  # where a cancelled upstream request was
    upstream_status: int | None = None
    upstream_request_id: str | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    duration_ms: float | None = None
    ttfb_ms: float | None = None
    upstream_ms: float | None = None
    reused: bool | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class AccessLog:
    """Where the records go. Open with `AccessLog.open`; `write` never blocks and never raises for what a client sent."""

    def __init__(self, writer: LineWriter | None, redactor: Redactor = shared) -> None:
        self._writer = writer
        self._redactor = redactor
        self._encode = msgspec.json.Encoder().encode
        self._second = -1
        self._prefix = b""
        self._paths: dict[str, str] = {}
        self._paths_version = redactor.version

    @classmethod
    def open(cls, target: str, metrics: Metrics, redactor: Redactor = shared, bound: int = BOUND) -> "AccessLog":
        """`target` is a path, `-` for standard output, or `off`. OSError when the file cannot be opened."""
        if target == "off":
            return cls(None, redactor)
        path = None if target == "-" else Path(target)
        dropped, lost = metrics.log_dropped("full"), metrics.log_dropped("error")
        return cls(LineWriter(path, dropped.inc, lost.inc, bound), redactor)

    def write(self, record: AccessRecord) -> None:
        """Queue the line of this record. The record is cleaned in place and must not be used again."""
        writer = self._writer
        if writer is None:
            return
        if self._paths_version != self._redactor.version:
            self._paths.clear()
            self._paths_version = self._redactor.version
        record.path = self._paths.get(record.path) or self._clean_path(record.path)
        record.id = escape(record.id)
        if record.method not in METHODS:
            record.method = OTHER
        if record.upstream_request_id is not None:
            record.upstream_request_id = escape(record.upstream_request_id)
        if record.duration_ms is not None:
            record.duration_ms = int(record.duration_ms * 1000) / 1000
        if record.ttfb_ms is not None:
            record.ttfb_ms = int(record.ttfb_ms * 1000) / 1000
        if record.upstream_ms is not None:
            record.upstream_ms = int(record.upstream_ms * 1000) / 1000
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime('{"ts":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second)).encode()
        writer.write(b'%b%03dZ",%b\n' % (self._prefix, int((now - second) * 1000), self._encode(record)[1:]))

    def reopen(self) -> None:
        """After a log rotation, from the signal handler of the loop."""
        if self._writer is not None:
            self._writer.reopen()

    def close(self) -> None:
        """Write what is queued; at most two seconds."""
        if self._writer is not None:
            self._writer.close()

    def _clean_path(self, target: str) -> str:
        """The path of a request target, redacted and escaped. Remembered: most targets come again, and redaction costs."""
        clean = escape(self._redactor.redact(path_of(target)))
        if len(target) <= 256:
            if len(self._paths) >= _PATHS_REMEMBERED:
                self._paths.clear()
            self._paths[target] = clean
        return clean


def path_of(target: str) -> str:
    """The path of a request target in any form, without query and fragment; `-` when it has none.

    A refused request may have had an absolute-form target with userinfo in it, so the authority goes too.
    """
    path = target.partition("?")[0].partition("#")[0]
    if path.startswith("/") or path == "*":
        return path
    _, scheme_end, rest = path.partition("://")
    _, slash, path = rest.partition("/")
    return f"/{path}" if scheme_end and slash else "-"
