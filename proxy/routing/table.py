"""From a request head to a plan: where the exchange goes and what its upstream head says.

A `Table` is one configuration, immutable, swapped as a whole. Planning is a pure function of the head and the table, so plans of
heads seen before are remembered by the whole head (all but the digits of Content-Length): the rules of groups A to D are
written to be read, and paid for once per distinct head.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from proxy.outcomes import METHODS, ErrorType
from proxy.routing.gate import Gate, credentials
from proxy.routing.served import Served
from proxy.telemetry.metrics import ExchangeMetrics, Metrics
from proxy.upstream.pool import Pool
from proxy.wire.fields import field_line, forwarded_request_lines
from proxy.wire.head import RequestHead
from proxy.wire.names import CREDENTIAL_PARAMETERS
from proxy.wire.refusal import Refusal, bad_request
from proxy.wire.target import without_parameters
from translators.load import protocol_of
from translators.model import AuthKind, ModelRule, Platform, Protocol, RuleSet
from translators.models import ModelTable
from translators.paths import PathTable

NO_ROUTE = "none"  # label of exchanges that never found one
NATIVE = "native"
_MEMO_SIZE = 1024
_MEMO_HEAD = 8 * 1024  # longer heads are planned anew each time
_MODELS_PER_PLAN = 16
_NATIVE_METHODS = tuple(sorted(METHODS))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_PLAIN_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,15})(?=\r\n)")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


def echoed_id(head: RequestHead) -> bytes | None:
    """The client's own id of the request, if it is fit to be said again (rule E09)."""
    ids = head.values(b"x-request-id")
    return ids[0] if len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0]) else None


class Dispatch:
    """Where an exchange goes: the pool, and the upstream head up to its framing field.

    Immutable but for `log_fixed`, the part of the access log's line that is always the same, which the recorder fills in.
    """

    __slots__ = ("head", "log_fixed", "metrics", "model", "pool", "served")

    def __init__(self, served: Served, pool: Pool, head: bytes, metrics: ExchangeMetrics, model: str | None) -> None:
        self.served = served
        self.pool = pool
        self.head = head
        self.metrics = metrics
        self.model = model  # as configured, for logs and metrics
        self.log_fixed: bytes | None = None


class _Destination:
    """A matched route before the model is known: one platform, or the platforms that serve the path by model."""

    __slots__ = ("by_model", "label", "path", "protocol", "served")

    def __init__(
        self, path: bytes, label: str, protocol: Protocol, served: Served | None, by_model: "ModelTable[_Owner] | None" = None
    ) -> None:
        self.path = path
        self.label = label
        self.protocol = protocol
        self.served = served
        self.by_model = by_model


class _Owner:
    """A platform that serves a model on some path without prefix."""

    __slots__ = ("rule", "served")

    def __init__(self, served: Served, rule: ModelRule) -> None:
        self.served = served
        self.rule = rule


class Plan:
    """What the head decides. `dispatch` is set where no body needs to be read for it, else `for_model` gives it."""

    __slots__ = (
        "_build",
        "_by_model",
        "compressed",
        "content_type",
        "dispatch",
        "expect_continue",
        "http10",
        "keep_alive",
        "label",
        "length",
        "may_be_json",
        "method",
        "needs_model",
        "no_body_line",
        "path",
        "plain_answer",
        "prefix",
        "protocol",
        "request_id",
        "suffix",
        "table",
    )

    def __init__(self, head: RequestHead, destination: _Destination, build: "_Builder") -> None:
        self.method = head.method
        self.path = head.target.path.decode("ascii")
        self.http10 = head.http10
        self.plain_answer = not head.http10 and head.method != "HEAD"  # no reason here to frame the answer anew
        # The head is `prefix`, the digits of its Content-Length, `suffix`; set once the plan is remembered.
        self.prefix = self.suffix = b""
        self.table: Table | None = None
        self.keep_alive = head.keep_alive
        self.length = head.length
        # the framing field of a request without a body (rule B10)
        self.no_body_line = b"Content-Length: 0\r\n" if head.has_length or head.method in _BODY_METHODS else b""
        self.expect_continue = head.expect_continue
        self.label = destination.label
        self.protocol = destination.protocol
        self.request_id = echoed_id(head)
        types = head.values(b"content-type")
        self.content_type = types[0].decode("latin-1") if types else ""
        self.compressed = any(value.lower() != b"identity" for value in head.values(b"content-encoding"))
        self.may_be_json = not self.compressed and (not self.content_type or "json" in self.content_type.lower())
        self._build = build
        self._by_model: dict[str | None, Dispatch] = {}
        self.dispatch: Dispatch | None = None
        self.needs_model = False
        self._settle(destination, build)

    def _settle(self, destination: _Destination, build: "_Builder") -> None:
        has_body = self.length != 0
        served = destination.served
        if build.model is not None or not has_body:
            self.dispatch = self.for_model(build.model)
        elif served is None:
            self.needs_model = True
        else:
            self.needs_model = served.needs_model
            if not self.needs_model and not served.platform.models:
                self.dispatch = self.for_model(None)

    def for_model(self, model: str | None) -> Dispatch:
        """The dispatch for the model the request names. Raises Refusal (400, 404)."""
        known = self._by_model.get(model)
        if known is None:
            try:
                known = self._build.dispatch(model)
            except Refusal as refusal:
                refusal.protocol = self.protocol
                raise
            if len(self._by_model) >= _MODELS_PER_PLAN:
                self._by_model.clear()
            self._by_model[model] = known
        return known


class _Builder:
    """Makes the dispatches of one plan: everything of the head that they need, and no more."""

    __slots__ = ("_destination", "_head", "_licence", "_method", "_metrics", "_via", "model")

    def __init__(
        self, head: RequestHead, destination: _Destination, licence: bytes | None, model: str | None, table: "Table"
    ) -> None:
        self._head = head
        self._destination = destination
        self._licence = licence
        self._metrics = table.metrics
        self._via = table.via
        self._method = head.method
        self.model = model

    def dispatch(self, model: str | None) -> Dispatch:
        destination = self._destination
        served, rule = destination.served, None
        if served is not None:
            rule = served.models.match(model) if model is not None else None
        else:
            served, rule = self._owner(model)
        if served.pool is None:
            raise served.refusal()
        metrics = self._metrics.exchange(served.platform.name, destination.label, self._method, rule.name if rule else None)
        name = rule.upstream if rule is not None and rule.upstream is not None else model
        return Dispatch(served, served.pool, self._upstream_head(served, name), metrics, rule.name if rule else None)

    def _owner(self, model: str | None) -> tuple[Served, ModelRule]:
        by_model = self._destination.by_model
        assert by_model is not None
        if model is None:
            raise Refusal(
                400,
                ErrorType.HTTP_REQUEST_ERROR,
                "model_required",
                "Without a platform in the path the model decides where to go: send 'model' in the body or a ModelName header, "
                "or call /{platform}/... instead.",
            )
        owner = by_model.match(model)
        if owner is None:
            raise Refusal(
                404,
                ErrorType.DESTINATION_NOT_FOUND,
                "model_not_found",
                "No platform lists this model for this path; call /{platform}/... or add the model to a rule file.",
            )
        return owner.served, owner.rule

    def _upstream_head(self, served: Served, model: str | None) -> bytes:
        head, destination = self._head, self._destination
        auth = served.platform.auth
        kept: frozenset[bytes] = frozenset()
        own: list[bytes] = []
        if auth.kind is AuthKind.PASS:
            if auth.header is None:
                kept = frozenset(name for name, _ in credentials(head)) - self._licensed()
            else:
                own += self._passed_credential(auth.header, auth.prefix)
        target = served.base + destination.path + _query(head.target.query, keep_all=b"?key" in kept)
        lines = forwarded_request_lines(head, served.replaced | self._gateway_model(served), kept=kept, via=self._via)
        lines += served.lines(model)
        lines += own
        if head.method == "OPTIONS":
            lines = [_one_hop_less(line) for line in lines]
        start = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method.encode("ascii"), target, served.authority)
        return start + b"".join(lines)

    def _licensed(self) -> frozenset[bytes]:
        """The fields in which the licence stands: it is for us alone, wherever the client repeats it (rule N02)."""
        return frozenset(name for name, value in credentials(self._head) if value == self._licence)

    def _gateway_model(self, served: Served) -> frozenset[bytes]:
        """A ModelName that names one of our models is for us, not for the platform (rule D03)."""
        names = self._head.values(b"modelname")
        ours = any(served.models.match(name.decode("latin-1")) is not None for name in names)
        return frozenset((b"modelname",)) if ours else frozenset()

    def _passed_credential(self, header: str, prefix: str) -> list[bytes]:
        for name, value in credentials(self._head):
            if name not in self._licensed():
                return [field_line(header.encode("ascii"), prefix.encode("ascii") + value)]
        return []


def _query(query: bytes | None, *, keep_all: bool) -> bytes:
    """The query with its `?`, without the parameters that hold a client's credential (rules C08, N04)."""
    if query is None:
        return b""
    if keep_all or not query:
        return b"?" + query
    kept = without_parameters(query, CREDENTIAL_PARAMETERS)
    return b"?" + kept if kept else b""


def _one_hop_less(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    count = value.strip()
    if name.lower() == b"max-forwards" and count.isdigit():
        return field_line(name, b"%d" % max(int(count) - 1, 0))
    return line


class Table:
    """All routes of one configuration."""

    def __init__(self, rules: RuleSet, served: Mapping[str, Served], gate: Gate, metrics: Metrics, *, via: bytes | None) -> None:
        self.metrics = metrics
        self.via = via
        self.served = served
        self._gate = gate
        self._shared = _shared_routes(rules.platforms, served)
        self._memo: dict[bytes, Plan] = {}  # by the whole head
        self._memo_of_lengths: dict[bytes, Plan] = {}  # by the head without the digits of its Content-Length

    def recall(self, head: bytes) -> tuple[Plan, int] | None:
        """The plan of a head seen before and the body length it announces (or CHUNKED)."""
        match = _PLAIN_LENGTH.search(head)
        if match is None:
            plan = self._memo.get(head)
            return None if plan is None else (plan, plan.length)
        length = int(match.group(1))
        if length == 0:  # without a body other things are decided
            return None
        start, end = match.span(1)
        plan = self._memo_of_lengths.get(head[:start] + head[end:])
        return None if plan is None else (plan, length)

    def remember(self, head: bytes, plan: Plan) -> None:
        """Keep a plan; the oldest ones make room."""
        if len(head) > _MEMO_HEAD:
            return
        match = _PLAIN_LENGTH.search(head)
        if match is None:
            _keep(self._memo, head, plan)
        elif int(match.group(1)):
            start, end = match.span(1)
            plan.prefix, plan.suffix, plan.table = head[:start], head[end:], self
            _keep(self._memo_of_lengths, plan.prefix + plan.suffix, plan)

    def plan(self, head: RequestHead, peer: str) -> Plan:
        """Decide everything the head decides. Raises Refusal."""
        path = head.target.path.decode("ascii")
        try:
            self._check_loop(head)
            licence = self._gate.check(head, peer)
            destination, variables = self._find(head, path)
            model = self._named_model(head, variables)
        except Refusal as refusal:
            refusal.protocol = self._protocol(path)
            raise
        return Plan(head, destination, _Builder(head, destination, licence, model, self))

    def _check_loop(self, head: RequestHead) -> None:
        if self.via is None:
            return
        for value in head.values(b"via"):
            for hop in value.split(b","):
                if hop.split()[1:2] == [self.via]:
                    raise Refusal(
                        508,
                        ErrorType.PROXY_LOOP_DETECTED,
                        "loop",
                        "This request has passed here before; two gateways in a row need different 'via' names.",
                    )

    @staticmethod
    def _named_model(head: RequestHead, variables: Mapping[str, str]) -> str | None:
        """The model as the ModelName header or the path names it; the header wins."""
        names = head.values(b"modelname")
        if len(names) > 1:
            raise bad_request("ambiguous_model", "ModelName must occur once.")
        if names and names[0]:
            return names[0].decode("utf-8", "surrogateescape")
        named = variables.get("model")
        return unquote(named) if named else None

    def _protocol(self, path: str) -> Protocol:
        """The protocol of a path that may have no route, to say an error in."""
        name, _, rest = path[1:].partition("/")
        served = self.served.get(name)
        if served is None:
            return protocol_of(path) or Protocol.CHAT
        return protocol_of("/" + rest) or served.platform.protocol

    def _find(self, head: RequestHead, path: str) -> tuple[_Destination, Mapping[str, str]]:
        method = head.method
        if path == "*" or (method == "OPTIONS" and head.values(b"max-forwards") == [b"0"]):
            raise Refusal(204, ErrorType.PROXY_INTERNAL_RESPONSE, "options", "", fields=(("Allow", ", ".join(_NATIVE_METHODS)),))
        name, slash, rest = path[1:].partition("/")
        served = self.served.get(name)
        if served is None or not slash:
            return self._find_shared(method, path)
        sub = "/" + rest
        raw = head.target.path[len(name) + 1 :]
        found = served.routes.match(method, sub)
        if found is not None:
            route, variables = found
            return _Destination(raw, route.id, route.protocol, served), variables
        if served.platform.native and method in METHODS:
            return _Destination(raw, NATIVE, self._protocol(path), served), {}
        allowed = _NATIVE_METHODS if served.platform.native else served.routes.methods(sub)
        raise _not_found(allowed)

    def _find_shared(self, method: str, path: str) -> tuple[_Destination, Mapping[str, str]]:
        found = self._shared.match(method, path)
        if found is None:
            raise _not_found(self._shared.methods(path))
        (label, protocol, by_model), variables = found
        return _Destination(path.encode("ascii"), label, protocol, None, by_model), variables


def _keep(memo: dict[bytes, Plan], key: bytes, plan: Plan) -> None:
    """Remember; the oldest entry makes room."""
    if len(memo) >= _MEMO_SIZE:
        del memo[next(iter(memo))]
    memo[key] = plan


def _not_found(allowed: tuple[str, ...]) -> Refusal:
    if allowed:
        return Refusal(
            405,
            ErrorType.DESTINATION_NOT_FOUND,
            "method_not_allowed",
            "This path is served, but not with this method.",
            fields=(("Allow", ", ".join(allowed)),),
        )
    return Refusal(
        404,
        ErrorType.DESTINATION_NOT_FOUND,
        "route_not_found",
        "No rule serves this path; `dragoman routes` lists what is served.",
    )


_SharedRoute = tuple[str, Protocol, ModelTable[_Owner]]


def _shared_routes(platforms: Mapping[str, Platform], served: Mapping[str, Served]) -> PathTable[_SharedRoute]:
    """The routes without a platform in the path: of all platforms that have a route, the model names one."""
    protocols: dict[tuple[str, str], Protocol] = {}
    owners: dict[tuple[str, str], list[tuple[str, _Owner]]] = {}
    for name, platform in platforms.items():
        for route in platform.routes:
            key = (route.method, route.path)
            if protocols.setdefault(key, route.protocol) is not route.protocol:
                protocols[key] = Protocol.CHAT  # the path does not tell, and most clients of such paths speak chat
            owners.setdefault(key, []).extend((rule.name, _Owner(served[name], rule)) for rule in platform.models)
    return PathTable.build(
        (method, path, (f"{method} {path}", protocols[method, path], ModelTable.build(found)))
        for (method, path), found in owners.items()
    )
