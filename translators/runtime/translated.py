"""A route at work whose client speaks another protocol than its platform: the request said anew, and the answer said back.

A `TranslatedRoute` is the platform's own route with an interpreter before it: what that route says of the call holds here, too, and
what it makes of the answer is what the interpreter is told. Answers and streams are in `translated_answers`.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

from translators.interpreters.base import Ask, Interpreter, Media, Settings, UntranslatableError, World
from translators.interpreters.common import wants_usage
from translators.interpreters.options import BadOptionError, settings
from translators.interpreters.pairs import Counting, interpreter
from translators.interpreters.wire import asked, counting_path, own_headers, own_parameters, platform_paths, platform_query, printed
from translators.model import Branch, Handling, Platform, Route, Translation
from translators.paths import PathTable
from translators.runtime.bodies import Kind, read_body
from translators.runtime.failures import JSON
from translators.runtime.request import Prepared
from translators.runtime.scope import Standing, Values, client_scope
from translators.runtime.steps import Answer, Call, Conversion, Fetch, Fetched, Incoming, Pass, Program, Reply, RuleRefusal
from translators.runtime.target import evaluated, join, refused, render_headers, without
from translators.runtime.tasks import PlatformRules
from translators.runtime.translated_answers import TranslatedAnswer
from translators.runtime.translated_lists import ListingRoute

EXPLAIN: Final = "x-dragoman-explain"  # a client that sends it hears which of its fields were left out
_MAX_FETCHES: Final = 16  # of one request
_MOST_KEPT: Final = 16


class TranslatedRoute(Prepared):
    """A route with `translate`, compiled. Immutable once made."""

    __slots__ = ("_own", "_rule", "_streaming", "constant", "said", "translation")

    def __init__(self, platform: Platform, route: Route, rules: PlatformRules | None = None) -> None:
        assert route.handling is not None
        assert route.handling.translation is not None  # the caller looked
        self.translation: Translation = route.handling.translation
        plain, streaming = self.paths("x")
        super().__init__(platform, _target(platform, route, self.translation, plain), rules)
        self._streaming = None
        if streaming != plain:
            self._streaming = Prepared(platform, _target(platform, route, self.translation, streaming), rules)
        self._own = route
        self.said: Branch = route.handling.branches[0]
        self._rule = dict(self.translation.options)
        constant = not any(option.names for option in self._rule.values())
        self.constant = self.settings_of({}) if constant else None
        self.straight = self.straight and (self._streaming is None or self._streaming.straight)
        if self.constant is None or self.constant.urls == "inline":
            self.straight = self.straight and "urls" not in self._rule
        self.large_watch = None
        self.streams_forms = False

    def program(self, incoming: Incoming) -> Program:
        return self._translated(incoming)

    # --- one exchange ---

    def call(self, standing: Standing, data: bytes) -> tuple[Call, bytes | None, Conversion | None]:
        """As that of a route: the call, its body, and what becomes of its answer. Raises RuleRefusal."""
        incoming = standing.incoming
        exchange = _Exchange(self, incoming, {**standing.scope}, data)
        made = exchange.request({})
        key = (made.stream, made.model)
        inner = standing.kept.get(key)
        if inner is None:
            inner = Standing(exchange.inner(made))
            if len(standing.kept) < _MOST_KEPT:
                standing.kept[key] = inner
        call, body, convert = self._inner_call(inner, made)
        known = inner.kept.get(id(call))
        if known is None or known[0] is not call:
            known = (call, exchange.completed(call))
            if self._fixed_headers and len(inner.kept) < _MOST_KEPT:
                inner.kept[id(call)] = known
        return known[1], body, exchange.conversion(made, convert)

    def _inner_call(self, inner: Standing, made: Ask) -> tuple[Call, bytes | None, Conversion | None]:
        data = printed(made.body)
        if made.stream and self._streaming is not None:
            return self._streaming.call(inner, data)
        return super().call(inner, data)

    def _translated(self, incoming: Incoming) -> Program:
        exchange = _Exchange(self, incoming, client_scope(incoming, None, incoming.model), incoming.body)
        media = yield from self._media(exchange)
        made = exchange.request(media)
        inner = replace(exchange.inner(made), body=printed(made.body))
        if self.straight:
            call, body, convert = self._inner_call(Standing(inner), made)
            return Pass(replace(exchange.completed(call), body=body), exchange.conversion(made, convert))
        prepared = self._streaming if made.stream else None
        result = yield from (prepared.program(inner) if prepared is not None else super().program(inner))
        if isinstance(result, Pass):
            return Pass(exchange.completed(result.call), exchange.conversion(made, result.convert))
        if isinstance(result, Answer):
            headers = {name.lower(): value for name, value in result.headers}
            reply = Reply(result.status, {"content-type": result.content_type or "", **headers}, result.body)
            said = exchange.conversion(made, None).whole(reply)
            if said is None:
                return result
            names = {name.lower() for name, _ in said.headers}
            kept = (pair for pair in result.headers if pair[0].lower() not in names)
            return replace(said, headers=(*kept, *said.headers), local=result.local, notes=(*result.notes, *said.notes))
        raise RuleRefusal(500, "bad_rule", f"the platform's route behind {self._own.id} gives bytes, which no protocol can say")

    def _media(self, exchange: "_Exchange") -> Generator[Fetch, Any, dict[str, Media]]:
        """What the URLs of the request hold, where the rule wants them read."""
        found: dict[str, Media] = {}
        if exchange.settings.urls != "inline":
            return found
        for url in dict.fromkeys(exchange.urls()):
            if self._platform.fetch is None or len(found) >= _MAX_FETCHES:
                raise refused(
                    "this platform needs the data of a picture or document, and URLs are not fetched here (or not so many); send "
                    "base64 or a data URI",
                    code="url_not_supported",
                )
            fetched = yield Fetch(url)
            assert isinstance(fetched, Fetched)  # what a Fetch is answered with
            found[url] = Media(fetched.data, fetched.media_type)
        return found

    # --- what the rule says ---

    def paths(self, model: str) -> tuple[str, str]:
        """The platform's paths of a plain call and of one that streams."""
        counting = counting_path(self.translation.platform, model) if self.translation.counts else None
        return (counting, counting) if counting is not None else platform_paths(self.translation.platform, model)

    def settings_of(self, scope: Values) -> Settings:
        values = {name: evaluated(option, scope) for name, option in self._rule.items()}
        try:
            return settings(self.translation.unsupported, values)
        except BadOptionError as error:
            raise RuleRefusal(500, "bad_rule", f"`with` of the route {self._own.id}: {error}") from None

    @property
    def _fixed_headers(self) -> bool:
        """Whether no body decides anything of the route's own headers."""
        return not any("body" in text.names for _, text in self.said.headers)


class _Exchange:
    """One request on a translated route, on its way to the platform. Making one raises RuleRefusal."""

    __slots__ = ("_ask", "_incoming", "_interpreter", "_route", "_scope", "settings")

    def __init__(self, route: TranslatedRoute, incoming: Incoming, scope: Values, data: bytes) -> None:
        translation = route.translation
        body = read_body(data, incoming.headers.get("content-type", ""))
        if body.kind is not Kind.JSON:
            raise RuleRefusal(415 if data else 400, "body_not_json", "this call is JSON: send a JSON object as its body")
        ask = asked(translation.client, body.value, incoming.model, incoming.target or "")
        if ask is None:
            raise refused("the request names no model; send `model`", code="model_required", param="model")
        scope["body"], scope["stream"] = body.value, ask.stream
        self._route = route
        self._incoming = incoming
        self._scope = scope
        self._ask = ask
        self.settings = route.constant or route.settings_of(scope)
        world = World(incoming.now, incoming.new_id)
        pair = interpreter(translation.client, translation.platform, self.settings, world)
        self._interpreter: Interpreter = Counting(pair) if translation.counts else pair

    def urls(self) -> list[str]:
        try:
            return list(self._interpreter.urls(self._ask))
        except UntranslatableError as error:
            raise _refused(error) from None

    def request(self, media: dict[str, Media]) -> Ask:
        try:
            return self._interpreter.request(self._ask, media)
        except UntranslatableError as error:
            raise _refused(error) from None

    def inner(self, made: Ask) -> Incoming:
        """The request as the platform's own route sees it, but for its body."""
        route, incoming = self._route, self._incoming
        translation = route.translation
        own = own_parameters(translation.client.protocol)
        query = without((incoming.target or "").partition("?")[2], own)
        added = platform_query(translation.platform, stream=made.stream)
        path = route.paths(made.model)[made.stream]
        headers = {name: value for name, value in incoming.headers.items() if name not in self._not_forwarded()}
        return replace(
            incoming,
            method="POST",
            path={"model": made.model},
            query={name: value for name, value in incoming.query.items() if name not in own},
            headers={**headers, "content-type": JSON},
            body=b"",
            model=made.model,
            public_model=made.model,
            stream=made.stream,
            target=join(path, query, [tuple(added.split("=", 1))] if added else []),  # type: ignore[list-item]
        )

    def _not_forwarded(self) -> tuple[str, ...]:
        translation = self._route.translation
        return (*own_headers(translation.client.protocol, self._incoming.headers), EXPLAIN)

    def completed(self, call: Call) -> Call:
        """The call with what the translated route says of it, and without what is the client's protocol's alone."""
        added = render_headers(self._route.said.headers, self._scope)
        names = {name.lower() for name, _ in added}
        kept = tuple(pair for pair in call.headers if pair[0].lower() not in names)
        return replace(call, headers=(*kept, *added), without=(*call.without, *self._not_forwarded()))

    def conversion(self, made: Ask, convert: Conversion | None) -> TranslatedAnswer:
        incoming = self._incoming
        return TranslatedAnswer(
            self._route.translation,
            self._interpreter,
            convert,
            stream=made.stream,
            usage=made.stream and wants_usage(self._ask.body),
            target=incoming.target or "",
            now=incoming.now,
            told=incoming.headers.get(EXPLAIN, "0") != "0",
        )


def _refused(error: UntranslatableError) -> RuleRefusal:
    return refused(str(error), code="unsupported_field", param=error.path)


def _target(platform: Platform, route: Route, translation: Translation, path: str) -> Route:
    """The platform's own route, which the translated request goes on by; without one, what `send` says."""
    handling = route.handling
    assert handling is not None  # the caller looked
    branch = handling.branches[0]
    if branch.send is not None:
        sent = Branch(branch.where, send=branch.send, query=branch.query, edits=branch.edits)
        return replace(route, protocol=translation.platform, handling=Handling((sent,), errors=handling.errors))
    own = target_route(platform.routes, path)
    if own is None:
        raise ValueError(f"the file of {route.id} has no route POST {path}")  # loading has seen to it
    behind = own.handling or Handling((Branch(own.where),))
    branches = tuple(replace(one, edits=(*branch.edits, *one.edits)) for one in behind.branches)
    return replace(own, handling=replace(behind, branches=branches))


def target_route(routes: "tuple[Route, ...]", path: str) -> Route | None:
    """The route of a file by which calls to a path go, translated ones aside."""
    plain = (route for route in routes if route.handling is None or route.handling.translation is None)
    found = PathTable.build((route.method, route.path, route) for route in plain).match("POST", path)
    return found[0] if found is not None else None


def prepared(platform: Platform, route: Route, rules: PlatformRules | None = None) -> Prepared:
    """A route with a handling, compiled."""
    translated = route.handling is not None and route.handling.translation is not None
    if route.handling is not None and route.handling.listing is not None:
        return ListingRoute(platform, route, rules)
    return TranslatedRoute(platform, route, rules) if translated else Prepared(platform, route, rules)
