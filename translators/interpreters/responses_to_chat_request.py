"""A client's request of responses as a chat request (table M7): the tools and the options.

The items of `input` stand next door, and what the answer looks like is not known here.
"""

from collections.abc import Mapping
from typing import Any, Final

from translators.interpreters.base import Ask, JsonObject, Media, UntranslatableError
from translators.interpreters.common import NO_FIELD, Origins, need_list, need_object, need_objects, need_text, unknown_kind
from translators.interpreters.responses_to_chat_items import Items, LeaveOut
from translators.interpreters.responses_words import INPUT_SCHEMA, SAME_MEMBERS, ToolName, function_name

_STATE: Final = ("previous_response_id", "conversation", "prompt", "context_management")
# Members that are read here by themselves, or whose loss changes nothing: framing, and what a client tells of itself.
_READ: Final = frozenset(
    {*SAME_MEMBERS, "model", "input", "instructions", "stream", "stream_options", "max_output_tokens", "top_logprobs", "tools"}
    | {"tool_choice", "text", "reasoning", "include", "store", "background", "truncation", "client_metadata", *_STATE}
)
_HOSTED: Final = "the platform has no such tool of its own; leave it out, or let the rule drop it (`unsupported: drop`)"


def chat_request(
    ask: Ask, media: Mapping[str, Media], leave_out: LeaveOut, origins: Origins, tools: dict[str, ToolName], *, history: bool
) -> Ask:
    """The chat request. `origins` and `tools` are filled in; `history`: earlier thoughts go to the platform."""
    body = ask.body
    for name in _STATE:
        if body.get(name) not in (None, [], {}):
            raise UntranslatableError(name, "nothing is kept between requests; send the whole conversation as `input`")
    if body.get("background") not in (None, False):
        raise UntranslatableError("background", "a chat request is answered at once; leave it out")
    out: JsonObject = {"model": ask.model}
    items = Items(media, leave_out, origins, history=history)
    out["messages"] = items.messages(body.get("instructions"), body.get("input"))
    out |= {name: body[name] for name in SAME_MEMBERS if body.get(name) is not None}
    if body.get("max_output_tokens") is not None:
        out["max_completion_tokens"] = body["max_output_tokens"]
        origins["max_completion_tokens"] = "max_output_tokens"
    _tools(body, out, leave_out, origins, tools)
    _text(body, out, leave_out, origins)
    _reasoning(body, out, leave_out, origins)
    _logprobs(body, out, leave_out)
    if body.get("store"):
        leave_out("store", "nothing is stored")
    if body.get("truncation") not in (None, "disabled"):
        leave_out("truncation", NO_FIELD)
    for name, value in body.items():
        if name not in _READ and value is not None:
            leave_out(name, NO_FIELD)
    if ask.stream:
        out |= {"stream": True, "stream_options": {"include_usage": True}}
    return Ask(out, ask.model, ask.stream)


# --- options ------------------------------------------------------------------------------------------------------------------


def _text(body: JsonObject, out: JsonObject, leave_out: LeaveOut, origins: Origins) -> None:
    """`text`: the format is flat here and nested there."""
    if body.get("text") is None:
        return
    for name, value in need_object(body["text"], "text").items():
        if value is None:
            continue
        if name == "verbosity":
            out["verbosity"] = value
            origins["verbosity"] = "text.verbosity"
        elif name != "format":
            leave_out(f"text.{name}", NO_FIELD)
        else:
            shape = need_object(value, "text.format")
            kind = shape.get("type")
            if kind == "json_schema":
                out["response_format"] = {
                    "type": kind,
                    "json_schema": {key: shape[key] for key in shape if key != "type" and shape[key] is not None},
                }
            elif kind == "json_object":
                out["response_format"] = {"type": kind}
            elif kind != "text":
                raise unknown_kind(kind, "text.format.type", "text, json_object or json_schema")
            origins["response_format"] = "text.format"


def _reasoning(body: JsonObject, out: JsonObject, leave_out: LeaveOut, origins: Origins) -> None:
    """`reasoning`: whether the thoughts are shown in summary changes nothing of the conversation (M7)."""
    if body.get("reasoning") is None:
        return
    for name, value in need_object(body["reasoning"], "reasoning").items():
        if name == "effort" and value is not None:
            out["reasoning_effort"] = value
            origins["reasoning_effort"] = "reasoning.effort"
        elif name not in ("effort", "summary", "generate_summary") and value is not None:
            leave_out(f"reasoning.{name}", NO_FIELD)


def _logprobs(body: JsonObject, out: JsonObject, leave_out: LeaveOut) -> None:
    """`top_logprobs`, and what of `include` can be had."""
    if body.get("top_logprobs"):
        out |= {"logprobs": True, "top_logprobs": body["top_logprobs"]}
    include = body.get("include")
    for index, name in enumerate(need_list(include, "include") if include is not None else ()):
        if name == "message.output_text.logprobs":
            out["logprobs"] = True
        elif name != "reasoning.encrypted_content":
            leave_out(f"include[{index}]", NO_FIELD)


# --- tools --------------------------------------------------------------------------------------------------------------------


def _tools(body: JsonObject, out: JsonObject, leave_out: LeaveOut, origins: Origins, names: dict[str, ToolName]) -> None:
    functions: list[JsonObject] = []
    for path, tool in need_objects(body.get("tools"), "tools"):
        kind = tool.get("type")
        if kind == "namespace":
            space = need_text(tool.get("name"), f"{path}.name")
            for where, member in need_objects(tool.get("tools"), f"{path}.tools"):
                if member.get("type") not in ("function", "custom"):
                    raise unknown_kind(member.get("type"), f"{where}.type", "function or custom")
                origins[f"tools[{len(functions)}]"] = where
                functions.append(_function(member, where, space, names))
        elif kind in ("function", "custom"):
            origins[f"tools[{len(functions)}]"] = path
            functions.append(_function(tool, path, None, names))
        elif isinstance(kind, str) and kind.startswith("web_search"):
            _web_search(tool, path, out, leave_out)
            origins["web_search_options"] = path
        else:
            leave_out(path, _HOSTED)
    if functions:
        out["tools"] = functions
    elif "parallel_tool_calls" in out:
        del out["parallel_tool_calls"]  # chat refuses it without tools
    if body.get("tool_choice") is not None:
        choice = _choice(body["tool_choice"], "tool_choice", leave_out)
        # `auto` without tools says nothing, and chat refuses a choice where there is nothing to choose from.
        if choice is not None and functions:
            out["tool_choice"] = choice
        elif choice not in (None, "auto", "none"):
            leave_out("tool_choice", "there is no function to choose from")


def _function(tool: JsonObject, path: str, namespace: str | None, names: dict[str, ToolName]) -> JsonObject:
    name = need_text(tool.get("name"), f"{path}.name")
    custom = tool["type"] == "custom"
    called = function_name(name, namespace)
    if called in names:
        raise UntranslatableError(f"{path}.name", "another tool has this name already; chat's functions share one list of names")
    names[called] = ToolName(name, namespace, custom)
    function: JsonObject = {"name": called}
    description = tool.get("description")
    if custom:
        description = _described(tool, path)
        if description:
            function["description"] = description
        function["parameters"] = INPUT_SCHEMA
    else:
        function |= {key: tool[key] for key in ("description", "parameters", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": function}


def _described(tool: JsonObject, path: str) -> str:
    """The description of a custom tool, with its grammar: a function cannot be held to one, so the model is told of it."""
    description = need_text(tool.get("description") or "", f"{path}.description")
    shape = tool.get("format")
    if shape is None:
        return description
    shape = need_object(shape, f"{path}.format")
    if shape.get("type") != "grammar":
        return description
    definition = need_text(shape.get("definition"), f"{path}.format.definition")
    syntax = shape.get("syntax")
    told = f"`input` must match this grammar{f' ({syntax})' if isinstance(syntax, str) else ''}:\n{definition}"
    return f"{description}\n\n{told}" if description else told


_SEARCH: Final = ("type", "search_context_size", "user_location")


def _web_search(tool: JsonObject, path: str, out: JsonObject, leave_out: LeaveOut) -> None:
    """The platform's own search, asked for by `web_search_options` (M7)."""
    options: JsonObject = {}
    if tool.get("search_context_size") is not None:
        options["search_context_size"] = tool["search_context_size"]
    if tool.get("user_location") is not None:
        place = need_object(tool["user_location"], f"{path}.user_location")
        told = {key: value for key, value in place.items() if key != "type" and value is not None}
        options["user_location"] = {"type": "approximate", "approximate": told}
    for name, value in tool.items():
        if name not in _SEARCH and value not in (None, {}, []) and not (name == "external_web_access" and value is True):
            leave_out(f"{path}.{name}", NO_FIELD)
    out["web_search_options"] = options


def _choice(choice: Any, path: str, leave_out: LeaveOut) -> Any:
    if isinstance(choice, str):
        return choice
    choice = need_object(choice, path)
    if choice.get("type") != "allowed_tools":
        return _tool_choice(choice, path, leave_out)
    tools = [_tool_choice(tool, where, leave_out) for where, tool in need_objects(choice.get("tools"), f"{path}.tools")]
    allowed = {"mode": choice.get("mode", "auto"), "tools": [tool for tool in tools if tool is not None]}
    return {"type": "allowed_tools", "allowed_tools": allowed}


def _tool_choice(choice: JsonObject, path: str, leave_out: LeaveOut) -> JsonObject | None:
    """A choice of one tool; None when the rule drops it."""
    if choice.get("type") not in ("function", "custom"):
        leave_out(path, _HOSTED)
        return None
    space = choice.get("namespace")
    space = None if space is None else need_text(space, f"{path}.namespace")
    return {"type": "function", "function": {"name": function_name(need_text(choice.get("name"), f"{path}.name"), space)}}
