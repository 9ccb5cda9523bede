"""Failures said in another protocol: bodies, events of a stream, and the header fields that go with them.

The tables are the Errors sections of the three sheets. Everything goes through the hub's words (`Failure`): a platform's failure is
read into them, a client's envelope is made from them. Which answers are failures by a platform's own rule is not known here.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from translators.interpreters.base import Event, Failure, JsonObject
from translators.model import Protocol


class _Meaning(NamedTuple):
    """What a platform's word means: status, type and code in the hub."""

    status: int
    kind: str
    code: str | None = None


_REQUEST: Final = "invalid_request_error"
_BAD = _Meaning(400, _REQUEST)
_KEY = _Meaning(401, _REQUEST, "invalid_api_key")
_QUOTA = _Meaning(429, "insufficient_quota", "insufficient_quota")
_PERMISSION = _Meaning(403, "permission_error")
_MISSING = _Meaning(404, _REQUEST, "model_not_found")
_CONFLICT = _Meaning(409, _REQUEST)
_LARGE = _Meaning(413, _REQUEST, "request_too_large")
_RATE = _Meaning(429, "rate_limit_error", "rate_limit_exceeded")
_SERVER = _Meaning(500, "server_error")
_OVERLOADED = _Meaning(503, "server_error", "overloaded")
_TIMEOUT = _Meaning(504, "server_error", "timeout")

_BY_STATUS: Final = {
    401: _KEY,
    403: _PERMISSION,
    404: _MISSING,
    409: _CONFLICT,
    413: _LARGE,
    429: _RATE,
    503: _OVERLOADED,
    504: _TIMEOUT,
}
_MESSAGES: Final = {
    _REQUEST: _BAD,
    "authentication_error": _KEY,
    "billing_error": _QUOTA,
    "permission_error": _PERMISSION,
    "not_found_error": _MISSING,
    "conflict_error": _CONFLICT,
    "request_too_large": _LARGE,
    "rate_limit_error": _RATE,
    "api_error": _SERVER,
    "timeout_error": _TIMEOUT,
    "overloaded_error": _OVERLOADED,
}
_GENERATE: Final = {
    "INVALID_ARGUMENT": _BAD,
    "FAILED_PRECONDITION": _BAD,
    "OUT_OF_RANGE": _BAD,
    "UNAUTHENTICATED": _KEY,
    "PERMISSION_DENIED": _PERMISSION,
    "NOT_FOUND": _MISSING,
    "ABORTED": _CONFLICT,
    "ALREADY_EXISTS": _CONFLICT,
    "RESOURCE_EXHAUSTED": _RATE,
    "INTERNAL": _SERVER,
    "UNKNOWN": _SERVER,
    "UNIMPLEMENTED": _Meaning(501, "server_error"),
    "UNAVAILABLE": _Meaning(503, "server_error", "UNAVAILABLE"),  # its own word, as the vector G-S5 has it
    "DEADLINE_EXCEEDED": _TIMEOUT,
}
# The status that a chat error has where none came with it (an event of a stream, an error under 200): by its code, then its type.
_CHAT_STATUS: Final = {
    "invalid_api_key": 401,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "model_not_found": 404,
    "request_too_large": 413,
    "overloaded": 503,
    "UNAVAILABLE": 503,
    "timeout": 504,
    _REQUEST: 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "server_error": 500,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    # codes that a response itself fails with
    "vector_store_timeout": 504,
    **dict.fromkeys(
        ("data_residency_mismatch", "bio_policy", "misalignment_policy_violation", "image_content_policy_violation"), 400
    ),
    **dict.fromkeys(
        ("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode"), 400
    ),
    **dict.fromkeys(("image_too_large", "image_too_small", "image_parse_error", "image_file_too_large", "empty_image_file"), 400),
    **dict.fromkeys(("unsupported_image_media_type", "failed_to_download_image", "image_file_not_found"), 400),
}
_UNKNOWN: Final = 502  # a failure under 200 that no table knows
# Finish reasons by which chat platforms say that the model failed, so that its answer has no regular end. The first two are in
# the sheets of two platforms; the last is known in general, of a relay.
_FAILED_FINISHES: Final = {
    "network_error": _Meaning(502, "server_error", "network_error"),
    "insufficient_system_resource": _OVERLOADED,
    "error": _Meaning(502, "server_error"),
}

_MESSAGES_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_GENERATE_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"


# --- reading ---


def read_failure(platform: Protocol, status: int, body: Any, headers: Mapping[str, str]) -> Failure:
    """What a platform's answer of `status` (>= 400) says. `body`: parsed JSON or None; `headers`: lower-case names."""
    failure = _read(platform, status, body)
    after = headers.get("retry-after", "")
    if failure.retry_after is None and after.isascii() and after.isdecimal() and len(after) < 8:
        return Failure(failure.status, failure.message, failure.kind, failure.code, failure.param, int(after))
    return failure


def failure_in(protocol: Protocol, data: Any) -> Failure | None:
    """The failure that an event of a stream, or a whole answer under 2xx, is; None when it is none.

    A chat answer whose finish reason says that the model failed is one, too.
    """
    if isinstance(data, list) and protocol is Protocol.GENERATE:
        data = data[0] if data else None  # a stream without `alt=sse` wraps its error in an array
    if not isinstance(data, dict):
        return None
    if protocol is Protocol.RESPONSES and (kind := data.get("type")) in ("error", "response.failed"):
        inner = data.get("response") if kind == "response.failed" else data
        return _read(protocol, None, inner if isinstance(inner, dict) else {})
    if data.get("error") or (protocol is Protocol.MESSAGES and data.get("type") == "error"):
        return _read(protocol, None, data)
    if protocol is Protocol.CHAT and "choices" not in data and "object" not in data and _number(data.get("code")):
        return _read(protocol, None, data)  # `{"code":1001,"message":...}` under 200, as relays answer
    return _failed_finish(data.get("choices")) if protocol is Protocol.CHAT else None


def _failed_finish(choices: Any) -> Failure | None:
    """The failure that a chat platform tells as the finish reason of all that it says."""
    if not isinstance(choices, list) or not choices:
        return None
    reasons = [_word(choice.get("finish_reason")) if isinstance(choice, dict) else "" for choice in choices]
    if any(reason not in _FAILED_FINISHES for reason in reasons):
        return None
    meaning = _FAILED_FINISHES[reasons[0]]
    return Failure(meaning.status, f"the platform ended its answer with `{reasons[0]}`", meaning.kind, meaning.code)


def _read(platform: Protocol, status: int | None, body: Any) -> Failure:
    """`status` None: no status came with it."""
    if isinstance(body, list):
        body = body[0] if body else None
    body = body if isinstance(body, dict) else {}
    error = body.get("error")
    inner: JsonObject = error if isinstance(error, dict) else body
    message = _word(inner.get("message")) or _word(inner.get("msg")) or _word(inner.get("detail")) or _word(error)
    if not message:
        message = (
            f"the platform answered with status {status} and said nothing more" if status else "the platform's answer is an error"
        )
    if platform is Protocol.MESSAGES:
        meaning = _MESSAGES.get(_word(inner.get("type"))) or _by_status(status)
        return Failure(meaning.status, message, meaning.kind, meaning.code)
    if platform is Protocol.GENERATE and (_word(inner.get("status")) or not _word(inner.get("type"))):
        return _read_generate(inner, status, message)  # else it is a relay that answers in chat's words on these paths, too
    return _read_chat(inner, status, message)


def _by_status(status: int | None) -> _Meaning:
    """What an answer without a known word means."""
    if status is None or status < 400:
        return _Meaning(_UNKNOWN, "server_error")
    if status == 402:
        return _QUOTA
    if status == 529:
        return _OVERLOADED
    return _BY_STATUS.get(status) or _Meaning(status, "server_error" if status >= 500 else _REQUEST)


def _read_chat(inner: JsonObject, status: int | None, message: str) -> Failure:
    """A chat platform's words are the hub's; only what is missing is filled in. A `param` of "" is none (relays)."""
    kind, code = _word(inner.get("type")), _word(inner.get("code"))
    if kind in ("error", "response.failed"):  # the name of an event, not of an error
        kind = ""
    if status is None:
        number = _number(code)
        status = _CHAT_STATUS.get(code) or _CHAT_STATUS.get(kind) or (number if 400 <= number <= 599 else _UNKNOWN)
    meaning = _by_status(status)
    status = meaning.status if status == 529 else status
    return Failure(status, message, kind or meaning.kind, code or meaning.code, _word(inner.get("param")) or None)


def _read_generate(inner: JsonObject, status: int | None, message: str) -> Failure:
    number = _number(inner.get("code"))
    status = status if status is not None and status >= 400 else number if 400 <= number <= 599 else None
    meaning = _GENERATE.get(_word(inner.get("status"))) or _by_status(status)
    retry = None
    details = inner.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            if detail.get("reason") == "API_KEY_INVALID":
                meaning = _KEY
            seconds = _seconds(_word(detail.get("retryDelay")))
            retry = retry if seconds is None else math.ceil(seconds)
    if meaning is _BAD and message.startswith("API key not valid"):
        meaning = _KEY
    return Failure(meaning.status, message, meaning.kind, meaning.code, None, retry)


def _word(value: Any) -> str:
    """Text, or a whole number as text; else empty."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else ""


def _number(value: Any) -> int:
    """A whole number, also one that is written as text; else 0."""
    word = _word(value)
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else 0


# --- saying ---


def failure_body(client: Protocol, failure: Failure) -> tuple[int, JsonObject]:
    """Status and body of the answer that tells a client."""
    if client is Protocol.MESSAGES:
        status, kind = _in_messages(failure)
        return status, {"type": "error", "error": {"type": kind, "message": failure.message}}
    if client is Protocol.GENERATE:
        return failure.status, {"error": _in_generate(failure)}
    return failure.status, {
        "error": {"message": failure.message, "type": failure.kind, "param": failure.param, "code": failure.code}
    }


def failure_event(client: Protocol, failure: Failure, sequence: int = 0) -> Event:
    """The event that tells a reader of a stream. `sequence`: the number of the event, where the protocol counts (responses)."""
    if client is Protocol.RESPONSES:
        said = response_error(failure)
        return Event("error", {"type": "error", "sequence_number": sequence, **said, "param": failure.param})
    return Event("error" if client is Protocol.MESSAGES else None, failure_body(client, failure)[1])


def response_error(failure: Failure) -> JsonObject:
    """The `error` of a response object whose status is failed."""
    usual = "rate_limit_exceeded" if failure.status == 429 else "server_error" if failure.status >= 500 else "invalid_prompt"
    # The words by which a failure of the server is known here are no codes of that list.
    code = failure.code if failure.code and failure.code not in ("overloaded", "timeout") else usual
    return {"code": code, "message": failure.message}


def _in_messages(failure: Failure) -> tuple[int, str]:
    status = failure.status
    if status == 402 or "insufficient_quota" in (failure.code, failure.kind):
        return 402, "billing_error"
    if status == 503:
        return 529, "overloaded_error"
    if status >= 500 and status != 504:
        return 500, "api_error"
    return status, _MESSAGES_TYPES.get(status, _REQUEST)


def _in_generate(failure: Failure) -> JsonObject:
    word = _GENERATE_STATUSES.get(failure.status) or ("INTERNAL" if failure.status >= 500 else "INVALID_ARGUMENT")
    error: JsonObject = {"code": failure.status, "message": failure.message, "status": word}
    if failure.retry_after is not None:
        error["details"] = [{"@type": _RETRY_INFO, "retryDelay": f"{failure.retry_after}s"}]
    return error


# --- header fields ---

_WHAT: Final = ("limit", "remaining", "reset")
_OF: Final = ("requests", "tokens")
_IN_MESSAGES: Final = {(what, of): f"anthropic-ratelimit-{of}-{what}" for what in _WHAT for of in _OF}
_IN_CHAT: Final = {(what, of): f"x-ratelimit-{what}-{of}" for what in _WHAT for of in _OF}
_LIMITS: Final = {Protocol.CHAT: _IN_CHAT, Protocol.RESPONSES: _IN_CHAT, Protocol.MESSAGES: _IN_MESSAGES}
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?", re.ASCII)


def translated_headers(
    platform: Protocol, client: Protocol, headers: Mapping[str, str], now: float, failure: Failure | None = None
) -> dict[str, str | None]:
    """What changes in an answer's header fields: new values by name, None for a field that has become another one.

    `headers` have lower-case names; `now` is in Unix seconds. Fields without a counterpart stay as they are. Instants of RFC 3339
    (messages) become durations (chat) and back. `failure` gives `Retry-After` where the platform said it in the body only.
    """
    changes: dict[str, str | None] = {}
    said, wanted = _LIMITS.get(platform), _LIMITS.get(client)
    if said is not None and wanted is not None and said is not wanted:
        for key, name in said.items():
            value: str | None = headers.get(name)
            if value is None:
                continue
            changes[name] = None
            if key[0] == "reset":
                value = _instant(value, now) if client is Protocol.MESSAGES else _duration(value, now)
            if value is not None:
                changes[wanted[key]] = value
    if failure is not None and failure.retry_after is not None and "retry-after" not in headers:
        changes["retry-after"] = str(failure.retry_after)
    return changes


def _duration(instant: str, now: float) -> str | None:
    """Seconds until an instant, as `34s`; None when it is no instant."""
    try:
        then = datetime.fromisoformat(instant)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    return f"{max(0, math.ceil(then.timestamp() - now))}s"


def _instant(duration: str, now: float) -> str | None:
    """The instant a duration from now (`6m0s`), in whole seconds; None when it is no duration."""
    seconds = _seconds(duration)
    if seconds is None:
        return None
    return datetime.fromtimestamp(math.ceil(now + seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(duration: str) -> float | None:
    """`1s`, `6m0s`, `1h2m3.5s`, `20ms`; None for anything else."""
    found = _DURATION.fullmatch(duration) if duration else None
    if found is None:
        return None
    hours, minutes, seconds, thousandths = (float(text or 0) for text in found.groups())
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
