"""Resolvers for tests: names that mean what a test says, change, fail or hang."""

import asyncio
import socket
from collections.abc import Sequence

from proxy.upstream.resolver import Address


class Names:
    """Answers from a table that a test may change at any time; names it does not know do not exist."""

    def __init__(self, ttl: float = 60.0, **table: Sequence[str]) -> None:
        self.table = {name.replace("_", "."): list(addresses) for name, addresses in table.items()}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.ttl = ttl

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if host in self.hanging:
            await asyncio.sleep(3600)
        if host not in self.table:
            raise OSError(-2, "Name or service not known")
        return [Address(socket.AF_INET, (address, port), self.ttl) for address in self.table[host]]
