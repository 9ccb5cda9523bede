"""Token counts of an answer, from where a rule says that they stand. Counts are for metrics: what is no count is left out."""

from dataclasses import dataclass
from typing import Any

from translators.expressions.compile import EvaluationError, Expression
from translators.expressions.template import Scope
from translators.model import Usage

_MOST = 1 << 40  # more tokens than any exchange has: a slip, or an attack on the sums


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of one exchange; None: the answer does not say."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None


def counts(usage: Usage, scope: Scope) -> Counts:
    """The counts, with `body` (and, in streams, `data`) of the scope the platform's parsed message."""
    return Counts(
        _count(usage.input, scope), _count(usage.output, scope), _count(usage.cached, scope), _count(usage.reasoning, scope)
    )


def answer_scope(message: Any, *, status: int = 200, event: str | None = None) -> Scope:
    """The scope for the counts of one parsed message: an answer, or the data of one event of a stream."""
    return {"body": message, "data": message, "status": status, "event": event}


def _count(expression: Expression | None, scope: Scope) -> int | None:
    if expression is None:
        return None
    try:
        value = expression.evaluate(scope)
    except EvaluationError:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        return None
    return int(value)
