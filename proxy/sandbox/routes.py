"""Which operation a method and a path mean. Only the tail of a path counts, so any base path may stand before it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from proxy.sandbox import chat, completions, embeddings, generate, images, messages, models, responses
from proxy.sandbox.dialect import Dialect
from proxy.sandbox.replies import Context, Json, RefusalError, Reply

Operation = Callable[[Json, Context], Reply]

_TAILS: tuple[tuple[str, Dialect, Operation], ...] = (
    ("/chat/completions", Dialect.CHAT, chat.reply),
    ("/completions", Dialect.CHAT, completions.reply),
    ("/responses", Dialect.CHAT, responses.reply),
    ("/responses/input_tokens", Dialect.CHAT, responses.count),
    ("/embeddings", Dialect.CHAT, embeddings.reply),
    ("/images/generations", Dialect.CHAT, images.generate),
    ("/images/edits", Dialect.CHAT, images.edit),
    ("/images/variations", Dialect.CHAT, images.vary),
    ("/messages", Dialect.MESSAGES, messages.reply),
    ("/messages/count_tokens", Dialect.MESSAGES, messages.count),
)
_METHODS: dict[str, Callable[[Json, Context, str], Reply]] = {
    "generateContent": generate.reply,
    "countTokens": generate.count,
    "embedContent": generate.embed,
    "batchEmbedContents": generate.embed_batch,
}
_GENERATE = re.compile(r"/models/([^/]+)(?::|%3[Aa])([A-Za-z]+)$")
_MODEL = re.compile(r"/models/([^/]+)$")
_DRAWING = ("/embeddings", "/images/generations", "/images/edits", "/images/variations")


@dataclass(frozen=True, slots=True)
class Route:
    """What a path means: the operation, its dialect, and the method it wants. `operation` never sees a body on GET."""

    dialect: Dialect
    operation: Operation
    method: str = "POST"


def find(path: str, method: str, dialect: Dialect, query: Mapping[str, str]) -> Route:
    """The route of a raw (still percent-encoded) path; `dialect` is the guess for paths that protocols share.

    Raises:
        RefusalError: 404 for an unknown path, 405 for a known one with another method.
    """
    wanted = "GET" if method == "HEAD" else method
    route = _by_tail(path) or _by_model(path, wanted, dialect, query)
    if route is None:
        raise RefusalError(404, f"Invalid URL ({method} {path[:200]}): the sandbox serves no such path.")
    if route.method != wanted:
        raise RefusalError(405, f"{path[:200]} takes {route.method}, not {method}.")
    return route


def serves(path: str, method: str) -> bool:
    """Whether a path is one of those that stand here, with any method."""
    wanted = "GET" if method == "HEAD" else method
    return (_by_tail(path) or _by_model(path, wanted, Dialect.CHAT, {})) is not None


def converses(path: str) -> bool:
    """Whether it is a conversation, which no example can say: the answer depends on all that was asked."""
    return not path.endswith(_DRAWING) and (_by_tail(path) is not None or _GENERATE.search(path) is not None)


def _by_tail(path: str) -> Route | None:
    known = [entry for entry in _TAILS if path.endswith(entry[0])]
    if not known:
        return None
    _, dialect, operation = max(known, key=lambda entry: len(entry[0]))
    return Route(dialect, operation)


def _by_model(path: str, method: str, dialect: Dialect, query: Mapping[str, str]) -> Route | None:
    if path.endswith("/models"):
        return Route(dialect, _without_body(partial(models.listed, dialect)), "GET")
    if method == "POST" and (found := _GENERATE.search(path)):
        return _generate(unquote(found[1]), found[2], query)
    if found := _MODEL.search(path):
        return Route(dialect, _without_body(partial(models.single, dialect, unquote(found[1]))), "GET")
    return None


def _generate(model: str, name: str, query: Mapping[str, str]) -> Route | None:
    if name == "streamGenerateContent":
        return Route(Dialect.GENERATE, partial(_streamed, model=model, sse=query.get("alt") == "sse"))
    operation = _METHODS.get(name)
    return Route(Dialect.GENERATE, partial(_with_model, operation=operation, model=model)) if operation else None


def _with_model(body: Json, context: Context, *, operation: Callable[[Json, Context, str], Reply], model: str) -> Reply:
    return operation(body, context, model)


def _streamed(body: Json, context: Context, *, model: str, sse: bool) -> Reply:
    return generate.stream(body, context, model, sse=sse)


def _without_body(make: Callable[[], Reply]) -> Operation:
    return lambda _body, _context: make()
