"""Dialogues that go well: what the client says >> what the upstream hears >> what the client gets."""

import h11
import pytest

from tests.engine.memory import MemoryTransport
from tests.engine.stage import DATE, KEY, answer, chunk, get, post, stage, stream_head
from tests.harness.runner import async_test, turns


def requests_in(data: bytes) -> list[tuple[h11.Request, bytes]]:
    """What an upstream that reads with h11 hears."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    found: list[tuple[h11.Request, bytes]] = []
    while True:
        event = server.next_event()
        if isinstance(event, h11.Request):
            found.append((event, b""))
        elif isinstance(event, h11.Data):
            found[-1] = (found[-1][0], found[-1][1] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()
        else:
            return found


@async_test(loops=False)
async def test_a_request_goes_up_with_the_rules_credential_and_its_answer_comes_down_byte_for_byte() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(post(b'{"model":"m1"}', more=b"Authorization: Bearer mine\r\nX-A: b\r\nAccept-Encoding: br\r\n"))
        upstream = await scene.upstream()
        assert upstream.heard() == (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: up.example\r\n"
            b"Content-Type: application/json\r\nX-A: b\r\nAccept-Encoding: br\r\n"
            b"Via: 1.1 dragoman\r\nAuthorization: Bearer " + KEY.encode() + b'\r\nContent-Length: 14\r\n\r\n{"model":"m1"}'
        )
        said = answer(b'{"ok":1}', more=b"X-Up:  spaced \t\r\n", status=b"200 Fine by me")
        upstream.says(said)
        assert client.heard() == said
        assert scene.calm


@async_test(loops=False)
async def test_F02_F03_each_read_of_the_upstream_is_with_the_client_before_the_callback_returns() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(post(b"{}"))
        upstream = await scene.upstream()
        upstream.says(stream_head())
        assert client.heard() == stream_head()
        for piece in (chunk(b"data: 1\n\n"), b"9\r\ndata:", b" 2\n\n\r\n", chunk(b"data: [DONE]\n\n")):
            upstream.says(piece)
            assert client.heard() == piece
        upstream.says(b"0\r\n\r\n")
        assert client.heard() == b"0\r\n\r\n"
        assert scene.calm


@async_test(loops=False)
async def test_K04_K08_the_connection_serves_again_and_an_answer_of_one_byte_a_read_is_the_same() -> None:
    async with stage() as scene:
        client = scene.client()
        said = answer(b"hello")
        for _ in range(3):
            client.says(get())
            await turns()
        upstream = await scene.upstream()
        for _ in range(3):
            await turns()
            for position in range(len(said)):
                upstream.says(said[position : position + 1])
            await turns()
            assert client.heard() == said
        assert scene.dialer().dialed == 1
        assert len(requests_in(upstream.heard())) == 3


@async_test(loops=False)
async def test_B20_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"".join(post(b'{"n":%d}' % number) for number in range(5)))
        upstream = await scene.upstream()
        for number in range(5):
            heard = upstream.heard()
            assert [body for _, body in requests_in(heard)] == [b'{"n":%d}' % number]
            upstream.says(answer(b"%d" % number))
            assert client.heard() == answer(b"%d" % number)
            await turns()
        assert scene.calm


@async_test(loops=False)
async def test_B20_a_client_that_sends_too_far_ahead_is_not_read() -> None:
    async with stage(limits={"pipelined_requests": 4}) as scene:
        client = scene.client()
        client.says(get() * 10)
        upstream = await scene.upstream()
        assert not client.is_reading()
        for _ in range(10):
            upstream.says(answer(b"x"))
            await turns()
        assert client.heard() == answer(b"x") * 10
        assert client.is_reading()


@pytest.mark.parametrize("cut", [1, 20, 60, 110, 140, 150])
@async_test(loops=False)
async def test_a_request_in_two_reads_is_the_same_request(cut: int) -> None:
    async with stage() as scene:
        whole = post(b'{"model":"m1","text":"hello"}')
        one, other = scene.client(), scene.client()
        one.says(whole)
        first = (await scene.upstream()).heard()
        other.says(whole[:cut], whole[cut:])
        assert (await scene.upstream()).heard() == first


@async_test(loops=False)
async def test_A10_empty_lines_before_a_request_are_skipped_wherever_they_are_cut() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"\r", b"\n\r\n", b"\r", b"\n" + get())
        await turns()
        assert client.heard() == b""
        upstream = await scene.upstream()
        upstream.says(answer(b"x"))
        assert client.heard() == answer(b"x")


@async_test(loops=False)
async def test_B06_B08_B09_a_chunked_body_goes_up_chunked_without_extensions_and_trailers() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n")
        upstream = await scene.upstream()
        client.says(b"1\r\n!\r\n", b"0\r\nx-t: 1\r\n\r\n")
        ((request, body),) = requests_in(upstream.heard())
        assert body == b"hello!"
        assert [value for name, value in request.headers if name == b"transfer-encoding"] == [b"chunked"]
        assert not [name for name, _ in request.headers if name == b"content-length"]


@pytest.mark.parametrize(
    ("method", "line"),
    [(b"GET", b""), (b"DELETE", b""), (b"HEAD", b""), (b"POST", b"Content-Length: 0\r\n"), (b"PUT", b"Content-Length: 0\r\n")],
)
@async_test(loops=False)
async def test_B10_a_request_without_a_body_says_its_length_only_where_a_body_is_usual(method: bytes, line: bytes) -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(method + b" /test/v1/x HTTP/1.1\r\nHost: h\r\n\r\n")
        heard = (await scene.upstream()).heard()
        assert heard.endswith(b"\r\n" + line + b"\r\n")
        assert heard.count(b"Content-Length") == line.count(b"Content-Length")


@async_test(loops=False)
async def test_H02_a_client_that_waits_for_100_is_told_to_go_on_once() -> None:
    async with stage() as scene:
        client = scene.client()
        whole = post(b'{"a":1}', more=b"Expect: 100-continue\r\n")
        client.says(whole[:-7])
        upstream = await scene.upstream()
        assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.says(whole[-7:])
        ((request, body),) = requests_in(upstream.heard())
        assert body == b'{"a":1}'
        assert b"expect" not in dict(request.headers)
        upstream.says(answer(b"x"))
        assert client.heard() == answer(b"x")


@async_test(loops=False)
async def test_H02_a_body_that_came_with_its_head_needs_no_100() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(post(b'{"a":1}', more=b"Expect: 100-continue\r\n"))
        await scene.upstream()
        assert client.heard() == b""


@async_test(loops=False)
async def test_H01_interim_answers_are_consumed_and_103_goes_on_where_the_rule_says_so() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for extra, expected in (("", b""), ("early_hints: true\n", hints)):
        async with stage(extra=extra) as scene:
            client = scene.client()
            client.says(get())
            upstream = await scene.upstream()
            upstream.says(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + b"HTTP/1.1 102 Processing\r\n\r\n" + answer(b"x"))
            assert client.heard() == expected + answer(b"x")


@pytest.mark.parametrize(
    ("method", "head", "heard"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 42\r\n\r\n", None),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n", None),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\n" + DATE + b"Content-Length: 42\r\nETag: x\r\n\r\n", None),
        (b"DELETE", b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n", None),
        (b"DELETE", b"HTTP/1.1 204 No Content\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"),
        (b"GET", b"HTTP/1.1 205 Reset\r\n" + DATE + b"\r\n", b"HTTP/1.1 205 Reset\r\n" + DATE + b"Content-Length: 0\r\n\r\n"),
    ],
)  # fmt: skip
@async_test(loops=False)
async def test_E03_an_answer_that_never_has_a_body_ends_with_its_head_and_both_connections_go_on(
    method: bytes, head: bytes, heard: bytes | None
) -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(method + b" /test/v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
        upstream = await scene.upstream()
        upstream.says(head)
        assert client.heard() == (head if heard is None else heard)
        client.says(get())
        await turns()
        upstream.says(answer(b"next"))
        assert client.heard() == answer(b"next")
        assert scene.dialer().dialed == 1


@async_test(loops=False)
async def test_an_answer_that_ends_with_its_connection_becomes_chunked() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get())
        upstream = await scene.upstream()
        upstream.says(b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\nfirst", b"second")
        upstream.leaves()
        await turns()
        assert (
            client.heard()
            == b"HTTP/1.1 200 OK\r\n"
            + DATE
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + chunk(b"first")
            + chunk(b"second")
            + b"0\r\n\r\n"
        )
        assert not client.closed
        assert scene.calm


@async_test(loops=False)
async def test_E07_a_stream_with_a_length_becomes_chunked() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get())
        upstream = await scene.upstream()
        upstream.says(
            b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Type: text/event-stream\r\nContent-Length: 18\r\n\r\n",
            b"data: 1\n\n",
            b"data: 2\n\n",
        )
        heard = client.heard()
        assert b"Content-Length" not in heard
        assert heard.endswith(b"\r\n\r\n" + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + b"0\r\n\r\n")
        assert b"\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n" in heard


@async_test(loops=False)
async def test_a_client_of_http_1_0_gets_the_data_without_chunks_and_then_the_end() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get(version=b"1.0"))
        upstream = await scene.upstream()
        upstream.says(stream_head(), chunk(b"data: 1\n\n"), b"5\r\nab", b"cde\r", b"\n0\r\n\r\n")
        await turns()
        head, _, body = client.heard().partition(b"\r\n\r\n")
        assert body == b"data: 1\n\nabcde"
        assert b"Transfer-Encoding" not in head
        assert b"Connection: close" in head
        assert client.closed


@async_test(loops=False)
async def test_E02_E09_only_a_date_and_an_id_are_added_and_only_when_missing() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get(more=b"x-request-id: mine-1\r\n"))
        (await scene.upstream()).says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        lines = client.heard().split(b"\r\n")
        assert lines[:2] == [b"HTTP/1.1 200 OK", b"Content-Length: 0"]
        assert [line.partition(b":")[0] for line in lines[2:] if line] == [b"Date", b"x-request-id"]
        assert b"x-request-id: mine-1" in lines


@async_test(loops=False)
async def test_a_model_in_the_body_finds_its_platform_and_the_bytes_that_waited_go_up_in_order() -> None:
    async with stage() as scene:
        client = scene.client()
        body = b'{"messages": "' + b"x" * 300 + b'", "model": "z1", "n": 1}'
        whole = post(body, path="/v1/chat/completions")
        cut = len(whole) - 100
        client.says(whole[:cut])
        await turns()
        assert scene.dialer("other").dialed == 0
        assert scene.counts()["held_bytes"] > 0
        client.says(whole[cut:])
        upstream = await scene.upstream("other")
        ((request, heard),) = requests_in(upstream.heard())
        assert heard == body
        assert request.target == b"/base/v1/chat/completions"
        assert dict(request.headers)[b"modelname"] == b"z1"
        assert scene.counts()["held_bytes"] == 0


@async_test(loops=False)
async def test_what_comes_while_a_connection_is_opened_waits_for_it() -> None:
    async with stage() as scene:
        scene.dialer().go.clear()
        client = scene.client()
        client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
        assert not client.is_reading()
        client.says(b"56789")
        scene.dialer().go.set()
        upstream = await scene.upstream()
        await turns()
        ((_, body),) = requests_in(upstream.heard())
        assert body == b"0123456789"
        assert scene.counts()["held_bytes"] == 0


@async_test(loops=False)
async def test_F04_a_client_that_does_not_read_stops_the_upstream_and_starts_it_again() -> None:
    async with stage() as scene:
        client = scene.client(window=1000)
        client.says(get())
        upstream = await scene.upstream()
        upstream.says(b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 300000\r\n\r\n")
        sent = 0
        while upstream.is_reading():
            upstream.says(b"x" * 10_000)
            sent += 10_000
            assert sent <= 100_000, "F05: more than the high-water mark and a read piles up"
        client.takes()
        assert upstream.is_reading()
        upstream.says(b"x" * (300_000 - sent))
        assert client.heard().count(b"x") == 300_000 + 1
        assert scene.calm


@async_test(loops=False)
async def test_F07_an_upstream_that_does_not_read_stops_the_client_and_starts_it_again() -> None:
    async with stage() as scene:
        scene.upstream_window = 1000
        client = scene.client()
        client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
        upstream = await scene.upstream()
        sent = 0
        while client.is_reading():
            client.says(b"x" * 10_000)
            sent += 10_000
            assert sent <= 100_000
        upstream.takes()
        assert client.is_reading()
        client.says(b"x" * (200_000 - sent))
        assert upstream.heard().count(b"x") == 200_000 + 1


@async_test(loops=False)
async def test_F10_an_answer_that_comes_before_the_upload_has_ended_is_relayed_and_both_sides_close() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"POST /test/v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nxxx")
        upstream = await scene.upstream()
        upstream.says(answer(b"no", status=b"413 Too Large"))
        heard = client.heard()
        assert heard.endswith(b"Connection: close\r\n\r\nno")
        assert upstream.aborted
        client.says(b"x" * 500)
        await turns()
        assert not client.heard()
        assert scene.calm


def kept(transport: MemoryTransport) -> bool:
    return not transport.closed and not transport.finished


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"connection: x, Close\r\n"])
@async_test(loops=False)
async def test_a_client_that_asked_for_it_is_closed_after_its_answer(more: bytes) -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get(more=more))
        (await scene.upstream()).says(answer(b"x"))
        await turns()
        assert client.heard().endswith(b"\r\n\r\nx")
        assert not kept(client)


@async_test(loops=False)
async def test_L04_a_client_that_has_finished_sending_is_served_where_the_rule_says_so() -> None:
    async with stage(extra="half_close: true\n") as scene:
        client = scene.client()
        client.says(get())
        upstream = await scene.upstream()
        client.leaves()
        upstream.says(answer(b"x"))
        assert client.heard() == answer(b"x")


@async_test(loops=False)
async def test_Q02_the_model_of_a_small_body_that_comes_behind_its_head_is_counted_and_nothing_waits_for_it() -> None:
    async with stage() as scene:
        client = scene.client()
        body = b'{"model":"m-7","messages":[]}'
        head = b"POST /test/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        client.says(head + b"Content-Length: %d\r\n\r\n" % len(body))
        upstream = await scene.upstream("test")
        assert upstream.heard().endswith(b"Content-Length: %d\r\n\r\n" % len(body))
        client.says(body)
        assert upstream.heard() == body
        upstream.says(answer(b"x"))
        counted = scene.gateway.metrics.exposition().decode()
        assert 'route="POST /v1/chat/completions",method="POST",model="m-*",status="2xx",outcome="ok"} 1.0' in counted


@pytest.mark.parametrize("cut", [0, 12, 30])
@async_test(loops=False)
async def test_P02_a_model_named_twice_is_refused_also_where_the_body_comes_in_pieces(cut: int) -> None:
    async with stage() as scene:
        client = scene.client()
        body = b'{"model":"m1","messages":[],"model":"m-7"}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        client.says(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:cut])
        client.says(body[cut:])
        assert client.heard().startswith(b"HTTP/1.1 400 ")


@async_test(loops=False)
async def test_P02_a_model_named_twice_is_carried_where_it_decides_nothing() -> None:
    async with stage() as scene:
        client = scene.client()
        body = b'{"model":"m1","messages":[],"model":"m-7"}'
        head = b"POST /test/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        client.says(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await scene.upstream("test")).heard().endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("cuts", [(), (0,), (0, 3)])
@async_test(loops=False)
async def test_a_model_named_by_the_path_stands_whatever_the_body_says_and_however_it_comes(cuts: tuple[int, ...]) -> None:
    async with stage() as scene:
        body = b'{"contents":[]}'
        head = b"POST /v1beta/models/m1:streamGenerateContent HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        said = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        ends = [len(said) - len(body) + cut for cut in cuts]
        client = scene.client()
        client.says(*(said[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True)))
        upstream = await scene.upstream("test")
        assert upstream.heard().endswith(b"\r\n\r\n" + body)
        upstream.says(answer(b"x"))
        assert client.heard() == answer(b"x")
