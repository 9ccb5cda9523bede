"""The client speaks chat, the platform generate: requests by G1, answers by G3, streams by G4."""

from collections.abc import Iterable, Mapping
from typing import Any

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
    World,
)
from translators.interpreters.chat_to_generate_answer import EMPTY, CallIds, Candidate, blocked, logprobs_of, usage_of
from translators.interpreters.chat_to_generate_options import Options, without_suffix
from translators.interpreters.chat_to_generate_turns import Contents, readable_urls
from translators.interpreters.common import Chunks, chat_answer, kind_of, said_object, said_objects, wants_usage
from translators.interpreters.failures import failure_event, failure_in
from translators.interpreters.generate_words import CUT, bad_end
from translators.model import Protocol


class ChatToGenerate(Interpreter):
    """`request` first, then `answer` or the events. Finish reasons go out at the end of the stream: more may follow the first."""

    client = Protocol.CHAT
    platform = Protocol.GENERATE

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._ids = CallIds()
        self._custom: set[str] = set()
        self._searching = False
        self._legacy = False
        self._wants_usage = False
        self._model = ""
        # the stream
        self._chunks: Chunks | None = None
        self._candidates: dict[int, Candidate] = {}
        self._plain: Chunks | None = None  # as soon as the first candidate is under way
        self._after_text = False  # more text of it changes nothing else
        self._usage: JsonObject = {}
        self._over = False

    # --- requests ---

    def urls(self, ask: Ask) -> Iterable[str]:
        return readable_urls(ask.body.get("messages"))

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        self.dropped = []
        options = Options(ask, self.settings, self.leave_out)
        contents = Contents(self.settings, media, self.leave_out)
        contents.write(ask.body.get("messages"))
        body: JsonObject = {"systemInstruction": {"parts": contents.system}} if contents.system else {}
        body["contents"] = contents.contents
        body |= options.write()
        self._ids = CallIds(ask.body["messages"])
        self._custom, self._searching, self._legacy = options.custom, options.searching, options.legacy
        self._wants_usage = wants_usage(ask.body)
        self._model = ask.model
        return Ask(body, without_suffix(ask.model), ask.stream)

    # --- whole answers ---

    def answer(self, said: JsonObject) -> JsonObject:
        if failure := failure_in(Protocol.GENERATE, said):
            raise FailedError(failure)
        candidates = said_objects(said_object(said, "answer").get("candidates"), "candidates")
        if not candidates:
            raise FailedError(blocked(said) or EMPTY)
        choices = [self._choice(candidate, position) for position, candidate in enumerate(candidates)]
        chunks = self._start(said)
        return chat_answer(chunks.ident, chunks.created, chunks.model, choices, usage_of(said))

    def _choice(self, said: JsonObject, position: int) -> JsonObject:
        candidate = Candidate(_index(said, position), self._ids, self._custom, searching=True)
        delta = candidate.take(said)
        if candidate.failed():
            raise FailedError(candidate.failure())
        content = None if candidate.calls else ""
        message: JsonObject = {"role": "assistant", "content": content, "refusal": candidate.refusal(), **delta}
        if annotations := candidate.annotations():
            message["annotations"] = annotations
        if self._legacy:
            _as_function_call(message)
        finish = None if candidate.finish is None else self._finish(candidate)
        return {"index": candidate.index, "message": message, "logprobs": logprobs_of(said), "finish_reason": finish}

    def _finish(self, candidate: Candidate) -> str:
        reason = candidate.finish_reason()
        return "function_call" if self._legacy and reason == "tool_calls" else reason

    def _start(self, said: JsonObject) -> Chunks:
        ident, model = said.get("responseId"), said.get("modelVersion")
        name = ident if isinstance(ident, str) and ident else self.world.new_id()
        return Chunks(
            name if name.startswith("chatcmpl-") else f"chatcmpl-{name}",
            int(self.world.now()),
            model if isinstance(model, str) and model else self._model,
            usage=self._wants_usage,
        )

    # --- streams ---

    def event(self, event: Event) -> list[Event]:
        # Nearly every event is more of one text: what is certain of it is looked at, all else is left to `_piece`.
        chunks = self._plain
        data: Any = event.data
        if chunks is not None:
            try:
                (said,) = data["candidates"]
                (part,) = said["content"]["parts"]
                text = part["text"]
                size = len(said)
                if (size == 1 or (size == 2 and said["index"] == 0)) and text.__class__ is str and text:
                    if len(part) == 1 and self._after_text:
                        self._usage = data.get("usageMetadata") or self._usage
                        return [chunks.delta({"content": text})]
                    if len(part) == 2 and part["thought"] is True:
                        self._usage = data.get("usageMetadata") or self._usage
                        return [chunks.delta({"reasoning_content": text})]
            except (KeyError, TypeError, ValueError, AttributeError):
                pass
        return [] if self._over else self._piece(data)

    def _piece(self, data: object) -> list[Event]:
        if data == DONE:
            return []  # this protocol has no such word, but some relays say it
        if failure := failure_in(Protocol.GENERATE, data):
            return self._fail(failure)
        if not isinstance(data, dict):
            raise BadAnswerError(f"an event of the platform's stream is {kind_of(data)}; expected an object")
        if isinstance(data.get("usageMetadata"), dict):
            self._usage = data["usageMetadata"]
        candidates = said_objects(data.get("candidates"), "candidates")
        if not candidates:
            failure = blocked(data)
            return self._fail(failure) if failure else []
        if self._chunks is None:
            if len(candidates) == 1:
                self._refuse_failed(candidates[0])
            self._chunks = self._start(data)
        out: list[Event] = []
        for position, candidate in enumerate(candidates):
            out += self._deltas(self._chunks, candidate, _index(candidate, position))
        first = self._candidates.get(0)
        self._plain = None if first is None else self._chunks
        self._after_text = first is not None and first.has_text()
        return out

    def _refuse_failed(self, said: JsonObject) -> None:
        """A first piece that is the last, and empty, fails the call: nothing has gone out yet."""
        candidate = Candidate(0, CallIds(), (), searching=False)
        candidate.take(said)
        if candidate.failed():
            self._over = True
            raise FailedError(candidate.failure())

    def _deltas(self, chunks: Chunks, said: JsonObject, index: int) -> list[Event]:
        out: list[Event] = []
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = Candidate(index, self._ids, self._custom, searching=self._searching)
            out.append(chunks.delta({"role": "assistant", "content": ""}, index=index))
        called = candidate.calls
        delta = candidate.take(said)
        for place, call in enumerate(delta.get("tool_calls", ())):
            call["index"] = called + place
        if self._legacy:
            _as_function_call(delta, first=not called)
        logprobs = logprobs_of(said)
        if delta or logprobs:
            made = chunks.delta(delta, index=index)
            if logprobs and isinstance(made.data, dict):
                made.data["choices"][0]["logprobs"] = logprobs
            out.append(made)
        return out

    def _fail(self, failure: Failure) -> list[Event]:
        self._over = True
        self._plain = None
        if self._chunks is None:
            raise FailedError(failure)
        return [failure_event(Protocol.CHAT, failure)]

    def end(self) -> list[Event]:
        if self._over:
            return []
        self._over = True
        self._plain = None
        chunks = self._chunks
        if chunks is None:
            return [failure_event(Protocol.CHAT, EMPTY)]
        candidates = self._candidates.values()
        failed = next((candidate for candidate in candidates if candidate.failed()), None)
        if failed is not None or any(candidate.finish is None for candidate in candidates):
            return [failure_event(Protocol.CHAT, failed.failure() if failed else CUT)]
        try:
            return self._last(chunks)
        except BadAnswerError as error:
            return [failure_event(Protocol.CHAT, bad_end(error))]

    def _last(self, chunks: Chunks) -> list[Event]:
        out: list[Event] = []
        for candidate in self._candidates.values():
            last: JsonObject = {}
            if annotations := candidate.annotations():
                last["annotations"] = [{"index": index, **entry} for index, entry in enumerate(annotations)]
            if refusal := candidate.refusal():
                last["refusal"] = refusal
            if last:
                out.append(chunks.delta(last, index=candidate.index))
            out.append(chunks.delta({}, self._finish(candidate), candidate.index))
        usage = usage_of({"usageMetadata": self._usage}) if self._wants_usage else None
        return [*out, *([chunks.total(usage)] if usage else []), Event(None, DONE)]


def _index(said: JsonObject, position: int) -> int:
    index = said.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else position


def _as_function_call(message: JsonObject, *, first: bool = True) -> None:
    """What a client that knows functions only is told: the first call, since there can be but one."""
    calls = message.pop("tool_calls", None)
    if calls and first:
        message["function_call"] = calls[0]["function"]
