"""The words between a route at work and whoever runs it: the proxy, `check`, `explain`, the sandbox.

A route at work is a generator, a `Program`. It yields what it needs from the world (a `Call`, a `Fetch`, a `Pause`), is sent what
came of it (a `Reply`, a `Fetched`, None), and returns what the client gets (an `Answer`, a `Pass`, a `Download`). It owns no socket
and no clock, so the same code runs in the proxy and in a test. A program that returns a `Pass` without having yielded is one
upstream call: the proxy runs it on its fast path. Where a rule or the input does not allow an exchange, it raises `RuleRefusal`.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Headers = tuple[tuple[str, str], ...]


class RuleRefusal(Exception):  # noqa: N818 - as in the proxy, a refusal is an answer and no failure of the program
    """The exchange ends here with a local answer in the client's protocol: HTTP status, a code for programs, a text for people."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.fields: Headers = ()  # of the answer
        self.said = b""  # of a stream: what still goes out before it ends here
        self.words = b""  # of a stream that has begun: what tells the client of this, behind `said`


@dataclass(frozen=True, slots=True)
class Incoming:
    """A client's request, its body whole. Names of headers are lower case; a repeated query parameter is a list.

    `path` holds the variables of the route, percent-decoded. `now` gives Unix seconds, `new_id` a random id: the only two things
    of the world that an expression can ask for.
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str | list[str]]
    headers: Mapping[str, str]
    body: bytes
    model: str | None  # as the platform calls it
    public_model: str | None  # as the client calls it
    now: Callable[[], float]
    new_id: Callable[[], str]
    prefix: bool = True  # whether the client named the platform in the path
    # Path and query as they came, without the platform's name: what goes on where the rule says nothing else; None: it is made.
    target: str | None = None
    stream: bool | None = None  # of a translated request: whether it asks for a stream, as `stream` in expressions
    credentials: frozenset[str] = frozenset()  # in which headers (`?key`: which parameter) the client's credential came


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the platform. `target` is path and query, percent-encoded, without the platform's base path.

    `headers` come from the rule and replace the client's of the same name. `forward` tells whether the client's own headers go
    along (the client's call does, a poll of ours does not). `body` None means: no body; `content_type` is its type.
    """

    method: str
    target: str
    headers: Headers = ()
    body: "bytes | Pieces | None" = None
    content_type: str | None = None
    forward: bool = True
    model: str | None = None  # for `${model}` in the platform's headers
    without: tuple[str, ...] = ()  # of the client's headers those that do not go along, in lower case


class Pieces(Protocol):
    """A body that was not copied together: the received chunks with a few bytes changed."""

    def __len__(self) -> int: ...
    def parts(self) -> "Generator[bytes | memoryview, None, None]": ...


@dataclass(frozen=True, slots=True)
class Fetch:
    """A URL that came from the client or from the platform, to be read under the rule's `fetch` policy (group R)."""

    url: str


@dataclass(frozen=True, slots=True)
class Fetched:
    data: bytes
    media_type: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this many seconds. `task_id`: the task that is waited for, so that a host whose client leaves can end it."""

    seconds: float
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An upstream answer, whole. Names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """Something no client hears of and an operator should: `kind` from a short closed list (a metric's label), `text` for a log.

    Kinds: `unknown_task_status` (the platform said a word that the rule's `states` do not name), `field_dropped` (a translated
    request lost fields that the platform's protocol cannot say).
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets. Headers of the upstream answer go along, but for framing, coding and type; `headers` replace them."""

    status: int
    body: bytes
    content_type: str | None
    headers: Headers = ()
    local: bool = False  # said by the proxy itself: no upstream answer stands behind it
    notes: tuple[Note, ...] = ()


class StreamMap(Protocol):
    """Maps an answer that comes in pieces: bytes in, bytes out, at once. Bytes that no rule names go out as they came."""

    content_type: str | None  # of what goes out; None: as it came
    headers: Headers  # of the answer; each replaces the upstream's
    notes: "tuple[Note, ...]"

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """At a regular end of the upstream's body; never adds an end that the stream did not have."""

    def boundary(self) -> bool:
        """Whether what went out so far ends between two events, and another may follow."""

    def last_words(self, status: int, code: str, message: str) -> bytes:
        """The event that tells a client of the failure by which the stream ends; empty where it has none."""

    def instead(self) -> Answer | None:
        """The answer to a call whose stream has failed before anything of it went out; None: the refusal says it."""


class Conversion(Protocol):
    """What is done with the answer of a `Pass`."""

    def stream(self, status: int, headers: Mapping[str, str]) -> StreamMap | None:
        """A map for an answer whose head says that it streams; None: it is read whole."""

    def whole(self, reply: Reply) -> Answer | None:
        """The client's answer; None: the upstream's goes through as it is. Raises RuleRefusal."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Send this call; its answer is the client's, carried when `convert` is None."""

    call: Call
    convert: Conversion | None = None


RANGE_HEADERS = ("range", "if-range")  # of the client, that go with the request of a download


@dataclass(frozen=True, slots=True)
class Download:
    """The client gets the bytes behind a URL, or of a call, as they come: status, ranges and length kept.

    `headers` go with the request for a URL; they belong to its origin and are not sent on when a redirect leaves it.
    `again` gives a fresh source when the first is gone (403, 404, 410), once.
    """

    source: "str | Call"
    headers: Headers = ()
    content_type: str | None = None  # where the origin tells none, or application/octet-stream
    again: "Callable[[], Program] | None" = field(default=None)
    notes: tuple[Note, ...] = ()


Step = Call | Fetch | Pause
Result = Answer | Pass | Download
Program = Generator[Step, "Reply | Fetched | None", Result]
