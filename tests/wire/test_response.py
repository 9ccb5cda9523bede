"""Response heads: what is refused (B12 to B15), and that a head met often is read exactly as at the first time."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.outcomes import ErrorType
from proxy.settings import Limits
from proxy.wire.head import CHUNKED
from proxy.wire.parser import HeadParser
from proxy.wire.refusal import Refusal
from proxy.wire.response import UNTIL_CLOSE, ResponseHead, ResponseReader

LIMITS = Limits()


class Said(NamedTuple):
    """Everything a head says."""

    code: int
    status_line: bytes
    lines: bytes
    length: int
    keep_alive: bool
    event_stream: bool
    request_id: str | None
    names: tuple[bytes, ...]


def said(head: ResponseHead) -> Said:
    return Said(
        head.code, head.status_line, head.lines, head.length, head.keep_alive, head.event_stream, head.request_id, head.shape.lower
    )  # fmt: skip


def head(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


def read(parser: HeadParser, raw: bytes, limits: Limits = LIMITS) -> ResponseHead:
    return ResponseReader(parser).read(raw, limits)


def refused(parser: HeadParser, raw: bytes, error: ErrorType | None = None) -> Refusal:
    """Refused at first, and by a reader that has met the head's good relatives often."""
    with pytest.raises(Refusal) as caught:
        read(parser, raw)
    refusal = caught.value
    assert refusal.status == 502
    assert error is None or refusal.error is error
    return refusal


GOOD = (b"Content-Type: application/json", b"Content-Length: 5", b"X-A: b")


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((b"Content-Length: 5",), 5), ((b"content-length:0",), 0), ((b"Content-Length: 9223372036854775807",), 2**63 - 1), ((),
        UNTIL_CLOSE),
        ((b"Transfer-Encoding: chunked",), CHUNKED), ((b"transfer-encoding:Chunked ",), CHUNKED), ((b"Content-Length:  7 \t",), 7),
    ],
)  # fmt: skip
def test_the_length_of_the_body(parser: HeadParser, lines: tuple[bytes, ...], length: int) -> None:
    reader = ResponseReader(parser)
    for _ in range(5):
        assert reader.read(head(*lines), LIMITS).length == length


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"content-length: 6"), (b"Content-Length: foo",), (b"Content-Length: 5, 5",),
        (b"Content-Length: -1",), (b"Content-Length:",),
        (b"Content-Length: +5",), (b"Content-Length: 0x5",), (b"Content-Length: 9223372036854775808",), (b"Content-Length: \xb2",
        ), (b"Transfer-Encoding: foo",),
        (b"Transfer-Encoding: gzip",), (b"Transfer-Encoding: chunked, gzip",), (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding:",), (b"Transfer-Encoding: identity",),
    ],
)  # fmt: skip
def test_B12_contradictory_or_unknown_framing_is_refused(parser: HeadParser, lines: tuple[bytes, ...]) -> None:
    refused(parser, head(*lines))
    refused(parser, head(b"A: 1", *lines, b"B: 2"))


def test_B13_a_coding_in_http_1_0_is_refused(parser: HeadParser) -> None:
    refused(parser, head(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK"))


@pytest.mark.parametrize("code", [*(code for code in range(0x20) if code != 9), 0x7F])
def test_B14_a_control_character_anywhere_is_refused(parser: HeadParser, code: int) -> None:
    for raw in (b"X-A: a%cb" % code, b"X-A: %c" % code, b"X%c-A: b" % code):
        refused(parser, head(b"Content-Length: 5", raw))
    refused(parser, head(start=b"HTTP/1.1 200 O%cK" % code))


@pytest.mark.parametrize(
    "line", [b" folded", b"\tfolded: x", b"X : y", b": y", b"X Y: z", b"no colon", b"X\xe9: y", b"X(: y", b'"X": y', b"X\t: y"]
)
@pytest.mark.parametrize("place", [0, 1])
def test_B14_a_line_that_is_no_field_line_is_refused(parser: HeadParser, line: bytes, place: int) -> None:
    lines = [b"A: 1", b"B: 2"]
    lines.insert(place, line)
    refused(parser, head(*lines))


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\nA: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\nB: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\r\n\r\n",
    ],
)
def test_B14_a_bare_CR_or_LF_is_refused(parser: HeadParser, raw: bytes) -> None:
    refused(parser, raw)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 099 X", b"HTTP/1.1 000 X", b"HTTP/1.1 600 X", b"HTTP/1.1 999 X", b"HTTP/1.1 1000 X", b"HTTP/1.1 20 X",
        b"HTTP/1.1 2xx X", b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200OK", b"HTTP/2 200 OK", b"HTTP/1.2 200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b"HTTP/1.1", b"",
        b" HTTP/1.1 200 OK", b"HTTP/1.1 +20 OK",
        b"HTTP/1.1\t200 OK", b"<html>",
    ],
)  # fmt: skip
def test_B15_a_status_line_that_is_none_is_refused(parser: HeadParser, start: bytes) -> None:
    refused(parser, head(b"Content-Length: 0", start=start), ErrorType.HTTP_PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 599 Caf\xe9 au lait",
        b"HTTP/1.1 404 a  b",
        b"HTTP/1.1 103 Early",
    ],
)
def test_the_status_line_goes_on_as_it_came(parser: HeadParser, start: bytes) -> None:
    reader = ResponseReader(parser)
    for _ in range(5):
        got = reader.read(head(b"Content-Length: 0", start=start), LIMITS)
        assert (got.code, got.status_line) == (int(start[9:12]), start + b"\r\n")


def test_a_status_line_of_http_1_0_goes_on_in_our_version(parser: HeadParser) -> None:
    got = read(parser, head(start=b"HTTP/1.0 200 Fine"))
    assert got.status_line == b"HTTP/1.1 200 Fine\r\n"
    assert not got.keep_alive


@pytest.mark.parametrize(
    ("lines", "kept"),
    [((), True), ((b"Connection: keep-alive",), True), ((b"Connection: close",), False), ((b"connection: x, Close",), False),
    ((b"Connection: x", b"Connection: close"), False)],
)  # fmt: skip
def test_K15_what_the_head_says_about_the_connection(parser: HeadParser, lines: tuple[bytes, ...], kept: bool) -> None:
    reader = ResponseReader(parser)
    for _ in range(5):
        assert reader.read(head(b"Content-Length: 0", *lines), LIMITS).keep_alive is kept
    assert not read(parser, head(b"Connection: keep-alive", b"Content-Length: 0", start=b"HTTP/1.0 200 OK")).keep_alive


@pytest.mark.parametrize(
    ("value", "stream"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream; charset=utf-8", True),
        (b"application/json", False),
        (b"", False),
        (b"text/plain", False),
    ],
)
def test_G13_the_media_type_says_whether_it_is_a_stream(parser: HeadParser, value: bytes, stream: bool) -> None:
    reader = ResponseReader(parser)
    for _ in range(5):
        assert reader.read(head(b"Content-Type: " + value), LIMITS).event_stream is stream


@pytest.mark.parametrize("over", [0, 1])
def test_J_the_sizes_of_a_response_head_are_limited(parser: HeadParser, over: int) -> None:
    section = head(b"X: " + b"v" * 100)
    fields = head(*(b"X: y" for _ in range(5 + over)))
    field = head(b"X: " + b"v" * (99 + over), b"Y: " + b"w" * 50)
    cases = (
        (section, Limits(response_header_section=len(section) - over), "response_header_section"),
        (fields, Limits(response_header_count=5), "response_header_section"),
        (field, Limits(response_header_field=100), "response_header_field"),
    )
    for raw, limits, limit in cases:
        for _ in range(5):
            if over:
                with pytest.raises(Refusal) as caught:
                    read(parser, raw, limits)
                assert (caught.value.limit, caught.value.error) == (limit, ErrorType.HTTP_RESPONSE_HEADER_SECTION_SIZE)
            else:
                assert read(parser, raw, limits).code == 200


# -- the short way and the long way

NAMES = st.sampled_from(
    [b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Content-Type", b"x-request-id", b"X-A", b"x-a",
    b"Date", b"Set-Cookie", b"X.*", b"x+"]
)  # fmt: skip
VALUES = st.sampled_from(
    [b" 5", b"5", b" 5 \t", b" 05", b" 5x", b"", b" ", b" chunked", b"Chunked ", b" gzip", b" keep-alive", b" close",
    b" x, close", b" text/event-stream", b" caf\xe9",
     b" a\x00b", b" a\rb", b" a\nb", b"\t", b" 99999999999999999999", b" 1234567890123456", b" id:7 \t", b" a\r\n folded"]
)  # fmt: skip
STARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 404",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 103 E",
        b"HTTP/1.1 200 caf\xe9",
        b"HTTP/1.1 600 X",
        b"HTTP/1.1 200 \x01",
    ]
)


def outcome(reader: ResponseReader, raw: bytes) -> Said | tuple[int, ErrorType]:
    try:
        return said(reader.read(raw, LIMITS))
    except Refusal as refusal:
        return refusal.status, refusal.error


@settings(max_examples=400)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), st.data())
def test_a_head_of_a_shape_met_often_is_read_as_by_a_reader_that_never_met_it(
    parser: HeadParser, first: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """The names of a good head are met until the short way is taken; then others with the same names, good or bad, are read."""
    good = {b"content-length": b": 5", b"transfer-encoding": b": chunked", b"connection": b": keep-alive"}
    names = [name for name, _ in first]
    reader = ResponseReader(parser)
    for _ in range(4):
        outcome(reader, head(*(name + good.get(name.lower(), b": x") for name in names)))
    for _ in range(3):
        values = data.draw(st.lists(VALUES, min_size=len(names), max_size=len(names)))
        raw = head(*(name + b":" + value for name, value in zip(names, values, strict=True)), start=data.draw(STARTS))
        assert outcome(reader, raw) == outcome(ResponseReader(parser), raw)


def test_the_short_way_is_really_taken(parser: HeadParser) -> None:
    reader = ResponseReader(parser)
    for _ in range(4):
        reader.read(head(*GOOD), LIMITS)
    reader._parser = None  # type: ignore[assignment]  # whoever needs the parser now fails
    assert reader.read(head(*GOOD), LIMITS).length == 5


def test_shapes_without_end_are_not_remembered_without_end(parser: HeadParser) -> None:
    reader = ResponseReader(parser)
    for number in range(600):
        for _ in range(4):
            reader.read(head(b"X-%d: y" % number, b"Content-Length: 1"), LIMITS)
    assert len(reader._shapes) <= 256
    assert len(reader._recent) <= 4


def test_a_pattern_takes_no_longer_for_what_does_not_match(parser: HeadParser) -> None:
    """Blanks that both the pattern's blank and its value could take are tried one way only."""
    reader = ResponseReader(parser)
    lines = [b"X-%d: y" % number for number in range(20)]
    for _ in range(4):
        reader.read(head(*lines), LIMITS)
    nasty = head(*(line + b" " * 1400 for line in lines))[:-4] + b"\x00\r\n\r\n"
    with pytest.raises(Refusal):
        reader.read(nasty, LIMITS)
