"""JSON in and out without a lost digit and without a surprise (rule P03)."""

import json
import math
import re
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.formats import strict_json
from translators.formats.members import Watch
from translators.formats.scanner import SpanScanner
from translators.formats.spans import duplicate_top_level_key
from translators.formats.strict_json import BadJsonError, FloatText, IntText, dumps, loads

LONG_INT = "123456789012345678901234567890"

HOSTILE = {
    "an empty text": (b"", 400, "json_syntax"),
    "only white space": (b" \n", 400, "json_syntax"),
    "depth 129": (b"[" * 129 + b"]" * 129, 422, "json_too_deep"),
    "depth 129 in objects": (b'{"a":' * 129 + b"1" + b"}" * 129, 422, "json_too_deep"),
    "depth 100,000": (b"[" * 100_000 + b"]" * 100_000, 422, "json_too_deep"),
    "depth 100,000, never closed": (b'{"a":' * 100_000, 422, "json_too_deep"),
    "depth 129 beside a long number": (b"[" + LONG_INT.encode() + b"," + b"[" * 128 + b"]" * 129, 422, "json_too_deep"),
    "NaN": (b'{"a":NaN}', 400, "json_syntax"),
    "Infinity": (b"[Infinity]", 400, "json_syntax"),
    "minus Infinity beside a long number": (b"[-Infinity," + LONG_INT.encode() + b"]", 400, "json_syntax"),
    "a trailing comma in an array": (b"[1,]", 400, "json_syntax"),
    "a trailing comma in an object": (b'{"a":1,}', 400, "json_syntax"),
    "trailing data": (b'{"a":1} x', 400, "json_syntax"),
    "a second value": (b"{}{}", 400, "json_syntax"),
    "a comment": (b'{"a":1 // one\n}', 400, "json_syntax"),
    "single quotes": (b"{'a':1}", 400, "json_syntax"),
    "a bare key": (b"{a:1}", 400, "json_syntax"),
    "a leading zero": (b"[01]", 400, "json_syntax"),
    "a bare exponent": (b"[1e]", 400, "json_syntax"),
    "a plus sign": (b"[+1]", 400, "json_syntax"),
    "a control character in a string": (b'["a\nb"]', 400, "json_syntax"),
    "a control character in a long string": (b'["' + b"a" * 500 + b"\x01" + b'"]', 400, "json_syntax"),
    "an unknown escape": (b'["\\x41"]', 400, "json_syntax"),
    "a form feed between values": (b"[1,\x0c2]", 400, "json_syntax"),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', 400, "json_bom"),
    "UTF-16 with a mark": ('{"a":1}'.encode("utf-16"), 400, "json_not_utf8"),
    "UTF-16, little end first": ('{"a":1}'.encode("utf-16-le"), 400, "json_not_utf8"),
    "UTF-16, big end first": ('{"a":1}'.encode("utf-16-be"), 400, "json_not_utf8"),
    "UTF-32": ('{"a":1}'.encode("utf-32-le"), 400, "json_not_utf8"),
    "Latin-1": (b'{"a":"caf\xe9"}', 400, "json_not_utf8"),
    "a surrogate encoded as UTF-8": (b'["\xed\xa0\x80"]', 400, "json_not_utf8"),
    "an overlong encoding": (b'["\xc0\xaf"]', 400, "json_not_utf8"),
    "a character cut short": (b'["\xe2\x82', 400, "json_not_utf8"),
    "a lone high surrogate": (b'["\\ud800"]', 422, "json_lone_surrogate"),
    "a lone low surrogate": (b'["\\udc00"]', 422, "json_lone_surrogate"),
    "two high surrogates": (b'["\\ud83d\\ud83d"]', 422, "json_lone_surrogate"),
    "a lone surrogate in a key": (b'{"\\ud800":1}', 422, "json_lone_surrogate"),
    "a high surrogate before a character": (b'["\\ud800\\u0041"]', 422, "json_lone_surrogate"),
    "a lone surrogate beside a long number": (b'["\\ud800",' + LONG_INT.encode() + b"]", 422, "json_lone_surrogate"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_P03_hostile_text_is_refused_with_a_status_a_code_and_a_cure(name: str) -> None:
    text, status, code = HOSTILE[name]
    with pytest.raises(BadJsonError) as caught:
        loads(text)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert ";" in caught.value.message, "a message says what is wrong; and what to do"


def scan(pieces: list[bytes]) -> None:
    scanner = SpanScanner(Watch([("a", "b")]))
    for piece in pieces:
        scanner.feed(piece)
    scanner.finish()


@pytest.mark.parametrize("cut", [1, 7, 1_000_000])
@pytest.mark.parametrize("name", HOSTILE)
def test_P03_hostile_text_in_pieces_is_refused_alike(name: str, cut: int) -> None:
    text, status, code = HOSTILE[name]
    with pytest.raises(BadJsonError) as caught:
        scan([text[start : start + cut] for start in range(0, len(text), cut)])
    assert (caught.value.status, caught.value.code) == (status, code)


def test_P03_depth_128_is_accepted_and_the_bound_can_be_chosen() -> None:
    text = b"[" * 64 + b'{"a":' * 64 + b"1" + b"}" * 64 + b"]" * 64
    assert dumps(loads(text)) == text
    assert loads(b"[[1]]", depth=2) == [[1]]
    with pytest.raises(BadJsonError, match="deeper than 2"):
        loads(b"[[[]]]", depth=2)


def test_P03_many_brackets_that_are_not_deep_are_accepted() -> None:
    assert loads(b"[" + b"[]," * 500 + b'"[[[["]')[-1] == "[[[["


@pytest.mark.parametrize(
    "number",
    [
        LONG_INT,
        "-" + LONG_INT,
        "18446744073709551616",
        "-9223372036854775809",
        "0.12345678901234567890123",
        "1234567.890123456789",
        "1E400",
        "-1e-400",
        "1.00000000000000000000000000001",
        "9007199254740993.0",
    ],
)
@pytest.mark.parametrize("frame", ["{}", "[{}]", '{{"a":{}}}', '{{"a": {} ,"b":1}}', "[1,\n{}\n]"])
def test_P03_a_number_that_a_double_or_64_bits_cannot_hold_is_written_as_it_was(number: str, frame: str) -> None:
    text = frame.format(number).encode()
    printed = dumps(loads(text))
    assert re.sub(rb"\s", b"", printed) == re.sub(rb"\s", b"", text)


def test_P03_numbers_kept_as_text_are_still_numbers() -> None:
    value = loads(f"[{LONG_INT},0.12345678901234567890123,1E400]".encode())
    assert value[0] == int(LONG_INT)
    assert isinstance(value[0], IntText)
    assert value[1] == pytest.approx(0.12345678901234568)
    assert isinstance(value[1], FloatText)
    assert value[2] == math.inf


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "0.1", "1E5", "5e-324", "0.10000000000000000", "0e999"]
)
def test_P03_a_number_that_keeps_its_value_is_a_plain_one(number: str) -> None:
    value = loads(number.encode())
    assert type(value) in (int, float)
    assert Decimal(number) == Decimal(repr(value)) or value == float(number)


def test_P03_digits_in_strings_are_no_numbers() -> None:
    text = b'{"id":"call_12345678901234567890123","b":", 12345678901234567890123","c":"1e999"}'
    assert dumps(loads(text)) == text


def test_P03_a_number_of_more_than_a_thousand_characters_is_422_at_once() -> None:
    for number in (b"1" * 1001, b"-" + b"9" * 10_000, b"0." + b"3" * 100_000, b"1" * 1_000_000):
        with pytest.raises(BadJsonError) as caught:
            loads(b'{"a":%b}' % number)
        assert (caught.value.status, caught.value.code) == (422, "json_number_too_long")
    assert dumps(loads(b"7" * 1000)) == b"7" * 1000


def test_P03_a_message_gives_the_byte_offset_not_the_character() -> None:
    with pytest.raises(BadJsonError, match="byte 8"):
        loads('{"éé":x}'.encode())


def test_any_buffer_is_read() -> None:
    assert loads(bytearray(b"[1]")) == loads(memoryview(b"[1]")) == [1]


def test_the_last_of_two_keys_counts_on_both_ways() -> None:
    assert loads(b'{"a":1,"a":2}') == {"a": 2}
    assert loads(b'{"a":1,"a":%b}' % LONG_INT.encode()) == {"a": int(LONG_INT)}


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": [-math.inf, None]}])
def test_what_is_no_number_in_json_is_never_printed_as_null(value: Any) -> None:
    with pytest.raises(BadJsonError) as caught:
        dumps(value)
    assert (caught.value.status, caught.value.code) == (422, "json_not_finite")


def test_null_is_printed() -> None:
    assert dumps({"a": None, "b": [1.5, "null"]}) == b'{"a":null,"b":[1.5,"null"]}'


def test_what_cannot_be_printed_is_refused_clearly() -> None:
    for value in ("\ud800", {"\ud800": 1}, 1 << 70):
        with pytest.raises(BadJsonError) as caught:
            dumps(value)
        assert (caught.value.status, caught.value.code) == (422, "json_unprintable")
    with pytest.raises(TypeError):
        dumps(object())


@given(st.binary(max_size=60) | st.text('[]{}",:\\u0dD8e1E.-+ntfrl \n', max_size=30).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_P03_no_text_at_all_raises_anything_else(text: bytes) -> None:
    try:
        value = loads(text)
    except BadJsonError:
        with pytest.raises(ValueError):  # noqa: PT011 - any reason will do
            strict_reference(text)
    else:
        assert value == strict_reference(text)


def strict_reference(text: bytes) -> Any:
    """The standard parser with its three liberties taken away."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    value = json.loads(text.decode(), parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()
    return value


@given(st.lists(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True), max_size=5))
@settings(max_examples=100, deadline=None)
def test_P03_every_number_is_printed_with_the_value_it_had(numbers: list[str]) -> None:
    printed = dumps(loads(f"[{','.join(numbers)}]".encode())).decode()
    again = json.loads(printed, parse_float=Decimal, parse_int=Decimal)
    assert again == [Decimal(number) for number in numbers]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'{"a":1,"b":2,"a":3}', "a"),
        (b'{"a":1,"\\u0061":1}', "a"),
        (b'{"a":{"x":1,"b":2},"b":{"a":1}}', None),
        (b'{"a":1,"a":1}', "a"),
        (b'{ "a" : 11 , "a" : 1 }', "a"),
        (b'{"a":{"p":1,     "b":2},"b":{},"a":123456}', "a"),
        (b"{}", None),
        (b"[1]", None),
        (orjson.dumps({"model": "m", "messages": []}), None),
    ],
)
def test_P02_a_key_that_stands_twice_at_the_top_is_found(text: bytes, key: str | None) -> None:
    assert duplicate_top_level_key(text) == key


def test_the_error_is_a_value_error() -> None:
    assert issubclass(strict_json.BadJsonError, ValueError)
