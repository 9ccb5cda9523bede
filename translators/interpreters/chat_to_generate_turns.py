"""The conversation of a chat request as `systemInstruction` and `contents` of generate (G1, rows of messages and media)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from translators.formats.media import Kind
from translators.formats.strict_json import BadJsonError, loads
from translators.interpreters.base import JsonObject, Media, Settings, UntranslatableError
from translators.interpreters.carriers import GENERATE
from translators.interpreters.common import (
    NO_FIELD,
    inner,
    media_urls,
    need_arguments,
    need_object,
    need_objects,
    need_reference,
    need_text,
    need_texts,
    need_word,
    unknown_kind,
)
from translators.interpreters.generate_words import GOOGLE, can_be_read, type_by_name, with_media

_URL_PARTS: Final = ("image_url", "video_url", "audio_url")
_MEDIA_PARTS: Final = (*_URL_PARTS, "input_audio", "file")
_ERROR: Final = "Error: "
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")


def readable_urls(messages: object) -> list[str]:
    """URLs of media anywhere in chat messages that can be read for the platform."""
    return [url for url in media_urls(messages, _URL_PARTS) if can_be_read(url)]


class Contents:
    """Writes a conversation. Neighbours of one role become one content, results stand before what else the user says."""

    def __init__(self, settings: Settings, media: Mapping[str, Media], leave_out: Callable[[str, str], None]) -> None:
        self.system: list[JsonObject] = []  # parts
        self.contents: list[JsonObject] = []
        self._settings = settings
        self._media = media
        self._leave_out = leave_out
        self._results = 0  # with how many the last content begins
        self._names: dict[str, str] = {}  # of functions, by the id of the call

    def write(self, messages: Any) -> None:
        last: list[JsonObject] = []
        said = need_objects(messages, "messages")
        if not said:
            raise UntranslatableError("messages", "expected at least one message")
        for path, message in said:
            role = need_word(message.get("role"), f"{path}.role", _ROLES)
            if role in ("system", "developer"):
                last = [{"text": text} for text in need_texts(message.get("content"), f"{path}.content") if text]
                self.system += last
            elif role == "user":
                self._leave_out_rest(message, ("role", "content"), path)
                self._add("user", self._parts(message.get("content"), f"{path}.content"))
            elif role == "assistant":
                self._add("model", self._said_by_model(message, path))
            else:
                self._result(message, path, by_name=role == "function")
        if not self.contents:  # there must be one: the last instruction is said by the user (as M1 has it), or nothing is
            del self.system[len(self.system) - len(last) :]
            self._add("user", last or [{"text": " "}])

    def _add(self, role: str, parts: list[JsonObject]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})
            self._results = 0

    def _leave_out_rest(self, value: JsonObject, known: tuple[str, ...], path: str) -> None:
        for key, held in value.items():
            if key not in known and held is not None:
                self._leave_out(f"{path}.{key}", NO_FIELD)

    # --- parts ---

    def _parts(self, content: Any, path: str) -> list[JsonObject]:
        if content is None or isinstance(content, str):
            return [{"text": content}] if content else []
        parts = [self._part(part, where) for where, part in need_objects(content, path)]
        return [part for part in parts if part.get("text") != ""]

    def _part(self, part: JsonObject, path: str) -> JsonObject:
        kind = part.get("type")
        if kind in ("text", "refusal"):
            self._leave_out_rest(part, ("type", kind, "annotations"), path)
            return {"text": need_text(part.get(kind), f"{path}.{kind}")}
        if kind in _MEDIA_PARTS:
            self._leave_out_rest(part, ("type", kind), path)
        if kind == "input_audio":
            return self._audio(need_object(part.get(kind), f"{path}.{kind}"), f"{path}.{kind}")
        if kind == "file":
            return self._file(need_object(part.get(kind), f"{path}.{kind}"), f"{path}.{kind}")
        if kind in _URL_PARTS:
            held = part.get(kind)
            where = f"{path}.{kind}"
            if isinstance(held, dict):
                self._leave_out_rest(held, ("url", "detail"), where)
                if held.get("detail") not in (None, "auto"):
                    self._leave_out(f"{where}.detail", NO_FIELD)
                held, where = held.get("url"), f"{where}.url"
            return self._reference(held, where, "video/mp4" if kind == "video_url" else None)
        raise unknown_kind(kind, f"{path}.type", "text, image_url, input_audio, file or video_url")

    def _audio(self, audio: JsonObject, path: str) -> JsonObject:
        self._leave_out_rest(audio, ("data", "format"), path)
        spoken = need_text(audio.get("format"), f"{path}.format")
        data = need_text(audio.get("data"), f"{path}.data")
        if data[:5].lower() == "data:":  # some clients send it as they do pictures
            data = str(need_reference(data, f"{path}.data", {}).value)
        return {"inlineData": {"mimeType": f"audio/{spoken}", "data": data}}

    def _file(self, file: JsonObject, path: str) -> JsonObject:
        self._leave_out_rest(file, ("file_data", "file_id", "filename"), path)
        if file.get("file_data") is None:
            raise UntranslatableError(f"{path}.file_id", "a file id is known only where it was given; send the file as `file_data`")
        name = file.get("filename")
        return self._reference(file["file_data"], f"{path}.file_data", type_by_name(name) if isinstance(name, str) else None)

    def _reference(self, value: Any, path: str, usual: str | None) -> JsonObject:
        """`usual`: the media type where nothing else tells one."""
        text = need_text(value, path)
        if text.startswith("gs://"):
            kind = type_by_name(text) or usual
            return {"fileData": {"fileUri": text} | ({"mimeType": kind} if kind else {})}
        found = need_reference(text, path, self._media if self._settings.urls == "inline" else {})
        kind = found.media_type or type_by_name(text if found.kind is Kind.URL else "") or usual
        if found.kind is Kind.URL:
            return {"fileData": {"fileUri": str(found.value)} | ({"mimeType": kind} if kind else {})}
        if kind is None:
            raise UntranslatableError(path, "the data has no media type and begins like no known kind; send it as a data URI")
        return {"inlineData": {"mimeType": kind, "data": str(found.value)}}

    # --- the model's turns ---

    def _said_by_model(self, message: JsonObject, path: str) -> list[JsonObject]:
        if message.get("audio") is not None:
            raise UntranslatableError(f"{path}.audio", "only the platform that gave this audio has it; send its transcript as text")
        said = self._parts(message.get("content"), f"{path}.content")
        parts = [piece for part in said for piece in (with_media(part["text"]) if "text" in part else [part])]
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            parts.append({"text": message["refusal"]})
        for where, image in need_objects(message.get("images"), f"{path}.images"):
            parts.append(self._part({"type": "image_url", **image}, where))
        calls = need_objects(message.get("tool_calls"), f"{path}.tool_calls")
        if message.get("function_call") is not None:
            function = need_object(message["function_call"], f"{path}.function_call")
            calls.append((f"{path}.function_call", {"function": function}))
        entries = [entry for entry in _list(message.get("reasoning_details")) if isinstance(entry, dict)]
        details = [entry for entry in entries if entry.get("format") == GENERATE]
        _sign(parts, details)
        return parts + self._calls(calls, details)

    def _calls(self, calls: list[tuple[str, JsonObject]], details: list[JsonObject]) -> list[JsonObject]:
        by_id = {entry["id"]: entry.get("data") for entry in details if isinstance(entry.get("id"), str)}
        parts = []
        for path, call in calls:
            part = self._call(call, path)
            signature = inner(inner(call, "extra_content"), GOOGLE).get("thought_signature")
            signature = signature or inner(call, "function").get("thought_signature")
            signature = signature or by_id.get(part["functionCall"].get("id", ""))
            if isinstance(signature, str) and signature:
                part["thoughtSignature"] = signature
            parts.append(part)
        foreign = self._settings.foreign_signature
        if foreign and parts and not any("thoughtSignature" in part for part in parts):
            parts[0]["thoughtSignature"] = foreign  # section 4: on the first call of each step that another platform made
        return parts

    def _call(self, call: JsonObject, path: str) -> JsonObject:
        kind = "custom" if call.get("type") == "custom" else "function"
        where = path if path.endswith(".function_call") else f"{path}.{kind}"
        function = need_object(call.get(kind), where)
        name = need_text(function.get("name"), f"{where}.name")
        if kind == "custom":
            arguments: JsonObject = {"input": need_text(function.get("input"), f"{where}.input")}
        else:
            arguments = need_arguments(function.get("arguments"), f"{where}.arguments")
        made: JsonObject = {"name": name, "args": arguments}
        if call.get("id") is not None:
            made["id"] = need_text(call["id"], f"{path}.id")
            self._names[made["id"]] = name
        return {"functionCall": made}

    # --- results ---

    def _result(self, message: JsonObject, path: str, *, by_name: bool) -> None:
        response: JsonObject = {}
        if by_name:
            response["name"] = need_text(message.get("name"), f"{path}.name")
        else:
            ident = need_text(message.get("tool_call_id"), f"{path}.tool_call_id")
            if ident not in self._names:
                raise UntranslatableError(
                    f"{path}.tool_call_id", "no assistant message before this one has a call of this id; correct it"
                )
            response |= {"id": ident, "name": self._names[ident]}
        content = message.get("content")
        parts = self._parts(content, f"{path}.content")
        texts = [part["text"] for part in parts if "text" in part]
        response["response"] = _response("\n".join(texts))
        self._add_result({"functionResponse": response}, [part for part in parts if "text" not in part])

    def _add_result(self, result: JsonObject, others: list[JsonObject]) -> None:
        """All results of one step stand together and before what else the user says, wherever the client put it."""
        self._add("user", [result])
        parts: list[JsonObject] = self.contents[-1]["parts"]
        parts.insert(self._results, parts.pop())
        self._results += 1
        parts += others


def _response(text: str) -> JsonObject:
    """What a function gave must be an object: one is taken as it is, a list or text is the `result`.

    Chat marks a failed call in its text (M2), generate by the name of the member (G6).
    """
    if text.startswith(_ERROR):
        return {"error": text.removeprefix(_ERROR)}
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = loads(text.encode())
        except (BadJsonError, UnicodeEncodeError):
            value = text
        return value if isinstance(value, dict) else {"result": value}
    return {"result": text}


def _sign(parts: list[JsonObject], details: list[JsonObject]) -> None:
    """Puts signatures of texts and pictures back on the parts that they came with; one of no part stands alone, as it came."""
    for entry in details:
        place, signature = entry.get("part"), entry.get("data")
        if isinstance(entry.get("id"), str) or not isinstance(signature, str) or not signature:
            continue
        if isinstance(place, int) and 0 <= place < len(parts):
            parts[place]["thoughtSignature"] = signature
        else:
            parts.append({"text": "", "thoughtSignature": signature})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
