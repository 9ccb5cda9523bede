"""Dialogues about lists of models: the gateway's own, in the protocol that the client speaks."""

import json

import pytest

from proxy.routing.gate import hash_licence
from tests.engine.handled import head_and_body
from tests.engine.stage import answer, get, stage, status_of
from tests.harness.runner import async_test, turns

OFF = """\
platform: off
upstream: http://off.example
auth: {bearer: "${secret.NOT_SET}"}
models: [hidden]
routes: {POST /v1/x: carry}
"""
# Of the stage's two platforms; `m-*` is no name.
CHAT = {"object": "list", "data": [
    {"id": "z1", "object": "model", "owned_by": "other"}, {"id": "z-old", "object": "model", "owned_by": "other"},
    {"id": "m1", "object": "model", "owned_by": "test"}]}  # fmt: skip
MESSAGES = {"data": [{"type": "model", "id": name, "display_name": name} for name in ("z1", "z-old", "m1")],
    "has_more": False, "first_id": "z1", "last_id": "m1"}  # fmt: skip
GENERATE = {"models": [{"name": f"models/{name}"} for name in ("z1", "z-old", "m1")]}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get("/v1/models"), CHAT),
        (get("/v1/models", b"anthropic-version: 2023-06-01\r\n"), MESSAGES),
        (get("/v1/models?limit=1", b"X-Api-Key: k\r\n"), MESSAGES),
        (get("/v1/models", b"x-goog-api-key: k\r\n"), GENERATE),
        (get("/v1/models?key=k"), GENERATE),
        (get("/v1beta/models?pageSize=5"), GENERATE),
        (get("/v1beta/models/z1"), {"name": "models/z1"}),
    ],
)
@async_test(loops=False)
async def test_the_models_of_all_platforms_are_listed_in_the_clients_protocol(request_: bytes, expected: object) -> None:
    async with stage(rules_of={"off": OFF}, environ={}) as scene:
        client = scene.client()
        client.says(request_)
        await turns()
        start, fields, body = head_and_body(client.heard())
        assert (start, fields["content-type"], json.loads(body)) == (b"HTTP/1.1 200 OK", "application/json", expected)
        assert "proxy-status" not in fields
        client.says(request_)  # and the connection goes on
        await turns()
        assert status_of(client.heard()) == 200


@async_test(loops=False)
async def test_the_head_of_the_list_has_no_body() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(b"HEAD /v1/models HTTP/1.1\r\nHost: h\r\n\r\n")
        await turns()
        head, _, body = client.heard().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert body == b""


@async_test(loops=False)
async def test_a_model_that_only_a_pattern_fits_is_not_made_up() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get("/v1beta/models/m-7"))
        await turns()
        assert status_of(client.heard()) == 404


@async_test(loops=False)
async def test_a_model_in_a_header_asks_its_platform() -> None:
    async with stage() as scene:
        client = scene.client()
        client.says(get("/v1/models", b"ModelName: m1\r\n"))
        upstream = await scene.upstream()
        await turns()
        assert upstream.heard().startswith(b"GET /v1/models HTTP/1.1")


@async_test(loops=False)
async def test_N06_without_a_licence_there_is_no_list() -> None:
    async with stage(open=False, licences=(hash_licence("lic-test"),)) as scene:
        client = scene.client()
        client.says(get("/v1/models"), get("/v1/models", b"Authorization: Bearer lic-test\r\n"))
        await turns()
        heard = client.heard()
        assert status_of(heard) == 401
        assert b"licence_required" in heard


# --- a platform's own list ---

LISTED = b'{"object":"list", "data":[{"id":"s1","object":"model","created":1769904000,"owned_by":"o"}]}'
BRIDGE = """\
platform: bridge
upstream: http://bridge.example
auth: {bearer: "${secret.BRIDGE_KEY}"}
models: [b1]
routes:
  POST /v1/chat/completions: carry
  GET /v1/models: carry
  GET /v1/models/{model}: carry
translate: {messages to chat: {headers: {X-Pair: "1"}}, generate to chat: {}}
"""
AS_MESSAGES = {"data": [{"type": "model", "id": "s1", "display_name": "s1", "created_at": "2026-02-01T00:00:00Z"}],
    "has_more": False, "first_id": "s1", "last_id": "s1"}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "more", "sent", "expected"),
    [
        ("/bridge/v1/models?limit=3&own=1", b"anthropic-version: 2023-06-01\r\n", b"/v1/models?own=1", AS_MESSAGES),
        ("/bridge/v1/models", b"X-Api-Key: k\r\n", b"/v1/models", AS_MESSAGES),
        ("/bridge/v1beta/models?pageSize=3&key=k", b"", b"/v1/models", {"models": [{"name": "models/s1"}]}),
        ("/bridge/v1/models", b"x-goog-api-key: k\r\n", b"/v1/models", {"models": [{"name": "models/s1"}]}),
    ],
)
@async_test(loops=False)
async def test_a_platforms_list_is_said_in_the_clients_protocol(path: str, more: bytes, sent: bytes, expected: object) -> None:
    async with stage(rules_of={"bridge": BRIDGE}) as scene:
        client = scene.client()
        client.says(get(path, more))
        upstream = await scene.upstream("bridge")
        await turns()
        start, fields, _ = head_and_body(upstream.heard())
        assert start == b"GET " + sent + b" HTTP/1.1"
        assert not [name for name in fields if name.startswith(("anthropic", "x-goog"))]
        upstream.says(answer(LISTED, more=b"Content-Type: application/json\r\n"))
        assert json.loads(head_and_body(client.heard())[2]) == expected
        assert scene.calm


@async_test(loops=False)
async def test_a_client_of_the_platforms_protocol_gets_its_list_byte_for_byte() -> None:
    async with stage(rules_of={"bridge": BRIDGE}) as scene:
        client = scene.client()
        client.says(get("/bridge/v1/models?limit=3", b"Authorization: Bearer k\r\n"))
        upstream = await scene.upstream("bridge")
        await turns()
        assert upstream.heard().startswith(b"GET /v1/models?limit=3 HTTP/1.1\r\n")
        upstream.says(answer(LISTED, more=b"Content-Type: application/json\r\n"))
        assert client.heard() == answer(LISTED, more=b"Content-Type: application/json\r\n")


@async_test(loops=False)
async def test_one_model_and_a_failure_are_said_so_too() -> None:
    async with stage(rules_of={"bridge": BRIDGE}) as scene:
        client = scene.client()
        client.says(get("/v1beta/models/b1"))
        upstream = await scene.upstream("bridge")
        await turns()
        assert upstream.heard().startswith(b"GET /v1/models/b1 HTTP/1.1\r\n")
        failed = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"model_not_found"}}'
        upstream.says(answer(failed, more=b"Content-Type: application/json\r\n", status=b"404 Not Found"))
        heard = client.heard()
        assert status_of(heard) == 404
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["status"] == "NOT_FOUND"
