"""JSON Schema in the subset of generate platforms and back."""

from typing import Any

import pytest

from translators.interpreters.base import UntranslatableError
from translators.interpreters.schemas import Budget, from_subset, to_subset


@pytest.mark.parametrize(
    ("schema", "subset"),
    [
        ({"$schema": "x", "type": "object", "additionalProperties": False, "strict": True}, {"type": "object"}),
        ({"type": "string", "default": "a", "format": "uri", "pattern": "a"}, {"type": "string", "pattern": "a"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer"}),
        ({"enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"oneOf": [{"type": "string"}, {"type": "number"}]}, {"anyOf": [{"type": "string"}, {"type": "number"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "B"}, {"type": "string", "nullable": True, "title": "B"}),
        ({"type": "array", "items": {"const": "a"}}, {"type": "array", "items": {"type": "string", "enum": ["a"]}}),
        ({"type": "object", "properties": {}}, {"type": "object"}),
        ({"properties": {"default": {"type": "string"}}}, {"properties": {"default": {"type": "string"}}}),
        (True, {}),
        (
            {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["a", "b"]}]},
            {"properties": {"a": {}, "b": {}}, "required": ["a", "b"]},
        ),
        (
            {"$defs": {"A": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}}},
            {"properties": {"a": {"type": "string", "description": "d"}}},
        ),
        (
            {"definitions": {"a/b": {"type": "string"}}, "properties": {"a": {"$ref": "#/definitions/a~1b"}}},
            {"properties": {"a": {"type": "string"}}},
        ),
        (
            {"type": "object", "properties": {"next": {"$ref": "#"}}},
            {"type": "object", "properties": {"next": {"type": "object", "properties": {"next": {"type": "object"}}}}},
        ),
    ],
)
def test_the_subset(schema: Any, subset: Any) -> None:
    assert to_subset(schema, "p", Budget()) == subset


def bomb() -> dict[str, Any]:
    """A few hundred bytes that stand for 2 to the power of 40 nodes."""
    twice = {f"D{n}": {"properties": {key: {"$ref": f"#/$defs/D{n + 1}"} for key in "ab"}} for n in range(40)}
    return {"$defs": {**twice, "D40": {"type": "string"}}, "$ref": "#/$defs/D0"}


def deep() -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    "schema", [bomb(), deep(), {"$ref": "https://a.example/s"}, {"$ref": "#/$defs/none"}, {"properties": {"a": 3}}, [], None, "x"]
)
def test_what_cannot_be_converted_is_refused_with_its_path(schema: Any) -> None:
    with pytest.raises(UntranslatableError) as caught:
        to_subset(schema, "tools[0].function.parameters", Budget())
    assert caught.value.path == "tools[0].function.parameters"


@pytest.mark.parametrize(
    ("subset", "schema"),
    [
        (
            {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}, "required": ["type"]},
            {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
        ),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        (
            {"type": "ARRAY", "items": {"type": "INTEGER"}, "min_items": "2"},
            {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        ),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "TYPE_UNSPECIFIED", "description": "d", "property_ordering": ["a"]}, {"description": "d"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"properties": {"min_items": {"type": "STRING"}}}, {"properties": {"min_items": {"type": "string"}}}),
    ],
)
def test_from_the_subset(subset: Any, schema: Any) -> None:
    assert from_subset(subset, "p") == schema


@pytest.mark.parametrize("subset", [deep(), [], {"items": 3}])
def test_what_is_no_schema_is_refused(subset: Any) -> None:
    with pytest.raises(UntranslatableError):
        from_subset(subset, "p")


def test_the_schemas_of_a_request_share_one_budget() -> None:
    budget = Budget()
    wide: dict[str, Any] = {"$defs": {"A": {"properties": {f"p{n}": {} for n in range(90)}}}}
    wide["properties"] = {f"q{n}": {"$ref": "#/$defs/A"} for n in range(90)}
    for _ in range(2):
        to_subset(wide, "p", budget)  # 8 000 nodes each
    with pytest.raises(UntranslatableError, match="simplify"):
        to_subset(wide, "p", budget)
