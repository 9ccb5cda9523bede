"""Texts of a rule file with `${...}` in them, compiled: expressions, texts, templates, calls.

One `Compiler` serves one file: it knows the tables and notes which of them are used. What cannot be compiled is a problem, with the
place of the YAML value and the column inside the expression.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from jmespath.parser import Parser  # type: ignore[import-untyped]

from translators import values, yamlfile
from translators.building.scopes import Scope
from translators.expressions.compile import Expression, ExpressionError, compile_expression
from translators.expressions.functions import FUNCTIONS
from translators.expressions.template import Interpolated, Tree, ValueTemplate, compile_template, render_text
from translators.model import Send, Text
from translators.paths import METHODS
from translators.problems import InvalidValueError, Problems, quote, suggest, suggest_or_list
from translators.words.platform import plain_value
from translators.yamlfile import Node, Scalar, Sequence

SPREAD = "..."
_NO_KEYS: frozenset[str] = frozenset()
_OPEN_QUOTES = "'`\""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The text inside `${...}`, and where it starts in the whole, from 0."""

    text: str
    start: int


def split(text: str) -> list[str | Placeholder]:
    """Literal texts and placeholders, in order. Braces and quotes inside an expression are its own. Raises InvalidValueError."""
    parts: list[str | Placeholder] = []
    position = 0
    while (start := text.find("${", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        end = _end(text, start + 2)
        parts.append(Placeholder(text[start + 2 : end], start + 2))
        position = end + 1
    if position < len(text):
        parts.append(text[position:])
    return parts


def _end(text: str, position: int) -> int:
    """The place of the brace that closes the placeholder."""
    opened, depth = position, 0
    while position < len(text):
        character = text[position]
        if character in _OPEN_QUOTES:
            position = _closing_quote(text, position)
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    message = f"the `${{` in column {opened - 1} is not closed by `}}`"
    raise InvalidValueError(message, "Braces and quotes inside an expression come in pairs.")


def _closing_quote(text: str, position: int) -> int:
    quotes, start = text[position], position
    position += 1
    while position < len(text) and text[position] != quotes:
        position += 2 if text[position] == "\\" else 1
    if position >= len(text):
        raise InvalidValueError(f"the quote {quote(quotes)} in column {start + 1} is not closed", "Quotes come in pairs.")
    return position


class _Tables(Mapping[str, Mapping[str, Any]]):
    """The tables of a file, which note who asked for them."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self._tables = tables
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        self.used.add(name)
        return self._tables[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


class Compiler:
    """Compiles the expressions of one file."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], problems: Problems) -> None:
        self.problems = problems
        self._tables = _Tables(tables)
        self._known: dict[tuple[str, frozenset[str]], Expression] = {}

    @property
    def used_tables(self) -> frozenset[str]:
        return frozenset(self._tables.used)

    # --- expressions ---

    def expression(self, node: Scalar | None, scope: Scope) -> Expression | None:
        """A value that is exactly one `${...}`."""
        if node is None:
            return None
        parts = self._split(node)
        if parts is None:
            return None
        if len(parts) == 1 and isinstance(only := parts[0], Placeholder):
            return self._compile(only, node, scope)
        self.problems.add("one expression is expected here, and nothing beside it", node.where, "Write ${...}.")
        return None

    def value(self, node: Scalar | None, scope: Scope) -> Expression | None:
        """A constant, an expression, or a text with expressions in it, as one expression."""
        if node is None:
            return None
        text = self.text(node, scope) if isinstance(node.value, str) else None
        if text is None:
            return None if isinstance(node.value, str) else _constant(node.text, plain_value(node, self.problems))
        if len(text.parts) == 1:
            only = text.parts[0]
            return _constant(only, only) if isinstance(only, str) else only
        if not text.parts:
            return _constant("", "")
        expressions = [part for part in text.parts if isinstance(part, Expression)]
        keys = [part.body_keys for part in expressions]
        known = None if None in keys else frozenset[str]().union(*(key for key in keys if key is not None))
        return Expression(node.text, text.names, known, lambda scope: render_text(text.parts, scope))

    def text(self, node: Scalar | None, scope: Scope) -> Text | None:
        """A text with expressions in it."""
        parts = self._split(node) if node is not None else None
        if node is None or parts is None:
            return None
        compiled = [part if isinstance(part, str) else self._compile(part, node, scope) for part in parts]
        return Text(tuple(part for part in compiled if part is not None)) if None not in compiled else None

    def _split(self, node: Scalar) -> list[str | Placeholder] | None:
        # A folded block of YAML ends in a line feed that nobody means.
        text = node.text.rstrip("\n") if "${" in node.text else node.text
        try:
            return split(text)
        except InvalidValueError as error:
            self.problems.add(error.message, node.where, error.hint)
            return None

    def _compile(self, placeholder: Placeholder, node: Scalar, scope: Scope) -> Expression | None:
        text = placeholder.text
        try:
            found = self._known.get((text, scope.names))
            if found is None:
                found = compile_expression(text, names=scope.names, functions=FUNCTIONS, tables=self._tables)
                self._known[text, scope.names] = found
        except ExpressionError as error:
            self._report(error, placeholder, node, scope)
            return None
        self._check_members(found, node, scope)
        return found

    def _report(self, error: ExpressionError, placeholder: Placeholder, node: Scalar, scope: Scope) -> None:
        message, hint = error.message, error.hint
        at = placeholder.text[error.column - 1 :].lstrip()
        if at.startswith("secret.") and "secret" in message:
            message = "a secret can stand in `auth` and in the `headers` of the file only"
            hint = "Move it there."
        message = f"{message} (column {error.column} of the expression, on {scope.what})"
        if hint and not hint.startswith(tuple(f"{name}(" for name in FUNCTIONS)):  # a signature stays as it is
            hint = hint[0].upper() + hint[1:]
        self.problems.add(message, node.where, hint)

    def _check_members(self, expression: Expression, node: Scalar, scope: Scope) -> None:
        """`path.x`, `task.x`, `submitted.x`: names whose members are known when the file is read."""
        if "header" in expression.names:
            for member in _members_of("header", Parser().parse(expression.text).parsed):
                if member != member.lower():
                    message = f"{quote(f'header.{member}')} is never there: the names of headers are in lower case here"
                    self.problems.add(message, node.where, f'Write header."{member.lower()}".')
        for name, members in scope.members:
            if name not in expression.names:
                continue
            for member in _members_of(name, Parser().parse(expression.text).parsed):
                if member not in members:
                    what = {"path": "The variables of this path", "task": "What this task keeps"}.get(name, "Known")
                    hint = suggest_or_list(member, sorted(members), what) if members else "The path of this route has no variables."
                    self.problems.add(f"{quote(f'{name}.{member}')} is not known here", node.where, hint)

    # --- templates ---

    def template(self, node: Node, scope: Scope) -> ValueTemplate:
        """A value of any shape with expressions in it."""
        return compile_template(self._tree(node, scope))

    def _tree(self, node: Node, scope: Scope) -> Tree:
        if isinstance(node, yamlfile.Mapping):
            return {self._key(key): self._spread(value, scope) if key.text == SPREAD else self._tree(value, scope)
                    for key, value in node.entries}  # fmt: skip
        if isinstance(node, Sequence):
            return [self._tree(item, scope) for item in node.items]
        if not isinstance(node.value, str):
            value: Tree = plain_value(node, self.problems)  # type: ignore[assignment]
            return value
        if "${" not in node.value:
            return node.value
        text = self.text(node, scope)
        if text is None:
            return None
        return text.parts[0] if len(text.parts) == 1 else Interpolated(text.parts)

    def _key(self, key: Scalar) -> str:
        if "${" in key.text:
            self.problems.add("the name of a member cannot be an expression", key.where, "Write object(...) for names that vary.")
        return key.text

    def _spread(self, node: Node, scope: Scope) -> Tree:
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.lstrip().startswith("${"):
            return self._tree(node, scope)
        self.problems.add(f'"{SPREAD}" spreads the members of an expression', node.where, f'Write "{SPREAD}": ${{body}}.')
        return None

    # --- calls ---

    def send(self, node: Scalar | None, scope: Scope) -> Send | None:
        """`METHOD /path/${...}?name=${...}`."""
        parts = self._split(node) if node is not None else None
        if node is None or not parts:
            return None
        try:
            method, path, query = _cut(parts)
        except InvalidValueError as error:
            self.problems.add(error.message, node.where, error.hint)
            return None
        compiled_path = self._parts(path, node, scope)
        compiled_query = tuple(
            (name, text) for name, value in query if (text := self._parts(value, node, scope, plain=True)) is not None
        )
        return Send(method, compiled_path, compiled_query, node.where) if compiled_path is not None else None

    def _parts(self, parts: list[str | Placeholder], node: Scalar, scope: Scope, *, plain: bool = False) -> Text | None:
        compiled = [
            (unquote_plus(part) if plain else part) if isinstance(part, str) else self._compile(part, node, scope) for part in parts
        ]
        return Text(tuple(part for part in compiled if part is not None)) if None not in compiled else None


def _constant(text: str, value: object) -> Expression:
    return Expression(text, _NO_KEYS, _NO_KEYS, lambda _: value)


NOTHING = _constant("", None)  # stands where an expression could not be compiled, which is a problem already


def _members_of(name: str, node: Mapping[str, Any]) -> Iterator[str]:
    """The members of a root name that an expression asks for, from the library's syntax tree."""
    kind, children = node["type"], [child for child in node["children"] if isinstance(child, dict)]
    if (
        kind == "subexpression"
        and children[0] == {"type": "field", "children": [], "value": name}
        and children[1]["type"] == "field"
    ):
        yield children[1]["value"]
        return
    # What stands behind these works on the value before it, where the root's names mean nothing.
    narrowing = ("subexpression", "index_expression", "pipe", "projection", "filter_projection", "value_projection", "flatten")
    for child in children[:1] if kind in narrowing else children:
        if kind != "expref":
            yield from _members_of(name, child)


# --- `METHOD /path?query` ---

Parts = list[str | Placeholder]
_HINT = "Write METHOD /path, for example POST /v1/videos/${id}."


def _cut(parts: Parts) -> tuple[str, Parts, list[tuple[str, Parts]]]:
    first = parts[0]
    method, blank, rest = first.partition(" ") if isinstance(first, str) else ("", "", "")
    if not blank:
        raise InvalidValueError("a call starts with its method", _HINT)
    if method not in METHODS:
        raise InvalidValueError(f"{quote(method)} is no method", suggest(method, METHODS) or f"Methods: {', '.join(METHODS)}.")
    path, query = _cut_at([rest, *parts[1:]], "?")
    _check_path(path)
    return method, path, [_pair(pair) for pair in _split_at(query, "&")] if query is not None else []


def _cut_at(parts: Parts, mark: str) -> tuple[Parts, Parts | None]:
    """What stands before and behind the first mark that no expression holds."""
    for index, part in enumerate(parts):
        if isinstance(part, str) and mark in part:
            before, _, after = part.partition(mark)
            return _full([*parts[:index], before]), _full([after, *parts[index + 1 :]])
    return _full(parts), None


def _full(parts: Parts) -> Parts:
    return [part for part in parts if part != ""]


def _split_at(parts: Parts, mark: str) -> Iterator[Parts]:
    rest: Parts | None = parts
    while rest is not None:
        before, rest = _cut_at(rest, mark)
        yield before


def _check_path(path: Parts) -> None:
    literal = "".join(part if isinstance(part, str) else "x" for part in path)
    starts_there = bool(path) and isinstance(path[0], Placeholder) and path[0].text.strip().startswith("submitted.")
    if "://" in literal:
        raise InvalidValueError("a call names a path, not a whole URL", "The host is that of `upstream`: write the path alone.")
    if "#" in literal:
        raise InvalidValueError("a call has no fragment", "Remove it from the `#` on.")
    if not literal.startswith("/") and not starts_there:
        raise InvalidValueError("the path of a call starts with `/`", _HINT)
    # `submitted.path` is a path already; every other expression is one part of a segment.
    values.call_path("/x" + literal[1:] if starts_there else literal)


def _pair(parts: Parts) -> tuple[str, Parts]:
    name, value = _cut_at(parts, "=")
    if len(name) != 1 or not isinstance(name[0], str) or value is None:
        raise InvalidValueError("the query of a call is `name=value`, with `&` between", "The name is plain text.")
    for part in value:
        if isinstance(part, str) and not values.is_query_text(part):
            raise InvalidValueError(f"{quote(part)} holds a character that no query has", "Write it as %XX.")
    return values.query_name(name[0]), value
