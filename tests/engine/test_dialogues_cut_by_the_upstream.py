"""Dialogues in which the upstream breaks off, lies or says too much: the answer never looks whole when it is not."""

import pytest

from tests.engine.stage import DATE, answer, asked, chunk, error_of, get, post, stage, status_of, stream_head
from tests.harness.runner import async_test, turns

ERROR_EVENT = b'data: {"error":'

BAD_ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    b"HTTP/1.1 999 X\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"hello",
    b"HTTP/1.1 200 OK\nA: b\n\n", b"\x15\x03\x01",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 103 Early\r\n\r\n" * 17,
    b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000,
)  # fmt: skip


@pytest.mark.parametrize("said", BAD_ANSWERS)
@pytest.mark.parametrize("piecewise", [False, True])
@async_test(loops=False)
async def test_B12_B15_H01_an_answer_that_is_none_is_a_502_and_its_connection_is_not_used_again(
    said: bytes, piecewise: bool
) -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(*([said[at : at + 100] for at in range(0, len(said), 100)] if piecewise else [said]))
        heard = client.heard()
        # a chunked body that breaks after its head cannot become a 502 any more when the head has gone out
        if b"zz" in said and piecewise:
            assert status_of(heard) in {200, 502}
        else:
            assert status_of(heard) == 502
            assert error_of(heard)["type"] == "server_error"
        assert upstream.aborted
        await turns()
        assert scene.counts()["upstream_idle"] == 0
        assert scene.calm


@pytest.mark.parametrize("cut", [0, 4, 12, 30, 60])
@pytest.mark.parametrize("how", ["leaves", "resets"])
@async_test(loops=False)
async def test_I02_an_upstream_that_goes_before_its_head_is_whole_is_a_502(cut: int, how: str) -> None:
    async with stage() as scene:
        client, upstream = await asked(scene, post(b"{}"))
        if cut:
            upstream.says(answer(b"x")[:cut])
        getattr(upstream, how)()
        await turns()
        assert status_of(client.heard()) == 502
        assert not client.closed
        assert scene.calm


@pytest.mark.parametrize("how", ["leaves", "resets"])
@pytest.mark.parametrize(
    "said",
    [
        answer(b"hello")[:-2],
        b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
@async_test(loops=False)
async def test_I04_I05_a_body_that_breaks_off_is_never_made_whole(said: bytes, how: str) -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(said)
        getattr(upstream, how)()
        await turns()
        heard = client.heard()
        assert said.startswith(heard)
        assert client.closed
        assert scene.calm


@async_test(loops=False)
async def test_I08_a_reset_is_no_end_of_a_body_that_ends_with_its_connection() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\nhalf")
        upstream.resets()
        await turns()
        assert client.heard().endswith(chunk(b"half"))
        assert client.closed


@async_test(loops=False)
async def test_I06_a_client_of_http_1_0_is_reset_when_the_body_breaks_off() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene, get(version=b"1.0"))
        upstream.says(b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\nhalf")
        upstream.resets()
        await turns()
        assert client.heard().endswith(b"\r\n\r\nhalf")
        assert client.aborted


STREAMS = (
    ((stream_head(),), True),
    ((stream_head(), chunk(b"data: 1\n\n")), True),
    ((stream_head(), chunk(b"data: 1\r\n\r\n")), True),
    ((stream_head() + chunk(b"data: 1\n\n") + chunk(b": ping\n\n"),), True),
    ((stream_head(), b"9\r\ndata: 1\n\n", b"\r\n"), True),
    ((stream_head(), chunk(b"data: 1\n\ndata: 2")), False),
    ((stream_head(), chunk(b"data: 1\n")), False),
    ((stream_head(), chunk(b"data: 1\r\n")), False),
    ((stream_head(), b"9\r\ndata: 1\n\n"), False),
    ((stream_head(), b"9\r\ndata: 1"), False),
)


@pytest.mark.parametrize(("said", "told"), STREAMS)
@async_test(loops=False)
async def test_I07_a_stream_that_breaks_between_two_events_ends_with_an_error_event_and_no_last_chunk(
    said: tuple[bytes, ...], told: bool
) -> None:
    async with stage() as scene:
        client, upstream = await asked(scene, post(b"{}"))
        upstream.says(*said)
        so_far = client.heard()
        assert so_far == b"".join(said)
        upstream.resets()
        await turns()
        rest = client.heard()
        assert client.closed
        if told:
            size, _, event = rest.partition(b"\r\n")
            assert event.startswith(ERROR_EVENT)
            assert event.endswith(b"}\n\n\r\n")
            assert int(size, 16) == len(event) - 2
        else:
            assert rest == b""


@async_test(loops=False)
async def test_I07_an_event_whose_line_ends_stand_in_chunks_of_their_own_is_no_event_before_the_last_one() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene, post(b"{}"))
        upstream.says(stream_head(), chunk(b"data: 1"), chunk(b"\n"))
        client.heard()
        upstream.resets()
        await turns()
        assert client.heard() == b""


@async_test(loops=False)
async def test_I07_the_error_event_is_in_the_protocol_of_the_route() -> None:
    async with stage() as scene:
        for path, start in (("/test/v1/messages", b"event: error\ndata: {"), ("/test/v1beta/models/m1:streamGenerateContent", b"")):
            client, upstream = await asked(scene, post(b"{}", path=path))
            upstream.says(stream_head(), chunk(b"data: {}\n\n"))
            client.heard()
            upstream.resets()
            await turns()
            assert client.heard().partition(b"\r\n")[2].startswith(start)
            assert client.closed


@async_test(loops=False)
async def test_B16_bytes_behind_an_answer_reach_nobody_and_end_the_connection() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(answer(b"hello") + b"HTTP/1.1 200 OK\r\n")
        assert client.heard() == answer(b"hello")
        assert upstream.aborted
        client.says(get())
        other = await scene.upstream()
        other.says(answer(b"clean"))
        assert client.heard() == answer(b"clean")


@async_test(loops=False)
async def test_B17_a_connection_that_hears_a_byte_while_idle_is_closed() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(answer(b"x"))
        assert scene.counts()["upstream_idle"] == 1
        upstream.says(answer(b"poison"))
        assert upstream.aborted
        assert scene.counts()["upstream_idle"] == 0
        client.heard()
        client.says(get())
        (await scene.upstream()).says(answer(b"clean"))
        assert client.heard() == answer(b"clean")


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"connection: x, Close\r\n"])
@async_test(loops=False)
async def test_K15_an_upstream_that_says_close_is_not_kept(more: bytes) -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(answer(b"x", more=more))
        assert client.heard() == answer(b"x")
        assert upstream.aborted
        assert scene.counts()["upstream_idle"] == 0


@async_test(loops=False)
async def test_K06_a_get_on_a_dead_reused_connection_is_asked_once_more_and_a_post_is_not() -> None:
    for request, again in ((get(), True), (post(b"{}"), False)):
        async with stage() as scene:
            client, upstream = await asked(scene)
            upstream.says(answer(b"first"))
            client.heard()
            client.says(request)
            upstream.leaves()
            await turns()
            if again:
                second = await scene.upstream()
                await turns()
                second.says(answer(b"second"))
                assert client.heard() == answer(b"second")
            else:
                assert status_of(client.heard()) == 502
                assert scene.dialer().dialed == 1


@async_test(loops=False)
async def test_K06_a_fresh_connection_that_dies_is_not_replaced_and_neither_is_the_second_one() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.leaves()
        await turns()
        assert status_of(client.heard()) == 502
        assert scene.dialer().dialed == 1
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(answer(b"first"))
        client.heard()
        client.says(get())
        upstream.resets()
        second = await scene.upstream()
        await turns()
        second.resets()
        await turns()
        assert status_of(client.heard()) == 502
        assert scene.dialer().dialed == 2


@async_test(loops=False)
async def test_K07_nothing_is_asked_again_after_an_interim_answer() -> None:
    async with stage() as scene:
        client, upstream = await asked(scene)
        upstream.says(answer(b"first"))
        client.heard()
        client.says(get())
        upstream.says(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        upstream.resets()
        await turns()
        assert status_of(client.heard()) == 502
        assert scene.dialer().dialed == 1
