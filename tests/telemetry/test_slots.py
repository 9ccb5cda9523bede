"""Slots: counters, gauges and histograms over one bank."""

import os
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.slots import Bank, Counter, Gauge, Histogram

BOUNDS = (0.001, 0.01, 0.1, 1.0)


def test_neighbours_in_the_bank_do_not_touch_each_other() -> None:
    bank = Bank(8)
    first, second = Counter(bank.values, bank.take(1)), Counter(bank.values, bank.take(1))
    first.inc()
    first.inc(2.5)
    assert (first.value, second.value) == (3.5, 0.0)


def test_a_gauge_goes_up_and_down_and_can_be_set() -> None:
    bank = Bank(1)
    gauge = Gauge(bank.values, bank.take(1))
    gauge.inc(3)
    gauge.dec()
    assert gauge.value == 2.0
    gauge.set(-7.5)
    assert gauge.value == -7.5


@given(st.lists(st.floats(min_value=0, max_value=10, allow_nan=False)))
def test_a_histogram_counts_each_value_under_the_first_bound_not_below_it(observed: list[float]) -> None:
    bank = Bank(len(BOUNDS) + 2)
    histogram = Histogram(bank.values, bank.take(len(BOUNDS) + 2), BOUNDS)
    for value in observed:
        histogram.observe(value)
    expected = [0.0] * (len(BOUNDS) + 1)
    for value in observed:
        expected[next((i for i, bound in enumerate(BOUNDS) if value <= bound), len(BOUNDS))] += 1
    assert list(bank.values[: len(BOUNDS) + 1]) == expected
    assert histogram.count == len(observed)
    assert histogram.sum == pytest.approx(sum(observed))


def test_a_value_on_a_bound_belongs_to_that_bucket() -> None:
    bank = Bank(6)
    Histogram(bank.values, bank.take(6), BOUNDS).observe(0.1)
    assert bank.values[bisect_left(BOUNDS, 0.1)] == 1.0


def test_an_exhausted_bank_says_how_large_it_was() -> None:
    bank = Bank(3)
    bank.take(2)
    with pytest.raises(MemoryError, match="3 slots"):
        bank.take(2)


def test_a_child_process_counts_into_the_same_bank() -> None:
    bank = Bank(1)
    counter = Counter(bank.values, bank.take(1))
    child = os.fork()
    if child == 0:
        counter.inc(41)
        os._exit(0)
    os.waitpid(child, 0)
    counter.inc()
    assert counter.value == 42.0
