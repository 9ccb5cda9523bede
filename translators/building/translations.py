"""Translated protocols, from their fields to the model: routes that say `translate`, and those that the file's own brings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from translators.building import messages, scopes
from translators.building.texts import Compiler
from translators.expressions.compile import Expression
from translators.interpreters import listing
from translators.interpreters.wire import CLIENT_PATHS, COUNTING_PATHS, counting_path, platform_paths, spellings
from translators.model import Branch, Handling, Listing, OnAbort, Protocol, Retry, Route, Spoken, Translation, Usage
from translators.paths import PathPattern, find_conflict, parse_pattern
from translators.place import Where
from translators.problems import Problems, quote
from translators.runtime.translated import target_route
from translators.schema import Fields
from translators.words import route as route_words
from translators.words import translate as words
from translators.words.route import WrittenRoute
from translators.words.translate import Pair, Unsupported, WrittenPair

_MODEL = "/{model}"
ListedPair = tuple[Protocol, Protocol, messages.Named]
_WITH_SEND = (route_words.QUERY_WORD, route_words.ERRORS_WORD)
_POSSIBLE = frozenset(
    word.name
    for word in (
        words.TRANSLATE, words.WITH, words.UNSUPPORTED, route_words.SEND_WORD, route_words.HEADERS_WORD, *_WITH_SEND,
        route_words.EDIT_WORD, route_words.USAGE_WORD, route_words.RETRY_WORD, route_words.ON_CLIENT_ABORT,
        route_words.TIMEOUTS_WORD, route_words.LIMITS_WORD,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PairRoute:
    """A route that the file's `translate` brings."""

    method: str
    pattern: PathPattern
    pair: Pair
    fields: Fields | None
    where: Where
    counts: bool = False

    @property
    def text(self) -> str:
        return f"{self.method} {self.pattern.text}"


def pair_routes(pairs: Iterable[WrittenPair], written: Sequence[WrittenRoute], problems: Problems) -> list[PairRoute]:
    """The routes of the clients' protocols that the file does not name itself."""
    found: list[PairRoute] = []
    spoken: dict[Spoken, Where] = {}
    for where, pair, fields in pairs:
        first = spoken.setdefault(pair[0], where)
        if first is not where:
            message = f"clients that speak {pair[0]} are translated already, in line {first.line}"
            problems.add(message, where, "Keep one of the two.")
            continue
        free = _free(CLIENT_PATHS[pair[0]], written)
        if not free:
            message = f"`{pair[0]} to {pair[1]}` brings no route: the file names POST {CLIENT_PATHS[pair[0]][0]} itself"
            problems.add(message, where, "Say `translate` there, or remove one of the two.")
        found += [PairRoute("POST", pattern, pair, fields, where) for pattern in free]
        found += _counting(pair, fields, where, written)
    return found


def _free(paths: Iterable[str], written: Sequence[WrittenRoute]) -> list[PathPattern]:
    """The patterns of a client's paths, in each spelling; not of those that the file names itself."""
    own = [route.pattern for route in written if route.method == "POST"]
    free: list[PathPattern] = []
    for path in paths:
        for text in spellings(path):
            pattern = parse_pattern(text)
            if any(find_conflict(named, pattern) for named in own):
                break
            free.append(pattern)
    return free


def _counting(pair: Pair, fields: Fields | None, where: Where, written: Sequence[WrittenRoute]) -> list[PairRoute]:
    """The routes by which a client counts tokens, where the platform counts, too."""
    path = counting_path(pair[1], "x")
    posts = [route.pattern for route in written if route.method == "POST"]
    if path is None or not any(pattern.match(path) is not None for pattern in posts):
        return []
    free = _free(COUNTING_PATHS.get(pair[0], ()), written)
    return [PairRoute("POST", pattern, pair, fields, where, counts=True) for pattern in free]


def pair_of(route: object) -> Pair | None:
    """The pair of a route that is translated."""
    if isinstance(route, PairRoute):
        return route.pair
    return route.fields.get(words.TRANSLATE) if isinstance(route, WrittenRoute) and route.fields is not None else None


class TranslationBuilder:
    """Builds the translated routes of one file; `own` are all its other routes."""

    def __init__(
        self, compiler: Compiler, unsupported: Unsupported | None, own: tuple[Route, ...], usage: Usage | None, retry: Retry | None
    ) -> None:
        self._compiler = compiler
        self._problems = compiler.problems
        self._unsupported = unsupported or Unsupported.REFUSE
        self._own = own
        self._usage = usage
        self._retry = retry

    def route(self, route: object) -> Route:
        """A route whose `pair_of` is not None."""
        pair = pair_of(route)
        assert pair is not None
        assert isinstance(route, WrittenRoute | PairRoute)
        return Route(route.method, route.pattern.text, pair[0].protocol, route.where, self._handling(route, pair))

    def _handling(self, route: WrittenRoute | PairRoute, pair: Pair) -> Handling:
        fields = route.fields or Fields(route.where)
        compiler = self._compiler
        scope = scopes.TRANSLATED.knowing("path", route.pattern.variables)
        if isinstance(route, WrittenRoute):
            self._check(fields)
        said, edits = fields.get(words.PAIR_HEADERS), fields.get(words.PAIR_EDIT) or ()  # named so beside `translate`, too
        send = compiler.send(fields.get(route_words.SEND_WORD), scopes.SENT)
        query = [(name, text) for _, name, text in fields.get(route_words.QUERY_WORD) or ()]
        target = self._target(pair, route) if send is None and route_words.SEND_WORD not in fields else None
        behind = target.handling if target is not None else None
        if edits and behind is not None and any(inner.body is not None for inner in behind.branches):
            hint = "Say there what the platform wants."
            self._problems.add("the route that this goes on by writes its body anew: `edit` has no place", fields.place, hint)
        branch = Branch(
            fields.place,
            send=send,
            edits=messages.edits(edits, compiler, scopes.REQUEST.knowing("path", ("model",)).with_names("stream")),
            headers=messages.headers(said, compiler, scope),
            query=messages.named_texts(query, compiler, scopes.SENT),
        )
        errors = messages.error_rule(fields.get(route_words.ERRORS_WORD), compiler, scopes.ANSWER)
        usage = messages.usage(fields.get(route_words.USAGE_WORD), compiler)
        retry = messages.retry(fields.get(route_words.RETRY_WORD))
        abort = fields.get(route_words.ON_CLIENT_ABORT)
        return Handling(
            (branch,),
            errors=errors,
            translation=Translation(
                *pair,
                route.where,
                unsupported=(fields.get(words.UNSUPPORTED) or self._unsupported).value,
                options=self._options(fields.get(words.WITH), scope),
                brought=isinstance(route, PairRoute),
                counts=isinstance(route, PairRoute) and route.counts,
            ),
            usage=usage or (behind.usage if behind else None) or self._usage,
            retry=retry or (behind.retry if behind else None) or self._retry,
            on_client_abort=abort or (behind.on_client_abort if behind else OnAbort.CANCEL),
            timeouts=fields.get(route_words.TIMEOUTS_WORD) or (behind.timeouts if behind else {}),
            limits=fields.get(route_words.LIMITS_WORD) or (behind.limits if behind else {}),
        )

    def _options(self, fields: Fields | None, scope: scopes.Scope) -> tuple[tuple[str, Expression], ...]:
        found = []
        for word in words.OPTION_WORDS if fields is not None else ():
            option = self._compiler.value(fields.get(word), scope)  # type: ignore[union-attr, arg-type]
            if option is not None:
                found.append((word.name, option))
        return tuple(found)

    def _target(self, pair: Pair, route: WrittenRoute | PairRoute) -> Route | None:
        """The platform's own route, by which such requests go on."""
        found: Route | None = None
        for path in dict.fromkeys(platform_paths(pair[1], "x")):
            found = target_route(self._own, path)
            if found is None or (found.handling is not None and found.handling.task is not None):
                named = path.replace("/x:", "/{model}:")
                message = f"`{pair[0]} to {pair[1]}` goes on by the file's own route {quote(f'POST {named}')}, which is not there"
                self._problems.add(message, route.where, "Add it to `routes`, or say `send` at a route with `translate`.")
                return None
        return found

    def _check(self, fields: Fields) -> None:
        for name in fields.names:
            if name not in _POSSIBLE:
                where = next(fields.where(word) for word in route_words.ROUTE if word.name == name)
                message = f"beside `translate`, `{name}` has no effect"
                hint = "What the platform wants in its own protocol is said at its own route, by which the request goes on."
                self._problems.add(message, where, hint)
        for word in fields.said(_WITH_SEND) if route_words.SEND_WORD not in fields else ():
            hint = "Say it at the platform's own route, by which the request goes on; or say `send` here."
            self._problems.add(f"beside `translate`, `{word.name}` belongs to `send`", fields.where(word), hint)


def check_alone(fields: Fields, problems: Problems) -> None:
    """`with` and `unsupported` say something of a translated route only."""
    for word in fields.said((words.WITH, words.UNSUPPORTED)):
        hint = "Remove it, or say `translate: chat to messages`."
        problems.add(f"`{word.name}` belongs to `translate`", fields.where(word), hint)


def with_lists(routes: Sequence[Route], pairs: Sequence[WrittenPair], compiler: Compiler) -> list[Route]:
    """The routes of a file; those of its models, written or brought, say the platform's list to clients of other protocols."""
    found = list(routes)
    for end in ("", _MODEL):
        gets = [parse_pattern(route.path) for route in found if route.method == "GET"]
        said: dict[Protocol, ListedPair] = {}
        for _, pair, fields in pairs:
            own_words = pair[0].protocol is pair[1]  # old completions: their lists are those of chat
            if not own_words and any(own.text == listing.PATHS[pair[1] is Protocol.GENERATE] + end for own in gets):
                named = messages.headers(fields.get(words.PAIR_HEADERS) if fields else None, compiler, scopes.TRANSLATED)
                said.setdefault(pair[0].protocol, (pair[0].protocol, pair[1], named))
        if not said:
            continue
        lists, paths, where = Listing(tuple(said.values())), [path + end for path in listing.PATHS], found[0].where
        found = [_listing(route, lists) if route.path in paths else route for route in found]
        for path in paths:
            if not any(find_conflict(own, parse_pattern(path)) for own in gets):
                protocol = Protocol.GENERATE if path.startswith(listing.PATHS[1]) else Protocol.CHAT
                handling = Handling((Branch(where),), listing=replace(lists, brought=True))
                found.append(Route("GET", path, protocol, where, handling))
    return found


def _listing(route: Route, lists: Listing) -> Route:
    if route.method != "GET" or route.handling is not None:
        return route
    return replace(route, handling=Handling((Branch(route.where),), listing=lists))
