"""The words of `generate` that both directions need: finish reasons, efforts, signatures, key case, media types by extension.

Tables with two columns only; what a message or an answer is made of stands in the modules of the pairs.
"""

import base64
import re
from functools import lru_cache
from typing import Any, Final

from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.interpreters.base import BadAnswerError, Failure, JsonObject

GOOGLE: Final = "google"  # the member of chat's `extra_content` and `extra_body` that holds what only this protocol has
DETAIL: Final = "reasoning.encrypted"

# --- key case (both are legal at every level, and the official SDKs mix them) ---

_UNDERSCORE: Final = re.compile(r"_([a-z0-9])")


@lru_cache(maxsize=1024)
def camel_key(key: str) -> str:
    return _UNDERSCORE.sub(lambda found: found[1].upper(), key)


def camel(value: JsonObject) -> JsonObject:
    """The members of one object with their keys in camelCase; what is in them keeps its own. Null is as good as absent."""
    return {camel_key(key) if len(key) < 64 else key: held for key, held in value.items() if held is not None}


# --- ends of streams ---

CUT: Final = Failure(502, "The platform's stream ended before its answer did.", "server_error", "stream_cut")


def bad_end(error: BadAnswerError) -> Failure:
    """What tells a client that the last of a stream, which was held back, cannot be understood."""
    return Failure(502, str(error), "upstream_error", "bad_answer")


# --- finish reasons (G3) ---

FILTERED: Final = frozenset(
    [
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "LANGUAGE",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    ]
)
FAILED: Final = frozenset(
    [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    ]
)


def chat_finish(reason: str, *, calls: bool) -> str:
    """Chat's finish reason; a call ends with STOP, too. Words that no table knows mean no more than that it has ended."""
    if reason == "MAX_TOKENS":
        return "length"
    if reason in FILTERED:
        return "content_filter"
    return "tool_calls" if calls else "stop"


# Chat's finish reasons, and `sensitive`, as some platforms call a filtered answer. Everything else: STOP.
GENERATE_FINISH: Final = {"length": "MAX_TOKENS", "content_filter": "SAFETY", "sensitive": "SAFETY"}

# --- how much the model thinks ---

LEVELS: Final = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
# Tables of relays disagree; these numbers are within the limits of every model that takes budgets, save `none` for some.
BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}


def effort_of_budget(budget: int) -> str | None:
    """The effort that a thinking budget in tokens stands for; None for -1, the model's own choice."""
    if budget < 0:
        return None
    return next((effort for effort in ("none", "low", "medium") if budget <= BUDGETS[effort]), "high")


# --- media ---

_EXTENSIONS: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "avi": "video/x-msvideo",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
}


def type_by_name(name: str) -> str | None:
    """The media type that the extension of a URL or file name tells."""
    path = name.partition("#")[0].partition("?")[0]
    return _EXTENSIONS.get(path.rpartition("/")[2].rpartition(".")[2].lower())


_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_KEPT: Final = re.compile(r"https?://[^/]+/v1(?:beta)?/files/", re.IGNORECASE)
_FILMS: Final = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com|youtu\.be)/", re.IGNORECASE)  # the page is not the film


def is_kept(uri: str) -> bool:
    """Whether a URI names what the platform alone keeps: a file that was uploaded to it, or one of its own cloud."""
    return not _WEB.match(uri) or bool(_KEPT.match(uri))


def can_be_read(uri: str) -> bool:
    """Whether the content of a URI can be sent in its place."""
    return not is_kept(uri) and not _FILMS.match(uri)


def markdown(media_type: str, data: str) -> str:
    """A picture (or sound) in the text of an answer: the form that relays give and that chat clients show (G3)."""
    return f"![{media_type.partition('/')[0]}](data:{media_type};base64,{data})"


_PICTURE: Final = re.compile(r"\]\(data:((?:image|audio|video)/[\w.+-]{1,60});base64,([A-Za-z0-9+/]++={0,2}+)\)")
_LONGEST_NAME: Final = 200  # of a picture, in characters: bounds how far back its beginning is looked for


def with_media(text: str) -> list[JsonObject]:
    """Parts of a text, the Markdown pictures in it (which stand for parts of an answer) as data; no empty texts."""
    if "](data:" not in text:
        return [{"text": text}] if text else []
    parts: list[JsonObject] = []
    place = 0
    for found in _PICTURE.finditer(text):
        start = text.rfind("![", max(place, found.start() - _LONGEST_NAME), found.start())
        if start >= 0 and "]" not in text[start : found.start()]:
            parts.append({"text": text[place:start]})
            parts.append({"inlineData": {"mimeType": found[1], "data": found[2]}})
            place = found.end()
    parts.append({"text": text[place:]})
    return [part for part in parts if part.get("text") != ""]


_URL_SAFE: Final = str.maketrans("-_", "+/")


def plain_base64(text: str) -> str:
    """Base64 in its plain alphabet and padded: one of the official SDKs writes the other alphabet."""
    text = text.translate(_URL_SAFE) if "-" in text or "_" in text else text
    return text + "=" * (-len(text) % 4)


# --- what a chat platform signed, in the one place where clients of this protocol keep signatures ---

_SEAL: Final = b"chat-v1."


def sealed(held: JsonObject) -> str:
    """Members of chat (`details`: of the message, `extra`: of the call) as a `thoughtSignature`, which is base64."""
    return base64.b64encode(_SEAL + dumps(held)).decode()


def opened(signature: str) -> JsonObject | None:
    """What `sealed` put in; None for a signature of another making, and for a broken seal."""
    try:
        raw = base64.b64decode(plain_base64(signature), validate=True)
        held: Any = loads(raw.removeprefix(_SEAL)) if raw.startswith(_SEAL) else None
    except (ValueError, BadJsonError):
        return None
    return held if isinstance(held, dict) else None
