"""Who may use the gateway: client licences, kept as hashes and compared in constant time (rule N06)."""

import hashlib
import hmac
import re
from collections.abc import Iterable

from proxy.outcomes import ErrorType
from proxy.telemetry.logs import RateLimiter
from proxy.telemetry.metrics import Metrics
from proxy.wire.head import RequestHead
from proxy.wire.refusal import Refusal
from proxy.wire.target import single_parameter

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
FAILURES_PER_MINUTE = 20.0
KEY_FIELDS = (b"x-api-key", b"x-goog-api-key")


class LicenceError(ValueError):
    """A line of the licence list is not a hash."""


def hash_licence(licence: str) -> str:
    """The form in which a licence is kept: `sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(licence.encode()).hexdigest()


def read_licences(lines: Iterable[str], source: str) -> tuple[bytes, ...]:
    """The digests of a licence list; empty lines and `#` comments are skipped. Raises LicenceError without showing the line."""
    digests: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _HASH.fullmatch(text)
        if match is None:
            raise LicenceError(
                f"{source}:{number}: a licence is kept as 'sha256:' and 64 hex digits, never as plain text; "
                "`dragoman licence` makes a new one"
            )
        digests.append(bytes.fromhex(match.group(1)))
    return tuple(digests)


def bearer(value: bytes) -> bytes:
    """What an Authorization field holds, with or without the word `Bearer`."""
    word, _, rest = value.partition(b" ")
    return rest.strip(b" ") if word.lower() == b"bearer" and rest else value


def credentials(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """Every credential the client presents: (lower-case field name, or `?key`; value), in the order they are looked at."""
    found = [(b"authorization", bearer(value)) for value in head.values(b"authorization")]
    for name in KEY_FIELDS:
        found += [(name, value) for value in head.values(name)]
    key = single_parameter(head.target.query, b"key")
    if key:
        found.append((b"?key", key))
    return found


class Gate:
    """Checks licences. Without any licence everybody may pass."""

    def __init__(self, digests: tuple[bytes, ...], metrics: Metrics) -> None:
        self._digests = digests
        self._metrics = metrics
        self._failures = RateLimiter(rate=FAILURES_PER_MINUTE)

    def check(self, head: RequestHead, peer: str) -> bytes | None:
        """The licence the client presents, None where none is needed. Raises Refusal (401, 403, 429)."""
        if not self._digests:
            return None
        presented = credentials(head)
        for _, value in presented:
            digest = hashlib.sha256(value).digest()
            if any([hmac.compare_digest(digest, known) for known in self._digests]):  # noqa: C419 - all, in constant time
                return value
        self._metrics.auth_failures.inc()
        if not self._failures.allow(peer):
            raise Refusal(
                429,
                ErrorType.HTTP_REQUEST_DENIED,
                "too_many_failures",
                "Too many requests with a wrong licence came from this address.",
                fields=(("Retry-After", "60"),),
                close=True,
            )
        if presented:
            raise Refusal(403, ErrorType.HTTP_REQUEST_DENIED, "licence_unknown", "This licence is not known here.")
        raise Refusal(
            401,
            ErrorType.HTTP_REQUEST_DENIED,
            "licence_required",
            "Send your licence as 'Authorization: Bearer LICENCE', 'x-api-key' or 'x-goog-api-key'.",
            fields=(("WWW-Authenticate", 'Bearer realm="dragoman"'),),
        )
