"""What a rule refuses, and what went wrong in one, as local answers of the proxy."""

import logging

from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal
from translators.runtime.steps import RuleRefusal

logger = logging.getLogger("dragoman.handled")

_TYPES = {
    401: ErrorType.HTTP_REQUEST_DENIED,
    403: ErrorType.HTTP_REQUEST_DENIED,
    404: ErrorType.DESTINATION_NOT_FOUND,
    502: ErrorType.HTTP_PROTOCOL_ERROR,
    504: ErrorType.HTTP_RESPONSE_TIMEOUT,
}


def refusal_of(refused: RuleRefusal) -> Refusal:
    """A rule's refusal; its words are the rule's."""
    other = ErrorType.HTTP_REQUEST_ERROR if refused.status < 500 else ErrorType.PROXY_INTERNAL_RESPONSE
    refusal = Refusal(refused.status, _TYPES.get(refused.status, other), refused.code, refused.message)
    refusal.param = refused.param
    refusal.fields = refused.fields
    return refusal


def fault() -> Refusal:
    """A fault of ours: what it was stands in the log, and nowhere else (rules I01, M08)."""
    return Refusal(500, ErrorType.PROXY_INTERNAL_ERROR, "internal_error", "The gateway failed to handle this request.")


def raised(error: Exception) -> Refusal:
    """What a rule at work raised: its own refusal, or else a fault of ours, which is logged here."""
    if isinstance(error, RuleRefusal):
        return refusal_of(error)
    logger.error("the program of a route failed", exc_info=error)
    return fault()
