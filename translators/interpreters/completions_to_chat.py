"""The client speaks legacy completions, the platform chat: one exchange. Only inward; no platform is spoken to in completions.

A prompt is one user message. Several prompts would be several requests, and what a chat platform cannot do with a text (go on
after an echo, fill a gap before a suffix) is refused.
"""

from collections.abc import Mapping
from typing import Any, Final

from translators.interpreters.base import (
    DONE,
    Ask,
    BadAnswerError,
    Event,
    FailedError,
    Failure,
    Interpreter,
    JsonObject,
    Media,
    Settings,
    UntranslatableError,
    World,
)
from translators.interpreters.common import NO_FIELD, finish_word, said_object, said_objects, said_text, usage_in, wants_usage
from translators.interpreters.failures import failure_event, failure_in
from translators.model import Protocol

# Members that say the same in chat, under the same name.
_SAME: Final = (
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "user",
)
_READ: Final = frozenset({*_SAME, "model", "prompt", "stream", "stream_options", "suffix", "echo", "best_of"})
_CUT: Final = Failure(502, "the platform's stream ended before its answer was complete", "server_error")


class CompletionsToChat(Interpreter):
    """See `Interpreter`. The errors of both sides are alike."""

    client = Protocol.CHAT
    platform = Protocol.CHAT

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._model = ""
        self._ident = f"cmpl-{world.new_id()}"  # where the platform gives none
        self._usage = False
        self._finished: set[int] = set()  # choices of the stream that have said why they end
        self._begun: set[int] = set()
        self._over = False

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:  # noqa: ARG002 - a prompt has no media
        self.dropped = []
        self._model, self._usage = ask.model, wants_usage(ask.body)
        self._finished, self._begun, self._over = set(), set(), False
        body = ask.body
        out: JsonObject = {"model": ask.model, "messages": [{"role": "user", "content": _prompt(body.get("prompt"))}]}
        for name in ("suffix", "echo"):
            if body.get(name):
                raise UntranslatableError(
                    name, "a chat platform answers a message, it does not write on inside a text; leave it out"
                )
        if body.get("best_of") not in (None, 1, body.get("n")):
            self.leave_out("best_of", NO_FIELD)
        out |= {name: body[name] for name in _SAME if body.get(name) is not None}
        for name, value in body.items():
            if name not in _READ and value is not None:
                self.leave_out(name, NO_FIELD)
        if ask.stream:
            out |= {"stream": True, "stream_options": {"include_usage": True}}
        return Ask(out, ask.model, ask.stream)

    def origin(self, path: str) -> str:
        return "prompt" if path.startswith("messages") else path

    def answer(self, said: JsonObject) -> JsonObject:
        said = said_object(said, "answer")
        if (failure := failure_in(Protocol.CHAT, said)) is not None:
            raise FailedError(failure)
        if not isinstance(said.get("choices"), list):
            raise BadAnswerError("the platform's answer has no list at `choices`")
        choices = [
            _choice(choice, said_object(choice.get("message"), "choices[].message"))
            for choice in said_objects(said["choices"], "choices")
        ]
        return self._completion(said, choices, usage=True)

    def event(self, event: Event) -> list[Event]:
        data = event.data
        if self._over:
            return []
        if isinstance(data, str):
            if data != DONE:
                raise BadAnswerError(f"the platform's stream has text where an object is expected: `{data[:60]}`")
            return self._closed()
        data = said_object(data, "event")
        if (failure := failure_in(Protocol.CHAT, data)) is not None:
            self._over = True
            if not self._begun:
                raise FailedError(failure)
            return [failure_event(Protocol.CHAT, failure)]
        choices = []
        for choice in said_objects(data.get("choices"), "choices"):
            delta = choice.get("delta")
            made = _choice(choice, {} if delta is None else said_object(delta, "choices[].delta"))
            self._begun.add(made["index"])
            if made["finish_reason"] is not None:
                self._finished.add(made["index"])
            if made["text"] or made["finish_reason"] is not None:
                choices.append(made)
        if not choices and not (self._usage and usage_in(data)):
            return []  # a role, thoughts, or usage that nobody asked for
        return [Event(None, self._completion(data, choices, usage=self._usage))]

    def end(self) -> list[Event]:
        return [] if self._over else [event for event in self._closed() if event.data is not DONE]

    def _closed(self) -> list[Event]:
        """The closing word, where every choice has ended."""
        self._over = True
        whole = self._begun and self._begun <= self._finished
        return [Event(None, DONE) if whole else failure_event(Protocol.CHAT, _CUT)]

    def _completion(self, said: JsonObject, choices: list[JsonObject], *, usage: bool) -> JsonObject:
        created = said.get("created")
        out: JsonObject = {
            "id": said_text(said.get("id"), "id") or self._ident,
            "object": "text_completion",
            "created": created if isinstance(created, int) else int(self.world.now()),
            "model": said_text(said.get("model"), "model") or self._model,
            "choices": choices,
        }
        if usage and (told := usage_in(said)):
            out["usage"] = told
        if said.get("system_fingerprint") is not None:
            out["system_fingerprint"] = said["system_fingerprint"]
        return out


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and len(prompt) > 1 and all(isinstance(text, str) for text in prompt):
        raise UntranslatableError("prompt", "a chat platform answers one prompt at a time; send one request for each")
    raise UntranslatableError("prompt", "expected a string; a chat platform reads no token numbers")


def _choice(choice: JsonObject, said: JsonObject) -> JsonObject:
    """A choice of completions, from chat's message or delta. Thoughts have no place there."""
    index = choice.get("index")
    return {
        "text": said_text(said.get("content"), "choices[].content") or said_text(said.get("refusal"), "choices[].refusal"),
        "index": index if isinstance(index, int) else 0,
        "logprobs": None,
        "finish_reason": finish_word(choice, "choices[].finish_reason") or None,
    }
