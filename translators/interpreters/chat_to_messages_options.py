"""The options of a chat request as a messages platform takes them: tools, limits, sampling, thinking, format (table M1)."""

from collections.abc import Callable
from typing import Any, Final

from translators.interpreters.base import JsonObject, Settings, UntranslatableError
from translators.interpreters.common import (
    NO_FIELD,
    inner,
    kind_of,
    need_flag,
    need_list,
    need_number,
    need_object,
    need_objects,
    need_text,
    need_word,
    unknown_kind,
)

THINKING: Final = "-thinking"  # behind the name of a model: it shall think
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_USUAL_EFFORT: Final = "high"  # what a platform does that is told to think and not how much
_TIERS: Final = {"auto": "auto", "default": "standard_only"}
_SEARCHES: Final = {"low": 1, "medium": 5, "high": 10}
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_CUSTOM_SCHEMA: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}

# Fields that are read here or by others; every further one with a value is left out, unless the value is the usual one.
_READ: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k"}
    | {"stop", "n", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "thinking"}
    | {"user", "safety_identifier", "service_tier", "web_search_options", "functions", "function_call"}
)
_USUAL: Final[dict[str, tuple[Any, ...]]] = {
    "logprobs": (False,),
    "store": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "modalities": (["text"], []),
    "logit_bias": ({},),
    "metadata": ({},),
}


class Options:
    """Writes the options of one request into the platform's body.

    `thinks`: the name of the model says so. `custom` are the names of its free-form tools, `given_up` the fields that this turn
    cannot have, whatever the rule says.
    """

    def __init__(
        self, body: JsonObject, settings: Settings, leave_out: Callable[[str, str], None], *, thinks: bool = False
    ) -> None:
        self._body = body
        self._thinks = thinks
        self._settings = settings
        self._leave_out = leave_out
        self.given_up: list[str] = []
        self.custom: set[str] = set()

    def write(self, out: JsonObject, *, lacks_thoughts: bool) -> None:
        self._refused()
        out["max_tokens"] = self._limit()
        if stops := self._stops():
            out["stop_sequences"] = stops
        self._tools(out)
        self._format(out)
        self._thinking(out, lacks_thoughts=lacks_thoughts)
        self._sampling(out)
        self._account(out)

    def _refused(self) -> None:
        body = self._body
        if body.get("n") is not None and body["n"] != 1:
            raise UntranslatableError("n", "the platform gives one answer to a request; send 1, or send the request n times")
        if body.get("functions") or body.get("function_call") is not None:
            field = "functions" if body.get("functions") else "function_call"
            raise UntranslatableError(field, "this field is obsolete and not translated; send `tools` and `tool_choice`")
        for field, value in body.items():
            if field not in _READ and value is not None and value not in _USUAL.get(field, ()):
                self._leave_out(field, NO_FIELD)

    def _limit(self) -> int | float:
        for field in ("max_completion_tokens", "max_tokens"):
            if self._body.get(field) is not None:
                return need_number(self._body[field], field)
        return self._settings.max_tokens

    def _stops(self) -> list[str]:
        stop = self._body.get("stop")
        if stop is None:
            return []
        stops = [stop] if isinstance(stop, str) else need_list(stop, "stop")
        texts = [need_text(text, f"stop[{index}]") for index, text in enumerate(stops)]
        return [text for text in texts if text and not text.isspace()]

    # --- tools ---

    def _tools(self, out: JsonObject) -> None:
        tools = [self._tool(tool, path) for path, tool in need_objects(self._body.get("tools"), "tools")]
        if self._body.get("web_search_options") is not None:
            tools.append(_web_search(need_object(self._body["web_search_options"], "web_search_options")))
        choice = self._choice()
        if choice is not None and "allowed" in choice:
            names = choice.pop("allowed")
            allowed = [tool for tool in tools if tool["name"] in names]
            if tools and not allowed and choice["type"] == "any":
                raise UntranslatableError("tool_choice.allowed_tools.tools", "it names none of the tools; a call was required")
            tools = allowed
        if not tools:
            return
        if self._body.get("parallel_tool_calls") is not None and not need_flag(
            self._body["parallel_tool_calls"], "parallel_tool_calls"
        ):
            choice = choice or {"type": "auto"}
            if choice["type"] != "none":
                choice["disable_parallel_tool_use"] = True
        out["tools"] = tools
        if choice is not None:
            out["tool_choice"] = choice

    def _tool(self, tool: JsonObject, path: str) -> JsonObject:
        kind = tool.get("type", "function")
        if kind not in ("function", "custom"):
            raise unknown_kind(kind, f"{path}.type", "`function` or `custom`")
        path = f"{path}.{kind}"
        said = need_object(tool.get(kind), path)
        made: JsonObject = {"name": need_text(said.get("name"), f"{path}.name")}
        if said.get("description") is not None:
            made["description"] = need_text(said["description"], f"{path}.description")
        if kind == "custom":
            self.custom.add(made["name"])
            if inner(said, "format").get("type", "text") != "text":
                self._leave_out(f"{path}.format", NO_FIELD)
            made["input_schema"] = _CUSTOM_SCHEMA
        else:
            made["input_schema"] = _schema(said.get("parameters"), f"{path}.parameters")
            if said.get("strict") is not None:
                made["strict"] = need_flag(said["strict"], f"{path}.strict")
        if isinstance(tool.get("cache_control"), dict):
            made["cache_control"] = tool["cache_control"]
        return made

    def _choice(self) -> JsonObject | None:
        choice = self._body.get("tool_choice")
        if choice is None:
            return None
        if isinstance(choice, str):
            return {"type": _CHOICES[need_word(choice, "tool_choice", _CHOICES)]}
        kind = need_object(choice, "tool_choice").get("type")
        if kind in ("function", "custom"):
            named = need_object(choice.get(kind), f"tool_choice.{kind}")
            return {"type": "tool", "name": need_text(named.get("name"), f"tool_choice.{kind}.name")}
        if kind != "allowed_tools":
            raise unknown_kind(kind, "tool_choice.type", "`function`, `custom` or `allowed_tools`")
        path = "tool_choice.allowed_tools"
        allowed = need_object(choice.get("allowed_tools"), path)
        mode = need_word(allowed.get("mode"), f"{path}.mode", ("auto", "required"))
        names = {
            need_text(inner(tool, "function" if tool.get("type") == "function" else "custom").get("name"), f"{where}.function.name")
            for where, tool in need_objects(allowed.get("tools"), f"{path}.tools")
        }
        return {"type": _CHOICES[mode], "allowed": names}

    # --- what comes out, and how ---

    def _format(self, out: JsonObject) -> None:
        if self._body.get("response_format") is None:
            return
        said = need_object(self._body["response_format"], "response_format")
        kind = need_word(said.get("type"), "response_format.type", ("text", "json_object", "json_schema"))
        if kind == "json_object":
            self._leave_out("response_format", "the platform has no such format; send `json_schema`, or ask for JSON in the text")
        elif kind == "json_schema":
            path = "response_format.json_schema"
            schema = need_object(need_object(said.get("json_schema"), path).get("schema"), f"{path}.schema")
            out["output_config"] = {"format": {"type": "json_schema", "schema": schema}}

    def _thinking(self, out: JsonObject, *, lacks_thoughts: bool) -> None:
        wanted = self._wanted_thinking()
        if wanted is None:
            return
        field, thinking, effort = wanted
        mode = self._settings.thinking
        if mode == "off":
            if thinking.get("type") != "disabled":
                self._leave_out(field, "the model does not think; leave it out, or choose a model that does")
        elif thinking.get("type") not in ("enabled", "adaptive"):
            out["thinking"] = thinking
        elif mode == "adaptive":
            own = field == "thinking" and thinking["type"] == "adaptive"
            out["thinking"] = thinking if own else {"type": "adaptive", "display": thinking.get("display") or "summarized"}
            if effort:
                out["output_config"] = {"effort": effort, **out.get("output_config", {})}
        elif lacks_thoughts or inner(out, "tool_choice").get("type") in ("any", "tool"):
            # Refused by the platform together with either; the conversation goes on without thinking (M1, M9.4).
            self.given_up.append(field)
        else:
            self._budget(out, thinking, effort)

    def _budget(self, out: JsonObject, thinking: JsonObject, effort: str | None) -> None:
        ours = thinking["type"] == "adaptive"
        budget = _BUDGETS[effort or _USUAL_EFFORT] if ours else thinking["budget_tokens"]
        out["thinking"] = {**thinking, "type": "enabled", "budget_tokens": budget}
        # what the client asked for is the limit of the answer; the platform's limit counts the thoughts, too
        if ours or budget >= out["max_tokens"]:
            out["max_tokens"] += budget

    def _wanted_thinking(self) -> tuple[str, JsonObject, str | None] | None:
        """The field that asks for it, the platform's `thinking`, and an effort where the client spoke of one."""
        effort = self._body.get("reasoning_effort")
        if effort is not None:
            effort = need_word(effort, "reasoning_effort", ("none", *_EFFORTS))
        if self._body.get("thinking") is not None:
            thinking = need_object(self._body["thinking"], "thinking")
            kind = need_word(thinking.get("type"), "thinking.type", ("enabled", "adaptive", "disabled", "between_tools"))
            if kind != "enabled":
                return "thinking", thinking, None if effort in (None, "none") else _EFFORTS[effort]
            budget = need_number(thinking.get("budget_tokens"), "thinking.budget_tokens")
            return "thinking", thinking, _effort_of(budget) if self._settings.thinking == "adaptive" else None
        if effort is None:
            return ("model", {"type": "adaptive"}, None) if self._thinks else None
        if effort == "none":
            return "reasoning_effort", {"type": "disabled"}, None
        return "reasoning_effort", {"type": "adaptive"}, _EFFORTS[effort]

    def _sampling(self, out: JsonObject) -> None:
        thinks = inner(out, "thinking").get("type") in ("enabled", "adaptive")
        for field in ("temperature", "top_p", "top_k"):
            value = self._body.get(field)
            if value is None:
                continue
            number = need_number(value, field)
            if not self._settings.sampling:
                self._leave_out(field, "the model does not take it; leave it out, or let the rule drop it (`unsupported: drop`)")
            elif not thinks:
                out[field] = number if field == "top_k" else min(number, 1)
            elif field == "top_k" or number != 1:
                self._leave_out(field, "it cannot be changed while the model thinks; leave it out, or ask for no thinking")

    def _account(self, out: JsonObject) -> None:
        for field in ("safety_identifier", "user"):
            if self._body.get(field) is not None:
                out["metadata"] = {"user_id": need_text(self._body[field], field)}
                break
        tier = self._body.get("service_tier")
        if isinstance(tier, str) and tier in _TIERS:
            out["service_tier"] = _TIERS[tier]
        elif tier is not None:
            self._leave_out("service_tier", "the platform knows `auto` and `default` only")


def _effort_of(budget: float) -> str:
    return "low" if budget < 4096 else "medium" if budget < 16384 else "high"


def _schema(parameters: object, path: str) -> JsonObject:
    """A schema of arguments; the platform demands that it says `type: object` at its top."""
    if parameters is None or parameters == {}:
        return {"type": "object", "properties": {}}
    schema = need_object(parameters, path)
    if schema.get("type", "object") != "object":
        shown = schema["type"] if isinstance(schema["type"], str) else kind_of(schema["type"])
        raise UntranslatableError(f"{path}.type", f"expected `object` at the top of a tool's schema, this is {shown}")
    return schema if "type" in schema else {"type": "object", **schema}


def _web_search(options: JsonObject) -> JsonObject:
    tool: JsonObject = {"type": "web_search_20250305", "name": "web_search"}
    size = options.get("search_context_size")
    if size is not None:
        tool["max_uses"] = _SEARCHES[need_word(size, "web_search_options.search_context_size", _SEARCHES)]
    if options.get("user_location") is not None:
        path = "web_search_options.user_location"
        place = need_object(need_object(options["user_location"], path).get("approximate"), f"{path}.approximate")
        tool["user_location"] = {"type": "approximate", **place}
    return tool
