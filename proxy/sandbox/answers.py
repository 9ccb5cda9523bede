"""What the sandbox answers, whatever the protocol: one `Ask` in, one `Answer` out.

Each protocol module reads its request into an `Ask` and prints the `Answer` in its own shape, so that the four behave alike:
a tool is called when it is required or when the question speaks of it, a tool's result is answered with text, a schema is
filled, and text is cut at the limit. Tool calls are never cut.
"""

import re
from dataclasses import dataclass
from typing import Literal

import orjson

from proxy.sandbox import text as words
from proxy.sandbox.reading import mapping
from proxy.sandbox.replies import Json
from proxy.sandbox.schema import Filler

Choice = Literal["auto", "required", "none"]
Ending = Literal["stop", "stop_sequence", "length", "calls"]

COMMON = frozenset(
    (
        *("and", "are", "can", "current", "for", "from", "get", "have", "set", "that", "the"),
        *("this", "use", "what", "when", "where", "which", "will", "with", "you", "your"),
    )
)
"""Words that say nothing about which tool is meant."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the client offers; `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True, slots=True)
class Ask:
    """A request in the terms that all protocols share.

    `asked` is the text of the last user turn, `result` that of the tool results in it (None: there are none), `form` the
    schema that the answer must fit ({}: any object, None: free text), `limit` the most tokens of text.
    """

    asked: str
    model: str
    tools: tuple[Tool, ...] = ()
    choice: Choice = "auto"
    parallel: bool = True
    result: str | None = None
    pictures: int = 0
    form: Json | None = None
    limit: int | None = None
    stops: tuple[str, ...] = ()
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: Json

    @property
    def text(self) -> str:
        """The arguments as JSON text."""
        return orjson.dumps(self.arguments).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """Text or tool calls, and why it ended. `stopped_by` is the stop sequence when the ending is `stop_sequence`."""

    text: str
    calls: tuple[Call, ...] = ()
    ending: Ending = "stop"
    stopped_by: str | None = None
    tokens: int = 0


def answer(ask: Ask) -> Answer:
    """What the sandbox says to a request."""
    wanted = wanted_tools(ask)
    if wanted:
        names = words.names_in(ask.asked)
        calls = tuple(Call(tool.name, mapping(Filler(tool.schema, names).value())) for tool in wanted)
        return Answer("", calls, "calls", tokens=sum(words.count_tokens(f"{call.name} {call.text}") for call in calls))
    return cut(spoken(ask), ask.limit, ask.stops)


def spoken(ask: Ask) -> str:
    """The whole text, before any limit."""
    if ask.form is not None:
        return structured(ask)
    if ask.result is not None:
        return words.echo_result(ask.result)
    return words.echo(ask.asked, ask.model, ask.pictures)


def structured(ask: Ask) -> str:
    """JSON text that fits the form asked for; without a schema an object that carries the usual words."""
    if not ask.form:
        return orjson.dumps({"answer": words.echo(ask.asked, ask.model, ask.pictures), "sandbox": True}).decode()
    return orjson.dumps(Filler(ask.form, words.names_in(ask.asked), optional=True).value()).decode()


def cut(text: str, limit: int | None, stops: tuple[str, ...]) -> Answer:
    """The text up to the first stop sequence and up to `limit` tokens, with the ending that this means."""
    ending: Ending = "stop"
    found = min(((text.find(stop), stop) for stop in stops if stop in text), default=None)
    if found is not None:
        text, ending = text[: found[0]], "stop_sequence"
    steps = words.pieces(text)
    if limit is not None and len(steps) > limit:
        return Answer("".join(steps[:limit]), ending="length", tokens=limit)
    return Answer(text, ending=ending, stopped_by=found[1] if found else None, tokens=len(steps))


def wanted_tools(ask: Ask) -> list[Tool]:
    """The tools to call now: those whose name the question mentions, or one whose description it does, or, when a call is
    required, the first. None after a tool result, so that a client's loop comes to an end.
    """
    if ask.choice == "none" or ask.result is not None or not ask.tools:
        return []
    asked = _stems(ask.asked)
    wanted = [tool for tool in ask.tools if asked & _stems(tool.name)]
    if not wanted:
        wanted = [tool for tool in ask.tools if asked & _stems(tool.description)][:1]
    if not wanted and (ask.choice == "required" or asked & {"tool", "function"}):
        wanted = [ask.tools[0]]
    return wanted if ask.parallel else wanted[:1]


def _stems(text: str) -> set[str]:
    """The telling words of a text or an identifier in lower case, a plural `s` taken off."""
    parts = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_a-zA-Z0-9]+", text)
    lowered = (part.lower() for part in parts)
    return {word.removesuffix("s") for word in lowered if len(word) > 2 and word not in COMMON}
