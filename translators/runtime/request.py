"""A route at work: from a client's request to the calls that the platform gets.

`Prepared` is a route, compiled once; `program` the generator that a host runs for one request. A simple route returns its `Pass`
without having yielded. Bodies are made in `branches`, answers said in `answer`, tasks in `tasks`, `content` and `waiting`.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from translators.formats.chunks import Chunks
from translators.formats.edits import read
from translators.formats.forms import FileRef
from translators.formats.media import GENERIC, NeedsFetch, Reference, UnsupportedReferenceError, recognise, references, to_form
from translators.formats.media import Kind as MediaKind
from translators.formats.multipart import MultipartError, boundary_of
from translators.formats.rewriter import MultipartRewriter, Replace
from translators.formats.spans import Spans, Watch
from translators.formats.strict_json import BadJsonError, loads
from translators.model import Form, Handling, Platform, Route
from translators.runtime import tasks
from translators.runtime.answer import AnswerConversion, not_json
from translators.runtime.bodies import (
    DECIDING,
    URLENCODED,
    Body,
    Kind,
    Pieces,
    bad_form,
    form_changes,
    from_bad_json,
    read_body,
    read_object,
)
from translators.runtime.branches import BranchPlan, asynchronous, edit_plan
from translators.runtime.content import content, source
from translators.runtime.failures import NOT_JSON, bad_answer, from_answer, parsed
from translators.runtime.scope import Standing, Values, answer_scope, client_scope
from translators.runtime.steps import (
    Answer,
    Call,
    Conversion,
    Download,
    Fetch,
    Fetched,
    Incoming,
    Pass,
    Program,
    Reply,
    Result,
    Step,
)
from translators.runtime.target import encoded, refused, rendered
from translators.runtime.tasks import Creation, PlatformRules, TaskRules
from translators.runtime.waiting import wait

_REFERENCES = frozenset(("refs", "mask"))
_ABOUT_TASK = frozenset(("task", "id", "submitted"))
_MAX_FETCHES = 16  # of one request
_UNUSED = frozenset[str]()
_MOST_CALLS = 16  # kept for one head; they differ in the branch and in the body's type
_CONTROLS = frozenset(("async",))  # what a client says to the proxy, on routes that have a task


class Prepared:
    """A route with a handling, compiled. Immutable once made; `program` gives a new program for each request."""

    __slots__ = (
        "_about_task",
        "_comments",
        "_dropped",
        "_edits",
        "_handling",
        "_needs_body",
        "_needs_refs",
        "_one_template",
        "_only_edits",
        "_plans",
        "_platform",
        "_route",
        "_rules",
        "_sole",
        "_task",
        "_tasks",
        "large_watch",
        "straight",
        "streams_forms",
    )

    def __init__(self, platform: Platform, route: Route, rules: PlatformRules | None = None) -> None:
        handling = route.handling
        if handling is None:
            raise ValueError(f"the route {route.id} is carried; only a route with a handling has a program")
        self._platform = platform
        self._route = route
        self._handling: Handling = handling
        self._rules = rules or PlatformRules(platform)
        usage = handling.usage or platform.usage
        self._dropped = _CONTROLS if handling.task or handling.deferred else frozenset[str]()
        self._plans = [
            BranchPlan(platform, branch, handling.errors, usage, route.protocol, self._dropped) for branch in handling.branches
        ]
        names = frozenset[str]().union(*(plan.names for plan in self._plans))
        self._comments = any(plan.branch.comments for plan in self._plans)
        self._about_task = bool(handling.task or names & _ABOUT_TASK) and "{task_id}" in route.path
        self._needs_body = bool(self._dropped) or any(plan.needs_body for plan in self._plans)
        # Its bodies are read for their edits, which look for keys that stand twice: 1 us less than looking for them before
        self._only_edits = len(self._plans) == 1 and self._plans[0].only_edits
        # the first branch, where it fits every request
        self._sole = next((plan for plan in self._plans[:1] if plan.branch.when is None and plan.branch.refuse is None), None)
        self._one_template = self._sole is not None and self._sole.one_template
        self._needs_refs = bool(names & _REFERENCES)
        self._edits = edit_plan(self._plans, self._dropped)
        self._task: TaskRules | None = None
        if handling.task is not None:
            self._task = TaskRules(self._rules, platform.tasks[handling.task], route.protocol, handling.errors)
        self._tasks: dict[str, TaskRules] = {}
        if handling.of:  # an empty name: the route is of calls that the host runs itself
            collection = platform.tasks[handling.of].collection
            self._tasks = {
                name: TaskRules(self._rules, task, route.protocol, handling.errors)
                for name, task in platform.tasks.items()
                if task.collection == collection
            }
        # Whether every request comes to one call, without a question to the world: no generator is needed for it then.
        self.straight = not (
            handling.task
            or handling.of is not None
            or self._about_task
            or self._needs_refs
            or any(branch.response is not None and branch.response.url is not None for branch in handling.branches)
        )
        self.large_watch: Watch | None = self._edits.watch if self._large_possible() else None
        # whether `streamed_form` has something for a form with a boundary
        self.streams_forms = self.large_watch is not None and not any(plan.reads for plan in self._plans)

    def program(self, incoming: Incoming) -> Program:
        """The program of one request. Raises RuleRefusal (also at the first step) for what a client must not send."""
        return self._about(incoming) if self._handling.of is not None else self._exchange(incoming)

    def cancelling(self, incoming: Incoming, task_id: str) -> Program:
        """The program that ends a task whose waiting client has gone; `task_id` as `Pause` told it."""
        if self._task is None:
            raise ValueError(f"the route {self._route.id} starts no task")
        return tasks.cancel(self._task, incoming, task_id)

    # --- the routes of a task ---

    def _about(self, incoming: Incoming) -> Program:
        text = incoming.path.get("task_id", "")
        identity, task = self._rules.identify(text)
        rules = self._tasks.get(task.name)
        if rules is None:
            raise tasks.unknown_task(f"it is one of {task.collection}")
        action = self._handling.action
        if action == "content":
            return (yield from content(rules, incoming, identity, text))
        return (tasks.poll if action == "poll" else tasks.delete)(rules, incoming, identity, text)

    # --- one exchange ---

    def call(self, standing: Standing, data: bytes) -> tuple[Call, bytes | None, Conversion | None]:
        """The one call of a `straight` route for a request with this body: all but its body, its body, and what becomes of its
        answer. The same Call comes again for requests that differ in their bodies only. Raises RuleRefusal."""
        if standing.edited is not None and data:
            call, operations = standing.edited
            try:
                loads(data)  # it must be strict JSON (P03), whatever the edits look at
                return call, self._edits.apply(data, operations), None
            except BadJsonError as error:
                raise from_bad_json(error) from None
        if standing.templated is not None and data:
            call, templated = standing.templated
            made = templated(read_object(data), standing.scope)
            if made is not None:
                return call, made, None
        incoming = standing.incoming
        if self._needs_body:
            content_type = incoming.headers.get("content-type", "")
            body = read_body(data, content_type, comments=self._comments, unchecked=self._only_edits)
        else:
            body = Body(Kind.NONE, None, data)
        if incoming.model is None and (named := self._with_model(incoming, body)) is not incoming:
            return self.call(Standing(named), data)
        scope = {**standing.scope, "body": body.value}
        plan = self._chosen(scope) if self._sole is None else self._sole
        made, sent_type = plan.body(incoming, body, scope, self._edits, _UNUSED)
        key = (id(plan), sent_type)
        known = standing.calls.get(key)
        if known is None:
            known = self._completed(plan.head(incoming, scope, None, sent_type), incoming, scope, plan)
            if plan.fixed_head and len(standing.calls) < _MOST_CALLS:
                standing.calls[key] = known
        if self._only_edits and body.kind is Kind.JSON and (same := plan.same_edits(incoming)) is not None:
            standing.edited = (known, same)
        elif self._one_template and body.kind is Kind.JSON:
            standing.templated = (known, plan.templated)
        return known, made, None if plan.answers.idle else AnswerConversion(plan.answers, scope)

    def _exchange(self, incoming: Incoming) -> Program:
        if self.straight:
            call, made, convert = self.call(Standing(incoming), incoming.body)
            return Pass(replace(call, body=made), convert)
        body = Body(Kind.NONE, None, incoming.body)
        if self._needs_body:
            body = read_body(incoming.body, incoming.headers.get("content-type", ""), comments=self._comments)
        incoming = self._with_model(incoming, body)
        scope = client_scope(incoming, body.value, incoming.model)
        incoming = self._with_task(incoming, scope)
        used: frozenset[str] = frozenset()
        found: dict[str, Any] = {}
        if self._needs_refs:
            found, used = _references(body.value)
            scope["refs"] = [_in_short(reference) for reference in found["refs"]]
            scope["mask"] = _in_short(found["mask"]) if found["mask"] is not None else None
        plan = self._chosen(scope)
        if found and not plan.names & _REFERENCES:
            used = frozenset()
        if found and plan.places_refs:
            yield from self._converted(plan, found, scope)
        call = self._completed(plan.call(incoming, body, scope, self._edits, used), incoming, scope, plan)
        if self._task is not None:
            creation = Creation(self._task, scope, incoming, tasks.place_of(plan.branch, self._route.path))
            asked = asynchronous(incoming, body.value)
            if asked is False or (asked is None and self._task.task.waits):
                return (yield from wait(self._task, creation, call, incoming, self._handling.usage or self._platform.usage))
            return Pass(call, creation)
        response = plan.branch.response
        if response is not None and response.url is not None:
            return (yield from self._fetched(call, plan, scope))
        return Pass(call, self._conversion(plan, scope))

    def _conversion(self, plan: BranchPlan, scope: Values) -> Conversion | None:
        return None if plan.answers.idle else AnswerConversion(plan.answers, scope)

    def _with_model(self, incoming: Incoming, body: Body) -> Incoming:
        """The request with the model that its body names, where the host looks for none: in an urlencoded form."""
        if incoming.model is not None or not incoming.headers.get("content-type", "").lower().startswith(URLENCODED):
            return incoming
        model = body.value.get("model") if isinstance(body.value, dict) else None
        if not isinstance(model, str) or not model:
            return incoming
        return replace(incoming, model=self._rules.upstream_model(model), public_model=model)

    def _with_task(self, incoming: Incoming, scope: Values) -> Incoming:
        """A route below a task (`/{task_id}/remix`) knows it; its model is the task's where the client names none."""
        if not self._about_task:
            return incoming
        identity, task = self._rules.identify(incoming.path.get("task_id", ""))
        rules = (
            self._task if self._task is not None and self._task.task is task else TaskRules(self._rules, task, self._route.protocol)
        )
        scope |= rules.values(identity)
        if incoming.model is not None:
            return incoming
        scope["model"] = self._rules.upstream_model(identity.public_model)
        return Incoming(
            incoming.method,
            incoming.path,
            incoming.query,
            incoming.headers,
            incoming.body,
            scope["model"],
            identity.public_model,
            incoming.now,
            incoming.new_id,
            incoming.prefix,
            incoming.target,
        )

    def _chosen(self, scope: Values) -> BranchPlan:
        for plan in self._plans:
            if plan.holds(scope):
                if plan.branch.refuse is not None:
                    text = rendered(plan.branch.refuse, scope) or "this request cannot be sent to this platform"
                    raise refused(text, code="unsupported_request")
                return plan
        raise refused(
            f"no branch of the rule for {self._route.id} fits this request; see the platform's page for what it takes",
            code="unsupported_request",
        )

    def _completed(self, call: Call, incoming: Incoming, scope: Values, plan: BranchPlan) -> Call:
        """The call with its path put together again: no rule says it, and the host gave none or the model in it has an alias."""
        renamed = "{model}" in self._route.path and incoming.model != incoming.public_model
        if plan.branch.send is not None or (incoming.target is not None and not renamed):
            return call
        path = self._route.path
        values = {**incoming.path, "model": scope["model"] or incoming.path.get("model", "")}
        for name, value in values.items():
            path = path.replace("{" + name + "}", encoded(value, "the path of the call"))
        query = call.target.partition("?")[2]
        target = f"{path}?{query}" if query else path
        return Call(call.method, target, call.headers, call.body, call.content_type, call.forward, call.model)

    # --- references ---

    def _converted(self, plan: BranchPlan, found: dict[str, Any], scope: Values) -> Iterator[Step]:
        """References in the form that the branch's `media` wants; yields a Fetch where a URL must be read for it."""
        forms = plan.branch.media.forms if plan.branch.media is not None else {}
        as_form = plan.branch.body is not None and plan.branch.body.form
        fetches = 0
        for name in ("refs", "mask"):
            form = forms.get(name)
            given: list[Reference] = found["refs"] if name == "refs" else [found["mask"]] if found["mask"] is not None else []
            out: list[Any] = []
            for reference in given:
                if form is None:
                    out.append(reference.value if as_form and reference.kind is MediaKind.FILE else _as_came(reference))
                    continue
                ready = _in_form(reference, form, name)
                if isinstance(ready, NeedsFetch):
                    fetches += 1
                    if self._platform.fetch is None or fetches > _MAX_FETCHES:
                        raise refused(
                            "this platform needs the data of a picture or sound, and URLs are not fetched here (or not so many); "
                            "send base64, a data URI or a file",
                            code="url_not_supported",
                        )
                    fetched: Any = yield Fetch(ready.url)
                    assert isinstance(fetched, Fetched)  # what a Fetch is answered with
                    ready = _in_form(_reference_of(fetched), form, name)
                out.append(ready)
            scope[name] = out if name == "refs" else out[0] if out else None

    # --- an answer that is behind a URL ---

    def _fetched(self, call: Call, plan: BranchPlan, scope: Values) -> Generator[Step, Any, Result]:
        reply = yield call
        assert isinstance(reply, Reply)  # what a Call is answered with
        rules = plan.answers
        assert rules.response is not None  # the caller looked
        value = parsed(reply)
        said = answer_scope(scope, None if value is NOT_JSON else value, reply.status, reply.headers)
        failed = AnswerConversion(rules, scope).failed(reply, value, said)
        if failed is not None:
            return failed
        if reply.status >= 400:
            return Answer(reply.status, reply.body, reply.headers.get("content-type"))
        if value is NOT_JSON:
            raise not_json(reply)
        assert rules.response.response.url is not None  # the caller looked
        found = from_answer(rules.response.response.url, said)
        chosen = found[0] if isinstance(found, list) and found else found
        if not isinstance(chosen, str) or not chosen:
            raise bad_answer("the platform's answer holds no URL where the rule expects one")
        content_type = rules.response.content_type(said)
        given = source(chosen, None, scope["model"], content_type)
        return given if isinstance(given, Answer) else Download(given, content_type=content_type)

    # --- large bodies ---

    def _large_possible(self) -> bool:
        """Whether the route can work on a JSON body of which only a few members are looked at."""
        if self._needs_refs or self._comments or self._about_task or self._handling.of is not None:
            return False
        fit = all(plan.branch.body is None and plan.branch.response is None and plan.reads is not None for plan in self._plans)
        return fit and self._task is None and self._handling.deferred is None

    def large(self, incoming: Incoming, chunks: Chunks, spans: Spans) -> Pass:
        """The call for a JSON body that stays in its chunks. `incoming` has no body; `spans` come from a SpanScanner with
        `large_watch`, which must not be None. Raises RuleRefusal."""
        try:
            spans.refuse_duplicates()
            keys = frozenset[str]().union({"model", "stream"}, *(plan.reads or () for plan in self._plans))
            value = {key: read(chunks, spans, (key,)) for key in keys if (key,) in spans.members}
            scope = client_scope(incoming, value, incoming.model)
            plan = self._chosen(scope)
            operations = plan.operations(incoming, scope, value)
            pieces = self._edits.segments(chunks, spans, operations)
        except BadJsonError as error:
            raise from_bad_json(error) from None
        call = plan.head(incoming, scope, Pieces(chunks, pieces), incoming.headers.get("content-type"))
        return Pass(self._completed(call, incoming, scope, plan), self._conversion(plan, scope))

    # --- forms that pass as a stream ---

    def streamed_form(self, incoming: Incoming) -> tuple[Pass, MultipartRewriter | None] | None:
        """The call for a multipart body that is not held, and what its bytes go through (None: the rule has nothing to do with
        them); None when the rule must read the body first, see `streams_forms`.

        `incoming` has no body. Unless the rewriter is `idle`, the length of what goes out is known at its end only. Raises
        RuleRefusal.
        """
        boundary = boundary_of(incoming.headers.get("content-type", ""))
        if boundary is None or not self.streams_forms:
            return None
        scope = client_scope(incoming, {"model": incoming.public_model}, incoming.model)
        plan = self._chosen(scope)
        changes = form_changes(plan.operations(incoming, scope, None))
        alias: Replace | None = None  # what `operations` makes of it where the body is there to be looked at
        if incoming.model is not None and incoming.public_model not in (None, incoming.model):
            alias = Replace("model", incoming.public_model or "", incoming.model)
        call = plan.head(incoming, scope, None, incoming.headers.get("content-type"))
        rewriter: MultipartRewriter | None = None
        try:
            if self._needs_body:
                rewriter = MultipartRewriter(boundary, changes, replace=alias, once=DECIDING)
        except MultipartError as error:
            raise bad_form(error) from None
        return Pass(self._completed(call, incoming, scope, plan), self._conversion(plan, scope)), rewriter


def _references(value: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The references of a body, and the members that held them."""
    if not isinstance(value, dict):
        return {"refs": [], "mask": None}, frozenset()
    try:
        found = references(value)
    except UnsupportedReferenceError as error:
        raise refused(error.message, code="unsupported_reference") from None
    return {"refs": found.refs, "mask": found.mask}, found.used


def _as_came(reference: Reference) -> str:
    """A reference where the rule wants no form: a URL as it is, everything else as a data URI. Raises RuleRefusal for an id."""
    if reference.kind is MediaKind.URL:
        return str(reference.value)
    return str(_in_form(reference, Form.DATA_URI, "refs"))


def _in_short(reference: Reference) -> str:
    """A reference where only the choice of a branch looks at it: a file is not written out for being counted."""
    if reference.kind in (MediaKind.BASE64, MediaKind.FILE):
        return f"data:{reference.media_type or GENERIC};base64,"
    return reference.written if reference.kind is MediaKind.DATA_URI and reference.written else str(reference.value)


def _in_form(reference: Reference, form: Form, name: str) -> str | FileRef | NeedsFetch:
    try:
        return to_form(reference, form.value, "mask" if name == "mask" else "image")
    except UnsupportedReferenceError as error:
        raise refused(error.message, code="unsupported_reference") from None


def _reference_of(fetched: Fetched) -> Reference:
    try:
        return recognise(FileRef("", fetched.media_type, fetched.data))
    except UnsupportedReferenceError as error:
        raise refused(error.message, code="unsupported_reference") from None


_prepared: dict[int, tuple[Platform, Route, Prepared]] = {}
_MOST_PREPARED = 4096


def prepare(platform: Platform, route: Route) -> Prepared:
    """The route, compiled; remembered for the same two objects. A host on a hot path keeps what this gives."""
    known = _prepared.get(id(route))
    if known is not None and known[0] is platform and known[1] is route:
        return known[2]
    if len(_prepared) >= _MOST_PREPARED:
        _prepared.clear()
    made = Prepared(platform, route)
    _prepared[id(route)] = (platform, route, made)
    return made


def program(platform: Platform, route: Route, incoming: Incoming) -> Program:
    """The program for one request on a route with a handling."""
    return prepare(platform, route).program(incoming)
