"""Tokens signed with HMAC, against worked examples and PyJWT, and the cache."""

import json
from collections.abc import Mapping

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.signing.jwt import JwtSpec, Moment, TokenCache, Unit, Value, hs256, split_pair

# The worked token of the fact sheet on the Kling API (section "JWT"), made there with hmac/base64url and with PyJWT 2.8.0.
KLING = JwtSpec(
    claims={"iss": Value("iss"), "exp": Moment.EXPIRES, "nbf": Moment.NOT_BEFORE},
    header={"typ": "JWT"},
    ttl=1800,
    skew=5,
)
KLING_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJhay1leGFtcGxlLTAxMjM0NTY3ODlhYmNkZWYiLCJleHAiOjE3NjAwMDE4MDAsIm5iZiI6MTc1OTk5OTk5NX0"
    ".hgctFeS9Zgng32vBXBT_SqNbNImeOxmctaIbHa9RBV0"
)

# The form of the fact sheet on the Zhipu API ("Base URL and authentication"): times in milliseconds, key `<id>.<secret>`.
ZHIPU = JwtSpec(
    claims={"api_key": Value("id"), "exp": Moment.EXPIRES, "timestamp": Moment.NOW},
    header={"sign_type": "SIGN", "typ": "JWT"},
    ttl=210,
    unit=Unit.MILLISECONDS,
)


def test_the_worked_token_of_the_kling_fact_sheet_comes_out_byte_for_byte() -> None:
    token = KLING.token({"iss": "ak-example-0123456789abcdef"}, b"sk-example-fedcba9876543210fedcba98", 1760000000)
    assert token == KLING_TOKEN


def test_a_token_in_milliseconds_is_what_pyjwt_makes_of_the_same_parts() -> None:
    now = 1760000000.1234
    stamp = round(now * 1000)
    expected = pyjwt.encode(
        {"api_key": "test-id", "exp": stamp + 210_000, "timestamp": stamp},
        "test-secret-of-thirty-two-bytes!",
        algorithm="HS256",
        headers={"alg": "HS256", "sign_type": "SIGN"},
    )
    assert ZHIPU.token({"id": "test-id"}, b"test-secret-of-thirty-two-bytes!", now) == expected


JSON_VALUES = st.text() | st.integers(-(2**53), 2**53) | st.booleans() | st.none()


@settings(max_examples=50, deadline=None)
@given(claims=st.dictionaries(st.text(min_size=1), JSON_VALUES), key=st.binary(min_size=32, max_size=64))
def test_any_claims_are_read_back_by_pyjwt(claims: Mapping[str, object], key: bytes) -> None:
    token = hs256({"alg": "HS256"}, claims, key)
    assert json.loads(pyjwt.PyJWS().decode(token, key, algorithms=["HS256"])) == claims


def test_a_wrong_key_is_noticed() -> None:
    with pytest.raises(pyjwt.InvalidSignatureError):
        pyjwt.PyJWS().decode(KLING_TOKEN, b"another key that is long enough for it", algorithms=["HS256"])


def test_a_constant_claim_stays_as_it_is_and_times_are_whole_seconds() -> None:
    spec = JwtSpec(claims={"aud": "tasks", "v": 2, "iat": Moment.NOW}, header={}, ttl=60)
    token = spec.token({}, b"k" * 32, 99.9)
    assert json.loads(pyjwt.PyJWS().decode(token, b"k" * 32, algorithms=["HS256"])) == {"aud": "tasks", "v": 2, "iat": 99}
    assert pyjwt.get_unverified_header(token) == {"alg": "HS256"}


def test_a_missing_value_is_named() -> None:
    with pytest.raises(KeyError, match="iss"):
        KLING.token({}, b"key", 0)


def test_a_credential_of_two_parts_is_cut_at_the_first_separator() -> None:
    assert split_pair("id.secret.with.dots", ".") == ("id", "secret.with.dots")


@pytest.mark.parametrize("credential", ["", "nothing-to-cut", ".secret", "id."])
def test_a_credential_without_two_parts_is_refused_without_showing_it(credential: str) -> None:
    with pytest.raises(ValueError, match="expected <id>") as raised:
        split_pair(credential, ".")
    assert not credential.strip(".") or credential.strip(".") not in str(raised.value).replace("<id>.<secret>", "")


class Maker:
    """Makes tokens that say when they were made, and counts."""

    def __init__(self) -> None:
        self.made: list[float] = []

    def __call__(self, now: float) -> str:
        self.made.append(now)
        return f"token of {now}"


def test_a_token_is_reused_until_a_minute_before_its_end() -> None:
    cache, make = TokenCache(ttl=1800), Maker()
    for now in (1000, 1500, 2739.9):
        assert cache.token(b"key", now, make) == "token of 1000"
    assert cache.token(b"key", 2740, make) == "token of 2740"


def test_a_short_token_is_reused_for_half_its_life() -> None:
    cache, make = TokenCache(ttl=60), Maker()
    assert [cache.token(b"key", now, make) for now in (0, 29, 30)] == ["token of 0", "token of 0", "token of 30"]


def test_each_credential_has_a_token_of_its_own() -> None:
    cache, make = TokenCache(ttl=1800), Maker()
    cache.token(b"old", 0, make)
    assert cache.token(b"new", 1, make) == "token of 1"


def test_a_clock_set_back_makes_a_new_token() -> None:
    cache, make = TokenCache(ttl=1800), Maker()
    cache.token(b"key", 1000, make)
    assert cache.token(b"key", 900, make) == "token of 900"


def test_the_cache_is_bounded_and_forgets_the_oldest() -> None:
    cache, make = TokenCache(ttl=1800), Maker()
    for number in range(1000):
        cache.token(str(number).encode(), 0, make)
    cache.token(b"999", 1, make)
    assert len(make.made) == 1000
    cache.token(b"0", 1, make)
    assert len(make.made) == 1001


def test_N10_the_cache_keeps_no_credential() -> None:
    cache = TokenCache(ttl=1800)
    cache.token(b"sk-test-secret", 0, Maker())
    assert "sk-test-secret" not in repr(vars(cache))
