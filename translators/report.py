"""The table of everything served, from the rules alone: what `dragoman routes` prints. Nothing here loads or checks."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from translators.interpreters.wire import counting_path, platform_paths
from translators.model import Branch, Handling, Platform, Route, RuleSet, Send, Text, Translation
from translators.runtime.translated import target_route


@dataclass(frozen=True, slots=True)
class Row:
    """One route. `upstream` is the URL of its first call, with its expressions as they are written.

    `models` counts the names and patterns that reach it without the prefix. `kind` tells what the route does, in the words of the
    rule language: `carry`, or what is made of the request (`edit`, `body`, `form`, `refuse`, ...), of the answer (`response`,
    `stream`, `errors`), the task it starts or belongs to, and how many branches it has.
    """

    method: str
    path: str
    platform: str
    upstream: str
    models: int
    kind: str


_HEAD = Row("METHOD", "PATH", "PLATFORM", "UPSTREAM", 0, "KIND")


def rows(rules: RuleSet) -> list[Row]:
    """By platform, in the order of the files; a native platform's last row stands for all its other paths."""
    return [row for platform in rules.platforms.values() for row in _rows_of(platform)]


def _rows_of(platform: Platform) -> list[Row]:
    base = f"{platform.upstream.scheme}://{platform.upstream.authority}{platform.upstream.base}"
    models = len(platform.models)
    found = [
        Row(route.method, f"/{platform.name}{route.path}", platform.name, _upstream(platform, base, route), models, kind_of(route))
        for route in routes_of(platform)
    ]
    if platform.native:
        found.append(Row("*", f"/{platform.name}/*", platform.name, f"{base}/*", 0, "carry"))
    return found


def routes_of(platform: Platform) -> list[Route]:
    """Its routes, without those that are another one with its colon quoted."""
    plain = {(route.method, route.path) for route in platform.routes}
    return [
        route for route in platform.routes if "%3A" not in route.path or (route.method, route.path.replace("%3A", ":")) not in plain
    ]


def kind_of(route: Route) -> str:
    """What a route does."""
    handling = route.handling
    if handling is None:
        return "carry"
    if handling.of is not None:
        return f"{handling.action} of {handling.of}"
    words = [f"task {handling.task}"] if handling.task is not None else []
    if handling.translation is not None:
        words.append(f"{handling.translation.pair}{' (tokens)' if handling.translation.counts else ''}")
    if handling.listing is not None:
        words.append("models")
    if handling.deferred is not None:
        words.append(f"async {handling.deferred}")
    words += [word for word in _WORDS if any(word in _words_of(branch) for branch in handling.branches)]
    if handling.errors is not None:
        words.append("errors")
    if len(handling.branches) > 1:
        words.append(f"{len(handling.branches)} branches")
    return ", ".join(words) or "carry"


_WORDS = ("send", "refuse", "media", "edit", "body", "form", "response", "stream")


def _words_of(branch: Branch) -> set[str]:
    body = branch.body
    there = {
        "send": branch.send is not None and branch.body is None,
        "refuse": branch.refuse is not None,
        "media": branch.media is not None,
        "edit": bool(branch.edits),
        "body": body is not None and not body.form,
        "form": body is not None and body.form,
        "response": branch.response is not None,
        "stream": branch.stream is not None,
    }
    return {word for word, said in there.items() if said}


def _upstream(platform: Platform, base: str, route: Route) -> str:
    """Where the first call of a route goes: of several branches, of the first that sends; translated, by the one behind."""
    handling = route.handling
    send = _first_send(platform, handling) if handling is not None else None
    if send is None and handling is not None and handling.translation is not None:
        own = target_route(platform.routes, _translated_path(handling.translation, route.path))
        return _upstream(platform, base, own or route)
    return base + (text_of(send.path) if send is not None else route.path)


def _translated_path(translation: Translation, path: str) -> str:
    """A path of the platform's protocol, for any model, that requests on a client's path go on to."""
    counting = counting_path(translation.platform, "x") if translation.counts else None
    return counting or platform_paths(translation.platform, "x")[path.endswith(":streamGenerateContent")]


def _first_send(platform: Platform, handling: Handling) -> Send | None:
    task = platform.tasks.get(handling.of or "")
    if task is None:
        return next((branch.send for branch in handling.branches if branch.send is not None), None)
    if handling.action == "delete":
        call = task.delete or task.cancel
        return call.send if call is not None else None
    return task.poll.send


def text_of(text: Text) -> str:
    """A text as it is written, with its expressions."""
    return "".join(part if isinstance(part, str) else "${" + part.text + "}" for part in text.parts)


def as_table(found: Sequence[Row]) -> str:
    """Aligned columns with a head line; ends in a line feed."""
    cells = [[row.method, row.path, row.platform, row.upstream, str(row.models), row.kind] for row in (_HEAD, *found)]
    cells[0][4] = "MODELS"
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    return "\n".join(lines) + "\n"


def as_json(found: Sequence[Row]) -> str:
    """A list of objects with the names of `Row`; ends in a line feed."""
    return json.dumps([asdict(row) for row in found], indent=2) + "\n"
