"""Heads of responses: what aiohttp's lenient response mode lets in is refused here (rules B12 to B15).

A platform sends the same field names in the same order again and again. What the names alone decide is kept as a `Shape`; a shape
met `_COMPILE_AT` times gets a pattern that matches exactly the well-formed heads of that shape, and further heads are read by that
one match instead of a parse (a third of the time, see benchmarks/micro.py). What the pattern does not match takes the long way, so
the pattern can only ever be stricter. `tests/wire/test_response.py` shows that both ways read the same.
"""

import re
from collections.abc import Sequence

from proxy.outcomes import ErrorType
from proxy.settings import Limits
from proxy.wire.head import CHUNKED, MAX_LENGTH, TOKEN_BYTES, tokens
from proxy.wire.names import RESPONSE_DROPPED
from proxy.wire.parser import HeadParser
from proxy.wire.refusal import Refusal, bad_response

UNTIL_CLOSE = -2  # in place of a length: the body ends where the connection does

_COMPILE_AT = 3
_MAX_SHAPES = 256  # an upstream that varies its names without end must not make us compile without end
_RECENT = 4
_HEAD_BYTES = b"\r\n\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (.*))?")
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_READ = {  # fields whose values matter here, with the form in which a pattern takes them
    b"content-length": rb"(?P<length>[0-9]{1,15}+)[ \t]*+",
    b"transfer-encoding": rb"[Cc]hunked[ \t]*+",
    b"connection": rb"[Kk]eep-[Aa]live[ \t]*+",
    b"content-type": rb"(?P<type>" + _VALUE + rb")",
    b"x-request-id": rb"(?P<id>" + _VALUE + rb")",
}


class Shape:
    """The field names of a head, as sent and in order, and what they decide."""

    __slots__ = (
        "_seen",
        "complete",
        "dropped",
        "has_cookie",
        "has_date",
        "has_request_id",
        "is_chunked",
        "length_group",
        "lower",
        "names",
        "pattern",
        "request_id_group",
        "type_group",
    )

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.lower = tuple(name.lower() for name in names)
        self.has_date = b"date" in self.lower
        self.has_request_id = b"x-request-id" in self.lower
        self.has_cookie = b"set-cookie" in self.lower
        self.dropped = RESPONSE_DROPPED.intersection(self.lower)
        self.is_chunked = b"transfer-encoding" in self.lower
        # A head of this shape may go on as it is: nothing to leave out, nothing to add.
        self.complete = self.has_date and self.has_request_id and not self.has_cookie and not self.dropped
        self.pattern: re.Pattern[bytes] | None = None
        self.length_group = self.type_group = self.request_id_group = 0  # of the pattern; 0: no such field
        self._seen = 0

    def met(self) -> bool:
        """Count one more head; True when this one makes a pattern worth its cost."""
        self._seen += 1
        return self._seen == _COMPILE_AT and self.compilable

    @property
    def compilable(self) -> bool:
        """Fields whose values frame the body must be unique and must not contradict each other."""
        framing = [name for name in self.lower if name in _READ]
        both = b"content-length" in framing and b"transfer-encoding" in framing
        return len(framing) == len(set(framing)) and not both

    def compile(self) -> None:
        """Make the pattern: HTTP/1.1, these names, any allowed value, the values that frame the body in their one right form.

        Every repetition is possessive, so that a head which does not match costs no more than one which does.
        """
        lines = [rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: " + _VALUE + rb")?+\r\n"]
        for name, lower in zip(self.names, self.lower, strict=True):
            value = _READ.get(lower, _VALUE)
            lines.append(re.escape(name) + rb":[ \t]*+" + value + rb"\r\n")
        self.pattern = re.compile(b"".join(lines) + rb"\r\n")
        groups = self.pattern.groupindex
        self.length_group = groups.get("length", 0)
        self.type_group = groups.get("type", 0)
        self.request_id_group = groups.get("id", 0)


class ResponseHead:
    """A response head that keeps every rule. `length` is the body's length, CHUNKED or UNTIL_CLOSE.

    `raw` is the head as received. `keep_alive` says what the head says about the connection,
    `nominated` which fields it names as meant for this hop only.
    """

    __slots__ = ("code", "event_stream", "http10", "keep_alive", "length", "nominated", "raw", "request_id", "shape")

    def __init__(
        self,
        raw: bytes,
        shape: Shape,
        code: int,
        length: int,
        content_type: bytes | None,
        request_id: bytes | None,
        *,
        keep_alive: bool = True,
        http10: bool = False,
        nominated: frozenset[bytes] = frozenset(),
    ) -> None:
        self.raw = raw
        self.shape = shape
        self.code = code
        self.length = length
        self.keep_alive = keep_alive
        self.http10 = http10
        self.nominated = nominated
        self.event_stream = content_type is not None and content_type[:17].lower() == b"text/event-stream"
        self.request_id = request_id  # the platform's own id of the request, for the log

    @property
    def status_line(self) -> bytes:
        """The status line with its CRLF, in our version of HTTP; the reason is the upstream's."""
        line = self.raw[: self.raw.find(b"\r\n") + 2]
        return b"HTTP/1.1" + line[8:] if self.http10 else line

    @property
    def lines(self) -> bytes:
        """The field lines, each with its CRLF, without the empty line."""
        return self.raw[self.raw.find(b"\r\n") + 2 : -2]


class ResponseReader:
    """Reads heads. One per process, because shapes are worth sharing."""

    __slots__ = ("_parser", "_recent", "_shapes")

    def __init__(self, parser: HeadParser) -> None:
        self._parser = parser
        self._shapes: dict[tuple[bytes, ...], Shape] = {}
        self._recent: list[Shape] = []  # compiled ones, the last used first

    def read(self, head: bytes, limits: Limits) -> ResponseHead:
        """A complete head (to the empty line) -> ResponseHead. Raises Refusal (502)."""
        if len(head) <= limits.response_header_field:  # beyond, single fields must be measured
            for position, shape in enumerate(self._recent):
                match = shape.pattern.fullmatch(head)  # type: ignore[union-attr]  # compiled
                if match is not None:
                    if position:
                        self._recent.insert(0, self._recent.pop(position))
                    return _from_match(head, shape, match)
        return self._read_slowly(head, limits)

    def _read_slowly(self, head: bytes, limits: Limits) -> ResponseHead:
        line_end = head.find(b"\r\n")
        status = _STATUS_LINE.fullmatch(head, 0, line_end)
        # Control characters anywhere, a bare CR or LF, a folded line: aiohttp's lenient response mode lets them in (B14).
        ends = head.count(b"\r\n")
        if status is None or head.translate(None, _HEAD_BYTES) or head.count(b"\n") != ends or head.count(b"\r") != ends:
            raise _malformed()
        try:
            fields = self._parser.response(head).raw_headers
        except Exception:  # whatever the parser raises, the answer is malformed
            raise _malformed() from None
        names = tuple(name for name, _ in fields)
        if len(fields) != ends - 2 or b"" in names or b"".join(names).translate(None, TOKEN_BYTES):
            raise _malformed()
        _check_sizes(fields, len(head), limits)
        return _frame(head, status, self._shape(names), fields)

    def _shape(self, names: tuple[bytes, ...]) -> Shape:
        shape = self._shapes.get(names)
        if shape is None:
            shape = Shape(names)
            if len(self._shapes) < _MAX_SHAPES:
                self._shapes[names] = shape
        if shape.met():
            shape.compile()
        if shape.pattern is not None and shape not in self._recent:
            self._recent.insert(0, shape)
            del self._recent[_RECENT:]
        return shape


def _from_match(head: bytes, shape: Shape, match: re.Match[bytes]) -> ResponseHead:
    if shape.length_group:
        length = int(match[shape.length_group])
    else:
        length = CHUNKED if shape.is_chunked else UNTIL_CLOSE
    return ResponseHead(
        head,
        shape,
        int(match[1]),
        length,
        match[shape.type_group] if shape.type_group else None,
        match[shape.request_id_group].rstrip(b" \t") if shape.request_id_group else None,
    )


def _malformed() -> Refusal:
    return bad_response(ErrorType.HTTP_PROTOCOL_ERROR, "bad_response", "The upstream's answer is not valid HTTP/1.1.")


def _bad_framing() -> Refusal:
    return bad_response(
        ErrorType.HTTP_RESPONSE_TRANSFER_CODING, "bad_response_framing", "The upstream's answer has contradictory framing."
    )


def _check_sizes(fields: Sequence[tuple[bytes, bytes]], size: int, limits: Limits) -> None:
    if size > limits.response_header_section or len(fields) > limits.response_header_count:
        limit = "response_header_section"
    elif size > limits.response_header_field and any(len(n) + len(v) > limits.response_header_field for n, v in fields):
        limit = "response_header_field"
    else:
        return
    raise bad_response(
        ErrorType.HTTP_RESPONSE_HEADER_SECTION_SIZE,
        "response_header_section_too_large",
        "The upstream's header section is too large.",
        limit=limit,
    )


def _frame(head: bytes, status: re.Match[bytes], shape: Shape, fields: Sequence[tuple[bytes, bytes]]) -> ResponseHead:
    """Length and reuse (rules B12, B13, K15)."""
    table: dict[bytes, list[bytes]] = {}
    for lower, (_, value) in zip(shape.lower, fields, strict=True):
        table.setdefault(lower, []).append(value)
    http10 = status.group(1) == b"0"
    lengths, codings = table.get(b"content-length"), table.get(b"transfer-encoding")
    length = UNTIL_CLOSE
    if codings is not None:
        if lengths is not None or http10 or len(codings) != 1 or codings[0].lower() != b"chunked":
            raise _bad_framing()
        length = CHUNKED
    elif lengths is not None:
        text = lengths[0]
        if len(lengths) != 1 or not text.isdigit() or len(text) > 19 or int(text) > MAX_LENGTH:
            raise _bad_framing()
        length = int(text)
    connection = tokens(table.get(b"connection", []))
    return ResponseHead(
        head,
        shape,
        int(status.group(2)),
        length,
        table[b"content-type"][-1] if b"content-type" in table else None,
        table[b"x-request-id"][0] if b"x-request-id" in table else None,
        keep_alive=not http10 and b"close" not in connection,
        http10=http10,
        nominated=connection,
    )
