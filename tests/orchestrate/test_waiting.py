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
        await heard.line.gone(within=5.0)
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
    async with gateway(studio, abort="detach", timeouts={"t_program": 0.5}) as scene:
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


@async_test(loops=False)
async def test_no_more_URLs_are_read_at_a_time_than_may() -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.job("7", {"status": "done", "url": studio.url("/shelf/7.png")})
    studio.on("GET /shelf/7.png", held(ready, answer(b"200 OK", b"pixels", b"Content-Type: image/png")))
    async with gateway(studio, limits={"fetches": 1}, timeouts={"t_pool_wait": 0.3}) as scene:
        request = post("/test/v1/images/generations", response_format="b64_json")
        first = asyncio.ensure_future(scene.asks(request))
        await studio.hears("GET /shelf/7.png")
        heard = await scene.asks(request)
        assert (heard.status, heard.json()["error"]["code"]) == (503, "too_many_fetches")
        assert heard.get(b"retry-after") is not None
        assert scene.metric("dragoman_limit_hits_total", limit="fetches") == 1
        ready.set()
        assert (await first).status == 200
        assert (await scene.asks(request)).status == 200


@async_test(loops=False)
async def test_what_was_read_behind_URLs_counts_as_held_until_its_program_ends() -> None:
    studio, ready = Studio(), asyncio.Event()
    studio.job("7", {"status": "done", "url": [studio.url("/shelf/7.png"), studio.url("/shelf/8.png")]})
    studio.on("GET /shelf/7.png", answer(b"200 OK", b"p" * 900, b"Content-Type: image/png"))
    studio.on("GET /shelf/8.png", held(ready, answer(b"200 OK", b"q" * 900, b"Content-Type: image/png")))
    async with gateway(studio, limits={"buffered_bytes_total": 1500}) as scene:
        asked = asyncio.ensure_future(scene.asks(post("/test/v1/images/generations", response_format="b64_json")))
        await studio.hears("GET /shelf/8.png")
        assert scene.count("held_bytes") >= 900
        ready.set()
        heard = await asked
        assert (heard.status, heard.json()["error"]["code"]) == (503, "memory_limit")
        await until(lambda: scene.count("held_bytes") == 0)


@async_test(loops=False)
async def test_a_client_is_not_asked_to_repeat_a_job_whose_result_could_not_be_read() -> None:
    studio = Studio()
    studio.job("7", {"status": "done", "url": studio.url("/shelf/7.png")})
    studio.on("GET /shelf/7.png", answer(b"500 Internal Server Error"))
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/images/generations", response_format="b64_json"))
        assert (heard.status, heard.json()["error"]["code"]) == (502, "fetch_failed")
        assert heard.get(b"x-should-retry") == b"false"


@async_test(loops=False)
async def test_a_client_is_not_asked_to_repeat_a_job_that_ends_without_a_result() -> None:
    studio = Studio()
    studio.job("7", {"status": "done"})
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/images/generations"))
        assert heard.status == 502
        assert heard.get(b"x-should-retry") == b"false"


@async_test(loops=False)
async def test_what_failed_before_a_job_was_begun_may_be_repeated() -> None:
    studio = Studio()
    studio.on("POST /jobs", lambda heard: heard.line.rst())
    async with gateway(studio) as scene:
        heard = await scene.asks(post("/test/v1/images/generations"))
        assert heard.status == 502
        assert heard.get(b"x-should-retry") is None


@async_test(loops=False)
async def test_a_finished_picture_stands_in_its_task_object() -> None:
    studio = Studio()
    found = ["https://example.com/7.png", "data:image/png;base64,cGl4ZWxz", "cGl4ZWxz"]
    studio.job("7", {"status": "working", "url": found}, {"status": "done", "url": found})
    async with gateway(studio) as scene:
        identity = (await scene.asks(post("/test/v1/images/generations?async=true"))).json()["id"]
        running, done = [(await scene.asks(get(f"/test/v1/images/{identity}"))).json() for _ in range(2)]
        assert (running["status"], "data" in running) == ("in_progress", False)
        assert done["data"] == [{"url": found[0]}, {"b64_json": "cGl4ZWxz"}, {"b64_json": "cGl4ZWxz"}]


@pytest.mark.parametrize("path", ["/test/v1/videos", "/test/v1/images/generations"])
@async_test(loops=False)
async def test_a_client_is_not_asked_to_repeat_a_job_whose_id_the_platform_did_not_tell(path: str) -> None:
    studio = Studio()
    studio.on("POST /jobs", says({"status": "waiting"}))
    async with gateway(studio) as scene:
        heard = await scene.asks(post(path))
        assert heard.status == 502
        assert [value for name, value in heard.fields if name.lower() == b"x-should-retry"] == [b"false"]
