"""Request targets: what is refused, and that everything else stays byte for byte what it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.refusal import Refusal
from proxy.wire.target import Target, read_target, single_parameter, without_parameters

NAMES = frozenset((b"key", b"api_key", b"access_token"))


def refused(raw: bytes, method: str = "GET", host: bytes = b"h", scheme: bytes = b"http") -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_target(raw, method, host, scheme)
    assert (caught.value.status, caught.value.close) == (400, True)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"/", b"/v1/models", b"/v1/models/a%2Fb", b"/v1//x/", b"//host/x", b"/a:b@c;d=e,f", b"/%7Eu/~u", b"/a?", b"/a?b?c/../d",
        b"/a?x=%2e%2e/",
        b"/a?b=%00&c=%0d%0a", b"/\"<>^`{|}", b"/...", b"/.hidden", b"/a.b", b"/a..b/c", b"/%252e%252e/x", b"/..;/x", b"/%2Fetc",
        b"/a?&;&=",
    ],
)  # fmt: skip
def test_C01_C07_C08_a_good_target_is_split_and_never_rewritten(raw: bytes) -> None:
    assert read_target(raw, "GET", b"h").raw == raw


def test_a_target_without_a_question_mark_has_no_query_and_with_one_an_empty_one() -> None:
    assert read_target(b"/a", "GET", b"h") == Target(b"/a", None)
    assert read_target(b"/a?", "GET", b"h") == Target(b"/a", b"")


@pytest.mark.parametrize(
    ("raw", "host", "reduced"),
    [
        (b"http://h/a?b", b"h", b"/a?b"), (b"HTTP://H/a", b"h", b"/a"), (b"http://h", b"h", b"/"), (b"http://h?q", b"h", b"/?q"),
        (b"http://[::1]:8/x", b"[::1]:8", b"/x"), (b"http://h//x", b"h", b"//x"), (b"http://h/a?http://other/", b"h", b"/a?http://other/"),
    ],
)  # fmt: skip
def test_C02_an_absolute_target_of_this_host_is_reduced(raw: bytes, host: bytes, reduced: bytes) -> None:
    assert read_target(raw, "GET", host).raw == reduced


@pytest.mark.parametrize(
    "raw",
    [
        b"http://other/a", b"https://h/a", b"http://h:80/a", b"http://u@h/a", b"ftp://h/a", b"evil:80", b"h:80", b"http:/h/a",
        b"http:h", b"", b"a/b",
        b"://h/", b"http://", b"http:///a", b"http://h\\@h/", b"http://h#/a", b"?q", b"*a", b"javascript://h/a",
    ],
)  # fmt: skip
def test_C02_any_other_form_is_refused(raw: bytes) -> None:
    refused(raw)


def test_C02_the_scheme_must_be_the_listeners() -> None:
    assert read_target(b"https://h/a", "GET", b"h", b"https").raw == b"/a"
    refused(b"http://h/a", scheme=b"https")


def test_C02_the_asterisk_is_for_options() -> None:
    assert read_target(b"*", "OPTIONS", b"h").path == b"*"
    refused(b"*", "GET")


@pytest.mark.parametrize("code", [*range(0x21), 0x23, 0x5C, 0x7F, *range(0x80, 0x100)])
@pytest.mark.parametrize("form", [b"/a%cb", b"/a?b%cc", b"http://h/a%cb"])
def test_C03_bytes_that_no_target_has_are_refused(code: int, form: bytes) -> None:
    refused(form % code)


@pytest.mark.parametrize("raw", [b"/%", b"/%z", b"/%zz", b"/%a", b"/%0g", b"/a%?b", b"/a?b=%", b"/a?b=%x0", b"/a%%41"])
def test_C03_a_percent_sign_without_two_hex_digits_is_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize("raw", [b"/a%00", b"/%0d", b"/%0A", b"/%0D%0a", b"/x/%00/y?z"])
def test_C03_escaped_nul_and_line_ends_are_refused_in_the_path(raw: bytes) -> None:
    refused(raw)


def _spellings() -> list[bytes]:
    dots = (b".", b"%2e", b"%2E")
    slashes = (b"/", b"%2f", b"%2F", b"%5c", b"%5C")
    pairs = [one + two for one in dots for two in dots]
    found = [b"/" + dot for dot in (*dots, *pairs)]
    found += [b"/v1" + slash + part + after + b"x" for slash in slashes for part in (*dots, *pairs) for after in slashes]
    return found + [b"/v1/a" + slash + b".." for slash in slashes] + [b"/v1/..?q", b"/a/.%2e%2fb"]


@pytest.mark.parametrize("raw", _spellings())
def test_C04_a_dot_segment_is_refused_in_every_spelling(raw: bytes) -> None:
    assert refused(raw).code == "dot_segment"


alphabet = st.sampled_from([b"a", b".", b"/", b"%2e", b"%2F", b"%5c", b"%41", b";", b"~", b"%252e"])


@given(st.lists(alphabet, max_size=12))
def test_C04_a_path_is_taken_exactly_if_no_segment_is_dots_once_decoded(parts: list[bytes]) -> None:
    raw = b"/" + b"".join(parts)
    once = re.sub(rb"%(..)", lambda match: bytes.fromhex(match.group(1).decode()), raw)
    bad = any(segment in {b".", b".."} for segment in re.split(rb"[/\\]", once))
    if bad:
        refused(raw)
    else:
        assert read_target(raw, "GET", b"h").path == raw


@pytest.mark.parametrize(
    ("query", "value"),
    [(b"key=a", b"a"), (b"x=1&key=a%2Fb&y", b"a%2Fb"), (b"key=", b""), (b"key", b""), (b"x=key", None), (b"", None), (None, None),
    (b"%6bey=a", b"a"), (b"mykey=a", None), (b"a;b=1", None)],
)  # fmt: skip
def test_C08_the_one_value_of_a_parameter(query: bytes | None, value: bytes | None) -> None:
    assert single_parameter(query, b"key") == value


@pytest.mark.parametrize(
    "query",
    [b"key=a&key=a", b"key=a&key=b", b"key=a;x=1", b"x=1;key=a", b"key=a&%6bey=b", b"key=a&%6Bey=b", b"a;k%65y=b", b"key=a&x;y"],
)
def test_C08_what_could_be_read_in_two_ways_is_refused(query: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        single_parameter(query, b"key")
    assert caught.value.status == 400
    assert caught.value.code == "ambiguous_query"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"key=a", b""), (b"a=1&key=s&b=%7E", b"a=1&b=%7E"), (b"KEY=s&a", b"a"), (b"%6bey=s&a=1", b"a=1"),
        (b"access_token=s&api_key=t", b""),
        (b"keys=1&akey=2", b"keys=1&akey=2"), (b"a=+%2f&&;x", b"a=+%2f&&;x"), (b"key=a;b", b""),
    ],
)  # fmt: skip
def test_N04_a_credential_is_taken_out_of_the_query_and_nothing_else_is_touched(query: bytes, left: bytes) -> None:
    assert without_parameters(query, NAMES) == left


@pytest.mark.parametrize("query", [b"a=1;key=s", b"a;%6bey=s", b"b=1&a;API_KEY=s"])
def test_C08_N04_a_credential_behind_a_semicolon_is_refused_not_carried(query: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        without_parameters(query, NAMES)
    assert caught.value.status == 400


@given(st.text("ab=&%2", max_size=20).map(str.encode))
def test_a_query_without_credentials_stays_as_it_was(query: bytes) -> None:
    assert without_parameters(query, NAMES) == query
