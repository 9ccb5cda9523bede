"""Translated answers over real sockets: a client that is slow, leaves, speaks HTTP/1.0, or asks for more behind a stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.engine.translated import BLOCK, CHAT, HEAD, START, STREAM, WHOLE, asking, delta
from tests.harness.chaos import Heard, Peer, answer, chunk
from tests.harness.gateway import Stage, stage
from tests.harness.runner import async_test, until

SPEAKER = """\
platform: test
upstream: {}
auth: {{bearer: "${{secret.TEST_KEY}}"}}
models: [s1]
routes: {{POST /v1/messages: carry}}
translate: [chat to messages]
"""
STREAMING = asking({**CHAT, "stream": True}, "/test/v1/chat/completions")
PLAIN = asking(CHAT, "/test/v1/chat/completions")
JSON = answer(b"200 OK", json.dumps(WHOLE).encode(), b"Content-Type: application/json")


@asynccontextmanager
async def speaker(peer: Peer) -> AsyncIterator[Stage]:
    async with peer, stage(peer, rules={"test": SPEAKER.format(peer.url)}) as scene:
        yield scene


@async_test()
async def test_F04_L01_a_translated_stream_waits_for_its_client_and_ends_with_it() -> None:
    async def flood(heard: Heard) -> None:
        await heard.say(HEAD + chunk(START + BLOCK))
        while True:
            await heard.line.wire.send(chunk(delta("x" * 1000) * 40))
            await asyncio.sleep(0)

    async with speaker(Peer(flood)) as scene:
        client = await scene.client(receive_buffer=4096)
        await client.says(STREAMING)
        heard = await scene.peer.hears()
        connection = await _held_back(scene)
        assert connection < 512 << 10, f"{connection} bytes are held for a client that reads nothing"
        reply = await client.hears_head()
        while reply.stream.size < 1 << 20:
            await client.hears_more(reply)
        client.vanishes()
        await heard.line.gone()
        await scene.calms_down()
        await until(lambda: scene.log())
        (line,) = scene.log()
        assert (line["status"], line["outcome"], line["phase"]) == (499, "client_closed", "receive")
        assert line["bytes_out"] >= 1 << 20
        assert scene.metric("dragoman_upstream_cancels_total", platform="test", phase="receive") == 1


async def _held_back(scene: Stage) -> int:
    """Wait until the upstream is read no further; what is held for the client then."""
    (connection,) = scene.gateway.worker.connections
    await until(lambda: connection.full)
    assert connection.transport is not None
    return connection.transport.get_write_buffer_size()


@async_test()
async def test_I06_a_client_of_http_1_0_sees_whether_its_translated_stream_was_whole() -> None:
    async with speaker(Peer()) as scene:
        for whole in (True, False):
            client = await scene.client()
            await client.says(STREAMING.replace(b"HTTP/1.1", b"HTTP/1.0"))
            heard = await scene.peer.hears()
            await heard.say(HEAD + b"".join(map(chunk, STREAM if whole else STREAM[:4])))
            reply = await client.hears_head()
            await client.hears_more(reply, b"[DONE]" if whole else b"lo")
            if whole:
                await heard.say(b"0\r\n\r\n")
            else:
                heard.line.rst()
            await client.hears_rest(reply)
            assert await client.end() == ("fin" if whole else "rst")
            assert (b'"error"' in reply.body) == (not whole)
            assert (b"[DONE]" in reply.body) == whole


@async_test()
async def test_B20_requests_behind_a_translated_stream_are_answered_in_their_order() -> None:
    async with speaker(Peer()) as scene:
        client = await scene.client()
        await client.says(STREAMING + PLAIN + STREAMING)
        first = await scene.peer.hears()
        await first.say(HEAD + b"".join(map(chunk, STREAM[:4])))
        reply = await client.hears_head()
        await client.hears_more(reply, b"lo")
        assert len(scene.peer.requests) == 1
        await first.say(b"".join(map(chunk, STREAM[4:])) + b"0\r\n\r\n")
        assert (await client.hears_rest(reply)).complete
        await (await scene.peer.hears()).say(JSON)
        assert (await client.hears()).json()["choices"][0]["message"]["content"] == "Hello"
        await (await scene.peer.hears()).say(JSON)
        last = await client.hears()
        assert last.get(b"content-type") == b"text/event-stream"
        assert last.body.endswith(b"data: [DONE]\n\n")
        client.leaves()
        await scene.calms_down()
