"""What the official `openai` client sends for videos, pictures and speech arrives through the gateway as it left."""

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.sdk.capture import agree
from tests.sdk.clients import make_openai
from tests.sdk.relay import Relay

# openai marks its videos as deprecated: its own service for them ends; the calls stay what compatible servers speak
pytestmark = pytest.mark.filterwarnings(r"ignore:The Sora API is scheduled:DeprecationWarning")

VIDEO = {
    "id": "video_1", "object": "video", "model": "sora-2", "status": "completed", "progress": 100, "created_at": 1, "seconds": "4",
    "size": "720x1280",
}  # fmt: skip
DELETED = {"id": "video_1", "object": "video.deleted", "deleted": True}
PICTURES = {"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}]}
PNG = ("a.png", b"\x89PNG\r\n\x1a\n\x00\r\n--x", "image/png")
JPEG = ("b.jpg", b"\xff\xd8\xff\xe0", "image/jpeg")

CALLS: dict[str, tuple[Callable[[OpenAI], Any], object]] = {
    "a video": (lambda client: client.videos.create(model="sora-2", prompt="Grüße 東京", seconds="8", size="1280x720"), VIDEO),
    "a video from a file": (lambda client: client.videos.create(model="sora-2", prompt="A cat", input_reference=PNG), VIDEO),
    "a video with words of its own": (
        lambda client: client.videos.create(model="sora-2", prompt="A cat", extra_body={"style": "noir", "n": 2}),
        VIDEO,
    ),
    "a video polled until its end": (lambda client: client.videos.poll("video_1", poll_interval_ms=1), VIDEO),
    "a video's bytes": (lambda client: client.videos.download_content("video_1", variant="thumbnail").read(), {}),
    "a remix": (lambda client: client.videos.remix("video_1", prompt="At night"), VIDEO),
    "a video deleted": (lambda client: client.videos.delete("video_1"), DELETED),
    "videos listed": (lambda client: client.videos.list(limit=3, order="asc", after="video_0"), {"data": [VIDEO]}),
    "a picture": (
        lambda client: client.images.generate(model="gpt-image-1", prompt="A fox", n=2, size="1024x1024", quality="high", user="u"),
        PICTURES,
    ),
    "an edit of one file": (lambda client: client.images.edit(model="gpt-image-1", prompt="A hat", image=PNG, n=1), PICTURES),
    "an edit of several files with a mask": (
        lambda client: client.images.edit(model="gpt-image-1", prompt="A hat", image=[PNG, JPEG], mask=PNG),
        PICTURES,
    ),
    "speech": (
        lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="Ü", response_format="wav", speed=1.5).read(),
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_what_the_client_sends_arrives_as_it_left(relay: Relay, name: str) -> None:
    call, answer = CALLS[name]
    heard = []
    for base in (relay.capture.url + "/v1", relay.url + "/openai/v1"):
        relay.capture.answers(answer)
        with make_openai(base) as client:
            call(client)
        heard.append(relay.capture.only())
    theirs, ours = heard
    agree(ours, theirs)
    assert ours.target == theirs.target
    assert ours.headers["authorization"] == "Bearer sk-test-upstream"


def test_the_poll_helper_asks_until_the_video_is_there(relay: Relay) -> None:
    """And what it says of itself while it waits arrives too."""
    relay.capture.answers(*({**VIDEO, "status": status} for status in ("queued", "in_progress", "completed")))
    with make_openai(relay.url + "/openai/v1") as client:
        assert client.videos.create_and_poll(model="sora-2", prompt="A cat", poll_interval_ms=1).status == "completed"
    heard = relay.capture.heard
    assert [(one.method, one.path) for one in heard] == [
        ("POST", "/v1/videos"), ("GET", "/v1/videos/video_1"), ("GET", "/v1/videos/video_1"),
    ]  # fmt: skip
    assert {one.headers.get("x-stainless-poll-helper") for one in heard[1:]} == {"true"}
