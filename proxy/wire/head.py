"""Heads of requests: what aiohttp's parser leaves open is checked here (rule groups A and B).

A request that breaks a rule ends in a `Refusal` of 400, 405, 414, 417, 431, 501 or 505 and the connection is closed. Responses have
their own module, `wire.response`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.outcomes import ErrorType
from proxy.settings import Limits
from proxy.wire.parser import HeadParser
from proxy.wire.refusal import Refusal, bad_request
from proxy.wire.target import Target, check_host, read_target

CHUNKED = -1  # in place of a length

_VERSION = re.compile(rb"HTTP/[0-9]+(?:\.[0-9]+)?", re.IGNORECASE)
MAX_LENGTH = (1 << 63) - 1
TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(slots=True)
class RequestHead:
    """A request head that keeps every rule. `length` is the body's length, 0 without a body, or CHUNKED."""

    method: str
    target: Target
    host: bytes
    http10: bool
    fields: tuple[tuple[bytes, bytes], ...]
    length: int
    has_length: bool
    keep_alive: bool
    expect_continue: bool
    nominated: frozenset[bytes]
    by_name: Mapping[bytes, list[bytes]]  # lower-case names to values

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order; `name` in lower case."""
        return self.by_name.get(name, [])


def tokens(values: list[bytes]) -> frozenset[bytes]:
    """The members of a comma-separated list field, in lower case."""
    return frozenset(token.strip(b" \t").lower() for value in values for token in value.split(b",") if token.strip(b" \t"))


def check_incomplete(data: bytes, limits: Limits) -> None:
    """What can be said of a head whose end has not come yet: too large, or already wrong."""
    line_end = data.find(b"\r\n")
    if (line_end if line_end >= 0 else len(data)) > limits.request_line:
        raise _too_long_line()
    if len(data) > limits.request_line + limits.header_section:
        raise _too_large_section()
    if data.count(b"\n") != data.count(b"\r\n"):
        raise bad_request("bad_syntax", "Lines must end in CRLF.")
    if data and data[0] not in TOKEN_BYTES and data != b"\r":  # a lone CR: half of an empty line before the head (rule A10)
        raise bad_request("bad_syntax", "This is not an HTTP/1.1 request; is the client speaking TLS to a plain port?")


def _too_long_line() -> Refusal:
    return bad_request("request_line_too_long", "The request line is too long.", status=414, limit="request_line")


def _too_large_section() -> Refusal:
    return bad_request("header_section_too_large", "The header section is too large.", status=431, limit="header_section")


def _read_request_line(head: bytes, limits: Limits) -> tuple[str, bytes, bool]:
    """Method, target and whether the version is HTTP/1.0 (rules A05, A07, A09, J03)."""
    line_end = head.find(b"\r\n")
    if line_end > limits.request_line:
        raise _too_long_line()
    if len(head) - line_end > limits.header_section:
        raise _too_large_section()
    parts = head[:line_end].split(b" ")
    if len(parts) != 3 or b"\n" in head[:line_end] or not parts[0] or parts[0].translate(None, TOKEN_BYTES):
        raise bad_request("bad_syntax", "The request line is not 'METHOD TARGET HTTP/1.1' with single spaces.")
    method, target, version = parts
    if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
        if _VERSION.fullmatch(version) is None:
            raise bad_request("bad_syntax", "The request line does not end in an HTTP version.")
        raise bad_request("version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", status=505)
    if method in {b"CONNECT", b"TRACE"}:
        raise Refusal(
            405,
            ErrorType.HTTP_REQUEST_ERROR,
            "method_not_allowed",
            "CONNECT and TRACE are never served.",
            fields=(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
            close=True,
        )
    return method.decode("latin-1"), target, version == b"HTTP/1.0"


def _check_sizes(fields: tuple[tuple[bytes, bytes], ...], limits: Limits) -> None:
    if len(fields) > limits.header_count:
        raise bad_request("too_many_fields", "The request has too many header fields.", status=431, limit="header_count")
    if any(len(name) + len(value) > limits.header_field for name, value in fields):
        raise bad_request("field_too_large", "A header field is too large.", status=431, limit="header_field")


def _read_framing(fields: dict[bytes, list[bytes]], http10: bool) -> tuple[int, bool]:
    """The body's length (or CHUNKED) and whether a Content-Length was sent (rules B01 to B04)."""
    codings = fields.get(b"transfer-encoding")
    lengths = fields.get(b"content-length")
    if codings is not None:
        if http10:
            raise bad_request("bad_framing", "Transfer-Encoding is not allowed in an HTTP/1.0 request.")
        if lengths is not None:
            raise bad_request("bad_framing", "Content-Length and Transfer-Encoding exclude each other.")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise bad_request("coding_not_implemented", "The only transfer coding accepted is 'chunked'.", status=501)
        return CHUNKED, False
    if lengths is None:
        return 0, False
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 19 or int(lengths[0]) > MAX_LENGTH:
        raise bad_request("bad_framing", "Content-Length must be one decimal number.")
    return int(lengths[0]), True


def read_request_head(parser: HeadParser, head: bytes, limits: Limits, scheme: bytes = b"http") -> RequestHead:
    """A complete head (from the method to the empty line) -> RequestHead. Raises Refusal."""
    method, raw_target, http10 = _read_request_line(head, limits)
    try:
        fields = tuple(parser.request(head).raw_headers)
    except Exception:
        raise bad_request("bad_syntax", "The request is not valid HTTP/1.1.") from None
    _check_sizes(fields, limits)
    table: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        table.setdefault(name.lower(), []).append(value)
    hosts = table.get(b"host", [])
    if len(hosts) > 1 or (not hosts and not http10):
        raise bad_request("bad_host", "A request needs exactly one Host header field.")
    host = hosts[0] if hosts else b""
    if hosts:
        check_host(host)
    length, has_length = _read_framing(table, http10)
    connection = tokens(table.get(b"connection", []))
    expect = table.get(b"expect")
    if expect is not None and not http10 and (len(expect) != 1 or expect[0].lower() != b"100-continue"):
        raise bad_request("expectation_failed", "The only expectation served is '100-continue'.", status=417)
    return RequestHead(
        method=method,
        target=read_target(raw_target, method, host, scheme),
        host=host,
        http10=http10,
        fields=fields,
        length=length,
        has_length=has_length,
        keep_alive=not http10 and b"close" not in connection,
        expect_continue=expect is not None and not http10,
        nominated=connection,
        by_name=table,
    )
