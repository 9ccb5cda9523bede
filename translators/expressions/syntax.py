"""The text of an expression to a syntax tree, by the maintained JMESPath parser, and what is checked on the tree alone."""

import math
import warnings
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jmespath import exceptions  # type: ignore[import-untyped]
from jmespath.lexer import Lexer  # type: ignore[import-untyped]
from jmespath.parser import Parser  # type: ignore[import-untyped]

from translators.expressions.signature import LARGEST, SMALLEST, nested_deeper
from translators.problems import quote

MAX_LENGTH = 4096
MAX_DEPTH = 64

Node = Mapping[str, Any]  # of the library's syntax tree: type, children, value
Token = Mapping[str, Any]  # of the library's lexer: type, value, start


class ExpressionError(ValueError):
    """An expression that cannot be compiled. `column` counts characters of its text from 1."""

    def __init__(self, message: str, column: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.hint = hint


QUOTED = "double quotes make a name of a field; a text stands in single quotes"
_INSTEAD = {
    "=": "equality is written ==",
    "-": "a name with a hyphen stands in double quotes; there is no arithmetic, use sub()",
    "+": "there is no arithmetic; use add(), sub(), mul(), div()",
    "/": "there is no arithmetic; use add(), sub(), mul(), div()",
    "$": "names of the scope stand as they are: body, model, ...",
    "?": "a choice is written a && b || c, or if(a, b, c)",
}
_WORDS_INSTEAD = {
    "and": "both is written a && b",
    "or": "the first that is not empty is written a || b",
    "not": "the opposite is written !a",
}


def parse(text: str) -> tuple[Node, list[Token]]:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text):,} characters; the most is {MAX_LENGTH:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tokens: list[Token] = list(Lexer().tokenize(text))
            return Parser().parse(text).parsed, tokens
    except exceptions.EmptyExpressionError:
        raise ExpressionError("the expression is empty") from None
    except exceptions.IncompleteExpressionError:
        raise ExpressionError("the expression ends before it is complete", len(text) + 1) from None
    except exceptions.LexerError as error:
        raise ExpressionError(_lexer_message(error), error.lex_position + 1, _INSTEAD.get(error.token_value)) from None
    except exceptions.ParseError as error:
        raise _unexpected(text, error) from None
    except Warning:
        hint = "a literal is JSON between backticks; a text may also stand between single quotes"
        raise ExpressionError("a literal in backticks is no JSON", text.find("`") + 1, hint) from None
    except RecursionError:
        raise ExpressionError(f"the expression is nested deeper than {MAX_DEPTH} levels") from None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # what the library's parser lets through on texts it does not expect
        raise ExpressionError("the expression is no JMESPath") from None


def _lexer_message(error: exceptions.LexerError) -> str:
    for start, message in (
        ("Unclosed", "is opened and not closed"),
        ("Bad token", "is no JSON"),
        ("Unknown token", "means nothing here"),
    ):
        if error.message.startswith(start):
            return f"{quote(str(error.token_value))} {message}"
    return f"{quote(str(error.token_value))} cannot be read"


def _words_before(text: str, position: int) -> list[str]:
    """The word at a place, and the one before it."""
    return [*text[position:].split(maxsplit=1)[:1], *text[:position].split()[-1:]]


def _unexpected(text: str, error: exceptions.ParseError) -> ExpressionError:
    kind = error.token_type.lower()
    if kind == "eof":
        return ExpressionError("the expression ends before it is complete", error.lex_position + 1)
    hint = next((_WORDS_INSTEAD[word] for word in _words_before(text, error.lex_position) if word in _WORDS_INSTEAD), None)
    if kind == "number":
        hint = f"a number stands in backticks: `{error.token_value}`"
    elif kind == "quoted_identifier":
        hint = QUOTED
    return ExpressionError(f"the expression goes wrong at {quote(str(error.token_value))}", error.lex_position + 1, hint)


def children(node: Node) -> list[Node]:
    """In the order in which they stand in the text."""
    children: list[Node] = [child for child in node["children"] if isinstance(child, dict)]  # those of a slice are numbers
    return [children[0], children[2], children[1]] if node["type"] == "filter_projection" else children


def walk(node: Node) -> Iterator[Node]:
    """The nodes in the order of the text; only after check_bounds, for it goes as deep as the tree."""
    yield node
    for child in children(node):
        yield from walk(child)


def calls(node: Node) -> bool:
    return any(inner["type"] == "function_expression" for inner in walk(node))


def check_bounds(root: Node) -> None:
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested deeper than {MAX_DEPTH} levels")
        for node in level:
            if node["type"] == "literal" and nested_deeper(node["value"], MAX_DEPTH):
                raise ExpressionError(f"a literal is nested deeper than {MAX_DEPTH} levels")
            if node["type"] == "slice" and node["children"][2] == 0:
                raise ExpressionError("the step of a slice cannot be 0")
        level = [child for node in level for child in children(node)]
    for node in walk(root):
        if node["type"] == "literal":
            _check_numbers(node["value"])


def _check_numbers(value: Any) -> None:
    if isinstance(value, list | dict):
        for inner in value if isinstance(value, list) else value.values():
            _check_numbers(inner)
    elif (isinstance(value, float) and not math.isfinite(value)) or (type(value) is int and not SMALLEST <= value <= LARGEST):
        raise ExpressionError("a literal holds a number that JSON does not carry: NaN, infinite, or of more than 64 bits")


def check_commas(root: Node, tokens: list[Token]) -> None:
    """The library reads `f(a b)` and `f(a,)` as well; the published grammar does not."""
    for token, following in pairwise(tokens):
        if token["type"] == "comma" and following["type"] in ("rparen", "rbracket", "rbrace"):
            raise ExpressionError("a comma stands where nothing follows", token["start"] + 1)
    lists = ("function_expression", "multi_select_list", "multi_select_dict")
    needed = sum(max(len(node["children"]) - 1, 0) for node in walk(root) if node["type"] in lists)
    if needed != sum(token["type"] == "comma" for token in tokens):
        raise ExpressionError("a comma is missing between two arguments")


def columns_of(root: Node, tokens: list[Token]) -> dict[int, int]:
    """The columns of the nodes that an identifier or `@` starts, by the nodes' identity: the tree has none."""
    starts = [token for token in tokens if token["type"] in ("unquoted_identifier", "quoted_identifier", "current")]
    named = [node for node in walk(root) if node["type"] in ("field", "function_expression", "key_val_pair", "current")]
    if len(starts) != len(named):
        return {}
    return {id(node): token["start"] + 1 for node, token in zip(named, starts, strict=True)}
