"""A chat request as a request of responses (the end of table M7): messages as items, flat tools, the options.

What the answer looks like is not known here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from translators.interpreters.base import Ask, JsonObject, Media, UntranslatableError
from translators.interpreters.common import NO_FIELD, inlined, need_list, need_object, need_objects, need_text, unknown_kind
from translators.interpreters.responses_words import OWN_THOUGHTS, SAME_MEMBERS

LeaveOut = Callable[[str, str], None]  # takes the path of a field that responses cannot say, and the reason

_READ: Final = frozenset(
    {
        *SAME_MEMBERS,
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "tools",
        "tool_choice",
    }
    | {"response_format", "verbosity", "reasoning_effort", "logprobs", "top_logprobs", "store", "web_search_options"}
    | {"modalities", "audio", "functions", "function_call"}
)
_THOUGHTS: Final = "reasoning.encrypted_content"


def responses_request(ask: Ask, media: Mapping[str, Media], leave_out: LeaveOut) -> Ask:
    """The request of responses; like chat it is answered without being stored, unless the client wants it stored."""
    body = ask.body
    _refuse(body)
    items = _Items(media, leave_out)
    out: JsonObject = {"model": ask.model, "input": items.read(body.get("messages"))}
    if items.instructions is not None:
        out["instructions"] = items.instructions
    out |= {name: body[name] for name in SAME_MEMBERS if body.get(name) is not None}
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is not None:
        out["max_output_tokens"] = limit
    include: list[str] = []
    if body.get("reasoning_effort") is not None:
        out["reasoning"] = {"effort": body["reasoning_effort"]}
        include.append(_THOUGHTS)
    elif items.thoughts:
        include.append(_THOUGHTS)
    if body.get("logprobs"):
        include.append("message.output_text.logprobs")
        if body.get("top_logprobs") is not None:
            out["top_logprobs"] = body["top_logprobs"]
    if include:
        out["include"] = include
    _text(body, out)
    _tools(body, out)
    out["store"] = body.get("store") is True
    for name, value in body.items():
        if name not in _READ and value is not None and value != {} and value != []:
            leave_out(name, NO_FIELD)
    if ask.stream:
        out["stream"] = True
        _obfuscation(body, out)
    return Ask(out, ask.model, ask.stream)


# --- options ------------------------------------------------------------------------------------------------------------------


def _refuse(body: JsonObject) -> None:
    """What another answer would be expected of than responses can give."""
    if body.get("n") not in (None, 1):
        raise UntranslatableError("n", "the platform gives one answer to a request; send several requests")
    if body.get("audio") is not None or body.get("modalities") not in (None, [], ["text"]):
        name = "audio" if body.get("audio") is not None else "modalities"
        raise UntranslatableError(name, "the platform answers in text alone")
    for name in ("functions", "function_call"):
        if body.get(name) not in (None, []):
            raise UntranslatableError(name, "the predecessor of tools has no counterpart; send `tools` and `tool_choice`")


def _obfuscation(body: JsonObject, out: JsonObject) -> None:
    options = body.get("stream_options")
    if options is not None and need_object(options, "stream_options").get("include_obfuscation") is not None:
        out["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}


def _text(body: JsonObject, out: JsonObject) -> None:
    """`text`: the format is nested here and flat there."""
    text: JsonObject = {}
    shape = body.get("response_format")
    if shape is not None:
        shape = need_object(shape, "response_format")
        kind = shape.get("type")
        if kind == "json_schema":
            text["format"] = {"type": kind, **need_object(shape.get("json_schema"), "response_format.json_schema")}
        elif kind in ("text", "json_object"):
            text["format"] = {"type": kind}
        elif shape:
            raise unknown_kind(kind, "response_format.type", "text, json_object or json_schema")
    if body.get("verbosity") is not None:
        text["verbosity"] = body["verbosity"]
    if text:
        out["text"] = text


def _tools(body: JsonObject, out: JsonObject) -> None:
    tools = [_tool(tool, path) for path, tool in need_objects(body.get("tools"), "tools")]
    if body.get("web_search_options") is not None:
        tools.append(_web_search(need_object(body["web_search_options"], "web_search_options")))
    if tools:
        out["tools"] = tools
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        out["tool_choice"] = choice
    elif choice is not None:
        choice = need_object(choice, "tool_choice")
        if choice.get("type") == "allowed_tools":
            path = "tool_choice.allowed_tools"
            allowed = need_object(choice.get("allowed_tools"), path)
            named = [_named(tool, where) for where, tool in need_objects(allowed.get("tools"), f"{path}.tools")]
            out["tool_choice"] = {"type": "allowed_tools", "mode": allowed.get("mode", "auto"), "tools": named}
        else:
            out["tool_choice"] = _named(choice, "tool_choice")


def _held(tool: JsonObject, path: str) -> tuple[str, JsonObject, str]:
    """Kind, inner object and name of a tool, or of the choice of one."""
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        raise unknown_kind(kind, f"{path}.type", "function or custom")
    held = need_object(tool.get(kind), f"{path}.{kind}")
    return kind, held, need_text(held.get("name"), f"{path}.{kind}.name")


def _named(tool: JsonObject, path: str) -> JsonObject:
    kind, _, name = _held(tool, path)
    return {"type": kind, "name": name}


def _tool(tool: JsonObject, path: str) -> JsonObject:
    kind, held, name = _held(tool, path)
    flat: JsonObject = {"type": kind, "name": name}
    if held.get("description") is not None:
        flat["description"] = held["description"]
    if kind == "function":
        # Chat's functions are not strict unless they say so; those of responses are.
        parameters = held.get("parameters")
        flat["parameters"] = {"type": "object", "properties": {}} if parameters is None else parameters
        return {**flat, "strict": held.get("strict") is True}
    shape = held.get("format")
    if shape is not None:
        shape = need_object(shape, f"{path}.custom.format")
        grammar = shape.get("grammar")
        rest = {} if grammar is None else need_object(grammar, f"{path}.custom.format.grammar")
        flat["format"] = {"type": shape.get("type"), **rest}
    return flat


def _web_search(options: JsonObject) -> JsonObject:
    tool: JsonObject = {"type": "web_search"}
    if options.get("search_context_size") is not None:
        tool["search_context_size"] = options["search_context_size"]
    if options.get("user_location") is not None:
        path = "web_search_options.user_location"
        place = need_object(options["user_location"], path)
        tool["user_location"] = {"type": "approximate", **need_object(place.get("approximate"), f"{path}.approximate")}
    return tool


# --- messages -----------------------------------------------------------------------------------------------------------------


class _Items:
    """The messages of one request as items. `instructions`: what leads them; `thoughts`: earlier ones go back to the platform."""

    def __init__(self, media: Mapping[str, Media], leave_out: LeaveOut) -> None:
        self._media = media
        self._leave_out = leave_out
        self._custom: set[str] = set()  # ids of calls of custom tools
        self._old = ""  # the id that stands for the last call without one
        self._items: list[JsonObject] = []
        self.instructions: str | None = None
        self.thoughts = False

    def read(self, messages: Any) -> list[JsonObject]:
        for index, (path, message) in enumerate(need_objects(need_list(messages, "messages"), "messages")):
            role = message.get("role")
            if role in ("system", "developer"):
                self._system(path, message, first=index == 0)
            elif role == "user":
                self._items.append({"role": "user", "content": self._content(f"{path}.content", message.get("content"))})
            elif role == "assistant":
                self._assistant(path, message, f"call_{index}")
            elif role in ("tool", "function"):
                self._result(path, message)
            else:
                raise UntranslatableError(f"{path}.role", "expected system, developer, user, assistant or tool")
            if message.get("name") is not None and role != "function":
                self._leave_out(f"{path}.name", NO_FIELD)
        return self._items

    def _system(self, path: str, message: JsonObject, *, first: bool) -> None:
        content = message.get("content")
        if first and isinstance(content, str):
            self.instructions = content
        else:
            self._items.append({"role": message["role"], "content": self._content(f"{path}.content", content)})

    def _assistant(self, path: str, message: JsonObject, ident: str) -> None:
        if message.get("audio") is not None:
            raise UntranslatableError(f"{path}.audio", "the platform keeps no earlier audio answers")
        self._thoughts(path, message)
        content = message.get("content")
        if not isinstance(content, str):
            content = [self._said(where, part) for where, part in need_objects(content, f"{path}.content")]
        if message.get("refusal") is not None:
            refusal = {"type": "refusal", "refusal": need_text(message["refusal"], f"{path}.refusal")}
            content = [*([{"type": "output_text", "text": content}] if isinstance(content, str) and content else content), refusal]
        if content:
            self._items.append({"role": "assistant", "content": content})
        for where, call in need_objects(message.get("tool_calls"), f"{path}.tool_calls"):
            self._call(where, call)
        if message.get("function_call") is not None:
            self._old = ident
            held = need_object(message["function_call"], f"{path}.function_call")
            self._call(f"{path}", {"id": ident, "type": "function", "function": held})

    def _said(self, path: str, part: JsonObject) -> JsonObject:
        kind = part.get("type")
        if kind == "text":
            return {"type": "output_text", "text": need_text(part.get("text"), f"{path}.text")}
        if kind == "refusal":
            return {"type": "refusal", "refusal": need_text(part.get("refusal"), f"{path}.refusal")}
        raise unknown_kind(kind, path, "text or refusal")

    def _thoughts(self, path: str, message: JsonObject) -> None:
        """Thoughts that the platform encrypted go back to it; those of others are nothing to it (M9)."""
        for _, entry in need_objects(message.get("reasoning_details"), f"{path}.reasoning_details"):
            sealed = entry.get("data")
            if entry.get("format") == OWN_THOUGHTS and isinstance(sealed, str):
                item = {"type": "reasoning", "summary": [], "encrypted_content": sealed}
                self._items.append({**item, "id": entry["id"]} if isinstance(entry.get("id"), str) else item)
                self.thoughts = True

    def _call(self, path: str, call: JsonObject) -> None:
        ident = need_text(call.get("id"), f"{path}.id")
        kind, held, name = _held({"type": "function", **call}, path)
        member = "arguments" if kind == "function" else "input"
        said = held.get(member)
        text = "" if said is None else need_text(said, f"{path}.{kind}.{member}")
        if kind == "function":
            text = text if text.strip() else "{}"
            self._items.append({"type": "function_call", "call_id": ident, "name": name, "arguments": text})
        else:
            self._custom.add(ident)
            self._items.append({"type": "custom_tool_call", "call_id": ident, "name": name, "input": text})

    def _result(self, path: str, message: JsonObject) -> None:
        ident = need_text(message.get("tool_call_id"), f"{path}.tool_call_id") if message["role"] == "tool" else self._old
        if not ident:
            raise UntranslatableError(path, "there is no call before this result")
        kind = "custom_tool_call_output" if ident in self._custom else "function_call_output"
        self._items.append({"type": kind, "call_id": ident, "output": self._content(f"{path}.content", message.get("content"))})

    def _content(self, path: str, content: Any) -> Any:
        if isinstance(content, str):
            return content
        return [self._part(where, part) for where, part in need_objects(content, path)] or ""

    def _part(self, path: str, part: JsonObject) -> JsonObject:
        kind = part.get("type")
        if part.get("cache_control") is not None:
            self._leave_out(f"{path}.cache_control", "the platform caches by itself")
        if kind == "text":
            return {"type": "input_text", "text": need_text(part.get("text"), f"{path}.text")}
        if kind == "image_url":
            image = need_object(part.get("image_url"), f"{path}.image_url")
            url = inlined(need_text(image.get("url"), f"{path}.image_url.url"), self._media, "image/png")
            return {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
        if kind == "file":
            return {"type": "input_file", **self._file(need_object(part.get("file"), f"{path}.file"), f"{path}.file")}
        if kind == "input_audio":
            return {"type": "input_audio", "input_audio": need_object(part.get("input_audio"), f"{path}.input_audio")}
        raise unknown_kind(kind, path, "text, image_url, file or input_audio")

    def _file(self, file: JsonObject, path: str) -> JsonObject:
        made = {key: file[key] for key in ("file_id", "filename") if file.get(key) is not None}
        if file.get("file_data") is not None:
            data = inlined(need_text(file["file_data"], f"{path}.file_data"), self._media, "application/pdf")
            made["file_url" if data.lower().startswith(("http://", "https://")) else "file_data"] = data
        elif "file_id" not in made:
            raise UntranslatableError(path, "expected `file_data` or `file_id`")
        return made
