"""What the request signatures of this room share: percent-encoding, sorted queries, dates and the chain of HMACs.

Both signatures sign a canonical form of the request, so that the other side can rebuild it from what arrived. What differs
between them stands in their own modules.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote_from_bytes, unquote_to_bytes

Field = tuple[str, str]

_SPACES = re.compile(r"[ \t]+")


class SigningError(ValueError):
    """The request cannot be signed as it is. The message holds no credential."""


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hmac_sha256(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("utf-8"), hashlib.sha256)


def derive(secret: bytes, scope: Iterable[str]) -> bytes:
    """The signing key: an HMAC over each part of the scope, keyed by the one before."""
    key = secret
    for part in scope:
        key = hmac_sha256(key, part)
    return key


def timestamp(now: float) -> str:
    """`YYYYMMDDTHHMMSSZ`; the first eight characters are the date of the scope."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y%m%dT%H%M%SZ")


def encode(data: bytes) -> str:
    """Percent-encode everything but the unreserved characters of RFC 3986, with upper-case digits."""
    return quote_from_bytes(data, safe="-_.~")


def encode_path(path: bytes) -> str:
    """Each segment percent-encoded; the slashes between them stay."""
    return "/".join(encode(segment) for segment in path.split(b"/"))


def query_pairs(query: bytes, *, plus_is_space: bool) -> list[tuple[str, str]]:
    """The parameters of a query as it goes over the wire, in its order, names and values decoded and encoded anew."""
    if plus_is_space:
        query = query.replace(b"+", b"%20")
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    return [(encode(unquote_to_bytes(name)), encode(unquote_to_bytes(value))) for name, _, value in pairs]


def joined(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


def header_lines(fields: Sequence[Field]) -> list[Field]:
    """Fields by lower-cased name, sorted; values of one name joined by a comma, runs of blanks made one."""
    lines: dict[str, list[str]] = {}
    for name, value in fields:
        lines.setdefault(name.lower(), []).append(_SPACES.sub(" ", value.strip(" \t")))
    return [(name, ",".join(values)) for name, values in sorted(lines.items())]


def canonical_request(method: str, path: str, query: str, lines: Sequence[Field], payload: str) -> str:
    """The text whose hash is signed; an empty line stands after the header lines."""
    names = ";".join(name for name, _ in lines)
    return "\n".join([method, path, query, *(f"{name}:{value}" for name, value in lines), "", names, payload])
