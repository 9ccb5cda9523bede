"""Request heads, rule by rule: what is refused, with which status, and what a good head says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import Limits
from proxy.wire.head import CHUNKED, RequestHead, check_incomplete, read_request_head
from proxy.wire.parser import HeadParser
from proxy.wire.refusal import Refusal

LIMITS = Limits()
SECRET = b"sk-test-in-a-broken-head"


def head(*lines: bytes, start: bytes = b"POST /v1/x HTTP/1.1", host: bytes | None = b"Host: h") -> bytes:
    """A head of these field lines."""
    return b"\r\n".join([start, *([host] if host is not None else []), *lines]) + b"\r\n\r\n"


def read(parser: HeadParser, raw: bytes, limits: Limits = LIMITS) -> RequestHead:
    return read_request_head(parser, raw, limits)


def refused(parser: HeadParser, raw: bytes, status: int | set[int] = 400, limits: Limits = LIMITS) -> Refusal:
    """The refusal of a head; every one of these closes the connection (A11) and repeats nothing of the request (A12)."""
    with pytest.raises(Refusal) as caught:
        read(parser, raw, limits)
    refusal = caught.value
    assert refusal.status in (status if isinstance(status, set) else {status})
    assert refusal.close
    assert SECRET.decode() not in refusal.message
    assert refusal.__cause__ is None
    assert refusal.__suppress_context__ or refusal.__context__ is None
    return refusal


def test_a_good_head_says_what_it_says(parser: HeadParser) -> None:
    got = read(parser, head(b"Content-Length: 12", b"X-A:  b \t", b"x-a: c", b"Connection: X-Hop, keep-alive"))
    assert (got.method, got.target.path, got.target.query, got.host) == ("POST", b"/v1/x", None, b"h")
    assert (got.length, got.has_length, got.http10, got.keep_alive, got.expect_continue) == (12, True, False, True, False)
    assert got.fields == (
        (b"Host", b"h"), (b"Content-Length", b"12"), (b"X-A", b"b"), (b"x-a", b"c"), (b"Connection", b"X-Hop, keep-alive"),
    )  # fmt: skip
    assert got.values(b"x-a") == [b"b", b"c"]
    assert got.nominated == {b"x-hop", b"keep-alive"}


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\rHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: y\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    ],
)
def test_A02_a_bare_CR_or_LF_ends_no_line(parser: HeadParser, raw: bytes) -> None:
    refused(parser, raw)


@pytest.mark.parametrize(
    "line",
    [b" X: y", b"\tX: y", b"X : y", b"X\t: y", b": y", b"X Y: z", b"X(: y", b"X\xe9: y", b"no colon", b"X: y\r\n folded",
    b"X\x00: y", b"\x7f: y"],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_A03_a_line_that_is_no_field_line_is_refused(parser: HeadParser, line: bytes, first: bool) -> None:
    raw = head(b"Host: h", host=line) if first else head(line, b"X-Last: z")
    refused(parser, raw)


@pytest.mark.parametrize("code", [code for code in (*range(0x20), 0x7F) if code != 9])
@pytest.mark.parametrize("place", [b"a%cb", b"%cb", b"a%c"])
def test_A04_a_control_character_in_a_value_is_refused_and_shown_nowhere(parser: HeadParser, code: int, place: bytes) -> None:
    refused(parser, head(b"Authorization: Bearer " + SECRET + place % code))


def test_A04_a_tab_inside_a_value_is_a_blank_and_stays(parser: HeadParser) -> None:
    assert read(parser, head(b"X: a\tb")).values(b"x") == [b"a\tb"]


@pytest.mark.parametrize(
    ("version", "status"),
    [
        (b"HTTP/2.0", 505), (b"HTTP/2", 505), (b"HTTP/1.2", 505), (b"HTTP/0.9", 505), (b"HTTP/11.1", 505), (b"http/1.1", 505),
        (b"HTTP/9.9", 505),
        (b"HTTP/1.1x", 400), (b"HTTPS/1.1", 400), (b"HTTP/", 400), (b"HTTP 1.1", 400), (b"", 400), (b"HTTP/1.", 400), (b"ICY/1.1",
        400),
    ],
)  # fmt: skip
def test_A05_only_two_versions_go_further(parser: HeadParser, version: bytes, status: int) -> None:
    refused(parser, head(start=b"GET / " + version), status)


def test_A05_a_request_line_without_a_version_goes_no_further(parser: HeadParser) -> None:
    refused(parser, b"GET /\r\n\r\n", {400, 505})


def test_A05_http_1_0_is_read_and_closes(parser: HeadParser) -> None:
    got = read(parser, head(b"Connection: keep-alive", start=b"GET / HTTP/1.0"))
    assert (got.http10, got.keep_alive) == (True, False)


@pytest.mark.parametrize(
    "lines",
    [
        (), (b"Host: h", b"Host: h"), (b"Host: h", b"host: other"), (b"Host:",), (b"Host: a b",), (b"Host: u@h",), (b"Host: h/p",
        ), (b"Host: h?q",),
        (b"Host: a,b",), (b"Host: h:port",), (b"Host: h:65536",), (b"Host: h:123456",), (b"Host: h:-1",), (b"Host: :80",),
        (b"Host: [::1",),
        (b"Host: \xe9",), (b"Host: h#f",), (b"Host: h\\x",), (b"Host: [g::1]",), (b"Host: h:80:80",),
    ],
)  # fmt: skip
def test_A06_host_is_exactly_one_host_with_or_without_port(parser: HeadParser, lines: tuple[bytes, ...]) -> None:
    refused(parser, head(*lines, host=None))


@pytest.mark.parametrize(
    "host", [b"h", b"h:80", b"h:", b"127.0.0.1:1", b"[::1]", b"[::1]:8080", b"a_b.example", b"h%20x:65535", b"xn--bcher-kva.de"]
)
def test_A06_a_valid_host_is_taken(parser: HeadParser, host: bytes) -> None:
    assert read(parser, head(host=b"Host: " + host)).host == host


def test_A06_http_1_0_may_have_no_host_but_not_a_bad_one(parser: HeadParser) -> None:
    assert read(parser, head(start=b"GET / HTTP/1.0", host=None)).host == b""
    refused(parser, head(start=b"GET / HTTP/1.0", host=b"Host: u@h"))
    refused(parser, head(b"Host: b", start=b"GET / HTTP/1.0", host=b"Host: a"))


@pytest.mark.parametrize(
    "start",
    [b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET\t/ HTTP/1.1", b"GET / a HTTP/1.1"],
)
def test_A07_the_request_line_has_exactly_two_single_spaces(parser: HeadParser, start: bytes) -> None:
    refused(parser, head(start=start))


@pytest.mark.parametrize("method", [b"get", b"G\xc9T", b"FROB", b"", b"GET\x00", b"M-SEARCH2"])
def test_A08_a_method_unknown_to_the_parser_is_refused(parser: HeadParser, method: bytes) -> None:
    refused(parser, head(start=method + b" / HTTP/1.1"))


@pytest.mark.parametrize("start", [b"CONNECT h:443 HTTP/1.1", b"TRACE / HTTP/1.1", b"CONNECT / HTTP/1.0"])
def test_A09_connect_and_trace_are_refused_with_the_methods_that_are_served(parser: HeadParser, start: bytes) -> None:
    assert dict(refused(parser, head(start=start), 405).fields)["Allow"].startswith("GET")


@pytest.mark.parametrize(
    "lines",
    [(b"Content-Length: 5", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    (b"transfer-encoding: chunked", b"content-length: 0")],
)  # fmt: skip
def test_B01_length_and_coding_together_are_refused(parser: HeadParser, lines: tuple[bytes, ...]) -> None:
    refused(parser, head(*lines))


LENGTHS = (
    b"+1", b"-1", b"0x1", b"1_0", b"1 0", b"", b"1,1", b"1;1", b"99999999999999999999", b"9223372036854775808", "\u0663".encode(),
    b"1.0", b"1e1",
    b"\xb2", b"\"5\"",
)  # fmt: skip


@pytest.mark.parametrize("value", LENGTHS)
def test_B02_a_length_that_is_no_decimal_number_is_refused(parser: HeadParser, value: bytes) -> None:
    refused(parser, head(b"Content-Length: " + value))


@pytest.mark.parametrize("pair", [(b"5", b"5"), (b"5", b"6"), (b"0", b"0")])
def test_B02_two_lengths_are_refused_even_when_equal(parser: HeadParser, pair: tuple[bytes, bytes]) -> None:
    refused(parser, head(*(b"Content-Length: " + value for value in pair)))
    refused(parser, head(b"Content-Length: " + pair[0], b"content-length:" + pair[1]))


def test_B02_the_greatest_length_is_read(parser: HeadParser) -> None:
    assert read(parser, head(b"Content-Length: 9223372036854775807")).length == 2**63 - 1


CODINGS = (
    b"gzip, chunked", b"identity", b"xchunked", b"chunked, identity", b'"chunked"', b",chunked", b"chunked,", b"chunked, chunked",
    b"\x0bchunked",
    b"\xa0chunked", b"chunked;q=1", b"", b"gzip", b"chunked\x0b", b"chunke",
)  # fmt: skip


@pytest.mark.parametrize("value", CODINGS)
def test_B03_the_only_coding_is_chunked(parser: HeadParser, value: bytes) -> None:
    refused(parser, head(b"Transfer-Encoding: " + value), {400, 501})


def test_B03_two_codings_in_two_fields_are_refused(parser: HeadParser) -> None:
    refused(parser, head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), {400, 501})
    refused(parser, head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), {400, 501})


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b"chunked \t"])
def test_B03_chunked_in_any_case_is_read(parser: HeadParser, value: bytes) -> None:
    got = read(parser, head(b"Transfer-Encoding:" + value))
    assert (got.length, got.has_length) == (CHUNKED, False)


def test_B04_a_coding_in_http_1_0_is_refused(parser: HeadParser) -> None:
    refused(parser, head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"))


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close", b"x,CLOSE ,y"])
def test_a_client_that_says_close_is_not_kept(parser: HeadParser, value: bytes) -> None:
    assert not read(parser, head(b"Connection: " + value)).keep_alive
    assert not read(parser, head(b"Connection: keep-alive", b"Connection: " + value)).keep_alive


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_H02_the_one_expectation_is_read(parser: HeadParser, value: bytes) -> None:
    assert read(parser, head(b"Expect: " + value, b"Content-Length: 5")).expect_continue
    assert not read(parser, head(b"Expect: " + value, start=b"POST / HTTP/1.0")).expect_continue


@pytest.mark.parametrize(
    "lines",
    [(b"Expect: 200-ok",), (b"Expect:",), (b"Expect: 100-continue", b"Expect: 100-continue"), (b"Expect: 100-continue, x",)],
)
def test_H03_any_other_expectation_is_refused(parser: HeadParser, lines: tuple[bytes, ...]) -> None:
    refused(parser, head(*lines), 417)


def test_D09_bytes_of_a_value_that_are_not_ascii_survive(parser: HeadParser) -> None:
    value = bytes(range(0x80, 0x100))
    assert read(parser, head(b"X-A: caf\xe9" + value)).values(b"x-a") == [b"caf\xe9" + value]


# -- sizes: at the limit, and one beyond it (J03)


@pytest.mark.parametrize("over", [0, 1])
def test_J03_the_request_line_has_a_limit_of_its_own(parser: HeadParser, over: int) -> None:
    limits = Limits(request_line=8000)
    start = b"GET /" + b"a" * (8000 - len(b"GET / HTTP/1.1") + over) + b" HTTP/1.1"
    if over:
        assert refused(parser, head(start=start), 414, limits).limit == "request_line"
    else:
        assert len(read(parser, head(start=start), limits).target.path) == 8000 - len(b"GET  HTTP/1.1")


@pytest.mark.parametrize("over", [0, 1])
def test_J03_name_and_value_of_one_field_have_a_limit(parser: HeadParser, over: int) -> None:
    raw = head(b"x-a: " + b"v" * (97 + over))
    limits = Limits(header_field=100)
    if over:
        assert refused(parser, raw, 431, limits).limit == "header_field"
    else:
        assert len(read(parser, raw, limits).values(b"x-a")[0]) == 97


@pytest.mark.parametrize("over", [0, 1])
def test_J03_fields_are_counted(parser: HeadParser, over: int) -> None:
    raw = head(*(b"x: y" for _ in range(9 + over)))
    if over:
        assert refused(parser, raw, 431, Limits(header_count=10)).limit == "header_count"
    else:
        assert len(read(parser, raw, Limits(header_count=10)).fields) == 10


@pytest.mark.parametrize("over", [0, 1])
def test_J03_the_section_as_a_whole_has_a_limit(parser: HeadParser, over: int) -> None:
    raw = head(b"x: " + b"v" * 500)
    section = len(raw) - raw.find(b"\r\n")
    limits = Limits(header_section=section - over)
    if over:
        assert refused(parser, raw, 431, limits).limit == "header_section"
    else:
        assert read(parser, raw, limits).host == b"h"


# -- heads that have not come whole


def test_A10_half_of_an_empty_line_before_the_head_is_no_error() -> None:
    check_incomplete(b"\r", LIMITS)
    check_incomplete(b"", LIMITS)


def test_no_beginning_of_a_good_head_is_refused() -> None:
    good = head(b"Content-Length: 5", b"X-A: b\tc")
    for cut in range(len(good) - 4):
        check_incomplete(good[:cut], LIMITS)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\n", 400), (b"GET / HTTP/1.1\r\nHost: h\n", 400), (b"\x16\x03\x01\x02\x00", 400), (b" GET", 400),
        (b"\nGET", 400),
        (b"\r\rGET", 400), (b"GET /" + b"a" * 9000, 414), (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * (80 * 1024), 431),
    ],
)  # fmt: skip
def test_what_can_no_longer_become_a_head_is_refused_before_its_end(data: bytes, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        check_incomplete(data, LIMITS)
    assert (caught.value.status, caught.value.close) == (status, True)


names = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.!~", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in {"host", "content-length", "transfer-encoding", "expect"}
)
values = st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip(b" "))


@given(st.lists(st.tuples(names, values), max_size=8, unique_by=lambda field: field[0].lower()))
def test_D08_every_field_is_kept_byte_for_byte_and_in_order(parser: HeadParser, fields: list[tuple[str, bytes]]) -> None:
    lines = [name.encode() + b": " + value for name, value in fields]
    assert read(parser, head(*lines)).fields[1:] == tuple((name.encode(), value) for name, value in fields)
