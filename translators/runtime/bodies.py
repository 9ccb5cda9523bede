"""The client's body as rules see it: JSON, a form, or none; and what a rule makes of it, printed.

Reading is strict (groups P and O): what two readers could take in two ways is refused. Which body a rule wants is not known here.
"""

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, unquote_plus

from translators.expressions.template import as_text
from translators.formats import rewriter
from translators.formats.chunks import Chunks
from translators.formats.edits import Default, Edit, Remove, Rename, Set
from translators.formats.forms import FileRef, form_content_type, form_scope, free_boundary, read_form, write_form
from translators.formats.multipart import MultipartError, RepeatedPartError, boundary_of
from translators.formats.rewriter import MultipartRewriter
from translators.formats.spans import Watch, find_spans, repeats
from translators.formats.strict_json import BadJsonError, dumps, loads, loads_telling
from translators.runtime.failures import JSON
from translators.runtime.steps import RuleRefusal
from translators.runtime.target import refused

# `//` to the end of the line, but not inside a string. A string without an end counts up to the end: begun anew at each of its
# escaped quotes, the search would take the square of the length.
_COMMENT: Final = re.compile(rb'("(?:[^"\\]++|\\.)*+"?)|//[^\r\n]*+', re.DOTALL)
DECIDING: Final = ("model", "stream")  # members that stand once at most (rule P02)
_MANY: Final = 64  # members: of more, and in a text longer than `_LONG`, not each is searched for
_LONG: Final = 64 * 1024
_NAMED: Final = 1000  # members: of more, the one that stands twice is not named
URLENCODED: Final = "application/x-www-form-urlencoded"
_BOUNDARY: Final = "form-data-boundary-f3a91c"
_MAX_FIELDS: Final = 1000


class Kind(Enum):
    """How the body is written."""

    NONE = auto()
    JSON = auto()
    MULTIPART = auto()
    URLENCODED = auto()


_JSON: Final = Kind.JSON  # looked up on its class, it costs 50 ns


class Body(NamedTuple):
    """`value` is what rules see (None: no body), `data` its bytes, of JSON without comments where a rule tolerates them."""

    kind: Kind
    value: Any
    data: bytes
    boundary: bytes = b""


def from_bad_json(error: BadJsonError) -> RuleRefusal:
    return RuleRefusal(error.status, error.code, error.message)


def read_body(data: bytes, content_type: str, *, comments: bool = False, unchecked: bool = False) -> Body:
    """The body of a request. `unchecked`: whether a JSON key that decides stands twice is found later, by `EditPlan.apply`.

    Raises RuleRefusal: 400, 413, 415, 422, 431.
    """
    if not data:
        return Body(Kind.NONE, None, data)
    media_type = content_type if content_type == JSON else content_type.partition(";")[0].strip().lower()
    # Many clients forget the type, or say text/plain to spare a preflight: JSON is what they all send.
    if media_type in (JSON, "", "text/plain", "text/json") or media_type.endswith("+json"):
        data = without_comments(data) if comments else data
        return Body(_JSON, read_object(data, unchecked=unchecked), data)
    if media_type == "multipart/form-data":
        return _read_multipart(data, content_type)
    if media_type == URLENCODED:
        # Tools say this type where nobody says one; in a form a brace would stand percent-encoded.
        if data.lstrip()[:1] == b"{":
            return read_body(data, JSON, comments=comments, unchecked=unchecked)
        return Body(Kind.URLENCODED, _single_model(_read_urlencoded(data)), data)
    message = f"a body of type {media_type[:100]} cannot be read on this route; send application/json or multipart/form-data"
    raise RuleRefusal(415, "unsupported_media_type", message)


def without_comments(data: bytes) -> bytes:
    """JSON without its `//` comments."""
    return _COMMENT.sub(rb"\1", data) if b"//" in data else data


def read_object(data: bytes, *, unchecked: bool = False) -> dict[str, Any]:
    """A JSON body, strictly. Raises RuleRefusal (400, 422)."""
    try:
        value, unrepeated = loads_telling(data)
        if type(value) is not dict:
            raise refused("the body is JSON, but not an object; send a JSON object", code="body_not_object")
        if not (unchecked or unrepeated):
            _refuse_repeated(data, value)
    except BadJsonError as error:
        raise from_bad_json(error) from None
    return value


def _may_repeat(data: bytes, value: Mapping[str, Any]) -> bool:
    """Whether a member may stand more than once. Most bodies show at once that none does.

    Prose is searched more quickly from its end. A name with an escape in it is found by reading only.
    """
    if len(value) > _MANY or len(data) > _LONG or b"\\u" in data or b"\\/" in data:
        return True
    names = [b'"%b"' % name.encode() for name in value]
    return any((first := data.find(name)) < 0 or first != data.rfind(name) for name in names)


def _refuse_repeated(data: bytes, value: Mapping[str, Any]) -> None:
    """Rule P02 for every member: a template would take one of the two, and lose the other."""
    if _may_repeat(data, value) and repeats(data):
        if len(value) <= _NAMED:
            find_spans(data, Watch((name,) for name in value)).refuse_duplicates()
        raise BadJsonError(400, "duplicate_key", "a key stands more than once in the outermost object; send it once")


def _read_multipart(data: bytes, content_type: str) -> Body:
    boundary = boundary_of(content_type)
    if boundary is None:
        raise no_boundary()
    try:
        return Body(Kind.MULTIPART, _single_model(form_scope(read_form(data, boundary))), data, boundary)
    except MultipartError as error:
        raise bad_form(error) from None


def no_boundary() -> RuleRefusal:
    return refused("the multipart body has no valid boundary in its Content-Type; send one", code="bad_multipart")


def bad_form(error: MultipartError) -> RuleRefusal:
    if isinstance(error, RepeatedPartError):
        return refused(error.message, code="duplicate_key", param=error.name)
    return RuleRefusal(error.status, "bad_multipart", error.message)


def _single_model(form: dict[str, Any]) -> dict[str, Any]:
    for name in DECIDING:
        if isinstance(form.get(name), list):
            raise bad_form(RepeatedPartError(name))
    return form


def _read_urlencoded(data: bytes) -> dict[str, Any]:
    try:
        pairs = data.decode("ascii").split("&")
        if len(pairs) > _MAX_FIELDS:
            raise RuleRefusal(413, "too_many_fields", f"the form has {len(pairs)} fields, at most {_MAX_FIELDS} are read")
        form: dict[str, Any] = {}
        for pair in pairs:
            if not pair:
                continue
            name, _, value = pair.partition("=")
            key, text = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
            if key.endswith("[]"):
                form.setdefault(key[:-2], [])
                key = key[:-2]
            if key in form:
                form[key] = [*(form[key] if isinstance(form[key], list) else [form[key]]), text]
            else:
                form[key] = text
    except UnicodeError:
        raise refused("the form is not percent-encoded UTF-8; send it so", code="bad_form") from None
    return form


# --- what goes out ---


def print_json(value: Any) -> bytes:
    """The JSON text; what JSON cannot hold is refused."""
    try:
        return dumps(value)
    except BadJsonError as error:
        raise from_bad_json(error) from None
    except TypeError:
        raise refused("a file of the form has no place in the JSON that this platform takes; send a URL or base64 text") from None


def print_form(fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """A multipart body and its media type."""
    values = [value for field in fields.values() for value in (field if isinstance(field, list | tuple) else [field])]
    try:
        boundary = free_boundary(_BOUNDARY, values)
        return write_form(fields, boundary), form_content_type(boundary)
    except MultipartError as error:
        raise bad_form(error) from None
    except ValueError as error:
        raise refused(f"the request cannot be sent as a form: {error}") from None


class Pieces:
    """A large body after its edits: stretches of the chunks that came, and new bytes between them."""

    __slots__ = ("_chunks", "_length", "_pieces")

    def __init__(self, chunks: Chunks, pieces: "list[tuple[int, int] | bytes]") -> None:
        self._chunks = chunks
        self._pieces = pieces
        self._length = sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)

    def __len__(self) -> int:
        return self._length

    def parts(self) -> "Generator[bytes | memoryview, None, None]":
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from self._chunks.slices(*piece)


def edit_multipart(body: Body, operations: Iterable[Edit]) -> bytes:
    """The form with its named parts changed, all other bytes as they came."""
    changes = form_changes(operations)
    if not changes:
        return body.data
    try:
        form = MultipartRewriter(body.boundary, changes)
        return form.feed(body.data) + form.finish()
    except MultipartError as error:
        raise bad_form(error) from None


def form_changes(operations: Iterable[Edit]) -> list[rewriter.Change]:
    """The edits as changes of a form's parts."""
    return [change for operation in operations if (change := _change(operation)) is not None]


def _change(operation: Edit) -> rewriter.Change | None:
    name = field_name(operation.path)
    if isinstance(operation, Rename):
        return rewriter.Rename(name, field_name(operation.new_path))
    if isinstance(operation, Remove):
        return rewriter.Remove(name)
    if operation.value is None:
        return None
    text = as_text(loads(operation.value))
    return rewriter.Set(name, text) if isinstance(operation, Set) else rewriter.Default(name, text)


def field_name(path: Sequence[str]) -> str:
    """`a.b` as forms write it: `a[b]`."""
    return path[0] + "".join(f"[{key}]" for key in path[1:])


def edit_urlencoded(body: Body, operations: Iterable[Edit]) -> bytes:
    """The form with its named fields changed, all other bytes as they came."""
    pairs = body.data.decode("ascii").split("&")
    for operation in operations:
        name = field_name(operation.path)
        there = [unquote_plus(pair.partition("=")[0]) == name for pair in pairs]
        if isinstance(operation, Rename):
            new = quote_plus(field_name(operation.new_path))
            pairs = [f"{new}={pair.partition('=')[2]}" if hit else pair for pair, hit in zip(pairs, there, strict=True)]
        elif isinstance(operation, Remove):
            pairs = [pair for pair, hit in zip(pairs, there, strict=True) if not hit]
        elif operation.value is not None and not (isinstance(operation, Default) and any(there)):
            field = f"{quote_plus(name)}={quote_plus(as_text(loads(operation.value)))}"
            place = there.index(True) if any(there) else len(pairs)
            kept = [pair for pair, hit in zip(pairs, there, strict=True) if not hit]
            pairs = [*kept[:place], field, *kept[place:]]
    return "&".join(pairs).encode("ascii")


def is_file(value: Any) -> bool:
    """Whether a value of a form is, or holds, a file."""
    if isinstance(value, list):
        return any(is_file(item) for item in value)
    if isinstance(value, dict):
        return any(is_file(item) for item in value.values())
    return isinstance(value, FileRef)
