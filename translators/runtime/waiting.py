"""The bridge that waits: a task behind a synchronous call, from its creation to the answer that the client expects.

The client gets the finished work, the task's error, or after the rule's time a 504 with the task's id, so that it can go on asking.
"""

import base64
from collections.abc import Generator, Mapping
from typing import Any

from translators.model import Usage
from translators.runtime.answer import ResponseRules
from translators.runtime.bodies import print_json
from translators.runtime.content import deliver, octets, source, sources
from translators.runtime.failures import JSON, Failure, bad_answer, from_answer
from translators.runtime.scope import Values
from translators.runtime.steps import Answer, Call, Download, Fetch, Fetched, Incoming, Note, Pause, Program, Reply, Result, Step
from translators.runtime.tasks import NO_RETRY, Creation, Started, TaskRules, View, looked

_PATIENCE = 3  # polls in a row that may fail with a status that passes
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


def wait(rules: TaskRules, creation: Creation, call: Call, incoming: Incoming, usage: Usage | None) -> Program:
    """Creates the task, polls it to its end, and gives what a waiting client gets."""
    reply = yield call
    assert isinstance(reply, Reply)  # what a Call is answered with
    started = creation.started(reply)
    if isinstance(started, Answer):
        return started
    view, value, scope = started.view, started.value, started.scope
    notes: dict[Note, None] = dict.fromkeys(view.notes)
    client = {**scope, "body": None, "header": incoming.headers}
    spent, begun, failures = 0.0, incoming.now(), 0
    plan = rules.task.wait
    if view.state == "completed" and rules.task.result is not None and not from_answer(rules.task.result, scope):
        view = View("in_progress", view.object)  # finished, and its result is told by a poll only
    while view.state not in ("completed", "failed"):
        if max(spent, incoming.now() - begun) >= plan.timeout:
            return _timed_out(rules, started, tuple(notes))
        pause = plan.every if spent else plan.first
        yield Pause(pause, started.text)
        spent += max(pause, 0.05)
        reply = yield rules.call(rules.task.poll, client)
        assert isinstance(reply, Reply)  # what a Call is answered with
        seen = looked(rules, reply, client, started.identity, started.text)
        if isinstance(seen, Answer):
            failures += 1
            if seen.status in _PASSING and failures <= _PATIENCE:
                continue
            return Answer(seen.status, seen.body, seen.content_type, NO_RETRY, notes=tuple(notes))
        failures = 0
        view, value, scope = seen
        notes |= dict.fromkeys(view.notes)
    if view.state == "failed":
        error = view.error
        failure = Failure(rules.failures.status_of(error["code"]) or 400, error["code"], error["message"])
        return _kept(failure.answer(rules.protocol, {"task_id": started.text}), tuple(notes))
    scope = {**scope, "request": started.scope["request"]}
    return (yield from finished(rules, incoming, started, value, scope, reply, view, usage, tuple(notes)))


def _kept(answer: Answer, notes: tuple[Note, ...]) -> Answer:
    return Answer(answer.status, answer.body, answer.content_type, NO_RETRY, local=answer.local, notes=notes)


def _timed_out(rules: TaskRules, started: Started, notes: tuple[Note, ...]) -> Answer:
    kind = rules.task.kind
    where = f"{rules.task.collection}/{started.text}"
    message = f"the {kind} was not ready in {rules.task.wait.timeout:g} seconds; the task goes on, ask for it at {where}"
    answer = Failure(504, "timeout", message).answer(rules.protocol, {"task_id": started.text})
    return Answer(504, answer.body, JSON, NO_RETRY, local=True, notes=notes)


def finished(
    rules: TaskRules,
    incoming: Incoming,
    started: Started,
    value: Any,
    scope: Values,
    reply: Reply,
    view: View,
    usage: Usage | None,
    notes: tuple[Note, ...],
) -> Generator[Step, Any, Result]:
    """What a waiting client gets: by the task's `answer`, else by its kind."""
    task = rules.task
    if task.answer is not None:
        said = ResponseRules(task.answer, rules.failures.rule, usage)
        if task.answer.url is None:
            answer = said.answer(reply, value, scope)
            return Answer(answer.status, answer.body, answer.content_type, answer.headers, notes=notes)
        text = from_answer(task.answer.url, scope)
        return from_url(rules, text, scope, said.content_type(scope) or task.content_type, notes)
    accepted = incoming.headers.get("accept", "").lower()
    if task.kind == "image":
        return (yield from _images(rules, scope, view, notes))
    if task.kind == "audio" or f"{'audio' if task.kind == 'music' else task.kind}/" in accepted:
        return (yield from deliver(rules, incoming, started.identity, started.text, scope, (None, 0), 0, notes))
    return Answer(200, print_json(view.object), JSON, notes=notes)


def from_url(rules: TaskRules, text: Any, scope: Mapping[str, Any], content_type: str | None, notes: tuple[Note, ...]) -> Result:
    """The bytes behind a text of the platform's answer."""
    chosen = text[0] if isinstance(text, list) and text else text
    if not isinstance(chosen, str) or not chosen:
        raise bad_answer("the platform's answer holds no URL where the rule expects one")
    upstream = rules.platform.upstream if rules.task.download_auth else None
    given = source(chosen, upstream, scope["model"], content_type)
    if isinstance(given, Answer):
        return Answer(given.status, given.body, given.content_type, notes=notes)
    return Download(given, content_type=content_type, notes=notes)


def _images(rules: TaskRules, scope: Values, view: View, notes: tuple[Note, ...]) -> Generator[Step, Any, Result]:
    """`{created, data: [{url}]}`, or `b64_json` where the client asked for it, or where there is no URL."""
    found = yield from sources(rules, scope, None)
    if isinstance(found, Answer):
        return found
    texts, alternatives = found
    request = scope["request"]
    inline = isinstance(request, Mapping) and request.get("response_format") == "b64_json"
    data: list[dict[str, str]] = []
    for text in texts[:1] if alternatives else texts:
        if not text.lower().startswith(("http://", "https://")):
            data.append({"b64_json": base64.b64encode(octets(text)[0]).decode()})
        elif inline:
            fetched = yield Fetch(text)
            assert isinstance(fetched, Fetched)  # what a Fetch is answered with
            data.append({"b64_json": base64.b64encode(fetched.data).decode()})
        else:
            data.append({"url": text})
    return Answer(200, print_json({"created": view.object["created_at"], "data": data}), JSON, notes=notes)
