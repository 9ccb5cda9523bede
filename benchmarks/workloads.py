"""The workloads: what is sent, what is sampled meanwhile, and which figures come out.

A figure's name ends in its unit: `_us` microseconds, `_ms` milliseconds, `_per_s`, `_bytes`, `_share` (of one core).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import system
from benchmarks.load import Load, Shape, problems
from benchmarks.prepare import EVENTS_PER_STREAM
from benchmarks.servers import Processes, Running
from benchmarks.targets import Target

PROBE_RATE = 500.0  # W5: small requests per second
STREAMS_RAMP = 1000.0  # W4: new streams per second
UPLOAD_RATE = 5.0  # W5: uploads per second
FOREIGN_LIMIT = 0.15  # of one core


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a run measures, and how many streams W4 opens."""

    seconds: float
    warm_up: float
    streams: int


@dataclass(slots=True)
class Run:
    """One run of one target. `problems` not empty: the figures are not used."""

    workload: str
    target: str
    round: int = 0
    when: float = 0.0  # monotonic seconds, the middle of the run
    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    disturbed: bool = False  # other programs or the hypervisor took CPU time meanwhile


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    server: float
    mock: float
    machine: system.MachineTime


def _sample(processes: Processes, server: Running | None) -> Sample:
    return Sample(
        time.monotonic(),
        system.cpu_seconds(server.pid) if server else 0.0,
        system.cpu_seconds(processes.mock.pid),
        system.machine_time(),
    )


def _put_latency(figures: dict[str, float], name: str, histogram: dict[str, float] | None) -> None:
    if histogram:
        figures |= {f"{name}_{quantile}_us": histogram[quantile] for quantile in ("p50", "p99", "max")}


def _figures(run: Run, result: dict[str, Any], before: Sample, after: Sample, server: Running | None) -> None:
    """Fills `run` from the load generator's report and the samples taken at its `start` and `stop`."""
    seconds, figures = result["seconds"], run.figures
    requests, events = result["requests"], result["events"]
    cpu = after.server - before.server
    generator = result["load_cpu_seconds"] + after.mock - before.mock
    figures |= {"requests_per_s": requests / seconds, "load_core_share": generator / seconds}
    if events:
        figures |= {"events_per_s": events / seconds, "events_per_read": events / result["event_reads"]}
        if result.get("segments"):
            figures["events_per_segment"] = events / result["segments"]
    if server:
        figures["cpu_share"] = cpu / seconds
        if requests:
            figures["cpu_per_request_us"] = cpu / requests * 1e6
        if events:
            figures["cpu_per_event_us"] = cpu / events * 1e6
    for name in ("latency", "first_event", "event_latency"):
        _put_latency(figures, name, result[name])
    ours = cpu + generator
    foreign = after.machine.busy - before.machine.busy + after.machine.stolen - before.machine.stolen - ours
    figures["foreign_share"] = max(foreign, 0.0) / (after.at - before.at)
    run.disturbed = figures["foreign_share"] > FOREIGN_LIMIT
    run.when = (before.at + after.at) / 2


def _measure(run: Run, processes: Processes, target: Target, server: Running | None, shape: Shape) -> None:
    with Load(target, processes.port(target), shape) as load:
        load.wait_for("start")
        before = _sample(processes, server)
        load.wait_for("stop")
        after = _sample(processes, server)
        result = load.finish()
    run.problems += problems(result, shape)
    _figures(run, result, before, after, server)


Measure = Callable[["Workload", Processes, Target, Pace], Run]


def closed_loop(workload: "Workload", processes: Processes, target: Target, pace: Pace) -> Run:
    """W1 to W3: a number of connections, each asking again when it was answered."""
    run = Run(workload.name, target.name)
    assert workload.shape is not None
    shape = replace(workload.shape, seconds=pace.seconds * workload.longer, warm_up=pace.warm_up)
    with processes.awake(target) as server:
        _measure(run, processes, target, server, shape)
    return run


def open_streams(workload: "Workload", processes: Processes, target: Target, pace: Pace) -> Run:
    """W4: streams that stay open with one event a second; a fresh process, so that memory is that of the streams."""
    run = Run(workload.name, target.name)
    small = Shape("json", 32, 0.1, 0.2)
    many = Shape(
        "endless",
        pace.streams,
        pace.warm_up + 0.5,
        pace.seconds * workload.longer,
        ramp=STREAMS_RAMP,
        events=EVENTS_PER_STREAM,
        hold=True,
    )
    with processes.awake(target, fresh=True) as server:
        with Load(target, processes.port(target), small) as load:  # what is allocated once is no memory of the streams
            load.wait_for("start")
            load.wait_for("stop")
            run.problems += problems(load.finish(), small)
        before_streams = system.memory(server.pid) if server else None
        with Load(target, processes.port(target), many) as load:
            load.wait_for("start")
            before = _sample(processes, server)
            load.wait_for("stop")
            after = _sample(processes, server)
            with_streams = system.memory(server.pid) if server else None
            result = load.finish()
        run.problems += problems(result, many)
        if result["open_streams"] != pace.streams:
            run.problems.append(f"{result['open_streams']} of {pace.streams} streams are open at the end")
        _figures(run, result, before, after, server)
        run.figures["streams"] = result["open_streams"]
        if before_streams and with_streams:
            grown = with_streams.proportional - before_streams.proportional
            run.figures["bytes_per_stream"] = grown / max(result["open_streams"], 1)
            run.figures["before_streams_bytes"] = before_streams.proportional
    if target.server:
        processes.stop(target.server)  # the next workload shall not inherit its memory
    return run


def uploads(workload: "Workload", processes: Processes, target: Target, pace: Pace) -> Run:
    """W5: small requests at a steady rate, alone and then beside uploads; both open loop, so waiting counts as latency."""
    run = Run(workload.name, target.name)
    quiet_shape = Shape("json", 32, pace.warm_up, pace.seconds / 2, rate=PROBE_RATE)
    probe = replace(quiet_shape, seconds=pace.seconds)
    upload = Shape("upload", 2, 0.3, pace.seconds + pace.warm_up + 0.3, rate=UPLOAD_RATE)
    with processes.awake(target) as server:
        quiet = Run(workload.name, target.name)
        _measure(quiet, processes, target, server, quiet_shape)
        if server:
            system.forget_peak(server.pid)
        resting = system.memory(server.pid) if server else None
        with Load(target, processes.port(target), upload) as load:
            load.wait_for("start")
            _measure(run, processes, target, server, probe)
            load.wait_for("stop")
            sent = load.finish()
        busy = system.memory(server.pid) if server else None
    run.problems += quiet.problems + problems(sent, upload)
    run.figures["quiet_latency_p99_us"] = quiet.figures.get("latency_p99_us", float("nan"))
    run.figures["uploads_per_s"] = sent["requests"] / sent["seconds"]
    _put_latency(run.figures, "upload", sent["latency"])
    if resting and busy:
        run.figures["growth_bytes"] = max(busy.peak - resting.resident, 0)
    for name in ("cpu_per_request_us", "foreign_share"):  # the uploads and their load generator are in them
        run.figures.pop(name, None)
    run.disturbed = quiet.disturbed
    return run


def start(workload: "Workload", processes: Processes, target: Target, _: Pace) -> Run:
    """From exec to ready, and the memory at that moment."""
    run = Run(workload.name, target.name)
    assert target.server is not None
    server = processes.restart(target.server)
    used = system.memory(server.pid)
    processes.stop(target.server)
    run.when = time.monotonic()
    run.figures |= {
        "ready_ms": server.ready_after * 1e3,
        "resident_bytes": used.resident,
        "proportional_bytes": used.proportional,
    }
    return run


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    title: str
    measure: Measure
    shape: Shape | None = None
    longer: float = 1.0  # times the seconds of a run
    max_rounds: int = 1000
    with_direct: bool = True
    rehearsal: bool = False  # one short unrecorded run of each target first


def _w1(connections: int) -> Workload:
    title = f"1 KB chat request, 0.6 KB JSON answer, keep-alive, {connections} connection{'s' * (connections > 1)}"
    return Workload(f"w1c{connections}", title, closed_loop, Shape("json", connections, 0, 0), rehearsal=True)


_BURST = Shape("burst", 32, 0, 0, events=EVENTS_PER_STREAM, count_segments=True)
_PACED = Shape("paced", 200, 0, 0, ramp=500, events=EVENTS_PER_STREAM)

WORKLOADS = {
    workload.name: workload
    for workload in (
        _w1(1),
        _w1(32),
        _w1(256),
        Workload("w2", "SSE, 64 events of about 250 B as fast as possible, 32 connections", closed_loop, _BURST, rehearsal=True),
        Workload("w3", "SSE, first event after 5 ms, then one every 20 ms, 200 streams", closed_loop, _PACED, longer=2),
        Workload("w4", "many open streams, one event a second each", open_streams, longer=2, max_rounds=3),
        Workload("w5", "20 MB uploads, 5 a second, beside small requests, 500 a second", uploads),
        Workload("start", "from exec to ready, and memory then", start, with_direct=False),
    )
}
