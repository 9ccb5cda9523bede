"""An exchange without sockets: calls are answered from a list, URLs are noted."""

import asyncio
from pathlib import Path

from proxy.fetch.fetcher import Fetched as Found
from proxy.fetch.targets import FetchError, FetchPolicy
from proxy.outcomes import ErrorType, Outcome
from proxy.wire.refusal import Refusal
from tests.orchestrate.stage import RULE
from translators.load import load
from translators.runtime.request import prepare
from translators.runtime.steps import Call, Incoming, Reply


class InTest:
    """A host whose calls are answered from a list; an exception in it is raised, None never comes."""

    def __init__(
        self,
        directory: Path,
        *replies: Reply | Refusal | None,
        abort: str = "cancel",
        path: str = "/v1/videos",
        upstream: str = "http://platform.test",
    ) -> None:
        file = directory / "test.yaml"
        file.write_text(RULE.format(upstream=upstream, abort=abort, patience="5s"))
        self.platform = load((directory,)).platforms["test"]
        self.upstream = self.platform.upstream
        self.route = next(route for route in self.platform.routes if route.id == f"POST {path}")
        self.prepared = prepare(self.platform, self.route)
        self.incoming = Incoming("POST", {}, {}, {}, b"{}", "m1", "m1", lambda: 1760000000.0, lambda: "0" * 32)
        self.calls: list[Call] = []
        self.logged: list[tuple[int, Outcome, ErrorType | None, str, int]] = []
        self._replies = list(replies)

    def ended(self, status: int, outcome: Outcome, error: ErrorType | None, how: str, size: int) -> None:
        self.logged.append((status, outcome, error, how, size))

    async def call(self, call: Call) -> Reply:
        self.calls.append(call)
        reply = self._replies.pop(0)
        if isinstance(reply, Refusal):
            raise reply
        if reply is None:
            await asyncio.Event().wait()
        assert reply is not None
        return reply


class Reader:
    """A fetching client that notes what it was asked for and under which policy."""

    def __init__(self, error: FetchError | None = None) -> None:
        self.asked: list[tuple[str, FetchPolicy]] = []
        self._error = error

    async def fetch(self, url: str, policy: FetchPolicy) -> Found:
        self.asked.append((url, policy))
        if self._error is not None:
            raise self._error
        return Found(b"data", "image/png", url)
