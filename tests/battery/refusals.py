"""A dialogue that many tests share: a request that is refused before it reaches anybody."""

from tests.harness.client import Answer
from tests.harness.gateway import Stage
from tests.harness.runner import turns


async def refused(scene: Stage, request: bytes, *statuses: int) -> Answer:
    """Say a request that must be refused with one of `statuses` and a closed connection, and never reach the peer."""
    client = await scene.client()
    await client.says(request, tolerant=True)
    reply = await client.hears()
    assert reply.status in statuses, (request, reply.head.raw)
    assert reply.get(b"connection") == b"close"
    assert reply.complete
    assert reply.error == "http_request_error"
    assert await client.end(within=1.0) == "fin"
    assert client.buffer == b""
    await turns()
    assert scene.peer.lines == []
    return reply
