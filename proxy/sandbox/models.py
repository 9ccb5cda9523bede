"""The lists of models, in the three shapes that share one path.

The sandbox answers to every model name, so a single model is described whatever it is called.
"""

from proxy.sandbox.dialect import Dialect
from proxy.sandbox.replies import Json, Plain, Reply

NAMES = ("sandbox-chat", "sandbox-embedding", "sandbox-image")
BORN = 1767225600  # 2026-01-01T00:00:00Z
BORN_TEXT = "2026-01-01T00:00:00Z"
INPUT_LIMIT = 1_000_000
OUTPUT_LIMIT = 64_000
METHODS = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")


def listed(dialect: Dialect) -> Reply:
    """Answer `GET .../models`."""
    entries = [described(dialect, name) for name in NAMES]
    match dialect:
        case Dialect.MESSAGES:
            return Plain({"data": entries, "has_more": False, "first_id": NAMES[0], "last_id": NAMES[-1]})
        case Dialect.GENERATE:
            return Plain({"models": entries})
        case Dialect.CHAT:
            return Plain({"object": "list", "data": entries})


def single(dialect: Dialect, name: str) -> Reply:
    """Answer `GET .../models/{name}`."""
    return Plain(described(dialect, name))


def described(dialect: Dialect, name: str) -> Json:
    """One model."""
    match dialect:
        case Dialect.MESSAGES:
            return {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": BORN_TEXT,
                "lifecycle": "active",
                "max_input_tokens": INPUT_LIMIT,
                "max_tokens": OUTPUT_LIMIT,
            }
        case Dialect.GENERATE:
            return {
                "name": f"models/{name}",
                "version": "1",
                "displayName": name,
                "description": "Echoes; no model stands behind it.",
                "inputTokenLimit": INPUT_LIMIT,
                "outputTokenLimit": OUTPUT_LIMIT,
                "supportedGenerationMethods": list(METHODS),
            }
        case Dialect.CHAT:
            return {"id": name, "object": "model", "created": BORN, "owned_by": "sandbox"}
