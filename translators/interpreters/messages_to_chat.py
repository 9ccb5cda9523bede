"""The client speaks messages, the platform chat: M2 (requests), M4 (answers), M6 (streams)."""

from collections.abc import Iterable, Mapping

from translators.interpreters.base import Ask, Event, FailedError, Interpreter, JsonObject, Media, Settings, World
from translators.interpreters.common import Origins, said_object
from translators.interpreters.failures import failure_in
from translators.interpreters.messages_to_chat_answer import message_of
from translators.interpreters.messages_to_chat_options import Options
from translators.interpreters.messages_to_chat_stream import ChatStream
from translators.interpreters.messages_to_chat_turns import Turns, media_urls
from translators.model import Protocol


class MessagesToChat(Interpreter):
    """One exchange of a messages client with a chat platform."""

    client = Protocol.MESSAGES
    platform = Protocol.CHAT

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._model = ""
        self._origins = Origins()
        self._stream: ChatStream | None = None

    def urls(self, ask: Ask) -> Iterable[str]:
        return media_urls(ask.body.get("messages"))

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        self._model, self._origins = ask.model, Origins()
        turns = Turns(media, self.leave_out, self._origins, history=self.settings.reasoning_history)
        turns.read(ask.body.get("system"), ask.body.get("messages"))
        body: JsonObject = {"model": ask.model, "messages": turns.messages}
        Options(ask.body, self.settings, self.leave_out, self._origins).write(body)
        if ask.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Ask(body, ask.model, ask.stream)

    def answer(self, said: JsonObject) -> JsonObject:
        failure = failure_in(Protocol.CHAT, said)
        if failure is not None:
            raise FailedError(failure)
        return message_of(said_object(said, "the answer"), self._model, self.world.new_id)

    def event(self, event: Event) -> list[Event]:
        return self._events().event(event)

    def end(self) -> list[Event]:
        return self._events().end()

    def origin(self, path: str) -> str:
        return self._origins.of(path)

    def _events(self) -> ChatStream:
        if self._stream is None:
            self._stream = ChatStream(self._model, self.world.new_id)
        return self._stream
