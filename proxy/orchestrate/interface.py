"""What this room needs of the exchange it works for. No logic.

The engine's side makes a `Host` for each exchange and, for a file behind a URL, a `Sink` towards the client. A host must not hold
on to the client's connection: a deferred call uses it long after the exchange has ended.

A download whose source is a call goes over the pool, on the engine's side; so it is the engine that sends the client's `Range` and
`If-Range` with such a call (`steps.RANGE_HEADERS`), and asks `redirected` where an answer sends on to.
"""

from collections.abc import Callable
from typing import Protocol

from proxy.outcomes import ErrorType, Outcome
from translators.model import Platform, Route, Upstream
from translators.runtime.request import Prepared
from translators.runtime.steps import Call, Headers, Incoming, Reply


class Host(Protocol):
    """One exchange, as a program that runs beside it needs it. Fetches and pauses are this room's own."""

    @property
    def platform(self) -> Platform: ...
    @property
    def route(self) -> Route | None: ...
    @property
    def prepared(self) -> Prepared | None:
        """The route, compiled; there whenever a program runs."""

    @property
    def upstream(self) -> Upstream:
        """Where the platform really is: the settings may have replaced the rule's."""

    @property
    def incoming(self) -> Incoming:
        """The client's request."""

    async def call(self, call: Call) -> Reply:
        """Make the call over the pool and read its whole answer, within the limit for held bodies. Raises Refusal.

        When the awaiting task is cancelled, the upstream request is aborted.
        """

    @property
    def ended(self) -> Callable[[int, Outcome, ErrorType | None, str, int], None]:
        """Writes into the access log how a deferred call ended: the status of its answer, the outcome of an exchange that had ended
        so, what went wrong, the call's own outcome, bytes of the answer."""


class Sink(Protocol):
    """The client's side of a download. `head` comes first and once, then `write`, then one of `end` and `cut`.

    Before `head`, a Refusal is the better end. For a HEAD request nothing is written: `end` comes right behind `head`.
    """

    def head(self, status: int, fields: Headers) -> None:
        """`fields` go out as they are; a `Content-Length` among them is kept to."""

    def write(self, data: bytes) -> None: ...

    async def drained(self) -> None:
        """Returns when the client takes more (rule F04); at once as long as it does."""

    def end(self) -> None:
        """The body was written whole."""

    def cut(self) -> None:
        """The body broke off: the client must see that (rules I05, I06)."""
