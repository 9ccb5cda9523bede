"""The way of bytes from elsewhere, such as a file behind a URL, to the client of an exchange."""

import asyncio
from typing import Protocol

from proxy.outcomes import ErrorType, Outcome
from proxy.routing.plan import Plan
from proxy.wire.refusal import Refusal, bad_response


class Made(Protocol):
    """The exchange whose answer is made here."""

    @property
    def plan(self) -> Plan: ...
    def begin_made(self, status: int, fields: tuple[tuple[str, str], ...], length: int | None) -> None: ...
    def write_made(self, data: bytes) -> None: ...
    def end_made(self) -> None: ...
    def refuse(self, refusal: Refusal, outcome: Outcome | None = None) -> None: ...


class Sink:
    """The client's side of a download: `head` once, `write` as it comes, then `end` or `cut`.

    `full` asks to wait in `drained` before more is written (rule F04). Until `head`, a Refusal is the better end.
    """

    def __init__(self, exchange: Made, *, full: bool) -> None:
        self._exchange = exchange
        self._full = full
        self._waiting: asyncio.Future[None] | None = None
        self._left: int | None = None  # of the announced length
        self._begun = self._over = False

    @property
    def full(self) -> bool:
        return self._full

    async def drained(self) -> None:
        """Wait until the client takes more."""
        while self._full:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def client_full(self, full: bool) -> None:
        """The client connection tells."""
        self._full = full
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def head(self, status: int, fields: tuple[tuple[str, str], ...]) -> None:
        """Begin the answer. `fields` go out as they are, but for framing; a `Content-Length` among them is kept to."""
        self._begun = True
        lengths = [value for name, value in fields if name.lower() == "content-length"]
        self._left = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None
        if self._exchange.plan.method == "HEAD":
            length, self._left = self._left, None  # nothing will be written
        else:
            length = self._left
        kept = tuple(pair for pair in fields if pair[0].lower() not in {"content-length", "transfer-encoding", "connection"})
        self._exchange.begin_made(status, kept, length)

    def write(self, data: bytes) -> None:
        """Body bytes. More than announced are never written (rule B19)."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data and not self._over:
            self._exchange.write_made(data)

    def end(self) -> None:
        """The body is whole; one that is shorter than announced is none (rule B18)."""
        if self._over:
            return
        if self._left:
            self.cut()
            return
        self._over = True
        self._exchange.end_made()

    def cut(self) -> None:
        """The body broke off: the answer must not look whole."""
        if not self._over:
            self._over = True
            broken = bad_response(ErrorType.HTTP_RESPONSE_INCOMPLETE, "upstream_cut", "The content broke off.")
            self._exchange.refuse(broken, Outcome.TRUNCATED if self._begun else None)

    def close(self) -> None:
        """Whoever wrote has gone: an answer without an end is a broken one."""
        self.cut()
