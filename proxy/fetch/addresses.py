"""Which IP addresses are no public destination, and why (rule R03). Pure functions, no lookups.

The tables follow the IANA special-purpose address registries, with the addresses under which clouds serve metadata in front.
Forms that carry an IPv4 address inside an IPv6 one are judged by what is inside, where the form leads there.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

IPAddress = IPv4Address | IPv6Address

_METADATA: Final = "cloud metadata"
_V4: Final = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", _METADATA),
        ("169.254.170.2/32", _METADATA),
        ("169.254.170.23/32", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("168.63.129.16/32", _METADATA),  # in public space, yet answered by the host of the virtual machine
        ("192.0.0.192/32", _METADATA),
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6: Final = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("fd00:ec2::/32", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("64:ff9b:1::/48", "translated to a local IPv4 address"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

# The last label decides whether a host is meant as a number (WHATWG URL, "ends in a number"): 127.1, 2130706433, 0x7f.1, 0177.0.0.1
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")


def forbidden(address: str | IPAddress) -> str | None:
    """Why an address is no public destination, or None. Text that is no address is forbidden too."""
    try:
        ip = ip_address(address) if isinstance(address, str) else address
    except ValueError:
        return "not an address"
    if isinstance(ip, IPv6Address):
        return _forbidden_v6(ip)
    return next((reason for network, reason in _V4 if ip in network), None)


def _forbidden_v6(ip: IPv6Address) -> str | None:
    if ip.scope_id is not None:
        return "link-local"
    if ip in _MAPPED or ip in _NAT64:
        return forbidden(IPv4Address(int(ip) & 0xFFFF_FFFF))
    for network, reason in _V6:
        if ip in network:
            return reason
    return None if ip in _GLOBAL_UNICAST else "reserved"


def looks_numeric(host: str) -> bool:
    """Whether a resolver may take the host for an IPv4 address, in whatever spelling."""
    return _ENDS_IN_A_NUMBER.fullmatch(host) is not None
