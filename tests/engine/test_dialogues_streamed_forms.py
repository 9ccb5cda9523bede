"""Dialogues about forms that go up part by part while they come (rule P07): what the upstream hears, when, and how it ends."""

import tracemalloc
from collections.abc import Iterator

import pytest

from proxy.outcomes import ErrorType
from proxy.wire.refusal import bad_response
from tests.engine.handled import head_and_body
from tests.engine.memory import MemoryTransport
from tests.engine.stage import Scene, answer, chunk, error_of, post, stage, status_of, stream_head
from tests.harness.runner import async_test, turns

FORMS = """\
platform: forms
title: A platform whose forms a rule edits
docs: https://example.com
upstream: http://forms.example/base
auth: {bearer: "${secret.FORMS_KEY}"}
models: [f1, {alias: real}]
routes:
  POST /v1/images/edits:
    send: POST /edit
    edit:
      - rename: {n: count}
      - set: {style: plain}
      - remove: [user]
  POST /v1/audio/transcriptions:
    send: POST /listen
    edit:
      - set: {language: en}
        when: ${query.english}
    retry: {attempts: 2, on: [502, 503], wait: 10ms}
  POST /v1/videos:
    send: POST /small
    edit: [{set: {style: plain}}]
    limits: {body: 300KiB}
  POST /v1/videos/characters:
    send: POST /said
    edit: [{set: {model: "${model}"}}]
    errors: {when: "${body.code > `0`}", message: "${body.message}", status: {"7": 429}}
  POST /v1/images/variations:
    send: POST /read
    edit: [{set: {style: "${body.look}"}}]
"""
RULES = {"forms": FORMS}
EDITS, LISTEN = "/forms/v1/images/edits", "/forms/v1/audio/transcriptions"
TYPE = b"Content-Type: multipart/form-data; boundary=xyz\r\n"
END = b"--xyz--\r\n"
DATA = bytes(range(256)) * 1200  # 300 KiB: more than is held of a form


def text(name: str, value: str) -> bytes:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(name: str, data: bytes = DATA) -> bytes:
    head = f'--xyz\r\ncontent-disposition: form-data;name={name}; filename="ö.png"\r\nContent-Type: image/png\r\nX-Odd: 1\r\n\r\n'
    return head.encode() + data + b"\r\n"


CAME = text("model", "alias") + text("user", "u") + text("n", "2") + file("image[]") + text("style", "old") + END
WENT = text("model", "real") + text("count", "2") + file("image[]") + text("style", "plain") + END


def head(path: str, framing: bytes, more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: h\r\n%b%b%b\r\n\r\n" % (path.encode(), TYPE, more, framing)


def counted(body: bytes, path: str = EDITS, more: bytes = b"") -> bytes:
    return head(path, b"Content-Length: %d" % len(body), more) + body


CHUNKED = b"Transfer-Encoding: chunked"


def reads(message: bytes, size: int = 100_000) -> Iterator[bytes]:
    """The message as it comes from a socket."""
    return (message[at : at + size] for at in range(0, len(message), size))


async def sends(scene: Scene, message: bytes, size: int = 100_000) -> tuple[MemoryTransport, MemoryTransport]:
    """A client that sends this, and the upstream that gets it."""
    client = scene.client()
    client.says(*reads(message, size))
    upstream = await scene.upstream("forms")
    await turns(30)  # a large read gives the loop its turn before the next
    return client, upstream


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """The data of a chunked body, and whether its last chunk has come."""
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            assert data == b"\r\n"
            return out, True
        out += data[: int(size, 16)]
        assert data[int(size, 16) :][:2] == b"\r\n"
        data = data[int(size, 16) + 2 :]
    return out, False


# --- what goes up ---


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("path", [EDITS, "/v1/images/edits"])
@pytest.mark.parametrize("chunked", [False, True])
@async_test()
async def test_P07_a_form_goes_up_with_only_the_named_parts_changed(chunked: bool, path: str, size: int) -> None:
    async with stage(rules_of=RULES) as scene:
        body = b"".join(map(chunk, reads(CAME, 70_001))) + b"0\r\n\r\n"
        message = head(path, CHUNKED) + body if chunked else counted(CAME, path)
        client, upstream = await sends(scene, message, size)
        start, fields, sent = head_and_body(upstream.heard())
        assert start == b"POST /base/edit HTTP/1.1"
        assert fields["content-type"] == TYPE[14:-2].decode()
        assert fields["transfer-encoding"] == "chunked"  # B08, B09: the new length is known at the end only
        assert "content-length" not in fields
        assert unchunked(sent) == (WENT, True)
        upstream.says(answer(b"done"))
        await turns()
        assert client.heard() == answer(b"done")
        assert scene.calm
        assert scene.counts()["upstream_idle"] == 1
        counts = b'dragoman_request_body_bytes_total{platform="forms",route="POST /v1/images/edits"} %d'
        assert counts % len(CAME) in scene.gateway.metrics.exposition()
        client.says(counted(END))  # the connection goes on
        await turns()
        assert b'name="style"\r\n\r\nplain' in upstream.heard()


@async_test()
async def test_P07_the_upstream_has_the_first_part_before_the_client_has_sent_the_last() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, counted(CAME)[:-20_000])
        first, ended = unchunked(head_and_body(upstream.heard())[2])
        assert WENT.startswith(first)
        assert len(first) > len(DATA) - 20_000
        assert not ended
        client.says(counted(CAME)[-20_000:])
        await turns()
        assert unchunked(upstream.heard()) == (WENT[len(first) :], True)


@async_test()
async def test_P07_B09_a_form_in_which_nothing_is_changed_keeps_its_length_and_what_describes_it() -> None:
    async with stage(rules_of=RULES) as scene:
        same, changed = (
            CAME.replace(b"alias", b"f1"),
            CAME.replace(b"alias", b"f1").removesuffix(END) + text("language", "en") + END,
        )
        _, upstream = await sends(scene, counted(same, LISTEN, b"Content-MD5: AAAA\r\n"))
        _, fields, sent = head_and_body(upstream.heard())
        assert (fields["content-length"], fields["content-md5"], sent) == (str(len(same)), "AAAA", same)
        assert "transfer-encoding" not in fields
        _, upstream = await sends(scene, counted(same, LISTEN + "?english=1", b"Content-MD5: AAAA\r\n"))
        _, fields, sent = head_and_body(upstream.heard())
        assert "content-md5" not in fields
        assert unchunked(sent) == (changed, True)


@async_test(loops=False)
async def test_P07_the_alias_of_a_model_is_replaced_where_the_form_has_it_and_nowhere_else() -> None:
    async with stage(rules_of=RULES) as scene:
        for said, went in ((text("model", "alias"), text("model", "real")), (text("model", "al"), None), (b"", None)):
            for data in (DATA, b"small"):
                body = said + file("image", data)
                _, upstream = await sends(scene, counted(body + END, LISTEN, b"ModelName: alias\r\n"))
                sent = head_and_body(upstream.heard())[2]
                sent = unchunked(sent)[0] if data is DATA else sent
                assert sent == (body if went is None else body.replace(said, went)) + END


@async_test(loops=False)
async def test_P07_a_small_form_and_one_that_the_rule_reads_go_up_with_their_length() -> None:
    async with stage(rules_of=RULES) as scene:
        small = CAME.replace(DATA, b"small")
        _, upstream = await sends(scene, counted(small), 100)
        assert head_and_body(upstream.heard())[1]["content-length"] == str(len(WENT.replace(DATA, b"small")))
        _, upstream = await sends(scene, head(EDITS, CHUNKED) + chunk(small) + b"0\r\n\r\n", 100)
        assert head_and_body(upstream.heard())[2] == WENT.replace(DATA, b"small")
        read = CAME.replace(b'"n"', b'"look"')
        _, upstream = await sends(scene, counted(read, "/forms/v1/images/variations"))
        _, fields, sent = head_and_body(upstream.heard())
        assert fields["content-length"] == str(len(sent))
        assert b'name="style"\r\n\r\n2\r\n' in sent


# --- memory, backpressure ---


@async_test(loops=False)
async def test_P07_F07_a_form_of_50_mb_takes_no_memory_beyond_what_is_on_its_way() -> None:
    async with stage(rules_of=RULES, limits={"buffered_body": 1 << 20}) as scene:
        rest, piece = 50_000_000, bytes(250_000)
        start = text("model", "alias") + text("n", "2") + file("image", b"")[:-2]
        client = scene.client()
        client.says(head(EDITS, b"Content-Length: %d" % (len(start) + rest + 2 + len(END))) + start)
        upstream = await scene.upstream("forms")
        await turns()
        went = unchunked(head_and_body(upstream.heard())[2])[0]
        tracemalloc.start()
        try:
            for _ in range(rest // len(piece)):
                client.says(piece)
                await turns(2)
                went += unchunked(upstream.heard())[0].replace(piece, b"")[:1000]
                assert scene.gateway.worker.held == 0
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()
        client.says(b"\r\n" + END)
        await turns()
        sent, ended = unchunked(upstream.heard())
        assert ended
        assert went.startswith(text("model", "real") + text("count", "2"))
        assert sent.endswith(b"\r\n" + text("style", "plain") + END)


@async_test()
async def test_F07_an_upstream_that_does_not_take_the_form_stops_the_client_and_one_that_takes_it_again_does_not() -> None:
    async with stage(rules_of=RULES) as scene:
        scene.upstream_window = 0
        body = CAME.replace(DATA, DATA * 10)
        client, upstream = await sends(scene, counted(body), 50_000)
        assert not client.is_reading()
        assert upstream.get_write_buffer_size() < 200_000
        assert scene.gateway.worker.held == 0
        upstream.takes()
        await turns(40)
        assert client.is_reading()
        assert unchunked(head_and_body(upstream.heard())[2]) == (WENT.replace(DATA, DATA * 10), True)


@async_test()
async def test_F07_while_the_connection_is_opened_the_client_is_not_read() -> None:
    async with stage(rules_of=RULES) as scene:
        scene.dialer("forms").go.clear()
        client = scene.client()
        client.says(*reads(counted(CAME)))
        await turns()
        assert not client.is_reading()
        assert 0 < scene.gateway.worker.held <= 100_000
        scene.dialer("forms").go.set()
        upstream = await scene.upstream("forms")
        await turns(30)
        assert unchunked(head_and_body(upstream.heard())[2]) == (WENT, True)
        assert scene.gateway.worker.held == 0


# --- the model in the form ---


@pytest.mark.parametrize("path", [EDITS, "/v1/images/edits"])
@pytest.mark.parametrize("chunked", [False, True])
@async_test()
async def test_P07_a_form_is_held_until_its_model_is_known_and_then_passes(chunked: bool, path: str) -> None:
    async with stage(rules_of=RULES) as scene:
        first, rest = text("n", "2") + file("image") + text("model", "alias"), file("mask") + END
        framed = head(path, CHUNKED) + chunk(first) + chunk(rest)[:-1000]
        client, upstream = await sends(scene, framed if chunked else counted(first + rest, path)[:-1000])
        sent = unchunked(head_and_body(upstream.heard())[2])[0]
        assert sent.startswith(text("count", "2") + file("image") + text("model", "real"))
        client.says((chunk(rest)[-1000:] + b"0\r\n\r\n") if chunked else rest[-1000:])
        await turns()
        more, ended = unchunked(upstream.heard())
        assert (
            sent + more == text("count", "2") + file("image") + text("model", "real") + file("mask") + text("style", "plain") + END
        )
        assert ended


@async_test(loops=False)
async def test_J_a_model_behind_more_than_may_be_held_is_a_413() -> None:
    async with stage(rules_of=RULES, limits={"buffered_body": 270_000}) as scene:
        for path in (EDITS, "/v1/images/edits"):
            client = scene.client()
            client.says(*reads(counted(file("image") + text("model", "alias") + END, path)))
            await turns()
            heard = client.heard()
            assert (status_of(heard), error_of(heard)["code"]) == (413, "model_too_late")
        assert scene.dialer("forms").dialed == 0
        assert scene.calm


@pytest.mark.parametrize("again", ["model", "stream", "model[]"])
@async_test(loops=False)
async def test_P02_a_field_that_decides_and_stands_twice_is_refused(again: str) -> None:
    async with stage(rules_of=RULES) as scene:
        body = text("model", "alias") + text("stream", "true") + file("image") + text(again, "f1") + END
        client, upstream = await sends(scene, counted(body))
        heard = client.heard()
        assert (status_of(heard), error_of(heard)["code"]) == (400, "duplicate_key")
        assert upstream.aborted
        assert scene.calm


# --- limits, hostile forms ---


@async_test(loops=False)
async def test_J_a_form_may_be_as_large_as_a_body_not_only_as_what_is_held() -> None:
    async with stage(rules_of=RULES, limits={"buffered_body": 100_000, "body": 400_000}) as scene:
        _, upstream = await sends(scene, counted(CAME))
        assert unchunked(head_and_body(upstream.heard())[2]) == (WENT, True)
        upstream.leaves()
        large = CAME.replace(DATA, DATA * 2)
        client = scene.client()
        client.says(head(EDITS, b"Content-Length: %d" % len(large), b"Expect: 100-continue\r\n"))
        assert status_of(heard := client.heard()) == 413
        assert b"\r\nConnection: close\r\n" in heard
        client, upstream = await sends(scene, head(EDITS, CHUNKED) + b"".join(map(chunk, reads(large))))
        assert (status_of(heard := client.heard()), error_of(heard)["code"]) == (413, "body_too_large")
        assert upstream.aborted
        assert not unchunked(head_and_body(upstream.heard())[2])[1]
        client = scene.client()
        client.says(counted(CAME.replace(DATA, DATA + bytes(10_000)), "/forms/v1/videos")[:1000])
        assert error_of(client.heard())["code"] == "body_too_large"  # the route's own limit
        assert scene.calm


@pytest.mark.parametrize("parts", [128, 129])
@async_test(loops=False)
async def test_J_128_parts_pass_and_one_more_is_a_413(parts: int) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, counted(text("model", "f1") + file("image") + text("a", "1") * (parts - 2) + END))
        assert unchunked(head_and_body(upstream.heard())[2])[1] == (parts == 128)
        assert upstream.aborted == (parts == 129)
        heard = client.heard()
        if parts == 129:
            assert (status_of(heard), error_of(heard)["code"]) == (413, "bad_multipart")
            assert scene.calm
        else:
            assert not heard


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [EDITS, LISTEN])
@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (file("mask"), 400),  # no closing boundary line
        (file("mask") + b"--xyz", 400),
        (b"--xyz\r\nContent-Disposition form-data\r\n\r\nx\r\n" + END, 400),
        (b'--xyz\r\nContent-Disposition: form-data; name="a"; name="b"\r\n\r\nx\r\n' + END, 400),
        (b"--xyz\r\nX-Pad: " + b"a" * 20_000 + b"\r\n\r\nx\r\n" + END, 431),
        (b"--xyz" + b" " * 100 + b"\r\n\r\nx\r\n" + END, 400),
    ],
)
@async_test(loops=False)
async def test_P07_B11_a_broken_form_is_refused_and_never_completed_upstream(
    rest: bytes, status: int, path: str, chunked: bool
) -> None:
    async with stage(rules_of=RULES) as scene:
        body = text("model", "f1") + file("image") + rest
        client, upstream = await sends(scene, head(path, CHUNKED) + chunk(body) + b"0\r\n\r\n" if chunked else counted(body, path))
        heard = client.heard()
        assert (status_of(heard), error_of(heard)["code"]) == (status, "bad_multipart")
        assert upstream.aborted
        _, fields, sent = head_and_body(upstream.heard())
        if "content-length" in fields:
            assert len(sent) < int(fields["content-length"])
        else:
            assert not unchunked(sent)[1]
        assert scene.calm


@async_test(loops=False)
async def test_P07_a_form_whose_first_part_is_broken_is_not_begun_upstream() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, counted(b"--xyz\r\nbad\r\n\r\n" + CAME, EDITS, b"ModelName: f1\r\n"))
        assert status_of(client.heard()) == 400
        assert upstream.heard() == b""
        assert upstream.aborted
        assert scene.calm


@async_test(loops=False)
async def test_B05_broken_chunks_end_a_form() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, head(EDITS, CHUNKED) + chunk(CAME[:-100]) + b"zz\r\n")
        heard = client.heard()
        assert (status_of(heard), error_of(heard)["code"]) == (400, "bad_chunk")
        assert upstream.aborted
        assert scene.calm


# --- how it ends otherwise ---


@pytest.mark.parametrize("how", ["leaves", "resets"])
@pytest.mark.parametrize("phase", ["connect", "send", "full", "wait"])
@async_test()
async def test_L01_B11_a_client_that_leaves_ends_the_form_in_every_phase(phase: str, how: str) -> None:
    async with stage(rules_of=RULES) as scene:
        if phase == "connect":
            scene.dialer("forms").go.clear()
        if phase == "full":
            scene.upstream_window = 1000
        client = scene.client()
        client.says(*reads(counted(CAME)[: None if phase == "wait" else -100]))
        await turns()
        upstream = None if phase == "connect" else await scene.upstream("forms")
        await turns()
        if phase in {"connect", "full"}:
            assert not client.is_reading()
            client.resets()  # a FIN behind what is not read is not seen; the watch on the socket sees it (L03)
        else:
            getattr(client, how)()
        await turns()
        if upstream is not None:
            assert upstream.aborted
            sent = upstream.heard().partition(b"\r\n\r\n")[2]
            assert sent.endswith(b"0\r\n\r\n") == (phase == "wait")
        assert scene.calm
        assert scene.counts()["upstream_idle"] == 0


@pytest.mark.parametrize("path", [EDITS, "/forms/v1/videos/characters"])
@async_test()
async def test_F10_an_answer_before_the_end_of_the_form_is_the_clients_and_the_rest_is_thrown_away(path: str) -> None:
    async with stage(rules_of=RULES) as scene:
        message = counted(CAME, path)
        client, upstream = await sends(scene, message[:-10_000])
        early = answer(b'{"code":"9","message":"too large"}', status=b"413 Content Too Large")
        upstream.says(early)
        await turns()
        start, fields, body = head_and_body(client.heard())
        assert start.startswith(b"HTTP/1.1 413 ")
        assert b"too large" in body
        assert fields["connection"] == "close"
        upstream.heard()
        client.says(message[-10_000:] + post(b"{}", "/test/v1/messages"))
        await turns()
        assert upstream.heard() == b""
        assert upstream.aborted
        assert scene.dialer("test").dialed == 0
        assert client.heard() == b""
        assert scene.calm


@async_test(loops=False)
async def test_F10_a_streamed_answer_may_begin_before_the_form_has_ended() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, counted(CAME)[:-10_000])
        upstream.says(stream_head() + chunk(b"data: 1\n\n"))
        await turns()
        assert client.heard().endswith(chunk(b"data: 1\n\n"))
        upstream.says(b"0\r\n\r\n")
        await turns()
        assert client.heard() == b"0\r\n\r\n"
        assert scene.counts()["upstream_idle"] == 0
        assert scene.calm


@async_test()
async def test_I02_an_upstream_that_goes_in_the_middle_of_the_form_is_a_502() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, counted(CAME)[:-10_000])
        upstream.resets()
        await turns()
        heard = client.heard()
        assert (status_of(heard), error_of(heard)["code"]) == (502, "upstream_closed")
        assert b"\r\nConnection: close\r\n" in heard
        assert scene.calm


@pytest.mark.parametrize("how", ["answers", "resets"])
@pytest.mark.parametrize("whole", [True, False])
@async_test(loops=False)
async def test_K07_a_form_is_not_sent_again_once_bytes_of_it_have_gone(whole: bool, how: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await sends(scene, counted(CAME, LISTEN)[: None if whole else -1000])
        if how == "answers":
            upstream.says(answer(b"busy", status=b"503 Busy"))
        else:
            upstream.resets()
        await turns()
        assert status_of(client.heard()) == (503 if how == "answers" else 502)
        assert scene.dialer("forms").dialed == 1
        assert scene.calm


@async_test(loops=False)
async def test_K05_a_form_of_which_nothing_has_gone_is_sent_on_another_connection_where_the_rule_says_so() -> None:
    async with stage(rules_of=RULES) as scene:
        dialer = scene.dialer("forms")
        dialer.error = bad_response(ErrorType.CONNECTION_REFUSED, "connection_refused", "no")
        client = scene.client()
        client.says(*reads(counted(CAME, LISTEN)))
        await turns()
        assert client.heard() == b""
        assert not client.is_reading()
        dialer.error = None
        upstream = await scene.upstream("forms")
        await turns(30)
        assert dialer.dialed > 1
        assert unchunked(head_and_body(upstream.heard())[2]) == (CAME.replace(b"alias", b"real"), True)
        assert scene.gateway.worker.held == 0


@async_test(loops=False)
async def test_H02_the_client_is_told_to_go_on() -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        begin = head(EDITS, b"Content-Length: %d" % len(CAME), b"Expect: 100-continue\r\n")
        client.says(begin)
        assert client.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.says(*reads(CAME))
        upstream = await scene.upstream("forms")
        await turns(30)
        _, fields, sent = head_and_body(upstream.heard())
        assert "expect" not in fields
        assert unchunked(sent) == (WENT, True)


@async_test(loops=False)
async def test_J02_a_form_that_stops_coming_is_a_408_and_ends_its_call() -> None:
    async with stage(rules_of=RULES, timeouts={"t_body_idle": 0.2}) as scene:
        client, upstream = await sends(scene, counted(CAME)[:-100])
        while not (heard := client.heard()):
            await turns(1)
        assert status_of(heard) == 408
        assert upstream.aborted
        assert not unchunked(head_and_body(upstream.heard())[2])[1]
        assert scene.calm
