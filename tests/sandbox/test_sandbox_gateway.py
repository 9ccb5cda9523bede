"""The sandbox behind the real gateway, as `serve --sandbox` has it: tasks to their bytes, media in answers, streams, faults."""

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.sandbox import Sandbox
from tests.sandbox.platforms import Clock, copy_rules
from tests.sandbox.test_sandbox_media import boxes
from tests.sdk.host import Host, running
from translators.load import load

SPEECH = {"model": "speech-2.6-hd", "input": "Hello", "voice": "v1"}
FAULT = "X-Sandbox-Fault"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_rules(tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def host(rules: Path) -> Iterator[Host]:
    """A gateway whose sandbox takes its time from `clock_of`."""
    with running(shipped_rules=False, rules=(rules,)) as started:
        started.sandbox.times.clock = Clock()
        yield started


@pytest.fixture
def client(host: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.url, headers={"Authorization": "Bearer any"}, timeout=10, trust_env=False) as opened:
        yield opened


def pass_time(host: Host, seconds: float) -> None:
    clock = host.sandbox.times.clock
    assert isinstance(clock, Clock)
    clock.now += seconds


def create(client: httpx.Client, platform: str, **body: str) -> str:
    """The id of a new video, which is queued."""
    task = client.post(f"/{platform}/v1/videos", json={"prompt": "A dog", "seconds": "8", "size": "1280x720", **body})
    assert task.status_code == 200, task.text
    assert (task.json()["object"], task.json()["status"]) == ("video", "queued")
    return str(task.json()["id"])


def look(client: httpx.Client, platform: str, task: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/{platform}/v1/videos/{task}").json()
    return found


@pytest.mark.parametrize(("platform", "model"), [("kling", "kling-v2-6"), ("minimax", "MiniMax-Hailuo-2.3")])
def test_a_video_comes_to_its_end_and_its_bytes_are_an_mp4(host: Host, client: httpx.Client, platform: str, model: str) -> None:
    task = create(client, platform, model=model)
    states = []
    for _ in range(3):
        states.append(look(client, platform, task)["status"])
        pass_time(host, 1.0)
    assert states == ["queued", "in_progress", "completed"]
    whole = client.get(f"/{platform}/v1/videos/{task}/content")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert [kind for kind, _, _ in boxes(whole.content)][:2] == [b"ftyp", b"moov"]
    part = client.get(f"/{platform}/v1/videos/{task}/content", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert part.headers["content-range"] == f"bytes 4-7/{len(whole.content)}"


def test_the_url_of_a_finished_video_is_served_by_the_sandbox_itself(host: Host, client: httpx.Client) -> None:
    task = create(client, "kling")
    pass_time(host, 2.0)
    url = look(client, "kling", task)["url"]
    assert url.startswith(host.sandbox.url_of("kling"))
    head = httpx.head(url, trust_env=False)
    body = httpx.get(url, headers={"If-None-Match": head.headers["etag"]}, trust_env=False)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "video/mp4", b"")
    assert (body.status_code, body.content) == (304, b"")
    assert int(head.headers["content-length"]) > 1000


def test_a_video_that_was_asked_to_fail_fails(host: Host, client: httpx.Client) -> None:
    task = create(client, "kling", prompt="This one will fail")
    pass_time(host, 2.0)
    found = look(client, "kling", task)
    assert (found["status"], found["error"]["code"]) == ("failed", "generation_failed")
    assert client.get(f"/kling/v1/videos/{task}/content").status_code == 400


def test_the_platforms_own_paths_are_served_too(host: Host, client: httpx.Client) -> None:
    made = client.post("/kling/v1/videos/text2video", json={"model_name": "kling-v2-6", "prompt": "A dog"}).json()["data"]
    pass_time(host, 2.0)
    found = client.get(f"/kling/v1/videos/text2video/{made['task_id']}").json()["data"]
    assert (found["task_id"], found["task_status"]) == (made["task_id"], "succeed")


@pytest.mark.parametrize(("form", "media_type", "magic"), [("mp3", "audio/mpeg", b"ID3"), ("wav", "audio/wav", b"RIFF")])
def test_speech_is_real_audio(client: httpx.Client, form: str, media_type: str, magic: bytes) -> None:
    spoken = client.post("/minimax/v1/audio/speech", json={**SPEECH, "response_format": form})
    assert (spoken.status_code, spoken.headers["content-type"]) == (200, media_type)
    assert spoken.content.startswith(magic)


def test_streamed_speech_ticks_and_adds_up_to_whole_frames(host: Host, client: httpx.Client) -> None:
    with client.stream("POST", "/minimax/v1/audio/speech", json={**SPEECH, "stream": True}) as spoken:
        pieces = list(spoken.iter_raw())
    data = b"".join(pieces)
    assert spoken.headers["content-type"] == "audio/mpeg"
    assert data.startswith(b"ID3")
    assert struct.unpack_from(">H", data, len(data) - 208)[0] == 0xFFFB, "the last frame is whole"


def test_a_conversation_of_such_a_platform_is_a_conversation(client: httpx.Client) -> None:
    body = {"model": "MiniMax-M2.7", "messages": [{"role": "user", "content": "Where is Paris?"}]}
    said = client.post("/minimax/v1/chat/completions", json=body).json()
    assert "Where is Paris?" in said["choices"][0]["message"]["content"]


@pytest.mark.parametrize(("fault", "kind"), [("429", "rate_limit_error"), ("500", "server_error")])
def test_a_status_on_request_is_the_platforms_own_failure(client: httpx.Client, fault: str, kind: str) -> None:
    said = client.post("/kling/v1/videos", json={"prompt": "A dog"}, headers={FAULT: fault})
    assert (said.status_code, said.json()["error"]["type"]) == (int(fault), kind)
    assert said.headers.get("retry-after") == ("1" if fault == "429" else None)


def test_a_status_that_no_example_has_is_said_in_the_protocols_words(client: httpx.Client) -> None:
    said = client.post("/kling/v1/videos", json={"prompt": "A dog"}, headers={FAULT: "529"})
    assert (said.status_code, said.json()["error"]["message"]) == (529, "The sandbox was asked to be overloaded.")


def test_a_cut_answer_is_no_whole_answer(client: httpx.Client) -> None:
    said = client.post("/kling/v1/videos", json={"prompt": "A dog"}, headers={FAULT: "cut"})
    assert said.status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/minimax/v1/audio/speech", json={**SPEECH, "stream": True}, headers={FAULT: "cut"})


def test_a_stalled_stream_says_no_more_than_its_first_event(client: httpx.Client) -> None:
    request = client.build_request("POST", "/minimax/v1/audio/speech", json={**SPEECH, "stream": True}, headers={FAULT: "stall"})
    request.extensions["timeout"]["read"] = 0.2
    said = client.send(request, stream=True)
    pieces = said.iter_raw()
    assert next(pieces).startswith(b"ID3")
    with pytest.raises(httpx.ReadTimeout):
        next(pieces)
    said.close()


def test_what_no_example_knows_is_said_to_the_client(client: httpx.Client) -> None:
    said = client.post("/kling/v1/nothing/of/the/kind", json={})
    assert said.status_code == 404
    assert "kling.yaml:" in said.json()["message"]
    said = client.post("/minimax/v1/images/edits", json={"prompt": "A hat"})
    assert said.status_code == 404
    assert "no example has this method and path" in said.text


def test_a_head_is_the_answer_to_a_get_without_its_body(host: Host, client: httpx.Client) -> None:
    path = "/v1/videos/text2video?pageNum=1"
    with httpx.Client(base_url=host.sandbox.url_of("kling"), trust_env=False) as direct:
        head, body = direct.head(path), direct.get(path)
        again = direct.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(body.content)) == str(len(again.content))
    assert client.head("/kling" + path).status_code == 200


def test_new_rules_are_answered_from_at_once(rules: Path, tmp_path: Path) -> None:
    with running(shipped_rules=False, rules=(rules,)) as host:
        (tmp_path / "more.yaml").write_text(
            "platform: more\nupstream: https://api.example.com/base\nauth: none\nroutes:\n  POST /v1/draw: carry\nexamples:\n"
            "  - title: a drawing\n    client: {send: POST /more/v1/draw, json: {prompt: Hi}}\n"
            '    answer: {status: 201, json: {picture: "https://cdn.example.com/a", job: "https://api.example.com/base/v1/jobs/7"}}\n'
            "    result: same\n"
        )
        host.run(_update(host, load((rules, tmp_path))))
        said = httpx.post(host.sandbox.url_of("more") + "/base/v1/draw", json={"prompt": "Ho"}, trust_env=False)
    assert said.status_code == 201
    assert said.json()["job"] == host.sandbox.url_of("more") + "/base/v1/jobs/7"
    assert said.json()["picture"].startswith(host.sandbox.url_of("more") + "/base/~files/")
    assert said.json()["picture"].endswith(".png")


async def _update(host: Host, rules: Any) -> None:
    host.sandbox.update(rules)


def test_each_event_of_a_stream_has_its_pause(rules: Path) -> None:
    async def main() -> tuple[list[float], bytes]:
        pauses: list[float] = []
        real, ours = asyncio.sleep, asyncio.get_running_loop()

        async def noted(delay: float, result: object = None) -> object:
            if asyncio.get_running_loop() is not ours:  # a gateway of another test, in its own thread, sleeps as it likes
                return await real(delay, result)
            pauses.append(delay)
            return await real(0, result)

        sandbox = Sandbox(load((rules,)), pace=0.01)
        await sandbox.start()
        body = {"model": "speech-2.6-hd", "text": "Hello", "voice_setting": {"voice_id": "v1"}, "stream": True}
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("proxy.sandbox.server.asyncio.sleep", noted)
                async with httpx.AsyncClient(trust_env=False) as client:
                    said = await client.post(sandbox.url_of("minimax") + "/v1/t2a_v2", json=body)
        finally:
            await sandbox.stop()
        return pauses, said.content

    pauses, body = asyncio.run(main())
    assert body.count(b"data: ") == 3
    assert sum(pause == 0.01 for pause in pauses) == 3
