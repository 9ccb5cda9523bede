"""What clients of the unified media API may say, asked of every shipped platform that translates it: nothing is sent that the
platform would take for something else, and nothing is answered that the client cannot read."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from translators.load import load, shipped_rules
from translators.model import Platform, Route, RuleSet
from translators.runtime.request import prepare
from translators.runtime.steps import Call, Incoming, Pass, RuleRefusal

PICTURE = "data:image/png;base64,iVBORw0KGgo="


@cache
def shipped() -> RuleSet:
    return load((shipped_rules(),), examples=False)


def translated(*paths: str) -> Iterator[tuple[Platform, Route]]:
    """The routes of these paths that make the platform's own request of the client's."""
    for platform in shipped().platforms.values():
        for route in platform.routes:
            handling = route.handling
            if route.method == "POST" and route.path in paths and handling is not None:
                yield platform, route


def asked(platform: Platform, route: Route, **body: Any) -> Call:
    """The first call of a request. Raises RuleRefusal."""
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    model = body.get("model")
    incoming = Incoming(route.method, {}, {}, headers, data, model, model, lambda: 1760000000.0, lambda: "0" * 32)
    program = prepare(platform, route).program(incoming)
    try:
        step = next(program)
    except StopIteration as end:
        step = end.value
    call = step.call if isinstance(step, Pass) else step
    assert isinstance(call, Call)
    return call


def said(call: Call) -> Any:
    assert isinstance(call.body, bytes)
    return json.loads(call.body)


VIDEOS = ("/v1/videos", "/v2/videos")
PICTURES = ("/v1/images/generations", "/v1/images/edits")


@pytest.mark.parametrize(
    ("platform", "route"),
    [
        pytest.param(*pair, id=f"{pair[0].name} {pair[1].path}")
        for pair in translated(*VIDEOS, *PICTURES)
        if "refs" in repr(pair[1])
    ],
)
@pytest.mark.parametrize("name", ["input_reference", "image"])
def test_an_id_of_a_file_that_another_platform_keeps_is_refused(platform: Platform, route: Route, name: str) -> None:
    with pytest.raises(RuleRefusal) as caught:
        asked(platform, route, prompt="A cat", **{name: {"file_id": "file-1"}})
    assert (caught.value.status, caught.value.code) == (400, "unsupported_reference")
    assert "file-1" in caught.value.message


@pytest.mark.parametrize(
    ("platform", "route"), [pytest.param(*pair, id=f"{pair[0].name} {pair[1].path}") for pair in translated(*PICTURES)]
)
def test_a_stream_of_pictures_that_no_platform_has_is_refused_before_anything_is_paid(platform: Platform, route: Route) -> None:
    with pytest.raises(RuleRefusal) as caught:
        asked(platform, route, prompt="A cat", image=PICTURE, stream=True)
    assert caught.value.status == 400
    assert "stream" in caught.value.message


@pytest.mark.parametrize("name", sorted(name for name, platform in shipped().platforms.items() if platform.tasks))
def test_a_film_has_a_type_also_where_its_server_tells_none(name: str) -> None:
    tasks = shipped().platforms[name].tasks.values()
    assert {task.content_type for task in tasks if task.kind == "video"} <= {"video/mp4"}


@pytest.mark.parametrize(
    ("platform", "route"), [pytest.param(*pair, id=f"{pair[0].name} {pair[1].path}") for pair in translated(*PICTURES)]
)
def test_every_platform_that_translates_pictures_makes_tasks_of_them(platform: Platform, route: Route) -> None:
    handling = route.handling
    assert handling is not None
    assert handling.task or handling.deferred == "image"


@pytest.mark.parametrize("size", ["1280*720", "1280:720", "1280X720", "1280×720"])
def test_a_size_means_the_same_in_every_spelling(size: str) -> None:
    for platform, route in translated("/v1/videos", "/v1/images/generations"):
        if platform.name == "haoee" or (route.id == "POST /v1/images/generations" and platform.name == "zhipu"):
            continue  # their bodies are passed on as they are
        usual = asked(platform, route, model="m", prompt="A cat", size="1280x720")
        assert said(asked(platform, route, model="m", prompt="A cat", size=size)) == said(usual), route.id


@pytest.mark.parametrize(
    "data",
    [b'{"model":"kling-v2-6","prompt":"A cat"}', b' {"model":"kling-v2-6","prompt":"A cat"}', b"model=kling-v2-6&prompt=A+cat"],
)
def test_a_body_with_the_type_that_a_tool_gives_by_itself_is_not_lost(data: bytes) -> None:
    platform = shipped().platforms["kling"]
    route = next(route for route in platform.routes if route.id == "POST /v1/videos")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    incoming = Incoming("POST", {}, {}, headers, data, None, None, lambda: 1760000000.0, lambda: "0" * 32)
    program = prepare(platform, route).program(incoming)
    with pytest.raises(StopIteration) as ended:
        next(program)
    assert said(ended.value.value.call) == {"model_name": "kling-v2-6", "prompt": "A cat"}
    assert ended.value.value.call.model == "kling-v2-6"
