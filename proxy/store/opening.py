"""Which kind of store a setting means."""

from pathlib import Path

from proxy.store.interface import Store, StoreError
from proxy.store.redis import RedisStore
from proxy.store.sqlite import SQLiteStore

_REDIS = ("redis://", "rediss://", "unix://")


def is_redis(where: str) -> bool:
    """Whether a setting is a URL of Redis, and no path."""
    return where.startswith(_REDIS)


async def open_store(where: str) -> Store:
    """The store that a setting names: a URL of Redis, or else the path of a SQLite file. Raises StoreError."""
    if is_redis(where):
        return await RedisStore.open(where)
    scheme, mark, _ = where.partition("://")
    if mark:
        raise StoreError(f"`{scheme}://` is no kind of store: write redis://, rediss:// or unix://, or the path of a SQLite file")
    return await SQLiteStore.open(Path(where))
