"""The official `google-genai` client accepts what the sandbox says: the client is the oracle of the generate protocol."""

import asyncio
from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from proxy.sandbox import Sandbox

TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Forecast",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"city": types.Schema(type=types.Type.STRING), "days": types.Schema(type=types.Type.INTEGER)},
                required=["city", "days"],
            ),
        ),
        types.FunctionDeclaration(name="get_time", parameters_json_schema={"type": "object", "properties": {}}),
    ]
)


class Person(BaseModel):
    """The form of a structured answer."""

    name: str
    age: int


@pytest.fixture(scope="module", params=["v1", "v1beta"])
def client(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=sandbox.url, api_version=request.param)
    made = genai.Client(api_key="test-sandbox", http_options=options)
    yield made
    made.close()


def test_a_plain_answer_echoes_the_question_and_counts_tokens(client: genai.Client) -> None:
    config = types.GenerateContentConfig(system_instruction="Be kind")
    answer = client.models.generate_content(model="some-model", contents="Say hi, please", config=config)
    assert "Say hi, please" in answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.model_version == "some-model"
    assert answer.usage_metadata.prompt_token_count == 6


def test_a_stream_adds_up_to_the_plain_answer(client: genai.Client) -> None:
    plain = client.models.generate_content(model="m", contents="Grüße an 東京 🙂")
    chunks = list(client.models.generate_content_stream(model="m", contents="Grüße an 東京 🙂"))
    assert "".join(chunk.text for chunk in chunks) == plain.text
    assert [chunk.candidates[0].finish_reason for chunk in chunks[-2:]] == [None, types.FinishReason.STOP]
    assert chunks[-1].usage_metadata == plain.usage_metadata
    assert len({chunk.response_id for chunk in chunks}) == 1


def test_an_answer_is_cut_at_the_limit(client: genai.Client) -> None:
    answer = client.models.generate_content(model="m", contents="x", config=types.GenerateContentConfig(max_output_tokens=3))
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert answer.usage_metadata.candidates_token_count == 3


def test_several_candidates_come_when_asked_for(client: genai.Client) -> None:
    answer = client.models.generate_content(model="m", contents="x", config=types.GenerateContentConfig(candidate_count=2))
    assert [candidate.index for candidate in answer.candidates] == [0, 1]


@pytest.mark.parametrize("streamed", [False, True])
def test_functions_are_called_and_their_results_answered(client: genai.Client, streamed: bool) -> None:
    config = types.GenerateContentConfig(tools=[TOOL])
    asked = types.UserContent("Tell me weather and time in Paris")
    if streamed:
        answer = list(client.models.generate_content_stream(model="m", contents=[asked], config=config))[-1]
    else:
        answer = client.models.generate_content(model="m", contents=[asked], config=config)
    calls = answer.function_calls
    assert [(call.name, call.args) for call in calls] == [("get_weather", {"city": "Paris", "days": 1}), ("get_time", {})]
    assert [bool(part.thought_signature) for part in answer.candidates[0].content.parts] == [True, False]
    results = [types.Part.from_function_response(name=call.name, response={"result": f"{call.name} done"}) for call in calls]
    history = [asked, answer.candidates[0].content, types.UserContent(results)]
    after = client.models.generate_content(model="m", contents=history, config=config)
    assert "get_weather done" in after.text
    assert "get_time done" in after.text


@pytest.mark.parametrize(("mode", "called"), [("AUTO", []), ("NONE", []), ("ANY", ["get_time"])])
def test_the_calling_mode_is_honoured(client: genai.Client, mode: str, called: list[str]) -> None:
    names = ["get_time"] if mode == "ANY" else None
    calling = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=mode, allowed_function_names=names))
    config = types.GenerateContentConfig(tools=[TOOL], tool_config=calling)
    answer = client.models.generate_content(model="m", contents="Hello", config=config)
    assert [call.name for call in answer.function_calls or []] == called


def test_an_answer_fits_the_model_it_is_parsed_into(client: genai.Client) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Person)
    parsed = client.models.generate_content(model="m", contents="Who is Ada?", config=config).parsed
    assert isinstance(parsed, Person)
    assert parsed.name == "Ada"


def test_tokens_are_counted(client: genai.Client) -> None:
    assert client.models.count_tokens(model="m", contents="one two, three").total_tokens == 4


# The SDK inherits from a class of aiohttp's that warns about it; nothing of ours is concerned.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
def test_the_asynchronous_client_streams(sandbox: Sandbox) -> None:
    async def main() -> str:
        client = genai.Client(api_key="test-sandbox", http_options=types.HttpOptions(base_url=sandbox.url))
        try:
            chunks = await client.aio.models.generate_content_stream(model="m", contents="One")
            return "".join([chunk.text or "" async for chunk in chunks])
        finally:
            await client.aio.aclose()
            client.close()

    assert '"One"' in asyncio.run(main())


@pytest.mark.parametrize(("fault", "state"), [("429", "RESOURCE_EXHAUSTED"), ("503", "UNAVAILABLE"), ("500", "INTERNAL")])
def test_faults_become_the_clients_errors(client: genai.Client, fault: str, state: str) -> None:
    config = types.GenerateContentConfig(http_options=types.HttpOptions(headers={"X-Sandbox-Fault": fault}))
    with pytest.raises(errors.APIError) as caught:
        client.models.generate_content(model="m", contents="x", config=config)
    assert (caught.value.code, caught.value.status) == (int(fault), state)
