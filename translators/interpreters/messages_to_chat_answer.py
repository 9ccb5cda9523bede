"""A chat platform's whole answer as a message, and the small tables that its stream shares (M4)."""

from collections.abc import Callable
from typing import Any, Final

from translators.interpreters.base import BadAnswerError, JsonObject
from translators.interpreters.carriers import NATIVE, detail_signature, detail_text, sealed
from translators.interpreters.common import (
    ChatUsage,
    finish_word,
    safe_id,
    said_arguments,
    said_object,
    said_objects,
    said_text,
    usage_in,
)

_STOPS: Final = {
    "stop": "end_turn",
    "eos": "end_turn",  # the word of some servers of open models
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "sensitive": "refusal",  # some platforms' word for a filtered answer
}


def stop_of(finish: str, *, calls: bool, refused: bool) -> str:
    """The stop reason. Several platforms say `stop` although they call, and a model's own refusal ends with `stop`, too.

    A word that no table knows stays as it is: clients take any, and nobody knows whether it is a regular end.
    """
    stop = _STOPS.get(finish)
    if stop is not None and stop != "end_turn":
        return stop
    return "tool_use" if calls else "refusal" if refused else stop or finish


def usage_of(usage: JsonObject) -> JsonObject:
    """The usage of a message: `input_tokens` leaves out what was read from or written to the cache."""
    said = ChatUsage(usage)
    read, written = said.cached or 0, said.written or 0
    made: JsonObject = {
        "input_tokens": max(said.prompt - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": said.completion,
    }
    if said.reasoning is not None:
        made["output_tokens_details"] = {"thinking_tokens": said.reasoning}
    return made


def words_of(content: object, where: str) -> str:
    """The text of an answer's content: a string, or (as some platforms answer) text parts."""
    if not isinstance(content, list):
        return said_text(content, where)
    return "".join(said_text(part.get("text"), f"{where}.text") for part in said_objects(content, where))


def reasoning_of(said: JsonObject, where: str) -> str:
    """The thoughts of a message or delta; platforms name them in two ways."""
    return said_text(said.get("reasoning_content") or said.get("reasoning"), f"{where}.reasoning_content")


def redacted_of(entry: JsonObject) -> str | None:
    """The data of a thought that is encrypted by the messages protocol's own rules; None for any other entry."""
    data = entry.get("data")
    own = entry.get("type") == "reasoning.encrypted" and entry.get("format") == NATIVE
    return data if own and isinstance(data, str) else None


def thinking(text: str, signature: str) -> JsonObject:
    return {"type": "thinking", "thinking": text, "signature": signature}


def message_of(said: JsonObject, model: str, new_id: Callable[[], str]) -> JsonObject:
    """The message that an answer is; further choices have no place in it."""
    choices = said_objects(said.get("choices"), "choices")
    if not choices:
        raise BadAnswerError("the platform's answer has no `choices`; expected a chat completion")
    choice = choices[0]
    message = said_object(choice.get("message"), "choices[0].message")
    finish = finish_word(choice)
    refusal = said_text(message.get("refusal"), "choices[0].message.refusal")
    content = _thoughts(message)
    if text := words_of(message.get("content"), "choices[0].message.content"):
        content.append({"type": "text", "text": text})
    if refusal:
        content.append({"type": "text", "text": refusal})
    calls = _calls(message, new_id)
    for block, extra in calls:
        if extra:
            _carry(content, extra)
        content.append(block)
    usage = usage_in(said)
    stop = stop_of(finish, calls=bool(calls), refused=bool(refusal)) if finish else None
    return {
        "id": said_text(said.get("id"), "id") or f"msg_{new_id()}",
        "type": "message",
        "role": "assistant",
        "model": said_text(said.get("model"), "model") or model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage_of(usage) if usage else {"input_tokens": 0, "output_tokens": 0},
    }


def _thoughts(message: JsonObject) -> list[JsonObject]:
    where = "choices[0].message"
    entries = said_objects(message.get("reasoning_details"), f"{where}.reasoning_details")
    blocks = []
    told = any(detail_text(entry) for entry in entries)  # then they repeat what stands in one piece beside them
    if not told and (text := reasoning_of(message, where)):
        blocks.append(thinking(text, ""))
    for entry in entries:
        data, text, signature = redacted_of(entry), detail_text(entry), detail_signature(entry)
        if data is not None:
            blocks.append({"type": "redacted_thinking", "data": data})
        elif text or signature:
            blocks.append(thinking(text, signature or ""))
    return blocks


def _calls(message: JsonObject, new_id: Callable[[], str]) -> list[tuple[JsonObject, Any]]:
    """The calls, each with the members that must come back with it."""
    made = []
    for index, call in enumerate(said_objects(message.get("tool_calls"), "choices[0].message.tool_calls")):
        where = f"choices[0].message.tool_calls[{index}]"
        ident = said_text(call.get("id"), f"{where}.id")
        made.append((_call(ident, call, where, new_id), call.get("extra_content")))
    if message.get("function_call") is not None:  # the obsolete form
        call = {"function": message["function_call"]}
        made.append((_call("", call, "choices[0].message.function_call", new_id), None))
    return made


def _call(ident: str, call: JsonObject, where: str, new_id: Callable[[], str]) -> JsonObject:
    if call.get("type") == "custom":
        custom = said_object(call.get("custom"), f"{where}.custom")
        name, given = custom.get("name"), {"input": said_text(custom.get("input"), f"{where}.custom.input")}
    else:
        function = said_object(call.get("function"), f"{where}.function")
        name, given = function.get("name"), said_arguments(said_text(function.get("arguments"), f"{where}.function.arguments"))
    ident = safe_id(ident) if ident else f"toolu_{new_id()}"
    return {"type": "tool_use", "id": ident, "name": said_text(name, f"{where}.function.name"), "input": given}


def _carry(content: list[JsonObject], extra: object) -> None:
    """What must come back with the call that follows becomes the signature of a thought before it."""
    seal = sealed("call", extra)
    if content and content[-1]["type"] == "thinking" and not content[-1]["signature"]:
        content[-1]["signature"] = seal
    else:
        content.append(thinking("", seal))
