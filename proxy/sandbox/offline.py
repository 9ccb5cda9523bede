"""The offline side of one platform: a request in, what the platform's examples answer to it out.

Pure but for its memory of tasks and the clock it is given. Sockets, pauses and faults of the connection are the server's.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from proxy.sandbox import matching, media, routes
from proxy.sandbox.alive import Reviver, with_progress, with_text
from proxy.sandbox.asked import Asked, leaves
from proxy.sandbox.dialect import Dialect, error_body
from proxy.sandbox.jobs import Job, Jobs, wants_failure
from proxy.sandbox.known import Known, Part, body_of, echoes, is_about, known_calls, said_by, scope_of, state_of, value_from
from proxy.sandbox.media import Kind
from proxy.sandbox.pictures import AUTO, size_of
from proxy.sandbox.reading import mapping
from proxy.sandbox.replies import RefusalError
from translators.examples import content_of, told_length, with_length
from translators.formats.strict_json import dumps
from translators.model import Message, Platform, Protocol, Task

RETRY_AFTER = "1"  # seconds
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_JSON = "application/json"
_SIZE = re.compile(r"\.(?:size|ratio|aspect_?ratio)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: `steps` are its events, or its whole body as one."""

    status: int
    headers: Mapping[str, str]
    steps: tuple[bytes, ...]
    streamed: bool = False


@dataclass(slots=True)
class Times:
    """`clock` gives Unix seconds; a task takes `task` seconds. Shared by all platforms; may be changed at any time."""

    clock: Callable[[], float]
    task: float


class Offline:
    """One platform. `base` is its address in the sandbox, without a slash at its end."""

    def __init__(self, platform: Platform, base: str, times: Times, source: random.Random, jobs: Jobs | None = None) -> None:
        self.platform = platform
        self.jobs = jobs or Jobs(source)
        self._base = base
        self._times = times
        self._calls = known_calls(platform)
        self._ids = tuple({call.task_id: None for call in self._calls if call.task_id})
        self._kinds = dict(_fetched(platform))
        self.jobs.keep(platform.tasks)

    def converses(self, method: str, path: str) -> bool:
        """Whether it is a conversation, of a platform that has some: no example can say the answer to all that may be asked."""
        return routes.converses(method, path) and (
            not self._calls or any(routes.converses(call.method, call.path) for call in self._calls)
        )

    def answer(self, asked: Asked) -> Said:
        """What the platform would say."""
        job = self._job_of(asked)
        if job is not None:
            plain = asked.renamed(job.id, job.example_id)
            if self._is_about(job, asked, polls=True):
                return self._polled(job, plain)
            if self._is_about(job, asked, polls=False):
                job.cancelled = True
            asked = plain
        fitting = matching.on_path(self._calls, asked)
        found = matching.best(fitting, asked)
        if found is None:
            gone = next((call for call in fitting if call.failure in _GONE and call.answer is not None), None)
            if gone is not None and gone.answer is not None:
                return self._said(gone.answer, self._reviver(asked, job, gone))
            if fitting:
                return self._unmatched(501, asked, "its examples of this path are failures that say something else")
            return self._unmatched(404, asked, "no example has this method and path")
        if found.part is Part.POLL:  # of no task that is alive: those have been answered above
            alike = found.path.rpartition("/")[0] == asked.path.rpartition("/")[0]
            reason = (
                "it looks like a poll, and no task of this id was created here" if alike else "no example has this method and path"
            )
            return self._unmatched(404, asked, reason, found if alike else None)
        source = found if found.answer is not None else matching.answered_like(self._calls, found, asked)
        if source is None or source.answer is None:
            return self._unmatched(501, asked, "its example has no `answer`", found)
        if source.part is Part.CREATE and source.task is not None and source.task_id is not None:
            return self._created(asked, source, source.task, source.task_id)
        return self._said(source.answer, self._reviver(asked, job, source), asked.body)

    def pictured(self, asked: Asked) -> Said | None:
        """The answer to a conversation whose words ask for media, as those of an example do; None for all others."""
        found = matching.pictured(matching.on_path(self._calls, asked), asked)
        return self._said(found.answer, self._reviver(asked, None, found)) if found is not None and found.answer else None

    def told(self, asked: Asked) -> Said | None:
        """The answer of an example of success that says exactly what the request says; None when there is none."""
        said = said_by(asked.query, asked.body)
        calls = [
            call for call in matching.on_path(self._calls, asked) if call.said == said and call.failure is None and call.answer
        ]
        return self._said(calls[0].answer, self._reviver(asked, None, calls[0])) if calls and calls[0].answer else None

    def fault(self, status: int, asked: Asked) -> Said | None:
        """An example of a failure that the client hears of with this status: of this path, else of any; or None. Conversations fail
        in the words of their protocol, but for platforms whose rules say that their failures are others."""
        talks = self.converses(asked.method, asked.path)
        if talks and self.platform.errors is None:
            return None
        failing = [call for call in self._calls if call.failure == status and call.answer is not None]
        chosen = next(iter(matching.on_path(failing, asked) or ([] if talks else failing)), None)
        if chosen is None or chosen.answer is None:
            return None
        said = self._said(chosen.answer, self._reviver(asked, None, chosen))
        return replace(said, headers={"Retry-After": RETRY_AFTER, **said.headers}) if status == 429 else said

    # -- tasks

    def _job_of(self, asked: Asked) -> Job | None:
        """The live task that a request is about; an id that stands in the examples is that of a task that has ended."""
        texts = tuple(asked.texts())
        job = self.jobs.named(texts)
        if job is not None:
            return job
        example_id = next((one for one in self._ids if one in texts), None)
        source = next((call for call in self._calls if call.task_id == example_id and example_id), None)
        if source is None or source.task is None or example_id is None:
            return None
        created = (call.path for call in self._calls if call.task_id == example_id)
        path = next((path for path in created if asked.path.startswith(path)), source.path)
        return Job(example_id, example_id, source.task, path, source, 0.0, 0.0, fails=False, asked=asked)

    def _is_about(self, job: Job, asked: Asked, *, polls: bool) -> bool:
        """Whether a request is the poll of a task, or what ends it early."""
        task = job.task
        calls = [task.poll] if polls else [call for call in (task.cancel, task.delete) if call is not None]
        return any(is_about(call.send, asked.method, asked.path, asked.query, task_id=job.id, submitted=job.path) for call in calls)

    def _created(self, asked: Asked, source: Known, task: Task, example_id: str) -> Said:
        assert source.answer is not None  # the caller looked
        fails = wants_failure(asked) and any(call.task is task and call.state == "failed" for call in self._calls)
        now = self._times.clock()
        job = Job(
            self.jobs.fresh_id(example_id), example_id, task, asked.path, source, now, self._times.task, fails=fails, asked=asked
        )
        self.jobs.add(job)
        return self._said(source.answer, self._reviver(asked, job, source), asked.body)

    def _polled(self, job: Job, asked: Asked) -> Said:
        """The poll's answer for what the task has come to."""
        now = self._times.clock()
        state = job.state(now)
        found = self._poll_of(job, state, asked)
        if found is None or found.answer is None:
            return self._unmatched(501, asked, f"no example of a poll shows this task as {state}")
        answer = found.answer
        progress = job.task.progress
        if progress is not None and answer.has_json and state == "in_progress":
            given = answer

            def reads(value: Any) -> object:
                return value_from(progress, scope_of(given, value))

            answer = replace(answer, json=with_progress(answer.json, reads, min(int(100 * job.done(now)), 99)))
        return self._said(answer, self._reviver(job.asked, job, found))

    def _poll_of(self, job: Job, state: str, asked: Asked) -> Known | None:
        """The example of a poll that shows a state, on the same path if there is one; in place of a missing one the next best."""
        polls = [call for call in self._calls if call.part is Part.POLL and call.answer is not None]
        for wanted in _INSTEAD[state]:
            calls = [call for call in polls if call.task is job.task and call.state == wanted]
            if not calls and wanted == job.source.state:
                calls = [job.source]  # many platforms answer a creation and a poll alike
            if not calls and wanted != "completed":  # another task's answer, where this task's rule reads the same in it
                calls = [call for call in polls if state_of(job.task, scope_of(call.answer, body_of(call.answer))) == wanted]
            here = [call for call in calls if call.path == asked.path and call.query == asked.query]
            if calls:
                return (here or calls)[0]
        return None

    # -- answers

    def _reviver(self, asked: Asked, job: Job | None, source: Known) -> Reviver:
        task = source.task
        segments, echoed = echoes(job.source, job.asked) if job is not None else echoes(source, asked)
        ids = dict.fromkeys(self._ids, job.id) if job is not None else segments
        now = self._times.clock()
        began = now if job is None or not job.began else job.began
        first = value_from(task.created_at, scope_of(source.answer, body_of(source.answer))) if task and task.created_at else None
        known = first if isinstance(first, int | float) and not isinstance(first, bool) and first > 0 else source.example.now
        return Reviver(
            base=self._base,
            upstream=self.platform.upstream,
            ids=ids,
            shift=float(int(began - known)),
            now=float(int(now)),
            kinds=self._kinds,
            default=_default_kind(task),
            seed=job.id if job is not None else repr(sorted(map(repr, leaves(asked.body)))),
            wanted=_wanted(asked),
            size=_size(asked),
            echoed=echoed,
        )

    def _said(self, answer: Message, reviver: Reviver, body: Any = None) -> Said:
        """The answer alive; `body` is what its lists may have their lengths from."""
        headers = {name: value for name, value in answer.headers if name.lower() not in _FRAMING}
        content, content_type = content_of(answer)
        if content_type is not None:
            headers["Content-Type"] = content_type
        status = answer.status or 200
        if answer.has_json:
            value: Any = answer.json
            for path, member in answer.repeat:
                length = told_length(body, member)
                value = with_length(value, path, min(length, _LONGEST)) if length is not None else value
            return Said(status, headers, (dumps(reviver.value(value)),))
        if answer.sse and answer.text:
            return Said(status, headers, tuple(reviver.events(answer.text)), streamed=True)
        kind = media.of_bytes(answer.data) if answer.data else None
        if kind is not None:
            content = reviver.file(kind, "")
        return Said(status, headers, (content or b"",))

    def _unmatched(self, status: int, asked: Asked, reason: str, near: Known | None = None) -> Said:
        """Says that the examples know no answer, which of them is nearest, and what to add."""
        near = near or matching.nearest(self._calls, asked)
        name, file = self.platform.name, self.platform.where.file.name
        query = "?" + "&".join(f"{key}={value}" for key, value in asked.query) if asked.query else ""
        request = f"{asked.method} {asked.path}{query}"[:300]
        message = f"The sandbox has no answer to {request} of the platform {name}: {reason}."
        if near is not None:
            where = f"{near.example.where.file.name}:{near.example.where.line}"
            message += f" The nearest example is {near.example.title!r} ({where}), {near.method} {near.path}."
        message += f" Add one to `examples` of {file}, with `upstream: {{send: {request!r}}}` and the platform's `answer`."
        return self._refused(status, message)

    def _message_in(self, answer: Message, value: Any) -> object:
        rule = self.platform.errors
        told = value_from(rule.message, scope_of(answer, value)) if rule is not None and rule.message is not None else None
        return told or mapping(mapping(value).get("error")).get("message") or mapping(value).get("message")

    def _refused(self, status: int, message: str) -> Said:
        """A failure in the platform's own words, where an example has one of this status; else in those of its protocol."""
        for call in self._calls:
            if call.failure == status and call.answer is not None and call.answer.has_json:
                value = with_text(call.answer.json, partial(self._message_in, call.answer), message)
                if value is not None:
                    return Said(status, {"Content-Type": _JSON}, (dumps(value),))
        dialect = _DIALECTS.get(self.platform.protocol, Dialect.CHAT)
        refusal = error_body(dialect, RefusalError(status, message, code="no_example"), "req_sandbox")
        return Said(status, {"Content-Type": _JSON}, (dumps(refusal),))


_GONE = (404, 405)  # what a platform says of paths that it does not have
_LONGEST = 4096  # elements of a list that is as long as the request says
_DIALECTS = {Protocol.MESSAGES: Dialect.MESSAGES, Protocol.GENERATE: Dialect.GENERATE}
_INSTEAD = {
    "queued": ("queued", "in_progress", "completed"),
    "in_progress": ("in_progress", "queued", "completed"),
    "completed": ("completed",),
    "failed": ("failed", "completed"),
}


def _fetched(platform: Platform) -> "list[tuple[str, Kind]]":
    """What the examples say that URLs hold."""
    found = []
    for example in platform.examples:
        for url, message in example.fetches.items():
            types = [value for name, value in message.headers if name.lower() == "content-type"]
            kind = media.by_media_type(types[0]) if types else media.of_bytes(message.data or b"")
            if kind is not None:
                found.append((url, kind))
    return found


def _default_kind(task: Task | None) -> Kind:
    if task is None:
        return media.PNG
    told = media.by_media_type(task.content_type) if task.content_type else None
    return told or media.FAMILIES.get(task.kind, media.PNG)


def _wanted(asked: Asked) -> Kind | None:
    """The format of media that a request asks for, if it says one that can be made."""
    formats = (value for name, value in leaves(asked.body) if name.lower().endswith("format") and isinstance(value, str))
    return next((kind for text in formats if (kind := media.by_extension(text)) is not None), None)


def _size(asked: Asked) -> tuple[int, int]:
    """The size of pictures that a request asks for."""
    told = (value for name, value in leaves(asked.body) if _SIZE.search(name) and isinstance(value, str))
    return next((size for text in told if (size := size_of(text)) is not None), AUTO)
