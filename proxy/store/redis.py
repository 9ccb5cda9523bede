"""Records in Redis, for replicas on more than one machine. Expiry and memory are the server's: it drops what has ended by itself.

The `redis` package is imported when a store is opened.
"""

from typing import TYPE_CHECKING

from proxy.store.interface import MAX_RECORD, RecordTooLargeError, StoreError, check

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PATIENCE = 5.0  # seconds for a connection and for an answer
# One step on the server, so that nobody comes between looking and taking.
_CLAIM = """
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('pexpire', KEYS[1], ARGV[2])
return 1
"""


class RedisStore:
    """A store behind a URL: `redis://`, `rediss://` (TLS) or `unix://`, with credentials and database number in it if need be.

    Its keys begin with `prefix`. A server that is to lose no answer has no eviction policy (`maxmemory-policy noeviction`).
    """

    def __init__(self, client: "Redis", prefix: str, max_record: int) -> None:
        """Use `open`, which looks whether the server is there."""
        self._client = client
        self._prefix = prefix
        self._max_record = max_record
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, prefix: str = "dragoman:", max_record: int = MAX_RECORD) -> "RedisStore":
        """The store behind a URL, whose server has answered. Raises StoreError, whose message never holds the URL."""
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise StoreError("a store in Redis needs the redis package: pip install 'dragoman[redis]'") from None
        retry = Retry(NoBackoff(), 1)  # a kept connection may have ended unnoticed; every command here can be given twice
        try:
            client = Redis.from_url(url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=retry)
        except ValueError:
            raise StoreError("the store's URL is not one of Redis: expected redis://, rediss:// or unix://") from None
        store = cls(client, prefix, max_record)
        try:
            await store._run("PING")
        except BaseException:
            await store.close()
            raise
        return store

    async def put(self, key: str, record: bytes, ttl: float) -> None:
        check(key, ttl)
        if len(record) > self._max_record:
            raise RecordTooLargeError(len(record), self._max_record)
        await self._run("SET", self._name("record", key), record, "PX", _milliseconds(ttl))

    async def get(self, key: str) -> bytes | None:
        check(key)
        found = await self._run("GET", self._name("record", key))
        return found if isinstance(found, bytes) else None

    async def claim(self, key: str, owner: str, ttl: float) -> bool:
        check(key, ttl)
        return await self._run("EVAL", _CLAIM, 1, self._name("claim", key), owner, _milliseconds(ttl)) == 1

    async def close(self) -> None:
        self._closed = True
        await self._client.aclose()

    def _name(self, kind: str, key: str) -> str:
        return f"{self._prefix}{kind}:{key}"

    async def _run(self, *command: str | bytes | int) -> object:
        """One command. What went wrong is told by its kind only: the library's texts may hold what was sent."""
        from redis.exceptions import RedisError

        if self._closed:  # the library would connect again
            raise StoreError("the store in Redis is closed")
        try:
            result: object = await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise StoreError(f"the store in Redis cannot be used: {command[0]!s} failed ({type(error).__name__})") from None
        return result


def _milliseconds(ttl: float) -> int:
    return max(1, round(ttl * 1000))
