"""What a rule refuses, as a local answer. Its words are the rule's."""

from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal
from translators.runtime.steps import RuleRefusal

_TYPES = {
    401: ErrorType.HTTP_REQUEST_DENIED,
    403: ErrorType.HTTP_REQUEST_DENIED,
    404: ErrorType.DESTINATION_NOT_FOUND,
    502: ErrorType.HTTP_PROTOCOL_ERROR,
    504: ErrorType.HTTP_RESPONSE_TIMEOUT,
}


def refusal_of(refused: RuleRefusal) -> Refusal:
    """The answer, with the error type that its status means."""
    other = ErrorType.HTTP_REQUEST_ERROR if refused.status < 500 else ErrorType.PROXY_INTERNAL_RESPONSE
    refusal = Refusal(refused.status, _TYPES.get(refused.status, other), refused.code, refused.message)
    refusal.param = refused.param
    refusal.fields = refused.fields
    return refusal
