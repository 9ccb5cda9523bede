"""What a generate request says besides its conversation, as a chat request says it (G2)."""

from collections.abc import Callable
from typing import Any, Final

from translators.interpreters.base import JsonObject, UntranslatableError
from translators.interpreters.common import (
    NO_FIELD,
    Origins,
    need_list,
    need_number,
    need_object,
    need_objects,
    need_text,
    need_word,
)
from translators.interpreters.generate_to_chat_turns import as_list
from translators.interpreters.generate_words import camel, effort_of_budget
from translators.interpreters.schemas import from_subset

_PLAIN: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "maxOutputTokens": "max_completion_tokens",
    "stopSequences": "stop",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_READ: Final = (
    *_PLAIN,
    "candidateCount",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseModalities",
    "thinkingConfig",
)
_TOP: Final = ("contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "model")
_SEARCH: Final = ("googleSearch", "googleSearchRetrieval")
_LEVELS: Final = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
_CHOICES: Final = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none", "MODE_UNSPECIFIED": "auto"}
_CONFIG: Final = "generationConfig"


class Options:
    """Reads one request, whose top-level keys are in camelCase. `searching`: the client asked for a search of the web."""

    def __init__(self, said: JsonObject, leave_out: Callable[[str, str], None], origins: Origins) -> None:
        self._said = said
        self._leave_out = leave_out
        self._origins = origins
        self.searching = False

    def write(self) -> JsonObject:
        """The members of the chat request besides `model`, `messages` and what asks for a stream."""
        said = self._said
        if said.get("cachedContent") is not None:  # it is a part of the conversation, so no rule may drop it
            raise UntranslatableError("cachedContent", "only the platform that keeps this content knows it; send it in `contents`")
        self._leave_out_rest(said, _TOP, "")
        out: JsonObject = {}
        config = camel(need_object(said.get(_CONFIG, {}), _CONFIG))
        self._leave_out_rest(config, _READ, f"{_CONFIG}.")
        for key, name in _PLAIN.items():
            if key in config and config[key] != []:
                out[name] = config[key]
                self._origins[name] = f"{_CONFIG}.{key}"
        if config.get("candidateCount", 1) != 1:
            out["n"] = need_number(config["candidateCount"], f"{_CONFIG}.candidateCount")
            self._origins["n"] = f"{_CONFIG}.candidateCount"
        self._format(config, out)
        self._modalities(config, out)
        self._thinking(config, out)
        if tools := self._tools(out):
            out["tools"] = tools
        self._choice(out)
        return out

    def _leave_out_rest(self, said: JsonObject, known: tuple[str, ...], path: str) -> None:
        for key, value in said.items():
            if key not in known and value not in ({}, [], ""):
                self._leave_out(f"{path}{key}", NO_FIELD)

    def _format(self, config: JsonObject, out: JsonObject) -> None:
        path = f"{_CONFIG}.responseMimeType"
        kind = need_text(config.get("responseMimeType", ""), path)
        schema: JsonObject | None = None
        for key in ("responseJsonSchema", "responseSchema"):
            if config.get(key) is not None:
                said, path = need_object(config[key], f"{_CONFIG}.{key}"), f"{_CONFIG}.{key}"
                schema = said if key == "responseJsonSchema" else from_subset(said, path)
                break
        if kind in ("", "text/plain"):
            if schema is not None:
                self._leave_out(path, "a schema is for JSON alone; send `responseMimeType: application/json` with it")
            return
        if kind != "application/json":
            self._leave_out(f"{_CONFIG}.responseMimeType", "chat knows text and JSON only")
        elif schema is None:
            out["response_format"] = {"type": "json_object"}
        else:
            out["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}}
        self._origins["response_format"] = path

    def _modalities(self, config: JsonObject, out: JsonObject) -> None:
        path = f"{_CONFIG}.responseModalities"
        said = need_list(config.get("responseModalities", []), path)
        words = [need_text(word, f"{path}[{place}]").lower() for place, word in enumerate(said)]
        if words and words != ["text"]:
            out["modalities"] = words
            self._origins["modalities"] = path

    def _thinking(self, config: JsonObject, out: JsonObject) -> None:
        """Whether thoughts are shown (`includeThoughts`) is for the platform to say: chat has no word for it."""
        path = f"{_CONFIG}.thinkingConfig"
        said = camel(need_object(config.get("thinkingConfig", {}), path))
        self._leave_out_rest(said, ("includeThoughts", "thinkingLevel", "thinkingBudget"), f"{path}.")
        effort: str | None = None
        if "thinkingLevel" in said:
            level = need_text(said["thinkingLevel"], f"{path}.thinkingLevel").upper()
            if level != "THINKING_LEVEL_UNSPECIFIED":
                effort = need_word(level, f"{path}.thinkingLevel", _LEVELS).lower()
            self._origins["reasoning_effort"] = f"{path}.thinkingLevel"
        elif "thinkingBudget" in said:
            effort = effort_of_budget(int(min(need_number(said["thinkingBudget"], f"{path}.thinkingBudget"), 1 << 31)))
            self._origins["reasoning_effort"] = f"{path}.thinkingBudget"
        if effort is not None:
            out["reasoning_effort"] = effort

    # --- tools ---

    def _tools(self, out: JsonObject) -> list[JsonObject]:
        made: list[JsonObject] = []
        for path, tool in need_objects(as_list(self._said.get("tools")), "tools"):
            for key, value in camel(tool).items():
                where = f"{path}.{key}"
                if key == "functionDeclarations":
                    for inside, declaration in need_objects(as_list(value), where):
                        self._origins[f"tools[{len(made)}]"] = inside
                        made.append(self._function(camel(declaration), inside))
                elif key in _SEARCH:
                    self._leave_out_rest(camel(need_object(value, where)), (), f"{where}.")
                    out["web_search_options"] = {}
                    self._origins["web_search_options"] = where
                    self.searching = True
                else:
                    self._leave_out(where, "chat has no such tool; leave it out, or let the rule drop it (`unsupported: drop`)")
        return made

    def _function(self, said: JsonObject, path: str) -> JsonObject:
        self._leave_out_rest(said, ("name", "description", "parameters", "parametersJsonSchema"), f"{path}.")
        function: JsonObject = {"name": need_text(said.get("name"), f"{path}.name")}
        if "description" in said:
            function["description"] = said["description"]
        if "parametersJsonSchema" in said:
            function["parameters"] = need_object(said["parametersJsonSchema"], f"{path}.parametersJsonSchema")
        elif "parameters" in said:
            function["parameters"] = from_subset(said["parameters"], f"{path}.parameters")
        return {"type": "function", "function": function}

    def _choice(self, out: JsonObject) -> None:
        said = camel(need_object(self._said.get("toolConfig", {}), "toolConfig"))
        self._leave_out_rest(said, ("functionCallingConfig",), "toolConfig.")
        path = "toolConfig.functionCallingConfig"
        calling = camel(need_object(said.get("functionCallingConfig", {}), path))
        self._leave_out_rest(calling, ("mode", "allowedFunctionNames"), f"{path}.")
        mode = _CHOICES[need_word(_upper(calling.get("mode", "AUTO")), f"{path}.mode", _CHOICES)]
        allowed = need_list(calling.get("allowedFunctionNames", []), f"{path}.allowedFunctionNames")
        functions = [
            {"type": "function", "function": {"name": need_text(name, f"{path}.allowedFunctionNames[{place}]")}}
            for place, name in enumerate(allowed)
        ]
        if not calling or "tools" not in out:  # chat refuses a choice among no tools
            return
        self._origins["tool_choice"] = path
        if not functions or mode == "none":
            out["tool_choice"] = mode
        elif len(functions) == 1 and mode == "required":
            out["tool_choice"] = functions[0]
        else:
            out["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": functions}}


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value
