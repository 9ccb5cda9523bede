"""What a protocol module hands to the server, and how it is framed: plain bodies, streams of events, refusals.

Everything here is data and pure functions; no module of a protocol writes bytes itself.
"""

import enum
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

Json = dict[str, Any]
"""One JSON object of a protocol. Its members are as varied as the protocols, hence `Any`."""


class Framing(enum.Enum):
    """How the events of a stream are put on the wire."""

    DATA = "data"  # `data:` line, LF LF: chat
    NAMED = "named"  # `event:` and `data:` lines, LF LF; the name is the event's `type`: responses, messages, images
    CRLF = "crlf"  # `data:` line, CRLF CRLF, nothing else ever: generate with alt=sse
    ARRAY = "array"  # one JSON array, written element by element: generate without alt=sse


@dataclass(frozen=True, slots=True)
class Plain:
    """A whole answer: a JSON object, or bytes with their own content type."""

    body: Json | bytes
    content_type: str = "application/json"

    def encode(self) -> bytes:
        """The body as it goes on the wire."""
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


@dataclass(frozen=True, slots=True)
class Stream:
    """Events in order. `done` ends the stream with the literal `data: [DONE]`, which only some protocols have."""

    events: Iterable[Json]
    framing: Framing
    done: bool = False

    @property
    def content_type(self) -> str:
        """The media type that belongs to the framing."""
        return "application/json" if self.framing is Framing.ARRAY else "text/event-stream"


Reply = Plain | Stream


class RefusalError(Exception):
    """The request is answered with an error, in the dialect of the path it came by.

    `param` names the member that is wrong and `code` is a short machine-readable word, where the dialect has a place for them.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Context:
    """What a pure protocol module needs from outside: the time (Unix seconds), the sandbox's own URL, and a source of ids."""

    now: int
    base: str
    source: random.Random

    def mint(self, prefix: str) -> str:
        """A new id such as `chatcmpl-3f0c...`; reproducible when the sandbox has a seed."""
        return f"{prefix}{self.source.getrandbits(96):024x}"


def frames(stream: Stream) -> Iterator[bytes]:
    """The wire bytes of a stream, one element per event (and one for the ending, where there is one)."""
    if stream.framing is Framing.ARRAY:
        opening = b"["
        for event in stream.events:
            yield opening + orjson.dumps(event)
            opening = b",\r\n"
        yield b"]" if opening == b",\r\n" else b"[]"
        return
    ending = b"\r\n\r\n" if stream.framing is Framing.CRLF else b"\n\n"
    for event in stream.events:
        name = b"event: %b\n" % str(event["type"]).encode() if stream.framing is Framing.NAMED else b""
        yield name + b"data: " + orjson.dumps(event) + ending
    if stream.done:
        yield b"data: [DONE]" + ending


SIGNATURE = "c2FuZGJveA=="
"""What stands for the encrypted thoughts of a model: `sandbox` in base64."""
