"""A credential in any position of any text does not get through."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.redaction import REDACTED, Redactor

MARKER = "MARKER7f3a"

POSITIONS = [
    "Authorization: Bearer {}",
    "authorization: {}",
    "proxy-authorization=Basic {}",
    "{{'Authorization': 'Bearer {}'}}",
    '{{"x-api-key": "{}"}}',
    "[(b'X-Goog-Api-Key', b'{}')]",
    "<CIMultiDict('api-key': '{}')>",
    "Cookie: session={}; other={}",
    "Set-Cookie: a={}",
    "Sec-WebSocket-Protocol: realtime, insecure-api-key.{}",
    "Bearer {}",
    "bearer%20{}",
    "Basic {}==",
    "GET /v1/x?key={} HTTP/1.1",
    "/v1/x?a=b&api_key={}&c=d",
    "/v1/x?API-KEY={}",
    "/v1/x?access_token={}#top",
    "/v1/x?sig={}",
    "/v1/x?X-Amz-Signature={}&X-Amz-Credential={}",
    "/v1/x%3Fkey%3D{}",
    "/v1/x%3fa%3Db%26token%3d{}",
    "https://user:{}@host/path",
    "https://{}@host/path",
    "1https://user:{}@host/path",
    "wss://{}:x@host",
    "sk-{}",
    "sk-proj-{}",
    "the key 'sk-test-{}' is wrong",
    "eyJhbGciOiJIUzI1NiJ9.{}.c2ln",
    "eyJ{}.{}",
    '{{"client_secret": "{}"}}',
    '{{"password":"{}"}}',
]
WORDS = st.text(st.characters(categories=["L", "N"]), max_size=12)


@pytest.mark.parametrize("position", POSITIONS)
def test_N01_N04_a_credential_in_this_position_is_redacted(position: str) -> None:
    text = position.format(MARKER, MARKER)
    assert text.count(MARKER) >= 1
    clean = Redactor().redact(text)
    assert MARKER not in clean
    assert REDACTED in clean


@given(st.sampled_from(POSITIONS), st.sampled_from(POSITIONS), st.from_regex(r"[ ,;(\[|]{1,3}", fullmatch=True), WORDS)
def test_N01_two_credentials_in_one_text_both_go(first: str, second: str, between: str, word: str) -> None:
    text = word + between + first.format(MARKER, MARKER) + " " + between + second.format(MARKER, MARKER)
    assert MARKER not in Redactor().redact(text)


@given(st.text(max_size=50), st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40), st.text(max_size=50))
def test_N01_a_registered_secret_goes_wherever_it_stands(before: str, secret: str, after: str) -> None:
    redactor = Redactor([secret])
    clean = redactor.redact(f"{before} {secret} {after}")
    assert secret not in clean.replace(REDACTED, "")


def test_a_registered_secret_goes_in_its_percent_encoded_form_too() -> None:
    redactor = Redactor(["a/b+c d=="])
    assert redactor.redact("GET /x/a%2Fb%2Bc%20d%3D%3D/y") == f"GET /x/{REDACTED}/y"


def test_of_two_secrets_one_inside_the_other_the_longer_goes_whole() -> None:
    assert Redactor(["abcd", "abcdefgh"]).redact("<abcdefgh>") == f"<{REDACTED}>"


def test_a_value_too_short_to_be_a_secret_does_not_black_out_the_log() -> None:
    redactor = Redactor(["", "a", "abc"])
    assert redactor.redact("abc banana") == "abc banana"
    assert redactor.version == 0


def test_registering_changes_the_version_once() -> None:
    redactor = Redactor()
    redactor.register("abcdef")
    redactor.register("abcdef")
    assert redactor.version == 1


@pytest.mark.parametrize(
    "text",
    [
        "/v1/chat/completions",
        "task-1234567 of disk-array",
        "listening on http://127.0.0.1:8080/",
        "monkey=banana",
        "the upstream closed the connection before any response byte",
        "platform=alpha route=native status=200",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert Redactor().redact(text) == text


@pytest.mark.parametrize(
    "hostile",
    [
        "x",
        "eyJ-",
        "x-amz-",
        "://",
        "authorization ",
        "cookie'",
        "cookie' ",
        "cookie: '",
        "key=",
        "bearer ",
        "bearer",
        "%3d",
        "sk-",
        " ",
    ],
)
def test_a_hostile_text_of_half_a_megabyte_takes_no_quadratic_time(hostile: str) -> None:
    text = hostile * (500_000 // len(hostile)) + "="
    started = time.perf_counter()
    Redactor().redact(text)
    assert time.perf_counter() - started < 10  # linear: well under a second; quadratic: many minutes
