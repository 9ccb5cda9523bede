"""Which URLs a policy allows (R01, R02), without a socket."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.fetch.targets import FetchError, FetchPolicy, Target, check_redirect, check_url

ANY = FetchPolicy(hosts=("*",))
TRUSTING = FetchPolicy(
    hosts=("*.example.com",), trusted_origins=frozenset({("http", "10.0.0.5", 8080), ("https", "upstream.test", 443)})
)


def why_refused(url: str, policy: FetchPolicy = ANY) -> str:
    with pytest.raises(FetchError) as raised:
        check_url(url, policy)
    assert (raised.value.status, raised.value.code) == (400, "fetch_refused")
    assert raised.value.error == "destination_ip_prohibited"
    return raised.value.message


def test_R01_nothing_is_fetched_by_default() -> None:
    assert "not in the list" in why_refused("https://example.com/a.png", FetchPolicy())


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com.", True),
        ("Example.com", "example.com", True),
        ("example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "example.com.evil.test", False),
        ("*", "anything.test", True),
    ],
)
def test_R01_a_host_is_allowed_by_a_pattern_or_not_at_all(pattern: str, host: str, allowed: bool) -> None:
    policy = FetchPolicy(hosts=(pattern,))
    if allowed:
        assert check_url(f"https://{host}/", policy).host == host.lower()
    else:
        assert "not in the list" in why_refused(f"https://{host}/", policy)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "data:image/png;base64,AA", "gopher://x/", "//example.com/", "example.com", ""],
)
def test_R02_only_http_and_https(url: str) -> None:
    assert "http and https" in why_refused(url)


def test_R02_ports_80_and_443_only_unless_listed() -> None:
    assert check_url("http://example.com:443/", ANY).port == 443
    assert check_url("HTTPS://example.com:/", ANY).port == 443
    assert "port" in why_refused("http://example.com:8080/")
    assert check_url("http://example.com:8080/", FetchPolicy(hosts=("*",), ports=frozenset({8080}))).port == 8080


@pytest.mark.parametrize("port", ["0", "65536", "99999", "123456", "-1", "80a", "٨٠"])
def test_R02_a_port_that_is_none_is_refused(port: str) -> None:
    assert "port" in why_refused(f"http://example.com:{port}/")


@pytest.mark.parametrize(
    "authority", ["user@example.com", "user:sk-test-pass@example.com", "@example.com", "example.com@evil.test"]
)
def test_R02_userinfo_is_refused_and_not_repeated(authority: str) -> None:
    message = why_refused(f"https://{authority}/")
    assert "user name or password" in message
    assert "sk-test" not in message


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "1.2.3", "256.1.1.1", "1.2.3.4.5"]
)
def test_R02_case_87_unusual_spellings_of_addresses_are_refused_even_when_listed(host: str) -> None:
    assert "usual form" in why_refused(f"http://{host}/", FetchPolicy(hosts=("*", host)))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "93.184.215.14", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[2606:4700::1111]"]
)
def test_R02_case_87_ip_addresses_are_refused_unless_listed(host: str) -> None:
    assert "IP address" in why_refused(f"http://{host}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "::1"])
def test_R03_case_87_a_listed_address_must_be_public_all_the_same(host: str) -> None:
    written = f"[{host}]" if ":" in host else host
    canonical = check_url(f"http://{written}/", FetchPolicy(trusted_origins=TRUSTED_ANYWHERE[host])).host
    assert "public address" in why_refused(f"http://{written}/", FetchPolicy(hosts=(canonical,)))


TRUSTED_ANYWHERE = {
    "127.0.0.1": frozenset({("http", "127.0.0.1", 80)}),
    "169.254.169.254": frozenset({("http", "169.254.169.254", 80)}),
    "::1": frozenset({("http", "::1", 80)}),
    # the two spellings of Python's releases
    "::ffff:127.0.0.1": frozenset({("http", "::ffff:7f00:1", 80), ("http", "::ffff:127.0.0.1", 80)}),
}


def test_R02_a_listed_public_address_is_allowed() -> None:
    policy = FetchPolicy(hosts=("93.184.215.14", "2606:4700::1111"))
    assert check_url("http://93.184.215.14/", policy).address is not None
    assert check_url("http://[2606:4700:0::1111]/x", policy).url == "http://[2606:4700::1111]/x"


@pytest.mark.parametrize(
    "host",
    [
        "exa mple.com",
        "ex%61mple.com",
        "１２７.0.0.1",
        "bücher.example",
        "[::1",
        "::1",
        "[fe80::1%25eth0]",
        "",
        ".",
        "a..b",
        "-a.b",
        "a" * 64,
    ],
)
def test_R02_a_host_that_is_no_plain_name_is_refused(host: str) -> None:
    assert "host" in why_refused(f"http://{host}/")


@pytest.mark.parametrize(
    "url", ["http://a.test/\r\nX: 1", "http://a.test\\@evil.test/", "http://a.test/\x00", "\thttp://a.test/", "http://a.test/\x7f"]
)
def test_R02_control_characters_and_backslashes_are_refused(url: str) -> None:
    assert "control character or a backslash" in why_refused(url)


def test_R02_a_url_may_have_2048_characters_and_not_one_more() -> None:
    url = "https://example.com/".ljust(2048, "a")
    assert check_url(url, ANY).url == url
    assert "longer than 2048" in why_refused(url + "a")


@pytest.mark.parametrize(
    ("given_url", "asked"),
    [
        ("https://example.com", "https://example.com/"),
        ("https://example.com?a=1", "https://example.com/?a=1"),
        ("https://example.com/a%2Fb/../c//d?X-Sig=a%2bB/+=~%7E#top", "https://example.com/a%2Fb/../c//d?X-Sig=a%2bB/+=~%7E"),
        ("https://EXAMPLE.com:443/A", "https://example.com/A"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://example.com/图 1.png", "https://example.com/%E5%9B%BE%201.png"),
    ],
)
def test_a_signed_url_is_asked_for_as_it_was_given(given_url: str, asked: str) -> None:
    assert check_url(given_url, ANY).url == asked


def test_half_a_surrogate_pair_is_refused() -> None:
    assert "surrogate" in why_refused("https://example.com/\ud800")


def test_a_trusted_origin_may_be_private_and_have_any_port() -> None:
    target = check_url("http://10.0.0.5:8080/file", TRUSTING)
    assert (target.trusted, target.origin) == (True, ("http", "10.0.0.5", 8080))


@pytest.mark.parametrize("url", ["http://10.0.0.5/", "https://10.0.0.5:8080/", "http://10.0.0.6:8080/", "http://upstream.test/"])
def test_trust_is_for_scheme_host_and_port_together(url: str) -> None:
    assert why_refused(url, TRUSTING)


def test_R03_a_redirect_of_a_stranger_is_not_trusted() -> None:
    stranger = check_url("https://cdn.example.com/", TRUSTING)
    with pytest.raises(FetchError):
        check_redirect(stranger, "https://upstream.test/", TRUSTING)
    own = check_url("https://upstream.test/", TRUSTING)
    assert check_redirect(own, "/next", TRUSTING).trusted
    assert not check_redirect(own, "https://cdn.example.com/", TRUSTING).trusted


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b?c=1", "https://example.com/b?c=1"),
        ("b%2F", "https://example.com/dir/b%2F"),
        ("//cdn.test/x", "https://cdn.test/x"),
        ("https://cdn.test/x#y", "https://cdn.test/x"),
    ],
)
def test_a_redirect_may_be_relative(location: str, url: str) -> None:
    assert check_redirect(check_url("https://example.com/dir/a", ANY), location, ANY).url == url


@pytest.mark.parametrize("location", ["http://example.com/", "ftp://example.com/", "//127.0.0.1/", "http://[", "/a\tb", "//[::1]/"])
def test_R03_a_redirect_is_checked_like_a_url_and_never_leaves_https(location: str) -> None:
    with pytest.raises(FetchError) as raised:
        check_redirect(check_url("https://example.com/", ANY), location, ANY)
    assert raised.value.status == 400


def test_R03_a_redirect_from_http_to_https_is_fine() -> None:
    assert check_redirect(check_url("http://example.com/", ANY), "https://example.com/", ANY).scheme == "https"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"https?://[^/]{0,20}(/.{0,10})?", fullmatch=True))
def test_any_text_is_a_target_that_can_be_sent_or_a_refusal(text: str) -> None:
    try:
        target = check_url(text, ANY)
    except FetchError:
        return
    assert isinstance(target, Target)
    assert target.url.isascii()
    assert " " not in target.url
    assert check_url(target.url, ANY) == target


@pytest.mark.parametrize(
    ("listed", "media_type", "allowed"),
    [
        ((), "text/html", True),
        (("image/*",), "image/png", True),
        (("image/*",), "text/html", False),
        (("image/*",), "", False),
        (("image/png", "video/mp4"), "video/mp4", True),
        (("image/png",), "image/pngx", False),
        (("*/*",), "text/html", True),
    ],
)
def test_R04_media_types_are_allowed_by_a_list(listed: tuple[str, ...], media_type: str, allowed: bool) -> None:
    assert FetchPolicy(media_types=listed).allows_media_type(media_type) is allowed
