"""The raw client: says exactly these bytes, hears exactly what comes, and knows a FIN from a RST."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.harness.grammar import Body, Field, Head, response_body, status_line, take_head
from tests.harness.wire import End, Wire, connect

PATIENCE = 20.0  # seconds; bounds a hang, never part of what a test asserts


@dataclass
class Answer:
    """One answer as the client heard it; `complete` only when its own framing ended it."""

    head: Head
    version: bytes
    status: int
    reason: bytes
    stream: Body
    interim: list[tuple[int, Head]] = field(default_factory=list)
    ended: End | None = None  # how the connection ended before or with the answer

    @property
    def fields(self) -> list[Field]:
        return self.head.fields

    @property
    def body(self) -> bytes:
        return bytes(self.stream.data)

    @property
    def complete(self) -> bool:
        return self.stream.done

    def get(self, name: bytes) -> bytes | None:
        return self.head.get(name)

    def all(self, name: bytes) -> list[bytes]:
        return self.head.all(name)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def local(self) -> bool:
        """Made by the gateway itself (rule E10)."""
        return self.get(b"proxy-status") is not None

    @property
    def error(self) -> str | None:
        """The RFC 9209 error type of a local answer."""
        value = self.get(b"proxy-status")
        if value is None:
            return None
        for parameter in value.decode().split(";")[1:]:
            key, _, text = parameter.strip().partition("=")
            if key == "error":
                return text
        return None


class SilenceError(AssertionError):
    """Nothing came, or the connection ended before an answer's head was there."""


class Client:
    """One connection to the gateway."""

    def __init__(self, wire: Wire, *, keep: bool = True) -> None:
        self.wire = wire
        self.buffer = bytearray()
        self.ended: End | None = None
        self.keep = keep

    @classmethod
    async def connect(cls, address: tuple[str, int] | str, *, receive_buffer: int = 0, keep: bool = True) -> "Client":
        return cls(await connect(address, receive_buffer=receive_buffer), keep=keep)

    async def says(self, *pieces: bytes, tolerant: bool = False) -> None:
        """Send each piece by itself. `tolerant`: the gateway may have ended the connection already."""
        try:
            await self.wire.send_in(*pieces)
        except (BrokenPipeError, ConnectionResetError):
            if not tolerant:
                raise

    async def hears(self, to: bytes = b"GET", within: float = PATIENCE) -> Answer:
        """The next answer, up to its end or the end of the connection; `to` is the method it answers."""
        async with asyncio.timeout(within):
            answer = await self._head(to)
            await self._rest(answer)
        return answer

    async def hears_head(self, to: bytes = b"GET", within: float = PATIENCE) -> Answer:
        """The next answer as soon as its head is there; read on with `hears_more` or `hears_rest`."""
        async with asyncio.timeout(within):
            return await self._head(to)

    async def hears_more(self, answer: Answer, marker: bytes = b"", within: float = PATIENCE) -> bytes:
        """Read the body until it holds `marker` (or one more byte) and return all of it so far."""
        start = len(answer.body)
        async with asyncio.timeout(within):
            while not answer.complete and not ((marker in answer.body) if marker else (len(answer.body) > start)):
                if not await self._more():
                    break
                answer.stream.feed(self.buffer)
        return answer.body

    async def hears_rest(self, answer: Answer, within: float = PATIENCE) -> Answer:
        async with asyncio.timeout(within):
            await self._rest(answer)
        return answer

    async def end(self, within: float = PATIENCE) -> End:
        """Read until the gateway ends the connection; what came before stays in `buffer`."""
        async with asyncio.timeout(within):
            while await self._more():
                pass
        assert self.ended
        return self.ended

    async def nothing(self, for_: float) -> None:
        """Assert that the gateway neither speaks nor ends the connection for so many seconds."""
        assert not self.buffer, f"heard {bytes(self.buffer)!r}"
        try:
            async with asyncio.timeout(for_):
                await self._more()
        except TimeoutError:
            return
        raise AssertionError(f"heard {bytes(self.buffer)!r}, ended {self.ended}")

    def leaves(self) -> None:
        """Close the connection, as a program that exits does."""
        self.wire.close()

    def vanishes(self) -> None:
        """Reset the connection."""
        self.wire.reset()

    def half_closes(self) -> None:
        """Send FIN and keep listening."""
        self.wire.finish()

    async def _more(self) -> bool:
        if self.ended:
            return False
        try:
            data = await self.wire.receive()
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "rst"
            return False
        if not data:
            self.ended = "fin"
            return False
        self.buffer += data
        return True

    async def _head(self, to: bytes) -> Answer:
        interim: list[tuple[int, Head]] = []
        while True:
            head = take_head(self.buffer)
            if head is None:
                if not await self._more():
                    raise SilenceError(f"the connection ended ({self.ended}) after {bytes(self.buffer)!r}")
                continue
            version, status, reason = status_line(head)
            if status < 200 and status != 101:
                interim.append((status, head))
                continue
            answer = Answer(head, version, status, reason, response_body(head, status, to, keep=self.keep), interim)
            answer.stream.feed(self.buffer)
            return answer

    async def _rest(self, answer: Answer) -> None:
        while not answer.complete:
            if not await self._more():
                answer.ended = self.ended
                if self.ended == "fin":
                    answer.stream.end_of_connection()
                return
            answer.stream.feed(self.buffer)
