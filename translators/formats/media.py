"""References to pictures, video and audio in requests: which forms clients send, and the form that a platform wants.

A reference is a URL, a data URI, bare base64, a file of a form, or the id of a file that a platform keeps. This module
recognises them, converts what can be converted without a network, and says `NeedsFetch` where a URL would have to be fetched
first; it never fetches. The spellings are those of the fact sheets `video-unified` (section 1) and `image-unified` ("Three
spellings of the image input", quirks 1 and 3) and of the protocol's own sheet on edits ("Accept all of ...").
"""

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from translators.formats.forms import FileRef

# Fields that hold references, by their names without brackets; `image_1`, `image_2` belong to them too.
REFERENCE_FIELDS = frozenset(
    {"image", "images", "image_url", "image_urls", "input_reference", "input_references", "reference_image", "reference_images"}
)
MASK_FIELD = "mask"
GENERIC = "application/octet-stream"

_NUMBERED = re.compile(r"(image)_([0-9]{1,4})")
_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_DATA_URI = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*(?:[ \t]*;[^\0-\x1f\x7f]*)?", re.IGNORECASE)
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_HEAD = 64  # bytes that tell a media type

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {b"qt  ": "video/quicktime", b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"mif1": "image/heif"}
_BRANDS |= {b"heix": "image/heic", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4"}
_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "video/quicktime": "mov",
    "video/x-msvideo": "avi",
    "video/x-matroska": "mkv",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "image/tiff": "tiff",
    GENERIC: "bin",
}

# How an object names what it holds; the first key that is there counts.
_HOLDERS = ("image_url", "url", "video_url", "audio_url", "b64_json", "bytesBase64Encoded", "inlineData", "inline_data", "data")
_TYPE_KEYS = ("mimeType", "mime_type", "media_type")


class Kind(StrEnum):
    """The form a reference came in."""

    URL = "url"
    DATA_URI = "data_uri"
    BASE64 = "base64"
    FILE = "file"
    FILE_ID = "file_id"


class Form(StrEnum):
    """The form in which a reference must leave: the words of `media` in a rule file."""

    URL = "url"
    BASE64 = "base64"
    DATA_URI = "data_uri"
    FILE = "file"


class UnsupportedReferenceError(Exception):
    """A reference that cannot be understood, or not be had in the form that is wanted; the message says what to send instead."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference. `value` is the URL, the id, the base64 text (of a data URI: without its head) or the file.

    `media_type` is what the client said, or what the first bytes say where it said nothing of use; None where nobody knows.
    `size` is the number of bytes it stands for, known without decoding; None for a URL and an id.
    `written` is the text as the client wrote it, where it was text.
    """

    kind: Kind
    value: str | FileRef = field(repr=False)
    media_type: str | None = None
    size: int | None = None
    written: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NeedsFetch:
    """The reference has the wanted form only after this URL was fetched; make a FileRef of what comes, and ask again."""

    url: str


@dataclass(frozen=True, slots=True)
class Refs:
    """The references of a request in the client's order, its mask, and the top-level keys that they were taken from."""

    refs: list[Reference]
    mask: Reference | None
    used: frozenset[str]


def media_type_of(head: bytes | memoryview) -> str | None:
    """The media type that the first bytes of a file tell (64 are enough); None when they tell none."""
    start = bytes(head[:_HEAD])
    for magic, media_type in _MAGIC:
        if start.startswith(magic):
            return media_type
    if start.startswith(b"RIFF"):
        return _RIFF.get(start[8:12])
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "video/mp4")
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in start else "video/x-matroska"
    if start.startswith(b"BM") and start[6:10] == bytes(4):
        return "image/bmp"
    if len(start) > 3 and _is_mpeg_audio(start):
        return "audio/mpeg"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    return "image/svg+xml" if text.startswith(b"<svg") else None


def _is_mpeg_audio(frame: bytes) -> bool:
    """A frame header of layer III without a tag before it: eleven bits set, no reserved version, bit rate or sampling rate."""
    synced = frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2 and frame[1] & 0x18 != 0x08
    return synced and frame[2] & 0xF0 != 0xF0 and frame[2] & 0x0C != 0x0C


def recognise(value: object, where: str = "the reference") -> Reference:
    """The reference that a value of a request is; `where` names its place in messages. Raises UnsupportedReferenceError.

    A string is an http(s) URL, a base64 data URI, or bare base64 that begins like a known kind of file (line ends, the URL-safe
    alphabet and missing padding are put right). An object holds one of those under `image_url`, `url`, `b64_json` and the like,
    also one level deeper (`{type: image_url, image_url: {url}}`), or a `file_id`.
    """
    if isinstance(value, FileRef):
        named = value.content_type
        return Reference(Kind.FILE, value, named if _says(named) else media_type_of(value.data) or named, len(value.data))
    if isinstance(value, Mapping):
        return _of_object(value, where, deeper=True)
    if not isinstance(value, str):
        raise UnsupportedReferenceError(f"{where} is neither text nor an object nor a file; {_EXPECTED}")
    text = value.strip() if value[:1].isspace() or value[-1:].isspace() else value
    if text[:8].lower().startswith(("http://", "https://")):
        if any(character <= " " or character == "\x7f" for character in text):
            raise UnsupportedReferenceError(f"{where} is a URL with a space or control character in it; write it percent-encoded")
        return Reference(Kind.URL, text, written=value)
    if text[:5].lower() == "data:":
        return _of_data_uri(text, where)
    encoded = _base64(text, where)
    media_type = _type_of_base64(encoded)
    if media_type is None:
        raise UnsupportedReferenceError(f"{where} is no reference, or base64 of no known kind of file; {_EXPECTED}")
    return Reference(Kind.BASE64, encoded, media_type, _size(encoded), value)


_EXPECTED = "expected an http(s) URL, a data URI (data:image/png;base64,...), the base64 of a file, or a file part"


def _of_object(value: Mapping[str, object], where: str, *, deeper: bool) -> Reference:
    for key in _HOLDERS:
        held = value.get(key)
        if held is None or held == "":
            continue
        if isinstance(held, Mapping) and deeper:
            return _of_object(held, f"{where}.{key}", deeper=False)
        if not isinstance(held, str | FileRef):
            break
        where = f"{where}.{key}"
        return _typed(value, held, where) if _is_bytes_of_type(value, held) else recognise(held, where)
    file_id = value.get("file_id")
    if isinstance(file_id, str) and file_id:
        return Reference(Kind.FILE_ID, file_id, written=file_id)
    raise UnsupportedReferenceError(f"{where} is an object without a reference; expected one of {', '.join(_HOLDERS[:5])}, file_id")


def _is_bytes_of_type(value: Mapping[str, object], held: object) -> bool:
    """Whether an object names the type of its base64, which then need not be told from the bytes."""
    return isinstance(held, str) and not held[:5].lower().startswith(("http:", "https", "data:")) and bool(_named_type(value))


def _named_type(value: Mapping[str, object]) -> str | None:
    return next((named for key in _TYPE_KEYS if isinstance(named := value.get(key), str) and _says(named)), None)


def _typed(value: Mapping[str, object], held: str | FileRef, where: str) -> Reference:
    encoded = _base64(str(held), where)
    return Reference(Kind.BASE64, encoded, _named_type(value), _size(encoded), str(held))


def _of_data_uri(text: str, where: str) -> Reference:
    head = _DATA_URI.match(text, 0, 512)
    if not head or not head[2].lower().endswith(";base64"):
        raise UnsupportedReferenceError(f"{where} is a data URI that is not base64; expected data:<type>;base64,<data>")
    encoded = _base64(text[head.end() :], where)
    named = head[1].strip().lower()
    media_type = named if _says(named) else _type_of_base64(encoded)
    return Reference(Kind.DATA_URI, encoded, media_type, _size(encoded), text)


def _says(media_type: str | None) -> bool:
    """Whether a media type tells anything."""
    return media_type is not None and media_type.lower() != GENERIC and bool(_TYPE.fullmatch(media_type))


def _base64(text: str, where: str) -> str:
    """The text as plain padded base64; checked in one pass without decoding. Raises UnsupportedReferenceError."""
    try:
        raw = text.encode("ascii")
    except UnicodeEncodeError:
        raise UnsupportedReferenceError(f"{where} is no reference; {_EXPECTED}") from None
    body = raw.rstrip(b"=")
    plain = not body.translate(None, _ALPHABET)
    if not plain:
        # Lines wrapped by a tool, or the URL-safe alphabet.
        raw = raw.translate(_URL_SAFE, b"\r\n")
        body = raw.rstrip(b"=")
        if body.translate(None, _ALPHABET):
            raise UnsupportedReferenceError(f"{where} is no reference; {_EXPECTED}")
    padding = len(raw) - len(body)
    needed = -len(body) % 4
    if not body or needed == 3 or padding not in (0, needed):
        raise UnsupportedReferenceError(
            f"{where} is base64 of a wrong length: it was cut short, or it is something else; {_EXPECTED}"
        )
    return text if plain and padding == needed else (body + b"=" * needed).decode("ascii")


def _size(encoded: str) -> int:
    return len(encoded) // 4 * 3 - encoded.endswith("=") - encoded.endswith("==")


def _type_of_base64(encoded: str) -> str | None:
    return media_type_of(base64.b64decode(encoded[: (_HEAD + 2) // 3 * 4]))


def to_form(reference: Reference, form: Form | str, name: str = "file") -> str | FileRef | NeedsFetch:
    """The reference in the wanted form, or what must be fetched for it.

    `url` gives the URL; `base64` the bare text; `data_uri` a data URI; `file` a FileRef, which is named `name` and the type's
    extension where the client gave no name. A form that the reference already has is left as it came.
    Raises UnsupportedReferenceError.
    """
    form = Form(form)
    if reference.kind is Kind.FILE_ID:
        raise UnsupportedReferenceError(
            f"the file id `{str(reference.value)[:60]}` is known only to the platform that gave it; send a URL or the file"
        )
    if form is Form.URL:
        if reference.kind is not Kind.URL:
            raise UnsupportedReferenceError(
                "this platform takes URLs only; upload the file where the platform can fetch it, and send its http(s) URL"
            )
        return str(reference.value)
    if reference.kind is Kind.URL:
        return NeedsFetch(str(reference.value))
    if form is Form.FILE:
        return _file(reference, name)
    if form is Form.BASE64:
        return _text(reference)
    if reference.kind is Kind.DATA_URI and reference.written and reference.written[5:6] not in (";", ","):
        return reference.written
    return f"data:{reference.media_type or GENERIC};base64,{_text(reference)}"


def _text(reference: Reference) -> str:
    value = reference.value
    return base64.b64encode(value.data).decode("ascii") if isinstance(value, FileRef) else value


def _file(reference: Reference, name: str) -> FileRef:
    value = reference.value
    if not isinstance(value, FileRef):
        media_type = reference.media_type or GENERIC
        return FileRef(f"{name}.{extension_of(media_type)}", media_type, base64.b64decode(value))
    if value.filename and value.content_type == reference.media_type:
        return value
    media_type = reference.media_type or GENERIC
    return FileRef(value.filename or f"{name}.{extension_of(media_type)}", media_type, value.data)


def extension_of(media_type: str) -> str:
    """The usual file name extension of a media type, without a dot."""
    plain = media_type.partition(";")[0].strip().lower()
    return _EXTENSIONS.get(plain) or re.sub(r"[^a-z0-9]", "", plain.rpartition("/")[2].removeprefix("x-")) or "bin"


def collect(body: Mapping[str, object], fields: Collection[str]) -> list[Reference]:
    """The references under these top-level keys (names without brackets), in the client's order; empty values are none."""
    return [reference for _, found in _fields(body, fields) for reference in found]


def references(body: Mapping[str, object]) -> Refs:
    """All references of a unified request, JSON or form (see `forms.form_scope`), and its mask.

    `REFERENCE_FIELDS` are looked for, with any brackets after the name, and `image_1`, `image_2`, ... by their numbers.
    A value is one reference or a list of them; null, an empty string and an empty list are none, but their key counts as used.
    Raises UnsupportedReferenceError, which names the place, and for more than one mask.
    """
    taken = list(_fields(body, REFERENCE_FIELDS))
    masks = list(_fields(body, (MASK_FIELD,)))
    found = [reference for _, group in masks for reference in group]
    if len(found) > 1:
        raise UnsupportedReferenceError(f"the request has {len(found)} masks; send one `mask`")
    used = frozenset(key for key, _ in [*taken, *masks])
    return Refs([reference for _, group in taken for reference in group], found[0] if found else None, used)


def _fields(body: Mapping[str, object], fields: Collection[str]) -> Iterator[tuple[str, list[Reference]]]:
    """Each matching key with its references; numbered keys stand together, in order, where the first of them stands."""
    numbered = sorted((int(match[2]), key) for key in body if (match := _NUMBERED.fullmatch(key)) and match[1] in fields)
    told = False
    for key in body:
        if _NUMBERED.fullmatch(key) and numbered:
            group: Iterable[str] = () if told else (name for _, name in numbered)
            told = True
        else:
            group = (key,) if _BRACKETS.sub("", key) in fields else ()
        for name in group:
            yield name, list(_references_in(body[name], name))


def _references_in(value: object, where: str) -> Iterator[Reference]:
    if value is None or value in ("", [], {}):
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _references_in(item, f"{where}[{index}]")
    elif isinstance(value, Mapping) and len(value) == 1 and isinstance(held := next(iter(value.values())), list):
        # A form's `input_reference[image_url][]`, or the same part sent more than once.
        yield from _references_in([{key: item} for key in value for item in held], where)
    else:
        yield recognise(value, f"`{where}`")
