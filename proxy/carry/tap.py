"""A read-only look at the passing bytes: token usage, gaps between chunks, where a stream stands.

It is given every read after it was written to the client. It keeps references to at most three reads and never copies more than
a few bytes, so it can neither hold, change nor reorder anything (rule G01).
"""

import re

# The names under which the protocols report usage; the last number of each in the kept bytes counts.
_BOTH = re.compile(
    rb'"(?:prompt_tokens|input_tokens|promptTokenCount)"\s*:\s*(\d{1,12})\s*,'
    rb'\s*"(?:completion_tokens|output_tokens|candidatesTokenCount)"\s*:\s*(\d{1,12})'
)
_INPUT = re.compile(rb'"(?:prompt_tokens|input_tokens|promptTokenCount)"\s*:\s*(\d{1,12})')
_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens|candidatesTokenCount)"\s*:\s*(\d{1,12})')
_CHUNK_LINE = re.compile(rb"\r\n[0-9a-fA-F]+\r\n")
_MARK = b'"usage'  # and `"usageMetadata`
_LOOK = 64 * 1024
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Tap:
    """Watches one answer. `stream` says whether it is a stream of events."""

    __slots__ = ("_after", "_first", "_last", "_tail", "stream")

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self._first: bytes | None = None  # the first read with a usage: some protocols report the input there
        self._last: bytes | None = None  # the last one
        self._after = b""  # the read after it, should the usage be cut in two
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """One read, framed as received."""
        if self.stream:
            self._tail = data[-16:] if len(data) >= 16 else (self._tail + data)[-16:]
        if len(data) > _LOOK:
            data = data[-_LOOK:]
        if _MARK in data:
            if self._first is None:
                self._first = data
            self._last = data
            self._after = b""
        elif self._last is not None and not self._after:
            self._after = data

    def usage(self) -> tuple[int, int]:
        """Input and output tokens as the upstream reported them; zeros where it did not."""
        last = self._last
        if last is None:
            return 0, 0
        text = last + self._after
        if not self.stream:
            both = _BOTH.search(text, text.rfind(_MARK))
            if both is not None:
                return int(both[1]), int(both[2])
        text = _CHUNK_LINE.sub(b"", text)
        given, made = _last_number(_INPUT, text), _last_number(_OUTPUT, text)
        if not given and self._first is not None and self._first is not last:
            given = _last_number(_INPUT, _CHUNK_LINE.sub(b"", self._first))
        return given, made

    def at_event_boundary(self, *, chunked: bool) -> bool:
        """Whether the bytes so far end with a whole event, or there were none. `chunked`: they end with a chunk's own CRLF."""
        tail = self._tail
        return not tail or (tail.removesuffix(b"\r\n") if chunked else tail).endswith(_ENDS)


def _last_number(pattern: re.Pattern[bytes], text: bytes) -> int:
    found = pattern.findall(text)
    return int(found[-1]) if found else 0
