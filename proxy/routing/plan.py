"""What a request's head decides: where the exchange goes, and what its upstream head says.

A `Plan` is a pure function of the head and of one configuration; the model may still have to be found in the body, and a `Dispatch`
then is made for it. Which path leads where is decided in `table`.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxy.outcomes import ErrorType
from proxy.routing.calls import Work, body_limit, form_limit
from proxy.routing.heads import HeadMaker
from proxy.routing.served import Served
from proxy.telemetry.metrics import ExchangeMetrics, Metrics
from proxy.upstream.pool import Pool
from proxy.wire.head import RequestHead
from proxy.wire.refusal import Refusal
from translators.model import ModelRule, Protocol, Route
from translators.models import ModelTable

if TYPE_CHECKING:
    from proxy.routing.table import Table

NO_ROUTE = "none"  # label of exchanges that never found one
_MODELS_PER_PLAN = 16
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


def echoed_id(head: RequestHead) -> bytes | None:
    """The client's own id of the request, if it is fit to be said again (rule E09)."""
    ids = head.values(b"x-request-id")
    return ids[0] if len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0]) else None


class Dispatch:
    """Where an exchange goes: the pool, and the upstream head up to its framing field.

    `work` is set where the route is handled, or its call must be whole; `head` then is made for each call. Immutable but for
    `log_fixed`, the part of the access log's line that is always the same, which the recorder fills in.
    """

    __slots__ = ("head", "log_fixed", "metrics", "model", "pool", "served", "work")

    def __init__(
        self, served: Served, pool: Pool, head: bytes, metrics: ExchangeMetrics, model: str | None, work: Work | None = None
    ) -> None:
        self.served = served
        self.pool = pool
        self.head = head
        self.metrics = metrics
        self.model = model  # as configured, for logs and metrics
        self.work = work
        self.log_fixed: bytes | None = None


class _DatedDispatch(Dispatch):
    """The dispatch of a carried route whose credential changes with time."""

    __slots__ = ("_start",)

    if not TYPE_CHECKING:

        @property
        def head(self) -> bytes:
            return self._start + self.served.credential.lines("", b"", (), None, self.served.now())

        @head.setter
        def head(self, start: bytes) -> None:
            self._start = start


class Owner:
    """A platform that serves a path without prefix: for one of its models, or for the tasks it has begun."""

    __slots__ = ("route", "rule", "served")

    def __init__(self, served: Served, rule: ModelRule | None, route: Route) -> None:
        self.served = served
        self.rule = rule
        self.route = route


class Destination:
    """A matched path before the model is known: one platform's route (None: a native path), or all owners of the path by model."""

    __slots__ = ("by_model", "label", "path", "prefix", "protocol", "route", "served", "variables")

    def __init__(
        self,
        path: bytes,
        label: str,
        protocol: Protocol,
        variables: Mapping[str, str],
        *,
        served: Served | None = None,
        route: Route | None = None,
        by_model: "ModelTable[Owner] | None" = None,
        prefix: bool = True,
    ) -> None:
        self.path = path
        self.label = label
        self.protocol = protocol
        self.variables = variables
        self.served = served
        self.route = route
        self.by_model = by_model
        self.prefix = prefix

    @property
    def handled(self) -> bool:
        """Whether the call is made when the request is here as a whole, whatever its model."""
        return self.served is not None and needs_work(self.served, self.route)

    @property
    def buffered_body(self) -> int:
        """How much of a body may be held for a rule to work on; 0: the model decides."""
        return body_limit(self.served, self.route) if self.served is not None else 0


def needs_work(served: Served, route: Route | None) -> bool:
    """Whether the route's calls are made when the request is here as a whole: a rule handles it, or its credential signs it."""
    return served.whole_calls or (route is not None and route.handling is not None)


class Plan:
    """What the head decides. `dispatch` is set where no body needs to be read for it, else `for_model` gives it."""

    __slots__ = (
        "_build",
        "_by_model",
        "buffered_body",
        "coding",
        "compressed",
        "content_type",
        "dispatch",
        "expect_continue",
        "form_limit",
        "handled",
        "http10",
        "json_type",
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
        "prepared",
        "protocol",
        "request_id",
        "settled",
        "suffix",
        "table",
    )

    def __init__(self, head: RequestHead, destination: Destination, build: "Builder") -> None:
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
        codings = [value.decode("latin-1") for value in head.values(b"content-encoding") if value.lower() != b"identity"]
        self.coding = ", ".join(codings)  # of the body; empty: none
        self.compressed = bool(codings)
        self.json_type = not self.content_type or "json" in self.content_type.lower()
        self.may_be_json = self.json_type and not self.compressed
        self._build = build
        self._by_model: dict[str | None, Dispatch] = {}
        self.dispatch: Dispatch | None = None
        self.handled = destination.handled  # the body is read whole before anything is decided
        self.buffered_body = destination.buffered_body  # how much of it is held then; 0: not known yet
        route, served = destination.route, destination.served
        self.prepared = served.prepared.get(route.id) if served is not None and route is not None else None
        # how large a form may be that passes part by part (0: no limit); None: forms are held, or it is not known yet
        self.form_limit = form_limit(served, route) if served is not None else None
        self.needs_model = False
        self.settled = False  # a request with this head came to a call of which the body decides the body only
        self._settle(destination, build)

    def _settle(self, destination: Destination, build: "Builder") -> None:
        has_body = self.length != 0
        served = destination.served
        if build.model is not None or not has_body:
            self.dispatch = self.for_model(build.model)
            self.handled = self.dispatch.work is not None
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


class Builder:
    """Makes the dispatches of one plan: everything of the head that they need, and no more."""

    __slots__ = ("_destination", "_head", "_licence", "_method", "_metrics", "_via", "model")

    def __init__(
        self,
        head: RequestHead,
        destination: Destination,
        licence: bytes | None,
        model: str | None,
        *,
        metrics: Metrics,
        via: bytes | None,
    ) -> None:
        self._head = head
        self._destination = destination
        self._licence = licence
        self._metrics = metrics
        self._via = via
        self._method = head.method
        self.model = model

    def dispatch(self, model: str | None) -> Dispatch:
        destination = self._destination
        served, route, rule = destination.served, destination.route, None
        if served is not None:
            rule = served.models.match(model) if model is not None else None
        else:
            owner = self._owner(model)
            served, route, rule = owner.served, owner.route, owner.rule
        if served.pool is None:
            raise served.refusal()
        known = rule.name if rule is not None else None
        metrics = self._metrics.exchange(served.platform.name, destination.label, self._method, known)
        name = rule.upstream if rule is not None and rule.upstream is not None else model
        maker = HeadMaker(self._head, served, self._licence, self._via)
        if needs_work(served, route):
            prefix = destination.prefix
            work = Work(self._head, maker, route, destination.variables, destination.path, name, model, prefix=prefix)
            return Dispatch(served, work.pool or served.pool, b"", metrics, known, work)
        kind = Dispatch if served.credential is None else _DatedDispatch
        return kind(served, served.pool, self._upstream_head(maker, name), metrics, known)

    def _owner(self, model: str | None) -> Owner:
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
        return owner

    def _upstream_head(self, maker: HeadMaker, model: str | None) -> bytes:
        """The head of a carried call up to its framing field."""
        served = maker.served
        target = served.target(self._destination.path + maker.query, model, carried=True)
        start = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (self._method.encode("ascii"), target, served.authority)
        return start + b"".join(maker.lines(model))
