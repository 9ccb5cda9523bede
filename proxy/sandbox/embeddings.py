"""Embeddings: hashed bags of words, so that equal texts give equal vectors and texts that share words are near each other."""

import hashlib
import math
import re
import struct

from proxy.sandbox.reading import required, string, whole
from proxy.sandbox.replies import Context, Json, Plain, RefusalError, Reply, base64_text
from proxy.sandbox.text import count_tokens

SIZE = 1536
MAX_INPUTS = 2048
_FEATURES = 8  # places a word touches


def reply(body: Json, _context: Context) -> Reply:
    """Answer `POST .../embeddings`, as numbers or as base64 of little-endian float32."""
    model = string(required(body, "model", "You must provide a model parameter."))
    texts = inputs(required(body, "input", "Missing required parameter: 'input'."))
    size = whole(body, "dimensions", low=1, high=8192) or SIZE
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise RefusalError(400, "encoding_format: expected 'float' or 'base64'.", param="encoding_format")
    data: list[Json] = []
    for index, text in enumerate(texts):
        values = vector(text, size)
        encoded = base64_text(struct.pack(f"<{size}f", *values)) if encoding == "base64" else values
        data.append({"object": "embedding", "index": index, "embedding": encoded})
    counted = sum(count_tokens(text) for text in texts)
    return Plain({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": counted, "total_tokens": counted}})


def inputs(value: object) -> list[str]:
    """The texts to embed; token arrays read as their numbers.

    Raises:
        RefusalError: status 400 when there is none, too many, or something that is no text.
    """
    entries = value if isinstance(value, list) else [value]
    if entries and all(isinstance(entry, int) for entry in entries):
        entries = [entries]
    texts = [" ".join(map(str, entry)) if isinstance(entry, list) else entry for entry in entries]
    if not 0 < len(texts) <= MAX_INPUTS or not all(isinstance(text, str) for text in texts):
        raise RefusalError(400, f"input: expected a text, or 1 to {MAX_INPUTS} texts or token arrays.", param="input")
    return [str(text) for text in texts]


def vector(text: str, size: int) -> list[float]:
    """A vector of length 1, rounded to float32 so that both encodings carry the same numbers."""
    sums = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.shake_128(word.encode("utf-8", "surrogatepass")).digest(4 * _FEATURES)
        for (number,) in struct.iter_unpack("<I", digest):
            sums[(number >> 1) % size] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(value * value for value in sums))
    if not length:
        sums[0] = length = 1.0
    return list(struct.unpack(f"<{size}f", struct.pack(f"<{size}f", *(value / length for value in sums))))
