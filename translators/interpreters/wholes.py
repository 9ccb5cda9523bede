"""A whole answer said as a stream: what a client gets that asked for events where the platform gave its answer at once.

The answer is complete, so its end may be said. It is done once, in the hub: a chat completion becomes chat chunks, and those go the
way of every chat stream through the pair of a client that speaks another protocol.
"""

from typing import Any, Final

from translators.interpreters.base import DONE, BadAnswerError, Composed, Event, Interpreter, JsonObject
from translators.interpreters.carriers import detail_text
from translators.interpreters.common import said_object, said_objects
from translators.interpreters.failures import failure_in
from translators.model import Protocol

_EACH: Final = ("id", "created", "model", "service_tier", "system_fingerprint")  # what stands in every chunk
_THOUGHTS: Final = ("reasoning_content", "reasoning")  # platforms name them in two ways
_WORDS: Final = ("content", "refusal")
_PLACED: Final = frozenset({"role", "reasoning_details", "tool_calls", *_THOUGHTS, *_WORDS})


def told(pair: Interpreter, said: JsonObject, *, usage: bool) -> list[Event]:
    """The events of the client's protocol that say a platform's whole answer. `usage`: a chat client wants it in its stream.

    Nothing has gone out yet, so whatever fails is raised: FailedError, BadAnswerError.
    """
    if isinstance(pair, Composed):
        near, said = pair.near, pair.far.answer(said)
    elif pair.platform is Protocol.CHAT:
        near = pair
    else:
        return chunks(pair.answer(said), usage=usage)
    events = [out for chunk in chunks(said, usage=True) for out in near.event(chunk)] + near.end()
    failure = failure_in(near.client, events[-1].data) if events else None
    if failure is not None:
        raise BadAnswerError(f"said as a stream it fails: {failure.message}")
    return events


def chunks(said: JsonObject, *, usage: bool) -> list[Event]:
    """The chat stream that says a chat completion, with all that stands in it. Raises BadAnswerError."""
    choices = said_objects(said.get("choices"), "choices")
    if not choices:
        raise BadAnswerError("the platform's answer has no `choices`; expected a chat completion")
    each = {name: said[name] for name in _EACH if name in said} | {"object": "chat.completion.chunk"}
    rest = {name: value for name, value in said.items() if name not in each and name not in ("choices", "usage")}
    counted = usage and said.get("usage") is not None
    made = [piece for place, choice in enumerate(choices) for piece in _choice(choice, place)]
    out = [Event(None, {**each, "choices": [piece]} | ({"usage": None} if counted else {})) for piece in made]
    out[0] = Event(None, {**rest, **out[0].data})  # type: ignore[dict-item]  # it was made above
    if counted:
        out.append(Event(None, {**each, "choices": [], "usage": said["usage"]}))
    return [*out, Event(None, DONE)]


def _choice(choice: JsonObject, place: int) -> list[JsonObject]:
    """The choice in the pieces of a stream, in the order in which models speak; the last one holds why it ends."""
    message = said_object(choice.get("message"), f"choices[{place}].message")
    index = choice.get("index", place)
    more = {name: value for name, value in choice.items() if name not in ("index", "message", "finish_reason")}
    content = message.get("content")
    start = {"role": message.get("role", "assistant"), "content": "" if isinstance(content, str) else None}
    out = [_piece(index, delta) for delta in (start, *_thoughts(message, place))]
    if words := _told(message, _WORDS):
        logprobs = more.pop("logprobs", None)
        out.append(_piece(index, words) | ({} if logprobs is None else {"logprobs": logprobs}))
    if others := _told(message, tuple(name for name in message if name not in _PLACED)):
        out.append(_piece(index, others))
    for number, call in enumerate(said_objects(message.get("tool_calls"), f"choices[{place}].message.tool_calls")):
        out.append(_piece(index, {"tool_calls": [{**call, "index": number}]}))
    out.append(_piece(index, {}) | more | {"finish_reason": choice.get("finish_reason")})
    return out


def _thoughts(message: JsonObject, place: int) -> list[JsonObject]:
    """The thoughts, each before the entry that carries it to the client and back, where they are the same ones."""
    words = _told(message, _THOUGHTS)
    entries = said_objects(message.get("reasoning_details"), f"choices[{place}].message.reasoning_details")
    texts = [detail_text(entry) for entry in entries]
    if len(words) != 1 or "".join(texts) != next(iter(words.values())):
        return [delta for delta in (words, _told(message, ("reasoning_details",))) if delta]
    (name,) = words
    out: list[JsonObject] = []
    for text, entry in zip(texts, entries, strict=True):
        out += [{name: text}] if text else []
        out.append({"reasoning_details": [entry]})
    return out


def _told(message: JsonObject, names: tuple[str, ...]) -> JsonObject:
    """Those of the members that say something."""
    return {name: value for name in names if (value := message.get(name)) not in (None, "", [])}


def _piece(index: Any, delta: JsonObject) -> JsonObject:
    return {"index": index, "delta": delta, "finish_reason": None}
