"""JSON texts as people and libraries write them, for properties: odd white space, escapes, odd numbers."""

import json
from dataclasses import dataclass

from hypothesis import strategies as st

SPACE = st.sampled_from(["", "", "", " ", "\n  ", "\t", " \r\n "])
NUMBERS = st.sampled_from(["0", "-1", "1E5", "1.50", "-0.0", "12345678901234567890123", "1e-7", "3.14159265358979323846"])
NAMES = st.sampled_from(["a", "b", "c", "d", "model", "é", "x.y"])


@st.composite
def string(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """A JSON string; its characters are written in different ways."""
    out = []
    for char in draw(values):
        plain = json.dumps(char, ensure_ascii=False)[1:-1]
        escaped = json.dumps(char)[1:-1]
        long = f"\\u{ord(char):04X}" if ord(char) < 0x10000 else escaped
        out.append(draw(st.sampled_from([plain, plain, escaped, long])))
    return '"' + "".join(out) + '"'


SHORT = string(st.text(st.sampled_from('a"\\/{}[]:,\n é€😀\u2028'), max_size=8))
TEXTS = SHORT | st.sampled_from(["x" * 90, "y" * 600]).map(json.dumps)


@dataclass(frozen=True)
class Document:
    text: bytes
    members: tuple[tuple[str, str], ...]  # of the outermost object: key, and the member as it is written


@st.composite
def value(draw: st.DrawFn, depth: int) -> str:
    kind = draw(st.integers(0, 3 if depth == 0 else 6))
    if kind == 0:
        return draw(NUMBERS)
    if kind == 1:
        return draw(st.sampled_from(["true", "false", "null"]))
    if kind <= 3:
        return draw(TEXTS)
    if kind == 4:
        items = [draw(SPACE) + draw(value(depth - 1)) + draw(SPACE) for _ in range(draw(st.integers(0, 3)))]
        return "[" + (",".join(items) or draw(SPACE)) + "]"
    return draw(object_(depth - 1))[0]


@st.composite
def object_(draw: st.DrawFn, depth: int, *, unique: bool = True) -> tuple[str, tuple[tuple[str, str], ...]]:
    names = draw(st.lists(NAMES, max_size=5, unique=unique))
    members = []
    for name in names:
        key = draw(string(st.just(name)))
        members.append((name, key + draw(SPACE) + ":" + draw(SPACE) + draw(value(depth))))
    if not members:
        return "{" + draw(SPACE) + "}", ()
    return "{" + ",".join(draw(SPACE) + member + draw(SPACE) for _, member in members) + "}", tuple(members)


@st.composite
def documents(draw: st.DrawFn, *, unique: bool = True) -> Document:
    text, members = draw(object_(2, unique=unique))
    return Document((draw(SPACE) + text + draw(SPACE)).encode(), members)
