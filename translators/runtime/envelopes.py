"""Errors in the words of the protocol that a client speaks: bodies and events of streams (rules I01, I02, I07, E10).

Pure bytes from plain values; who found the error, and why, is not known here.
"""

from collections.abc import Mapping

import orjson

from translators.model import Protocol

# Closed lists of error types, by status; a status that is not named counts by its hundred.
_CHAT_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_MESSAGES_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_GENERATE_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _text(value: str) -> str:
    """The text without lone surrogates, which JSON cannot hold."""
    return value.encode("utf-8", "replace").decode()


def error_body(
    protocol: Protocol,
    status: int,
    code: str,
    message: str,
    *,
    kind: str | None = None,
    param: str | None = None,
    extra: Mapping[str, object] | None = None,
) -> bytes:
    """The JSON body of an error. `kind` replaces the type that follows from the status; `extra` are further members of `error`."""
    message, code = _text(message), _text(code)
    other = "server_error" if status >= 500 else "invalid_request_error"
    if protocol is Protocol.MESSAGES:
        other = "api_error" if status >= 500 else "invalid_request_error"
        error: dict[str, object] = {"type": kind or _MESSAGES_TYPES.get(status, other), "message": message}
        return orjson.dumps({"type": "error", "error": {**error, **(extra or {})}})
    if protocol is Protocol.GENERATE:
        other = "UNAVAILABLE" if status >= 500 else "INVALID_ARGUMENT"
        error = {"code": status, "message": message, "status": kind or _GENERATE_STATUSES.get(status, other)}
    else:
        error = {"message": message, "type": kind or _CHAT_TYPES.get(status, other), "param": param, "code": code}
    return orjson.dumps({"error": {**error, **(extra or {})}})


def error_event(protocol: Protocol, status: int, code: str, message: str, *, kind: str | None = None) -> bytes | None:
    """The event that tells a reader of the stream of an error; None where the protocol has none (I07)."""
    if protocol is Protocol.CHAT:
        return b"data: " + error_body(protocol, status, code, message, kind=kind) + b"\n\n"
    if protocol is Protocol.MESSAGES:
        return b"event: error\ndata: " + error_body(protocol, status, code, message, kind=kind) + b"\n\n"
    if protocol is Protocol.RESPONSES:
        body = {"type": "error", "code": _text(code), "message": _text(message), "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
    return None
