"""`?async=true` on a platform that answers synchronously: the pure parts. The host runs the call and keeps what came of it.

The host asks `wanted`, answers with `running`, runs the route's program on its own, keeps the client's answer as `Stored` under the
id, and says polls with `task` and downloads with `content`. Which store, and for how long, is the host's affair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translators.formats.media import media_type_of
from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.model import Platform, Route
from translators.runtime import ids
from translators.runtime.bodies import read_body
from translators.runtime.branches import asynchronous
from translators.runtime.content import octets
from translators.runtime.failures import JSON
from translators.runtime.steps import Answer, Download, Incoming, RuleRefusal
from translators.runtime.target import refused
from translators.runtime.tasks import unknown_task

_OCTETS = "application/octet-stream"
_FIXED = frozenset(("id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "error", "created"))


@dataclass(frozen=True, slots=True)
class Stored:
    """What the client of a synchronous call would have got, and when (Unix seconds)."""

    status: int
    content_type: str | None
    body: bytes
    completed_at: int


def wanted(route: Route, incoming: Incoming) -> bool:
    """Whether the client asks for a task on a route that has `async`. Raises RuleRefusal for a body that cannot be read."""
    if route.handling is None or route.handling.deferred is None:
        return False
    if "async" in incoming.query:
        return asynchronous(incoming, None) is True
    if b"async" not in incoming.body:
        return False
    return asynchronous(incoming, read_body(incoming.body, incoming.headers.get("content-type", ""), comments=True).value) is True


def begin(platform: Platform, route: Route, incoming: Incoming) -> ids.Identity:
    """A new task; `ids.encode` gives its id."""
    assert route.handling is not None  # `wanted` looked
    kind = route.handling.deferred or "image"
    return ids.Identity(
        kind, platform.name, "", "", incoming.new_id(), incoming.public_model or incoming.model, int(incoming.now())
    )


def identify(platform: Platform, text: str) -> ids.Identity | None:
    """The deferred call that an id means, None when it is the id of a platform's own task. Raises RuleRefusal (404)."""
    try:
        identity = ids.decode(text)
    except ids.BadIdError as error:
        raise unknown_task(str(error)) from None
    if identity.platform != platform.name:
        raise unknown_task("it belongs to another platform")
    return identity if not identity.task else None


def running(identity: ids.Identity, *, begun: bool = True) -> Answer:
    """The task object while the call runs (or, not `begun`, waits for its turn)."""
    return _answer(_object(identity, "in_progress" if begun else "queued", 50 if begun else 0))


def task(identity: ids.Identity, stored: Stored, *, detail: bool = False) -> Answer:
    """The task object of a call that has ended: `completed` with the members of its answer, or `failed` with its error."""
    value = _json(stored)
    out = _object(identity, "completed" if stored.status < 400 else "failed", 100)
    out["completed_at"] = stored.completed_at
    if stored.status >= 400:
        out["error"] = _error(stored, value)
    elif isinstance(value, dict):
        out |= {key: member for key, member in value.items() if key not in _FIXED}
    if detail:
        out["detail"] = value
    return _answer(out)


def content(identity: ids.Identity, stored: Stored | None, incoming: Incoming) -> Answer | Download:
    """The bytes of the finished work. Raises RuleRefusal (400) while it runs, when it failed, or when there is no such one."""
    kind = identity.kind
    if stored is None:
        raise RuleRefusal(
            400, f"{kind}_not_ready", f"the {kind} is not ready: its task is in progress; ask for the task until it is"
        )
    value = _json(stored)
    if stored.status >= 400:
        error = _error(stored, value)
        raise RuleRefusal(400, error["code"], f"the {kind} task failed: {error['message']}")
    if not isinstance(value, dict):
        return Answer(200, stored.body, stored.content_type or media_type_of(stored.body) or _OCTETS, local=True)
    found = value.get("data")
    items = [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
    index = incoming.query.get("index", "0")
    if not isinstance(index, str) or not index.isdecimal() or len(index) > 3 or int(index) >= max(len(items), 1):
        raise refused(f"there is no such result: the task has {len(items)}, counted from 0", code="invalid_index", param="index")
    item = items[int(index)] if items else {}
    if isinstance(url := item.get("url"), str) and url.lower().startswith(("http://", "https://")):
        return Download(url)
    text = item.get("b64_json") or item.get("url")
    if not isinstance(text, str) or not text:
        raise RuleRefusal(404, "no_content", f"the answer of this {kind} holds nothing to download; ask for the task instead")
    data, media_type = octets(text)
    return Answer(200, data, media_type or media_type_of(data) or _OCTETS, local=True)


def lost(identity: ids.Identity, now: int) -> Stored:
    """What is kept for a call that ended without an answer (its process was stopped, say)."""
    body = dumps({"error": {"code": "interrupted", "message": f"the {identity.kind} call was interrupted; send it once more"}})
    return Stored(502, JSON, body, now)


def _object(identity: ids.Identity, status: str, progress: int) -> dict[str, Any]:
    return {
        "id": ids.encode(identity),
        "object": identity.kind,
        "model": identity.public_model,
        "status": status,
        "progress": progress,
        "created_at": identity.created_at,
        "completed_at": None,
        "expires_at": None,
        "error": None,
    }


def _answer(value: dict[str, Any]) -> Answer:
    return Answer(200, dumps(value), JSON, local=True)


def _json(stored: Stored) -> Any:
    if stored.content_type is not None and "json" not in stored.content_type.lower():
        return None
    try:
        return loads(stored.body)
    except BadJsonError:
        return None


def _error(stored: Stored, value: Any) -> dict[str, str]:
    error = value.get("error") if isinstance(value, dict) else None
    found: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    code, message = found.get("code") or found.get("type") or found.get("status"), found.get("message")
    text = message if isinstance(message, str) and message else stored.body[:500].decode("utf-8", "replace")
    return {
        "code": str(code) if code else "upstream_error",
        "message": text or f"the platform answered with status {stored.status}",
    }
