"""The items of a client's `input` as the messages of a chat request (table M7).

The rest of the request is not known here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from translators.interpreters.base import JsonObject, Media, UntranslatableError
from translators.interpreters.carriers import GENERATE
from translators.interpreters.common import Origins, inlined, need_object, need_objects, need_text, unknown_kind
from translators.interpreters.responses_words import function_name, input_arguments, unpacked

LeaveOut = Callable[[str, str], None]  # takes the path of a field that chat cannot say, and the reason

_HOSTED_ITEMS: Final = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_list_tools", "mcp_call"}
    | {"mcp_approval_request", "mcp_approval_response"}
)
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
# Members of chat's parts that stand one level higher here.
_FLAT: Final = ((".image_url.detail", ".detail"), (".file.file_id", ".file_id"))


class Items:
    """The items of one `input`, read one after the other into messages.

    What the model said until a result or another's message comes is one assistant message; results stand right behind the message
    that has their calls, and pictures of results in a user message behind these.
    """

    def __init__(self, media: Mapping[str, Media], leave_out: LeaveOut, origins: Origins, *, history: bool) -> None:
        self._media = media
        self._leave_out = leave_out
        self._origins = origins
        self._history = history
        self._blocks: list[_Block] = []
        self._open: _Block | None = None  # the assistant's message that may still grow
        self._of_call: dict[str, _Block] = {}
        self._thoughts: list[str] = []
        self._details: list[JsonObject] = []

    def messages(self, instructions: Any, said: Any) -> list[JsonObject]:
        if instructions is not None:
            self._add("instructions", {"role": "system", "content": need_text(instructions, "instructions")})
        if isinstance(said, str):
            self._add("input", {"role": "user", "content": said})
        elif said is None:
            raise UntranslatableError("input", "there is none; expected a string or a list of items")
        else:
            for path, item in need_objects(said, "input"):
                self._item(path, item)
        self._settle()
        return self._listed()

    def _listed(self) -> list[JsonObject]:
        out: list[JsonObject] = []
        for block in self._blocks:
            for place, path in block.calls.items():
                self._origins[f"messages[{len(out)}].tool_calls[{place}]"] = path
            for path, message, parts in block.messages():
                self._origins[f"messages[{len(out)}]"] = path
                for place, part in enumerate(parts):
                    hub = f"messages[{len(out)}].content[{place}]"
                    self._origins |= {hub: part} | {hub + there: part + here for there, here in _FLAT}
                out.append(message)
        return out

    def _add(self, path: str, message: JsonObject, parts: Iterable[str] = ()) -> None:
        self._settle()
        self._blocks.append(_Block(path, message, parts))

    def _settle(self) -> None:
        """The assistant's message is whole; thoughts behind its last word belong to it."""
        if self._open is not None and self._details:
            self._think(self._open.message)
        self._open = None
        self._thoughts, self._details = [], []

    def _item(self, path: str, item: JsonObject) -> None:
        kind = item.get("type")
        if kind == "message" or (kind is None and "role" in item):
            self._message(path, item)
        elif kind == "function_call":
            arguments = item.get("arguments")
            self._call(path, item, "" if arguments is None else need_text(arguments, f"{path}.arguments"))
        elif kind == "custom_tool_call":
            self._call(path, item, input_arguments(need_text(item.get("input"), f"{path}.input")))
        elif isinstance(kind, str) and kind in _OUTPUTS:
            self._output(path, item)
        elif kind == "reasoning":
            self._reasoning(path, item)
        elif isinstance(kind, str) and kind in _HOSTED_ITEMS:
            self._leave_out(path, "chat has no item for what the platform's own tools did; leave it out, or let the rule drop it")
        else:
            expected = "message, function_call, custom_tool_call, their outputs, or reasoning"
            raise unknown_kind(kind, path, expected)

    # what the model said

    def _assistant(self, path: str) -> "_Block":
        """The message that the model's next words or calls belong to, with the thoughts before them."""
        if self._open is None:
            self._open = _Block(path, {"role": "assistant", "content": None})
            self._blocks.append(self._open)
        self._think(self._open.message)
        return self._open

    def _think(self, message: JsonObject) -> None:
        if self._thoughts:
            held = message.get("reasoning_content")
            message["reasoning_content"] = "\n\n".join([held, *self._thoughts] if held else self._thoughts)
        if self._details:
            message["reasoning_details"] = [*message.get("reasoning_details", ()), *self._details]
        self._thoughts, self._details = [], []

    def _call(self, path: str, item: JsonObject, arguments: str) -> None:
        ident = need_text(item.get("call_id"), f"{path}.call_id")
        name = need_text(item.get("name"), f"{path}.name")
        space = item.get("namespace")
        space = None if space is None else need_text(space, f"{path}.namespace")
        call: JsonObject = {
            "id": ident,
            "type": "function",
            "function": {"name": function_name(name, space), "arguments": arguments},
        }
        signed = [entry for entry in self._details if entry.get("format") == GENERATE and entry.get("id") == ident]
        if signed:
            call["extra_content"] = {"google": {"thought_signature": signed[0].get("data")}}
            self._details = [entry for entry in self._details if entry not in signed]
        block = self._assistant(path)
        calls = block.message.setdefault("tool_calls", [])
        block.calls[len(calls)] = path
        calls.append(call)
        self._of_call[ident] = block

    def _reasoning(self, path: str, item: JsonObject) -> None:
        """Earlier thoughts go to a platform that wants them, signed ones to the one that signed them.

        What another platform encrypted can be read by nobody here.
        """
        texts = [
            need_text(part.get("text"), f"{where}.text")
            for key in ("summary", "content")
            for where, part in need_objects(item.get(key), f"{path}.{key}")
        ]
        if texts and self._history:
            self._thoughts.append("\n\n".join(texts))
        sealed = item.get("encrypted_content")
        if sealed is not None:
            self._details += unpacked(need_text(sealed, f"{path}.encrypted_content")) or []

    def _output(self, path: str, item: JsonObject) -> None:
        ident = need_text(item.get("call_id"), f"{path}.call_id")
        said = item.get("output")
        texts: list[str] = []
        others: list[tuple[str, JsonObject]] = []
        if isinstance(said, str):
            texts.append(said)
        else:
            for where, part in need_objects(said, f"{path}.output"):
                made = self._part(where, part)
                if made["type"] == "text":
                    texts.append(made["text"])
                else:
                    others.append((where, made))
        result = {"role": "tool", "tool_call_id": ident, "content": "\n".join(texts)}
        self._settle()
        block = self._of_call.get(ident)
        if block is None:
            block = _Block(path, result)
            self._blocks.append(block)
        else:
            block.results.append((path, result))
        block.pictures += others

    # messages

    def _message(self, path: str, item: JsonObject) -> None:
        role = item.get("role")
        content = item.get("content")
        if role == "assistant":
            self._said(path, content)
        elif role in ("user", "system", "developer"):
            # Chat platforms know `system`; where `developer` is known, too, they mean the same.
            role = "system" if role == "developer" else role
            parts, made = self._content(f"{path}.content", content, role)
            self._add(path, {"role": role, "content": made}, parts)
        else:
            raise UntranslatableError(f"{path}.role", "expected user, assistant, system or developer")

    def _said(self, path: str, content: Any) -> None:
        """Parts of the assistant are one string (M7)."""
        texts, refusals = [], []
        if isinstance(content, str):
            texts.append(content)
        else:
            for where, part in need_objects(content, f"{path}.content"):
                kind = part.get("type")
                if kind in ("output_text", "input_text", "text"):
                    texts.append(need_text(part.get("text"), f"{where}.text"))
                elif kind == "refusal":
                    refusals.append(need_text(part.get("refusal"), f"{where}.refusal"))
                else:
                    raise unknown_kind(kind, where, "output_text or refusal")
        if self._open is not None and "tool_calls" not in self._open.message:
            self._open = None  # two messages stay two
        message = self._assistant(path).message
        if texts:
            text = "".join(texts)
            message["content"] = text if message["content"] is None else f"{message['content']}\n{text}"
        if refusals:
            message["refusal"] = "".join(refusals)
        elif not texts and message["content"] is None:
            message["content"] = ""

    def _content(self, path: str, content: Any, role: str) -> tuple[list[str], Any]:
        """What a message holds: the paths of its parts, and the parts or the text."""
        if isinstance(content, str):
            return [], content
        paths, parts = [], []
        for where, part in need_objects(content, path):
            made = self._part(where, part)
            if role == "system" and made["type"] != "text":
                raise unknown_kind(part.get("type"), where, "input_text")
            paths.append(where)
            parts.append(made)
        if len(parts) == 1 and parts[0]["type"] == "text":
            return [], parts[0]["text"]
        return paths, parts

    def _part(self, path: str, part: JsonObject) -> JsonObject:
        kind = part.get("type")
        if kind in ("input_text", "output_text", "text"):
            return {"type": "text", "text": need_text(part.get("text"), f"{path}.text")}
        if kind == "input_image":
            if part.get("image_url") is None:
                given = part.get("file_id") is not None
                reason = "chat has no ids of pictures; send `image_url`" if given else "there is no picture; expected `image_url`"
                raise UntranslatableError(f"{path}.file_id" if given else path, reason)
            image = {"url": inlined(need_text(part["image_url"], f"{path}.image_url"), self._media, "image/png")}
            if part.get("detail") is not None:
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        if kind == "input_file":
            return {"type": "file", "file": self._file(path, part)}
        if kind == "input_audio":
            return {"type": "input_audio", "input_audio": need_object(part.get("input_audio"), f"{path}.input_audio")}
        raise unknown_kind(kind, path, "input_text, input_image, input_file or input_audio")

    def _file(self, path: str, part: JsonObject) -> JsonObject:
        made: JsonObject = {}
        if part.get("file_url") is not None:
            made["file_data"] = inlined(need_text(part["file_url"], f"{path}.file_url"), self._media, "application/pdf")
        elif part.get("file_data") is not None:
            made["file_data"] = need_text(part["file_data"], f"{path}.file_data")
        else:
            made["file_id"] = need_text(part.get("file_id"), f"{path}.file_id")
        if part.get("filename") is not None:
            made["filename"] = part["filename"]
        return made


class _Block:
    """A message with the results of its calls, each with the path it came from.

    `parts`: the paths of what its content holds; `calls`: paths by their place; `pictures`: parts of results, with their paths.
    """

    __slots__ = ("calls", "message", "parts", "path", "pictures", "results")

    def __init__(self, path: str, message: JsonObject, parts: Iterable[str] = ()) -> None:
        self.path = path
        self.message = message
        self.parts = parts
        self.calls: dict[int, str] = {}
        self.results: list[tuple[str, JsonObject]] = []
        self.pictures: list[tuple[str, JsonObject]] = []

    def messages(self) -> list[tuple[str, JsonObject, Iterable[str]]]:
        """Path, message, and the paths of the parts of its content."""
        out = [(self.path, self.message, self.parts), *((path, result, ()) for path, result in self.results)]
        if self.pictures:
            paths = [path for path, _ in self.pictures]
            out.append((paths[0], {"role": "user", "content": [part for _, part in self.pictures]}, paths))
        return out


def urls_in(body: JsonObject) -> list[str]:
    """URLs of pictures and files in `input`, in order, each once."""
    found: dict[str, None] = {}
    said = body.get("input")
    for item in said if isinstance(said, list) else ():
        for key in ("content", "output"):
            parts = item.get(key) if isinstance(item, dict) else None
            for part in parts if isinstance(parts, list) else ():
                for name in ("image_url", "file_url"):
                    url = part.get(name) if isinstance(part, dict) else None
                    if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
                        found[url] = None
    return list(found)
