"""Which field lines go on, which stay behind, which are added (rule groups D and E).

The names are those of the HTTP standards and of the credentials every client of this field sends; what a platform wants stands
in its rule file.
"""

from collections.abc import Iterable

from proxy.wire.head import RequestHead, ResponseHead

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"http2-settings",
    )
)
# Credentials of another hop (D03): never forwarded, added back only from the rule.
CREDENTIALS = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key", b"x-goog-api-key"))
# Who the client is in its own network is nobody else's business (D04).
_IDENTITY = frozenset((b"forwarded", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-client-ip"))
_IDENTITY_PREFIXES = (b"x-forwarded-", b"x-original-", b"x-rewrite-")
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_NEVER_FORWARDED = HOP_BY_HOP | _IDENTITY | _FRAMING
# Nomination by Connection cannot reach these (D02): they are not the client's to remove.
_NOT_NOMINABLE = _FRAMING | CREDENTIALS | frozenset((b"modelname",))

# Response fields that never go on (E01, E08); Set-Cookie is decided by the rule (E04).
_RESPONSE_DROPPED = HOP_BY_HOP - {b"transfer-encoding"} | frozenset(
    (b"alt-svc", b"strict-transport-security", b"public-key-pins", b"public-key-pins-report-only", b"nel", b"report-to")
)
CREDENTIAL_PARAMETERS = frozenset((b"key", b"api_key", b"access_token"))


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
    nominated = head.nominated - _NOT_NOMINABLE
    lines: list[bytes] = []
    seen_coding = False
    vias: list[bytes] = []
    for name, value in head.fields:
        key = name.lower()
        plain = key.replace(b"_", b"-") if b"_" in key else key
        if plain in _NEVER_FORWARDED or plain.startswith(_IDENTITY_PREFIXES) or plain in replaced or key in nominated:
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


def response_lines(head: ResponseHead, *, set_cookie: bool, drop: Iterable[bytes] = ()) -> bytes:
    """The upstream's field lines that go to the client, byte for byte where nothing is left out.

    `drop` are further lower-case names to leave out: the framing fields where the answer is framed anew.
    """
    removed = set(drop)
    removed.update(_RESPONSE_DROPPED)
    if not set_cookie:
        removed.add(b"set-cookie")
    if b"connection" in head.names:
        removed.update(_nominated(head))
    if removed.isdisjoint(head.names):
        return head.lines
    lines = head.lines.split(b"\r\n")
    return b"".join(line + b"\r\n" for name, line in zip(head.names, lines, strict=False) if name not in removed)


def _nominated(head: ResponseHead) -> set[bytes]:
    """Names the upstream's Connection field nominates; framing and content fields cannot be (D02)."""
    kept = {b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"date", b"set-cookie"}
    found: set[bytes] = set()
    for name, (_, value) in zip(head.names, head.fields, strict=True):
        if name == b"connection":
            found.update(token.strip(b" \t").lower() for token in value.split(b","))
    return found - kept
