"""The turns of a chat request as a messages platform takes them: system, blocks, calls and their results (table M1).

What a conversation must look like for the platform is kept here: results directly after their calls and first in their message,
no two turns of one role in a row, no empty text, a user at the beginning. Options of a request are another module's.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from translators.formats.media import Kind, Reference
from translators.interpreters.base import JsonObject, Media, Settings, UntranslatableError
from translators.interpreters.carriers import NATIVE
from translators.interpreters.common import (
    NO_FIELD,
    need_arguments,
    need_list,
    need_object,
    need_objects,
    need_reference,
    need_text,
    need_texts,
    need_word,
    safe_id,
    unknown_kind,
)

_FILLER: Final = "..."  # what a user says who says nothing
_PICTURES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_VIDEOS: Final = (".mp4", ".mov", ".webm", ".avi", ".mkv", ".m4v")
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")


class Turns:
    """`system` and `messages` of the platform's request, built from chat's messages."""

    def __init__(self, settings: Settings, media: Mapping[str, Media], leave_out: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._media = media
        self._leave_out = leave_out
        self._legacy: dict[str, str] = {}  # name of a function -> id of its last call, made up: the obsolete form has none
        self._calls = 0
        self._open_results: list[JsonObject] | None = None  # of the calls that the assistant made last
        self._all_results: list[tuple[JsonObject, list[JsonObject]]] = []  # the turns that begin with results, and those
        self.system: list[JsonObject] = []
        self.messages: list[JsonObject] = []

    def read(self, messages: object) -> None:
        said = need_objects(messages, "messages")
        for path, message in said:
            role = need_word(message.get("role"), f"{path}.role", _ROLES)
            if role in ("system", "developer"):
                self._name(message, path)
                self._system(message, path)
            elif role == "user":
                self._name(message, path)
                blocks = self._blocks(message.get("content"), f"{path}.content")
                follows = self.messages and self.messages[-1]["role"] != "assistant"
                self._add("user", blocks or ([] if follows else [_text(_FILLER)]))
            elif role == "assistant":
                self._name(message, path)
                self._assistant(message, path)
            else:
                self._result(message, path, legacy=role == "function")
        for turn, results in self._all_results:
            turn["content"] = results + turn["content"]
        self._settle()
        if not self.messages:
            if not self.system:
                raise UntranslatableError("messages", "there is nothing to answer; expected at least one message with content")
            self.messages.append({"role": "user", "content": [self.system.pop()]})
        if self.messages[0]["role"] == "assistant":
            self.messages.insert(0, {"role": "user", "content": [_text(_FILLER)]})

    @property
    def lacks_thoughts(self) -> bool:
        """Whether the history ends in calls that were made without a thought that could be given back (M9, option 4)."""
        for message in reversed(self.messages):
            kinds = {block["type"] for block in message["content"]}
            if message["role"] == "assistant":
                return "tool_use" in kinds and not kinds & {"thinking", "redacted_thinking"}
            if message["role"] == "user" and kinds != {"tool_result"}:
                return False  # the user has spoken since: another turn
        return False

    def _name(self, message: JsonObject, path: str) -> None:
        if message.get("name") is not None:
            self._leave_out(f"{path}.name", NO_FIELD)

    def _add(self, role: str, blocks: list[JsonObject]) -> None:
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"].extend(blocks)
        elif blocks:
            self.messages.append({"role": role, "content": blocks})
            if role == "assistant":
                self._open_results = None

    def _system(self, message: JsonObject, path: str) -> None:
        blocks = _texts(message.get("content"), f"{path}.content")
        if self._settings.system_turns and self.messages:
            self._add("system", blocks)
        else:
            self.system += blocks

    def _settle(self) -> None:
        """Between the turns, a system's may stand behind a user's only, and nothing but an assistant's may follow it.

        Any other is said before them all, as for models that take none between the turns.
        """
        turns, self.messages = self.messages, []
        for at, turn in enumerate(turns):
            if turn["role"] == "system":
                behind = bool(self.messages) and self.messages[-1]["role"] == "user"
                if not behind or (at + 1 < len(turns) and turns[at + 1]["role"] != "assistant"):
                    self.system += turn["content"]
                    continue
            self._add(turn["role"], turn["content"])

    # --- what the assistant said ---

    def _assistant(self, message: JsonObject, path: str) -> None:
        if message.get("audio") is not None:
            raise UntranslatableError(
                f"{path}.audio", "sound cannot be said in the platform's protocol; send its text as `content`"
            )
        blocks = self._thoughts(message.get("reasoning_details"), f"{path}.reasoning_details")
        blocks += _texts(message.get("content"), f"{path}.content")
        blocks += _texts(message.get("refusal"), f"{path}.refusal")
        blocks += [self._call(call, where) for where, call in need_objects(message.get("tool_calls"), f"{path}.tool_calls")]
        if message.get("function_call") is not None:
            blocks.append(self._legacy_call(message["function_call"], f"{path}.function_call"))
        self._add("assistant", blocks)

    def _thoughts(self, details: object, path: str) -> list[JsonObject]:
        """Thoughts that a messages platform signed. Others are left out: unsigned ones and those of elsewhere are refused (M9)."""
        blocks: list[JsonObject] = []
        for where, entry in need_objects(details, path):
            if entry.get("format") != NATIVE:
                continue
            if entry.get("type") == "reasoning.encrypted":
                blocks.append({"type": "redacted_thinking", "data": need_text(entry.get("data"), f"{where}.data")})
            elif entry.get("signature"):
                text = need_text(entry.get("text") or "", f"{where}.text")
                signature = need_text(entry["signature"], f"{where}.signature")
                blocks.append({"type": "thinking", "thinking": text, "signature": signature})
        return blocks

    def _call(self, call: JsonObject, path: str) -> JsonObject:
        ident = safe_id(_id(call.get("id"), f"{path}.id"))
        kind = call.get("type", "function")
        if kind == "custom":
            custom = need_object(call.get("custom"), f"{path}.custom")
            arguments: JsonObject = {"input": need_text(custom.get("input"), f"{path}.custom.input")}
            return _tool_use(ident, need_text(custom.get("name"), f"{path}.custom.name"), arguments)
        if kind != "function":
            raise unknown_kind(kind, f"{path}.type", "`function` or `custom`")
        function = need_object(call.get("function"), f"{path}.function")
        arguments = need_arguments(function.get("arguments"), f"{path}.function.arguments")
        return _tool_use(ident, need_text(function.get("name"), f"{path}.function.name"), arguments)

    def _legacy_call(self, call: object, path: str) -> JsonObject:
        function = need_object(call, path)
        name = need_text(function.get("name"), f"{path}.name")
        self._calls += 1
        self._legacy[name] = ident = f"function_call_{self._calls}"
        return _tool_use(ident, name, need_arguments(function.get("arguments"), f"{path}.arguments"))

    # --- what the calls gave ---

    def _result(self, message: JsonObject, path: str, *, legacy: bool) -> None:
        if legacy:
            name = need_text(message.get("name"), f"{path}.name")
            if name not in self._legacy:
                raise UntranslatableError(f"{path}.name", "no `function_call` of this name stands before its result; send the call")
            ident = self._legacy[name]
        else:
            ident = safe_id(_id(message.get("tool_call_id"), f"{path}.tool_call_id"))
        content = message.get("content")
        said = content if isinstance(content, str) else self._blocks(content, f"{path}.content") or ""
        self._results().append({"type": "tool_result", "tool_use_id": ident, "content": said})

    def _results(self) -> list[JsonObject]:
        """The results of the user's turn that follows the last one of the assistant: the only place where they may stand."""
        if self._open_results is None:
            after = next((i for i in range(len(self.messages), 0, -1) if self.messages[i - 1]["role"] == "assistant"), None)
            if after is None:
                after = max(len(self.messages) - 1, 0)
            if after == len(self.messages) or self.messages[after]["role"] != "user":
                self.messages.insert(after, {"role": "user", "content": []})
            self._open_results = []
            self._all_results.append((self.messages[after], self._open_results))
        return self._open_results

    # --- parts ---

    def _blocks(self, content: object, path: str) -> list[JsonObject]:
        """The blocks of a user's content, or of a result; blank text is refused by the platform, and left out."""
        if content is None or isinstance(content, str):
            return _texts(content, path)
        blocks = []
        for where, part in need_objects(need_list(content, path), path):
            block = self._block(part, where)
            if block is not None:
                if isinstance(part.get("cache_control"), dict):
                    block["cache_control"] = part["cache_control"]
                blocks.append(block)
        return blocks

    def _block(self, part: JsonObject, path: str) -> JsonObject | None:
        kind = part.get("type")
        if kind in ("text", "refusal"):
            text = need_text(part.get(kind), f"{path}.{kind}")
            return None if not text or text.isspace() else _text(text)
        if kind == "image_url":
            held = part.get("image_url")
            place = f"{path}.image_url" if isinstance(held, str) else f"{path}.image_url.url"
            url = held if isinstance(held, str) else need_object(held, f"{path}.image_url").get("url")
            return _picture(need_reference(url, place, self._media), place)
        if kind == "file":
            return self._document(part, path)
        raise unknown_kind(kind, path, "text, image_url or file parts")

    def _document(self, part: JsonObject, path: str) -> JsonObject:
        # one platform's dialect has `file_data` beside `type`, all others below `file`
        path, file = (path, part) if "file_data" in part else (f"{path}.file", need_object(part.get("file"), f"{path}.file"))
        if file.get("file_id") is not None:
            raise UntranslatableError(f"{path}.file_id", "the platform does not know files of another one; send `file_data`")
        found = need_reference(file.get("file_data"), f"{path}.file_data", self._media)
        if found.media_type in _PICTURES and found.kind is not Kind.URL:
            return _picture(found, f"{path}.file_data")
        block: JsonObject = {"type": "document", "source": _document_source(found, f"{path}.file_data")}
        if file.get("filename"):
            block["title"] = need_text(file["filename"], f"{path}.filename")
        return block


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _texts(content: object, path: str) -> list[JsonObject]:
    """Text blocks of content that can hold only text; a part's mark for caching stays on its block."""
    texts = need_texts(content, path)
    marks = [part.get("cache_control") for part in content] if isinstance(content, list) else [None] * len(texts)
    return [
        {**_text(text), "cache_control": mark} if isinstance(mark, dict) else _text(text)
        for text, mark in zip(texts, marks, strict=True)
        if text and not text.isspace()
    ]


def _id(value: object, path: str) -> str:
    ident = need_text(value, path)
    if not ident:
        raise UntranslatableError(path, "the id of a call is empty; expected the id that the call came with")
    return ident


def _tool_use(ident: str, name: str, arguments: JsonObject) -> JsonObject:
    return {"type": "tool_use", "id": ident, "name": name, "input": arguments}


def _picture(found: Reference, path: str) -> JsonObject:
    value = str(found.value)
    if found.kind is Kind.URL:
        if _ending(value).endswith(_VIDEOS):
            raise UntranslatableError(path, "the platform's protocol has no video; send pictures of it")
        return {"type": "image", "source": {"type": "url", "url": value}}
    if found.media_type not in _PICTURES:
        shown = found.media_type or "of no known type"
        raise UntranslatableError(path, f"the data is {shown}; expected a picture: {', '.join(_PICTURES)}")
    return {"type": "image", "source": {"type": "base64", "media_type": found.media_type, "data": value}}


def _ending(url: str) -> str:
    """The end of a URL's path, where a file's extension stands."""
    try:
        return urlsplit(url).path[-8:].lower()
    except ValueError:
        return ""


def _document_source(found: Reference, path: str) -> JsonObject:
    value, media_type = str(found.value), found.media_type or ""
    if found.kind is Kind.URL:
        return {"type": "url", "url": value}
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": value}
    if media_type.startswith("text/"):
        try:
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(value).decode()}
        except ValueError:
            raise UntranslatableError(path, f"the data is {media_type}, but no UTF-8; send it in UTF-8") from None
    raise UntranslatableError(
        path, f"a file {media_type or 'of an unknown type'} cannot be sent; expected a PDF, text or a picture"
    )
