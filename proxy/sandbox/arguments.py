"""From the user's words to the arguments of a tool: what they plainly hold goes where the schema has a place for it.

A command in backticks, a path, a URL, `name: value`, a JSON object that fits. The rest of what the schema requires is filled.
"""

import re
from collections.abc import Callable, Collection, Iterator

import orjson

from proxy.sandbox import text as words
from proxy.sandbox.reading import mapping
from proxy.sandbox.replies import Json
from proxy.sandbox.schema import NOTHING, Filler, fits, kind_of

COMMANDS = frozenset(("command", "cmd", "script", "commands"))
"""Names of members that hold a command line."""

_TAGGED = re.compile(r"<([a-z]+[-_][\w-]*)\b[^>]*>.*?</\1>", re.DOTALL)  # what clients put around the user's words
_FENCED = re.compile(r"```[^\n]*\n(.*?)\n?```", re.DOTALL)
_TICKED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)")
_PATH = re.compile(r"(?<![\w/:.])(?:~?/|\.{1,2}/)?[\w.-]+(?:/[\w.-]+)+|(?<![\w/])(?:~?/)[\w.-]+|\b[\w-]+\.[a-zA-Z]\w{0,4}\b")
_URL = re.compile(r"https?://[^\s\"'`<>)]+")
_PATCH = re.compile(r"\*\*\* Begin Patch.*?\*\*\* End Patch", re.DOTALL)
_SOME_PATCH = "*** Begin Patch\n*** Add File: sandbox.txt\n+sandbox\n*** End Patch"


def plain(text: str) -> str:
    """The user's own words, without blocks such as `<environment_context>...</environment_context>`."""
    return _TAGGED.sub(" ", text).strip()


def commands_in(text: str, but: Collection[str] = ()) -> list[str]:
    """The commands that a text holds in backticks or in a fenced block; `but` are names of tools."""
    found = [command for command in _TICKED.findall(_FENCED.sub(" ", text)) if command not in but]
    return found or [block for block in _FENCED.findall(text) if block.strip()]


def free_input(name: str, description: str, text: str) -> str:
    """The input of a tool that takes free text: a patch, a block or a quotation of the user's, else the words themselves."""
    patch = _PATCH.search(text)
    if patch is not None:
        return patch[0]
    if "patch" in f"{name} {description}".lower():
        return _SOME_PATCH
    block = _FENCED.search(text)
    return str(block[1]) if block is not None else next(iter(commands_in(text, (name,))), text)


def arguments_from(schema: Json, text: str, tools: Collection[str] = ()) -> list[Json]:
    """The arguments of one or more calls: a JSON object in the text that fits, else made for the schema, once for each command."""
    given = next((found for found in _objects_in(text) if fits(found, schema)), None)
    if given is not None:
        return [given]
    takes = COMMANDS & mapping(schema.get("properties")).keys()
    commands = commands_in(text, tools) if takes else []
    names = words.names_in(text)
    rest = _TICKED.sub(" ", _FENCED.sub(" ", text)) if commands else text  # what a command says is not said of other members
    made = (Filler(schema, names, told=_told(rest, command)).value() for command in commands or [""])
    return [mapping(one) for one in made]


def _objects_in(text: str) -> Iterator[Json]:
    """The JSON objects that stand in a text."""
    for opening in list(re.finditer(r"\{", text))[:20]:
        for closing in list(re.finditer(r"\}", text[opening.start() :]))[:20]:
            try:
                found = orjson.loads(text[opening.start() : opening.start() + closing.end()])
            except orjson.JSONDecodeError:
                continue
            if found:
                yield found
            break


def _told(text: str, command: str) -> Callable[[str, Json], object]:
    """What the text says about a member, by its name and schema; NOTHING where it says nothing that fits."""

    def told(name: str, schema: Json) -> object:
        return next((value for value in _candidates(text, command, name, schema) if fits(value, schema)), NOTHING)

    return told


def _candidates(text: str, command: str, name: str, schema: Json) -> Iterator[object]:
    kind, lowered = kind_of(schema), name.lower()
    spelled = re.escape(name).replace("_", "[ _]")
    if name in COMMANDS and command:
        yield from (command, [command]) if name == "commands" else (command, ["bash", "-lc", command])
    said = re.search(rf"\b{spelled}`?\s*[=:]\s*(?:`([^`]+)`|\"([^\"]+)\"|'([^']+)'|([^\s,;`\"']+))", text, re.IGNORECASE)
    number = re.search(rf"\b{spelled}\s+(?:of\s+|is\s+)?(-?\d+)|(-?\d+)\s+{spelled}\b", text, re.IGNORECASE)
    for found in (said, number):
        value = next(filter(None, found.groups()), "").rstrip(".") if found else ""
        yield from _typed(value, kind) if value else ()
    if isinstance(schema.get("enum"), list):
        yield from (value for value in schema["enum"] if isinstance(value, str) and re.search(rf"\b{re.escape(value)}\b", text))
    elif kind == "string":
        quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
        if lowered.endswith(("url", "uri")):
            yield from _URL.findall(text)
        elif "dir" in lowered:
            yield from (path for path in _PATH.findall(_URL.sub(" ", text)) if "." not in path.rpartition("/")[2])
        elif lowered.endswith(("path", "file", "filename", "file_name")):
            yield from _PATH.findall(_URL.sub(" ", text))
        elif lowered in ("pattern", "regex", "glob"):
            yield from (*quoted, *_TICKED.findall(text))
        elif lowered in ("content", "contents", "old_string", "new_string"):
            yield from (*quoted, *_FENCED.findall(text))
        elif lowered in ("query", "prompt", "question", "q", "search", "search_query", "task", "objective"):
            yield from (*quoted, text)


def _typed(value: str, kind: str) -> Iterator[object]:
    if kind in ("integer", "number", "boolean"):
        try:
            yield orjson.loads(value.lower())
        except orjson.JSONDecodeError:
            return
    else:
        yield value
