"""The official `openai` client accepts what the sandbox says: the client is the oracle of the chat and responses protocols."""

import asyncio
import base64
import json
import math
import struct
import urllib.request
import zlib
from collections.abc import Iterator

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


def test_a_response_fits_the_model_it_is_parsed_into(client: OpenAI) -> None:
    assert client.responses.parse(model="m", input="Who is Ada?", text_format=Person).output_parsed.name == "Ada"


def test_the_tokens_of_a_response_can_be_counted_beforehand(client: OpenAI) -> None:
    assert client.responses.input_tokens.count(model="m", input="one two, three").input_tokens == 4


def test_embeddings_are_the_same_as_numbers_and_as_base64(client: OpenAI) -> None:
    numbers = client.embeddings.create(model="m", input=["red apple", "red pear", "ship"], encoding_format="float", dimensions=256)
    default = client.embeddings.create(model="m", input=["red apple", "red pear", "ship"], dimensions=256)
    vectors = [entry.embedding for entry in numbers.data]
    assert [entry.embedding for entry in default.data] == vectors
    assert [len(vector) for vector in vectors] == [256] * 3
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-5) for vector in vectors)
    apple, pear, ship = vectors
    assert dot(apple, pear) > dot(apple, ship)
    assert numbers.usage.total_tokens == 5


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_models_are_listed_and_described(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "sandbox-chat" in names
    assert client.models.retrieve("ft:any/name").id == "ft:any/name"


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, after checking its signature, every checksum, and that its pixels are all there."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, pixels, size = 8, b"", (0, 0)
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        content = data[position + 8 : position + 8 + length]
        assert struct.unpack(">I", data[position + 8 + length : position + 12 + length])[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            size = struct.unpack(">II", content[:8])
        if kind == b"IDAT":
            pixels += content
        position += 12 + length
    assert len(zlib.decompress(pixels)) == (size[0] + 1) * size[1]
    return size


def test_generated_pictures_are_real_files_of_the_size_asked_for(client: OpenAI) -> None:
    answer = client.images.generate(model="m", prompt="A cat", n=2, size="1536x1024")
    pictures = [base64.b64decode(entry.b64_json, validate=True) for entry in answer.data]
    assert [png_size(picture) for picture in pictures] == [(1536, 1024)] * 2
    assert pictures[0] != pictures[1]


def test_a_picture_by_url_is_served_by_the_sandbox(client: OpenAI, sandbox: Sandbox) -> None:
    url = client.images.generate(model="m", prompt="A cat", response_format="url", size="64x32").data[0].url
    assert url.startswith(sandbox.url)
    with urllib.request.urlopen(url) as got:
        assert got.headers["Content-Type"] == "image/png"
        assert png_size(got.read()) == (64, 32)


def test_a_picture_is_edited_from_a_multipart_form(client: OpenAI) -> None:
    answer = client.images.edit(model="m", prompt="Add a hat", image=[("a.png", b"abc"), ("b.png", b"def")], n=2, size="64x64")
    assert [png_size(base64.b64decode(entry.b64_json)) for entry in answer.data] == [(64, 64)] * 2
    assert answer.usage.input_tokens_details.image_tokens == 128


def test_an_edit_without_a_picture_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="image"):
        client.post("/images/edits", body={"prompt": "x"}, cast_to=object)


def test_a_picture_stream_shows_partial_pictures_first(client: OpenAI) -> None:
    events = list(client.images.generate(model="m", prompt="A cat", stream=True, partial_images=2, size="64x64"))
    assert [event.type.rpartition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
    assert png_size(base64.b64decode(events[-1].b64_json)) == (64, 64)
    edited = list(client.images.edit(model="m", prompt="x", image=b"abc", stream=True, size="64x64"))
    assert [event.type for event in edited] == ["image_edit.completed"]


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
