"""What every protocol pair is: one interface, the values that go through it, and the composition of two pairs.

An interpreter serves one exchange. It is told the client's request and gives the platform's, then it is told the platform's answer,
whole or event by event, and gives the client's. It owns no socket, no clock and no bytes: values in, values out, at once; framing
(`data: ...` lines, chunks, paths) is the business of `wire`. Chat is the hub: a pair that is not coded is two that are, and what
only travels through (signatures of thoughts, say) is kept in extension members of chat that the official clients keep, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from translators.model import Protocol

JsonObject = dict[str, Any]

DONE: Final = "[DONE]"  # the data of the event that ends a chat stream


class Event(NamedTuple):
    """One event of a stream: the `event:` name where the protocol has names, and the parsed data (DONE: chat's closing word)."""

    name: str | None
    data: JsonObject | str


@dataclass(slots=True)
class Ask:
    """A request in one protocol: its JSON body as on the wire, and what `generate` says in the path and others in the body.

    `model` and `stream` are what counts; an interpreter writes them into the body it makes where the protocol has them there.
    """

    body: JsonObject
    model: str
    stream: bool


class Media(NamedTuple):
    """A picture, sound or document that was read from a URL for a platform that reads none itself."""

    data: bytes
    media_type: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure in the hub's words: HTTP `status`, and `kind`, `code` and `param` as a chat error has them.

    `retry_after`: seconds, where the body told them.
    """

    status: int
    message: str
    kind: str
    code: str | None = None
    param: str | None = None
    retry_after: int | None = None


class UntranslatableError(Exception):
    """The client's request says something that the platform's protocol cannot; `path` is where (`messages[2].content[0]`)."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class FailedError(Exception):
    """The platform's answer is a failure although its status said otherwise (a blocked prompt, an error under 200)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class BadAnswerError(Exception):
    """The platform's answer is not of its protocol at all; the text says what was expected. Becomes a 502."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a rule file says of the platform's side (`with` and `unsupported`). Each interpreter reads what concerns it."""

    unsupported: Literal["refuse", "drop"] = "refuse"
    max_tokens: int = 4096  # messages: the limit where the client names none, since the platform demands one
    # messages: `adaptive` or `budget`; generate: `level` or `budget`; `off`: the model does not think
    thinking: Literal["adaptive", "budget", "level", "off"] = "budget"
    sampling: bool = True  # messages: temperature, top_p and top_k are taken
    system_turns: bool = False  # messages: a system message may stand between the turns
    urls: Literal["pass", "inline"] = "pass"  # inline: URLs of media are read here and sent as data
    reasoning_history: bool = False  # chat: earlier `reasoning_content` goes back to the platform
    schema: Literal["full", "subset"] = "full"  # generate: JSON Schema of tools as it is, or in the platform's subset
    foreign_signature: str | None = None  # generate: what stands for the signature of a call that another platform made


@dataclass(frozen=True, slots=True)
class World:
    """The two things of the world that an interpreter can ask for: Unix seconds, and a random id (letters and digits)."""

    now: Callable[[], float]
    new_id: Callable[[], str]


class Interpreter(ABC):
    """One exchange between a client that speaks one protocol and a platform that speaks another.

    `dropped`: paths of the client's fields that were left out (under `unsupported: drop`), complete once `request` has returned.
    """

    client: Protocol
    platform: Protocol

    def __init__(self, settings: Settings, world: World) -> None:
        self.settings = settings
        self.world = world
        self.dropped: list[str] = []

    def urls(self, ask: Ask) -> Iterable[str]:  # noqa: ARG002 - most pairs have none
        """URLs of media in the client's request that the platform gets as data; asked only under `urls: inline`."""
        return ()

    @abstractmethod
    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        """The platform's request. The client's is not changed. `media`: what the `urls` held. Raises UntranslatableError."""

    @abstractmethod
    def answer(self, said: JsonObject) -> JsonObject:
        """The client's whole answer, from the platform's (status 2xx). Raises FailedError, BadAnswerError."""

    @abstractmethod
    def event(self, event: Event) -> list[Event]:
        """What goes out for one event that came. Raises BadAnswerError; FailedError only where nothing has gone out yet."""

    @abstractmethod
    def end(self) -> list[Event]:
        """The platform's stream has ended regularly. An end that it did not say is never made up: where one was due, an error event
        in the client's protocol says so. Only what was held back because more might have come goes out."""

    def failed(self, failure: Failure) -> list[Event]:  # noqa: ARG002 - readers of most protocols need nothing before an error event
        """What tells of a failure before anything else has gone out; empty: the error event of the client's protocol, alone."""
        return []

    def origin(self, path: str) -> str:
        """Where the client said what stands at this path of the request that `request` gave."""
        return path

    def leave_out(self, path: str, reason: str) -> None:
        """A field that the platform's protocol cannot say, and without which the request still means the same conversation."""
        if self.settings.unsupported == "refuse":
            raise UntranslatableError(path, reason)
        if path not in self.dropped:
            self.dropped.append(path)


class Composed(Interpreter):
    """Two pairs with the hub between them: `near` is the client's, `far` the platform's."""

    def __init__(self, near: Interpreter, far: Interpreter) -> None:
        super().__init__(near.settings, near.world)
        self.client, self.platform = near.client, far.platform
        self.near = near
        self.far = far

    def urls(self, ask: Ask) -> Iterable[str]:
        return self.far.urls(self.near.request(ask, {}))

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        near, far = self.near, self.far
        hub = near.request(ask, media)
        try:
            out = far.request(hub, media)
        except UntranslatableError as error:
            raise UntranslatableError(near.origin(error.path), error.reason) from None
        self.dropped = [*near.dropped, *(near.origin(path) for path in far.dropped)]
        return out

    def answer(self, said: JsonObject) -> JsonObject:
        return self.near.answer(self.far.answer(said))

    def event(self, event: Event) -> list[Event]:
        return [out for hub in self.far.event(event) for out in self.near.event(hub)]

    def failed(self, failure: Failure) -> list[Event]:
        return self.near.failed(failure)

    def end(self) -> list[Event]:
        return [out for hub in self.far.end() for out in self.near.event(hub)] + self.near.end()
