"""The benchmark harness on this machine: the C programs compile, their counts add up, and a bad answer never becomes a figure."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import prepare
from benchmarks.load import Load, Shape, problems
from benchmarks.preflight import check
from benchmarks.servers import Processes
from benchmarks.targets import DIRECT, TARGETS, Site
from benchmarks.workloads import WORKLOADS, Pace

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not (shutil.which("cc") and shutil.which("taskset")) or len(os.sched_getaffinity(0)) < 2,
        reason="the harness needs cc, taskset and two cores",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    prepare.LOGS.mkdir(parents=True, exist_ok=True)
    prepare.compile_programs()
    for name in ("json", "echo", "burst"):
        prepare.write_body(name)


@contextmanager
def peer_that_answers(answer: bytes) -> Iterator[int]:
    """A server that answers the first request of each connection with these bytes and closes it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the listener was shut down: the end
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        connection.sendall(answer)
                    except OSError:  # the load generator ended meanwhile
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_requests_statuses_and_figures_of_a_short_run_add_up() -> None:
    connections = 8
    shape = Shape("json", connections, warm_up=0.1, seconds=0.6)
    with (
        Processes(Site(free_port(), files=1024, dragoman="")) as processes,
        Load(TARGETS[DIRECT], processes.site.mock, shape) as load,
    ):
        load.wait_for("start")
        load.wait_for("stop")
        result = load.finish()
    served = json.loads((prepare.LOGS / "mock.log").read_text())

    assert problems(result, shape) == []
    assert result["seconds"] >= 0.6
    assert 0 < result["requests"] <= result["completed"] <= result["started"] <= result["completed"] + connections
    assert set(result["answers"]) == {"200"}
    assert result["completed"] <= result["answers"]["200"] <= result["started"]
    assert result["completed"] <= served["requests"] <= result["started"]
    assert result["latency"]["n"] == result["requests"]
    assert 0 < result["latency"]["p50"] <= result["latency"]["p99"] <= result["latency"]["max"] * 1.01


def test_the_figures_of_a_stream_come_from_whole_streams() -> None:
    with Processes(Site(free_port(), files=1024, dragoman="")) as processes:
        check(processes, TARGETS[DIRECT])
        workload = WORKLOADS["w2"]
        run = workload.measure(workload, processes, TARGETS[DIRECT], Pace(seconds=0.6, warm_up=0.1, streams=1))

    assert run.problems == []
    streams = run.figures["requests_per_s"] * prepare.EVENTS_PER_STREAM
    # Streams that are open when the measurement begins or ends count with a part of their events only.
    assert run.figures["events_per_s"] == pytest.approx(streams, abs=2 * 32 * prepare.EVENTS_PER_STREAM / 0.6)
    assert run.figures["events_per_read"] >= 1
    assert run.figures["events_per_segment"] > 0


@pytest.mark.parametrize(
    ("answer", "events", "complaint"),
    [
        pytest.param(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0, "answers {'503'", id="status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n@n1024;", 0, "ended before the answer was complete", id="cut"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n@n1024;", 0, "bytes that are no answer", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{}", 0, "bytes after the end", id="too long"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n@n1023;",
            0,
            "size of the request body",
            id="lost body",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\n@t1;\r\n0\r\n\r\n",
            2,
            "2 events",
            id="lost event",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n@t1;XX0\r\n\r\n", 1, "broken chunk framing", id="chunks"
        ),
    ],
)
def test_a_run_with_bad_answers_is_not_used(answer: bytes, events: int, complaint: str) -> None:
    shape = Shape("json", 2, warm_up=0.0, seconds=0.6, events=events)
    with peer_that_answers(answer) as port, Load(TARGETS[DIRECT], port, shape) as load:
        load.wait_for("start")
        load.wait_for("stop")
        result = load.finish()

    assert any(complaint in problem for problem in problems(result, shape)), problems(result, shape)


def test_a_port_in_use_is_named_before_anything_is_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"port {port}, meant for mock, is in use"):
            Processes(Site(port, files=1024, dragoman=""))
