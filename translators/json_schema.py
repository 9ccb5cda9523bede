"""The JSON Schema of rule files, for editors: `python -m translators.json_schema > docs/rules.schema.json`.

Generated from the words, so it names what the check reads, and no more. It is never narrower than the check: what needs more than
one word to decide (scopes, tables, what excludes what) is left to `check`. A test holds the published file against this module.
Nothing here is used at run time.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from translators.schema import Form, Shape, Word
from translators.words import platform

Schema = dict[str, Any]

TITLE = "A rule file of Dragoman"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Definitions:
    """Records that stand at several places, written once. Their names come from the word that has them first."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}
        self._names: dict[tuple[Word[object], ...], str] = {}

    def reference(self, name: str, words: tuple[Word[object], ...], least: int) -> Schema:
        known = self._names.get(words)
        if known is None:
            known = name
            count = 2
            while known in self.found:
                known, count = f"{name}_{count}", count + 1
            self._names[words] = known
            self.found[known] = {}
            self.found[known] = self.record(words, least)
        return {"$ref": f"#/$defs/{known}"}

    def record(self, words: Iterable[Word[object]], least: int = 0) -> Schema:
        words = tuple(words)
        required = [word.name for word in words if word.required]
        schema: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {word.name: self.property(word) for word in words},
        }
        if required:
            schema["required"] = required
        if least:
            schema["minProperties"] = least
        return schema

    def property(self, word: Word[object]) -> Schema:
        schema = self.shape(word.read.shape, word.name)
        if not word.doc:
            return schema
        note = f" Default: {word.default}." if word.default else ""
        return {"description": (word.doc + note).replace("`", "")} | schema

    def shape(self, shape: Shape, name: str) -> Schema:
        return _WRITERS[shape.form](self, shape, name)

    # --- the forms ---

    def any(self, _shape: Shape, _name: str) -> Schema:
        return {}

    def text(self, shape: Shape, _name: str) -> Schema:
        schema: Schema = {"type": "string"}
        if shape.values:
            schema["enum"] = list(shape.values)
        if shape.pattern:
            schema["pattern"] = shape.pattern
        return schema

    def flag(self, shape: Shape, _name: str) -> Schema:
        return {"enum": list(shape.values)} if shape.values else {"type": "boolean"}

    def number(self, _shape: Shape, _name: str) -> Schema:
        return {"type": "number"}

    def list(self, shape: Shape, name: str) -> Schema:
        schema: Schema = {"type": "array", "items": self.shape(shape.parts[0], name)}
        if shape.least:
            schema["minItems"] = shape.least
        return schema

    def map(self, shape: Shape, name: str) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": self.shape(shape.parts[0], name)}
        if shape.pattern:
            schema["propertyNames"] = {"pattern": shape.pattern}
        if shape.least:
            schema["minProperties"] = shape.least
        if shape.most is not None:
            schema["maxProperties"] = shape.most
        return schema

    def record_of(self, shape: Shape, name: str) -> Schema:
        return self.reference(name, shape.words, shape.least)

    def either(self, shape: Shape, name: str) -> Schema:
        return {"anyOf": [self.shape(part, name) for part in shape.parts]}


_WRITERS: Mapping[Form, Callable[[_Definitions, Shape, str], Schema]] = {
    Form.ANY: _Definitions.any,
    Form.TEXT: _Definitions.text,
    Form.FLAG: _Definitions.flag,
    Form.NUMBER: _Definitions.number,
    Form.LIST: _Definitions.list,
    Form.MAP: _Definitions.map,
    Form.RECORD: _Definitions.record_of,
    Form.EITHER: _Definitions.either,
}


def json_schema() -> Schema:
    """The schema. A file that extends another holds parts of words only, so of it nothing but the names at the top is said."""
    definitions = _Definitions()
    whole = definitions.record(platform.PLATFORM)
    extends = platform.EXTENDS.name
    partial = {"required": [extends], "propertyNames": {"enum": [word.name for word in platform.PLATFORM]}}
    return {
        "$schema": DRAFT,
        "title": TITLE,
        "type": "object",
        "if": {"required": [extends]},
        "then": partial,
        "else": {"$ref": "#/$defs/platform"},
        "$defs": {"platform": whole, **dict(sorted(definitions.found.items()))},
    }


def render() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
