"""Reading request bodies written by others: any member may be missing or of the wrong type, and nothing here raises for that.

Members whose wrong value a provider refuses raise `RefusalError`; everything else falls back to "not there".
"""

from collections.abc import Iterator

from proxy.sandbox.replies import Json, RefusalError

PICTURE_KEYS = ("image_url", "inlineData", "inline_data", "fileData", "file_data")
PICTURE_TYPES = ("image", "image_url", "input_image")


def mapping(value: object) -> Json:
    """The value when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Json]:
    """The objects of a JSON array; other elements are left out, other values read as an empty array."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def string(value: object) -> str:
    """The value when it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def strings(value: object) -> tuple[str, ...]:
    """A string or an array of strings (`stop`, `input`, ...) as a tuple; empty strings are left out."""
    candidates = value if isinstance(value, list) else [value]
    return tuple(entry for entry in candidates if isinstance(entry, str) and entry)


def member(body: Json, name: str) -> object:
    """A member by its camelCase name or its snake_case twin; the generate protocol takes both at every level."""
    if name in body:
        return body[name]
    return body.get("".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name))


def required(body: Json, name: str, message: str) -> object:
    """A member that must be there and not null.

    Raises:
        RefusalError: status 400 with `message`, naming the member.
    """
    value = body.get(name)
    if value is None or value == "":
        raise RefusalError(400, message, param=name)
    return value


def whole(body: Json, name: str, *, low: int, high: int | None = None) -> int | None:
    """An optional whole number within bounds; None when it is missing or null.

    Raises:
        RefusalError: status 400 when it is something else or out of bounds.
    """
    value = member(body, name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise RefusalError(400, f"{name}: expected a whole number {bounds}, found {str(value)[:40]!r}.", param=name)
    return value


def texts(content: object) -> Iterator[str]:
    """Every text of a message's content: a string, a part, or an array of parts, nested tool results included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from texts(part)
    elif isinstance(content, dict):
        for name in ("text", "content", "output", "parts"):
            if name in content:
                yield from texts(content[name])


def text_of(content: object) -> str:
    """The texts of a content joined by spaces."""
    return " ".join(part for part in texts(content) if part)


def pictures_in(content: object) -> int:
    """How many picture parts a content has, by type or by payload."""
    return sum(1 for part in items(content) if part.get("type") in PICTURE_TYPES or any(name in part for name in PICTURE_KEYS))
