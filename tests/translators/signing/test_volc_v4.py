"""The signature with scope `<date>/<region>/<service>/request`, against the vectors of the fact sheet on the visual API."""

from datetime import UTC, datetime

import pytest

from translators.signing.canonical import Field, SigningError
from translators.signing.volc_v4 import sign

NOW = datetime(2025, 11, 20, 8, 15, tzinfo=UTC).timestamp()
HOST = "visual.volcengineapi.com"
FIELDS: list[Field] = [("Host", HOST), ("Content-Type", "application/json")]

# Inputs and results of "Worked example (invented keys)" in the fact sheet; they were made there with the vendor's own signers
# (volcengine 1.0.229 with its clock fixed, volcenginesdkcore 5.0.54) and with hashlib/hmac alone.
SUBMIT_QUERY = b"Action=CVProcess&Version=2022-08-31"
SUBMIT_BODY = '{"req_key":"high_aes_general_v21_L","prompt":"千军万马","seed":-1,"return_url":true}'.encode()
SUBMIT_SIGNATURE = "b659a68b9cc17493cf0eace56b6cc386416cf92781cdfac89bb5bf375de0a53d"
SUBMIT_HASH = "76a2aba910f596b217d1b2055473694f064bb53397f0beeb2e19b9e1ab632723"
SESSION_SIGNATURE = "0b37254c9d7df9f98d93ee2efa4712d7a349c6322088bfb72f68032650c20050"
POLL_QUERY = b"Action=CVSync2AsyncGetResult&Version=2022-08-31"
POLL_BODY = b'{"req_key":"byteedit_v2.0","task_id":"7392616336519610409"}'
POLL_SIGNATURE = "acfceadbc26b696f3b8cc6e2399a8a91107ca27c8fdfe2b4dd2b15dcd05abaad"


def signed(
    query: bytes = SUBMIT_QUERY,
    body: bytes = SUBMIT_BODY,
    fields: list[Field] = FIELDS,
    *,
    path: bytes = b"/",
    token: str | None = None,
) -> list[Field]:
    return sign(
        "POST",
        path,
        query,
        fields,
        body,
        access_key="AKLTexampleAccessKeyId",
        secret_key="ZXhhbXBsZVNlY3JldEtleQ==",
        region="cn-north-1",
        service="cv",
        now=NOW,
        session_token=token,
    )


def signature(fields: list[Field]) -> str:
    return dict(fields)["Authorization"].rpartition("Signature=")[2]


def test_the_submit_of_the_fact_sheet_is_signed_byte_for_byte() -> None:
    assert len(SUBMIT_BODY) == 88
    assert signed() == [
        ("X-Date", "20251120T081500Z"),
        ("X-Content-Sha256", SUBMIT_HASH),
        (
            "Authorization",
            (
                "HMAC-SHA256 Credential=AKLTexampleAccessKeyId/20251120/cn-north-1/cv/request, "
                f"SignedHeaders=content-type;host;x-content-sha256;x-date, Signature={SUBMIT_SIGNATURE}"
            ),
        ),
    ]


def test_the_poll_of_the_fact_sheet_has_its_signature() -> None:
    assert signature(signed(POLL_QUERY, POLL_BODY)) == POLL_SIGNATURE


def test_a_session_token_is_sent_and_signed() -> None:
    fields = signed(token="STStoken")
    assert ("X-Security-Token", "STStoken") in fields
    assert signature(fields) == SESSION_SIGNATURE


@pytest.mark.parametrize("port", [":80", ":443"])
def test_a_default_port_is_not_part_of_the_signed_host(port: str) -> None:
    fields = [("host", HOST + port), FIELDS[1]]
    assert signature(signed(fields=fields)) == SUBMIT_SIGNATURE


def test_another_port_is_part_of_the_signed_host() -> None:
    assert signature(signed(fields=[("Host", f"{HOST}:8443"), FIELDS[1]])) != SUBMIT_SIGNATURE


def test_the_order_of_query_and_fields_and_the_case_of_names_do_not_matter() -> None:
    fields = [("content-type", " application/json "), ("HOST", HOST), ("Accept", "*/*")]
    assert signature(signed(b"Version=2022-08-31&Action=CVProcess", fields=fields)) == SUBMIT_SIGNATURE


def test_fields_that_are_set_here_are_not_taken_from_the_request() -> None:
    stale = [("X-Date", "19990101T000000Z"), ("x-content-sha256", "0" * 64), ("X-Security-Token", "old")]
    assert signature(signed(fields=FIELDS + stale)) == SUBMIT_SIGNATURE


def test_every_x_field_and_content_md5_take_part() -> None:
    value = dict(signed(fields=[*FIELDS, ("X-Top-Region", "1"), ("Content-MD5", "2"), ("User-Agent", "3")]))["Authorization"]
    assert "SignedHeaders=content-md5;content-type;host;x-content-sha256;x-date;x-top-region," in value


def test_two_spellings_of_the_same_query_and_path_have_one_signature() -> None:
    assert signature(signed(b"a=%7e%2F+b", path=b"/v%31/x")) == signature(signed(b"a=~/%20b", path=b"/v1/x"))
    assert signature(signed(path=b"/a%2fb")) != signature(signed(path=b"/a/b"))


def test_values_of_one_name_keep_their_order() -> None:
    assert signature(signed(b"b=2&b=1&a=0")) == signature(signed(b"a=0&b=2&b=1")) != signature(signed(b"a=0&b=1&b=2"))


def test_an_empty_path_is_the_root() -> None:
    assert signature(signed(path=b"")) == SUBMIT_SIGNATURE


def test_a_request_without_host_is_refused() -> None:
    with pytest.raises(SigningError, match="no Host field"):
        signed(fields=[("Content-Type", "application/json")])


def test_a_signed_field_that_stands_twice_is_refused() -> None:
    with pytest.raises(SigningError, match="x-top-region stands twice"):
        signed(fields=[*FIELDS, ("X-Top-Region", "1"), ("x-top-region", "2")])
