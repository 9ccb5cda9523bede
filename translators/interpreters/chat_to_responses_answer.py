"""A whole response as a chat completion (table M8, read backwards), and what that has in common with a stream."""

from typing import Final

from translators.interpreters.base import BadAnswerError, FailedError, JsonObject, World
from translators.interpreters.common import chat_answer, said_objects, said_text
from translators.interpreters.failures import failure_in
from translators.interpreters.responses_words import OWN_THOUGHTS, chat_usage_of, nested_citation, picture_of
from translators.model import Protocol

# The items that are calls: what chat calls them, and the member with what the model gave.
CALLS: Final = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}


def chat_completion(response: JsonObject, model: str, world: World) -> JsonObject:
    """A whole response as a chat completion. Raises FailedError, BadAnswerError."""
    if (failure := failure_in(Protocol.RESPONSES, response)) is not None:
        raise FailedError(failure)
    status = response.get("status")
    if status not in (None, "completed", "incomplete"):
        raise BadAnswerError(f"the platform's response has the status {status!r:.40}; expected completed or incomplete")
    if not isinstance(response.get("output"), list):
        raise BadAnswerError("the platform's response has no list of items at `output`")
    message = _message(response)
    incomplete = status == "incomplete"
    logprobs = message.pop("logprobs")
    finish = finish_of(response, incomplete=incomplete, calls="tool_calls" in message)
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    usage = response.get("usage")
    ident, created, model = head_of(response, model, world)
    answer = chat_answer(ident, created, model, [choice], chat_usage_of(usage) if isinstance(usage, dict) else None)
    if response.get("service_tier") is not None:
        answer["service_tier"] = response["service_tier"]
    return answer


def _message(response: JsonObject) -> JsonObject:
    """The message that the items are; its member `logprobs` belongs to the choice."""
    texts: list[str] = []
    refusals: list[str] = []
    annotations: list[JsonObject] = []
    logprobs: list[JsonObject] = []
    thoughts: list[str] = []
    details: list[JsonObject] = []
    calls: list[JsonObject] = []
    length = 0
    for item in said_objects(response["output"], "output"):
        kind = item.get("type")
        if kind == "message":
            for part in said_objects(item.get("content"), "output[].content"):
                text = said_text(part.get("text"), "output[].content[].text")
                cited = said_objects(part.get("annotations"), "output[].content[].annotations")
                annotations += [nested_citation(shifted(annotation, length)) for annotation in cited]
                logprobs += said_objects(part.get("logprobs"), "output[].content[].logprobs")
                texts.append(text)
                length += len(text)
                refusals.append(said_text(part.get("refusal"), "output[].content[].refusal"))
        elif kind == "reasoning":
            thoughts += [text] if (text := thought_of(item)) else []
            entry = sealed_entry(item, len(details))
            details += [entry] if entry is not None else []
        elif isinstance(kind, str) and kind in CALLS:
            calls.append(_call(item, kind))
        elif picture := picture_of(item):
            texts.append(picture)
            length += len(picture)
    message: JsonObject = {"role": "assistant", "content": "".join(texts) or (None if calls or any(refusals) else "")}
    message |= {"refusal": "".join(refusals) or None, "annotations": annotations}
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    message["logprobs"] = {"content": logprobs, "refusal": None} if logprobs else None
    return message


def _call(item: JsonObject, kind: str) -> JsonObject:
    word, member = CALLS[kind]
    name, ident = said_text(item.get("name"), "output[].name"), said_text(item.get("call_id"), "output[].call_id")
    if not name or not ident:
        raise BadAnswerError("the platform's response has a call without a name or `call_id`")
    return {"id": ident, "type": word, word: {"name": name, member: said_text(item.get(member), f"output[].{member}")}}


def head_of(response: JsonObject, model: str, world: World) -> tuple[str, int, str]:
    """Id, time and model of an answer, from the platform's where it says them."""
    ident, created, said = response.get("id"), response.get("created_at"), response.get("model")
    return (
        ident if isinstance(ident, str) and ident else f"chatcmpl-{world.new_id()}",
        int(created) if isinstance(created, int | float) and 0 < created < 1 << 40 else int(world.now()),
        said if isinstance(said, str) and said else model,
    )


def finish_of(response: JsonObject, *, incomplete: bool, calls: bool) -> str:
    """Chat's finish reason."""
    if incomplete:
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if calls else "stop"


def thought_of(item: JsonObject) -> str:
    """The readable thoughts of a reasoning item: its summary, or the whole text of servers that give it."""
    for key in ("summary", "content"):
        texts = [said_text(part.get("text"), f"{key}[].text") for part in said_objects(item.get(key), key)]
        if any(texts):
            return "\n\n".join(texts)
    return ""


def sealed_entry(item: JsonObject, index: int) -> JsonObject | None:
    """The thoughts that only the platform can read, as an entry of `reasoning_details` (M9)."""
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed:
        return None
    entry: JsonObject = {"type": "reasoning.encrypted", "data": sealed, "format": OWN_THOUGHTS, "index": index}
    return {**entry, "id": item["id"]} if isinstance(item.get("id"), str) else entry


def shifted(annotation: JsonObject, start: int) -> JsonObject:
    """A citation whose places count from the beginning of the whole text instead of its part."""
    if not start:
        return annotation
    moved = {key: annotation[key] + start for key in ("start_index", "end_index") if isinstance(annotation.get(key), int)}
    return {**annotation, **moved}
