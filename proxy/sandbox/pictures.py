"""Pictures: real PNG files with stripes whose colours come from the prompt, generated and "edited", plain and streamed.

A picture is named by its size and colours, so its URL can be served later without keeping anything.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from proxy.sandbox.reading import required, string, strings, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, RefusalError, Reply, Stream, base64_text
from proxy.sandbox.text import PICTURE_TOKENS, count_tokens

AUTO = (256, 256)
LARGEST = 4096
STRIPES = 8
FILES = "/~files/"  # where files are served, below the sandbox's address and below that of each platform
_NAME = re.compile(r"(\d{1,4})x(\d{1,4})-([0-9a-f]{12})\.png")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of `width` by `height` pixels; `colours` are six bytes, two RGB colours between which the stripes run."""

    width: int
    height: int
    colours: bytes

    @classmethod
    def of(cls, prompt: str, size: tuple[int, int], number: int = 0) -> "Picture":
        """The picture of a prompt; several of one prompt differ by `number`."""
        seed = hashlib.sha256(f"{number} {prompt}".encode("utf-8", "surrogatepass")).digest()
        return cls(*size, seed[:6])

    @classmethod
    def named(cls, name: str) -> "Picture | None":
        """The picture that a file name stands for, or None when it is no such name."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        width, height = int(found[1]), int(found[2])
        return cls(width, height, bytes.fromhex(found[3])) if 0 < width <= LARGEST and 0 < height <= LARGEST else None

    @property
    def name(self) -> str:
        """The file name, e.g. `256x256-a0b1c2d3e4f5.png`."""
        return f"{self.width}x{self.height}-{self.colours.hex()}.png"

    def png(self) -> bytes:
        """The file: an 8-bit palette image (PNG, RFC 2083), its rows packed lightly because the sandbox shares one loop."""
        return _png(self.width, self.height, self.colours)


@lru_cache(maxsize=8)
def _png(width: int, height: int, colours: bytes) -> bytes:
    palette = bytes(
        (colours[channel] * (STRIPES - 1 - step) + colours[channel + 3] * step) // (STRIPES - 1)
        for step in range(STRIPES)
        for channel in range(3)
    )
    band = max(1, max(width, height) // 16)
    period = STRIPES * band
    line = bytes(position // band % STRIPES for position in range(width + period))
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(b"\0" + line[row % period : row % period + width]) for row in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def size_of(value: str) -> tuple[int, int]:
    """`1024x1536` as numbers; `auto`, ratios and nothing at all are `AUTO` or a size of that ratio.

    Raises:
        RefusalError: status 400 for a size that is too large or no size.
    """
    if value in ("", "auto"):
        return AUTO
    if ":" in value:
        return size_of_ratio(value)
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", value)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(0 < side <= LARGEST for side in size):
        raise RefusalError(400, f"size: expected 'auto' or WxH up to {LARGEST}, found {value[:40]!r}.", param="size")
    return size


def size_of_ratio(ratio: str) -> tuple[int, int]:
    """A size of about `AUTO`'s area for a ratio such as `16:9`; `AUTO` when it is no ratio."""
    found = re.fullmatch(r"([1-9]\d?):([1-9]\d?)", ratio)
    if found is None:
        return AUTO
    unit = (AUTO[0] * AUTO[1] / (int(found[1]) * int(found[2]))) ** 0.5
    return round(int(found[1]) * unit), round(int(found[2]) * unit)


def generate(body: Json, context: Context) -> Reply:
    """Answer `POST .../images/generations`."""
    prompt = string(required(body, "prompt", "Missing required parameter: 'prompt'."))
    return _drawn(body, context, prompt, inputs=len(strings(body.get("image"))), kind="image_generation")


def edit(body: Json, context: Context) -> Reply:
    """Answer `POST .../images/edits`; at least one picture must have come with it.

    Raises:
        RefusalError: status 400 when the prompt or the picture is missing.
    """
    prompt = string(required(body, "prompt", "Missing required parameter: 'prompt'."))
    return _drawn(body, context, prompt, inputs=pictures_given(body), kind="image_edit")


def vary(body: Json, context: Context) -> Reply:
    """Answer `POST .../images/variations`."""
    return _drawn(body, context, "a variation", inputs=pictures_given(body), kind="image_edit")


def pictures_given(body: Json) -> int:
    """How many pictures a request brought, under any of the names in use: image, image[], images, images[], image_N."""
    given = [value for name, value in body.items() if re.fullmatch(r"images?(\[\])?|image_\d+", name)]
    number = sum(len(value) if isinstance(value, list) else 1 for value in given if value)
    if not number:
        raise RefusalError(400, "Missing required parameter: 'image'.", param="image")
    return number


def _drawn(body: Json, context: Context, prompt: str, *, inputs: int, kind: str) -> Reply:
    number = _number(body, "n", 1, 10) or 1
    size = size_of(string(body.get("size")) or string(body.get("aspect_ratio")))
    pictures = [Picture.of(prompt, size, index) for index in range(number)]
    asked = count_tokens(prompt) + PICTURE_TOKENS * inputs
    made = PICTURE_TOKENS * number
    settings: Json = {
        "size": f"{size[0]}x{size[1]}",
        "quality": string(body.get("quality")) or "low",
        "background": "opaque",
        "output_format": "png",
    }
    usage: Json = {
        "total_tokens": asked + made,
        "input_tokens": asked,
        "output_tokens": made,
        "input_tokens_details": {"text_tokens": asked - PICTURE_TOKENS * inputs, "image_tokens": PICTURE_TOKENS * inputs},
    }
    if body.get("stream") in (True, "true"):
        partial = _number(body, "partial_images", 0, 3) or 0
        return Stream(events(kind, pictures, partial, {"created_at": context.now, **settings}, usage), Framing.NAMED)
    if body.get("response_format") == "url":
        data = [{"url": f"{context.base}{FILES}{picture.name}"} for picture in pictures]
    else:
        data = [{"b64_json": base64_text(picture.png())} for picture in pictures]
    return Plain({"created": context.now, **settings, "data": data, "usage": usage})


def events(kind: str, pictures: list[Picture], partial: int, settings: Json, usage: Json) -> Iterator[Json]:
    """The events of a stream: early versions of each picture (in other colours), then the picture."""
    for picture in pictures:
        for index in range(partial):
            early = Picture.of(f"early {picture.name}", (picture.width, picture.height), index)
            data = base64_text(early.png())
            yield {"type": f"{kind}.partial_image", "b64_json": data, "partial_image_index": index, **settings}
        yield {"type": f"{kind}.completed", "b64_json": base64_text(picture.png()), **settings, "usage": usage}


def _number(body: Json, name: str, low: int, high: int) -> int | None:
    """A bounded number; in multipart forms numbers are text."""
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return whole({name: int(value)}, name, low=low, high=high)
    return whole(body, name, low=low, high=high)
