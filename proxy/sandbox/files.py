"""Serving a file: ranges, validators, HEAD (RFC 9110, sections 8.8.3, 13.1 and 14). Pure: no sockets."""

import hashlib
import re
from collections.abc import Mapping

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

Served = tuple[int, dict[str, str], bytes]


def serve(data: bytes, media_type: str, asked: Mapping[str, str]) -> Served:
    """The answer to a GET or HEAD; `asked` are the request's headers (names in any case). One range is understood, several are not
    and give the whole file, as the standard allows."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    head = {"Content-Type": media_type, "ETag": tag, "Accept-Ranges": "bytes"}
    if asked.get("If-None-Match", "") in (tag, "*"):
        return 304, head, b""
    found = _RANGE.fullmatch(asked.get("Range", "").strip())
    if found is None or found[0] == "bytes=-" or asked.get("If-Range", tag) != tag:
        return 200, head, data
    size = len(data)
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) if found[2] else size - 1, size - 1)
    else:
        start, end = max(size - int(found[2]), 0), size - 1
    if start > end:
        return 416, head | {"Content-Range": f"bytes */{size}"}, b""
    return 206, head | {"Content-Range": f"bytes {start}-{end}/{size}"}, data[start : end + 1]
