"""What other people's text looks like in a log."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.escaping import CUT, escape

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(st.characters(), max_size=600), st.integers(min_value=1, max_value=300))
def test_N07_nothing_that_moves_or_hides_text_survives_and_the_length_holds(text: str, limit: int) -> None:
    clean = escape(text, limit)
    assert len(clean) <= limit
    assert clean.isprintable()
    assert not {unicodedata.category(char) for char in clean} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    clean.encode()


@given(st.text(st.characters(), max_size=30))
def test_a_short_text_can_be_read_back_exactly(text: str) -> None:
    clean = escape(text, 10_000)
    pieces = []
    rest = clean
    while rest:
        size = {"\\\\": 2, "\\u": 6, "\\U": 10}.get(rest[:2], 1)
        piece, rest = rest[:size], rest[size:]
        pieces.append({1: piece, 2: "\\"}.get(size) or chr(int(f"0x{piece[2:]}", 0)))
    assert "".join(pieces) == text


@pytest.mark.parametrize("char", ["\r", "\n", "\x1b", "\x00", "\x7f", "\x85", "\u2028", "\u200b", "\ufeff", "\ud800", *BIDI])
def test_N07_every_dangerous_character_becomes_a_visible_escape(char: str) -> None:
    assert escape(f"a{char}b") == f"a\\u{ord(char):04x}b"


@pytest.mark.parametrize("text", ["/v1/chat", "模型-四", "naïve", "שלום", "", "a b"])
def test_ordinary_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


def test_N07_a_long_text_is_cut_at_256_characters_and_says_so() -> None:
    assert escape("x" * 256) == "x" * 256
    assert escape("x" * 257) == "x" * 255 + CUT


def test_no_escape_is_cut_in_its_middle() -> None:
    for limit in range(1, 40):
        body = escape("\x1b" * 20, limit).removesuffix(CUT)
        assert body == "\\u001b" * (len(body) // 6)


def test_line_ends_of_a_traceback_can_be_kept() -> None:
    assert escape("a\nb\r\x1b", keep="\n") == "a\nb\\u000d\\u001b"
