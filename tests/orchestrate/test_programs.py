"""The loop over a program's steps, against a small host without sockets."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.fetch.targets import FetchError, FetchOutcome
from proxy.orchestrate.interface import Host
from proxy.orchestrate.running import Runner
from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal
from tests.harness.runner import async_test
from tests.orchestrate.hosts import InTest, Reader
from translators.runtime.steps import Answer, Call, Fetch, Fetched, Incoming, Pause, Program, Reply, Result

CALL = Call("GET", "/x")
REPLY = Reply(200, {}, b"{}")
DONE = Answer(200, b"done", None)
BROKEN = Refusal(502, ErrorType.CONNECTION_TERMINATED, "upstream_closed", "It closed.")


async def runs(program: Program, host: InTest, reader: Reader | None = None, limit: float = 5.0) -> Result:
    runner = Runner((reader or Reader()).fetch, limit, lambda _: None)
    try:
        return await runner.run(program, next(program), cast("Host", host))
    finally:
        await runner.close()


@async_test(loops=False)
async def test_a_program_gets_what_came_of_each_step(tmp_path: Path) -> None:
    def program() -> Generator[Any, Any, Result]:
        assert (yield CALL) == REPLY
        assert (yield Pause(0.0)) is None
        assert (yield Fetch("https://example.com/a.png")) == Fetched(b"data", "image/png")
        return DONE

    assert await runs(program(), InTest(tmp_path, REPLY)) == DONE


@async_test(loops=False)
async def test_R03_only_what_the_platform_said_may_lie_at_its_own_origin(tmp_path: Path) -> None:
    def program() -> Generator[Any, Any, Result]:
        yield Fetch("http://platform.test/from-the-client")
        yield CALL
        yield Fetch("http://platform.test/from-the-platform")
        return DONE

    reader = Reader()
    await runs(program(), InTest(tmp_path, REPLY), reader)
    first, second = (policy for _, policy in reader.asked)
    assert first.trusted_origins == frozenset()
    assert second.trusted_origins == {("http", "platform.test", 80)}
    for policy in (first, second):
        assert (policy.hosts, policy.media_types, policy.max_bytes, policy.timeout) == (("*",), ("image/*",), 1024 * 1024, 2.0)


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (FetchOutcome.REFUSED, 400, "fetch_refused"),
        (FetchOutcome.TOO_LARGE, 413, "fetch_too_large"),
        (FetchOutcome.TIMEOUT, 504, "fetch_timeout"),
    ],
)
@async_test(loops=False)
async def test_a_fetch_that_fails_ends_the_program_with_a_local_answer(
    tmp_path: Path, outcome: FetchOutcome, status: int, code: str
) -> None:
    closed = []

    def program() -> Generator[Any, Any, Result]:
        try:
            yield Fetch("https://example.com/a.png")
        finally:
            closed.append(True)
        return DONE

    with pytest.raises(Refusal) as caught:
        await runs(program(), InTest(tmp_path), Reader(FetchError(outcome, "words")))
    assert (caught.value.status, caught.value.code, caught.value.message) == (status, code, "words")
    assert closed == [True]


@async_test(loops=False)
async def test_a_call_that_fails_while_a_task_is_waited_for_is_a_poll_that_failed(tmp_path: Path) -> None:
    def program() -> Generator[Any, Any, Result]:
        yield CALL
        yield Pause(0.0, "video_x")
        reply = yield CALL
        return Answer(reply.status, reply.body, None)

    answer = await runs(program(), InTest(tmp_path, REPLY, BROKEN))
    assert isinstance(answer, Answer)
    assert answer.status == 502
    assert b"It closed." in answer.body


@async_test(loops=False)
async def test_any_other_call_that_fails_ends_the_program(tmp_path: Path) -> None:
    def program() -> Generator[Any, Any, Result]:
        yield CALL
        return DONE

    with pytest.raises(Refusal):
        await runs(program(), InTest(tmp_path, BROKEN))


@async_test(loops=False)
async def test_a_program_is_closed_when_it_is_cancelled(tmp_path: Path) -> None:
    closed = []

    def program() -> Generator[Any, Any, Result]:
        try:
            yield CALL
        finally:
            closed.append(True)
        return DONE

    running = asyncio.ensure_future(runs(program(), InTest(tmp_path, None)))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert closed == [True]


@async_test(loops=False)
async def test_a_program_that_takes_too_long_is_closed(tmp_path: Path) -> None:
    closed = []

    def program() -> Generator[Any, Any, Result]:
        try:
            yield Pause(60.0)
        finally:
            closed.append(True)
        return DONE

    with pytest.raises(Refusal) as caught:
        await runs(program(), InTest(tmp_path), limit=0.01)
    assert (caught.value.status, caught.value.limit) == (504, "t_program")
    assert closed == [True]


@pytest.mark.parametrize(("abort", "told"), [("cancel", 1), ("drain", 0), ("detach", 0)])
@async_test(loops=False)
async def test_a_task_whose_client_has_left_is_ended_only_where_the_rule_says_cancel(tmp_path: Path, abort: str, told: int) -> None:
    host = InTest(tmp_path, Reply(200, {}, b'{"id": "7"}'), REPLY, abort=abort)
    host.incoming = Incoming("POST", {}, {"async": "false"}, {}, b"{}", "m1", "m1", lambda: 1760000000.0, lambda: "0" * 32)
    program = host.prepared.program(host.incoming)
    runner = Runner(Reader().fetch, 5.0, lambda _: None)
    running = asyncio.ensure_future(runner.run(program, next(program), cast("Host", host)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(host.calls) == 1  # created; now it pauses
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for _ in range(3):
        await asyncio.sleep(0)
    await runner.close()
    assert [call.target for call in host.calls[1:]] == ["/jobs/7/end"] * told
