"""Generate on either side of chat, where the sheets and the official client say more than the first tests looked at."""

import copy
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import _api_client, types

from tests.interpreters.readers import WORLD, read_chat_stream
from tests.interpreters.readers_generate import read_generate_stream
from tests.translators.rulefiles import read
from translators.interpreters.base import DONE, Ask, Event, FailedError, Interpreter, Settings, UntranslatableError
from translators.interpreters.chat_to_generate import ChatToGenerate
from translators.interpreters.failures import read_failure
from translators.interpreters.generate_to_chat import GenerateToChat
from translators.interpreters.wire import CLIENT_PATHS, COUNTING_PATHS, spellings
from translators.interpreters.wire import asked as wire_asked
from translators.model import Platform, Protocol, Spoken
from translators.paths import parse_pattern
from translators.runtime.steps import Incoming, Reply
from translators.runtime.translated import prepared

PNG = "iVBORw0KGgo="
URL = f"data:image/png;base64,{PNG}"
PIXEL = {"inlineData": {"mimeType": "image/png", "data": PNG}}
HI = {"role": "user", "parts": [{"text": "hi"}]}


def asked(pair: type[Interpreter], body: dict[str, Any], **settings: Any) -> tuple[dict[str, Any], list[str]]:
    """The platform's request, and what was left out."""
    before = copy.deepcopy(body)
    interpreter = pair(Settings(**settings), WORLD)
    made = interpreter.request(Ask(body, "m", stream=False), {}).body
    assert body == before
    return made, interpreter.dropped


def contents(*said: dict[str, Any], **settings: Any) -> list[Any]:
    made: list[Any] = asked(GenerateToChat, {"contents": list(said)}, **settings)[0]["messages"]
    return made


def messages(*said: dict[str, Any], **settings: Any) -> list[Any]:
    made: list[Any] = asked(ChatToGenerate, {"messages": list(said)}, **settings)[0]["contents"]
    return made


def refused(pair: type[Interpreter], body: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(UntranslatableError) as caught:
        asked(pair, body, **settings)
    return caught.value.path


def streamed(interpreter: Interpreter, *pieces: Any) -> list[Event]:
    return [out for data in pieces for out in interpreter.event(Event(None, data))] + interpreter.end()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice]}


def piece(*parts: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0} | ({"finishReason": finish} if finish else {})
    return {"candidates": [candidate], "modelVersion": "gm", "responseId": "abc"}


# --- a generate client: requests (G2) ---


def test_results_may_be_said_by_a_content_whose_role_is_tool() -> None:
    """As the documentation of the official client writes them."""
    answered = types.Content(role="tool", parts=[types.Part.from_function_response(name="f", response={"a": 1})])
    said = answered.model_dump(mode="json", exclude_none=True)
    called = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    assert contents(HI, called, said)[-1] == {"role": "tool", "tool_call_id": "call_0", "content": '{"a":1}'}


@pytest.mark.parametrize("role", ["user", "model"])
@pytest.mark.parametrize(
    "part",
    [
        {"text": "a", **PIXEL},
        {"text": "a", "function_call": {"name": "f", "args": {}}},
        {"functionCall": {"name": "f"}, "functionResponse": {"name": "f", "response": {}}},
        {"toolCall": {"id": "x"}, "thoughtSignature": "QQ=="},
        {"somethingNew": {"x": 1}, "thought": True},
    ],
)
def test_a_part_of_two_kinds_or_of_an_unknown_one_is_refused_and_never_lost(role: str, part: dict[str, Any]) -> None:
    body = {"contents": [HI, {"role": role, "parts": [part]}]}
    assert refused(GenerateToChat, body, unsupported="drop") == "contents[1].parts[0]"


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ([{**HI, "note": 1}], "contents[0].note"),
        ([{"parts": [{"text": "a", "label": "x"}]}], "contents[0].parts[0].label"),
        ([HI, {"role": "model", "parts": [{"text": "a", "part_metadata": {"x": 1}}]}], "contents[1].parts[0].partMetadata"),
        ([HI, {"role": "model", "parts": [{"functionCall": {"name": "f", "willContinue": True}}]}],
            "contents[1].parts[0].functionCall.willContinue"),
        ([HI, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
            {"parts": [{"functionResponse": {"name": "f", "response": {}, "scheduling": "SILENT"}}]}],
            "contents[2].parts[0].functionResponse.scheduling"),
    ],
)  # fmt: skip
def test_what_stands_beside_what_a_part_holds_is_left_out_by_name(said: list[Any], path: str) -> None:
    assert refused(GenerateToChat, {"contents": said}) == path
    assert asked(GenerateToChat, {"contents": said}, unsupported="drop")[1] == [path]


@pytest.mark.parametrize("key", ["responseSchema", "response_json_schema"])
@pytest.mark.parametrize("kind", [{}, {"responseMimeType": "text/plain"}])
def test_a_schema_without_its_media_type_is_not_lost_in_silence(key: str, kind: dict[str, str]) -> None:
    body = {"contents": [HI], "generationConfig": {key: {"type": "object"}, **kind}}
    path = "generationConfig.responseSchema" if key == "responseSchema" else "generationConfig.responseJsonSchema"
    assert refused(GenerateToChat, body) == path
    made, dropped = asked(GenerateToChat, body, unsupported="drop")
    assert "response_format" not in made
    assert dropped == [path]


def test_a_schema_of_a_map_and_of_itself_is_json_schema() -> None:
    """The official client writes `additional_properties` in a schema of its own types; references are of its other platform."""
    text = types.Schema(type=types.Type.STRING)
    tree = types.Schema(type=types.Type.OBJECT, properties={"next": types.Schema(ref="#/defs/tree")})
    schema = types.Schema(type=types.Type.OBJECT, additional_properties=text, defs={"tree": tree})
    said = schema.model_dump(mode="json", exclude_none=True)
    tools = [{"functionDeclarations": [{"name": "f", "parameters": said}]}]
    made = asked(GenerateToChat, {"contents": [HI], "tools": tools})[0]["tools"][0]["function"]["parameters"]
    assert made == {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "$defs": {"tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}},
    }


@pytest.mark.parametrize("said", [[{"parts": []}], [{"role": "user"}], [{"role": "model", "parts": [{"text": ""}]}]])
def test_a_conversation_that_says_nothing_is_refused(said: list[Any]) -> None:
    assert refused(GenerateToChat, {"contents": said, "systemInstruction": {"parts": [{"text": "x"}]}}) == "contents"


def test_pictures_of_results_in_several_contents_follow_the_last_result() -> None:
    calls = {"role": "model", "parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}]}
    first = {"parts": [{"functionResponse": {"name": "f", "response": {}, "parts": [PIXEL]}}]}
    second = {"parts": [{"functionResponse": {"name": "g", "response": {}}}, {"text": "Go on."}]}
    made = contents(HI, calls, first, second)
    assert [message["role"] for message in made] == ["user", "assistant", "tool", "tool", "user"]
    assert made[4]["content"] == [{"type": "image_url", "image_url": {"url": URL}}, {"type": "text", "text": "Go on."}]
    alone = contents(HI, calls, first, {"parts": second["parts"][:1]}, {"role": "model", "parts": [{"text": "Seen."}]})
    assert [message["role"] for message in alone] == ["user", "assistant", "tool", "tool", "user", "assistant"]


# --- a generate client: answers and streams (G3, G5) ---


def test_pictures_among_the_parts_of_a_platforms_content_are_not_lost() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": "https://a.example/x"}},
    ]
    wanted = [{"text": "a"}, PIXEL, {"fileData": {"fileUri": "https://a.example/x"}}]
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    answer = GenerateToChat(Settings(), WORLD).answer({"id": "c-1", "model": "gpt-x", "choices": [choice]})
    assert answer["candidates"][0]["content"]["parts"] == wanted
    event = streamed(GenerateToChat(Settings(), WORLD), chunk({"content": content}))[0]
    assert isinstance(event.data, dict)
    assert event.data["candidates"][0]["content"]["parts"] == wanted


def test_calls_that_all_have_one_index_are_told_apart_by_their_ids() -> None:
    """A per-chunk counter of the relay repeats index 0 (G4)."""
    one = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    two = {"index": 0, "id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":'}}
    rest = {"index": 0, "id": "b", "function": {"arguments": "2}"}}
    for calls in ((one, two, rest), [{key: held for key, held in call.items() if key != "index"} for call in (one, two, rest)]):
        pair = GenerateToChat(Settings(), WORLD)
        pieces = [chunk({"tool_calls": [call]}) for call in calls]
        read = read_generate_stream(streamed(pair, *pieces, chunk({}, "tool_calls"), DONE))
        assert read.tools == [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]


def test_a_choice_that_comes_second_and_is_cut_is_not_given_an_end_by_the_other() -> None:
    pieces = [chunk({"content": "b"}, index=1), chunk({"content": "a"}), chunk({"content": "a"}), chunk({}, "stop", index=1)]
    last = streamed(GenerateToChat(Settings(), WORLD), *pieces)[-1]
    assert isinstance(last.data, dict)
    assert last.data["error"]["code"] == 502


# --- lists and paths ---

PAGED = """\
protocol: {protocol}
routes:
  GET {path}: carry
  POST {call}: carry
translate: {{{client} to {protocol}: {{}}}}
"""


def test_the_pages_of_a_generate_platforms_models_are_all_found_by_a_messages_client(tmp_path: Path) -> None:
    """Gemini tells its models page by page; a page that never changes would be asked for again and again."""
    call = "/v1beta/models/{model}:generateContent: carry\n  POST /v1beta/models/{model}:streamGenerateContent"
    text = PAGED.format(protocol="generate", client="messages", path="/v1beta/models", call=call)
    pages = {
        "": {"models": [{"name": "models/a"}], "nextPageToken": "t/1"},
        "?pageSize=1": {"models": [{"name": "models/a"}], "nextPageToken": "t/1"},
        "?pageToken=t%2F1": {"models": [{"name": "models/b"}]},
        "?pageSize=1&pageToken=t%2F1": {"models": [{"name": "models/b"}]},
    }
    for limit in ({}, {"limit": 1}):
        http = library(anthropic.DefaultHttpxClient.__mro__[-2].__module__)
        answer = served(http, read(tmp_path, text), pages)
        client = anthropic.Anthropic(api_key="sk-test", http_client=http.Client(transport=http.MockTransport(answer)))
        assert [model.id for model in client.models.list(**limit)] == ["a", "b"]


def test_the_pages_of_a_messages_platforms_models_are_all_found_by_a_generate_client(tmp_path: Path) -> None:
    text = PAGED.format(protocol="messages", client="generate", path="/v1/models", call="/v1/messages")
    pages = {
        "?limit=1": {"data": [{"id": "a"}], "has_more": True, "first_id": "a", "last_id": "a"},
        "?limit=1&after_id=a": {"data": [{"id": "b"}], "has_more": False, "first_id": "b", "last_id": "b"},
    }
    http = library(_api_client.httpx.__name__)
    transport = {"transport": http.MockTransport(served(http, read(tmp_path, text), pages))}
    options = types.HttpOptions(base_url="http://proxy", api_version="v1beta", client_args=transport)
    client = genai.Client(api_key="sk-test", http_options=options)
    assert [model.name for model in client.models.list(config={"page_size": 1})] == ["models/a", "models/b"]


def library(module: str) -> Any:
    """What an SDK speaks HTTP with."""
    return importlib.import_module(module.partition(".")[0])


def served(http: Any, platform: Platform, pages: dict[str, Any]) -> Callable[[Any], Any]:
    """Answers a client with what a platform says whose pages of models stand under their query."""

    def answer(asked: Any) -> Any:
        path, target = asked.url.path, asked.url.raw_path.decode()
        route = prepared(platform, next(route for route in platform.routes if route.method == "GET" and route.path == path))
        headers, query = dict(asked.headers), dict(asked.url.params)
        incoming = Incoming("GET", {}, query, headers, b"", None, None, lambda: 1.0, lambda: "id", False, target)
        with pytest.raises(StopIteration) as end:
            next(route.program(incoming))
        passed = end.value.value
        said = pages[passed.call.target.removeprefix("/v1beta/models").removeprefix("/v1/models")]
        reply = passed.convert.whole(Reply(200, {"content-type": "application/json"}, json.dumps(said).encode()))
        return http.Response(200, headers={"content-type": "application/json"}, content=reply.body)

    return answer


@pytest.mark.parametrize("colon", [":", "%3A"])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_the_colon_before_the_action_may_be_quoted(version: str, colon: str) -> None:
    """Quirk 2: some clients and routers write it so; both are one path to a platform of another protocol."""
    for action, stream in (("generateContent", False), ("streamGenerateContent", True)):
        path = f"/{version}/models/m{colon}{action}"
        assert any(parse_pattern(text).match(path) for known in CLIENT_PATHS[Spoken.GENERATE] for text in spellings(known))
        ask = wire_asked(Spoken.GENERATE, {}, "m", f"{path}?alt=sse")
        assert ask is not None
        assert ask.stream is stream
    paths = [parse_pattern(text) for known in COUNTING_PATHS[Spoken.GENERATE] for text in spellings(known)]
    assert any(pattern.match(f"/{version}/models/m{colon}countTokens") for pattern in paths)


# --- a chat client: requests (G1) ---


def test_pictures_in_the_text_parts_of_earlier_answers_are_parts_again() -> None:
    said = {"role": "assistant", "content": [{"type": "text", "text": f"a ![image]({URL}) b"}]}
    assert messages({"role": "user", "content": "?"}, said)[1]["parts"] == [{"text": "a "}, PIXEL, {"text": " b"}]


def test_audio_as_a_data_uri_is_sent_as_its_data() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,UklGRg==", "format": "wav"}}
    assert messages({"role": "user", "content": [audio]})[0]["parts"] == [
        {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}
    ]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"type": "image_url", "image_url": {"url": URL}, "cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"type": "image_url", "image_url": {"url": URL, "fps": 2}}, "image_url.fps"),
        ({"type": "file", "file": {"file_data": URL, "detail": "high"}}, "file.detail"),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav", "rate": 1}}, "input_audio.rate"),
    ],
)
def test_fields_of_media_without_a_counterpart_are_named_by_their_path(part: dict[str, Any], path: str) -> None:
    body = {"messages": [{"role": "user", "content": [part]}]}
    assert refused(ChatToGenerate, body) == f"messages[0].content[0].{path}"
    assert asked(ChatToGenerate, body, unsupported="drop")[1] == [f"messages[0].content[0].{path}"]


# --- a chat client: answers and failures (G3, G4) ---


def test_a_client_of_functions_hears_of_one_call_in_a_stream_as_in_a_whole_answer() -> None:
    pair = ChatToGenerate(Settings(), WORLD)
    body = {"messages": [{"role": "user", "content": "?"}], "functions": [{"name": "f"}, {"name": "g"}]}
    pair.request(Ask(body, "m", stream=True), {})
    calls = [{"functionCall": {"name": name, "args": {name: 1}}} for name in "fg"]
    events = streamed(pair, piece(calls[0]), piece(calls[1], finish="STOP"))
    told = [event.data["choices"][0]["delta"] for event in events if isinstance(event.data, dict)]
    assert [delta["function_call"] for delta in told if "function_call" in delta] == [{"name": "f", "arguments": '{"f":1}'}]


def test_a_relay_that_fails_in_the_words_of_chat_keeps_its_meaning() -> None:
    """Quirk 12: relays answer so on the native path, too."""
    error = {"error": {"message": "No money.", "type": "new_api_error", "param": "", "code": "insufficient_quota"}}
    told = read_failure(Protocol.GENERATE, 403, error, {})
    assert (told.status, told.kind, told.code, told.param) == (403, "new_api_error", "insufficient_quota", None)
    with pytest.raises(FailedError) as caught:
        ChatToGenerate(Settings(), WORLD).answer(error)
    assert (caught.value.failure.status, caught.value.failure.code) == (429, "insufficient_quota")
    with pytest.raises(openai.APIError, match="No money"):
        read_chat_stream(streamed(ChatToGenerate(Settings(), WORLD), piece({"text": "a"}), error))
