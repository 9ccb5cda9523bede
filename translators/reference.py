"""The tables of docs/rules.md, generated from the words and functions.

`python -m translators.reference` writes them to standard output, `python -m translators.reference FILE` puts them into the marked
places of a document. A test holds the document against them. Nothing here is used at run time.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from translators.expressions.functions import FUNCTIONS, STANDARD
from translators.expressions.signature import Function
from translators.schema import Word
from translators.words import auth, examples, message, platform, route, task, translate

BEGIN = "<!-- words: {} -->"
END = "<!-- end -->"
_PIPE = "\\|"  # inside a cell
_MARKED = re.compile(r"<!-- words: (\w+) -->\n.*?<!-- end -->", re.DOTALL)

WORDS: Mapping[str, tuple[Word[object], ...]] = {
    "platform": platform.PLATFORM,
    "auth": auth.AUTH,
    "jwt": auth.JWT,
    "aws_v4": auth.AWS_V4,
    "google": auth.GOOGLE,
    "route": route.ROUTE,
    "pair": translate.PAIR,
    "with": translate.OPTION_WORDS,
    "edit": message.EDIT,
    "media": message.MEDIA,
    "response": message.RESPONSE,
    "stream": message.STREAM,
    "event": message.EVENT,
    "errors": message.ERRORS,
    "usage": message.USAGE,
    "retry": message.RETRY,
    "fetch": message.FETCH,
    "task": task.TASK,
    "wait": task.WAIT,
    "call": message.CALL,
    "hop": message.HOP,
    "example": examples.EXAMPLE,
    "request": examples.REQUEST,
    "answer": (*examples.EXPECTED, examples.MESSAGE_REPEAT),
    "file": examples.FILE,
}


def table(found: Iterable[Word[object]]) -> str:
    """A Markdown table of words."""
    lines = ["| word | value | meaning |", "|---|---|---|"]
    for word in found:
        note = " **Required.**" if word.required else f" Default: {word.default}." if word.default else ""
        lines.append(f"| `{word.name}` | {word.form} | {word.doc}{note} |")
    return "\n".join(lines)


def functions(found: Iterable[Function]) -> str:
    """A Markdown table of functions."""
    lines = ["| function | what it gives | example |", "|---|---|---|"]
    for function in found:
        result = json.dumps(function.result, ensure_ascii=False)
        example = function.example if function.impure else f"{function.example} → {result}"
        cells = (_code(function.signature), function.doc, _code(example))
        lines.append(f"| {' | '.join(cell.replace('|', _PIPE) for cell in cells)} |")
    return "\n".join(lines)


def _code(text: str) -> str:
    """Inline code, also around backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def blocks() -> dict[str, str]:
    """The tables by the name in their mark."""
    own = [function for name, function in FUNCTIONS.items() if name not in STANDARD]
    tables = {name: table(words) for name, words in WORDS.items()}
    return tables | {"functions": functions(own)}


def render() -> str:
    return "\n\n".join(f"{BEGIN.format(name)}\n{text}\n{END}" for name, text in blocks().items()) + "\n"


def filled(document: str) -> str:
    """The document with its marked places filled anew."""
    found = blocks()
    return _MARKED.sub(lambda match: f"{BEGIN.format(match[1])}\n{found[match[1]]}\n{END}", document)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(render())
