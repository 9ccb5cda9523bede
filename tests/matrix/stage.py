"""A gateway with the sandbox behind it that notes which paths the upstream was asked for: who spoke which protocol to whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.sdk.host import Host, running

JOB = "X-Matrix-Job"  # the request header that says for what something is asked


@dataclass(frozen=True, slots=True)
class Stage:
    """A running gateway, and the paths that its upstream was asked for, in order, each with the job in whose name."""

    host: Host
    asked: list[tuple[str | None, str]] = field(default_factory=list)

    def paths(self, job: str | None = None) -> list[str]:
        return [path for name, path in self.asked if name == job]


@contextmanager
def staged(*rules: Path) -> Iterator[Stage]:
    """A gateway with the shipped rules and these."""
    with running(rules=rules) as host:
        stage = Stage(host)
        answer = host.sandbox._exchange

        async def noted(request: web.Request) -> web.StreamResponse:
            stage.asked.append((request.headers.get(JOB), request.path))
            return await answer(request)

        host.sandbox._exchange = noted  # type: ignore[method-assign]
        yield stage
