"""What of a rule an exchange has reached: which branches were looked at with which result, which events were mapped by which rule.

A traced rule set is the same rule set with every `when` wrapped: it evaluates what it evaluated, and notes the value. The bytes
that come of it are the same; nothing of this is in a rule set that serves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from translators.expressions.compile import EvaluationError, Expression, is_true
from translators.model import Branch, EventRule, Handling, Platform, Route, RuleSet
from translators.place import Where


@dataclass(frozen=True, slots=True)
class Look:
    """One `when` that was looked at. `text` None: there is none, so it holds. `value` is what it came to, or `error` why not."""

    where: Where
    text: str | None
    held: bool
    value: Any = None
    error: str | None = None


@dataclass(slots=True)
class Trace:
    """Filled while exchanges run; `looks` in order, `reached` over all exchanges."""

    looks: list[Look] = field(default_factory=list)
    reached: set[Where] = field(default_factory=set)

    def begin(self) -> None:
        """A new exchange: forget the looks of the last one."""
        self.looks.clear()

    def note(self, look: Look) -> None:
        self.looks.append(look)
        if look.held:
            self.reached.add(look.where)


def traced(rules: RuleSet, trace: Trace) -> RuleSet:
    """The same rules, noting into `trace`."""
    return RuleSet({name: _platform(platform, trace) for name, platform in rules.platforms.items()})


def _platform(platform: Platform, trace: Trace) -> Platform:
    return replace(platform, routes=tuple(_route(route, trace) for route in platform.routes))


def _route(route: Route, trace: Trace) -> Route:
    handling = route.handling
    if handling is None:
        return route
    return replace(route, handling=_handling(handling, trace))


def _handling(handling: Handling, trace: Trace) -> Handling:
    return replace(handling, branches=tuple(_branch(branch, trace) for branch in handling.branches))


def _branch(branch: Branch, trace: Trace) -> Branch:
    stream = branch.stream
    if stream is not None:
        stream = replace(stream, events=tuple(_event(rule, trace) for rule in stream.events))
    return replace(branch, when=_noting(branch.when, branch.where, trace), stream=stream)


def _event(rule: EventRule, trace: Trace) -> EventRule:
    return replace(rule, when=_noting(rule.when, rule.where, trace))


def _noting(when: Expression | None, where: Where, trace: Trace) -> Expression:
    if when is None:

        def always(_: Mapping[str, Any]) -> bool:
            trace.note(Look(where, None, True, True))
            return True

        return Expression("`true`", frozenset(), frozenset(), always)
    return replace(when, evaluate=_evaluating(when, where, trace))


def _evaluating(when: Expression, where: Where, trace: Trace) -> Callable[[Mapping[str, Any]], Any]:
    def evaluate(scope: Mapping[str, Any]) -> Any:
        try:
            value = when.evaluate(scope)
        except EvaluationError as error:
            trace.note(Look(where, when.text, False, None, str(error)))
            raise
        trace.note(Look(where, when.text, is_true(value), value))
        return value

    return evaluate
