"""What the sandbox says next in a conversation, whatever the protocol: one `Ask` in, one `Answer` out, nothing kept between them.

Each protocol module reads its request into an `Ask` and prints the `Answer` in its own shape, so that the four behave alike: a tool
is called when it is required or when the user speaks of it, with arguments from the user's own words where they hold some; results
of tools are answered with text that quotes them; a schema is filled; text is cut at the limit, calls and thoughts never are.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import orjson

from proxy.sandbox import text as words
from proxy.sandbox.arguments import COMMANDS, arguments_from, commands_in, free_input, plain
from proxy.sandbox.reading import mapping
from proxy.sandbox.replies import Json
from proxy.sandbox.schema import Filler

Choice = Literal["auto", "required", "none"]
Ending = Literal["stop", "stop_sequence", "length", "calls"]
Role = Literal["system", "user", "model", "tool"]

FEW = 8
"""Of so many tools a word of a name is enough to mean one; agents bring more, with words that stand in every text."""

COMMON = frozenset(
    (
        *("and", "are", "can", "current", "for", "from", "get", "have", "set", "that", "the"),
        *("this", "use", "what", "when", "where", "which", "will", "with", "you", "your"),
    )
)
"""Words that say nothing about which tool is meant."""

_RUN = re.compile(r"\b(?:run|execute|shell|command|terminal)\b", re.IGNORECASE)
_ANY_TOOL = re.compile(r"\b(?:use|call|invoke|try)\b.{0,40}\b(?:tool|function)s?\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tool:
    """What the client can run; `schema` is that of the arguments, None where the input is free text. `kind` is the protocol's."""

    name: str
    description: str = ""
    schema: Json | None = None
    kind: str = "function"


@dataclass(frozen=True, slots=True)
class Turn:
    """A message, or the result of one tool. `called` are the tools that a turn of the model calls."""

    role: Role
    text: str = ""
    pictures: int = 0
    called: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ask:
    """A request in the terms that all protocols share.

    `form` is the schema that the answer must fit ({}: any object, None: free text), `limit` the most tokens of text, `thinks`
    whether the client wants to see thoughts.
    """

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: Choice = "auto"
    parallel: bool = True
    form: Json | None = None
    limit: int | None = None
    stops: tuple[str, ...] = ()
    thinks: bool = False

    @cached_property
    def _place(self) -> int:
        """Where the last turn is in which the user said something; -1 where there is none."""
        said = [place for place, turn in enumerate(self.turns) if turn.role == "user" and (turn.text.strip() or turn.pictures)]
        own = [place for place in said if plain(self.turns[place].text) or self.turns[place].pictures]
        return (own or said or [-1])[-1]

    @property
    def user(self) -> Turn:
        return self.turns[self._place] if self._place >= 0 else Turn("user")

    @cached_property
    def asked(self) -> str:
        """The user's last words, without what the client put around them."""
        return plain(self.user.text) or self.user.text

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The results of tools that end the conversation."""
        last = next((place for place in range(len(self.turns), 0, -1) if self.turns[place - 1].role != "tool"), 0)
        return tuple(turn.text for turn in self.turns[last:])

    @property
    def called(self) -> set[str]:
        """The tools that were called since the user spoke."""
        return {name for turn in self.turns[self._place + 1 :] for name in turn.called}

    @cached_property
    def prompt_tokens(self) -> int:
        """The approximate size of the prompt: its texts, its pictures, the tools on offer."""
        said = sum(words.count_tokens(turn.text) + words.PICTURE_TOKENS * turn.pictures for turn in self.turns)
        offered = (f"{tool.name} {tool.description} {orjson.dumps(tool.schema or {}).decode()}" for tool in self.tools)
        return said + sum(map(words.count_tokens, offered))


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: `arguments` as they fit its schema, or the free text as `input`."""

    tool: Tool
    arguments: Json
    input: str = ""

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def text(self) -> str:
        """The arguments as JSON text, or the free text."""
        return self.input if self.tool.schema is None else orjson.dumps(self.arguments).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """Text or calls, and why it ended. `stopped_by` is the stop sequence where the ending is one; `tokens` are without thoughts."""

    text: str
    calls: tuple[Call, ...] = ()
    ending: Ending = "stop"
    stopped_by: str | None = None
    tokens: int = 0
    thought: str = ""

    @property
    def thought_tokens(self) -> int:
        return words.count_tokens(self.thought)


def answer(ask: Ask) -> Answer:
    """What the sandbox says to a request."""
    calls = tuple(call for tool in wanted_tools(ask) for call in calls_of(tool, ask))
    calls = calls if ask.parallel else calls[:1]
    thought = words.thought(ask.asked, [call.name for call in calls]) if ask.thinks else ""
    if calls:
        return Answer(
            "", calls, "calls", tokens=sum(words.count_tokens(f"{call.name} {call.text}") for call in calls), thought=thought
        )
    return cut(spoken(ask), ask.limit, ask.stops, thought)


def spoken(ask: Ask) -> str:
    """The whole text, before any limit: JSON where a form is asked for, else what answers the tools' results or the question."""
    plain_text = words.echo_result(" ".join(ask.results)) if ask.results else words.echo(ask.asked, ask.model, ask.user.pictures)
    if ask.form is None:
        return plain_text
    if not ask.form:
        return orjson.dumps({"answer": plain_text, "sandbox": True}).decode()
    return orjson.dumps(Filler(ask.form, words.names_in(ask.asked), optional=True).value()).decode()


def cut(text: str, limit: int | None, stops: tuple[str, ...], thought: str = "") -> Answer:
    """The text up to the first stop sequence and up to `limit` tokens, with the ending that this means."""
    ending: Ending = "stop"
    found = min(((text.find(stop), stop) for stop in stops if stop in text), default=None)
    if found is not None:
        text, ending = text[: found[0]], "stop_sequence"
    steps = words.pieces(text)
    if limit is not None and len(steps) > limit:
        return Answer("".join(steps[:limit]), ending="length", tokens=limit, thought=thought)
    return Answer(text, ending=ending, stopped_by=found[1] if found else None, tokens=len(steps), thought=thought)


# --- which tools ---


def wanted_tools(ask: Ask) -> list[Tool]:
    """The tools to call now: those the user speaks of, else the first where one is required. None after results, so that a client's
    loop comes to an end; but where only one call at a time is allowed, those that are still to come.
    """
    if ask.choice == "none" or not ask.tools or (ask.results and ask.parallel):
        return []
    meant = meant_tools(ask)
    if ask.results:
        return [tool for tool in meant if tool.name not in ask.called]
    return meant or (list(ask.tools[:1]) if ask.choice == "required" else [])


def meant_tools(ask: Ask) -> list[Tool]:
    """The tools that the user's words name, in their order; else one that runs the command they hold; else, of a few tools, those
    whose name shares a telling word with them, or the first whose description does; else the first, where any tool is asked for."""
    text = ask.asked
    named = sorted((found.start(), place) for place, tool in enumerate(ask.tools) if (found := _name_in(tool.name, text)))
    if named:
        return [ask.tools[place] for _, place in named]
    running = [tool for tool in ask.tools if tool.schema and COMMANDS & mapping(tool.schema.get("properties")).keys()]
    if running and _RUN.search(text) and commands_in(text):
        return running[:1]
    if len(ask.tools) <= FEW:
        stems = _stems(text)
        meant = [tool for tool in ask.tools if stems & _stems(tool.name)]
        meant = meant or [tool for tool in ask.tools if stems & _stems(tool.description)][:1]
        if meant:
            return meant
    return list(ask.tools[:1]) if _ANY_TOOL.search(text) else []


def _name_in(name: str, text: str) -> re.Match[str] | None:
    """Where a text names a tool. A name that is a plain word must be quoted, or stand by `tool`, `use`, `call`, or the like."""
    escaped = re.escape(name)
    if re.fullmatch(r"[A-Za-z][a-z]*", name):
        near = rf"\b(?:use|call|invoke|using|calling|with)\s+(?:the\s+)?(?:tool\s+)?{escaped}\b"
        return re.search(rf"{near}|\b{escaped}\s+tool\b|\btool\s+{escaped}\b|[`'\"]{escaped}[`'\"]", text)
    return re.search(rf"(?<![\w/.-]){escaped}(?![\w/-])", text)


def calls_of(tool: Tool, ask: Ask) -> list[Call]:
    """The calls of one tool: one, or one for each command that the user's words hold."""
    if tool.schema is None:
        return [Call(tool, {}, free_input(tool.name, tool.description, ask.asked))]
    names = {each.name for each in ask.tools}
    return [Call(tool, arguments) for arguments in arguments_from(tool.schema, ask.asked, names)]


def _stems(text: str) -> set[str]:
    """The telling words of a text or an identifier in lower case, a plural `s` taken off."""
    parts = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_a-zA-Z0-9]+", text)
    lowered = (part.lower() for part in parts)
    return {word.removesuffix("s") for word in lowered if len(word) > 2 and word not in COMMON}
