"""The client speaks responses, the platform chat: one exchange (tables M7 to M9)."""

from collections.abc import Iterable, Mapping
from typing import Final

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
from translators.interpreters.common import Origins, finish_word, said_object, said_objects
from translators.interpreters.failures import failure_in
from translators.interpreters.responses_to_chat_items import urls_in
from translators.interpreters.responses_to_chat_request import chat_request
from translators.interpreters.responses_to_chat_stream import ResponsesStream
from translators.interpreters.responses_words import ToolName
from translators.model import Protocol

# Members of the response object that say what was asked, and what stands there where the client said nothing.
_ECHO: Final[JsonObject] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class ResponsesToChat(Interpreter):
    """See `Interpreter`. A response is never stored, whatever the client asked for: the object says so."""

    client = Protocol.RESPONSES
    platform = Protocol.CHAT

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._origins = Origins()
        self._tools: dict[str, ToolName] = {}
        self._stream = ResponsesStream(_echo({}), self._tools, "", world)

    def urls(self, ask: Ask) -> Iterable[str]:
        return urls_in(ask.body)

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        self.dropped = []
        self._origins, self._tools = Origins(), {}
        history = self.settings.reasoning_history
        out = chat_request(ask, media, self.leave_out, self._origins, self._tools, history=history)
        heard = {name: value for name, value in ask.body.items() if name not in self.dropped}
        self._stream = ResponsesStream(_echo(heard), self._tools, ask.model, self.world)
        return out

    def origin(self, path: str) -> str:
        return self._origins.of(path)

    def answer(self, said: JsonObject) -> JsonObject:
        """The answer is read as a stream of one chunk."""
        choices = said_objects(said_object(said, "answer").get("choices"), "choices")
        if (failure := failure_in(Protocol.CHAT, said)) is not None:
            raise FailedError(failure)
        if not choices:
            raise BadAnswerError("the platform's answer has no `choices`; expected one")
        self._stream.event(Event(None, {**said, "choices": [_as_delta(choices[0])]}))
        last = self._stream.event(Event(None, DONE))[-1].data
        response: JsonObject = last["response"] if isinstance(last, dict) else {}
        return response

    def event(self, event: Event) -> list[Event]:
        return self._stream.event(event)

    def failed(self, failure: Failure) -> list[Event]:
        return self._stream.failed(failure)

    def end(self) -> list[Event]:
        return self._stream.end()


def _as_delta(choice: JsonObject) -> JsonObject:
    """A whole choice as the only one of a stream. One without a finish reason is whole all the same."""
    message = said_object(choice.get("message"), "choices[0].message")
    delta = dict(message)
    calls = said_objects(message.get("tool_calls"), "choices[0].message.tool_calls")
    delta["tool_calls"] = [{**call, "index": index} for index, call in enumerate(calls)]
    return {**choice, "index": 0, "delta": delta, "finish_reason": finish_word(choice) or "stop"}


def _echo(body: JsonObject) -> JsonObject:
    said: JsonObject = {"previous_response_id": None, "store": False}
    for name, usual in _ECHO.items():
        given = body.get(name)
        if isinstance(given, dict) and isinstance(usual, dict):
            given = {**usual, **given}
        said[name] = usual if given is None else given
    return said
