"""Where members stand: the same answer for a whole text and for one cut anywhere."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.formats.documents import Document, documents
from translators.formats import scanner as scanner_module
from translators.formats import spans as spans_module
from translators.formats.members import Member, ObjectSpan, Spans, Watch
from translators.formats.scanner import SpanScanner
from translators.formats.spans import find_spans
from translators.formats.strict_json import BadJsonError

PATHS = [("a",), ("b", "c"), ("b", "d", "a"), ("model",), ("é",), ("x.y", "b")]
WATCH = Watch(PATHS)


def scanned(pieces: Iterable[bytes], watch: Watch = WATCH) -> Spans:
    scanner = SpanScanner(watch)
    for piece in pieces:
        scanner.feed(piece)
    return scanner.finish()


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({min(place, len(text)) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def told(spans: Spans) -> tuple[Any, ...]:
    return spans.members, spans.objects, sorted(set(spans.duplicates)), spans.length


def pairs_of(text: bytes) -> Any:
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_int=str, parse_float=str)


def expected(value: Any, watch: Watch) -> tuple[dict[Any, Any], list[Any]]:
    """Values of watched members by path and the paths that stand twice, from the decoded pairs."""
    found: dict[Any, Any] = {}
    twice: list[Any] = []
    for key, inner in value[1]:
        if key not in watch.below:
            continue
        path = (*watch.path, key)
        if path in found:
            twice.append(path)
            continue
        found[path] = inner
        if isinstance(inner, tuple) and watch.below[key].below:
            more, also = expected(inner, watch.below[key])
            found |= more
            twice += also
    return found, sorted(set(twice))


def test_a_member_is_given_with_its_commas_and_neighbours() -> None:
    text = b'{"a":1, "model" : "m" ,"z":{}}'
    spans = find_spans(text, WATCH)
    assert spans.members == {("a",): Member(1, 4, 5, 6, -1, 8), ("model",): Member(8, 15, 18, 21, 6, 23)}
    assert spans.objects == {(): ObjectSpan(0, 29, empty=False)}
    assert told(scanned([text])) == told(spans)


def test_nested_objects_are_given_where_they_stand() -> None:
    text = b'{"b":{ },"x.y":{"b":1}}'
    spans = find_spans(text, WATCH)
    assert spans.objects == {
        (): ObjectSpan(0, 22, empty=False),
        ("b",): ObjectSpan(5, 7, empty=True),
        ("x.y",): ObjectSpan(15, 21, empty=False),
    }
    assert spans.members["x.y", "b"] == Member(16, 19, 20, 21, -1, -1)


@given(documents(unique=False), st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=100, deadline=None)
def test_spans_are_those_of_the_decoded_text_wherever_it_is_cut(document: Document, places: list[int]) -> None:
    text = document.text
    values, twice = expected(pairs_of(text), WATCH)
    spans = find_spans(text, WATCH)
    assert sorted(set(spans.duplicates)) == twice
    assert {path: pairs_of(text[m.value_start : m.value_end]) for path, m in spans.members.items()} == values
    for path, member in spans.members.items():
        assert json.loads(text[member.key_start : member.key_end]) == path[-1]
        assert member.comma < 0 or text[member.comma : member.comma + 1] == b","
        assert member.next_key < 0 or text[member.next_key : member.next_key + 1] == b'"'
    for span in spans.objects.values():
        assert (text[span.open : span.open + 1], text[span.close : span.close + 1]) == (b"{", b"}")
        assert span.empty == (pairs_of(text[span.open : span.close + 1]) == ("object", []))
    for pieces in (cut(text, places), [text[i : i + 1] for i in range(len(text))]):
        assert told(scanned(pieces)) == told(spans)


DIFFICULT = (
    '{ "a" : "\\\\\\"\\ud83d\\ude00\\u00e9/\\/" ,"b":{"c":[-1.25e-10,[[[[{"q":{}}]]]],true],"d":{"a":null}},'
    '"mode\\u006c":"€😀","k' + "e" * 90 + '\\n":0.5, "s":"' + "z" * 300 + "\\ud83d\\ude00" + "z" * 300 + '","é":false}\n'
).encode()


def test_spans_are_exact_at_every_single_and_every_double_cut() -> None:
    whole = told(find_spans(DIFFICULT, WATCH))
    assert len(whole[0]) == 7
    for first in range(len(DIFFICULT)):
        assert told(scanned(cut(DIFFICULT, [first]))) == whole
        assert told(scanned(cut(DIFFICULT, [first, first + 1 + first % 13]))) == whole


@given(documents(), st.integers(0, 300), st.sampled_from(list(b'"\\{}[],:0e-tx\x00\xff ')), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_P03_a_text_spoilt_anywhere_is_judged_as_the_strict_parser_does(document: Document, at: int, byte: int, place: int) -> None:
    at %= len(document.text)
    text = document.text[:at] + bytes([byte]) + document.text[at + 1 :]
    try:
        json.dumps(json.loads(text.decode(), parse_constant=int), ensure_ascii=False).encode()
        good = True
    except ValueError:
        good = False
    for pieces in ([text], cut(text, [place])):
        try:
            scanned(pieces)
        except BadJsonError:
            assert not good
        else:
            assert good


def test_a_fault_is_told_with_the_piece_that_holds_it() -> None:
    scanner = SpanScanner(WATCH)
    scanner.feed(b'{"a":[1,2')
    with pytest.raises(BadJsonError, match="byte 10"):
        scanner.feed(b",}")


def test_a_number_longer_than_any_piece_is_passed_over_with_a_bounded_memory() -> None:
    scanner = SpanScanner(WATCH)
    scanner.feed(b'{"a":-0.5')
    for _ in range(100):
        scanner.feed(b"1" * 1000)
        assert len(scanner._tail) < 20
    scanner.feed(b'e-3,"model":1}')
    spans = scanner.finish()
    assert spans.members["a",][2:4] == (5, 100_012)
    assert spans.members["model",].value_start == 100_021


def test_no_piece_of_a_long_string_or_key_is_kept() -> None:
    scanner = SpanScanner(WATCH)
    scanner.feed(b'{"')
    for _ in range(50):
        scanner.feed(b"k" * 10_000)
        assert len(scanner._tail) + len(scanner._key or b"") < 20_000
    scanner.feed(b'":"')
    for _ in range(50):
        scanner.feed(b"v" * 10_000)
        assert not scanner._tail
    scanner.feed(b'"}')
    assert scanner.finish().length == 2 + 500_000 + 3 + 500_000 + 2


def test_a_string_of_20_mib_costs_a_few_steps_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    original = scanner_module.SpanScanner._string

    def counted(self: SpanScanner, text: bytes, at: int) -> int:
        nonlocal steps
        steps += 1
        return original(self, text, at)

    monkeypatch.setattr(scanner_module.SpanScanner, "_string", counted)
    piece = b"A" * 65536
    spans = scanned([b'{"model":"m","image":"', *[piece] * 320, b'"}'])
    assert spans.length == 320 * 65536 + 24
    assert steps <= 2 * 322


def test_values_that_nobody_watches_cost_no_step_each(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    original = scanner_module.SpanScanner._value

    def counted(self: SpanScanner, text: bytes, at: int) -> int:
        nonlocal steps
        steps += 1
        return original(self, text, at)

    monkeypatch.setattr(scanner_module.SpanScanner, "_value", counted)
    tools = [{"type": "function", "function": {"name": "f", "list": [1, 2.5, True, None]}}] * 1000
    scanned([json.dumps({"tools": tools, "model": "m"}).encode()])
    assert steps < 20


def test_a_small_text_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "SpanScanner", None)
    for text in (b'{"model":"m","a":[1]}', b'{"model": "m", "b": {"c": 1}}', b"{}", b" { } ", '{"é":1}'.encode()):
        assert find_spans(text, WATCH).length == len(text)


@pytest.mark.parametrize("text", [b"[1]", b"1", b'"a"', b"null", b" -1.5e3 "])
def test_a_text_that_is_no_object_has_no_members(text: bytes) -> None:
    spans = find_spans(text, WATCH)
    assert told(spans) == ({}, {}, [], len(text))
    assert told(scanned(cut(text, range(len(text))))) == told(spans)


def test_P02_a_watched_key_that_stands_twice_is_refused() -> None:
    for text in (b'{"a":1,"a":1}', b'{"b":{"c":1,"\\u0063":2}}'):
        for spans in (find_spans(text, WATCH), scanned([text])):
            with pytest.raises(BadJsonError) as caught:
                spans.refuse_duplicates()
            assert (caught.value.status, caught.value.code) == (400, "duplicate_key")
    find_spans(b'{"z":1,"z":2,"a":1}', WATCH).refuse_duplicates()
