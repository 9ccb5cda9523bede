"""The one redaction function of all log sinks (rules N01, N04): nothing that is or looks like a credential gets through.

It is the second line. The first is that no code logs header values, queries, bodies or URLs with userinfo at all. So it may take
too much ("Bearer authentication" loses a word) but must not take too little. Every pattern is linear in the length of the text:
what a client sends may end up here.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

REDACTED = "[redacted]"
SHORTEST_SECRET = 4  # anything shorter is no secret, and would black out half of every log

_FIELDS = r"(?:proxy-)?authorization|x-api-key|api-key|x-goog-api-key|(?:set-)?cookie|sec-websocket-protocol"
_MEMBERS = rf"{_FIELDS}|api_?key|access_?token|auth_?token|client_secret|secret|password"
_PARAMETERS = (
    r"key|api[-_]?key|access[-_]?(?:key|token)|auth[-_]?token|token|(?:client[-_])?secret|password"
    r"|sig|signature|x-(?:amz|goog)-[a-z-]{1,40}"
)
# Each pattern is tried only on a text that has one of its needles in lower case: that is most of the time saved.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (  # an item of a dict or a pair of a list of headers: the value up to its quote
        ("authorization", "key", "cookie", "protocol", "token", "secret", "password"),
        re.compile(rf"(?i)\b({_MEMBERS})(['\"]\s*[:,]\s*b?)(['\"])(?:(?!\3)[^\r\n])*"),
        rf"\1\2\3{REDACTED}",
    ),
    (  # a field line: the value up to the end of the line
        ("authorization", "api-key", "cookie", "protocol"),
        re.compile(rf"(?i)\b({_FIELDS})(\s*[:=]\s*)(?!['\"])[^\r\n]+"),
        rf"\1\2{REDACTED}",
    ),
    (("bearer", "basic"), re.compile(r"(?i)\b(bearer|basic)(\s+|%20|\+)[^\s'\",;]+"), rf"\1\2{REDACTED}"),
    (("://",), re.compile(r"://[^/\s?#'\"]*@"), f"://{REDACTED}@"),
    (  # a query parameter, also where `?`, `&`, `;` and `=` are percent-encoded
        ("=", "%3d"),
        re.compile(rf"(?i)(?:(?<![a-z0-9])|(?<=%[23][6bf]))({_PARAMETERS})((?:=|%3d)['\"]?)[^&;\s'\"<>,]+"),
        rf"\1\2{REDACTED}",
    ),
    (("sk-",), re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_.-]{4,}"), REDACTED),
    (("eyj",), re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_.-]{8,}"), REDACTED),  # JSON Web Tokens
)


class Redactor:
    """Known secret values plus patterns. `version` changes with every registration: what was redacted before may be stale."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.version = 0
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        for secret in secrets:
            self.register(secret)

    def register(self, secret: str) -> None:
        """Replace this value from now on wherever it stands, as it is and percent-encoded; ignored when under 4 characters."""
        if len(secret) < SHORTEST_SECRET or secret in self._secrets:
            return
        self._secrets |= {secret, quote(secret, safe=""), quote(secret)}
        longest_first = sorted(self._secrets, key=len, reverse=True)  # a secret may be the beginning of another
        self._known = re.compile("|".join(map(re.escape, longest_first)))
        self.version += 1

    def redact(self, text: str) -> str:
        """`text` with every known secret and everything that looks like a credential replaced by `[redacted]`."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        lowered = text.lower()
        for needles, pattern, replacement in _PATTERNS:
            if any(needle in lowered for needle in needles):
                text = pattern.sub(replacement, text)
        return text


shared = Redactor()  # logging is global, so is what must not be in it
register = shared.register
redact = shared.redact
