"""Calls of routes that a rule handles: what the client's head says to a program, and the upstream head of each call.

What is the same for every request with this head and model is prepared once; a call adds its target, its length and what its
credential computes. Nothing here knows what a rule does.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from proxy.outcomes import ErrorType
from proxy.routing.gate import credentials
from proxy.routing.heads import HeadMaker
from proxy.routing.served import Served, field_value
from proxy.wire.fields import NOTHING, field_line
from proxy.wire.head import RequestHead
from proxy.wire.names import CREDENTIALS, NEVER_FORWARDED
from proxy.wire.refusal import Refusal
from translators.model import Handling, OnAbort, Route
from translators.runtime.scope import Standing
from translators.runtime.steps import Call, Headers, Incoming
from translators.signing.canonical import Field

# Fields that describe a body, and say nothing true about another one (rule E05).
CONTENT_FIELDS = frozenset(
    (b"content-type", b"content-encoding", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"content-language")
)
# What a client may ask for that an answer made anew cannot keep (rules D06, D13).
_OF_THE_ANSWER = frozenset((b"accept-encoding", b"range", b"if-range"))
_TARGET = re.compile(r"/[!-\x22\x24-\x5b\x5d-\x7e]*")
_BLOCKS = 16
_BYTES = "surrogateescape"  # what a client quotes need be no text
_Key = tuple[str | None, str | None, Headers, tuple[str, ...], bool, bool, bool]


class Work:
    """One plan's work for one model: `incoming` is what the program sees of the request, `head` the upstream head of a call.

    `route` None: the route is carried, and only its credential wants the whole call.
    """

    __slots__ = (
        "_blocks", "_credentials",
        "_headers", "_heads", "_maker", "_method", "_model", "_path", "_prefix", "_public", "_query", "_target",
        "body_limit", "handling", "may_defer", "plain", "pool", "prepared", "retry", "route", "served", "standing", "usage",
    )  # fmt: skip

    def __init__(
        self,
        head: RequestHead,
        maker: HeadMaker,
        route: Route | None,
        variables: Mapping[str, str],
        path: bytes,
        model: str | None,
        public_model: str | None,
        *,
        prefix: bool,
    ) -> None:
        served = maker.served
        self.served = served
        self.route = route
        self.handling: Handling | None = route.handling if route is not None else None
        self.prepared = served.prepared.get(route.id) if route is not None else None
        self.may_defer = self.handling is not None and (self.handling.deferred is not None or self.handling.of is not None)
        self.pool = served.pool_of(route)
        self._maker = maker
        self._method = head.method
        self._path = {name: unquote(value, errors=_BYTES) for name, value in variables.items()}
        self._target = (path + maker.query).decode("ascii")
        self._query = _query(maker.query)
        self._headers = _headers(head, served.platform.auth.client_headers)
        self._credentials = frozenset(name.decode("ascii") for name, _ in credentials(head))
        self._model = model
        self._public = public_model
        self._prefix = prefix
        self._blocks: dict[_Key, tuple[bytes, list[Field]]] = {}
        self._heads: dict[tuple[int, bool, bool], tuple[Call, bytes]] = {}  # of calls that come again
        # What is the same for every request of this plan, where each comes to one call; None where a program must run.
        straight = self.prepared is not None and self.prepared.straight and not self.may_defer
        self.standing = Standing(self.incoming(b"")) if straight else None
        self.body_limit = body_limit(served, route)  # how many bytes of a client's body may be held
        own = self.handling.usage if self.handling is not None else None
        self.usage = own or served.platform.usage  # where the rule says that the token counts stand
        self.retry = self.handling.retry if self.handling is not None else None
        # nothing but the body of a call can differ from what another client would get
        self.plain = (
            self.handling is not None
            and self.handling.on_client_abort is OnAbort.CANCEL
            and self.retry is None
            and self.usage is None
            and served.credential is None
            and head.method != "HEAD"
        )

    @property
    def answer_limit(self) -> int:
        """How many bytes of an answer may be held."""
        return self.served.limits.buffered_body

    def incoming(self, body: bytes) -> Incoming:
        """The request as a program sees it."""
        return Incoming(
            self._method, self._path, self._query, self._headers, body, self._model, self._public, self.served.now,
            self.served.new_id, self._prefix, self._target, None, self._credentials,
        )  # fmt: skip

    def carried(self, body: bytes | None) -> Call:
        """The client's own request as a call."""
        return Call(self._method, self._target, body=body, model=self._model)

    def head(self, call: Call, *, same_body: bool, converted: bool, data: bytes | None, now: float) -> bytes:
        """The upstream head up to its framing field. Raises Refusal.

        `same_body`: the call's body is the client's, and so are the fields that describe it. `converted`: the answer is made anew,
        so it must come without a content coding. `data` is the body where a credential signs it.
        """
        known = self._heads.get((id(call), same_body, converted))
        if known is not None and known[0] is call:
            return known[1]
        key = (call.model, call.content_type, call.headers, call.without, call.forward, same_body, converted)
        block = self._blocks.get(key)
        if block is None:
            block = self._block(call, same_body=same_body, converted=converted)
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            self._blocks[key] = block
        lines, fields = block
        if _TARGET.fullmatch(call.target) is None:
            raise _unfit("The rule made a request target that cannot be sent.")
        served = self.served
        target = served.target(call.target.encode("ascii"), carried=self.route is None)
        credential = served.credential
        if credential is None:
            head = b"%b %b HTTP/1.1\r\n%b" % (call.method.encode("ascii"), target, lines)
            if self.standing is not None and len(self._heads) < _BLOCKS:  # most often there is one, or one for each request
                self._heads[id(call), same_body, converted] = (call, head)
            return head
        computed = credential.lines(call.method, target, fields, data, now)
        return b"%b %b HTTP/1.1\r\n%b%b" % (call.method.encode("ascii"), target, lines, computed)

    def _block(self, call: Call, *, same_body: bool, converted: bool) -> tuple[bytes, list[Field]]:
        """The field lines of calls like this one, Host first, and the same as fields where a signature needs them."""
        own = frozenset(name.lower().encode("ascii") for name in (*(name for name, _ in call.headers), *call.without))
        replaced = own | (_OF_THE_ANSWER if converted else NOTHING)
        if not same_body:
            replaced |= CONTENT_FIELDS
        lines = [b"Host: %b\r\n" % self.served.authority]
        lines += self._maker.lines(call.model, replaced=replaced, forward=call.forward)
        lines += [field_line(name.encode("ascii"), field_value(value)) for name, value in call.headers]
        if call.content_type is not None and not same_body:
            lines.append(field_line(b"Content-Type", field_value(call.content_type)))
        fields: list[Field] = []
        if self.served.whole_calls:
            pairs = (line[:-2].decode("utf-8", "surrogateescape").partition(": ") for line in lines)
            fields = [(name, value) for name, _, value in pairs]
        return b"".join(lines), fields


def body_limit(served: Served, route: Route | None) -> int:
    """How many bytes of a client's body may be held for a rule to work on; never more than a body may have at all."""
    most = _body_limit(served, route)
    return min(most, served.limits.buffered_body) if most else served.limits.buffered_body


def form_limit(served: Served, route: Route | None) -> int | None:
    """How many bytes a form may have that passes part by part (0: no limit); None where forms are held, as the rule must read
    them or the credential signs them."""
    prepared = served.prepared.get(route.id) if route is not None else None
    if prepared is None or served.whole_calls or not prepared.streams_forms:
        return None
    return _body_limit(served, route)


def _body_limit(served: Served, route: Route | None) -> int:
    """How many bytes a client's body may have; 0: no limit."""
    own = route.handling.limits.get("body") if route is not None and route.handling is not None else None
    return served.limits.body if own is None else own


def _query(query: bytes) -> dict[str, str | list[str]]:
    """The parameters, decoded; one that repeats is a list."""
    found: dict[str, str | list[str]] = {}
    for name, value in parse_qsl(query[1:].decode("ascii"), keep_blank_values=True, errors=_BYTES):
        known = found.get(name)
        if known is None:
            found[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            found[name] = [known, value]
    return found


def _headers(head: RequestHead, credentials: tuple[str, ...]) -> dict[str, str]:
    """The client's fields without its credentials and what belongs to the connection; repeated ones are joined by commas."""
    hidden = CREDENTIALS | NEVER_FORWARDED | {name.lower().encode("ascii") for name in credentials}
    found: dict[str, str] = {}
    for name, values in head.by_name.items():
        if name.replace(b"_", b"-") not in hidden:
            found[name.decode("ascii")] = ", ".join(_text(value) for value in values)
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _unfit(message: str) -> Refusal:
    return Refusal(500, ErrorType.PROXY_CONFIGURATION_ERROR, "bad_rule", message)
