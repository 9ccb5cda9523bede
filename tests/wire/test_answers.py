"""Local answers, as a client library reads them."""

import json
from http import HTTPStatus

import h11
import pytest

from proxy.outcomes import ErrorType
from proxy.wire.answers import error_body, error_event, render
from proxy.wire.refusal import Refusal, bad_request, bad_response
from translators.model import Protocol

STATUSES = (400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 422, 429, 431, 500, 501, 502, 503, 504, 505, 508)
CHAT_TYPES = {
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "server_error",
    "invalid_request_error",
}
MESSAGES_TYPES = {
    "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large", "rate_limit_error",
    "api_error", "overloaded_error", "timeout_error",
}  # fmt: skip


def refusal(status: int, *, close: bool = False) -> Refusal:
    return Refusal(
        status, ErrorType.HTTP_REQUEST_ERROR, "some_code", "What went wrong.", fields=(("Retry-After", "1"),), close=close
    )


def read(raw: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """The answer as h11 reads it: complete, and with nothing behind it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    return head, body


def answer(status: int, protocol: Protocol, *, close: bool = False, head_only: bool = False) -> bytes:
    return render(refusal(status), protocol, request_id=b"id-1", pseudonym="dragoman", close=close, head_only=head_only)


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("status", STATUSES)
def test_I01_E10_every_local_answer_is_whole_and_says_what_kind_of_error_it_is(status: int, protocol: Protocol) -> None:
    head, body = read(answer(status, protocol))
    fields = {name.decode(): value.decode() for name, value in head.headers}
    assert (head.status_code, head.reason.decode()) == (status, HTTPStatus(status).phrase)
    assert fields["proxy-status"] == "dragoman; error=http_request_error"
    assert (fields["x-request-id"], fields["retry-after"], fields["content-type"]) == ("id-1", "1", "application/json")
    assert fields["date"].endswith(" GMT")
    assert "connection" not in fields
    said = json.loads(body)
    if protocol is Protocol.MESSAGES:
        assert said["type"] == "error"
        assert said["error"]["type"] in MESSAGES_TYPES
    elif protocol is Protocol.GENERATE:
        assert said["error"]["code"] == status
        assert said["error"]["status"].isupper()
    else:
        assert said["error"]["type"] in CHAT_TYPES
        assert said["error"]["code"] == "some_code"
    assert said["error"]["message"] == "What went wrong."


@pytest.mark.parametrize(
    ("protocol", "status", "kind"),
    [
        (Protocol.CHAT, 401, "authentication_error"), (Protocol.CHAT, 429, "rate_limit_error"), (Protocol.CHAT, 502,
        "server_error"),
        (Protocol.CHAT, 413, "invalid_request_error"), (Protocol.MESSAGES, 413, "request_too_large"), (Protocol.MESSAGES, 503,
        "overloaded_error"),
        (Protocol.MESSAGES, 502, "api_error"), (Protocol.MESSAGES, 400, "invalid_request_error"),
    ],
)  # fmt: skip
def test_I01_the_type_of_an_error_is_the_one_the_client_knows_for_this_status(protocol: Protocol, status: int, kind: str) -> None:
    assert json.loads(error_body(refusal(status), protocol))["error"]["type"] == kind


@pytest.mark.parametrize(
    ("status", "state"),
    [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (429, "RESOURCE_EXHAUSTED"), (504, "DEADLINE_EXCEEDED")],
)
def test_I01_generate_errors_carry_the_canonical_status_name(status: int, state: str) -> None:
    assert json.loads(error_body(refusal(status), Protocol.GENERATE))["error"]["status"] == state


def test_E03_the_answer_to_HEAD_has_the_length_and_no_body() -> None:
    whole, short = answer(404, Protocol.CHAT), answer(404, Protocol.CHAT, head_only=True)
    assert short.endswith(b"\r\n\r\n")
    length = len(whole) - len(whole.partition(b"\r\n\r\n")[0]) - 4
    head, body = read(short, "HEAD")
    assert body == b""
    assert (b"content-length", str(length).encode()) in head.headers


def test_an_answer_that_closes_says_so() -> None:
    head, _ = read(answer(400, Protocol.CHAT, close=True))
    assert (b"connection", b"close") in head.headers


def test_without_a_pseudonym_the_answer_still_says_that_a_proxy_made_it() -> None:
    raw = render(refusal(502), Protocol.CHAT, request_id=b"i", pseudonym="", close=False)
    assert b"\r\nProxy-Status: proxy; error=http_request_error\r\n" in raw


def test_E03_a_204_has_neither_body_nor_length() -> None:
    told = Refusal(204, ErrorType.PROXY_INTERNAL_RESPONSE, "options", "", fields=(("Allow", "GET"),))
    raw = render(told, Protocol.CHAT, request_id=b"i", pseudonym="p", close=False)
    assert raw.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in raw
    assert b"Proxy-Status" not in raw
    assert b"\r\nAllow: GET\r\n" in raw


@pytest.mark.parametrize(
    ("protocol", "start"),
    [(Protocol.CHAT, b"data: {"), (Protocol.MESSAGES, b"event: error\ndata: {"), (Protocol.RESPONSES, b"event: error\ndata: {")],
)
def test_I07_G08_the_error_event_is_one_event_of_the_protocol(protocol: Protocol, start: bytes) -> None:
    event = error_event(refusal(502), protocol)
    assert event is not None
    assert event.startswith(start)
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n\n") == 1
    data = json.loads(event.partition(b"data: ")[2])
    assert "What went wrong." in json.dumps(data)
    assert b"[DONE]" not in event


def test_I07_generate_has_no_error_event() -> None:
    assert error_event(refusal(502), Protocol.GENERATE) is None


def test_A11_a_refusal_of_syntax_closes_and_one_of_the_upstream_does_not() -> None:
    assert bad_request("x", "y").close
    assert bad_request("x", "y").status == 400
    told = bad_response(ErrorType.HTTP_PROTOCOL_ERROR, "x", "y")
    assert (told.status, told.close) == (502, False)
