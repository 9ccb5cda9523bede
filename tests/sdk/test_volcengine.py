"""Volcengine's own SDK: its signer accepts what we signed, our requests are its requests, and it reads what the sandbox answers."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sdk.capture import Heard, agree
from tests.sdk.clients import FAULT, make_openai
from tests.sdk.host import Host, until
from tests.sdk.relay import SECRETS, Relay
from translators.signing import volc_v4

pytest.importorskip("volcengine", reason="the SDK volcengine is not installed")

from volcengine.auth.SignerV4 import SignerV4
from volcengine.auth.SignParam import SignParam
from volcengine.Credentials import Credentials
from volcengine.visual.VisualService import VisualService

AK, SK = SECRETS["VOLC_ACCESS_KEY"], SECRETS["VOLC_SECRET_KEY"]
TAKEN = {"code": 10000, "data": {"task_id": "7392"}, "message": "Success", "request_id": "r1", "status": 10000}
RUNNING = {"code": 10000, "data": {"status": "generating", "image_urls": None, "binary_data_base64": None}, "message": "Success"}

# The fact sheet on the visual API, "Worked example": made-up keys, signatures of two independent implementations.
SUBMIT = '{"req_key":"high_aes_general_v21_L","prompt":"千军万马","seed":-1,"return_url":true}'
POLL = '{"req_key":"byteedit_v2.0","task_id":"7392616336519610409"}'
MOMENT = dt.datetime(2025, 11, 20, 8, 15, tzinfo=dt.UTC)
VECTORS = [
    ("CVProcess", SUBMIT, None, "b659a68b9cc17493cf0eace56b6cc386416cf92781cdfac89bb5bf375de0a53d"),
    ("CVProcess", SUBMIT, "STStoken", "0b37254c9d7df9f98d93ee2efa4712d7a349c6322088bfb72f68032650c20050"),
    ("CVSync2AsyncGetResult", POLL, None, "acfceadbc26b696f3b8cc6e2399a8a91107ca27c8fdfe2b4dd2b15dcd05abaad"),
]


def signed_by_sdk(heard: Heard, when: dt.datetime, token: str = "") -> str:
    """The `Authorization` that the SDK's signer makes for a request: over the headers that it would sign, with our date."""
    param = SignParam()
    param.host, param.method, param.path = heard.headers["host"], heard.method, heard.path
    param.body, param.query, param.date = heard.body, dict(heard.query), when
    param.is_sign_url = False
    named = (("-".join(word.capitalize() for word in name.split("-")), value) for name, value in heard.headers.items())
    ours = ("X-Date", "X-Content-Sha256", "X-Security-Token")
    param.header_list = {
        name: value
        for name, value in named
        if name in ("Host", "Content-Type", "Content-Md5") or (name.startswith("X-") and name not in ours)
    }
    return str(SignerV4.sign_only(param, Credentials(AK, SK, "cv", "cn-north-1", token)).authorization)


@pytest.mark.parametrize(("action", "body", "token", "signature"), VECTORS, ids=["submit", "temporary credentials", "poll"])
def test_the_worked_signatures_are_ours_and_the_sdks(action: str, body: str, token: str | None, signature: str) -> None:
    fields = [("Host", "visual.volcengineapi.com"), ("Content-Type", "application/json")]
    query = f"Action={action}&Version=2022-08-31"
    made = volc_v4.sign(
        "POST", b"/", query.encode(), fields, body.encode(), access_key=AK, secret_key=SK, region="cn-north-1", service="cv",
        now=MOMENT.timestamp(), session_token=token,
    )  # fmt: skip
    ours = dict(made)["Authorization"]
    heard = Heard("POST", f"/?{query}", {name.lower(): value for name, value in fields}, body.encode())
    assert ours.endswith(f"Signature={signature}")
    assert ours == signed_by_sdk(heard, MOMENT, token or "")


@pytest.fixture
def service() -> Iterator[Any]:
    """The SDK. It is one object for the whole process, whose host and paths are put back afterwards."""
    made = VisualService()
    made.set_ak(AK)
    made.set_sk(SK)
    made.set_scheme("http")
    paths = {name: info.path for name, info in made.api_info.items()}
    yield made
    for name, info in made.api_info.items():
        info.path = paths[name]
    made.session.close()


@pytest.fixture
def direct(service: Any, relay: Relay) -> Any:
    """The SDK, speaking to the capture server without us."""
    service.set_host(relay.capture.url.removeprefix("http://"))
    return service


@pytest.fixture
def native(service: Any, offline: Host) -> Any:
    """The SDK, speaking to the sandbox through the gateway. It has no way to say a path, so its table of calls is changed."""
    service.set_host(offline.url.removeprefix("http://"))
    for info in service.api_info.values():
        info.path = "/volc-visual/"
    return service


def submitted(relay: Relay, body: dict[str, Any]) -> Heard:
    """What the upstream hears of a unified picture that is a task."""
    relay.capture.answers(TAKEN)
    with make_openai(relay.url + "/volc-visual/v1") as client:
        client.post("/images/generations", cast_to=object, body=body, options={"params": {"async": "true"}})
    return relay.capture.only()


def test_the_sdks_signer_accepts_what_the_gateway_signed(relay: Relay) -> None:
    heard = submitted(relay, {"model": "high_aes_general_v21_L", "prompt": "千军万马", "size": "512x768", "seed": -1})
    when = dt.datetime.strptime(heard.headers["x-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    assert abs(dt.datetime.now(dt.UTC) - when) < dt.timedelta(minutes=1)
    assert heard.headers["authorization"] == signed_by_sdk(heard, when)


def test_a_unified_task_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(TAKEN)
    form = {"req_key": "high_aes_general_v21_L", "prompt": "千军万马", "width": 512, "height": 768, "seed": -1, "scale": 3.5}
    direct.cv_sync2async_submit_task({**form, "return_url": True})
    theirs = relay.capture.only()
    ours = submitted(relay, {"model": form["req_key"], "prompt": "千军万马", "size": "512x768", "seed": -1, "scale": 3.5})
    agree(ours, theirs)


def test_a_unified_task_from_a_picture_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(TAKEN)
    form = {"req_key": "byteedit_v2.0", "prompt": "Night", "image_urls": ["https://example.com/a.png"], "return_url": True}
    direct.cv_sync2async_submit_task(form)
    theirs = relay.capture.only()
    agree(submitted(relay, {"model": "byteedit_v2.0", "prompt": "Night", "image": "https://example.com/a.png"}), theirs)


def test_a_unified_poll_is_the_call_of_the_sdk(direct: Any, relay: Relay) -> None:
    relay.capture.answers(RUNNING)
    direct.cv_sync2async_get_result({"req_key": "t2i_xl_sft", "task_id": "7392", "req_json": '{"return_url":true}'})
    theirs = relay.capture.only()
    relay.capture.answers(TAKEN)
    with make_openai(relay.url + "/volc-visual/v1") as client:
        body = {"model": "t2i_xl_sft", "prompt": "A harbour"}
        made: Any = client.post("/images/generations", cast_to=object, body=body, options={"params": {"async": "true"}})
        relay.capture.answers(RUNNING)
        found: Any = client.get(f"/images/{made['id']}", cast_to=object)
    assert found["status"] == "in_progress"
    agree(relay.capture.only(), theirs)


def test_the_sdk_reads_a_task_from_its_creation_to_its_end(native: Any) -> None:
    made = native.cv_sync2async_submit_task({"req_key": "t2i_xl_sft", "prompt": "A harbour", "return_url": True})
    assert (made["code"], made["message"]) == (10000, "Success")
    found: list[Any] = []
    wanted = {"req_key": "t2i_xl_sft", "task_id": made["data"]["task_id"], "req_json": json.dumps({"return_url": True})}

    def finished() -> bool:
        found.append(native.cv_sync2async_get_result(wanted))
        assert found[-1]["code"] == 10000
        return found[-1]["data"]["status"] not in ("in_queue", "generating")

    until(finished)
    assert found[-1]["data"]["status"] == "done"
    assert found[-1]["data"]["image_urls"][0].startswith("http://127.0.0.1:")


def test_the_sdk_raises_what_the_platform_said_of_a_failure(native: Any) -> None:
    """Its exception is a plain one that holds the answer's bytes. A fault is asked for in its table of calls."""
    asked = native.api_info["CVSync2AsyncSubmitTask"].header
    asked[FAULT] = "429"
    try:
        with pytest.raises(Exception, match=r'"code":50429,"data":null'):
            native.cv_sync2async_submit_task({"req_key": "t2i_xl_sft", "prompt": "A harbour"})
    finally:
        del asked[FAULT]
