"""Which interpreter stands between a client and a platform: the coded pairs, and compositions through chat for the rest."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Final

from translators.interpreters.base import Ask, Composed, Event, Interpreter, JsonObject, Media, Settings, World
from translators.interpreters.counting import count_answer, count_request
from translators.model import Protocol, Spoken

# Module and class of a coded pair; loaded when a file translates so.
_TO_HUB: Final[Mapping[Spoken, tuple[str, str]]] = {
    Spoken.COMPLETIONS: ("completions_to_chat", "CompletionsToChat"),
    Spoken.RESPONSES: ("responses_to_chat", "ResponsesToChat"),
    Spoken.MESSAGES: ("messages_to_chat", "MessagesToChat"),
    Spoken.GENERATE: ("generate_to_chat", "GenerateToChat"),
}
_FROM_HUB: Final[Mapping[Protocol, tuple[str, str]]] = {
    Protocol.RESPONSES: ("chat_to_responses", "ChatToResponses"),
    Protocol.MESSAGES: ("chat_to_messages", "ChatToMessages"),
    Protocol.GENERATE: ("chat_to_generate", "ChatToGenerate"),
}


Made = Callable[[Settings, World], Interpreter]


def _coded(pair: tuple[str, str] | None) -> Made | None:
    if pair is None:
        return None
    made: Made = getattr(import_module(f"translators.interpreters.{pair[0]}"), pair[1])
    return made


def interpreter(client: Spoken, platform: Protocol, settings: Settings, world: World) -> Interpreter:
    """A new interpreter, for one exchange."""
    near, far = _coded(_TO_HUB.get(client)), _coded(_FROM_HUB.get(platform))
    if near is None and far is not None:
        return far(settings, world)
    if far is None and near is not None:
        return near(settings, world)
    if near is None or far is None:
        raise ValueError(f"a client that speaks {client} understands a platform that speaks {platform}")
    return Composed(near(settings, world), far(settings, world))


class Counting(Interpreter):
    """The same pair for a client that wants the number of tokens, and no answer."""

    def __init__(self, pair: Interpreter) -> None:
        super().__init__(pair.settings, pair.world)
        self.client, self.platform = pair.client, pair.platform
        self._pair = pair

    def urls(self, ask: Ask) -> Iterable[str]:
        return self._pair.urls(ask)

    def request(self, ask: Ask, media: Mapping[str, Media]) -> Ask:
        body = count_request(self._pair, ask, media)
        self.dropped = self._pair.dropped
        return Ask(body, ask.model, stream=False)

    def answer(self, said: JsonObject) -> JsonObject:
        return count_answer(self._pair, said)

    def event(self, event: Event) -> list[Event]:  # noqa: ARG002 - a count is no stream
        return []

    def end(self) -> list[Event]:
        return []
