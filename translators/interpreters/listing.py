"""Lists of models in the words of each protocol: which one a client wants, what is said of one's own, what is said anew.

Facts that a platform does not tell are not made up: they are left out (`created` of chat, `created_at` of messages); the official
clients read such lists. Sources: "Models" of the three sheets.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from translators.interpreters.base import BadAnswerError, JsonObject
from translators.model import Protocol

PREFIX: Final = "models/"  # before every name of generate
_OF_GENERATE: Final = frozenset(("x-goog-api-key", "x-goog-api-client"))
_GENERATE_PATHS: Final = "/v1beta/models"
PATHS: Final = ("/v1/models", _GENERATE_PATHS)
# By which parameters a page is asked for: how long, and from where on. Lists of chat have one page.
_PAGING: Final[Mapping[Protocol, tuple[str, str]]] = {
    Protocol.GENERATE: ("pageSize", "pageToken"),
    Protocol.MESSAGES: ("limit", "after_id"),
}
PAGING: Final = frozenset({"before_id", *(name for names in _PAGING.values() for name in names)})


class Listed(NamedTuple):
    """One model. `created` in Unix seconds; limits in tokens; None: not known."""

    id: str
    owner: str | None = None
    title: str | None = None
    created: int | None = None
    most_input: int | None = None
    most_output: int | None = None


def client_of(path: str, headers: Collection[str], query: Collection[str]) -> Protocol:
    """The protocol in which a client wants the list, from its path, the names of its headers in lower case, and its parameters."""
    if path.startswith(_GENERATE_PATHS) or "key" in query or not _OF_GENERATE.isdisjoint(headers):
        return Protocol.GENERATE
    return Protocol.MESSAGES if "anthropic-version" in headers or "x-api-key" in headers else Protocol.CHAT


def page(client: Protocol, platform: Protocol, query: Mapping[str, str | list[str]]) -> list[tuple[str, str]]:
    """The page that a client asks for, in the platform's parameters; none where one of the two knows no pages."""
    asked = [query.get(name) for name in _PAGING.get(client, ())]
    return [
        (name, quote(value, safe=""))
        for name, value in zip(_PAGING.get(platform, ()), asked, strict=False)
        if isinstance(value, str) and value
    ]


# --- saying ---


def one(client: Protocol, model: Listed) -> JsonObject:
    """One model."""
    if client is Protocol.GENERATE:
        said = {
            "name": PREFIX + model.id, "displayName": model.title, "inputTokenLimit": model.most_input,
            "outputTokenLimit": model.most_output,
        }  # fmt: skip
    elif client is Protocol.MESSAGES:
        created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if model.created is not None else None
        said = {
            "type": "model", "id": model.id, "display_name": model.title or model.id, "created_at": created,
            "max_input_tokens": model.most_input, "max_tokens": model.most_output,
        }  # fmt: skip
    else:
        said = {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owner}
    return {name: value for name, value in said.items() if value is not None}


def several(client: Protocol, models: Iterable[Listed], *, more: bool = False, token: str | None = None) -> JsonObject:
    """A list of models, all in one page; `more` and `token`: the platform has told of another, and from where on it is."""
    said = [one(client, model) for model in models]
    if client is Protocol.GENERATE:
        return {"models": said, **({"nextPageToken": token} if token is not None else {})}
    if client is Protocol.MESSAGES:
        # A client gives `last_id` back to get the next page.
        ends = {"first_id": said[0]["id"] if said else None, "last_id": (token or said[-1]["id"]) if said else None}
        return {"data": said, "has_more": more, **ends}
    return {"object": "list", "data": said}


# --- reading ---


def said_anew(platform: Protocol, client: Protocol, said: Any) -> JsonObject:
    """A platform's answer, a list or one model, for the client. Raises BadAnswerError."""
    if not isinstance(said, dict):
        raise BadAnswerError("the list of models is no JSON object")
    listed = said.get("models" if platform is Protocol.GENERATE else "data")
    if listed is None:
        return one(client, _read(platform, said))
    if not isinstance(listed, list):
        raise BadAnswerError("the list of models is no list")
    more = said.get("has_more") is True
    token = said.get("nextPageToken") or (said.get("last_id") if more else None)
    token = token if isinstance(token, str) else None
    models = [_read(platform, item) for item in listed]
    return several(client, models, more=more or token is not None, token=token)


def _read(platform: Protocol, said: Any) -> Listed:
    key = "name" if platform is Protocol.GENERATE else "id"
    name = said.get(key) if isinstance(said, dict) else None
    if not isinstance(name, str):
        raise BadAnswerError(f"a model of the list has no `{key}`")
    if platform is Protocol.GENERATE:
        limits = (_count(said.get("inputTokenLimit")), _count(said.get("outputTokenLimit")))
        return Listed(name.removeprefix(PREFIX), None, _text(said.get("displayName")), None, *limits)
    if platform is Protocol.MESSAGES:
        limits = (_count(said.get("max_input_tokens")), _count(said.get("max_tokens")))
        return Listed(name, None, _text(said.get("display_name")), _seconds(said.get("created_at")), *limits)
    return Listed(name, _text(said.get("owned_by")), None, _count(said.get("created")))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 36 else None


def _seconds(value: Any) -> int | None:
    """Unix seconds of an RFC 3339 time."""
    try:
        return int(datetime.fromisoformat(value).timestamp()) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
