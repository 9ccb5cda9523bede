"""All routes of one configuration: from a request's head to its plan.

A `Table` is immutable and swapped as a whole. Planning is a pure function of the head and the table, so plans of heads seen before
are remembered by the whole head (all but the digits of Content-Length): the rules of groups A to D are written to be read,
and paid for once per distinct head.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from proxy.outcomes import METHODS, ErrorType
from proxy.routing.gate import Gate
from proxy.routing.plan import Builder, Destination, Owner, Plan
from proxy.routing.served import Served
from proxy.telemetry.metrics import Metrics
from proxy.wire.head import RequestHead
from proxy.wire.refusal import Refusal, bad_request
from translators.interpreters import listing
from translators.interpreters.wire import printed
from translators.load import protocol_of
from translators.model import Platform, Protocol, Route, RuleSet
from translators.models import ModelTable
from translators.paths import PathTable, parse_pattern
from translators.runtime.ids import BadIdError, decode

NATIVE = "native"
_READING = frozenset({"GET", "HEAD"})
_TASK_ID = "task_id"  # the variable of a path that holds a task's id
_MEMO_SIZE = 1024
_MEMO_HEAD = 8 * 1024  # longer heads are planned anew each time
_NATIVE_METHODS = tuple(sorted(METHODS))
_PLAIN_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,15})(?=\r\n)")


class Table:
    """All routes of one configuration."""

    def __init__(self, rules: RuleSet, served: Mapping[str, Served], gate: Gate, metrics: Metrics, *, via: bytes | None) -> None:
        self.metrics = metrics
        self.via = via
        self.served = served
        self._gate = gate
        self._shared = _shared_routes(rules.platforms, served)
        self._listed = {
            model.name: listing.Listed(model.name, owner=name)
            for name, one in sorted(served.items())
            if one.pool is not None
            for model in one.platform.models
            if "*" not in model.name
        }
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
            refusal.asked = (head.method, path)
            raise
        builder = Builder(head, destination, licence, model, metrics=self.metrics, via=self.via)
        return Plan(head, destination, builder)

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

    def _find(self, head: RequestHead, path: str) -> tuple[Destination, Mapping[str, str]]:
        method = head.method
        if path == "*" or (method == "OPTIONS" and head.values(b"max-forwards") == [b"0"]):
            raise Refusal(204, ErrorType.PROXY_INTERNAL_RESPONSE, "options", "", fields=(("Allow", ", ".join(_NATIVE_METHODS)),))
        name, slash, rest = path[1:].partition("/")
        served = self.served.get(name)
        if served is None or not slash:
            if method in _READING:
                self._list(head, path)
            return self._find_shared(method, path)
        sub = "/" + rest
        raw = head.target.path[len(name) + 1 :]
        found = served.routes.match(method, sub)
        if found is not None:
            route, variables = found
            return Destination(raw, route.id, route.protocol, variables, served=served, route=route), variables
        native = served.platform.native and not (served.platform.tasks and _names_our_task(sub))
        if native and method in METHODS:
            return Destination(raw, NATIVE, self._protocol(path), {}, served=served), {}
        allowed = _NATIVE_METHODS if native else served.routes.methods(sub)
        raise _not_found(allowed)

    def _list(self, head: RequestHead, path: str) -> None:
        """The names of all models served here, or one of them, as a local answer; nothing, where a platform is to be asked."""
        base, _, model = path.removesuffix("/").partition("/models")
        if base + "/models" not in listing.PATHS or head.values(b"modelname") or "/" in model[1:]:
            return
        named = unquote(model[1:])
        query = {pair.partition("=")[0] for pair in (head.target.query or b"").decode("ascii").split("&")}
        client = listing.client_of(path, {name.decode("ascii") for name in head.by_name}, query)
        if not named:
            raise _local(listing.several(client, self._listed.values()))
        found = self._shared.match("GET", path)
        asked = found is not None and found[0].by_model is not None and found[0].by_model.match(named) is not None
        if named in self._listed and not asked:
            raise _local(listing.one(client, self._listed[named]))

    def _find_shared(self, method: str, path: str) -> tuple[Destination, Mapping[str, str]]:
        found = self._shared.match(method, path)
        if found is None:
            raise _not_found(self._shared.methods(path))
        shared, variables = found
        raw = path.encode("ascii")
        owner = shared.owner_of(variables) if shared.by_task else None
        if owner is not None:
            served, route = owner.served, owner.route
            return Destination(raw, shared.label, route.protocol, variables, served=served, route=route, prefix=False), variables
        by_model = shared.by_model
        return Destination(raw, shared.label, shared.protocol, variables, by_model=by_model, prefix=False), variables


def _local(content: object) -> Refusal:
    """An answer that the gateway gives itself."""
    answer = Refusal(200, ErrorType.PROXY_INTERNAL_RESPONSE, "models", "")
    answer.content = printed(content)
    return answer


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
        "No rule serves this path: it begins with no platform's name (/{platform}/...), and no rule file lists it; "
        "`dragoman routes` shows all paths.",
    )


class _Shared:
    """A path without a platform in it, and the platforms that have it: the model names one, or the id of a task does."""

    __slots__ = ("by_model", "by_task", "label", "protocol")

    def __init__(self, label: str, protocol: Protocol, by_model: ModelTable[Owner] | None, by_task: Mapping[str, Owner]) -> None:
        self.label = label
        self.protocol = protocol
        self.by_model = by_model
        self.by_task = by_task

    def owner_of(self, variables: Mapping[str, str]) -> Owner | None:
        """The platform that has begun the task in the path; None where the model may still decide. Raises Refusal (404)."""
        try:
            owner = self.by_task.get(decode(unquote(variables[_TASK_ID])).platform)
        except BadIdError:
            owner = None
        if owner is None and self.by_model is None:
            raise Refusal(
                404,
                ErrorType.DESTINATION_NOT_FOUND,
                "task_not_found",
                "The path names no task of a platform that is served here; send the id as the answer to its creation gave it.",
            )
        return owner


def _names_our_task(path: str) -> bool:
    """Whether a segment is an id that we have given out: the platform cannot know it."""
    for segment in path.split("/"):
        if "_" in segment:
            try:
                decode(unquote(segment))
            except BadIdError:
                continue
            return True
    return False


def _of_a_task(route: Route) -> bool:
    """Whether the path names a task, whose id tells the platform."""
    handling = route.handling
    if handling is None or (handling.of is None and handling.task is None):
        return False
    return _TASK_ID in parse_pattern(route.path).variables


def _shared_routes(platforms: Mapping[str, Platform], served: Mapping[str, Served]) -> PathTable[_Shared]:
    """The routes without a platform in the path: of all platforms that have a route, the model (or the task) names one."""
    protocols: dict[tuple[str, str], Protocol] = {}
    owners: dict[tuple[str, str], list[tuple[str, Owner]]] = {}
    tasks: dict[tuple[str, str], dict[str, Owner]] = {}
    for name, platform in platforms.items():
        for route in platform.routes:
            key = (route.method, route.path)
            if protocols.setdefault(key, route.protocol) is not route.protocol:
                protocols[key] = Protocol.CHAT  # the path does not tell, and most clients of such paths speak chat
            found = owners.setdefault(key, [])
            if _of_a_task(route):
                tasks.setdefault(key, {})[name] = Owner(served[name], None, route)
            else:
                found.extend((rule.name, Owner(served[name], rule, route)) for rule in platform.models)
    return PathTable.build(
        (method, path, _shared(f"{method} {path}", protocols[method, path], found, tasks.get((method, path), {})))
        for (method, path), found in owners.items()
    )


def _shared(label: str, protocol: Protocol, found: list[tuple[str, Owner]], tasks: Mapping[str, Owner]) -> _Shared:
    return _Shared(label, protocol, ModelTable.build(found) if found or not tasks else None, tasks)
