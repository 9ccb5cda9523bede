"""What several protocol pairs need alike: careful readers of JSON, call arguments, media, and the making of chat's own objects.

Readers named `need_` read a client's request and raise UntranslatableError with the path; those named `said_` read a platform's
answer and raise BadAnswerError. Nothing here knows a protocol other than chat, the hub.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from translators.formats import media as references
from translators.formats.media import Kind, Reference, UnsupportedReferenceError, media_type_of
from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.interpreters.base import BadAnswerError, Event, JsonObject, Media, UntranslatableError

NO_FIELD: Final = "the platform's protocol has no such field; leave it out, or let the rule drop it (`unsupported: drop`)"
RAW_ARGUMENTS: Final = "_raw_arguments"  # the key under which call arguments stand that are no JSON object (table M4)

_KINDS: Final = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def kind_of(value: object) -> str:
    """What a JSON value is, in words for messages."""
    return _KINDS.get(type(value), "a number")


# --- readers of a request -----------------------------------------------------------------------------------------------------


def need_object(value: object, path: str) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise UntranslatableError(path, f"expected an object, this is {kind_of(value)}")


def need_list(value: object, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise UntranslatableError(path, f"expected a list, this is {kind_of(value)}")


def need_text(value: object, path: str) -> str:
    if isinstance(value, str):
        return value
    raise UntranslatableError(path, f"expected a string, this is {kind_of(value)}")


def need_number(value: object, path: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise UntranslatableError(path, f"expected a number, this is {kind_of(value)}")


def need_flag(value: object, path: str) -> bool:
    if isinstance(value, bool):
        return value
    raise UntranslatableError(path, f"expected true or false, this is {kind_of(value)}")


def need_objects(value: object, path: str) -> list[tuple[str, JsonObject]]:
    """The objects of a list, each with its path; null is an empty list."""
    items = [] if value is None else need_list(value, path)
    return [(f"{path}[{index}]", need_object(item, f"{path}[{index}]")) for index, item in enumerate(items)]


def need_word(value: object, path: str, allowed: Iterable[str]) -> str:
    """One of a few words."""
    words = tuple(allowed)
    if isinstance(value, str) and value in words:
        return value
    shown = f"`{value[:60]}`" if isinstance(value, str) else kind_of(value)
    raise UntranslatableError(path, f"expected one of {', '.join(words)}, this is {shown}")


def need_texts(content: object, path: str) -> list[str]:
    """The texts of chat content that can hold nothing else: null, a string, or text and refusal parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    texts = []
    for where, part in need_objects(content, path):
        kind = part.get("type")
        if kind not in ("text", "refusal"):
            raise UntranslatableError(where, f"a part of type {_shown(kind)} cannot stand here; expected a text part")
        texts.append(need_text(part.get(kind), f"{where}.{kind}"))
    return texts


def _shown(kind: object) -> str:
    return f"`{kind[:60]}`" if isinstance(kind, str) else kind_of(kind)


def unknown_kind(kind: object, path: str, expected: str) -> UntranslatableError:
    """The error for a part, block or tool whose `type` has no counterpart."""
    return UntranslatableError(path, f"type {_shown(kind)} cannot be said in the platform's protocol; expected {expected}")


class Origins(dict[str, str]):
    """Where the client said what stands in the request that was made of it: paths there -> paths of the client's request."""

    def of(self, path: str) -> str:
        """The client's path: of the longest beginning that is known, or the path itself where none is."""
        head = path
        while head:
            if (said := self.get(head)) is not None:
                return said
            head = head[: max(head.rfind("."), head.rfind("["), 0)]
        return path


# --- readers of an answer -----------------------------------------------------------------------------------------------------


def said_object(value: object, where: str) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise BadAnswerError(f"the platform's answer has {kind_of(value)} at `{where}`; expected an object")


def said_list(value: object, where: str) -> list[Any]:
    """A list; null and an absent value are an empty one."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise BadAnswerError(f"the platform's answer has {kind_of(value)} at `{where}`; expected a list")


def said_objects(value: object, where: str) -> list[JsonObject]:
    return [said_object(item, f"{where}[{index}]") for index, item in enumerate(said_list(value, where))]


def said_text(value: object, where: str) -> str:
    """A string; null and an absent value are an empty one."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise BadAnswerError(f"the platform's answer has {kind_of(value)} at `{where}`; expected a string")


def count(value: object) -> int:
    """A number of tokens; whatever is no number counts as 0."""
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0


def inner(value: object, key: str) -> JsonObject:
    """The object under a key, or an empty one where there is none."""
    held = value.get(key) if isinstance(value, dict) else None
    return held if isinstance(held, dict) else {}


# --- arguments of calls -------------------------------------------------------------------------------------------------------


def arguments_of(text: str) -> JsonObject | None:
    """The arguments of a call; blank text is none (`{}`). None where the text is no JSON object."""
    if not text or text.isspace():
        return {}
    try:
        value = loads(text.encode())
    except (BadJsonError, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None


def need_arguments(text: object, path: str) -> JsonObject:
    """The arguments of a call that the client gives back."""
    arguments = arguments_of(need_text("" if text is None else text, path))
    if arguments is None:
        raise UntranslatableError(path, "the arguments of the call are no JSON object; expected the text of one")
    return arguments


def said_arguments(text: str) -> JsonObject:
    """The arguments of a call that the platform makes; broken ones stand as they are under RAW_ARGUMENTS (table M4)."""
    arguments = arguments_of(text)
    return {RAW_ARGUMENTS: text} if arguments is None else arguments


def text_of(value: object) -> str:
    """Compact JSON text of a value that was read from JSON."""
    try:
        return dumps(value).decode()
    except BadJsonError:  # an integer beyond 64 bits that another parser read
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# --- media --------------------------------------------------------------------------------------------------------------------

_HEAD: Final = 88  # characters of base64 that tell a media type


def need_reference(value: object, path: str, media: Mapping[str, Media]) -> Reference:
    """A picture or document: URL, data URI or bare base64. A URL whose content was read (`media`) is that content.

    The media type is what the first bytes tell, since clients mislabel, and what the client says where they tell nothing.
    """
    text = need_text(value, path)
    if held := media.get(text):
        return Reference(Kind.BASE64, base64.b64encode(held.data).decode(), _kind_of(held), len(held.data))
    try:
        found = references.recognise(text)
    except UnsupportedReferenceError as error:
        raise UntranslatableError(path, error.message) from None
    if found.kind is Kind.URL:
        return found
    encoded = str(found.value)
    return Reference(found.kind, encoded, media_type_of(base64.b64decode(encoded[:_HEAD])) or found.media_type, found.size)


def inlined(url: str, media: Mapping[str, Media], usual: str) -> str:
    """A URL whose content was read as a data URI, any other as it is. `usual`: the media type where nothing tells one."""
    held = media.get(url)
    if held is None:
        return url
    return f"data:{_kind_of(held) or usual};base64,{base64.b64encode(held.data).decode()}"


def _kind_of(held: Media) -> str | None:
    """The media type: of the first bytes, since servers mislabel, or as the server said."""
    return media_type_of(held.data) or (held.media_type or "").partition(";")[0].strip().lower() or None


# --- what chat says -----------------------------------------------------------------------------------------------------------


def finish_word(choice: JsonObject, where: str = "choices[0].finish_reason") -> str:
    """The finish reason of a choice; empty where it has none yet: null, or what some platforms write for it until the end."""
    word = said_text(choice.get("finish_reason"), where)
    return "" if word == "null" else word


def usage_in(said: JsonObject) -> JsonObject:
    """The usage of a chunk or an answer, also where a platform tells it in the choice; empty where there is none."""
    choices = said.get("choices")
    places = [said, *(choices if isinstance(choices, list) else ())]
    return next((usage for place in places if (usage := inner(place, "usage"))), {})


def chat_usage(
    prompt: int,
    completion: int,
    *,
    cached: int | None = None,
    written: int | None = None,
    reasoning: int | None = None,
    total: int | None = None,
) -> JsonObject:
    """Chat's usage; details that the platform did not tell (None) are left out."""
    usage: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
    }
    details = {name: number for name, number in (("cached_tokens", cached), ("cache_write_tokens", written)) if number is not None}
    if details:
        usage["prompt_tokens_details"] = details
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


class ChatUsage:
    """Chat's usage, read: numbers of tokens. `prompt` includes `cached` and `written`, `completion` includes `reasoning`.

    `cached`, `written` and `reasoning` are None where they were not told. Some platforms tell cached tokens beside the total.
    """

    __slots__ = ("cached", "completion", "prompt", "reasoning", "total", "written")

    def __init__(self, usage: JsonObject) -> None:
        prompt, completion = inner(usage, "prompt_tokens_details"), inner(usage, "completion_tokens_details")
        self.prompt = count(usage.get("prompt_tokens"))
        self.completion = count(usage.get("completion_tokens"))
        self.total = count(usage.get("total_tokens")) or self.prompt + self.completion
        places = (prompt.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
        cached = next((held for held in places if held is not None), None)
        self.cached = None if cached is None else count(cached)
        self.written = count(prompt["cache_write_tokens"]) if prompt.get("cache_write_tokens") is not None else None
        self.reasoning = count(completion["reasoning_tokens"]) if completion.get("reasoning_tokens") is not None else None


def chat_answer(ident: str, created: int, model: str, choices: list[JsonObject], usage: JsonObject | None) -> JsonObject:
    """A whole chat completion."""
    answer: JsonObject = {"id": ident, "object": "chat.completion", "created": created, "model": model, "choices": choices}
    if usage is not None:
        answer["usage"] = usage
    return answer


class Chunks:
    """Makes the chunks of one chat stream. `usage`: the client asked for it, so every chunk has the member, mostly null."""

    __slots__ = ("created", "ident", "model", "usage")

    def __init__(self, ident: str, created: int, model: str, *, usage: bool) -> None:
        self.ident = ident
        self.created = created
        self.model = model
        self.usage = usage

    def delta(self, delta: JsonObject, finish: str | None = None, index: int = 0) -> Event:
        data: JsonObject = {
            "id": self.ident,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        }
        if self.usage:
            data["usage"] = None
        return Event(None, data)

    def total(self, usage: JsonObject) -> Event:
        """The chunk that follows the finish where usage was asked for."""
        data = {"id": self.ident, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return Event(None, {**data, "choices": [], "usage": usage})


def wants_usage(body: JsonObject) -> bool:
    """Whether a chat client asked for usage in its stream."""
    return inner(body, "stream_options").get("include_usage") is True


def media_urls(messages: object, kinds: tuple[str, ...] = ("image_url",)) -> list[str]:
    """The http(s) URLs of media in chat's messages, each once: of parts of these kinds, and of files. What is malformed is left to
    who reads the turns."""
    found = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                kind = part.get("type")
                url = part.get(kind) if kind in kinds else inner(part, "file").get("file_data")
                url = url.get("url") if isinstance(url, dict) else url
                if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")):
                    found.append(url)
    return list(dict.fromkeys(found))


# --- ids of calls -------------------------------------------------------------------------------------------------------------

_SAFE_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_CODED: Final = "x-id-"


def safe_id(ident: str) -> str:
    """An id of a call in letters, digits, `_` and `-` alone; `plain_id` gives the id back. Safe ids stay as they are."""
    if _SAFE_ID.fullmatch(ident) and not ident.startswith(_CODED):
        return ident
    return _CODED + base64.urlsafe_b64encode(ident.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def plain_id(ident: str) -> str:
    """The id that `safe_id` made this one of; any other as it is."""
    if not ident.startswith(_CODED):
        return ident
    coded = ident[len(_CODED) :]
    try:
        plain = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode("utf-8", "surrogatepass")
    except ValueError:
        return ident
    return plain if safe_id(plain) == ident else ident
