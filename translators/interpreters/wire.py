"""How the protocols stand on the wire: paths, what a client's request says outside its body, and how events are printed.

Pure bytes and values. What a message means is the business of the pairs; which headers of a client concern its own protocol alone
is said here, in one place.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from translators.formats.strict_json import dumps
from translators.interpreters.base import DONE, Ask, Event
from translators.model import Protocol, Spoken

_GENERATE: Final = ":generateContent"
_STREAM: Final = ":streamGenerateContent"
_COUNT: Final = ":countTokens"

# The routes that a client of a protocol asks for, all by POST.
CLIENT_PATHS: Final[Mapping[Spoken, tuple[str, ...]]] = {
    Spoken.CHAT: ("/v1/chat/completions",),
    Spoken.COMPLETIONS: ("/v1/completions",),
    Spoken.RESPONSES: ("/v1/responses",),
    Spoken.MESSAGES: ("/v1/messages",),
    Spoken.GENERATE: tuple(f"/{v}/models/{{model}}{action}" for v in ("v1beta", "v1") for action in (_GENERATE, _STREAM)),
}
# And where it counts tokens first.
COUNTING_PATHS: Final[Mapping[Spoken, tuple[str, ...]]] = {
    Spoken.MESSAGES: ("/v1/messages/count_tokens",),
    Spoken.GENERATE: tuple(f"/{version}/models/{{model}}{_COUNT}" for version in ("v1beta", "v1")),
}
_PLATFORM_PATHS: Final = {
    Protocol.CHAT: "/v1/chat/completions",
    Protocol.RESPONSES: "/v1/responses",
    Protocol.MESSAGES: "/v1/messages",
}


def spellings(path: str) -> tuple[str, ...]:
    """A client's path in the ways in which clients write it: some, and some routers, quote the colon before the action."""
    return (path, path.replace("}:", "}%3A")) if "}:" in path else (path,)


def platform_paths(platform: Protocol, model: str) -> tuple[str, str]:
    """The path of a call to a platform of this protocol: of a plain one, and of one that streams."""
    path = _PLATFORM_PATHS.get(platform)
    if path is not None:
        return path, path
    start = "/v1beta/models/" + quote(model.removeprefix("models/"), safe="")
    return start + _GENERATE, start + _STREAM


def counting_path(platform: Protocol, model: str) -> str | None:
    """The path of a call that counts tokens; None where the protocol has none."""
    if platform is Protocol.GENERATE:
        return "/v1beta/models/" + quote(model.removeprefix("models/"), safe="") + _COUNT
    return COUNTING_PATHS[Spoken.MESSAGES][0] if platform is Protocol.MESSAGES else None


def platform_query(platform: Protocol, *, stream: bool) -> str:
    """What must stand in the query of a call besides; empty: nothing."""
    return "alt=sse" if stream and platform is Protocol.GENERATE else ""


def asked(client: Spoken, body: dict[str, Any], model: str | None, target: str) -> Ask | None:
    """What a client's request asks for; None when it names no model. `target` is its path and query."""
    if client is Spoken.GENERATE:
        stream = target.partition("?")[0].endswith(_STREAM[1:])
    else:
        stream = body.get("stream") is True
    name = model if model is not None else body.get("model")
    return Ask(body, name, stream) if isinstance(name, str) and name else None


# --- what concerns the client's own protocol alone ---

_SDK: Final = ("x-stainless-",)  # what the official SDKs of two protocols tell of themselves
_OWN_HEADERS: Final[Mapping[Protocol, tuple[str, ...]]] = {  # beginnings of names
    Protocol.CHAT: ("openai-", "x-codex-", "chatgpt-account-id", *_SDK),
    Protocol.RESPONSES: ("openai-", "x-codex-", "chatgpt-account-id", *_SDK),
    Protocol.MESSAGES: ("anthropic-", *_SDK),
    Protocol.GENERATE: ("x-goog-", "x-server-timeout", "x-gemini-"),
}
_OWN_PARAMETERS: Final[Mapping[Protocol, frozenset[str]]] = {
    Protocol.CHAT: frozenset(),
    Protocol.RESPONSES: frozenset(),
    Protocol.MESSAGES: frozenset({"beta"}),
    Protocol.GENERATE: frozenset({"alt", "$alt", "key", "prettyPrint", "$prettyPrint"}),
}


def own_headers(client: Protocol, names: Iterable[str]) -> tuple[str, ...]:
    """Of header names in lower case those that say something to a platform of the client's own protocol only."""
    starts = _OWN_HEADERS[client]
    return tuple(name for name in names if name.startswith(starts))


def own_parameters(client: Protocol) -> frozenset[str]:
    """The same for parameters of the query."""
    return _OWN_PARAMETERS[client]


# --- events ---


def printed(data: Any) -> bytes:
    """JSON of an answer or of an event's data. Numbers that were kept as text stand as they were written."""
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:
        return dumps(data)


def _plain(events: list[Event]) -> bytes:
    """`data: ...`, and the closing word as it is."""
    out = b""
    for _, data in events:
        out += b"data: " + (printed(data) if data is not DONE and data != DONE else b"[DONE]") + b"\n\n"
    return out


def _named(events: list[Event]) -> bytes:
    out = b""
    for name, data in events:
        out += b"event: %b\ndata: %b\n\n" % ((name or "message").encode(), printed(data))
    return out


def _with_line_feeds(events: list[Event]) -> bytes:
    """As the servers of generate write it: CRLF, no names, no closing word."""
    out = b""
    for _, data in events:
        out += b"data: " + printed(data) + b"\r\n\r\n"
    return out


Printer = Callable[[list[Event]], bytes]
EVENTS: Final = "text/event-stream"
_PRINTERS: Final[Mapping[Protocol, Printer]] = {
    Protocol.CHAT: _plain,
    Protocol.RESPONSES: _named,
    Protocol.MESSAGES: _named,
    Protocol.GENERATE: _with_line_feeds,
}


class Events:
    """A stream of server-sent events, as clients of a protocol want them."""

    __slots__ = ("content_type", "put")

    def __init__(self, client: Protocol) -> None:
        self.content_type = EVENTS
        self.put: Printer = _PRINTERS[client]

    def end(self) -> bytes:
        return b""


class JsonArray:
    """A stream of generate without `alt=sse`: one JSON array, written element by element, closed at a regular end only."""

    __slots__ = ("_begun", "content_type")

    def __init__(self) -> None:
        self.content_type = "application/json"
        self._begun = False

    def put(self, events: list[Event]) -> bytes:
        out = b""
        for _, data in events:
            out += (b",\n" if self._begun else b"[") + printed(data)
            self._begun = True
        return out

    def end(self) -> bytes:
        return b"]" if self._begun else b"[]"


def printer(client: Protocol, target: str) -> Events | JsonArray:
    """What prints the events of a stream for the client that asked for `target`."""
    if client is not Protocol.GENERATE:
        return Events(client)
    query = target.partition("?")[2].split("&")
    return Events(client) if "alt=sse" in query or "$alt=sse" in query else JsonArray()
