"""Failures in every protocol: the tables of the sheets' Errors sections in both directions, and the header fields."""

import json
from typing import Any

import pytest

from translators.interpreters.base import Failure
from translators.interpreters.failures import failure_body, failure_event, failure_in, read_failure, translated_headers
from translators.model import Protocol

CHAT, RESPONSES, MESSAGES, GENERATE = Protocol.CHAT, Protocol.RESPONSES, Protocol.MESSAGES, Protocol.GENERATE
NOW = 1800000000.25  # 2027-01-15T08:00:00.25Z


def in_chat(failure: Failure) -> tuple[int, str, str | None]:
    status, body = failure_body(CHAT, failure)
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return status, body["error"]["type"], body["error"]["code"]


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", (400, "invalid_request_error", None)),
        (401, "authentication_error", (401, "invalid_request_error", "invalid_api_key")),
        (402, "billing_error", (429, "insufficient_quota", "insufficient_quota")),
        (403, "permission_error", (403, "permission_error", None)),
        (404, "not_found_error", (404, "invalid_request_error", "model_not_found")),
        (409, "conflict_error", (409, "invalid_request_error", None)),
        (413, "request_too_large", (413, "invalid_request_error", "request_too_large")),
        (429, "rate_limit_error", (429, "rate_limit_error", "rate_limit_exceeded")),
        (500, "api_error", (500, "server_error", None)),
        (504, "timeout_error", (504, "server_error", "timeout")),
        (529, "overloaded_error", (503, "server_error", "overloaded")),
    ],
)
def test_a_messages_failure_in_chat(status: int, kind: str, expected: tuple[int, str, str | None]) -> None:
    body = {"type": "error", "error": {"type": kind, "message": "Why."}, "request_id": "req_1"}
    assert in_chat(read_failure(MESSAGES, status, body, {})) == expected
    event = failure_in(MESSAGES, body)
    assert event is not None  # without a status, the type says it all
    assert in_chat(event) == expected
    assert event.message == "Why."


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, None, (400, "invalid_request_error")),
        (422, None, (422, "invalid_request_error")),
        (401, "invalid_api_key", (401, "authentication_error")),
        (402, None, (402, "billing_error")),
        (429, "insufficient_quota", (402, "billing_error")),
        (403, None, (403, "permission_error")),
        (404, "model_not_found", (404, "not_found_error")),
        (409, None, (409, "conflict_error")),
        (413, None, (413, "request_too_large")),
        (429, "rate_limit_exceeded", (429, "rate_limit_error")),
        (500, None, (500, "api_error")),
        (502, None, (500, "api_error")),
        (503, None, (529, "overloaded_error")),
        (504, None, (504, "timeout_error")),
    ],
)
@pytest.mark.parametrize("platform", [CHAT, RESPONSES])
def test_a_chat_failure_in_messages(platform: Protocol, status: int, code: str | None, expected: tuple[int, str]) -> None:
    body = {"error": {"message": "Why.", "type": "x", "param": None, "code": code}}
    said, made = failure_body(MESSAGES, read_failure(platform, status, body, {}))
    assert (said, made["error"]["type"]) == expected
    assert made == {"type": "error", "error": {"type": expected[1], "message": "Why."}}


@pytest.mark.parametrize(
    ("status", "word", "expected"),
    [
        (400, "INVALID_ARGUMENT", (400, "invalid_request_error", None)),
        (400, "FAILED_PRECONDITION", (400, "invalid_request_error", None)),
        (401, "UNAUTHENTICATED", (401, "invalid_request_error", "invalid_api_key")),
        (403, "PERMISSION_DENIED", (403, "permission_error", None)),
        (404, "NOT_FOUND", (404, "invalid_request_error", "model_not_found")),
        (429, "RESOURCE_EXHAUSTED", (429, "rate_limit_error", "rate_limit_exceeded")),
        (500, "INTERNAL", (500, "server_error", None)),
        (503, "UNAVAILABLE", (503, "server_error", "UNAVAILABLE")),
        (504, "DEADLINE_EXCEEDED", (504, "server_error", "timeout")),
    ],
)
def test_a_generate_failure_in_chat(status: int, word: str, expected: tuple[int, str, str | None]) -> None:
    body = {"error": {"code": status, "message": "Why.", "status": word}}
    assert in_chat(read_failure(GENERATE, status, body, {})) == expected
    for wrapped in (body, [body]):  # in an array where a stream has no `alt=sse`
        event = failure_in(GENERATE, wrapped)
        assert event is not None
        assert in_chat(event) == expected


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (422, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ABORTED"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_chat_failure_in_generate(status: int, word: str) -> None:
    failure = read_failure(CHAT, status, {"error": {"message": "Why."}}, {})
    assert failure_body(GENERATE, failure) == (status, {"error": {"code": status, "message": "Why.", "status": word}})


def test_a_refused_key_of_generate_is_401() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = {"code": 400, "message": "Wrong.", "status": "INVALID_ARGUMENT", "details": [detail]}
    assert in_chat(read_failure(GENERATE, 400, {"error": error}, {})) == (401, "invalid_request_error", "invalid_api_key")
    bare = {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}
    assert failure_body(MESSAGES, read_failure(GENERATE, 400, {"error": bare}, {}))[0] == 401


def test_the_delay_of_generate_becomes_retry_after_and_back() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.2s"}
    error = {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED", "details": [detail]}
    failure = read_failure(GENERATE, 429, {"error": error}, {})
    assert failure.retry_after == 34
    assert translated_headers(GENERATE, CHAT, {}, NOW, failure) == {"retry-after": "34"}
    assert translated_headers(GENERATE, CHAT, {"retry-after": "5"}, NOW, failure) == {}
    told = read_failure(MESSAGES, 429, {"error": {"type": "rate_limit_error"}}, {"retry-after": "34"})
    assert failure_body(GENERATE, told)[1]["error"]["details"] == [{**detail, "retryDelay": "34s"}]


@pytest.mark.parametrize("platform", [CHAT, RESPONSES, MESSAGES, GENERATE])
@pytest.mark.parametrize(
    "body",
    [
        None,
        "no",
        5,
        [],
        [[]],
        {},
        {"error": None},
        {"error": "Why."},
        {"error": []},
        {"error": {"message": 7, "code": [], "type": {}}},
    ],
)
def test_a_body_that_is_no_envelope_keeps_the_status(platform: Protocol, body: Any) -> None:
    failure = read_failure(platform, 418, body, {"retry-after": "soon"})
    assert (failure.status, failure.retry_after) == (418, None)
    assert failure.message in ("Why.", "7", "the platform answered with status 418 and said nothing more")
    for client in Protocol:
        json.dumps(failure_body(client, failure))


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"type": "server_error", "code": "insufficient_quota", "message": "m"}, 429),
        ({"type": "new_api_error", "code": 429, "message": "m"}, 429),
        ({"type": "authentication_error", "message": "m"}, 401),
        ({"type": "strange", "message": "m"}, 502),
        ("only words", 502),
        ({"code": "image_too_large", "message": "m"}, 400),
    ],
)
def test_an_error_in_a_chat_stream_gets_the_status_its_words_mean(said: Any, status: int) -> None:
    failure = failure_in(CHAT, {"error": said})
    assert failure is not None
    assert failure.status == status
    assert failure.message in ("m", "only words")


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (CHAT, {"choices": [], "error": None}),
        (CHAT, {"object": "chat.completion", "choices": [], "code": 0}),
        (RESPONSES, {"object": "response", "status": "completed", "error": None}),
        (RESPONSES, {"type": "response.created", "response": {"error": None}}),
        (MESSAGES, {"type": "ping"}),
        (GENERATE, {"candidates": []}),
        (GENERATE, []),
        (CHAT, "[DONE]"),
    ],
)
def test_what_is_no_failure_is_none(protocol: Protocol, data: Any) -> None:
    assert failure_in(protocol, data) is None


def test_relays_that_put_an_error_beside_no_choices_are_understood() -> None:
    failure = failure_in(CHAT, {"code": 1001, "message": "No balance."})
    assert failure is not None
    assert (failure.message, failure.code) == ("No balance.", "1001")


@pytest.mark.parametrize(
    "data",
    [
        {"type": "error", "sequence_number": 3, "code": "rate_limit_exceeded", "message": "Slow.", "param": None},
        {"type": "error", "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Slow."}},
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "Slow."}}},
        {"object": "response", "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow."}},
    ],
)
def test_the_failures_of_a_responses_platform_are_one(data: Any) -> None:
    failure = failure_in(RESPONSES, data)
    assert failure is not None
    assert (failure.status, failure.code, failure.message) == (429, "rate_limit_exceeded", "Slow.")
    assert failure.kind == "rate_limit_error"


def test_events_of_failures_are_framed_as_their_clients_read_them() -> None:
    failure = Failure(503, "Busy.", "server_error", "overloaded", "model")
    assert failure_event(CHAT, failure).name is None
    assert failure_event(GENERATE, failure) == (None, {"error": {"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}})
    assert failure_event(MESSAGES, failure) == (
        "error",
        {"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}},
    )
    flat = {"type": "error", "sequence_number": 7, "code": "server_error", "message": "Busy.", "param": "model"}
    assert failure_event(RESPONSES, failure, 7) == ("error", flat)


@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_the_limits_of_messages_become_durations(client: Protocol) -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
        "anthropic-ratelimit-tokens-reset": "2027-01-15T07:00:00Z",
        "anthropic-ratelimit-input-tokens-limit": "9",
        "retry-after": "30",
    }
    assert translated_headers(MESSAGES, client, headers, NOW) == {
        "anthropic-ratelimit-requests-limit": None,
        "anthropic-ratelimit-requests-remaining": None,
        "anthropic-ratelimit-requests-reset": None,
        "anthropic-ratelimit-tokens-reset": None,
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "30s",
        "x-ratelimit-reset-tokens": "0s",
    }


@pytest.mark.parametrize(
    ("duration", "instant"),
    [
        ("1s", "2027-01-15T08:00:02Z"),
        ("6m0s", "2027-01-15T08:06:01Z"),
        ("1h2m3.5s", "2027-01-15T09:02:04Z"),
        ("20ms", "2027-01-15T08:00:01Z"),
        ("soon", None),
        ("", None),
    ],
)
def test_the_limits_of_chat_become_instants(duration: str, instant: str | None) -> None:
    changes = translated_headers(CHAT, MESSAGES, {"x-ratelimit-reset-tokens": duration}, NOW)
    assert changes.get("anthropic-ratelimit-tokens-reset") == instant
    assert changes["x-ratelimit-reset-tokens"] is None


def test_between_protocols_without_other_words_the_fields_stay() -> None:
    headers = {"x-ratelimit-limit-tokens": "1", "anthropic-ratelimit-tokens-limit": "1"}
    assert translated_headers(CHAT, RESPONSES, headers, NOW) == {}
    assert translated_headers(CHAT, GENERATE, headers, NOW) == {}
    assert translated_headers(GENERATE, MESSAGES, headers, NOW) == {}
