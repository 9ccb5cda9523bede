"""Who may pass: licences as hashes, every failure told from the other, a limit per peer (N06)."""

import hashlib
import hmac

import pytest

from proxy.routing import gate as gate_module
from proxy.routing.gate import FAILURES_PER_MINUTE, Gate, LicenceError, bearer, credentials, hash_licence, read_licences
from proxy.settings import Limits
from proxy.telemetry.metrics import Metrics
from proxy.wire.head import RequestHead, read_request_head
from proxy.wire.parser import HeadParser
from proxy.wire.refusal import Refusal

LICENCE = "lic-test-one"
OTHER = "lic-test-two"


def request(parser: HeadParser, *lines: str, target: str = "/x") -> RequestHead:
    raw = f"GET {target} HTTP/1.1\r\nHost: h\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n"
    return read_request_head(parser, raw.encode("latin-1"), Limits())


@pytest.fixture
def gate() -> Gate:
    return Gate(read_licences([hash_licence(LICENCE), hash_licence(OTHER)], "test"), Metrics())


def refused(gate: Gate, head: RequestHead, peer: str = "192.0.2.1") -> Refusal:
    with pytest.raises(Refusal) as caught:
        gate.check(head, peer)
    return caught.value


def test_N06_a_licence_is_kept_as_its_sha256() -> None:
    assert hash_licence(LICENCE) == "sha256:" + hashlib.sha256(LICENCE.encode()).hexdigest()
    assert read_licences(["# comment", "", f"  {hash_licence(LICENCE)}  # of mine"], "test") == (
        hashlib.sha256(LICENCE.encode()).digest(),
    )


@pytest.mark.parametrize(
    "line", ["lic-test-plain", "sha256:abc", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "md5:" + "0" * 64, "sha256:" + "0" * 65]
)
def test_N01_a_line_that_is_no_hash_is_an_error_that_does_not_show_it(line: str) -> None:
    with pytest.raises(LicenceError) as caught:
        read_licences(["", line], "file.txt")
    assert str(caught.value).startswith("file.txt:2: ")
    assert line not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "target", "licence"),
    [
        ((f"Authorization: Bearer {LICENCE}",), "/x", LICENCE),
        ((f"authorization: bearer   {OTHER} ",), "/x", OTHER),
        ((f"Authorization: {LICENCE}",), "/x", LICENCE),
        ((f"x-api-key: {LICENCE}",), "/x", LICENCE),
        ((f"X-Goog-Api-Key: {OTHER}",), "/x", OTHER),
        ((), f"/x?a=1&key={LICENCE}", LICENCE),
        (("Authorization: Bearer theirs", f"x-api-key: {LICENCE}"), "/x", LICENCE),
    ],
)
def test_a_licence_is_known_wherever_a_client_sends_it(
    gate: Gate, parser: HeadParser, lines: tuple[str, ...], target: str, licence: str
) -> None:
    assert gate.check(request(parser, *lines, target=target), "192.0.2.1") == licence.encode()


def test_without_any_licence_everybody_may_pass(parser: HeadParser) -> None:
    assert Gate((), Metrics()).check(request(parser), "192.0.2.1") is None


def test_no_credential_is_a_401_that_says_how_and_a_wrong_one_a_403(gate: Gate, parser: HeadParser) -> None:
    missing = refused(gate, request(parser))
    assert (missing.status, dict(missing.fields)["WWW-Authenticate"].startswith("Bearer")) == (401, True)
    for line in (
        f"Authorization: Bearer {LICENCE}x",
        "x-api-key: nobody",
        f"Authorization: Bearer {hash_licence(LICENCE)}",
        f"Authorization: Basic {LICENCE}",
    ):
        wrong = refused(gate, request(parser, line), peer=line)
        assert wrong.status == 403
        assert LICENCE not in wrong.message


@pytest.mark.parametrize("line", ["api-key: {}", "Cookie: {}", "x_api_key: {}", "Proxy-Authorization: Bearer {}", "X-Licence: {}"])
def test_other_fields_are_no_place_for_a_licence(gate: Gate, parser: HeadParser, line: str) -> None:
    assert refused(gate, request(parser, line.format(LICENCE))).status == 401


def test_C08_a_licence_in_an_ambiguous_query_is_refused(gate: Gate, parser: HeadParser) -> None:
    for query in (f"key={LICENCE}&key=x", f"a=1;key={LICENCE}", f"key={LICENCE}&%6bey=x"):
        assert refused(gate, request(parser, target=f"/x?{query}")).status == 400


def test_N06_failures_are_limited_per_peer_and_a_good_licence_still_passes(gate: Gate, parser: HeadParser) -> None:
    bad, good = request(parser, "x-api-key: wrong"), request(parser, f"x-api-key: {LICENCE}")
    statuses = [refused(gate, bad, "192.0.2.9").status for _ in range(int(FAILURES_PER_MINUTE) + 5)]
    assert statuses == [403] * int(FAILURES_PER_MINUTE) + [429] * 5
    limited = refused(gate, bad, "192.0.2.9")
    assert (dict(limited.fields)["Retry-After"], limited.close) == ("60", True)
    assert refused(gate, bad, "192.0.2.10").status == 403
    assert gate.check(good, "192.0.2.9") == LICENCE.encode()


def test_N06_every_hash_is_compared_in_constant_time_and_none_is_skipped(
    gate: Gate, parser: HeadParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        calls.append((one, other))
        return hmac.compare_digest(one, other)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(gate_module, "hmac", Watched)
    gate.check(request(parser, f"x-api-key: {LICENCE}"), "192.0.2.1")
    assert len(calls) == 2, "the first match must not end the comparison"
    assert all(len(one) == len(other) == 32 for one, other in calls), "digests are compared, never the texts"


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"Bearer k", b"k"),
        (b"bearer  k ", b"k"),
        (b"BEARER k k", b"k k"),
        (b"k", b"k"),
        (b"Bearer", b"Bearer"),
        (b"Basic k", b"Basic k"),
        (b"", b""),
    ],
)
def test_what_an_authorization_field_holds(value: bytes, key: bytes) -> None:
    assert bearer(value) == key


def test_credentials_come_in_a_fixed_order_whatever_the_order_of_the_fields(parser: HeadParser) -> None:
    head = request(parser, "x-goog-api-key: g", "x-api-key: x", "Authorization: Bearer a", "X-Api-Key: y", target="/x?key=q")
    assert credentials(head) == [
        (b"authorization", b"a"), (b"x-api-key", b"x"), (b"x-api-key", b"y"), (b"x-goog-api-key", b"g"), (b"?key", b"q"),
    ]  # fmt: skip
