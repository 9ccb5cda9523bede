"""Battery M: metrics and the admin listener."""

import random
import shutil
import string
import subprocess

import pytest

from tests.harness.chaos import OK, Peer, answer, chunk, says
from tests.harness.gateway import samples, stage
from tests.harness.runner import async_test, until
from tests.harness.words import get, post, stream


def series(exposition: bytes) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {(name, frozenset(labels.items())) for name, labels, _ in samples(exposition)}


@pytest.mark.slow
@async_test(loops=False, patience=120)
async def test_Q01_Q02_Q03_case85_ten_thousand_random_requests_add_no_series() -> None:
    chance = random.Random(85)

    def word() -> bytes:
        return "".join(chance.choices(string.ascii_letters + string.digits, k=12)).encode()

    methods = [b"PUT", b"DELETE", b"OPTIONS", b"PURGE", b"MKCOL", b"REPORT"]

    def one(path: bytes, model: bytes, name: bytes, method: bytes) -> list[bytes]:
        return [
            get(b"/test/" + path, name + b": " + model),
            get(b"/" + path),
            get(b"/test/v1/models?x=" + path, b"ModelName: " + model),
            post(b"{}", model=b"m-" + model),
            post(b"{}", model=model, path=b"/v1/chat/completions"),
            get(b"/test/" + path, method=method),
        ]

    async with stage(Peer(says(answer()), keep=False)) as scene:
        client = await scene.client()

        async def ask(request: bytes) -> None:
            nonlocal client
            await client.says(request, tolerant=True)
            reply = await client.hears(to=request.partition(b" ")[0])
            if reply.get(b"connection") == b"close":
                client.leaves()
                client = await scene.client()

        for method in methods:  # every combination that the configuration allows, once
            for model in (b"warm", b"m-warm"):
                for request in one(b"warm", model, b"X-Warm", method):
                    await ask(request)
        before = series(scene.gateway.metrics.exposition())
        for _ in range(10_000 // 6 + 1):
            for request in one(word(), word(), b"X-" + word(), chance.choice(methods)):
                await ask(request)
        after = series(scene.gateway.metrics.exposition())
        assert after - before == set()


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@async_test(loops=False)
async def test_Q05_case85_promtool_finds_nothing_to_say() -> None:
    async with stage(Peer(says(OK))) as scene:
        for request in (get(), post(), get(b"/nowhere"), get(b"/test/..")):
            await scene.asks(request)
        page = await scene.admin("/metrics")
        assert page.status == 200
        check = subprocess.run(["promtool", "check", "metrics"], input=page.body, capture_output=True, timeout=20, check=False)
        assert check.returncode == 0, check.stdout + check.stderr
        assert check.stdout + check.stderr == b""


@async_test()
async def test_Q04_case86_the_admin_pages_are_not_reachable_through_the_proxy_port() -> None:
    async with stage() as scene:
        admin = b"127.0.0.1:%d" % scene.admin_address[1]
        for page in (b"/metrics", b"/healthz", b"/readyz", b"/config", b"/debug"):
            requests = [
                get(page),
                get(b"/" + page),
                get(page.replace(b"e", b"%65")),
                get(b"http://" + admin + page),
                b"GET " + page + b" HTTP/1.1\r\nHost: " + admin + b"\r\n\r\n",
                b"GET http://" + admin + page + b" HTTP/1.1\r\nHost: " + admin + b"\r\n\r\n",
                get(b"/test/.." + page),
                get(page + b"/"),
            ]
            for request in requests:
                reply = await scene.asks(request)
                assert reply.status in (400, 404), request
                assert reply.local
                assert b"dragoman_" not in reply.body
        assert scene.peer.lines == []
        assert (await scene.admin("/healthz")).status == 200
        assert (await scene.admin("/readyz")).status == 200
        assert b"dragoman_build_info" in (await scene.admin("/metrics")).body


@async_test()
async def test_Q06_an_exchange_counts_its_outcome_bytes_and_first_byte() -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"data: x\n\n")
        + chunk(b"")
    )
    async with stage(Peer(says(raw))) as scene:
        await scene.asks(stream())
        await until(lambda: scene.metric("dragoman_exchanges_total", outcome="ok", platform="test") == 1)
        assert scene.metric("dragoman_response_body_bytes_total") == len(b"data: x\n\n")
        assert scene.metric("dragoman_request_body_bytes_total") == len(b'{"model":"m1","stream":true}')
        assert scene.metric("dragoman_exchange_time_to_first_byte_seconds_count") == 1
        assert scene.metric("gen_ai_client_operation_time_to_first_chunk_seconds_count") == 1
        assert scene.metric("dragoman_exchanges_in_flight") == 0
        assert scene.metric("dragoman_upstream_connects_total") == 1


@async_test(loops=False)
async def test_a_local_answer_is_logged_with_what_was_asked_and_is_no_error() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(get(b"/v1/models"))).status == 200
        assert (await scene.asks(get(b"/test-not-there?key=k"))).status == 404
        await until(lambda: len(scene.log()) == 2)
        listed, missed = scene.log()
        assert (listed["method"], listed["path"], listed["status"], listed["outcome"]) == ("GET", "/v1/models", 200, "ok")
        assert "error" not in listed
        assert (missed["method"], missed["path"], missed["status"]) == ("GET", "/test-not-there", 404)
        assert missed["error"]
