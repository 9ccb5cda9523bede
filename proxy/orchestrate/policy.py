"""What a platform lets the gateway read behind URLs: its rule's `fetch` word as the policy of a fetch or a download. Pure.

Its own origin, as it is configured here, is trusted for URLs that the platform itself gave: it is where every call goes anyway, and
it may be private (a sandbox, a relay in the same network). A URL that a client chose gets no such trust (rule R03).
"""

from proxy.fetch.targets import FetchPolicy, Origin
from proxy.settings import KIB, Timeouts
from translators.model import Platform, Upstream

_DEFAULT = FetchPolicy()
_MAX_GIVEN_URL = 16 * KIB  # platforms sign URLs with whole tokens in them; rule R02 bounds what clients send


def origin_of(upstream: Upstream) -> Origin:
    return upstream.scheme, upstream.host, upstream.port


def fetch_policy(platform: Platform, upstream: Upstream, *, given: bool) -> FetchPolicy:
    """For reading a file into memory. `given`: the platform gave the URL, else a client did. Without `fetch`, nothing (R01)."""
    rule = platform.fetch
    if rule is None:
        return _DEFAULT
    return FetchPolicy(
        hosts=rule.hosts,
        trusted_origins=frozenset((origin_of(upstream),)) if given else frozenset(),
        max_bytes=rule.size,
        media_types=rule.types,
        timeout=rule.timeout,
        max_url=_MAX_GIVEN_URL if given else _DEFAULT.max_url,
    )


def download_policy(platform: Platform, upstream: Upstream, timeouts: Timeouts) -> FetchPolicy:
    """For streaming finished work to the client. Without a `fetch` word any public host: the platform, not a client, names it.

    There is no bound on size or on time as a whole, only on the head and on silence; `types` and `size` of the rule are for what is
    read into memory.
    """
    rule = platform.fetch
    return FetchPolicy(
        hosts=rule.hosts if rule is not None else ("*",),
        trusted_origins=frozenset((origin_of(upstream),)),
        max_bytes=0,
        timeout=rule.timeout if rule is not None else _DEFAULT.timeout,
        idle=platform.timeouts.get("t_between_bytes", timeouts.t_between_bytes),
        download_timeout=0.0,
        max_url=_MAX_GIVEN_URL,
    )
