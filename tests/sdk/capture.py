"""A server on a real socket that keeps what it hears and answers what it was told to, and how two requests for one job compare.

The provider's SDK is pointed at it directly, then a unified call reaches it through the gateway: what it heard is the comparison.
"""

import email.parser
import email.policy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Part = tuple[str, str | None, str | None, bytes]


@dataclass(frozen=True)
class Heard:
    """One request as it came over the socket. Header names are lower case; none of the requests here repeats one that matters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """Sorted: the order of different parameters says nothing."""
        return sorted(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def media_type(self) -> str:
        """The content type without its parameters: a boundary is random, and a charset of JSON says nothing."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def scheme(self) -> str:
        """The first word of `Authorization`."""
        return self.headers.get("authorization", "").partition(" ")[0]

    @property
    def parts(self) -> list[Part]:
        """The parts of a multipart body in their order: name, file name, content type, bytes."""
        raw = b"Content-Type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + self.body
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(raw)
        assert message.is_multipart(), "not a form"
        return [_part(part) for part in message.iter_parts()]  # type: ignore[attr-defined]

    @property
    def content(self) -> Any:
        """The body in a form that can be compared: JSON value, parts of a form, or bytes."""
        if self.media_type == "application/json" and self.body:  # some name a type where they send nothing
            return self.json
        return self.parts if self.media_type == "multipart/form-data" else self.body


def _part(part: Any) -> Part:
    kind = part.get("content-type")
    name = part.get_param("name", header="content-disposition")
    return str(name), part.get_filename(), str(kind) if kind else None, part.get_payload(decode=True)


@dataclass
class Capture:
    """What was heard, in its order, and the answers: those of `queue` first, then `default` for good."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    default: tuple[int, bytes, str] = (200, b"{}", "application/json")
    queue: list[tuple[int, bytes, str]] = field(default_factory=list)

    def answers(self, *values: object, status: int = 200) -> None:
        """From now on answer these JSON values, the last one for good; what was heard before is forgotten."""
        made = [(status, json.dumps(value).encode(), "application/json") for value in values]
        self.queue, self.default = made[:-1], made[-1]
        self.heard.clear()

    def answers_bytes(self, body: bytes, content_type: str) -> None:
        self.queue, self.default = [], (200, body, content_type)
        self.heard.clear()

    def last(self) -> Heard:
        """The newest request."""
        assert self.heard, "nothing was heard"
        return self.heard[-1]

    def only(self) -> Heard:
        """The one request there was."""
        assert len(self.heard) == 1, f"{[f'{one.method} {one.target}' for one in self.heard]} instead of one request"
        return self.heard[0]


@contextmanager
def capturing() -> Iterator[Capture]:
    """A running server, in threads of its own."""
    capture = Capture()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            if headers.get("transfer-encoding") == "chunked":
                body = _unchunked(self.rfile)
            capture.heard.append(Heard(self.command, self.path, headers, body))
            status, said, content_type = capture.queue.pop(0) if capture.queue else capture.default
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = serve  # noqa: N815 - the names are the base class's

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so is this one
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        block_on_close = False  # clients keep their connections; the threads are daemons

    server = Server(("127.0.0.1", 0), Handler)
    capture.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield capture
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _unchunked(stream: Any) -> bytes:
    body = b""
    while size := int(stream.readline().partition(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline() not in (b"\r\n", b""):
        pass
    return body


def agree(ours: Heard, theirs: Heard, *, by_default: object = None) -> None:
    """The gateway's request is the one that the SDK sends: method, path, query, type, way of authorization, and the body's values.

    `by_default` are members that the SDK adds by itself and nobody asked for: a JSON value in the place where they stand. Members
    that some SDKs write as null when they were not given count as not given.
    """
    assert (ours.method, ours.path, ours.query) == (theirs.method, theirs.path, theirs.query)
    assert (ours.media_type, ours.scheme) == (theirs.media_type, theirs.scheme)
    assert ours.content == _asked_for(theirs.content, by_default or {})


def _asked_for(value: Any, added: Any) -> Any:
    """The value without its nulls and without what `added` says, which must be in it."""
    if not isinstance(value, dict):
        return value
    left = {name: member for name, member in value.items() if member is not None}
    for name, member in added.items():
        if isinstance(member, dict):
            left[name] = _asked_for(left[name], member)
        else:
            assert left.pop(name) == member, f"{name} is not what the SDK adds"
    return left
