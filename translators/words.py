"""The words of the rule language, defined once: a platform's file is read by them and docs/rules.md is generated from them.

These are the first words: heads are changed, bodies are carried. A route is `carry` or a mapping that says what differs from
carrying; further words (send, edit, body, ...) join `ROUTE`. An unknown word is an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from translators import schema, units, values, yamlfile
from translators.model import Auth, AuthKind, HeaderRule, ModelRule, Protocol, Template, Upstream, Where
from translators.paths import PathPattern, parse_route
from translators.problems import InvalidValueError, Problems, quote, suggest_or_list
from translators.schema import Reader, Word
from translators.yamlfile import Node, Scalar, Sequence


class Handling(StrEnum):
    """What happens to an exchange whose route says nothing else."""

    CARRY = "carry"


# The names of the proxy's settings that a platform may override. A test holds them against the proxy's own.
ZERO_TIMEOUTS = frozenset({"t_pool_idle"})  # 0: no limit, no keeping
TIMEOUTS = (
    "t_dns", "t_connect", "t_tls", "t_pool_wait", "t_first_byte", "t_between_bytes",
    "t_pool_idle", "t_pool_age",
)  # fmt: skip
ZERO_LIMITS = frozenset({"body", "upstream_connections"})  # 0: no limit
LIMITS = ("body", "upstream_connections")
_COUNTS = frozenset({"upstream_connections"})


@dataclass(frozen=True, slots=True)
class WrittenRoute:
    """A route as the file says it; the protocol may be open."""

    text: str
    method: str
    pattern: PathPattern
    protocol: Protocol | None
    where: Where


# --- auth ---


def _credential(kind: AuthKind, header: str, prefix: str) -> Reader[Auth]:
    def read(node: Node, problems: Problems) -> Auth | None:
        value = schema.text(values.credential_template)(node, problems)
        return Auth(kind, header, prefix, value) if value else None

    return read


def _header_credential(node: Node, problems: Problems) -> Auth | None:
    if not isinstance(node, yamlfile.Mapping) or len(node.entries) != 1:
        problems.add("`header` takes one header and its value", node.where, 'Write header: {x-api-key: "${secret.NAME}"}.')
        return None
    ((key, value),) = node.entries
    name = schema.read_value(values.header_name, key, problems, key.text)
    template = schema.text(values.credential_template)(value, problems)
    return Auth(AuthKind.HEADER, name, "", template) if name and template else None


_PASS_SHAPES = {"bearer": ("Authorization", "Bearer "), "key": ("Authorization", "Key ")}


def _pass_on(node: Node, problems: Problems) -> Auth | None:
    hint = "Write pass: bearer, pass: key or pass: {header: x-api-key}."
    if isinstance(node, Scalar) and node.text in _PASS_SHAPES:
        return Auth(AuthKind.PASS, *_PASS_SHAPES[node.text])
    if isinstance(node, yamlfile.Mapping) and [key.text for key, _ in node.entries] == ["header"]:
        name = schema.text(values.header_name)(node.entries[0][1], problems)
        return Auth(AuthKind.PASS, name) if name else None
    problems.add("`pass` names the header the client's credential is written to", node.where, hint)
    return None


AUTH_BEARER = Word(
    "bearer",
    "template",
    "Sends `Authorization: Bearer <value>`.",
    _credential(AuthKind.BEARER, "Authorization", "Bearer "),
)
AUTH_KEY = Word("key", "template", "Sends `Authorization: Key <value>`.", _credential(AuthKind.KEY, "Authorization", "Key "))
AUTH_HEADER = Word("header", "{name: template}", "Sends the value in a header of any name.", _header_credential)
AUTH_PASS = Word(
    "pass",
    "`bearer`, `key` or {header: name}",
    "Sends the client's own credential, in the header the platform wants.",
    _pass_on,
)
AUTH_CLIENT_HEADERS = Word(
    "client_headers",
    "list of header names",
    "Further request headers that carry a client's credential and are never forwarded.",
    schema.items(schema.text(values.header_name)),
)
AUTH_KINDS: tuple[Word[Auth], ...] = (AUTH_BEARER, AUTH_KEY, AUTH_HEADER, AUTH_PASS)
AUTH: tuple[Word[object], ...] = (*AUTH_KINDS, AUTH_CLIENT_HEADERS)
_PLAIN_AUTH = {"pass": Auth(AuthKind.PASS), "none": Auth(AuthKind.NONE)}


def read_auth(node: Node, problems: Problems) -> Auth | None:
    kinds = ", ".join(word.name for word in AUTH_KINDS)
    if isinstance(node, Scalar):
        if node.text in _PLAIN_AUTH:
            return _PLAIN_AUTH[node.text]
        # The text is not shown: somebody may have written a key here.
        hint = 'Write `none`, `pass`, or for example {bearer: "${secret.NAME}"}.'
        problems.add("`auth` is none of the known kinds", node.where, hint)
        return None
    fields = schema.read_fields(node, AUTH, problems, "`auth`")
    if fields is None:
        return None
    said = [word for word in AUTH_KINDS if word in fields]
    if len(said) != 1:
        found = " and ".join(f"`{word.name}`" for word in said) or "none"
        problems.add(f"`auth` needs exactly one kind, found {found}", node.where, f"Kinds: {kinds}; or the plain words pass, none.")
        return None
    auth = fields.get(said[0])
    if auth is None:
        return None
    return Auth(auth.kind, auth.header, auth.prefix, auth.value, fields.get(AUTH_CLIENT_HEADERS) or ())


# --- headers, models, routes ---


def read_headers(node: Node, problems: Problems) -> tuple[HeaderRule, ...] | None:
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"`headers` must be a mapping, not {schema.kind_of(node)}", node.where, "Write Name: value.")
        return None
    rules: dict[str, HeaderRule] = {}
    for key, value in node.entries:
        name = schema.read_value(values.header_name, key, problems, key.text)
        secret = name is not None and name.lower() in values.CREDENTIAL_HEADERS
        template: Template | None = schema.text(values.credential_template if secret else values.plain_template)(value, problems)
        if name is not None and name.lower() in rules:
            first = rules[name.lower()].name
            problems.add(f"the header {quote(name)} stands twice: {quote(first)} is the same name", key.where)
        elif name is not None and template is not None:
            rules[name.lower()] = HeaderRule(name, template)
    return tuple(rules.values())


def read_models(node: Node, problems: Problems) -> tuple[ModelRule, ...] | None:
    """A list of names and `{public: upstream}` pairs, or one mapping of such pairs."""
    found: list[ModelRule] = []
    if isinstance(node, yamlfile.Mapping):
        found.extend(_aliases(node, problems))
    elif isinstance(node, Sequence):
        for item in node.items:
            if isinstance(item, yamlfile.Mapping):
                found.extend(_aliases(item, problems))
            elif name := schema.text(values.model_name)(item, problems):
                found.append(ModelRule(name, None, item.where))
    else:
        hint = "Write [name, name], with `*` for any characters, or {public name: the platform's name}."
        problems.add(f"`models` must be a list, not {schema.kind_of(node)}", node.where, hint)
        return None
    first: dict[str, ModelRule] = {}
    for rule in found:
        if rule.name in first:
            where = first[rule.name].where
            problems.add(
                f"the model {quote(rule.name)} stands twice: first in line {where.line}", rule.where, "Keep one of the two."
            )
        first.setdefault(rule.name, rule)
    return tuple(first.values())


def _aliases(node: yamlfile.Mapping, problems: Problems) -> list[ModelRule]:
    rules = []
    for key, value in node.entries:
        name = schema.read_value(values.model_name, key, problems, key.text)
        upstream = schema.text(values.model_name)(value, problems)
        if upstream is not None and "*" in upstream:
            problems.add("the platform's own name of a model cannot hold `*`", value.where)
        elif name is not None and upstream is not None:
            rules.append(ModelRule(name, upstream, key.where))
    return rules


ROUTE_PROTOCOL = Word(
    "protocol",
    "`chat`, `responses`, `messages` or `generate`",
    "The client protocol of this route, where the path does not tell: it shapes the proxy's own errors.",
    schema.one_of(Protocol),
)
ROUTE: tuple[Word[object], ...] = (ROUTE_PROTOCOL,)


def read_routes(node: Node, problems: Problems) -> tuple[WrittenRoute, ...] | None:
    if not isinstance(node, yamlfile.Mapping):
        hint = "Write `METHOD /path: carry`, one per line."
        problems.add(f"`routes` must be a mapping, not {schema.kind_of(node)}", node.where, hint)
        return None
    routes = []
    for key, value in node.entries:
        parsed = schema.read_value(parse_route, key, problems, key.text)
        protocol = _route_protocol(value, problems)
        if parsed is not None:
            routes.append(WrittenRoute(key.text, *parsed, protocol, key.where))
    return tuple(routes)


def _route_protocol(node: Node, problems: Problems) -> Protocol | None:
    if isinstance(node, yamlfile.Mapping) and node.entries:
        fields = schema.read_fields(node, ROUTE, problems, "this route")
        return fields.get(ROUTE_PROTOCOL) if fields else None
    if not isinstance(node, Scalar) or node.text != Handling.CARRY:
        hint = suggest_or_list(node.text, Handling, "Possible") if isinstance(node, Scalar) and node.text else None
        problems.add(
            "a route is `carry` or a mapping of its words", node.where, hint or f"Words: {', '.join(w.name for w in ROUTE)}."
        )
    return None


# --- timeouts, limits ---


def _above_zero(parse: Callable[[object], float]) -> Callable[[object], float]:
    def checked(value: object) -> float:
        result = parse(value)
        if result == 0:
            raise InvalidValueError("0 is not possible here", "Leave the line out for the default.")
        return result

    return checked


def _overrides(
    names: tuple[str, ...], zero: frozenset[str], parse: Mapping[str, Callable[[object], float]], what: str
) -> Reader[Mapping[str, float]]:
    readers = {name: schema.number(parse[name] if name in zero else _above_zero(parse[name])) for name in names}
    return schema.named(readers, what)


read_timeouts = _overrides(TIMEOUTS, ZERO_TIMEOUTS, dict.fromkeys(TIMEOUTS, units.duration), "timeout a platform can set")
_read_limits = _overrides(
    LIMITS, ZERO_LIMITS, {name: units.count if name in _COUNTS else units.size for name in LIMITS}, "limit a platform can set"
)


def read_limits(node: Node, problems: Problems) -> Mapping[str, int] | None:
    found = _read_limits(node, problems)
    return {name: int(value) for name, value in found.items()} if found is not None else None


# --- the platform ---

PLATFORM_NAME = Word(
    "platform",
    "name",
    "The platform's name, the same as the file's: it is served under `/name/...`.",
    schema.text(values.slug),
    required=True,
)
TITLE = Word("title", "text", "The name people know it by.", schema.text(values.title), default="the platform's name")
DOCS = Word("docs", "web address", "Where the provider documents its API.", schema.text(values.web_address))
UPSTREAM: Word[Upstream] = Word(
    "upstream",
    "URL",
    "Base URL: `http` or `https`, host, optional port and base path; nothing else.",
    schema.text(values.upstream),
    required=True,
)
AUTH_WORD = Word(
    "auth",
    "`none`, `pass`, or one kind",
    "How the platform wants its credential; see the kinds below.",
    read_auth,
    required=True,
)
HEADERS = Word(
    "headers",
    "{name: template}",
    "Request headers the platform wants on every call; each replaces the client's. Left out when `${model}` is not known.",
    read_headers,
)
MODELS = Word(
    "models",
    "list of names",
    "Models served here: names, patterns with one `*`, or `{public: platform's name}`. They route paths without a prefix.",
    read_models,
)
ROUTES = Word(
    "routes", "{METHOD /path: carry}", "What is served, by method and path; `{name}` stands for a part of a segment.", read_routes
)
NATIVE = Word(
    "native",
    "`carry`",
    "Any other method and path under `/name/` goes through as it is.",
    schema.one_of(Handling),
    default="such paths are unknown",
)
PROTOCOL = Word(
    "protocol",
    "`chat`, `responses`, `messages` or `generate`",
    "The client protocol of native paths and of routes whose path does not tell.",
    schema.one_of(Protocol),
    default="`chat`",
)
SET_COOKIE = Word("set_cookie", "true or false", "Passes the platform's `Set-Cookie` on.", schema.flag, default="`false`")
HALF_CLOSE = Word(
    "half_close",
    "true or false",
    "A client that closes its sending side after a whole request has not gone away.",
    schema.flag,
    default="`false`",
)
EARLY_HINTS = Word("early_hints", "true or false", "Relays `103 Early Hints`.", schema.flag, default="`false`")
TIMEOUTS_WORD = Word("timeouts", "{name: duration}", f"Overrides of the proxy's timeouts: {', '.join(TIMEOUTS)}.", read_timeouts)
LIMITS_WORD = Word("limits", "{name: size}", f"Overrides of the proxy's limits: {', '.join(LIMITS)}.", read_limits)
INSECURE = Word(
    "insecure",
    "true or false",
    "Turns the check of the upstream's certificate off. Logged at start and shown in a metric.",
    schema.flag,
    default="`false`",
)

PLATFORM: tuple[Word[object], ...] = (
    PLATFORM_NAME, TITLE, DOCS, UPSTREAM, AUTH_WORD, HEADERS, MODELS, ROUTES, NATIVE, PROTOCOL,
    SET_COOKIE, HALF_CLOSE, EARLY_HINTS, TIMEOUTS_WORD, LIMITS_WORD, INSECURE,
)  # fmt: skip
