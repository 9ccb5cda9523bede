"""Asking aimock raw, once directly and once through the gateway, and comparing what came.

Lives here: the requests and the comparison. Which cases there are stands in the tests.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.harness.client import Answer, Client, SilenceError
from tests.harness.gateway import SECRET
from tests.harness.grammar import Field

CLIENT_KEY = "sk-test-client-key"
HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding"}
UNBUFFERED = (b"x-accel-buffering", b"no")  # the one field the gateway adds, to a stream (rule E07)

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Aimock:
    """A running aimock."""

    url: str
    address: Address

    def requests(self, request_id: str) -> list[dict[str, Any]]:
        """The requests with this id that aimock has in its journal."""
        raw = request("GET", "/__aimock/journal", None, SECRET, "x-request-id: journal")
        answer = exchange(self.address, raw)
        assert answer is not None
        return [entry for entry in answer.json() if entry["headers"].get("x-request-id") == request_id]


def request(method: str, path: str, body: object, key: str, *fields: str) -> bytes:
    """A whole request; `body` is sent as JSON, None sends none. Every credential field of the three platforms is given."""
    content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: aimock", f"Authorization: Bearer {key}", *fields]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def exchange(address: Address, raw: bytes) -> Answer | None:
    """One request over a connection of its own; None when the connection ended without an answer."""

    async def main() -> Answer | None:
        client = await Client.connect(address)
        try:
            await client.says(raw)
            return await client.hears(to=raw.partition(b" ")[0])
        except SilenceError:
            return None
        finally:
            client.leaves()

    return asyncio.run(main())


def end_to_end(answer: Answer) -> list[Field]:
    """The fields that a proxy must hand on, in their order; of the clock only that it was told."""
    kept = [(name.lower(), value) for name, value in answer.fields if name.lower() not in HOP_BY_HOP]
    return [(name, b"" if name == b"date" else value) for name, value in kept]


def compare(direct: Answer | None, through: Answer | None) -> Answer:
    """Assert that status, end-to-end fields and body are the same; the answer that came through."""
    assert direct is not None
    assert through is not None
    assert direct.complete
    assert through.complete
    assert (through.status, through.reason) == (direct.status, direct.reason)
    expected = end_to_end(direct)
    if (direct.get(b"content-type") or b"").startswith(b"text/event-stream"):
        expected.append(UNBUFFERED)
    assert sorted(end_to_end(through)) == sorted(expected)
    assert through.body == direct.body
    return through
