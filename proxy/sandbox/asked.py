"""A request as a platform would see it, read: its query as pairs, its body as a value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from translators.formats.forms import form_scope, read_form
from translators.formats.multipart import MultipartError, boundary_of
from translators.formats.strict_json import BadJsonError, loads

Leaf = tuple[str, object]
"""A scalar inside a JSON value, with the path to it; elements of a list share one path."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`path` is decoded and without the sandbox's own prefix; `body` is JSON, or the view of a form, or None."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] | None = None
    body: Any = None

    @classmethod
    def read(cls, method: str, path: str, query: str, headers: Mapping[str, str], data: bytes) -> "Asked":
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        return cls(method, plain_path(path), pairs, headers, _value(data, headers.get("Content-Type", "")))

    def renamed(self, old: str, new: str) -> "Asked":
        """The same request about another id."""
        query = tuple((name, new if value == old else value) for name, value in self.query)
        path = re.sub(rf"(?<=[/,]){re.escape(old)}(?=[/,]|$)", lambda _: new, self.path)
        return replace(self, path=path, query=query, body=_renamed(self.body, old, new))

    def texts(self) -> Iterator[str]:
        """Everything in it that may be an id: segments and what stands in them between commas, parameters, scalars of the body."""
        yield from self.path.split("/")
        yield from re.split("[/,]", self.path)
        yield from (value for _, value in self.query)
        yield from (str(value) for _, value in leaves(self.body) if isinstance(value, str | int))


def plain_path(raw: str) -> str:
    """A path decoded, but for the slashes inside its segments."""
    return unquote(re.sub("%2[Ff]", "%252F", raw))


def _value(data: bytes, content_type: str) -> Any:
    if not data:
        return None
    essence = content_type.partition(";")[0].strip().lower()
    if essence == "multipart/form-data":
        try:
            return form_scope(read_form(data, boundary_of(content_type) or b""))
        except MultipartError:
            return None
    if essence == "application/x-www-form-urlencoded":
        return dict(parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return loads(data)
    except BadJsonError:
        return None


def leaves(value: Any, path: str = "") -> Iterator[Leaf]:
    """The scalars of a JSON value; files of a form are none."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from leaves(member, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for element in value:
            yield from leaves(element, f"{path}[]")
    elif value is None or isinstance(value, str | int | float):
        yield path, value


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _renamed(member, old, new) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(element, old, new) for element in value]
    return new if isinstance(value, str | int) and not isinstance(value, bool) and str(value) == old else value
