"""The bytes of every kind of stream: line ends, event names, order, endings. Expectations are those of the protocols' documents."""

import http.client
import json
import urllib.parse
from typing import Any

import pytest

from proxy.sandbox import Sandbox

PARIS = "What is the weather in Paris?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def post(
    sandbox: Sandbox, path: str, body: object, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request with a JSON body (or the bytes given); the response and its whole body."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(sandbox.url).netloc, timeout=10)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, raw, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def data_events(raw: bytes, end: bytes = b"\n\n") -> list[bytes]:
    """The payloads of `data:`-only events; every event must be exactly one such line."""
    assert raw.endswith(end)
    events = raw[: -len(end)].split(end)
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
    return [event.removeprefix(b"data: ") for event in events]


def named_events(raw: bytes) -> list[dict[str, Any]]:
    """The payloads of `event:` plus `data:` events; the name must be the payload's type."""
    assert raw.endswith(b"\n\n")
    payloads = []
    for event in raw[:-2].split(b"\n\n"):
        name, data = event.split(b"\n")
        payloads.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + payloads[-1]["type"].encode()
    return payloads


def chat(**more: object) -> dict[str, object]:
    return {"model": "m", "stream": True, "messages": [{"role": "user", "content": PARIS}], **more}


def test_a_chat_stream_is_role_words_finish_usage_done(sandbox: Sandbox) -> None:
    response, raw = post(sandbox, "/v1/chat/completions", chat(stream_options={"include_usage": True}, max_tokens=2))
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["Date"]
    *payloads, last = data_events(raw)
    assert last == b"[DONE]"
    chunks = [json.loads(payload) for payload in payloads]
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello"},
        {"content": ","},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, None, "length"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == chunks[-1]["usage"]["prompt_tokens"] + 2
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_a_chat_stream_has_no_usage_unless_asked_for(sandbox: Sandbox) -> None:
    payloads = data_events(post(sandbox, "/v1/chat/completions", chat())[1])
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert all("usage" not in chunk for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_chat_tool_call_opens_with_its_name_and_continues_with_fragments(sandbox: Sandbox) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    payloads = data_events(post(sandbox, "/v1/chat/completions", chat(tools=[tool]))[1])
    first, opening, *fragments, finish = [json.loads(payload)["choices"][0] for payload in payloads[:-1]]
    assert first["delta"]["content"] is None
    call = opening["delta"]["tool_calls"][0]
    assert call["id"].startswith("call_")
    assert {**call, "id": ""} == {"index": 0, "id": "", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    assert all(set(step["delta"]["tool_calls"][0]) == {"index", "function"} for step in fragments)
    assert len(fragments) > 1
    joined = "".join(step["delta"]["tool_calls"][0]["function"]["arguments"] for step in fragments)
    assert json.loads(joined) == {"city": "Paris"}
    assert (finish["delta"], finish["finish_reason"]) == ({}, "tool_calls")


def test_a_legacy_completions_stream_keeps_its_object_name_and_ends_with_done(sandbox: Sandbox) -> None:
    raw = post(sandbox, "/v1/completions", {"model": "m", "prompt": "x", "stream": True, "max_tokens": 2})[1]
    *payloads, last = data_events(raw)
    assert last == b"[DONE]"
    chunks = [json.loads(payload) for payload in payloads]
    assert [chunk["object"] for chunk in chunks] == ["text_completion"] * 2
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, "length"]


def test_a_response_stream_opens_fills_and_closes_its_text_in_order(sandbox: Sandbox) -> None:
    events = named_events(post(sandbox, "/v1/responses", {"model": "m", "input": "x", "stream": True})[1])
    types = [event["type"].removeprefix("response.") for event in events]
    deltas = types.count("output_text.delta")
    assert types == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * deltas,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert events[-4]["text"] == text == events[-1]["response"]["output"][0]["content"][0]["text"]
    assert len({event["item_id"] for event in events if "item_id" in event} | {events[2]["item"]["id"]}) == 1
    assert [events[index]["response"]["status"] for index in (0, 1, -1)] == ["in_progress", "in_progress", "completed"]


def test_a_response_stream_opens_fills_and_closes_its_function_call_in_order(sandbox: Sandbox) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA}
    body = {"model": "m", "input": PARIS, "tools": [tool], "stream": True}
    events = named_events(post(sandbox, "/v1/responses", body)[1])
    types = [event["type"].removeprefix("response.") for event in events]
    deltas = types.count("function_call_arguments.delta")
    assert types == [
        *("created", "in_progress", "output_item.added"),
        *["function_call_arguments.delta"] * deltas,
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    added, done = events[2]["item"], events[-2]["item"]
    assert (added["arguments"], added["status"]) == ("", "in_progress")
    assert json.loads(done["arguments"]) == {"city": "Paris"}
    assert (added["id"], added["call_id"]) == (done["id"], done["call_id"])


def test_a_message_stream_opens_fills_and_closes_its_blocks_in_order(sandbox: Sandbox) -> None:
    body = {
        "model": "m",
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": PARIS}],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    }
    response, raw = post(sandbox, "/v1/messages", body)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["request-id"].startswith("req_")
    assert b"[DONE]" not in raw
    events = named_events(raw)
    kinds = [(event["type"], event.get("index"), event.get("delta", {}).get("type")) for event in events]
    text = [("content_block_delta", 0, "text_delta")] * kinds.count(("content_block_delta", 0, "text_delta"))
    calls = [("content_block_delta", 1, "input_json_delta")] * kinds.count(("content_block_delta", 1, "input_json_delta"))
    assert kinds == [
        *(("message_start", None, None), ("content_block_start", 0, None), ("ping", None, None)),
        *text,
        *(("content_block_stop", 0, None), ("content_block_start", 1, None)),
        *calls,
        *(("content_block_stop", 1, None), ("message_delta", None, None), ("message_stop", None, None)),
    ]
    assert len(text) > 1
    fragments = [event["delta"]["partial_json"] for event in events if event.get("delta", {}).get("type") == "input_json_delta"]
    assert fragments[0] == ""
    assert json.loads("".join(fragments)) == {"city": "Paris"}
    assert events[0]["message"]["content"] == []
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


GENERATE = {"contents": [{"parts": [{"text": PARIS}]}], "generationConfig": {"maxOutputTokens": 2}}


def test_a_generate_stream_is_bare_data_lines_with_crlf_and_ends_with_the_connection(sandbox: Sandbox) -> None:
    response, raw = post(sandbox, "/v1beta/models/m:streamGenerateContent?alt=sse", GENERATE)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    chunks = [json.loads(payload) for payload in data_events(raw.replace(b"\r\n\r\n", b"\n\n"))]
    assert raw.count(b"\r\n\r\n") == len(chunks) == raw.count(b"\n") / 2
    assert [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks] == ["Hello", ",", ""]
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, None, "MAX_TOKENS"]
    assert [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in chunks] == [1, 2, 2]


def test_a_generate_stream_without_alt_is_one_array(sandbox: Sandbox) -> None:
    response, raw = post(sandbox, "/v1/models/m%3AstreamGenerateContent", GENERATE)
    assert response.headers["Content-Type"] == "application/json"
    assert [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in json.loads(raw)] == ["Hello", ",", ""]


def test_a_body_that_is_too_large_is_refused(sandbox: Sandbox) -> None:
    refused, raw = post(sandbox, "/v1/chat/completions", b" " * 70_000_000)
    assert (refused.status, json.loads(raw)["error"]["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize("base", ["", "/chatgpt/v1", "/deep/er/base/v1", "/v1beta/openai"])
def test_any_base_path_may_stand_before_a_known_tail(sandbox: Sandbox, base: str) -> None:
    response, raw = post(sandbox, f"{base}/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
    assert response.status == 200
    assert json.loads(raw)["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("path", "headers", "status", "found"),
    [
        ("/v1/nothing", {}, 404, {"error": {"type": "invalid_request_error", "param": None, "code": None}}),
        ("/v1/nothing", {"anthropic-version": "2023-06-01"}, 404, {"type": "error", "error": {"type": "not_found_error"}}),
        ("/v1beta/models/m:nothing", {}, 404, {"error": {"code": 404, "status": "NOT_FOUND"}}),
        ("/v1beta/nothing", {"x-goog-api-key": "k"}, 404, {"error": {"code": 404, "status": "NOT_FOUND"}}),
        ("/v1/chat/completions", {}, 400, {"error": {"type": "invalid_request_error"}}),
        ("/v1/messages", {}, 400, {"type": "error", "error": {"type": "invalid_request_error"}}),
        ("/v1beta/models/m:generateContent", {}, 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}),
    ],
)
def test_errors_are_in_the_dialect_of_the_path(
    sandbox: Sandbox, path: str, headers: dict[str, str], status: int, found: dict[str, Any]
) -> None:
    response, raw = post(sandbox, path, b"{not json", headers)
    body = json.loads(raw)
    assert response.status == status
    assert body["error"]["message"]
    assert {**body, "error": {**body["error"], **found["error"]}} == body
    assert body.get("type") == found.get("type")


def test_a_limit_of_the_generate_protocol_tells_the_delay_in_the_body(sandbox: Sandbox) -> None:
    response, raw = post(sandbox, "/v1beta/models/m:generateContent", GENERATE, {"X-Sandbox-Fault": "429"})
    assert response.status == 429
    assert "retry-after" not in response.headers
    assert json.loads(raw)["error"]["details"][0]["retryDelay"] == "1s"


def test_an_unknown_fault_is_refused_with_the_list_of_faults(sandbox: Sandbox) -> None:
    response, raw = post(sandbox, "/v1/chat/completions", chat(), {"X-Sandbox-Fault": "sulk"})
    assert response.status == 400
    assert "stall" in json.loads(raw)["error"]["message"]


def test_a_body_nested_too_deeply_is_refused(sandbox: Sandbox) -> None:
    deep = b'{"model":"m","messages":' + b"[" * 250 + b"]" * 250 + b"}"
    response, raw = post(sandbox, "/v1/chat/completions", deep)
    assert response.status == 400
    assert "JSON body" in json.loads(raw)["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/v1/chat/completions", "/v1/v1/messages", "/v1beta/v1beta/models/gemini-x:generateContent"])
@pytest.mark.parametrize("platform", ["", "/~openai", "/~anthropic", "/~gemini"])
def test_a_base_url_with_a_version_that_the_sdk_adds_too_fails_here_as_it_would_there(
    sandbox: Sandbox, platform: str, path: str
) -> None:
    response, raw = post(sandbox, platform + path, {"model": "any", "messages": [], "contents": []})
    assert response.status == 404
    assert b"stands there twice" in raw
