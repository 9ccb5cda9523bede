"""What an exchange offers to a program that needs more of the world than one call.

The loop over a program's steps, fetching and downloading live in the room that is given to the worker as its `orchestrator`; it
works with a `Host`, which makes calls for one exchange, and with the `Sink` that leads to its client.
"""

from typing import Protocol

from proxy.carry.caller import Caller
from proxy.carry.record import Later
from proxy.carry.sink import Sink
from proxy.outcomes import ErrorType
from proxy.routing.calls import Work
from proxy.routing.plan import Dispatch
from proxy.wire.refusal import Refusal
from translators.model import Platform, Route
from translators.runtime.steps import Call, Download, Incoming, Program, Reply, Result, Step


class Orchestrator(Protocol):
    """Runs programs that make several steps, and calls that a client asks about later (`async` routes)."""

    def takes(self, platform: Platform, route: Route, incoming: Incoming) -> bool:
        """Whether the request begins or concerns such a call; asked only on routes where it may. Raises RuleRefusal."""

    async def serve(self, host: "Host") -> Result:
        """The answer to a request that `takes` has taken. Raises Refusal, RuleRefusal."""

    async def run(self, program: Program, first_step: Step, host: "Host") -> Result:
        """Do what the program asks for, until it ends. Raises Refusal, RuleRefusal, and what the program raises."""

    async def download(self, download: Download, host: "Host", sink: Sink) -> None:
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

    async def download(self, download: Download, host: "Host", sink: Sink) -> None:  # noqa: ARG002
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
