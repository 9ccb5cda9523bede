"""A chat stream as a generate stream (G5). Text and thoughts pass at once; calls, whole ones there, are collected to the end.

A Markdown picture becomes data where it comes in one piece; one that comes in several stays text.
"""

from typing import Any, Final

from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, JsonObject
from translators.interpreters.common import kind_of, said_object, said_objects, said_text
from translators.interpreters.failures import failure_event, failure_in
from translators.interpreters.generate_to_chat_answer import finish_of, grounding_of, last_parts, logprobs_of, text_parts, usage_of
from translators.interpreters.generate_words import CUT, bad_end
from translators.model import Protocol

MAX_CALLS: Final = 1024  # of one answer
EMPTY: Final = Failure(502, "The platform's stream held no answer.", "upstream_error", "empty_response")


class _Choice:
    """What is held back of one choice until its end."""

    __slots__ = ("_numbered", "annotations", "calls", "details", "finish")

    def __init__(self) -> None:
        self.calls: list[JsonObject] = []
        self._numbered: dict[int, JsonObject] = {}  # the last call of each index
        self.details: list[JsonObject] = []
        self.annotations: list[JsonObject] = []
        self.finish: str | None = None

    def take(self, delta: JsonObject) -> None:
        for place, fragment in enumerate(said_objects(delta.get("tool_calls"), "tool_calls")):
            self._fragment(fragment, place)
        if delta.get("function_call") is not None:
            self._fragment({"index": -1, "function": said_object(delta["function_call"], "function_call")}, 0)
        for entry in said_objects(delta.get("reasoning_details"), "reasoning_details"):
            self._detail(entry)
        self.annotations += said_objects(delta.get("annotations"), "annotations")

    def _call(self, fragment: JsonObject, place: int) -> JsonObject:
        """The call of a fragment, `place` in its list. Some platforms number all calls 0, told apart by ids, or number none."""
        index, ident = fragment.get("index"), fragment.get("id")
        last = self.calls[-1] if self.calls else None
        call = self._numbered.get(index) if isinstance(index, int) else None if place and not ident else last
        if call is None or (ident and call.get("id", ident) != ident):
            if len(self.calls) >= MAX_CALLS:
                raise BadAnswerError(f"the platform's answer has over {MAX_CALLS} calls; expected fewer")
            order = index if isinstance(index, int) else last["order"] if last else 0
            call = {"order": order, "function": {"arguments": []}, "custom": {"input": []}}
            self.calls.append(call)
            if isinstance(index, int):
                self._numbered[index] = call
        return call

    def _fragment(self, fragment: JsonObject, place: int) -> None:
        call = self._call(fragment, place)
        for key in ("id", "type", "extra_content"):
            if fragment.get(key):
                call.setdefault(key, fragment[key])
        for key, text in (("function", "arguments"), ("custom", "input")):
            if fragment.get(key) is not None:
                said = said_object(fragment[key], key)
                call[key][text].append(said_text(said.get(text), text))
                if said.get("name"):  # relays repeat it in each fragment
                    call[key].setdefault("name", said["name"])

    def _detail(self, entry: JsonObject) -> None:
        """Fragments of one entry have one `index` and `type`; their texts add up."""
        last = self.details[-1] if self.details else {}
        if "index" not in entry or any(entry.get(key) != last.get(key) for key in ("index", "type")):
            self.details.append(dict(entry))
            return
        for key, value in entry.items():
            held = last.get(key)
            joined = key in ("text", "summary", "data") and isinstance(held, str) and isinstance(value, str)
            last[key] = f"{held}{value}" if joined else held if value is None else value

    def parts(self) -> list[JsonObject]:
        """The last parts; there is at least one, as readers of streams expect."""
        for call in self.calls:
            for key, text in (("function", "arguments"), ("custom", "input")):
                call[key][text] = "".join(call[key][text])
        return last_parts(sorted(self.calls, key=lambda call: call["order"]), self.details) or [{"text": ""}]


class ChatStream:
    """Takes a chat platform's events, gives generate's. `searching`: the answer will cite places of its text."""

    def __init__(self, model: str, *, searching: bool) -> None:
        self._model = model
        self._text: list[str] | None = [] if searching else None
        self._choices: dict[int, _Choice] = {}
        self._tail: JsonObject = {}  # what every event ends with
        self._usage: Any = None
        self._plain = False  # the stream is under way, and more text of the first choice changes nothing else
        self._sent = False
        self._over = False

    def event(self, event: Event) -> list[Event]:
        data: Any = event.data
        # Nearly every event is more of one text: what is certain of it is looked at, all else is left to `_piece`.
        if self._plain:
            try:
                (choice,) = data["choices"]
                delta = choice["delta"]
                size = len(delta)
                text = delta.get("content")
                part = {"text": text}
                if text is None:
                    part["text"] = text = delta["reasoning_content"]
                    part["thought"] = True
                if (
                    (size == 1 or (size == 2 and "role" in delta))  # some relays repeat the role
                    and choice["finish_reason"] is None
                    and choice["index"] == 0
                    and text.__class__ is str
                    and text
                    and data.get("usage") is None
                    and choice.get("logprobs") is None
                    and "](data:" not in text
                ):
                    self._sent = True
                    content = {"role": "model", "parts": [part]}
                    return [Event(None, {"candidates": [{"content": content, "index": 0}], **self._tail})]
            except (KeyError, TypeError, ValueError, AttributeError):
                pass
        return [] if self._over else self._piece(data)

    def _piece(self, data: Any) -> list[Event]:
        if data == DONE:
            return self._last() if self._choices else self._fail(EMPTY)
        if failure := failure_in(Protocol.CHAT, data):
            return self._fail(failure)
        if not isinstance(data, dict):
            raise BadAnswerError(f"an event of the platform's stream is {kind_of(data)}; expected an object")
        if isinstance(data.get("usage"), dict):
            self._usage = data["usage"]
        choices = said_objects(data.get("choices"), "choices")
        if not choices:  # the chunk of the usage, or one about the prompt that some platforms begin with
            ended = bool(self._choices) and all(choice.finish for choice in self._choices.values())
            return self._last() if ended and self._usage is not None else []
        self._head(data)
        candidates = [candidate for choice in choices if (candidate := self._candidate(choice))]
        self._plain = self._text is None and 0 in self._choices
        return [self._made(candidates)] if candidates else []

    def _head(self, data: JsonObject) -> None:
        if not self._tail:
            model, ident = data.get("model"), data.get("id")
            self._tail = {"modelVersion": model if isinstance(model, str) and model else self._model}
            if isinstance(ident, str) and ident:
                self._tail["responseId"] = ident

    def _candidate(self, said: JsonObject) -> JsonObject | None:
        """What goes out at once of a choice; None where all is held back."""
        index = said.get("index")
        index = index if isinstance(index, int) else 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        delta = said_object({} if said.get("delta") is None else said["delta"], "delta")
        choice.take(delta)
        choice.finish = finish_of(said.get("finish_reason")) or choice.finish
        parts = text_parts(delta)
        if self._text is not None and index == 0:
            self._text += [part["text"] for part in parts if "text" in part and "thought" not in part]
        candidate: JsonObject = {"content": {"role": "model", "parts": parts}, "index": index}
        if logprobs := logprobs_of(said.get("logprobs")):
            candidate["logprobsResult"] = logprobs
        return candidate if parts or logprobs else None

    def _made(self, candidates: list[JsonObject], usage: JsonObject | None = None) -> Event:
        self._sent = True
        return Event(None, {"candidates": candidates, **({"usageMetadata": usage} if usage else {}), **self._tail})

    def _last(self) -> list[Event]:
        self._over = True
        self._plain = False
        candidates = []
        for index, choice in self._choices.items():
            candidate: JsonObject = {"content": {"role": "model", "parts": choice.parts()}, "index": index}
            if choice.finish:
                candidate["finishReason"] = choice.finish
            if grounding := grounding_of(choice.annotations, "".join(self._text or ()) if index == 0 else ""):
                candidate["groundingMetadata"] = grounding
            candidates.append(candidate)
        return [self._made(candidates, usage_of(self._usage))]

    def _fail(self, failure: Failure) -> list[Event]:
        self._over = True
        self._plain = False
        if not self._sent:
            raise FailedError(failure)
        return [failure_event(Protocol.GENERATE, failure)]

    def end(self) -> list[Event]:
        if self._over:
            return []
        if self._choices and all(choice.finish for choice in self._choices.values()):
            try:
                return self._last()
            except BadAnswerError as error:
                return [failure_event(Protocol.GENERATE, bad_end(error))]
        self._over = True
        return [failure_event(Protocol.GENERATE, CUT if self._choices else EMPTY)]
