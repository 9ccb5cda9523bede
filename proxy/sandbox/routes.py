"""Which operation of the conversations a method and a path mean. Only the tail of a path counts: any base path may stand before."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from proxy.sandbox import chat, completions, generate, messages, responses
from proxy.sandbox.dialect import Dialect
from proxy.sandbox.replies import Context, Json, RefusalError, Reply

Operation = Callable[[Json, Context], Reply]

_TAILS: tuple[tuple[str, Dialect, Operation], ...] = (
    ("/chat/completions", Dialect.CHAT, chat.reply),
    ("/completions", Dialect.CHAT, completions.reply),
    ("/responses", Dialect.CHAT, responses.reply),
    ("/responses/input_tokens", Dialect.CHAT, responses.count),
    ("/messages", Dialect.MESSAGES, messages.reply),
    ("/messages/count_tokens", Dialect.MESSAGES, messages.count),
)
_METHODS: dict[str, Callable[[Json, Context, str], Reply]] = {
    "generateContent": generate.reply,
    "countTokens": generate.count,
}
_TWICE = re.compile(r"/(v\d[a-z]*)/\1/")
_GENERATE = re.compile(r"/models/([^/]+)(?::|%3[Aa])(generateContent|streamGenerateContent|countTokens)$")


@dataclass(frozen=True, slots=True)
class Route:
    """What a path means: the operation and its dialect."""

    dialect: Dialect
    operation: Operation


def find(path: str, method: str, query: Mapping[str, str]) -> Route:
    """The route of a raw (still percent-encoded) path.

    Raises:
        RefusalError: 404 for an unknown path, 405 for a known one with another method than POST.
    """
    known = [entry for entry in _TAILS if path.endswith(entry[0])]
    found = _GENERATE.search(path)
    if not known and found is None:
        raise RefusalError(404, f"Invalid URL ({method} {path[:200]}): the sandbox serves no such path.")
    if twice := _TWICE.search(path):
        raise RefusalError(
            404,
            f"Invalid URL ({method} {path[:200]}): /{twice[1]} stands there twice. Leave it out of the base URL: the SDK adds it.",
        )
    if method != "POST":
        raise RefusalError(405, f"{path[:200]} takes POST, not {method}.")
    if found is None:
        _, dialect, operation = max(known, key=lambda entry: len(entry[0]))
        return Route(dialect, operation)
    model = unquote(found[1])
    if found[2] == "streamGenerateContent":
        return Route(Dialect.GENERATE, partial(_streamed, model=model, sse=query.get("alt") == "sse"))
    return Route(Dialect.GENERATE, partial(_with_model, operation=_METHODS[found[2]], model=model))


def converses(method: str, path: str) -> bool:
    """Whether it is a conversation: an answer that depends on all that was asked."""
    return method == "POST" and (path.endswith(tuple(entry[0] for entry in _TAILS)) or _GENERATE.search(path) is not None)


def _with_model(body: Json, context: Context, *, operation: Callable[[Json, Context, str], Reply], model: str) -> Reply:
    return operation(body, context, model)


def _streamed(body: Json, context: Context, *, model: str, sse: bool) -> Reply:
    return generate.stream(body, context, model, sse=sse)
