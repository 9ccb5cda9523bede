"""Pictures: real PNG files with stripes. One is named by its size and colours, so its URL can be served without keeping it."""

import re
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

AUTO = (256, 256)
LARGEST = 4096
STRIPES = 8
_NAME = re.compile(r"(\d{1,4})x(\d{1,4})-([0-9a-f]{12})\.png")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of `width` by `height` pixels; `colours` are six bytes, two RGB colours between which the stripes run."""

    width: int
    height: int
    colours: bytes

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


def size_of(value: str) -> tuple[int, int] | None:
    """What a request says of a picture's size, `1024x1536`, `1328*1328` or a ratio such as `16:9` (about `AUTO`'s area)."""
    found = re.fullmatch(r"(\d{1,4})([x*:])(\d{1,4})", value)
    if found is None:
        return None
    width, height = int(found[1]), int(found[3])
    if found[2] == ":" and width and height:
        unit = (AUTO[0] * AUTO[1] / (width * height)) ** 0.5
        width, height = round(width * unit), round(height * unit)
    return (width, height) if 0 < width <= LARGEST and 0 < height <= LARGEST else None
