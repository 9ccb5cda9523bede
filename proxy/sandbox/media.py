"""Media by kind: what the sandbox can make of each, how files of it are named, and how a text that holds some is recognised.

A file is a function of its name: `8c1f...e0.mp4` is made of those hexadecimal digits each time it is asked for, so nothing is kept.
The names of pictures that were asked for by size say it (`pictures`).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from proxy.sandbox import sound, video
from proxy.sandbox.pictures import AUTO, Picture

FILES = "/~files/"  # where files are served, below the sandbox's address and below that of each platform
_NAME = re.compile(r"([0-9a-f]{24})\.([a-z0-9]{2,5})")
_HEX = re.compile(r"(?:[0-9a-f]{2}){3,}", re.IGNORECASE)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_DATA_URI = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_HEAD = 64  # characters that tell what a text holds; a multiple of 4

# A grey square of 8 by 8 pixels. JPEG has no uncompressed form, and an encoder is not worth its lines here.
_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////////"
    "wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)


def _png(seed: bytes) -> bytes:
    return Picture(*AUTO, seed[:6]).png()


def _jpeg(_seed: bytes) -> bytes:
    return _JPEG


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of media: the end of its file names, its media type, its first bytes, and what makes a file of 12 bytes of seed."""

    extension: str
    media_type: str
    magic: bytes
    make: Callable[[bytes], bytes]

    @property
    def family(self) -> str:
        return self.media_type.partition("/")[0]


PNG = Kind("png", "image/png", b"\x89PNG", _png)
JPEG = Kind("jpg", "image/jpeg", b"\xff\xd8\xff", _jpeg)
MP3 = Kind("mp3", "audio/mpeg", b"ID3", sound.mp3)
WAV = Kind("wav", "audio/wav", b"RIFF", sound.wav)
PCM = Kind("pcm", "audio/pcm", b"", sound.pcm)
MP4 = Kind("mp4", "video/mp4", b"", video.mp4)
KINDS = (PNG, JPEG, MP3, WAV, PCM, MP4)
FAMILIES = {"image": PNG, "audio": MP3, "music": MP3, "video": MP4}
_BY_EXTENSION = {kind.extension: kind for kind in KINDS} | {"jpeg": JPEG}
_BY_TYPE = {kind.media_type: kind for kind in KINDS}


def by_extension(text: str) -> Kind | None:
    """The kind that a file name's end, or the word of a request's `format`, means."""
    return _BY_EXTENSION.get(text.lower())


def by_media_type(text: str) -> Kind | None:
    """The kind of a media type; of a type that the sandbox cannot make, the first of its family."""
    essence = text.partition(";")[0].strip().lower()
    return _BY_TYPE.get(essence) or FAMILIES.get(essence.partition("/")[0])


def seed_of(*texts: str) -> bytes:
    """Twelve bytes that follow from some texts."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()[:12]


def made(kind: Kind, seed: bytes, size: tuple[int, int] = AUTO) -> bytes:
    """A file; a PNG has the size that is wanted."""
    return Picture(*size, seed[:6]).png() if kind is PNG else kind.make(seed)


def name_of(kind: Kind, seed: bytes, size: tuple[int, int] = AUTO) -> str:
    return Picture(*size, seed[:6]).name if kind is PNG and size != AUTO else f"{seed.hex()}.{kind.extension}"


def named(name: str) -> tuple[bytes, str] | None:
    """The bytes and the media type of a file by its name; None when there can be no such file."""
    picture = Picture.named(name)
    if picture is not None:
        return picture.png(), PNG.media_type
    found = _NAME.fullmatch(name)
    kind = by_extension(found[2]) if found else None
    return (kind.make(bytes.fromhex(found[1])), kind.media_type) if found and kind else None


# --- media inside JSON ---


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text that holds media: how it is written, and of which kind it is."""

    kind: Kind
    hexadecimal: bool
    prefix: str = ""  # of a data URI

    def write(self, data: bytes) -> str:
        return data.hex() if self.hexadecimal else self.prefix + base64.b64encode(data).decode()


def embedded(text: str) -> Embedded | None:
    """What media a text holds, as hexadecimal digits, base64 or a data URI; None when it is none that could be told."""
    if _HEX.fullmatch(text):
        kind = of_bytes(bytes.fromhex(text[:_HEAD]))
        if kind is not None:
            return Embedded(kind, hexadecimal=True)
    found = _DATA_URI.match(text)
    prefix = found[0] if found else ""
    packed = text[len(prefix) :]
    if not _BASE64.fullmatch(packed):
        return None
    try:
        kind = of_bytes(base64.b64decode(packed[:_HEAD]))
    except binascii.Error:
        return None
    if kind is None and prefix:
        kind = by_media_type(prefix[5:])
    return Embedded(kind, hexadecimal=False, prefix=prefix) if kind else None


def of_bytes(data: bytes) -> Kind | None:
    """The kind of a file by its first bytes; examples often hold no more than these."""
    if data[4:8] == b"ftyp":
        return MP4
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return None
    return next((kind for kind in (PNG, JPEG, MP3, WAV) if data.startswith(kind.magic)), None)
