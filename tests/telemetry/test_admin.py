"""The admin listener over real sockets."""

import asyncio
import importlib.util
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.telemetry.admin import Admin
from proxy.telemetry.lag import LoopLag
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.slots import Bank, Histogram

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
if importlib.util.find_spec("uvloop") is not None:
    import uvloop

    LOOPS.append(uvloop.new_event_loop)

Scene = Callable[[Admin, Metrics, list[str | None]], Awaitable[None]]


def play(scene: Scene, listen: str = "127.0.0.1:0") -> None:
    """Runs a scene against a started listener, on every event loop there is; the list holds the reason for not being ready."""

    async def main() -> None:
        metrics, reason = Metrics(), [None]
        admin = Admin(metrics, lambda: reason[0])
        await admin.start(listen)
        try:
            await scene(admin, metrics, reason)  # type: ignore[arg-type]
        finally:
            await admin.stop()

    for factory in LOOPS:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main(), 30))


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


async def ask(address: str, request: str) -> tuple[int, dict[str, str], bytes]:
    """Status, fields (names in lower case) and body of the answer to one request on a fresh connection."""
    reader, writer = await connect(address)
    writer.write(f"{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    start, *rest = head.decode().split("\r\n")
    return int(start.split(" ")[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}, body


def test_metrics_are_the_exposition() -> None:
    async def scene(admin: Admin, metrics: Metrics, _: Any) -> None:
        metrics.parse_errors.inc(3)
        status, fields, body = await ask(admin.address, "GET /metrics")
        assert status == 200
        assert fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert int(fields["content-length"]) == len(body)
        assert b"\ndragoman_parse_errors_total 3.0\n" in body
        assert b"\ndragoman_ready 1.0\n" in body

    play(scene)


def test_Q07_liveness_says_ok_whatever_the_readiness() -> None:
    async def scene(admin: Admin, _: Metrics, reason: list[str | None]) -> None:
        reason[0] = "draining"
        assert (await ask(admin.address, "GET /healthz"))[::2] == (200, b"ok\n")

    play(scene)


def test_Q07_readiness_says_why_not_and_the_gauge_agrees() -> None:
    async def scene(admin: Admin, metrics: Metrics, reason: list[str | None]) -> None:
        status, fields, body = await ask(admin.address, "GET /readyz")
        assert (status, fields["content-type"], json.loads(body)) == (200, "application/json", {"ready": True})
        assert metrics.ready.value == 1
        reason[0] = "draining"
        status, fields, body = await ask(admin.address, "GET /readyz")
        assert (status, fields["content-type"], json.loads(body)) == (
            503,
            "application/json",
            {"ready": False, "reason": "draining"},
        )
        assert metrics.ready.value == 0

    play(scene)


def test_the_index_lists_what_there_is() -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        status, fields, body = await ask(admin.address, "GET /")
        assert (status, fields["content-type"]) == (200, "text/plain; charset=utf-8")
        for page in (b"/metrics", b"/healthz", b"/readyz"):
            assert page in body

    play(scene)


@pytest.mark.parametrize("page", ["/", "/metrics", "/healthz", "/readyz"])
def test_a_HEAD_gets_the_head_only(page: str) -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        status, fields, body = await ask(admin.address, f"HEAD {page}")
        assert (status, body) == (200, b"")
        assert int(fields["content-length"]) > 0

    play(scene)


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [("GET /config", 404), ("GET /metrics/", 404), ("GET /..%2fmetrics", 404), ("POST /metrics", 405), ("DELETE /readyz", 405)],
)
def test_everything_else_is_refused_without_naming_the_software(request_line: str, expected: int) -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        status, fields, body = await ask(admin.address, request_line)
        assert status == expected
        assert "server" not in fields
        assert b"aiohttp" not in body
        assert ("allow" in fields) == (status == 405)

    play(scene)


def test_no_answer_names_the_software_or_may_be_stored() -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        for page in ("/", "/metrics", "/healthz", "/readyz"):
            _, fields, _ = await ask(admin.address, f"GET {page}")
            assert "server" not in fields
            assert fields["cache-control"] == "no-store"
            assert fields["x-content-type-options"] == "nosniff"

    play(scene)


def test_a_fault_of_ours_is_a_500_and_one_record(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def readiness() -> str | None:
            raise RuntimeError("broken")

        admin = Admin(Metrics(), readiness)
        await admin.start("127.0.0.1:0")
        status, fields, body = await ask(admin.address, "GET /readyz")
        await admin.stop()
        assert status == 500
        assert "server" not in fields
        assert b"broken" not in body

    asyncio.run(main())
    assert [(record.name, record.levelno) for record in caplog.records] == [("dragoman.admin", logging.ERROR)]


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\nAuthorization: Bearer MARKER\x00\r\n\r\n", b"MARKER\r\n\r\n", b"\x16\x03\x01MARKER"]
)
def test_A12_N09_bad_syntax_is_answered_and_logged_without_a_quotation(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        reader, writer = await connect(admin.address)
        writer.write(request_)
        answer = await reader.read()
        assert answer[8:13] == b" 400 "
        assert b"MARKER" not in answer
        assert b"aiohttp" not in answer
        writer.close()
        await writer.wait_closed()

    play(scene)
    assert "MARKER" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_unix_socket_is_served_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        assert admin.address == f"unix:{path}"
        assert (await ask(admin.address, "GET /healthz"))[0] == 200

    play(scene, f"unix:{path}")
    assert not path.exists()


def test_a_socket_left_by_a_dead_process_is_taken_over_but_not_a_living_one(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def scene(admin: Admin, metrics: Metrics, _: Any) -> None:
        second = Admin(metrics, lambda: None)
        with pytest.raises(OSError, match="in use"):
            await second.start(f"unix:{path}")
        assert (await ask(admin.address, "GET /healthz"))[0] == 200

    play(scene, f"unix:{path}")


def test_an_ipv6_address_stands_in_brackets() -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        assert admin.address.startswith("[::1]:")
        assert (await ask(admin.address, "GET /healthz"))[0] == 200

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    play(scene, "[::1]:0")


def test_M07_a_port_in_use_fails_at_once() -> None:
    async def scene(admin: Admin, metrics: Metrics, _: Any) -> None:
        with pytest.raises(OSError, match="in use"):
            await Admin(metrics, lambda: None).start(admin.address)

    play(scene)


@pytest.mark.parametrize(
    "listen", ["", "9090", ":9090", "localhost", "host:port", "::1:9090", "127.0.0.1:99999", "host:-1", "unix:", "h:٣"]
)
def test_a_listen_string_of_another_form_says_what_was_expected(listen: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*unix:PATH"):
        asyncio.run(Admin(Metrics(), lambda: None).start(listen))


def test_a_stop_does_not_wait_for_idle_connections() -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        reader, writer = await connect(admin.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: admin\r\n\r\n")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
        await asyncio.wait_for(admin.stop(), 20)
        assert await reader.read() == b""
        writer.close()
        await admin.stop()  # a second one is the same as none

    play(scene)


def test_a_started_listener_cannot_be_started_again() -> None:
    async def scene(admin: Admin, _m: Metrics, _r: Any) -> None:
        with pytest.raises(RuntimeError, match="already started"):
            await admin.start("127.0.0.1:0")

    play(scene)


def test_a_scrape_lets_the_loop_turn_between_its_parts() -> None:
    async def scene(admin: Admin, metrics: Metrics, _: Any) -> None:
        for number in range(1900):
            metrics.exchange("alpha", f"POST /v1/{number}", "POST", None).duration.observe(1)
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        asyncio.get_running_loop().call_soon(turn)
        idle = turns
        await ask(admin.address, "GET /healthz")
        idle = turns - idle
        before = turns
        await ask(admin.address, "GET /metrics")
        assert turns - before > idle / 2
        assert turns - before >= len(list(metrics.exposition_parts()))

    play(scene)


def test_the_loop_lag_is_sampled_until_it_is_stopped() -> None:
    async def main() -> None:
        bank = Bank(3)
        histogram = Histogram(bank.values, bank.take(3), (1000.0,))
        lag = LoopLag(histogram, interval=0.001)
        lag.start()
        lag.start()
        while histogram.count < 3:
            await asyncio.sleep(0.001)
        lag.stop()
        lag.stop()
        stopped = histogram.count
        await asyncio.sleep(0.01)
        assert histogram.count == stopped
        assert histogram.sum >= 0

    asyncio.run(asyncio.wait_for(main(), 30))
