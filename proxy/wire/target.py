"""The request target: its forms and what a path and a query may hold (rules C02 to C08).

The target is checked and split, never rewritten: the bytes that are matched are the bytes that are forwarded.
"""

import re
from typing import NamedTuple

from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal, bad_request

# Visible ASCII but `"` `<` `>` stay allowed: providers see them today. Excluded: controls, space, `#`, backslash, non-ASCII.
_CLEAN = re.compile(rb"[!-\x22\x24-\x5b\x5d-\x7e]*")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BAD_PATH_ESCAPE = re.compile(rb"%(?:00|0[aA]|0[dD])")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::([0-9]{0,5}))?")


class Target(NamedTuple):
    """An origin-form target: the path, and the query without its `?` (None where there is no `?`)."""

    path: bytes
    query: bytes | None

    @property
    def raw(self) -> bytes:
        return self.path if self.query is None else self.path + b"?" + self.query


def check_host(value: bytes) -> None:
    """`uri-host [":" port]` of RFC 9112 section 3.2; anything else is refused (rule A06)."""
    match = _HOST.fullmatch(value)
    if match is None or int(match.group(1) or b"0") > 65535:
        raise bad_request("bad_host", "The Host header field is not a valid host and port.")


def _unescape(path: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes((int(match.group(1), 16),)), path)


def _reduce_absolute(raw: bytes, host: bytes, scheme: bytes) -> bytes:
    """Absolute-form to origin-form, if scheme and authority are the ones this connection speaks for."""
    given, separator, rest = raw.partition(b"://")
    if not separator or given.lower() != scheme:
        raise bad_request("bad_target", "The request target's scheme does not match this listener.")
    cut = min((index for index in (rest.find(b"/"), rest.find(b"?")) if index >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if authority.lower() != host.lower():
        raise bad_request("bad_target", "The request target's authority does not match the Host header field.")
    return path if path.startswith(b"/") else b"/" + path


def read_target(raw: bytes, method: str, host: bytes, scheme: bytes = b"http") -> Target:
    """The target of a request line. Raises Refusal (400)."""
    if raw == b"*":
        if method != "OPTIONS":
            raise bad_request("bad_target", "The asterisk-form target is for OPTIONS only.")
        return Target(b"*", None)
    if not raw.startswith(b"/"):
        raw = _reduce_absolute(raw, host, scheme)
    if _CLEAN.fullmatch(raw) is None or _BAD_ESCAPE.search(raw) is not None:
        raise bad_request("bad_target", "The request target holds a character or an escape that is not allowed there.")
    path, mark, query = raw.partition(b"?")
    if b"%" in path and _BAD_PATH_ESCAPE.search(path) is not None:
        raise bad_request("bad_target", "The path holds an escaped control character.")
    if b"." in path or b"%2" in path:
        plain = _unescape(path).replace(b"\\", b"/")
        if any(part in {b".", b".."} for part in plain.split(b"/")):
            raise bad_request("dot_segment", "Dot segments in the path are refused; send the path they stand for.")
    return Target(path, query if mark else None)


def _names(query: bytes) -> list[bytes]:
    """The names of all parameters, decoded: the upstream reads an escaped name as the same name."""
    names = [pair.partition(b"=")[0] for pair in query.split(b"&")]
    return [_unescape(name) for name in names] if b"%" in query else names


def _hides(query: bytes, names: frozenset[bytes]) -> bool:
    """Whether a reader for whom `;` separates parameters as well would find one of these."""
    return b";" in query and any(name.lower() in names for name in _names(query.replace(b";", b"&")))


def _ambiguous(names: frozenset[bytes]) -> Refusal:
    listed = ", ".join(repr(name.decode("ascii")) for name in sorted(names))
    return Refusal(
        400,
        ErrorType.HTTP_REQUEST_ERROR,
        "ambiguous_query",
        f"The query parameter {listed} must occur once, in a query without ';'.",
    )


def without_parameters(query: bytes, names: frozenset[bytes]) -> bytes:
    """The query without the parameters of these lower-case names; every other byte stays as it was.

    Raises Refusal (400) where one of them stands behind a `;` (rule C08).
    """
    kept = b"&".join(pair for pair, name in zip(query.split(b"&"), _names(query), strict=True) if name.lower() not in names)
    if _hides(kept, names):
        raise _ambiguous(names)
    return kept


def single_parameter(query: bytes | None, name: bytes) -> bytes | None:
    """The value of a parameter the proxy acts on. What could be read in two ways is refused (rule C08)."""
    if not query:
        return None
    values = [pair.partition(b"=")[2] for pair, found in zip(query.split(b"&"), _names(query), strict=True) if found == name]
    if len(values) > 1 or _hides(query, frozenset((name,))):
        raise _ambiguous(frozenset((name,)))
    return values[0] if values else None
