"""What travels through a messages client that its protocol has no field for: it stands, sealed, as the signature of a thought.

Clients of that protocol give thoughts back with their signature, unread. A seal holds members of chat (`extra_content` of a call,
an entry of `reasoning_details`), and is opened when the thought returns (M9). Signatures of the protocol's own stay as they are.
"""

import base64
from typing import Any, Final

from translators.formats.strict_json import BadJsonError, loads
from translators.interpreters.base import JsonObject
from translators.interpreters.common import text_of

NATIVE: Final = "anthropic-claude-v1"  # the `format` of thoughts whose signature is the messages protocol's own
GENERATE: Final = "google-gemini-v1"  # of those that a generate platform signed

_SEAL: Final = "chat-v1."


def sealed(kind: str, held: Any) -> str:
    """The signature that carries a value; `kind` is `call` or `detail`."""
    return _SEAL + base64.urlsafe_b64encode(text_of({kind: held}).encode()).decode().rstrip("=")


def opened(signature: str) -> JsonObject | None:
    """What `sealed` put in, by its kind; None for a signature of another making."""
    if not signature.startswith(_SEAL):
        return None
    coded = signature[len(_SEAL) :]
    try:
        held = loads(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)))
    except (BadJsonError, ValueError):
        return None
    return held if isinstance(held, dict) else None


def detail_text(entry: JsonObject) -> str:
    """The words of an entry of `reasoning_details`, which a client may show."""
    text = entry.get("text") or entry.get("summary")
    return text if isinstance(text, str) else ""


def detail_signature(entry: JsonObject) -> str | None:
    """The signature that carries an entry without its words; None for one that has nothing else."""
    signature, data = entry.get("signature"), entry.get("data")
    if entry.get("format") == NATIVE and isinstance(signature, str) and signature:
        return signature
    if not signature and not data:
        return None
    return sealed("detail", {key: value for key, value in entry.items() if key not in ("text", "summary")})


def detail_of(held: JsonObject, text: str) -> JsonObject:
    """The entry of `reasoning_details` that a seal holds, with its words."""
    if not text:
        return held
    return {**held, "summary" if held.get("type") == "reasoning.summary" else "text": text}
