"""Lists of models at work: the platform's own list, asked for and said anew for a client that speaks another protocol."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from translators.interpreters import listing
from translators.interpreters.base import BadAnswerError
from translators.interpreters.failures import failure_body, failure_in, read_failure
from translators.interpreters.wire import own_headers, own_parameters, printed
from translators.model import Branch, Handling, Platform, Protocol, Route
from translators.runtime.failures import JSON, NOT_JSON, bad_answer, parsed
from translators.runtime.request import Prepared
from translators.runtime.scope import Standing, client_scope
from translators.runtime.steps import Answer, Call, Conversion, Incoming, Pass, Program, Reply
from translators.runtime.target import join, raw_query, render_headers, without
from translators.runtime.tasks import PlatformRules

_CHAT, _GENERATE = listing.PATHS


class ListingRoute(Prepared):
    """A route of models, compiled. A client of the platform's own protocol gets the platform's answer, byte for byte."""

    __slots__ = ("_listing", "_named")

    def __init__(self, platform: Platform, route: Route, rules: PlatformRules | None = None) -> None:
        assert route.handling is not None
        assert route.handling.listing is not None  # the caller looked
        super().__init__(platform, replace(route, handling=Handling((Branch(route.where),))), rules)
        self._listing = route.handling.listing
        self._named = "{model}" in route.path
        self.large_watch = None
        self.streams_forms = False

    def program(self, incoming: Incoming) -> Program:
        yield from ()  # every program is a generator
        call, body, convert = self.call(Standing(incoming), incoming.body)
        return Pass(replace(call, body=body), convert)

    def call(self, standing: Standing, data: bytes) -> tuple[Call, bytes | None, Conversion | None]:
        incoming = standing.incoming
        headers = {*incoming.headers, *incoming.credentials}
        client = listing.client_of((incoming.target or "").partition("?")[0], headers, set(incoming.query))
        pair = next((pair for pair in self._listing.pairs if pair[0] is client), None)
        if pair is None:
            return super().call(standing, data)
        _, platform, named = pair
        query = (incoming.target or "?" + raw_query(incoming.query)).partition("?")[2]
        page = [] if self._named else listing.page(client, platform, incoming.query)
        call = Call(
            "GET",
            join(self._path(platform, incoming), without(query, own_parameters(client) | listing.PAGING), page),
            render_headers(named, client_scope(replace(incoming, stream=False), None, incoming.model)),
            model=incoming.model,
            without=own_headers(client, incoming.headers),
        )
        return call, None, _Said(client, platform)

    def _path(self, platform: Protocol, incoming: Incoming) -> str:
        base = _GENERATE if platform is Protocol.GENERATE else _CHAT
        model = incoming.model or incoming.path.get("model", "")
        return f"{base}/{quote(model.removeprefix(listing.PREFIX), safe='')}" if self._named else base


class _Said:
    """What becomes of the platform's answer."""

    __slots__ = ("_client", "_platform")

    def __init__(self, client: Protocol, platform: Protocol) -> None:
        self._client = client
        self._platform = platform

    def stream(self, status: int, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - no list is a stream
        return None

    def whole(self, reply: Reply) -> Answer | None:
        if 300 <= reply.status < 400:
            return None
        value = parsed(reply)
        failure = failure_in(self._platform, value)
        if reply.status >= 400:
            failure = read_failure(self._platform, reply.status, None if value is NOT_JSON else value, reply.headers)
        if failure is not None:
            status, body = failure_body(self._client, failure)
            return Answer(status, printed(body), JSON)
        try:
            return Answer(200, printed(listing.said_anew(self._platform, self._client, value)), JSON)
        except BadAnswerError as error:
            raise bad_answer(f"the platform's list of models cannot be translated: {error}") from None
