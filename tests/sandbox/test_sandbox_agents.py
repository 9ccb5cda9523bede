"""Agents' loops in the four protocols: which tools are called, with what, and that their results are read. Plain and streamed.

The bodies are those that agents send: many tools, blocks around the user's words, side calls for titles and topics.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.sandbox.arguments import arguments_from, free_input, plain
from proxy.sandbox.replies import Context, Plain, Stream
from proxy.sandbox.routes import find

Body = dict[str, Any]

STRING = {"type": "string"}
SHELL = {"type": "object", "properties": {"command": STRING, "description": STRING}, "required": ["command"]}
WEATHER = {"type": "object", "properties": {"city": STRING}, "required": ["city"], "additionalProperties": False}
NOTHING = {"type": "object", "properties": {}}
TWO = {"get_weather": WEATHER, "get_time": NOTHING}
AGENT = {
    "run_shell_command": SHELL,
    **{
        f"{verb}_{what}": {"type": "object", "properties": {"path": STRING}, "required": ["path"]}
        for verb in ("read", "write", "list", "search", "edit")
        for what in ("file", "directory", "page", "issue", "plan", "image")
    },
    "Task": {"type": "object", "properties": {"prompt": STRING}, "required": ["prompt"]},
}
"""More than thirty tools, as agents bring them."""


AROUND = "<environment_context>run `id`</environment_context>"


@dataclass(frozen=True)
class Said:
    """An answer, read: its text, its calls by name and arguments, why it ended, and how many tokens it counts."""

    text: str
    calls: list[tuple[str, Any]]
    ending: str
    tokens: int


def run(path: str, body: Body, *, alt: str = "sse") -> Any:
    """The answer to a body: JSON, or the list of a stream's events."""
    made = find(path, "POST", {"alt": alt}).operation(body, Context(0, "http://sandbox", random.Random(1)))
    if isinstance(made, Stream):
        return list(made.events)
    assert isinstance(made, Plain)
    return json.loads(made.encode())


class Chat:
    """What the chat protocol writes and reads."""

    STOP, CALLS = "stop", "tool_calls"

    def body(self, text: str, tools: Mapping[str, Body] = {}, *, parallel: bool = True) -> Body:
        made = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in tools.items()]
        messages = [{"role": "system", "content": "Use `rm -rf /` and get_weather. " * 500}, {"role": "user", "content": text}]
        return {"model": "m", "messages": messages, "tools": made, "parallel_tool_calls": parallel}

    def formed(self, body: Body, schema: Body) -> Body:
        return {**body, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}

    def say(self, body: Body) -> Said:
        found = run("/v1/chat/completions", body)
        message = found["choices"][0]["message"]
        calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", [])]
        return Said(message["content"] or "", calls, found["choices"][0]["finish_reason"], found["usage"]["completion_tokens"])

    def stream(self, body: Body) -> Said:
        chunks = run("/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})
        text, calls = "", {}
        for chunk in chunks[:-1]:
            delta = chunk["choices"][0]["delta"]
            text += delta.get("content") or ""
            for call in delta.get("tool_calls", []):
                held = calls.setdefault(call["index"], ["", ""])
                held[0] += call["function"].get("name", "")
                held[1] += call["function"]["arguments"]
        made = [(name, json.loads(arguments)) for name, arguments in calls.values()]
        return Said(text, made, chunks[-2]["choices"][0]["finish_reason"], chunks[-1]["usage"]["completion_tokens"])

    def after(self, body: Body, said: Said, results: Sequence[str]) -> Body:
        calls = [
            {"id": f"c{place}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for place, (name, arguments) in enumerate(said.calls)
        ]
        told = [{"role": "tool", "tool_call_id": f"c{place}", "content": result} for place, result in enumerate(results)]
        return {**body, "messages": [*body["messages"], {"role": "assistant", "content": None, "tool_calls": calls}, *told]}


class Responses:
    """What the responses protocol writes and reads; its endings are those of the last item."""

    STOP, CALLS = "message", "function_call"

    def body(self, text: str, tools: Mapping[str, Body] = {}, *, parallel: bool = True) -> Body:
        made: list[Body] = [{"type": "function", "name": name, "parameters": schema} for name, schema in tools.items()]
        context = {
            "role": "user",
            "content": [{"type": "input_text", "text": AROUND}],
        }
        asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        hosted = [{"type": "web_search"}] if made else []
        more = {"store": False, "instructions": "Be an agent. " * 500, "parallel_tool_calls": parallel}
        return {"model": "m", "input": [context, asked], "tools": made + hosted, "tool_choice": "auto", **more}

    def formed(self, body: Body, schema: Body) -> Body:
        return {**body, "text": {"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}}}

    def _read(self, found: Body) -> Said:
        texts = [part["text"] for item in found["output"] if item["type"] == "message" for part in item["content"]]
        calls = [(item["name"], json.loads(item["arguments"])) for item in found["output"] if item["type"] == "function_call"]
        return Said("".join(texts), calls, found["output"][-1]["type"], found["usage"]["output_tokens"])

    def say(self, body: Body) -> Said:
        return self._read(run("/v1/responses", body))

    def stream(self, body: Body) -> Said:
        events = run("/v1/responses", {**body, "stream": True})
        final = self._read(events[-1]["response"])
        grown = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        assert grown == final.text
        return final

    def after(self, body: Body, said: Said, results: Sequence[str]) -> Body:
        calls = [
            {"type": "function_call", "call_id": f"c{place}", "name": name, "arguments": json.dumps(arguments)}
            for place, (name, arguments) in enumerate(said.calls)
        ]
        told = [{"type": "function_call_output", "call_id": f"c{place}", "output": result} for place, result in enumerate(results)]
        thoughts = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2FuZGJveA=="}
        return {**body, "input": [*body["input"], thoughts, *calls, *told]}


class Messages:
    """What the messages protocol writes and reads."""

    STOP, CALLS = "end_turn", "tool_use"

    def body(self, text: str, tools: Mapping[str, Body] = {}, *, parallel: bool = True) -> Body:
        made: list[Body] = [{"name": name, "input_schema": schema} for name, schema in tools.items()]
        blocks = [
            {"type": "text", "text": "<system-reminder>\nUse the Task tool, run `id`.\n</system-reminder>"},
            {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}},
        ]
        choice = {"type": "auto", "disable_parallel_tool_use": not parallel}
        more = {
            "system": [{"type": "text", "text": "You are an agent. " * 500}],
            "tool_choice": choice,
            "metadata": {"user_id": "u"},
        }
        hosted = [{"type": "web_search_20250305", "name": "web_search"}] if made else []
        return {
            "model": "m",
            "max_tokens": 32000,
            "messages": [{"role": "user", "content": blocks}],
            "tools": made + hosted,
            **more,
        }

    def formed(self, body: Body, schema: Body) -> Body:
        return {**body, "output_config": {"format": {"type": "json_schema", "schema": schema}}}

    def say(self, body: Body) -> Said:
        found = run("/v1/messages", body)
        text = "".join(block["text"] for block in found["content"] if block["type"] == "text")
        calls = [(block["name"], block["input"]) for block in found["content"] if block["type"] == "tool_use"]
        return Said(text, calls, found["stop_reason"], found["usage"]["output_tokens"])

    def stream(self, body: Body) -> Said:
        text, calls, ending, tokens = "", [], "", 0
        for event in run("/v1/messages", {**body, "stream": True}):
            match event:
                case {"content_block": {"type": "tool_use", "name": name}}:
                    calls.append([name, ""])
                case {"type": "content_block_delta", "delta": {"partial_json": fragment}}:
                    calls[-1][1] += fragment
                case {"type": "content_block_delta", "delta": {"text": step}}:
                    text += step
                case {"type": "message_delta"}:
                    ending, tokens = event["delta"]["stop_reason"], event["usage"]["output_tokens"]
        return Said(text, [(name, json.loads(arguments)) for name, arguments in calls], ending, tokens)

    def after(self, body: Body, said: Said, results: Sequence[str]) -> Body:
        calls = [
            {"type": "tool_use", "id": f"t{place}", "name": name, "input": arguments}
            for place, (name, arguments) in enumerate(said.calls)
        ]
        told: list[Body] = [
            {"type": "tool_result", "tool_use_id": f"t{place}", "content": [{"type": "text", "text": result}]}
            for place, result in enumerate(results)
        ]
        reminder = {"type": "text", "text": "<system-reminder>Use the Task tool.</system-reminder>"}
        turns = [{"role": "assistant", "content": calls}, {"role": "user", "content": [*told, reminder]}]
        return {**body, "messages": [*body["messages"], *turns]}


class Generate:
    """What the generate protocol writes and reads."""

    STOP, CALLS = "STOP", "STOP"

    def body(self, text: str, tools: Mapping[str, Body] = {}, *, parallel: bool = True) -> Body:
        made = [{"name": name, "parametersJsonSchema": schema} for name, schema in tools.items()]
        setup = [
            {"role": "user", "parts": [{"text": "This sets up the context: run_shell_command is there."}]},
            {"role": "model", "parts": [{"text": "Got it."}]},
        ]
        more = {"systemInstruction": {"role": "user", "parts": [{"text": "You are an agent. " * 500}]}}
        asked = {"role": "user", "parts": [{"text": text}]}
        return {"contents": [*setup, asked], "tools": [{"functionDeclarations": made}] if made else [], **more}

    def formed(self, body: Body, schema: Body) -> Body:
        return {**body, "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}}

    def _read(self, chunks: list[Body]) -> Said:
        parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
        calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part]
        last = chunks[-1]
        counted = last["usageMetadata"].get("candidatesTokenCount", 0)
        return Said("".join(part.get("text", "") for part in parts), calls, last["candidates"][0]["finishReason"], counted)

    def say(self, body: Body) -> Said:
        return self._read([run("/v1beta/models/m:generateContent", body)])

    def stream(self, body: Body) -> Said:
        return self._read(run("/v1beta/models/m:streamGenerateContent", body))

    def after(self, body: Body, said: Said, results: Sequence[str]) -> Body:
        calls = [{"functionCall": {"name": name, "args": arguments}} for name, arguments in said.calls]
        told = [
            {"functionResponse": {"name": name, "response": {"output": result}}}
            for (name, _), result in zip(said.calls, results, strict=True)
        ]
        return {**body, "contents": [*body["contents"], {"role": "model", "parts": calls}, {"role": "user", "parts": told}]}


Protocol = Chat | Responses | Messages | Generate
PROTOCOLS = pytest.mark.parametrize("protocol", [Chat(), Responses(), Messages(), Generate()], ids=lambda one: type(one).__name__)
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


def teller(protocol: Protocol, streamed: bool) -> Callable[[Body], Said]:
    return protocol.stream if streamed else protocol.say


@PROTOCOLS
@STREAMED
def test_an_agent_runs_the_command_of_its_user_and_reads_what_came_of_it(protocol: Protocol, streamed: bool) -> None:
    tell = teller(protocol, streamed)
    body = protocol.body("Please run `ls -la /tmp` and tell me what you see.", AGENT)
    said = tell(body)
    assert said.calls == [("run_shell_command", {"command": "ls -la /tmp"})]
    assert said.ending == protocol.CALLS
    assert said.tokens > 0
    after = tell(protocol.after(body, said, ["total 0\nnotes.txt"]))
    assert after.calls == []
    assert "total 0 notes.txt" in after.text
    assert after.ending == protocol.STOP
    assert after.tokens > 0


@PROTOCOLS
@STREAMED
def test_the_plain_and_the_streamed_answer_count_alike(protocol: Protocol, streamed: bool) -> None:
    body = protocol.body("Use the Task tool." if streamed else "Hello", AGENT)
    assert protocol.say(body) == protocol.stream(body)


@PROTOCOLS
def test_ordinary_words_call_none_of_many_tools(protocol: Protocol) -> None:
    said = protocol.say(protocol.body("Write a short page about the task of reading files, with an image.", AGENT))
    assert said.calls == []
    assert "Write a short page" in said.text


@PROTOCOLS
def test_a_history_of_several_rounds_is_read_from_its_last_question(protocol: Protocol) -> None:
    body = protocol.body("Use `read_file` on src/main.py", AGENT)
    said = protocol.say(body)
    assert said.calls == [("read_file", {"path": "src/main.py"})]
    again = protocol.after(body, said, ["print(1)"])
    member = next(name for name in ("messages", "input", "contents") if name in body)
    again = {**again, member: [*again[member], body[member][-1]]}
    assert protocol.say(again).calls == said.calls


@PROTOCOLS
def test_tools_that_the_user_names_are_called_together_in_their_order(protocol: Protocol) -> None:
    body = protocol.body("Call list_directory and then get_weather for Rome, please.", {**AGENT, "get_weather": WEATHER})
    said = protocol.say(body)
    assert [name for name, _ in said.calls] == ["list_directory", "get_weather"]
    after = protocol.say(protocol.after(body, said, ["first.txt", "18 degrees"]))
    assert "first.txt 18 degrees" in after.text


@pytest.mark.parametrize("protocol", [Chat(), Responses(), Messages()], ids=lambda one: type(one).__name__)
def test_tools_are_called_one_after_the_other_where_the_client_wants_it(protocol: Protocol) -> None:
    body = protocol.body("Call get_weather for Rome and then get_time.", TWO, parallel=False)
    first = protocol.say(body)
    body = protocol.after(body, first, ["18 degrees"])
    second = protocol.say(body)
    body = protocol.after(body, second, ["noon"])
    assert [first.calls, second.calls] == [[("get_weather", {"city": "Rome"})], [("get_time", {})]]
    assert "noon" in protocol.say(body).text


@PROTOCOLS
def test_a_side_call_for_structured_output_gets_json_that_fits(protocol: Protocol) -> None:
    properties = {"isNewTopic": {"type": "boolean"}, "title": {"type": ["string", "null"]}, "next": {"enum": ["user", "model"]}}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    for tell in (protocol.say, protocol.stream):
        said = tell(protocol.formed(protocol.body("Name this conversation"), schema))
        found = json.loads(said.text)
        assert found.keys() == properties.keys()
        assert found["isNewTopic"] is True
        assert found["next"] == "user"


# --- from words to arguments ---


def schema_of(**properties: Body) -> Body:
    return {"type": "object", "properties": properties, "required": []}


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (schema_of(command=STRING), "run `ls -l`", [{"command": "ls -l"}]),
        (schema_of(cmd=STRING), "run `a` and `b`", [{"cmd": "a"}, {"cmd": "b"}]),
        (schema_of(command={"type": "array", "items": STRING}), "run `a | b`", [{"command": ["bash", "-lc", "a | b"]}]),
        (schema_of(command=STRING), "run this:\n```sh\nmake all\n```", [{"command": "make all"}]),
        (schema_of(dir_path=STRING, path=STRING), "a.txt, then /tmp/x", [{"dir_path": "/tmp/x", "path": "a.txt"}]),
        (schema_of(cmd=STRING, workdir=STRING), "run `cat a/b.txt`", [{"cmd": "cat a/b.txt"}]),
        (schema_of(cmd=STRING, workdir=STRING), "run `cat b.txt` in /tmp/x", [{"cmd": "cat b.txt", "workdir": "/tmp/x"}]),
        (schema_of(file_path=STRING), "read /etc/hosts now", [{"file_path": "/etc/hosts"}]),
        (schema_of(file_path=STRING), "read notes.md now", [{"file_path": "notes.md"}]),
        (schema_of(url=STRING, path=STRING), "get https://example.com/a/b.html", [{"url": "https://example.com/a/b.html"}]),
        (schema_of(query=STRING), 'search "dragoman history"', [{"query": "dragoman history"}]),
        (schema_of(days={"type": "integer", "maximum": 9}), "the next 3 days", [{"days": 3}]),
        (schema_of(days={"type": "integer", "maximum": 9}), "the next 30 days", [{}]),
        (schema_of(unit={"type": "string", "enum": ["celsius", "kelvin"]}), "in kelvin", [{"unit": "kelvin"}]),
        (schema_of(deep={"type": "boolean"}, city=STRING), "deep=true, city: Rome", [{"deep": True, "city": "Rome"}]),
        (schema_of(a={"type": "array", "items": STRING}), 'with {"a": ["x"]} please', [{"a": ["x"]}]),
        (schema_of(a={"type": "array", "items": STRING}), 'with {"a": [1]} and {"b": 2}', [{}]),
        ({**schema_of(path={"$ref": "#/$defs/p"}), "$defs": {"p": STRING}}, "read a/b", [{"path": "a/b"}]),
        (schema_of(path={"anyOf": [STRING, {"type": "null"}]}), "read a/b", [{}]),
    ],
)
def test_arguments_are_taken_from_words_that_plainly_hold_them(schema: Body, text: str, expected: list[Body]) -> None:
    assert arguments_from(schema, text) == expected


PATCH = "*** Begin Patch\n*** Add File: a\n+b\n*** End Patch"


SOME_PATCH = "*** Begin Patch\n*** Add File: sandbox.txt\n+sandbox\n*** End Patch"


@pytest.mark.parametrize(("text", "given"), [(f"Apply this:\n{PATCH}\nThanks", PATCH), ("Patch something", SOME_PATCH)])
def test_a_tool_for_patches_gets_a_patch(text: str, given: str) -> None:
    assert free_input("apply_patch", "", text) == given


@pytest.mark.parametrize(("text", "given"), [("say `x y` now", "x y"), ("```\na\nb\n```", "a\nb"), ("just this", "just this")])
def test_a_tool_that_takes_free_text_gets_a_quotation_or_the_words(text: str, given: str) -> None:
    assert free_input("code", "", text) == given


def test_what_a_client_put_around_the_words_is_not_the_users() -> None:
    assert plain("<system-reminder>\na <b>c</b>\n</system-reminder> Hi <b>you</b>") == "Hi <b>you</b>"


# --- what only one protocol has ---


def test_responses_call_custom_and_shell_tools_and_read_their_outputs() -> None:
    tools = [
        {"type": "custom", "name": "apply_patch"},
        {"type": "local_shell"},
        {"type": "web_search"},
    ]
    asked = {"role": "user", "content": f"Use apply_patch:\n{PATCH}\nthen local_shell with `make test`"}
    body = {"model": "m", "input": [asked], "tools": tools, "include": ["reasoning.encrypted_content"], "store": False}
    thought, patch, shell = run("/v1/responses", body)["output"]
    assert (thought["type"], thought["encrypted_content"], thought["summary"]) == ("reasoning", "c2FuZGJveA==", [])
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    assert (shell["type"], shell["action"]) == (
        "local_shell_call",
        {"type": "exec", "command": ["bash", "-lc", "make test"], "env": {}},
    )
    events = run("/v1/responses", {**body, "stream": True})
    assert "".join(event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta") == PATCH
    done = [event["item"]["type"] for event in events if event["type"] == "response.output_item.done"]
    assert done == ["reasoning", "custom_tool_call", "local_shell_call"]
    outputs = [
        {"type": "custom_tool_call_output", "call_id": patch["call_id"], "output": "Success. Updated a"},
        {"type": "local_shell_call_output", "call_id": shell["call_id"], "output": '{"output":"2 passed"}'},
    ]
    said = run("/v1/responses", {**body, "input": [asked, thought, patch, shell, *outputs]})
    text = said["output"][-1]["content"][0]["text"]
    assert "Updated a" in text
    assert "2 passed" in text


def test_responses_show_a_summary_of_thoughts_where_one_is_asked_for() -> None:
    body = {"model": "m", "input": "Hi", "reasoning": {"effort": "low", "summary": "auto"}, "stream": True}
    events = run("/v1/responses", body)
    types = [event["type"].removeprefix("response.") for event in events if "reasoning" in event["type"]]
    steps = types.count("reasoning_summary_text.delta")
    assert types == [
        *("reasoning_summary_part.added", *["reasoning_summary_text.delta"] * steps),
        *("reasoning_summary_text.done", "reasoning_summary_part.done"),
    ]
    final = events[-1]["response"]
    assert final["output"][0]["summary"][0]["text"] == "".join(
        event["delta"] for event in events if event["type"] == "response.reasoning_summary_text.delta"
    )
    assert final["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


def test_chat_calls_custom_tools_and_shows_thoughts_where_they_are_enabled() -> None:
    tools = [{"type": "custom", "custom": {"name": "apply_patch"}}]
    body = {"model": "m", "messages": [{"role": "user", "content": f"apply_patch, please: {PATCH}"}], "tools": tools}
    message = run("/v1/chat/completions", {**body, "thinking": {"type": "enabled"}})["choices"][0]["message"]
    assert "apply_patch" in message["reasoning_content"]
    assert {**message["tool_calls"][0], "id": ""} == {"id": "", "type": "custom", "custom": {"name": "apply_patch", "input": PATCH}}
    chunks = run("/v1/chat/completions", {**body, "stream": True})
    fragments = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(call["custom"]["input"] for call in fragments) == PATCH
    assert [call.get("type") for call in fragments[:2]] == ["custom", None]
    forced = {"type": "custom", "custom": {"name": "apply_patch"}}
    plain_body = {**body, "messages": [{"role": "user", "content": "Hello"}], "tool_choice": forced}
    assert run("/v1/chat/completions", plain_body)["choices"][0]["finish_reason"] == "tool_calls"


def test_messages_think_where_it_is_enabled_and_sign_it() -> None:
    body = {"model": "m", "max_tokens": 99, "thinking": {"type": "adaptive"}, "messages": [{"role": "user", "content": "Hi"}]}
    found = run("/v1/messages", body)
    assert [block["type"] for block in found["content"]] == ["thinking", "text"]
    assert found["content"][0]["signature"] == "c2FuZGJveA=="
    events = run("/v1/messages", {**body, "stream": True})
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta" and event["index"] == 0]
    assert kinds[-1] == "signature_delta"
    assert set(kinds[:-1]) == {"thinking_delta"}
    assert events[-2]["usage"]["output_tokens"] == found["usage"]["output_tokens"]


def test_messages_know_the_tools_whose_schema_the_protocol_fixes() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}, {"type": "bash_20250124", "name": "bash"}]
    body = {"model": "m", "max_tokens": 99, "tools": tools, "messages": [{"role": "user", "content": "Run `pwd` with web_search"}]}
    calls = [block for block in run("/v1/messages", body)["content"] if block["type"] == "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [("bash", {"command": "pwd"})]
    forced = {**body, "tools": tools[:1], "tool_choice": {"type": "tool", "name": "web_search"}}
    assert run("/v1/messages", forced)["stop_reason"] == "end_turn", "a hosted tool is nothing that a client could run"


def test_messages_go_on_from_the_beginning_that_the_client_gives() -> None:
    turns = [{"role": "user", "content": "Is this a new topic?"}, {"role": "assistant", "content": "{"}]
    found = run("/v1/messages", {"model": "m", "max_tokens": 300, "messages": turns})
    assert json.loads("{" + found["content"][0]["text"])["sandbox"] is True


def test_a_call_of_one_token_is_answered_with_one() -> None:
    found = run("/v1/messages", {"model": "small", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]})
    assert (found["stop_reason"], found["usage"]["output_tokens"]) == ("max_tokens", 1)


def test_generate_shows_thoughts_where_they_are_asked_for() -> None:
    body = {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    found = run("/v1beta/models/m:generateContent", body)
    parts = found["candidates"][0]["content"]["parts"]
    assert [part.get("thought", False) for part in parts] == [True, False]
    usage = found["usageMetadata"]
    assert usage["totalTokenCount"] == sum(
        usage[name] for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    chunks = run("/v1beta/models/m:streamGenerateContent", body)
    assert chunks[0]["candidates"][0]["content"]["parts"] == parts[:1]
    assert chunks[-1]["usageMetadata"] == usage
