"""Service accounts: the assertion against google-auth, the form, and the answer of the token endpoint."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import jwt as google_jwt
from google.oauth2 import service_account as google_accounts

from translators.signing.canonical import SigningError
from translators.signing.google import assertion, read_answer, token_form

NOW = 1760000000
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def account(key: rsa.RSAPrivateKey) -> dict[str, object]:
    return {
        "type": "service_account",
        "client_email": "test@example.iam.gserviceaccount.com",
        "private_key_id": "0123abcd",
        "private_key": pem(key),
        "token_uri": TOKEN_URI,
    }


@pytest.fixture
def google_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None)
    monkeypatch.setattr("google.auth._helpers.utcnow", lambda: moment)


@pytest.mark.usefixtures("google_clock")
def test_the_assertion_says_what_google_auth_says_and_is_verified_by_it(account: dict[str, object], key: rsa.RSAPrivateKey) -> None:
    ours = assertion(account, SCOPE, NOW)
    theirs = google_accounts.Credentials.from_service_account_info(account, scopes=[SCOPE])._make_authorization_grant_assertion()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    read = google_jwt.decode(ours, certs=public, audience=TOKEN_URI)
    assert read == google_jwt.decode(theirs, certs=public, audience=TOKEN_URI)
    assert google_jwt.decode_header(ours) == google_jwt.decode_header(theirs)


def test_the_life_of_an_assertion_can_be_chosen_and_the_key_id_left_out(account: dict[str, object]) -> None:
    del account["private_key_id"]
    token = assertion(account, SCOPE, NOW + 0.9, ttl=60)
    claims = google_jwt.decode(token, verify=False)
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 60)
    assert google_jwt.decode_header(token) == {"typ": "JWT", "alg": "RS256"}


@pytest.mark.parametrize("name", ["client_email", "private_key", "token_uri"])
def test_a_member_that_is_missing_is_named(account: dict[str, object], name: str) -> None:
    del account[name]
    with pytest.raises(SigningError, match=f"no text in `{name}`"):
        assertion(account, SCOPE, NOW)


def test_a_key_that_is_no_rsa_key_is_refused_without_showing_it(account: dict[str, object]) -> None:
    for wrong in ("sk-test-not-a-key", pem(ec.generate_private_key(ec.SECP256R1()))):
        account["private_key"] = wrong
        with pytest.raises(SigningError, match="not an unencrypted RSA key") as raised:
            assertion(account, SCOPE, NOW)
        assert wrong not in str(raised.value)


def test_without_the_cryptography_package_the_error_says_what_to_install(
    account: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(SigningError, match=r"pip install 'dragoman\[google\]'"):
        assertion(account, SCOPE, NOW)


def test_importing_the_module_does_not_import_cryptography() -> None:
    code = "import sys, translators.signing.google; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_form_is_the_grant_with_its_assertion() -> None:
    form = parse_qs(token_form("head.claims.signature").decode())
    assert form == {"grant_type": ["urn:ietf:params:oauth:grant-type:jwt-bearer"], "assertion": ["head.claims.signature"]}


def test_the_answer_holds_the_token_and_its_life() -> None:
    token = read_answer(200, b'{"access_token":"ya29.test","expires_in":3599,"token_type":"Bearer"}')
    assert (token.value, token.expires_in) == ("ya29.test", 3599.0)
    assert "ya29" not in repr(token)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error":"invalid_grant","error_description":"Invalid JWT: sk-test-secret"}'),
        (200, b'{"access_token":"","expires_in":3599}'),
        (200, b'{"access_token":"sk-test-secret"}'),
        (200, b'{"access_token":"sk-test-secret","expires_in":-1}'),
        (200, b'{"access_token":"sk-test-secret","expires_in":NaN}'),
        (200, b'{"access_token":"sk-test-secret","expires_in":1e400}'),
        (200, b'["sk-test-secret"]'),
        (502, b"<html>sk-test-secret</html>"),
        (500, b'{"error":"sk-test-secret with blanks"}'),
        (500, json.dumps({"error": {"code": 500}}).encode()),
        (200, b"\xff\xfe"),
        (200, b"[" * 100_000),
    ],
)
def test_any_other_answer_is_an_error_that_repeats_nothing_but_an_error_code(status: int, body: bytes) -> None:
    with pytest.raises(SigningError, match=f"answered {status} without a usable access token") as raised:
        read_answer(status, body)
    assert "sk-test" not in str(raised.value)
    assert ("(invalid_grant)" in str(raised.value)) == (b"invalid_grant" in body)
