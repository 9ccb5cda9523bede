"""OAuth 2.0 with a service account: the signed assertion, the form that is posted for it, and the token that comes back
(RFC 7523; Google Identity, "Using OAuth 2.0 for Server to Server Applications").

Who posts the form, and when, is decided elsewhere. RS256 needs the `cryptography` package, which is imported when it is used.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from translators.signing.canonical import SigningError
from translators.signing.jwt import base64url, signing_input

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEFAULT_LIFETIME = 3600.0  # seconds; the longest that is accepted
_LONGEST = 86400.0  # a lifetime beyond it is no lifetime
_ERROR_CODE = re.compile(r"[a-z][a-z_]{0,63}")


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """A bearer token and the seconds it is good for. No `repr`: it is a credential (rule N01)."""

    value: str
    expires_in: float


def assertion(service_account: Mapping[str, object], scope: str, now: float, ttl: float = DEFAULT_LIFETIME) -> str:
    """The RS256 token that is exchanged for an access token.

    `service_account` is the key file's content: `client_email`, `private_key` (PEM), `token_uri` and, optional,
    `private_key_id`; `scope` is one scope or several with blanks between; `now` and `ttl` are seconds. Raises SigningError when a
    member is missing or the key is no RSA key, or without the `cryptography` package.
    """
    header: dict[str, object] = {"typ": "JWT", "alg": "RS256"}
    if "private_key_id" in service_account:
        header["kid"] = _member(service_account, "private_key_id")
    claims = {
        "iat": int(now),
        "exp": int(now + ttl),
        "iss": _member(service_account, "client_email"),
        "aud": _member(service_account, "token_uri"),
        "scope": scope,
    }
    head = signing_input(header, claims)
    return f"{head.decode('ascii')}.{base64url(_rs256(_member(service_account, 'private_key'), head))}"


def _member(service_account: Mapping[str, object], name: str) -> str:
    value = service_account.get(name)
    if not isinstance(value, str) or not value:
        raise SigningError(f"the service account has no text in `{name}`: give the JSON key file as it was downloaded")
    return value


def _rs256(pem: str, data: bytes) -> bytes:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise SigningError("service accounts need the cryptography package: pip install 'dragoman[google]'") from None
    try:
        key = load_pem_private_key(pem.encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SigningError("`private_key` of the service account is not an unencrypted RSA key in PEM form")
    return key.sign(data, padding.PKCS1v15(), SHA256())


def token_form(signed: str) -> bytes:
    """The body (`application/x-www-form-urlencoded`) to post to `token_uri`."""
    return urlencode({"grant_type": GRANT, "assertion": signed}).encode("ascii")


def read_answer(status: int, body: bytes) -> AccessToken:
    """The token in the endpoint's answer. Raises SigningError, which repeats the endpoint's error code and nothing else of it."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    members = answer if isinstance(answer, dict) else {}
    token, seconds = members.get("access_token"), members.get("expires_in")
    if status == 200 and isinstance(token, str) and token and isinstance(seconds, int | float) and 0 < seconds <= _LONGEST:
        return AccessToken(token, float(seconds))
    code = members.get("error")
    said = f" ({code})" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
    raise SigningError(f"the token endpoint answered {status} without a usable access token{said}: expected 200 with access_token")
