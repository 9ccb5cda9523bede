"""The turns of a messages request as a chat platform takes them: results of calls as messages of their own, media as parts (M2)."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, Final

from translators.formats.media import Kind
from translators.interpreters.base import JsonObject, Media, UntranslatableError
from translators.interpreters.carriers import GENERATE, detail_of, opened
from translators.interpreters.common import (
    NO_FIELD,
    Origins,
    need_list,
    need_object,
    need_objects,
    need_reference,
    need_text,
    need_word,
    plain_id,
    text_of,
    unknown_kind,
)

# Blocks of hosted tools are left out, as are their results: what came of them is in the text.
_HOSTED: Final = ("server_tool_use", "mcp_tool_use", "container_upload")
_CONTENT: Final = ("text", "image", "document", "search_result")
_Blocks = list[tuple[str, JsonObject]]  # blocks with their paths


class Turns:
    """Chat's `messages`, built from `system` and `messages`. `history`: earlier thoughts go back to the platform."""

    def __init__(
        self, media: Mapping[str, Media], leave_out: Callable[[str, str], None], origins: Origins, *, history: bool
    ) -> None:
        self._media = media
        self._leave_out = leave_out
        self._origins = origins
        self._history = history
        self.messages: list[JsonObject] = []

    def read(self, system: object, messages: object) -> None:
        self._system(system, "system")
        said = need_objects(need_list(messages, "messages"), "messages")
        for role, group in groupby(said, key=_role):
            turn = list(group)
            if role == "system":
                for path, message in turn:
                    self._system(message.get("content"), f"{path}.content")
            elif role == "user":
                for path, blocks in _joined(turn, "tool_result"):
                    self._user(blocks, path)
            elif turn[-1] is said[-1]:
                for path, _ in turn:
                    self._leave_out(path, "the platform begins its answers itself; end with a message of the user")
            else:
                for path, blocks in _joined(turn, "tool_use"):
                    self._assistant(blocks, path)
        if not self.messages:
            raise UntranslatableError("messages", "there is nothing to answer; expected at least one message of the user")

    def _say(self, message: JsonObject, path: str) -> None:
        self._origins[f"messages[{len(self.messages)}]"] = path
        self.messages.append(message)

    def _system(self, content: object, path: str) -> None:
        if content is None:
            return
        texts = [self._text(block, where) for where, block in _blocks(content, path)]
        if any(texts):
            self._say({"role": "system", "content": "\n".join(texts)}, path)

    def _text(self, block: JsonObject, path: str) -> str:
        if block.get("type") != "text":
            raise unknown_kind(block.get("type"), path, "text blocks")
        self._uncached(block, path)
        return need_text(block.get("text"), f"{path}.text")

    def _uncached(self, block: JsonObject, path: str) -> None:
        if block.get("cache_control") is not None:
            self._leave_out(f"{path}.cache_control", NO_FIELD)

    # --- what the user said ---

    def _user(self, blocks: _Blocks, path: str) -> None:
        """Results first, each a message; then what the results showed and what the user said besides, in one message."""
        shown: list[tuple[str, JsonObject]] = []
        said: list[tuple[str, JsonObject]] = []
        results = False
        for where, block in blocks:
            if block.get("type") == "tool_result":
                results = True
                self._result(block, where, shown)
            else:
                said += self._parts(block, where)
        parts = shown + said
        if results and not parts:
            return
        for index, (where, _) in enumerate(parts):
            self._origins[f"messages[{len(self.messages)}].content[{index}]"] = where
        only = parts[0][1] if len(parts) == 1 else None
        text = "" if not parts else only["text"] if only and only["type"] == "text" else None
        self._say({"role": "user", "content": [part for _, part in parts] if text is None else text}, path)

    def _result(self, block: JsonObject, path: str, shown: list[tuple[str, JsonObject]]) -> None:
        """A message with the texts of one result; chat's results hold nothing else, so its media are `shown` by the user."""
        self._uncached(block, path)
        texts = []
        content = block.get("content")
        for where, inner in _blocks("" if content is None else content, f"{path}.content"):
            for place, part in self._parts(inner, where):
                if part["type"] == "text":
                    texts.append(part["text"])
                else:
                    shown.append((place, part))
        ident = plain_id(need_text(block.get("tool_use_id"), f"{path}.tool_use_id"))
        text = ("Error: " if block.get("is_error") is True else "") + "\n".join(texts)
        self._say({"role": "tool", "tool_call_id": ident, "content": text}, path)

    def _parts(self, block: JsonObject, path: str) -> list[tuple[str, JsonObject]]:
        """The parts that a block of the user's becomes, with the place each comes from."""
        kind = block.get("type")
        self._uncached(block, path)
        citations = block.get("citations")
        if isinstance(citations, dict) and citations.get("enabled"):
            self._leave_out(f"{path}.citations", NO_FIELD)
        if kind == "text":
            return [(path, _part(need_text(block.get("text"), f"{path}.text")))]
        if kind == "image":
            return [(path, self._picture(need_object(block.get("source"), f"{path}.source"), f"{path}.source"))]
        if kind == "document":
            return self._document(block, path)
        if kind == "search_result":
            texts = [need_text(block.get(key), f"{path}.{key}") for key in ("title", "source") if block.get(key) is not None]
            texts += [self._text(inner, where) for where, inner in need_objects(block.get("content"), f"{path}.content")]
            return [(path, _part("\n".join(texts)))]
        raise unknown_kind(kind, path, f"{', '.join(_CONTENT)} blocks, or tool_result blocks of the user")

    def _url(self, source: JsonObject, path: str) -> tuple[str, str | None]:
        """The URL or data URI of a source, and its media type where the data tell it."""
        kind = source.get("type")
        if kind == "file":
            raise UntranslatableError(f"{path}.file_id", "the platform does not know files of another one; send the data, or a URL")
        if kind == "url":
            place, text = f"{path}.url", need_text(source.get("url"), f"{path}.url")
        elif kind == "base64":
            media_type = need_text(source.get("media_type"), f"{path}.media_type")
            place, text = f"{path}.data", f"data:{media_type};base64,{need_text(source.get('data'), f'{path}.data')}"
        else:
            raise unknown_kind(kind, f"{path}.type", "base64 or url sources")
        found = need_reference(text, place, self._media)
        if found.kind is Kind.URL:
            return str(found.value), None
        return f"data:{found.media_type};base64,{found.value}", found.media_type

    def _picture(self, source: JsonObject, path: str) -> JsonObject:
        return {"type": "image_url", "image_url": {"url": self._url(source, path)[0]}}

    def _document(self, block: JsonObject, path: str) -> list[tuple[str, JsonObject]]:
        source = need_object(block.get("source"), f"{path}.source")
        kind = source.get("type")
        # A file has its title as a name; of a text there is only what stands before it.
        told = ("title", "context") if kind in ("text", "content") else ("context",)
        parts = [
            (f"{path}.{key}", _part(need_text(block[key], f"{path}.{key}"))) for key in told if block.get(key) not in (None, "")
        ]
        if kind == "text":
            return [*parts, (path, _part(need_text(source.get("data"), f"{path}.source.data")))]
        if kind == "content":
            for where, inner in _blocks(source.get("content"), f"{path}.source.content"):
                if inner.get("type") not in ("text", "image"):
                    raise unknown_kind(inner.get("type"), where, "text and image blocks")
                parts += self._parts(inner, where)
            return parts
        title = block.get("title")
        name = "document.pdf" if title is None else need_text(title, f"{path}.title")
        file = {"filename": name, "file_data": self._url(source, f"{path}.source")[0]}
        return [*parts, (path, {"type": "file", "file": file})]

    # --- what the assistant said ---

    def _assistant(self, blocks: _Blocks, path: str) -> None:
        text, reasoning = "", ""
        calls: list[JsonObject] = []
        details: list[JsonObject] = []
        extra: Any = None  # what belongs to the call that follows
        for where, block in blocks:
            kind = block.get("type")
            if kind == "text":
                text += self._text(block, where)
            elif kind in ("thinking", "redacted_thinking"):
                words = need_text(block.get("thinking", ""), f"{where}.thinking")
                held = opened(need_text(block.get("data" if kind == "redacted_thinking" else "signature") or "", where)) or {}
                reasoning += words
                extra = held.get("call", extra)
                if isinstance(detail := held.get("detail"), dict) and (self._history or detail.get("format") == GENERATE):
                    details.append(detail_of(detail, words))
            elif kind == "tool_use":
                self._uncached(block, where)
                self._origins[f"messages[{len(self.messages)}].tool_calls[{len(calls)}]"] = where
                calls.append(_call(block, where, extra))
                extra = None
            elif not isinstance(kind, str) or not (kind in _HOSTED or kind.endswith("_tool_result")):
                raise unknown_kind(kind, where, "text, thinking or tool_use blocks")
        if not text and not calls and not details:
            return
        message: JsonObject = {"role": "assistant", "content": text or (None if calls else "")}
        if reasoning and self._history:
            message["reasoning_content"] = reasoning
        if details:
            message["reasoning_details"] = details
        if calls:
            message["tool_calls"] = calls
        self._say(message, path)


def media_urls(messages: object) -> list[str]:
    """The URLs of pictures and documents in the turns, those inside results too; malformed ones are left to `Turns`."""
    urls: list[str] = []
    waiting = [messages]
    while waiting:
        blocks = waiting.pop()
        for block in blocks if isinstance(blocks, list) else ():
            if isinstance(block, dict):
                source = block.get("source")
                if isinstance(source, dict) and source.get("type") == "url" and isinstance(source.get("url"), str):
                    urls.append(source["url"])
                waiting += [block.get("content"), source.get("content") if isinstance(source, dict) else None]
    return urls


def _role(said: tuple[str, JsonObject]) -> str:
    return need_word(said[1].get("role"), f"{said[0]}.role", ("user", "assistant", "system"))


def _joined(turn: list[tuple[str, JsonObject]], kind: str) -> list[tuple[str, _Blocks]]:
    """The blocks of neighbours of one role, each message with its path; as one message where calls, or results, stand in several.

    The messages protocol takes neighbours as one turn; chat's results must directly follow the message with all of their calls.
    """
    said = [(path, _blocks(message.get("content"), f"{path}.content")) for path, message in turn]
    if len(said) == 1 or all(block.get("type") != kind for _, blocks in said for _, block in blocks):
        return said
    return [(said[0][0], [block for _, blocks in said for block in blocks])]


def _blocks(content: object, path: str) -> _Blocks:
    """Content as blocks, each with its place; a string is one text block."""
    if isinstance(content, str):
        return [(path, _part(content))]
    return need_objects(need_list(content, path), path)


def _part(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _call(block: JsonObject, path: str, extra: object) -> JsonObject:
    ident = plain_id(need_text(block.get("id"), f"{path}.id"))
    arguments = text_of(need_object(block.get("input"), f"{path}.input"))
    function = {"name": need_text(block.get("name"), f"{path}.name"), "arguments": arguments}
    call: JsonObject = {"id": ident, "type": "function", "function": function}
    if isinstance(extra, dict):
        call["extra_content"] = extra
    return call
