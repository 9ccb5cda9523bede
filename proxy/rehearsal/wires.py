"""Connections in memory: a client's that hears an answer, and a platform's that answers by script.

They keep asyncio's contract as far as the proxy's protocols use it. Nothing here knows a rule.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxy.carry.client import ClientConnection
from proxy.carry.exchange import Exchange
from proxy.carry.worker import Worker
from proxy.rehearsal.said import Said, read_request
from proxy.routing.plan import Plan
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.dialing import Phased
from proxy.wire.refusal import Refusal

_PEER = ("192.0.2.1", 50000)


class Reader(Protocol):
    """What a transport delivers to."""

    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class Wire(asyncio.Transport):
    """A connection whose other end takes everything at once."""

    def __init__(self, protocol: Reader) -> None:
        super().__init__({"peername": _PEER})
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._reading = True
        self._closed = False

    def said(self, data: bytes | bytearray | memoryview) -> None:
        """The protocol has written."""
        raise NotImplementedError

    def deliver(self, data: bytes) -> None:
        """The other end writes."""
        self._waiting.append(data)
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        while self._waiting and self._reading and not self._closed:
            self._protocol.data_received(self._waiting.pop(0))

    # -- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closed:
            self.said(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self._flush)

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)


class ClientWire(Wire):
    """The client's end: collects what it is answered."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__(connection)
        self.heard = bytearray()
        connection.connection_made(self)

    def said(self, data: bytes | bytearray | memoryview) -> None:
        self.heard += data


class Performance:
    """One exchange as it is played: what went upstream, and how it ended. `answers` gives the answer to each request, by number.

    `over` is set when the client has its answer, or when a request went up that has no answer (`starved`).
    """

    def __init__(self, answers: Callable[[int, Said], bytes | None]) -> None:
        self.requests: list[Said] = []
        self.answered: list[bytes] = []
        self.starved = False
        self.over = asyncio.Event()
        self.plan: Plan | None = None  # what the head of the client's request has decided
        self.exchange: Exchange | None = None
        self._answers = answers

    def asked(self, request: Said, wire: Wire) -> None:
        answer = self._answers(len(self.requests), request)
        self.requests.append(request)
        if answer is None:
            self.starved = True
            self.over.set()
        else:
            self.answered.append(answer)
            wire.deliver(answer)


class UpstreamWire(Wire):
    """The platform's end: reads requests and answers each."""

    def __init__(self, connection: UpstreamConnection, current: Callable[[], Performance]) -> None:
        super().__init__(connection)
        self._received = b""
        self._current = current
        connection.connection_made(self)

    def said(self, data: bytes | bytearray | memoryview) -> None:
        self._received += data
        while (found := read_request(self._received)) is not None:
            request, self._received = found
            self._current().asked(request, self)


class MemoryDialer:
    """Opens connections to a platform that is played here."""

    def __init__(self, current: Callable[[], Performance]) -> None:
        self._current = current

    async def dial(self, factory: Callable[[], UpstreamConnection], waiting: Phased) -> UpstreamConnection:  # noqa: ARG002
        connection = factory()
        UpstreamWire(connection, self._current)
        return connection


class RehearsedClient(ClientConnection):
    """A client connection that tells when its exchange has ended."""

    __slots__ = ("_performance",)

    def __init__(self, worker: Worker, performance: Performance) -> None:
        super().__init__(worker)
        self._performance = performance

    def _begin(self, plan: Plan, length: int, body: bytes) -> None:
        self._performance.plan = plan
        super()._begin(plan, length, body)

    def exchange_done(self, *, keep_alive: bool, body_left: bool) -> None:
        self._performance.exchange = self.exchange
        super().exchange_done(keep_alive=keep_alive, body_left=body_left)
        self._performance.over.set()

    def answer(self, refusal: Refusal, request_id: bytes, *, body_left: bool) -> None:
        self._performance.exchange = self.exchange
        super().answer(refusal, request_id, body_left=body_left)
        self._performance.over.set()

    def cut(self, last_words: bytes, *, reset: bool) -> None:
        self._performance.exchange = self.exchange
        super().cut(last_words, reset=reset)
        self._performance.over.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._performance.over.set()
