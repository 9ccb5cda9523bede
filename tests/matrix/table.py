"""The matrix: who asks (four protocols, three readers each), whom (a platform of each protocol), what, and what must be seen.

A reader is an SDK of one generation, in an interpreter of its own: `now` is that of the tests, `older` one beside it, `js` node.
"""

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
JS = HERE.parent / "js"
OLDER = Path(sys.prefix) / "older" / "bin" / "python"

SDKS = {"chat": "openai", "responses": "openai", "messages": "anthropic", "generate": "genai"}
READERS = ("now", "older", "js")
PLATFORMS = {"chat": "deepseek", "responses": "answers", "messages": "anthropic", "generate": "gemini"}
VERSIONED = ("chat", "responses")  # their SDKs want /v1 in the base URL

# What the platform must have been asked: the ends of the paths of its protocol.
PATHS = {
    "chat": ("/chat/completions",),
    "responses": ("/responses",),
    "messages": ("/messages",),
    "generate": (":generateContent", ":streamGenerateContent"),
}

FINISHED = {"chat": "stop", "responses": "completed", "messages": "end_turn", "generate": "STOP"}
CALLED = {"chat": "tool_calls", "responses": "completed", "messages": "tool_use", "generate": "STOP"}
CUT_SHORT = {"chat": "length", "responses": "max_output_tokens", "messages": "max_tokens", "generate": "MAX_TOKENS"}

# What the SDKs call the failure that a status means; those of generate have one name for all.
STATUS_ERRORS = {404: "NotFoundError", 429: "RateLimitError"}

RETRY_AFTER = "1"  # seconds, as the embedded upstream says it: in a header, but for generate, which says it in the body


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `case` is what is asked, `fault` what the upstream is asked to do wrong."""

    name: str
    stream: bool = False
    fault: str | None = None

    @property
    def id(self) -> str:
        return "-".join(part for part in (self.name, self.fault, "streamed" if self.stream else "plain") if part)


NAMES = ("text", "picture", "tool", "result", "parallel", "structured", "short", "thinking")
ANSWERED = [Case(name, stream) for name in NAMES for stream in (False, True)]
REFUSED = [Case("text", stream, fault) for fault in ("404", "429") for stream in (False, True)]
BROKEN = [Case("text", stream, "cut") for stream in (False, True)]


PAIRS = list(product(SDKS, PLATFORMS))  # of the client's and the platform's protocol


def shows_thoughts(client: str, platform: str) -> bool:
    """Whether a client that wants thoughts is shown some: responses tell them to those who ask for a summary in that protocol."""
    return platform != "responses" or client == "responses"


def job(client: str, platform: str, reader: str, case: Case, url: str) -> dict[str, Any]:
    """A job as the drivers read it."""
    base = f"{url}/{PLATFORMS[platform]}" + ("/v1" if client in VERSIONED else "")
    return {
        "id": f"{client} {platform} {reader} {case.id}",
        "protocol": client,
        "base": base,
        "model": f"{PLATFORMS[platform]}-test",
        "case": case.name,
        "stream": case.stream,
        "fault": case.fault,
    }
