"""A branch of a route, compiled: what it reads, which members of a body it names, and the request that it makes of a client's."""

from collections.abc import Mapping, Sequence
from typing import Any

from translators.expressions.compile import EvaluationError, is_true
from translators.expressions.template import ABSENT, REST
from translators.formats import edits as formats
from translators.formats.edits import EditPlan
from translators.formats.strict_json import BadJsonError, dumps
from translators.model import Branch, Edit, EditKind, ErrorRule, Platform, Protocol, Unknown, Usage
from translators.runtime.answer import AnswerRules
from translators.runtime.bodies import Body, Kind, edit_multipart, edit_urlencoded, from_bad_json, is_file, print_form, print_json
from translators.runtime.failures import JSON
from translators.runtime.scope import Values, named_by_branch, names_of, request_parts, response_parts, union
from translators.runtime.steps import Call, Incoming
from translators.runtime.target import (
    evaluated,
    join,
    query_names,
    raw_query,
    refused,
    render_headers,
    render_path,
    render_query,
    without,
)

_REFERENCES = frozenset(("refs", "mask"))
# Looked up on its class, each of these costs 50 ns.
_JSON, _FORWARD, _REFUSE = Kind.JSON, Unknown.FORWARD, Unknown.REFUSE
_ASYNC = "async"
# Names that stand for the same in every request with one head (`stream`: of a translated one).
_OF_THE_HEAD = frozenset(("model", "path", "query", "header", "stream"))


class BranchPlan:
    """One branch. `named`, `reads`: members of the client's body that it names, or that deciding and editing needs; None: all.

    `places_refs`: references are put into the request, and not only looked at for the choice. `fixed_head`: no body decides
    anything of the call but its own bytes. `dropped`: members (and parameters) that are for the proxy.
    """

    __slots__ = (
        "_always",
        "_dropped",
        "_edits",
        "_expected",
        "_keeps_rest",
        "_path",
        "_platform_query",
        "_queries",
        "_settled",
        "_written",
        "answers",
        "branch",
        "fixed_head",
        "named",
        "names",
        "places_refs",
        "reads",
    )

    def __init__(
        self,
        platform: Platform,
        branch: Branch,
        errors: ErrorRule | None,
        usage: Usage | None,
        protocol: Protocol,
        dropped: frozenset[str],
    ) -> None:
        self.branch = branch
        self._dropped = dropped
        self.answers = AnswerRules(branch, errors, usage, protocol)
        self.names = names_of(*request_parts(branch), *(edit.when for edit in branch.edits), *(edit.value for edit in branch.edits))
        self.named = named_by_branch(branch)
        placed = (part for part in request_parts(branch) if part is not branch.when and part is not branch.refuse)
        edited = (part for edit in branch.edits for part in (edit.when, edit.value))
        self.places_refs = bool(names_of(*placed, *edited) & _REFERENCES)
        extra = [part for edit in branch.edits for part in (edit.when, edit.value) if part is not None and "body" in part.names]
        if branch.stream is not None and branch.stream.when is not None:
            extra.append(branch.stream.when)
        self.reads = union([self.named, *(part.body_keys for part in extra)])
        if branch.response is not None and "request" in names_of(*response_parts(branch.response)):
            self.reads = None
        send = branch.send
        self._path = None
        if send is not None and all(isinstance(part, str) for part in send.path.parts):
            self._path = render_path(send.path, {})
        self._written = send.query if send is not None else ()
        self._queries = branch.query
        self._platform_query = platform.query
        texts = [text for _, text in (*branch.headers, *self._written, *self._queries, *self._platform_query)]
        self.fixed_head = names_of(send.path if send is not None else None, *texts) <= _OF_THE_HEAD
        self._edits = [_Edit(edit) for edit in branch.edits]
        fixed = [edit.fixed for edit in self._edits]
        # the edits of every request, where no expression has a say in them
        self._always = tuple(edit for edit in fixed if edit is not None) if None not in fixed else None
        self._expected = known, written = self._known(frozenset())
        body = branch.body
        self._keeps_rest = (
            body is not None and self.named is not None and (body.unknown is not Unknown.DROP or body.template.spreads_rest)
        )
        # members of a client's body that change nothing of what goes out, as long as the template leaves none of its own absent
        open_ = body is not None and body.unknown is Unknown.FORWARD and not body.template.spreads_rest
        self._settled = known | written if open_ else known

    @property
    def needs_body(self) -> bool:
        """Whether the client's body must be read."""
        return bool(self.branch.touches_body or self.names & {"body", *_REFERENCES} or self.reads is None or self.reads)

    def holds(self, scope: Values) -> bool:
        when = self.branch.when
        return when is None or is_true(evaluated(when, scope))

    def call(self, incoming: Incoming, body: Body, scope: Values, plan: EditPlan, used: frozenset[str]) -> Call:
        """The request. `used`: members that were taken as references."""
        data, content_type = self.body(incoming, body, scope, plan, used)
        return self.head(incoming, scope, data, content_type)

    def head(self, incoming: Incoming, scope: Values, data: Any, content_type: str | None) -> Call:
        """The request with a body that is made already."""
        branch = self.branch
        headers = render_headers(branch.headers, scope) if branch.headers else ()
        method = branch.send.method if branch.send is not None else incoming.method
        return Call(method, self._target(incoming, scope), headers, data, content_type, model=scope["model"])

    def _target(self, incoming: Incoming, scope: Values) -> str:
        dropped = self._dropped
        own, _, query = (incoming.target or "").partition("?")
        if incoming.target is None and incoming.query:
            query = raw_query(incoming.query)
        if self._path is not None:
            path = self._path
        elif self.branch.send is not None:
            path = render_path(self.branch.send.path, scope)
        else:
            path = own
        rule: list[tuple[str, str]] = []
        if self._written or self._queries:
            rule = render_query((*self._written, *self._queries), scope)
        if query and (rule or dropped):
            query = without(query, {*query_names("&".join(name for name, _ in rule)), *dropped})
        if self._platform_query:
            there = query_names(query) | {name for name, _ in (*self._written, *self._queries)}
            rule = render_query([(name, text) for name, text in self._platform_query if name not in there], scope) + rule
        return join(path, query, rule)

    def body(
        self, incoming: Incoming, body: Body, scope: Values, plan: EditPlan, used: frozenset[str]
    ) -> tuple[bytes | None, str | None]:
        """The request's body and its type."""
        if self.branch.body is not None:
            value = self._templated(body, scope, used)
            return print_form(value) if self.branch.body.form else (print_json(value), JSON)
        if body.kind is Kind.NONE:
            return body.data or None, incoming.headers.get("content-type")
        operations = self.operations(incoming, scope, body.value)
        data = body.data
        if operations:
            if body.kind is Kind.JSON:
                try:
                    data = plan.apply(data, operations)
                except BadJsonError as error:
                    raise from_bad_json(error) from None
            elif body.kind is Kind.MULTIPART:
                data = edit_multipart(body, operations)
            else:
                data = edit_urlencoded(body, operations)
        return data, incoming.headers.get("content-type") or (JSON if body.kind is Kind.JSON else None)

    # --- templates ---

    def _known(self, used: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Members of a client's body that are none of the rest, and those of the template that the rest may fill."""
        rule = self.branch.body
        if rule is None:
            return frozenset(), frozenset()
        gone = used | self._dropped | rule.drop
        known = (self.named or frozenset()) | gone
        return known | {"model"} if "model" in self.names else known, rule.template.keys - gone

    def _templated(self, body: Body, scope: Values, used: frozenset[str]) -> Any:
        rule, client = self.branch.body, body.value
        assert rule is not None  # the caller looked
        template = rule.template
        known, written = self._known(used) if used else self._expected
        rest: dict[str, Any] = {}
        # What the template writes itself need not be looked at yet, but a file may not vanish behind it.
        settled = self._settled if body.kind is _JSON and not used else known
        if self._keeps_rest and type(client) is dict and not client.keys() <= settled:
            rest = _without(client, known)
        if rest and rule.unknown is _REFUSE:
            listed = ", ".join(sorted(rest))[:300]
            raise refused(f"this route does not take: {listed}; leave it out", code="unknown_parameter", param=next(iter(rest)))
        scope[REST] = rest
        try:
            out = template.evaluate(scope)
        except (EvaluationError, TypeError) as error:
            raise refused(f"a value of the request does not fit the rule: {error}") from None
        value: Any = {} if out is ABSENT else out
        if type(value) is not dict:
            return value  # a list or a text that the rule wrote so
        if rule.unknown is _FORWARD and (rest or not written <= value.keys()):
            if not rest and type(client) is dict and self._keeps_rest:
                rest = _without(client, known)
            value = filled(value, rest, template.spreads_rest, written, client)
        if rest and not rule.form and body.kind is not _JSON:
            refuse_files(rest)
        return value

    @property
    def one_template(self) -> bool:
        """Whether it puts every JSON body into its template, and no body has a say in anything else."""
        rule = self.branch.body
        return rule is not None and not rule.form and not self.branch.comments and self.fixed_head and self.answers.idle

    def templated(self, client: dict[str, Any], scope: Values) -> bytes | None:
        """The printed template for a client's body that has no member but what the template writes; None: it has, or lacks one, or
        does not fit, and goes the long way (3 us more)."""
        rule = self.branch.body
        assert rule is not None  # the caller looked
        if not client.keys() <= self._settled:
            return None
        try:
            out = rule.template.evaluate({**scope, "body": client, REST: {}})
            return dumps(out) if type(out) is dict and self._expected[1] <= out.keys() else None
        except (EvaluationError, TypeError, BadJsonError):
            return None

    # --- edits ---

    @property
    def only_edits(self) -> bool:
        """Whether the branch fits every request, and makes of each body at least one edit and nothing else."""
        branch = self.branch
        return bool(self._always) and branch.when is None and branch.refuse is None and branch.body is None

    def same_edits(self, incoming: Incoming) -> Sequence[formats.Edit] | None:
        """The edits of each JSON body that comes with this head, where no body has a say in them or in anything else; else None."""
        alias = incoming.public_model is not None and incoming.public_model != incoming.model
        varies = alias or self._dropped or self.branch.comments or not self.fixed_head or not self.answers.idle
        return None if varies else self._always

    def operations(self, incoming: Incoming, scope: Values, value: Any) -> Sequence[formats.Edit]:
        """The edits of this request, in order; the same tuple where they are the same. The rule's come last: it has the last word
        on a member that it names, be it the model."""
        more: list[formats.Edit] = []
        if type(value) is dict:
            # An alias: the body says the client's name of the model, the platform knows it by another.
            model = scope["model"]
            if model is not None and incoming.public_model != model and value.get("model") == incoming.public_model is not None:
                more.append(formats.Set(("model",), dumps(model)))
            if self._dropped:
                more += [formats.Remove((name,)) for name in self._dropped if name in value]
        if self._always is None:
            for edit in self._edits:
                edit.add(more, scope)
            return more
        return (*more, *self._always) if more else self._always


class _Edit:
    """One change of a rule, with its value printed once where it is always the same."""

    __slots__ = ("_edit", "_fixed")

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self._fixed: formats.Edit | None = None
        if edit.kind is EditKind.RENAME:
            assert edit.to is not None  # the loader saw to it
            self._fixed = formats.Rename(edit.path, edit.to)
        elif edit.kind is EditKind.REMOVE:
            self._fixed = formats.Remove(edit.path)
        elif edit.value is not None and edit.value.constant:
            self._fixed = self._valued(dumps(edit.value.evaluate({})))

    @property
    def fixed(self) -> formats.Edit | None:
        """The change, where it is the same in every request."""
        return self._fixed if self._edit.when is None else None

    def _valued(self, value: bytes | None) -> formats.Edit:
        return (formats.Set if self._edit.kind is EditKind.SET else formats.Default)(self._edit.path, value)

    def add(self, out: list[formats.Edit], scope: Values) -> None:
        edit = self._edit
        if edit.when is not None and not is_true(evaluated(edit.when, scope)):
            return
        if self._fixed is not None:
            out.append(self._fixed)
            return
        assert edit.value is not None  # set and default have one
        try:
            value = edit.value.evaluate(scope)
        except (EvaluationError, TypeError) as error:
            raise refused(f"a value of the request does not fit the rule: {error}") from None
        if value is not ABSENT:
            out.append(self._valued(print_json(value)))


def edit_plan(branches: "list[BranchPlan]", dropped: frozenset[str]) -> EditPlan:
    """One plan for all branches of a route: every path that any of them may touch, every member that one reads."""
    known: list[formats.Edit] = [formats.Set(("model",)), *(formats.Remove((name,)) for name in dropped)]
    reads: set[tuple[str, ...]] = {("model",), ("stream",)}
    for plan in branches:
        known += [_path_of(edit) for edit in plan.branch.edits]
        reads |= {(key,) for key in plan.reads or ()}
    return EditPlan(known, reads)


def _path_of(edit: Edit) -> formats.Edit:
    return formats.Rename(edit.path, edit.to) if edit.to is not None else formats.Remove(edit.path)


def _without(client: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in client.items() if key not in known}


def filled(out: Mapping[str, Any], rest: Mapping[str, Any], spread: bool, written: frozenset[str], client: Any) -> dict[str, Any]:
    """What a template made, with the client's members that the rule does not name, and its own members where the template
    left one of that name absent. What the template wrote wins."""
    value = dict(out)
    if not spread:
        for key, member in rest.items():
            value.setdefault(key, member)
    if type(client) is dict:
        for key in written:
            if key not in value and client.get(key) is not None:
                value[key] = client[key]
    return value


def refuse_files(rest: Mapping[str, Any]) -> None:
    """A file that the rule does not name cannot go on in JSON."""
    for key, value in rest.items():
        if is_file(value):
            raise refused(f"this route does not take the file `{key[:60]}`; leave it out", code="unknown_parameter", param=key[:60])


def asynchronous(incoming: Incoming, value: Any) -> bool | None:
    """What the client says of waiting: `?async=true`, or a member `async` of its body; None: nothing."""
    asked = incoming.query.get(_ASYNC)
    if asked is not None:
        if isinstance(asked, str) and asked.lower() in ("", "true", "1", "false", "0"):
            return asked.lower() not in ("false", "0")
        raise refused("`async` may be given once, as true or false", param=_ASYNC)
    said = value.get(_ASYNC) if isinstance(value, dict) else None
    if isinstance(said, bool):
        return said
    return said == "true" if said in ("true", "false") else None
