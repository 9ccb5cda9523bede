"""AWS Signature Version 4 in the `Authorization` field (AWS General Reference, "Signing AWS API requests").

Pre-signed URLs and chunked payload signatures are not here: no route needs them.
"""

from collections.abc import Sequence

from translators.signing.canonical import (
    Field,
    SigningError,
    canonical_request,
    derive,
    encode_path,
    header_lines,
    hmac_sha256,
    joined,
    query_pairs,
    sha256_hex,
    timestamp,
)

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
_OWN = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "authorization"})


def sign(
    method: str,
    path: bytes,
    query: bytes,
    fields: Sequence[Field],
    body: bytes | None,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    now: float,
    session_token: str | None = None,
    payload_field: bool = False,
    raw_path: bool = False,
) -> list[Field]:
    """The fields to set on a request: `X-Amz-Date`, `X-Amz-Security-Token` with a session token, `Authorization`.

    `path` and `query` are those of the request line; every field of `fields` is signed, so give only those that no hop changes
    (`Host` must be among them); `now` is in unix seconds. `body` None leaves the payload out of the signature, which only some
    services accept, over TLS. `payload_field` adds and signs `X-Amz-Content-Sha256`, as services with `raw_path` want it;
    without a body it is always there. `raw_path` signs the path as it is on the wire (S3); other services sign it without dot
    segments and encoded once more. Fields given under one of the names that are set here are left out, and must be replaced.
    Raises SigningError without `Host`.
    """
    date = timestamp(now)
    payload = UNSIGNED if body is None else sha256_hex(body)
    added = [("X-Amz-Date", date)]
    if payload_field or body is None:
        added.append(("X-Amz-Content-Sha256", payload))
    if session_token is not None:
        added.append(("X-Amz-Security-Token", session_token))
    given = [(name, value) for name, value in fields if name.lower() not in _OWN]
    if not any(name.lower() == "host" for name, _ in given):
        raise SigningError("the request has no Host field: give the one that goes over the wire")
    lines = header_lines([*given, *added])
    pairs = sorted(query_pairs(query, plus_is_space=False))
    signed_path = path.decode("latin-1") if raw_path else encode_path(_without_dots(path))
    request = canonical_request(method, signed_path or "/", joined(pairs), lines, payload)
    scope = (date[:8], region, service, "aws4_request")
    text = "\n".join([ALGORITHM, date, "/".join(scope), sha256_hex(request.encode("utf-8"))])
    signature = hmac_sha256(derive(b"AWS4" + secret_key.encode("utf-8"), scope), text).hex()
    names = ";".join(name for name, _ in lines)
    value = f"{ALGORITHM} Credential={access_key}/{'/'.join(scope)}, SignedHeaders={names}, Signature={signature}"
    return [*added, ("Authorization", value)]


def _without_dots(path: bytes) -> bytes:
    """The path without `.` and `..` segments and doubled slashes (RFC 3986 section 6.2.2.3); a slash at the end stays."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in {b"", b"."}:
            kept.append(segment)
    ends = path.endswith((b"/", b"/.", b"/..")) and kept
    return b"/" + b"/".join(kept) + (b"/" if ends else b"")
