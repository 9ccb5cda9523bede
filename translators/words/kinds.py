"""Kinds of values that several subjects share: expressions, texts, templates, calls, headers.

Most of them read no further than the form: an expression can only be compiled where its scope is known, so these kinds hand the
nodes on and `translators.building` compiles them.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from translators import schema, values, yamlfile
from translators.problems import InvalidValueError, Problems, quote
from translators.schema import ANY, Form, Kind, Shape, Word, either
from translators.yamlfile import Node, Scalar

T = TypeVar("T")
N = TypeVar("N", int, float)

EXPRESSION_PATTERN = r"^\s*\$\{[\s\S]+\}\s*$"
_CALL_PATTERN = r"^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/|\$\{)"


def _expression(node: Node, problems: Problems) -> Scalar | None:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        if node.value.lstrip().startswith("${"):
            return node
        problems.add("an expression is expected here", node.where, "Write ${...}, for example ${body.name}.")
        return None
    problems.add(
        f"an expression is expected here, not {schema.kind_of(node)}", node.where, "Write ${...}, for example ${body.name}."
    )
    return None


def _value(node: Node, problems: Problems) -> Scalar | None:
    if isinstance(node, Scalar) and node.value is not None:
        return node
    problems.add(f"a single value or an expression is expected here, not {schema.kind_of(node)}", node.where)
    return None


def _template(node: Node, _problems: Problems) -> Node:
    return node


def _template_mapping(node: Node, problems: Problems) -> yamlfile.Mapping | None:
    if isinstance(node, yamlfile.Mapping):
        return node
    problems.add(f"a mapping is expected here, not {schema.kind_of(node)}", node.where, "Write name: value, one per line.")
    return None


def _text(node: Node, problems: Problems) -> Scalar | None:
    return node if isinstance(node, Scalar) and schema.text(str)(node, problems) is not None else None


EXPRESSION: Kind[Scalar] = Kind(_expression, Shape(Form.TEXT, EXPRESSION_PATTERN))
# A constant, an expression, or a text with expressions in it.
VALUE: Kind[Scalar] = Kind(_value, either(Shape(Form.TEXT), Shape(Form.NUMBER), Shape(Form.FLAG)))
TEXT: Kind[Scalar] = Kind(_text, Shape(Form.TEXT))
TEMPLATE: Kind[Node] = Kind(_template, ANY)
TEMPLATE_MAPPING: Kind[yamlfile.Mapping] = Kind(_template_mapping, Shape(Form.MAP, parts=(ANY,)))
SEND: Kind[Scalar] = Kind(_text, Shape(Form.TEXT, _CALL_PATTERN))
MEDIA_TYPE: Kind[str] = schema.text(values.media_type)


def _yes(node: Node, problems: Problems) -> bool | None:
    found = schema.flag(node, problems)
    if found is False:
        problems.add("`false` says nothing here", node.where, "Leave the line out.")
    return found or None


YES: Kind[bool] = Kind(_yes, Shape(Form.FLAG, values=(True,)))


def same_name_twice(name: str, first: str) -> str:
    return f"the header {quote(name)} stands twice: {quote(first)} is the same name"


def _headers(node: Node, problems: Problems, name_of: Callable[[str], str]) -> tuple[tuple[str, Scalar], ...] | None:
    if not isinstance(node, yamlfile.Mapping):
        problems.add(f"`headers` must be a mapping, not {schema.kind_of(node)}", node.where, "Write Name: value.")
        return None
    found: dict[str, tuple[str, Scalar]] = {}
    for key, value in node.entries:
        name = schema.read_value(name_of, key, problems, key.text)
        text = _text(value, problems)
        if name is None or text is None:
            continue
        if name.lower() in found:
            problems.add(same_name_twice(name, found[name.lower()][0]), key.where)
        elif name_of is values.header_name and name.lower() in values.CREDENTIAL_HEADERS:
            hint = "Say the credential with `auth`, or with `headers` of the file and ${secret.NAME}."
            problems.add(f"the header {quote(name)} carries a credential", key.where, hint)
        else:
            found[name.lower()] = (name, text)
    return tuple(found.values())


_HEADERS_SHAPE = Shape(Form.MAP, parts=(TEXT.shape,))
HEADERS: Kind[tuple[tuple[str, Scalar], ...]] = Kind(partial(_headers, name_of=values.header_name), _HEADERS_SHAPE)
# Those of an example: any field that can be on the wire.
EXAMPLE_HEADERS: Kind[tuple[tuple[str, Scalar], ...]] = Kind(partial(_headers, name_of=values.field_name), _HEADERS_SHAPE)
QUERY = schema.mapping(values.query_name, TEXT, "Write name: value.", least=1)


def string_or_record(text: Kind[T], words: tuple[Word[object], ...], what: str) -> Kind[T | schema.Fields]:
    """The short way, or a mapping."""
    long = schema.record(words, what)

    def read(node: Node, problems: Problems) -> T | schema.Fields | None:
        return long(node, problems) if isinstance(node, yamlfile.Mapping) else text(node, problems)

    return Kind(read, either(text.shape, long.shape))


def above_zero(parse: Callable[[object], N]) -> Callable[[object], N]:
    """A reader of numbers that refuses 0."""

    def checked(value: object) -> N:
        result = parse(value)
        if result == 0:
            raise InvalidValueError("0 is not possible here", "Leave the line out for the default.")
        return result

    return checked
