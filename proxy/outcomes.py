"""The closed lists that metrics, logs and `Proxy-Status` share: how an exchange ended, which error it was, which phase it was in.

Only names live here, so that every room of the proxy can import this module without importing any telemetry.
"""

from enum import IntEnum, StrEnum


class Outcome(IntEnum):
    """How an exchange ended. The numbers are positions in a table of counters; they mean nothing outside the process."""

    OK = 0
    UPSTREAM_ERROR = 1  # a 4xx or 5xx status of the upstream, relayed whole
    REFUSED = 2  # a local 4xx answer
    FAILED = 3  # a local 5xx answer (502, 504, ...)
    TRUNCATED = 4  # the answer was cut after its head had gone out
    CLIENT_CLOSED = 5  # the client left first (rule I10)
    DRAINED = 6  # cut by the shutdown (rule M01)

    @property
    def label(self) -> str:
        """The value of the `outcome` label and of the log field."""
        return _LABELS[self]


_LABELS = tuple(outcome.name.lower() for outcome in Outcome)


class ErrorType(StrEnum):
    """Proxy error types of RFC 9209 section 2.3, those that the I-table of http-proxy-rules uses."""

    HTTP_REQUEST_ERROR = "http_request_error"
    HTTP_REQUEST_DENIED = "http_request_denied"
    DESTINATION_NOT_FOUND = "destination_not_found"
    DESTINATION_IP_PROHIBITED = "destination_ip_prohibited"
    CONNECTION_LIMIT_REACHED = "connection_limit_reached"
    DNS_ERROR = "dns_error"
    DNS_TIMEOUT = "dns_timeout"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMEOUT = "connection_timeout"
    CONNECTION_TERMINATED = "connection_terminated"
    CONNECTION_READ_TIMEOUT = "connection_read_timeout"
    TLS_PROTOCOL_ERROR = "tls_protocol_error"
    TLS_CERTIFICATE_ERROR = "tls_certificate_error"
    TLS_ALERT_RECEIVED = "tls_alert_received"
    HTTP_PROTOCOL_ERROR = "http_protocol_error"
    HTTP_RESPONSE_TRANSFER_CODING = "http_response_transfer_coding"
    HTTP_RESPONSE_HEADER_SECTION_SIZE = "http_response_header_section_size"
    HTTP_RESPONSE_TIMEOUT = "http_response_timeout"
    HTTP_RESPONSE_INCOMPLETE = "http_response_incomplete"
    PROXY_INTERNAL_RESPONSE = "proxy_internal_response"
    PROXY_INTERNAL_ERROR = "proxy_internal_error"
    PROXY_CONFIGURATION_ERROR = "proxy_configuration_error"
    PROXY_LOOP_DETECTED = "proxy_loop_detected"


class Phase(StrEnum):
    """What the upstream side of an exchange was doing, in the order of time."""

    POOL = "pool"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    WAIT = "wait"
    RECEIVE = "receive"


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"


def method_label(method: str) -> str:
    """The method itself when it is one of the usual ones, else `other` (rule Q01)."""
    return method if method in METHODS else OTHER
