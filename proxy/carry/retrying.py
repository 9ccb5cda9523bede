"""When a call that failed is made again, where a rule's `retry` says so (rule K07). Pure but for the clock."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from translators.model import Retry

LONGEST = 60.0  # seconds; an upstream that asks for a longer pause has said no, and the client shall hear it


def pause_before(retry: Retry | None, attempts: int, status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds until the next attempt, after so many further ones; None: the answer stands.

    `headers` are those of the answer, by lower-case names; empty when there was none. `Retry-After` counts where it asks for more
    than the rule.
    """
    if retry is None or attempts >= retry.attempts or status not in retry.on:
        return None
    pause = max(retry.wait, _asked(headers.get("retry-after", "")))
    return pause if pause <= max(LONGEST, retry.wait) else None


def _asked(text: str) -> float:
    """Seconds that a `Retry-After` asks for, in either of its forms; 0.0 where it is none."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return 0.0
