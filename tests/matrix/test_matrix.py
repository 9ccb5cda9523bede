"""Every official SDK, of two generations and in JavaScript, reads every platform's answers, whatever the platform speaks."""

import json

import pytest

from tests.matrix.conftest import Look, Seen
from tests.matrix.table import (
    ANSWERED,
    BROKEN,
    CALLED,
    CUT_SHORT,
    FINISHED,
    PAIRS,
    PATHS,
    READERS,
    REFUSED,
    RETRY_AFTER,
    STATUS_ERRORS,
    Case,
    job,
    shows_thoughts,
)

QUESTION, DEGREES = "Grüße an 東京 🙂", "18 degrees"
WEATHER, TIME = ["get_weather", {"city": "Paris", "days": 1}], ["get_time", {}]
CALLS = {"tool": [WEATHER], "result": [WEATHER], "parallel": [WEATHER, TIME]}
# What no reader may run into: its own code fell over what it got.
STUMBLES = {"AssertionError", "AttributeError", "IndexError", "KeyError", "TypeError", "ValueError", "Error"}
BROKE_OFF = "TypeError: terminated"  # node's own word for a body that ends too early

readers = pytest.mark.parametrize("reader", [pytest.param(name, marks=[pytest.mark.js] * (name == "js")) for name in READERS])
both = pytest.mark.parametrize(("client", "platform"), PAIRS)


def cases(some: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", some, ids=[case.id for case in some])


def seen_in(look: Look, client: str, platform: str, reader: str, case: Case) -> Seen:
    """What the reader saw of an answer that the platform gave in its own protocol."""
    seen, paths = look(client, reader, job(client, platform, reader, case, ""))
    assert paths
    assert not [path for path in paths if not path.endswith(PATHS[platform])]
    if case.fault is None:
        assert "failed" not in seen, seen["failed"]["trace"]
    else:
        assert "failed" in seen, f"it ended as if nothing had been wrong: {seen}"
    return seen


@readers
@both
@cases(ANSWERED)
def test_an_sdk_reads_the_answers_of_a_platform_of_any_protocol(
    look: Look, client: str, platform: str, reader: str, case: Case
) -> None:
    seen = seen_in(look, client, platform, reader, case)
    read, written = seen["usage"]
    assert read > 0
    assert written > 0
    if case.name != "thinking":
        assert seen["thinking"] == ""
    elif shows_thoughts(client, platform):
        assert seen["thinking"]
    assert seen["calls"] == CALLS.get(case.name, [])
    if case.name == "tool":
        assert seen["finish"] == CALLED[client]
        return
    assert seen["finish"] == (CUT_SHORT if case.name == "short" else FINISHED)[client]
    match case.name:
        case "short":
            assert seen["text"] == "Hello, this"
        case "structured":
            assert json.loads(seen["text"]) == WEATHER[1]
        case "result" | "parallel":
            assert DEGREES in seen["text"]
        case _:
            assert QUESTION in seen["text"]
            assert ("1 picture" in seen["text"]) == (case.name == "picture")


@readers
@both
@cases(REFUSED)
def test_I03_a_refusal_of_a_platform_of_any_protocol_is_the_sdks_own_error(
    look: Look, client: str, platform: str, reader: str, case: Case
) -> None:
    failed = seen_in(look, client, platform, reader, case)["failed"]
    status = int(case.fault or 0)
    assert failed["status"] == status, failed["trace"]
    if client == "generate":
        assert failed["class"] == ("ApiError" if reader == "js" else "ClientError")
    else:
        assert failed["class"] == STATUS_ERRORS[status]
        assert failed["retry_after"] == (RETRY_AFTER if status == 429 else None)


@readers
@both
@cases(BROKEN)
def test_I07_an_answer_that_breaks_off_is_an_error_for_every_sdk(
    look: Look, client: str, platform: str, reader: str, case: Case
) -> None:
    failed = seen_in(look, client, platform, reader, case)["failed"]
    assert failed["class"] not in STUMBLES or failed["trace"].startswith(BROKE_OFF), failed["trace"]
    # In Python the responses SDK hands an error event on, and then misses the end; in JavaScript a stream that breaks drops
    # what was not read yet, so that only the break is certain to be seen.
    if client not in (platform, "responses") and reader != "js":
        assert "broke off" in failed["trace"]
