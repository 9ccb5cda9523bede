"""The official `anthropic` client accepts what the sandbox says: the client is the oracle of the messages protocol."""

import asyncio
from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from proxy.sandbox import Sandbox

TOOL = {
    "name": "get_weather",
    "description": "Forecast",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
CLOCK = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}


class Person(BaseModel):
    """The form of a structured answer."""

    name: str
    age: int


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Iterator[Anthropic]:
    with Anthropic(api_key="sk-test-sandbox", base_url=sandbox.url, max_retries=0) as made:
        yield made


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_plain_message_echoes_the_question_and_counts_tokens(client: Anthropic) -> None:
    answer = client.messages.create(model="some-model", max_tokens=500, messages=say("Say hi, please"), system="Be kind")
    assert "Say hi, please" in answer.content[0].text
    assert (answer.stop_reason, answer.model) == ("end_turn", "some-model")
    assert answer.usage.input_tokens == 6


def test_a_message_stream_adds_up_to_the_plain_message(client: Anthropic) -> None:
    plain = client.messages.create(model="m", max_tokens=500, messages=say("Grüße an 東京 🙂"))
    with client.messages.stream(model="m", max_tokens=500, messages=say("Grüße an 東京 🙂")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == plain.content[0].text
    assert final.content[0].text == text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == plain.usage.output_tokens


def test_a_message_is_cut_at_the_limit(client: Anthropic) -> None:
    answer = client.messages.create(model="m", max_tokens=3, messages=say("x"))
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


def test_a_message_names_the_stop_sequence_it_ended_at(client: Anthropic) -> None:
    answer = client.messages.create(model="m", max_tokens=300, messages=say("x"), stop_sequences=["speaking"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "speaking")
    assert answer.content[0].text.endswith("sandbox ")


def test_tools_are_called_after_an_announcement_and_their_results_answered(client: Anthropic) -> None:
    asked = say("Tell me weather and time in Paris")
    with client.messages.stream(model="m", max_tokens=500, messages=asked, tools=[TOOL, CLOCK]) as stream:
        final = stream.get_final_message()
    text, weather, clock = final.content
    assert "get_weather and get_time" in text.text
    assert (weather.name, weather.input) == ("get_weather", {"city": "Paris"})
    assert (clock.name, clock.input) == ("get_time", {})
    assert final.stop_reason == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": f"{block.name} done"} for block in (weather, clock)]
    history = [*asked, {"role": "assistant", "content": final.content}, {"role": "user", "content": results}]
    after = client.messages.create(model="m", max_tokens=500, messages=history, tools=[TOOL, CLOCK])
    assert "get_weather done get_time done" in after.content[0].text


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "auto"}, []),
        ({"type": "none"}, []),
        ({"type": "any"}, ["get_weather"]),
        ({"type": "tool", "name": "get_time"}, ["get_time"]),
    ],
)
def test_the_tool_choice_is_honoured(client: Anthropic, choice: dict[str, str], called: list[str]) -> None:
    answer = client.messages.create(model="m", max_tokens=300, messages=say("Hello"), tools=[TOOL, CLOCK], tool_choice=choice)
    assert [block.name for block in answer.content if block.type == "tool_use"] == called


def test_a_message_fits_the_model_it_is_parsed_into(client: Anthropic) -> None:
    parsed = client.messages.parse(model="m", max_tokens=300, messages=say("Who is Ada?"), output_format=Person).parsed_output
    assert isinstance(parsed, Person)
    assert parsed.name == "Ada"


def test_thinking_is_read_from_its_stream_with_its_signature(client: Anthropic) -> None:
    asked = say("Tell me the weather in Paris")
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(model="m", max_tokens=2000, messages=asked, tools=[TOOL], thinking=thinking) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use"]
    assert (bool(final.content[0].thinking), final.content[0].signature) == (True, "c2FuZGJveA==")
    result = {"type": "tool_result", "tool_use_id": final.content[2].id, "content": "18 degrees"}
    history = [*asked, {"role": "assistant", "content": final.content}, {"role": "user", "content": [result]}]
    after = client.messages.create(model="m", max_tokens=2000, messages=history, tools=[TOOL], thinking=thinking)
    assert "18 degrees" in after.content[-1].text


def test_tokens_are_counted_beforehand_as_in_the_answer(client: Anthropic) -> None:
    counted = client.messages.count_tokens(model="m", messages=say("one two, three"), tools=[TOOL])
    answered = client.messages.create(model="m", max_tokens=9, messages=say("one two, three"), tools=[TOOL])
    assert counted.input_tokens == answered.usage.input_tokens > 4


def test_the_asynchronous_client_streams(sandbox: Sandbox) -> None:
    async def main() -> str:
        async with (
            AsyncAnthropic(api_key="sk-test-sandbox", base_url=sandbox.url, max_retries=0) as client,
            client.messages.stream(model="m", max_tokens=300, messages=say("One")) as stream,
        ):
            return await stream.get_final_text()

    assert '"One"' in asyncio.run(main())


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
def test_faults_become_the_clients_error_classes(
    client: Anthropic, fault: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        client.messages.create(model="m", max_tokens=9, messages=say("x"), extra_headers={"X-Sandbox-Fault": fault})
    assert (caught.value.status_code, caught.value.type) == (int(fault), kind)
    assert caught.value.request_id == caught.value.body["request_id"]


def test_a_limit_says_when_to_come_back(client: Anthropic) -> None:
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(model="m", max_tokens=9, messages=say("x"), extra_headers={"X-Sandbox-Fault": "429"})
    headers = caught.value.response.headers
    assert headers["retry-after"] == "1"
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")


def test_a_missing_limit_is_a_bad_request(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        client.post("/v1/messages", body={"model": "m", "messages": say("x")}, cast_to=object)
