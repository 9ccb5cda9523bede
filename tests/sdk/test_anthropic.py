"""The official `anthropic` client through the gateway, unchanged but for `base_url`."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.sdk.clients import CLAUDE, FAULT, KEY, MESSAGES_TOOL, httpx, make_anthropic, say
from tests.sdk.host import Host


@pytest.fixture(scope="session", params=["/anthropic", ""], ids=["with the platform", "by model"])
def client(shared: Host, request: pytest.FixtureRequest) -> Iterator[Anthropic]:
    """One client with the platform in its base URL and one without, where the model decides."""
    with make_anthropic(shared.url + request.param) as made:
        yield made


@pytest.fixture(scope="session")
def prefixed(shared: Host) -> Iterator[Anthropic]:
    with make_anthropic(shared.url + "/anthropic") as made:
        yield made


def test_a_plain_message_arrives_whole(client: Anthropic) -> None:
    answer = client.messages.create(model=CLAUDE, max_tokens=500, messages=say("Grüße an 東京 🙂"), system="Be kind")
    assert "Grüße an 東京 🙂" in answer.content[0].text
    assert (answer.stop_reason, answer.model) == ("end_turn", CLAUDE)


def test_a_message_stream_adds_up_to_the_plain_message(client: Anthropic) -> None:
    plain = client.messages.create(model=CLAUDE, max_tokens=500, messages=say("Grüße an 東京 🙂"))
    with client.messages.stream(model=CLAUDE, max_tokens=500, messages=say("Grüße an 東京 🙂")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 5
    assert "".join(pieces) == final.content[0].text == plain.content[0].text
    assert final.usage.output_tokens == plain.usage.output_tokens


def test_a_tool_is_called_and_its_result_answered(client: Anthropic) -> None:
    asked = say("What is the weather in Paris?")
    with client.messages.stream(model=CLAUDE, max_tokens=500, messages=asked, tools=[MESSAGES_TOOL]) as stream:
        final = stream.get_final_message()
    call = final.content[-1]
    assert (final.stop_reason, call.name, call.input["city"]) == ("tool_use", "get_weather", "Paris")
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}]}
    history: Any = [*asked, {"role": "assistant", "content": final.content}, result]
    after = client.messages.create(model=CLAUDE, max_tokens=500, messages=history, tools=[MESSAGES_TOOL])
    assert "18 degrees" in after.content[0].text


def test_tokens_are_counted_beforehand_as_in_the_answer(client: Anthropic) -> None:
    asked: Any = {"model": CLAUDE, "messages": say("one two, three"), "tools": [MESSAGES_TOOL]}
    counted = client.messages.count_tokens(**asked)
    assert counted.input_tokens == client.messages.create(max_tokens=9, **asked).usage.input_tokens > 4


def test_a_model_is_described(client: Anthropic) -> None:
    assert client.models.retrieve(CLAUDE).id == CLAUDE


def test_models_are_listed(prefixed: Anthropic) -> None:
    assert "claude-opus-5-5" in [model.id for model in prefixed.models.list()]


def test_the_asynchronous_client_gets_a_plain_and_a_streamed_message_at_once(shared: Host) -> None:
    async def streamed(client: AsyncAnthropic) -> str:
        async with client.messages.stream(model=CLAUDE, max_tokens=300, messages=say("Same")) as stream:
            return await stream.get_final_text()

    async def main() -> tuple[str, str]:
        async with AsyncAnthropic(api_key=KEY, base_url=f"{shared.url}/anthropic", max_retries=0) as client:
            plain, text = await asyncio.gather(
                client.messages.create(model=CLAUDE, max_tokens=300, messages=say("Same")), streamed(client)
            )
        return plain.content[0].text, text

    plain, text = asyncio.run(main())
    assert '"Same"' in plain
    assert text == plain


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("401", anthropic.AuthenticationError, "authentication_error"),
        ("404", anthropic.NotFoundError, "not_found_error"),
        ("429", anthropic.RateLimitError, "rate_limit_error"),
        ("500", anthropic.InternalServerError, "api_error"),
        ("529", anthropic.InternalServerError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_I03_an_upstreams_error_becomes_the_clients_error_class(
    client: Anthropic, fault: str, error: type[anthropic.APIStatusError], kind: str, streamed: bool
) -> None:
    with pytest.raises(error) as caught:
        client.messages.create(model=CLAUDE, max_tokens=9, messages=say("x"), stream=streamed, extra_headers={FAULT: fault})
    assert (caught.value.status_code, caught.value.type) == (int(fault), kind)
    assert caught.value.request_id == caught.value.body["request_id"]
    assert "proxy-status" not in caught.value.response.headers


def test_I03_a_limit_and_when_to_come_back_reach_the_client_untouched(recorded: Host) -> None:
    with make_anthropic(recorded.url + "/anthropic") as client, pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(model=CLAUDE, max_tokens=9, messages=say("x"), extra_headers={FAULT: "429"})
    head, body = recorded.recorded.only().answer()
    headers = caught.value.response.headers
    assert headers["retry-after"] == head.get(b"retry-after").decode() == "1"
    assert headers["anthropic-ratelimit-tokens-reset"] == head.get(b"anthropic-ratelimit-tokens-reset").decode()
    assert caught.value.response.content == body


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_I05_a_plain_answer_that_breaks_is_a_connection_error(client: Anthropic, fault: str) -> None:
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(model=CLAUDE, max_tokens=500, messages=say("x"), extra_headers={FAULT: fault})


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_I07_a_stream_that_breaks_never_ends_cleanly(client: Anthropic, fault: str) -> None:
    seen = []
    stream = client.messages.create(model=CLAUDE, max_tokens=500, messages=say("x"), stream=True, extra_headers={FAULT: fault})
    with pytest.raises((anthropic.APIError, httpx.TransportError)):
        seen.extend(stream)
    kinds = [event.type for event in seen]
    assert kinds[0] == "message_start"
    assert "message_stop" not in kinds


def test_the_request_keeps_its_version_and_gets_the_gateways_key(recorded: Host) -> None:
    with make_anthropic(recorded.url + "/anthropic") as client:
        client.messages.create(model=CLAUDE, max_tokens=9, messages=say("x"), extra_headers={"anthropic-beta": "one-2025,two-2026"})
        version = client.default_headers["anthropic-version"]
    head, _ = recorded.recorded.only().request()
    assert head.get(b"x-api-key") == b"sandbox"
    assert head.get(b"authorization") is None
    assert head.get(b"anthropic-version") == str(version).encode()
    assert head.get(b"anthropic-beta") == b"one-2025,two-2026"
    assert KEY.encode() not in recorded.recorded.heard()


def test_I01_a_refusal_of_the_gateway_speaks_the_protocol_of_the_client(shared: Host) -> None:
    with make_anthropic(shared.url) as client, pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="nobodys-model", max_tokens=9, messages=say("x"))
    assert caught.value.type == "not_found_error"
    assert "error=destination_not_found" in caught.value.response.headers["proxy-status"]
