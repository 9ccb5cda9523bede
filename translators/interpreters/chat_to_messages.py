"""The client speaks chat, the platform messages: M1 (requests), M3 (answers), M5 (streams)."""

from collections.abc import Iterable, Mapping

from translators.interpreters.base import Ask, Event, FailedError, Interpreter, JsonObject, Media, Settings, World
from translators.interpreters.chat_to_messages_answer import choice_of, usage_of
from translators.interpreters.chat_to_messages_options import THINKING, Options
from translators.interpreters.chat_to_messages_stream import MessagesStream
from translators.interpreters.chat_to_messages_turns import Turns
from translators.interpreters.common import chat_answer, media_urls, said_object, said_text, wants_usage
from translators.interpreters.failures import failure_in
from translators.model import Protocol


class ChatToMessages(Interpreter):
    """One exchange of a chat client with a messages platform."""

    client = Protocol.CHAT
    platform = Protocol.MESSAGES

    def __init__(self, settings: Settings, world: World) -> None:
        super().__init__(settings, world)
        self._model = ""
        self._custom: set[str] = set()
        self._usage = False
        self._stream: MessagesStream | None = None

    def urls(self, ask: Ask) -> Iterable[str]:
        return media_urls(ask.body.get("messages"))

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        turns = Turns(self.settings, media, self.leave_out)
        turns.read(ask.body.get("messages"))
        model = ask.model.removesuffix(THINKING)
        body: JsonObject = {"model": model, "messages": turns.messages}
        if turns.system:
            body["system"] = turns.system
        options = Options(ask.body, self.settings, self.leave_out, thinks=model != ask.model)
        options.write(body, lacks_thoughts=turns.lacks_thoughts)
        self.dropped += [path for path in options.given_up if path not in self.dropped]
        if ask.stream:
            body["stream"] = True
        self._model, self._custom, self._usage = ask.model, options.custom, wants_usage(ask.body)
        return Ask(body, model, ask.stream)

    def answer(self, said: JsonObject) -> JsonObject:
        failure = failure_in(Protocol.MESSAGES, said)
        if failure is not None:
            raise FailedError(failure)
        choice = choice_of(said_object(said, "the answer"), self._custom)
        usage = said.get("usage")
        return chat_answer(
            said_text(said.get("id"), "id") or self.world.new_id(),
            int(self.world.now()),
            said_text(said.get("model"), "model") or self._model,
            [choice],
            usage_of(usage) if isinstance(usage, dict) and usage else None,
        )

    def event(self, event: Event) -> list[Event]:
        return self._events().event(event)

    def end(self) -> list[Event]:
        return self._events().end()

    def _events(self) -> MessagesStream:
        if self._stream is None:
            created = int(self.world.now())
            self._stream = MessagesStream(self._model, self._custom, created, self.world.new_id(), usage=self._usage)
        return self._stream
