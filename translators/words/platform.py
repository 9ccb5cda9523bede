"""The words of a rule file, at its top: the platform, its models, and what holds for all its routes."""

import math
from collections.abc import Mapping

from translators import schema, values, yamlfile
from translators.model import HeaderRule, ModelRule, Protocol, Template, Upstream
from translators.problems import Problems, quote
from translators.schema import ANY, Form, Kind, Shape, Word, either
from translators.words import message, route, translate
from translators.words.auth import read_auth
from translators.words.examples import EXAMPLES as EXAMPLES_KIND
from translators.words.kinds import QUERY, same_name_twice
from translators.words.route import Plain
from translators.words.task import TASKS as TASKS_KIND
from translators.yamlfile import Node, Scalar, Sequence

# --- headers, models, tables ---


def _headers(node: Node, problems: Problems) -> tuple[HeaderRule, ...] | None:
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"`headers` must be a mapping, not {schema.kind_of(node)}", node.where, "Write Name: value.")
        return None
    rules: dict[str, HeaderRule] = {}
    for key, value in node.entries:
        name = schema.read_value(values.header_name, key, problems, key.text)
        secret = name is not None and name.lower() in values.CREDENTIAL_HEADERS
        template: Template | None = schema.text(values.credential_template if secret else values.plain_template)(value, problems)
        if name is not None and name.lower() in rules:
            problems.add(same_name_twice(name, rules[name.lower()].name), key.where)
        elif name is not None and template is not None:
            rules[name.lower()] = HeaderRule(name, template)
    return tuple(rules.values())


MAX_MODELS = 2000  # of one file: the routes without a prefix know each


def _models(node: Node, problems: Problems) -> tuple[ModelRule, ...] | None:
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
    if len(found) > MAX_MODELS:
        problems.add(f"{len(found):,} models; the most is {MAX_MODELS:,}", node.where, "Write patterns with `*` for most of them.")
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


_ALIASES = Shape(Form.MAP, parts=(Shape(Form.TEXT),))


def _text_key(text: str) -> str:
    return text


def plain_value(node: Node, problems: Problems) -> object:
    """The JSON value of a node. Numbers that JSON cannot carry are problems."""
    if isinstance(node, yamlfile.Mapping):
        return {key.text: plain_value(value, problems) for key, value in node.entries}
    if isinstance(node, Sequence):
        return [plain_value(item, problems) for item in node.items]
    if isinstance(node.value, float) and not math.isfinite(node.value):
        problems.add("JSON has no infinite numbers and no NaN", node.where, "Quote it if it is text.")
        return None
    return node.value


def _tables(node: Node, problems: Problems) -> tuple[tuple[Scalar, str, Mapping[str, object]], ...] | None:
    found = _TABLES_AS_NODES(node, problems)
    if found is None:
        return None
    return tuple((key, name, {code: plain_value(value, problems) for _, code, value in entries}) for key, name, entries in found)


_ANY_NODE: Kind[Node] = Kind(lambda node, _: node, ANY)
_TABLE: Kind[tuple[tuple[Scalar, str, Node], ...]] = schema.mapping(
    _text_key, _ANY_NODE, "Write key: value, one per line.", least=1
)
_TABLES_AS_NODES: Kind[tuple[tuple[Scalar, str, tuple[tuple[Scalar, str, Node], ...]], ...]] = schema.mapping(
    values.kept_name, _TABLE, "Write name: {key: value}.", least=1
)

# --- the words ---

PLATFORM_NAME = Word(
    "platform",
    "name",
    "The platform's name, the same as the file's: it is served under `/name/...`.",
    schema.text(values.slug, "^[a-z0-9]+(-[a-z0-9]+)*$"),
    required=True,
)
EXTENDS = Word(
    "extends",
    "name",
    "The platform whose file this one changes; only what differs stands here.",
    schema.text(values.slug, "^[a-z0-9]+(-[a-z0-9]+)*$"),
)
TITLE = Word("title", "text", "The name people know it by.", schema.text(values.title), default="the platform's name")
DOCS = Word("docs", "web address", "Where the provider documents its API.", schema.text(values.web_address, "^https?://"))
UPSTREAM: Word[Upstream] = Word(
    "upstream",
    "URL",
    "Base URL: `http` or `https`, host, optional port and base path; nothing else.",
    schema.text(values.upstream, "^[Hh][Tt][Tt][Pp][Ss]?://[^?#@]+$"),
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
    Kind(_headers, _ALIASES),
)
QUERY_WORD = Word(
    "query", "{name: text}", "Query parameters the platform wants on every call; the client's of the same name win.", QUERY
)
MODELS = Word(
    "models",
    "list of names",
    "Models served here: names, patterns with one `*`, or `{public: platform's name}`. They route paths without a prefix.",
    Kind(_models, either(Shape(Form.LIST, parts=(either(Shape(Form.TEXT), _ALIASES),)), _ALIASES)),
)
TABLES = Word(
    "tables", "{name: {key: value}}", "Tables for the function `lookup`.",
    Kind(_tables, Shape(Form.MAP, parts=(Shape(Form.MAP, parts=(ANY,), least=1),), least=1)),
)  # fmt: skip
TASKS = Word("tasks", "{name: task}", "The platform's asynchronous jobs; see below.", TASKS_KIND)
ROUTES = Word(
    "routes",
    "{METHOD /path: carry}",
    "What is served, by method and path; `{name}` stands for a part of a segment.",
    route.ROUTES_KIND,
)
TRANSLATE = Word(
    "translate",
    "list of pairs, or {pair: {with, unsupported, headers, edit}}",
    "Brings the routes of clients that speak another protocol: `chat to messages`. Those that `routes` names stay as they are.",
    translate.PAIRS,
)
NATIVE = Word(
    "native",
    "`carry`",
    "Any other method and path under `/name/` goes through as it is.",
    schema.one_of(Plain),
    default="such paths are unknown",
)
PROTOCOL = Word(
    "protocol",
    "`chat`, `responses`, `messages` or `generate`",
    "The client protocol of native paths and of routes whose path does not tell.",
    schema.one_of(Protocol),
    default="`chat`",
)
ERRORS = Word(
    "errors", "mapping, see below", "How failures are recognised and said, on every route that says more than `carry` and `edit`.",
    schema.record(message.ERRORS, "`errors`", least=1),
)  # fmt: skip
FETCH = Word(
    "fetch", "{hosts, types, size, timeout}", "Which URLs may be read for a client.", schema.record(message.FETCH, "`fetch`"),
    default="none",
)  # fmt: skip
SET_COOKIE = Word("set_cookie", "true or false", "Passes the platform's `Set-Cookie` on.", schema.flag, default="`false`")
HALF_CLOSE = Word(
    "half_close",
    "true or false",
    "A client that closes its sending side after a whole request has not gone away.",
    schema.flag,
    default="`false`",
)
EARLY_HINTS = Word("early_hints", "true or false", "Relays `103 Early Hints`.", schema.flag, default="`false`")
TIMEOUTS_WORD = Word(
    "timeouts", "{name: duration}", f"Overrides of the proxy's timeouts: {', '.join(route.TIMEOUTS)}.", route.PLATFORM_TIMEOUTS
)
LIMITS_WORD = Word("limits", "{name: size}", f"Overrides of the proxy's limits: {', '.join(route.LIMITS)}.", route.PLATFORM_LIMITS)
INSECURE = Word(
    "insecure",
    "true or false",
    "Turns the check of the upstream's certificate off. Logged at start and shown in a metric.",
    schema.flag,
    default="`false`",
)
EXAMPLES = Word("examples", "list of examples", "What shows that the rules are right; `check` runs them.", EXAMPLES_KIND)

PLATFORM: tuple[Word[object], ...] = (
    PLATFORM_NAME, EXTENDS, TITLE, DOCS, UPSTREAM, AUTH_WORD, HEADERS, QUERY_WORD, MODELS, TABLES, TASKS, ROUTES, TRANSLATE,
    translate.UNSUPPORTED, NATIVE, PROTOCOL,
    ERRORS, route.USAGE_WORD, FETCH, route.RETRY_WORD, route.ON_CLIENT_ABORT, SET_COOKIE, HALF_CLOSE, EARLY_HINTS,
    TIMEOUTS_WORD, LIMITS_WORD, INSECURE, EXAMPLES,
)  # fmt: skip
