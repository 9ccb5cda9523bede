"""Cutting a stream of bytes into its events: server-sent events, lines.

The cutters take bytes as they come and give whole events, the same ones at every cut. An event keeps its own bytes (`raw`), so
that one which no rule names passes as it was; what an event means, and what becomes of it, is decided elsewhere. No cutter
invents an end: what is left when the stream ends is handed out as bytes, not as an event.

Server-sent events follow the WHATWG HTML standard, "Interpreting an event stream", and the rules of group G.
"""

import re
from typing import NamedTuple

MAX_EVENT = 16 * 1024 * 1024  # bytes, `sse_event` of the table of limits
BOM = b"\xef\xbb\xbf"
CR, LF = 0x0D, 0x0A

_LINE_END = re.compile(rb"\r|\n")
_BLANK = b" \t\r\n"


class Event(NamedTuple):
    """One event of a stream.

    `raw` is all of its bytes, with the line ends and the blank line that closed it. `data` is the value of its data lines,
    joined with LF; None when it has none (a comment, a heartbeat, a lone blank line), which the standard does not dispatch.
    `name` is the `event` field (None: absent or empty, which clients read as `message`), `id` and `retry` (milliseconds) its
    own fields of that name, `others` its lines with unknown field names, without their ends (rule G05).
    """

    raw: bytes
    name: str | None = None
    data: bytes | None = None
    id: str | None = None
    retry: int | None = None
    others: tuple[bytes, ...] = ()


class EventTooLargeError(Exception):
    """An event passes the limit. `events` came whole before it, `rest` is every byte taken since: nothing is lost.

    The cutter is of no more use; the stream can still be carried on byte for byte from `rest`.
    """

    def __init__(self, limit: int, events: list[Event], rest: bytes) -> None:
        super().__init__(f"an event of the stream is larger than {limit} bytes, the fixed limit `sse_event`")
        self.limit = limit
        self.events = events
        self.rest = rest


class EventCutter:
    """Cuts server-sent events. Every blank line ends an `Event`, even one that has nothing before it.

    A BOM at the start belongs to no event (rule G04). Line ends may be LF, CRLF or CR, mixed (rule G02). Where a blank line ends
    with CR, the byte after it is needed to know whether it is CRLF: it is waited for, unless the line before ended with a CR
    alone; then the event goes out at once, and a LF that still follows opens the `raw` of the next one.
    """

    __slots__ = ("_began", "_general", "_limit", "_line", "_lone_cr", "_pending", "_searched", "_skip_lf")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._pending = bytearray()  # of the event that is under way
        self._searched = 0  # no blank line (no line end, once general) starts before this place in it
        self._began = False  # the place of a BOM has passed
        self._general = False  # a CR was seen: cut line by line from here on
        self._line = 0  # general: where the current line starts in `_pending`
        self._lone_cr = False  # general: the last line end was a CR alone
        self._skip_lf = False  # general: a LF at the current line's start belongs to the CR before it

    def feed(self, data: bytes) -> list[Event]:
        if not self._began:
            data = self._without_bom(data)
        if self._general or b"\r" in data:
            # Whole events with CRLF, of one line each: how the streams of one protocol arrive (3 µs an event less).
            if data.endswith(b"\r\n\r\n") and data.startswith(b"data: ") and not (self._pending or self._skip_lf):
                whole = _crlf_events(data) if len(data) <= self._limit else None
                if whole is not None:
                    self._lone_cr = False
                    return whole
            return self._cut_lines(data)
        pending = self._pending
        # One read, one event, nothing else: how most streams arrive. Spares the split and a copy (0.5 µs an event, measured).
        if data.startswith(b"data: ") and not pending and data.find(b"\n") == len(data) - 2 <= self._limit - 2 and data[-1] == LF:
            return [Event(data, None, data[6:-2])]
        # LF only, nearly every stream: one search for all events of a read spares the look at each line.
        if pending:
            pending += data
            if pending.find(b"\n\n", self._searched) < 0:
                return self._kept([])
            data = bytes(pending)
            pending.clear()
            self._searched = 0
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        events: list[Event] = []
        if len(data) > self._limit:
            for index, block in enumerate(blocks):
                if len(block) + 2 > self._limit:
                    raise EventTooLargeError(self._limit, events, b"\n\n".join([*blocks[index:], rest]))
                _add_block(events, block)
        else:
            for block in blocks:
                # The commonest event by far, said here once more to spare it a call (1 µs an event, measured).
                if block.startswith(b"data: ") and b"\n" not in block:
                    events.append(Event(block + b"\n\n", None, block[6:]))
                else:
                    _add_block(events, block)
        if rest:
            stripped = rest.lstrip(b"\n")
            events += [Event(b"\n")] * (len(rest) - len(stripped))
            pending += stripped
            return self._kept(events)
        return events

    def finish(self) -> bytes:
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _kept(self, events: list[Event]) -> list[Event]:
        pending = self._pending
        if len(pending) > self._limit:
            raise EventTooLargeError(self._limit, events, self.finish())
        self._searched = max(0, len(pending) - 1)  # its last byte may be the first of a blank line's two
        return events

    def _without_bom(self, data: bytes) -> bytes:
        """The bytes after a BOM; none while it may still be one."""
        start = bytes(self._pending) + data
        self._pending.clear()
        if len(start) < len(BOM) and BOM.startswith(start):
            self._pending += start
            return b""
        self._began = True
        return start.removeprefix(BOM)

    def _cut_lines(self, data: bytes) -> list[Event]:
        if not self._general:
            self._general = True
            self._searched = 0
        pending = self._pending
        pending += data
        events: list[Event] = []
        start = 0  # of the event
        while True:
            if self._skip_lf and self._line < len(pending):
                self._skip_lf = False
                if pending[self._line] == LF:
                    self._line += 1
                    self._lone_cr = False
            found = _LINE_END.search(pending, max(self._searched, self._line))
            end = self._line_end(pending, found.start()) if found else 0
            if not found or not end:
                self._searched = found.start() if found else len(pending)
                break
            blank = found.start() == self._line
            self._line = self._searched = end
            if blank:
                if end - start > self._limit:
                    raise EventTooLargeError(self._limit, events, bytes(pending[start:]))
                events.append(read_event(bytes(pending[start:end])))
                start = end
        del pending[:start]
        self._line -= start
        self._searched -= start
        if len(pending) > self._limit:
            raise EventTooLargeError(self._limit, events, self.finish())
        return events

    def _line_end(self, pending: bytearray, place: int) -> int:
        """Where the line end that starts at `place` stops; 0 when only the next byte can tell."""
        if pending[place] == LF:
            self._lone_cr = False
            return place + 1
        if self._lone_cr and place == self._line:
            self._skip_lf = True
            return place + 1
        if place + 1 == len(pending):
            return 0
        self._lone_cr = pending[place + 1] != LF
        return place + (1 if self._lone_cr else 2)


def _crlf_events(data: bytes) -> list[Event] | None:
    """The events, where each is one line of data and every line end is CRLF; else None."""
    blocks = data.split(b"\r\n\r\n")
    del blocks[-1]  # what stands behind the last blank line: nothing
    events = []
    for block in blocks:
        if not block.startswith(b"data: ") or b"\n" in block or b"\r" in block:
            return None
        events.append(Event(block + b"\r\n\r\n", None, block[6:]))
    return events


def _add_block(events: list[Event], block: bytes) -> None:
    """Adds what stands before a blank line (`block` + LF LF, no CR in it); each LF that leads it is a blank line of its own."""
    fields = block.lstrip(b"\n")
    if len(fields) != len(block) or not block:
        events += [Event(b"\n")] * (len(block) - len(fields) + (0 if fields else 2))
        if not fields:
            return
    if fields.startswith(b"event: "):
        end = fields.find(b"\n")
        if fields.startswith(b"data: ", end + 1) and fields.find(b"\n", end + 1) < 0 and end > 7:
            events.append(Event(fields + b"\n\n", fields[7:end].decode("utf-8", "replace"), fields[end + 7 :]))
            return
    events.append(read_event(fields + b"\n\n"))


def read_event(raw: bytes) -> Event:
    """The event that these bytes are, as the standard reads it, finished or not (rule G06); takes any of the three line ends."""
    text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw
    name: str | None = None
    last_id: str | None = None
    retry: int | None = None
    data: list[bytes] = []
    others: list[bytes] = []
    for line in text.split(b"\n"):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value.decode("utf-8", "replace") or None
        elif key == b"id":
            last_id = last_id if b"\0" in value else value.decode("utf-8", "replace")
        elif key == b"retry":
            # The length is bounded because a number of thousands of digits is no time, and slow to read.
            retry = int(value) if value.isdigit() and len(value) <= 15 else retry
        elif key:
            others.append(line)
    return Event(raw, name, b"\n".join(data) if data else None, last_id, retry, tuple(others))


def format_event(
    data: bytes,
    name: str | None = None,
    id: str | None = None,  # noqa: A002 - the field's name
    retry: int | None = None,
    others: tuple[bytes, ...] = (),
) -> bytes:
    """The bytes of an event in the form that every client reads (rule G08): one space, LF, one blank line.

    Raises ValueError when a name, an id or another line holds what would break the stream.
    """
    if name is None and id is None and retry is None and not others and b"\n" not in data and b"\r" not in data:
        return b"data: %b\n\n" % data
    lines: list[bytes] = []
    if name is not None:
        lines.append(b"event: " + _one_line(name.encode(), "the name of an event"))
    if id is not None:
        if "\0" in id:
            raise ValueError("the id of an event holds NUL, which makes clients ignore it; leave it out")
        lines.append(b"id: " + _one_line(id.encode(), "the id of an event"))
    if retry is not None:
        lines.append(b"retry: %d" % retry)
    lines += [_one_line(other, "a line of an event") for other in others]
    lines += [b"data: " + line for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")]
    return b"\n".join(lines) + b"\n\n"


def _one_line(value: bytes, what: str) -> bytes:
    if b"\n" in value or b"\r" in value:
        raise ValueError(f"{what} holds a line end, which would start a new field; take it out")
    return value


class LineCutter:
    """Cuts newline-delimited JSON: each LF ends an `Event` whose `data` is the line without LF or CRLF, None if it is blank."""

    __slots__ = ("_limit", "_pending")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        pending = self._pending
        if b"\n" not in data:
            pending += data
            self._check([])
            return []
        if pending:
            data = bytes(pending) + data
            pending.clear()
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[Event] = []
        for index, line in enumerate(lines):
            if len(line) >= self._limit:
                raise EventTooLargeError(self._limit, events, b"\n".join([*lines[index:], rest]))
            events.append(Event(line + b"\n", None, line.removesuffix(b"\r") if line.strip(_BLANK) else None))
        pending += rest
        self._check(events)
        return events

    def finish(self) -> bytes:
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _check(self, events: list[Event]) -> None:
        if len(self._pending) > self._limit:
            raise EventTooLargeError(self._limit, events, self.finish())
