"""Finished work on its way to the client: real sockets on both sides."""

import asyncio
import time
from pathlib import Path
from typing import cast

import pytest

from proxy.orchestrate.interface import Host
from proxy.orchestrate.orchestrator import Orchestrator
from proxy.settings import Settings
from proxy.store.interface import Store
from proxy.telemetry.metrics import Metrics
from proxy.upstream.resolver import SystemResolver
from tests.harness.chaos import Heard, Peer, answer, chunk
from tests.harness.gateway import SECRET
from tests.harness.runner import async_test, until
from tests.orchestrate.hosts import InTest
from tests.orchestrate.stage import Studio, created, gateway, get, says
from translators.runtime.steps import Download, Incoming

MIB = 1024 * 1024
FILM = bytes(range(256)) * 64


def finished(studio: Studio, path: str = "/shelf/7.mp4") -> None:
    studio.job("7", {"status": "done", "url": studio.url(path)})


def film(*fields: bytes, body: bytes = FILM, status: bytes = b"200 OK") -> bytes:
    return answer(status, body, b"Content-Type: video/mp4", *fields)


@async_test()
async def test_a_download_keeps_the_files_fields_and_none_of_its_servers() -> None:
    studio = Studio()
    finished(studio)
    studio.on(
        "GET /shelf/7.mp4",
        film(
            b'ETag: "v1"',
            b"Last-Modified: Tue, 01 Sep 2026 10:00:00 GMT",
            b"Accept-Ranges: bytes",
            b"Set-Cookie: visitor=1",
            b"Cache-Control: public, max-age=86400",
            b"Strict-Transport-Security: max-age=1",
        ),
    )
    async with gateway(studio) as scene:
        identity = await created(scene)
        heard = await scene.asks(
            get(f"/test/v1/videos/{identity}/content", "Authorization: Bearer sk-test-client", "Cookie: a=1", "Referer: http://app")
        )
        assert (heard.status, heard.body, heard.complete) == (200, FILM, True)
        assert heard.get(b"content-length") == b"%d" % len(FILM)
        assert heard.get(b"content-type") == b"video/mp4"
        assert heard.get(b"etag") == b'"v1"'
        assert heard.get(b"last-modified") == b"Tue, 01 Sep 2026 10:00:00 GMT"
        assert heard.get(b"accept-ranges") == b"bytes"
        for name in (b"set-cookie", b"cache-control", b"strict-transport-security", b"proxy-status"):
            assert heard.get(name) is None
        asked = studio.heard("GET /shelf/7.mp4")[0]
        for name in (b"authorization", b"cookie", b"referer"):
            assert asked.get(name) is None
        assert scene.metric("dragoman_fetches_total", purpose="download", outcome="ok") == 1
        assert scene.metric("dragoman_download_bytes_total", platform="test") == len(FILM)


@pytest.mark.parametrize("said", [b"Content-Type: application/octet-stream", b"Content-Type: binary/octet-stream", b"X-None: 1"])
@async_test(loops=False)
async def test_a_type_that_says_nothing_becomes_the_rules(said: bytes) -> None:
    studio = Studio()
    finished(studio)
    studio.on("GET /shelf/7.mp4", answer(b"200 OK", FILM, said))
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.all(b"content-type") == [b"video/mp4"]


@async_test()
async def test_a_range_goes_to_the_file_and_its_answer_comes_back_as_it_is() -> None:
    studio = Studio()
    finished(studio)
    part = film(b"Content-Range: bytes 10-19/16384", b'ETag: "v1"', body=FILM[10:20], status=b"206 Partial Content")
    studio.on("GET /shelf/7.mp4", part)
    async with gateway(studio) as scene:
        path = f"/test/v1/videos/{await created(scene)}/content"
        heard = await scene.asks(get(path, "Range: bytes=10-19", 'If-Range: "v1"'))
        assert (heard.status, heard.body) == (206, FILM[10:20])
        assert heard.get(b"content-range") == b"bytes 10-19/16384"
        asked = studio.heard("GET /shelf/7.mp4")[0]
        assert (asked.get(b"range"), asked.get(b"if-range")) == (b"bytes=10-19", b'"v1"')
        studio.on("GET /shelf/7.mp4", answer(b"416 Range Not Satisfiable", b"", b"Content-Range: bytes */16384"))
        heard = await scene.asks(get(path, "Range: bytes=99999-"))
        assert heard.status == 416
        assert heard.get(b"content-range") == b"bytes */16384"


@async_test(loops=False)
async def test_a_download_of_three_hops_asks_for_the_link_each_time() -> None:
    studio = Studio()
    studio.job("7", {"status": "done", "file": "f9"})
    studio.on("GET /files/f9", says({"link": studio.url("/shelf/7.mp4?sign=%2Bx")}))
    studio.on("GET /shelf/7.mp4", film())
    async with gateway(studio) as scene:
        path = f"/test/v1/clips/{await created(scene, '/test/v1/clips')}/content"
        for _ in range(2):
            assert (await scene.asks(get(path))).body == FILM
        assert len(studio.heard("GET /files/f9")) == 2
        assert studio.heard("GET /files/f9")[0].get(b"authorization") == f"Bearer {SECRET}".encode()
        assert studio.heard("GET /shelf/7.mp4")[0].target == b"/shelf/7.mp4?sign=%2Bx"
        assert studio.heard("GET /shelf/7.mp4")[0].get(b"authorization") is None


@pytest.mark.parametrize("status", [b"403 Forbidden", b"404 Not Found", b"410 Gone"])
@async_test(loops=False)
async def test_a_link_that_has_expired_is_asked_for_anew(status: bytes) -> None:
    studio = Studio()
    studio.job("7", {"status": "done", "url": studio.url("/shelf/old")}, {"status": "done", "url": studio.url("/shelf/new")})
    studio.on("GET /shelf/old", answer(status, b"<Error/>"))
    studio.on("GET /shelf/new", film())
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert (heard.status, heard.body) == (200, FILM)


@async_test(loops=False)
async def test_a_link_is_asked_for_anew_only_once() -> None:
    studio = Studio()
    finished(studio)
    studio.on("GET /shelf/7.mp4", answer(b"403 Forbidden"))
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.status == 404
        assert heard.json()["error"]["code"] == "content_gone"
        assert len(studio.heard("GET /jobs/7")) == len(studio.heard("GET /shelf/7.mp4")) == 2


@async_test(loops=False)
async def test_a_task_that_has_failed_when_its_link_is_asked_for_anew_says_so() -> None:
    studio = Studio()
    studio.job("7", {"status": "done", "url": studio.url("/shelf/old")}, {"error": {"code": "expired", "message": "kept a day"}})
    studio.on("GET /shelf/old", answer(b"410 Gone"))
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.status == 502
        assert heard.json()["error"]["code"] == "expired"


@async_test(loops=False)
async def test_a_server_that_fails_is_told_without_its_words() -> None:
    studio = Studio()
    finished(studio)
    studio.on("GET /shelf/7.mp4", answer(b"503 Service Unavailable", b"overloaded at 10.0.0.7"))
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.status == 502
        assert b"10.0.0.7" not in heard.body
        assert scene.metric("dragoman_fetches_total", purpose="download", outcome="failed") == 1


@pytest.mark.parametrize("head", [b"Content-Length: 16384", b"Transfer-Encoding: chunked"])
@async_test(loops=False)
async def test_I05_a_file_that_breaks_off_never_looks_whole(head: bytes) -> None:
    studio = Studio()
    finished(studio)

    async def breaks(heard: Heard) -> None:
        piece = chunk(FILM[:100]) if b"chunked" in head else FILM[:100]
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n%b\r\n\r\n%b" % (head, piece))
        heard.line.fin()

    studio.on("GET /shelf/7.mp4", breaks)
    async with gateway(studio) as scene:
        client = await scene.client()
        await client.says(get(f"/test/v1/videos/{await created(scene)}/content"))
        heard = await client.hears()
        assert heard.status == 200
        assert heard.body == FILM[:100]
        assert not heard.complete
        await scene.calms_down()
        await until(lambda: [line["outcome"] for line in scene.log()] == ["ok", "truncated"])


@async_test(loops=False)
async def test_a_file_that_stops_coming_is_cut_after_the_idle_time() -> None:
    studio = Studio()
    finished(studio)

    async def stops(heard: Heard) -> None:
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 16384\r\n\r\n" + FILM[:100])

    studio.on("GET /shelf/7.mp4", stops)
    async with gateway(studio, timeouts={"t_between_bytes": 0.3}) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert not heard.complete
        assert scene.metric("dragoman_fetches_total", purpose="download", outcome="timeout") == 1


@async_test()
async def test_F04_a_slow_client_stops_the_reading_of_the_file() -> None:
    studio = Studio()
    finished(studio)
    sent = 0
    size = 48 * MIB

    async def pours(heard: Heard) -> None:
        nonlocal sent
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(MIB)
        while sent < size:
            await heard.say(block)
            sent += len(block)

    studio.on("GET /shelf/7.mp4", pours)
    async with gateway(studio) as scene:
        path = f"/test/v1/videos/{await created(scene)}/content"
        client = await scene.client(receive_buffer=16 * 1024, keep=False)
        await client.says(get(path))
        heard = await client.hears_head()
        await until(lambda: sent > 0)
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.1)
        assert sent <= 12 * MIB  # what kernel buffers of three sockets hold, and no queue of ours
        await client.hears_rest(heard)
        assert heard.complete
        assert heard.stream.size == size


@async_test()
async def test_L01_a_client_that_leaves_closes_the_connection_to_the_file() -> None:
    studio = Studio()
    finished(studio)

    async def drips(heard: Heard) -> None:
        await heard.say(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 16384\r\n\r\n" + FILM[:100])

    studio.on("GET /shelf/7.mp4", drips)
    async with gateway(studio) as scene:
        client = await scene.client()
        await client.says(get(f"/test/v1/videos/{await created(scene)}/content"))
        answered = await client.hears_head()
        await client.hears_more(answered, marker=FILM[:100])
        client.leaves()
        await studio.heard("GET /shelf/7.mp4")[0].line.gone()
        await scene.calms_down()
        assert scene.metric("dragoman_fetches_total", purpose="download", outcome="abandoned") == 1


@pytest.mark.parametrize(
    "place",
    ["http://127.1/x", "http://[::ffff:127.0.0.1]/x", "http://169.254.169.254/latest"],
)
@async_test(loops=False)
async def test_R03_a_redirect_to_a_private_place_is_refused_before_it_is_followed(place: str) -> None:
    studio = Studio()
    finished(studio)
    studio.on("GET /shelf/7.mp4", answer(b"302 Found", b"", f"Location: {place}".encode()))
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.status == 400
        assert heard.error == "destination_ip_prohibited"
        assert scene.metric("dragoman_fetches_total", purpose="download", outcome="refused") == 1


@async_test(loops=False)
async def test_R03_a_private_place_that_is_not_the_platforms_own_is_refused() -> None:
    studio = Studio()
    async with Peer() as other, gateway(studio) as scene:
        studio.job("7", {"status": "done", "url": f"{other.url}/7.mp4"})
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.status == 400
        assert not other.lines


@async_test(loops=False)
async def test_the_platforms_credential_goes_to_its_own_origin_and_not_on_with_a_redirect() -> None:
    studio = Studio()
    finished(studio, "/kept/7.mp4")
    studio.on("GET /kept/7.mp4", answer(b"302 Found", b"", b"Location: /shelf/7.mp4"))
    studio.on("GET /shelf/7.mp4", film())
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/own/{await created(scene, '/test/v1/own')}/content"))
        assert (heard.status, heard.body) == (200, FILM)
        assert studio.heard("GET /kept/7.mp4")[0].get(b"authorization") == f"Bearer {SECRET}".encode()
        assert studio.heard("GET /shelf/7.mp4")[0].get(b"authorization") is None


@async_test(loops=False)
async def test_a_range_goes_with_the_platforms_credential_too() -> None:
    studio = Studio()
    finished(studio, "/kept/7.mp4")
    studio.on("GET /kept/7.mp4", film(b"Content-Range: bytes 0-1/16384", body=FILM[:2], status=b"206 Partial Content"))
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/own/{await created(scene, '/test/v1/own')}/content", "Range: bytes=0-1"))
        assert (heard.status, heard.body) == (206, FILM[:2])
        assert studio.heard("GET /kept/7.mp4")[0].get(b"range") == b"bytes=0-1"


@async_test(loops=False)
async def test_content_is_refused_until_the_task_is_completed() -> None:
    studio = Studio()
    studio.job("7", {"status": "working"})
    async with gateway(studio) as scene:
        heard = await scene.asks(get(f"/test/v1/videos/{await created(scene)}/content"))
        assert heard.status == 400
        assert heard.json()["error"]["code"] == "video_not_ready"


@async_test(loops=False)
async def test_HEAD_of_a_file_says_its_length_and_nothing_more() -> None:
    studio = Studio()
    finished(studio)
    studio.on("GET /shelf/7.mp4", film())
    async with gateway(studio) as scene:
        client = await scene.client()
        path = f"/test/v1/videos/{await created(scene)}/content"
        await client.says(get(path, method="HEAD"))
        heard = await client.hears(to=b"HEAD")
        assert (heard.status, heard.get(b"content-length")) == (200, b"%d" % len(FILM))
        await client.says(get(path))  # the connection is as good as before
        assert (await client.hears()).body == FILM


class Noted:
    """A sink that notes what it hears."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def head(self, status: int, fields: tuple[tuple[str, str], ...]) -> None:
        self.said.append((status, dict(fields)))

    def write(self, data: bytes) -> None:
        self.said.append(data)

    async def drained(self) -> None: ...

    def end(self) -> None:
        self.said.append("end")

    def cut(self) -> None:
        self.said.append("cut")


@async_test(loops=False)
async def test_HEAD_is_answered_from_the_head_of_a_GET(tmp_path: Path) -> None:
    studio = Studio()
    studio.on("GET /shelf/7.mp4", film())
    settings = Settings()
    async with studio.peer:
        host = InTest(tmp_path, upstream=studio.peer.url)
        host.incoming = Incoming("HEAD", {}, {}, {}, b"", "m1", "m1", time.time, str)
        orchestrator = Orchestrator(
            settings, resolver=SystemResolver(), metrics=Metrics(), open_store=never_opened, hold=lambda _: None
        )
        sink = Noted()
        await orchestrator.download(Download(studio.url("/shelf/7.mp4")), cast("Host", host), sink)
        await orchestrator.close()
    assert sink.said == [(200, {"Content-Length": str(len(FILM)), "Content-Type": "video/mp4"}), "end"]


async def never_opened() -> Store:
    raise AssertionError("no store is needed for a download")
