"""A client of responses before a chat platform: requests (M7), answers and streams (M8), what is carried for thoughts (M9)."""

import base64
import copy
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpreters.readers import Read, cut
from tests.interpreters.readers_responses import check_order, read_responses_answer, read_responses_stream, world
from tests.interpreters.vectors import vectors
from translators.interpreters.base import (
    DONE,
    Ask,
    BadAnswerError,
    Composed,
    Event,
    FailedError,
    Failure,
    Interpreter,
    Media,
    Settings,
    UntranslatableError,
)
from translators.interpreters.chat_to_generate import ChatToGenerate
from translators.interpreters.chat_to_messages import ChatToMessages
from translators.interpreters.failures import failure_event
from translators.interpreters.responses_to_chat import ResponsesToChat
from translators.model import Protocol

DROP = Settings(unsupported="drop")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.sampled_from(["message", "function", "auto"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "name", "text"]), inner, max_size=2),
    max_leaves=4,
)


def pair(with_: Settings = Settings()) -> ResponsesToChat:  # noqa: B008 - frozen
    return ResponsesToChat(with_, world())


def asked(body: dict[str, Any], with_: Settings = Settings(), media: dict[str, Media] | None = None) -> dict[str, Any]:  # noqa: B008
    """The chat request; also that the client's is not touched and that asking twice gives the same."""
    one, before = pair(with_), copy.deepcopy(body)
    ask = Ask(body, "m", body.get("stream") is True)
    first = one.request(ask, media or {})
    assert one.request(ask, media or {}) == first
    assert body == before
    return first.body


def messages(items: Any, with_: Settings = Settings()) -> Any:  # noqa: B008
    return asked({"input": items}, with_)["messages"]


def streamed(events: Iterable[Event], body: dict[str, Any] | None = None) -> list[Event]:
    one = pair()
    one.request(Ask({"input": "?", **(body or {})}, "m", True), {})
    return [out for event in events for out in one.event(event)] + one.end()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **members: Any) -> Event:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return Event(None, {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": choices, **members})


def call(index: int, arguments: str, ident: str | None = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function, **({"id": ident} if ident else {}), **members}]}


STOP = [chunk({}, "stop"), Event(None, DONE)]
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


# --- requests ---


def test_the_golden_request() -> None:
    body = vectors()["A-R1-RESP"].json
    one = pair(Settings(reasoning_history=True))
    assert one.request(Ask(body, "gpt-4.1", True), {}).body == vectors()["A-R1-OAI"].json
    assert one.dropped == []


def test_without_a_wish_for_history_thoughts_stay_here() -> None:
    assert all("reasoning_content" not in message for message in asked(vectors()["A-R1-RESP"].json)["messages"])


CODEX = {
    "model": "gpt-5-codex",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "gAAAAABmJk=="},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
        {"type": "custom_tool_call", "status": "completed", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"},
    ],
    "tools": [
        {
            "type": "function",
            "name": "shell",
            "description": "Runs",
            "strict": False,
            "parameters": {"type": "object", "properties": {}},
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
        {"type": "web_search"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "text": {"verbosity": "low"},
    "client_metadata": {"x-codex-installation-id": "1"},
}


def test_what_a_coding_agent_sends_passes_without_a_loss() -> None:
    made = asked(CODEX)
    assert made["messages"] == [
        {"role": "system", "content": "You are a coding agent."},
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "Fix it."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": '{"command":["ls"]}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a.py"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_2", "type": "function", "function": {"name": "apply_patch", "arguments": '{"input":"*** Begin"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_2", "content": "Done"},
    ]
    patch = made["tools"][1]["function"]
    assert patch["parameters"]["required"] == ["input"]
    assert "start: x" in patch["description"]
    assert made["web_search_options"] == {}
    rest = {key: made[key] for key in made if key not in ("messages", "tools", "web_search_options")}
    assert rest == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "prompt_cache_key": "0199",
        "verbosity": "low",
    }


def test_a_hosted_tool_is_refused_by_its_path_or_dropped() -> None:
    body = {"input": "?", "tools": [TOOL, {"type": "local_shell"}]}
    with pytest.raises(UntranslatableError) as caught:
        asked(body)
    assert caught.value.path == "tools[1]"
    one = pair(DROP)
    assert len(one.request(Ask(body, "m", False), {}).body["tools"]) == 1
    assert one.dropped == ["tools[1]"]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"truncation": "auto"}, "truncation"),
        ({"store": True}, "store"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"include": ["reasoning.encrypted_content", "file_search_call.results"]}, "include[1]"),
        ({"reasoning": {"mode": "x"}}, "reasoning.mode"),
        ({"text": {"tone": "x"}}, "text.tone"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0]"),
        ({"tools": [{"type": "web_search", "filters": {"allowed_domains": ["a"]}}]}, "tools[0].filters"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input[0]"),
        ({"something": 1}, "something"),
    ],
)
def test_options_that_chat_lacks_are_refused_or_dropped(members: dict[str, Any], path: str) -> None:
    body = {"input": "?", **members}
    with pytest.raises(UntranslatableError) as caught:
        asked(body)
    assert caught.value.path == path
    one = pair(DROP)
    one.request(Ask(body, "m", False), {})
    assert one.dropped == [path]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "local_shell_call", "call_id": "c"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0].file_id"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": 5}, "input"),
        ({"input": None}, "input"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
    ],
)
def test_what_changes_the_meaning_is_refused_whatever_the_rule_says(members: dict[str, Any], path: str) -> None:
    with pytest.raises(UntranslatableError) as caught:
        asked({"input": "?", **members}, DROP)
    assert caught.value.path == path


def test_every_part_has_its_counterpart() -> None:
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": "https://h/a.png", "detail": "high"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://h/a.pdf"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    body = {"input": [{"role": "user", "content": parts}]}
    assert asked(body)["messages"][0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "high"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://h/a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    assert list(pair().urls(Ask(body, "m", False))) == ["https://h/a.png", "https://h/a.pdf"]
    read = {"https://h/a.png": Media(b"\x01", "image/gif"), "https://h/a.pdf": Media(b"\x02", None)}
    content = asked(body, media=read)["messages"][0]["content"]
    assert content[1]["image_url"]["url"] == "data:image/gif;base64,AQ=="
    assert content[3]["file"]["file_data"] == "data:application/pdf;base64,Ag=="


def test_results_stand_behind_their_calls_and_pictures_behind_these() -> None:
    items = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": ""},
        {"role": "user", "content": "Quick!"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "B"}]},
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": [{"type": "input_text", "text": "A"}, {"type": "input_image", "image_url": "data:x"}],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "role": "assistant", "content": "Yes."},
    ]
    made = messages(items)
    assert [message["role"] for message in made] == ["assistant", "tool", "tool", "user", "user", "assistant", "assistant"]
    assert made[0]["content"] == "I look."
    assert [called["id"] for called in made[0]["tool_calls"]] == ["a", "b"]
    assert [(made[place]["tool_call_id"], made[place]["content"]) for place in (1, 2)] == [("b", "B"), ("a", "A")]
    assert made[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:x"}}]
    assert made[4]["content"] == "Quick!"
    assert made[5] == {"role": "assistant", "content": None, "refusal": "No."}
    assert made[6] == {"role": "assistant", "content": "Yes."}


def test_paths_of_the_chat_request_lead_back_to_the_clients() -> None:
    one = pair()
    one.request(Ask(CODEX, "m", True), {})
    assert one.origin("messages[0].content") == "instructions"
    assert one.origin("messages[3].tool_calls[0].function.arguments") == "input[3]"
    assert one.origin("messages[4].content") == "input[4]"
    assert one.origin("messages[5].tool_calls[0].id") == "input[5]"
    assert one.origin("tools[1].function") == "tools[1]"
    assert one.origin("web_search_options") == "tools[2]"
    assert one.origin("reasoning_effort") == "reasoning.effort"
    assert one.origin("prompt_cache_key") == "prompt_cache_key"


def test_the_forms_of_a_tool_choice() -> None:
    tools = [TOOL, {"type": "custom", "name": "p"}]

    def choice(said: Any) -> Any:
        return asked({"input": "?", "tools": tools, "tool_choice": said}).get("tool_choice")

    named = {"type": "function", "function": {"name": "f"}}
    assert choice("required") == "required"
    assert choice({"type": "function", "name": "f"}) == named
    assert choice({"type": "custom", "name": "p"}) == {"type": "function", "function": {"name": "p"}}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    assert choice(allowed) == {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    assert "tool_choice" not in asked({"input": "?", "tools": [], "tool_choice": "auto"})


def test_tools_of_a_namespace_are_functions_and_come_back_in_it() -> None:
    space = {"type": "namespace", "name": "crm", "description": "d", "tools": [TOOL]}
    body = {
        "input": [{"type": "function_call", "namespace": "crm", "name": "f", "call_id": "a", "arguments": "{}"}],
        "tools": [space],
    }
    made = asked(body)
    assert made["tools"][0]["function"]["name"] == "crm__f"
    assert made["messages"][0]["tool_calls"][0]["function"]["name"] == "crm__f"
    out = streamed([chunk(call(0, "{}", "a", "crm__f")), *STOP], body)
    item = out[-1].data["response"]["output"][0]  # type: ignore[index]
    assert (item["name"], item["namespace"]) == ("f", "crm")


def test_logprobs_are_asked_for_and_given() -> None:
    made = asked({"input": "?", "top_logprobs": 2, "include": ["message.output_text.logprobs"]})
    assert (made["logprobs"], made["top_logprobs"]) == (True, 2)
    probs = [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]
    events = [chunk({"content": "x"}), chunk({"content": "a"}), *STOP]
    events[1].data["choices"][0]["logprobs"] = {"content": probs}  # type: ignore[index]
    out = streamed(events)
    deltas = [event.data for event in out if event.name == "response.output_text.delta"]
    assert [delta["logprobs"] for delta in deltas] == [[], probs]  # type: ignore[index]
    assert out[-1].data["response"]["output"][0]["content"][0]["logprobs"] == probs  # type: ignore[index]


# --- answers and streams ---


def meaning(read: Read) -> tuple[Any, ...]:
    return (read.text, read.thinking, read.tools, read.finish, read.usage)


def test_the_golden_stream() -> None:
    given, wanted = vectors()["A-R2-OAI"], vectors()["A-R2-RESP"]
    out = streamed(given.events)
    assert [event.name for event in out] == [event.name for event in wanted.events]
    read = read_responses_stream(out)
    assert meaning(read) == meaning(read_responses_stream(wanted.events))
    assert read.tools == [("call_a", "f", '{"a":1}'), ("call_b", "g", "{}")]


def test_the_golden_stream_that_is_cut_off_by_length() -> None:
    out = streamed(vectors()["A-R3-OAI"].events)
    wanted = vectors()["A-R3-RESP-LAST"].events[0].data
    last = out[-1]
    assert last.name == "response.incomplete"
    assert isinstance(last.data, dict)
    assert isinstance(wanted, dict)
    assert last.data["sequence_number"] == wanted["sequence_number"]
    ids = {"id", "output"}
    expected = {key: value for key, value in wanted["response"].items() if key not in ids}
    assert {key: last.data["response"][key] for key in expected} == expected
    assert last.data["response"]["output"][0]["content"] == wanted["response"]["output"][0]["content"]
    assert read_responses_stream(out).text == "Once"


@pytest.mark.parametrize("name", ["A-R2-OAI", "A-R3-OAI", "O-SSE-TEXT", "O-SSE-TOOLS", "A-S2-OAI", "A-S3-OAI", "G-S1-OAI"])
def test_a_chat_stream_means_the_same_wherever_it_is_cut(name: str) -> None:
    vector = vectors()[name]
    whole = streamed(vector.events)
    read = read_responses_stream(whole)
    assert read.text == vector.expect.get("expect", "")
    assert read.thinking == vector.expect.get("expect-reasoning", "")
    tools = [f"{ident}:{called}:{arguments}" for ident, called, arguments in read.tools]
    assert ",".join(tools).replace(":{}", ":") == vector.expect.get("expect-tools", "").replace(":{}", ":")
    assert read.finish == "completed" if name != "A-R3-OAI" else "incomplete"
    data = vector.stream
    assert streamed(cut(data[place : place + 1] for place in range(len(data)))) == whole


@pytest.mark.parametrize("name", ["O-CHAT", "A-P3-OAI", "A-P4-OAI", "G-P3-OAI", "G-P4-OAI"])
def test_a_whole_answer_says_what_its_stream_would(name: str) -> None:
    body = vectors()[name].json
    message = body["choices"][0]["message"]
    one = pair()
    one.request(
        Ask({"input": "?", "temperature": 0.5, "tools": [TOOL], "instructions": "i", "text": {"verbosity": "low"}}, "m", False), {}
    )
    made = one.answer(body)
    read = read_responses_answer(made)
    assert read.text == (message["content"] or "")
    assert read.thinking == message.get("reasoning_content", "")
    calls = message.get("tool_calls", [])
    assert [ident for ident, _, _ in read.tools] == [called["id"] for called in calls]
    assert [text for _, _, text in read.tools] == [called["function"]["arguments"] or "{}" for called in calls]
    usage = body["usage"]
    assert read.usage["input_tokens"] == usage["prompt_tokens"]
    assert read.usage["output_tokens"] == usage["completion_tokens"]
    assert read.usage["input_tokens_details"]["cached_tokens"] == usage["prompt_tokens_details"]["cached_tokens"]
    assert read.usage["output_tokens_details"]["reasoning_tokens"] == usage["completion_tokens_details"]["reasoning_tokens"]
    assert (made["status"], made["model"], made["created_at"]) == ("completed", body["model"], body["created"])
    assert made["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert (made["temperature"], made["tools"], made["instructions"], made["store"]) == (0.5, [TOOL], "i", False)


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("function_call", "completed", None),
        ("eos", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_the_table_of_finish_reasons(finish: str, status: str, reason: str | None) -> None:
    out = streamed([chunk({"content": "x"}), chunk({}, finish), Event(None, DONE)])
    assert isinstance(out[-1].data, dict)
    response = out[-1].data["response"]
    assert (out[-1].name, response["status"]) == (f"response.{status}", status)
    assert (response["incomplete_details"] or {}).get("reason") == reason
    assert response["usage"] is None  # nobody told any


def test_interleaved_calls_come_one_after_the_other() -> None:
    deltas = [
        call(0, "", "a", "f"),
        call(0, '{"x":'),
        call(1, '{"y":', "b", "g"),
        call(0, "1}"),
        call(1, "2}"),
        call(2, "", "c", "h"),
    ]
    out = streamed([*map(chunk, deltas), chunk({}, "tool_calls"), Event(None, DONE)])
    assert read_responses_stream(out).tools == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}'), ("c", "h", "{}")]
    live = streamed([chunk(deltas[0]), chunk(deltas[1])])
    assert any(event.name == "response.function_call_arguments.delta" for event in live)  # while it comes


def test_calls_that_platforms_spoil_are_understood() -> None:
    same_index = [call(0, "{}", "a", "f"), call(0, "{}", "b", "g")]
    repeated = [call(0, '{"x"', "a", "f"), call(0, ":1}", "a", "f")]
    no_index = [
        {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"function": {"arguments": "}"}}]},
    ]
    split_name = [call(0, "", "a", "get_"), call(0, "", None, "it"), call(0, "{}")]
    old = [{"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}]

    def tools(deltas: list[dict[str, Any]]) -> list[Any]:
        return read_responses_stream(streamed([*map(chunk, deltas), *STOP])).tools

    assert tools(same_index) == [("a", "f", "{}"), ("b", "g", "{}")]
    assert tools(repeated) == [("a", "f", '{"x":1}')]
    assert tools(no_index) == [("a", "f", "{}")]
    assert tools(split_name) == [("a", "get_it", "{}")]
    assert [tool[1:] for tool in tools(old)] == [("f", "{}")]
    with pytest.raises(BadAnswerError, match="without a name"):
        tools([call(0, "{}", "a")])


def test_calls_of_custom_tools_come_back_as_such() -> None:
    arguments = json.dumps({"input": "*** Begin\n"})
    events = [chunk(call(0, arguments[:9], "a", "apply_patch")), chunk(call(0, arguments[9:])), *STOP]
    out = streamed(events, CODEX)
    assert read_responses_stream(out).tools == [("a", "apply_patch", "*** Begin\n")]
    names = [event.name for event in out if event.name and "custom" in event.name]
    assert names == ["response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"]
    broken = streamed([chunk(call(0, "no JSON", "a", "apply_patch")), *STOP], CODEX)
    assert read_responses_stream(broken).tools == [("a", "apply_patch", "no JSON")]
    native = {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "p", "input": "raw"}}]}
    assert read_responses_stream(streamed([chunk(native), *STOP])).tools == [("a", "p", "raw")]


def test_refusals_and_citations() -> None:
    cited = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1, "url": "https://h", "title": "t"}}
    out = streamed([chunk({"content": "N"}), chunk({"annotations": [{**cited, "index": 0}]}), chunk({"refusal": "No."}), *STOP])
    read_responses_stream(out)
    parts = out[-1].data["response"]["output"][0]["content"]  # type: ignore[index]
    assert parts[0]["annotations"] == [{"type": "url_citation", "start_index": 0, "end_index": 1, "url": "https://h", "title": "t"}]
    assert parts[1] == {"type": "refusal", "refusal": "No."}


def test_text_behind_a_call_is_a_new_item() -> None:
    out = streamed([chunk({"content": "a"}), chunk(call(0, "{}", "c", "f")), chunk({"content": "b"}), *STOP])
    read_responses_stream(out)
    items = out[-1].data["response"]["output"]  # type: ignore[index]
    assert [item["type"] for item in items] == ["message", "function_call", "message"]


def test_usage_counts_as_it_was_told_last_and_the_end_waits_for_it() -> None:
    one = pair()
    one.request(Ask({"input": "?"}, "m", True), {})
    events = [chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1}), chunk({}, "stop")]
    before = [out.name for event in events for out in one.event(event)]
    assert "response.completed" not in before
    assert one.event(chunk(usage={"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10})) == []
    (last,) = one.end()  # no closing word, yet a finish
    assert last.data["response"]["usage"]["output_tokens"] == 9  # type: ignore[index]
    assert one.event(Event(None, DONE)) == one.end() == []


# --- thoughts (M9) ---


def replay(out: list[Event]) -> Any:
    """The items of an answer, given back by the client together with results."""
    items = out[-1].data["response"]["output"]  # type: ignore[index]
    results = [{"type": "function_call_output", "call_id": item["call_id"], "output": "r"} for item in items if "call_id" in item]
    return messages([{"role": "user", "content": "?"}, *items, *results])


def test_signed_thoughts_travel_through_the_client_and_back() -> None:
    answer = vectors()["A-P3-OAI"].json
    made = pair().answer(answer)
    item = made["output"][0]
    details = answer["choices"][0]["message"]["reasoning_details"]
    assert json.loads(base64.b64decode(item["encrypted_content"])) == details
    message = replay([Event(None, {"response": made})])[1]
    assert message["reasoning_details"] == details
    assert message["content"] == "Checking both."
    assert [called["id"] for called in message["tool_calls"]] == ["toolu_1", "toolu_2"]
    assert replay(streamed(vectors()["A-S2-OAI"].events))[1]["reasoning_details"][0]["signature"] == "U0lH"


def test_thoughts_in_pieces_are_put_together() -> None:
    entry = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    events = [chunk({"reasoning_details": [{**entry, "text": text}]}) for text in ("a", "b")]
    events += [chunk({"reasoning_details": [{**entry, "signature": "S"}]}), chunk({"content": "x"}), *STOP]
    assert replay(streamed(events))[1]["reasoning_details"] == [{**entry, "text": "ab", "signature": "S"}]


def test_signatures_of_calls_travel_through_the_client_and_back() -> None:
    extra = {"google": {"thought_signature": "U0lH"}}
    events = [
        chunk({"reasoning_content": "Hm."}),
        chunk({"content": "Look."}),
        chunk(call(0, "{}", "a", "f", extra_content=extra)),
        chunk(call(1, "{}", "b", "f")),
        *STOP,
    ]
    out = streamed(events)
    read_responses_stream(out)
    message = replay(out)[1]
    assert message["tool_calls"][0]["extra_content"] == extra
    assert "extra_content" not in message["tool_calls"][1]
    assert "reasoning_details" not in message
    whole = replay([Event(None, {"response": pair().answer(vectors()["G-P3-OAI"].json)})])[1]
    assert whole["tool_calls"][0]["extra_content"] == extra


FAR: dict[str, tuple[type[Interpreter], str]] = {"messages": (ChatToMessages, "A-S2-ANT"), "generate": (ChatToGenerate, "G-S2-GEM")}


@pytest.mark.parametrize("platform", sorted(FAR))
def test_signatures_come_back_to_the_platform_that_made_them(platform: str) -> None:
    far, name = FAR[platform]

    def both() -> Composed:
        return Composed(ResponsesToChat(DROP, world()), far(DROP, world()))

    tools = [{**TOOL, "name": name} for name in ("get_weather", "get_time")]
    asking: dict[str, Any] = {"input": "?", "tools": tools, "reasoning": {"effort": "low"}}
    one = both()
    one.request(Ask(asking, "m", True), {})
    out = [said for event in vectors()[name].events for said in one.event(event)] + one.end()
    read = read_responses_stream(out)
    results = [{"type": "function_call_output", "call_id": ident, "output": "r"} for ident, _, _ in read.tools]
    history = [{"role": "user", "content": "?"}, *out[-1].data["response"]["output"], *results]  # type: ignore[index]
    made = json.dumps(both().request(Ask({**asking, "input": history}, "m", True), {}).body)
    assert '"U0lH"' in made
    assert ("RU5D" in made) == (platform == "messages")


@pytest.mark.parametrize("platform", sorted(FAR))
def test_a_failure_of_the_engines_own_is_said_through_two_pairs(platform: str) -> None:
    far, name = FAR[platform]
    one = Composed(ResponsesToChat(DROP, world()), far(DROP, world()))
    one.request(Ask({"input": "?"}, "m", True), {})
    failure = Failure(504, "Too late.", "server_error", "timeout")
    begun = [out for event in vectors()[name].events[:2] for out in one.event(event)]
    out = [*begun, *one.event(failure_event(one.platform, failure))]
    assert read_responses_stream(out).message["error"] == {"code": "server_error", "message": "Too late."}


# --- failures ---


def test_a_cut_stream_gets_no_completed() -> None:
    for name in ("A-R2-OAI", "A-S3-OAI"):
        events = vectors()[name].events
        finish = next(place for place, event in enumerate(events) if event.data["choices"][0]["finish_reason"])  # type: ignore[index]
        for count in range(finish):
            out = streamed(events[:count])
            assert out[-1].name == "response.failed"
            read = read_responses_stream(out)
            assert read.finish == "failed"
            assert read.message["error"]["code"] == "server_error"


def test_a_closing_word_without_a_finish_is_no_end() -> None:
    out = streamed([chunk({"content": "a"}), Event(None, DONE)])
    assert out[-1].name == "response.failed"


def test_an_error_before_anything_is_the_answers_and_later_the_streams() -> None:
    error = Event(None, {"error": {"message": "Slow.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}})
    with pytest.raises(FailedError) as caught:
        streamed([error])
    assert caught.value.failure.status == 429
    out = streamed([chunk({"content": "a"}), error, chunk({"content": "b"}), *STOP])
    assert out[-1].name == "response.failed"
    assert read_responses_stream(out).message["error"] == {"code": "rate_limit_exceeded", "message": "Slow."}
    with pytest.raises(FailedError):
        pair().answer({"error": {"message": "no"}})


def test_the_engine_can_say_a_failure_of_its_own_in_the_stream() -> None:
    with pytest.raises(FailedError) as caught:
        streamed([Event(None, {"error": {"message": "gone"}})])
    out = streamed([chunk({"content": "a"}), failure_event(Protocol.CHAT, caught.value.failure)])
    assert out[-1].name == "response.failed"


@pytest.mark.parametrize("answer", [{}, {"choices": None}, {"choices": []}, {"choices": [5]}, {"choices": [{"message": None}]}])
def test_an_answer_of_another_protocol_is_a_bad_one(answer: Any) -> None:
    with pytest.raises(BadAnswerError):
        pair().answer(answer)


# --- properties ---


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += places(inner, (*path, key))
    return found


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    value = copy.deepcopy(value)
    if not path:
        return other
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = other
    return value


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_request_makes_it_stumble(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from([CODEX, vectors()["A-R1-RESP"].json]))
    for _ in range(data.draw(st.integers(1, 3))):
        body = changed(body, data.draw(st.sampled_from(places(body)[1:])), data.draw(JSON))
    try:
        pair(data.draw(st.sampled_from([DROP, Settings()]))).request(Ask(body, "m", True), {})
    except UntranslatableError as error:
        caught = error.path
    else:
        caught = "none"
    assert caught


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_stream_makes_it_stumble(data: st.DataObject) -> None:
    events: list[Any] = [event.data for event in vectors()[data.draw(st.sampled_from(["A-R2-OAI", "A-S2-OAI", "A-S3-OAI"]))].events]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(events) - 1))
        kind = data.draw(st.sampled_from(["drop", "double", "swap", "change"]))
        if kind == "drop" and len(events) > 1:
            del events[place]
        elif kind == "double":
            events.insert(place, events[place])
        elif kind == "swap":
            events[place], events[-1] = events[-1], events[place]
        elif isinstance(events[place], dict):
            events[place] = changed(events[place], data.draw(st.sampled_from(places(events[place])[1:])), data.draw(JSON))
    try:
        out = streamed([Event(None, event) for event in events])
    except (BadAnswerError, FailedError):
        return
    check_order([event.data for event in out])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_answer_makes_it_stumble(data: st.DataObject) -> None:
    body = vectors()[data.draw(st.sampled_from(["A-P3-OAI", "G-P3-OAI"]))].json
    body = changed(body, data.draw(st.sampled_from(places(body)[1:])), data.draw(JSON))
    try:
        assert pair().answer(body)["object"] == "response"
    except (BadAnswerError, FailedError):
        pass


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
SAID = st.tuples(st.sampled_from(["text", "thought", "call"]), TEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(SAID, max_size=6))
def test_what_a_platform_says_comes_through_in_order(said: list[tuple[str, str]]) -> None:
    deltas: list[dict[str, Any]] = []
    for number, (kind, text) in enumerate(said):
        if kind == "call":
            arguments = json.dumps({"x": text})
            deltas += [call(number, arguments[:4], f"c{number}", "f"), call(number, arguments[4:])]
        else:
            deltas.append({"content" if kind == "text" else "reasoning_content": text})
    out = streamed([*map(chunk, deltas), chunk({}, "stop"), Event(None, DONE)])
    check_order([event.data for event in out])
    read = read_responses_answer(out[-1].data["response"])  # type: ignore[index]
    assert read.text == "".join(text for kind, text in said if kind == "text")
    assert read.thinking == "".join(text for kind, text in said if kind == "thought")
    assert [json.loads(tool[2])["x"] for tool in read.tools] == [text for kind, text in said if kind == "call"]
    order = [kind for kind, _ in said]
    kinds = {"message": "text", "reasoning": "thought", "function_call": "call"}
    items = [kinds[item["type"]] for item in read.message["output"]]
    assert items == [kind for before, kind in pairwise(["", *order]) if kind == "call" or kind != before]
