"""What clients say in the battery: requests as bytes, so that a test shows only what is particular to it."""

from collections.abc import Iterator

CHAT = b"/test/v1/chat/completions"
MESSAGES = b"/test/v1/messages"
RESPONSES = b"/test/v1/responses"
GENERATE = b"/test/v1beta/models/m1:streamGenerateContent"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b'{"model":"m1","messages":[{"role":"user","content":"hello"}]}'

# A head without its empty line: the route is chosen by the prefix and the model by its header, so the body is never looked into.
HEAD = b"POST /test/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nModelName: m1\r\n"


def get(path: bytes = b"/test/v1/models", *fields: bytes, method: bytes = b"GET") -> bytes:
    """A request without a body; `fields` are whole field lines."""
    return b"".join([method, b" ", path, b" HTTP/1.1\r\nHost: gateway\r\n", *[line + b"\r\n" for line in fields], b"\r\n"])


def post(body: bytes = BODY, *fields: bytes, path: bytes = CHAT, model: bytes = b"m1") -> bytes:
    """A request with a Content-Length and a JSON media type."""
    lines = [
        b"Host: gateway",
        b"ModelName: " + model,
        b"Content-Type: application/json",
        *fields,
        b"Content-Length: %d" % len(body),
    ]
    return b"POST " + path + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def stream(*fields: bytes, path: bytes = CHAT) -> bytes:
    """A request for a stream."""
    return post(b'{"model":"m1","stream":true}', *fields, path=path)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """`data` cut into pieces of `size` bytes."""
    return (data[start : start + size] for start in range(0, len(data), size))
