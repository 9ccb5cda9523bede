"""The three dialects in which errors and heads are written: chat (with its satellites), messages, generate.

Header names and type URLs that the protocols fix stand here and nowhere else in the sandbox, whoever's name is in them.
"""

import enum
from collections.abc import Mapping
from datetime import UTC, datetime

from proxy.sandbox.replies import Json, RefusalError

MESSAGES_VERSION = "anthropic-version"
GENERATE_KEY = "x-goog-api-key"
RETRY_AFTER = 1  # seconds
_RATE_LIMIT = "anthropic-ratelimit"
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


class Dialect(enum.Enum):
    """Whose error envelope and header names an answer uses."""

    CHAT = "chat"
    MESSAGES = "messages"
    GENERATE = "generate"


_CHAT_TYPES = {429: "rate_limit_error", 403: "permission_error"}
_MESSAGES_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_GENERATE_STATES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    529: "UNAVAILABLE",
}


def guess(path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Dialect:
    """The dialect of a path that several protocols share, or that no route knows.

    The path decides before the headers, because SDKs of one protocol are pointed at bases of another.
    """
    if "/v1beta/models" in path:
        return Dialect.GENERATE
    if MESSAGES_VERSION in headers or "/messages" in path:
        return Dialect.MESSAGES
    return Dialect.GENERATE if GENERATE_KEY in headers or "key" in query else Dialect.CHAT


def error_body(dialect: Dialect, error: RefusalError, request_id: str) -> Json:
    """The error envelope of a dialect."""
    status = error.status
    if dialect is Dialect.MESSAGES:
        kind = _MESSAGES_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}
    if dialect is Dialect.GENERATE:
        state = _GENERATE_STATES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        body: Json = {"code": status, "message": error.message, "status": state}
        if status == 429:
            body["details"] = [{"@type": _RETRY_INFO, "retryDelay": f"{RETRY_AFTER}s"}]
        return {"error": body}
    kind = _CHAT_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def head(dialect: Dialect, request_id: str, now: int, status: int = 200) -> dict[str, str]:
    """The headers that belong to a dialect: request id, rate limits, and on 429 when to come back.

    The generate protocol has none of them; its 429 says the delay in the body.
    """
    if dialect is Dialect.GENERATE:
        return {}
    left = "0" if status == 429 else "9999"
    fields = {"retry-after": str(RETRY_AFTER)} if status == 429 else {}
    if dialect is Dialect.MESSAGES:
        instant = datetime.fromtimestamp(now + RETRY_AFTER, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields["request-id"] = request_id
        for what in ("requests", "tokens", "input-tokens", "output-tokens"):
            fields |= {
                f"{_RATE_LIMIT}-{what}-limit": "10000",
                f"{_RATE_LIMIT}-{what}-remaining": left,
                f"{_RATE_LIMIT}-{what}-reset": instant,
            }
        return fields
    fields["x-request-id"] = request_id
    for what in ("requests", "tokens"):
        fields |= {
            f"x-ratelimit-limit-{what}": "10000",
            f"x-ratelimit-remaining-{what}": left,
            f"x-ratelimit-reset-{what}": f"{RETRY_AFTER}s",
        }
    return fields
