"""Dialogues about tasks: paths without a platform that several platforms have, counts by rule, words nobody knows, routes with
times of their own."""

import json

import pytest

from tests.engine.handled import asks, head_and_body, posted
from tests.engine.stage import answer, chunk, error_of, get, post, stage, status_of, stream_head
from tests.harness.runner import async_test, turns, until
from translators.runtime.ids import Identity, encode

TASKS = """\
platform: {name}
title: A platform with tasks
docs: https://example.com
upstream: http://{name}.example
auth: {{bearer: "${{secret.{upper}_KEY}}"}}
headers: {{ModelName: "${{model}}"}}
models: [{name}-1]
tasks:
  video:
    id: ${{body.task}}
    poll: GET /jobs/${{id}}
    status: ${{body.state}}
    states: {{waiting: queued, running: in_progress, done: completed, failed: failed}}
    result: ${{body.url}}
routes:
  POST /v1/videos:
    send: POST /jobs
    task: video
    body: {{prompt: "${{body.prompt}}"}}
  POST /v1/counted:
    send: POST /counted
    edit: [{{set: {{model: "${{model}}"}}}}]
    usage: {{input: "${{body.used.in}}", output: "${{body.used.out}}"}}
  POST /v1/slow:
    send: POST /slow
    edit: [{{set: {{model: "${{model}}"}}}}]
    timeouts: {{t_first_byte: 100ms}}
"""
RULES = {name: TASKS.format(name=name, upper=name.upper()) for name in ("alpha", "beta")}


def counted(exposition: bytes, kind: str) -> float:
    line = b'gen_ai_client_token_usage_total{platform="alpha",route="POST /v1/counted",model="alpha-1",type="%b"} ' % kind.encode()
    _, found, rest = exposition.partition(line)
    return float(rest.split()[0]) if found else 0.0


@pytest.mark.parametrize("name", ["alpha", "beta"])
@async_test(loops=False)
async def test_C01_a_task_that_was_begun_without_a_platform_in_the_path_is_found_by_its_id(name: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"%b-1","prompt":"a cat"}' % name.encode(), "/v1/videos"), name)
        assert b"\r\nModelName: %b-1\r\n" % name.encode() in upstream.heard()
        upstream.says(answer(b'{"task":"7/8"}'))
        created = json.loads(head_and_body(client.heard())[2])
        assert (created["object"], created["status"], created["model"]) == ("video", "queued", f"{name}-1")
        client.says(get(f"/v1/videos/{created['id']}"))
        await until(lambda: b"GET " in bytes(upstream._taken))
        polled = upstream.heard()
        assert polled.startswith(b"GET /jobs/7%%2F8 HTTP/1.1\r\nHost: %b.example\r\n" % name.encode())
        assert b"\r\nModelName: %b-1\r\n" % name.encode() in polled
        upstream.says(answer(b'{"state":"running"}'))
        assert json.loads(head_and_body(client.heard())[2])["status"] == "in_progress"
        assert scene.calm


@pytest.mark.parametrize("text", ["nonsense", "video_AAAA", "of-nobody"])
@pytest.mark.parametrize("prefix", ["", "/alpha"])
@async_test(loops=False)
async def test_C11_an_id_that_names_no_task_here_is_a_404(text: str, prefix: str) -> None:
    async with stage(rules_of=RULES) as scene:
        if text == "of-nobody":
            text = encode(Identity("video", "gamma", "video", "", "1", None, 1))
        client = scene.client()
        client.says(get(f"{prefix}/v1/videos/{text}"))
        heard = client.heard()
        assert status_of(heard) == 404
        assert error_of(heard)["type"] == "not_found_error"
        assert scene.dialer("alpha").dialed == 0
        assert scene.calm


@pytest.mark.parametrize(("method", "below", "status"), [("DELETE", "", 405), ("POST", "/remix", 404), ("GET", "/frames", 404)])
@async_test(loops=False)
async def test_C11_an_id_of_ours_never_goes_to_the_platform_as_a_native_path(method: str, below: str, status: int) -> None:
    rules = {name: text.replace("routes:", "native: carry\nroutes:") for name, text in RULES.items()}
    ours = encode(Identity("video", "alpha", "video", "1", "7", "alpha-1", 1, {}))
    async with stage(rules_of=rules) as scene:
        client = scene.client()
        client.says(get(f"/alpha/v1/videos/{ours}{below}").replace(b"GET", method.encode(), 1))
        await turns()
        assert status_of(client.heard()) == status
        assert scene.dialer("alpha").dialed == 0


@async_test(loops=False)
async def test_Q06_a_status_word_that_no_rule_names_is_counted() -> None:
    async with stage(rules_of=RULES) as scene:
        text = encode(Identity("video", "alpha", "video", "", "1", "alpha-1", 1))
        client, upstream = await asks(scene, get(f"/v1/videos/{text}"), "alpha")
        upstream.says(answer(b'{"state":"dreaming"}'))
        assert json.loads(head_and_body(client.heard())[2])["status"] == "in_progress"
        line = b'dragoman_rule_notes_total{platform="alpha",kind="unknown_task_status"} 1'
        assert line in scene.gateway.metrics.exposition()


@pytest.mark.parametrize("how", ["whole", "pieces", "chunked", "stream"])
@async_test(loops=False)
async def test_Q06_tokens_are_counted_where_the_rule_says_that_they_stand(how: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, posted(b'{"model":"alpha-1"}', "/alpha/v1/counted"), "alpha")
        used = b'{"used":{"in":5,"out":7}}'
        if how == "whole":
            upstream.says(answer(used))
        elif how == "pieces":
            said = answer(used)
            upstream.says(said[:-5], said[-5:])
        elif how == "chunked":
            upstream.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(used) + b"0\r\n\r\n")
        else:
            upstream.says(stream_head() + chunk(b'data: {"used":{"in":5}}\n\n') + chunk(b"data: %b\n\n" % used), b"0\r\n\r\n")
        assert used in client.heard()
        exposition = scene.gateway.metrics.exposition()
        assert (counted(exposition, "input"), counted(exposition, "output")) == (5, 7)
        assert scene.calm


@async_test(loops=False)
async def test_J04_a_route_may_have_times_of_its_own() -> None:
    async with stage(rules_of=RULES) as scene:
        served = scene.gateway.worker.table.served["alpha"]
        (route,) = [route for route in served.platform.routes if route.path == "/v1/slow"]
        own = served.pool_of(route)
        assert own is not None
        assert own is not served.pool
        assert own.t_first_byte == 0.1
        own._dialer = scene.dialer("alpha")  # type: ignore[assignment]
        client, upstream = await asks(scene, posted(b'{"model":"alpha-1"}', "/alpha/v1/slow"), "alpha")
        await until(client._taken.__len__)
        heard = client.heard()
        assert status_of(heard) == 504
        assert upstream.aborted
        client.says(post(b"{}", "/alpha/v1/counted"))
        await turns()
        assert scene.counts()["exchanges"] == 1
