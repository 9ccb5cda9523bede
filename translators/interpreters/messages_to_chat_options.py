"""The options of a messages request as a chat platform takes them: tools, limits, thinking, format (M2)."""

from collections.abc import Callable
from typing import Any, Final

from translators.interpreters.base import JsonObject, Settings
from translators.interpreters.common import (
    NO_FIELD,
    Origins,
    inner,
    need_flag,
    need_list,
    need_number,
    need_object,
    need_objects,
    need_text,
    need_word,
    unknown_kind,
)

_MOST_STOPS: Final = 4
_LONGEST_USER: Final = 128  # characters
_CHOICES: Final = {"auto": "auto", "none": "none", "any": "required"}
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")

# Fields that are read here or by others; every further one with a value is left out, unless the value is the usual one.
_READ: Final = frozenset(
    {"model", "messages", "system", "stream", "max_tokens", "stop_sequences", "temperature", "top_p"}
    | {"tools", "tool_choice", "thinking", "output_config", "metadata"}
)
_USUAL: Final[dict[str, tuple[Any, ...]]] = {"service_tier": ("auto",), "speed": ("standard",), "mcp_servers": ([],)}
_TOOL_READ: Final = frozenset({"type", "name", "description", "input_schema", "strict", "eager_input_streaming"})


class Options:
    """Writes the options of one request into chat's body."""

    def __init__(self, body: JsonObject, settings: Settings, leave_out: Callable[[str, str], None], origins: Origins) -> None:
        self._body = body
        self._settings = settings
        self._leave_out = leave_out
        self._origins = origins

    def write(self, out: JsonObject) -> None:
        body = self._body
        self._others(body, "", _READ)
        if body.get("max_tokens") is not None:
            out["max_completion_tokens"] = need_number(body["max_tokens"], "max_tokens")
        for field in ("temperature", "top_p"):
            if body.get(field) is not None:
                out[field] = need_number(body[field], field)
        if stops := self._stops():
            out["stop"] = stops
        self._tools(out)
        self._thinking(out)
        self._format(out)
        self._account(out)
        self._origins |= {
            "max_completion_tokens": "max_tokens",
            "stop": "stop_sequences",
            "response_format": "output_config.format",
            "safety_identifier": "metadata.user_id",
            "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
            "web_search_options": "tools",
        }

    def _others(self, said: JsonObject, path: str, read: frozenset[str]) -> None:
        for field, value in said.items():
            if field not in read and value is not None and value not in _USUAL.get(field, ()):
                self._leave_out(path + field, NO_FIELD)

    def _stops(self) -> list[str]:
        said = self._body.get("stop_sequences")
        stops = [] if said is None else need_list(said, "stop_sequences")
        texts = [need_text(text, f"stop_sequences[{index}]") for index, text in enumerate(stops)]
        if len(texts) > _MOST_STOPS:
            self._leave_out(f"stop_sequences[{_MOST_STOPS}]", f"the platform takes {_MOST_STOPS} at most; send fewer")
        return texts[:_MOST_STOPS]

    # --- tools ---

    def _tools(self, out: JsonObject) -> None:
        tools: list[JsonObject] = []
        for path, tool in need_objects(self._body.get("tools"), "tools"):
            kind = tool.get("type")
            if kind is None or kind == "custom":
                self._origins[f"tools[{len(tools)}]"] = path
                tools.append(self._tool(tool, path))
            elif isinstance(kind, str) and kind.startswith("web_search_"):
                out["web_search_options"] = self._web_search(tool, path)
            else:
                need_text(kind, f"{path}.type")
                self._leave_out(path, "the platform has no such tool; send it as a function that the client runs itself")
        if not tools:
            return
        out["tools"] = tools
        if self._body.get("tool_choice") is not None:
            self._choice(need_object(self._body["tool_choice"], "tool_choice"), out)

    def _tool(self, tool: JsonObject, path: str) -> JsonObject:
        function: JsonObject = {"name": need_text(tool.get("name"), f"{path}.name")}
        if tool.get("description") is not None:
            function["description"] = need_text(tool["description"], f"{path}.description")
        function["parameters"] = need_object(tool.get("input_schema"), f"{path}.input_schema")
        if tool.get("strict") is not None:
            function["strict"] = need_flag(tool["strict"], f"{path}.strict")
        self._others(tool, f"{path}.", _TOOL_READ)
        return {"type": "function", "function": function}

    def _web_search(self, tool: JsonObject, path: str) -> JsonObject:
        self._others(tool, f"{path}.", frozenset({"type", "name", "user_location"}))
        if tool.get("user_location") is None:
            return {}
        place = need_object(tool["user_location"], f"{path}.user_location")
        approximate = {key: value for key, value in place.items() if key != "type"}
        return {"user_location": {"type": "approximate", "approximate": approximate}}

    def _choice(self, choice: JsonObject, out: JsonObject) -> None:
        kind = need_word(choice.get("type"), "tool_choice.type", (*_CHOICES, "tool"))
        if kind == "tool":
            name = need_text(choice.get("name"), "tool_choice.name")
            if all(tool["function"]["name"] != name for tool in out["tools"]):
                self._leave_out("tool_choice", "it names none of the tools that the platform gets")
                return
            out["tool_choice"] = {"type": "function", "function": {"name": name}}
        else:
            out["tool_choice"] = _CHOICES[kind]
        if choice.get("disable_parallel_tool_use") is True:
            out["parallel_tool_calls"] = False

    # --- thinking, format, account ---

    def _thinking(self, out: JsonObject) -> None:
        thinking = self._body.get("thinking")
        kind = None
        if thinking is not None:
            kind = need_word(
                need_object(thinking, "thinking").get("type"), "thinking.type", ("enabled", "adaptive", "disabled", "between_tools")
            )
        config = self._body.get("output_config")
        effort = None if config is None else need_object(config, "output_config").get("effort")
        if effort is not None:
            effort = need_word(effort, "output_config.effort", _EFFORTS)
        field = "thinking" if kind else "output_config.effort"
        self._origins["reasoning_effort"] = field
        if kind == "enabled" and effort is None:
            budget = need_number(need_object(thinking, "thinking").get("budget_tokens"), "thinking.budget_tokens")
            effort = "low" if budget < 4096 else "medium" if budget < 16384 else "high"
        if self._settings.thinking == "off":
            if kind not in (None, "disabled") or effort:
                self._leave_out(field, "the model does not think; leave it out, or choose a model that does")
        elif kind == "disabled":
            out["reasoning_effort"] = "none"
        elif kind == "between_tools" and effort is None:
            self._leave_out(field, NO_FIELD)
        elif effort is not None:
            out["reasoning_effort"] = effort

    def _format(self, out: JsonObject) -> None:
        config = inner(self._body, "output_config")
        self._others(config, "output_config.", frozenset({"effort", "format"}))
        if config.get("format") is None:
            return
        path = "output_config.format"
        said = need_object(config["format"], path)
        if said.get("type") != "json_schema":
            raise unknown_kind(said.get("type"), f"{path}.type", "`json_schema`")
        # the platform wants a name where the client has none
        schema = {"name": "answer", "schema": need_object(said.get("schema"), f"{path}.schema")}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}

    def _account(self, out: JsonObject) -> None:
        if self._body.get("metadata") is None:
            return
        metadata = need_object(self._body["metadata"], "metadata")
        self._others(metadata, "metadata.", frozenset({"user_id"}))
        if metadata.get("user_id") is None:
            return
        user = need_text(metadata["user_id"], "metadata.user_id")
        if len(user) > _LONGEST_USER:
            self._leave_out("metadata.user_id", f"the platform takes {_LONGEST_USER} characters at most; send a shorter id")
        else:
            out["safety_identifier"] = user
