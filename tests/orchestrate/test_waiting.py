"""A task behind a call that waits: real sockets on both sides."""

import asyncio
import base64

import pytest

from tests.harness.chaos import Peer, answer
from tests.harness.gateway import SECRET
from tests.harness.resolving import Names
from tests.harness.runner import async_test, until
from tests.orchestrate.stage import Studio, gateway, get, held, never, post, says


@async_test()
async def test_a_waiting_call_polls_until_the_task_is_completed() -> None:
    studio = Studio()
    studio.job("7", {"status": "waiting"}, {"status": "working"}, {"status": "done", "url": "https://example.com/7.png"})
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/images/generations", prompt="a cat"))
        assert heard.status == 200
        assert heard.json()["data"] == [{"url": "https://example.com/7.png"}]
        assert len(studio.heard("GET /jobs/7")) == 3
        assert studio.heard("GET /jobs/7")[0].get(b"authorization") == f"Bearer {SECRET}".encode()
        await scene.calms_down()
        assert scene.metric("dragoman_programs_running", platform="test") == 0


@async_test()
async def test_the_result_is_read_for_a_client_that_wants_its_bytes() -> None:
    studio = Studio()
    studio.job("7", {"status": "done", "url": studio.url("/shelf/7.png")})
    studio.on("GET /shelf/7.png", answer(b"200 OK", b"pixels", b"Content-Type: image/png"))
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/images/generations", response_format="b64_json"))
        assert base64.b64decode(heard.json()["data"][0]["b64_json"]) == b"pixels"
        assert studio.heard("GET /shelf/7.png")[0].get(b"authorization") is None
        assert scene.metric("dragoman_fetches_total", purpose="fetch", outcome="ok") == 1


@async_test(loops=False)
async def test_a_task_that_fails_is_the_error_of_the_waiting_call() -> None:
    studio = Studio()
    studio.job("7", {"status": "broken", "reason": "no light"})
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/videos?async=false"))
        assert heard.status == 400
        assert heard.json()["error"]["code"] == "broken_job"
        assert "no light" in heard.json()["error"]["message"]


@async_test(loops=False)
async def test_after_the_rules_time_the_answer_is_504_with_the_id_of_the_task() -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    async with gateway(studio, patience="30ms") as scene:
        heard = await scene.asks(post("/test/v1/images/generations"))
        assert heard.status == 504
        identity = heard.json()["error"]["task_id"]
        studio.job("7", {"status": "done", "url": "https://example.com/7.png"})
        assert (await scene.asks(get(f"/test/v1/images/{identity}"))).json()["status"] == "completed"


@async_test(loops=False)
async def test_polls_that_find_no_platform_do_not_lose_the_task() -> None:
    studio = Studio()
    studio.job("7", {"status": "done", "url": "https://example.com/7.png"})
    async with gateway(studio) as scene:
        good = studio._responders["GET /jobs/7"]

        def cuts(heard: object) -> None:
            studio.on("GET /jobs/7", good)
            studio.heard("GET /jobs/7")[-1].line.rst()

        studio.on("GET /jobs/7", cuts)
        heard = await scene.asks(post("/test/v1/images/generations"))
        assert heard.status == 200


@async_test(loops=False)
async def test_a_creation_that_finds_no_platform_is_a_local_answer() -> None:
    studio = Studio()
    studio.on("POST /jobs", lambda heard: heard.line.rst())
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/images/generations"))
        assert heard.status == 502
        assert heard.local


@async_test()
async def test_L01_a_client_that_leaves_between_two_polls_ends_the_loop_and_the_task() -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    studio.on("POST /jobs/7/end", says({}))
    async with gateway(studio) as scene:
        client = await scene.client()
        await client.says(post("/test/v1/videos?async=false"))
        await studio.hears("GET /jobs/7", times=2)
        client.leaves()
        await scene.calms_down()
        await studio.hears("POST /jobs/7/end")
        await scene.calms_down()
        polls = len(studio.heard("GET /jobs/7"))
        await asyncio.sleep(0.03)
        assert len(studio.heard("GET /jobs/7")) == polls
        assert len(studio.heard("POST /jobs/7/end")) == 1
        assert scene.metric("dragoman_programs_running", platform="test") == 0


@async_test()
async def test_L01_a_client_that_leaves_during_a_call_aborts_it() -> None:
    studio = Studio()
    studio.on("POST /jobs", never)
    async with gateway(studio) as scene:
        client = await scene.client()
        await client.says(post("/test/v1/videos?async=false"))
        heard = await studio.hears("POST /jobs")
        client.leaves()
        await heard.line.gone(within=1.0)
        await scene.calms_down()


@async_test(loops=False)
async def test_detached_a_program_goes_on_without_its_client() -> None:
    studio = Studio()
    done = asyncio.Event()
    studio.job("7", {"status": "working"})
    async with gateway(studio, abort="detach") as scene:
        client = await scene.client()
        await client.says(post("/test/v1/videos?async=false"))
        await studio.hears("GET /jobs/7", times=2)
        client.leaves()
        await until(lambda: not scene.gateway.worker.connections)
        polls = len(studio.heard("GET /jobs/7"))
        await studio.hears("GET /jobs/7", times=polls + 3)
        assert scene.metric("dragoman_programs_running", platform="test") == 1
        studio.on("GET /jobs/7", held(done, says({"status": "done", "url": "https://example.com/7.mp4"})))
        done.set()
        await until(lambda: scene.metric("dragoman_programs_running", platform="test") == 0)
        assert not studio.heard("POST /jobs/7/end")


@pytest.mark.parametrize("abort", ["cancel", "detach"])
@async_test()
async def test_a_gateway_that_stops_leaves_nothing_of_a_program_behind(abort: str) -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    studio.on("POST /jobs/7/end", never)
    async with gateway(studio, abort=abort) as scene:
        client, other = await scene.client(), await scene.client()
        for each in (client, other):
            await each.says(post("/test/v1/videos?async=false"))
        await studio.hears("GET /jobs/7", times=4)
        other.leaves()
        await until(lambda: len(scene.gateway.worker.connections) == 1)
    # what is left of tasks is counted by the stage


@async_test(loops=False)
async def test_with_drain_the_loop_ends_and_the_task_goes_on() -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    async with gateway(studio, abort="drain") as scene:
        client = await scene.client()
        await client.says(post("/test/v1/videos?async=false"))
        await studio.hears("GET /jobs/7", times=2)
        client.leaves()
        await until(lambda: scene.metric("dragoman_programs_running", platform="test") == 0)
        await scene.calms_down()
        assert not studio.heard("POST /jobs/7/end")


@async_test(loops=False)
async def test_detached_a_program_is_bounded_in_time() -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    async with gateway(studio, abort="detach", timeouts={"t_program": 0.1}) as scene:
        client = await scene.client()
        await client.says(post("/test/v1/videos?async=false"))
        await studio.hears("GET /jobs/7", times=2)
        client.leaves()
        await until(lambda: scene.metric("dragoman_programs_running", platform="test") == 0)
        assert scene.metric("dragoman_limit_hits_total", limit="t_program") == 1


@async_test(loops=False)
async def test_a_program_that_takes_too_long_is_answered_504() -> None:
    studio = Studio()
    studio.on("POST /jobs", never)
    async with gateway(studio, timeouts={"t_program": 0.05}) as scene:
        heard = await scene.asks(post("/test/v1/images/generations"))
        assert heard.status == 504
        assert heard.error == "http_response_timeout"
        await scene.calms_down()


@async_test(loops=False)
async def test_R02_R03_a_picture_of_the_client_never_leads_to_a_private_place() -> None:
    """Case 87 of the battery, from the client's request on."""
    studio = Studio()
    async with Peer() as private:
        names = Names(private_test=["127.0.0.1"], mixed_test=["93.184.215.14", "10.0.0.1"])
        async with gateway(studio, resolver=names) as scene:
            for host in (
                f"127.1:{private.port}", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254",
                "private.test", "mixed.test", "user@example.com", f"private.test:{private.port}",
            ):  # fmt: skip
                heard = await scene.asks(post("/test/v1/blends", image=f"http://{host}/7.png"))
                assert (heard.status, heard.json()["error"]["code"]) == (400, "fetch_refused"), host
            assert not private.lines
            assert not studio.peer.requests


@async_test(loops=False)
async def test_detached_a_program_that_ends_in_time_is_waited_for_at_the_shutdown() -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    async with gateway(studio, abort="detach", timeouts={"t_drain": 5.0}) as scene:
        client = await scene.client()
        await client.says(post("/test/v1/videos?async=false"))
        await studio.hears("GET /jobs/7", times=2)
        client.leaves()
        await until(lambda: not scene.gateway.worker.connections)
        draining = asyncio.ensure_future(scene.gateway.drain())
        polls = len(studio.heard("GET /jobs/7"))
        await studio.hears("GET /jobs/7", times=polls + 3)
        assert not draining.done()
        studio.job("7", {"status": "done", "url": "https://example.com/7.mp4"})
        await draining
        assert scene.metric("dragoman_programs_running", platform="test") == 0


@async_test(loops=False)
async def test_a_picture_of_the_client_is_fetched_only_from_public_places() -> None:
    studio = Studio()
    studio.on("GET /shelf/7.png", answer(b"200 OK", b"pixels", b"Content-Type: image/png"))
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/blends", image=studio.url("/shelf/7.png")))
        assert heard.status == 400
        assert heard.json()["error"]["code"] == "fetch_refused"
        assert not studio.peer.requests
        assert scene.metric("dragoman_fetches_total", purpose="fetch", outcome="refused") == 1
