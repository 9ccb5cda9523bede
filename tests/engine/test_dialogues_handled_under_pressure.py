"""Dialogues about handled routes when something goes wrong or takes long: clients that leave, upstreams that fail, faults of ours,
large bodies, programs of several steps."""

import asyncio
import json
import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest

from proxy.carry.orchestration import Host
from proxy.carry.sink import Sink
from tests.engine.handled import RULED, asks, head_and_body, posted
from tests.engine.stage import OTHER, Scene, answer, chunk, error_of, post, stage, status_of, stream_head
from tests.harness.runner import async_test, turns, until
from translators.runtime.steps import Answer, Call, Download, Incoming, Pass, Pause, Program, Reply, Result, Step

RULES = {"ruled": RULED}
BODY = b'{"model":"r1"}'
PATH = "/ruled/v1/chat/completions"

Made = Callable[[Incoming], Generator[Step, Any, Result]]


class Written:
    """A program written by hand in place of a compiled route."""

    large_watch = None
    streams_forms = False
    straight = False

    def __init__(self, made: Made) -> None:
        self._made = made

    def program(self, incoming: Incoming) -> Program:
        return self._made(incoming)


class Orchestra:
    """The least that runs a program of several steps, in place of the room that does."""

    def __init__(self, download: Callable[[Sink], Any] | None = None) -> None:
        self._download = download

    def takes(self, *_: Any) -> bool:
        return False

    def redirected(self, *_: Any) -> None:
        return None

    async def run(self, program: Program, first_step: Step, host: Host) -> Result:
        step = first_step
        try:
            while True:
                if isinstance(step, Call):
                    step = program.send(await host.call(step))
                else:
                    assert isinstance(step, Pause)
                    await asyncio.sleep(step.seconds)
                    step = program.send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def download(self, download: Download, host: Host, sink: Sink) -> None:
        assert self._download is not None
        await self._download(sink)


def plays(
    scene: Scene, made: Made, download: Callable[[Sink], Any] | None = None, route: str = "POST /v1/chat/completions"
) -> None:
    """From now on the route's program is this one."""
    scene.gateway.worker.table.served["ruled"].prepared[route] = Written(made)  # type: ignore[assignment]
    scene.gateway.worker.orchestrator = Orchestra(download)  # type: ignore[assignment]


def call(incoming: Incoming, target: str = "/one", **more: Any) -> Call:
    return Call("POST", target, body=incoming.body, model=incoming.model, **more)


# --- clients that leave ---


@pytest.mark.parametrize("how", ["leaves", "resets"])
@pytest.mark.parametrize("phase", ["upload", "connect", "wait", "whole", "stream"])
@async_test(loops=False)
async def test_L01_L05_a_client_that_leaves_ends_the_call_in_every_phase(phase: str, how: str) -> None:
    async with stage(rules_of=RULES) as scene:
        path = {"stream": "/ruled/v1/events", "whole": "/ruled/v1/whole"}.get(phase, PATH)
        request = posted(BODY, path)
        client = scene.client()
        if phase == "connect":
            scene.dialer("ruled").go.clear()
        client.says(request[:-3] if phase == "upload" else request)
        await turns()
        upstream = None
        if phase not in {"upload", "connect"}:
            upstream = await scene.upstream("ruled")
            await turns()
            if phase == "whole":
                upstream.says(answer(b'{"text":"t"}')[:-2])
            if phase == "stream":
                upstream.says(stream_head() + chunk(b'data: {"text":"a"}\n\n'))
        getattr(client, how)()
        await turns()
        if upstream is not None:
            assert upstream.aborted
        assert scene.calm
        assert scene.counts()["upstream_idle"] == 0


@async_test(loops=False)
async def test_L06_a_rule_may_have_the_answer_read_to_its_end_for_the_accounting() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(BODY, "/ruled/v1/drained"))
        client.leaves()
        await turns()
        assert client.closed
        assert not upstream.aborted
        upstream.says(answer(b'{"usage":{"prompt_tokens":5,"completion_tokens":7}}'))
        await turns()
        assert scene.counts()["upstream_idle"] == 1
        assert scene.calm
        tokens = b'gen_ai_client_token_usage_total{platform="ruled",route="POST /v1/drained",model="r1",type="output"} 7'
        assert tokens in scene.gateway.metrics.exposition()
        outcome = b'status="4xx",outcome="client_closed"} 1'
        assert outcome in scene.gateway.metrics.exposition()


@async_test(loops=False)
async def test_L05_what_goes_on_without_a_client_ends_with_the_gateway() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(BODY, "/ruled/v1/drained"))
        client.leaves()
        await turns()
        assert scene.gateway.worker.background
        scene.gateway.worker.stop()
        await turns()
        assert upstream.aborted
        assert not scene.gateway.worker.background
        assert scene.calm


@pytest.mark.parametrize("waits", ["call", "pause"])
@async_test(loops=False)
async def test_L01_L05_a_client_that_leaves_ends_a_program_of_several_steps(waits: str) -> None:
    closed: list[bool] = []

    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        try:
            yield Pause(60.0) if waits == "pause" else call(incoming)
        finally:
            closed.append(True)
        raise AssertionError("nobody waits any more")

    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client = scene.client()
        client.says(posted(BODY))
        await turns()
        upstream = await scene.upstream("ruled") if waits == "call" else None
        await turns()
        client.leaves()
        await turns(8)
        if upstream is not None:
            assert upstream.aborted
        assert scene.calm
        assert closed == [True]


# --- further attempts ---


@async_test(loops=False)
async def test_K07_a_rule_may_ask_for_further_attempts_as_long_as_the_client_has_heard_nothing() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(BODY, "/ruled/v1/again"))
        assert upstream.heard().endswith(BODY)
        upstream.says(answer(b"busy", status=b"503 Busy"))
        assert client.heard() == b""
        await until(upstream.heard)  # the same connection serves again
        upstream.leaves()
        await turns()
        assert client.heard() == b""
        third = await scene.upstream("ruled")
        await turns()
        assert third.heard().endswith(BODY)
        third.says(answer(b"busy", status=b"503 Busy"))
        assert client.heard() == answer(b"busy", status=b"503 Busy")  # two further attempts, no more
        assert scene.calm
        assert b'dragoman_upstream_retries_total{platform="ruled"} 2' in scene.gateway.metrics.exposition()


@async_test(loops=False)
async def test_L01_a_client_that_leaves_between_two_attempts_ends_them() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(BODY, "/ruled/v1/again"))
        upstream.says(answer(b"busy", status=b"503 Busy"))
        client.leaves()
        await turns()
        await asyncio.sleep(0.03)
        assert scene.calm
        assert scene.dialer("ruled").dialed == 1


@async_test(loops=False)
async def test_K06_a_post_is_not_sent_again_by_itself() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(BODY))
        upstream.says(answer(b"x"))
        client.heard()
        client.says(posted(BODY))
        await turns()
        upstream.leaves()
        await turns()
        assert status_of(client.heard()) == 502
        assert scene.dialer("ruled").dialed == 1


# --- faults ---


@pytest.mark.parametrize("when", ["first", "between", "answer", "stream"])
@async_test(loops=False)
async def test_M08_a_fault_in_a_program_is_a_500_and_the_connection_goes_on(when: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def stream(self, status: int, headers: Any) -> Any:
            if when == "stream":
                raise ZeroDivisionError
            return None

        def whole(self, reply: Reply) -> Answer:
            raise ZeroDivisionError

    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        if when == "first":
            raise ZeroDivisionError
        if when == "between":
            yield Pause(0.0)
            raise ZeroDivisionError
        return Pass(call(incoming), Broken())

    caplog.set_level(logging.CRITICAL, "dragoman")
    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client = scene.client()
        client.says(posted(BODY))
        if when in {"answer", "stream"}:
            upstream = await scene.upstream("ruled")
            await turns()
            upstream.says(answer(b"{}"))
        await until(client._taken.__len__)
        heard = client.heard()
        assert status_of(heard) == 500
        assert error_of(heard)["code"] == "internal_error"
        assert b"ZeroDivision" not in heard
        assert not client.closed
        assert scene.calm
        client.says(post(b"{}"))
        await turns()
        assert scene.dialer("test").dialed == 1


@async_test(loops=False)
async def test_I05_M08_a_fault_in_the_middle_of_a_stream_cuts_it(caplog: pytest.LogCaptureFixture) -> None:
    class Map:
        content_type = None
        headers = ()
        notes = ()

        def feed(self, data: bytes) -> bytes:
            if b"bad" in data:
                raise ZeroDivisionError
            return data

        def finish(self) -> bytes:
            return b""

        def boundary(self) -> bool:
            return True

        def last_words(self, status: int, code: str, message: str) -> bytes:
            return b'data: {"error":{"code":"%b"}}\n\n' % code.encode()

        def instead(self) -> None: ...

    class Streams:
        def stream(self, status: int, headers: Any) -> Map:
            return Map()

        def whole(self, reply: Reply) -> None:
            raise AssertionError("it streams")

    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        yield from ()
        return Pass(call(incoming), Streams())

    caplog.set_level(logging.CRITICAL, "dragoman")
    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client, upstream = await asks(scene, posted(BODY))
        upstream.says(stream_head() + chunk(b"data: 1\n\n"))
        upstream.says(chunk(b"data: bad\n\n"))
        await turns()
        heard = client.heard()
        assert chunk(b"data: 1\n\n") in heard
        assert b"internal_error" in heard
        assert not heard.endswith(b"0\r\n\r\n")
        assert client.closed
        assert upstream.aborted
        assert scene.calm


# --- programs of several steps ---


@async_test(loops=False)
async def test_a_program_makes_its_calls_over_the_pool_and_says_the_answer() -> None:
    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        first = yield call(incoming)
        yield Pause(0.0)
        second = yield Call("GET", "/two?id=" + json.loads(first.body)["id"], forward=False)
        return Answer(201, second.body, "text/plain", headers=(("X-Made", first.headers["x-own"]),))

    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client, upstream = await asks(scene, posted(BODY, more=b"X-Client: c\r\n"))
        start, fields, body = head_and_body(upstream.heard())
        assert (start, body) == (b"POST /base/one HTTP/1.1", BODY)
        assert fields["x-client"] == "c"
        assert fields["accept-encoding"] == "identity"
        upstream.says(answer(b'{"id":"7"}', more=b"X-Own: o\r\n"))
        await until(lambda: b"/two" in bytes(upstream._taken))
        start, fields, body = head_and_body(upstream.heard())
        assert (start, body) == (b"GET /base/two?id=7 HTTP/1.1", b"")
        assert "x-client" not in fields
        assert fields["authorization"]
        assert "content-type" not in fields
        upstream.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"do") + chunk(b"ne") + b"0\r\n\r\n")
        await until(client._taken.__len__)
        start, fields, body = head_and_body(client.heard())
        assert (start, body) == (b"HTTP/1.1 201 Created", b"done")
        assert fields["x-made"] == "o"
        assert fields["content-length"] == "4"
        assert scene.dialer("ruled").dialed == 1
        assert scene.calm


@async_test(loops=False)
async def test_E07_a_stream_that_a_program_says_is_framed_like_every_other() -> None:
    def made(_: Incoming) -> Generator[Step, Any, Result]:
        yield Pause(0.0)
        return Answer(200, b"data: 1\n\n", "text/event-stream")

    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client = scene.client()
        client.says(posted(BODY))
        await until(client._taken.__len__)
        _, fields, body = head_and_body(client.heard())
        assert (fields["content-type"], fields["cache-control"]) == ("text/event-stream", "no-cache")
        assert fields["transfer-encoding"] == "chunked"
        assert "content-length" not in fields
        assert body == chunk(b"data: 1\n\n") + b"0\r\n\r\n"
        assert scene.calm


@async_test(loops=False)
async def test_I02_a_call_of_a_program_that_fails_is_the_clients_502() -> None:
    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        yield call(incoming)
        raise AssertionError("it has failed")

    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client, upstream = await asks(scene, posted(BODY))
        upstream.leaves()
        await turns(8)
        heard = client.heard()
        assert status_of(heard) == 502
        assert error_of(heard)["code"] == "upstream_closed"
        assert scene.calm


@async_test(loops=False)
async def test_a_program_may_end_with_a_call_whose_answer_is_carried() -> None:
    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        yield Pause(0.0)
        return Download(Call("GET", "/content", forward=True), content_type="video/mp4")

    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client = scene.client()
        client.says(posted(BODY, more=b"Range: bytes=0-1\r\n"))
        upstream = await scene.upstream("ruled")
        await turns()
        start, fields, _ = head_and_body(upstream.heard())
        assert start == b"GET /base/content HTTP/1.1"
        assert fields["range"] == "bytes=0-1"
        upstream.says(answer(b"ab", status=b"206 Partial Content", more=b"Content-Type: application/octet-stream\r\n"))
        start, fields, body = head_and_body(client.heard())
        assert (start, body) == (b"HTTP/1.1 206 Partial Content", b"ab")
        assert fields["content-type"] == "video/mp4"
        assert scene.calm


@async_test(loops=False)
async def test_content_that_is_gone_is_asked_for_anew_once() -> None:
    def again() -> Generator[Step, Any, Result]:
        yield from ()
        return Download(Call("GET", "/newer", forward=False))

    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        yield from ()
        return Download(Call("GET", "/old", forward=False), again=again)

    async with stage(rules_of=RULES) as scene:
        plays(scene, made)
        client, upstream = await asks(scene, posted(BODY))
        upstream.says(answer(b"", status=b"410 Gone"))
        await turns()
        assert b"GET /base/newer " in upstream.heard()
        upstream.says(answer(b"", status=b"410 Gone"))
        assert status_of(client.heard()) == 410
        assert scene.calm


# --- bytes from elsewhere ---


@pytest.mark.parametrize(
    ("announced", "ends", "whole"), [("5", "end", True), ("6", "end", False), (None, "end", True), ("5", "cut", False)]
)
@async_test(loops=False)
async def test_B18_I05_a_download_is_whole_or_seen_to_be_cut(announced: str | None, ends: str, whole: bool) -> None:
    async def download(sink: Sink) -> None:
        fields = (("Content-Type", "video/mp4"), ("X-Origin", "o"), ("Connection", "close"))
        sink.head(200, (*fields, ("Content-Length", announced)) if announced else fields)
        sink.write(b"hel")
        sink.write(b"lo" if ends == "end" else b"")
        getattr(sink, ends)()

    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        yield from ()
        return Download("https://cdn.example.com/a.mp4")

    async with stage(rules_of=RULES) as scene:
        plays(scene, made, download)
        client = scene.client()
        client.says(posted(BODY))
        await turns(8)
        start, fields, body = head_and_body(client.heard())
        assert start == b"HTTP/1.1 200 OK"
        assert fields["x-origin"] == "o"
        assert "connection" not in fields
        if announced is None:
            assert body == chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n"
        else:
            assert body == (b"hello" if ends == "end" else b"hel")
        assert client.closed == (not whole)
        assert scene.calm


@async_test(loops=False)
async def test_F04_a_download_waits_for_a_client_that_does_not_take_it() -> None:
    waited: list[bool] = []

    async def download(sink: Sink) -> None:
        sink.head(200, ())
        for _ in range(3):
            sink.write(b"y" * 100_000)
            waited.append(sink.full)
            await sink.drained()
        sink.end()

    def made(incoming: Incoming) -> Generator[Step, Any, Result]:
        yield from ()
        return Download("https://cdn.example.com/a.mp4")

    async with stage(rules_of=RULES) as scene:
        plays(scene, made, download)
        client = scene.client(window=0)
        client.says(posted(BODY))
        await turns(8)
        assert waited == [True]
        client.takes()
        await turns(12)
        assert waited[0]
        assert len(waited) == 3
        assert client.heard().count(b"y") == 300_000
        assert scene.calm


# --- large bodies ---


def large(size: int) -> bytes:
    return b'{"messages":[{"content":"' + b"A" * size + b'"}], "max_tokens": 5, "model": "alias"}'


@pytest.mark.parametrize("chunked", [False, True])
@async_test(loops=False)
async def test_F07_P04_a_large_body_is_edited_in_its_pieces_and_sent_as_the_upstream_takes_it(chunked: bool) -> None:
    async with stage(rules_of=RULES) as scene:
        scene.upstream_window = 100_000
        body = large(1_000_000)
        pieces = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
        client = scene.client()
        if chunked:
            head = posted(b"")[: -len(b"Content-Length: 0\r\n\r\n")] + b"Transfer-Encoding: chunked\r\n\r\n"
            client.says(head, *[chunk(piece) for piece in pieces], b"0\r\n\r\n")
        else:
            client.says(posted(body)[: -len(body)], *pieces)
        upstream = await scene.upstream("ruled")
        await turns()
        assert upstream.get_write_buffer_size() <= 200_000
        while not upstream._taken.endswith(b"}"):
            upstream.takes(50_000)
            await turns(1)
        _, fields, sent = head_and_body(upstream.heard())
        assert sent == body.replace(b"max_tokens", b"max_completion_tokens").replace(b"alias", b"real")
        assert fields["content-length"] == str(len(sent))
        assert fields["content-type"] == "application/json"
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        assert scene.calm


@async_test(loops=False)
async def test_P09_a_large_message_is_worked_on_beside_the_loop_and_comes_out_the_same() -> None:
    async with stage(rules_of=RULES) as scene:
        text = "é" * 700_000
        client = scene.client()
        client.says(posted(json.dumps({"model": "r1", "place": "p", "text": text}).encode(), "/ruled/v1/template"))
        assert scene.dialer("ruled").dialed == 0  # a thread has it
        upstream = await scene.upstream("ruled")
        await turns()
        assert json.loads(head_and_body(upstream.heard())[2]) == {"name": "r1", "text": text}
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        client.says(posted(BODY, "/ruled/v1/whole"))
        await turns()
        upstream.says(answer(json.dumps({"text": text}).encode()))
        assert client.heard() == b""
        await until(client._taken.__len__)
        assert json.loads(head_and_body(client.heard())[2])["said"] == text
        assert scene.calm


@pytest.mark.parametrize("path", ["/ruled/v1/template", "/ruled/v1/whole"])
@async_test(loops=False)
async def test_L01_P09_a_client_that_leaves_meanwhile_ends_the_exchange(path: str) -> None:
    async with stage(rules_of=RULES) as scene:
        text = json.dumps({"model": "r1", "place": "p", "text": "é" * 700_000}).encode()
        client = scene.client()
        client.says(posted(text if path.endswith("template") else BODY, path))
        if path.endswith("whole"):
            upstream = await scene.upstream("ruled")
            await turns()
            upstream.says(answer(text))
        client.leaves()
        await turns()
        assert scene.calm
        await asyncio.sleep(0.05)
        assert scene.dialer("ruled").dialed == (0 if path.endswith("template") else 1)


@pytest.mark.parametrize(("body", "status"), [(b'{"place":"p","text":"%b"', 400), (b'{"text":"%b"}', 400)])
@async_test(loops=False)
async def test_P09_what_is_refused_beside_the_loop_is_refused_all_the_same(body: bytes, status: int) -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(posted(body % (b"x" * 1_200_000), "/ruled/v1/template"))
        await until(client._taken.__len__)
        heard = client.heard()
        assert status_of(heard) == status
        assert not client.closed
        assert scene.calm


@async_test(loops=False)
async def test_P03_a_large_body_that_is_no_json_is_refused_as_soon_as_that_is_seen() -> None:
    async with stage(rules_of=RULES) as scene:
        body = b'{"a":"' + b"x" * 400_000 + b'", nonsense ' + b"y" * 400_000 + b"}"
        client = scene.client()
        client.says(posted(body)[:600_000])
        await turns()
        assert status_of(client.heard()) == 400
        assert scene.dialer("ruled").dialed == 0
        assert scene.counts()["held_bytes"] == 0


@async_test(loops=False)
async def test_F10_an_answer_before_the_body_was_sent_goes_on_and_the_rest_is_not_sent() -> None:
    async with stage(rules_of=RULES) as scene:
        scene.upstream_window = 1000
        client = scene.client()
        client.says(posted(large(500_000)))
        upstream = await scene.upstream("ruled")
        await turns()
        upstream.says(answer(b"no", status=b"413 Too Large"))
        await turns()
        assert client.heard() == answer(b"no", status=b"413 Too Large")
        assert not client.closed  # all of its body was read
        assert scene.counts()["upstream_idle"] == 0
        assert scene.calm


@pytest.mark.parametrize("ends", ["whole", "cut", "left"])
@async_test(loops=False)
async def test_J03_an_answer_that_is_read_whole_counts_while_it_comes(ends: str) -> None:
    async with stage(rules_of=RULES, limits={"buffered_bytes_total": 500_000}) as scene:
        client, upstream = await asks(scene, posted(BODY, "/ruled/v1/whole"))
        said = answer(b'{"text":"' + b"x" * 400_000 + b'"}', more=b"Content-Type: application/json\r\n")
        upstream.says(said[:300_000])
        assert 200_000 < scene.counts()["held_bytes"] < 300_000
        other, second = await asks(scene, posted(BODY, "/ruled/v1/whole"))
        second.says(said[:300_000])
        await turns()
        heard = other.heard()
        assert (status_of(heard), error_of(heard)["code"]) == (503, "memory_limit")
        assert b"\r\nRetry-After: 1\r\n" in heard
        assert second.aborted
        if ends == "whole":
            upstream.says(said[300_000:])
            assert status_of(client.heard()) == 200
        elif ends == "cut":
            upstream.resets()
        else:
            client.resets()
        await turns()
        assert scene.calm


@async_test(loops=False)
async def test_J03_what_is_held_in_all_is_bounded() -> None:
    async with stage(rules_of=RULES, limits={"buffered_bytes_total": 500_000}) as scene:
        client = scene.client()
        body = large(600_000)
        request = posted(body)
        client.says(*[request[at : at + 50_000] for at in range(0, len(request), 50_000)])
        await turns()
        heard = client.heard()
        assert status_of(heard) == 503
        assert b"Retry-After" in heard
        assert scene.counts()["held_bytes"] == 0


# --- paths that several platforms have ---


@pytest.mark.parametrize("cut", [10_000, 5])
@pytest.mark.parametrize(("model", "name"), [("alias", "ruled"), ("m1", "test"), ("z1", "other")])
@pytest.mark.parametrize("chunked", [False, True])
@async_test(loops=False)
async def test_a_path_that_is_edited_here_and_carried_there_is_settled_by_the_model(
    cut: int, model: str, name: str, chunked: bool
) -> None:
    async with stage(rules_of={**RULES, "other": OTHER}) as scene:
        body = b'{"max_tokens":1,"model":"%b","x":[1, 2]}' % model.encode()
        request = posted(body, "/v1/chat/completions")
        if chunked:
            head = posted(b"", "/v1/chat/completions")[: -len(b"Content-Length: 0\r\n\r\n")]
            request = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body[:20]) + chunk(body[20:]) + b"0\r\n\r\n"
        client = scene.client()
        client.says(*[request[at : at + cut] for at in range(0, len(request), cut)])
        upstream = await scene.upstream(name)
        await turns()
        sent = upstream.heard().partition(b"\r\n\r\n")[2]
        if name == "ruled":
            assert sent == body.replace(b"max_tokens", b"max_completion_tokens").replace(b"alias", b"real")
        else:
            assert sent == (request.partition(b"\r\n\r\n")[2] if chunked else body)
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        assert scene.calm
