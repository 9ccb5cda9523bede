"""What every word of a file allows and the whole does not: what has no effect, and what contradicts itself."""

from collections.abc import Iterator
from pathlib import Path

from translators.building.routes import names_of, sent_texts
from translators.building.texts import Compiler
from translators.model import Auth, AuthKind, Handling, Platform, Task, Text
from translators.place import Where
from translators.problems import Problems, quote
from translators.schema import Fields, Word
from translators.words import platform as words
from translators.words import route as route_words

NO_AUTH = Auth(AuthKind.NONE)


def check_platform(platform: Platform, fields: Fields, compiler: Compiler, problems: Problems) -> None:
    """What only an extended file says may be of no use to the file that extends it."""
    _check_headers(platform, fields, problems)
    _check_query(platform, fields, problems)
    _check_for_all(platform, fields, problems)
    _check_aliases(platform, problems)
    _check_tables(fields, compiler, problems)
    _check_tasks(platform, fields.place.file, problems)


def _check_headers(platform: Platform, fields: Fields, problems: Problems) -> None:
    header = platform.auth.header
    if header is None:
        return
    if any(rule.name.lower() == header.lower() for rule in platform.headers):
        message = f"the header {quote(header)} is written by `auth` already"
        problems.add(message, fields.where(words.HEADERS), "Remove it from `headers`.")


def _check_query(platform: Platform, fields: Fields, problems: Problems) -> None:
    name = platform.auth.settings.get("name") if platform.auth.kind is AuthKind.QUERY else None
    if any(key == name for key, _ in platform.query):
        message = f"the parameter {quote(str(name))} is written by `auth` already"
        problems.add(message, fields.where(words.QUERY_WORD), "Remove it from `query`.")


def _check_for_all(platform: Platform, fields: Fields, problems: Problems) -> None:
    """What a file says for all its routes, and none of them can use."""
    handled = [route.handling for route in platform.routes if route.handling]
    used: dict[Word[object], bool] = {
        words.ERRORS: any(handling.errors for handling in handled),
        route_words.RETRY_WORD: any(handling.retry for handling in handled),
    }
    for word, holds in used.items():
        where = fields.where(word)
        if where is not None and not holds and where.file == fields.place.file:
            message = f"`{word.name}` has no effect: it is for routes that say more than `carry`"
            problems.add(message, where, f"Say it at the route: POST /v1/...: {{{word.name}: ...}}.")


def _check_aliases(platform: Platform, problems: Problems) -> None:
    aliases = [model for model in platform.models if model.upstream is not None]
    if not aliases or any(header.value.needs_model for header in platform.headers) or _uses_model(platform):
        return
    for model in aliases:
        message = (
            f"the alias {quote(model.name)} has no effect: bodies are carried, and no header of this platform holds ${{model}}, "
            "nor does a route use it"
        )
        hint = f"List the platform's own name, {quote(model.upstream or '')}, or use ${{model}} where the platform wants the name."
        problems.add(message, model.where, hint)


def _uses_model(platform: Platform) -> bool:
    texts = any("model" in text.names for _, text in platform.query)
    handled = [route.handling for route in platform.routes if route.handling]
    branches = (branch for handling in handled for branch in handling.branches)
    return (
        texts
        or any(handling.translation for handling in handled)
        or any(branch.edits or "model" in names_of(branch) for branch in branches)  # an edited body gets the platform's name
    )


def _check_tables(fields: Fields, compiler: Compiler, problems: Problems) -> None:
    for key, name, _ in fields.get(words.TABLES) or ():
        if name not in compiler.used_tables and key.where.file == fields.place.file:
            problems.add(f"no expression uses the table {quote(name)}", key.where, f"Use lookup('{name}', ...), or remove it.")


# --- tasks ---


def _check_tasks(platform: Platform, file: Path, problems: Problems) -> None:
    started = {route.handling.task for route in platform.routes if route.handling}
    for task in platform.tasks.values():
        if task.name not in started and task.where.file == file:
            hint = f"Say `task: {task.name}` at the route that creates it, or remove it."
            problems.add(f"no route starts the task {quote(task.name)}", task.where, hint)
        if any("submitted" in text.names for text in _task_texts(task)):
            _check_submitted(platform, task, problems)


def _check_submitted(platform: Platform, task: Task, problems: Problems) -> None:
    """`submitted.path` is made anew for each poll, and then of the client's request only the model is known."""
    for route in platform.routes:
        handling = route.handling
        if handling is None or handling.task != task.name:
            continue
        for where, names in _created_by(handling, route.path):
            if beyond := sorted(names - {"model"}):
                message = f"the task {quote(task.name)} needs `submitted.path`, but this path depends on {quote(beyond[0])}"
                problems.add(message, where, "Keep what the poll needs with `keep`, and write its path out.")


def _created_by(handling: Handling, path: str) -> Iterator[tuple[Where, frozenset[str]]]:
    for branch in handling.branches:
        if branch.refuse is not None:
            continue
        if branch.send is not None:
            yield branch.send.where, branch.send.path.names
        elif "{" in path:
            yield branch.where, frozenset({"path"})


def _task_texts(task: Task) -> Iterator[Text]:
    calls = [(call.send, call.headers) for call in (task.poll, task.cancel, task.delete) if call]
    for send, headers in (*calls, *((hop.send, hop.headers) for hop in task.download)):
        yield from sent_texts(send)
        yield from (text for _, text in headers)
