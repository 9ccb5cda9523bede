"""What the examples of a rule file know: every upstream call that stands in them, and which part it plays.

A call starts a task, polls one, or is neither; its answer is a failure or is not. All of this follows from the rule file: from the
route of the example's client and from the rule's own expressions, evaluated on the example's answer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote

from proxy.sandbox.asked import Asked, Leaf, leaves, plain_path
from translators.examples import ANY
from translators.expressions.compile import EvaluationError, Expression, is_true
from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.model import ErrorRule, Example, Handling, Message, Platform, Route, Send, Task, Text
from translators.paths import PathTable

_ID = re.compile(r"\$\{\s*id\s*\}")
_TELLING = 4  # characters of a segment that is looked for inside texts
_MADE_UP = "test-"  # the secrets of examples begin so; a credential says nothing about the answer
_ANY_SEGMENT, _ANY_PATH = "([^/]+)", "/.+"


class Part(Enum):
    """Which part a call plays in a task."""

    CREATE = "create"
    POLL = "poll"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Known:
    """One upstream call of an example. `status` is what the client got, or would have got, where the answer is a failure."""

    example: Example
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any
    answer: Message | None
    part: Part
    task: Task | None
    shape: re.Pattern[str]
    failure: int | None = None
    task_id: str | None = None  # of a create's answer
    state: str | None = None  # of a task, unified, in this answer
    said: frozenset[Leaf] = frozenset()  # what the request says, see `said_by`
    headers: Mapping[str, str] = field(default_factory=dict)  # of the request, those that the example names; lower case


def said_by(query: Iterable[tuple[str, str]], body: Any) -> frozenset[Leaf]:
    """The parameters of a query and the scalars of a body, as what requests are compared by; without the `any` of examples."""
    found = [*((f"?{name}", value) for name, value in query), *leaves(body)]
    return frozenset(leaf for leaf in found if leaf[1] != ANY)


def known_calls(platform: Platform) -> tuple[Known, ...]:
    """The upstream calls of all examples, in the file's order."""
    return tuple(_calls(platform))


def _calls(platform: Platform) -> Iterator[Known]:
    routes = PathTable.build((route.method, route.path, route) for route in platform.routes)
    shapes = list(_shapes(platform))
    starting: dict[str, Task | None] = {}  # the task that an example starts, by its title
    for example in platform.examples:
        client = example.client
        if client.method is None or client.target is None:
            continue
        inside = _ID.sub("id", client.target).partition("?")[0].removeprefix(f"/{platform.name}")
        found = routes.match(client.method, inside)
        handling = found[0].handling if found is not None else None
        task = _task(platform, handling)
        if handling is not None and handling.of is not None:  # several tasks may share one collection
            task = starting.get(example.after or "") or task
        starting[example.title] = task
        for place, (upstream, answer) in enumerate(example.calls):
            message = client if upstream.same or upstream.target is None else upstream
            path, _, query = (message.target or "").partition("?")
            prefix = f"/{platform.name}" if message is client else platform.upstream.base
            path = plain_path(path).removeprefix(prefix)
            method = message.method or client.method
            parameters, body = tuple(parse_qsl(query, keep_blank_values=True)), _body(message)
            yield _known(
                platform,
                example,
                Known(
                    example=example,
                    method=method,
                    path=path or "/",
                    query=parameters,
                    body=body,
                    said=said_by(parameters, body),
                    answer=answer,
                    part=Part.NONE,
                    task=task,
                    shape=_shape_of(shapes, method, path or "/"),
                    headers={name.lower(): value for name, value in upstream.headers if _MADE_UP not in value},
                ),
                handling,
                place,
            )


def _task(platform: Platform, handling: Handling | None) -> Task | None:
    name = handling.task or handling.of if handling is not None else None
    return platform.tasks.get(name) if name is not None else None


def _known(platform: Platform, example: Example, call: Known, handling: Handling | None, place: int) -> Known:
    """The call with its part in a task, and what its answer says."""
    last = place == len(example.calls) - 1
    answer = call.answer
    body = body_of(answer)
    rule = handling.errors if handling is not None and handling.errors is not None else platform.errors
    failure = _failure(rule, example, answer, body, last=last)
    task, task_id, state, part = call.task, None, None, Part.NONE
    if task is not None and handling is not None:
        scope = scope_of(answer, body)
        state = state_of(task, scope) if answer is not None else None
        if handling.task is not None and place == 0:
            part = Part.CREATE
            task_id = text_from(task.id, scope) if failure is None else None
        elif handling.task is not None or (handling.action in ("poll", "content") and place == 0):
            part = Part.POLL if state is not None or place == 0 else Part.NONE
    if part is Part.POLL and state is not None:
        failure = None if failure is None or state == "failed" else failure
    return replace(call, part=part, failure=failure, task_id=task_id, state=state)


def _failure(rule: ErrorRule | None, example: Example, answer: Message | None, body: Any, *, last: bool) -> int | None:
    """The status under which a failure is known, None where the answer is none."""
    if answer is None:
        return None
    own = answer.status or 200
    failed = own >= 400 or (rule is not None and rule.when is not None and is_true(value_from(rule.when, scope_of(answer, body))))
    if not failed:
        return None
    result = example.result
    return result.status if last and result is not None and not result.same and (result.status or 0) >= 400 else own


# --- what an answer repeats of its request ---


def echoes(call: Known, asked: Asked) -> tuple[dict[str, str], dict[tuple[str, object], object]]:
    """What differs between the request of an example and another one: segments of the path, and members of the body by name and
    value. Where the example's answer repeats the one, an answer to the other repeats that."""
    mine, theirs = (call.shape.fullmatch(path) for path in (call.path, asked.path))
    segments = zip(mine.groups(), theirs.groups(), strict=True) if mine and theirs else ()
    told = {path: value for path, value in leaves(asked.body) if "[]" not in path}
    members = {
        (path.rpartition(".")[2], value): told[path]
        for path, value in leaves(call.body)
        if path in told and type(told[path]) is type(value) and not isinstance(value, bool) and value not in (None, "", ANY)
    }
    return {unquote(old): unquote(new) for old, new in segments if old != new and len(old) >= _TELLING}, members


# --- the shapes of upstream paths ---


def _shapes(platform: Platform) -> Iterator[tuple[str, re.Pattern[str], int]]:
    """What the rule file can send: method, pattern of the path, and how many of its characters are fixed."""
    for route in platform.routes:
        yield from _route_shapes(route)
    for task in platform.tasks.values():
        calls = [task.poll.send, *(hop.send for hop in task.download), *(one.send for one in (task.cancel, task.delete) if one)]
        for send in calls:
            yield send.method, *_pattern(send.path)


def _route_shapes(route: Route) -> Iterator[tuple[str, re.Pattern[str], int]]:
    handling = route.handling
    sends = [branch.send for branch in handling.branches] if handling is not None else [None]
    for send in sends:
        if send is not None:
            yield send.method, *_pattern(send.path)
        else:
            literals = re.split(r"\{[^{}]*\}", route.path)
            yield route.method, re.compile(_ANY_SEGMENT.join(map(re.escape, literals))), sum(map(len, literals))


def _pattern(path: Text, names: Mapping[str, str] = {}) -> tuple[re.Pattern[str], int]:
    """The pattern of a path; `names` says what some expressions stand for, the others stand for one segment."""
    known = {"submitted.path": _ANY_PATH, **names}
    parts = [
        re.escape(unquote(part)) if isinstance(part, str) else known.get(part.text.strip(), _ANY_SEGMENT) for part in path.parts
    ]
    return re.compile("".join(parts)), sum(len(part) for part in path.parts if isinstance(part, str))


def is_about(send: Send, method: str, path: str, query: Iterable[tuple[str, str]], *, task_id: str, submitted: str) -> bool:
    """Whether a request is this call about one task."""
    pattern, _ = _pattern(send.path, {"id": re.escape(task_id), "submitted.path": re.escape(submitted)})
    given = dict(query)
    fixed = {name: value.parts[0] for name, value in send.query if len(value.parts) == 1 and isinstance(value.parts[0], str)}
    return send.method == method and pattern.fullmatch(path) is not None and fixed.items() <= given.items()


def _shape_of(shapes: Iterable[tuple[str, re.Pattern[str], int]], method: str, path: str) -> re.Pattern[str]:
    """The most particular of the patterns that a path of an example fits; the path itself, where none does."""
    fitting = [(fixed, pattern) for other, pattern, fixed in shapes if other == method and pattern.fullmatch(path)]
    if not fitting:
        return re.compile(re.escape(path))
    return max(fitting, key=lambda one: one[0])[1]


# --- what an answer says ---


def _body(message: Message) -> Any:
    if message.form is not None:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in message.form}
    return body_of(message)


def body_of(message: Message | None) -> Any:
    """The JSON of a message, or None."""
    if message is None:
        return None
    if message.has_json:
        return message.json
    try:
        return loads(message.text.encode()) if message.text and not message.sse else None
    except BadJsonError:
        return None


def scope_of(answer: Message | None, body: Any) -> dict[str, Any]:
    """What an expression over an answer may name; what belongs to a client's request is not known here."""
    headers = {name.lower(): value for name, value in answer.headers} if answer is not None else {}
    status = (answer.status if answer is not None else None) or 200
    empty: dict[str, Any] = {}
    return {
        **dict.fromkeys(("model", "id", "refs", "mask", "request"), None),
        **dict.fromkeys(("task", "submitted", "path", "query"), empty),
        "body": body,
        "status": status,
        "header": headers,
        "now": lambda: 0,
        "uuid": lambda: "",
    }


def value_from(expression: Expression, scope: Mapping[str, Any]) -> Any:
    """The value of an expression; None where the answer does not fit it."""
    try:
        return expression.evaluate(scope)
    except (EvaluationError, TypeError, KeyError):
        return None


def text_from(expression: Expression | None, scope: Mapping[str, Any]) -> str | None:
    value = value_from(expression, scope) if expression is not None else None
    if value in (None, "") or isinstance(value, bool | list | dict):
        return None
    return value if isinstance(value, str) else dumps(value).decode()


def state_of(task: Task, scope: Mapping[str, Any]) -> str | None:
    """The unified state that an answer tells; None where it tells none, or a word that the rule does not know."""
    word = text_from(task.status, scope)
    return task.states.get(word.strip().lower()) if word is not None else None
