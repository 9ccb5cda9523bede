"""What an exchange offers to a program that needs more of the world than one call, and how its bytes reach the client.

The loop over a program's steps, fetching and downloading live in the room that is given to the worker as its `orchestrator`; here
are the two things it works with: a `Host` that makes calls for one exchange, and a `Sink` that leads to its client.
"""

import asyncio
from typing import TYPE_CHECKING, Protocol

from proxy.carry.caller import Caller
from proxy.carry.record import Later
from proxy.outcomes import ErrorType, Outcome
from proxy.routing.calls import Work
from proxy.routing.plan import Dispatch
from proxy.wire.refusal import Refusal, bad_response
from translators.model import Platform, Route
from translators.runtime.steps import Call, Download, Incoming, Program, Reply, Result, Step

if TYPE_CHECKING:
    from proxy.carry.converted import ConvertedExchange
    from proxy.carry.downstream import Downstream


class Orchestrator(Protocol):
    """Runs programs that make several steps, and calls that a client asks about later (`async` routes)."""

    def takes(self, platform: Platform, route: Route, incoming: Incoming) -> bool:
        """Whether the request begins or concerns such a call; asked only on routes where it may. Raises RuleRefusal."""

    async def serve(self, host: "Host") -> Result:
        """The answer to a request that `takes` has taken. Raises Refusal, RuleRefusal."""

    async def run(self, program: Program, first_step: Step, host: "Host") -> Result:
        """Do what the program asks for, until it ends. Raises Refusal, RuleRefusal, and what the program raises."""

    async def download(self, download: Download, host: "Host", sink: "Sink") -> None:
        """Stream what stands behind the download's URL into the sink, up to its `end` or `cut`. Raises Refusal before `head`."""

    def redirected(self, download: Download, host: "Host", status: int, location: str) -> Download | None:
        """Where the answer to a download's own call sends on to; None: the answer itself is passed on."""


class NoOrchestrator:
    """Stands where no orchestrating room was given: what needs more than one call is refused."""

    def takes(self, platform: Platform, route: Route, incoming: Incoming) -> bool:  # noqa: ARG002
        return False

    async def serve(self, host: "Host") -> Result:  # noqa: ARG002
        raise _not_here()

    async def run(self, program: Program, first_step: Step, host: "Host") -> Result:  # noqa: ARG002
        program.close()
        raise _not_here()

    async def download(self, download: Download, host: "Host", sink: "Sink") -> None:  # noqa: ARG002
        raise _not_here()

    def redirected(self, download: Download, host: "Host", status: int, location: str) -> Download | None:  # noqa: ARG002
        return None


def _not_here() -> Refusal:
    return Refusal(501, ErrorType.PROXY_CONFIGURATION_ERROR, "not_orchestrated", "This gateway runs no exchange of several calls.")


class Host:
    """What the program of one exchange works with. It holds nothing of the client's connection, so that it may outlive it."""

    def __init__(self, dispatch: Dispatch, work: Work, incoming: Incoming, raw: bytes, ended: Later) -> None:
        self.platform = work.served.platform
        self.upstream = work.served.upstream
        self.route = work.route
        self.prepared = work.prepared
        self.incoming = incoming
        self.ended = ended  # writes down how a call ended that has outlived its request
        self._caller = Caller(dispatch, work, incoming.body, raw)

    async def call(self, call: Call) -> Reply:
        """One request to the platform; its answer, whole. Raises Refusal (502, 503, 504)."""
        return await self._caller.call(call)


class Sink:
    """The client's side of a download: `head` once, `write` as it comes, then `end` or `cut`.

    `full` asks to wait in `drained` before more is written (rule F04). Until `head`, a Refusal is the better end.
    """

    def __init__(self, exchange: "ConvertedExchange", client: "Downstream") -> None:
        self._exchange = exchange
        self._full = client.full
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
