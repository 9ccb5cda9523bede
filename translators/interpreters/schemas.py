"""JSON Schema and the subset of it that `generate` platforms take: both ways (rows `parameters` of G1, `responseSchema` of G2).

What stands inside `properties`, `enum` and the like is the client's own and keeps its case. Nothing here knows a message or a tool.
"""

from collections.abc import Mapping
from typing import Any, Final

from translators.interpreters.base import JsonObject, UntranslatableError

MAX_DEPTH: Final = 64
MAX_NODES: Final = 20_000  # of the schemas of a request, references inlined: some hundred bytes of those can stand for billions

_PLAIN: Final = frozenset(
    [
        "title",
        "description",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "minimum",
        "maximum",
        "pattern",
        "nullable",
        "propertyOrdering",
    ]
)
# Other formats of texts are refused by the platforms.
_FORMATS: Final = frozenset({"date-time", "enum", "float", "double", "int32", "int64"})
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object"})
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_CAMEL: Final = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
    "defs": "$defs",
    "ref": "$ref",
}
_NAMED: Final = ("properties", "$defs")  # schemas by names of the client's own


class Budget:
    """How many nodes the schemas of one request may still grow to."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_NODES


def to_subset(schema: Any, path: str, budget: Budget) -> JsonObject:
    """A JSON Schema in the subset. What the subset cannot say only widens what is allowed. Raises UntranslatableError."""
    return _Narrowing(schema, path, budget).convert(schema, (), 0)


class _Narrowing:
    """One conversion: the schema that references point into."""

    def __init__(self, root: Any, path: str, budget: Budget) -> None:
        self._root = root
        self._path = path
        self._budget = budget

    def convert(self, schema: Any, within: tuple[str, ...], depth: int) -> JsonObject:
        """`within`: the references that are being inlined here; one that leads back into itself is cut to any object."""
        self._budget.left -= 1
        if self._budget.left < 0 or depth > MAX_DEPTH:
            limit = f"over {MAX_NODES} nodes in the request, or over {MAX_DEPTH} levels"
            raise UntranslatableError(self._path, f"the schema with its references inlined has {limit}; simplify it")
        if isinstance(schema, bool):
            return {}
        if not isinstance(schema, Mapping):
            raise UntranslatableError(self._path, "expected a JSON Schema, which is an object; correct the schema")
        reference = schema.get("$ref")
        if isinstance(reference, str):
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            if reference in within:
                return {"type": "object", **self.convert(rest, within, depth + 1)}
            found = self.convert(self._resolve(reference), (*within, reference), depth + 1)
            return {**found, **self.convert(rest, within, depth + 1)}
        return self._convert_node(schema, within, depth + 1)

    def _convert_node(self, schema: Mapping[str, Any], within: tuple[str, ...], depth: int) -> JsonObject:
        out: JsonObject = {}
        for part in _list(schema.get("allOf")):
            _merge(out, self.convert(part, within, depth))
        out |= {key: value for key, value in schema.items() if key in _PLAIN and value is not None}
        self._set_type(out, schema.get("type"))
        word = schema.get("format")
        if isinstance(word, str) and word in _FORMATS:
            out["format"] = word
        _set_enum(out, [schema["const"]] if "const" in schema else schema.get("enum"))
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and properties:
            known = {str(name): self.convert(value, within, depth) for name, value in properties.items() if value is not False}
            out["properties"] = {**out.get("properties", {}), **known}
        if required := [name for name in _list(schema.get("required")) if isinstance(name, str)]:
            out["required"] = list(dict.fromkeys([*out.get("required", []), *required]))
        if isinstance(schema.get("items"), Mapping):
            out["items"] = self.convert(schema["items"], within, depth)
        if branches := [*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))]:
            self._set_branches(out, [self.convert(branch, within, depth) for branch in branches if not _is_null(branch)])
            if any(_is_null(branch) for branch in branches):
                out["nullable"] = True
        return out

    @staticmethod
    def _set_type(out: JsonObject, said: Any) -> None:
        types = [str(name).lower() for name in (said if isinstance(said, list) else [said])]
        if "null" in types:
            out["nullable"] = True
        known = [name for name in types if name in _TYPES]
        if len(known) == 1:
            out["type"] = known[0]
        elif known:
            out["anyOf"] = [{"type": name} for name in known]

    @staticmethod
    def _set_branches(out: JsonObject, branches: list[JsonObject]) -> None:
        if len(branches) == 1:
            _merge(out, branches[0])
        elif branches:
            out["anyOf"] = branches

    def _resolve(self, reference: str) -> Any:
        """What a reference within the same schema points to (JSON pointer after `#`)."""
        found = self._root
        if not reference.startswith("#"):
            raise UntranslatableError(
                self._path, f"`$ref` {reference[:80]!r} leads out of the schema; write what it names in its place"
            )
        for step in reference[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and len(key) < 6 and int(key) < len(found):
                found = found[int(key)]
            else:
                raise UntranslatableError(self._path, f"`$ref` {reference[:80]!r} points to nothing in the schema; correct it")
        return found


def _merge(into: JsonObject, other: JsonObject) -> None:
    properties = {**into.get("properties", {}), **other.get("properties", {})}
    required = list(dict.fromkeys([*into.get("required", []), *other.get("required", [])]))
    into |= {key: value for key, value in other.items() if key not in into}
    into |= {"properties": properties} if properties else {}
    into |= {"required": required} if required else {}


def _set_enum(out: JsonObject, values: Any) -> None:
    """Only texts can be listed; another list is left out, which allows more."""
    if not isinstance(values, list) or not values:
        return
    if None in values:
        out["nullable"] = True
    kept = [value for value in values if value is not None]
    if kept and all(isinstance(value, str) for value in kept):
        out["enum"] = kept
        out.setdefault("type", "string")


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and (schema.get("type") == "null" or ("const" in schema and schema["const"] is None))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def from_subset(schema: Any, path: str, depth: int = 0) -> JsonObject:
    """A schema of the subset as JSON Schema: types in lower case, `nullable` as a type. Raises UntranslatableError."""
    if not isinstance(schema, Mapping):
        raise UntranslatableError(path, "expected a schema, which is an object; correct the schema")
    if depth > MAX_DEPTH:
        raise UntranslatableError(path, f"the schema is nested deeper than {MAX_DEPTH} levels; simplify it")
    said: JsonObject = {_CAMEL.get(str(key), str(key)): value for key, value in schema.items() if value is not None}
    nullable = said.pop("nullable", False) is True
    said.pop("propertyOrdering", None)
    out: JsonObject = {}
    for key, value in said.items():
        if key == "type":
            lowered = value.lower() if isinstance(value, str) else value
            out |= {"type": lowered} if lowered != "type_unspecified" else {}
        elif key in _NAMED and isinstance(value, Mapping):
            out[key] = {name: from_subset(inner, path, depth + 1) for name, inner in value.items()}
        elif key == "$ref" and isinstance(value, str):
            out[key] = value.replace("#/defs/", "#/$defs/", 1)
        elif key == "items" or (key == "additionalProperties" and isinstance(value, Mapping)):
            out[key] = from_subset(value, path, depth + 1)
        elif key == "anyOf" and isinstance(value, list):
            out[key] = [from_subset(inner, path, depth + 1) for inner in value]
        elif key in _COUNTS and isinstance(value, str) and value.isdecimal() and len(value) < 19:
            out[key] = int(value)  # 64-bit numbers are texts in this protocol's JSON
        elif not (key == "format" and value == "enum"):
            out[key] = value
    if nullable:
        _allow_null(out)
    return out


def _allow_null(out: JsonObject) -> None:
    if isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if isinstance(out.get("anyOf"), list):
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
    if isinstance(out.get("enum"), list):
        out["enum"] = [*out["enum"], None]
