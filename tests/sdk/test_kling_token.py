"""Kling has no SDK for Python; what its server checks is a token (HS256). PyJWT stands for the server here."""

import time

import jwt
import pytest

from tests.sdk.clients import make_openai
from tests.sdk.relay import SECRETS, Relay
from translators.signing.jwt import JwtSpec, Moment, Value

AK, SK = SECRETS["KLING_ACCESS_KEY"], SECRETS["KLING_SECRET_KEY"]
# The fact sheet on Kling, "JWT (classic)": made-up keys, recomputed there with hmac alone and with PyJWT 2.8.0.
NOW = 1760000000
TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJhay1leGFtcGxlLTAxMjM0NTY3ODlhYmNkZWYiLCJleHAiOjE3NjAwMDE4MDAsIm5iZiI6MTc1OTk5OTk5NX0"
    ".hgctFeS9Zgng32vBXBT_SqNbNImeOxmctaIbHa9RBV0"
)


def test_the_worked_token_is_ours_and_pyjwts() -> None:
    claims = {"iss": Value("iss"), "exp": Moment.EXPIRES, "nbf": Moment.NOT_BEFORE}
    ours = JwtSpec(claims=claims, header={"typ": "JWT"}, ttl=1800, skew=5).token({"iss": AK}, SK.encode(), NOW)
    theirs = jwt.encode({"iss": AK, "exp": NOW + 1800, "nbf": NOW - 5}, SK, headers={"typ": "JWT"})
    assert ours == theirs == TOKEN


def test_a_unified_call_carries_a_token_that_a_server_accepts(relay: Relay) -> None:
    relay.capture.answers({"code": 0, "data": {"task_id": "8293", "task_status": "submitted"}})
    with make_openai(relay.url + "/kling/v1") as client:
        client.post("/videos", cast_to=object, body={"model": "kling-v2-6", "prompt": "A cat"})
    heard = relay.capture.only()
    assert heard.scheme == "Bearer"
    token = heard.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, SK, algorithms=["HS256"], issuer=AK, options={"require": ["iss", "exp", "nbf"]})
    assert claims.keys() == {"iss", "exp", "nbf"}
    assert claims["exp"] - claims["nbf"] == 1805
    assert time.time() - 1800 < claims["nbf"] <= time.time() - 5
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SK + "x", algorithms=["HS256"])
