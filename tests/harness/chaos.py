"""The chaos peer: an upstream that records every byte it hears and answers exactly what a test tells it to.

Two ways to direct it. Interactive: `heard = await peer.hears()`, then `await heard.say(b"HTTP/1.1 ...")`. Scripted:
`Peer(play(Say(b"..."), Sleep(0.01), Reset()))`, which performs the actions for every request. Nothing here corrects, completes
or buffers what is said.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.harness.grammar import Body, Field, Head, MalformedError, request_body, request_line, take_head
from tests.harness.wire import End, TlsWire, Wire

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
PATIENCE = 20.0  # seconds; bounds a hang, never part of what a test asserts


@dataclass(frozen=True, slots=True)
class Event:
    """What happened on a line and when (monotonic seconds): open, bytes, fin, rst or closed (by us)."""

    kind: str
    at: float
    size: int = 0


@dataclass(eq=False)
class Line:
    """One connection that the gateway opened to the peer."""

    peer: "Peer"
    wire: Wire
    number: int
    raw: bytearray = field(default_factory=bytearray)
    events: list[Event] = field(default_factory=list)
    requests: list["Heard"] = field(default_factory=list)
    ended: End | None = None
    _reading: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, kind: str, size: int = 0) -> None:
        self.events.append(Event(kind, time.monotonic(), size))

    async def say(self, *pieces: bytes) -> None:
        """Send these bytes; each piece is read by itself."""
        await self.wire.send_in(*pieces)

    def fin(self) -> None:
        """Close: the gateway sees FIN."""
        self.note("closed")
        self.wire.close()

    def half_close(self) -> None:
        self.wire.finish()

    def rst(self) -> None:
        self.note("closed")
        self.wire.reset()

    def stop_reading(self) -> None:
        self._reading.clear()

    def read_on(self) -> None:
        self._reading.set()

    async def gone(self, within: float = PATIENCE) -> End:
        """How the gateway ended this connection."""
        async with asyncio.timeout(within):
            await self._gone.wait()
        assert self.ended
        return self.ended

    def _left(self, how: End) -> None:
        self.ended = self.ended or how
        self.note(how)
        self.wire.close()
        self._gone.set()
        for heard in self.requests:
            heard.stopped()

    async def listen(self) -> None:
        """Read and record until the connection ends."""
        buffer = bytearray()
        current: Heard | None = None
        while True:
            await self._reading.wait()
            try:
                data = await self.wire.receive()
            except ConnectionAbortedError:
                return None
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
                return self._left("rst")
            if not data:
                return self._left("fin")
            self.note("bytes", len(data))
            if self.peer.keep:
                self.raw += data
            buffer += data
            try:
                current = self._read(buffer, current)
            except MalformedError as problem:
                self.peer.malformed.append((problem, bytes(self.raw)))
                self.rst()
                return None

    def _read(self, buffer: bytearray, current: "Heard | None") -> "Heard | None":
        while True:
            if current is None:
                head = take_head(buffer)
                if head is None:
                    return None
                current = Heard(self, head, *request_line(head), request_body(head, keep=self.peer.keep))
                self.requests.append(current)
                self.peer.heads.put_nowait(current)
                self.peer.act(current, early=True)
            current.stream.feed(buffer)
            if not current.stream.done:
                return current
            current.completed()
            current = None


@dataclass(eq=False)
class Heard:
    """One request as the peer heard it, and the way to answer it."""

    line: Line
    head: Head
    method: bytes
    target: bytes
    version: bytes
    stream: Body
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def fields(self) -> list[Field]:
        return self.head.fields

    @property
    def body(self) -> bytes:
        return bytes(self.stream.data)

    @property
    def complete(self) -> bool:
        """The request was ended by its framing (never by the end of the connection)."""
        return self.stream.done

    def get(self, name: bytes) -> bytes | None:
        return self.head.get(name)

    def all(self, name: bytes) -> list[bytes]:
        return self.head.all(name)

    async def say(self, *pieces: bytes) -> None:
        await self.line.say(*pieces)

    async def whole(self, within: float = PATIENCE) -> bool:
        """Wait until the request is complete or its connection gone; True when complete."""
        async with asyncio.timeout(within):
            await self._settled.wait()
        return self.complete

    def stopped(self) -> None:
        self._settled.set()

    def completed(self) -> None:
        self._settled.set()
        self.line.peer.wholes.put_nowait(self)
        self.line.peer.act(self, early=False)


Handler = Callable[[Heard], Awaitable[None]]


class Peer:
    """A listening upstream. Without `answer` the test answers; with it, every complete request is handled by it.

    `early` runs the handler when the head is there. `keep` False forgets the bytes (only sizes and SHA-256 of bodies stay).
    """

    def __init__(
        self,
        answer: Handler | None = None,
        *,
        early: bool = False,
        keep: bool = True,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
        receive_buffer: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.answer, self.early, self.keep, self.tls = answer, early, keep, tls
        self.lines: list[Line] = []
        self.heads: asyncio.Queue[Heard] = asyncio.Queue()
        self.wholes: asyncio.Queue[Heard] = asyncio.Queue()
        self.malformed: list[tuple[MalformedError, bytes]] = []
        self.refused_handshakes: list[Exception] = []
        self._arrived: asyncio.Queue[Line] = asyncio.Queue()
        self._wires: list[Wire] = []
        self._tasks: set[asyncio.Task[None]] = set()
        family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if not path:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(path or (host, port))
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self.host = host
        self.port: int = 0 if path else self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def requests(self) -> list[Heard]:
        """Every request whose head was heard, over all lines, in order of arrival on each."""
        return [heard for line in self.lines for heard in line.requests]

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop_listening()
        for wire in self._wires:
            wire.close()
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, OSError) and kind is None:
                raise result
        assert kind or not self.malformed, f"the gateway sent what is no HTTP/1.1: {self.malformed}"

    def stop_listening(self) -> None:
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()

    async def hears(self, within: float = PATIENCE) -> Heard:
        """The next complete request."""
        return await asyncio.wait_for(self.wholes.get(), within)

    async def hears_head(self, within: float = PATIENCE) -> Heard:
        """The next request head; its body may still be under way."""
        return await asyncio.wait_for(self.heads.get(), within)

    async def accepts(self, within: float = PATIENCE) -> Line:
        """The next connection."""
        return await asyncio.wait_for(self._arrived.get(), within)

    def act(self, heard: Heard, *, early: bool) -> None:
        if self.answer and early == self.early:
            self.start(self._perform(heard))

    def start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: done.cancelled() or done.exception() or self._tasks.discard(done))

    async def _perform(self, heard: Heard) -> None:
        assert self.answer
        try:
            await self.answer(heard)
        except (ConnectionError, ssl.SSLError):
            pass  # the gateway left in the middle of the answer: the line has noted it

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            wire = TlsWire(sock, self.tls, server_side=True) if self.tls else Wire(sock)
            self._wires.append(wire)
            self.start(self._serve(wire))

    async def _serve(self, wire: Wire) -> None:
        if isinstance(wire, TlsWire):
            try:
                await wire.handshake()
            except (ssl.SSLError, ConnectionError) as problem:
                self.refused_handshakes.append(problem)
                wire.close()
                return
        line = Line(self, wire, len(self.lines))
        line.read_on()
        line.note("open")
        self.lines.append(line)
        self._arrived.put_nowait(line)
        await line.listen()


@dataclass(frozen=True, slots=True)
class Say:
    data: bytes


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Until:
    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class Fin:
    pass


@dataclass(frozen=True, slots=True)
class Reset:
    pass


@dataclass(frozen=True, slots=True)
class StopReading:
    pass


Action = Say | Sleep | Until | Fin | Reset | StopReading


def play(*actions: Action) -> Handler:
    """A handler that performs `actions` for every request."""

    async def perform(heard: Heard) -> None:
        for action in actions:
            match action:
                case Say(data):
                    await heard.say(data)
                case Sleep(seconds):
                    await asyncio.sleep(seconds)
                case Until(event):
                    await event.wait()
                case Fin():
                    heard.line.fin()
                case Reset():
                    heard.line.rst()
                case StopReading():
                    heard.line.stop_reading()

    return perform


def says(data: bytes) -> Handler:
    """A handler that answers every request with these bytes."""
    return play(Say(data))


def answer(status: bytes = b"200 OK", body: bytes = b"", *fields: bytes) -> bytes:
    """The bytes of an answer with a Content-Length."""
    return b"".join(
        [b"HTTP/1.1 ", status, b"\r\n", *[line + b"\r\n" for line in fields], b"Content-Length: %d\r\n\r\n" % len(body), body]
    )


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 where connecting never ends: its backlog is full and nobody accepts."""
    listener = socket.socket()
    fillers: list[socket.socket] = []
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield listener.getsockname()[1]
    finally:
        for sock in (*fillers, listener):
            sock.close()


def closed_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
