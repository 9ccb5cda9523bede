"""What the tests of fetching share: a name system that says what it is told, a raw HTTP server, and a fetcher between them."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

from proxy.fetch.fetcher import Fetcher
from proxy.fetch.targets import FetchOutcome
from proxy.upstream.resolver import Address

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


class Names:
    """A resolver. Each name has a list of answers; the last one is repeated. Notes what was asked."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if not answers:
            raise OSError("no such name")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [_address(text, port) for text in found]


def _address(text: str, port: int) -> Address:
    if ip_address(text).version == 6:
        return Address(socket.AF_INET6, (text, port, 0, 0), 60.0)
    return Address(socket.AF_INET, (text, port), 60.0)


class Server:
    """A raw server on 127.0.0.1: notes each request's bytes, answers with the given bytes and closes.

    An answer that is None is never given: the server stays silent until the client leaves.
    """

    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self.port = 0
        self.sni: list[str | None] = []
        self._serving: set[asyncio.Task[None]] = set()

    def targets(self) -> list[str]:
        return [request.split(b" ")[1].decode() for request in self.requests]

    def fields(self, index: int = -1) -> dict[str, str]:
        lines = self.requests[index].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            await self._respond(request.split(b" ")[1].decode(), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _respond(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self._answer(target)
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()

    @contextlib.asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator["Server"]:
        if context is not None:
            context.sni_callback = lambda _, name, __: self.sni.append(name)
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()
            await asyncio.gather(*self._serving)  # ends when every client has left


def answer(body: bytes = b"data", *fields: str, status: str = "200 OK", media_type: str = "image/png") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"elsewhere", f"Location: {location}", "Set-Cookie: session=1", status=status)


class Counter(list[FetchOutcome]):
    """Hears the outcomes."""


def fetcher(
    names: Mapping[str, Sequence[Sequence[str]]] | Names = {},  # noqa: B006 - never changed
    counter: Counter | None = None,
    context: ssl.SSLContext | None = None,
) -> Fetcher:
    resolver = names if isinstance(names, Names) else Names(names)
    return Fetcher(resolver, context or ssl.create_default_context(), observe=None if counter is None else counter.append)


def local(*hosts: str) -> dict[str, Iterable[Sequence[str]]]:
    """Names that lead to this machine."""
    return {host: [["127.0.0.1"]] for host in hosts}
