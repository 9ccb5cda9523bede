"""Dialogues in which somebody leaves, stalls or asks for too much; and that nothing is left over afterwards."""

import math

import pytest

from proxy.outcomes import ErrorType
from proxy.wire.refusal import bad_response
from tests.engine.stage import DATE, answer, asked, chunk, get, post, stage, status_of, stream_head
from tests.harness.runner import async_test, turns

# -- the client leaves, in every phase (L01)


@pytest.mark.parametrize("how", ["leaves", "resets"])
@pytest.mark.parametrize("phase", ["connect", "upload", "wait", "stream", "model"])
@async_test(loops=False)
async def test_L01_L05_when_the_client_goes_everything_of_it_goes(phase: str, how: str) -> None:
    async with stage() as scene:
        client = scene.client()
        if phase == "connect":
            scene.dialer().go.clear()
            client.says(get())
            await turns()
        elif phase == "model":
            client.says(post(b'{"a":1,', path="/v1/chat/completions")[:-2])
        else:
            client.says(post(b"{}")[:-1] if phase == "upload" else post(b"{}"))
            upstream = await scene.upstream()
            if phase == "stream":
                upstream.says(stream_head(), chunk(b"data: 1\n\n"))
        await turns()
        getattr(client, how)()
        await turns()
        if phase not in {"connect", "model"}:
            assert upstream.aborted
        assert scene.calm
        assert scene.counts()["client_connections"] == 0


@async_test(loops=False)
async def test_B11_an_upload_that_breaks_off_is_never_finished_for_the_upstream() -> None:
    for start, more in (
        (b"Content-Length: 10\r\n\r\n01234", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"0\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"zz\r\n"),
    ):
        async with stage() as scene:
            client = scene.client()
            client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\n" + start)
            upstream = await scene.upstream()
            await turns()
            if more:
                client.says(more)
            if b"zz" not in more:
                client.leaves()
            await turns()
            heard = upstream.heard()
            assert heard.endswith((b"01234", b"hello\r\n"))
            assert upstream.aborted
            assert status_of(client.heard() or b"HTTP/1.1 400") == 400
            assert scene.calm


# -- time


@async_test(loops=False)
async def test_an_upstream_that_does_not_answer_is_a_504_and_one_that_stops_is_cut() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        connection = upstream._protocol
        connection.on_deadline()  # type: ignore[attr-defined]
        await turns()
        assert status_of(heard := client.heard()) == 504
        assert b"error=http_response_timeout" in heard
        client, upstream = await asked(scene)
        upstream.says(answer(b"hello")[:-2])
        client.heard()
        upstream._protocol.on_deadline()  # type: ignore[attr-defined]
        await turns()
        assert client.heard() == b""
        assert client.closed
        assert scene.calm


@async_test(loops=False)
async def test_J01_a_head_that_does_not_end_in_time_is_a_408() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"GET / HTTP/1.1\r\n")
        scene.connection_of(client).on_deadline()
        assert status_of(heard := client.heard()) == 408
        assert b"\r\nConnection: close\r\n" in heard
        silent = scene.client()
        scene.connection_of(silent).on_deadline()
        assert silent.heard() == b""
        assert silent.closed


@async_test(loops=False)
async def test_J02_a_body_that_stops_coming_is_a_408_and_the_upstream_is_left_unfinished() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(post(b"{}" * 50)[:-50])
        upstream = await scene.upstream()
        await turns()
        scene.connection_of(client).on_deadline()
        assert status_of(client.heard()) == 408
        assert upstream.aborted
        assert scene.calm


@async_test(loops=False)
async def test_J02_a_client_that_takes_nothing_is_cut_and_one_that_takes_something_is_not() -> None:
    async with stage() as scene:
        client = scene.client(window=10)
        client.says(get())
        upstream = await scene.upstream()
        upstream.says(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 300000\r\n\r\n" + b"x" * 100_000)
        client.takes(100)
        scene.connection_of(client).on_deadline()
        assert not client.closed
        scene.connection_of(client).on_deadline()
        await turns()
        assert client.aborted
        assert upstream.aborted
        assert scene.calm


@async_test(loops=False)
async def test_J04_while_a_client_does_not_read_the_upstream_has_no_deadline() -> None:
    async with stage() as scene:
        client = scene.client(window=10)
        client.says(get())
        upstream = await scene.upstream()
        upstream.says(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 300000\r\n\r\n" + b"x" * 100_000)
        connection = upstream._protocol
        assert connection.deadline == math.inf  # type: ignore[attr-defined]
        client.takes()
        assert connection.deadline < math.inf  # type: ignore[attr-defined]


@async_test(loops=False)
async def test_J02_an_upstream_that_does_not_take_the_upload_is_not_waited_for_without_end() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(answer(b"x"))
        upstream._window = 10
        client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n" + b"x" * 200_000)
        assert not client.is_reading()
        deadlines = (scene.connection_of(client).deadline, upstream._protocol.deadline)  # type: ignore[attr-defined]
        assert min(deadlines) < math.inf
        upstream._protocol.on_deadline()  # type: ignore[attr-defined]
        assert status_of(client.heard().removeprefix(answer(b"x"))) == 504
        assert upstream.aborted


# -- flow control and reuse


@pytest.mark.parametrize("reads", [1, 2])
@async_test(loops=False)
async def test_F04_K08_a_connection_given_back_while_the_client_is_slow_still_reads_for_the_next_one(reads: int) -> None:
    async with stage() as scene:
        slow = scene.client(window=10)
        slow.says(get())
        upstream = await scene.upstream()
        said = answer(b"x" * 100_000)
        upstream.says(*([said] if reads == 1 else [said[:50], said[50:]]))
        assert scene.counts()["upstream_idle"] == 1
        await turns()
        assert upstream.is_reading()
        other = scene.client()
        other.says(get())
        await turns()
        upstream.says(answer(b"for the other"))
        assert other.heard() == answer(b"for the other")


@async_test(loops=False)
async def test_F07_a_held_body_that_fills_the_connection_keeps_the_client_waiting() -> None:
    async with stage() as scene:
        scene.upstream_window = 10
        client = scene.client()
        client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n" + b"x" * 200_000)
        upstream = await scene.upstream()
        await turns()
        assert upstream.get_write_buffer_size() > 64 * 1024
        assert not client.is_reading()


@async_test(loops=False)
async def test_B20_a_request_behind_one_that_was_refused_is_answered() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(post(b'{"model":"nobody"}', path="/v1/chat/completions") + get())
        await turns()
        assert status_of(client.heard()) == 404
        upstream = await scene.upstream()
        upstream.says(answer(b"x"))
        assert client.heard() == answer(b"x")


@async_test(loops=False)
async def test_B20_A11_nothing_behind_a_broken_request_is_run() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"GET / HTTP/1.1\r\nHost : h\r\n\r\n" + get())
        await turns()
        assert status_of(client.heard()) == 400
        client.says(get())
        await turns()
        assert client.heard() == b""
        assert scene.dialer().dialed == 0


@async_test(loops=False)
async def test_B20_a_request_behind_one_that_has_no_route_is_answered() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get("/nowhere") + get())
        upstream = await scene.upstream()
        assert status_of(client.heard()) == 404
        upstream.says(answer(b"x"))
        assert client.heard() == answer(b"x")


# -- limits


@async_test(loops=False)
async def test_J03_a_body_beyond_the_limit_is_a_413_before_or_while_it_comes() -> None:
    async with stage(limits={"body": 100, "buffered_body": 100}) as scene:
        for request in (
            post(b"x" * 101),
            post(b"x" * 101)[:-60],
            b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\nx",
        ):
            client = scene.client()
            client.says(request)
            await turns()
            assert status_of(heard := client.heard()) == 413
            assert b"\r\nConnection: close\r\n" in heard
        client = scene.client()
        client.says(post(b"x" * 100))
        await scene.upstream()


@async_test(loops=False)
async def test_J_a_model_that_comes_too_late_is_a_413_and_nothing_stays_held() -> None:
    async with stage(limits={"buffered_body": 1000}) as scene:
        client = scene.client()
        client.says(post(b'{"a":"' + b"x" * 5000 + b'","model":"m1"}', path="/v1/chat/completions")[:-1000])
        await turns()
        assert status_of(client.heard()) == 413
        assert scene.calm


@async_test(loops=False)
async def test_J_what_all_exchanges_hold_together_is_limited() -> None:
    async with stage(limits={"buffered_bytes_total": 3000}) as scene:
        clients = [scene.client() for _ in range(4)]
        for client in clients:
            client.says(post(b'{"a":"' + b"x" * 2000, path="/v1/chat/completions", more=b"X: y\r\n")[:-1000])
        await turns()
        statuses = [status_of(heard) for client in clients if (heard := client.heard())]
        assert statuses
        assert set(statuses) == {503}
        assert scene.counts()["held_bytes"] <= 3000
        for client in clients:
            client.resets()
        await turns()
        assert scene.calm


@async_test(loops=False)
async def test_F09_what_a_refused_client_still_sends_is_read_and_thrown_away_up_to_a_limit() -> None:
    async with stage(limits={"linger_bytes": 1000}) as scene:
        client = scene.client()
        client.says(b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nx")
        assert status_of(client.heard()) == 404
        assert client.finished
        client.says(b"x" * 999)
        assert not client.aborted
        client.says(b"x")
        assert client.aborted


@async_test(loops=False)
async def test_a_client_too_many_is_told_so() -> None:
    async with stage(limits={"client_connections": 1}) as scene:
        first, second = scene.client(), scene.client()
        assert status_of(second.heard()) == 503
        first.says(get())
        await scene.upstream()


@async_test(loops=False)
async def test_a_failed_connection_is_told_with_its_error() -> None:
    async with stage() as scene:
        scene.dialer().error = bad_response(ErrorType.CONNECTION_REFUSED, "connection_refused", "no")
        client = scene.client()
        client.says(get())
        await turns()
        assert status_of(heard := client.heard()) == 502
        assert b"error=connection_refused" in heard
        assert scene.calm


@async_test(loops=False)
async def test_M08_a_fault_of_ours_while_connecting_is_a_500_and_not_silence() -> None:
    async with stage() as scene:
        scene.dialer().error = RuntimeError("can't start new thread")
        client = scene.client()
        client.says(get())
        await turns()
        heard = client.heard()
        scene.errors.clear()
        assert status_of(heard) == 500


@async_test(loops=False)
async def test_D09_a_model_header_that_is_no_utf8_goes_up_as_the_bytes_it_was() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(post(b"{}", path="/other/v1/chat/completions", more=b"ModelName: caf\xe9\r\n"))
        assert b"\r\nModelName: caf\xe9\r\n" in (await scene.upstream("other")).heard()


@async_test(loops=False)
async def test_M01_while_draining_answers_close_and_running_exchanges_finish() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        scene.gateway.worker.draining = True
        upstream.says(answer(b"x"))
        await turns()
        assert b"\r\nConnection: close\r\n" in client.heard()
        assert client.closed


@async_test(loops=False)
async def test_F09_a_client_that_takes_its_refusal_slowly_is_not_waited_for_without_end() -> None:
    async with stage(limits={"body": 10, "write_buffer": 10}) as scene:
        client = scene.client(window=10)
        client.says(b"POST /test/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n")
        connection = scene.connection_of(client)
        assert connection.full
        client.takes()
        assert not connection.full
        assert status_of(client.heard()) == 413
        assert connection.deadline < math.inf
        connection.on_deadline()
        await turns()
        assert client.closed
