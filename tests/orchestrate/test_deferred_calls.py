"""`?async=true` on a platform that answers at once: real gateways, a real store, real sockets."""

import asyncio
import base64
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.server import StartError
from tests.harness.chaos import answer
from tests.harness.gateway import Stage
from tests.harness.runner import async_test, until
from tests.orchestrate.stage import Studio, gateway, get, held, post, rule, says

PATH = "/test/v1/images/edits?async=true"
MADE = {"created": 1, "data": [{"b64_json": base64.b64encode(b"pixels").decode()}], "usage": {"total": 3}}


async def begun(scene: Stage) -> str:
    heard = await scene.asks(post(PATH, prompt="a hat"))
    assert heard.status == 200, heard.body
    task = heard.json()
    assert (task["object"], task["status"], task["model"], task["progress"]) == ("image", "in_progress", "m1", 50)
    identity: str = task["id"]
    return identity


async def settled(scene: Stage, identity: str) -> dict[str, object]:
    """The task object once it is neither queued nor in progress."""
    while True:
        heard = await scene.asks(get(f"/test/v1/images/{identity}"))
        assert heard.status == 200, heard.body
        task: dict[str, object] = heard.json()
        if task["status"] not in {"queued", "in_progress"}:
            return task
        await asyncio.sleep(0.005)


@async_test()
async def test_a_deferred_call_is_answered_at_once_and_can_be_asked_for_anywhere(store: str) -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.on("POST /edits", held(ready, says(MADE)))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(gateway(studio, store=store))
        second = await stack.enter_async_context(gateway(Studio(), store=store))
        identity = await begun(first)
        heard = await studio.hears("POST /edits")
        assert b"async" not in heard.target + heard.body
        assert (await second.asks(get(f"/test/v1/images/{identity}"))).json()["status"] == "in_progress"
        early = await second.asks(get(f"/test/v1/images/{identity}/content"))
        assert (early.status, early.json()["error"]["code"]) == (400, "image_not_ready")
        assert first.metric("dragoman_deferred_calls_running") == 1
        ready.set()
        for scene in (second, first):
            task = await settled(scene, identity)
            assert (task["status"], task["data"], task["progress"]) == ("completed", MADE["data"], 100)
            content = await scene.asks(get(f"/test/v1/images/{identity}/content"))
            assert (content.status, content.body) == (200, b"pixels")
        detail = await second.asks(get(f"/test/v1/images/{identity}?detail=true"))
        assert detail.json()["detail"] == MADE
        await until(lambda: first.metric("dragoman_deferred_calls_running") == 0)
        assert first.metric("dragoman_deferred_calls_total", platform="test", outcome="completed") == 1


@async_test(loops=False)
async def test_its_client_may_leave(store: str) -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.on("POST /edits", held(ready, says(MADE)))
    async with gateway(studio, store=store) as scene:
        identity = await begun(scene)
        await until(lambda: not scene.gateway.worker.connections)
        ready.set()
        assert (await settled(scene, identity))["status"] == "completed"


@async_test(loops=False)
async def test_an_error_of_the_platform_is_the_tasks(store: str) -> None:
    studio = Studio()
    studio.on("POST /edits", says({"error": {"code": "blocked", "message": "not this"}}, b"400 Bad Request"))
    async with gateway(studio, store=store) as scene:
        identity = await begun(scene)
        task = await settled(scene, identity)
        assert (task["status"], task["error"]) == ("failed", {"code": "blocked", "message": "not this"})
        content = await scene.asks(get(f"/test/v1/images/{identity}/content"))
        assert (content.status, content.json()["error"]["code"]) == (400, "blocked")
        assert scene.metric("dragoman_deferred_calls_total", outcome="failed") == 1


@async_test(loops=False)
async def test_a_platform_that_cannot_be_reached_fails_the_task(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /edits", lambda heard: heard.line.rst())
    async with gateway(studio, store=str(tmp_path / "store.db")) as scene:
        task = await settled(scene, await begun(scene))
        assert task["status"] == "failed"


@async_test(loops=False)
async def test_a_result_behind_a_URL_is_streamed(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /edits", says({"data": [{"url": studio.url("/shelf/7.png")}]}))
    studio.on("GET /shelf/7.png", answer(b"200 OK", b"pixels", b"Content-Type: image/png"))
    async with gateway(studio, store=str(tmp_path / "store.db")) as scene:
        identity = await begun(scene)
        await settled(scene, identity)
        heard = await scene.asks(get(f"/test/v1/images/{identity}/content"))
        assert (heard.status, heard.body, heard.get(b"content-type")) == (200, b"pixels", b"image/png")


@async_test(loops=False)
async def test_of_an_answer_behind_a_URL_its_place_is_kept_and_its_bytes_are_streamed(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /songs", says({"url": studio.url("/shelf/7.mp3")}))
    studio.on("GET /shelf/7.mp3", answer(b"200 OK", b"sound", b"Content-Type: audio/mpeg"))
    async with gateway(studio, store=str(tmp_path / "store.db")) as scene:
        identity = (await scene.asks(post("/test/v1/music?async=true"))).json()["id"]
        await until(lambda: scene.metric("dragoman_deferred_calls_total", outcome="completed") == 1)
        assert not studio.heard("GET /shelf/7.mp3")
        task = (await scene.asks(get(f"/test/v1/music/{identity}"))).json()
        assert (task["status"], task["object"], task["data"]) == ("completed", "music", [{"url": studio.url("/shelf/7.mp3")}])
        heard = await scene.asks(get(f"/test/v1/music/{identity}/content"))
        assert (heard.status, heard.body, heard.get(b"content-type")) == (200, b"sound", b"audio/mpeg")


@async_test(loops=False)
async def test_a_deferred_call_can_be_asked_for_without_the_platform_in_the_path(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /songs", says({"url": studio.url("/shelf/7.mp3")}))
    async with gateway(studio, store=str(tmp_path / "store.db")) as scene:
        identity = (await scene.asks(post("/v1/music?async=true"))).json()["id"]
        assert (await scene.asks(get(f"/v1/music/{identity}"))).status == 200


@pytest.mark.parametrize("path", ["", "/content"])
@async_test(loops=False)
async def test_a_call_that_nobody_knows_is_404(store: str, path: str) -> None:
    studio, other = Studio(), Studio()
    studio.on("POST /edits", says(MADE))
    async with gateway(studio, store=store, timeouts={"t_kept": 0.05}) as scene, gateway(other, store=store):
        identity = await begun(scene)
        while (heard := await scene.asks(get(f"/test/v1/images/{identity}{path}"))).status != 404:
            await asyncio.sleep(0.02)  # it runs, and then it is kept for a moment
        assert (heard.status, heard.json()["error"]["code"]) == (404, "task_not_found")
        assert (await scene.asks(get(f"/test/v1/images/image_bm9uc2Vuc2U{path}"))).status == 404


@async_test(loops=False)
async def test_what_a_client_must_not_send_is_refused_at_once(tmp_path: Path) -> None:
    studio = Studio()
    async with gateway(studio, store=str(tmp_path / "store.db")) as scene:
        heard = await scene.asks(
            b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nModelName: m1\r\nContent-Length: 3\r\n\r\n{]}"
        )
        assert heard.status == 400
        assert not studio.peer.requests


@async_test(loops=False)
async def test_what_a_deferred_call_holds_in_memory_counts_until_it_ends(tmp_path: Path) -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.on("POST /edits", held(ready, says(MADE)))
    async with gateway(studio, store=str(tmp_path / "store.db"), limits={"buffered_bytes_total": 1500}) as scene:
        big = "x" * 700
        identity = (await scene.asks(post(PATH, prompt=big))).json()["id"]
        await until(lambda: 700 < scene.count("held_bytes") < 800)
        await scene.asks(post(PATH, prompt=big))
        refused = await scene.asks(post(PATH, prompt=big))
        assert (refused.status, refused.json()["error"]["code"]) == (503, "memory_limit")
        ready.set()
        await settled(scene, identity)
        await until(lambda: scene.count("held_bytes") == 0)
        assert scene.metric("dragoman_deferred_calls_running") == 0


@async_test(loops=False)
async def test_no_more_run_than_may(tmp_path: Path) -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.on("POST /edits", held(ready, says(MADE)))
    async with gateway(studio, store=str(tmp_path / "store.db"), limits={"deferred_calls": 1}) as scene:
        identity = await begun(scene)
        heard = await scene.asks(post(PATH))
        assert (heard.status, heard.json()["error"]["code"]) == (503, "too_many_deferred")
        assert heard.get(b"retry-after") is not None
        assert scene.metric("dragoman_limit_hits_total", limit="deferred_calls") == 1
        ready.set()
        await settled(scene, identity)
        await until(lambda: scene.metric("dragoman_deferred_calls_running") == 0)
        await begun(scene)


@async_test(loops=False)
async def test_M01_a_shutdown_waits_for_deferred_calls(store: str) -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.on("POST /edits", held(ready, says(MADE)))
    async with gateway(studio, store=store, timeouts={"t_drain": 5.0}) as scene, gateway(Studio(), store=store) as other:
        identity = await begun(scene)
        await studio.hears("POST /edits")
        draining = asyncio.ensure_future(scene.gateway.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        ready.set()
        await draining
        assert (await settled(other, identity))["status"] == "completed"


@async_test(loops=False)
async def test_M01_a_shutdown_that_has_waited_long_enough_says_so_in_the_store(store: str) -> None:
    studio = Studio()
    studio.on("POST /edits", held(asyncio.Event(), b""))
    async with gateway(studio, store=store, timeouts={"t_drain": 0.05}) as scene, gateway(Studio(), store=store) as other:
        identity = await begun(scene)
        heard = await studio.hears("POST /edits")
        await scene.gateway.drain()
        await heard.line.gone()
        task = await settled(other, identity)
        assert task["status"] == "failed"
        assert task["error"] == {"code": "interrupted", "message": "the image call was interrupted; send it once more"}
        assert scene.metric("dragoman_deferred_calls_total", outcome="interrupted") == 1


async def _ends(scene: Stage) -> dict[str, object]:
    """The line of the access log that says how a deferred call ended; it is written behind the answer."""
    await until(lambda: any("deferred" in line for line in scene.log()))
    (line,) = (line for line in scene.log() if "deferred" in line)
    return line


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (says(MADE), {"status": 200, "outcome": "ok", "deferred": "completed"}),
        (
            says({"error": {"code": "blocked", "message": "not this"}}, b"400 Bad Request"),
            {"status": 400, "outcome": "upstream_error", "deferred": "failed"},
        ),
        (None, {"status": 502, "outcome": "failed", "deferred": "failed", "error": "connection_terminated"}),
    ],
)
@async_test(loops=False)
async def test_the_access_log_says_how_a_deferred_call_ended(
    tmp_path: Path, said: bytes | None, expected: dict[str, object]
) -> None:
    studio = Studio()
    studio.on("POST /edits", said if said is not None else lambda heard: heard.line.rst())
    async with gateway(studio, store=str(tmp_path / "store.db")) as scene:
        await begun(scene)
        line = await _ends(scene)
        (request,) = (other for other in scene.log() if "deferred" not in other)
        for name in ("id", "peer", "method", "path", "platform", "route", "model", "bytes_in"):
            assert line[name] == request[name], name
        assert (request["status"], request["outcome"]) == (200, "ok")
        names = ("status", "outcome", "deferred", "error")
        assert {name: line[name] for name in names if name in line} == expected
        assert set(request) - set(line) <= {"upstream_status", "upstream_request_id", "reused"}


@async_test(loops=False)
async def test_M01_the_access_log_says_which_deferred_calls_the_shutdown_interrupted(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /edits", held(asyncio.Event(), b""))
    async with gateway(studio, store=str(tmp_path / "store.db"), timeouts={"t_drain": 0.05}) as scene:
        await begun(scene)
        await studio.hears("POST /edits")
        await scene.gateway.drain()
        line = await _ends(scene)
        assert (line["status"], line["outcome"], line["deferred"]) == (502, "drained", "interrupted")


@async_test(loops=False)
async def test_a_gateway_that_starts_anew_knows_the_calls_of_the_one_before(store: str) -> None:
    studio = Studio()
    studio.on("POST /edits", says(MADE))
    async with gateway(studio, store=store) as scene:
        identity = await begun(scene)
        await settled(scene, identity)
    async with gateway(Studio(), store=store) as scene:
        assert (await settled(scene, identity))["status"] == "completed"


@async_test(loops=False)
async def test_a_store_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    studio = Studio()
    with pytest.raises(StartError, match="store of deferred calls"):
        async with gateway(studio, store=str(tmp_path / "nowhere" / "store.db")):
            pass


@async_test(loops=False)
async def test_the_store_may_be_named_by_the_environment(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /edits", says(MADE))
    file = tmp_path / "store.db"
    async with gateway(studio, environ={"DRAGOMAN_STORE": str(file)}) as scene:
        await settled(scene, await begun(scene))
    assert file.exists()


@async_test(loops=False)
async def test_without_a_word_the_store_is_a_private_file_of_the_machine(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("POST /edits", says(MADE))
    async with gateway(studio, environ={"XDG_STATE_HOME": str(tmp_path)}) as scene:
        assert not list(tmp_path.iterdir())  # not before it is needed
        await settled(scene, await begun(scene))
    assert (tmp_path / "dragoman").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "dragoman" / "store.db").stat().st_mode & 0o777 == 0o600


@async_test(loops=False)
async def test_a_platform_that_defers_by_itself_is_not_touched() -> None:
    studio = Studio()
    said = says({"task_id": "f1ab"})
    studio.on("POST /v1/images/generations", said)
    carried = rule(studio).partition("on_client_abort:")[0] + "routes:\n  POST /v1/images/generations: carry\n"
    from tests.harness.gateway import stage

    async with stage(studio.peer, rules={"test": carried}) as scene:
        request = post("/test/v1/images/generations?async=true", prompt="a hat")
        heard = await scene.asks(request)
        asked = studio.peer.requests[0]
        assert asked.target == b"/v1/images/generations?async=true"
        assert asked.body == request.partition(b"\r\n\r\n")[2]
        assert heard.body == said.partition(b"\r\n\r\n")[2]
