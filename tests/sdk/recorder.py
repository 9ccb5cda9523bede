"""A relay that changes nothing and keeps every byte of both directions: what the gateway and an upstream really said."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.harness.grammar import Head, response_body, status_line, take_head


@dataclass
class Recorded:
    """One connection that was relayed."""

    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)

    def request(self) -> tuple[Head, bytes]:
        """The head of the only request and everything after it."""
        return _split(self.asked)

    def answer(self) -> tuple[Head, bytes]:
        """The head of the only answer and everything after it, chunk framing included."""
        return _split(self.answered)

    def answer_body(self) -> bytes:
        """The body of the only answer, without its framing."""
        head, rest = self.answer()
        body = response_body(head, status_line(head)[1], b"POST")
        body.feed(bytearray(rest))
        assert body.done, "the upstream's answer is not whole"
        return bytes(body.data)


def _split(raw: bytearray) -> tuple[Head, bytes]:
    buffer = bytearray(raw)
    head = take_head(buffer)
    assert head is not None, f"no whole head: {bytes(raw)!r}"
    return head, bytes(buffer)


class Recorder:
    """Listens at `url` and relays every connection to `target` (`http://HOST:PORT`)."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.url = ""
        self.connections: list[Recorded] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def only(self) -> Recorded:
        """The one connection there was."""
        assert len(self.connections) == 1, f"{len(self.connections)} connections, not one"
        return self.connections[0]

    def heard(self) -> bytes:
        """Everything that was sent towards the target, over all connections."""
        return b"".join(bytes(one.asked) for one in self.connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        recorded = Recorded()
        self.connections.append(recorded)
        address = urlsplit(self.target)
        try:
            far_reader, far_writer = await asyncio.open_connection(address.hostname, address.port)
            pumps = [
                asyncio.ensure_future(_pump(reader, far_writer, recorded.asked)),
                asyncio.ensure_future(_pump(far_reader, writer, recorded.answered)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                far_writer.close()  # before anything is awaited: the recorder may stop in the very same turn
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except asyncio.CancelledError:
            pass  # the recorder stops; a cancelled handler would be reported as an error of the server
        finally:
            writer.close()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
    try:
        while data := await reader.read(1 << 16):
            record += data
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
