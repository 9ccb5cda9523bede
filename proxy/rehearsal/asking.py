"""What a person asks `explain`, as the bytes of a request and of answers: method, URL, headers, data, a form, files."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from proxy.rehearsal.said import answer_bytes, request_bytes
from translators.formats.forms import FileRef, form_content_type, free_boundary, write_form
from translators.formats.strict_json import BadJsonError, loads

_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_TARGET = re.compile(r"/[!-\"$-~]*")
_BOUNDARY = "form-data-boundary-of-explain"


class AskingError(ValueError):
    """What was asked cannot be played; the text says what is wrong and what to write."""


def request(
    method: str, url: str, headers: Sequence[str], data: str | None, form: Sequence[str], stdin: Callable[[], bytes] | None = None
) -> bytes:
    """The client's request. Raises AskingError."""
    if not _METHOD.fullmatch(method):
        raise AskingError(f"{method!r} is no method: write GET, POST, PUT, PATCH or DELETE")
    if data is not None and form:
        raise AskingError("-d and --form cannot stand together: a request has one body")
    host, target = _target(url)
    fields = [_header(text) for text in headers]
    names = {name.lower() for name, _ in fields}
    if host and "host" not in names:
        fields.insert(0, ("Host", host))
    body: bytes | None = None
    if data is not None:
        body = _data(data, stdin or _stdin)
        if "content-type" not in names:
            fields.append(("Content-Type", "application/json" if _is_json(body) else "text/plain"))
    elif form:
        body, content_type = _form(form)
        if "content-type" in names:
            raise AskingError("--form says the Content-Type itself: remove the header")
        fields.append(("Content-Type", content_type))
    if names & {"content-length", "transfer-encoding"}:
        raise AskingError("Content-Length and Transfer-Encoding follow from the body: remove the header")
    return request_bytes(method, target, fields, body)


def answer(text: str, status: int) -> bytes:
    """A platform's answer: `@file` with a body, or with a whole answer that begins with `HTTP/1.`, else the body itself. Raises
    AskingError."""
    if not 200 <= status <= 599:
        raise AskingError(f"--status {status}: an answer's status is a number from 200 to 599")
    body = _data(text, _stdin)
    if body.startswith(b"HTTP/1."):
        head, _, rest = body.replace(b"\r\n", b"\n").partition(b"\n\n")
        lines = head.decode("latin-1").split("\n")
        found = re.match(r"HTTP/1\.[01] ([2-5][0-9][0-9])(?: |$)", lines[0])
        if found is None:
            raise AskingError("--answer: the first line is no status line such as HTTP/1.1 200 OK")
        fields = [_header(line) for line in lines[1:] if line]
        framed = {"content-length", "transfer-encoding"}
        return answer_bytes(int(found[1]), [pair for pair in fields if pair[0].lower() not in framed], rest)
    return answer_bytes(status, [("Content-Type", _type_of(body))], body)


def _type_of(body: bytes) -> str:
    if _is_json(body):
        return "application/json"
    begins = body.lstrip()[:6]
    return "text/event-stream" if begins.startswith((b"data:", b"event:", b":")) else "application/octet-stream"


def _target(url: str) -> tuple[str, str]:
    """Host (empty: none given) and request target."""
    host = ""
    if "://" in url:
        try:
            split = urlsplit(url)
        except ValueError:
            raise AskingError(f"{url!r} is no URL: write /PLATFORM/PATH or http://HOST/PLATFORM/PATH") from None
        host = split.netloc
        url = (split.path or "/") + (f"?{split.query}" if split.query else "")
    if not _TARGET.fullmatch(url):
        raise AskingError(f"{url!r} is no path: it begins with / and holds no blank; other characters are percent-encoded")
    return host, url


def _header(text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise AskingError(f"{text!r} is no header: write 'Name: value'")
    return found[1], found[2].rstrip(" \t")


def _data(text: str, stdin: Callable[[], bytes]) -> bytes:
    if text == "-":
        return stdin()
    return _file(text[1:]) if text.startswith("@") else text.encode("utf-8", "surrogateescape")


def _file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise AskingError(f"{name} cannot be read: {error.strerror}") from None


def _stdin() -> bytes:
    return sys.stdin.buffer.read()


def _is_json(body: bytes) -> bool:
    try:
        loads(body)
    except BadJsonError:
        return False
    return True


def _form(parts: Sequence[str]) -> tuple[bytes, str]:
    fields: dict[str, list[object]] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise AskingError(
                f"--form {part!r}: write NAME=VALUE, or NAME=@FILE for a file, with ;type=MEDIA/TYPE behind it if need be"
            )
        fields.setdefault(name, []).append(_part(value))
    boundary = free_boundary(_BOUNDARY, [value for values in fields.values() for value in values])
    return write_form(fields, boundary), form_content_type(boundary)


def _part(value: str) -> str | FileRef:
    if not value.startswith("@"):
        return value
    name, _, media_type = value[1:].partition(";type=")
    return FileRef(Path(name).name, media_type or None, _file(name))
