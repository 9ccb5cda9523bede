"""The golden vectors beside this file: their blocks, read by the comments before them."""

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from translators.interpreters.base import DONE, Event

_BLOCK = re.compile(r"<!-- golden: (\S+) ([^\n]*?)-->\n```[a-z]*\n(.*?)\n```\n", re.DOTALL)


class Vector(NamedTuple):
    """`kind` as the comment says, `expect` its other attributes by name (`expect`, `expect-tools`, ...), `text` the block."""

    kind: str
    expect: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Event]:
        """The events of a stream, parsed."""
        found = []
        for block in re.split(r"\n\s*\n", self.text.strip()):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            data = fields["data"]
            found.append(Event(fields.get("event"), DONE if data == DONE else json.loads(data)))
        return found

    @property
    def stream(self) -> bytes:
        """The bytes of a stream."""
        return self.text.encode() + (b"\n" if self.text.endswith("\n") else b"\n\n")


@cache
def vectors() -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    for path in sorted((Path(__file__).parent / "golden").glob("*.md")):
        for name, attributes, text in _BLOCK.findall(path.read_text(encoding="utf-8")):
            pairs = dict(word.split("=", 1) for word in shlex.split(attributes))
            found[name] = Vector(pairs.pop("kind"), pairs, text)
    return found
