"""The official `google-genai` client through the gateway, unchanged but for `base_url`."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.sdk.clients import FUNCTION, GEMINI, KEY, asking_for, httpx, make_genai
from tests.sdk.host import Host

# The SDK inherits from a class of aiohttp's that warns about it; nothing of ours is concerned.
ASYNCHRONOUS = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest.fixture(
    scope="session",
    params=[("/gemini", "v1"), ("/gemini", "v1beta"), ("", "v1beta")],
    ids=["with the platform, v1", "with the platform, v1beta", "by model"],
)
def client(shared: Host, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    """Clients with the platform in their base URL and one without, where the model in the path decides."""
    prefix, version = request.param
    made = make_genai(shared.url + prefix, api_version=version)
    yield made
    made.close()


def test_a_plain_answer_arrives_whole(client: genai.Client) -> None:
    answer = client.models.generate_content(model=GEMINI, contents="Grüße an 東京 🙂")
    assert "Grüße an 東京 🙂" in answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.model_version == GEMINI


def test_a_stream_adds_up_to_the_plain_answer(client: genai.Client) -> None:
    plain = client.models.generate_content(model=GEMINI, contents="Grüße an 東京 🙂")
    chunks = list(client.models.generate_content_stream(model=GEMINI, contents="Grüße an 東京 🙂"))
    assert len(chunks) > 5
    assert "".join(chunk.text for chunk in chunks) == plain.text
    assert chunks[-1].usage_metadata == plain.usage_metadata


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_is_called_and_its_result_answered(client: genai.Client, streamed: bool) -> None:
    config = types.GenerateContentConfig(tools=[FUNCTION])
    asked = types.UserContent("The weather in Paris?")
    if streamed:
        answer = list(client.models.generate_content_stream(model=GEMINI, contents=[asked], config=config))[-1]
    else:
        answer = client.models.generate_content(model=GEMINI, contents=[asked], config=config)
    assert [(call.name, call.args["city"]) for call in answer.function_calls] == [("get_weather", "Paris")]
    result = types.Part.from_function_response(name="get_weather", response={"result": "18 degrees"})
    history: Any = [asked, answer.candidates[0].content, types.UserContent([result])]
    assert "18 degrees" in client.models.generate_content(model=GEMINI, contents=history, config=config).text


def test_embeddings_arrive_whole(client: genai.Client) -> None:
    config = types.EmbedContentConfig(output_dimensionality=8)
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=config)
    assert [len(entry.values) for entry in answer.embeddings] == [8, 8]


def test_tokens_are_counted(client: genai.Client) -> None:
    assert client.models.count_tokens(model=GEMINI, contents="one two, three").total_tokens == 4


def test_a_model_is_described(client: genai.Client) -> None:
    assert client.models.get(model=GEMINI).name == f"models/{GEMINI}"


def test_models_are_listed(shared: Host) -> None:
    client = make_genai(shared.url + "/gemini", api_version="v1beta")
    names = [model.name for model in client.models.list()]
    client.close()
    assert "models/gemini-3.5-flash" in names


@ASYNCHRONOUS
def test_the_asynchronous_client_gets_a_plain_and_a_streamed_answer_at_once(shared: Host) -> None:
    async def main() -> tuple[str, str]:
        client = make_genai(shared.url + "/gemini")

        async def streamed() -> str:
            chunks = await client.aio.models.generate_content_stream(model=GEMINI, contents="Same")
            return "".join([chunk.text or "" async for chunk in chunks])

        try:
            plain, text = await asyncio.gather(client.aio.models.generate_content(model=GEMINI, contents="Same"), streamed())
        finally:
            await client.aio.aclose()
            client.close()
        return plain.text or "", text

    plain, text = asyncio.run(main())
    assert '"Same"' in plain
    assert text == plain


@pytest.mark.parametrize(
    ("fault", "state", "error"),
    [
        ("429", "RESOURCE_EXHAUSTED", errors.ClientError),
        ("500", "INTERNAL", errors.ServerError),
        ("503", "UNAVAILABLE", errors.ServerError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_I03_an_upstreams_error_becomes_the_clients_error(
    client: genai.Client, fault: str, state: str, error: type[errors.APIError], streamed: bool
) -> None:
    asked: Any = {"model": GEMINI, "contents": "x", "config": asking_for(fault)}
    ask: Any = client.models.generate_content_stream if streamed else client.models.generate_content
    with pytest.raises(error) as caught:
        list(ask(**asked))
    assert (caught.value.code, caught.value.status) == (int(fault), state)
    assert "proxy-status" not in caught.value.response.headers


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_I05_a_plain_answer_that_breaks_is_a_connection_error(client: genai.Client, fault: str) -> None:
    with pytest.raises(httpx.TransportError):
        client.models.generate_content(model=GEMINI, contents="x", config=asking_for(fault))


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_I07_a_stream_that_breaks_never_ends_cleanly(client: genai.Client, fault: str) -> None:
    seen = []
    with pytest.raises((httpx.TransportError, errors.APIError)):
        seen.extend(client.models.generate_content_stream(model=GEMINI, contents="x", config=asking_for(fault)))
    assert seen
    assert all(chunk.candidates[0].finish_reason is None for chunk in seen)


def test_the_request_gets_the_gateways_key(recorded: Host) -> None:
    client = make_genai(recorded.url + "/gemini")
    client.models.generate_content(model=GEMINI, contents="x")
    client.close()
    head, _ = recorded.recorded.only().request()
    assert head.all(b"x-goog-api-key") == [b"sandbox"]
    assert head.get(b"x-goog-api-client") is not None
    assert KEY.encode() not in recorded.recorded.heard()


def test_I01_a_refusal_of_the_gateway_speaks_the_protocol_of_the_client(shared: Host) -> None:
    client = make_genai(shared.url)
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="nobodys-model", contents="x")
    client.close()
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
