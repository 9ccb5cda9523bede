"""The tables of docs/rules.md, generated from the words: `python -m translators.reference` writes them to standard output.

A test holds the document against them. Nothing here is used at run time.
"""

import sys
from collections.abc import Iterable

from translators import words
from translators.schema import Word

BEGIN = "<!-- words: {} -->"
END = "<!-- end -->"


def table(found: Iterable[Word[object]]) -> str:
    """A Markdown table of words."""
    lines = ["| word | value | meaning |", "|---|---|---|"]
    for word in found:
        note = " **Required.**" if word.required else f" Default: {word.default}." if word.default else ""
        lines.append(f"| `{word.name}` | {word.form} | {word.doc}{note} |")
    return "\n".join(lines)


def blocks() -> dict[str, str]:
    """The tables by the name in their mark."""
    return {"platform": table(words.PLATFORM), "auth": table(words.AUTH), "route": table(words.ROUTE)}


def render() -> str:
    return "\n\n".join(f"{BEGIN.format(name)}\n{text}\n{END}" for name, text in blocks().items()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
