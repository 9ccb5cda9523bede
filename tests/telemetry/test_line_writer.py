"""The thread that writes, and what happens when it cannot keep up."""

import os
import threading
from pathlib import Path

import pytest

from proxy.telemetry.line_writer import BATCH, LineWriter


def ignore(_: float) -> None:
    """For writers whose losses are not looked at."""


def until(condition: threading.Event) -> None:
    assert condition.wait(20), "nothing happened within 20 s"


def test_everything_queued_before_the_close_is_in_the_file_in_order(tmp_path: Path) -> None:
    dropped: list[float] = []
    writer = LineWriter(tmp_path / "log", dropped.append, dropped.append, bound=100_000)
    for number in range(10_000):
        writer.write(b"%d\n" % number)
    writer.close()
    assert (tmp_path / "log").read_bytes() == b"".join(b"%d\n" % number for number in range(10_000))
    assert dropped == []


def test_a_line_gets_out_without_a_close(tmp_path: Path) -> None:
    read, write = os.pipe()
    with open(read, "rb") as reader, open(write, "wb"):
        writer = LineWriter(Path(f"/dev/fd/{write}"), ignore, ignore)
        for number in range(3):
            writer.write(b"%d\n" % number)
            assert reader.readline() == b"%d\n" % number
        writer.close()


def test_a_full_batch_does_not_wait_for_its_time(tmp_path: Path) -> None:
    read, write = os.pipe()
    with open(read, "rb") as reader, open(write, "wb"):
        writer = LineWriter(Path(f"/dev/fd/{write}"), ignore, ignore)
        for number in range(BATCH * 3):
            writer.write(b"%d\n" % number)
        assert [reader.readline() for _ in range(BATCH * 3)] == [b"%d\n" % number for number in range(BATCH * 3)]
        writer.close()


def test_a_reader_that_stopped_costs_lines_but_never_a_wait(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    dropped: list[float] = []
    writer = LineWriter(fifo, dropped.append, dropped.append, bound=10)
    line = b"x" * 4096 + b"\n"
    total = 2000  # eight megabytes: no pipe holds that much
    for _ in range(total):
        writer.write(line)
    assert sum(dropped) > 0
    os.set_blocking(reader, True)
    received = bytearray()
    drain = threading.Thread(target=lambda: [received.extend(data) for data in iter(lambda: os.read(reader, 1 << 20), b"")])
    drain.start()
    writer.close()
    drain.join(20)
    os.close(reader)
    assert received.count(b"\n") + sum(dropped) == total
    assert len(received) == received.count(b"\n") * len(line), "no line is torn"


def test_a_close_gives_up_on_a_destination_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.telemetry.line_writer.CLOSE_TIMEOUT", 0.05)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(fifo, ignore, ignore)
    writer.write(b"x" * 1_000_000)
    writer.close()
    os.close(reader)  # lets the thread go


def test_what_cannot_be_written_is_counted(tmp_path: Path) -> None:
    lost: list[float] = []
    happened = threading.Event()

    def on_error(count: float) -> None:
        lost.append(count)
        happened.set()

    writer = LineWriter(Path("/dev/full"), ignore, on_error)
    writer.write(b"one\n")
    until(happened)
    writer.write(b"two\n")
    writer.close()
    assert sum(lost) == 2


def test_after_a_rotation_the_new_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LineWriter(path, ignore, ignore)
    path.rename(tmp_path / "log.1")
    writer.reopen()
    writer.write(b"new\n")
    writer.close()
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "log.1").read_bytes() == b""


def test_a_rotation_that_fails_leaves_the_old_file_in_use(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "log"
    writer = LineWriter(path, ignore, ignore)
    (tmp_path / "a").rename(tmp_path / "b")
    writer.reopen()
    writer.write(b"still here\n")
    writer.close()
    assert (tmp_path / "b" / "log").read_bytes() == b"still here\n"


def test_a_file_that_cannot_be_opened_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LineWriter(tmp_path / "nowhere" / "log", ignore, ignore)
