"""Words of responses and of chat that mean the same, in both directions: ends, usage, citations, thoughts, signatures, names.

Tables M8 and M9. What a whole request, answer or stream is made of is not known here.
"""

import base64
from typing import Any, Final, NamedTuple

from translators.formats.strict_json import BadJsonError, dumps, loads
from translators.interpreters.base import JsonObject
from translators.interpreters.carriers import GENERATE
from translators.interpreters.common import ChatUsage, count, inner, text_of
from translators.interpreters.generate_words import markdown

# Members of a request that say the same in chat and in responses, under the same name.
SAME_MEMBERS: Final = (
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "moderation",
)

# --- ends ---------------------------------------------------------------------------------------------------------------------

# Finish reasons of an answer that is whole: chat's, and what servers of open models and relays of messages leave standing.
_WHOLE: Final = frozenset({"stop", "tool_calls", "function_call", "eos", "end_turn", "stop_sequence", "tool_use"})
# Why a response is incomplete; `sensitive` is what some platforms call a filtered answer. A word that no table knows is no regular
# end that anybody could vouch for, and stands as the reason itself.
_REASONS: Final = {"length": "max_output_tokens", "max_tokens": "max_output_tokens", "sensitive": "content_filter"}


def cut_by(finish: str) -> str | None:
    """Why an answer with this finish reason is not whole; None for one that is, and while it has none."""
    return None if not finish or finish in _WHOLE else _REASONS.get(finish, finish)


# --- usage --------------------------------------------------------------------------------------------------------------------


def responses_usage(usage: JsonObject) -> JsonObject:
    """Chat's usage in the words of responses; the two details that its type demands are 0 where they were not told."""
    told = ChatUsage(usage)
    written = {"cached_tokens": told.cached or 0, "cache_write_tokens": 0}
    return {
        "input_tokens": told.prompt,
        "input_tokens_details": {**written, **_numbers(usage, "prompt_tokens_details")},
        "output_tokens": told.completion,
        "output_tokens_details": {"reasoning_tokens": 0, **_numbers(usage, "completion_tokens_details")},
        "total_tokens": told.total,
    }


def chat_usage_of(usage: JsonObject) -> JsonObject:
    """The usage of responses in chat's words."""
    prompt, completion = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    told: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": count(usage.get("total_tokens")) or prompt + completion,
    }
    for name, details in (
        ("prompt_tokens_details", "input_tokens_details"),
        ("completion_tokens_details", "output_tokens_details"),
    ):
        if numbers := _numbers(usage, details):
            told[name] = numbers
    return told


def _numbers(usage: JsonObject, key: str) -> dict[str, int]:
    return {name: count(value) for name, value in inner(usage, key).items() if isinstance(value, int)}


# --- citations ----------------------------------------------------------------------------------------------------------------


def flat_citation(annotation: JsonObject) -> JsonObject:
    """Chat's nested `url_citation` as responses has it: flat. Anything else stays as it is."""
    held = annotation.get("url_citation")
    return {"type": "url_citation", **held} if isinstance(held, dict) else annotation


def nested_citation(annotation: JsonObject) -> JsonObject:
    if annotation.get("type") != "url_citation":
        return annotation
    return {"type": "url_citation", "url_citation": {key: value for key, value in annotation.items() if key != "type"}}


# --- pictures -----------------------------------------------------------------------------------------------------------------


def picture_of(item: JsonObject) -> str:
    """The picture that the platform's own tool drew, as it stands in chat's text; empty where the item is none."""
    drawn = item.get("result")
    if item.get("type") != "image_generation_call" or not isinstance(drawn, str) or not drawn:
        return ""
    form = item.get("output_format")
    return markdown(f"image/{form if isinstance(form, str) and form else 'png'}", drawn)


# --- thoughts (M9) ------------------------------------------------------------------------------------------------------------

OWN_THOUGHTS: Final = "openai-responses-v1"  # the format of thoughts that a platform of responses signed


def packed(details: list[JsonObject]) -> str:
    """`reasoning_details` as `encrypted_content`: Base64 of the list's JSON (M9.2)."""
    return base64.b64encode(dumps(details)).decode()


def unpacked(text: str) -> list[JsonObject] | None:
    """What `packed` made the text of; None for a text that another made."""
    try:
        details = loads(base64.b64decode(text, validate=True))
    except (ValueError, BadJsonError):
        return None
    if not isinstance(details, list) or not all(isinstance(entry, dict) and "format" in entry for entry in details):
        return None
    return details


def call_signature(call: JsonObject) -> str:
    """The thought signature that a chat call carries (`extra_content.google.thought_signature`); empty when there is none."""
    found = inner(inner(call, "extra_content"), "google").get("thought_signature")
    return found if isinstance(found, str) else ""


def signature_entry(ident: str, signature: str) -> JsonObject:
    """The signature of a call among the thoughts; the entry has the call's id."""
    return {"type": "reasoning.encrypted", "data": signature, "format": GENERATE, "id": ident}


def merge_details(held: list[JsonObject], more: list[JsonObject]) -> None:
    """Entries that came in pieces: those of the same index are one, their texts joined, as the official clients do it."""
    for entry in more:
        place = entry.get("index")
        same = next(
            (old for old in held if place is not None and old.get("index") == place and old.get("type") == entry.get("type")), None
        )
        if same is None:
            held.append(dict(entry))
            continue
        for key, value in entry.items():
            old = same.get(key)
            joins = isinstance(old, str) and isinstance(value, str) and key not in ("type", "format", "id")
            same[key] = f"{old}{value}" if joins else value


# --- tools --------------------------------------------------------------------------------------------------------------------


class ToolName(NamedTuple):
    """A tool of a client of responses, found by the name that its chat function has."""

    name: str
    namespace: str | None
    custom: bool


def function_name(name: str, namespace: str | None) -> str:
    """The name of a chat function for a tool that may stand in a namespace."""
    if namespace is None:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


INPUT_SCHEMA: Final[JsonObject] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def input_arguments(text: str) -> str:
    """The arguments of the function that stands for a custom tool."""
    return text_of({"input": text})


def arguments_input(arguments: str) -> str:
    """The input of a custom tool, from its function's arguments; what a model wrote otherwise stands as it is."""
    try:
        value: Any = loads(arguments.encode())
    except (BadJsonError, UnicodeEncodeError):
        return arguments
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
