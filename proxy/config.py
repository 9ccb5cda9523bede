"""The configuration file: strict YAML into `proxy.settings.Settings`.

The schema is the dataclasses themselves: their field names are the words, their annotations the types. What an annotation cannot
say (ranges, forms of addresses) stands in the tables below. The command line replaces single fields afterwards with
`dataclasses.replace`, so nothing here knows about options.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from proxy.settings import Limits, Settings, Timeouts
from proxy.store.opening import is_redis
from translators import schema, units, values, yamlfile
from translators.place import Where
from translators.problems import InvalidFileError, InvalidValueError, Problem, Problems, quote, suggest_or_list
from translators.schema import Reader
from translators.yamlfile import Node, Scalar

# Whole numbers of `Limits` that count things; the others are sizes in bytes.
COUNTS = frozenset(
    (
        "header_count", "response_header_count", "client_connections", "pipelined_requests", "upstream_connections",
        "interim_responses", "fetches", "deferred_calls",
    )
)  # fmt: skip
# Where 0 has a meaning: no limit, off, or nothing to wait for.
ZERO = frozenset(
    (
        "body", "buffered_bytes_total", "upstream_connections", "interim_responses", "socket_buffer", "linger_bytes",
        "body_min_rate", "body_rate_grace", "t_total", "t_program", "t_pool_idle", "t_linger", "pre_drain",
        "t_drain",
    )
)  # fmt: skip
# Least values that a standard asks for.
LEAST = {"request_line": (8000, "RFC 9112 section 3 asks for at least 8,000 octets")}

LOG_LEVELS = ("debug", "info", "warning", "error")
EVENT_LOOPS = ("auto", "uvloop", "asyncio")

_PORT = re.compile(r"[0-9]{1,5}\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*\Z")
_LICENCE = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PREFIX = re.compile(r"(?:[A-Z_][A-Z0-9_]*)?\Z")


def load_config(path: Path) -> Settings:
    """The settings of a file, defaults filled in: an empty file gives all defaults. Raises
    translators.problems.InvalidFileError with every problem found."""
    node = yamlfile.read(path)
    problems = Problems()
    settings: Settings | None = _record(Settings, _readers(path.parent), node, problems, "the configuration")
    problems.raise_any()
    if settings is None:  # cannot be without a problem
        raise InvalidFileError([Problem("no configuration can be read", Where(path, 1, 1))])
    return settings


def address(text: str) -> str:
    """Checks `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; raises InvalidValueError."""
    hint = "Write HOST:PORT, [IPV6]:PORT or unix:PATH, for example 127.0.0.1:8080; port 0 takes any free one."
    if text.startswith("unix:"):
        if len(text) == len("unix:") or "\0" in text:
            raise InvalidValueError("`unix:` without a path", hint)
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.match(port) or int(port) > 65535:
        raise InvalidValueError(f"{quote(text)} has no port", hint)
    try:
        parsed = values.upstream(f"http://{host}:{int(port) or 1}")
    except InvalidValueError:
        parsed = None
    if parsed is None or parsed.base:
        raise InvalidValueError(f"{quote(text)} is no address to listen on", hint)
    return text


# --- single values ---


def _choice(names: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise InvalidValueError(f"{quote(text)} is not possible here", suggest_or_list(text, names, "Possible"))
        return text

    return parse


def _matching(pattern: re.Pattern[str], what: str, hint: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.match(text):
            raise InvalidValueError(f"this is no {what}", hint)
        return text

    return parse


def _path(base: Path, text: str) -> Path:
    if not text or "\0" in text:
        raise InvalidValueError("an empty path", "Write a path; a relative one starts at the configuration file.")
    return base / text


def _listen(base: Path, text: str) -> str:
    checked = address(text)
    return f"unix:{base / checked.removeprefix('unix:')}" if checked.startswith("unix:") else checked


def _access_log(base: Path, text: str) -> str:
    return text if text in ("-", "off") else str(_path(base, text))


def _store(base: Path, text: str) -> str:
    if not is_redis(text):
        return str(_path(base, text))
    if "@" in text:
        raise InvalidValueError(
            "a URL with credentials", "Put it into the environment as DRAGOMAN_STORE, or as DRAGOMAN_STORE_FILE."
        )
    return text


def _url(text: str) -> str:
    values.upstream(text)
    return text


def _bounded(name: str, parse: Callable[[object], float]) -> Callable[[object], Any]:
    def checked(value: object) -> float:
        result = parse(value)
        least, why = LEAST.get(name, (0, ""))
        if result < least:
            raise InvalidValueError(f"`{name}` is too small: {why}", f"Write {least} or more.")
        if result == 0 and name not in ZERO:
            raise InvalidValueError(f"`{name}` cannot be 0", "Leave the line out for the default.")
        return result

    return checked


def _optional(read: Reader[Any]) -> Reader[Any]:
    """`null` and nothing mean None, which `_record` tells apart from a problem by asking the node."""

    def read_or_none(node: Node, problems: Problems) -> Any:
        return None if _is_null(node) else read(node, problems)

    return read_or_none


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _upstreams(node: Node, problems: Problems) -> Mapping[str, str] | None:
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"`upstreams` must be a mapping, not {schema.kind_of(node)}", node.where, "Write PLATFORM: URL.")
        return None
    found = {}
    for key, value in node.entries:
        name = schema.read_value(values.slug, key, problems, key.text)
        url = schema.text(_url)(value, problems)
        if name is not None and url is not None:
            found[name] = url
    return found


# --- records ---


def _numbers(record: type) -> dict[str, Reader[Any]]:
    """Readers of `Limits` and `Timeouts`, from their annotations."""
    hints = get_type_hints(record)
    readers: dict[str, Reader[Any]] = {}
    for field in fields(record):
        parse = units.duration if hints[field.name] is float else units.count if field.name in COUNTS else units.size
        readers[field.name] = schema.number(_bounded(field.name, parse))
    return readers


def _readers(base: Path) -> dict[str, Reader[Any]]:
    """Readers of `Settings`: by name where the form matters, else by annotation."""
    plain = schema.text(str)
    path = schema.text(partial(_path, base))
    by_type: dict[Any, Reader[Any]] = {
        str: plain,
        str | None: _optional(plain),
        bool: schema.flag,
        tuple[str, ...]: schema.items(plain),
        Path | None: _optional(path),
        tuple[Path, ...]: schema.items(path),
        Limits: partial(_record, Limits, _numbers(Limits), what="`limits`"),
        Timeouts: partial(_record, Timeouts, _numbers(Timeouts), what="`timeouts`"),
    }
    listen = schema.text(partial(_listen, base))
    by_name: dict[str, Reader[Any]] = {
        "listen": schema.items(listen),
        "admin": _optional(listen),
        "upstreams": _upstreams,
        "platforms": schema.items(schema.text(values.slug)),
        "licences": schema.items(schema.text(_matching(_LICENCE, "licence", "Write sha256: and the 64 hex digits of its hash."))),
        "secrets_prefix": schema.text(_matching(_PREFIX, "prefix", "Upper-case letters, digits and _: DRAGOMAN_.")),
        "log_level": schema.text(_choice(LOG_LEVELS)),
        "event_loop": schema.text(_choice(EVENT_LOOPS)),
        "store": schema.text(partial(_store, base)),
        "access_log": schema.text(partial(_access_log, base)),
        "via": schema.text(_matching(_TOKEN, "pseudonym", "A word without blanks, or nothing to send no Via.")),
    }
    return {name: by_name[name] if name in by_name else by_type[hint] for name, hint in get_type_hints(Settings).items()}


def _record(record: type, readers: Mapping[str, Reader[Any]], node: Node, problems: Problems, what: str) -> Any:
    """A dataclass from a mapping; None when something in it was wrong."""
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"{what} must be a mapping, not {schema.kind_of(node)}", node.where, f"Names: {', '.join(readers)}.")
        return None
    before = len(problems)
    found: dict[str, Any] = {}
    places: dict[str, Where] = {}
    for key, value in node.entries:
        read = readers.get(key.text)
        if read is None:
            problems.add(f"unknown name {quote(key.text)} in {what}", key.where, suggest_or_list(key.text, readers, "Names"))
            continue
        found[key.text], places[key.text] = read(value, problems), key.where
    if len(problems) > before:
        return None
    made = record(**found)
    for name, message, hint in _contradictions(made):
        problems.add(message, places.get(name, node.where), hint)
    return made


def _contradictions(made: Any) -> list[tuple[str, str, str]]:
    """`(field, message, hint)` for values that are possible alone and not together."""
    found = []
    if isinstance(made, Limits):
        for small, large in (("header_field", "header_section"), ("response_header_field", "response_header_section")):
            if getattr(made, small) > getattr(made, large):
                found.append((small, f"`{small}` is larger than `{large}`", "One header field must fit into the section."))
        if 0 < made.body < made.buffered_body:
            found.append(("buffered_body", "`buffered_body` is larger than `body`", "Lower it too: it is a part of the other."))
    if isinstance(made, Settings):
        if (made.tls_certificate is None) != (made.tls_key is None):
            given = "tls_key" if made.tls_certificate is None else "tls_certificate"
            found.append((given, "`tls_certificate` and `tls_key` belong together", "Say both, or none."))
        if not made.listen:
            found.append(("listen", "no address to listen on", "Leave the line out for the default."))
    return found
