"""What the official `openai` client makes of failures behind the gateway: its own error classes, never a clean end."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.harness.chaos import closed_port
from tests.sdk.clients import FAULT, GPT, httpx, make_openai, say
from tests.sdk.host import Host, running, until


@pytest.fixture(scope="module")
def client(shared: Host) -> Iterator[OpenAI]:
    with make_openai(shared.url + "/openai/v1") as made:
        yield made


def failing(fault: str) -> dict[str, str]:
    return {FAULT: fault}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("401", openai.AuthenticationError),
        ("404", openai.NotFoundError),
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("503", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_I03_an_upstreams_error_becomes_the_clients_error_class(
    client: OpenAI, fault: str, error: type[openai.APIStatusError], streamed: bool
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=GPT, messages=say("x"), stream=streamed, extra_headers=failing(fault))
    assert caught.value.status_code == int(fault)
    assert "proxy-status" not in caught.value.response.headers
    assert caught.value.request_id.startswith("req_")


def test_I03_a_limit_and_when_to_come_back_reach_the_client_untouched(recorded: Host) -> None:
    with make_openai(recorded.url + "/openai/v1") as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=GPT, messages=say("x"), extra_headers=failing("429"))
    head, body = recorded.recorded.only().answer()
    response = caught.value.response
    assert response.headers["retry-after"] == head.get(b"retry-after").decode() == "1"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    assert response.content == body
    assert caught.value.code == "rate_limit_exceeded"


def test_K07_a_limit_is_not_retried_by_the_gateway(recorded: Host) -> None:
    with make_openai(recorded.url + "/openai/v1") as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=GPT, messages=say("x"), extra_headers=failing("429"))
    assert recorded.recorded.heard().count(b"POST ") == 1


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_I05_a_plain_answer_that_breaks_is_a_connection_error(client: OpenAI, fault: str) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model=GPT, messages=say("x"), extra_headers=failing(fault))


@pytest.mark.parametrize("fault", ["cut", "reset"])
@pytest.mark.parametrize("protocol", ["chat", "responses"])
def test_I07_a_stream_that_breaks_never_ends_cleanly(client: OpenAI, fault: str, protocol: str) -> None:
    options: Any = {"model": GPT, "stream": True, "extra_headers": failing(fault)}
    if protocol == "chat":
        stream = client.chat.completions.create(messages=say("x"), **options)
    else:
        stream = client.responses.create(input="x", **options)
    seen = []
    with pytest.raises((openai.APIError, httpx.TransportError)):
        seen.extend(stream)
    assert seen
    assert not any("response.completed" in repr(event) or "finish_reason='stop'" in repr(event) for event in seen)


@pytest.mark.parametrize("streamed", [False, True])
def test_L01_a_client_that_times_out_frees_the_upstream(streamed: bool) -> None:
    with running() as host, make_openai(host.url + "/openai/v1", timeout=1.0) as client:
        asked: Any = {"model": GPT, "messages": say("x"), "stream": streamed, "extra_headers": failing("stall")}
        with pytest.raises((openai.APITimeoutError, httpx.TimeoutException)):
            list(client.chat.completions.create(**asked))
        until(lambda: host.sandbox.cancelled == 1)
        until(lambda: host.count("upstream_busy") == 0)


def test_C11_a_path_nobody_serves_is_not_found(shared: Host) -> None:
    with make_openai(shared.url + "/nowhere/v1") as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model=GPT, messages=say("x"))
    assert "error=destination_not_found" in caught.value.response.headers["proxy-status"]


def test_a_model_nobody_lists_is_not_found(shared: Host) -> None:
    with make_openai(shared.url + "/v1") as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobodys-model", messages=say("x"))
    assert caught.value.code == "model_not_found"


def test_I02_an_upstream_that_is_not_there_is_a_server_error_of_the_gateway() -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    with (
        running(sandbox=False, upstreams={"openai": nowhere}, environ={"OPENAI_API_KEY": "sk-test-upstream"}) as host,
        make_openai(host.url + "/openai/v1") as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model=GPT, messages=say("x"))
    assert caught.value.status_code == 502
    assert "error=connection_refused" in caught.value.response.headers["proxy-status"]
