"""AWS Signature Version 4 against published examples and botocore."""

from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from translators.signing.aws_v4 import sign
from translators.signing.canonical import Field, SigningError

# Credentials, time and results of the AWS Signature Version 4 test suite (published examples of AWS, not secrets).
ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
HOST: Field = ("Host", "example.amazonaws.com")
FORM: Field = ("Content-Type", "application/x-www-form-urlencoded")

SUITE: dict[str, tuple[str, bytes, bytes, list[Field], bytes, str]] = {
    "get-vanilla": ("GET", b"/", b"", [HOST], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        "GET",
        b"/",
        b"Param2=value2&Param1=value1",
        [HOST],
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-utf8-query": (
        "GET",
        b"/",
        "ሴ=bar".encode(),
        [HOST],
        b"",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-utf8": ("GET", "/ሴ".encode(), b"", [HOST], b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    "get-space": (
        "GET",
        b"/example space/",
        b"",
        [HOST],
        b"",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-slashes": ("GET", b"//example//", b"", [HOST], b"", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    "get-slash-pointless-dot": (
        "GET",
        b"/./example",
        b"",
        [HOST],
        b"",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    "get-relative": (
        "GET",
        b"/example/..",
        b"",
        [HOST],
        b"",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-header-value-trim": (
        "GET",
        b"/",
        b"",
        [HOST, ("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
        b"",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-header-key-duplicate": (
        "GET",
        b"/",
        b"",
        [HOST, ("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
        b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "post-vanilla": ("POST", b"/", b"", [HOST], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "post-x-www-form-urlencoded": (
        "POST",
        b"/",
        b"",
        [FORM, HOST],
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


def signed(
    method: str,
    path: bytes,
    query: bytes,
    fields: list[Field],
    body: bytes | None,
    *,
    service: str = "service",
    token: str | None = None,
    payload_field: bool = False,
    raw_path: bool = False,
) -> list[Field]:
    return sign(
        method,
        path,
        query,
        fields,
        body,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        region="us-east-1",
        service=service,
        now=NOW,
        session_token=token,
        payload_field=payload_field,
        raw_path=raw_path,
    )


@pytest.mark.parametrize("name", SUITE)
def test_a_case_of_the_published_suite_has_its_signature(name: str) -> None:
    method, path, query, fields, body, expected = SUITE[name]
    names = ";".join(sorted({field.lower() for field, _ in fields} | {"x-amz-date"}))
    assert signed(method, path, query, fields, body) == [
        ("X-Amz-Date", "20150830T123600Z"),
        (
            "Authorization",
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                f"SignedHeaders={names}, Signature={expected}"
            ),
        ),
    ]


def test_the_example_of_the_general_reference_has_its_signature() -> None:
    fields = [("Host", "iam.amazonaws.com"), ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
    result = signed("GET", b"/", b"Action=ListUsers&Version=2010-05-08", fields, b"", service="iam")
    assert result[-1][1].endswith("Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")


def botocore_signs(
    auth_class: type[SigV4Auth], method: str, url: str, fields: list[Field], body: bytes, token: str | None = None
) -> dict[str, str]:
    """What botocore sets on the same request; the caller has fixed its clock."""
    request = AWSRequest(method=method, url=url, data=body, headers=dict(fields))
    request.context["payload_signing_enabled"] = True
    auth_class(Credentials(ACCESS_KEY, SECRET_KEY, token), "service", "us-east-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.fixture(autouse=True, scope="module")
def _fixed_clock() -> object:
    with pytest.MonkeyPatch.context() as patch:
        moment = datetime.fromtimestamp(NOW, UTC)
        patch.setattr("botocore.auth.get_current_datetime", lambda *args, **kwargs: moment.replace(tzinfo=None))
        yield None


SEGMENT = st.text("abcXYZ019-_.~:@!$()*,;= é%", min_size=1, max_size=12).filter(lambda text: text not in {".", ".."})
NAME = st.text("abcXYZ019-_.~ /é&=", min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    segments=st.lists(SEGMENT, max_size=4),
    query=st.lists(st.tuples(NAME, NAME), max_size=4),
    body=st.binary(max_size=40),
    token=st.none() | st.just("a-session-token"),
    raw=st.booleans(),
)
def test_any_request_is_signed_as_botocore_signs_it(
    segments: list[str], query: list[tuple[str, str]], body: bytes, token: str | None, raw: bool
) -> None:
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    parameters = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    url = f"https://example.amazonaws.com{path}" + (f"?{parameters}" if parameters else "")
    fields = [("Content-Type", "application/json"), ("X-Custom", " a  b ")]
    theirs = botocore_signs(S3SigV4Auth if raw else SigV4Auth, "POST", url, fields, body, token)
    parts = urlsplit(url)
    ours = signed(
        "POST", parts.path.encode(), parts.query.encode(), [HOST, *fields], body, token=token, payload_field=raw, raw_path=raw
    )
    for name, value in ours:
        assert theirs[name.lower()] == value


def test_a_plus_in_a_query_is_a_plus_and_a_blank_is_encoded() -> None:
    plus, encoded, blank = (signed("GET", b"/", query, [HOST], b"")[-1] for query in (b"a=1+2", b"a=1%2B2", b"a=1%202"))
    assert plus == encoded != blank


def test_an_unsigned_payload_is_said_in_a_field_of_its_own() -> None:
    result = dict(signed("PUT", b"/key", b"", [HOST], None, raw_path=True))
    assert result["X-Amz-Content-Sha256"] == "UNSIGNED-PAYLOAD"
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date," in result["Authorization"]


def test_fields_that_are_set_here_are_not_taken_from_the_request() -> None:
    method, path, query, fields, body, expected = SUITE["get-vanilla"]
    stale = [("x-amz-date", "19990101T000000Z"), ("Authorization", "Bearer sk-test-old"), ("X-Amz-Security-Token", "old")]
    assert signed(method, path, query, fields + stale, body)[-1][1].endswith(expected)


def test_a_request_without_host_is_refused() -> None:
    with pytest.raises(SigningError, match="no Host field"):
        signed("GET", b"/", b"", [], b"")
