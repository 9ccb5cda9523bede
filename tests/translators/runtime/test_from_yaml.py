"""A rule as people write it, from its YAML text to calls and answers, and what hostile requests do to it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.runtime.making import Played, incoming, passed, reply
from translators.load import load_file
from translators.model import Platform, Route
from translators.runtime.request import prepare, program
from translators.runtime.steps import Answer, Download, Fetched, Pass, RuleRefusal

RULE = r"""
platform: example
title: Example
upstream: https://api.example.com
auth: none
models: [m-*]
fetch: {hosts: ["*"]}
errors:
  when: ${body.code != `0`}
  status: {1000-1004: 401, 1101-1102: 429}
  code: ${body.code}
  message: ${body.message}
tables:
  ratio: {1280x720: "16:9"}
tasks:
  video:
    id: ${body.data.task_id}
    poll: GET ${submitted.path}/${id}
    status: ${body.data.task_status}
    states: {submitted: queued, processing: in_progress, succeed: completed, failed: failed}
    created_at: ${unix(body.data.created_at)}
    error: {code: generation_failed, message: "${body.data.task_status_msg}"}
    result: ${body.data.task_result.videos[].url}
routes:
  POST /v1/videos:
    task: video
    choose:
      - when: ${length(refs) == `0`}
        send: POST /v1/videos/text2video
        body: &common
          model_name: ${model}
          prompt: ${body.prompt}
          negative_prompt: ${body.negative_prompt}
          duration: ${nearest(body.seconds, ['5', '10'])}
          aspect_ratio: ${lookup('ratio', body.size)}
          mode: ${body.quality == 'high' && 'pro' || 'std'}
      - when: ${length(refs) == `1`}
        media: {refs: base64}
        send: POST /v1/videos/image2video
        body:
          <<: *common
          image: ${refs[0]}
      - refuse: At most one reference picture is taken here, and there are ${length(refs)}
  POST /v1/chat/completions:
    send: POST /chat/${model}?v=1&who=${body.user}
    headers: {X-User: "${body.user}"}
    edit:
      - rename: {max_completion_tokens: max_tokens}
      - default: {stream_options.include_usage: true}
        when: ${body.stream}
      - remove: [user]
  POST /v1/audio/speech:
    send: POST /tts
    body: {text: "${body.input}", note: "by ${body.voice || 'nobody'} today"}
    unknown: drop
    response: {bytes: "${hex_to_base64(body.data.audio)}", type: audio/mpeg}
"""
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    file = Path(tmp_path_factory.mktemp("rules")) / "example.yaml"
    file.write_text(RULE)
    return load_file(file)


def find(rules: Platform, name: str) -> Route:
    return next(route for route in rules.routes if route.id == name)


def sent(result: Pass) -> Any:
    assert isinstance(result.call.body, bytes)
    return json.loads(result.call.body)


def test_a_video_from_its_creation_to_its_bytes(rules: Platform) -> None:
    create = find(rules, "POST /v1/videos")
    asked = {"model": "m-2", "prompt": "A cat plays piano", "seconds": "8", "size": "1280x720"}
    result = passed(program(rules, create, incoming(json.dumps(asked).encode(), model="m-2")))
    assert result.call.target == "/v1/videos/text2video"
    expected = {"model_name": "m-2", "prompt": "A cat plays piano", "duration": "10", "aspect_ratio": "16:9", "mode": "std"}
    assert sent(result) == expected
    assert result.convert is not None
    made = result.convert.whole(reply('{"code":0,"data":{"task_id":"8293","task_status":"submitted","created_at":1722769557708}}'))
    assert made is not None
    shown = json.loads(made.body)
    assert (shown["status"], shown["model"], shown["progress"], shown["created_at"]) == ("queued", "m-2", 0, 1722769557)
    given_ = incoming(method="GET", path={"task_id": shown["id"]}, model=None)
    polling = passed(program(rules, find(rules, "GET /v1/videos/{task_id}"), given_))
    assert polling.call.target == "/v1/videos/text2video/8293"
    done = reply('{"code":0,"data":{"task_status":"succeed","task_result":{"videos":[{"url":"https://cdn.example/a.mp4"}]}}}')
    played = Played(program(rules, find(rules, "GET /v1/videos/{task_id}/content"), given_), done)
    assert isinstance(played.result, Download)
    assert played.result.source == "https://cdn.example/a.mp4"


def test_pictures_choose_the_branch(rules: Platform) -> None:
    create = find(rules, "POST /v1/videos")
    result = passed(program(rules, create, incoming(json.dumps({"prompt": "P", "input_reference": PNG}).encode())))
    assert (result.call.target, sent(result)["image"]) == ("/v1/videos/image2video", PNG)
    url = "https://x.example/a.png"
    played = Played(
        program(rules, create, incoming(json.dumps({"prompt": "P", "input_reference": url}).encode())),
        fetches={url: Fetched(base64.b64decode(PNG), None)},
    )
    assert isinstance(played.result, Pass)
    assert sent(played.result)["image"] == PNG
    with pytest.raises(RuleRefusal) as caught:
        passed(program(rules, create, incoming(json.dumps({"prompt": "P", "images": [PNG, PNG]}).encode())))
    assert caught.value.message == "At most one reference picture is taken here, and there are 2"


def test_sound_in_hexadecimal_becomes_bytes(rules: Platform) -> None:
    result = passed(program(rules, find(rules, "POST /v1/audio/speech"), incoming(b'{"input":"Hi","speed":2}')))
    assert sent(result) == {"text": "Hi", "note": "by nobody today"}
    assert result.convert is not None
    assert result.convert.whole(reply('{"code":0,"data":{"audio":"494433"}}')) == Answer(200, b"ID3", "audio/mpeg")


INJECTIONS = ["a\r\nX: y", "%0d%0aX: y", "/../x", "?x=", "@evil.example", "a\0b", "x" * 1_000_000, "${body.user}", "&who=root", "#"]


@pytest.mark.parametrize("value", INJECTIONS)
def test_case_78_what_a_client_sends_cannot_leave_its_place(rules: Platform, value: str) -> None:
    given_ = incoming(json.dumps({"user": value, "model": value, "stream": True}).encode(), model=value)
    try:
        call = passed(program(rules, find(rules, "POST /v1/chat/completions"), given_)).call
    except RuleRefusal as refusal:
        assert refusal.status == 400  # noqa: PT017 - refused or encoded, both are right
        return
    path, _, query = call.target.partition("?")
    assert path.startswith("/chat/")
    assert path.count("/") == 2
    assert [pair.partition("=")[0] for pair in query.split("&")] == ["v", "who"]
    assert [name for name, _ in call.headers] == ["X-User"]
    assert not set(call.headers[0][1]) & set("\r\n\0")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "model",
    "prompt",
    "user",
    "seconds",
    "size",
    "image",
    "input_reference",
    "mask",
    "stream",
    "input",
    "voice",
    "async",
    "quality",
]


@given(
    st.dictionaries(st.sampled_from(NAMES), json_values, max_size=6),
    st.sampled_from(["videos", "chat/completions", "audio/speech"]),
)
@settings(max_examples=100)
def test_no_request_makes_a_program_fail(rules: Platform, value: dict[str, Any], name: str) -> None:
    running = prepare(rules, find(rules, f"POST /v1/{name}")).program(incoming(json.dumps(value).encode()))
    try:
        step: object = next(running)
    except RuleRefusal as refusal:
        assert 400 <= refusal.status < 500  # noqa: PT017 - every refusal of a request is the client's affair
    except StopIteration as end:
        assert isinstance(end.value, Pass)  # noqa: PT017
        assert end.value.call.target.isascii()  # noqa: PT017
    else:
        assert step is not None


@given(json_values, st.sampled_from([200, 201, 400, 500]))
@settings(max_examples=100)
def test_no_answer_makes_a_conversion_fail(rules: Platform, value: Any, status: int) -> None:
    create = passed(program(rules, find(rules, "POST /v1/videos"), incoming(b'{"prompt":"P"}'))).convert
    speech = passed(program(rules, find(rules, "POST /v1/audio/speech"), incoming(b'{"input":"P"}'))).convert
    nested = {
        "code": value,
        "message": value,
        "data": {"task_id": value, "task_status": value, "created_at": value, "audio": value},
    }
    for convert in (create, speech):
        assert convert is not None
        for answered in (value, nested, {**nested, "code": 0}):
            try:
                answer = convert.whole(reply(json.dumps(answered), status))
            except RuleRefusal as refusal:
                assert refusal.status == 502  # noqa: PT017 - the platform's fault
            else:
                assert answer is None or 200 <= answer.status < 600


def test_dropped_members_are_left_out_also_where_the_template_has_their_name(tmp_path: Path) -> None:
    file = tmp_path / "dropping.yaml"
    file.write_text(
        "platform: dropping\nupstream: https://api.example.com\nauth: none\nmodels: [m-*]\ntables: {sizes: {high: big}}\n"
        "routes:\n  POST /v1/images/generations:\n    drop: [model, size]\n"
        "    body: {text: '${body.prompt}', size: \"${lookup('sizes', body.quality)}\"}\n"
    )
    platform = load_file(file)
    route = find(platform, "POST /v1/images/generations")
    body = b'{"model":"m-1","prompt":"P","size":"1x1","seed":7}'
    assert sent(passed(program(platform, route, incoming(body)))) == {"text": "P", "seed": 7}
    body = b'{"model":"m-1","prompt":"P","size":"1x1","quality":"high"}'
    assert sent(passed(program(platform, route, incoming(body)))) == {"text": "P", "size": "big"}


def test_a_member_that_the_template_leaves_absent_is_filled_from_the_clients_own(tmp_path: Path) -> None:
    file = tmp_path / "filling.yaml"
    file.write_text(
        "platform: filling\nupstream: https://api.example.com\nauth: none\nroutes:\n  POST /v1/videos:\n"
        "    body: {duration: '${number(body.seconds)}', text: '${body.prompt}'}\n"
    )
    platform = load_file(file)
    route = find(platform, "POST /v1/videos")
    assert sent(passed(program(platform, route, incoming(b'{"prompt":"P","duration":9}')))) == {"text": "P", "duration": 9}
    assert sent(passed(program(platform, route, incoming(b'{"prompt":"P","seconds":"5","duration":9}')))) == {
        "text": "P",
        "duration": 5,
    }
