"""Films: real MP4 files, made by code, that any player plays: one second of moving stripes, 64 by 48 pixels, without sound.

The pictures are H.264 (ITU-T H.264, baseline profile) in its one uncompressed form, I_PCM macroblocks, so that no encoder is
needed; the file is ISO/IEC 14496-12 with its index before its data. Each frame stands alone.
"""

import struct
from functools import lru_cache

COLUMNS, ROWS = 4, 3  # macroblocks of 16 by 16 pixels
FRAMES, RATE = 8, 8  # frames, and frames per second
_DARK, _LIGHT = 40, 200  # luma; never 0 or 255, which H.264 escapes or broadcast reserves


@lru_cache(maxsize=16)
def mp4(seed: bytes) -> bytes:
    """The file; `seed` (at least 3 bytes) gives it its colours and the direction of its stripes."""
    frames = [_sample(_slice(seed, number)) for number in range(FRAMES)]
    head = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    size = len(head) + len(_movie(frames, 0)) + 8
    return head + _movie(frames, size) + _box(b"mdat", *frames)


# --- H.264 ---


class _Bits:
    """A bit string: the codes of H.264, section 9.1."""

    def __init__(self) -> None:
        self._bits = ""

    def fixed(self, value: int, width: int) -> "_Bits":
        self._bits += format(value, f"0{width}b")
        return self

    def unsigned(self, *values: int) -> "_Bits":
        """Exponential Golomb codes; a signed 0 is the unsigned 0."""
        for value in values:
            code = format(value + 1, "b")
            self._bits += "0" * (len(code) - 1) + code
        return self

    def aligned(self) -> bytes:
        """The bits up to here, filled with zeros to whole bytes."""
        text = self._bits + "0" * (-len(self._bits) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""

    def ended(self) -> bytes:
        """The bits with the stop bit behind them."""
        return self.fixed(1, 1).aligned()


def _parameters() -> tuple[bytes, bytes]:
    """The sequence and the picture parameter set, as units."""
    sequence = _Bits().fixed(66, 8).fixed(0xC0, 8).fixed(10, 8)  # baseline and constrained baseline, level 1.0
    sequence.unsigned(0, 0, 2, 1).fixed(0, 1)  # id, 4 bits of frame number, order of output, one reference, no gaps
    sequence.unsigned(COLUMNS - 1, ROWS - 1).fixed(0b1100, 4)  # whole frames, 8x8 inference, no cropping, nothing more
    picture = _Bits().unsigned(0, 0).fixed(0, 2).unsigned(0, 0, 0).fixed(0, 3)  # ids, CAVLC, one slice group, no weights
    picture.unsigned(0, 0, 0).fixed(0b100, 3)  # quantisers; slices say whether they are filtered
    return b"\x67" + sequence.ended(), b"\x68" + picture.ended()


def _slice(seed: bytes, number: int) -> bytes:
    """One picture: a unit of type 5 (IDR) whose macroblocks are all I_PCM."""
    head = _Bits().unsigned(0, 7, 0).fixed(0, 4)  # first macroblock, only I, parameters, frame number
    head.unsigned(number % 2).fixed(0, 2).unsigned(0, 1)  # pictures in a row differ by this; quantiser; no filter
    body = b""
    for row in range(ROWS):
        for column in range(COLUMNS):
            body += head.unsigned(25).aligned() + _block(seed, number, row, column)
            head = _Bits()
    return b"\x65" + body + b"\x80"


def _block(seed: bytes, number: int, row: int, column: int) -> bytes:
    """The 256 luma and twice 64 chroma samples of a macroblock. No sample is below 4, so nothing needs an escape."""
    slope = seed[0] % 3
    luma = bytes(
        _DARK + (_LIGHT - _DARK) * ((16 * column + x + slope * (16 * row + y) + 4 * number) // 16 % 2)
        for y in range(16)
        for x in range(16)
    )
    return luma + bytes([64 + seed[1] % 128]) * 64 + bytes([64 + seed[2] % 128]) * 64


def _sample(unit: bytes) -> bytes:
    return struct.pack(">I", len(unit)) + unit


# --- ISO base media file ---


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + kind + data


def _full(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *content)


_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _movie(frames: list[bytes], first: int) -> bytes:
    """The index; `first` is the place of the first frame in the file."""
    width, height = 16 * COLUMNS, 16 * ROWS
    length = 1000 * FRAMES // RATE  # in thousandths of a second
    times = struct.pack(">4I", 0, 0, 1000, length)
    movie = _full(b"mvhd", times, struct.pack(">IHxx8x", 0x10000, 0x100), _MATRIX, bytes(24), struct.pack(">I", 2))
    shown = struct.pack(">5I8x4H", 0, 0, 1, 0, length, 0, 0, 0, 0)
    track = _full(b"tkhd", shown, _MATRIX, struct.pack(">2I", width << 16, height << 16), flags=3)
    timing = _full(b"mdhd", struct.pack(">4I2H", 0, 0, 1000, length, 0x55C4, 0))  # no language
    handler = _full(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"stripes\0")
    place = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1)))
    info = _box(b"minf", _full(b"vmhd", bytes(8), flags=1), place, _samples(frames, first, width, height))
    return _box(b"moov", movie, _box(b"trak", track, _box(b"mdia", timing, handler, info)))


def _samples(frames: list[bytes], first: int, width: int, height: int) -> bytes:
    """Which frame stands where, how long it is shown, and how it is decoded."""
    sequence, picture = _parameters()
    setup = b"".join((b"\x01", sequence[1:4], b"\xff\xe1", _short(sequence), b"\x01", _short(picture)))
    entry = struct.pack(">6xH16x2H2I4xH32xHh", 1, width, height, 72 << 16, 72 << 16, 1, 24, -1)
    return _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _box(b"avc1", entry, _box(b"avcC", setup))),
        _full(b"stts", struct.pack(">3I", 1, len(frames), 1000 // RATE)),
        _full(b"stsc", struct.pack(">4I", 1, 1, len(frames), 1)),
        _full(b"stsz", struct.pack(f">2I{len(frames)}I", 0, len(frames), *map(len, frames))),
        _full(b"stco", struct.pack(">2I", 1, first)),
    )


def _short(unit: bytes) -> bytes:
    return struct.pack(">H", len(unit)) + unit
