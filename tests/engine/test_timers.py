"""The timer wheel, with a clock that the test turns."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from proxy.net.timers import TICK, Timed, Wheel


class Handle:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of an event loop that a wheel uses. `run` turns it on to a time, call by call; `late` is added to each call."""

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start
        self.late = 0.0
        self._handles: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Handle:
        self._handles.append(Handle(self.now + delay, call))
        return self._handles[-1]

    def run(self, until: float) -> None:
        while due := [handle for handle in self._handles if not handle.cancelled and handle.when + self.late <= until]:
            handle = min(due, key=lambda one: one.when)
            self._handles.remove(handle)
            self.now = max(self.now, handle.when + self.late)
            handle.call()
        self.now = max(self.now, until)

    @property
    def pending(self) -> int:
        return sum(not handle.cancelled for handle in self._handles)


class Alarm(Timed):
    """Notes when it went off."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.rang: list[float] = []

    def on_deadline(self) -> None:
        self.rang.append(self.clock.now)


def wheel_on(clock: Clock) -> Wheel:
    wheel = Wheel(cast("asyncio.AbstractEventLoop", clock))
    wheel.start()
    return wheel


def waiting(wheel: Wheel) -> int:
    return sum(len(bucket) for bucket in wheel._buckets.values())


@given(st.floats(0, 1000), st.floats(0.0, 30.0), st.floats(0, 0.5))
def test_a_deadline_is_never_early_and_late_by_less_than_two_ticks_and_the_loops_own_delay(
    start: float, delay: float, late: float
) -> None:
    """One tick is the width of a bucket, the other the distance of the moment at which the wheel looks."""
    clock = Clock(start)
    clock.late = late
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, clock.now + delay)
    deadline = alarm.deadline
    clock.run(start + delay + 2)
    assert len(alarm.rang) == 1
    assert deadline <= alarm.rang[0] <= deadline + 2 * TICK + late + 1e-6


def test_a_deadline_goes_off_once() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, clock.now + 1)
    clock.run(clock.now + 100)
    assert len(alarm.rang) == 1
    assert alarm.deadline == inf
    assert waiting(wheel) == 0


def test_putting_a_deadline_off_costs_no_entry_and_is_kept() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, clock.now + 1)
    for _ in range(200):
        clock.run(clock.now + 0.05)
        alarm.deadline = clock.now + 1  # as the hot path does it
        assert waiting(wheel) <= 1
    assert alarm.rang == []
    put_off = alarm.deadline
    clock.run(clock.now + 5)
    assert len(alarm.rang) == 1
    assert alarm.rang[0] >= put_off


def test_bringing_a_deadline_forward_works_and_the_old_place_is_forgotten() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    start = clock.now
    wheel.arm(alarm, start + 60)
    wheel.arm(alarm, start + 1)
    clock.run(start + 2)
    assert len(alarm.rang) == 1
    clock.run(start + 120)
    assert len(alarm.rang) == 1


def test_forward_and_off_again_still_goes_off_exactly_once() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    start = clock.now
    wheel.arm(alarm, start + 10)
    wheel.arm(alarm, start + 1)
    wheel.arm(alarm, start + 10)
    clock.run(start + 9.9)
    assert alarm.rang == []
    clock.run(start + 30)
    assert len(alarm.rang) == 1


def test_a_deadline_taken_back_does_not_go_off_and_can_be_set_again() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, clock.now + 1)
    wheel.arm(alarm, inf)
    clock.run(clock.now + 5)
    assert alarm.rang == []
    assert waiting(wheel) == 0
    wheel.arm(alarm, clock.now + 1)
    clock.run(clock.now + 2)
    assert len(alarm.rang) == 1


def test_a_deadline_in_the_past_goes_off_at_the_next_look() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    wheel.arm(alarm, clock.now - 5)
    clock.run(clock.now + 3 * TICK)
    assert len(alarm.rang) == 1


def test_a_deadline_set_while_another_goes_off_is_kept() -> None:
    clock = Clock()
    wheel = wheel_on(clock)

    class Again(Alarm):
        def on_deadline(self) -> None:
            super().on_deadline()
            if len(self.rang) < 5:
                wheel.arm(self, clock.now + 0.01)

    again = Again(clock)
    wheel.arm(again, clock.now)
    clock.run(clock.now + 3)
    assert len(again.rang) == 5


def test_after_the_loop_stood_still_everything_due_goes_off_in_order() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    order: list[int] = []

    class Numbered(Timed):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_deadline(self) -> None:
            order.append(self.number)

    for number in reversed(range(10)):
        wheel.arm(Numbered(number), clock.now + 1 + number)
    clock.now += 100
    clock.run(clock.now + TICK)
    assert order == list(range(10))


@given(st.lists(st.tuples(st.sampled_from(["arm", "put off", "take back", "run"]), st.floats(0, 5)), max_size=40))
def test_whatever_is_done_a_deadline_goes_off_when_it_is_due_and_never_otherwise(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    alarm = Alarm(clock)
    for what, amount in steps:
        before = len(alarm.rang)
        deadline = alarm.deadline
        if what == "arm":
            wheel.arm(alarm, clock.now + amount)
        elif what == "put off" and alarm.deadline < inf:
            alarm.deadline += amount
        elif what == "take back":
            alarm.deadline = inf
        elif what == "run":
            clock.run(clock.now + amount)
            due = len(alarm.rang) > before
            assert due or deadline > clock.now - 2 * TICK - 1e-6
            assert not due or alarm.rang[-1] >= deadline
        assert waiting(wheel) <= 1 + len(steps)
    clock.run(clock.now + 1000)
    assert waiting(wheel) == 0
    assert alarm.deadline == inf


def test_watchers_are_called_once_a_second_and_the_date_is_kept() -> None:
    clock = Clock()
    wheel = Wheel(cast("asyncio.AbstractEventLoop", clock))
    calls: list[float] = []
    wheel.each_second(lambda: calls.append(clock.now))
    wheel.start()
    clock.run(clock.now + 10.05)
    assert len(calls) == 11
    assert wheel.date.endswith(b" GMT")
    assert clock.now - wheel.now <= TICK


def test_a_stopped_wheel_leaves_nothing_with_the_loop() -> None:
    clock = Clock()
    wheel = wheel_on(clock)
    clock.run(clock.now + 1)
    wheel.stop()
    assert clock.pending == 0


def test_the_wheel_takes_what_an_event_loop_gives() -> None:
    async def main() -> Any:
        wheel = Wheel(asyncio.get_running_loop())
        wheel.start()
        wheel.stop()
        return wheel.date

    assert asyncio.run(main())
