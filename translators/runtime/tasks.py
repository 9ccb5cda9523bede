"""Tasks: what a platform's asynchronous job looks like to a client. Creation, polls, deletion, and the unified task object.

Nothing is remembered: what a later call needs is in the id (`ids`). Fetching the finished work is in `content`, waiting for it
behind a synchronous call in `waiting`.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translators.expressions.compile import EvaluationError, Expression
from translators.expressions.template import ABSENT, as_text
from translators.formats.strict_json import BadJsonError, dumps
from translators.model import Branch, ErrorRule, Hop, Platform, Poll, Protocol, Task
from translators.models import ModelTable
from translators.runtime import ids
from translators.runtime.failures import JSON, NOT_JSON, FailureRules, bad_answer, from_answer, parsed
from translators.runtime.scope import Values, answer_scope, client_scope
from translators.runtime.steps import Answer, Call, Incoming, Note, Pass, Program, Reply, RuleRefusal, StreamMap
from translators.runtime.target import join, refused, render_headers, render_path, render_query

_NUMBER = re.compile(r"\s*([0-9]{1,15})(?:\.[0-9]*)?\s*%?\s*")
_PROGRESS = {"queued": 0, "in_progress": 50, "completed": 100, "failed": 100}
# A job that has been started would be started, and paid, once more: SDKs that know this field do not repeat the call.
NO_RETRY = (("x-should-retry", "false"),)
_FIXED = ("id", "object", "status")  # members of the task object that no rule changes
_KEPT = {"seconds": 16, "size": 32}  # of the client's request, shown in every task object; most characters


class PlatformRules:
    """What tasks need of a platform, compiled once: its models, and the branches that start its tasks."""

    __slots__ = ("_models", "errors", "platform")

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._models = ModelTable.of(platform.models)
        self.errors: dict[str, ErrorRule] = {}  # of the routes that start a task, by its name
        for route in platform.routes:
            handling = route.handling
            if handling is not None and handling.task is not None and handling.errors is not None:
                self.errors.setdefault(handling.task, handling.errors)

    def branches(self, task: str) -> dict[str, tuple[Branch, str]]:
        """The branches that start a task, by place, each with the path of its route."""
        return {
            place_of(branch, route.path): (branch, route.path)
            for route in self.platform.routes
            if route.handling is not None and route.handling.task == task
            for branch in route.handling.branches
        }

    def upstream_model(self, public: str | None) -> str | None:
        """The platform's name of a model that a client named."""
        rule = self._models.match(public) if public is not None else None
        return rule.upstream if rule is not None and rule.upstream is not None else public

    def identify(self, text: str) -> tuple[ids.Identity, Task]:
        """The task that an id means; 404 when there is none of it here."""
        try:
            identity = ids.decode(text)
        except ids.BadIdError as error:
            raise unknown_task(str(error)) from None
        task = self.platform.tasks.get(identity.task)
        if identity.platform != self.platform.name or task is None or identity.kind != task.kind:
            raise unknown_task("it belongs to another platform or to a task that the rules do not have any more")
        return identity, task


def unknown_task(reason: str) -> RuleRefusal:
    return RuleRefusal(404, "task_not_found", f"there is no task with this id: {reason}; send the id that creating the task gave")


def place_of(branch: Branch, route_path: str) -> str:
    """A short name of a branch that outlives a reload of the rules: it follows from what the branch sends."""
    if branch.send is None:
        text = route_path
    else:
        parts = (part if isinstance(part, str) else "${" + part.text + "}" for part in branch.send.path.parts)
        text = f"{branch.send.method} {''.join(parts)}"
    return format(zlib.crc32(text.encode()), "08x")


@dataclass(frozen=True, slots=True)
class View:
    """A task at one moment: its unified state, the object the client sees, what an operator should hear."""

    state: str
    object: dict[str, Any]
    notes: tuple[Note, ...] = ()

    @property
    def error(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.object["error"] or {"code": "task_failed", "message": "the task failed"}
        return found

    def answer(self, status: int = 200) -> Answer:
        try:
            return Answer(status, dumps(self.object), JSON, notes=self.notes)
        except BadJsonError as error:
            raise bad_answer(f"the task object cannot be written: {error.message}") from None


class TaskRules:
    """A task of a platform, compiled once."""

    __slots__ = ("_branches", "failures", "platform", "protocol", "rules", "task")

    def __init__(self, rules: PlatformRules, task: Task, protocol: Protocol, errors: ErrorRule | None = None) -> None:
        self.rules = rules
        self.platform = rules.platform
        self.task = task
        self.protocol = protocol
        self.failures = FailureRules(errors or rules.errors.get(task.name))
        self._branches = rules.branches(task.name)

    def values(self, identity: ids.Identity) -> Values:
        """What a scope holds for a call about a task: `id`, `task`, `submitted`."""
        model = identity.public_model
        found = self._branches.get(identity.place)
        submitted: dict[str, str] = {}
        if found is not None:
            branch, path = found
            scope = {"model": self.rules.upstream_model(model)}
            try:
                submitted["path"] = path if branch.send is None else render_path(branch.send.path, scope)
            except RuleRefusal:
                submitted = {}  # the path depends on more than the model: a rule that needs it is refused there
        kept = {**identity.keep, "model": model, "created_at": identity.created_at}
        return {"id": identity.provider_id, "task": kept, "submitted": submitted}

    def scope(self, incoming: Incoming, identity: ids.Identity) -> Values:
        """The scope of a call about a task that the proxy makes: there is no body of a client."""
        model = self.rules.upstream_model(identity.public_model)
        return client_scope(incoming, None, model) | self.values(identity)

    def call(self, poll: Poll | Hop, scope: Values) -> Call:
        """The request of a poll, a deletion or a hop. None of the client's own fields go along."""
        if "submitted" in poll.send.path.names and not scope["submitted"]:
            raise unknown_task("the rules have changed since it was made, and do not tell any more where it stands")
        own = {name for name, _ in poll.send.query}
        shared = [(name, text) for name, text in self.platform.query if name not in own]
        query = render_query((*shared, *poll.send.query), scope)
        body, content_type = None, None
        if poll.body is not None:
            try:
                value = poll.body.template.evaluate(scope)
                body, content_type = dumps({} if value is ABSENT else value), JSON
            except (EvaluationError, BadJsonError, TypeError) as error:
                raise refused(f"a value of the task does not fit the rule: {error}") from None
        target = join(render_path(poll.send.path, scope), "", query)
        headers = render_headers(poll.headers, scope)
        return Call(poll.send.method, target, headers, body, content_type, forward=False, model=scope["model"])

    def view(self, identity: ids.Identity, text: str, value: Any, scope: Values, *, fresh: bool = False) -> View:
        """The task as the platform's answer shows it. `text` is its id; `fresh`: the answer is the one of its creation."""
        task = self.task
        word = from_answer(task.status, scope)
        state, notes = self._state(word, fresh=fresh)
        failed = {"code": "task_failed", "message": "the platform gave no reason"}
        if state == "failed":
            failed["code"] = _text(task.error_code, scope) or failed["code"]
            failed["message"] = _text(task.error_message, scope) or failed["message"]
        out: dict[str, Any] = {
            "id": text,
            "object": identity.kind,
            "model": identity.public_model,
            "status": state,
            "progress": self._progress(state, scope),
            "created_at": _seconds(task.created_at, scope) or identity.created_at,
            "completed_at": _seconds(task.completed_at, scope) if state in ("completed", "failed") else None,
            "expires_at": _seconds(task.expires_at, scope),
            "error": failed if state == "failed" else None,
        }
        for name in _KEPT:
            if identity.keep.get(name) is not None:
                out[name] = identity.keep[name]
        if task.object is not None:
            try:
                more = task.object.evaluate(scope)
            except (EvaluationError, TypeError) as error:
                raise bad_answer(f"the platform's answer does not fit the rule: {error}") from None
            if isinstance(more, dict):
                out |= {key: member for key, member in more.items() if key not in _FIXED}
        if state == "completed" and identity.kind == "image" and "data" not in out:
            pictures = _pictures(from_answer(task.result, scope)) if task.result is not None else []
            out |= {"data": pictures} if pictures else {}
        query = scope.get("query")
        if isinstance(query, Mapping) and query.get("detail") == "true":
            out["detail"] = None if value is NOT_JSON else value
        return View(state, out, notes)

    def known_failed(self, scope: Values) -> bool:
        """Whether the task's status says that it failed, in an answer that is a failure as such too."""
        try:
            word = self.task.status.evaluate(scope)
        except EvaluationError:
            return False
        return word is not None and self.task.states.get(as_text(word).strip().lower()) == "failed"

    def _state(self, word: Any, *, fresh: bool) -> tuple[str, tuple[Note, ...]]:
        if word is None:
            return ("queued" if fresh else "in_progress"), ()
        text = as_text(word).strip().lower()
        state = self.task.states.get(text)
        if state is None:
            # Never failed: a client would give up on a job that runs and is paid for.
            return "in_progress", (Note("unknown_task_status", text[:64]),)
        return state, ()

    def _progress(self, state: str, scope: Values) -> int:
        if state == "completed" or self.task.progress is None:
            return _PROGRESS[state]
        found = from_answer(self.task.progress, scope)
        if isinstance(found, str):
            match = _NUMBER.fullmatch(found)
            found = int(match[1]) if match else None
        if isinstance(found, bool) or not isinstance(found, int | float) or found != found:
            return _PROGRESS[state]
        return int(max(0, min(found, 99 if state != "failed" else 100)))


def _pictures(found: Any) -> list[dict[str, str]]:
    """Finished pictures as a synchronous call answers them."""
    texts = [text for text in (found if isinstance(found, list) else [found]) if isinstance(text, str) and text]
    inline = [text.partition(",")[2] if text[:5].lower() == "data:" else text for text in texts]
    return [{"url": text} if text[:4].lower() == "http" else {"b64_json": data} for text, data in zip(texts, inline, strict=True)]


def _text(expression: Expression | None, scope: Values) -> str | None:
    value = from_answer(expression, scope) if expression is not None else None
    return as_text(value) if value is not None else None


def _seconds(expression: Expression | None, scope: Values) -> int | None:
    value = from_answer(expression, scope) if expression is not None else None
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1 << 40:
        return None
    return int(value)


# --- creation ---


@dataclass(frozen=True, slots=True)
class Started:
    """A task that the platform has taken: its id, and how it looked then."""

    identity: ids.Identity
    text: str
    view: View
    value: Any
    scope: Values


def _untold(message: str) -> RuleRefusal:
    refusal = bad_answer(message)
    refusal.fields = NO_RETRY
    return refusal


class Creation:
    """The conversion of the answer to a call that starts a task."""

    __slots__ = ("_client", "_incoming", "_place", "_rules")

    def __init__(self, rules: TaskRules, client: Values, incoming: Incoming, place: str) -> None:
        self._rules = rules
        self._client = client
        self._incoming = incoming
        self._place = place

    def stream(self, status: int, headers: Mapping[str, str]) -> StreamMap | None:  # noqa: ARG002 - Conversion's form
        return None

    def whole(self, reply: Reply) -> Answer:
        started = self.started(reply)
        return started if isinstance(started, Answer) else started.view.answer()

    def started(self, reply: Reply) -> Started | Answer:
        """The task, or the answer that says why there is none. Raises RuleRefusal (502) where the platform told no id."""
        rules, task = self._rules, self._rules.task
        value = parsed(reply)
        scope = answer_scope(self._client, None if value is NOT_JSON else value, reply.status, reply.headers)
        failure = rules.failures.found(reply, value, scope)
        if failure is not None:
            return failure.answer(rules.protocol)
        provider_id = from_answer(task.id, scope)
        if provider_id is None or provider_id == "" or isinstance(provider_id, bool | list | dict):
            begins = reply.body[:400].decode("utf-8", "replace")[:200]
            raise _untold(f"the platform took the task and told no id where the rule looks for it; its answer begins: {begins}")
        created_at = _seconds(task.created_at, scope) or int(self._incoming.now())
        identity = ids.Identity(
            kind=task.kind,
            platform=rules.platform.name,
            task=task.name,
            place=self._place,
            provider_id=as_text(provider_id),
            public_model=self._incoming.public_model or scope["model"],
            created_at=created_at,
            keep=self._keep(scope),
        )
        try:
            text = ids.encode(identity)
        except ids.BadIdError as error:
            raise _untold(str(error)) from None
        scope |= rules.values(identity)
        return Started(identity, text, rules.view(identity, text, value, scope, fresh=True), value, scope)

    def _keep(self, scope: Values) -> dict[str, Any]:
        request = scope["request"]
        kept: dict[str, Any] = {}
        for name, most in _KEPT.items():
            given = request.get(name) if isinstance(request, Mapping) else None
            if isinstance(given, str | int | float) and not isinstance(given, bool) and len(as_text(given)) <= most:
                kept[name] = as_text(given)
        for name, expression in self._rules.task.keep:
            value = from_answer(expression, scope)
            if value is not None:
                kept[name] = value
        return kept


# --- later calls ---


class _Later:
    """What the conversions of later calls about one task know."""

    __slots__ = ("_identity", "_rules", "_scope", "_text")

    def __init__(self, rules: TaskRules, scope: Values, identity: ids.Identity, text: str) -> None:
        self._rules = rules
        self._scope = scope
        self._identity = identity
        self._text = text

    def stream(self, status: int, headers: Mapping[str, str]) -> StreamMap | None:  # noqa: ARG002 - Conversion's form
        return None


class _Looked(_Later):
    """The conversion of the answer to a poll."""

    __slots__ = ()

    def whole(self, reply: Reply) -> Answer:
        seen = looked(self._rules, reply, self._scope, self._identity, self._text)
        return seen if isinstance(seen, Answer) else seen[0].answer()


def looked(
    rules: TaskRules, reply: Reply, client: Values, identity: ids.Identity, text: str
) -> "tuple[View, Any, Values] | Answer":
    """A task as the answer to a poll shows it, with the parsed answer and its scope; an Answer when the poll itself failed.

    A poll that fails is an error of that call and says nothing of the task, unless the task's own status says `failed`.
    """
    value = parsed(reply)
    scope = answer_scope(client, None if value is NOT_JSON else value, reply.status, reply.headers)
    failure = rules.failures.found(reply, value, scope)
    if failure is not None and not rules.known_failed(scope):
        return failure.answer(rules.protocol)
    if failure is None and value is NOT_JSON:
        raise bad_answer("the platform's answer to the poll is no valid JSON; the task may go on, ask again")
    return rules.view(identity, text, value, scope), value, scope


class _Gone(_Later):
    """The conversion of the answer to a deletion."""

    __slots__ = ()

    def whole(self, reply: Reply) -> Answer:
        value = parsed(reply)
        scope = answer_scope(self._scope, None if value is NOT_JSON else value, reply.status, reply.headers)
        failure = self._rules.failures.found(reply, value, scope)
        if failure is not None:
            return failure.answer(self._rules.protocol)
        return Answer(200, dumps({"id": self._text, "object": f"{self._identity.kind}.deleted", "deleted": True}), JSON)


def poll(rules: TaskRules, incoming: Incoming, identity: ids.Identity, text: str) -> Pass:
    """`GET {collection}/{task_id}`: one call."""
    scope = rules.scope(incoming, identity)
    return Pass(rules.call(rules.task.poll, scope), _Looked(rules, scope, identity, text))


def delete(rules: TaskRules, incoming: Incoming, identity: ids.Identity, text: str) -> Pass:
    """`DELETE {collection}/{task_id}`: the platform's deletion, or its cancelling where it has no other."""
    how = rules.task.delete or rules.task.cancel
    if how is None:
        raise RuleRefusal(405, "not_deletable", f"{rules.task.kind} tasks of this platform cannot be deleted")
    scope = rules.scope(incoming, identity)
    return Pass(rules.call(how, scope), _Gone(rules, scope, identity, text))


def cancel(rules: TaskRules, incoming: Incoming, text: str) -> Program:
    """Ends a task whose client has gone, where the platform can (`on_client_abort: cancel`); its answer is of no interest."""
    identity, _ = rules.rules.identify(text)
    how = rules.task.cancel or rules.task.delete
    if how is not None:
        yield rules.call(how, rules.scope(incoming, identity))
    return Answer(204, b"", None, local=True)
