"""What a chat platform answers, as generate says it: parts, finish reasons, usage, sources (G3 from right to left)."""

from typing import Any, Final

from translators.interpreters.base import BadAnswerError, JsonObject
from translators.interpreters.common import (
    ChatUsage,
    count,
    inner,
    kind_of,
    said_arguments,
    said_object,
    said_objects,
    said_text,
)
from translators.interpreters.generate_words import GENERATE_FINISH, sealed, with_media

_MODALITIES: Final = {"text_tokens": "TEXT", "image_tokens": "IMAGE", "audio_tokens": "AUDIO"}


def usage_of(said: Any) -> JsonObject | None:
    """`usageMetadata`; thoughts are counted beside the answer, and counts of zero are absent."""
    if not isinstance(said, dict) or not said:
        return None
    usage = ChatUsage(said)
    made: JsonObject = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": max(usage.completion - (usage.reasoning or 0), 0),
        "totalTokenCount": usage.total,
    }
    if usage.reasoning:
        made["thoughtsTokenCount"] = usage.reasoning
    if usage.cached:
        made["cachedContentTokenCount"] = usage.cached
    for key, member in (("prompt_tokens_details", "promptTokensDetails"), ("completion_tokens_details", "candidatesTokensDetails")):
        details = inner(said, key)
        counted = {modality: count(details.get(name)) for name, modality in _MODALITIES.items()}
        if any(counted.values()):
            made[member] = [{"modality": modality, "tokenCount": number} for modality, number in counted.items() if number]
    return made


def finish_of(reason: Any) -> str | None:
    """The finish reason; None where the platform gave none."""
    return GENERATE_FINISH.get(reason, "STOP") if isinstance(reason, str) and reason else None


def text_parts(said: JsonObject) -> list[JsonObject]:
    """Thoughts, text and pictures of a message or delta."""
    parts: list[JsonObject] = []
    thoughts = said.get("reasoning_content")
    thoughts = said_text(said.get("reasoning") if thoughts is None else thoughts, "reasoning_content")
    if thoughts:
        parts.append({"text": thoughts, "thought": True})
    parts += _content(said.get("content"))
    if refusal := said_text(said.get("refusal"), "refusal"):
        parts.append({"text": refusal})
    for image in said_objects(said.get("images"), "images"):
        parts.append(_image(said_text(inner(image, "image_url").get("url"), "images.image_url.url")))
    return parts


def _content(content: Any) -> list[JsonObject]:
    """Text, or as some platforms answer, parts of text and pictures."""
    if content is None or isinstance(content, str):
        return with_media(content or "")
    if not isinstance(content, list):
        raise BadAnswerError(f"the platform's answer has {kind_of(content)} as `content`; expected text")
    parts: list[JsonObject] = []
    for part in said_objects(content, "content"):
        if url := said_text(inner(part, "image_url").get("url"), "content.image_url.url"):
            parts.append(_image(url))
        parts += with_media(said_text(part.get("text"), "content.text"))
    return parts


def _image(url: str) -> JsonObject:
    found = with_media(f"![image]({url})") if url.startswith("data:") else []
    return found[0] if found else {"fileData": {"fileUri": url}}


def last_parts(calls: list[JsonObject], details: list[JsonObject]) -> list[JsonObject]:
    """The parts of whole calls. What the platform signed is sealed: the thoughts on the first call, or alone on an empty text."""
    parts = [_call_part(call) for call in calls]
    for place, (part, call) in enumerate(zip(parts, calls, strict=True)):
        held = {"extra": inner(call, "extra_content"), "details": details if place == 0 else []}
        if held := {key: value for key, value in held.items() if value}:
            part["thoughtSignature"] = sealed(held)
    if details and not calls:
        parts.append({"text": "", "thoughtSignature": sealed({"details": details})})
    return parts


def _call_part(call: JsonObject) -> JsonObject:
    if call.get("type") == "custom":
        custom = said_object(call.get("custom"), "custom")
        name, arguments = custom.get("name"), {"input": said_text(custom.get("input"), "custom.input")}
    else:
        function = said_object(call.get("function"), "function")
        name, arguments = function.get("name"), said_arguments(said_text(function.get("arguments"), "arguments"))
    if not isinstance(name, str):
        raise BadAnswerError("the platform's answer has a call without the name of its function; expected one in `function.name`")
    made: JsonObject = {"name": name, "args": arguments}
    if isinstance(call.get("id"), str) and call["id"]:
        made["id"] = call["id"]
    return {"functionCall": made}


# --- sources ---


def grounding_of(annotations: list[JsonObject], text: str) -> JsonObject | None:
    """`groundingMetadata` of url citations; its offsets are bytes of UTF-8 in the text."""
    chunks: list[JsonObject] = []
    supports: list[JsonObject] = []
    for annotation in annotations:
        cited = inner(annotation, "url_citation")
        if not isinstance(cited.get("url"), str):
            continue
        web = {"web": {"uri": cited["url"], "title": said_text(cited.get("title"), "title")}}
        if web not in chunks:
            chunks.append(web)
        start, end = count(cited.get("start_index")), count(cited.get("end_index"))
        if start < end <= len(text):
            first = len(text[:start].encode("utf-8", "surrogatepass"))
            segment = {"startIndex": first, "endIndex": first + len(text[start:end].encode("utf-8", "surrogatepass"))}
            supports.append({"segment": {**segment, "text": text[start:end]}, "groundingChunkIndices": [chunks.index(web)]})
    return {"groundingChunks": chunks, "groundingSupports": supports} if chunks else None


# --- probabilities of tokens ---


def logprobs_of(said: Any) -> JsonObject | None:
    """Chat's logprobs as `logprobsResult`."""
    content = said_objects(said.get("content") if isinstance(said, dict) else None, "logprobs.content")
    if not content:
        return None
    tops = [
        {"candidates": [_token(token) for token in said_objects(entry.get("top_logprobs"), "top_logprobs")]} for entry in content
    ]
    result: JsonObject = {"chosenCandidates": [_token(entry) for entry in content]}
    return result | ({"topCandidates": tops} if any(top["candidates"] for top in tops) else {})


def _token(said: JsonObject) -> JsonObject:
    return {"token": said_text(said.get("token"), "token"), "logProbability": said.get("logprob")}
