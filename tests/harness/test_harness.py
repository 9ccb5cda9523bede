"""The harness proved without a gateway: client and peer face to face, and nginx between them where it is installed."""

import asyncio
import shutil
import ssl
from pathlib import Path

import h11
import pytest

from tests.harness.certificates import Authority
from tests.harness.chaos import OK, Fin, Peer, Reset, Say, answer, black_hole, chunk, closed_port, play, says
from tests.harness.client import Client, SilenceError
from tests.harness.grammar import MalformedError, take_head
from tests.harness.runner import async_test, until
from tests.harness.wire import TlsWire, connect
from tests.harness.words import get, pieces, post


@async_test()
async def test_peer_and_client_agree_on_an_exchange_cut_into_single_bytes() -> None:
    async with Peer(says(OK)) as peer:
        client = await Client.connect(("127.0.0.1", peer.port))
        request = post(b'{"a":1}', b"X-One: 1", b"X-One: 2")
        await client.says(*pieces(request, 1))
        heard = await peer.hears()
        reply = await client.hears()
        client.leaves()
        assert bytes(heard.line.raw) == request
        assert (heard.method, heard.body, heard.all(b"x-one")) == (b"POST", b'{"a":1}', [b"1", b"2"])
        assert sum(event.kind == "bytes" for event in heard.line.events) > len(request) // 2
        assert (reply.status, reply.body, reply.complete) == (200, b'{"ok":true}', True)
        assert await heard.line.gone() == "fin"


@async_test()
async def test_fin_and_rst_are_told_apart_on_both_sides() -> None:
    for last, expected in ((Fin(), "fin"), (Reset(), "rst")):
        async with Peer(play(Say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), last)) as peer:
            client = await Client.connect(("127.0.0.1", peer.port))
            await client.says(get())
            reply = await client.hears()
            assert (reply.body, reply.complete, reply.ended) == (b"short", False, expected)
            client.leaves()
    async with Peer() as peer:
        client = await Client.connect(("127.0.0.1", peer.port))
        line = await peer.accepts()
        client.vanishes()
        assert await line.gone() == "rst"


@async_test()
async def test_an_upload_that_stops_is_seen_as_incomplete() -> None:
    async with Peer() as peer:
        client = await Client.connect(("127.0.0.1", peer.port))
        await client.says(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n")
        heard = await peer.hears_head()
        client.leaves()
        assert not await heard.whole()
        assert heard.body == b"abc"


@async_test()
async def test_a_peer_that_stops_reading_holds_the_sender() -> None:
    async with Peer(receive_buffer=4096) as peer:
        client = await Client.connect(("127.0.0.1", peer.port))
        line = await peer.accepts()
        line.stop_reading()
        await client.says(b"x")  # the read that was under way
        sending = asyncio.ensure_future(client.says(b"y" * 10_000_000))
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done
        client.leaves()
        with pytest.raises(ConnectionAbortedError):
            await sending
        line.read_on()


@async_test()
async def test_the_response_reader_agrees_with_h11() -> None:
    body = b"".join(chunk(piece) for piece in (b"one", b"twotwo", b"")) + b"ignored"
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: \tb \r\n\r\n" + body.removesuffix(b"ignored")
    theirs = h11.Connection(h11.CLIENT)
    theirs.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    theirs.send(h11.EndOfMessage())
    theirs.receive_data(raw)
    head, data = theirs.next_event(), b""
    while isinstance(event := theirs.next_event(), h11.Data):
        data += bytes(event.data)
    async with Peer(says(raw)) as peer:
        client = await Client.connect(("127.0.0.1", peer.port))
        await client.says(get())
        ours = await client.hears()
        client.leaves()
    assert isinstance(head, h11.Response)
    assert isinstance(event, h11.EndOfMessage)
    assert [(name.lower(), value) for name, value in ours.fields] == list(head.headers)
    assert (ours.body, ours.stream.chunks) == (data, [3, 6, 0])


def test_the_grammar_refuses_what_is_not_exact() -> None:
    for raw in (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n"):
        with pytest.raises(MalformedError):
            take_head(bytearray(raw))


@async_test()
async def test_a_black_hole_never_connects_and_a_closed_port_refuses() -> None:
    with black_hole() as port, pytest.raises(TimeoutError):
        await asyncio.wait_for(connect(("127.0.0.1", port)), 0.2)
    with pytest.raises(ConnectionRefusedError):
        await connect(("127.0.0.1", closed_port()))


@async_test()
async def test_tls_peers_are_believed_only_with_the_right_certificate(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    for context, good in (
        (authority.server("localhost"), True),
        (authority.server("elsewhere.example"), False),
        (authority.server("localhost", expired=True), False),
        (authority.server("localhost", self_signed=True), False),
    ):
        async with Peer(says(OK), tls=context) as peer:
            wire = await connect(("127.0.0.1", peer.port))
            trust = ssl.create_default_context(cafile=authority.file)
            client = TlsWire(wire.sock, trust, server_side=False, name="localhost")
            if good:
                await client.handshake()
                await client.send(get())
                assert await client.receive() == OK
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await client.handshake()
            client.close()
            wire.closed = True  # its socket went with the TLS wire


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@async_test()
async def test_nginx_between_client_and_peer_is_seen_as_it_is(tmp_path: Path) -> None:
    async with Peer() as peer:
        port = closed_port()
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; location / {{"
            f" proxy_pass {peer.url}; proxy_http_version 1.1;"
            ' proxy_buffering off; proxy_request_buffering off; proxy_set_header Connection ""; } } }\n'
        )
        nginx = await asyncio.create_subprocess_exec(
            "nginx", "-p", str(tmp_path), "-c", "nginx.conf", stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _listens(port)
            client = await Client.connect(("127.0.0.1", port))
            await client.says(post(b"{}"))
            heard = await peer.hears()
            await heard.say(answer(b"201 Created", b"made", b"X-Mark: 1"))
            reply = await client.hears()
            assert (reply.status, reply.body, reply.get(b"x-mark")) == (201, b"made", b"1")
            await client.says(get(b"/cut"))
            cut = await peer.hears()
            await cut.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"half"))
            cut.line.fin()
            reply = await client.hears()
            assert (reply.body, reply.complete) == (b"half", False)
            client.leaves()
        finally:
            nginx.terminate()
            await nginx.wait()


async def _listens(port: int) -> None:
    while True:
        try:
            client = await Client.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
            continue
        client.leaves()
        return


@async_test()
async def test_a_connection_that_ends_without_an_answer_is_named_so() -> None:
    async with Peer(play(Fin())) as peer:
        client = await Client.connect(("127.0.0.1", peer.port))
        await client.says(get())
        with pytest.raises(SilenceError, match="fin"):
            await client.hears()
        client.leaves()
        assert await until(lambda: peer.lines) >= 0
