"""What may be fetched: the policy of a route, and the check of a URL against it (rules R01 and R02). No sockets.

What the host's name resolves to is checked when it is resolved, in `fetcher`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote_from_bytes, urljoin

from proxy.fetch.addresses import IPAddress, forbidden, looks_numeric
from proxy.outcomes import ErrorType
from proxy.settings import MIB

Origin = tuple[str, str, int]  # scheme, host in lower case (an IPv6 address without brackets), port

DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{0,5}))?", re.ASCII)
_NAME = re.compile(r"(?=.{1,253}\.?\Z)(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What a request target may hold as it is; only characters beyond ASCII and the blank are encoded, all else stays as it was signed.
_KEPT = "".join(map(chr, range(0x21, 0x7F)))


class FetchOutcome(StrEnum):
    """How a fetch ended: the closed list for metrics (rule Q01)."""

    OK = "ok"
    REFUSED = "refused"  # by the policy: the URL, an address, a redirect
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "media_type"
    FAILED = "failed"  # name, connection, TLS, HTTP, status: not told apart (rule R05)
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"  # by whoever asked for it


_ERRORS = {
    FetchOutcome.REFUSED: (400, ErrorType.DESTINATION_IP_PROHIBITED, "fetch_refused"),
    FetchOutcome.TOO_LARGE: (413, ErrorType.HTTP_REQUEST_ERROR, "fetch_too_large"),
    FetchOutcome.MEDIA_TYPE: (400, ErrorType.HTTP_REQUEST_ERROR, "fetch_media_type"),
    FetchOutcome.FAILED: (502, ErrorType.HTTP_RESPONSE_INCOMPLETE, "fetch_failed"),
    FetchOutcome.TIMEOUT: (504, ErrorType.HTTP_RESPONSE_TIMEOUT, "fetch_timeout"),
}


class FetchError(Exception):
    """A URL that was not fetched: status for the client, error type for log and `Proxy-Status`, code, message.

    Everything here may be shown to the client: it never holds the URL, an address, or how far a connection came (rule R05).
    """

    def __init__(self, outcome: FetchOutcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message
        self.status, self.error, self.code = _ERRORS[outcome]


def refused(message: str) -> FetchError:
    return FetchError(FetchOutcome.REFUSED, message)


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What one route may fetch. The default allows nothing (rule R01). Times in seconds, sizes in bytes.

    `hosts`: patterns of host names: `example.com`, `*.example.com` (any name below it), `*` (any name). An IP address must stand
    there itself, and be public. `trusted_origins`: exempt from every check of host, port and address, but only for a URL that is
    given, or a redirect from one trusted origin to another; leave them out for URLs that a client chose. `media_types`:
    `image/png`, `image/*`; empty for any. `timeout` is for a whole fetch, and for a download until its head is there; then
    `idle` counts between bytes and `download_timeout` (0: none) all in all. `max_bytes` 0 means no limit, for downloads only.
    """

    hosts: tuple[str, ...] = ()
    trusted_origins: frozenset[Origin] = frozenset()
    ports: frozenset[int] = frozenset(DEFAULT_PORTS.values())
    max_bytes: int = 32 * MIB
    media_types: tuple[str, ...] = ()
    timeout: float = 30.0
    idle: float = 30.0
    download_timeout: float = 3600.0
    max_redirects: int = 3
    max_url: int = 2048

    def allows_host(self, host: str) -> bool:
        """Whether a pattern covers a host name (lower case)."""
        name = host.removesuffix(".")
        return any(_covers(pattern.lower(), name) for pattern in self.hosts)

    def allows_media_type(self, media_type: str) -> bool:
        """Whether a media type without parameters (lower case) is in the list."""
        family = media_type.partition("/")[0] + "/*"
        return not self.media_types or any(allowed.lower() in {media_type, family, "*/*"} for allowed in self.media_types)


def _covers(pattern: str, name: str) -> bool:
    return pattern == "*" or pattern == name or (pattern.startswith("*.") and name.endswith(pattern[1:]))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the check. `url` is what is asked for: without fragment, path and query byte for byte as they were given.

    `address` is set where the host is an IP address; `trusted` frees the addresses behind a name from the check.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: IPAddress | None
    trusted: bool

    @property
    def origin(self) -> Origin:
        return self.scheme, self.host, self.port


def check_url(url: str, policy: FetchPolicy, *, trust: bool = True) -> Target:
    """The target of a URL that the policy allows; `trust` False ignores its trusted origins. Raises FetchError (400)."""
    if len(url) > policy.max_url:
        raise refused(f"The URL is longer than {policy.max_url} characters.")
    if _CONTROL.search(url) or "\\" in url:
        raise refused("The URL holds a control character or a backslash; percent-encode it.")
    parts = _URL.fullmatch(url)
    scheme = parts[1].lower() if parts else ""
    if parts is None or scheme not in DEFAULT_PORTS:
        raise refused("Only absolute http and https URLs are fetched.")
    host, port, address = _authority(parts[2], DEFAULT_PORTS[scheme])
    trusted = trust and (scheme, host, port) in policy.trusted_origins
    if not trusted:
        _check_destination(host, port, address, policy)
    rest = _on_the_wire(parts[3])
    written = f"[{host}]" if isinstance(address, IPv6Address) else host
    authority = written if port == DEFAULT_PORTS[scheme] else f"{written}:{port}"
    return Target(f"{scheme}://{authority}{rest}", scheme, host, port, address, trusted)


def _on_the_wire(rest: str) -> str:
    """Path and query, as they were given but for blanks and characters beyond ASCII, which no request line can hold."""
    try:
        encoded = quote_from_bytes(rest.encode("utf-8", "surrogateescape"), safe=_KEPT)
    except UnicodeEncodeError:
        raise refused("The URL holds half of a surrogate pair; percent-encode it.") from None
    return encoded if encoded.startswith("/") else "/" + encoded


def _authority(authority: str, default_port: int) -> tuple[str, int, IPAddress | None]:
    """Host, port and, where the host is one, the IP address."""
    if "@" in authority:
        raise refused("The URL holds a user name or password; fetching with credentials is not possible.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise refused("The URL's host is not a host name in ASCII (write other scripts in their xn-- form) with an optional port.")
    port = int(match[3]) if match[3] else default_port
    if not 0 < port < 65536:
        raise refused("The URL's port is not a number from 1 to 65535.")
    if match[1] is not None:
        try:
            literal = IPv6Address(match[1])
        except ValueError:
            raise refused("The URL's host is not an IPv6 address.") from None
        return str(literal), port, literal
    host = match[2].lower()
    if looks_numeric(host):
        return host, port, _ipv4(host)
    if not _NAME.fullmatch(host):
        raise refused("The URL's host is not a host name.")
    return host, port, None


def _ipv4(host: str) -> IPv4Address:
    """Only the usual spelling: four decimal numbers. Any other is understood differently by different programs."""
    try:
        return IPv4Address(host)
    except ValueError:
        raise refused("The URL's host is a number that is not an IPv4 address in its usual form.") from None


def _check_destination(host: str, port: int, address: IPAddress | None, policy: FetchPolicy) -> None:
    if port not in policy.ports:
        raise refused("The URL's port is not one that is fetched from.")
    if address is None:
        if not policy.allows_host(host):
            raise refused("The URL's host is not in the list of hosts to fetch from.")
    elif host not in policy.hosts:
        raise refused("The URL's host is an IP address; give a host name.")
    elif forbidden(address):
        raise refused("The URL's host does not lead to a public address.")


def check_redirect(source: Target, location: str, policy: FetchPolicy) -> Target:
    """The target that a redirect leads to: the same rules again, and never from https to http. Raises FetchError (400)."""
    if _CONTROL.search(location):  # urljoin would drop some of them silently
        raise refused("The URL redirects to a URL that holds a control character.")
    try:
        url = urljoin(source.url, location)
    except ValueError:
        raise refused("The URL redirects to something that is not a URL.") from None
    target = check_url(url, policy, trust=source.trusted)
    if source.scheme == "https" and target.scheme == "http":
        raise refused("The URL redirects from https to http.")
    return target
