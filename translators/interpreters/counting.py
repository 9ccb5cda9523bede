"""Counting the tokens of a request for a client of another protocol: `messages` and `generate` have a call for that, chat has none.

Pure values: the request goes through the pair that would translate the conversation itself.
"""

from collections.abc import Mapping
from typing import Final

from translators.interpreters.base import Ask, BadAnswerError, Interpreter, JsonObject, Media, UntranslatableError
from translators.interpreters.common import need_object
from translators.interpreters.generate_words import camel
from translators.model import Protocol

# What a messages platform takes where it only counts.
_COUNTED: Final = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")
_ANSWERS: Final = {Protocol.MESSAGES: "input_tokens", Protocol.GENERATE: "totalTokens"}
_WHOLE: Final = "generateContentRequest"


def count_request(pair: Interpreter, ask: Ask, media: Mapping[str, Media]) -> JsonObject:
    """The body that asks the platform for the count. `ask.body`: the client's, of `count_tokens` or `:countTokens`.

    Raises UntranslatableError, also where the platform's protocol does not count.
    """
    if pair.platform not in _ANSWERS:
        raise UntranslatableError("model", "the platform of this model does not count tokens; count without it")
    body = ask.body
    if pair.client is Protocol.GENERATE:
        body = camel(body)
        if _WHOLE in body:
            body = need_object(body[_WHOLE], _WHOLE)
    made = pair.request(Ask(body, ask.model, stream=False), media)
    if pair.platform is Protocol.GENERATE:
        return {_WHOLE: {"model": f"models/{made.model.removeprefix('models/')}", **made.body}}
    return {key: made.body[key] for key in _COUNTED if key in made.body}


def count_answer(pair: Interpreter, said: JsonObject) -> JsonObject:
    """The client's answer. Raises BadAnswerError."""
    number = said.get(_ANSWERS[pair.platform])
    if number is None and pair.platform is Protocol.GENERATE:
        number = 0  # counts of zero are absent
    if not isinstance(number, int) or isinstance(number, bool):
        raise BadAnswerError(f"the platform's count has no number in `{_ANSWERS[pair.platform]}`")
    return {_ANSWERS[pair.client]: number}
