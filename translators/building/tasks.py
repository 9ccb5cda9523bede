"""Tasks: their fields to the model, and the routes that every task brings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from translators.building import messages, scopes
from translators.building.scopes import Scope
from translators.building.texts import NOTHING, Compiler
from translators.expressions.compile import Expression
from translators.model import ErrorRule, Handling, Poll, Send, Task, Text, Wait
from translators.paths import PathPattern, parse_pattern
from translators.place import Where
from translators.problems import quote
from translators.schema import Fields, Word
from translators.words import message as message_words
from translators.words import task as words
from translators.words.task import COLLECTIONS, WAITING_KINDS, TaskKind
from translators.yamlfile import Scalar

TASK_ID = "task_id"  # the variable of a path that holds the id of a task


def build_tasks(written: tuple[tuple[Scalar, str, Fields], ...], compiler: Compiler) -> dict[str, Task]:
    return {name: _task(name, key.where, fields, compiler) for key, name, fields in written}


def kept_members(fields: Fields | None) -> frozenset[str]:
    """What `task.NAME` can be."""
    kept = fields.get(words.KEEP) if fields else None
    return frozenset((*scopes.TASK_MEMBERS, *(name for _, name, _ in kept or ())))


def _task(name: str, where: Where, fields: Fields, compiler: Compiler) -> Task:
    kind = _kind(name, where, fields, compiler)
    places = _Places(kept_members(fields))
    waits = fields.get(words.WAITS)
    task = Task(
        name=name,
        kind=kind.value,
        collection=fields.get(words.COLLECTION) or COLLECTIONS[kind],
        id=compiler.expression(fields.get(words.ID), scopes.CREATED) or NOTHING,
        poll=messages.poll(fields.get(words.POLL), compiler, places.call) or Poll(Send("GET", Text(()), (), where), where),
        status=compiler.expression(fields.get(words.STATUS), places.answer) or NOTHING,
        states={word: state.value for _, word, state in fields.get(words.STATES) or ()},
        where=where,
        waits=kind in WAITING_KINDS if waits is None else waits,
        keep=_named(fields, words.KEEP, compiler, scopes.CREATED),
        wait=_wait(fields.get(words.WAIT_WORD)),
    )
    _check_states(task, fields, compiler)
    return _with_calls(_with_object(task, fields, compiler, places), fields, compiler, places)


class _Places:
    """The scopes of one task, with what it keeps."""

    __slots__ = ("answer", "call", "waited")

    def __init__(self, members: frozenset[str]) -> None:
        self.call = scopes.TASK_CALL.knowing("task", members)
        self.answer = scopes.TASK_ANSWER.knowing("task", members)
        self.waited = scopes.WAITED.knowing("task", members)


def _kind(name: str, where: Where, fields: Fields, compiler: Compiler) -> TaskKind:
    kind = fields.get(words.KIND)
    if kind is None and name in list(TaskKind):
        return TaskKind(name)
    if words.KIND not in fields:
        hint = "Say `kind: video`, `image`, `music` or `audio`, or name the task so."
        compiler.problems.add(f"the kind of the task {quote(name)} is not said", where, hint)
    return kind or TaskKind.VIDEO


def _named(
    fields: Fields, word: Word[tuple[tuple[Scalar, str, Scalar], ...]], compiler: Compiler, scope: Scope
) -> tuple[tuple[str, Expression], ...]:
    return tuple((name, found) for _, name, node in fields.get(word) or () if (found := compiler.expression(node, scope)))


def _with_object(task: Task, fields: Fields, compiler: Compiler, places: _Places) -> Task:
    """What the task object shows."""
    read, answer = compiler.expression, places.answer
    error = fields.get(words.ERROR)
    template = fields.get(words.OBJECT)
    return replace(
        task,
        progress=compiler.value(fields.get(words.PROGRESS), answer),
        created_at=read(fields.get(words.CREATED_AT), answer),
        completed_at=read(fields.get(words.COMPLETED_AT), answer),
        expires_at=read(fields.get(words.EXPIRES_AT), answer),
        error_code=compiler.value(error.get(message_words.ERROR_CODE), answer) if error else None,
        error_message=compiler.value(error.get(message_words.ERROR_MESSAGE), answer) if error else None,
        object=compiler.template(template, answer) if template is not None else None,
        answer=messages.response(fields.get(words.ANSWER), compiler, places.waited),
    )


def _with_calls(task: Task, fields: Fields, compiler: Compiler, places: _Places) -> Task:
    """Where the finished work is, and what else can be asked of the platform."""
    hops = [messages.hop(hop, compiler, places.answer) for hop in fields.get(words.DOWNLOAD) or ()]
    return replace(
        task,
        result=compiler.expression(fields.get(words.RESULT), places.answer),
        thumbnail=compiler.expression(fields.get(words.THUMBNAIL), places.answer),
        variants=dict(_named(fields, words.VARIANTS, compiler, places.answer)),
        download=tuple(hop for hop in hops if hop is not None),
        download_auth=fields.get(words.DOWNLOAD_AUTH) or False,
        content_type=fields.get(words.TYPE),
        cancel=messages.poll(fields.get(words.CANCEL), compiler, places.call),
        delete=messages.poll(fields.get(words.DELETE), compiler, places.call),
    )


def _check_states(task: Task, fields: Fields, compiler: Compiler) -> None:
    states = fields.get(words.STATES)
    if states is not None and "completed" not in task.states.values():
        compiler.problems.add("no word means `completed`: this task would never end", fields.where(words.STATES), "Add the word.")
    seen: dict[str, str] = {}
    for key, word, _ in states or ():
        if word in seen:
            message = f"the word {quote(key.text)} stands twice: {quote(seen[word])} is the same, whatever the case"
            compiler.problems.add(message, key.where, "Keep one of the two.")
        seen[word] = key.text


def _wait(fields: Fields | None) -> Wait:
    default = Wait()
    if fields is None:
        return default
    first = fields.get(words.WAIT_FIRST)
    return Wait(
        default.first if first is None else first,
        fields.get(words.WAIT_EVERY) or default.every,
        fields.get(words.WAIT_TIMEOUT) or default.timeout,
    )


@dataclass(frozen=True, slots=True)
class TaskRoute:
    """A route that a task brings, before its protocol is known."""

    method: str
    pattern: PathPattern
    where: Where
    handling: Handling

    @property
    def text(self) -> str:
        return f"{self.method} {self.pattern.text}"


def task_routes(tasks: Mapping[str, Task], deferred: Mapping[TaskKind, Where], errors: ErrorRule | None) -> list[TaskRoute]:
    """Polls, contents and deletions of all tasks; tasks of one collection share them, because the id tells the task.

    `deferred` are the kinds of synchronous routes with `async`, whose task objects are asked for in the same way; their polls
    belong to no task of the file (`of` is empty).
    """
    found: dict[str, list[Task]] = {}
    for task in tasks.values():
        found.setdefault(task.collection, []).append(task)
    routes = []
    for collection, group in found.items():
        removable = any(task.cancel or task.delete for task in group)
        routes += _collection(collection, group[0].name, group[0].where, errors, removable=removable)
    for kind, where in deferred.items():
        if COLLECTIONS[kind] not in found:
            routes += _collection(COLLECTIONS[kind], "", where, errors, removable=False)
    return routes


def _collection(collection: str, name: str, where: Where, errors: ErrorRule | None, *, removable: bool) -> list[TaskRoute]:
    actions = [("GET", "", "poll"), *((method, "/content", "content") for method in ("GET", "HEAD"))]
    if removable:
        actions.append(("DELETE", "", "delete"))
    return [
        TaskRoute(
            method,
            parse_pattern(f"{collection}/{{{TASK_ID}}}{suffix}"),
            where,
            Handling((), errors=errors, of=name, action=action),
        )
        for method, suffix, action in actions
    ]
