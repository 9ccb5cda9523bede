"""A messages platform's whole answer as a chat completion, and the small tables that its stream shares (M3)."""

from typing import Final

from translators.interpreters.base import BadAnswerError, JsonObject
from translators.interpreters.carriers import NATIVE
from translators.interpreters.common import chat_usage, count, inner, said_list, said_object, said_objects, said_text, text_of

FINISHES: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_of(stop_reason: object) -> str | None:
    """Chat's finish reason; None where the platform said none. A reason that no table knows stays as it is: clients of chat take
    any word, and nobody knows whether it is a regular end."""
    return FINISHES.get(stop_reason, stop_reason) if isinstance(stop_reason, str) and stop_reason else None


def refusal_of(said: JsonObject) -> str | None:
    """Why a model refused; None where it did not say."""
    explanation = inner(said, "stop_details").get("explanation")
    return explanation if isinstance(explanation, str) and said.get("stop_reason") == "refusal" else None


def usage_of(usage: JsonObject) -> JsonObject:
    """Chat's usage: the prompt is the sum of all three input numbers, since `input_tokens` leaves the cached ones out."""
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    thought = inner(usage, "output_tokens_details").get("thinking_tokens")
    return chat_usage(
        count(usage.get("input_tokens")) + read + written,
        count(usage.get("output_tokens")),
        cached=read,
        written=written,
        reasoning=None if thought is None else count(thought),
    )


def thought(block: JsonObject, index: int, where: str) -> JsonObject | None:
    """The entry of `reasoning_details` that carries a thought to the client and back (M9); None for one without a signature."""
    if block.get("type") == "redacted_thinking":
        return {
            "type": "reasoning.encrypted",
            "data": said_text(block.get("data"), f"{where}.data"),
            "format": NATIVE,
            "index": index,
        }
    signature = said_text(block.get("signature"), f"{where}.signature")
    if not signature:
        return None
    text = said_text(block.get("thinking"), f"{where}.thinking")
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": NATIVE, "index": index}


def annotation(citation: object, start: int, end: int) -> JsonObject | None:
    """The citation of a page, said of `content[start:end]`; None for citations of the client's own documents."""
    if not isinstance(citation, dict) or citation.get("type") != "web_search_result_location":
        return None
    url, title = citation.get("url"), citation.get("title")
    if not isinstance(url, str):
        return None
    held = {"start_index": start, "end_index": end, "url": url, "title": title if isinstance(title, str) else ""}
    return {"type": "url_citation", "url_citation": held}


def call(ident: str, name: str, arguments: JsonObject, *, custom: bool) -> JsonObject:
    """A call; one of a free-form tool has its text in place of arguments."""
    if not custom:
        return {"id": ident, "type": "function", "function": {"name": name, "arguments": text_of(arguments)}}
    return {"id": ident, "type": "custom", "custom": {"name": name, "input": free_text(arguments)}}


def free_text(arguments: JsonObject) -> str:
    """What a free-form tool is given: the one property that its schema has."""
    text = arguments.get("input")
    return text if isinstance(text, str) else text_of(arguments)


def choice_of(said: JsonObject, custom: set[str]) -> JsonObject:
    """The one choice of the completion. Blocks of hosted tools have no counterpart; what came of them is in the text."""
    if not isinstance(said.get("content"), list):
        raise BadAnswerError("the platform's answer has no list `content`; expected a message of the messages protocol")
    content, reasoning = "", ""
    details: list[JsonObject] = []
    annotations: list[JsonObject] = []
    calls: list[JsonObject] = []
    for index, block in enumerate(said_objects(said.get("content"), "content")):
        where, kind = f"content[{index}]", block.get("type")
        if kind == "text":
            start = len(content)
            content += said_text(block.get("text"), f"{where}.text")
            made = [
                annotation(citation, start, len(content)) for citation in said_list(block.get("citations"), f"{where}.citations")
            ]
            annotations += filter(None, made)
        elif kind in ("thinking", "redacted_thinking"):
            reasoning += said_text(block.get("thinking"), f"{where}.thinking")
            if entry := thought(block, len(details), where):
                details.append(entry)
        elif kind == "tool_use":
            name, ident = said_text(block.get("name"), f"{where}.name"), said_text(block.get("id"), f"{where}.id")
            calls.append(call(ident, name, said_object(block.get("input"), f"{where}.input"), custom=name in custom))
    refusal = refusal_of(said)
    message: JsonObject = {"role": "assistant", "content": content or (None if calls or refusal else ""), "refusal": refusal}
    parts = {"reasoning_content": reasoning, "reasoning_details": details, "annotations": annotations, "tool_calls": calls}
    message.update({field: value for field, value in parts.items() if value})
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(said.get("stop_reason"))}
