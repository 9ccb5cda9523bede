"""Compact JSON Web Tokens signed with HMAC-SHA256 (RFC 7515, RFC 7519), and a cache that reuses one until shortly before it ends.

A `JwtSpec` says which header and which claims a platform wants; what stands in them comes from its rule file. Tokens signed
with a private key live in `google.py`.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_MAX_TOKENS = 256


def base64url(data: bytes) -> str:
    """Base64 with the URL alphabet and without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def signing_input(header: Mapping[str, object], claims: Mapping[str, object]) -> bytes:
    """`<header>.<claims>` as bytes: compact JSON, members in the order given."""
    parts = (json.dumps(dict(part), separators=(",", ":"), allow_nan=False).encode("ascii") for part in (header, claims))
    return ".".join(base64url(part) for part in parts).encode("ascii")


def hs256(header: Mapping[str, object], claims: Mapping[str, object], key: bytes) -> str:
    """A compact token. `header` is used as it is, so it must name the algorithm itself: `{"alg": "HS256", ...}`."""
    head = signing_input(header, claims)
    return f"{head.decode('ascii')}.{base64url(hmac.digest(key, head, hashlib.sha256))}"


class Unit(StrEnum):
    """In what the times of a token are counted since 1970. RFC 7519 wants seconds; some platforms want milliseconds."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class Moment(StrEnum):
    """A claim whose value is a time."""

    NOW = "now"
    EXPIRES = "expires"  # now + ttl
    NOT_BEFORE = "not_before"  # now - skew


@dataclass(frozen=True, slots=True)
class Value:
    """A claim whose value is known only when the token is made (a key id, say): its name in the values given to `token`."""

    name: str


@dataclass(frozen=True, slots=True)
class JwtSpec:
    """What a platform's token looks like. `header` comes after `alg`; `claims` appear in the order given; times in seconds.

    A claim is a `Moment`, a `Value`, or a constant.
    """

    claims: Mapping[str, Moment | Value | str | int]
    header: Mapping[str, str]
    ttl: float
    skew: float = 0.0
    unit: Unit = Unit.SECONDS

    def token(self, values: Mapping[str, str], key: bytes, now: float) -> str:
        """The token at `now` (unix seconds). Raises KeyError when `values` lacks a `Value` that a claim names."""
        claims = {name: self._claim(claim, values, now) for name, claim in self.claims.items()}
        return hs256({"alg": "HS256", **self.header}, claims, key)

    def _claim(self, claim: Moment | Value | str | int, values: Mapping[str, str], now: float) -> str | int:
        match claim:
            case Moment():
                return self._moment(claim, now)
            case Value(name):
                return values[name]
            case _:
                return claim

    def _moment(self, moment: Moment, now: float) -> int:
        shift = {Moment.NOW: 0.0, Moment.EXPIRES: self.ttl, Moment.NOT_BEFORE: -self.skew}[moment]
        return int(now + shift) if self.unit is Unit.SECONDS else round((now + shift) * 1000)


def split_pair(credential: str, separator: str) -> tuple[str, str]:
    """`id<separator>secret` as its two parts, cut at the first separator. Raises ValueError; the message holds no part of it."""
    left, found, right = credential.partition(separator)
    if not (left and found and right):
        raise ValueError(f"the credential is not two parts joined by {separator!r}: expected <id>{separator}<secret>")
    return left, right


class TokenCache:
    """Keeps one token per credential and makes a new one `early` seconds before the old one ends.

    A token that lives shorter than twice `early` is kept for half its life. Credentials are kept as digests only (rule N10); a
    changed credential gets a token of its own at once.
    """

    def __init__(self, ttl: float, early: float = 60.0) -> None:
        self._keep = ttl - min(early, ttl / 2)
        self._tokens: dict[bytes, tuple[float, str]] = {}

    def token(self, credential: bytes, now: float, make: Callable[[float], str]) -> str:
        """The kept token of `credential`, or `make(now)`; also when the clock was set back: the old one may not be valid yet."""
        name = hashlib.sha256(credential).digest()
        known = self._tokens.get(name)
        if known is not None and known[0] <= now < known[0] + self._keep:
            return known[1]
        token = make(now)
        self._tokens.pop(name, None)
        if len(self._tokens) >= _MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[name] = (now, token)
        return token
