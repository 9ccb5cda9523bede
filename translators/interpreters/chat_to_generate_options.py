"""What a chat request says besides its conversation, as a generate request says it (G1, rows from `tools` on)."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from translators.interpreters.base import Ask, JsonObject, Settings, UntranslatableError
from translators.interpreters.common import (
    NO_FIELD,
    inner,
    need_list,
    need_object,
    need_objects,
    need_text,
    need_word,
    unknown_kind,
)
from translators.interpreters.generate_words import BUDGETS, GOOGLE, LEVELS, camel
from translators.interpreters.schemas import Budget, to_subset

_PLAIN: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_ELSEWHERE: Final = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "stop",
        "response_format",
        "modalities",
        "aspect_ratio",
        "reasoning_effort",
        "extra_body",
        "web_search_options",
    ]
) | {GOOGLE}
# What is asked for anyway where these fields have these values.
_USUAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "parallel_tool_calls": (True,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
_SUFFIX: Final = re.compile(r"-(?:thinking(?:-(\d{1,6}))?|(nothinking))$", re.ASCII)
_HOSTED: Final = ("googleSearch", "codeExecution", "urlContext")  # as names of functions: the convention of relays
_CUSTOM: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_MODALITIES: Final = ("text", "image", "audio")


def without_suffix(model: str) -> str:
    """The name of a model without what it says of thinking: `-thinking`, `-thinking-N`, `-nothinking`."""
    return _SUFFIX.sub("", model)


class Options:
    """Reads the options of one request.

    `custom`: names of the client's custom tools. `searching`: the platform searches the web. `legacy`: the client speaks of
    functions, as before there were tools.
    """

    def __init__(self, ask: Ask, settings: Settings, leave_out: Callable[[str, str], None]) -> None:
        self._body = ask.body
        self._model = ask.model
        self._settings = settings
        self._leave_out = leave_out
        self._budget = Budget()
        self.custom: set[str] = set()
        self.searching = False
        self.legacy = ask.body.get("functions") is not None and ask.body.get("tools") is None

    def write(self) -> JsonObject:
        """The members of the request besides its conversation."""
        body = self._body
        out: JsonObject = {}
        config: JsonObject = {name: body[key] for key, name in _PLAIN.items() if body.get(key) is not None}
        for key, value in body.items():
            if key not in _PLAIN and key not in _ELSEWHERE and value not in (None, {}, [], "", *_USUAL.get(key, ())):
                self._leave_out(key, NO_FIELD)
        self._stop(config)
        self._format(config)
        self._modalities(config)
        self._thinking(config)
        self._extra(config, out)
        out |= {"generationConfig": config} if config else {}
        choice, allowed = self._choice()
        if tools := self._tools(allowed):
            out["tools"] = tools
        if choice and any("functionDeclarations" in tool for tool in tools):
            out["toolConfig"] = {"functionCallingConfig": choice}
        return out

    def _stop(self, config: JsonObject) -> None:
        stop = self._body.get("stop")
        if stop:
            config["stopSequences"] = [stop] if isinstance(stop, str) else need_list(stop, "stop")

    def _format(self, config: JsonObject) -> None:
        said = self._body.get("response_format")
        if said is None:
            return
        said = need_object(said, "response_format")
        kind = need_word(said.get("type"), "response_format.type", ("text", "json_object", "json_schema"))
        if kind == "text":
            return
        config["responseMimeType"] = "application/json"
        path = "response_format.json_schema"
        schema = need_object(said.get("json_schema"), path).get("schema") if kind == "json_schema" else None
        if schema is not None:
            config |= self._schema("response", need_object(schema, f"{path}.schema"), f"{path}.schema")

    def _schema(self, name: str, schema: JsonObject, path: str) -> JsonObject:
        """A schema under the name that it has in its form; a function without arguments has none in the subset."""
        if self._settings.schema == "full":
            return {f"{name}JsonSchema": schema}
        subset = to_subset(schema, path, self._budget)
        if name == "response":
            return {"responseSchema": subset}
        return {name: subset} if subset.get("properties") else {}

    def _modalities(self, config: JsonObject) -> None:
        said = self._body.get("modalities")
        if said and said != ["text"]:
            words = [
                need_word(word, f"modalities[{index}]", _MODALITIES) for index, word in enumerate(need_list(said, "modalities"))
            ]
            config["responseModalities"] = [word.upper() for word in words]
        if self._body.get("aspect_ratio") is not None:
            config["imageConfig"] = {"aspectRatio": self._body["aspect_ratio"]}

    # --- thinking ---

    def _thinking(self, config: JsonObject) -> None:
        effort = self._body.get("reasoning_effort")
        suffix = _SUFFIX.search(self._model)
        if effort is not None:
            word = need_word(effort, "reasoning_effort", BUDGETS)
            if self._settings.thinking == "off":
                if word != "none":
                    self._leave_out("reasoning_effort", "the model does not think; leave it out")
                return
            config["thinkingConfig"] = self._effort(word)
        elif suffix and self._settings.thinking != "off":
            config["thinkingConfig"] = self._effort("none") if suffix[2] else {"includeThoughts": True}
            if suffix[1]:
                config["thinkingConfig"]["thinkingBudget"] = int(suffix[1])

    def _effort(self, word: str) -> JsonObject:
        if self._settings.thinking == "level":
            return {"includeThoughts": True, "thinkingLevel": LEVELS[word]}
        budget = BUDGETS[word]
        return {"includeThoughts": True, "thinkingBudget": budget} if budget else {"thinkingBudget": 0}

    def _extra(self, config: JsonObject, out: JsonObject) -> None:
        """`extra_body.google`; the official SDK merges `extra_body` into the top level, some clients send it literally."""
        extra = self._body.get("extra_body")
        if extra is not None:
            for key in need_object(extra, "extra_body"):
                if key != GOOGLE:
                    self._leave_out(f"extra_body.{key}", NO_FIELD)
        for path, holder in ((GOOGLE, self._body), (f"extra_body.{GOOGLE}", extra or {})):
            said = holder.get(GOOGLE)
            if said is None:
                continue
            for key, value in camel(need_object(said, path)).items():
                if key in ("thinkingConfig", "imageConfig"):
                    config[key] = {**config.get(key, {}), **camel(need_object(value, f"{path}.{key}"))}
                elif key in ("safetySettings", "cachedContent"):
                    out[key] = value
                else:
                    self._leave_out(f"{path}.{key}", NO_FIELD)

    # --- tools ---

    def _tools(self, allowed: frozenset[str] | None) -> list[JsonObject]:
        """`allowed`: names of the tools that the model may call; None: all."""
        body = self._body
        declarations: list[JsonObject] = []
        hosted: list[JsonObject] = []
        said = need_objects(body.get("tools"), "tools")
        if self.legacy:
            said = [(path, {"type": "function", "function": value}) for path, value in need_objects(body["functions"], "functions")]
        for path, tool in said:
            declared = self._tool(tool, path)
            if declared["name"] in _HOSTED and tool.get("type") == "function":
                hosted.append({declared["name"]: {}})
            elif allowed is None or declared["name"] in allowed:
                declarations.append(declared)
        self._search(hosted)
        self.searching = any("googleSearch" in tool for tool in hosted)
        return [*([{"functionDeclarations": declarations}] if declarations else []), *hosted]

    def _tool(self, tool: JsonObject, path: str) -> JsonObject:
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            raise unknown_kind(kind, f"{path}.type", "function or custom")
        where = path if self.legacy else f"{path}.{kind}"
        function = need_object(tool.get(kind), where)
        name = need_text(function.get("name"), f"{where}.name")
        declared: JsonObject = {"name": name}
        if function.get("description") is not None:
            declared["description"] = function["description"]
        if kind == "custom":
            self.custom.add(name)
            if inner(function, "format").get("type") not in (None, "text"):
                self._leave_out(f"{where}.format", "the platform knows no grammars; describe the form in words instead")
            return declared | self._schema("parameters", _CUSTOM, where)
        if function.get("parameters") is not None:
            schema = need_object(function["parameters"], f"{where}.parameters")
            declared |= self._schema("parameters", schema, f"{where}.parameters")
        return declared

    def _search(self, hosted: list[JsonObject]) -> None:
        said = self._body.get("web_search_options")
        if said is None:
            return
        for key, value in need_object(said, "web_search_options").items():
            if value is not None and (key, value) != ("search_context_size", "medium"):
                self._leave_out(f"web_search_options.{key}", NO_FIELD)
        if {"googleSearch": {}} not in hosted:
            hosted.append({"googleSearch": {}})

    def _choice(self) -> tuple[JsonObject | None, frozenset[str] | None]:
        """How functions are called, and to which of them the client narrows its tools."""
        key = "function_call" if self.legacy else "tool_choice"
        said = self._body.get(key)
        if said is None:
            return None, None
        if isinstance(said, str):
            return {"mode": _MODES[need_word(said, key, _MODES)]}, None
        said = need_object(said, key)
        if self.legacy:
            said = {"type": "function", "function": said}
        kind = said.get("type")
        if kind in ("function", "custom"):
            name = need_text(need_object(said.get(kind), f"{key}.{kind}").get("name"), f"{key}.{kind}.name")
            return {"mode": "ANY", "allowedFunctionNames": [name]}, None
        if kind != "allowed_tools":
            raise unknown_kind(kind, f"{key}.type", "function, custom or allowed_tools")
        path = f"{key}.{kind}"
        allowed = need_object(said.get(kind), path)
        mode = need_word(allowed.get("mode"), f"{path}.mode", ("auto", "required"))
        names = []
        for where, tool in need_objects(allowed.get("tools"), f"{path}.tools"):
            held = tool.get("custom") if tool.get("type") == "custom" else tool.get("function")
            names.append(need_text(need_object(held, where).get("name"), where))
        if not names:
            raise UntranslatableError(f"{path}.tools", "expected at least one tool")
        return {"mode": _MODES[mode]}, frozenset(names)
