"""Why a request goes where it goes, and nowhere else: one reason for each platform, route and branch that it did not take.

What matched is the table's and the program's decision; here it is only put into words. Branches speak from the trace: each `when`
with the value it came to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.rehearsal.stage import Played
from proxy.rehearsal.tracing import Look
from translators.formats.strict_json import dumps
from translators.model import Branch, Platform, Route, RuleSet
from translators.models import ModelTable
from translators.paths import PathTable
from translators.place import Where

_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Reason:
    """`what` stands at `where`, and was taken or not, for this reason."""

    what: str
    where: Where
    taken: bool
    why: str


def reasons(rules: RuleSet, played: Played, looks: Sequence[Look], method: str, path: str, model: str | None) -> list[Reason]:
    """In order: platforms, routes of the platform that was taken, branches of its route."""
    taken = played.served.platform if played.served is not None else None
    found = [_platform(rules, platform, taken, method, path, model) for platform in rules.platforms.values()]
    if taken is None:
        return found
    inner = path.removeprefix(f"/{taken.name}") if path.startswith(f"/{taken.name}/") else path
    found += [_route(route, played.route, method, inner) for route in taken.routes]
    if played.route is None:
        found.append(Reason("native paths", taken.where, True, "no route has this path, and the file says `native: carry`"))
    elif played.route.handling is not None:
        found += _branches(played.route.handling.branches, looks, translated=played.route.handling.translation is not None)
    return found


def _platform(rules: RuleSet, platform: Platform, taken: Platform | None, method: str, path: str, model: str | None) -> Reason:
    what = f"platform {platform.name}"
    named = path[1:].partition("/")[0]
    chosen = taken is not None and taken.name == platform.name
    if named in rules.platforms and "/" in path[1:]:
        why = f"the path begins with /{named}/"
        return Reason(what, platform.where, chosen, why)
    table = PathTable.build((route.method, route.path, route) for route in platform.routes)
    if table.match(method, path) is None:
        others = table.methods(path)
        why = f"it serves this path for {', '.join(others)} only" if others else "none of its routes has this path"
        return Reason(what, platform.where, chosen, why)
    if chosen:
        return Reason(what, platform.where, True, f"it serves the model {model}" if model else "the path tells it")
    if model is None:
        return Reason(what, platform.where, False, "the request names no model, and without a platform in the path a model decides")
    listed = ModelTable.of(platform.models).match(model) is not None
    why = f"another platform lists the model {model} more exactly" if listed else f"its `models` do not list {model}"
    return Reason(what, platform.where, False, why)


def _route(route: Route, taken: Route | None, method: str, path: str) -> Reason:
    what = f"route {route.id}"
    if taken is not None and route.id == taken.id:
        return Reason(what, route.where, True, f"method and path fit{_translation(route)}")
    fits = PathTable.build([(route.method, route.path, route)])
    if fits.match(method, path) is not None:
        return Reason(what, route.where, False, "another route fits better or stands before it")
    why = f"it is for {route.method}" if fits.methods(path) else "its path is another"
    return Reason(what, route.where, False, why)


def _translation(route: Route) -> str:
    translation = route.handling.translation if route.handling is not None else None
    return f"; it is translated, {translation.pair}" if translation is not None else ""


def _branches(branches: Sequence[Branch], looks: Sequence[Look], *, translated: bool) -> Iterator[Reason]:
    seen = {look.where: look for look in looks}
    taken = False
    for number, branch in enumerate(branches, 1):
        what = f"branch {number}" if branch.refuse is None else f"branch {number} (a refusal)"
        look = seen.get(branch.where)
        if look is None:
            if translated and len(branches) == 1:
                continue  # its one way, which nothing chooses
            why = "a branch before it holds" if taken else "it was not looked at: the exchange ended before"
            yield Reason(what, branch.where, False, why)
            continue
        held = look.held and not taken
        taken = taken or held
        if len(branches) == 1 and look.text is None:
            continue
        yield Reason(what, branch.where, held, _why(look))


def _why(look: Look) -> str:
    if look.text is None:
        return "it has no `when`"
    if look.error is not None:
        return f"when: {look.text}  cannot be told: {look.error}"
    return f"when: {look.text}  is {_shown(look.value)}"


def _shown(value: Any) -> str:
    try:
        text = dumps(value).decode()
    except (TypeError, ValueError):
        text = "a file" if not isinstance(value, list) else f"a list of {len(value)}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
