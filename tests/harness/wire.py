"""One TCP (or unix) connection as the tests see it: raw bytes, FIN and RST told apart, no read-ahead, no buffering.

Lives here: sockets and TLS over them. What the bytes mean is `grammar`'s subject. Built on readiness callbacks and not on
transports, so that closing, resetting and not reading happen exactly when a test says so, alike on every event loop.
"""

import asyncio
import socket
import ssl
import struct
from typing import Literal

from tests.harness.runner import turns

End = Literal["fin", "rst"]
READ = 1 << 16


class Wire:
    """A connected, non-blocking socket. `receive` gives b"" at FIN and raises ConnectionResetError at RST."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._fd = sock.fileno()
        self._waiters: set[asyncio.Future[None]] = set()

    async def receive(self, size: int = READ) -> bytes:
        while True:
            self._must_be_open()
            try:
                return self.sock.recv(size)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            self._must_be_open()
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def send_in(self, *pieces: bytes) -> None:
        """Send each piece by itself, with turns of the loop between, so that the other side reads them one by one."""
        for piece in pieces:
            await self.send(piece)
            await turns()

    def finish(self) -> None:
        """Send FIN; reading stays possible."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close both directions (a FIN, or a RST when unread bytes are left, as the kernel does)."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self.sock.close()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ConnectionAbortedError("closed here"))

    def _must_be_open(self) -> None:
        if self.closed:
            raise ConnectionAbortedError("closed here")

    async def _ready(self, add: object, remove: object) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        add(self._fd, lambda: waiter.done() or waiter.set_result(None))  # type: ignore[operator]
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if not self.closed:
                remove(self._fd)  # type: ignore[operator]


class TlsWire(Wire):
    """The same with TLS on top. `reset` and `close` end the connection without a `close_notify`, as a cut does."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool, name: str | None = None) -> None:
        super().__init__(sock)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=name)

    async def handshake(self) -> None:
        """Raises ssl.SSLError when the other side refuses, ConnectionError when it leaves."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                return await self._flush()

    async def receive(self, size: int = READ) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        self._tls.write(data)
        await self._flush()

    async def say_goodbye(self) -> None:
        """Send the `close_notify` that ends a TLS stream properly."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the other side's close_notify has not come yet: ours is what counts
        await self._flush()

    async def _fill(self) -> None:
        data = await super().receive()
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    async def _flush(self) -> None:
        if pending := self._out.read():
            await super().send(pending)


async def connect(address: tuple[str, int] | str, *, receive_buffer: int = 0, send_buffer: int = 0) -> Wire:
    """A plain connection to HOST, PORT or to a unix path. Small buffers make a slow reader or writer felt early."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return Wire(sock)
