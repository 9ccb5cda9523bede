"""Whole forms: the parts of a `multipart/form-data` body as the values that rules see, and values as such a body.

Reading parts as they arrive and rewriting them is in `multipart`; what a reference to a picture is, in `media`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from translators.formats.multipart import (
    MultipartError,
    MultipartLimits,
    MultipartReader,
    PartData,
    PartEnd,
    PartHead,
    quoted,
    text_head,
)

MAX_BRACKETS = 8  # of one part name

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INDEX = re.compile(r"[0-9]{1,4}")
_NOT_IN_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_UNSAFE_IN_HEADER = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of a form. `data` may be a view of the body; `content_type` None: the client named none."""

    filename: str
    content_type: str | None
    data: bytes | memoryview = field(repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `data` is a view of the body, which it keeps in memory. A part with a file name is a file."""

    name: str | None
    filename: str | None
    content_type: str | None
    data: memoryview = field(repr=False)


def read_form(body: bytes, boundary: bytes, limits: MultipartLimits | None = None) -> list[Part]:
    """The parts of a whole body, in order; raises MultipartError."""
    reader = MultipartReader(boundary, limits)
    parts: list[Part] = []
    head: PartHead | None = None
    data = memoryview(b"")
    for piece in [*reader.feed(body), *reader.finish()]:
        if isinstance(piece, PartHead):
            head, data = piece, memoryview(b"")
        elif isinstance(piece, PartData):
            data = piece.data  # one piece: the body came whole
        elif isinstance(piece, PartEnd) and head:
            parts.append(Part(head.name, head.filename, head.content_type, data))
    return parts


def form_scope(parts: Iterable[Part]) -> dict[str, Any]:
    """The object that rules see as `body` of a form.

    - A text part is a string, a file part a FileRef, under its name.
    - A name that comes more than once, or ends in `[]`, is a list under the name without brackets, in the order of the parts;
      `image` and `image[]` go into the same list.
    - `a[b]` is the object `{a: {b: ...}}`, to any combination (`a[b][]`, `a[b][c]`); each `a[][b]` begins a new object in the list.
    - If all keys of `a[...]` are numbers, as in `image[0]`, `a` is a list in the order of the numbers.
    - A name whose brackets do not match is taken as it is. A part without a name is not seen.

    Raises MultipartError (400) where a name is both a value and an object, for text or a name that is not UTF-8, and for more
    than `MAX_BRACKETS` brackets in one name.
    """
    root = _Node()
    for part in parts:
        if part.name is None:
            continue
        shown = part.name.encode("utf-8", "replace").decode()[:60]
        try:
            part.name.encode()
            value: Any = str(part.data, "utf-8") if part.filename is None else FileRef(part.filename, part.content_type, part.data)
        except UnicodeError:
            raise MultipartError(
                f"the text of the part `{shown}` or its name is not UTF-8; send other data as a file part"
            ) from None
        match = _NAME.fullmatch(part.name)
        keys = [match[1], *(match[2][1:-1].split("][") if match[2] else ())] if match else [part.name]
        if len(keys) > MAX_BRACKETS + 1:
            raise MultipartError(f"the part name `{shown}` nests deeper than {MAX_BRACKETS} brackets")
        if not root.place(keys, value):
            raise MultipartError(f"the part `{shown}` makes `{keys[0][:60]}` both a value and an object; send it in one way")
    return {key: child.value() for key, child in root.children.items()}


class _Node:
    """A place in the form: values of its own, or named places below it."""

    __slots__ = ("children", "items", "listed")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.items: list[Any] = []
        self.listed = False  # `[]` says so, even of one value

    def place(self, keys: list[str], value: object) -> bool:
        """Puts a value under the keys; false where there are both values and named places."""
        node = self
        for index, key in enumerate(keys):
            if key == "" and index:
                node.listed = True
                child = _Node()
                node.items.append(child)
            else:
                child = node.children.setdefault(key, _Node())
            if node.items and node.children:
                return False
            node = child
        node.items.append(value)
        return not node.children

    def value(self) -> Any:
        if self.children:
            if all(_INDEX.fullmatch(key) for key in self.children):
                return [self.children[key].value() for key in sorted(self.children, key=int)]
            return {key: child.value() for key, child in self.children.items()}
        values = [item.value() if isinstance(item, _Node) else item for item in self.items]
        return values if self.listed or len(values) > 1 else values[0]


def write_form(fields: Mapping[str, object], boundary: bytes) -> bytes:
    """The body of a form with these fields, in order.

    A string is a text field; true, false and numbers are their JSON text; a list is the same name repeated; an object (and a list
    in a list) is its JSON text; a FileRef is a file part with its file name and media type (`application/octet-stream` if it has
    none). None is absent, in a list too. Names and file names are written as browsers do.
    Raises MultipartError when the boundary stands in a value, ValueError for a value that no form can hold.
    """
    out: list[bytes | memoryview] = []
    for name, field_value in fields.items():
        for value in field_value if isinstance(field_value, list | tuple) else (field_value,):
            if value is not None:
                out += _part(name, value, boundary)
    out.append(b"--" + boundary + b"--\r\n")
    return b"".join(out)


def form_content_type(boundary: bytes) -> str:
    """The `Content-Type` of a form with this boundary, which is put in quotes where it must be."""
    text = boundary.decode()
    return f'multipart/form-data; boundary="{text}"' if _NOT_IN_TOKEN.search(text) else f"multipart/form-data; boundary={text}"


def free_boundary(base: str, values: Iterable[object]) -> bytes:
    """`base`, with the first number after it that makes it stand in none of the values: the same for the same values."""
    texts = [_bytes_of(value) for value in values if value is not None]
    number = 0
    while True:
        boundary = (f"{base}{number}" if number else base).encode()
        if not any(_holds(text, boundary) for text in texts):
            return boundary
        number += 1


def _part(name: str, value: object, boundary: bytes) -> Sequence[bytes | memoryview]:
    data = _bytes_of(value)
    if _holds(data, boundary):
        raise MultipartError(f"the value of `{name}` holds the boundary of the form; take another one (see free_boundary)")
    line = b"--" + boundary + b"\r\n"
    if not isinstance(value, FileRef):
        return line, text_head(name), data, b"\r\n"
    media_type = value.content_type or "application/octet-stream"
    if _UNSAFE_IN_HEADER.search(media_type):
        raise ValueError(f"the media type of the file `{value.filename[:60]}` holds a line end; it would start a new header")
    disposition = b"Content-Disposition: form-data; name=" + quoted(name) + b"; filename=" + quoted(value.filename)
    return line, disposition, b"\r\nContent-Type: ", media_type.encode("utf-8", "surrogateescape"), b"\r\n\r\n", data, b"\r\n"


def _bytes_of(value: object) -> bytes | memoryview:
    """The data of one part."""
    if isinstance(value, FileRef):
        return value.data
    if isinstance(value, str):
        return value.encode()
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except TypeError as error:
        raise ValueError(
            f"a form cannot hold this value: {error}; a file must be a field of its own, or an item of a list"
        ) from None


def _holds(data: bytes | memoryview, boundary: bytes) -> bool:
    """Whether the boundary stands in the data; a view is searched where it is, so that a large file is not copied."""
    return re.search(re.escape(boundary), data) is not None
