"""The stage: exchanges without sockets, time that jumps, URLs that hold what they are told to, and the same bytes every time."""

import asyncio
import time
from pathlib import Path

import pytest

from proxy.rehearsal.loop import JumpingLoop, StandstillError
from proxy.rehearsal.playing import in_order
from proxy.rehearsal.said import answer_bytes, read_answer, read_request, request_bytes
from proxy.rehearsal.stage import Stage, placeholders
from proxy.rehearsal.tracing import Trace, traced
from tests.rehearsal.stage_rules import rules_in
from translators.load import load
from translators.model import Example, Message
from translators.place import Where

HERE = Where(Path("example.yaml"), 1, 1)
CREATED = answer_bytes(200, [("Content-Type", "application/json")], b'{"code":0,"job":"1","state":"new"}')
BUSY = answer_bytes(200, [("Content-Type", "application/json")], b'{"state":"busy"}')


def post(target: str, body: bytes) -> bytes:
    return request_bytes("POST", target, [("Content-Type", "application/json")], body)


# --- time ---


def test_waiting_takes_no_time() -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(wait()) >= 3600
    assert time.monotonic() - started < 60


def test_timers_keep_their_order() -> None:
    order: list[int] = []

    async def note(number: int) -> None:
        await asyncio.sleep(number)
        order.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(note(number) for number in (30, 1, 20, 5)))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(all_of_them())
    assert order == [1, 5, 20, 30]


def test_a_thread_is_waited_for() -> None:
    async def ask() -> int:
        return await asyncio.to_thread(lambda: 7)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(ask()) == 7


def test_waiting_for_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.rehearsal.loop._REAL_WAIT", 0.0)
    loop = JumpingLoop()
    waiting = loop.create_task(asyncio.Event().wait())
    try:
        with pytest.raises(StandstillError):
            loop.run_until_complete(waiting)
    finally:
        waiting.cancel()
        loop.run_until_complete(asyncio.gather(waiting, return_exceptions=True))
        loop.close()


# --- exchanges ---


def test_the_same_exchange_is_the_same_bytes(tmp_path: Path) -> None:
    rules = rules_in(tmp_path)
    request = post("/maker/v1/videos", b'{"model":"m-1","prompt":"Hi"}')
    plays = []
    for _ in range(2):
        with Stage(rules) as stage:
            plays.append(stage.play(request, lambda *_: CREATED))
    assert plays[0].raw_answer == plays[1].raw_answer
    assert plays[0].requests == plays[1].requests
    assert plays[0].route is not None
    assert plays[0].route.path == "/v1/videos"


def test_a_task_that_is_waited_for_for_ever_ends_with_the_rules_own_time(tmp_path: Path) -> None:
    with Stage(rules_in(tmp_path)) as stage:
        started = time.monotonic()
        request = post("/maker/v1/videos?async=false", b'{"model":"m-1","prompt":"Hi"}')
        played = stage.play(request, lambda number, _: BUSY if number else CREATED)
    assert time.monotonic() - started < 60
    assert played.answer is not None
    assert played.answer.heard.status == 504
    assert len(played.requests) > 100


def test_an_exchange_without_an_answer_ends_and_leaves_nothing(tmp_path: Path) -> None:
    with Stage(rules_in(tmp_path)) as stage:
        request = post("/maker/v1/chat/completions", b'{"model":"m-1"}')
        starved = stage.play(request, lambda *_: None)
        again = stage.play(request, lambda *_: BUSY)
    assert starved.starved
    assert starved.answer is None
    assert [said.raw for said in starved.requests] == [said.raw for said in again.requests]
    assert again.answer is not None
    assert again.answer.heard.body == b'{"state":"busy"}'


def test_a_url_that_is_not_told_cannot_be_reached_and_one_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    png = Message(HERE, data=b"\x89PNG\r\n\x1a\n", headers=(("Content-Type", "image/png"),))
    held = {"https://cdn.example.com/a.png": png, "https://elsewhere.example.org/a.png": png}
    with Stage(rules_in(tmp_path)) as stage:

        def status(url: str) -> int:
            body = b'{"model":"m-1","image":"%b"}' % url.encode()
            played = stage.play(post("/maker/v1/videos", body), lambda *_: CREATED, held)
            assert played.answer is not None
            return played.answer.heard.status

        assert status("https://cdn.example.com/a.png") == 200
        assert status("https://cdn.example.com/b.png") == 502
        assert status("https://elsewhere.example.org/a.png") == 400


def test_what_is_no_http_is_refused_as_by_the_proxy(tmp_path: Path) -> None:
    with Stage(rules_in(tmp_path)) as stage:
        played = stage.play(b"GET /maker/v1/models HTTP/1.1\r\n\r\n", lambda *_: BUSY)
    assert played.answer is not None
    assert played.answer.heard.status == 400
    assert played.plan is None


def test_a_traced_rule_set_sends_the_same_bytes(tmp_path: Path) -> None:
    rules, trace = rules_in(tmp_path), Trace()
    request = post("/maker/v1/videos", b'{"model":"m-1","prompt":"Hi"}')
    with Stage(rules) as plain, Stage(traced(rules, trace)) as watched:
        one, other = plain.play(request, lambda *_: CREATED), watched.play(request, lambda *_: CREATED)
    assert one.requests == other.requests
    assert one.raw_answer == other.raw_answer
    assert [(look.text, look.held) for look in trace.looks] == [("length(refs) == `1`", False), ("length(refs) == `0`", True)]


def test_a_secret_that_is_two_in_one_has_a_placeholder_of_two(tmp_path: Path) -> None:
    text = 'platform: two\nupstream: https://two.example\nauth: {jwt: {secret: "${secret.TWO_KEY}", split: "."}}\nnative: carry\n'
    (tmp_path / "two.yaml").write_text(text)
    assert placeholders(load([tmp_path])) == {"TWO_KEY": "test-TWO_KEY-id.test-TWO_KEY"}


# --- messages ---


def test_requests_are_cut_where_they_end() -> None:
    one, other = request_bytes("POST", "/a", [], b"12345"), request_bytes("GET", "/b", [], None)
    assert read_request(one[:-1]) is None
    found = read_request(one + other)
    assert found is not None
    assert (found[0].raw, found[0].heard.body, found[1]) == (one, b"12345", other)


def test_an_answer_is_read_behind_interim_ones_and_out_of_its_chunks() -> None:
    events = answer_bytes(200, [("Content-Type", "text/event-stream")], b"data: 1\n\ndata: 2\n\n")
    found = read_answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + events)
    assert found is not None
    assert found.heard.status == 200
    assert found.heard.body == b"data: 1\n\ndata: 2\n\n"
    assert found.framed.count(b"\r\n9\r\n") + found.framed.startswith(b"9\r\n") == 2
    empty = read_answer(answer_bytes(200, [], b"1234", to="HEAD"), to="HEAD")
    assert empty is not None
    assert empty.heard.body == b""


def example(title: str, after: str | None = None) -> Example:
    return Example(title, HERE, Message(HERE), (), None, after=after)


def test_examples_are_played_behind_those_they_need() -> None:
    listed = [example("c", "b"), example("a"), example("b", "a"), example("d", "a"), example("e")]
    assert [one.title for one in in_order(listed)] == ["a", "b", "c", "d", "e"]
    circle = [example("a", "b"), example("b", "a")]
    assert sorted(one.title for one in in_order(circle)) == ["a", "b"]
