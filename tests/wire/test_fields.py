"""Which field lines go on: requests (group D) and responses (group E)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import Limits
from proxy.wire.fields import bodyless, forwarded_request_lines, response_lines
from proxy.wire.head import read_request_head
from proxy.wire.parser import HeadParser
from proxy.wire.response import ResponseReader

IDENTITY_LINE = b"Accept-Encoding: identity\r\n"
CODING = b"Accept-Encoding: br"


def forwarded(
    parser: HeadParser,
    *lines: bytes,
    replaced: frozenset[bytes] = frozenset(),
    kept: frozenset[bytes] = frozenset(),
    via: bytes | None = None,
    version: bytes = b"1.1",
) -> list[bytes]:
    """The lines that go upstream for a client's lines, without their line ends."""
    raw = b"POST / HTTP/" + version + b"\r\nHost: h\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    got = forwarded_request_lines(read_request_head(parser, raw, Limits()), replaced, kept=kept, via=via)
    assert all(line.endswith(b"\r\n") and line.count(b"\r\n") == 1 for line in got)
    return [line.removesuffix(b"\r\n") for line in got]


HOP = (
    b"Connection: close", b"Proxy-Connection: keep-alive", b"Keep-Alive: timeout=5", b"TE: trailers", b"Trailer: X-T",
    b"Upgrade: h2c",
    b"Proxy-Authorization: Basic eA==", b"Proxy-Authenticate: Basic", b"HTTP2-Settings: AAMA", b"Transfer-Encoding: chunked",
)  # fmt: skip


@pytest.mark.parametrize("line", [*HOP, *(line.replace(b"-", b"_", 1) for line in HOP if b"-" in line.partition(b":")[0])])
def test_D01_D10_H04_a_field_of_this_hop_stays_behind(parser: HeadParser, line: bytes) -> None:
    assert forwarded(parser, line, CODING, b"X: y") == [CODING, b"X: y"]


@pytest.mark.parametrize(
    "connection", [(b"Connection: x-a, b",), (b"connection: close, X-a ,B",), (b"Connection: b", b"Connection: keep-alive,X-A")]
)
def test_D01_nominated_fields_stay_behind(parser: HeadParser, connection: tuple[bytes, ...]) -> None:
    assert forwarded(parser, b"x-A: 1", *connection, b"B: 2", b"x-ab: 3", CODING) == [b"x-ab: 3", CODING]


@pytest.mark.parametrize("name", [b"host", b"content-length", b"authorization", b"x-api-key", b"cookie", b"modelname"])
def test_D02_nomination_does_not_reach_what_is_not_the_clients_to_remove(parser: HeadParser, name: bytes) -> None:
    line = b"ModelName: m" if name == b"modelname" else b"Authorization: Bearer x"
    kept = frozenset((b"authorization",))
    assert forwarded(parser, b"Connection: " + name, line, CODING, kept=kept) == [line, CODING]


CREDENTIAL_LINES = (
    b"Authorization: Bearer k", b"authorization: Basic k", b"Cookie: a=b", b"x-api-key: k", b"X-API-KEY: k", b"api-key: k",
    b"x-goog-api-key: k",
    b"x_api_key: k", b"API_KEY: k", b"X-Goog_Api-Key: k", b"Proxy-Authorization: k",
)  # fmt: skip


@pytest.mark.parametrize("line", CREDENTIAL_LINES)
def test_D03_D10_a_credential_of_this_hop_stays_behind_in_every_spelling(parser: HeadParser, line: bytes) -> None:
    assert forwarded(parser, CODING, line) == [CODING]


def test_D03_what_the_rule_names_is_taken_out_in_every_spelling(parser: HeadParser) -> None:
    replaced = frozenset((b"modelname", b"x-own"))
    assert forwarded(parser, b"ModelName: a", b"X-Own: b", b"x_own: c", CODING, replaced=replaced) == [CODING]


def test_N02_a_credential_the_rule_passes_goes_on_as_it_is_and_no_other(parser: HeadParser) -> None:
    lines = (b"Authorization: Bearer theirs", b"x-api-key: ours", b"x_api_key: odd", CODING)
    assert forwarded(parser, *lines, kept=frozenset((b"authorization",))) == [lines[0], CODING]


@pytest.mark.parametrize(
    "name",
    [b"Forwarded", b"X-Forwarded-For", b"x-forwarded-host", b"X-Real-IP", b"True-Client-IP", b"CF-Connecting-IP", b"X-Client-IP",
    b"X-Original-URL", b"X-Rewrite-URL",
     b"x_forwarded_for", b"X_Real_IP", b"x-original_host"],
)  # fmt: skip
def test_D04_D10_who_the_client_is_stays_behind(parser: HeadParser, name: bytes) -> None:
    assert forwarded(parser, name + b": 192.0.2.1", CODING) == [CODING]


@pytest.mark.parametrize(
    ("lines", "version", "expected"),
    [
        ((), b"1.1", b"Via: 1.1 me"),
        ((), b"1.0", b"Via: 1.0 me"),
        ((b"Via: 1.0 a, 1.1 b",), b"1.1", b"Via: 1.0 a, 1.1 b, 1.1 me"),
        ((b"via: 1.1 a", b"Via: 2 b"), b"1.1", b"Via: 1.1 a, 2 b, 1.1 me"),
    ],
)  # fmt: skip
def test_D05_via_is_extended(parser: HeadParser, lines: tuple[bytes, ...], version: bytes, expected: bytes) -> None:
    assert forwarded(parser, *lines, CODING, via=b"me", version=version) == [CODING, expected]


def test_D05_switched_off_a_via_goes_on_as_it_is(parser: HeadParser) -> None:
    assert forwarded(parser, b"Via: 1.1 a", CODING) == [b"Via: 1.1 a", CODING]


def test_D06_D07_nothing_is_invented_but_identity(parser: HeadParser) -> None:
    assert forwarded(parser) == [b"Accept-Encoding: identity"]
    assert forwarded(parser, b"accept-encoding: gzip, br") == [b"accept-encoding: gzip, br"]
    assert forwarded(parser, b"Accept-Encoding:") == [b"Accept-Encoding: "]


def test_D08_repeated_fields_stay_apart_and_in_order(parser: HeadParser) -> None:
    lines = [b"X-A: 1", b"x-b: 2", b"X-a: 3", b"X-A: 1", CODING]
    assert forwarded(parser, *lines) == lines


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_B08_framing_and_host_of_the_client_never_go_on(parser: HeadParser, version: bytes) -> None:
    assert forwarded(
        parser,
        b"Content-Length: 5",
        b"content_length: 6",
        b"Transfer_Encoding: x",
        b"Expect: 100-continue",
        CODING,
        version=version,
    ) == [CODING]


def test_D09_bytes_of_a_value_go_on_as_they_came(parser: HeadParser) -> None:
    assert forwarded(parser, b"X: caf\xe9", b"Y: \xff\x80 \xf0\x9f", CODING) == [b"X: caf\xe9", b"Y: \xff\x80 \xf0\x9f", CODING]


@pytest.mark.parametrize(
    "line",
    [b"traceparent: 00-1-2-01", b"tracestate: a=b", b"Idempotency-Key: k", b"OpenAI-Organization: o",
    b"anthropic-version: 2023-06-01", b"x-stainless-lang: python",
     b"Range: bytes=0-", b"If-Match: x", b"Cache-Control: no-cache", b"X_Under: score", b"Accept: a;q=0.1", b"User-Agent: u",
     b"Content-Encoding: gzip"],
)  # fmt: skip
def test_D10_D11_D13_other_fields_pass(parser: HeadParser, line: bytes) -> None:
    assert forwarded(parser, line, CODING) == [line, CODING]


# -- responses


def relayed(
    parser: HeadParser, *lines: bytes, set_cookie: bool = False, drop: frozenset[bytes] = frozenset(), times: int = 1
) -> list[bytes]:
    """The upstream's lines that reach the client; `times` > 2 takes the way of a head met often."""
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    reader = ResponseReader(parser)
    for _ in range(times):
        head = reader.read(raw, Limits())
    return response_lines(head, set_cookie=set_cookie, drop=drop).split(b"\r\n")[:-1]


MET = pytest.mark.parametrize("times", [1, 5], ids=["first", "met often"])
GONE = (
    b"Connection: close", b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"Proxy-Authenticate: Basic", b"Trailer: X",
    b"Upgrade: h2c", b"TE: x",
    b'Alt-Svc: h3=":443"', b"Strict-Transport-Security: max-age=1", b"Public-Key-Pins: x", b"NEL: {}", b"Report-To: {}",
)  # fmt: skip


@MET
@pytest.mark.parametrize("line", GONE)
def test_E01_E08_fields_of_the_upstreams_hop_and_origin_stay_behind(parser: HeadParser, line: bytes, times: int) -> None:
    assert relayed(parser, b"A: 1", line, b"Content-Length: 0", line.lower(), b"B: 2", times=times) == [
        b"A: 1",
        b"Content-Length: 0",
        b"B: 2",
    ]


@MET
def test_E01_fields_the_upstream_nominates_stay_behind_but_not_those_that_describe_the_body(parser: HeadParser, times: int) -> None:
    lines = (b"Connection: X-Hop, content-length, content-type, close", b"x-hop: 1", b"Content-Type: a/b", b"Content-Length: 0")
    assert relayed(parser, *lines, times=times) == [b"Content-Type: a/b", b"Content-Length: 0"]


@MET
def test_E04_cookies_stay_on_their_own_lines_or_stay_behind(parser: HeadParser, times: int) -> None:
    lines = (b"Set-Cookie: a=1, b", b"X: y", b"set-cookie: c=2", b"Link: <a>", b"Link: <b>")
    assert relayed(parser, *lines, set_cookie=True, times=times) == list(lines)
    assert relayed(parser, *lines, times=times) == [b"X: y", b"Link: <a>", b"Link: <b>"]


@MET
def test_E02_E06_D09_lines_that_go_on_are_the_upstreams_bytes(parser: HeadParser, times: int) -> None:
    lines = (b"X-A:no blank", b"X-B:   many\t ", b"x-c: caf\xe9", b"Location: http://other/", b"X-D:")
    assert relayed(parser, *lines, times=times) == list(lines)
    assert relayed(parser, *lines, b"Keep-Alive: 1", times=times) == list(lines)


@MET
def test_the_framing_fields_can_be_left_out(parser: HeadParser, times: int) -> None:
    drop = frozenset((b"content-length", b"transfer-encoding"))
    assert relayed(parser, b"A: 1", b"Content-Length: 5", b"B: 2", drop=drop, times=times) == [b"A: 1", b"B: 2"]


@pytest.mark.parametrize(
    ("code", "method", "expected"),
    [(200, "GET", False), (200, "HEAD", True), (404, "HEAD", True), (204, "POST", True), (205, "GET", True), (304, "GET", True),
    (206, "GET", False), (500, "POST", False)],
)  # fmt: skip
def test_E03_which_answers_have_no_body(code: int, method: str, expected: bool) -> None:
    assert bodyless(code, method) is expected


PASSING = st.sampled_from([b"A", b"X-b", b"Link", b"ETag", b"Date", b"x_c"])
DROPPED = st.sampled_from([b"Connection", b"keep-alive", b"NEL", b"Alt-Svc"])


@given(
    st.lists(st.tuples(st.one_of(PASSING, DROPPED), st.sampled_from([b": keep-alive", b":x ", b": \t"])), max_size=8),
    st.integers(1, 5),
)
def test_E02_exactly_the_lines_that_may_pass_pass(parser: HeadParser, fields: list[tuple[bytes, bytes]], times: int) -> None:
    passing = {b"A", b"X-b", b"Link", b"ETag", b"Date", b"x_c"}
    lines = [name + rest for name, rest in fields]
    assert relayed(parser, *lines, times=times) == [line for line, (name, _) in zip(lines, fields, strict=True) if name in passing]
