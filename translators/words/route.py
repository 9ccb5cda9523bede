"""The words of a route and of its branches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from translators import schema, units, values, yamlfile
from translators.model import OnAbort, Protocol
from translators.paths import METHODS, PathPattern, parse_route
from translators.place import Where
from translators.problems import Problems, suggest_or_list
from translators.schema import Fields, Form, Kind, Shape, Word, either
from translators.words import message, translate
from translators.words.kinds import EXPRESSION, HEADERS, QUERY, SEND, TEMPLATE_MAPPING, TEXT, YES, above_zero
from translators.words.task import TASK_KINDS, task_name
from translators.yamlfile import Node, Scalar


class Plain(StrEnum):
    """What happens to an exchange whose route says nothing else."""

    CARRY = "carry"


@dataclass(frozen=True, slots=True)
class WrittenRoute:
    """A route as the file says it. `fields` None: `carry`."""

    text: str
    method: str
    pattern: PathPattern
    fields: Fields | None
    where: Where


# --- timeouts, limits: names of the proxy's settings; a test holds them against the proxy's own ---

ZERO_TIMEOUTS = frozenset({"t_pool_idle"})  # 0: no limit, no keeping
TIMEOUTS = (
    "t_dns", "t_connect", "t_tls", "t_pool_wait", "t_first_byte", "t_between_bytes",
    "t_pool_idle", "t_pool_age",
)  # fmt: skip
ZERO_LIMITS = frozenset({"body", "upstream_connections"})  # 0: no limit
LIMITS = ("body", "buffered_body", "upstream_connections")
ROUTE_LIMITS = ("body", "upstream_connections")
_COUNTS = frozenset({"upstream_connections"})


def _overrides(
    names: tuple[str, ...], zero: frozenset[str], parse: Callable[[str], Callable[[object], float]], what: str
) -> Kind[Mapping[str, float]]:
    readers = {name: schema.number(parse(name) if name in zero else above_zero(parse(name))) for name in names}
    return schema.named(readers, what)


def _timeouts(names: tuple[str, ...], what: str) -> Kind[Mapping[str, float]]:
    return _overrides(names, ZERO_TIMEOUTS, lambda _: units.duration, what)


def _limits(names: tuple[str, ...], what: str) -> Kind[Mapping[str, int]]:
    kind = _overrides(names, ZERO_LIMITS, lambda name: units.count if name in _COUNTS else units.size, what)

    def read(node: Node, problems: Problems) -> Mapping[str, int] | None:
        found = kind(node, problems)
        return {name: int(value) for name, value in found.items()} if found is not None else None

    return Kind(read, kind.shape)


PLATFORM_TIMEOUTS = _timeouts(TIMEOUTS, "timeout a platform can set")
PLATFORM_LIMITS = _limits(LIMITS, "limit a platform can set")

# --- what a branch can say ---

WHEN = Word("when", "expression", "The branch is taken if this holds for the client's request.", EXPRESSION)
REFUSE = Word("refuse", "text", "Such requests are answered with 400 and this text; nothing is sent.", TEXT)
SEND_WORD = Word(
    "send",
    "METHOD /path",
    "What is sent instead of the client's method and path; its query goes on.",
    SEND,
    default="the client's own",
)
HEADERS_WORD = Word("headers", "{name: text}", "Request headers; each replaces the client's.", HEADERS)
QUERY_WORD = Word("query", "{name: text}", "Query parameters; each replaces the client's.", QUERY)
EDIT_WORD = Word(
    "edit", "list of edits", "Changes the named members of the body and no other byte; see below.",
    schema.items(schema.record(message.EDIT, "this edit"), least=1),
)  # fmt: skip
BODY_WORD = Word("body", "template", "The JSON body, in the shape of the platform's documentation.", TEMPLATE_MAPPING)
FORM_WORD = Word("form", "template", "The body as `multipart/form-data`: a part for each member.", TEMPLATE_MAPPING)
UNKNOWN_WORD = Word(
    "unknown", "`forward`, `drop` or `refuse`", "What happens to members of the client's message that the rule names nowhere.",
    message.UNKNOWN, default="`forward`",
)  # fmt: skip
DROP_WORD = Word(
    "drop", "list of names", "Members of the client's message that have no place in the platform's and are left out.",
    schema.items(schema.text(values.json_name), least=1),
)  # fmt: skip
MEDIA_WORD = Word(
    "media", "{refs: form, mask: form}", "In which form references leave; they are converted, and fetched where `fetch` allows it.",
    schema.record(tuple(message.MEDIA), "`media`", least=1),
)  # fmt: skip
COMMENTS_WORD = Word("comments", "true", "Takes `//` comments out of the client's JSON.", YES)
RESPONSE_WORD = Word("response", "mapping, see below", "The answer for the client.", schema.record(message.RESPONSE, "`response`"))
STREAM_WORD = Word("stream", "mapping, see below", "The answer's events for the client.", schema.record(message.STREAM, "`stream`"))
CONTENT: tuple[Word[object], ...] = (EDIT_WORD, BODY_WORD, FORM_WORD)
INHERITED: tuple[Word[object], ...] = (
    SEND_WORD, HEADERS_WORD, QUERY_WORD, *CONTENT, UNKNOWN_WORD, DROP_WORD, MEDIA_WORD, COMMENTS_WORD, RESPONSE_WORD, STREAM_WORD,
)  # fmt: skip
BRANCH: tuple[Word[object], ...] = (WHEN, REFUSE, *INHERITED)

# --- what a route can say besides ---

CHOOSE = Word(
    "choose", "list of branches", "The first branch whose `when` holds; what it does not say comes from the route.",
    schema.items(schema.record(BRANCH, "this branch"), least=1),
)  # fmt: skip
TASK_WORD = Word("task", "name", "The route starts this task of the file.", schema.text(task_name))
ASYNC_WORD = Word(
    "async", "`video`, `image`, `music` or `audio`",
    "With `?async=true` the proxy runs the call itself and answers with a task object of this kind.", TASK_KINDS,
)  # fmt: skip
ERRORS_WORD = Word(
    "errors", "mapping, see below", "How failures are recognised and said.", schema.record(message.ERRORS, "`errors`", least=1)
)
USAGE_WORD = Word(
    "usage", "{input, output, cached, reasoning}", "Where token counts stand.", schema.record(message.USAGE, "`usage`", least=1)
)
RETRY_WORD = Word(
    "retry",
    "{attempts, on, wait}",
    "Tries a failed call again, before anything has gone to the client.",
    schema.record(message.RETRY, "`retry`"),
)
ON_CLIENT_ABORT = Word(
    "on_client_abort", "`cancel`, `drain` or `detach`", "What happens to the call when the client goes away.",
    schema.one_of(OnAbort), default="`cancel`",
)  # fmt: skip
TIMEOUTS_WORD = Word(
    "timeouts", "{name: duration}", f"Overrides of the proxy's timeouts: {', '.join(TIMEOUTS)}.",
    _timeouts(TIMEOUTS, "timeout a route can set"),
)  # fmt: skip
LIMITS_WORD = Word(
    "limits", "{name: size}", f"Overrides of the proxy's limits: {', '.join(ROUTE_LIMITS)}.",
    _limits(ROUTE_LIMITS, "limit a route can set"),
)  # fmt: skip
PROTOCOL_WORD = Word(
    "protocol",
    "`chat`, `responses`, `messages` or `generate`",
    "The client protocol of this route, where the path does not tell: it shapes the proxy's own errors.",
    schema.one_of(Protocol),
)
ROUTE: tuple[Word[object], ...] = (
    PROTOCOL_WORD, *BRANCH, translate.TRANSLATE, translate.WITH, translate.UNSUPPORTED, CHOOSE, TASK_WORD, ASYNC_WORD,
    ERRORS_WORD, USAGE_WORD, RETRY_WORD, ON_CLIENT_ABORT, TIMEOUTS_WORD, LIMITS_WORD,
)  # fmt: skip

MAX_ROUTES = 500  # of one file: each is compared with others
_ROUTE_PATTERN = rf"^({'|'.join(METHODS)}) /"


def _routes(node: Node, problems: Problems) -> tuple[WrittenRoute, ...] | None:
    if not isinstance(node, yamlfile.Mapping):
        hint = "Write `METHOD /path: carry`, one per line."
        problems.add(f"`routes` must be a mapping, not {schema.kind_of(node)}", node.where, hint)
        return None
    if len(node.entries) > MAX_ROUTES:
        hint = "Carry most of them with `native: carry`."
        problems.add(f"{len(node.entries):,} routes; the most is {MAX_ROUTES:,}", node.where, hint)
        return None
    routes = []
    for key, value in node.entries:
        parsed = schema.read_value(parse_route, key, problems, key.text)
        fields = _route(value, problems)
        if parsed is not None:
            routes.append(WrittenRoute(key.text, *parsed, fields, key.where))
    return tuple(routes)


def _route(node: Node, problems: Problems) -> Fields | None:
    if isinstance(node, yamlfile.Mapping) and node.entries:
        return schema.read_fields(node, ROUTE, problems, "this route")
    if not isinstance(node, Scalar) or node.text != Plain.CARRY:
        hint = suggest_or_list(node.text, Plain, "Possible") if isinstance(node, Scalar) and node.text else None
        problems.add(
            "a route is `carry` or a mapping of its words", node.where, hint or f"Words: {', '.join(w.name for w in ROUTE)}."
        )
    return None


ROUTES_KIND: Kind[tuple[WrittenRoute, ...]] = Kind(
    _routes,
    Shape(
        Form.MAP,
        _ROUTE_PATTERN,
        parts=(either(Shape(Form.TEXT, values=(Plain.CARRY.value,)), Shape(Form.RECORD, words=ROUTE, least=1)),),
    ),
)
