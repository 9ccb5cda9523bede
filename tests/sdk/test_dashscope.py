"""Qwen's own SDK, `dashscope`: our native requests are its requests, and it reads what the sandbox answers in DashScope's words."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sdk.capture import agree
from tests.sdk.clients import FAULT, make_openai, say
from tests.sdk.host import Host, until
from tests.sdk.relay import Relay

dashscope = pytest.importorskip("dashscope", reason="the SDK dashscope is not installed")

# openai's videos are marked as deprecated
pytestmark = pytest.mark.filterwarnings(r"ignore:The Sora API is scheduled:DeprecationWarning")
KEY = "sk-test-dashscope"
WANTED: Any = {"api_key": KEY}
ADDED = {
    "input": {"extend_prompt": True, "function": "video-synthesis"}
}  # by the SDK, to every video; the first is deprecated there
TAKEN = {"output": {"task_status": "PENDING", "task_id": "0385-1"}, "request_id": "r6"}
DRAWN = {
    "output": {
        "choices": [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": [{"image": "https://example.com/a.png"}]}}
        ]
    },
    "usage": {"image_count": 1},
    "request_id": "r5",
}
SAID = {
    "output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}]},
    "usage": {"total_tokens": 22, "input_tokens": 17, "output_tokens": 5},
    "request_id": "r1",
}
SEEN = {
    "output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": [{"text": "A cat"}]}}]},
    "usage": {"input_tokens": 17, "output_tokens": 5},
    "request_id": "r2",
}
LAST = (
    b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{"choices":[{"message":{"content":"Hi","role":"assistant"},'
    b'"finish_reason":"stop"}]},"usage":{"input_tokens":17,"output_tokens":2,"total_tokens":19},"request_id":"r3"}\n\n'
)


def pointed(monkeypatch: pytest.MonkeyPatch, base: str) -> Iterator[Any]:
    """The SDK with its base set. It keeps one session for all calls of the process, which is closed afterwards."""
    from dashscope.api_entities.http_request import close_shared_sync_session

    monkeypatch.setattr(dashscope, "base_http_api_url", base)
    yield dashscope
    close_shared_sync_session()


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch, relay: Relay) -> Iterator[Any]:
    """The SDK, speaking to the capture server without us."""
    yield from pointed(monkeypatch, relay.capture.url + "/api/v1")


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch, offline: Host) -> Iterator[Any]:
    """The SDK, speaking to the sandbox through the gateway, on DashScope's own paths."""
    yield from pointed(monkeypatch, offline.url + "/qwen/api/v1")


def dashed(headers: dict[str, str]) -> dict[str, str]:
    """The headers that change what DashScope does; those with `sdk` in their names tell who calls."""
    return {name: value for name, value in headers.items() if name.startswith("x-dashscope-") and "-sdk-" not in name}


def test_a_unified_video_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(TAKEN)
    asked: Any = {"model": "wan2.5-t2v-preview", "prompt": "A cat", "negative_prompt": "dogs", "seed": 7, "watermark": False}
    direct.VideoSynthesis.async_call(**asked, size="1280*720", duration=5, **WANTED)
    theirs = relay.capture.only()
    relay.capture.answers(TAKEN)
    extra = {"negative_prompt": "dogs", "seed": 7, "watermark": False}
    body: Any = {"model": "wan2.5-t2v-preview", "prompt": "A cat", "size": "1280x720", "seconds": "5"}
    with make_openai(relay.url + "/qwen/v1") as client:
        client.videos.create(**body, extra_body=extra)  # a form, where numbers and flags are text
    agree(relay.capture.only(), theirs, by_default=ADDED)
    assert dashed(relay.capture.only().headers) == dashed(theirs.headers) == {"x-dashscope-async": "enable"}
    assert relay.capture.only().headers["authorization"] == theirs.headers["authorization"] == f"Bearer {KEY}"


def test_a_unified_video_from_a_file_is_the_call_of_the_sdk_with_a_data_uri(direct: Any, relay: Relay) -> None:
    relay.capture.answers(TAKEN)
    uri = "data:image/png;base64,iVBORw0KGgo="
    direct.VideoSynthesis.async_call(
        model="wan2.5-i2v-preview", prompt="A cat", img_url=uri, duration=5, resolution="1080P", **WANTED
    )
    theirs = relay.capture.only()
    relay.capture.answers(TAKEN)
    picture = ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")
    with make_openai(relay.url + "/qwen/v1") as client:
        asked: Any = {"model": "wan2.5-i2v-preview", "prompt": "A cat", "seconds": "5", "size": "1792x1024"}
        client.videos.create(**asked, input_reference=picture)
    agree(relay.capture.only(), theirs, by_default=ADDED)


def test_a_unified_poll_and_cancel_are_those_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(TAKEN)
    direct.VideoSynthesis.fetch("0385-1", **WANTED)
    direct.VideoSynthesis.cancel("0385-1", **WANTED)
    poll, cancel = relay.capture.heard
    with make_openai(relay.url + "/qwen/v1") as client:
        made = client.videos.create(model="wan2.5-t2v-preview", prompt="A cat")
        relay.capture.answers(TAKEN)
        client.videos.retrieve(made.id)
        client.videos.delete(made.id)
    ours = relay.capture.heard
    assert [(one.method, one.target, one.scheme) for one in ours] == [
        (one.method, one.target, one.scheme) for one in (poll, cancel)
    ]


def test_a_unified_picture_as_task_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(TAKEN)
    asked: Any = {"model": "qwen-image", "prompt": "A cat", "n": 1, "prompt_extend": True}
    direct.ImageSynthesis.async_call(**asked, size="1328*1328", **WANTED)
    theirs = relay.capture.only()
    relay.capture.answers(TAKEN)
    with make_openai(relay.url + "/qwen/v1") as client:
        body = {**asked, "size": "1328x1328"}
        client.post("/images/generations", cast_to=object, body=body, options={"params": {"async": "true"}})
    ours = relay.capture.only()
    agree(ours, theirs)
    assert dashed(ours.headers) == dashed(theirs.headers)


def test_a_unified_picture_is_the_multimodal_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(DRAWN)
    message = {"role": "user", "content": [{"image": "https://example.com/a.png"}, {"text": "Night"}]}
    direct.MultiModalConversation.call(model="qwen-image-edit", messages=[message], size="1024*1024", n=2, **WANTED)
    theirs = relay.capture.only()
    relay.capture.answers(DRAWN)
    with make_openai(relay.url + "/qwen/v1") as client:
        extra = {"image": "https://example.com/a.png"}
        client.images.generate(model="qwen-image-edit", prompt="Night", n=2, size="1024x1024", extra_body=extra)
    agree(relay.capture.only(), theirs)


def test_a_unified_edit_of_files_is_the_multimodal_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(DRAWN)
    pictures = [{"image": "data:image/png;base64,iVBORw0KGgo="}, {"image": "data:image/jpeg;base64,/9j/"}]
    message = {"role": "user", "content": [*pictures, {"text": "Night"}]}
    direct.MultiModalConversation.call(
        model="qwen-image-edit-plus", messages=[message], n=2, seed=7, watermark=False, prompt_extend=True, **WANTED
    )
    theirs = relay.capture.only()
    relay.capture.answers(DRAWN)
    files: Any = [("a.png", b"\x89PNG\r\n\x1a\n", "image/png"), ("b.jpg", b"\xff\xd8\xff", "image/jpeg")]
    extra = {"seed": 7, "watermark": False, "prompt_extend": True}
    with make_openai(relay.url + "/qwen/v1") as client:
        client.images.edit(model="qwen-image-edit-plus", prompt="Night", image=files, n=2, extra_body=extra)
    agree(relay.capture.only(), theirs)


def test_a_native_chat_is_the_generation_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(SAID)
    asked: Any = {"model": "qwen-plus", "max_tokens": 9, "temperature": 0.7, "top_p": 0.8}
    direct.Generation.call(**asked, messages=say("Hi"), result_format="message", **WANTED)
    theirs = relay.capture.only()
    relay.capture.answers(SAID)
    with make_openai(relay.url + "/qwen/native/v1") as client:
        answer = client.chat.completions.create(**asked, messages=say("Hi"))
    agree(relay.capture.only(), theirs)
    assert answer.choices[0].message.content == "Hello"


def test_a_native_stream_is_the_streamed_generation_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers_bytes(LAST, "text/event-stream")
    wanted: Any = {"result_format": "message", "stream": True, "incremental_output": True, **WANTED}
    said = list(direct.Generation.call(model="qwen-plus", messages=say("Hi"), **wanted))
    theirs = relay.capture.only()
    relay.capture.answers_bytes(LAST, "text/event-stream")
    with make_openai(relay.url + "/qwen/native/v1") as client:
        chunks = list(client.chat.completions.create(model="qwen-plus", messages=say("Hi"), stream=True))
    ours = relay.capture.only()
    agree(ours, theirs)
    assert ours.headers["x-dashscope-sse"] == theirs.headers["x-dashscope-sse"] == "enable"
    assert (
        [chunk.choices[0].delta.content for chunk in chunks] == [part.output.choices[0].message.content for part in said] == ["Hi"]
    )


def test_a_mapped_stream_adds_up_to_the_mapped_plain_answer(relay: Relay) -> None:
    pieces = ["Grü", "ße an ", "東京", ""]
    head = '"usage":{"input_tokens":17,"output_tokens":9,"total_tokens":26},"request_id":"r3"'
    events = "".join(
        f'id:{place}\nevent:result\n:HTTP_STATUS/200\ndata:{{"output":{{"choices":[{{"message":{{"content":"{piece}","role":"assistant"}},'
        f'"finish_reason":"{"null" if piece else "stop"}"}}]}},{head}}}\n\n'
        for place, piece in enumerate(pieces, 1)
    )
    asked: Any = {"model": "qwen-plus", "messages": say("Hi")}
    with make_openai(relay.url + "/qwen/native/v1") as client:
        relay.capture.answers_bytes(events.encode(), "text/event-stream;charset=UTF-8")
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            parts = [event.chunk for event in stream if event.type == "chunk"]
            streamed = stream.get_final_completion()
        relay.capture.answers(
            {
                "output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "".join(pieces)}}]},
                "usage": {"input_tokens": 17, "output_tokens": 9, "total_tokens": 26},
                "request_id": "r3",
            }
        )
        plain = client.chat.completions.create(**asked)
    assert [part.choices[0].delta.content for part in parts if part.choices] == pieces
    assert streamed.choices[0].message.content == plain.choices[0].message.content == "Grüße an 東京"
    assert (streamed.choices[0].finish_reason, streamed.id) == (plain.choices[0].finish_reason, plain.id) == ("stop", "r3")
    for answer in (streamed, plain):
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (17, 9, 26)


def test_a_native_chat_about_a_picture_is_the_multimodal_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(SEEN)
    pieces = [{"image": "https://example.com/a.png"}, {"text": "What is it?"}]
    direct.MultiModalConversation.call(model="qwen-vl-max", messages=[{"role": "user", "content": pieces}], max_tokens=9, **WANTED)
    theirs = relay.capture.only()
    relay.capture.answers(SEEN)
    asked: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": "What is it?"}]
    with make_openai(relay.url + "/qwen/native/v1") as client:
        answer = client.chat.completions.create(model="qwen-vl-max", messages=[{"role": "user", "content": asked}], max_tokens=9)
    agree(relay.capture.only(), theirs)
    assert answer.choices[0].message.content == "A cat"


def test_the_sdk_reads_a_generation_and_its_stream(native: Any) -> None:
    asked: Any = {"model": "qwen-plus", "messages": say("Hi"), "result_format": "message", **WANTED}
    plain = native.Generation.call(**asked)
    assert (plain.status_code, plain.output.choices[0].message.content) == (200, "Hello")
    parts = list(native.Generation.call(**asked, stream=True, incremental_output=True))
    assert [part.status_code for part in parts] == [200] * len(parts)
    assert "".join(part.output.choices[0].message.content for part in parts) == "Hi"
    assert parts[-1].output.choices[0].finish_reason == "stop"


def test_the_sdk_reads_a_video_from_its_creation_to_its_end(native: Any) -> None:
    made = native.VideoSynthesis.async_call(model="wan2.5-t2v-preview", prompt="A cat", **WANTED)
    assert (made.status_code, made.output.task_status) == (200, "PENDING")
    found = []

    def finished() -> bool:
        found.append(native.VideoSynthesis.fetch(made, **WANTED).output)
        return found[-1].task_status not in ("PENDING", "RUNNING")

    until(finished)
    assert found[-1].task_status == "SUCCEEDED"
    assert found[-1].video_url.startswith("http://127.0.0.1:")


def test_the_sdk_reads_pictures_as_task(native: Any) -> None:
    made = native.ImageSynthesis.async_call(model="qwen-image", prompt="A cat", **WANTED)
    until(lambda: native.ImageSynthesis.fetch(made, **WANTED).output.task_status == "SUCCEEDED")
    output = native.ImageSynthesis.fetch(made, **WANTED).output
    assert [result.url[:17] for result in output.results if result.get("url")] == ["http://127.0.0.1:"]


def test_the_sdk_reads_a_failure_in_dashscopes_own_words(native: Any) -> None:
    """This SDK raises nothing for an answer: it hands out status, code and message."""
    answer = native.Generation.call(
        model="qwen-plus", messages=say("Hi"), result_format="message", headers={FAULT: "429"}, **WANTED
    )
    assert (answer.status_code, answer.code, answer.message) == (429, "Throttling.RateQuota", "No")
    assert answer.output is None
