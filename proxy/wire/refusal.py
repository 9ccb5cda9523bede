"""Why the proxy itself ends an exchange: one exception for every local answer.

The text of a refusal is fixed by us and never holds bytes of the request (rule A12) or of the upstream.
"""

from proxy.outcomes import ErrorType
from translators.model import Protocol


class Refusal(Exception):  # noqa: N818 - a local answer, not always an error
    """A local answer: HTTP status, RFC 9209 error type, a machine-readable code and a message for people.

    `limit` names the limit that was hit, for the metric; `fields` are further response fields; `close` ends the connection.
    """

    def __init__(
        self,
        status: int,
        error: ErrorType,
        code: str,
        message: str,
        *,
        limit: str | None = None,
        fields: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.code = code
        self.message = message
        self.limit = limit
        self.fields = fields
        self.close = close
        self.request_id: bytes | None = None  # the client's own, where it is to be echoed
        self.head_only = False  # the answer to a HEAD request
        self.param: str | None = None  # the member of the request that it is about
        self.content: bytes | None = None  # the JSON body of an answer that is no failure
        self.asked: tuple[str, str] | None = None  # method and path, where the head could be read
        self.protocol = Protocol.CHAT  # the words to say it in; set where the route is known


def bad_request(code: str, message: str, *, status: int = 400, limit: str | None = None) -> Refusal:
    """A refusal of syntax or framing: the connection cannot be trusted any further (rule A11)."""
    return Refusal(status, ErrorType.HTTP_REQUEST_ERROR, code, message, limit=limit, close=True)


def bad_response(error: ErrorType, code: str, message: str, *, limit: str | None = None) -> Refusal:
    """The upstream broke the protocol: 502 (rules B12 to B15)."""
    return Refusal(502, error, code, message, limit=limit)
