"""A value that fits a JSON schema: tool arguments and structured answers are made with it.

It knows the words of a schema that requests really use: types (also upper-case and nullable ones), `enum`, `const`,
`properties`, `required`, items, bounds, string formats, `$ref`, `anyOf`, `oneOf`, `allOf`. It does not know `pattern`, `not`,
`if` and `dependent...`; a schema that needs them gets a value that may not fit.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final

from proxy.sandbox.reading import items, mapping, strings
from proxy.sandbox.replies import Json

DEPTH = 24
"""Beyond this depth a schema refers to itself without end, and null is given."""

SHALLOW = 6
"""Beyond this depth nothing is made that the schema allows to be null or left out."""

MOST = 5000
"""How many values are made at most; then null is given."""

FALLBACK = "sandbox"

FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "sandbox@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


NOTHING: Final = object()
"""What `told` says of a member about which it knows nothing."""


class Filler:
    """Makes values for one schema. `words` are used up, in order, for the free strings; `told` may know members of the top by name
    and schema."""

    def __init__(
        self,
        schema: Json,
        words: Iterable[str] = (),
        *,
        optional: bool = False,
        told: Callable[[str, Json], object] = lambda _name, _schema: NOTHING,
    ) -> None:
        self._root = schema
        self._words = iter(words)
        self._optional = optional
        self._told = told
        self._left = MOST

    def value(self) -> object:
        """A value that fits; optional properties are left out unless `optional` was said."""
        return self._fill(self._root, 0)

    def _fill(self, schema: Json, depth: int) -> object:
        self._left -= 1
        if depth > DEPTH or self._left < 0:
            return None
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for name in ("anyOf", "oneOf"):
            options = items(schema.get(name))
            if options:
                if depth > SHALLOW and any(kind_of(option) == "null" for option in options):
                    return None
                rest = {key: value for key, value in schema.items() if key != name}
                return self._fill({**rest, **options[0]}, depth + 1)
        if depth > SHALLOW and nullable(schema):
            return None
        return self._typed(kind_of(schema), schema, depth)

    def _typed(self, kind: str, schema: Json, depth: int) -> object:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case _:
                return None

    def _object(self, schema: Json, depth: int) -> Json:
        properties = mapping(schema.get("properties"))
        wanted = schema.get("required")
        names = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else []
        if self._optional and depth <= SHALLOW:
            names += [name for name in properties if name not in names]
        said: Json = {}
        if depth == 0:
            known = {name: self._told(name, self._resolve(mapping(schema))) for name, schema in properties.items()}
            said = {name: value for name, value in known.items() if value is not NOTHING}
            names += [name for name in said if name not in names]
        return {
            name: said[name] if name in said else self._fill(mapping(properties.get(name)) or {"type": "string"}, depth + 1)
            for name in names
        }

    def _array(self, schema: Json, depth: int) -> list[object]:
        leading = [self._fill(entry, depth + 1) for entry in items(schema.get("prefixItems"))]
        at_least = count(schema.get("minItems"), 0)
        if not leading and self._optional and depth <= SHALLOW:
            at_least = max(at_least, min(1, count(schema.get("maxItems"), 1)))
        element = mapping(schema.get("items")) or {"type": "string"}
        return leading + [self._fill(element, depth + 1) for _ in range(min(at_least, 100) - len(leading))]

    def _string(self, schema: Json) -> str:
        form = schema.get("format")
        text = FORMATS.get(form) if isinstance(form, str) else None
        if text is None:
            text = next(self._words, FALLBACK)
        text = text.ljust(min(count(schema.get("minLength"), 0), 10_000), ".")
        return text[: count(schema.get("maxLength"), len(text))]

    def _resolve(self, schema: Json) -> Json:
        """Follow `$ref` within the document and merge `allOf`; members beside them stay."""
        for _ in range(DEPTH):
            reference = schema.get("$ref")
            if isinstance(reference, str):
                beside = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._target(reference), **beside}
            elif items(schema.get("allOf")):
                schema = merged({key: value for key, value in schema.items() if key != "allOf"}, items(schema["allOf"]))
            else:
                break
        return schema

    def _target(self, reference: str) -> Json:
        target: object = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                target = mapping(target).get(step.replace("~1", "/").replace("~0", "~"))
        return mapping(target)


_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None),
}  # fmt: skip


def fits(value: object, schema: Json) -> bool:
    """Whether a value fits a schema, as far as it is written without references and alternatives; these take nothing."""
    if any(name in schema for name in ("$ref", "allOf", "anyOf", "oneOf")):
        return False
    if value is None:
        return nullable(schema)
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return False
    kind = kind_of(schema)
    if not isinstance(value, _KINDS.get(kind, object)) or (isinstance(value, bool) and kind != "boolean"):
        return False
    if isinstance(value, dict):
        properties, needed = mapping(schema.get("properties")), schema.get("required")
        return all(name in value for name in strings(needed)) and all(
            name in properties and fits(one, mapping(properties[name])) for name, one in value.items()
        )
    if isinstance(value, list):
        least, most = count(schema.get("minItems"), 0), count(schema.get("maxItems"), len(value))
        return least <= len(value) <= most and all(fits(one, mapping(schema.get("items"))) for one in value)
    if isinstance(value, str):
        return count(schema.get("minLength"), 0) <= len(value) <= count(schema.get("maxLength"), len(value))
    return not isinstance(value, int | float) or _within(value, schema)


def _within(value: float, schema: Json) -> bool:
    low, high = _bound(schema.get("minimum")), _bound(schema.get("maximum"))
    above, below = _bound(schema.get("exclusiveMinimum")), _bound(schema.get("exclusiveMaximum"))
    step = _bound(schema.get("multipleOf"))
    inside = (low is None or value >= low) and (high is None or value <= high)
    between = (above is None or value > above) and (below is None or value < below)
    return inside and between and not (step and value % step)


def merged(schema: Json, parts: list[Json]) -> Json:
    """One schema of several that must all hold: properties and required names are united, other members of later parts win."""
    for part in parts:
        both = {**schema, **part}
        both["properties"] = {**mapping(schema.get("properties")), **mapping(part.get("properties"))}
        names = [name for side in (schema, part) if isinstance(side.get("required"), list) for name in side["required"]]
        both["required"] = names
        schema = both
    return schema


def kind_of(schema: Json) -> str:
    """The type to make, in lower case: the first that is not null, or what the other members say, else a string."""
    kinds = schema.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if isinstance(kind, str) and kind.lower() != "null":
            return kind.lower()
    if kinds is not None and kinds != []:
        return "null"
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def nullable(schema: Json) -> bool:
    """Whether null fits, by either of the two ways to say so."""
    kinds = schema.get("type")
    return schema.get("nullable") is True or (isinstance(kinds, list) and "null" in kinds)


def count(value: object, otherwise: int) -> int:
    """A length or number of elements; some clients write them as strings."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def number(schema: Json, *, whole: bool) -> int | float:
    """1, or the nearest number that the bounds and `multipleOf` allow."""
    step = _bound(schema.get("multipleOf")) or (1.0 if whole else 0.0)
    low, high = _bound(schema.get("minimum")), _bound(schema.get("maximum"))
    above, below = _bound(schema.get("exclusiveMinimum")), _bound(schema.get("exclusiveMaximum"))
    gap = step or 0.5
    low = above + gap if above is not None and (low is None or low <= above) else low
    high = below - gap if below is not None and (high is None or high >= below) else high
    value = 1.0
    if high is not None and value > high:
        value = high
    if low is not None and value < low:
        value = low
    if step > 0:
        value = math.floor(value / step) * step
        if low is not None and value < low:
            value += step
    return round(value) if whole else value


def _bound(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
        return None
    return float(value)
