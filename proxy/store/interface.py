"""What a store can do, and how it fails. The two kinds of store stand in modules of their own."""

from typing import Protocol

from proxy.settings import MIB

MAX_RECORD = 64 * MIB
MAX_KEY = 512


class StoreError(Exception):
    """The store cannot be used, or not for this. The message is for the operator: it may name a file, never a credential."""


class RecordTooLargeError(StoreError):
    """A record is larger than the store keeps."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a record of {size} bytes is not kept: the store's limit is {limit} bytes")


class Store(Protocol):
    """Records by key, each for a time in seconds. Every method but `close` raises StoreError when the store cannot be used.

    A key is text of 1 to `MAX_KEY` characters, a time to live is more than 0; anything else is a ValueError.
    """

    async def put(self, key: str, record: bytes, ttl: float) -> None:
        """Keep a record for `ttl` seconds, in place of an earlier one. Raises RecordTooLargeError."""

    async def get(self, key: str) -> bytes | None:
        """The record, or None when there is none or its time is over."""

    async def claim(self, key: str, owner: str, ttl: float) -> bool:
        """Say who works on `key` for the next `ttl` seconds: True when it is `owner`, now or still; False when it is another.

        Whoever works renews its claim by calling this again; when it has died, its claim ends and another can have it. Claims and
        records know nothing of each other.
        """

    async def close(self) -> None:
        """Let go of file or connections. May be called twice."""


def check(key: str, ttl: float | None = None) -> None:
    """The arguments that every store refuses alike."""
    if not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"a key has 1 to {MAX_KEY} characters, not {len(key)}")
    if ttl is not None and not 0 < ttl < float("inf"):
        raise ValueError(f"a time to live is a number of seconds above 0, not {ttl}")
