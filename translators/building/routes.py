"""Routes and their branches, from their fields to the model, and what of them makes no sense."""

from collections.abc import Iterable, Mapping, Sequence

from translators.building import messages, scopes
from translators.building.scopes import Scope
from translators.building.tasks import TASK_ID
from translators.building.texts import Compiler
from translators.building.translations import check_alone
from translators.model import (
    Branch,
    ErrorRule,
    Handling,
    Media,
    OnAbort,
    Retry,
    Send,
    Task,
    Text,
    Unknown,
    Usage,
)
from translators.problems import quote, suggest_or_list
from translators.schema import Fields
from translators.words import route as words
from translators.words.route import WrittenRoute

# What a route may say without handling bodies or answers in any way: it is carried.
_CARRIED = frozenset({words.PROTOCOL_WORD.name})


class RouteBuilder:
    """Builds the routes of one file, with what the file says for all of them."""

    def __init__(
        self,
        compiler: Compiler,
        tasks: Mapping[str, Task],
        errors: ErrorRule | None,
        usage: Usage | None,
        retry: Retry | None,
        on_client_abort: OnAbort | None,
    ) -> None:
        self._compiler = compiler
        self._problems = compiler.problems
        self._tasks = tasks
        self._errors = errors
        self._usage = usage
        self._retry = retry
        self._on_client_abort = on_client_abort

    def handling(self, route: WrittenRoute) -> Handling | None:
        """Everything a route says beyond `carry`; None when it is carried."""
        fields = route.fields
        if fields is None or not len(fields) or not set(fields.names) - _CARRIED:
            return None
        check_alone(fields, self._problems)
        scope = self._request_scope(route, fields)
        answer = self._answer_scope(scope)
        branches = self._branches(fields, scope, answer)
        task = self._task_name(fields, route)
        own = messages.error_rule(fields.get(words.ERRORS_WORD), self._compiler, answer)
        deferred = fields.get(words.ASYNC_WORD)
        self._check_answers(fields, branches)
        translated = task is not None or deferred is not None or any(b.body or b.response or b.stream for b in branches)
        abort = fields.get(words.ON_CLIENT_ABORT) or self._on_client_abort or OnAbort.CANCEL
        return Handling(
            branches,
            errors=own or (self._errors if translated else None),
            task=task,
            deferred=deferred.value if deferred else None,
            usage=messages.usage(fields.get(words.USAGE_WORD), self._compiler) or self._usage,
            retry=messages.retry(fields.get(words.RETRY_WORD)) or self._retry,
            on_client_abort=abort,
            timeouts=fields.get(words.TIMEOUTS_WORD) or {},
            limits=fields.get(words.LIMITS_WORD) or {},
        )

    # --- scopes ---

    def _request_scope(self, route: WrittenRoute, fields: Fields) -> Scope:
        scope = scopes.REQUEST.knowing("path", route.pattern.variables)
        if words.TASK_WORD in fields and TASK_ID in route.pattern.variables:
            task = self._tasks.get(fields.get(words.TASK_WORD) or "")
            kept = (name for name, _ in task.keep) if task else ()
            scope = scope.knowing("task", (*scopes.TASK_MEMBERS, *kept)).with_names("id")
        return scope

    def _answer_scope(self, request: Scope) -> Scope:
        scope = scopes.ANSWER
        for name, members in request.members:
            scope = scope.knowing(name, members)
        return scope

    # --- branches ---

    def _branches(self, fields: Fields, scope: Scope, answer: Scope) -> tuple[Branch, ...]:
        written = fields.get(words.CHOOSE)
        if words.CHOOSE not in fields:
            self._check_branch(fields, fields)
            branch = self._branch(fields, scope, answer)
            self._check_media(branch.media, (branch,), fields)
            return (branch,)
        for word in fields.said((words.WHEN, words.REFUSE)):
            message = f"beside `choose`, `{word.name}` belongs into a branch"
            self._problems.add(message, fields.where(word), "Move it into one.")
        branches = []
        for own in written or ():
            merged = _inherit(own, fields)
            self._check_branch(own, merged)
            branches.append(self._branch(merged, scope, answer))
            if words.MEDIA_WORD in own:
                self._check_media(branches[-1].media, branches[-1:], own)
        self._check_reach(written or ())
        if words.MEDIA_WORD in fields:
            self._check_media(messages.media(fields.get(words.MEDIA_WORD)), branches, fields)
        return tuple(branches)

    def _branch(self, fields: Fields, scope: Scope, answer: Scope) -> Branch:
        compiler = self._compiler
        refuse = compiler.text(fields.get(words.REFUSE), scope)
        when = compiler.expression(fields.get(words.WHEN), scope)
        if refuse is not None:
            return Branch(fields.place, when, refuse)
        form = words.FORM_WORD in fields
        node = fields.get(words.FORM_WORD if form else words.BODY_WORD)
        branch = Branch(
            fields.place,
            when,
            send=compiler.send(fields.get(words.SEND_WORD), scope),
            headers=messages.headers(fields.get(words.HEADERS_WORD), compiler, scope),
            query=messages.named_texts([(name, text) for _, name, text in fields.get(words.QUERY_WORD) or ()], compiler, scope),
            edits=messages.edits(fields.get(words.EDIT_WORD) or (), compiler, scope),
            body=messages.body(
                node,
                fields.get(words.UNKNOWN_WORD) or Unknown.FORWARD,
                compiler,
                scope,
                form=form,
                drop=fields.get(words.DROP_WORD) or (),
            ),
            media=messages.media(fields.get(words.MEDIA_WORD)),
            comments=fields.get(words.COMMENTS_WORD) or False,
            response=messages.response(fields.get(words.RESPONSE_WORD), compiler, answer),
            stream=messages.stream(fields.get(words.STREAM_WORD), compiler, scope),
        )
        self._check_sent(fields, branch)
        return branch

    def _check_branch(self, own: Fields, merged: Fields) -> None:
        content = own.said(words.CONTENT)
        if len(content) > 1:
            names = " and ".join(f"`{word.name}`" for word in content)
            hint = "`edit` keeps the client's message, `body` and `form` write a new one: keep one of them."
            self._problems.add(f"{names} cannot stand together", own.where(content[1]), hint)
        if words.REFUSE in own and (more := own.said(words.INHERITED)):
            message = f"who refuses sends nothing: `{more[0].name}` has no effect"
            self._problems.add(message, own.where(more[0]), "Remove it, or `refuse`.")
        writes = words.BODY_WORD in merged or words.FORM_WORD in merged
        if not writes and words.CHOOSE not in own:
            for word in own.said((words.UNKNOWN_WORD, words.DROP_WORD)):
                hint = "Without them everything the client sent goes on; `edit` has `remove`."
                self._problems.add(f"`{word.name}` belongs to `body` or `form`", own.where(word), hint)

    def _check_sent(self, fields: Fields, branch: Branch) -> None:
        written = {name for name, _ in branch.send.query} if branch.send is not None else frozenset()
        for key, name, _ in fields.get(words.QUERY_WORD) or ():
            if name in written:
                self._problems.add(f"the parameter {quote(name)} is written by `send` already", key.where, "Keep one of the two.")
        body = branch.body
        if body is not None and body.unknown is not Unknown.FORWARD and body.template.spreads_rest:
            message = f'`unknown: {body.unknown}` and `"...": ${{body}}` say the opposite of each other'
            self._problems.add(message, fields.where(words.UNKNOWN_WORD), "Keep one of the two.")

    def _check_reach(self, written: Sequence[Fields]) -> None:
        first: Fields | None = None
        for fields in written:
            if first is not None:
                message = f"this branch is never reached: the one in line {first.place.line} has no `when`"
                self._problems.add(message, fields.place, "Give that one a `when`, or put it last.")
                return
            if words.WHEN not in fields:
                first = fields
        messages.check_repeated([(fields.get(words.WHEN), fields.place) for fields in written], "branch", self._problems)

    def _check_media(self, media: Media | None, branches: Iterable[Branch], fields: Fields) -> None:
        where = fields.where(words.MEDIA_WORD)
        if media is None:
            return
        used = frozenset[str]().union(*(names_of(branch) for branch in branches))
        for name in media.forms:
            if name not in used:
                message = f"`media` gives {quote(name)} a form, but no expression here uses it"
                self._problems.add(message, where, f"Use ${{{name}}} where the platform wants it, or remove it.")

    # --- routes ---

    def _task_name(self, fields: Fields, route: WrittenRoute) -> str | None:
        name = fields.get(words.TASK_WORD)
        if name is None:
            return None
        where = fields.where(words.TASK_WORD)
        if name not in self._tasks:
            hint = suggest_or_list(name, self._tasks, "Tasks") if self._tasks else "Say what it is under `tasks`."
            self._problems.add(f"there is no task {quote(name)} in this file", where, hint)
        if words.ASYNC_WORD in fields:
            self._problems.add("a route that starts a task is asynchronous already", fields.where(words.ASYNC_WORD), "Remove it.")
        if route.method != "POST":
            self._problems.add("a task is started by POST", route.where, "Its polls are there without being written.")
        return name

    def _check_answers(self, fields: Fields, branches: Iterable[Branch]) -> None:
        if words.TASK_WORD in fields and any(branch.response or branch.stream for branch in branches):
            hint = "Say the answer of a waiting client with `answer` in the task, further members with `object`."
            self._problems.add("a route that starts a task answers with the task object", fields.where(words.TASK_WORD), hint)


def _inherit(branch: Fields, route: Fields) -> Fields:
    """The branch, with what the route says for all. One kind of content replaces any other."""
    if words.REFUSE in branch:
        return branch
    dropped = words.CONTENT if branch.said(words.CONTENT) else ()
    return branch.over(route, [word for word in words.INHERITED if word not in dropped])


def names_of(branch: Branch) -> frozenset[str]:
    """Every name that the request side of a branch uses."""
    found: frozenset[str] = branch.when.names if branch.when else frozenset()
    texts: list[Text] = [text for _, text in (*branch.headers, *branch.query)]
    if branch.refuse:
        texts.append(branch.refuse)
    if branch.send:
        texts += sent_texts(branch.send)
    for text in texts:
        found |= text.names
    for edit in branch.edits:
        found |= (edit.value.names if edit.value else frozenset()) | (edit.when.names if edit.when else frozenset())
    return found | (branch.body.template.names if branch.body else frozenset())


def sent_texts(send: Send) -> list[Text]:
    return [send.path, *(text for _, text in send.query)]
