"""Zhipu's own SDKs, `zhipuai` and `zai`: our requests are theirs, and they read what the sandbox answers in Zhipu's words."""

import base64
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jwt
import pytest

from tests.sdk.capture import agree
from tests.sdk.clients import FAULT, make_openai, say
from tests.sdk.host import Host, until
from tests.sdk.relay import SECRETS, Relay

# openai's videos are marked as deprecated
pytestmark = pytest.mark.filterwarnings(r"ignore:The Sora API is scheduled:DeprecationWarning")
KEY = SECRETS["ZHIPU_API_KEY"]
PATH = "/api/paas/v4"
PICTURE = b"\x89PNG\r\n\x1a\n not much of a picture"
CREATED = {"id": "88-1", "model": "cogvideox-3", "request_id": "r1", "task_status": "PROCESSING", "video_result": []}
CHAT = {"id": "c1", "created": 1, "model": "glm-4.6", "choices": [], "usage": {}}


@pytest.fixture(scope="module", params=["zhipuai", "zai"])
def sdk(request: pytest.FixtureRequest) -> ModuleType:
    pytest.importorskip(request.param, reason=f"the SDK {request.param} is not installed")
    return importlib.import_module(request.param)


def make(sdk: ModuleType, base: str, **options: Any) -> Any:
    """A client of one of the two SDKs; nothing is tried twice."""
    maker = sdk.ZhipuAI if sdk.__name__ == "zhipuai" else sdk.ZhipuAiClient
    return maker(api_key=KEY, base_url=base, max_retries=0, **options)


@pytest.fixture
def direct(sdk: ModuleType, relay: Relay) -> Iterator[Any]:
    """The SDK, speaking to the capture server without us."""
    client = make(sdk, relay.capture.url + PATH)
    yield client
    client.close()


@pytest.fixture
def native(sdk: ModuleType, offline: Host) -> Iterator[Any]:
    """The SDK, speaking to the sandbox through the gateway, on Zhipu's own paths."""
    client = make(sdk, offline.url + "/zhipu" + PATH)
    yield client
    client.close()


def test_a_unified_video_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(CREATED)
    asked: Any = {"model": "cogvideox-3", "prompt": "A cat", "quality": "quality"}
    direct.videos.generations(**asked, size="1920x1080", duration=10, fps=60, user_id="user-12", with_audio=True)
    theirs = relay.capture.only()
    relay.capture.answers(CREATED)
    extra = {"fps": "60", "quality": "quality", "user": "user-12", "with_audio": True}
    with make_openai(relay.url + "/zhipu/v1") as client:
        client.videos.create(model="cogvideox-3", prompt="A cat", size="1792x1024", seconds="8", extra_body=extra)
    agree(relay.capture.only(), theirs)
    assert relay.capture.only().headers["authorization"] == theirs.headers["authorization"] == f"Bearer {KEY}"


def test_a_unified_video_from_a_file_is_the_call_of_the_sdk_with_a_data_uri(direct: Any, relay: Relay) -> None:
    relay.capture.answers(CREATED)
    direct.videos.generations(
        model="cogvideox-2", prompt="A cat", image_url="data:image/png;base64," + base64.b64encode(PICTURE).decode()
    )
    theirs = relay.capture.only()
    relay.capture.answers(CREATED)
    with make_openai(relay.url + "/zhipu/v1") as client:
        client.videos.create(model="cogvideox-2", prompt="A cat", input_reference=("a.png", PICTURE, "image/png"))
    agree(relay.capture.only(), theirs)


def test_a_unified_poll_is_the_poll_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(CREATED)
    direct.videos.retrieve_videos_result("88-1")
    theirs = relay.capture.only()
    with make_openai(relay.url + "/zhipu/v1") as client:
        made = client.videos.create(model="cogvideox-3", prompt="A cat")
        relay.capture.answers(CREATED)
        assert client.videos.retrieve(made.id).status == "in_progress"
    ours = relay.capture.only()
    assert (ours.method, ours.target, ours.body, ours.scheme) == (theirs.method, theirs.target, theirs.body, theirs.scheme)


def test_a_unified_picture_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    drawn = {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
    relay.capture.answers(drawn)
    direct.images.generations(model="cogview-4", prompt="A fox", size="1024x1024", quality="hd", user_id="user-12")
    theirs = relay.capture.only()
    relay.capture.answers(drawn)
    with make_openai(relay.url + "/zhipu/v1") as client:
        client.images.generate(model="cogview-4", prompt="A fox", size="1024x1024", quality="hd", user="user-12")
    agree(relay.capture.only(), theirs)


def test_a_unified_chat_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(CHAT)
    direct.chat.completions.create(
        model="glm-4.6", messages=say("Hi"), max_tokens=64, user_id="user-12", do_sample=False, top_p=0.99, stop=["."]
    )
    theirs = relay.capture.only()
    relay.capture.answers(CHAT)
    with make_openai(relay.url + "/zhipu/v1") as client:
        client.chat.completions.create(
            model="glm-4.6", messages=say("Hi"), max_completion_tokens=64, user="user-12", temperature=0, top_p=1, stop=["."]
        )
    agree(relay.capture.only(), theirs, by_default={"stream": False} if "stream" in theirs.json else {})


def test_unified_embeddings_are_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
    found = {"object": "list", "model": "embedding-3", "data": [], "usage": usage}
    relay.capture.answers(found)
    direct.embeddings.create(model="embedding-3", input=["Hi"], dimensions=256, encoding_format="float")
    theirs = relay.capture.only()
    relay.capture.answers(found)
    with make_openai(relay.url + "/zhipu/v1") as client:
        client.embeddings.create(model="embedding-3", input=["Hi"], dimensions=256, encoding_format="float")
    agree(relay.capture.only(), theirs)


def test_the_sdk_signs_a_token_that_holds_both_halves_of_the_key(sdk: ModuleType, relay: Relay) -> None:
    relay.capture.answers(CHAT)
    client = make(sdk, relay.capture.url + PATH, disable_token_cache=False)
    client.chat.completions.create(model="glm-4.6", messages=say("Hi"))
    client.close()
    identity, secret = KEY.split(".")
    token = relay.capture.only().headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, secret, algorithms=["HS256"], options={"verify_exp": False})
    assert claims["api_key"] == identity
    assert claims["exp"] - claims["timestamp"] == pytest.approx(210_000, abs=5)
    assert jwt.get_unverified_header(token)["sign_type"] == "SIGN"


def test_the_sdk_reads_a_video_from_its_creation_to_its_end(native: Any) -> None:
    made = native.videos.generations(model="cogvideox-3", prompt="A cat")
    assert made.task_status == "PROCESSING"
    found = []

    def finished() -> bool:
        found.append(native.videos.retrieve_videos_result(made.id))
        return found[-1].task_status != "PROCESSING"

    until(finished)
    assert found[-1].task_status == "SUCCESS"
    assert found[-1].video_result[0].url.startswith("http://127.0.0.1:")


def test_the_sdk_reads_a_failed_video(native: Any) -> None:
    made = native.videos.generations(model="cogvideox-3", prompt="A cat that fails")
    until(lambda: native.videos.retrieve_videos_result(made.id).task_status == "FAIL")


def test_the_sdk_reads_a_picture(native: Any) -> None:
    answer = native.images.generations(model="cogview-4", prompt="A fox", size="1024x1024")
    assert answer.data[0].url.startswith("http://127.0.0.1:")


def test_the_sdk_reads_a_chat_and_its_stream(native: Any) -> None:
    plain = native.chat.completions.create(model="glm-4.6", messages=say("Grüße 東京"))
    stream = native.chat.completions.create(model="glm-4.6", messages=say("Grüße 東京"), stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert "Grüße 東京" in plain.choices[0].message.content
    assert text == plain.choices[0].message.content


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("401", "APIAuthenticationError"),
        ("429", "APIReachLimitError"),
        ("500", "APIInternalError"),
        ("503", "APIServerFlowExceedError"),
    ],
)
def test_the_sdk_raises_its_own_errors(sdk: ModuleType, native: Any, fault: str, error: str) -> None:
    with pytest.raises(getattr(importlib.import_module(f"{sdk.__name__}.core"), error)) as caught:
        native.videos.generations(model="cogvideox-3", prompt="A cat", extra_headers={FAULT: fault})
    assert caught.value.status_code == int(fault)
