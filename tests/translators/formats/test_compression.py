"""Content codings undone within bounds (rule P05): real bodies, bombs, cut bodies, garbage after the end."""

import contextlib
import gzip
import random
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.formats import compression
from translators.formats.compression import (
    BadEncodingError,
    CompressionError,
    Decoder,
    TooLargeError,
    UnknownCodingError,
    known_codings,
)

MIB = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACK = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "DEFLATE": raw_deflate,
    "br": brotli.compress,
    "zstd": zstd,
}
CODINGS = sorted(PACK)
TEXT = random.Random(7).randbytes(3000).hex().encode()


def decode(coding: str, data: bytes, max_size: int = 64 * MIB, size: int = 0) -> bytes:
    decoder = Decoder(coding, max_size)
    size = size or len(data) or 1
    return b"".join(decoder.feed(data[i : i + size]) for i in range(0, len(data), size)) + decoder.finish()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [0, 1, 5])
def test_P05_every_coding_is_undone_at_every_cut(coding: str, size: int) -> None:
    assert decode(coding, PACK[coding](TEXT), size=size) == TEXT
    assert decode(coding, PACK[coding](b""), size=size) == b""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(CODINGS), max_size=4), st.binary(max_size=300), st.integers(1, 50))
def test_P05_codings_in_a_row_are_undone_in_reverse(codings: list[str], data: bytes, size: int) -> None:
    packed = data
    for coding in codings:
        packed = PACK[coding](packed)
    assert decode(" , ".join(codings), packed, size=size) == data


@pytest.mark.parametrize("value", ["", "identity", " Identity ,", "identity, identity"])
def test_no_coding_leaves_the_bytes_and_still_counts_them(value: str) -> None:
    assert decode(value, b"abc", max_size=3) == b"abc"
    with pytest.raises(TooLargeError):
        decode(value, b"abcd", max_size=3, size=1)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [0, 100])
def test_P05_a_body_at_the_limit_passes_and_one_byte_more_is_refused(coding: str, size: int) -> None:
    packed = PACK[coding](TEXT)
    assert decode(coding, packed, max_size=len(TEXT), size=size) == TEXT
    with pytest.raises(TooLargeError, match="larger than"):
        decode(coding, packed, max_size=len(TEXT) - 1, size=size)


@pytest.mark.parametrize("coding", CODINGS)
def test_P05_a_bomb_is_refused_before_it_takes_memory(coding: str) -> None:
    bomb = PACK[coding](bytes(40 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            decode(coding, bomb, max_size=2 * MIB)
        with pytest.raises(TooLargeError, match="100 times"):
            decode(coding, bomb)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 24 * MIB  # what a gzip bomb of 40 KiB may come to at 100:1 stands in memory twice: as pieces and joined


def test_P05_gzip_in_gzip_five_times_is_one_budget() -> None:
    bomb = bytes(100 * MIB)
    for _ in range(5):
        bomb = gzip.compress(bomb, mtime=0)
    coding = ", ".join(["gzip"] * 5)
    with pytest.raises(TooLargeError, match="100 times"):
        decode(coding, bomb)
    with pytest.raises(TooLargeError):
        decode(coding, bomb, max_size=1000)


def test_P05_the_ratio_counts_only_above_its_floor() -> None:
    packed = gzip.compress(bytes(100_000), mtime=0)
    assert len(packed) * 100 < 100_000
    assert len(decode("gzip", packed)) == 100_000
    decoder = Decoder("gzip", MIB, max_ratio=200, ratio_floor=99_999)
    with pytest.raises(TooLargeError, match="200 times"):
        decoder.feed(packed)


@pytest.mark.parametrize("coding", CODINGS)
def test_P05_a_body_that_stops_too_early_is_refused_wherever_it_stops(coding: str) -> None:
    packed = PACK[coding](b"hello " * 10)
    for end in range(1, len(packed)):
        with pytest.raises(BadEncodingError, match="stops before its end"):
            decode(coding, packed[:end])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("garbage", [b"\0", b"x", b"garbage after the end"])
@pytest.mark.parametrize("apart", [True, False])
def test_P05_bytes_after_the_end_are_refused(coding: str, garbage: bytes, apart: bool) -> None:
    decoder = Decoder(coding, MIB)
    packed = PACK[coding](b"hello")
    parts = [packed, garbage] if apart else [packed + garbage]
    with pytest.raises(BadEncodingError):
        _ = [*map(decoder.feed, parts), decoder.finish()]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [0, 1])
def test_members_and_frames_one_after_another_are_one_body_up_to_a_bound(coding: str, size: int) -> None:
    pack = PACK[coding]
    assert decode(coding, pack(b"ab") + pack(b"") + pack(b"cd"), size=size) == b"abcd"
    assert decode(coding, pack(b"a") * compression.MAX_MEMBERS) == b"a" * compression.MAX_MEMBERS
    with pytest.raises(BadEncodingError, match="more than"):
        decode(coding, pack(b"") * (compression.MAX_MEMBERS + 1))


def test_a_zstd_frame_that_wants_a_window_over_the_allowed_one_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=25, enable_ldm=True)
    engine = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = engine.compress(b"x" * MIB) + engine.flush()
    with pytest.raises(BadEncodingError, match="zstd"):
        decode("zstd", packed)


@pytest.mark.parametrize("coding", ["compress", "lzma", "gzip, aws-chunked", "gzip;q=1", "utf-8\r\nx"])
def test_P05_an_unknown_coding_is_named(coding: str) -> None:
    with pytest.raises(UnknownCodingError, match="gzip, deflate"):
        Decoder(coding, MIB)
    assert {"gzip", "deflate", "br", "zstd"} == set(known_codings())


def test_a_chain_of_codings_has_an_end() -> None:
    with pytest.raises(UnknownCodingError, match="at most 8"):
        Decoder("gzip," * 9, MIB)


@pytest.mark.parametrize("missing", ["_BROTLI", "_ZSTD"])
def test_what_no_library_is_there_for_is_unknown(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_BROTLI", "_ZSTD_BOUNDED", "_ZSTD_UNBOUNDED"):
        monkeypatch.setattr(compression, name, None)
    with pytest.raises(UnknownCodingError):
        Decoder("br" if missing == "_BROTLI" else "zstd", MIB)
    assert known_codings() == ("gzip", "deflate")


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_of_no_bytes_decodes_to_nothing(coding: str) -> None:
    assert decode(coding, b"") == b""


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CODINGS), st.binary(max_size=60), st.integers(0, 40), st.integers(1, 9))
def test_hostile_bytes_end_in_an_error_of_ours_or_in_bytes(coding: str, noise: bytes, keep: int, size: int) -> None:
    hostile = PACK[coding](b"some text, some text")[:keep] + noise
    with contextlib.suppress(CompressionError):
        assert len(decode(coding, hostile, max_size=MIB, size=size)) <= MIB
