"""A read-only look at the passing bytes: token usage, gaps between chunks, where a stream stands.

It is given every read after it was written to the client. It keeps at most four reads of a bounded size, so it can neither hold,
change nor reorder anything (rule G01).
"""

import re

# The names under which the protocols report usage; the last number of each in the kept bytes counts.
_BOTH = re.compile(  # the usual order, matched at the mark: a fifth of the cost of looking for each
    rb'"usage(?:Metadata)?"\s*:\s*\{\s*"(?:prompt_tokens|input_tokens|promptTokenCount)"\s*:\s*(\d{1,12})\s*,'
    rb'\s*"(?:completion_tokens|output_tokens|candidatesTokenCount)"\s*:\s*(\d{1,12})'
)
_INPUT = re.compile(rb'"(?:prompt_tokens|input_tokens|promptTokenCount)"\s*:\s*(\d{1,12})')
_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens|candidatesTokenCount)"\s*:\s*(\d{1,12})')
_CHUNK_LINE = re.compile(rb"(?:^|\r\n)[0-9a-fA-F]+\r\n")
_MARK = b'"usage'  # and `"usageMetadata`
_LOOK = 64 * 1024 - 64
_TAIL = 64
_LINE_END = (b"\n", b"")
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Tap:
    """Watches one answer. `stream` says whether it is a stream of events."""

    __slots__ = ("_first", "_last", "_tail", "stream")

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        # The first and the last read with a usage (some protocols report the input in the first), each with the read behind it,
        # should the usage be cut in two.
        self._first: list[bytes] = []
        self._last: list[bytes] = []
        self._tail = b""  # the end of what has passed

    def feed(self, data: bytes) -> None:
        """One read, framed as received."""
        tail = self._tail
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (tail + data)[-_TAIL:]
        if len(data) > _LOOK:
            data = data[-_LOOK:]
        if _MARK in data or (tail[-1:] not in _LINE_END and _cut_mark(tail, data)):
            self._last = [tail + data]
            if not self._first:
                self._first = self._last
        elif self._last and len(self._last) == 1:
            self._last.append(data)

    def usage(self) -> tuple[int, int]:
        """Input and output tokens as the upstream reported them; zeros where it did not."""
        if not self._last:
            return 0, 0
        text = _CHUNK_LINE.sub(b"", b"".join(self._last))
        given, made = _last_number(_INPUT, text), _last_number(_OUTPUT, text)
        if not given and self._first is not self._last:
            given = _last_number(_INPUT, _CHUNK_LINE.sub(b"", b"".join(self._first)))
        return given, made

    def at_event_boundary(self, *, chunked: bool) -> bool:
        """Whether the bytes so far end with a whole event, or there were none. `chunked`: they are framed in chunks."""
        tail = self._tail
        if chunked:
            tail = _CHUNK_LINE.sub(b"", tail).removesuffix(b"\r\n")
        return not tail or tail.endswith(_ENDS)


def usage_in(body: bytes) -> tuple[int, int]:
    """Input and output tokens in a body that is here as a whole; zeros where it tells none."""
    at = body.rfind(_MARK, -_LOOK)
    if at < 0:
        return 0, 0
    both = _BOTH.match(body, at)
    if both is not None:
        return int(both[1]), int(both[2])
    text = _CHUNK_LINE.sub(b"", body[at:])
    return _last_number(_INPUT, text), _last_number(_OUTPUT, text)


def _cut_mark(tail: bytes, data: bytes) -> bool:
    """Whether the mark of a usage is cut in two between what passed last and this read."""
    return _MARK not in tail and _MARK in _CHUNK_LINE.sub(b"", tail + data[:_TAIL])


def _last_number(pattern: re.Pattern[bytes], text: bytes) -> int:
    found = pattern.findall(text)
    return int(found[-1]) if found else 0
