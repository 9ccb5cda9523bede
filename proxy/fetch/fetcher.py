"""The client that fetches: resolves once, checks every address, connects to what was checked, follows few redirects, reads with
limits (rules R03 to R05).

Each hop has a session and a connector of its own, made for the addresses that were checked: no connection, cookie or lookup is
shared with another fetch, whose policy may differ. Fetches are rare beside carried exchanges, and cost this gladly.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy.fetch.addresses import IPAddress, forbidden
from proxy.fetch.targets import FetchError, FetchOutcome, FetchPolicy, Target, check_redirect, check_url, refused
from proxy.settings import KIB
from proxy.upstream.resolver import Resolver

Field = tuple[str, str]
Observer = Callable[[FetchOutcome], None]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Fields that say what is wanted and nothing about who wants it; all others stay with the origin they were given for.
PORTABLE = frozenset({"accept", "range", "if-range", "if-none-match", "if-modified-since"})
_FIELD_SIZE = 32 * KIB
_FAILED = "The URL could not be fetched. It must be reachable and answer with status 200."
_SLOW = "The URL could not be fetched in time."


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file. `media_type` is what its server called it, lower case, without parameters, or empty; `url` after redirects."""

    data: bytes
    media_type: str
    url: str


class Download:
    """A file on its way: any status but a redirect, the fields as they came, and the chunks by `async for`."""

    def __init__(self, response: aiohttp.ClientResponse, target: Target, policy: FetchPolicy) -> None:
        self._response = response
        self._policy = policy
        self._deadline = asyncio.get_running_loop().time() + policy.download_timeout if policy.download_timeout else None
        self.status = response.status
        self.fields: tuple[tuple[bytes, bytes], ...] = response.raw_headers
        self.url = target.url

    def header(self, name: str) -> str | None:
        """The first field of a name, in any case."""
        return self._response.headers.get(name)

    @property
    def media_type(self) -> str:
        """Of the Content-Type field, lower case, without parameters; empty where there is none."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive, not decoded. Raises FetchError when they end early, stop, or are too many."""
        seen = 0
        while chunk := await self._next():
            seen += len(chunk)
            if 0 < self._policy.max_bytes < seen:
                raise _too_large(self._policy)
            yield chunk

    async def _next(self) -> bytes:
        with _one_failure():
            async with asyncio.timeout_at(self._deadline):
                return await self._response.content.readany()


class Fetcher:
    """Fetches what a policy allows. `context` verifies https servers; `observe` hears how each fetch ended, once per fetch."""

    def __init__(
        self,
        resolver: Resolver,
        context: ssl.SSLContext,
        *,
        observe: Observer | None = None,
        user_agent: str = "dragoman",
    ) -> None:
        self._resolver = resolver
        self._context = context
        self._observe = observe
        self._user_agent = user_agent

    async def fetch(self, url: str, policy: FetchPolicy) -> Fetched:
        """The whole file behind a URL, at most `policy.max_bytes`. Raises FetchError, and ValueError without such a limit."""
        if policy.max_bytes <= 0:
            raise ValueError("what is fetched into memory needs a limit: set max_bytes, or use open")
        with self._counted(), _one_failure():
            async with asyncio.timeout(policy.timeout), contextlib.AsyncExitStack() as stack:
                download = await self._reach(stack, "GET", url, policy, _accept(policy))
                return await _read(download, policy)

    @contextlib.asynccontextmanager
    async def open(
        self, url: str, policy: FetchPolicy, headers: Sequence[Field] = (), *, method: str = "GET"
    ) -> AsyncIterator[Download]:
        """A download whose head has arrived; the connection is closed when the block is left. Raises FetchError.

        `headers` are sent as given, to the URL's own origin; after a redirect to another one only those in `PORTABLE` are.
        Status and media type are the caller's to judge. `method` is GET or HEAD.
        """
        with self._counted():
            async with contextlib.AsyncExitStack() as stack:
                with _one_failure():
                    async with asyncio.timeout(policy.timeout):
                        download = await self._reach(stack, method, url, policy, headers)
                _check_length(download, policy)
                yield download

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        outcome = FetchOutcome.ABANDONED
        try:
            yield
            outcome = FetchOutcome.OK
        except FetchError as error:
            outcome = error.outcome
            raise
        finally:
            if self._observe is not None:
                self._observe(outcome)

    async def _reach(
        self, stack: contextlib.AsyncExitStack, method: str, url: str, policy: FetchPolicy, fields: Sequence[Field]
    ) -> Download:
        """The first answer that is no redirect; what it holds open is closed by `stack`."""
        target = check_url(url, policy)
        for _ in range(policy.max_redirects + 1):
            async with contextlib.AsyncExitStack() as hop:
                response = await self._request(hop, method, target, policy, fields)
                location = response.headers.get("Location") if response.status in REDIRECTS else None
                if location is None:
                    stack.push_async_exit(hop.pop_all())
                    return Download(response, target, policy)
            following = check_redirect(target, location, policy)
            if following.origin != target.origin:
                fields = [(name, value) for name, value in fields if name.lower() in PORTABLE]
            target = following
        raise refused(f"The URL redirects more than {policy.max_redirects} times.")

    async def _request(
        self, hop: contextlib.AsyncExitStack, method: str, target: Target, policy: FetchPolicy, fields: Sequence[Field]
    ) -> aiohttp.ClientResponse:
        addresses = await self._checked_addresses(target)
        session = await hop.enter_async_context(self._session(addresses, policy))
        auto = [("Accept-Encoding", "identity"), ("User-Agent", self._user_agent)]
        given = {name.lower() for name, _ in fields}
        sent = [*fields, *((name, value) for name, value in auto if name.lower() not in given)]
        request = session.request(method, URL(target.url, encoded=True), headers=sent, allow_redirects=False)
        return await hop.enter_async_context(request)

    async def _checked_addresses(self, target: Target) -> list[IPAddress]:
        """All addresses behind the target's host; one that is not public refuses them all (rule R03)."""
        if target.address is not None:
            return [target.address]
        found = await self._resolver.resolve(target.host, target.port)
        addresses = [ip_address(address.sockaddr[0]) for address in found]
        if not target.trusted and any(forbidden(address) for address in addresses):
            raise refused("The URL's host does not lead to a public address.")
        return addresses

    def _session(self, addresses: list[IPAddress], policy: FetchPolicy) -> aiohttp.ClientSession:
        """A session that connects to these addresses only and sends nothing that was not asked for (rule R04)."""
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses),
            socket_factory=_only_to(addresses),
            ssl=self._context,
            use_dns_cache=False,
            force_close=True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=policy.idle),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Content-Type"),
            max_line_size=_FIELD_SIZE,
            max_field_size=_FIELD_SIZE,
        )


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked, whatever the name system says by now."""

    def __init__(self, addresses: list[IPAddress]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - part of the interface
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _only_to(addresses: list[IPAddress]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Makes the connector's sockets, the last point before a connection, and makes none for an address that was not checked."""
    allowed = frozenset(addresses)

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        if ip_address(sockaddr[0]) not in allowed:
            raise OSError("an address that was not checked")
        return socket.socket(family, kind, protocol)

    return make


@contextlib.contextmanager
def _one_failure() -> Iterator[None]:
    """Every way in which a connection can fail becomes one error, and being slow another (rule R05).

    Causes are cut off: the library's exceptions print the whole URL (rule N04).
    """
    try:
        yield
    except TimeoutError:
        raise FetchError(FetchOutcome.TIMEOUT, _SLOW) from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise FetchError(FetchOutcome.FAILED, _FAILED) from None


def _accept(policy: FetchPolicy) -> list[Field]:
    return [("Accept", ", ".join(policy.media_types) or "*/*")]


def _too_large(policy: FetchPolicy) -> FetchError:
    return FetchError(FetchOutcome.TOO_LARGE, f"The file behind the URL is larger than {policy.max_bytes} bytes.")


def _check_length(download: Download, policy: FetchPolicy) -> None:
    length = download.header("Content-Length") or ""
    if length.isdecimal() and 0 < policy.max_bytes < int(length):
        raise _too_large(policy)


async def _read(download: Download, policy: FetchPolicy) -> Fetched:
    """The body of a complete, uncoded answer of an allowed type."""
    coding = (download.header("Content-Encoding") or "identity").strip().lower()
    if download.status != 200 or coding != "identity":  # we asked for identity: nothing is decoded, so nothing can blow up
        raise FetchError(FetchOutcome.FAILED, _FAILED)
    if not policy.allows_media_type(download.media_type):
        allowed = ", ".join(policy.media_types)
        raise FetchError(FetchOutcome.MEDIA_TYPE, f"The file behind the URL is of another media type than {allowed}.")
    _check_length(download, policy)
    data = bytearray()
    async for chunk in download:
        data += chunk
    return Fetched(bytes(data), download.media_type, download.url)
