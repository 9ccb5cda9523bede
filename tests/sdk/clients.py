"""The official SDKs as an application makes them: only `base_url` and the key are given.

Also what several test modules ask with: tools, and the HTTP library the SDKs stand on.
"""

from typing import Any

from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI

try:  # the SDKs of the newer generation stand on httpx2, the older ones on httpx
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef]

__all__ = ["CHAT_TOOL", "FLAT_TOOL", "FUNCTION", "MESSAGES_TOOL", "httpx", "make_anthropic", "make_genai", "make_openai", "say"]

KEY = "sk-test-client-key"
GPT, CLAUDE, GEMINI = "gpt-test", "claude-test", "gemini-test"
FAULT = "X-Sandbox-Fault"

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "description": "Forecast", "parameters": WEATHER}}
FLAT_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
MESSAGES_TOOL: Any = {"name": "get_weather", "description": "Forecast", "input_schema": WEATHER}
FUNCTION = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="get_weather", description="Forecast", parameters_json_schema=WEATHER),
    ]
)


def say(text: str) -> Any:
    """A conversation of one question, as chat and messages write it."""
    return [{"role": "user", "content": text}]


def make_openai(base: str, *, key: str = KEY, **options: Any) -> OpenAI:
    """A client that does not retry, so that the first answer is the one that is seen."""
    return OpenAI(api_key=key, base_url=base, max_retries=0, **options)


def make_anthropic(base: str, *, key: str = KEY, **options: Any) -> Anthropic:
    return Anthropic(api_key=key, base_url=base, max_retries=0, **options)


def make_genai(base: str, *, key: str = KEY, **options: Any) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base, **options))


def asking_for(fault: str) -> types.GenerateContentConfig:
    """The configuration of a generate call whose answer shall fail in this way."""
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={FAULT: fault}))
