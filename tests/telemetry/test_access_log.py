"""One line per exchange, and what must not be in it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.outcomes import ErrorType, Outcome, Phase
from proxy.telemetry.access_log import AccessLog, AccessRecord, path_of
from proxy.telemetry.line_writer import LineWriter
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.redaction import Redactor

MARKER = "MARKER7f3a"


class Lines(LineWriter):
    """A writer that keeps what it is given; no file, no thread."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


def record(**changes: Any) -> AccessRecord:
    fields: dict[str, Any] = {
        "id": "r-1",
        "peer": "192.0.2.1",
        "method": "POST",
        "path": "/alpha/v1/chat",
        "status": 200,
        "outcome": Outcome.OK.label,
    }
    return AccessRecord(**(fields | changes))


def written(*records: AccessRecord, redactor: Redactor | None = None) -> list[dict[str, Any]]:
    lines = Lines()
    log = AccessLog(lines, redactor or Redactor())
    for one in records:
        log.write(one)
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines.lines)
    return [json.loads(line) for line in lines.lines]


def test_a_full_record_becomes_one_object() -> None:
    (line,) = written(
        record(
            platform="alpha",
            route="POST /v1/chat",
            model="m-1",
            error=ErrorType.HTTP_RESPONSE_INCOMPLETE,
            phase=Phase.RECEIVE,
            upstream_status=200,
            upstream_request_id="req-9",
            bytes_in=10,
            bytes_out=20,
            duration_ms=12.3456789,
            ttfb_ms=1.0,
            upstream_ms=0.25,
            reused=False,
            tokens_in=3,
            tokens_out=4,
        )
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line == {
        "id": "r-1",
        "peer": "192.0.2.1",
        "method": "POST",
        "path": "/alpha/v1/chat",
        "status": 200,
        "outcome": "ok",
        "platform": "alpha",
        "route": "POST /v1/chat",
        "model": "m-1",
        "error": "http_response_incomplete",
        "phase": "receive",
        "upstream_status": 200,
        "upstream_request_id": "req-9",
        "bytes_in": 10,
        "bytes_out": 20,
        "duration_ms": 12.345,
        "ttfb_ms": 1.0,
        "upstream_ms": 0.25,
        "reused": False,
        "tokens_in": 3,
        "tokens_out": 4,
    }


def test_what_is_not_known_is_left_out() -> None:
    (line,) = written(record())
    assert list(line) == ["ts", "id", "peer", "method", "path", "status", "outcome"]


def test_I10_a_client_that_left_is_499() -> None:
    (line,) = written(record(status=499, outcome=Outcome.CLIENT_CLOSED.label, phase=Phase.WAIT))
    assert (line["status"], line["outcome"], line["phase"]) == (499, "client_closed", "wait")


@pytest.mark.parametrize(("sent", "logged"), [("GET", "GET"), ("PURGE", "other"), ("get", "other"), ("G\x1b[31m", "other")])
def test_Q01_a_method_that_is_not_listed_is_other(sent: str, logged: str) -> None:
    assert written(record(method=sent))[0]["method"] == logged


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/x", "/v1/x"),
        (f"/v1/x?key={MARKER}", "/v1/x"),
        (f"/v1/x#{MARKER}", "/v1/x"),
        (f"http://user:{MARKER}@host/v1/x?{MARKER}", "/v1/x"),
        (f"http://user:{MARKER}@host", "-"),
        (f"user:{MARKER}@host:443", "-"),
        (f"{MARKER}?/x", "-"),
        ("*", "*"),
        ("", "-"),
        ("//host/x", "//host/x"),
    ],
)
def test_N04_only_the_path_of_a_target_is_logged(target: str, path: str) -> None:
    assert path_of(target) == path
    assert written(record(path=target))[0]["path"] == path


@pytest.mark.parametrize(
    "target",
    [f"/v1/key={MARKER}", f"/v1/x%3Fapi_key%3D{MARKER}", f"/sk-{MARKER}/x", f"/bearer%20{MARKER}", f"/p/https://u:{MARKER}@h/x"],
)
def test_N01_what_looks_like_a_credential_in_a_path_is_redacted(target: str) -> None:
    line = written(record(path=target))[0]
    assert MARKER not in json.dumps(line)
    assert "[redacted]" in line["path"]


def test_N01_a_secret_registered_later_goes_from_paths_seen_before() -> None:
    redactor, lines = Redactor(), Lines()
    log = AccessLog(lines, redactor)
    log.write(record(path=f"/v1/{MARKER}"))
    redactor.register(MARKER)
    log.write(record(path=f"/v1/{MARKER}"))
    assert MARKER.encode() in lines.lines[0]
    assert MARKER.encode() not in lines.lines[1]


@settings(max_examples=300)
@given(st.text(st.characters(), max_size=400), st.text(st.characters(), max_size=400), st.text(st.characters(), max_size=400))
def test_N07_case76_whatever_is_sent_the_line_is_one_printable_object(identity: str, path: str, upstream: str) -> None:
    lines = Lines()
    AccessLog(lines, Redactor()).write(record(id=identity, path="/" + path, upstream_request_id=upstream))
    (line,) = lines.lines
    assert line.endswith(b"\n")
    text = line[:-1].decode()
    assert text.isprintable()
    fields = json.loads(text)
    for name in ("id", "path", "upstream_request_id"):
        assert fields[name].isprintable()
        assert len(fields[name]) <= 256


def test_the_memory_of_paths_is_bounded() -> None:
    log = AccessLog(Lines(), Redactor())
    for number in range(5000):
        log.write(record(path=f"/v1/{number}"))
    assert len(log._paths) <= 1024
    log.write(record(path="/" + "x" * 8000))
    assert all(len(path) <= 256 for path in log._paths)


def test_lines_that_found_no_room_are_counted_by_reason() -> None:
    metrics = Metrics()
    log = AccessLog.open("/dev/full", metrics, Redactor(), bound=0)
    log.write(record())
    log.close()
    assert metrics.log_dropped("full").value == 1
    failing = AccessLog.open("/dev/full", metrics, Redactor())
    failing.write(record())
    failing.close()
    assert metrics.log_dropped("error").value == 1
    assert 'dragoman_access_log_dropped_total{reason="full"} 1.0' in metrics.exposition().decode()


def test_a_log_that_is_off_takes_everything_and_writes_nothing() -> None:
    log = AccessLog.open("off", Metrics())
    actions: list[Callable[[], None]] = [lambda: log.write(record()), log.reopen, log.close]
    for action in actions:
        action()
    assert log._writer is None


def test_a_path_is_appended_to_and_a_dash_is_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "access.log"
    for target in (str(path), str(path), "-"):
        log = AccessLog.open(target, Metrics(), Redactor())
        log.write(record(id=target))
        log.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [str(path)] * 2
    assert json.loads(capfd.readouterr().out)["id"] == "-"
    assert path.stat().st_mode & 0o007 == 0, "not for everybody's eyes"
