"""The tap: token usage from streams as the platforms send them, and where a stream stands; the bytes are only looked at (G01)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.carry.tap import Tap


def chat(delta: bytes, usage: bytes = b"null") -> bytes:
    return (
        b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":%b}],"usage":%b}' % (delta, usage)
        + b"\n\n"
    )


def named(name: bytes, rest: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}' % (name, name, rest) + b"\n\n"


def candidate(text: bytes, usage: bytes) -> bytes:
    return b'data: {"candidates":[{"content":{"parts":[%b]}}],"usageMetadata":{%b},"responseId":"a"}' % (text, usage) + b"\r\n\r\n"


CHAT = (
    chat(b'{"role":"assistant","content":""}'),
    chat(b'{"content":"Hello"}'),
    chat(b"{}"),
    chat(b"{}", b'{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}'),
    b"data: [DONE]\n\n",
)
MESSAGES = (
    named(b"message_start", b',"message":{"id":"m","usage":{"input_tokens":20,"cache_read_input_tokens":5,"output_tokens":1}}'),
    named(b"content_block_start", b',"index":0,"content_block":{"type":"text","text":""}'),
    named(b"ping", b""),
    named(b"content_block_delta", b',"index":0,"delta":{"type":"text_delta","text":"Hel"}'),
    named(b"content_block_stop", b',"index":0'),
    named(b"message_delta", b',"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}'),
    named(b"message_stop", b""),
)
GENERATE = (
    candidate(b'{"text":"Hm","thought":true}', b'"promptTokenCount":9,"totalTokenCount":21,"thoughtsTokenCount":12'),
    candidate(b'{"text":"Hel"}', b'"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":23,"thoughtsTokenCount":12'),
    candidate(b'{"text":""}', b'"promptTokenCount":9,"candidatesTokenCount":4,"totalTokenCount":25,"thoughtsTokenCount":12'),
)
RESPONSES = (
    named(b"response.created", b',"response":{"id":"r","status":"in_progress","output":[],"usage":null}'),
    named(b"response.output_text.delta", b',"delta":"Hi"'),
    named(
        b"response.completed",
        b',"response":{"id":"r","usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,'
        b'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}}',
    ),
)
STREAMS = {
    "chat": (CHAT, (9, 12)),
    "messages": (MESSAGES, (20, 15)),
    "generate": (GENERATE, (9, 4)),
    "responses": (RESPONSES, (36, 87)),
}
GOLDEN = pytest.mark.parametrize(("events", "usage"), STREAMS.values(), ids=STREAMS)
Events = tuple[bytes, ...]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def after(reads: list[bytes], *, stream: bool = True) -> Tap:
    tap = Tap(stream=stream)
    for read in reads:
        tap.feed(read)
    return tap


@GOLDEN
def test_usage_is_found_when_each_event_is_one_read(events: Events, usage: tuple[int, int]) -> None:
    assert after(list(events)).usage() == usage
    assert after([chunk(event) for event in events]).usage() == usage


@GOLDEN
@pytest.mark.parametrize("size", [2, 3, 100])
def test_usage_is_found_when_several_events_come_in_one_read(events: Events, usage: tuple[int, int], size: int) -> None:
    reads = [b"".join(chunk(event) for event in events[start : start + size]) for start in range(0, len(events), size)]
    assert after(reads).usage() == usage


def cut_in_last_usage(events: Events) -> list[tuple[list[bytes], bool]]:
    """One read an event, but for the last event with a usage, cut in every way; and whether the cut goes through the mark."""
    number = max(index for index, event in enumerate(events) if b'"usage' in event)
    event = events[number]
    start, end = event.rindex(b'"usage'), event.index(b"{", event.rindex(b'"usage'))
    return [
        ([*events[:number], event[:cut], event[cut:], *events[number + 1 :]], start < cut < end) for cut in range(1, len(event))
    ]


@GOLDEN
def test_usage_is_found_when_its_event_is_cut_anywhere_but_in_the_mark(events: Events, usage: tuple[int, int]) -> None:
    for reads, through_mark in cut_in_last_usage(events):
        if not through_mark:
            assert after(reads).usage() == usage, reads


@GOLDEN
def test_usage_is_found_when_its_event_is_cut_in_the_mark(events: Events, usage: tuple[int, int]) -> None:
    for reads, through_mark in cut_in_last_usage(events):
        if through_mark:
            assert after(reads).usage() == usage, reads


def test_the_input_is_found_when_its_event_is_cut_and_others_follow() -> None:
    first = MESSAGES[0]
    cut = first.index(b"input_tokens")
    assert after([first[:cut], first[cut:], *MESSAGES[1:]]).usage() == (20, 15)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"id":"x","usage":{"prompt_tokens":19,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":0}}}', (19, 10)),
        (b'{"type":"message","content":[],"usage":{"input_tokens":20,"cache_read_input_tokens":1000,"output_tokens":60}}', (20,
        60)),
        (b'{"candidates":[],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":20,"totalTokenCount":150}}', (100, 20)),
        (b'{"usage" : {"prompt_tokens" :\n 3, "total_tokens": 3}}', (3, 0)),
        (b'{"error":{"message":"no"}}', (0, 0)),
        (b'{"usage":null}', (0, 0)),
        (b'{"content":"\\"usage\\":{\\"prompt_tokens\\":999}","usage":{"prompt_tokens":1,"completion_tokens":2}}', (1, 2)),
        (b"", (0, 0)),
        (b"\x00\xff" * 100, (0, 0)),
    ],
)  # fmt: skip
def test_usage_of_an_answer_that_is_no_stream(body: bytes, usage: tuple[int, int]) -> None:
    assert after([body], stream=False).usage() == usage


def test_usage_at_the_end_of_a_great_answer_is_found() -> None:
    body = b'{"data":"' + b"A" * 500_000 + b'","usage":{"input_tokens":50,"output_tokens":70}}'
    reads = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    assert after(reads, stream=False).usage() == (50, 70)
    assert after([body], stream=False).usage() == (50, 70)


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_G01_nothing_that_passes_makes_the_tap_fail(reads: list[bytes], stream: bool) -> None:
    tap = after(reads, stream=stream)
    given_tokens, made = tap.usage()
    assert given_tokens >= 0
    assert made >= 0
    tap.at_event_boundary(chunked=True)


def held_by(tap: Tap) -> int:
    return sum(map(len, (*tap._first, *tap._last, tap._tail)))


def test_G01_what_the_tap_keeps_is_bounded_whatever_passes() -> None:
    tap = Tap(stream=True)
    for _ in range(200):
        tap.feed(b'"usage":{"prompt_tokens":1}' + b"x" * 300_000)
        tap.feed(b"y" * 300_000)
        tap.feed(b"z" * 300_000 + b'"usage":{"prompt_tokens":1}')
        assert held_by(tap) <= 4 * 64 * 1024


BOUNDARY = (
    ([], True), ([b"data: 1\n\n"], True), ([b"data: 1\r\n\r\n"], True), ([b"data: 1\r\r"], True), ([b": comment\n\n"], True),
    ([b"data: 1\n\nevent: x\n\n"], True),
    ([b"data: 1"], False), ([b"data: 1\n"], False), ([b"data: 1\r\n"], False), ([b"data: 1\n\nd"], False), ([b"data: 1\n", b"\n"],
    True), ([b"data: 1", b"\n\n"], True),
    ([b"data: 1\r\n\r", b"\n"], True), ([b"data: ", b"1\n"], False),
)  # fmt: skip


@pytest.mark.parametrize(("reads", "whole"), BOUNDARY)
def test_I07_where_a_stream_stands_when_it_is_not_chunked(reads: list[bytes], whole: bool) -> None:
    assert after(reads).at_event_boundary(chunked=False) is whole


@pytest.mark.parametrize(("reads", "whole"), [case for case in BOUNDARY if len(case[0]) < 2])
def test_I07_where_a_stream_stands_when_each_read_is_a_chunk(reads: list[bytes], whole: bool) -> None:
    assert after([chunk(read) for read in reads]).at_event_boundary(chunked=True) is whole


@pytest.mark.parametrize("cut", range(1, 20))
def test_I07_where_a_stream_stands_does_not_depend_on_the_reads(cut: int) -> None:
    for data, whole in ((chunk(b"data: 12345\n\n"), True), (chunk(b"data: 1234567\n"), False)):
        assert after([data[:cut], data[cut:]]).at_event_boundary(chunked=True) is whole
