"""Messages as bytes of HTTP/1.1, and bytes of HTTP/1.1 as messages: what clients and platforms say in a rehearsal.

Only for what is played here: well-formed, whole, without surprises. What real peers say is read in `proxy.wire`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from proxy.wire.framing import ChunkedReader
from translators.examples import Heard, content_of
from translators.model import Message

HOST = "gateway.example"
DATE = "Thu, 09 Oct 2025 08:53:20 GMT"  # of the moment at which examples play
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Said:
    """One message as bytes: `head` up to and with the empty line, `framed` the body as it is framed, `heard` what it means."""

    head: bytes
    framed: bytes
    heard: Heard

    @property
    def raw(self) -> bytes:
        return self.head + self.framed


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None) -> bytes:
    """A client's request; `Host` and the length are added where they are not given."""
    lines = [f"{method} {target} HTTP/1.1"]
    given = list(headers)
    names = {name.lower() for name, _ in given}
    if "host" not in names:
        lines.append(f"Host: {HOST}")
    lines += [f"{name}: {value}" for name, value in given]
    if not names & {"content-length", "transfer-encoding"} and (body is not None or method in _BODY_METHODS):
        lines.append(f"Content-Length: {len(body or b'')}")
    return "".join(line + "\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n" + (body or b"")


def client_request(message: Message, target: str) -> bytes:
    """What the client of an example sends."""
    body, content_type = content_of(message)
    headers = message.headers
    if content_type is not None and body is not None:
        headers = (("Content-Type", content_type), *headers)
    return request_bytes(message.method or "GET", target, headers, body)


def answer_bytes(status: int, headers: Iterable[tuple[str, str]], body: bytes | None, *, to: str = "GET") -> bytes:
    """A platform's answer; `to` is the method it answers. A stream of events goes chunk by chunk, one for each event."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {status} {reason}"]
    if "date" not in names:
        lines.append(f"Date: {DATE}")
    if "x-request-id" not in names:
        lines.append("x-request-id: of-the-platform")
    lines += [f"{name}: {value}" for name, value in given]
    data = body or b""
    framed = data
    stream = any(name.lower() == "content-type" and value.lower().startswith("text/event-stream") for name, value in given)
    if status in (204, 304) or status < 200:
        framed = b""
    elif names & {"content-length", "transfer-encoding"}:
        pass
    elif stream:
        lines.append("Transfer-Encoding: chunked")
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _events(data)) + b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(data)}")
    if to == "HEAD":
        framed = b""
    return "".join(line + "\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n" + framed


def platform_answer(message: Message, *, to: str = "GET") -> bytes:
    """What the platform of an example answers."""
    body, content_type = content_of(message)
    headers = message.headers
    if content_type is not None and body is not None:
        headers = (("Content-Type", content_type), *headers)
    return answer_bytes(message.status or 200, headers, body, to=to)


def _events(data: bytes) -> list[bytes]:
    pieces = data.split(b"\n\n")
    return [piece + b"\n\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


# --- and back ---


def read_request(data: bytes) -> tuple[Said, bytes] | None:
    """The first whole request in these bytes and what follows it; None while it is not whole."""
    found = _split(data)
    if found is None:
        return None
    head, lines, headers, rest = found
    method, target, _ = lines[0].split(" ", 2)
    body = _body(headers, rest, until_close=False, bodyless=False)
    if body is None:
        return None
    framed, plain, rest = body
    return Said(head, framed, Heard(headers, plain, method=method, target=target)), rest


def read_answer(data: bytes, *, to: str = "GET") -> Said | None:
    """The final answer in these bytes, interim ones skipped; None where its head is not whole. What is there of its body counts."""
    while (found := _split(data)) is not None:
        head, lines, headers, rest = found
        status = int(lines[0].split(" ", 2)[1])
        if status < 200:
            data = rest
            continue
        bodyless = to == "HEAD" or status in (204, 304)
        body = _body(headers, rest, until_close=True, bodyless=bodyless) or (rest, rest, b"")
        return Said(head, body[0], Heard(headers, body[1], status=status))
    return None


def _split(data: bytes) -> tuple[bytes, list[str], tuple[tuple[str, str], ...], bytes] | None:
    """Head, its lines, its fields, and what follows it."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].decode("utf-8", "surrogateescape").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    return data[: end + 4], lines, tuple((name, value.strip(" \t")) for name, _, value in pairs), data[end + 4 :]


def _body(
    headers: tuple[tuple[str, str], ...], rest: bytes, *, until_close: bool, bodyless: bool
) -> tuple[bytes, bytes, bytes] | None:
    """The body as framed, its data, and what follows; None while it is not whole."""
    fields = {name.lower(): value for name, value in headers}
    if bodyless:
        return b"", b"", rest
    if "transfer-encoding" in fields:
        reader = ChunkedReader()
        pieces: list[bytes] = []
        reader.payload = pieces
        reader.feed(rest)
        if not reader.done:
            return None if not until_close else (rest, b"".join(pieces), b"")
        framed = rest[: len(rest) - len(reader.rest)]
        return framed, b"".join(pieces), reader.rest
    if "content-length" in fields:
        length = int(fields["content-length"])
        if len(rest) < length:
            return None
        return rest[:length], rest[:length], rest[length:]
    return (rest, rest, b"") if until_close else (b"", b"", rest)
