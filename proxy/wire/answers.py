"""Local answers: what the proxy says itself, in the words of the protocol the client speaks (rules I01, I02, I07, E10).

`render` makes a complete response from a Refusal, `error_event` the last event of a stream that broke.
"""

from email.utils import formatdate
from http import HTTPStatus

import orjson

from proxy.wire.refusal import Refusal
from translators.model import Protocol

# Closed lists of error types, by status; the first fitting line counts.
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


def _chat_error(refusal: Refusal) -> dict[str, object]:
    kind = _CHAT_TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    return {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}


def error_body(refusal: Refusal, protocol: Protocol) -> bytes:
    """The JSON body of a local answer."""
    if protocol is Protocol.MESSAGES:
        kind = _MESSAGES_TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
        body: dict[str, object] = {"type": "error", "error": {"type": kind, "message": refusal.message}}
    elif protocol is Protocol.GENERATE:
        state = _GENERATE_STATUSES.get(refusal.status, "UNAVAILABLE" if refusal.status >= 500 else "INVALID_ARGUMENT")
        body = {"error": {"code": refusal.status, "message": refusal.message, "status": state}}
    else:
        body = {"error": _chat_error(refusal)}
    return orjson.dumps(body)


def error_event(refusal: Refusal, protocol: Protocol) -> bytes | None:
    """The error event that tells a reader of the stream that it broke; None where the protocol has none (I07)."""
    if protocol is Protocol.CHAT:
        return b"data: " + error_body(refusal, protocol) + b"\n\n"
    if protocol is Protocol.MESSAGES:
        return b"event: error\ndata: " + error_body(refusal, protocol) + b"\n\n"
    if protocol is Protocol.RESPONSES:
        body = {"type": "error", "code": refusal.code, "message": refusal.message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
    return None


def render(
    refusal: Refusal, protocol: Protocol, *, request_id: bytes, pseudonym: str, close: bool, head_only: bool = False
) -> bytes:
    """A complete response. The `Proxy-Status` field tells it from an answer of the platform (E10)."""
    reason = HTTPStatus(refusal.status).phrase
    lines = [
        f"HTTP/1.1 {refusal.status} {reason}",
        f"Date: {formatdate(usegmt=True)}",
        f"x-request-id: {request_id.decode('ascii')}",
    ]
    body = b""
    if refusal.status >= 400:
        body = error_body(refusal, protocol)
        lines += [
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            f"Proxy-Status: {pseudonym or 'proxy'}; error={refusal.error}",
        ]
    lines += [f"{name}: {value}" for name, value in refusal.fields]
    if close:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if head_only else head + body
