"""The official `openai` client accepts what the sandbox says: the client is the oracle of the chat and responses protocols."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from proxy.sandbox import Sandbox

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 2},
        "note": {"type": "string"},
    },
    "required": ["city", "unit", "days"],
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Forecast", "parameters": WEATHER}}
CLOCK_TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
FLAT_TOOL = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
ARGUMENTS = {"city": "Paris", "unit": "celsius", "days": 2}


class Address(BaseModel):
    """A nested member of the structured answer."""

    street: str
    number: int


class Person(BaseModel):
    """The form of a structured answer."""

    name: str
    age: int
    nickname: str | None
    tags: list[str]
    address: Address


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test-sandbox", base_url=f"{sandbox.url}/v1", max_retries=0) as made:
        yield made


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_plain_chat_answer_echoes_the_question_and_counts_tokens(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="some-model", messages=say("Say hi, please"))
    assert "Say hi, please" in answer.choices[0].message.content
    assert "sandbox" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert answer.model == "some-model"
    assert answer.usage.prompt_tokens == 4
    assert answer.usage.total_tokens == 4 + answer.usage.completion_tokens


def test_a_chat_stream_adds_up_to_the_plain_answer(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="m", messages=say("Grüße an 東京 🙂"))
    with client.chat.completions.stream(
        model="m", messages=say("Grüße an 東京 🙂"), stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == plain.choices[0].message.content
    assert "東京 🙂" in final.choices[0].message.content
    assert final.choices[0].message.role == "assistant"
    assert final.usage == plain.usage


def test_several_chat_choices_come_plain_and_streamed(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="m", messages=say("x"), n=3)
    assert [choice.index for choice in plain.choices] == [0, 1, 2]
    with client.chat.completions.stream(model="m", messages=say("x"), n=3) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == [choice.message.content for choice in plain.choices]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_chat_answer_is_cut_at_the_limit(client: OpenAI, name: str) -> None:
    answer = client.chat.completions.create(model="m", messages=say("x"), **{name: 3})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_a_chat_answer_ends_before_a_stop_sequence(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=say("x"), stop=["sandbox"])
    assert answer.choices[0].finish_reason == "stop"
    assert "sandbox" not in answer.choices[0].message.content


def test_a_chat_tool_is_called_when_the_question_speaks_of_it_and_its_result_is_answered(client: OpenAI) -> None:
    asked = say("What will the weather in Paris be?")
    answer = client.chat.completions.create(model="m", messages=asked, tools=[CHAT_TOOL, CLOCK_TOOL])
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert [call.function.name for call in message.tool_calls] == ["get_weather"]
    assert json.loads(message.tool_calls[0].function.arguments) == ARGUMENTS
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}
    after = client.chat.completions.create(model="m", messages=[*asked, message, result], tools=[CHAT_TOOL], tool_choice="required")
    assert "18 degrees" in after.choices[0].message.content


def test_two_chat_tools_are_called_in_one_streamed_answer(client: OpenAI) -> None:
    asked = say("Tell me weather and time in Paris")
    with client.chat.completions.stream(model="m", messages=asked, tools=[CHAT_TOOL, CLOCK_TOOL]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", ARGUMENTS),
        ("get_time", {}),
    ]
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CLOCK_TOOL]}}, ["get_time"]),
    ],
)
def test_the_chat_tool_choice_is_honoured(client: OpenAI, choice: object, called: list[str]) -> None:
    answer = client.chat.completions.create(model="m", messages=say("Hello"), tools=[CHAT_TOOL, CLOCK_TOOL], tool_choice=choice)
    assert [call.function.name for call in answer.choices[0].message.tool_calls or []] == called


def test_a_chat_answer_fits_the_model_it_is_parsed_into(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(model="m", messages=say("Who is Ada?"), response_format=Person).choices[0].message.parsed
    assert isinstance(parsed, Person)
    assert parsed.name == "Ada"


def test_a_chat_answer_in_json_mode_is_an_object(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=say("json"), response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)["sandbox"] is True


def test_legacy_completions_keep_the_protocols_default_limit(client: OpenAI) -> None:
    answer = client.completions.create(model="m", prompt=["Once", "Twice"], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 64


def test_a_legacy_completions_stream_adds_up_to_the_plain_answer(client: OpenAI) -> None:
    plain = client.completions.create(model="m", prompt="Once", max_tokens=500, echo=True)
    steps = list(client.completions.create(model="m", prompt="Once", max_tokens=500, echo=True, stream=True))
    assert "".join(step.choices[0].text for step in steps) == plain.choices[0].text
    assert plain.choices[0].text.startswith("Once")
    assert [step.choices[0].finish_reason for step in steps[-2:]] == [None, "stop"]


def test_a_plain_response_echoes_the_question(client: OpenAI) -> None:
    answer = client.responses.create(
        model="m", input=[{"role": "user", "content": "Say hi"}], instructions="Be kind", metadata={"a": "b"}
    )
    assert "Say hi" in answer.output_text
    assert answer.status == "completed"
    assert (answer.instructions, answer.metadata) == ("Be kind", {"a": "b"})
    assert answer.usage.input_tokens == 4


def test_a_response_stream_adds_up_to_the_plain_response(client: OpenAI) -> None:
    plain = client.responses.create(model="m", input="Say hi")
    with client.responses.stream(model="m", input="Say hi") as stream:
        numbers = [event.sequence_number for event in stream]
        final = stream.get_final_response()
    assert final.output_text == plain.output_text
    assert final.usage == plain.usage
    assert numbers == list(range(len(numbers)))


def test_a_response_is_incomplete_at_the_limit(client: OpenAI) -> None:
    answer = client.responses.create(model="m", input="x", max_output_tokens=16)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    last = list(client.responses.create(model="m", input="x", max_output_tokens=16, stream=True))[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == answer.output_text


def test_a_response_calls_a_function_and_answers_its_output(client: OpenAI) -> None:
    asked = {"role": "user", "content": "The weather in Paris?"}
    with client.responses.stream(model="m", input=[asked], tools=[FLAT_TOOL]) as stream:
        call = stream.get_final_response().output[0]
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", ARGUMENTS)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    history = [asked, {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}, output]
    assert "18 degrees" in client.responses.create(model="m", input=history, tools=[FLAT_TOOL]).output_text


def test_a_response_with_thoughts_and_a_custom_tool_is_read_from_its_stream(client: OpenAI) -> None:
    asked = {"role": "user", "content": "Use apply_patch"}
    tool = {"type": "custom", "name": "apply_patch"}
    more: dict[str, Any] = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"], "store": False}
    with client.responses.stream(model="m", input=[asked], tools=[tool], **more) as stream:
        thought, call = stream.get_final_response().output
    assert (thought.type, bool(thought.summary[0].text), thought.encrypted_content) == ("reasoning", True, "c2FuZGJveA==")
    assert (call.type, call.name, call.input.splitlines()[0]) == ("custom_tool_call", "apply_patch", "*** Begin Patch")
    output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "patched"}
    after = client.responses.create(model="m", input=[asked, thought, call, output], tools=[tool], **more)
    assert "patched" in after.output_text
    assert after.usage.output_tokens_details.reasoning_tokens > 0


def test_a_response_fits_the_model_it_is_parsed_into(client: OpenAI) -> None:
    assert client.responses.parse(model="m", input="Who is Ada?", text_format=Person).output_parsed.name == "Ada"


def test_the_tokens_of_a_response_can_be_counted_beforehand(client: OpenAI) -> None:
    assert client.responses.input_tokens.count(model="m", input="one two, three").input_tokens == 4


def test_the_asynchronous_client_streams_chat_and_responses(sandbox: Sandbox) -> None:
    async def main() -> tuple[str, str]:
        async with AsyncOpenAI(api_key="sk-test-sandbox", base_url=f"{sandbox.url}/v1", max_retries=0) as client:
            chunks = [chunk async for chunk in await client.chat.completions.create(model="m", messages=say("One"), stream=True)]
            async with client.responses.stream(model="m", input="Two") as stream:
                final = await stream.get_final_response()
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks), final.output_text

    chat, response = asyncio.run(main())
    assert '"One"' in chat
    assert '"Two"' in response


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
def test_faults_become_the_clients_error_classes(client: OpenAI, fault: str, error: type[openai.APIStatusError]) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(model="m", messages=say("x"), extra_headers={"X-Sandbox-Fault": fault})
    assert caught.value.status_code == int(fault)
    assert caught.value.request_id.startswith("req_")


def test_a_limit_says_when_to_come_back(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.responses.create(model="m", input="x", extra_headers={"X-Sandbox-Fault": "429"})
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_missing_model_is_a_bad_request_that_names_it(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="", messages=say("x"))
    assert caught.value.param == "model"
