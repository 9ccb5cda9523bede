"""The reference reading of an event stream (WHATWG HTML, "Interpreting an event stream") and a corpus of streams.

Independent of the gateway's own SSE code; used to show that a carried stream means the same however it was cut.
"""

from typing import NamedTuple


class Dispatched(NamedTuple):
    """An event as a browser would dispatch it."""

    type: str
    data: str
    last_event_id: str


def decode(raw: bytes) -> list[Dispatched]:
    """The events of a whole stream."""
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events: list[Dispatched] = []
    kind, data, identity = "", [], ""
    for line in lines:
        if not line:
            if data:
                events.append(Dispatched(kind or "message", "\n".join(data), identity))
            kind, data = "", []
            continue
        name, colon, value = line.partition(":")
        if not name and colon:
            continue
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            identity = value
    return events


CORPUS: dict[str, bytes] = {
    "empty": b"",
    "one event": b"data: a\n\n",
    "two events": b"data: a\n\ndata: b\n\n",
    "CRLF": b"data: a\r\n\r\ndata: b\r\n\r\n",
    "CR": b"data: a\r\rdata: b\r\r",
    "mixed line ends": b"data: a\r\ndata: b\n\rdata: c\r\r\n",
    "byte order mark": b"\xef\xbb\xbfdata: a\n\n",
    "second byte order mark": b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
    "no space": b"data:a\n\n",
    "two spaces": b"data:  a\n\n",
    "tab": b"data:\ta\n\n",
    "empty data": b"data\n\ndata:\n\ndata: \n\n",
    "two data lines": b"data: a\ndata: b\n\n",
    "empty lines of data": b"data\ndata\n\n",
    "comment": b": keep-alive\n\ndata: a\n\n",
    "comment inside an event": b"data: a\n:x\ndata: b\n\n",
    "only comments": b":\n\n:\n\n",
    "event name": b"event: delta\ndata: a\n\n",
    "event name without data": b"event: ping\n\ndata: a\n\n",
    "event name last wins": b"event: a\nevent: b\ndata: c\n\n",
    "id": b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
    "id with NUL": b"id: a\x00b\ndata: a\n\n",
    "id alone": b"id: 7\n\ndata: a\n\n",
    "retry": b"retry: 1000\ndata: a\n\n",
    "retry no number": b"retry: 1e3\n\ndata: a\n\n",
    "unknown field": b"foo: bar\ndata: a\n\n",
    "field name in capitals": b"Data: a\n\ndata: b\n\n",
    "line without a colon": b"nonsense\ndata: a\n\n",
    "colon in the value": b"data: a: b:c\n\n",
    "split code points": "data: 你好 🎉\n\n".encode(),
    "invalid UTF-8": b"data: \xff\xfe\xe4\xbd\n\ndata: b\n\n",
    "incomplete last event": b"data: a\n\ndata: b",
    "incomplete last line end": b"data: a\n\ndata: b\n",
    "extra blank lines": b"\n\n\ndata: a\n\n\n\ndata: b\n\n",
    "json": b'data: {"choices":[{"delta":{"content":"\\u4f60"}}]}\n\ndata: [DONE]\n\n',
    "messages": b'event: message_start\ndata: {"type":"message_start"}\n\n'
    b'event: ping\ndata: {"type": "ping"}\n\nevent: message_stop\ndata: {}\n\n',
    "done in the middle": b"data: [DONE]\n\ndata: after\n\n",
}
