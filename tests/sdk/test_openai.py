"""The official `openai` client through the gateway, unchanged but for `base_url`."""

import asyncio
import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultHttpxClient, OpenAI

from tests.sdk.clients import CHAT_TOOL, FLAT_TOOL, GPT, KEY, httpx, make_openai, say
from tests.sdk.host import Host

ARGUMENTS = {"city": "Paris", "days": 2}
PICTURE = bytes(range(256)) * 1200  # no real picture: the sandbox only weighs it, and every byte value occurs

# The sandbox reads forms with aiohttp's reader, which warns about a call of its own when a part ends in the middle of a read.
MULTIPART = pytest.mark.filterwarnings(r"ignore:unread_data\(\) is deprecated:DeprecationWarning")


@pytest.fixture(scope="session", params=["/openai/v1", "/v1"], ids=["with the platform", "by model"])
def client(shared: Host, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    """One client with the platform in its base URL and one without, where the model decides."""
    with make_openai(shared.url + request.param) as made:
        yield made


@pytest.fixture(scope="session")
def prefixed(shared: Host) -> Iterator[OpenAI]:
    with make_openai(shared.url + "/openai/v1") as made:
        yield made


def test_a_plain_chat_answer_arrives_whole(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=GPT, messages=say("Grüße an 東京 🙂"))
    assert "Grüße an 東京 🙂" in answer.choices[0].message.content
    assert (answer.model, answer.choices[0].finish_reason) == (GPT, "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_chat_stream_adds_up_to_the_plain_answer(client: OpenAI) -> None:
    plain = client.chat.completions.create(model=GPT, messages=say("Grüße an 東京 🙂"))
    asked: Any = {"model": GPT, "messages": say("Grüße an 東京 🙂"), "stream_options": {"include_usage": True}}
    with client.chat.completions.stream(**asked) as stream:
        events = sum(1 for _ in stream)
        final = stream.get_final_completion()
    assert events > 5
    assert final.choices[0].message.content == plain.choices[0].message.content
    assert final.usage == plain.usage


def test_a_chat_tool_is_called_and_its_result_answered(client: OpenAI) -> None:
    asked = say("What will the weather in Paris be?")
    message = client.chat.completions.create(model=GPT, messages=asked, tools=[CHAT_TOOL]).choices[0].message
    assert [(call.function.name, "city" in json.loads(call.function.arguments)) for call in message.tool_calls] == [
        ("get_weather", True)
    ]
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}
    after = client.chat.completions.create(model=GPT, messages=[*asked, message, result], tools=[CHAT_TOOL])
    assert "18 degrees" in after.choices[0].message.content


def test_a_streamed_tool_call_adds_up_to_the_plain_one(client: OpenAI) -> None:
    asked: Any = {"model": GPT, "messages": say("The weather in Paris?"), "tools": [CHAT_TOOL]}
    plain = client.chat.completions.create(**asked).choices[0].message.tool_calls[0].function
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls[0].function
    assert (final.name, json.loads(final.arguments)) == (plain.name, json.loads(plain.arguments))


def test_a_plain_response_arrives_whole(client: OpenAI) -> None:
    answer = client.responses.create(model=GPT, input="Say hi", metadata={"a": "b"})
    assert "Say hi" in answer.output_text
    assert (answer.status, answer.metadata) == ("completed", {"a": "b"})


def test_a_response_stream_adds_up_to_the_plain_response_and_misses_no_event(client: OpenAI) -> None:
    plain = client.responses.create(model=GPT, input="Say hi")
    with client.responses.stream(model=GPT, input="Say hi") as stream:
        numbers = [event.sequence_number for event in stream]
        final = stream.get_final_response()
    assert (final.output_text, final.usage) == (plain.output_text, plain.usage)
    assert numbers == list(range(len(numbers)))


def test_a_response_calls_a_function_and_answers_its_output(client: OpenAI) -> None:
    asked: Any = {"role": "user", "content": "The weather in Paris?"}
    with client.responses.stream(model=GPT, input=[asked], tools=[FLAT_TOOL]) as stream:
        call = stream.get_final_response().output[0]
    assert (call.type, call.name) == ("function_call", "get_weather")
    history: Any = [
        asked,
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"},
    ]
    assert "18 degrees" in client.responses.create(model=GPT, input=history, tools=[FLAT_TOOL]).output_text


def test_embeddings_are_the_same_as_numbers_and_as_base64(client: OpenAI) -> None:
    asked: Any = {"model": "text-embedding-test", "input": ["red apple", "ship"]}
    numbers = client.embeddings.create(**asked, encoding_format="float", dimensions=64)
    default = client.embeddings.create(**asked)
    assert [(entry.index, len(entry.embedding)) for entry in numbers.data] == [(0, 64), (1, 64)]
    assert [entry.embedding for entry in default.data] == [entry.embedding[:2] for entry in numbers.data]
    assert numbers.model == "text-embedding-test"


@MULTIPART
def test_a_picture_is_edited_from_a_multipart_form(client: OpenAI) -> None:
    answer = client.images.edit(model="gpt-image-test", prompt="Add a hat", image=("a.png", PICTURE, "image/png"), size="64x32")
    picture = base64.b64decode(answer.data[0].b64_json, validate=True)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (64, 32)


def test_a_generated_picture_of_some_size_arrives_whole(client: OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-test", prompt="A cat", n=2, size="1024x1024")
    pictures = [base64.b64decode(entry.b64_json, validate=True) for entry in answer.data]
    assert [picture[-8:-4] for picture in pictures] == [b"IEND", b"IEND"]


def test_a_model_is_described(client: OpenAI) -> None:
    assert client.models.retrieve(GPT).id == GPT


def test_models_are_listed(prefixed: OpenAI) -> None:
    assert "gpt-4o" in [model.id for model in prefixed.models.list()]


def test_a_model_with_a_slash_in_its_name_keeps_its_encoded_slash(prefixed: OpenAI) -> None:
    assert prefixed.models.retrieve("ft:gpt-test:org/x").id == "ft:gpt-test:org/x"


def test_the_asynchronous_client_gets_chat_responses_and_embeddings_at_once(shared: Host) -> None:
    async def main() -> tuple[str, str, int]:
        async with AsyncOpenAI(api_key=KEY, base_url=f"{shared.url}/openai/v1", max_retries=0) as client:
            chat, response, embedding = await asyncio.gather(
                client.chat.completions.create(model=GPT, messages=say("One")),
                client.responses.create(model=GPT, input="Two"),
                client.embeddings.create(model="text-embedding-test", input="Three", dimensions=8, encoding_format="float"),
            )
        return chat.choices[0].message.content or "", response.output_text, len(embedding.data[0].embedding)

    chat, response, length = asyncio.run(main())
    assert '"One"' in chat
    assert '"Two"' in response
    assert length == 8


def test_twenty_streams_of_the_asynchronous_client_do_not_mix(shared: Host) -> None:
    async def one(client: AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(model=GPT, messages=say(f"number {number}."), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def main() -> list[str]:
        async with AsyncOpenAI(api_key=KEY, base_url=f"{shared.url}/openai/v1", max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(20)))

    texts = asyncio.run(main())
    assert [f'"number {number}."' in text for number, text in enumerate(texts)] == [True] * 20
    assert len({text.replace(f"number {number}.", "") for number, text in enumerate(texts)}) == 1


def test_the_headers_of_the_upstream_are_the_headers_the_client_sees(prefixed: OpenAI, shared: Host) -> None:
    with make_openai(shared.sandbox.url + "/v1") as direct:
        plain, theirs = (
            one.chat.completions.with_raw_response.create(model=GPT, messages=say("x")).headers for one in (prefixed, direct)
        )
    ours = dict(plain)
    assert ours.keys() == dict(theirs).keys()
    changing = {"date", "x-request-id"}
    assert {name: ours[name] for name in ours.keys() - changing} == {name: theirs[name] for name in ours.keys() - changing}
    assert ours["x-request-id"].startswith("req_")


def test_the_headers_of_a_stream_gain_only_what_keeps_it_unbuffered(prefixed: OpenAI, shared: Host) -> None:
    with make_openai(shared.sandbox.url + "/v1") as direct:
        heads = []
        for one in (prefixed, direct):
            with one.chat.completions.with_streaming_response.create(model=GPT, messages=say("x"), stream=True) as answer:
                heads.append(dict(answer.headers))
                answer.read()
    ours, theirs = heads
    assert ours.keys() - theirs.keys() == {"x-accel-buffering"}
    assert theirs.keys() <= ours.keys()
    assert ours["content-type"] == theirs["content-type"]


@MULTIPART
def test_a_multipart_form_goes_up_byte_for_byte_and_the_answer_comes_down_so(recorded: Host) -> None:
    forms = []

    def keep(request: httpx.Request) -> None:
        forms.append((request.read(), dict(request.headers)))

    with (
        DefaultHttpxClient(event_hooks={"request": [keep]}) as http,
        make_openai(recorded.url + "/v1", http_client=http) as client,
    ):
        answer = client.images.with_raw_response.edit(
            model="gpt-image-test", prompt="Grüße 🎩", image=[("a.png", PICTURE), ("b.png", b"\r\n--x--\r\n")], size="64x64"
        )
        received = answer.http_response.content
    (body, said), exchange = forms[0], recorded.recorded.only()
    head, sent = exchange.request()
    assert sent == body
    assert PICTURE in sent
    assert head.get(b"content-type") == said["content-type"].encode()
    assert head.get(b"content-length") == b"%d" % len(body)
    assert exchange.answer()[1] == received


def test_the_request_arrives_as_the_client_said_it_but_for_the_key(recorded: Host) -> None:
    heads: list[dict[str, str]] = []
    with (
        DefaultHttpxClient(event_hooks={"request": [lambda request: heads.append(dict(request.headers))]}) as http,
        make_openai(recorded.url + "/openai/v1", http_client=http, organization="org-test") as client,
    ):
        client.chat.completions.create(model=GPT, messages=say("x"), extra_headers={"X-Own": "a,  b;c"})
    head, _ = recorded.recorded.only().request()
    arrived = {name.decode().lower(): value.decode("latin-1") for name, value in head.fields}
    assert arrived.pop("authorization") == "Bearer sandbox"
    assert arrived.pop("host") == recorded.recorded.url.removeprefix("http://")
    assert arrived.pop("via") == "1.1 dragoman"
    said = {name: value for name, value in heads[0].items() if name not in ("authorization", "host", "connection")}
    assert arrived["x-own"] == "a,  b;c"
    assert arrived == said
    assert KEY.encode() not in recorded.recorded.heard()
