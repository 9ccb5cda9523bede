"""Which addresses are no public destination (R03)."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.fetch.addresses import forbidden, looks_numeric

FORBIDDEN = {
    "127.0.0.1": "loopback",
    "127.255.255.255": "loopback",
    "0.0.0.0": "unspecified",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared by a carrier",
    "100.127.255.255": "shared by a carrier",
    "100.100.100.200": "cloud metadata",
    "168.63.129.16": "cloud metadata",
    "169.254.169.254": "cloud metadata",
    "169.254.1.1": "link-local",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "198.18.0.1": "benchmarking",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "fd00:ec2::254": "cloud metadata",
    "fd20:ce::254": "cloud metadata",
    "fc00::1": "private",
    "fdff::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "2606:4700::1111%eth0": "link-local",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "cloud metadata",
    "::ffff:10.0.0.1": "private",
    "64:ff9b::a9fe:a9fe": "cloud metadata",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::1": "translated to a local IPv4 address",
    "::127.0.0.1": "reserved",
    "2002:7f00:1::": "6to4",
    "2001:0:7f00:1::": "Teredo",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "100::1": "reserved",
    "5f00::1": "reserved",
    "example.com": "not an address",
    "": "not an address",
    "127.1": "not an address",
}


@pytest.mark.parametrize("address", FORBIDDEN)
def test_R03_an_address_that_is_not_public_is_forbidden_with_its_reason(address: str) -> None:
    assert forbidden(address) == FORBIDDEN[address]


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_R03_a_public_address_is_not_forbidden(address: str) -> None:
    assert forbidden(address) is None
    assert forbidden(ip_address(address)) is None


@settings(max_examples=100, deadline=None)
@given(st.ip_addresses(v=4))
def test_R03_no_ipv4_address_that_python_knows_as_special_is_let_through(address: IPv4Address) -> None:
    """The standard library's tables are another reading of the same registries."""
    if not address.is_global or address.is_multicast:
        assert forbidden(address)
        assert forbidden(IPv6Address(f"::ffff:{address}"))


@settings(max_examples=100, deadline=None)
@given(st.ip_addresses(v=6))
def test_R03_no_ipv6_address_that_python_knows_as_special_is_let_through(address: IPv6Address) -> None:
    if (not address.is_global or address.is_multicast) and address.ipv4_mapped is None:
        assert forbidden(address)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "1.2.3.4", "1.2.3.4.", "a.0x", "9"])
def test_R02_a_host_that_a_resolver_may_take_for_a_number_is_noticed(host: str) -> None:
    assert looks_numeric(host)


@pytest.mark.parametrize("host", ["example.com", "1.example", "0x7f.example.com", "a1", "1a", "xn--p1ai"])
def test_R02_a_name_is_no_number(host: str) -> None:
    assert not looks_numeric(host)
