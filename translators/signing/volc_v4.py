"""Request signature `HMAC-SHA256` with scope `<date>/<region>/<service>/request` (fact sheet on the visual API, "The request
signature").

It resembles `aws_v4`, with other names: the secret is used as it is, the fields are `X-Date` and `X-Content-Sha256`, and the
path is encoded once.
"""

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from translators.signing.canonical import (
    Field,
    SigningError,
    canonical_request,
    derive,
    encode,
    header_lines,
    hmac_sha256,
    joined,
    query_pairs,
    sha256_hex,
    timestamp,
)

ALGORITHM = "HMAC-SHA256"
_OWN = frozenset({"x-date", "x-content-sha256", "x-security-token"})


def sign(
    method: str,
    path: bytes,
    query: bytes,
    fields: Sequence[Field],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    now: float,
    session_token: str | None = None,
) -> list[Field]:
    """The fields to set on a request: `X-Date`, `X-Content-Sha256`, `X-Security-Token` with a session token, `Authorization`.

    `path` and `query` are those of the request line, `fields` the request's other fields, of which `Host`, `Content-Type`,
    `Content-Md5` and every `X-*` are signed; `now` is in unix seconds. Fields given under one of the names that are set here are
    left out, and must be replaced. Raises SigningError without exactly one `Host`, or when a signed field stands twice. That a
    `+` in the query is read as a blank, and that values of one name keep their order, is inferred: the source has no such case.
    """
    date = timestamp(now)
    added = [("X-Date", date), ("X-Content-Sha256", sha256_hex(body))]
    if session_token is not None:
        added.append(("X-Security-Token", session_token))
    lines = header_lines([*_signed(fields), *added])
    pairs = sorted(query_pairs(query, plus_is_space=True), key=lambda pair: pair[0])  # values of one name keep their order
    request = canonical_request(method, _path(path), joined(pairs), lines, sha256_hex(body))
    scope = (date[:8], region, service, "request")
    text = "\n".join([ALGORITHM, date, "/".join(scope), sha256_hex(request.encode("utf-8"))])
    signature = hmac_sha256(derive(secret_key.encode("utf-8"), scope), text).hex()
    names = ";".join(name for name, _ in lines)
    value = f"{ALGORITHM} Credential={access_key}/{'/'.join(scope)}, SignedHeaders={names}, Signature={signature}"
    return [*added, ("Authorization", value)]


def _signed(fields: Sequence[Field]) -> list[Field]:
    """The fields that take part. A default port is not part of the signed host, another one is."""
    found: dict[str, str] = {}
    for given, value in fields:
        name = given.lower()
        if name in _OWN or not (name in {"host", "content-type", "content-md5"} or name.startswith("x-")):
            continue
        if name in found:
            raise SigningError(f"the field {name} stands twice: this signature knows one value per name; send it once")
        found[name] = value.strip().removesuffix(":80").removesuffix(":443") if name == "host" else value
    if "host" not in found:
        raise SigningError("the request has no Host field: give the one that goes over the wire")
    return list(found.items())


def _path(path: bytes) -> str:
    """Encoded once, whatever it looked like before; an escaped slash stays escaped."""
    return "/".join(encode(unquote_to_bytes(segment)) for segment in path.split(b"/")) or "/"
