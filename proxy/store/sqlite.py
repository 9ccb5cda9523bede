"""Records in a SQLite file that all workers of one machine share.

The connection lives in a thread of its own, so that the event loop never waits for the disk. Times are of the wall clock: they
must mean the same to every process, and after a restart.
"""

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.settings import MIB
from proxy.store.interface import MAX_RECORD, RecordTooLargeError, StoreError, check

MAX_BYTES = 1024 * MIB
_FORMAT = 1  # of the tables below, in the file's user_version
_BUSY = 10.0  # seconds to wait for another process that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, expires REAL NOT NULL, size INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_by_end ON records (expires, size);
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, expires REAL NOT NULL, owner TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS claims_by_end ON claims (expires);
"""
# With the condition, a claim of another that has not ended is left alone, and no row counts as changed.
_CLAIM = """
INSERT INTO claims (key, expires, owner) VALUES (:key, :expires, :owner)
ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, owner = excluded.owner
WHERE claims.expires <= :now OR claims.owner = excluded.owner
"""

T = TypeVar("T")


class SQLiteStore:
    """A store in a file. All records together are at most `max_bytes`: to make room, those that would end first go early."""

    def __init__(self, path: Path, max_bytes: int, max_record: int, clock: Callable[[], float]) -> None:
        """Use `open`: a new object has no connection yet."""
        self._path = path
        self._max_bytes = max_bytes
        self._max_record = min(max_record, max_bytes)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None

    @classmethod
    async def open(
        cls, path: Path, *, max_bytes: int = MAX_BYTES, max_record: int = MAX_RECORD, clock: Callable[[], float] = time.time
    ) -> "SQLiteStore":
        """The store in a file, which is made when it is not there (its directory is not). Raises StoreError."""
        store = cls(path, max_bytes, max_record, clock)
        try:
            await store._run(store._open)
        except BaseException:
            await store.close()
            raise
        return store

    async def put(self, key: str, record: bytes, ttl: float) -> None:
        check(key, ttl)
        if len(record) > self._max_record:
            raise RecordTooLargeError(len(record), self._max_record)
        await self._run(lambda: self._put(key, record, ttl))

    async def get(self, key: str) -> bytes | None:
        check(key)
        return await self._run(lambda: self._get(key))

    async def claim(self, key: str, owner: str, ttl: float) -> bool:
        check(key, ttl)
        return await self._run(lambda: self._claim(key, owner, ttl))

    async def close(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        except RuntimeError:
            pass  # the thread has ended: closed before
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        """Do the work in the store's thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the store in {self._path} cannot be used: {error}") from error
        except RuntimeError:
            raise StoreError(f"the store in {self._path} is closed") from None

    # In the store's thread.

    def _open(self) -> None:
        _make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
        self._connection = connection
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what has ended is overwritten, not only forgotten
        connection.execute(f"PRAGMA journal_size_limit = {64 * MIB}")
        with _Transaction(connection):
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found not in {0, _FORMAT}:
                raise StoreError(f"{self._path} was written by another version (format {found}, not {_FORMAT}); remove the file")
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
            _prune(connection, self._clock())

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the store in {self._path} is closed")
        return self._connection

    def _put(self, key: str, record: bytes, ttl: float) -> None:
        connection, now = self._open_connection(), self._clock()
        with _Transaction(connection):
            _prune(connection, now)
            connection.execute("DELETE FROM records WHERE key = ?", (key,))
            self._make_room(connection, len(record))
            connection.execute(
                "INSERT INTO records (key, expires, size, record) VALUES (?, ?, ?, ?)", (key, now + ttl, len(record), record)
            )

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        (total,) = connection.execute("SELECT TOTAL(size) FROM records").fetchone()
        while total + size > self._max_bytes:
            row, freed = connection.execute("SELECT rowid, size FROM records ORDER BY expires LIMIT 1").fetchone()
            connection.execute("DELETE FROM records WHERE rowid = ?", (row,))
            total -= freed

    def _get(self, key: str) -> bytes | None:
        select = "SELECT record FROM records WHERE key = ? AND expires > ?"
        row = self._open_connection().execute(select, (key, self._clock())).fetchone()
        return None if row is None else bytes(row[0])

    def _claim(self, key: str, owner: str, ttl: float) -> bool:
        connection, now = self._open_connection(), self._clock()
        with _Transaction(connection):
            changed = connection.execute(_CLAIM, {"key": key, "owner": owner, "expires": now + ttl, "now": now}).rowcount
            _prune(connection, now)
        return changed == 1

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Transaction:
    """From the start the only writer, so that nothing that was read has changed when it is written."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:  # SQLite ends it by itself after some errors, a full disk for one
                self._connection.execute("ROLLBACK")


def _prune(connection: sqlite3.Connection, now: float) -> None:
    connection.execute("DELETE FROM records WHERE expires <= ?", (now,))
    connection.execute("DELETE FROM claims WHERE expires <= ?", (now,))


def _make_private(path: Path) -> None:
    """A file only its owner reads; SQLite gives the files beside it the same mode. One that is there is narrowed by name: to open
    and close it would drop the locks that another connection of this process holds on it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) != 0o600:
            path.chmod(0o600)
    else:
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Readers and the one writer do not wait for each other. SQLite does not wait by itself when two processes switch at once."""
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
