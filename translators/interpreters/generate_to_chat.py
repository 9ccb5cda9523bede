"""The client speaks generate, the platform chat: requests by G2, answers by G3 from right to left, streams by G5."""

from collections.abc import Mapping

from translators.interpreters.base import Ask, BadAnswerError, Event, FailedError, Interpreter, JsonObject, Media, Settings, World
from translators.interpreters.common import Origins, said_object, said_objects
from translators.interpreters.failures import failure_in
from translators.interpreters.generate_to_chat_answer import finish_of, grounding_of, last_parts, logprobs_of, text_parts, usage_of
from translators.interpreters.generate_to_chat_options import Options
from translators.interpreters.generate_to_chat_stream import ChatStream
from translators.interpreters.generate_to_chat_turns import Turns, instruction
from translators.interpreters.generate_words import camel
from translators.model import Protocol


class GenerateToChat(Interpreter):
    """One exchange of a generate client with a chat platform."""

    client = Protocol.GENERATE
    platform = Protocol.CHAT

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._model = ""
        self._searching = False
        self._origins = Origins()
        self._stream: ChatStream | None = None

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:  # noqa: ARG002 - chat takes URLs
        self.dropped = []
        self._origins = Origins()
        said = camel(ask.body)
        turns = Turns(self.leave_out, self._origins, history=self.settings.reasoning_history)
        if "systemInstruction" in said and (text := instruction(said["systemInstruction"], "systemInstruction")):
            turns.messages.append({"role": "system", "content": text})
            self._origins["messages[0]"] = "systemInstruction"
        turns.read(said.get("contents"))
        options = Options(said, self.leave_out, self._origins)
        body: JsonObject = {"model": ask.model, "messages": turns.messages, **options.write()}
        if ask.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        self._model, self._searching = ask.model, options.searching
        return Ask(body, ask.model, ask.stream)

    def origin(self, path: str) -> str:
        return self._origins.of(path)

    def answer(self, said: JsonObject) -> JsonObject:
        if failure := failure_in(Protocol.CHAT, said):
            raise FailedError(failure)
        choices = said_objects(said_object(said, "the answer").get("choices"), "choices")
        if not choices:
            raise BadAnswerError("the platform's answer has no choices; expected at least one in `choices`")
        answer: JsonObject = {"candidates": [_candidate(choice, place) for place, choice in enumerate(choices)]}
        if usage := usage_of(said.get("usage")):
            answer["usageMetadata"] = usage
        model, ident = said.get("model"), said.get("id")
        answer["modelVersion"] = model if isinstance(model, str) and model else self._model
        if isinstance(ident, str) and ident:
            answer["responseId"] = ident
        return answer

    def event(self, event: Event) -> list[Event]:
        return self._events().event(event)

    def end(self) -> list[Event]:
        return self._events().end()

    def _events(self) -> ChatStream:
        if self._stream is None:
            self._stream = ChatStream(self._model, searching=self._searching)
        return self._stream


def _candidate(choice: JsonObject, place: int) -> JsonObject:
    message = said_object(choice.get("message"), "message")
    parts = text_parts(message)
    text = "".join(part["text"] for part in parts if "text" in part and "thought" not in part)
    calls = said_objects(message.get("tool_calls"), "tool_calls")
    if message.get("function_call") is not None:
        calls.append({"function": said_object(message["function_call"], "function_call")})
    parts += last_parts(calls, said_objects(message.get("reasoning_details"), "reasoning_details"))
    index = choice.get("index")
    candidate: JsonObject = {"content": {"role": "model", "parts": parts}, "index": index if isinstance(index, int) else place}
    if finish := finish_of(choice.get("finish_reason")):
        candidate["finishReason"] = finish
    if logprobs := logprobs_of(choice.get("logprobs")):
        candidate["logprobsResult"] = logprobs
    if grounding := grounding_of(said_objects(message.get("annotations"), "annotations"), text):
        candidate["groundingMetadata"] = grounding
    return candidate
