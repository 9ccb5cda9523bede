"""Ids of tasks: everything a later call needs stands in the id itself, so that any replica can answer any poll.

An id is the kind of the task, `_`, and the base64url text (no padding) of a compact JSON list. A client can make one up: whoever
uses what is decoded here places it encoded, and lets it choose nothing but a task of the platform that was asked anyway.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from translators.formats.strict_json import BadJsonError, dumps, loads

VERSION = 1
MAX_LENGTH = 4096  # characters of an id; a path segment must hold it
_SHAPE = re.compile(r"([a-z][a-z0-9]{0,31})_([A-Za-z0-9_-]{1,4096})")
_MAX_NAME = 256


class BadIdError(ValueError):
    """The text is no id of a task."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an id carries. `task` empty: a call that the proxy itself runs (`?async=true` on a synchronous platform).

    `place` tells the branch that made the task, `provider_id` is the platform's own id as text, `created_at` Unix seconds.
    """

    kind: str
    platform: str
    task: str
    place: str
    provider_id: str
    public_model: str | None
    created_at: int
    keep: Mapping[str, Any] = field(default_factory=dict)


def encode(identity: Identity) -> str:
    """The id; raises BadIdError when it would be too long or holds what JSON cannot say."""
    members = [
        VERSION,
        identity.platform,
        identity.task,
        identity.place,
        identity.provider_id,
        identity.public_model,
        identity.created_at,
        dict(identity.keep),
    ]
    try:
        packed = base64.urlsafe_b64encode(dumps(members)).rstrip(b"=").decode()
    except BadJsonError as error:
        raise BadIdError(f"the id of the task cannot be written: {error.message}") from None
    text = f"{identity.kind}_{packed}"
    if len(text) > MAX_LENGTH:
        raise BadIdError(
            f"the id of the task would have {len(text)} characters, at most {MAX_LENGTH} are possible; keep less in it"
        )
    return text


def decode(text: str) -> Identity:
    """What the id carries. Strict: only texts that `encode` can have made; raises BadIdError for all others."""
    match = _SHAPE.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise BadIdError("it does not have the form of an id")
    kind, packed = match[1], match[2]
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        members = loads(raw, depth=16)
    except (binascii.Error, BadJsonError):
        raise BadIdError("it does not hold what an id holds") from None
    if not isinstance(members, list) or len(members) != 8 or type(members[0]) is not int or members[0] != VERSION:
        raise BadIdError("it is of another version")
    _, platform, task, place, provider_id, model, created_at, keep = members
    texts = all(isinstance(value, str) for value in (platform, task, place, provider_id)) and isinstance(model, str | None)
    if not texts or not provider_id or type(created_at) is not int or not 0 <= created_at < 1 << 40 or not isinstance(keep, dict):
        raise BadIdError("it does not hold what an id holds")
    if max(len(platform), len(task), len(place)) > _MAX_NAME:
        raise BadIdError("it does not hold what an id holds")
    identity = Identity(kind, platform, task, place, provider_id, model, created_at, keep)
    if encode(identity) != text:
        raise BadIdError("it is written in another way than ids are")
    return identity
