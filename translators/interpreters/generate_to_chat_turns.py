"""The conversation of a generate request as chat messages (G2). Keys may be in camelCase or snake_case at every level.

Paths in errors are in camelCase, whatever the client wrote.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from translators.formats.media import extension_of
from translators.formats.strict_json import BadJsonError
from translators.interpreters.base import JsonObject, UntranslatableError
from translators.interpreters.carriers import GENERATE
from translators.interpreters.chat_to_generate_answer import CallIds
from translators.interpreters.common import NO_FIELD, Origins, need_object, need_objects, need_text, need_word, text_of
from translators.interpreters.generate_words import DETAIL, GOOGLE, camel, is_kept, markdown, opened, plain_base64

_FORMATS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}  # audio, by subtype
_MODIFIERS: Final = ("thought", "thoughtSignature")
_PAYLOADS: Final = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)
_ROLES: Final = ("user", "model", "function", "tool")  # results come under the last two, too: so the SDKs document it


def as_list(value: Any) -> Any:
    """A list; generate takes one object in its place."""
    return [value] if isinstance(value, dict) else value


def instruction(said: Any, path: str) -> str:
    """The text of a system instruction, its parts joined by line feeds."""
    if isinstance(said, str):
        return said
    parts = need_objects(as_list(camel(need_object(said, path)).get("parts")), f"{path}.parts")
    return "\n".join(need_text(camel(part).get("text"), f"{where}.text") for where, part in parts)


class Turns:
    """Reads `contents`. `messages` is what came of them, `origins` where the client said it.

    `history`: earlier thoughts go back to the platform, and signatures that it may not have made. What it did make comes in a seal.
    """

    def __init__(self, leave_out: Callable[[str, str], None], origins: Origins, *, history: bool) -> None:
        self.messages: list[JsonObject] = []
        self._origins = origins
        self._leave_out = leave_out
        self._history = history
        self._ids = CallIds()
        self._open: set[str] = set()  # ids of calls that have no result yet
        self._waiting: dict[str, deque[str]] = {}  # the same by name, in order; answered ones may still be among them
        self._media: list[tuple[str, JsonObject]] = []  # of results, after which more results may come

    def read(self, contents: Any) -> None:
        said = need_objects(as_list(contents), "contents")
        if not said:
            raise UntranslatableError("contents", "expected at least one content")
        turns = [(path, camel(content)) for path, content in said]
        before = len(self.messages)
        self._ids = CallIds([{"tool_calls": _given_calls(content)} for _, content in turns])
        for path, content in turns:
            role = need_word(content.get("role", "user"), f"{path}.role", _ROLES)
            self._leave_out_rest(content, ("role", "parts"), path)
            parts = [(where, camel(part)) for where, part in need_objects(as_list(content.get("parts")), f"{path}.parts")]
            for where, part in parts:
                self._check(part, where)
            if role == "model":
                self._say(self._media)
                self._model(parts, path)
            else:
                self._user(parts)
        self._say(self._media)
        if len(self.messages) == before:
            raise UntranslatableError("contents", "nothing is said in them; expected at least one part with text, data or a call")

    def _add(self, message: JsonObject, path: str) -> str:
        """Adds a message; gives its path."""
        self.messages.append(message)
        made = f"messages[{len(self.messages) - 1}]"
        self._origins[made] = path
        return made

    def _leave_out_rest(self, said: JsonObject, known: tuple[str, ...], path: str) -> None:
        for key in said:
            if key not in known:
                self._leave_out(f"{path}.{key}", NO_FIELD)

    def _check(self, part: JsonObject, path: str) -> None:
        """A part holds one thing, of a known kind; what stands beside it is left out by name."""
        held = [key for key in _PAYLOADS if key in part]
        if len(held) > 1:
            named = " and ".join(f"`{key}`" for key in held)
            raise UntranslatableError(path, f"a part holds one thing, this one {named}; send each as a part of its own")
        if held:
            self._leave_out_rest(part, (*held, *_MODIFIERS), path)
        elif unknown := [key for key in part if key not in _MODIFIERS]:
            named = ", ".join(f"`{key[:40]}`" for key in unknown)
            raise UntranslatableError(path, f"a part that holds {named} cannot be said in chat; expected text, data or a call")

    # --- the user's ---

    def _user(self, parts: list[tuple[str, JsonObject]]) -> None:
        """Results first, one message each, then what else the user says in one message."""
        said, self._media = self._media, []
        spoken = False
        for where, part in parts:
            if part.get("functionResponse") is not None:
                said += self._result(
                    need_object(part["functionResponse"], f"{where}.functionResponse"), f"{where}.functionResponse"
                )
            else:
                said.append((where, self._part(part, where)))
                spoken = True
        if spoken:
            self._say(said)
        else:
            self._media = said

    def _say(self, said: list[tuple[str, JsonObject]]) -> None:
        """Adds a message of the user, if there is something to say."""
        self._media = []
        if not said:
            return
        content = [part for _, part in said]
        plain = len(content) == 1 and content[0]["type"] == "text"
        path = said[-1][0].partition(".parts")[0]
        made = self._add({"role": "user", "content": content[0]["text"] if plain else content}, path)
        for place, (where, _) in enumerate(said):
            self._origins[f"{made}.content[{place}]"] = where

    def _part(self, part: JsonObject, path: str) -> JsonObject:
        if part.get("text") is not None:
            return {"type": "text", "text": need_text(part["text"], f"{path}.text")}
        if part.get("inlineData") is not None:
            return _inline(camel(need_object(part["inlineData"], f"{path}.inlineData")), f"{path}.inlineData")
        if part.get("fileData") is not None:
            return _file(camel(need_object(part["fileData"], f"{path}.fileData")), f"{path}.fileData")
        named = ", ".join(f"`{key[:40]}`" for key in part if key not in _MODIFIERS) or "nothing"
        raise UntranslatableError(path, f"a part that holds {named} cannot be said in chat; expected text, inlineData or fileData")

    def _result(self, said: JsonObject, path: str) -> list[tuple[str, JsonObject]]:
        """Adds the message of a result; gives the media that came with it, since such a message is text only."""
        said = camel(said)
        self._leave_out_rest(said, ("id", "name", "response", "parts"), path)
        ident = self._answered(said, path)
        response = need_object(said.get("response", {}), f"{path}.response")
        try:
            text = text_of(response)
        except BadJsonError as error:
            raise UntranslatableError(f"{path}.response", error.message) from None
        self._add({"role": "tool", "tool_call_id": ident, "content": text}, path)
        parts = [(where, camel(part)) for where, part in need_objects(as_list(said.get("parts")), f"{path}.parts")]
        for where, part in parts:
            self._check(part, where)
        return [(where, self._part(part, where)) for where, part in parts]

    def _answered(self, said: JsonObject, path: str) -> str:
        """The id of the call that a result belongs to: its own, or that of the first open call of its name."""
        ident, name = said.get("id"), need_text(said.get("name", ""), f"{path}.name")
        waiting = self._waiting.get(name, deque())
        found = ident if isinstance(ident, str) and ident in self._open else None
        while found is None and waiting:
            first = waiting.popleft()
            found = first if first in self._open else None
        if found is not None:
            self._open.remove(found)
            return found
        raise UntranslatableError(path, "no call before it is open that has this id or name; send the call before its result")

    # --- the model's ---

    def _model(self, parts: list[tuple[str, JsonObject]], path: str) -> None:
        turn = _ModelTurn(history=self._history)
        calls: list[JsonObject] = []
        places: list[str] = []
        for where, part in parts:
            signature = need_text(part.get("thoughtSignature", ""), f"{where}.thoughtSignature")
            held = opened(signature) if signature else None
            if held is not None:
                turn.give_back(held.get("details"))
            if part.get("functionCall") is not None:
                call = self._call(camel(need_object(part["functionCall"], f"{where}.functionCall")), f"{where}.functionCall")
                extra = held.get("extra") if held is not None else {GOOGLE: {"thought_signature": signature}}
                if extra and signature and (held is not None or self._history):
                    call["extra_content"] = extra
                calls.append(call)
                places.append(where)
            else:
                turn.take(part, where)
                if signature and held is None:
                    turn.sign(signature)
        message = turn.message(calls)
        if message is None:
            return
        made = self._add(message, path)
        for place, where in enumerate(places):
            self._origins[f"{made}.tool_calls[{place}]"] = where

    def _call(self, said: JsonObject, path: str) -> JsonObject:
        self._leave_out_rest(said, ("id", "name", "args"), path)
        name = need_text(said.get("name"), f"{path}.name")
        ident = need_text(said["id"], f"{path}.id") if said.get("id") else self._ids.new()
        try:
            arguments = text_of(need_object(said.get("args", {}), f"{path}.args"))
        except BadJsonError as error:
            raise UntranslatableError(f"{path}.args", error.message) from None
        self._open.add(ident)
        self._waiting.setdefault(name, deque()).append(ident)
        return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


class _ModelTurn:
    """What the model said in one content, besides its calls."""

    def __init__(self, *, history: bool) -> None:
        self._history = history
        self._details: list[JsonObject] = []
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._parts = 0  # texts and pictures, neighbouring texts as one: what signatures point to
        self._after_text = False

    def take(self, part: JsonObject, path: str) -> None:
        shown, is_text = _shown(part, path)
        if part.get("thought") is True:
            self._thoughts += [shown] if is_text and self._history else []  # drafts of pictures are no part of the answer
        elif shown:
            self._parts += not (is_text and self._after_text)
            self._after_text = is_text
            self._text.append(shown)

    def sign(self, signature: str) -> None:
        if self._history:
            entry = {"type": DETAIL, "data": signature, "format": GENERATE, "index": len(self._details)}
            self._details.append({**entry, "part": max(self._parts - 1, 0)})

    def give_back(self, details: Any) -> None:
        self._details += [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []

    def message(self, calls: list[JsonObject]) -> JsonObject | None:
        """The message; None where nothing was said."""
        content = "".join(self._text)
        thoughts = "".join(self._thoughts)
        if not (content or thoughts or calls or self._details):
            return None
        message: JsonObject = {"role": "assistant", "content": content or (None if calls else "")}
        members = {"reasoning_content": thoughts, "reasoning_details": self._details, "tool_calls": calls}
        return message | {key: value for key, value in members.items() if value}


def _shown(part: JsonObject, path: str) -> tuple[str, bool]:
    """What stands in the text of a chat message for a part of an answer, and whether it was text."""
    if part.get("text") is not None:
        return need_text(part["text"], f"{path}.text"), True
    if part.get("inlineData") is not None:
        kind, data = _media(camel(need_object(part["inlineData"], f"{path}.inlineData")), f"{path}.inlineData")
        return markdown(kind, data), False
    for key, inside in (("executableCode", "code"), ("codeExecutionResult", "output")):
        if part.get(key) is not None:
            said = camel(need_object(part[key], f"{path}.{key}"))
            language = need_text(said.get("language", ""), f"{path}.{key}.language").lower()
            return f"\n```{language}\n{need_text(said.get(inside, ''), f'{path}.{key}.{inside}')}\n```\n", True
    if part.get("fileData") is not None:
        said = camel(need_object(part["fileData"], f"{path}.fileData"))
        return f"![file]({need_text(said.get('fileUri'), f'{path}.fileData.fileUri')})", True
    if part.get("thoughtSignature") is not None:
        return "", True
    raise UntranslatableError(path, "this kind of part cannot be said in chat; expected text, inlineData, functionCall or fileData")


def _given_calls(content: JsonObject) -> list[JsonObject]:
    """The calls of a content whose ids the client gives; its shape is looked at elsewhere."""
    parts = as_list(content.get("parts"))
    found = [camel(part).get("functionCall") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [call for call in found if isinstance(call, dict)]


# --- media ---


def _media(said: JsonObject, path: str) -> tuple[str, str]:
    """Media type and Base64."""
    kind = need_text(said.get("mimeType"), f"{path}.mimeType").lower()
    return kind, plain_base64(need_text(said.get("data"), f"{path}.data"))


def _inline(said: JsonObject, path: str) -> JsonObject:
    kind, data = _media(said, path)
    family, _, subtype = kind.partition(";")[0].partition("/")
    if family == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
    if family == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": _FORMATS.get(subtype, subtype)}}
    return {"type": "file", "file": {"file_data": f"data:{kind};base64,{data}"} | _name(said, path)}


def _file(said: JsonObject, path: str) -> JsonObject:
    url = need_text(said.get("fileUri"), f"{path}.fileUri")
    if is_kept(url):
        raise UntranslatableError(f"{path}.fileUri", "only the platform that keeps this file knows it; send it as inlineData")
    kind = need_text(said.get("mimeType", ""), f"{path}.mimeType").lower()
    if kind.startswith(("application/", "text/", "audio/")):
        return {"type": "file", "file": {"file_data": url} | _name(said, path)}
    return {"type": "image_url", "image_url": {"url": url}}


def _name(said: JsonObject, path: str) -> JsonObject:
    name = said.get("displayName")
    # Platforms of chat take no file without a name.
    usual = f"file.{extension_of(need_text(said.get('mimeType', ''), f'{path}.mimeType'))}"
    return {"filename": usual if name is None else need_text(name, f"{path}.displayName")}
