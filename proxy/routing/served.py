"""A platform as it is served: its rule with secrets, pool and prepared header lines."""

import secrets as random_source
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

from proxy.outcomes import ErrorType
from proxy.routing.credentials import (
    SIGNATURE_FIELDS,
    SIGNATURES,
    AccessToken,
    Credential,
    JsonWebToken,
    Signature,
    TokenSource,
)
from proxy.settings import Limits
from proxy.upstream.pool import Pool
from proxy.wire.fields import NOTHING, field_line
from proxy.wire.refusal import Refusal
from proxy.wire.target import without_parameters
from translators.expressions.template import render_text
from translators.model import AuthKind, ModelRule, Platform, Route, Upstream
from translators.models import ModelTable
from translators.paths import PathTable
from translators.runtime.request import Prepared
from translators.runtime.tasks import PlatformRules
from translators.runtime.translated import prepared

STATIC = frozenset((AuthKind.BEARER, AuthKind.KEY, AuthKind.HEADER))


class Served:
    """One platform of a table. Without a pool it is switched off, because secrets are missing; `missing` names them."""

    def __init__(
        self,
        platform: Platform,
        upstream: Upstream,
        pool: Pool | None,
        secrets: Mapping[str, str],
        *,
        limits: Limits,
        missing: tuple[str, ...] = (),
        pools: Mapping[str, Pool] | None = None,
        tokens: TokenSource | None = None,
    ) -> None:
        self.platform = platform
        self.upstream = upstream
        self.pool = pool
        self.missing = missing
        self.limits = limits  # with the platform's own
        self.body_limit = limits.body
        self._pools = pools or {}  # of routes that have limits or times of their own, by their id
        self.base = upstream.base.encode("ascii")
        self.authority = upstream.authority.encode("ascii")
        self.routes = PathTable.build((route.method, route.path, route) for route in platform.routes)
        self.models: ModelTable[ModelRule] = ModelTable[ModelRule].of(platform.models)
        self.needs_model = any(header.value.needs_model for header in platform.headers)
        # What rules can ask of the world; a rehearsal puts fixed ones in their place.
        self.now: Callable[[], float] = time.time
        self.new_id: Callable[[], str] = new_id
        self._secrets = secrets
        self.replaced = self._replaced()
        self._parameters = self._query_credential() if not missing else {}
        self.credential = self._computed(tokens) if not missing else None
        # A call that is signed, or waits for its token, is made when its body is here as a whole.
        self.prepared = {} if missing else _prepared(platform)
        self.whole_calls = self.credential is not None and self.credential.whole

    def pool_of(self, route: Route | None) -> Pool | None:
        """The pool for a route's calls."""
        return self.pool if route is None or self.pool is None else self._pools.get(route.id, self.pool)

    def _values(self) -> dict[str, str]:
        """What a computed credential is made of, with the secrets in place."""
        rendered = {name: part.render(self._secrets, None) for name, part in self.platform.auth.parts.items()}
        return {name: value for name, value in rendered.items() if value is not None}

    def _query_credential(self) -> dict[bytes, bytes]:
        if self.platform.auth.kind is not AuthKind.QUERY:
            return {}
        auth = self.platform.auth
        value = auth.value.render(self._secrets, None) if auth.value is not None else None
        name = quote(str(auth.settings["name"]))
        return {name.encode("ascii"): quote(value, safe="").encode("ascii")} if value is not None else {}

    def _computed(self, tokens: TokenSource | None) -> Credential | None:
        auth = self.platform.auth
        if auth.kind is AuthKind.JWT:
            return JsonWebToken(auth, self._values())
        if auth.kind in SIGNATURES:
            return Signature(auth, self._values())
        return AccessToken(tokens) if auth.kind is AuthKind.GOOGLE and tokens is not None else None

    def target(self, target: bytes, model: str | None = None, *, carried: bool = False) -> bytes:
        """Path and query of a call as they go upstream: the base before it, a credential that stands in the query behind it.

        For a `carried` call also the parameters that the platform wants on every call; the client's of the same name win.
        """
        if not self._parameters and not (carried and self.platform.query):
            return self.base + target
        path, _, query = target.partition(b"?")
        if self._parameters:
            query = without_parameters(query, frozenset(name.lower() for name in self._parameters))
        pairs = [query] if query else []
        if carried:
            given = {pair.partition(b"=")[0] for pair in query.split(b"&")}
            rendered = ((quote(name).encode(), render_text(text.parts, {"model": model})) for name, text in self.platform.query)
            pairs += [b"%b=%b" % (name, quote(text, safe="").encode()) for name, text in rendered if text and name not in given]
        pairs += [b"%b=%b" % pair for pair in self._parameters.items()]
        return self.base + path + (b"?" + b"&".join(pairs) if pairs else b"")

    def _replaced(self) -> frozenset[bytes]:
        """Lower-case names of the fields that only the rule sets, and of further client credentials."""
        names = {header.name for header in self.platform.headers} | set(self.platform.auth.client_headers)
        if self.platform.auth.header is not None:
            names.add(self.platform.auth.header)
        found = frozenset(name.lower().encode("ascii") for name in names)
        return found | SIGNATURE_FIELDS if self.platform.auth.kind in SIGNATURES else found

    def lines(self, model: str | None, replaced: frozenset[bytes] = NOTHING) -> list[bytes]:
        """The field lines the rule adds, for this model, but those of lower-case names that a call has `replaced`.

        Raises Refusal (400) when the model cannot stand in a header.
        """
        auth = self.platform.auth
        lines: list[bytes] = []
        if auth.header is not None and auth.value is not None and auth.kind in STATIC:
            value = auth.value.render(self._secrets, model)
            if value is not None:
                lines.append(field_line(auth.header.encode("ascii"), (auth.prefix + value).encode("utf-8")))
        for header in self.platform.headers:
            value = header.value.render(self._secrets, model)
            if value is not None and header.name.lower().encode("ascii") not in replaced:
                lines.append(field_line(header.name.encode("ascii"), field_value(value)))
        return lines

    def refusal(self) -> Refusal:
        """What a client hears whose platform is switched off."""
        names = ", ".join(self.missing)
        return Refusal(
            503,
            ErrorType.PROXY_CONFIGURATION_ERROR,
            "platform_off",
            f"The platform '{self.platform.name}' is switched off here: set {names} and start the gateway again.",
        )


def new_id() -> str:
    """A random id, for `uuid()` in rules."""
    return random_source.token_hex(16)


def _prepared(platform: Platform) -> dict[str, Prepared]:
    """The routes that a rule handles, compiled, by their id."""
    rules = PlatformRules(platform)
    return {route.id: prepared(platform, route, rules) for route in platform.routes if route.handling is not None}


def field_value(text: str) -> bytes:
    """Text that came from a request, for a header field (rule O06)."""
    if len(text) > 8192 or any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise Refusal(
            400, ErrorType.HTTP_REQUEST_ERROR, "bad_model", "The model's name holds characters that cannot stand in a header field."
        )
    return text.encode("utf-8", "surrogateescape")
