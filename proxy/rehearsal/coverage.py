"""What the examples of a platform reach, and what they do not (law 5 of the rule language).

Each route needs an example, one that is only carried too, so that a path, a host or a credential that changes by mistake is
noticed. So does what a route says: each branch where there are several, each refusal, each action of a task, each event rule of a
stream. The routes that a pair of `translate` brings need one together. What only the native line serves needs none.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from proxy.rehearsal.playing import Run
from translators.model import Branch, Platform, Route, Task, Translation
from translators.place import Where
from translators.problems import Problem, quote
from translators.runtime.ids import BadIdError, decode

_HINT = "Add an example that does: everything that a rule says is shown by one, and checked by it."
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many routes are only `carried`, how many of these an example reaches, and what is reached by none."""

    carried: int
    carried_reached: int
    missing: tuple[Problem, ...]


def coverage(platform: Platform, runs: Iterable[Run], reached: frozenset[Where]) -> Coverage:
    """`reached` are the places of branches and event rules whose `when` held while the runs were played."""
    runs = list(runs)
    routes = {run.played.route.id for run in runs if run.played is not None and run.played.route is not None}
    actions = {found for run in runs if (found := _action_of(run)) is not None}
    carried = [route for route in platform.routes if route.handling is None]
    missing = [problem for route in platform.routes for problem in _missing_of(platform, route, routes, actions, reached)]
    missing += _missing_pairs(platform, routes)
    return Coverage(len(carried), sum(route.id in routes for route in carried), tuple(missing))


def _action_of(run: Run) -> tuple[str, str] | None:
    """The task and the action that an example reached: a poll of `video`, say."""
    played = run.played
    handling = played.route.handling if played is not None and played.route is not None else None
    if played is None or handling is None or handling.of is None or handling.action is None:
        return None
    path = played.request.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")
    for segment in path.split("/"):
        try:
            return decode(unquote(segment)).task, handling.action
        except BadIdError:
            continue
    return None


def _missing_of(
    platform: Platform, route: Route, routes: set[str], actions: set[tuple[str, str]], reached: frozenset[Where]
) -> Iterator[Problem]:
    handling = route.handling
    if handling is None:
        if route.id not in routes:
            yield _unreached(platform, route)
        return
    if handling.translation is not None and handling.translation.brought:  # one example for all routes of a pair
        return
    if handling.listing is not None and handling.listing.brought:
        return
    if handling.of is not None and route.method == "HEAD":  # of a content: the same rule as its GET
        return
    if handling.of is not None:
        tasks = _tasks_of(platform, route, handling.action or "")
        if not tasks and route.id not in routes:  # of calls that the gateway runs (`async`)
            yield Problem(_message(route), route.where, _HINT)
        for task in tasks:
            if (task.name, handling.action) not in actions:
                message = f"no example reaches the {handling.action} of the task {quote(task.name)} ({quote(route.id)})"
                yield Problem(message, task.where, _HINT)
        return
    if route.id not in routes:
        yield _unreached(platform, route)
        return
    for branch in handling.branches:
        yield from _missing_in(branch, route, len(handling.branches) > 1, reached)


def _missing_pairs(platform: Platform, routes: set[str]) -> Iterator[Problem]:
    """The pairs of the file's `translate` of which no route is reached."""
    pairs: dict[Where, tuple[Translation, list[Route]]] = {}
    for route in platform.routes:
        translation = route.handling.translation if route.handling is not None else None
        if translation is not None and translation.brought:
            pairs.setdefault(translation.where, (translation, []))[1].append(route)
    for where, (translation, brought) in pairs.items():
        if not any(route.id in routes for route in brought):
            message = f"no example reaches the pair {quote(translation.pair)}"
            yield Problem(message, where, f"Add one whose client asks for {brought[0].id}, plainly or for a stream.")


def _unreached(platform: Platform, route: Route) -> Problem:
    """A route without an example, with a line that is one: as it stands where the route only carries, else to be filled in."""
    body = "" if route.method in _WITHOUT_BODY else ", json: {}"
    path = _VARIABLE.sub(r"\1", route.path)  # a variable's name is a value that fits it
    client = f'title: "{route.id}", client: {{send: "{route.method} /{platform.name}{path}"{body}}}'
    if route.handling is None:
        line = f"- {{{client}, answer: {{json: {{}}}}, result: same}}"
        return Problem(_message(route), route.where, f"Add one to `examples`: {line}")
    upstream = f'upstream: {{send: "{route.method} {path}"{body}}}'
    line = f"- {{{client}, {upstream}, answer: {{json: {{}}}}, result: {{json: {{}}}}}}"
    return Problem(_message(route), route.where, f"Add one to `examples`, with what is really sent and said: {line}")


def _message(route: Route) -> str:
    return f"no example reaches the route {quote(route.id)}"


def _tasks_of(platform: Platform, route: Route, action: str) -> list[Task]:
    """The tasks that a route of tasks serves."""
    found = [task for task in platform.tasks.values() if route.path.startswith(task.collection + "/")]
    return [task for task in found if action != "delete" or task.delete is not None or task.cancel is not None]


def _missing_in(branch: Branch, route: Route, several: bool, reached: frozenset[Where]) -> Iterator[Problem]:
    if (several or branch.refuse is not None) and branch.where not in reached:
        what = "refusal" if branch.refuse is not None else "branch"
        yield Problem(f"no example reaches this {what} of {quote(route.id)}", branch.where, _HINT)
    elif branch.stream is not None:
        for rule in branch.stream.events:
            if rule.where not in reached:
                yield Problem(f"no example reaches this event rule of {quote(route.id)}", rule.where, _HINT)
