"""What went wrong in a rule at work, as a local answer of the proxy."""

import logging

from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal
from proxy.wire.refused import refusal_of
from translators.runtime.steps import RuleRefusal

logger = logging.getLogger("dragoman.handled")


def fault() -> Refusal:
    """A fault of ours: what it was stands in the log, and nowhere else (rules I01, M08)."""
    return Refusal(500, ErrorType.PROXY_INTERNAL_ERROR, "internal_error", "The gateway failed to handle this request.")


def raised(error: Exception) -> Refusal:
    """What a rule at work raised: its own refusal, or else a fault of ours, which is logged here."""
    if isinstance(error, RuleRefusal):
        return refusal_of(error)
    logger.error("the program of a route failed", exc_info=error)
    return fault()
