"""Makes text that someone else chose fit to be written into a log (rule N07).

A log line is read in terminals: what moves the cursor, colours, reverses or hides text must not get there, not even after the JSON
is decoded. So the escapes are visible: ESC becomes the six characters `\\u001b`, and a backslash is doubled to stay unambiguous.
"""

MAX_CHARS = 256
CUT = "…"


def escape(text: str, limit: int = MAX_CHARS, keep: str = "") -> str:
    """`text` without control, format, bidi, separator, surrogate or unassigned characters, at most `limit` characters long.

    Other characters stay as they are, in any script. A cut text ends in `…`, and no escape is cut in its middle. The characters
    in `keep` (line ends in tracebacks) are left alone.
    """
    if len(text) <= limit and "\\" not in text and text.isprintable():
        return text
    out: list[str] = []
    size = 0
    for char in text[: limit + 1]:
        piece = char if char in keep else _escaped(char)
        if size + len(piece) > limit:
            break
        out.append(piece)
        size += len(piece)
    else:
        return "".join(out)
    while size > limit - len(CUT):
        size -= len(out.pop())
    return "".join(out) + CUT


def _escaped(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
