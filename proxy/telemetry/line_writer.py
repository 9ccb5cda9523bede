"""Writes lines to a file, a pipe or a terminal without ever blocking the event loop.

The loop appends to a bounded queue; a daemon thread writes batches. When the other side is slower than we are (a full disk, a
stopped reader), lines are dropped and counted, never waited for. Formatting is not done in the thread: it would hold the
interpreter's lock for a whole batch, and every stream would feel it.
"""

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

BOUND = 8192  # lines
BATCH = 512  # lines that wake the thread before its time
PERIOD = 0.2  # seconds between batches
CLOSE_TIMEOUT = 2.0  # seconds to get rid of the rest at the end
STDOUT = 1

logger = logging.getLogger("dragoman.access_log")


class LineWriter:
    """One destination: `path`, or standard output when it is None. OSError when the file cannot be opened.

    `write`, `reopen` and `close` belong to one thread (the loop's). `on_drop(1)` is called there when the queue is full,
    `on_error(n)` in the writing thread when n lines could not be written.
    """

    def __init__(
        self, path: Path | None, on_drop: Callable[[float], None], on_error: Callable[[float], None], bound: int = BOUND
    ) -> None:
        self._path = path
        self._fd = STDOUT if path is None else _open(path)
        self._bound = bound
        self._on_drop = on_drop
        self._on_error = on_error
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()  # there is something to do
        self._now = threading.Event()  # do it without waiting for the period
        self._closing = False
        self._reopen = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, which ends in a line feed. Never blocks."""
        lines = self._lines
        if len(lines) >= self._bound:
            self._on_drop(1.0)
            return
        lines.append(line)
        waiting = len(lines)  # counted after the append: the thread may have emptied the queue and gone to sleep just before
        if waiting <= 1:
            self._wake.set()
        elif waiting == BATCH:
            self._now.set()

    def reopen(self) -> None:
        """Open the path again before the next batch: the file may have been renamed by a log rotation."""
        if self._path is not None:
            self._reopen = True
            self._now.set()
            self._wake.set()

    def close(self) -> None:
        """Write what is queued and end the thread; gives up after two seconds when the destination takes nothing."""
        self._closing = True
        self._now.set()
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT)

    def _run(self) -> None:
        while self._has_work():
            self._now.wait(PERIOD)
            self._now.clear()
            if self._reopen:
                self._reopen = False
                self._do_reopen()
            self._write_batch()
        if self._path is not None:
            os.close(self._fd)

    def _has_work(self) -> bool:
        """Waits for lines or a request; False when all is written and the writer is to close.

        The event is cleared before the queue is looked at again, so a line that comes in between is never slept over.
        """
        while not (self._lines or self._reopen):
            self._wake.clear()
            if self._lines or self._reopen:
                break
            if self._closing:
                return False
            self._wake.wait()
        if self._closing:
            self._now.set()
        return True

    def _write_batch(self) -> None:
        lines = self._lines
        batch = [lines.popleft() for _ in range(len(lines))]
        try:
            _write_all(self._fd, b"".join(batch))
        except OSError as error:
            self._on_error(float(len(batch)))
            if not self._failing:
                logger.error("access log: lines are being lost: %s", error.strerror)
            self._failing = True
        else:
            self._failing = False

    def _do_reopen(self) -> None:
        assert self._path is not None
        try:
            fd = _open(self._path)
        except OSError as error:
            logger.error("access log: cannot reopen %s: %s; the old file is written on", self._path, error.strerror)
        else:
            os.close(self._fd)
            self._fd = fd


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # a terminal or pipe that someone else made non-blocking
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll(1000)
