"""The client speaks chat, the platform responses: one exchange (tables M7 and M8, read backwards)."""

from collections.abc import Iterable, Mapping

from translators.interpreters.base import Ask, Event, Interpreter, JsonObject, Media, Settings, World
from translators.interpreters.chat_to_responses_answer import chat_completion
from translators.interpreters.chat_to_responses_request import responses_request
from translators.interpreters.chat_to_responses_stream import ChatStream
from translators.interpreters.common import media_urls, said_object, wants_usage
from translators.model import Protocol


class ChatToResponses(Interpreter):
    """See `Interpreter`."""

    client = Protocol.CHAT
    platform = Protocol.RESPONSES

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._model = ""
        self._stream = ChatStream("", world, usage=False)

    def urls(self, ask: Ask) -> Iterable[str]:
        return media_urls(ask.body.get("messages"))

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        self.dropped = []
        out = responses_request(ask, media, self.leave_out)
        self._model = ask.model
        self._stream = ChatStream(ask.model, self.world, usage=wants_usage(ask.body))
        return out

    def answer(self, said: JsonObject) -> JsonObject:
        return chat_completion(said_object(said, "answer"), self._model, self.world)

    def event(self, event: Event) -> list[Event]:
        return self._stream.event(event)

    def end(self) -> list[Event]:
        return self._stream.end()
