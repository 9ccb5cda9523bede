"""Faults of the connection as a raw client sees them, clients that leave, and the sandbox's own start and end."""

import asyncio
import gc
import json
import socket
import struct
import urllib.parse
from collections.abc import Callable

import pytest

from proxy.sandbox import Sandbox

STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
PLAIN = {**STREAM, "stream": False}


def dial(sandbox: Sandbox, body: object, fault: str) -> socket.socket:
    """A connection on which one chat request with a fault was sent."""
    where = urllib.parse.urlsplit(sandbox.url)
    raw = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: sandbox\r\nX-Sandbox-Fault: {fault}\r\nContent-Length: {len(raw)}\r\n\r\n"
    connection = socket.create_connection((where.hostname, where.port), timeout=5)
    connection.sendall(head.encode() + raw)
    return connection


def read_until_end(connection: socket.socket) -> tuple[bytes, bool]:
    """Everything that came, and whether the connection was reset rather than closed."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:
        return received, True
    return received, False


def read_past(connection: socket.socket, mark: bytes) -> bytes:
    """What came until a mark was seen."""
    received = b""
    while mark not in received:
        more = connection.recv(65536)
        assert more, received
        received += more
    return received


def test_a_cut_stream_is_closed_in_the_middle_of_an_event_without_its_end(sandbox: Sandbox) -> None:
    with dial(sandbox, STREAM, "cut") as connection:
        received, reset = read_until_end(connection)
    assert not reset
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"data: {" in received
    assert b"[DONE]" not in received
    assert b"\r\n0\r\n\r\n" not in received
    assert not received.endswith(b"\n\n\r\n")


def test_a_cut_plain_answer_is_shorter_than_its_length_says(sandbox: Sandbox) -> None:
    with dial(sandbox, PLAIN, "cut") as connection:
        received, reset = read_until_end(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert not reset
    assert 0 < len(body) < length


@pytest.mark.parametrize("body", [STREAM, PLAIN], ids=["stream", "plain"])
def test_a_reset_answer_ends_with_a_reset(sandbox: Sandbox, body: object) -> None:
    with dial(sandbox, body, "reset") as connection:
        assert read_until_end(connection)[1]


def test_a_stalled_stream_sends_its_first_event_and_counts_the_client_that_leaves(
    own_sandbox: Sandbox, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    with dial(own_sandbox, STREAM, "stall") as connection:
        received = read_past(connection, b"\n\n")
        assert received.count(b"data: ") == 1
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert own_sandbox.cancelled == 0
    assert eventually(lambda: own_sandbox.cancelled == 1)


def test_a_client_that_leaves_in_the_middle_of_a_stream_is_counted(
    slow_sandbox: Sandbox, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    with dial(slow_sandbox, STREAM, "slow") as connection:
        read_past(connection, b"\n\n")
    assert eventually(lambda: slow_sandbox.cancelled == 1)


def test_a_stalled_plain_answer_holds_its_second_half(
    own_sandbox: Sandbox, eventually: Callable[[Callable[[], bool]], bool]
) -> None:
    connection = dial(own_sandbox, PLAIN, "stall")
    try:
        assert b'"object"' in read_past(connection, b'"chat.completion"')
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        connection.close()
    assert eventually(lambda: own_sandbox.cancelled == 1)


def test_complete_and_faulty_answers_count_no_cancelled_client(own_sandbox: Sandbox) -> None:
    for fault in ("cut", "reset", "429"):
        with dial(own_sandbox, STREAM, fault) as connection:
            if fault == "429":
                read_past(connection, b"rate_limit")
            else:
                read_until_end(connection)
    with dial(own_sandbox, STREAM, "slow") as connection:
        read_past(connection, b"\r\n0\r\n\r\n")
    assert own_sandbox.cancelled == 0


def test_slow_stretches_the_pauses_tenfold() -> None:
    async def main() -> list[float]:
        pauses: list[float] = []
        sandbox = Sandbox(pace=0.001)
        await sandbox.start()
        real, ours = asyncio.sleep, asyncio.get_running_loop()

        async def noted(delay: float, result: object = None) -> object:
            if asyncio.get_running_loop() is not ours:  # a gateway of another test, in its own thread, sleeps as it likes
                return await real(delay, result)
            pauses.append(delay)
            return await real(0, result)

        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("proxy.sandbox.server.asyncio.sleep", noted)
                with await asyncio.to_thread(dial, sandbox, STREAM, "slow") as connection:
                    await asyncio.to_thread(read_past, connection, b"[DONE]")
        finally:
            await sandbox.stop()
        return pauses

    pauses = asyncio.run(main())
    assert max(pauses) == pytest.approx(0.01)
    assert sum(pause > 0.005 for pause in pauses) > 10


def test_stopping_drops_open_answers_and_leaves_nothing_behind() -> None:
    async def main() -> tuple[int, set[str]]:
        sandbox = Sandbox(pace=0)
        await sandbox.start()
        stalled = await asyncio.to_thread(dial, sandbox, STREAM, "stall")
        idle = await asyncio.to_thread(socket.create_connection, (urllib.parse.urlsplit(sandbox.url).hostname, port_of(sandbox)))
        with stalled, idle:
            await asyncio.to_thread(read_past, stalled, b"\n\n")
            await sandbox.stop()
            await sandbox.stop()
            await asyncio.sleep(0)
            others = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
            assert await asyncio.to_thread(read_until_end, idle) == (b"", False)
        return sandbox.cancelled, others

    assert asyncio.run(main()) == (0, set())
    gc.collect()  # an unclosed transport would warn here, and warnings are errors


def port_of(sandbox: Sandbox) -> int:
    port = urllib.parse.urlsplit(sandbox.url).port
    assert port
    return port


def test_a_sandbox_can_start_again_but_not_twice_at_once() -> None:
    async def main() -> None:
        sandbox = Sandbox()
        await sandbox.start()
        with pytest.raises(RuntimeError, match="already listens at http://127"):
            await sandbox.start()
        await sandbox.stop()
        await sandbox.start()
        taken = Sandbox()
        with pytest.raises(OSError, match="address already in use"):
            await taken.start(port=port_of(sandbox))
        await taken.stop()
        await sandbox.stop()

    asyncio.run(main())


def test_a_seed_makes_the_ids_repeat() -> None:
    def first_id() -> str:
        async def main() -> str:
            sandbox = Sandbox(pace=0, seed=3)
            await sandbox.start()
            try:
                with await asyncio.to_thread(dial, sandbox, PLAIN, "slow") as connection:
                    received = await asyncio.to_thread(read_past, connection, b'"usage"')
            finally:
                await sandbox.stop()
            return str(received.split(b'"id":"')[1][:33])

        return asyncio.run(main())

    assert first_id() == first_id()
