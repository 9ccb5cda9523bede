"""Chunked framing: what is clean goes through untouched, what is left out is left out wholly, what is broken stops."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import framing
from proxy.wire.framing import ChunkedReader, FramingError

CLEAN = b"5\r\nhello\r\n1\r\n \r\na\r\n0123456789\r\n0\r\n\r\n"
CLEAN_PAYLOAD = b"hello 0123456789"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = "abcdefghijklmnopqrstuvwxyz"

Cuts = list[int]


def pieces(data: bytes, cuts: Cuts) -> list[bytes]:
    """The data cut at these places, counted modulo its length."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def feed(data: bytes, cuts: Cuts | None = None) -> tuple[bytes, ChunkedReader]:
    """What comes out, and the reader; with its payload collected. Nothing is fed after the end."""
    reader = ChunkedReader()
    reader.payload = []
    out, given_bytes = b"", b""
    for piece in pieces(data, cuts or []):
        given_bytes += piece
        if reader.done:
            break
        out += reader.feed(piece)
    return out, reader


def payload_of(framed: bytes) -> bytes:
    """What h11, a strict reader written by others, makes of a chunked body."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(HEAD + framed)
    found = b""
    while True:
        event = client.next_event()
        if isinstance(event, h11.Data):
            found += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert not event.headers, "a trailer was forwarded"
            return found
        else:
            assert isinstance(event, h11.Response), f"h11 wants more than there is: {event!r}"


# -- bodies to read: chunks as written by somebody, with extensions, odd sizes and trailers

sizes = st.sampled_from(("%x", "%X", "%04x", "%016X"))
extensions = st.sampled_from((b"", b";a", b";a=b", b';a="b;c"', b"; sig=\xe9", b";\t", b";" + b"x" * 300))
chunks = st.lists(st.tuples(st.binary(min_size=1, max_size=60), sizes, extensions), max_size=6)
trailers = st.lists(st.tuples(st.text(TOKEN, min_size=1, max_size=9), st.binary(max_size=9)), max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunked body and its payload."""
    written = draw(chunks)
    out = b"".join((form % len(data)).encode() + ext + b"\r\n" + data + b"\r\n" for data, form, ext in written)
    out += draw(st.sampled_from((b"0", b"00", b"0;last", b"0000000000000000"))) + b"\r\n"
    for name, value in draw(trailers):
        clean = bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F)
        out += b"x-" + name.encode() + b": " + clean + b"\r\n"
    return out + b"\r\n", b"".join(data for data, _, _ in written)


@pytest.mark.parametrize("cut", range(len(CLEAN) + 1))
def test_a_clean_body_comes_out_as_it_went_in_wherever_it_is_cut(cut: int) -> None:
    out, reader = feed(CLEAN, [cut])
    assert out == CLEAN
    assert reader.done
    assert b"".join(reader.payload or []) == CLEAN_PAYLOAD


def test_a_clean_body_comes_out_byte_by_byte_as_well() -> None:
    out, reader = feed(CLEAN, list(range(len(CLEAN))))
    assert out == CLEAN
    assert b"".join(reader.payload or []) == CLEAN_PAYLOAD


def test_a_read_in_which_nothing_changes_is_handed_on_as_the_same_object() -> None:
    reader = ChunkedReader()
    assert reader.feed(CLEAN) is CLEAN


@given(bodies(), st.lists(st.integers(0, 2000), max_size=8))
def test_B06_B07_what_comes_out_means_the_same_without_extensions_and_trailers(body: tuple[bytes, bytes], cuts: Cuts) -> None:
    framed, payload = body
    out, reader = feed(framed, cuts)
    assert payload_of(out) == payload
    assert b";" not in out.replace(payload, b"") or b";" in payload
    assert b"".join(reader.payload or []) == payload
    assert (reader.done, reader.rest, reader.total) == (True, b"", len(payload))


@given(bodies(), st.lists(st.integers(0, 2000), max_size=4), st.lists(st.integers(0, 2000), max_size=12))
def test_where_the_reads_end_makes_no_difference_to_what_is_read(body: tuple[bytes, bytes], one: Cuts, other: Cuts) -> None:
    framed, _ = body
    first, second = feed(framed, one), feed(framed, other)
    assert first[0] == second[0] or payload_of(first[0]) == payload_of(second[0])
    assert b"".join(first[1].payload or []) == b"".join(second[1].payload or [])
    assert first[1].total == second[1].total


@given(bodies(), st.binary(max_size=40))
def test_bytes_behind_the_end_are_the_rest_and_are_not_forwarded(body: tuple[bytes, bytes], surplus: bytes) -> None:
    framed, payload = body
    out, reader = feed(framed + surplus)
    assert reader.rest == surplus
    assert payload_of(out) == payload


@pytest.mark.parametrize("cut", range(len(CLEAN)))
def test_B11_the_end_is_never_given_out_before_it_was_read_whole(cut: int) -> None:
    reader = ChunkedReader()
    out = reader.feed(CLEAN[:cut])
    assert not reader.done
    assert CLEAN.startswith(out)
    assert len(out) <= len(CLEAN) - len(b"0\r\n\r\n")


def test_data_is_never_held_back() -> None:
    reader = ChunkedReader()
    assert reader.feed(b"5\r\nhe") == b"5\r\nhe"
    assert reader.feed(b"l") == b"l"
    assert reader.feed(b"lo") == b"lo"


@pytest.mark.parametrize(
    ("so_far", "between"),
    [
        (b"", True),
        (b"5", True),  # an incomplete line is held back, so what went out ends between two chunks
        (b"5\r\n", False),
        (b"5\r\nhel", False),
        (b"5\r\nhello", False),
        (b"5\r\nhello\r", False),
        (b"5\r\nhello\r\n", True),
        (b"5\r\nhello\r\n1", True),
        (b"5\r\nhello\r\n1;ext", True),
        (b"5\r\nhello\r\n0\r\n", True),
        (b"5\r\nhello\r\n0\r\nx: y\r\n", True),
    ],
)
def test_between_says_whether_another_chunk_could_follow_what_went_out(so_far: bytes, between: bool) -> None:
    for cuts in ([], list(range(len(so_far)))):
        out, reader = feed(so_far, cuts)
        assert reader.between is between
        if between:
            assert payload_of(out + b"1\r\n!\r\n0\r\n\r\n") == (b"hello!" if b"hello" in so_far else b"!")


def test_total_counts_what_chunks_announce_before_their_data_comes() -> None:
    reader = ChunkedReader()
    reader.feed(b"ff\r\n")
    assert reader.total == 255


BAD_SIZES = (
    b"0x5", b"+5", b"-5", b" 5", b"5 ", b"5\t", b"", b";a", b"g", b"5 ;a", b"5\r", b"5_0", b"\xb2", b"1" * 17, b"f" * 16,
    b"8" + b"0" * 15,
    b"5;a\x00", b"5;a\x7f", b"5;a\x0b", b"5;a\rb", b"5;a\nb",
)  # fmt: skip


@pytest.mark.parametrize("line", BAD_SIZES)
def test_B05_a_bad_size_line_is_an_error_wherever_it_is_cut(line: bytes) -> None:
    body = line + b"\r\nhello\r\n0\r\n\r\n"
    for cut in range(len(body)):
        with pytest.raises(FramingError):
            feed(body, [cut])


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n\r\n",
        b"0\n\n",
        b"0\r\n\n",
    ],
)
def test_B05_data_and_lines_must_end_where_they_say(body: bytes) -> None:
    for cut in range(len(body)):
        with pytest.raises(FramingError):
            feed(body, [cut])


def test_B05_sixteen_digits_are_read_and_seventeen_are_not() -> None:
    assert feed(b"0000000000000005\r\nhello\r\n0\r\n\r\n")[1].total == 5
    with pytest.raises(FramingError):
        feed(b"00000000000000005\r\nhello\r\n0\r\n\r\n")


def test_B05_a_bad_line_is_refused_as_soon_as_it_cannot_become_right() -> None:
    for start in (b"x", b"5 ", b"-", b"5;a\n", b"5\rx", b"1" * 17):
        with pytest.raises(FramingError):
            feed(start)


def test_B05_a_size_line_once_refused_is_refused_again() -> None:
    for _ in range(3):
        with pytest.raises(FramingError):
            feed(b"0x5\r\nhello\r\n")


NAMES_NOT_ALLOWED = (
    b"Content-Length", b"transfer-encoding", b"Host", b"Authorization", b"Cookie", b"X-Api-Key", b"api-key", b"x-goog-api-key",
    b"ModelName", b"Proxy-Authorization", b"content_length", b"x_api_key",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES_NOT_ALLOWED)
def test_B07_a_trailer_that_frames_routes_or_authenticates_is_an_error(name: bytes) -> None:
    body = b"5\r\nhello\r\n0\r\n" + name + b": 1\r\n\r\n"
    for cut in range(len(body)):
        with pytest.raises(FramingError):
            feed(body, [cut])


@pytest.mark.parametrize("line", [b"no colon", b" x: folded", b"x : y", b": y", b"x: a\x00b", b"x: a\rb", b"x y: z", b"x: \x7f"])
def test_B07_a_trailer_line_that_is_no_field_is_an_error(line: bytes) -> None:
    with pytest.raises(FramingError):
        feed(b"0\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 20])
def test_B07_the_trailer_section_is_limited_however_it_comes(step: int) -> None:
    section = b"".join(b"x-%03d: %s\r\n" % (number, b"v" * 20) for number in range(20))
    body = b"0\r\n" + section + b"\r\n"
    for limit, fits in ((len(section), True), (len(section) - 1, False)):
        reader = ChunkedReader(limit)
        out = b""
        try:
            for start in range(0, len(body), step):
                out += reader.feed(body[start : start + step])
        except FramingError:
            assert not fits
        else:
            assert fits
            assert out == b"0\r\n\r\n"


@pytest.mark.parametrize("start", [b"5;", b"5\r\nhello\r\n5;", b"0;"])
@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_B06_an_extension_is_limited_however_it_comes(start: bytes, step: int) -> None:
    line = start + b"x" * 9000 + b"\r\nhello\r\n0\r\n\r\n"
    reader = ChunkedReader()
    with pytest.raises(FramingError):  # noqa: PT012 - which piece is refused depends on where it was cut
        for position in range(0, len(line), step):
            reader.feed(line[position : position + step])


def test_what_is_held_back_is_bounded_by_the_line_and_not_by_the_section() -> None:
    reader = ChunkedReader(64 * 1024)
    for number in range(1000):
        reader.feed(b"0\r\n" * (number == 0) + b"x-%04d: value\r\n" % number)
        assert len(reader._held) < 64
    reader = ChunkedReader()
    with pytest.raises(FramingError):  # noqa: PT012
        for _ in range(100_000):
            reader.feed(b"5;xx" if not reader._held else b"x")
    assert len(reader._held) <= 8 * 1024 + 4


def test_the_memory_of_size_lines_is_bounded_and_holds_no_extension() -> None:
    for size in range(1, 6000):
        ChunkedReader().feed(b"%x\r\n" % size)
    ChunkedReader().feed(b"5;secret\r\n")
    assert len(framing._sizes) <= 4096
    assert all(len(line) <= 16 and b";" not in line for line in framing._sizes)


def test_without_payload_nothing_is_collected() -> None:
    reader = ChunkedReader()
    reader.feed(CLEAN)
    assert reader.payload is None


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_B05_whatever_comes_is_read_as_h11_reads_it_or_refused(data: bytes, cuts: Cuts) -> None:
    try:
        out, reader = feed(data, cuts)
    except FramingError:
        return
    if reader.done:
        assert payload_of(out) == b"".join(reader.payload or [])
