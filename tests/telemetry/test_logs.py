"""The process log: shape, redaction, and the limit on what clients can make it say."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry import logs
from proxy.telemetry.redaction import Redactor

MARKER = "MARKER7f3a"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    levels = {name: logging.getLogger(name).level for name in (None, "dragoman")}
    stream = io.StringIO()
    logs.setup("debug", stream, Redactor([MARKER]))
    yield stream
    logs.teardown()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def own_handler() -> logging.Handler:
    """Ours alone: pytest's own handlers raise what a handler should swallow."""
    (handler,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Handler)]
    return handler


def test_a_record_is_one_json_object_with_its_extras(stream: io.StringIO) -> None:
    logging.getLogger("dragoman.proxy").info("listening on %s", "127.0.0.1:8080", extra={"platforms": 3, "open": False, "ts": "x"})
    (line,) = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "dragoman.proxy",
        "message": "listening on 127.0.0.1:8080",
        "platforms": 3,
        "open": False,
        "extra_ts": "x",
    }


def test_the_level_holds_for_our_loggers_and_others_speak_from_warnings_up(stream: io.StringIO) -> None:
    logs.setup("warning", stream)
    logging.getLogger("dragoman.proxy").info("no")
    logging.getLogger("dragoman.proxy").warning("yes")
    logging.getLogger("somebody").info("no")
    logging.getLogger("somebody").warning("theirs")
    assert [line["message"] for line in lines(stream)] == ["yes", "theirs"]


def test_an_unknown_level_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error, critical"):
        logs.setup("loud")


def test_a_second_setup_does_not_double_the_lines(stream: io.StringIO) -> None:
    logs.setup("info", stream)
    logging.getLogger("dragoman").info("once")
    assert len(lines(stream)) == 1


def test_N01_a_secret_is_nowhere_in_message_extra_name_or_traceback(stream: io.StringIO) -> None:
    logger = logging.getLogger(f"dragoman.{MARKER[:4]}")
    logger.debug("sending %r", {"Authorization": f"Bearer {MARKER}"})
    logger.warning(
        "odd", extra={"headers": [("x-api-key", MARKER)], f"name_{MARKER}": 1, "url": f"https://u:{MARKER}@h/?key={MARKER}"}
    )
    try:
        try:
            raise KeyError(MARKER)
        except KeyError as error:
            raise RuntimeError(f"cannot use Bearer {MARKER}") from error
    except RuntimeError:
        logger.exception("failed with %s", MARKER)
    text = stream.getvalue()
    assert MARKER not in text
    assert text.count("\n") == 3
    assert "Traceback (most recent call last):\n" in lines(stream)[2]["traceback"]


@given(st.text(st.characters(), max_size=300), st.text(st.characters(), max_size=300))
def test_N07_any_text_gives_one_line_of_printable_json(message: str, extra: str) -> None:
    record = logging.LogRecord("dragoman", logging.INFO, "", 0, "%s", (message,), None)
    record.sent = extra
    text = logs.JsonFormatter(Redactor()).format(record)
    assert text.isprintable()
    assert len(json.loads(text)["sent"]) <= 256


@pytest.mark.parametrize("value", [2**70, float("nan"), float("inf"), object, b"\xff", {"a": 1}, None, True, "\ud800"])
def test_an_extra_of_any_kind_can_be_written(value: object) -> None:
    record = logging.LogRecord("dragoman", logging.INFO, "", 0, "m", (), None)
    record.sent = value
    assert "sent" in json.loads(logs.JsonFormatter(Redactor()).format(record))


def test_N01_a_record_that_cannot_be_formatted_does_not_show_its_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    own_handler().handle(logging.LogRecord("dragoman", logging.INFO, "x.py", 7, "%d", (MARKER,), None))
    assert capsys.readouterr().err == ""
    (line,) = lines(stream)
    assert line["message"] == "a log record of 'x.py' line 7 could not be written: TypeError"


def test_a_closed_standard_error_stops_nobody(stream: io.StringIO) -> None:
    stream.close()
    own_handler().handle(logging.LogRecord("dragoman", logging.INFO, "x.py", 7, "into the void", (), None))
    assert stream.closed


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_A13_N09_one_peer_gets_its_lines_and_then_silence_until_time_passes() -> None:
    clock = Clock()
    limiter = logs.RateLimiter(rate=3, capacity=10, clock=clock)
    assert [limiter.allow("a") for _ in range(5)] == [True, True, True, False, False]
    assert limiter.allow("b")
    assert limiter.suppressed == 2
    clock.now = 20.0  # a third of a minute: one line
    assert [limiter.allow("a") for _ in range(2)] == [True, False]
    clock.now = 10_000.0
    assert [limiter.allow("a") for _ in range(4)] == [True, True, True, False], "a bucket never holds more than its rate"


def test_N09_many_peers_together_have_a_limit_too() -> None:
    limiter = logs.RateLimiter(rate=3, capacity=10, clock=Clock())
    assert sum(limiter.allow(f"peer-{number}") for number in range(1000)) == 30
    assert len(limiter) == 10
    assert limiter.suppressed == 970
