"""The access log: one JSON object per exchange, without anything that a client or an upstream could use to say a secret in it.

Written are: what the configuration names (platform, route, model), numbers, ids, and of the request target its path, escaped and
redacted. Not written are query, header values and bodies (rules N04, N08); so a model that is not configured is `other`, because
what the client sent in its place is a piece of the body.
"""

import time
from pathlib import Path

import msgspec

from proxy.outcomes import METHODS, OTHER, ErrorType, Phase
from proxy.telemetry.escaping import escape
from proxy.telemetry.line_writer import BOUND, LineWriter
from proxy.telemetry.metrics import Metrics
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
        self.enabled = writer is not None
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
        writer.write(b'%b%03dZ",%b\n' % (self._stamp(now), int(now % 1 * 1000), self._encode(record)[1:]))

    def fixed(self, method: str, path: str, platform: str | None, route: str, model: str | None) -> bytes:
        """The fields that all exchanges of one dispatch share, as the middle of a line for `write_exchange`."""
        names = {
            "method": method if method in METHODS else OTHER,
            "path": self._paths.get(path) or self._clean_path(path),
            "platform": platform,
            "route": route,
            "model": model,
        }
        return self._encode({name: text for name, text in names.items() if text is not None})[1:-1]

    def write_exchange(
        self,
        request_id: bytes,
        peer: bytes,
        fixed: bytes,
        status: int,
        outcome: bytes,
        bytes_in: int,
        bytes_out: int,
        times: tuple[float, float, float],
        more: bytes,
    ) -> None:
        """The same line as `write` makes, put together from parts that are clean already: a third of the cost on the hot path.

        `times` are duration, time to the answer's head and time the upstream took for it, in milliseconds; `request_id` is one of
        ours or was checked to be a plain token.
        """
        writer = self._writer
        if writer is not None:
            now = time.time()
            writer.write(
                b'%b%03dZ","id":"%b","peer":"%b",%b,"status":%d,"outcome":"%b","bytes_in":%d,"bytes_out":%d,'
                b'"duration_ms":%.3f,"ttfb_ms":%.3f,"upstream_ms":%.3f%b}\n'
                % (
                    self._stamp(now), int(now % 1 * 1000), request_id, peer, fixed,
                    status, outcome, bytes_in, bytes_out, *times, more,
                )
            )  # fmt: skip

    @staticmethod
    def text_field(name: str, text: str) -> bytes:
        """`,"name":"text"` for text that someone else chose."""
        return b',"%b":%b' % (name.encode("ascii"), msgspec.json.encode(escape(text)))

    def _stamp(self, now: float) -> bytes:
        """The beginning of a line, down to the second."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime('{"ts":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second)).encode()
        return self._prefix

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
