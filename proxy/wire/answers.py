"""Local answers: what the proxy says itself, in the words of the protocol the client speaks (rules I01, I02, I07, E10).

`render` makes a complete response from a Refusal, `error_event` the last event of a stream that broke; their words are those of
`translators.runtime.envelopes`. `made_head` is the head of an answer that a rule has made from the upstream's (rule E05).
"""

from email.utils import formatdate
from http import HTTPStatus

from proxy.wire.fields import NOTHING, response_lines
from proxy.wire.refusal import Refusal
from proxy.wire.response import ResponseHead
from translators.model import Protocol
from translators.runtime import envelopes

# What describes the body as the upstream sent it, and says nothing true about another one (rule E05).
_OF_THE_BODY = frozenset(
    (
        b"content-length", b"transfer-encoding", b"content-encoding", b"content-md5", b"digest", b"repr-digest", b"content-digest",
        b"accept-ranges", b"content-range", b"etag",
    )
)  # fmt: skip
_CONTENT_TYPE = frozenset((b"content-type",))


def error_body(refusal: Refusal, protocol: Protocol) -> bytes:
    """The JSON body of a local answer."""
    return envelopes.error_body(protocol, refusal.status, refusal.code, refusal.message, param=refusal.param)


def error_event(refusal: Refusal, protocol: Protocol) -> bytes | None:
    """The error event that tells a reader of the stream that it broke; None where the protocol has none (I07)."""
    return envelopes.error_event(protocol, refusal.status, refusal.code, refusal.message)


def status_line(status: int) -> bytes:
    """With the usual reason; none for a status that has no usual one."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    return f"HTTP/1.1 {status} {reason}\r\n".encode("ascii")


def made_head(
    head: ResponseHead | None,
    status: int,
    fields: tuple[tuple[str, str], ...],
    *,
    retyped: bool,
    set_cookie: bool,
    date: bytes,
    request_id: bytes,
) -> list[bytes]:
    """Status line and field lines of an answer that a rule made, up to what frames it.

    `head` is the upstream's (None: no upstream answer stands behind it); its fields go along, but for those that describe its body.
    `fields` replace those of the same name. `retyped`: the content type is the caller's to say.
    """
    names = frozenset(name.lower().encode("ascii") for name, _ in fields)
    lines: list[bytes] = []
    if head is not None:
        lines.append(head.status_line if head.code == status else status_line(status))
        drop = _OF_THE_BODY | names | (_CONTENT_TYPE if retyped else NOTHING)
        lines.append(response_lines(head, set_cookie=set_cookie, drop=drop))
    else:
        lines.append(status_line(status))
    lines += [f"{name}: {value}\r\n".encode() for name, value in fields]
    shape = head.shape if head is not None else None
    if b"date" not in names and (shape is None or not shape.has_date):
        lines.append(b"Date: %b\r\n" % date)
    if b"x-request-id" not in names and (shape is None or not shape.has_request_id):
        lines.append(b"x-request-id: %b\r\n" % request_id)
    return lines


def render(
    refusal: Refusal, protocol: Protocol, *, request_id: bytes, pseudonym: str, close: bool, head_only: bool = False
) -> bytes:
    """A complete response. The `Proxy-Status` field tells it from an answer of the platform (E10)."""
    reason = HTTPStatus(refusal.status).phrase
    lines = [
        f"HTTP/1.1 {refusal.status} {reason}",
        f"Date: {formatdate(usegmt=True)}",
        f"x-request-id: {request_id.decode('ascii')}",
    ]
    body = b""
    if refusal.content is not None:
        body = refusal.content
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if refusal.status >= 400:
        body = error_body(refusal, protocol)
        lines += [
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            f"Proxy-Status: {pseudonym or 'proxy'}; error={refusal.error}",
        ]
    lines += [f"{name}: {value}" for name, value in refusal.fields]
    if close:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if head_only else head + body
