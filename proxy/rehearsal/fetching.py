"""What URLs hold in a rehearsal: the proxy's own fetcher, whose requests are answered from the `fetches` of an example.

Everything that the fetcher checks of a URL, a redirect, a type or a size is checked here too; only names are not looked up and no
connection is opened.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import cast

import aiohttp
from multidict import CIMultiDict

from proxy.fetch.fetcher import Fetcher, Field
from proxy.fetch.targets import FetchPolicy, Target
from translators.examples import content_of
from translators.model import Message


class RehearsedFetcher(Fetcher):
    """`fetches` gives what URLs hold at the moment; any other URL cannot be reached."""

    fetches: Callable[[], Mapping[str, Message]]
    unknown: list[str]  # URLs that were asked for in vain

    async def _request(
        self,
        hop: AsyncExitStack,  # noqa: ARG002 - the interface's shape
        method: str,  # noqa: ARG002
        target: Target,
        policy: FetchPolicy,  # noqa: ARG002
        fields: Sequence[Field],  # noqa: ARG002
    ) -> aiohttp.ClientResponse:
        held = self.fetches()
        message = held.get(target.url) or next((held[url] for url in held if url.partition("#")[0] == target.url), None)
        if message is None:
            self.unknown.append(target.url)
            raise aiohttp.ClientConnectionError
        return cast("aiohttp.ClientResponse", _Held(message))


class _Held:
    """As much of a response as the fetcher looks at; its body comes at once."""

    def __init__(self, message: Message) -> None:
        body, content_type = content_of(message)
        self._left = body or b""
        fields = list(message.headers)
        if content_type is not None:
            fields.append(("Content-Type", content_type))
        if not any(name.lower() == "content-length" for name, _ in fields):
            fields.append(("Content-Length", str(len(self._left))))
        self.status = message.status or 200
        self.headers = CIMultiDict(fields)
        self.raw_headers = tuple((name.encode("latin-1"), value.encode("utf-8")) for name, value in fields)
        self.content = self

    async def readany(self) -> bytes:
        data, self._left = self._left, b""
        return data
