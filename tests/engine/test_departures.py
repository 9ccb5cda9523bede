"""Noticing that a peer has left while nothing is read from it (L03), on socket pairs."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from proxy.net.departures import Departures
from tests.harness.runner import async_test, until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection over TCP, because only there a FIN and a RST are two things."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    with near, far:
        yield near, far


@async_test(loops=False)
async def test_L03_a_peer_that_closes_is_noticed_once_and_without_reading_a_byte(pair: Pair) -> None:
    near, far = pair
    departures = Departures(asyncio.get_running_loop())
    gone: list[str] = []
    departures.watch(near.fileno(), lambda: gone.append("gone"), half_close=False)
    far.sendall(b"unread")
    far.close()
    await until(lambda: gone)
    await asyncio.sleep(0.1)
    assert gone == ["gone"]
    assert len(departures) == 0
    assert near.recv(100) == b"unread"


@async_test(loops=False)
async def test_L04_with_half_close_a_fin_is_no_departure_and_a_reset_is(pair: Pair) -> None:
    near, far = pair
    departures = Departures(asyncio.get_running_loop())
    gone: list[str] = []
    departures.watch(near.fileno(), lambda: gone.append("gone"), half_close=True)
    far.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.12)
    assert gone == []
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    far.close()
    await until(lambda: gone)


@async_test(loops=False)
async def test_bytes_that_come_are_no_departure(pair: Pair) -> None:
    near, far = pair
    departures = Departures(asyncio.get_running_loop())
    gone: list[str] = []
    departures.watch(near.fileno(), lambda: gone.append("gone"), half_close=False)
    far.sendall(b"x" * 1000)
    await asyncio.sleep(0.12)
    assert gone == []
    departures.stop()


@async_test(loops=False)
async def test_what_is_forgotten_is_not_called_and_then_nothing_runs(pair: Pair) -> None:
    near, far = pair
    departures = Departures(asyncio.get_running_loop())
    gone: list[str] = []
    departures.watch(near.fileno(), lambda: gone.append("gone"), half_close=False)
    departures.forget(near.fileno())
    departures.forget(near.fileno())
    departures.forget(-1)
    far.close()
    await asyncio.sleep(0.12)
    assert gone == []
    assert departures._handle is None
    assert len(departures) == 0


@async_test(loops=False)
async def test_many_that_leave_at_once_may_forget_each_other() -> None:
    departures = Departures(asyncio.get_running_loop())
    pairs = [socket.socketpair() for _ in range(5)]
    called: list[int] = []

    def leave(number: int) -> None:
        called.append(number)
        for near, _ in pairs:
            departures.forget(near.fileno())

    for number, (near, _) in enumerate(pairs):
        departures.watch(near.fileno(), lambda number=number: leave(number), half_close=False)  # type: ignore[misc]
    for _, far in pairs:
        far.close()
    await until(lambda: called)
    await asyncio.sleep(0.1)
    assert len(called) == 1
    for near, _ in pairs:
        near.close()
