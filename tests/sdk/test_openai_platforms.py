"""The official `openai` client on platforms of another shape: only its base URL says which. The sandbox answers as they would."""

import base64
import io
import wave
import zlib
from typing import Any

import openai
import pytest

from tests.sdk.clients import FAULT, make_openai, say
from tests.sdk.host import Host

# openai marks its videos as deprecated: its own service for them ends; the calls stay what compatible servers speak
pytestmark = pytest.mark.filterwarnings(r"ignore:The Sora API is scheduled:DeprecationWarning")

VIDEOS = {"kling": "kling-v2-6", "minimax": "MiniMax-Hailuo-2.3", "zhipu": "cogvideox-3", "qwen": "wan2.5-t2v-preview"}
PNG = b"\x89PNG\r\n\x1a\n"


def boxes(data: bytes) -> dict[bytes, bytes]:
    """The outer boxes of an MP4 file (ISO/IEC 14496-12), which must fill it exactly."""
    found, place = {}, 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        assert 8 <= size <= len(data) - place, "a box is larger than what is left of the file"
        found[data[place + 4 : place + 8]] = data[place + 8 : place + size]
        place += size
    return found


def chunks(data: bytes) -> list[bytes]:
    """The names of the chunks of a PNG file (ISO/IEC 15948), whose checksums must be right."""
    assert data.startswith(PNG)
    names, place = [], len(PNG)
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        named, check = data[place + 4 : place + 8 + size], data[place + 8 + size : place + 12 + size]
        assert zlib.crc32(named).to_bytes(4, "big") == check
        names.append(named[:4])
        place += 12 + size
    return names


def filled(picture: bytes) -> bool:
    names = chunks(picture)
    return names[0] == b"IHDR" and b"IDAT" in names and names[-1] == b"IEND"


@pytest.mark.parametrize(("platform", "model"), VIDEOS.items())
def test_a_video_is_made_polled_and_downloaded(offline: Host, platform: str, model: str) -> None:
    with make_openai(f"{offline.url}/{platform}/v1") as client:
        video = client.videos.create_and_poll(model=model, prompt="A cat", seconds="4", size="1280x720", poll_interval_ms=20)  # type: ignore[arg-type]
        assert (video.object, video.model, video.status, video.progress, video.error) == ("video", model, "completed", 100, None)
        found = client.videos.retrieve(video.id)
        assert (found.id, found.status, found.created_at) == (video.id, "completed", video.created_at)
        answer = client.videos.download_content(video.id)
        assert answer.response.headers["content-type"] == "video/mp4"
        film = boxes(answer.read())
    assert next(iter(film)) == b"ftyp"
    assert film[b"moov"]
    assert film[b"mdat"]


@pytest.mark.parametrize(("platform", "model"), VIDEOS.items())
def test_a_video_from_a_file_is_accepted(offline: Host, platform: str, model: str) -> None:
    with make_openai(f"{offline.url}/{platform}/v1") as client:
        video = client.videos.create(model=model, prompt="A cat", input_reference=("a.png", PNG, "image/png"))
    assert (video.object, video.model) == ("video", model)
    assert video.status in ("queued", "in_progress")


@pytest.mark.parametrize(("platform", "model"), VIDEOS.items())
def test_a_video_that_fails_ends_as_failed_and_has_no_bytes(offline: Host, platform: str, model: str) -> None:
    with make_openai(f"{offline.url}/{platform}/v1") as client:
        video = client.videos.create_and_poll(model=model, prompt="A cat that fails", poll_interval_ms=20)
        assert video.status == "failed"
        assert video.error is not None
        assert video.error.message
        with pytest.raises(openai.BadRequestError):
            client.videos.download_content(video.id)


def test_bytes_of_a_video_that_is_not_ready_are_refused(offline: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline.sandbox.times, "task", 3600.0)
    with make_openai(offline.url + "/kling/v1") as client:
        video = client.videos.create(model="kling-v2-6", prompt="A cat")
        with pytest.raises(openai.BadRequestError) as caught:
            client.videos.download_content(video.id)
    assert caught.value.code == "video_not_ready"


def test_a_video_nobody_made_is_not_found(offline: Host) -> None:
    with make_openai(offline.url + "/kling/v1") as client, pytest.raises(openai.NotFoundError):
        client.videos.retrieve("video_nobody")


def test_a_remix_that_lacks_what_the_platform_needs_is_a_bad_request(offline: Host) -> None:
    with make_openai(offline.url + "/kling/v1") as client:
        video = client.videos.create(model="kling-v3-omni", prompt="A cat")
        with pytest.raises(openai.BadRequestError, match="video_url"):
            client.videos.remix(video.id, prompt="At night")
        extra = {"video_url": "https://example.com/v.mp4"}
        again = client.videos.remix(video.id, prompt="At night", extra_body=extra)
    assert again.id != video.id
    assert again.object == "video"


@pytest.mark.parametrize(
    ("platform", "model"),
    [("minimax", "image-01"), ("qwen", "qwen-image-plus"), ("volc-visual", "t2i_xl_sft"), ("kling", "kling-v2")],
)
def test_a_picture_in_base64_is_a_picture(offline: Host, platform: str, model: str) -> None:
    with make_openai(f"{offline.url}/{platform}/v1") as client:
        answer = client.images.generate(model=model, prompt="A fox", response_format="b64_json")
    assert answer.data
    assert [picture.url for picture in answer.data] == [None] * len(answer.data)
    assert all(filled(base64.b64decode(picture.b64_json or "", validate=True)) for picture in answer.data)


@pytest.mark.parametrize(("platform", "model"), [("minimax", "image-01"), ("qwen", "qwen-image-plus"), ("zhipu", "cogview-4")])
def test_a_picture_by_url_can_be_fetched(offline: Host, platform: str, model: str) -> None:
    with make_openai(f"{offline.url}/{platform}/v1") as client:
        answer = client.images.generate(model=model, prompt="A fox", size="1024x1024", response_format="url")
        assert answer.data
        url = answer.data[0].url
        assert url is not None
        assert filled(client._client.get(url).content)


@pytest.mark.parametrize("files", [1, 2])
def test_an_edit_takes_one_file_and_several(offline: Host, files: int) -> None:
    pictures: Any = [(f"{place}.png", PNG, "image/png") for place in range(files)]
    with make_openai(offline.url + "/qwen/v1") as client:
        answer = client.images.edit(model="qwen-image-edit-plus", prompt="Night", image=pictures if files > 1 else pictures[0])
    assert answer.data
    assert (answer.data[0].url or "").startswith("http://127.0.0.1:")


def test_speech_is_sound(offline: Host) -> None:
    with make_openai(offline.url + "/minimax/v1") as client:
        plain = client.audio.speech.create(model="speech-2.8-hd", voice="English_Graceful_Lady", input="Good morning")
        assert plain.response.headers["content-type"] == "audio/mpeg"
        sound = plain.read()
        assert sound[:3] == b"ID3" or (sound[0] == 0xFF and sound[1] & 0xE0 == 0xE0)
        other = client.audio.speech.create(model="speech-2.8-hd", voice="v1", input="Good morning", response_format="wav")
        assert other.response.headers["content-type"] == "audio/wav"
        with wave.open(io.BytesIO(other.read())) as spoken:
            assert spoken.getnframes() > 0


def test_streamed_speech_is_the_events_of_the_client(offline: Host) -> None:
    with (
        make_openai(offline.url + "/minimax/v1") as client,
        client.audio.speech.with_streaming_response.create(
            model="speech-2.8-hd", voice="v1", input="Good morning", stream_format="sse"
        ) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line.startswith("data:")]
    assert '"speech.audio.delta"' in lines[0]
    assert '"speech.audio.done"' in lines[-1]


@pytest.mark.parametrize(("base", "model"), [("zhipu", "glm-4.6"), ("minimax", "MiniMax-M2.7"), ("qwen", "qwen-plus")])
def test_a_chat_stream_adds_up_to_the_plain_answer(offline: Host, base: str, model: str) -> None:
    with make_openai(f"{offline.url}/{base}/v1") as client:
        plain = client.chat.completions.create(model=model, messages=say("Grüße 東京"))
        with client.chat.completions.stream(model=model, messages=say("Grüße 東京")) as stream:
            final = stream.get_final_completion()
    assert "Grüße 東京" in (plain.choices[0].message.content or "")
    assert final.choices[0].message.content == plain.choices[0].message.content


def test_a_stream_mapped_by_a_rule_says_what_the_example_says(offline: Host) -> None:
    with make_openai(offline.url + "/qwen/native/v1") as client:
        plain = client.chat.completions.create(model="qwen-plus", messages=say("Hi"))
        with client.chat.completions.stream(model="qwen-plus", messages=say("Hi")) as stream:
            final = stream.get_final_completion()
    assert (plain.choices[0].message.content, plain.choices[0].finish_reason) == ("Hello", "stop")
    assert (final.choices[0].message.content, final.choices[0].finish_reason) == ("Hi", "stop")


ERRORS = [("401", openai.AuthenticationError), ("429", openai.RateLimitError), ("500", openai.InternalServerError)]


@pytest.mark.parametrize(("platform", "model"), VIDEOS.items())
@pytest.mark.parametrize(("fault", "error"), ERRORS)
def test_a_failed_call_raises_the_error_of_its_kind(
    offline: Host, platform: str, model: str, fault: str, error: type[openai.APIStatusError]
) -> None:
    with make_openai(f"{offline.url}/{platform}/v1") as client, pytest.raises(error) as caught:
        client.videos.create(model=model, prompt="A cat", extra_headers={FAULT: fault})
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]
