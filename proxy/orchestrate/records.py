"""How a deferred call stands in the store: a line of JSON, and behind it the answer's body as it is. Pure."""

import re

from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.runtime.deferred import Stored
from translators.runtime.ids import Identity

RUNNING = b'{"running":1}\n'
_OWN_ID = re.compile(r"[A-Za-z0-9-]{8,64}")  # of those that the gateway gives


class BadRecordError(ValueError):
    """What the store holds under this key is none of ours."""


def key_of(identity: Identity) -> str | None:
    """The key of a call; None for an id that the gateway never gave."""
    if _OWN_ID.fullmatch(identity.provider_id) is None:
        return None
    return f"deferred/{identity.platform}/{identity.kind}/{identity.provider_id}"


def pack(stored: Stored) -> bytes:
    return dumps({"status": stored.status, "type": stored.content_type, "at": stored.completed_at}) + b"\n" + stored.body


def unpack(record: bytes) -> Stored | None:
    """What came of a call; None while it runs. Raises BadRecordError."""
    head, line_end, body = record.partition(b"\n")
    try:
        said = loads(head)
        if said.get("running"):
            return None
        status, content_type, at = said["status"], said["type"], said["at"]
    except (BadJsonError, AttributeError, KeyError):
        raise BadRecordError("no record of a deferred call") from None
    if not line_end or not isinstance(status, int) or not isinstance(at, int):
        raise BadRecordError("no record of a deferred call")
    return Stored(status, content_type if isinstance(content_type, str) else None, body, at)
