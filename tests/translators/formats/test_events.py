"""Streams cut into events: every line end, every cut, nothing lost, nothing held that is whole."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from translators.formats.events import (
    Event,
    EventCutter,
    EventTooLargeError,
    LineCutter,
    format_event,
    read_event,
)

FIELDS = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"data:  c",
        b"event: x",
        b"event:",
        b"id: 7",
        b"id: \x00",
        b"retry: 10",
        b": hi",
        b"foo: \xff",
    ]
)
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Lines of all kinds with line ends of all kinds, mostly of one kind as real senders do."""
    lines = draw(st.lists(FIELDS | st.just(b""), max_size=12))
    usual = draw(LINE_ENDS)
    mixed = draw(st.booleans())
    body = b"".join(line + (draw(LINE_ENDS) if mixed else usual) for line in lines)
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + body + draw(st.sampled_from([b"", b"data: rest"]))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def cut_all(cutter: EventCutter | LineCutter, parts: list[bytes]) -> tuple[list[Event], bytes]:
    events = [event for part in parts for event in cutter.feed(part)]
    return events, cutter.finish()


def dispatched(stream: bytes) -> list[tuple[str, str]]:
    """What the standard dispatches, written after its text: (type, data) of every event that has data."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = re.split("\r\n|\r|\n", text)[:-1]
    out: list[tuple[str, str]] = []
    name, data = "", ""
    for line in lines:
        if line == "":
            if data:
                out.append((name or "message", data[:-1]))
            name, data = "", ""
            continue
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "data":
            data += value + "\n"
        elif key == "event":
            name = value
    return out


@settings(max_examples=100, deadline=None)
@given(streams(), st.lists(st.integers(0, 200), max_size=12))
@example(b"data: a\r\n\r\ndata: b\r\r\n\n", list(range(30)))
@example(b"\r\n\r\r\n\n", list(range(30)))
def test_G02_the_same_events_come_at_every_cut_and_no_byte_is_lost(stream: bytes, cuts: list[int]) -> None:
    whole = cut_all(EventCutter(), [stream])
    assert cut_all(EventCutter(), pieces(stream, cuts)) == whole
    assert cut_all(EventCutter(), [stream[i : i + 1] for i in range(len(stream))]) == whole
    events, rest = whole
    assert b"".join(event.raw for event in events) + rest == stream.removeprefix(b"\xef\xbb\xbf")


@settings(max_examples=100, deadline=None)
@given(streams())
def test_G05_the_events_with_data_are_those_that_the_standard_dispatches(stream: bytes) -> None:
    events, rest = cut_all(EventCutter(), [stream])
    held = read_event(rest) if rest.endswith(b"\r") else Event(b"")  # a last CR may be half of CRLF: waited for, then handed out
    ours = [(event.name or "message", event.data.decode("utf-8", "replace")) for event in [*events, held] if event.data is not None]
    theirs = dispatched(stream)
    assert ours[: len(theirs)] == theirs
    assert len(ours) <= len(theirs) + (held.data is not None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"data: a\n\n", b"event: x\ndata: b\n\n", b"\n", b": c\n\n", b"data: d\ndata: e\n\n"]), max_size=8)
)
def test_G11_an_event_is_given_by_the_read_that_completes_it(blocks: list[bytes]) -> None:
    cutter = EventCutter()
    for block in blocks:
        assert [event.raw for event in cutter.feed(block)] == [block]
    for ending in (b"\r\n", b"\r"):
        cutter = EventCutter()
        cutter.feed(b": start" + ending * 2)
        for block in blocks:
            if ending == b"\r\n" or block != b"\n":
                assert len(cutter.feed(block.replace(b"\n", ending))) == 1


def test_G05_every_field_is_read_as_the_standard_says() -> None:
    raw = b"id: 1\nid: a\0b\nevent: old\nevent:new\nretry: 10\nretry: 1x\nData: no\nfoo\n:c\ndata\ndata:  x\ndata:y: z\n\n"
    [event] = EventCutter().feed(raw)
    assert event == Event(raw, "new", b"\n x\ny: z", "1", 10, (b"Data: no", b"foo"))


@pytest.mark.parametrize("raw", [b": keep-alive\n\n", b"event: ping\n\n", b"id: 4\n\n", b"\n", b"retry: 3\r\n\r\n"])
def test_G14_what_holds_no_data_is_carried_as_an_event_without_data(raw: bytes) -> None:
    [event] = EventCutter().feed(raw)
    assert (event.raw, event.data) == (raw, None)


def test_G14_an_empty_data_line_is_data() -> None:
    assert [event.data for event in EventCutter().feed(b"data\n\ndata:\n\ndata: \n\nevent: x\ndata: \n\n")] == [b""] * 4


def test_G03_a_code_point_cut_in_two_survives_and_invalid_utf8_stays_as_it_was() -> None:
    raw = "data: 猫\n\n".encode() + b"data: \xff\xfe\n\n"
    events, rest = cut_all(EventCutter(), [raw[:7], raw[7:8], raw[8:]])
    assert [event.data for event in events] == ["猫".encode(), b"\xff\xfe"]
    assert rest == b""


def test_G04_only_one_leading_bom_is_ignored_wherever_it_is_cut() -> None:
    for cut in range(8):
        stream = b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n"
        events, _ = cut_all(EventCutter(), [stream[:cut], stream[cut:]])
        assert [event.data for event in events] == [b"a", None]
        assert events[0].raw == b"data: a\n\n"
    assert cut_all(EventCutter(), [b"\xef\xbb"]) == ([], b"\xef\xbb")


def test_G06_an_unfinished_last_event_is_handed_out_as_bytes_and_can_be_read() -> None:
    cutter = EventCutter()
    assert len(cutter.feed(b"data: a\n\nevent: x\ndata: {}\n")) == 1
    rest = cutter.finish()
    assert rest == b"event: x\ndata: {}\n"
    assert read_event(rest)[1:3] == ("x", b"{}")
    assert cutter.finish() == b""


def test_a_blank_line_that_ends_with_cr_waits_for_its_lf_where_the_stream_speaks_crlf() -> None:
    cutter = EventCutter()
    assert cutter.feed(b"data: a\r\n\r") == []
    assert [event.raw for event in cutter.feed(b"\ndata: b")] == [b"data: a\r\n\r\n"]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_G07_an_event_at_the_limit_passes_and_one_byte_more_is_refused_at_every_cut(line_end: bytes, size: int) -> None:
    first = b"data: 1" + line_end * 2
    event = b"data: " + b"x" * 100 + line_end * 2
    stream = first + event + first
    parts = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert len(cut_all(EventCutter(len(event)), parts)[0]) == 3
    cutter = EventCutter(len(event) - 1)
    events: list[Event] = []
    with pytest.raises(EventTooLargeError, match="sse_event") as caught:  # noqa: PT012 - what came before is looked at too
        while parts:
            events += cutter.feed(parts.pop(0))
    events += caught.value.events
    assert [found.raw for found in events] == [first]
    assert first + caught.value.rest + b"".join(parts) == stream


def test_an_event_of_many_megabytes_in_small_reads_takes_no_repeated_search() -> None:
    cutter = EventCutter()
    part = b"x" * 4096
    cutter.feed(b"data: ")
    for _ in range(2000):
        assert cutter.feed(part) == []
    [event] = cutter.feed(b"\n\n")
    assert event.data == part * 2000


def test_G08_an_event_is_written_in_the_form_that_every_client_reads() -> None:
    assert format_event(b"{}") == b"data: {}\n\n"
    assert format_event(b"a\r\nb\nc\r", "x", "7", 10, (b"foo: 1",)) == (
        b"event: x\nid: 7\nretry: 10\nfoo: 1\ndata: a\ndata: b\ndata: c\ndata: \n\n"
    )


@pytest.mark.parametrize(("name", "last_id"), [("a\nb", None), ("a\rb", None), (None, "a\nb"), (None, "a\0b")])
def test_G08_what_would_start_another_field_is_refused(name: str | None, last_id: str | None) -> None:
    with pytest.raises(ValueError, match="of an event holds"):
        format_event(b"{}", name, last_id)


@settings(max_examples=60)
@given(st.text(), st.none() | st.text(st.characters(exclude_characters="\r\n"), min_size=1))
def test_what_is_written_is_read_back(data: str, name: str | None) -> None:
    encodable = data.encode("utf-8", "replace").replace(b"\r", b"")
    safe_name = name.encode("utf-8", "replace").decode() if name else None
    [event] = EventCutter().feed(format_event(encodable, safe_name))
    assert (event.data, event.name) == (encodable, safe_name)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"{}", b'{"a":"\xe7"}', b"", b" "])), st.lists(st.integers(0, 99), max_size=6), st.booleans())
def test_G14_lines_of_json_come_the_same_at_every_cut(lines: list[bytes], cuts: list[int], crlf: bool) -> None:
    stream = b"".join(line + (b"\r\n" if crlf else b"\n") for line in lines) + b'{"last":'
    events, rest = cut_all(LineCutter(), pieces(stream, cuts))
    assert [event.data for event in events] == [line if line.strip() else None for line in lines]
    assert b"".join(event.raw for event in events) + rest == stream
    assert rest == b'{"last":'


def test_G07_a_line_at_the_limit_passes_and_one_byte_more_is_refused() -> None:
    assert len(LineCutter(10).feed(b"123456789\n")) == 1
    for parts in ([b"1234567890\n"], [b"12345", b"678901"]):
        with pytest.raises(EventTooLargeError) as caught:
            cut_all(LineCutter(10), [b"{}\n", *parts])
        assert caught.value.rest == b"".join(parts)
