"""Dialogues about requests of which a rule changes the body only, from the second with one head on."""

import json

import pytest

from proxy.carry.changed import ChangedExchange
from proxy.carry.handled import HandledExchange
from tests.engine.handled import head_and_body, posted
from tests.engine.memory import MemoryTransport
from tests.engine.stage import Scene, answer, error_of, stage, status_of
from tests.harness.runner import async_test, turns

RULES = {
    "plain": """\
platform: plain
upstream: http://plain.example/base
auth: {bearer: "${secret.PLAIN_KEY}"}
models: [r1, {alias: real}, other]
routes:
  POST /v1/edited:
    send: POST /chat
    edit: [{set: {max_tokens: 5}}, {remove: [user]}]
  POST /v1/template:
    send: POST /chat
    body: {name: "${model}", text: "${body.text}"}
    unknown: refuse
  POST /v1/again:
    send: POST /chat
    edit: [{set: {max_tokens: 5}}]
    retry: {attempts: 2, on: [503], wait: 10ms}
""",
}
FIRST = b'{"model":"r1","text":"one","user":"u"}'


async def settled(scene: Scene, path: str = "/plain/v1/edited", first: bytes = FIRST) -> tuple[MemoryTransport, MemoryTransport]:
    """A client whose head has come before, and the upstream connection that it used."""
    client = scene.client()
    client.says(posted(first, path))
    upstream = await scene.upstream("plain")
    await turns()
    upstream.heard()
    upstream.says(answer(b"{}"))
    assert status_of(client.heard()) == 200
    return client, upstream


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"model":"r1","text":"two","user":1}', ChangedExchange),
        (b'{"model":"other","text":"two"}', HandledExchange),  # of another model
        (b'{"text":"two"}', HandledExchange),
    ],
)
@async_test(loops=False)
async def test_P04_later_bodies_are_edited_as_the_first(body: bytes, kind: type) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await settled(scene)
        client.says(posted(body, "/plain/v1/edited"))
        await turns()
        start, fields, sent = head_and_body(upstream.heard())
        assert type(scene.connection_of(client).exchange) is kind
        expected = {name: value for name, value in json.loads(body).items() if name != "user"} | {"max_tokens": 5}
        assert (start, json.loads(sent)) == (b"POST /base/chat HTTP/1.1", expected)
        assert fields["content-length"] == str(len(sent))
        upstream.says(answer(b'{"a":1}'))
        assert client.heard() == answer(b'{"a":1}')
        assert scene.calm


@async_test(loops=False)
async def test_an_alias_reaches_the_body_of_every_request() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await settled(scene)
        for _ in range(2):
            client.says(posted(b'{"model":"alias","text":"two"}', "/plain/v1/edited"))
            await turns()
            assert json.loads(head_and_body(upstream.heard())[2]) == {"model": "real", "text": "two", "max_tokens": 5}
            upstream.says(answer(b"{}"))
            assert status_of(client.heard()) == 200


@async_test(loops=False)
async def test_two_requests_sent_ahead_are_answered_in_order() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await settled(scene)
        client.says(posted(b'{"model":"r1","n":1}', "/plain/v1/edited") + posted(b'{"model":"r1","n":2}', "/plain/v1/edited"))
        for number in (1, 2):
            await turns()
            assert json.loads(head_and_body(upstream.heard())[2])["n"] == number
            upstream.says(answer(b"%d" % number))
            assert client.heard() == answer(b"%d" % number)
        assert scene.calm


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("edited", b'{"model":"r1","a":NaN}', "json_syntax"),
        ("edited", b'{"model":"r1","user":1,"user":2}', "duplicate_key"),
        ("edited", b'{"model":"r1","model":"r1"}', "duplicate_model"),
        ("template", b'{"model":"r1","text":"t","more":1}', "unknown_parameter"),
        ("template", b"[]", "body_not_object"),
    ],
)
@async_test(loops=False)
async def test_P03_a_later_body_is_refused_as_the_first_would_be(path: str, body: bytes, code: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(posted(body, f"/plain/v1/{path}"))
        await turns()
        alone = client.heard()
        client, upstream = await settled(scene, f"/plain/v1/{path}", b'{"model":"r1","text":"one"}')
        client.says(posted(body, f"/plain/v1/{path}"))
        await turns()
        later = client.heard()
        assert status_of(later) == status_of(alone)
        assert error_of(later) == error_of(alone)
        assert upstream.heard() == b""
        assert scene.calm
        client.says(posted(b'{"model":"r1","text":"t"}', f"/plain/v1/{path}"))  # and the connection goes on
        await turns()
        assert upstream.heard()


@async_test(loops=False)
async def test_L01_a_client_that_leaves_ends_its_call() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await settled(scene)
        client.says(posted(FIRST, "/plain/v1/edited"))
        await turns()
        client.leaves()
        await turns()
        assert upstream.aborted
        assert scene.calm


@async_test(loops=False)
async def test_K06_a_request_with_a_body_is_not_sent_again_when_its_connection_dies() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await settled(scene)
        client.says(posted(FIRST, "/plain/v1/edited"))
        await turns()
        upstream.leaves()
        await turns()
        assert status_of(client.heard()) == 502
        assert scene.calm


@async_test(loops=False)
async def test_K07_a_route_with_retries_keeps_them() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await settled(scene, "/plain/v1/again")
        client.says(posted(FIRST, "/plain/v1/again"))
        await turns()
        assert upstream.heard()
        assert type(scene.connection_of(client).exchange) is HandledExchange
        upstream.says(answer(b"{}", status=b"503 Busy"))
        assert client.heard() == b""
