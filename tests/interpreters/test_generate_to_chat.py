"""A generate client on a chat platform: requests (G2), answers (G3 from right to left), streams (G5)."""

import copy
import json
from typing import Any

import pytest
from google.genai import errors

from tests.interpreters.readers import WORLD, cut
from tests.interpreters.readers_generate import read_generate_answer, read_generate_stream
from tests.interpreters.vectors import vectors
from translators.interpreters.base import DONE, Ask, BadAnswerError, Event, FailedError, Settings, UntranslatableError
from translators.interpreters.generate_to_chat import GenerateToChat

PNG = "iVBORw0KGgo="
URL = f"data:image/png;base64,{PNG}"


def pair(**settings: Any) -> GenerateToChat:
    return GenerateToChat(Settings(**settings), WORLD)


def asked(body: dict[str, Any], **settings: Any) -> dict[str, Any]:
    before = copy.deepcopy(body)
    made = pair(**settings).request(Ask(body, "m", stream=False), {}).body
    assert body == before
    assert made.pop("model") == "m"
    return made


def messages(*contents: dict[str, Any], **settings: Any) -> list[Any]:
    found: list[Any] = asked({"contents": list(contents)}, **settings)["messages"]
    return found


def options(**fields: Any) -> dict[str, Any]:
    made = asked({"contents": [user({"text": "hi"})], **fields})
    assert made.pop("messages") == [{"role": "user", "content": "hi"}]
    return made


def config(**fields: Any) -> dict[str, Any]:
    return options(generationConfig=fields)


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def refused(body: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(UntranslatableError) as caught:
        asked({"contents": [user({"text": "hi"})], **body}, **settings)
    return caught.value.path


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice], **more}


def answered(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-x", "choices": [choice], **more}


def streamed(*pieces: Any, interpreter: GenerateToChat | None = None) -> list[Event]:
    interpreter = interpreter or pair()
    return [out for data in pieces for out in interpreter.event(Event(None, data))] + interpreter.end()


# --- golden vectors ---


def test_the_golden_request() -> None:
    interpreter = pair(unsupported="drop", reasoning_history=True)
    for _ in range(2):  # the second time gives the same
        made = interpreter.request(Ask(vectors()["G-P2-GEM"].json, "gemini-3.5-flash", stream=True), {})
        assert made.body == vectors()["G-P2-OAI"].json
        assert interpreter.dropped == ["safetySettings"]
    assert refused(vectors()["G-P2-GEM"].json) == "safetySettings"


def test_the_golden_answer() -> None:
    answer = pair().answer(vectors()["G-P4-OAI"].json)
    assert answer == vectors()["G-P4-GEM"].json
    read = read_generate_answer(answer)
    assert (read.text, read.thinking, read.tools, read.finish) == ("Hi", "Hm.", [("call_b", "g", {})], "STOP")


def events_of(pieces: list[bytes]) -> list[Event]:
    interpreter = pair()
    return [out for event in cut(pieces) for out in interpreter.event(event)] + interpreter.end()


def test_the_golden_stream_cut_at_every_byte() -> None:
    golden, raw = vectors()["G-S3-GEM"], vectors()["A-S3-OAI"].stream
    whole = events_of([raw])
    assert whole == golden.events
    read = read_generate_stream(whole)
    expect = golden.expect
    assert (read.text, read.thinking, read.finish) == (expect["expect"], expect["expect-thinking"], expect["expect-finish"])
    assert (
        ",".join(f"{ident}:{name}:{json.dumps(args, separators=(',', ':'))}" for ident, name, args in read.tools)
        == (expect["expect-tools"])
    )
    assert "/".join(map(str, read.usage)) == expect["expect-usage"]
    assert events_of([raw[at : at + 1] for at in range(len(raw))]) == whole
    for at in range(1, len(raw), 7):
        assert events_of([raw[:at], raw[at:]]) == whole


@pytest.mark.parametrize("name", ["O-SSE-TEXT", "O-SSE-TOOLS"])
def test_the_golden_streams_of_chat_are_read_by_generate_clients(name: str) -> None:
    golden = vectors()[name]
    interpreter = pair()
    events = [out for event in golden.events for out in interpreter.event(event)] + interpreter.end()
    read = read_generate_stream(events)
    assert read.text == golden.expect.get("expect", "")
    assert read.finish == "STOP"
    calls = [f"{ident}:{called}:{json.dumps(args, separators=(',', ':'))}" for ident, called, args in read.tools]
    assert ",".join(calls) == golden.expect.get("expect-tools", "")


# --- G2: the conversation ---


def test_one_object_stands_for_a_list_and_a_missing_role_is_the_user() -> None:
    made = asked({"contents": {"parts": {"text": "hi"}}, "system_instruction": {"parts": {"text": "Be brief."}}})
    assert made["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    several = asked(
        {"contents": [user({"text": "hi"})], "systemInstruction": {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}}
    )
    assert several["messages"][0] == {"role": "system", "content": "a\nb"}


@pytest.mark.parametrize("snake", [False, True])
@pytest.mark.parametrize(
    ("part", "made"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": PNG}}, {"type": "image_url", "image_url": {"url": URL}}),
        (
            {"inlineData": {"mimeType": "image/png", "data": "-_-_"}},  # the official SDK writes this alphabet
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,+/+/"}},
        ),
        (
            {"inlineData": {"mimeType": "audio/mpeg", "data": "SUQz"}},
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        ),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x", "displayName": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "a.pdf"}},
        ),
        (
            {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
            {"type": "file", "file": {"file_data": "data:video/mp4;base64,AAAA", "filename": "file.mp4"}},
        ),
        (
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://a.example/x.mp4"}},
            {"type": "image_url", "image_url": {"url": "https://a.example/x.mp4"}},
        ),
        (
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
            {"type": "image_url", "image_url": {"url": "https://www.youtube.com/watch?v=1"}},
        ),
        (
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/x"}},
            {"type": "file", "file": {"file_data": "https://a.example/x", "filename": "file.pdf"}},
        ),
    ],
)
def test_media_in_both_spellings(part: dict[str, Any], made: Any, *, snake: bool) -> None:
    if snake:
        words = {"inlineData": "inline_data", "fileData": "file_data", "mimeType": "mime_type", "fileUri": "file_uri"}
        words["displayName"] = "display_name"
        part = {words[key]: {words.get(name, name): held for name, held in value.items()} for key, value in part.items()}
    said = messages(user({"text": "?"}, part))
    assert said == [{"role": "user", "content": [{"type": "text", "text": "?"}, made]}]


def test_calls_without_ids_get_some_and_results_find_them_by_name_in_order() -> None:
    call = {"functionCall": {"name": "f", "args": {"a_b": 1}}}
    given = {"function_call": {"id": "call_4", "name": "g"}}
    results = [{"functionResponse": {"name": name, "response": {"n": n}}} for n, name in enumerate(("f", "g", "f"))]
    said = messages(user({"text": "?"}), model(call, given, call), user(*results))
    assert said[1]["tool_calls"] == [
        {"id": "call_5", "type": "function", "function": {"name": "f", "arguments": '{"a_b":1}'}},
        {"id": "call_4", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        {"id": "call_6", "type": "function", "function": {"name": "f", "arguments": '{"a_b":1}'}},
    ]
    assert [(message["tool_call_id"], message["content"]) for message in said[2:]] == [
        ("call_5", '{"n":0}'),
        ("call_4", '{"n":1}'),
        ("call_6", '{"n":2}'),
    ]


def test_results_stand_before_other_words_and_their_pictures_after_them() -> None:
    photo = {
        "functionResponse": {
            "id": "a",
            "name": "f",
            "response": {"ok": True},
            "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
        }
    }
    said = messages(model({"functionCall": {"id": "a", "name": "f"}}), {"role": "function", "parts": [{"text": "Go on."}, photo]})
    assert said[1:] == [
        {"role": "tool", "tool_call_id": "a", "content": '{"ok":true}'},
        {"role": "user", "content": [{"type": "text", "text": "Go on."}, {"type": "image_url", "image_url": {"url": URL}}]},
    ]


def test_what_the_model_said_of_every_kind() -> None:
    turn = model(
        {"text": "Hm.", "thought": True},
        {"text": "a"},
        {"inline_data": {"mime_type": "image/png", "data": PNG}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
    )
    assert messages(user({"text": "?"}), turn, model(), reasoning_history=True)[1:] == [
        {
            "role": "assistant",
            "content": f"a![image]({URL})\n```python\n1\n```\n\n```\n2\n```\n",
            "reasoning_content": "Hm.",
        }
    ]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"contents": []}, "contents"),
        ({"contents": "hello"}, "contents"),
        ({"contents": [user({"strangeThing": 1})]}, "contents[0].parts[0]"),
        ({"contents": [user({"text": 1})]}, "contents[0].parts[0].text"),
        ({"contents": [user({"functionResponse": {"name": "f", "response": {}}})]}, "contents[0].parts[0].functionResponse"),
        ({"contents": [user({"fileData": {"fileUri": "gs://b/x"}})]}, "contents[0].parts[0].fileData.fileUri"),
        (
            {"contents": [user({"fileData": {"fileUri": "https://p.example/v1beta/files/x"}})]},
            "contents[0].parts[0].fileData.fileUri",
        ),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ],
)
def test_what_changes_the_conversation_is_refused_whatever_the_rule_says(body: Any, path: str) -> None:
    assert refused(body, unsupported="drop") == path


def test_thoughts_and_signatures_of_unknown_making_go_back_only_where_the_rule_says_so() -> None:
    said = model({"text": "x", "thoughtSignature": "QQ=="}, {"functionCall": {"name": "f"}, "thought_signature": "Qg=="})
    said["parts"].insert(0, {"text": "Hm.", "thought": True})
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert messages(said) == [{"role": "assistant", "content": "x", "tool_calls": [call]}]
    detail = {"type": "reasoning.encrypted", "data": "QQ==", "format": "google-gemini-v1", "index": 0, "part": 0}
    assert messages(said, reasoning_history=True) == [
        {
            "role": "assistant",
            "content": "x",
            "reasoning_content": "Hm.",
            "reasoning_details": [detail],
            "tool_calls": [{**call, "extra_content": {"google": {"thought_signature": "Qg=="}}}],
        }
    ]


def test_what_the_platform_put_on_its_calls_comes_back_to_it() -> None:
    calls: list[Any] = [{"id": name, "function": {"name": name, "arguments": ""}} for name in "ab"]
    for call in calls:
        call["extra_content"] = {"google": {"thought_signature": f"{call['id']}ü/+"}}
    content = pair().answer(answered({"content": None, "tool_calls": calls}))["candidates"][0]["content"]
    for part in content["parts"]:
        part["thoughtSignature"] = part["thoughtSignature"].replace("+", "-").replace("/", "_")  # as the official SDK would
    back = messages(content)[0]["tool_calls"]
    assert [call["extra_content"] for call in back] == [call["extra_content"] for call in calls]


@pytest.mark.parametrize("calls", [[], [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]])
def test_what_another_provider_signed_comes_back_unchanged_and_to_nobody_else(calls: list[Any]) -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm. ü", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "RU5D", "format": "anthropic-claude-v1", "index": 1},
    ]
    delta = {"content": "x", "tool_calls": calls}
    whole = pair().answer(answered({**delta, "reasoning_details": details}))
    first = {**details[0], "text": "Hm."}
    pieces = [
        chunk({"reasoning_details": [first]}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "text": " ü", "index": 0}]}),
    ]
    events = streamed(*pieces, chunk({**delta, "reasoning_details": [details[1]]}), chunk({}, "stop"), DONE)
    for content in (whole["candidates"][0]["content"], events[-1].data["candidates"][0]["content"]):  # type: ignore[index]
        signed = next(part for part in content["parts"] if "thoughtSignature" in part)
        assert ("functionCall" in signed) == bool(calls)
        signed["thoughtSignature"] = signed["thoughtSignature"].replace("+", "-").replace("/", "_")  # as the official SDK would
        message = messages(content)[0] if calls else messages(model({"text": "x"}, *content["parts"]))[0]
        assert message["reasoning_details"] == details
        assert all("extra_content" not in call for call in message.get("tool_calls", ()))


# --- G2: options ---


def test_plain_options() -> None:
    given = {"temperature": 0, "topP": 0.5, "seed": 1, "presencePenalty": 0.1, "frequency_penalty": 0.2, "candidateCount": 2}
    assert config(**given, maxOutputTokens=5, stopSequences=["a"], responseLogprobs=True, logprobs=2) == {
        "temperature": 0,
        "top_p": 0.5,
        "seed": 1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "n": 2,
        "max_completion_tokens": 5,
        "stop": ["a"],
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert config(candidateCount=1, stopSequences=[], responseModalities=["TEXT"], responseMimeType="text/plain", topK=None) == {}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"safetySettings": [{"category": "x"}]}, "safetySettings"),
        ({"labels": {"a": "b"}}, "labels"),
        ({"generationConfig": {"topK": 3}}, "generationConfig.topK"),
        ({"generationConfig": {"speech_config": {"a": 1}}}, "generationConfig.speechConfig"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "generationConfig.responseMimeType"),
        ({"tools": [{"codeExecution": {}}]}, "tools[0].codeExecution"),
        ({"tools": [{"googleSearch": {"timeRangeFilter": {"a": 1}}}]}, "tools[0].googleSearch.timeRangeFilter"),
        ({"toolConfig": {"retrievalConfig": {"a": 1}}}, "toolConfig.retrievalConfig"),
        ({"somethingNew": 1}, "somethingNew"),
    ],
)
def test_options_without_a_counterpart_are_refused_or_dropped_as_the_rule_says(body: Any, path: str) -> None:
    assert refused(body) == path
    interpreter = pair(unsupported="drop")
    interpreter.request(Ask({"contents": [user({"text": "hi"})], **body}, "m", stream=False), {})
    assert interpreter.dropped == [path]


def test_a_video_clip_of_a_part_is_named_by_its_path() -> None:
    part = {"fileData": {"fileUri": "https://a.example/x.mp4"}, "video_metadata": {"startOffset": "1s"}}
    assert refused({"contents": [user(part)]}) == "contents[0].parts[0].videoMetadata"


def test_structured_output() -> None:
    assert config(responseMimeType="application/json") == {"response_format": {"type": "json_object"}}
    schema = {"type": "OBJECT", "properties": {"type": {"type": "STRING", "nullable": True}}, "propertyOrdering": ["type"]}
    plain = {"type": "object", "properties": {"type": {"type": ["string", "null"]}}}
    wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "output", "schema": plain}}}
    assert config(response_mime_type="application/json", response_schema=schema) == wanted
    assert config(responseMimeType="application/json", responseJsonSchema=plain) == wanted


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"thinkingLevel": "MINIMAL"}, "minimal"),
        ({"thinking_level": "low"}, "low"),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, "high"),
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 512}, "low"),
        ({"thinking_budget": 8192}, "medium"),
        ({"thinkingBudget": 32768}, "high"),
        ({"thinkingBudget": -1}, None),
        ({"includeThoughts": True}, None),
    ],
)
def test_how_much_the_model_shall_think(thinking: Any, effort: str | None) -> None:
    assert config(thinkingConfig=thinking).get("reasoning_effort") == effort


def test_functions_in_both_forms_of_schema_and_the_search() -> None:
    declarations = [
        {"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}}},
        {"name": "g", "parameters_json_schema": {"type": "object", "additionalProperties": False}},
        {"name": "h"},
    ]
    made = options(tools=[{"function_declarations": declarations}, {"google_search": {}}])
    assert made == {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
                },
            },
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "additionalProperties": False}}},
            {"type": "function", "function": {"name": "h"}},
        ],
        "web_search_options": {},
    }


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "none"}, "none"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "VALIDATED"}, "auto"),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, {"type": "function", "function": {"name": "f"}}),
        (
            {"mode": "ANY", "allowed_function_names": ["f", "g"]},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}],
                },
            },
        ),
    ],
)
def test_the_choice_among_functions(calling: Any, choice: Any) -> None:
    tools = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
    assert options(tools=tools, toolConfig={"functionCallingConfig": calling})["tool_choice"] == choice
    assert "tool_choice" not in options(toolConfig={"functionCallingConfig": calling})


def test_paths_of_the_platforms_request_lead_back_to_the_clients() -> None:
    interpreter = pair()
    call = {"functionCall": {"name": "f"}}
    interpreter.request(
        Ask(
            {
                "systemInstruction": {"parts": [{"text": "s"}]},
                "contents": [user({"text": "a"}, {"text": "b"}), model({"text": "c"}, call)],
                "tools": [{"functionDeclarations": [{"name": "f"}]}],
                "generationConfig": {"topP": 1},
            },
            "m",
            stream=False,
        ),
        {},
    )
    assert interpreter.origin("messages[0].content") == "systemInstruction"
    assert interpreter.origin("messages[1].content[1].text") == "contents[0].parts[1]"
    assert interpreter.origin("messages[2].tool_calls[0].id") == "contents[1].parts[1]"
    assert interpreter.origin("tools[0].function.parameters") == "tools[0].functionDeclarations[0]"
    assert interpreter.origin("top_p") == "generationConfig.topP"


# --- answers ---


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("eos", "STOP"),
        (None, None),
    ],
)
def test_finish_reasons(reason: str | None, finish: str | None) -> None:
    assert read_generate_answer(pair().answer(answered({"content": "x"}, reason))).finish == finish
    assert read_generate_stream(streamed(chunk({"content": "x"}), chunk({}, reason), DONE)).finish == finish


def test_everything_that_a_message_says() -> None:
    images = [{"type": "image_url", "image_url": {"url": URL}}, {"image_url": {"url": "https://a.example/x"}}]
    custom = {"id": "b", "type": "custom", "custom": {"name": "run", "input": "1"}}
    broken = {"id": "c", "type": "function", "function": {"name": "g", "arguments": "{"}}
    message = {
        "reasoning": "Hm.",
        "content": f"a ![image]({URL}) b",
        "refusal": "no",
        "images": images,
        "tool_calls": [custom, broken],
        "function_call": {"name": "old", "arguments": "{}"},
    }
    picture = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    answer = pair().answer(answered(message))
    assert answer["candidates"][0]["content"]["parts"] == [
        {"text": "Hm.", "thought": True},
        {"text": "a "},
        picture,
        {"text": " b"},
        {"text": "no"},
        picture,
        {"fileData": {"fileUri": "https://a.example/x"}},
        {"functionCall": {"id": "b", "name": "run", "args": {"input": "1"}}},
        {"functionCall": {"id": "c", "name": "g", "args": {"_raw_arguments": "{"}}},
        {"functionCall": {"name": "old", "args": {}}},
    ]
    assert read_generate_answer(answer).text == "a  bno"
    del message["function_call"]
    events = streamed(chunk(message), chunk({}, "stop"), DONE)
    assert read_generate_stream(events).tools == [("b", "run", {"input": "1"}), ("c", "g", {"_raw_arguments": "{"})]


def test_sources_become_grounding_with_offsets_in_bytes() -> None:
    cited = {"type": "url_citation", "url_citation": {"start_index": 3, "end_index": 6, "title": "A", "url": "https://a.example"}}
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 4, "endIndex": 8, "text": "Tür"}, "groundingChunkIndices": [0]}],
    }
    answer = pair().answer(answered({"content": "Üb Tür zu", "annotations": [cited]}))
    assert answer["candidates"][0]["groundingMetadata"] == grounding
    interpreter = pair()
    interpreter.request(Ask({"contents": [user({"text": "?"})], "tools": [{"googleSearch": {}}]}, "m", stream=True), {})
    events = streamed(
        chunk({"content": "Üb T"}), chunk({"content": "ür zu"}), chunk({"annotations": [cited]}, "stop"), interpreter=interpreter
    )
    assert events[-1].data["candidates"][0]["groundingMetadata"] == grounding  # type: ignore[index]


def test_probabilities_of_tokens() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2, "bytes": [98]}]}
    wanted = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2}]}],
    }
    said = answered({"content": "a"})
    said["choices"][0]["logprobs"] = {"content": [token]}
    assert pair().answer(said)["candidates"][0]["logprobsResult"] == wanted
    piece = chunk({"content": "a"})
    piece["choices"][0]["logprobs"] = {"content": [token]}
    assert streamed(chunk({"content": "x"}), piece, DONE)[1].data["candidates"][0]["logprobsResult"] == wanted  # type: ignore[index]


def test_usage_of_every_kind() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"audio_tokens": 2, "text_tokens": 7}}
    assert pair().answer(answered({"content": "x"}, usage=usage))["usageMetadata"] == {
        "promptTokenCount": 9,
        "candidatesTokenCount": 3,
        "totalTokenCount": 12,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 2}],
    }


def test_an_answer_that_is_a_failure_or_of_no_protocol() -> None:
    with pytest.raises(FailedError, match="no quota"):
        pair().answer({"error": {"message": "no quota", "type": "insufficient_quota"}})
    for said in ({}, {"choices": []}, {"choices": [{"message": "x"}]}, {"choices": [{"message": {"content": 3}}]}):
        with pytest.raises(BadAnswerError):
            pair().answer(said)


# --- G5: streams ---


def test_text_and_thoughts_pass_at_once_and_calls_at_the_end() -> None:
    interpreter = pair()
    assert interpreter.event(Event(None, chunk({"role": "assistant", "content": ""}))) == []
    tail = {"modelVersion": "gpt-x", "responseId": "c-1"}

    def out(**part: Any) -> list[Event]:
        return [Event(None, {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], **tail})]

    assert interpreter.event(Event(None, chunk({"reasoning_content": "Hm"}))) == out(text="Hm", thought=True)
    assert interpreter.event(Event(None, chunk({"role": "assistant", "content": "a"}))) == out(text="a")  # some relays repeat it
    assert interpreter.event(Event(None, chunk({"content": "b", "reasoning_content": None}))) == out(text="b")
    call = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    assert interpreter.event(Event(None, chunk({"tool_calls": [call]}))) == []
    more = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ":1}"}}  # some relays repeat these
    assert interpreter.event(Event(None, chunk({"tool_calls": [more]}))) == []
    assert interpreter.event(Event(None, chunk({}, "tool_calls"))) == []
    [last] = interpreter.event(Event(None, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}))
    candidate = last.data["candidates"][0]  # type: ignore[index]
    assert candidate["content"]["parts"] == [{"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}}]
    assert candidate["finishReason"] == "STOP"
    assert interpreter.event(Event(None, DONE)) == []
    assert interpreter.end() == []


def test_a_stream_that_ends_without_the_closing_word_but_with_a_finish_is_whole() -> None:
    read = read_generate_stream(streamed(chunk({"content": "x"}), chunk({}, "length", usage={"prompt_tokens": 4})))
    assert (read.text, read.finish, read.usage[0]) == ("x", "MAX_TOKENS", 4)


def test_a_stream_that_just_stops_is_an_error_and_has_no_finish() -> None:
    events = streamed(chunk({"content": "x"}))
    assert all("finishReason" not in json.dumps(event.data) for event in events)
    with pytest.raises(errors.ServerError, match="ended before"):
        read_generate_stream(events)
    with pytest.raises(errors.ServerError, match="no answer"):
        read_generate_stream(streamed())


def test_an_error_in_the_middle_and_at_the_start() -> None:
    failure = {"error": {"message": "The model is overloaded.", "type": "server_error", "code": "overloaded"}}
    events = streamed(chunk({"content": "x"}), failure, chunk({"content": "y"}), DONE)
    assert len(events) == 2
    with pytest.raises(errors.ServerError, match="overloaded") as caught:
        read_generate_stream(events)
    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")
    for first in (failure, DONE):
        with pytest.raises(FailedError):
            pair().event(Event(None, first))


def test_a_call_without_a_name_at_the_end_is_an_error() -> None:
    with pytest.raises(errors.ServerError, match="without the name"):
        read_generate_stream(streamed(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "tool_calls")))


def test_several_choices_end_in_one_event() -> None:
    one, two = chunk({"content": "a"}), chunk({"content": "b"})
    two["choices"][0]["index"] = 1
    ends = chunk({}, "stop")
    ends["choices"].append({"index": 1, "delta": {}, "finish_reason": "length"})
    last = streamed(one, two, ends)[-1].data["candidates"]  # type: ignore[index]
    assert [(candidate["index"], candidate["finishReason"]) for candidate in last] == [(0, "STOP"), (1, "MAX_TOKENS")]


def test_a_first_chunk_about_the_prompt_is_no_end() -> None:
    read = read_generate_stream(streamed({"choices": [], "prompt_filter_results": []}, chunk({"content": "x"}), chunk({}, "stop")))
    assert read.text == "x"


@pytest.mark.parametrize("data", [[], "text", None, {"choices": [3]}, {"choices": {}}, {"choices": [{"delta": []}]}])
def test_an_event_of_another_protocol_is_a_bad_answer(data: Any) -> None:
    with pytest.raises(BadAnswerError):
        pair().event(Event(None, data))


def test_a_stream_of_endless_calls_is_a_bad_answer() -> None:
    calls = [{"index": index, "function": {"name": "f"}} for index in range(2000)]
    with pytest.raises(BadAnswerError, match="calls"):
        pair().event(Event(None, chunk({"tool_calls": calls})))
