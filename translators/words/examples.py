"""The words of examples: what a client sends, what must go upstream, what the platform answers, what the client must get."""

from typing import Any

from translators import schema, values, yamlfile
from translators.problems import Problems
from translators.schema import ANY, Form, Kind, Shape, Word, either
from translators.words.kinds import EXAMPLE_HEADERS
from translators.yamlfile import Node, Scalar, Sequence

SAME = "same"

_NODE: Kind[Node] = Kind(lambda node, _: node, ANY)

MESSAGE_SEND = Word(
    "send", "METHOD /path", "What is asked for, with the query; `${id}` is the id in the result of the example before.",
    schema.text(values.request_line, r"^[A-Z]+ /"), required=True,
)  # fmt: skip
_STATUS = schema.whole(200, 599)
MESSAGE_STATUS = Word("status", "number", "The HTTP status.", _STATUS, default="200")


def _expected_status(node: Node, problems: Problems) -> int | None:
    """A status, or `any`, which reads as 0."""
    return 0 if isinstance(node, Scalar) and node.value == "any" else _STATUS(node, problems)


EXPECTED_STATUS = Word(
    "status", "number, or `any`", "The HTTP status.",
    Kind(_expected_status, either(_STATUS.shape, Shape(Form.TEXT, values=("any",)))), default="200",
)  # fmt: skip
MESSAGE_HEADERS = Word("headers", "{name: text}", "Headers; of what is compared, these must be there.", EXAMPLE_HEADERS)
MESSAGE_JSON = Word(
    "json", "any value", 'A JSON body; `any` stands for one value of any kind, `"...": any` for further members.', _NODE,
)  # fmt: skip
MESSAGE_TEXT = Word("text", "text", "A body of text, compared byte for byte.", schema.text(str))
MESSAGE_SSE = Word("sse", "text", "A stream of events; a blank line at the end is added where it is missing.", schema.text(str))
MESSAGE_BASE64 = Word("base64", "text", "A body of bytes.", schema.text(values.base64_bytes))
MESSAGE_TYPE = Word("type", "media type", "The `Content-Type`.", schema.text(values.media_type))


MESSAGE_REPEAT = Word(
    "repeat", "{path: member of the request}",
    "Of an `answer`, for the sandbox: how many elements the list at a path of `json` has. The member says it: a number, a list by "
    "its length, any other value as 1. `data[].embedding` goes into each element. The example itself must keep to it.",
    schema.mapping(values.path_of_members, schema.text(values.path_of_members), "Write path: member, as in `data: n`.", least=1),
)  # fmt: skip


# --- forms ---

FILE_DATA = Word("file", "base64", "The bytes.", schema.text(values.base64_text), required=True)
FILE_NAME = Word("name", "text", "The file's name.", schema.text(values.title))
FILE_TYPE = Word("type", "media type", "Its type.", schema.text(values.media_type))
FILE: tuple[Word[str], ...] = (FILE_DATA, FILE_NAME, FILE_TYPE)


def _part(node: Node, problems: Problems) -> Any:
    """A text, `{file, name, type}`, or a list of these for a name that is repeated."""
    if isinstance(node, Sequence):
        found = [_part(item, problems) for item in node.items]
        return None if None in found else found
    if isinstance(node, yamlfile.Mapping):
        fields = schema.read_fields(node, FILE, problems, "this file")
        return {word.name: value for word in FILE if (value := fields.get(word)) is not None} if fields else None
    return schema.text(str)(node, problems)


_FILE_SHAPE = Shape(Form.RECORD, words=tuple(FILE))
_PART_SHAPE = either(Shape(Form.TEXT), _FILE_SHAPE, Shape(Form.LIST, parts=(either(Shape(Form.TEXT), _FILE_SHAPE),)))
MESSAGE_FORM = Word(
    "form", "{name: text or {file, name, type}}", "A `multipart/form-data` body; a list repeats the name.",
    schema.mapping(str, Kind(_part, _PART_SHAPE), "Write name: text."),
)  # fmt: skip

BODIES: tuple[Word[object], ...] = (MESSAGE_JSON, MESSAGE_TEXT, MESSAGE_SSE, MESSAGE_BASE64, MESSAGE_FORM)
_CONTENT: tuple[Word[object], ...] = (MESSAGE_HEADERS, MESSAGE_TYPE, *BODIES)
REQUEST: tuple[Word[object], ...] = (MESSAGE_SEND, *_CONTENT)
ANSWER: tuple[Word[object], ...] = (MESSAGE_STATUS, *_CONTENT, MESSAGE_REPEAT)
EXPECTED: tuple[Word[object], ...] = (EXPECTED_STATUS, *_CONTENT)
FETCHED: tuple[Word[object], ...] = (MESSAGE_STATUS, MESSAGE_TYPE, MESSAGE_HEADERS, MESSAGE_TEXT, MESSAGE_BASE64)


def _or_same(words: tuple[Word[object], ...], what: str) -> Kind[Any]:
    long = schema.record(words, what)

    def read(node: Node, problems: Problems) -> Any:
        return node if isinstance(node, Scalar) and node.value == SAME else long(node, problems)

    return Kind(read, either(Shape(Form.TEXT, values=(SAME,)), long.shape))


CLIENT = Word("client", "request", "What the client sends.", schema.record(REQUEST, "`client`"), required=True)
UPSTREAM = Word(
    "upstream", "request, or `same`", "What must go upstream.", _or_same(REQUEST, "`upstream`"), default="what the client sent"
)
ANSWER_WORD = Word("answer", "answer", "What the platform answers.", schema.record(ANSWER, "`answer`"))
CALL: tuple[Word[object], ...] = (UPSTREAM, ANSWER_WORD)
CALLS = Word(
    "calls", "list of {upstream, answer}", "Several calls in order, in place of `upstream` and `answer`.",
    schema.items(schema.record(CALL, "this call"), least=1),
)  # fmt: skip
RESULT = Word(
    "result",
    "answer, or `same`",
    "What the client must get.",
    _or_same(EXPECTED, "`result`"),
    default="none, where no `answer` is told",
)
FETCHES = Word(
    "fetches", "{URL: answer}", "What fetched URLs hold.",
    schema.mapping(values.web_address, schema.record(FETCHED, "this answer"), "Write URL: {type: ..., base64: ...}.", least=1),
)  # fmt: skip
TITLE = Word(
    "title", "text", "What it shows; of several examples of a file no two have the same.", schema.text(values.title), required=True
)
AFTER = Word("after", "title", "The example whose result gives `${id}`.", schema.text(values.title))
EXAMPLE: tuple[Word[object], ...] = (TITLE, AFTER, CLIENT, UPSTREAM, ANSWER_WORD, CALLS, FETCHES, RESULT)
EXAMPLES = schema.items(schema.record(EXAMPLE, "this example"))
