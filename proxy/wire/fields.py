"""Which field lines go on, which stay behind, which are added (rule groups D and E).

The lists of names stand in `wire.names`.
"""

from proxy.wire.head import RequestHead
from proxy.wire.names import (
    CREDENTIALS,
    IDENTITY_PREFIXES,
    NEVER_FORWARDED,
    NOT_NOMINABLE,
    NOT_NOMINABLE_IN_RESPONSE,
)
from proxy.wire.response import ResponseHead

COOKIES = frozenset((b"set-cookie",))
NOTHING: frozenset[bytes] = frozenset()


def field_line(name: bytes, value: bytes) -> bytes:
    return b"%b: %b\r\n" % (name, value)


def forwarded_request_lines(
    head: RequestHead, replaced: frozenset[bytes], *, kept: frozenset[bytes] = frozenset(), via: bytes | None = None
) -> list[bytes]:
    """The client's field lines that go upstream, in order, each as it was named and valued.

    `replaced` are lower-case names that the rule sets itself, `kept` credential fields that go on. The request's own `Via` is
    extended, not replaced (D05), and `Accept-Encoding: identity` stands where the client sent none (D06). Host and framing are
    the caller's.
    """
    nominated = head.nominated - NOT_NOMINABLE
    lines: list[bytes] = []
    seen_coding = False
    vias: list[bytes] = []
    for name, value in head.fields:
        key = name.lower()
        plain = key.replace(b"_", b"-") if b"_" in key else key
        if plain in NEVER_FORWARDED or plain.startswith(IDENTITY_PREFIXES) or plain in replaced or key in nominated:
            continue
        if plain in CREDENTIALS and key not in kept:
            continue
        if plain == b"via" and via is not None:
            vias.append(value)
            continue
        if plain == b"accept-encoding":
            seen_coding = True
        lines.append(field_line(name, value))
    if not seen_coding:
        lines.append(b"Accept-Encoding: identity\r\n")
    if via is not None:
        lines.append(field_line(b"Via", b", ".join((*vias, (b"1.0 " if head.http10 else b"1.1 ") + via))))
    return lines


def bodyless(code: int, method: str) -> bool:
    """Whether an answer never has body bytes (E03)."""
    return method == "HEAD" or code in {204, 205, 304}


def response_lines(head: ResponseHead, *, set_cookie: bool, drop: frozenset[bytes] = NOTHING) -> bytes:
    """The upstream's field lines that go to the client, byte for byte where nothing is left out.

    `drop` are further lower-case names to leave out: the framing fields where the answer is framed anew.
    """
    shape = head.shape
    removed = shape.dropped | drop
    if not set_cookie and shape.has_cookie:
        removed |= COOKIES
    if head.nominated:
        removed |= head.nominated - NOT_NOMINABLE_IN_RESPONSE
    if not removed:
        return head.lines
    lines = head.lines.split(b"\r\n")
    return b"".join([line + b"\r\n" for name, line in zip(shape.lower, lines, strict=False) if name not in removed])
