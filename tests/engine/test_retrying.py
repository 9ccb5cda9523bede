"""When a failed call is made again (rule K07), and what a platform's `Retry-After` has to say in it."""

import time
from email.utils import formatdate

import pytest

from proxy.carry.retrying import LONGEST, pause_before
from translators.model import Retry

RULE = Retry(attempts=2, on=frozenset((429, 503)), wait=1.5)


@pytest.mark.parametrize(
    ("after", "pause"),
    [
        ("", 1.5),
        ("0", 1.5),
        ("1", 1.5),
        ("7", 7.0),
        (" 60 ", 60.0),
        ("61", None),  # so long a pause is a no, and the client hears it
        ("9" * 400, None),
        ("-5", 1.5),
        ("1.9", 1.5),
        ("soon", 1.5),
        ("１０", 1.5),
        ("Fri, 01 Jan 1999 00:00:00 GMT", 1.5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
    ],
)
def test_K07_retry_after_counts_where_it_asks_for_more(after: str, pause: float | None) -> None:
    assert pause_before(RULE, 0, 429, {"retry-after": after}) == pause


def test_K07_retry_after_may_be_a_date() -> None:
    pause = pause_before(RULE, 0, 503, {"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert pause is not None
    assert 20 < pause <= 31


def test_K07_a_rule_may_wait_longer_than_a_platform_may_ask() -> None:
    assert pause_before(Retry(1, frozenset((429,)), LONGEST * 2), 0, 429, {"retry-after": "100"}) == LONGEST * 2


@pytest.mark.parametrize(("attempts", "status"), [(2, 429), (0, 500), (0, 200)])
def test_K07_the_answer_stands_when_the_attempts_are_over_or_the_rule_does_not_name_it(attempts: int, status: int) -> None:
    assert pause_before(RULE, attempts, status, {}) is None
    assert pause_before(None, 0, 429, {}) is None
