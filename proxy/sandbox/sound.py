"""Sounds: real files, made by code. WAV and raw PCM hold one second of a tone; MP3 holds one second of silence.

An MP3 tone would need an encoder. The frames here are whole and valid (ISO/IEC 11172-3, layer III: 64 kbit/s, 44.1 kHz, mono)
and say that they hold no spectrum, so that every decoder gives silence of the right length.
"""

import math
import struct
from functools import lru_cache

RATE = 16_000  # samples per second of WAV and PCM
_TONES = (262, 294, 330, 349, 392, 440, 494, 523)  # hertz
_FRAME = b"\xff\xfb\x50\xc0" + bytes(204)  # 208 bytes: 144 * 64000 / 44100, rounded down; header, side information of zeros
_FRAMES = 38  # of 1152 samples: 0.99 s


@lru_cache(maxsize=8)
def pcm(seed: bytes) -> bytes:
    """Signed 16-bit samples, little-endian, one channel, 16 kHz."""
    step = 2 * math.pi * _TONES[seed[0] % len(_TONES)] / RATE
    return b"".join(struct.pack("<h", round(8000 * math.sin(step * place))) for place in range(RATE))


def wav(seed: bytes) -> bytes:
    """The same in a RIFF file."""
    data = pcm(seed)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunks = form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def mp3(_seed: bytes) -> bytes:
    """An empty ID3v2.4 tag (many tell an MP3 by it), then silent frames."""
    return b"ID3\x04\x00\x00\x00\x00\x00\x00" + _FRAME * _FRAMES
