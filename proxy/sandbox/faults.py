"""Faults on request: a client names one in the header `X-Sandbox-Fault`, and the answer fails in that way.

This module says what each fault is; `server` carries it out.
"""

import enum

from proxy.sandbox.replies import RefusalError

HEADER = "X-Sandbox-Fault"
SLOWER = 10
"""By how much `slow` stretches the pauses."""


class Fault(enum.Enum):
    """The ways an answer can fail. The numbers are statuses, answered in the dialect of the path."""

    UNAUTHORIZED = "401"
    NOT_FOUND = "404"
    RATE_LIMITED = "429"
    BROKEN = "500"
    UNAVAILABLE = "503"
    OVERLOADED = "529"
    CUT = "cut"  # half of the body, then the connection is closed without the body's end
    RESET = "reset"  # half of the body, then the connection is reset (RST)
    STALL = "stall"  # the first event (half of a plain body), then silence until the client leaves
    SLOW = "slow"  # everything, ten times slower

    @property
    def status(self) -> int | None:
        """The status to refuse with, or None for a fault of the connection."""
        return int(self.value) if self.value.isdecimal() else None


def requested(value: str | None) -> Fault | None:
    """The fault a request asks for.

    Raises:
        RefusalError: status 400 when the header says something else.
    """
    if value is None:
        return None
    try:
        return Fault(value.strip().lower())
    except ValueError:
        known = ", ".join(fault.value for fault in Fault)
        raise RefusalError(400, f"{HEADER}: {value!r} is not a fault; expected one of {known}.", param=HEADER) from None


def refusal(fault: Fault) -> RefusalError | None:
    """The error that stands for a status fault; None for the others."""
    match fault:
        case Fault.UNAUTHORIZED:
            return RefusalError(401, "The sandbox was asked to refuse this key.", code="invalid_api_key")
        case Fault.NOT_FOUND:
            return RefusalError(404, "The sandbox was asked not to know this model.", param="model", code="model_not_found")
        case Fault.RATE_LIMITED:
            return RefusalError(429, "The sandbox was asked to be at its limit. Try again in 1 s.", code="rate_limit_exceeded")
        case Fault.BROKEN:
            return RefusalError(500, "The sandbox was asked to break.")
        case Fault.UNAVAILABLE | Fault.OVERLOADED:
            return RefusalError(fault.status or 503, "The sandbox was asked to be overloaded.")
        case _:
            return None
