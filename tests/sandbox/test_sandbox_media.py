"""Media that the sandbox makes: each file is read back by its own format's rules, and files are served in ranges."""

import io
import struct
import wave
import zlib

import pytest

from proxy.sandbox import media, sound, video
from proxy.sandbox.files import serve
from proxy.sandbox.pictures import size_of

SEED = bytes(range(12))
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf")


def boxes(data: bytes, start: int = 0) -> list[tuple[bytes, int, int]]:
    """All boxes of an ISO base media file with the places of their contents, children after their parents."""
    found: list[tuple[bytes, int, int]] = []
    place = 0
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        assert 8 <= size <= len(data) - place, f"the box {kind!r} does not fit its parent"
        found.append((kind, start + place + 8, start + place + size))
        if kind in CONTAINERS:
            found += boxes(data[place + 8 : place + size], start + place + 8)
        place += size
    return found


def test_a_film_is_an_mp4_file_whose_index_leads_to_every_frame() -> None:
    data = video.mp4(SEED)
    found = boxes(data)
    assert [kind for kind, _, _ in found if kind in (b"ftyp", b"moov", b"mdat")] == [b"ftyp", b"moov", b"mdat"]
    index = {kind: data[start:end] for kind, start, end in found}
    count = struct.unpack_from(">I", index[b"stsz"], 8)[0]
    sizes = struct.unpack_from(f">{count}I", index[b"stsz"], 12)
    place = struct.unpack_from(">I", index[b"stco"], 8)[0]
    _, start, end = next(box for box in found if box[0] == b"mdat")
    assert (place, sum(sizes)) == (start, end - start)
    assert struct.unpack_from(">II", index[b"stts"], 8) == (count, 1000 // video.RATE)
    assert struct.unpack_from(">HH", index[b"stsd"], 8 + 8 + 24) == (16 * video.COLUMNS, 16 * video.ROWS)
    for size in sizes:
        assert struct.unpack_from(">I", data, place)[0] == size - 4
        assert data[place + 4] == 0x65, "every frame is an IDR slice"
        unit = data[place + 4 : place + size]
        assert not any(pattern in unit for pattern in (b"\0\0\0", b"\0\0\1", b"\0\0\2", b"\0\0\3")), (
            "nothing looks like a start code"
        )
        assert unit.endswith(b"\x80"), "the stop bit ends the slice"
        place += size


def test_frames_differ_and_so_do_films() -> None:
    assert len(set(video.mp4(SEED).split(b"\x65\x88"))) > video.FRAMES // 2
    assert video.mp4(SEED) != video.mp4(SEED[1:])
    assert video.mp4(SEED) == video.mp4(SEED)


def test_a_wav_holds_one_second_of_a_tone() -> None:
    with wave.open(io.BytesIO(sound.wav(SEED))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 16000, 16000)
        samples = struct.unpack("<16000h", file.readframes(16000))
    assert max(samples) > 7000
    assert min(samples) < -7000
    assert struct.pack("<16000h", *samples) == sound.pcm(SEED)


def test_an_mp3_is_a_tag_and_whole_frames() -> None:
    data = sound.mp3(SEED)
    assert data[:3] == b"ID3"
    size = sum(byte << 7 * place for place, byte in enumerate(reversed(data[6:10])))
    place, frames = 10 + size, 0
    while place < len(data):
        sync, third = struct.unpack_from(">HB", data, place)
        assert sync == 0xFFFB, "MPEG 1, layer III, without a checksum"
        bit_rate, sample_rate = {5: 64_000}[third >> 4], {0: 44_100}[third >> 2 & 3]
        place += 144 * bit_rate // sample_rate + (third >> 1 & 1)
        frames += 1
    assert place == len(data)
    assert 0.9 < frames * 1152 / 44_100 < 1.1


def test_a_png_is_whole() -> None:
    data = media.PNG.make(SEED)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, kinds = 8, []
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(data[place + 4 : place + 8 + length])
        kinds.append(kind)
        place += 12 + length
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    ("text", "extension", "hexadecimal"),
    [
        ("494433", "mp3", True),
        ("SUQz", "mp3", False),
        ("52494646", "wav", True),
        ("UklGRg==", "wav", False),
        ("iVBORw0KGgo=", "png", False),
        ("/9j/", "jpg", False),
        ("AAAAGGZ0eXA=", "mp4", False),
        ("data:image/png;base64,AAAA", "png", False),
    ],
)
def test_media_inside_json_is_recognised_by_its_first_bytes(text: str, extension: str, hexadecimal: bool) -> None:
    found = media.embedded(text)
    assert found is not None
    assert (found.kind.extension, found.hexadecimal) == (extension, hexadecimal)
    again = media.embedded(found.write(found.kind.make(SEED)))
    assert again is not None
    assert again.kind is found.kind


@pytest.mark.parametrize(
    "text", ["", "8293", "0400", "AAAA", "success", "kling-v2-6", "https://example.com/a.png", "UklGRgAAAABXRUJQ"]
)
def test_other_texts_are_no_media(text: str) -> None:
    assert media.embedded(text) is None


def test_a_file_is_made_of_its_name() -> None:
    name = media.name_of(media.MP4, media.seed_of("a", "b"))
    assert media.named(name) == (video.mp4(media.seed_of("a", "b")), "video/mp4")
    seed = media.seed_of("a cat")
    picture = media.made(media.PNG, seed, (64, 32))
    assert struct.unpack(">II", picture[16:24]) == (64, 32)
    assert media.named(media.name_of(media.PNG, seed, (64, 32))) == (picture, "image/png")
    assert media.named("../etc/passwd") is None
    assert media.named(name.replace(".mp4", ".exe")) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("1024x1536", (1024, 1536)), ("1328*1328", (1328, 1328)), ("16:9", (341, 192)), ("1:0", None), ("auto", None)],
)
def test_a_size_is_read_in_every_spelling(text: str, size: tuple[int, int] | None) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ({}, 200, None, b"0123456789"),
        ({"Range": "bytes=2-4"}, 206, "bytes 2-4/10", b"234"),
        ({"Range": "bytes=7-"}, 206, "bytes 7-9/10", b"789"),
        ({"Range": "bytes=-3"}, 206, "bytes 7-9/10", b"789"),
        ({"Range": "bytes=0-99"}, 206, "bytes 0-9/10", b"0123456789"),
        ({"Range": "bytes=10-"}, 416, "bytes */10", b""),
        ({"Range": "bytes=-0"}, 416, "bytes */10", b""),
        ({"Range": "bytes=0-1,3-4"}, 200, None, b"0123456789"),
        ({"Range": "bytes=2-4", "If-Range": '"another"'}, 200, None, b"0123456789"),
    ],
)
def test_a_file_is_served_in_ranges(asked: dict[str, str], status: int, content_range: str | None, body: bytes) -> None:
    got, head, data = serve(b"0123456789", "audio/wav", asked)
    assert (got, head.get("Content-Range"), data) == (status, content_range, body)


def test_a_file_that_is_known_is_not_sent_again() -> None:
    _, head, _ = serve(b"0123456789", "audio/wav", {})
    assert serve(b"0123456789", "audio/wav", {"If-None-Match": head["ETag"]})[::2] == (304, b"")
    assert serve(b"012345678", "audio/wav", {"If-None-Match": head["ETag"]})[0] == 200
