"""References: every spelling of the fact sheets is recognised, and each form leaves as a platform wants it."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.formats.forms import FileRef, form_scope, read_form, write_form
from translators.formats.media import (
    Kind,
    NeedsFetch,
    Reference,
    UnsupportedReferenceError,
    collect,
    extension_of,
    media_type_of,
    recognise,
    references,
    to_form,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
JPEG = b"\xff\xd8\xff\xe0" + bytes(60)
URL = "https://example.com/Cat.png?sig=a%2Fb"
FILE = FileRef("a.png", "image/png", PNG)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


DATA_URI = f"data:image/png;base64,{b64(PNG)}"


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"BM\0\0\0\0\0\0\0\0", "image/bmp"),
        (b"BMW is a car", None),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x14ftypM4A ", "audio/mp4"),
        (b"\0\0\0\x1cftypavif", "image/avif"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "video/x-matroska"),
        (b"ID3\4", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xfb\xf0\x64", None),
        (b"\xff\xfb\x9c\x64", None),
        (b"\xff\xfe\x90\x64", None),
        (b"fLaC", "audio/flac"),
        (b"OggS", "audio/ogg"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\xef\xbb\xbf\n<svg xmlns=", "image/svg+xml"),
        (b"", None),
        (b"\xff", None),
        (b"hello", None),
    ],
)
def test_the_first_bytes_tell_the_media_type(head: bytes, media_type: str | None) -> None:
    assert media_type_of(head) == media_type
    assert media_type_of(memoryview(head)) == media_type


@pytest.mark.parametrize(
    ("value", "kind", "media_type", "size"),
    [
        (URL, Kind.URL, None, None),
        ("HTTP://x.test/a", Kind.URL, None, None),
        (DATA_URI, Kind.DATA_URI, "image/png", 68),
        (f"DATA:;BASE64,{b64(JPEG)}", Kind.DATA_URI, "image/jpeg", 64),
        (f"data:application/octet-stream;base64,{b64(JPEG)}", Kind.DATA_URI, "image/jpeg", 64),
        (f"data:image/png\r\nX: y;base64,{b64(JPEG)}", Kind.DATA_URI, "image/jpeg", 64),
        ({"data": b64(JPEG), "mimeType": "image/png;\r\nX: y"}, Kind.BASE64, "image/jpeg", 64),
        (f"data:image/*;x=y;base64,{b64(JPEG)}", Kind.DATA_URI, "image/jpeg", 64),
        (b64(PNG), Kind.BASE64, "image/png", 68),
        (b64(PNG).rstrip("="), Kind.BASE64, "image/png", 68),
        (base64.encodebytes(PNG).decode(), Kind.BASE64, "image/png", 68),
        (base64.urlsafe_b64encode(JPEG).decode(), Kind.BASE64, "image/jpeg", 64),
        (FILE, Kind.FILE, "image/png", 68),
        (FileRef("a", None, memoryview(PNG)), Kind.FILE, "image/png", 68),
        (FileRef("a", "application/octet-stream", b"?"), Kind.FILE, "application/octet-stream", 1),
        ({"image_url": URL}, Kind.URL, None, None),
        ({"url": DATA_URI}, Kind.DATA_URI, "image/png", 68),
        ({"image_url": {"url": URL}}, Kind.URL, None, None),
        ({"type": "image_url", "image_url": {"url": b64(PNG), "detail": "low"}}, Kind.BASE64, "image/png", 68),
        ({"type": "input_image", "image_url": URL, "file_id": None}, Kind.URL, None, None),
        ({"b64_json": b64(PNG)}, Kind.BASE64, "image/png", 68),
        ({"b64_json": DATA_URI}, Kind.DATA_URI, "image/png", 68),
        ({"bytesBase64Encoded": b64(b"any"), "mimeType": "video/mp4"}, Kind.BASE64, "video/mp4", 3),
        ({"inlineData": {"mimeType": "image/png", "data": b64(b"1234")}}, Kind.BASE64, "image/png", 4),
        ({"file_id": "file-1"}, Kind.FILE_ID, None, None),
    ],
)
def test_every_form_of_a_reference_is_recognised(value: Any, kind: Kind, media_type: str | None, size: int | None) -> None:
    found = recognise(value)
    assert (found.kind, found.media_type, found.size) == (kind, media_type, size)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a cat", "is no reference"),
        ("猫", "is no reference"),
        ("", "wrong length"),
        ("====", "wrong length"),
        (b64(PNG)[:-3], "wrong length"),
        (b64(PNG) + "=", "wrong length"),
        ("SGVsbG8gd29ybGQh", "no known kind of file"),
        ("ftp://x.test/a.png", "is no reference"),
        ("http://x.test/a\r\nX: y", "space or control character"),
        ("data:image/png,abc", "not base64"),
        ("data:text/plain;base64," + "!", "is no reference"),
        ({}, "object without a reference"),
        ({"url": {"url": {"url": URL}}}, "object without a reference"),
        ({"url": 1}, "object without a reference"),
        (1, "neither text nor an object nor a file"),
        (None, "neither text nor an object nor a file"),
    ],
)
def test_what_is_no_reference_is_refused_with_what_was_expected(value: Any, message: str) -> None:
    with pytest.raises(UnsupportedReferenceError, match=message) as caught:
        recognise(value, "`image`")
    assert caught.value.message.startswith("`image`")


@pytest.mark.parametrize("value", [b64(PNG), DATA_URI, FILE])
def test_bytes_leave_in_every_form_but_a_url(value: Any) -> None:
    found = recognise(value)
    assert to_form(found, "base64") == b64(PNG)
    assert to_form(found, "data_uri") == DATA_URI
    file = to_form(found, "file", "picture")
    assert isinstance(file, FileRef)
    assert (file.filename, file.content_type, bytes(file.data)) == ("a.png" if value is FILE else "picture.png", "image/png", PNG)
    with pytest.raises(UnsupportedReferenceError, match="takes URLs only"):
        to_form(found, "url")


def test_a_url_leaves_as_it_came_and_is_fetched_for_any_other_form() -> None:
    assert to_form(recognise(URL), "url") == URL
    for form in ("base64", "data_uri", "file"):
        assert to_form(recognise(URL), form) == NeedsFetch(URL)


def test_a_form_that_a_reference_already_has_is_left_as_it_came() -> None:
    odd = f"data:image/png;name=a.png;base64,{b64(PNG)}"
    assert to_form(recognise(odd), "data_uri") == odd
    assert to_form(recognise(FILE), "file") is FILE
    assert to_form(recognise(f"data:;base64,{b64(PNG)}"), "data_uri") == DATA_URI


def test_a_file_id_means_something_to_its_platform_only() -> None:
    with pytest.raises(UnsupportedReferenceError, match="file-1"):
        to_form(recognise({"file_id": "file-1"}), "base64")


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="hex"):
        to_form(recognise(URL), "hex")


@settings(max_examples=80)
@given(st.binary(max_size=90), st.booleans(), st.booleans())
def test_bytes_survive_any_way_through_the_forms(data: bytes, wrapped: bool, padded: bool) -> None:
    text = base64.encodebytes(PNG + data).decode() if wrapped else b64(PNG + data)
    found = recognise(text if padded else text.strip().rstrip("="))
    assert found.size == len(PNG + data)
    file = to_form(found, "file")
    assert isinstance(file, FileRef)
    assert to_form(recognise(to_form(recognise(file), "data_uri")), "base64") == b64(PNG + data)


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        ("image/png", "png"),
        ("image/jpeg; q=1", "jpg"),
        ("video/quicktime", "mov"),
        ("audio/x-wav", "wav"),
        ("x/../../etc", "etc"),
        ("", "bin"),
        ("application/octet-stream", "bin"),
    ],
)
def test_a_media_type_has_an_extension(media_type: str, extension: str) -> None:
    assert extension_of(media_type) == extension


def shown(found: list[Reference]) -> list[str]:
    """The URLs of references, and of others what their bytes say."""
    return [
        str(reference.value)
        if reference.kind in (Kind.URL, Kind.FILE_ID)
        else base64.b64decode(str(to_form(reference, "base64")))[8:].strip(b"\0").decode()
        for reference in found
    ]


def url(number: int) -> str:
    return f"https://x.test/{number}"


def png(mark: str) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + mark.encode()


@pytest.mark.parametrize(
    ("body", "found", "used"),
    [
        ({"prompt": "a cat"}, [], set()),
        ({"image": url(1)}, [url(1)], {"image"}),
        ({"image": [url(1), b64(png("2"))]}, [url(1), "2"], {"image"}),
        ({"image[]": [url(1)]}, [url(1)], {"image[]"}),
        ({"images": [{"image_url": url(1)}, {"file_id": "file-2"}]}, [url(1), "file-2"], {"images"}),
        ({"image_urls": [url(1)], "reference_images": [url(2)]}, [url(1), url(2)], {"image_urls", "reference_images"}),
        ({"input_reference": url(1)}, [url(1)], {"input_reference"}),
        ({"input_reference": [url(1), url(2)]}, [url(1), url(2)], {"input_reference"}),
        ({"input_reference": {"image_url": url(1)}}, [url(1)], {"input_reference"}),
        ({"input_reference": {"image_url": [url(1), url(2)]}}, [url(1), url(2)], {"input_reference"}),
        ({"input_reference": {"file_id": "file-1"}}, ["file-1"], {"input_reference"}),
        ({"input_reference[image_url]": url(1)}, [url(1)], {"input_reference[image_url]"}),
        ({"image_2": url(2), "prompt": "p", "image_1": url(1)}, [url(1), url(2)], {"image_1", "image_2"}),
        ({"input_reference": url(2), "image": url(1)}, [url(2), url(1)], {"input_reference", "image"}),
        ({"image": "", "images": [], "input_reference": None}, [], {"image", "images", "input_reference"}),
        ({"image_size": "2K", "image_x": url(1), "images_2": url(1), "my_image": url(1)}, [], set()),
    ],
)
def test_references_are_found_in_every_spelling_and_in_order(body: dict[str, Any], found: list[str], used: set[str]) -> None:
    refs = references(body)
    assert (shown(refs.refs), refs.mask, refs.used) == (found, None, used)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"image": png("1")}, ["1"]),
        ({"image[]": [png("1"), png("2")]}, ["1", "2"]),
        ({"image": [png("1"), png("2")]}, ["1", "2"]),
        ({"image[1]": png("2"), "image[0]": png("1")}, ["1", "2"]),
        ({"image_url": url(1)}, [url(1)]),
        ({"input_reference": png("1")}, ["1"]),
        ({"input_reference[]": [png("1"), png("2")]}, ["1", "2"]),
        ({"input_reference[]": [url(1)], "input_reference": png("2")}, [url(1), "2"]),
        ({"input_reference[image_url]": url(1)}, [url(1)]),
        ({"input_reference[image_url]": [url(1), url(2)]}, [url(1), url(2)]),
        ({"images[][image_url]": [url(1), url(2)]}, [url(1), url(2)]),
    ],
)
def test_references_are_found_in_the_parts_of_a_form(fields: dict[str, Any], found: list[str]) -> None:
    def as_part(value: Any) -> Any:
        if isinstance(value, list):
            return [as_part(item) for item in value]
        return FileRef("a.png", "image/png", value) if isinstance(value, bytes) else value

    body = write_form({"prompt": "p", **{name: as_part(value) for name, value in fields.items()}}, b"b0undary")
    scope = form_scope(read_form(body, b"b0undary"))
    refs = references(scope)
    assert shown(refs.refs) == found
    assert refs.used == set(scope) - {"prompt"}


def test_the_mask_stands_apart() -> None:
    for mask in (FILE, {"image_url": URL}, DATA_URI):
        refs = references({"image": URL, "mask": mask})
        assert refs.mask == recognise(mask)
        assert (shown(refs.refs), refs.used) == ([URL], {"image", "mask"})
    with pytest.raises(UnsupportedReferenceError, match="2 masks"):
        references({"mask": [URL, URL]})


def test_what_is_no_reference_is_named_by_its_place() -> None:
    with pytest.raises(UnsupportedReferenceError, match=r"`images\[1\]`.image_url is no reference"):
        references({"images": [{"image_url": URL}, {"image_url": "a cat!"}]})


def test_other_fields_can_be_asked_for() -> None:
    assert shown(collect({"video": url(1), "image": url(2)}, ["video"])) == [url(1)]


def test_a_reference_shows_no_data_in_messages() -> None:
    assert b64(PNG) not in repr(recognise(DATA_URI))
    assert "PNG" not in repr(recognise(FILE))
