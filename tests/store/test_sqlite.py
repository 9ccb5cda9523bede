"""What is particular to the store in a file: its bound, its mode, other processes, other versions."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.store.interface import StoreError
from proxy.store.opening import open_store
from proxy.store.sqlite import SQLiteStore
from tests.harness.runner import async_test


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    finally:
        connection.close()
    return int(count)


@async_test(loops=False)
async def test_what_has_ended_is_not_given_out_and_is_removed_by_the_next_write(tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", Clock()
    store = await SQLiteStore.open(path, clock=clock)
    await store.put("job", b"a private answer", 10)
    await store.claim("job", "worker", 10)
    clock.now += 9.9
    assert await store.get("job") == b"a private answer"
    clock.now += 0.1
    assert await store.get("job") is None
    await store.put("next", b"", 10)
    assert (rows(path, "records"), rows(path, "claims")) == (1, 0)
    await store.close()
    assert b"a private answer" not in path.read_bytes()


@async_test(loops=False)
async def test_what_has_ended_is_removed_when_the_store_is_opened(tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", Clock()
    await (store := await SQLiteStore.open(path, clock=clock)).put("job", b"", 10)
    await store.close()
    clock.now += 10
    await (await SQLiteStore.open(path, clock=clock)).close()
    assert rows(path, "records") == 0


@async_test(loops=False)
async def test_room_is_made_by_those_that_would_end_first(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "store.db", max_bytes=100)
    await store.put("long", bytes(40), 300)
    await store.put("short", bytes(40), 100)
    await store.put("middle", bytes(20), 200)
    assert await store.get("short") is not None  # exactly full
    await store.put("new", bytes(50), 50)
    kept = [key for key in ("long", "short", "middle", "new") if await store.get(key) is not None]
    assert kept == ["long", "new"]
    await store.put("long", bytes(50), 300)  # its own old record does not count
    assert await store.get("new") is not None
    await store.close()


@async_test(loops=False)
async def test_the_file_does_not_grow_with_what_passed_through_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path, max_bytes=100_000)
    for number in range(60):
        await store.put(f"job {number}", bytes(20_000), 60)
    await store.close()
    assert path.stat().st_size < 300_000


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


@pytest.mark.parametrize("before", [None, 0o644])
@async_test(loops=False)
async def test_only_its_owner_can_read_the_file_and_those_beside_it(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "store.db"
    if before is not None:
        path.touch()
        path.chmod(before)
    store = await SQLiteStore.open(path)
    await store.put("job", b"record", 60)
    assert {file.name for file in tmp_path.iterdir()} == {"store.db", "store.db-wal", "store.db-shm"}
    assert modes(tmp_path) == {0o600}
    await store.close()


CLAIM_ALL = """
import asyncio, sys
from pathlib import Path
from proxy.store.sqlite import SQLiteStore

async def main(path, me):
    store = await SQLiteStore.open(Path(path))
    for number in range(40):
        if await store.claim(f"job {number}", me, 60):
            await store.put(f"job {number}", me.encode(), 60)
            print(number)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_several_processes_share_the_file_and_each_job_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIM_ALL, str(path), f"worker {n}"], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    won = [set(map(int, process.communicate(timeout=60)[0].split())) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(number for each in won for number in each) == list(range(40))

    async def owners() -> list[bytes | None]:
        store = await SQLiteStore.open(path)
        found = [await store.get(f"job {number}") for number in range(40)]
        await store.close()
        return found

    expected = [next(f"worker {n}".encode() for n, each in enumerate(won) if number in each) for number in range(40)]
    assert asyncio.run(owners()) == expected


@async_test(loops=False)
async def test_opening_waits_for_another_process_that_is_making_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # in this state SQLite refuses the switch to the log at once
    opening = asyncio.ensure_future(SQLiteStore.open(path))
    await asyncio.sleep(0.05)
    assert not opening.done()
    other.execute("COMMIT")
    other.close()
    await (await opening).close()


@async_test(loops=False)
async def test_the_event_loop_goes_on_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.put("job", b"record", 60))
    for _ in range(20):  # the loop turns, and the writer waits
        await asyncio.sleep(0.001)
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await waiting
    assert await store.get("job") == b"record"
    await store.close()


@async_test(loops=False)
async def test_a_file_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"another version \(format 99, not 1\); remove the file"):
        await SQLiteStore.open(path)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        rows(path, "records")


@async_test(loops=False)
async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database " * 100)
    for name in ("missing/store.db", "text.db"):
        with pytest.raises(StoreError, match="cannot be used") as raised:
            await SQLiteStore.open(tmp_path / name)
        assert name in str(raised.value)


@async_test(loops=False)
async def test_a_failed_write_leaves_the_store_usable(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SQLiteStore.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TRIGGER broken BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreError, match="no"):
        await store.put("job", b"record", 60)
    other.execute("DROP TRIGGER broken")
    other.close()
    await store.put("job", b"record", 60)
    assert await store.get("job") == b"record"
    await store.close()


@async_test(loops=False)
async def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    store = await open_store(str(tmp_path / "store.db"))
    await store.put("job", b"record", 60)
    await store.close()
    names = [thread for thread in threading.enumerate() if thread.name.startswith("store")]
    for thread in names:
        thread.join(5)
    assert not any(thread.is_alive() for thread in names)


@async_test(loops=False)
async def test_a_url_of_another_kind_of_store_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="`mysql://` is no kind of store: write redis://"):
        await open_store("mysql://host/db")
    assert list(tmp_path.iterdir()) == []
