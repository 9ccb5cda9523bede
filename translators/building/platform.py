"""A whole rule file, from its fields to a `Platform`, and what must hold between its words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from translators import values, yamlfile
from translators.building import lint, messages, scopes
from translators.building.examples import build_examples, check_routes
from translators.building.routes import RouteBuilder
from translators.building.tasks import TaskRoute, build_tasks, task_routes
from translators.building.texts import Compiler
from translators.building.translations import TranslationBuilder, pair_of, pair_routes, with_lists
from translators.model import OnAbort, Platform, Protocol, Route
from translators.paths import conflicts
from translators.place import Where
from translators.problems import Problems, quote
from translators.schema import Fields
from translators.words import platform as words
from translators.words import route as route_words
from translators.words import translate as translate_words
from translators.words.route import WrittenRoute
from translators.words.task import TaskKind

_PATHS_OF = (("/v1/messages", Protocol.MESSAGES), ("/v1/responses", Protocol.RESPONSES), ("/v1beta", Protocol.GENERATE))


def protocol_of(path: str) -> Protocol | None:
    """What a path tells about the protocol: `/v1/messages`, `/v1/responses` and all below them, `/v1beta/...`."""
    for start, protocol in _PATHS_OF:
        if path == start or path.startswith(start + "/"):
            return protocol
    return None


def build_platform(fields: Fields, where: Where, problems: Problems) -> Platform | None:
    """The platform; None when its name, its address or its credential cannot be read."""
    name, upstream, auth = fields.get(words.PLATFORM_NAME), fields.get(words.UPSTREAM), fields.get(words.AUTH_WORD)
    if words.ROUTES not in fields and words.NATIVE not in fields:
        problems.add("this platform serves nothing", where, "Add `routes`, or `native: carry`.")
    if fields.get(words.INSECURE) and upstream is not None:
        if upstream.scheme == "http":
            hint = "Remove the line: there is no certificate to check."
            problems.add("`insecure` says nothing for an http upstream", fields.where(words.INSECURE), hint)
        upstream = replace(upstream, insecure=True)
    tables = {table: entries for _, table, entries in fields.get(words.TABLES) or ()}
    compiler = Compiler(tables, problems)
    tasks = build_tasks(fields.get(words.TASKS) or (), compiler)
    errors = messages.error_rule(fields.get(words.ERRORS), compiler, scopes.ANSWER)
    usage = messages.usage(fields.get(route_words.USAGE_WORD), compiler)
    retry, abort = messages.retry(fields.get(route_words.RETRY_WORD)), fields.get(route_words.ON_CLIENT_ABORT)
    protocol = fields.get(words.PROTOCOL) or Protocol.CHAT
    builder = RouteBuilder(compiler, tasks, errors, usage, retry, abort)
    written = fields.get(words.ROUTES) or ()
    pairs = pair_routes(fields.get(words.TRANSLATE) or (), written, problems)
    brought = task_routes(tasks, _deferred(written), errors)
    both: list[WrittenRoute | TaskRoute] = [*written, *brought]
    own = {id(route): _route(route, protocol, builder) for route in both if pair_of(route) is None}
    translating = TranslationBuilder(compiler, fields.get(translate_words.UNSUPPORTED), tuple(own.values()), usage, retry)
    routes = [own.get(id(route)) or translating.route(route) for route in (*both, *pairs)]
    routes = with_lists(routes, fields.get(words.TRANSLATE) or (), compiler)
    _check_conflicts(both, problems)
    query = [(key, text) for _, key, text in fields.get(words.QUERY_WORD) or ()]
    platform = Platform(
        name=name or "",
        title=fields.get(words.TITLE) or name or "",
        docs=fields.get(words.DOCS),
        upstream=upstream or values.upstream("http://localhost"),
        auth=auth or lint.NO_AUTH,
        where=fields.where(words.PLATFORM_NAME) or where,
        headers=fields.get(words.HEADERS) or (),
        models=fields.get(words.MODELS) or (),
        routes=tuple(routes),
        native=fields.get(words.NATIVE) is not None,
        protocol=protocol,
        set_cookie=fields.get(words.SET_COOKIE) or False,
        half_close=fields.get(words.HALF_CLOSE) or False,
        early_hints=fields.get(words.EARLY_HINTS) or False,
        timeouts=fields.get(words.TIMEOUTS_WORD) or {},
        limits=fields.get(words.LIMITS_WORD) or {},
        query=messages.named_texts(query, compiler, scopes.PLATFORM),
        tables=tables,
        tasks=tasks,
        fetch=messages.fetch(fields.get(words.FETCH)),
        usage=usage,
        errors=errors,
        retry=retry,
        on_client_abort=abort or OnAbort.CANCEL,
        examples=build_examples(fields.get(words.EXAMPLES) or (), problems),
        extends=fields.get(words.EXTENDS),
    )
    lint.check_platform(platform, fields, compiler, problems)
    if name is None or upstream is None or auth is None:
        return None
    check_routes(platform, problems)
    return platform


def _check_conflicts(both: Sequence[WrittenRoute | TaskRoute], problems: Problems) -> None:
    for first, second, why in conflicts((route.method, route.pattern, route) for route in both):
        if isinstance(second, TaskRoute):
            message = f"{quote(first.text)} {why} {quote(second.text)}, which tasks bring"
            problems.add(message, first.where, "Remove it, or give the task another `collection`.")
            continue
        message = f"{quote(second.text)} {why} {quote(first.text)} in line {first.where.line}"
        hint = "Remove one of the two." if why.startswith("matches") else "Put it above the other one, or remove it."
        problems.add(message, second.where, hint)


def _deferred(written: Sequence[WrittenRoute]) -> dict[TaskKind, Where]:
    """The kinds of task objects of routes with `async`, each with the first such route."""
    found: dict[TaskKind, Where] = {}
    for route in written:
        kind = route.fields.get(route_words.ASYNC_WORD) if route.fields else None
        if kind is not None:
            found.setdefault(kind, route.where)
    return found


def _route(route: WrittenRoute | TaskRoute, protocol: Protocol, builder: RouteBuilder) -> Route:
    path = route.pattern.text
    if isinstance(route, TaskRoute):
        return Route(route.method, path, protocol_of(path) or protocol, route.where, route.handling)
    said = route.fields.get(route_words.PROTOCOL_WORD) if route.fields else None
    return Route(route.method, path, said or protocol_of(path) or protocol, route.where, builder.handling(route))


def check_credentials(node: yamlfile.Node, problems: Problems) -> None:
    """Rule N05: no text of a rule file looks like a key, wherever it stands."""
    for scalar in _scalars(node):
        if isinstance(scalar.value, str) and len(scalar.value) >= 16 and values.holds_key(scalar.value):
            hint = "Write ${secret.NAME} under `auth`; in an example, a text that says it is made up: sk-test-..., test-..."
            problems.add("this looks like a credential that is written out", scalar.where, hint)


def _scalars(node: yamlfile.Node) -> Iterator[yamlfile.Scalar]:
    """Every scalar once, however often an alias repeats what it stands in."""
    seen: set[int] = set()
    left: list[yamlfile.Node] = [node]
    while left:
        node = left.pop()
        if isinstance(node, yamlfile.Scalar):
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            if isinstance(node, yamlfile.Mapping):
                for entry in node.entries:
                    left += entry
            else:
                left += node.items
