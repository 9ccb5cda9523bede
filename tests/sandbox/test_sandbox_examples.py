"""The examples as an offline side, without sockets: which of them answers, and how its answer is made alive."""

import base64
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from proxy.sandbox.asked import Asked
from proxy.sandbox.jobs import Jobs
from proxy.sandbox.known import Part, known_calls
from proxy.sandbox.offline import Offline, Said, Times
from tests.sandbox.platforms import PLATFORMS, Clock, copy_rules
from translators.load import load
from translators.model import Platform, RuleSet

TASK_TIME = 8.0


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return load((copy_rules(tmp_path_factory.mktemp("rules")),))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sides(rules: RuleSet, clock: Clock) -> dict[str, Offline]:
    return {name: side(platform, clock) for name, platform in rules.platforms.items()}


def side(platform: Platform, clock: Clock, seed: int = 7) -> Offline:
    return Offline(platform, f"http://sandbox/~{platform.name}", Times(clock, TASK_TIME), random.Random(seed))


def post(path: str, body: object) -> Asked:
    return Asked("POST", path, body=body)


def get(path: str, **query: str) -> Asked:
    return Asked("GET", path, tuple(query.items()))


def value(said: Said) -> Any:
    assert not said.streamed
    return json.loads(b"".join(said.steps))


def is_unknown(said: Said) -> bool:
    """Whether the sandbox says that no example knows the answer."""
    return b"The sandbox has no answer to" in b"".join(said.steps)


@pytest.mark.parametrize("name", PLATFORMS)
def test_what_an_example_of_success_asks_is_answered_by_an_example_of_success(rules: RuleSet, clock: Clock, name: str) -> None:
    platform = rules.platforms[name]
    offline = side(platform, clock)
    tried = 0
    for call in known_calls(platform):
        if call.failure is None and not offline.converses(call.method, call.path):
            said = offline.answer(Asked(call.method, call.path, call.query, body=call.body))
            assert said.status == 200, f"{call.example.title}: {said}"
            tried += 1
    assert tried > 20


def test_a_task_is_queued_then_in_progress_then_completed(sides: dict[str, Offline], clock: Clock) -> None:
    offline = sides["kling"]
    created = value(offline.answer(post("/v1/videos/text2video", {"prompt": "A dog"})))["data"]
    assert created["task_status"] == "submitted"
    assert created["task_id"] != "8293"
    poll = get(f"/v1/videos/text2video/{created['task_id']}")
    seen = []
    for moment in (0.0, 1.9, 2.1, 7.9, 8.0, 100.0):
        clock.now = 1_800_000_000.0 + moment
        data = value(offline.answer(poll))["data"]
        assert data["task_id"] == created["task_id"]
        seen.append(data["task_status"])
    assert seen == ["submitted", "submitted", "processing", "processing", "succeed", "succeed"]


def test_a_prompt_that_speaks_of_failing_fails(sides: dict[str, Offline], clock: Clock) -> None:
    offline = sides["kling"]
    created = value(offline.answer(post("/v1/videos/text2video", {"prompt": "Please FAIL now"})))["data"]
    poll = get(f"/v1/videos/text2video/{created['task_id']}")
    assert value(offline.answer(poll))["data"]["task_status"] == "submitted"
    clock.now += TASK_TIME
    assert value(offline.answer(poll))["data"]["task_status"] == "failed"


def test_progress_grows_where_the_answer_has_one(sides: dict[str, Offline], clock: Clock) -> None:
    offline = sides["midjourney"]
    task = value(offline.answer(post("/mj/submit/imagine", {"prompt": "a fox"})))["result"]
    seen = []
    for _ in range(5):
        clock.now += TASK_TIME / 4 - 0.01
        seen.append(value(offline.answer(get(f"/mj/task/{task}/fetch")))["progress"])
    assert seen == ["", "49%", "74%", "99%", "100%"]


def test_a_path_that_has_no_polls_of_its_own_borrows_those_of_the_task(sides: dict[str, Offline], clock: Clock) -> None:
    offline = sides["kling"]
    created = value(offline.answer(post("/v1/videos/video-extend", {"video_id": "1", "prompt": "The camera rises"})))["data"]
    clock.now += TASK_TIME
    done = value(offline.answer(get(f"/v1/videos/video-extend/{created['task_id']}")))["data"]
    assert (done["task_id"], done["task_status"]) == (created["task_id"], "succeed")
    assert is_unknown(offline.answer(get(f"/v1/videos/text2video/{created['task_id']}/more")))


def test_ids_are_fresh_look_like_those_of_the_example_and_repeat_with_a_seed(rules: RuleSet, clock: Clock) -> None:
    def ids(seed: int) -> list[str]:
        offline = side(rules.platforms["midjourney"], clock, seed)
        return [value(offline.answer(post("/mj/submit/imagine", {"prompt": "a fox"})))["result"] for _ in range(50)]

    made = ids(3)
    assert len(set(made)) == 50
    assert all(one.isdecimal() and len(one) == len("1320098173412546") for one in made)
    assert made == ids(3)
    assert made != ids(4)


@pytest.mark.parametrize(
    ("example", "pattern"),
    [
        ("8293", "[1-9][0-9]{7}"),
        ("sora-2:task_01", "sora-2:task_[0-9]{8}"),
        ("cgt-2025-x1y2z3", "cgt-[0-9]{4}-[a-z][0-9][a-z][0-9][a-z][0-9]"),
        ("0b9e4f6a-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("task_AbC", "task_[A-Z][a-z][A-Z][0-9]{5}"),
    ],
)
def test_an_id_keeps_its_looks(example: str, pattern: str) -> None:
    jobs = Jobs(random.Random(1))
    assert jobs.fresh_id(example) != example
    assert re.fullmatch(pattern, jobs.fresh_id(example))


def test_times_are_now_and_never_later_but_for_an_expiry(sides: dict[str, Offline], clock: Clock) -> None:
    offline = sides["kling"]
    created = value(offline.answer(post("/v1/videos/text2video", {"prompt": "A dog"})))["data"]
    assert abs(created["created_at"] - 1000 * clock.now) < 1000
    began = clock.now
    clock.now += TASK_TIME
    done = value(offline.answer(get(f"/v1/videos/text2video/{created['task_id']}")))["data"]
    assert abs(done["created_at"] - 1000 * began) < 1000
    assert done["created_at"] <= done["updated_at"] <= 1000 * clock.now


def test_urls_lead_to_files_of_the_sandbox_and_differ_by_task(sides: dict[str, Offline], clock: Clock) -> None:
    offline = sides["kling"]
    tasks = [value(offline.answer(post("/v1/videos/text2video", {"prompt": "A dog"})))["data"]["task_id"] for _ in range(2)]
    clock.now += TASK_TIME
    videos = [value(offline.answer(get(f"/v1/videos/text2video/{task}")))["data"]["task_result"]["videos"][0] for task in tasks]
    urls = [one[name] for one in videos for name in ("url", "watermark_url")]
    assert len(set(urls)) == 4
    assert all(url.startswith("http://sandbox/~kling/~files/") and url.endswith(".mp4") for url in urls)


def test_a_failure_answers_only_what_names_its_own_cause(sides: dict[str, Offline]) -> None:
    offline = sides["minimax"]
    refused = value(offline.answer(post("/v1/video_generation", {"prompt": "A cat", "resolution": "4K"})))
    assert refused["base_resp"]["status_code"] == 2013
    for body in ({"prompt": "A cat"}, {"prompt": "A cat", "resolution": "768P"}, {"prompt": "Another", "resolution": "4K"}):
        assert value(offline.answer(post("/v1/video_generation", body)))["base_resp"]["status_code"] == 0


@pytest.mark.parametrize(("asked", "member"), [({}, "image_urls"), ({"response_format": "base64"}, "image_base64")])
def test_a_word_that_decides_the_answers_shape_outweighs_numbers(
    sides: dict[str, Offline], asked: dict[str, str], member: str
) -> None:
    said = sides["minimax"].answer(post("/v1/image_generation", {"model": "image-01", "prompt": "A harbour", **asked}))
    assert list(value(said)["data"]) == [member]


@pytest.mark.parametrize(("form", "magic"), [("wav", b"RIFF"), ("mp3", b"ID3")])
def test_media_inside_an_answer_is_real_and_of_the_format_that_was_asked_for(
    sides: dict[str, Offline], form: str, magic: bytes
) -> None:
    body = {"model": "speech-2.6-hd", "text": "Hello", "voice_setting": {"voice_id": "v1"}, "audio_setting": {"format": form}}
    found = value(sides["minimax"].answer(post("/v1/t2a_v2", {**body, "output_format": "hex"})))
    audio = bytes.fromhex(found["data"]["audio"])
    assert audio.startswith(magic)
    assert len(audio) > 5000


def test_a_stream_has_the_examples_events_and_its_pieces_make_one_file(sides: dict[str, Offline]) -> None:
    body = {"text": "Hello", "voice_setting": {"voice_id": "v1"}, "output_format": "hex", "stream": True, "model": "speech-2.6-hd"}
    said = sides["minimax"].answer(post("/v1/t2a_v2", {**body, "stream_options": {"exclude_aggregated_audio": True}}))
    assert said.streamed
    assert said.headers["Content-Type"] == "text/event-stream"
    assert all(step.startswith(b"data: {") and step.endswith(b"}\n\n") for step in said.steps)
    events = [json.loads(step.removeprefix(b"data: ")) for step in said.steps]
    assert [event["data"]["status"] for event in events] == [1, 1, 2]
    first, second, last = (bytes.fromhex(event["data"]["audio"]) for event in events)
    assert first.startswith(b"ID3")
    assert last == first + second, "the example's last event repeats all of it"


def test_what_no_example_knows_is_said_with_the_nearest_and_what_to_add(sides: dict[str, Offline]) -> None:
    said = sides["kling"].answer(post("/v1/videos/text2videos", {}))
    error = value(said)
    assert (said.status, error["code"]) == (404, 1202), "in the platform's own envelope"
    assert "POST /v1/videos/text2videos" in error["message"]
    assert "kling.yaml:" in error["message"]
    assert "POST /v1/videos/text2video." in error["message"]
    assert "`examples`" in error["message"]


def test_a_poll_of_an_unknown_task_is_no_other_tasks_answer(sides: dict[str, Offline]) -> None:
    said = sides["kling"].answer(get("/v1/videos/text2video/12345678"))
    assert said.status == 404
    assert "no task of this id" in value(said)["message"]
    said = sides["minimax"].answer(get("/v1/query/video_generation", task_id="12345678"))
    assert said.status == 404


def test_a_task_of_the_examples_themselves_has_ended_long_ago(sides: dict[str, Offline]) -> None:
    assert value(sides["kling"].answer(get("/v1/videos/text2video/8293")))["data"]["task_status"] == "succeed"


def test_faults_are_said_in_the_platforms_own_shape_with_the_time_to_come_back(
    sides: dict[str, Offline], speaking: Offline
) -> None:
    said = sides["kling"].fault(429, post("/v1/images/generations", {}))
    assert said is not None
    assert said.headers["Retry-After"] == "1"
    assert {"code", "message", "request_id"} <= value(said).keys()
    assert sides["kling"].fault(529, post("/v1/images/generations", {})) is None
    assert speaking.fault(404, post("/v1/images/edits", {})) is not None
    assert speaking.fault(404, post("/v1/chat/completions", {})) is None, "conversations fail in the words of their protocol"


def test_tasks_outlive_a_change_of_the_rules_unless_their_own_rule_is_gone(rules: RuleSet, clock: Clock) -> None:
    platform = rules.platforms["kling"]
    offline = side(platform, clock)
    task = value(offline.answer(post("/v1/videos/text2video", {"prompt": "A dog"})))["data"]["task_id"]
    clock.now += TASK_TIME
    again = Offline(platform, "http://sandbox/~kling", Times(clock, TASK_TIME), random.Random(1), offline.jobs)
    assert value(again.answer(get(f"/v1/videos/text2video/{task}")))["data"]["task_status"] == "succeed"
    offline.jobs.keep({})
    assert is_unknown(again.answer(get(f"/v1/videos/text2video/{task}")))


def test_every_part_of_a_task_is_found_in_the_examples(rules: RuleSet) -> None:
    for name in PLATFORMS:
        calls = known_calls(rules.platforms[name])
        assert {call.part for call in calls} >= {Part.CREATE, Part.POLL}, name
        assert {call.state for call in calls if call.part is Part.POLL} >= {"completed", "failed"}, name


PAIRS = """
platform: pairs
upstream: https://api.example.com/base
auth: none
tasks:
  song:
    kind: music
    id: ${body.clips[0]}
    keep: {second: "${body.clips[1]}"}
    poll: GET /feed/${id},${task.second}
    status: ${body.state}
    states: {wait: queued, work: in_progress, done: completed, bad: failed}
    result: ${body.audio}
  text:
    kind: music
    id: ${body.clips[0]}
    poll: GET /words/${id}
    status: ${body.state}
    states: {wait: queued, work: in_progress, done: completed, bad: failed}
    result: ${body.audio}
routes:
  POST /v1/music: {task: song, send: POST /sing, body: {prompt: "${body.prompt}"}}
  POST /v1/music/words: {task: text, send: POST /write, body: {prompt: "${body.prompt}"}}
native: carry
examples:
  - title: a song
    client: {send: POST /pairs/v1/music, json: {prompt: Hi}}
    upstream: {send: POST /sing, json: {prompt: Hi, "...": any}}
    answer: &taken {status: 200, json: {clips: ["v2:a1", "v2:b1"]}}
  - title: a song is worked on
    after: a song
    client: {send: "GET /pairs/v1/music/${id}"}
    upstream: {send: "GET /feed/v2%3Aa1,v2%3Ab1"}
    answer: {status: 200, json: {state: work, next: "https://api.example.com/base/feed/v2:a1"}}
  - title: a song is done
    after: a song
    client: {send: "GET /pairs/v1/music/${id}"}
    upstream: {send: "GET /feed/v2%3Aa1,v2%3Ab1"}
    answer: {status: 200, json: {state: done, audio: "https://cdn.example.com/a1"}}
  - title: a list
    client: {send: POST /pairs/list, json: {}}
    answer: {status: 200, json: {songs: []}}
  - title: a list as a stream, asked for by a header
    client: {send: POST /pairs/list, headers: {X-Stream: enable}, json: {}}
    upstream: {send: POST /list, headers: {X-Stream: enable}, json: {}}
    answer: {status: 200, sse: "data: {}"}
  - title: words
    client: {send: POST /pairs/v1/music/words, json: {prompt: Hi}}
    upstream: {send: POST /write, json: {prompt: Hi}}
    answer: {status: 200, json: {clips: [w1]}}
  - title: words are done
    after: words
    client: {send: "GET /pairs/v1/music/${id}"}
    upstream: {send: GET /words/w1}
    answer: {status: 200, json: {state: done, audio: "data:audio/mpeg;base64,SUQz"}}
"""


@pytest.fixture
def pairs(tmp_path: Path, clock: Clock) -> Offline:
    (tmp_path / "pairs.yaml").write_text(PAIRS)
    return side(load((tmp_path,)).platforms["pairs"], clock)


def test_an_id_is_found_among_others_and_percent_encoded(pairs: Offline, clock: Clock) -> None:
    task = value(pairs.answer(post("/sing", {"prompt": "Ho"})))["clips"][0]
    assert re.fullmatch("v2:[a-z][0-9]{7}", task)
    clock.now += TASK_TIME / 2
    found = value(pairs.answer(Asked.read("GET", f"/feed/{task.replace(':', '%3A')},v2%3Ab1", "", {}, b"")))
    assert found == {"state": "work", "next": f"http://sandbox/~pairs/feed/{task}"}
    clock.now += TASK_TIME / 2
    found = value(pairs.answer(get(f"/feed/{task},v2:b1")))
    assert found["audio"].startswith("http://sandbox/~pairs/~files/")
    assert found["audio"].endswith(".mp3")


def test_tasks_that_share_a_collection_are_told_apart_and_lend_each_other_what_is_missing(pairs: Offline, clock: Clock) -> None:
    task = value(pairs.answer(post("/write", {"prompt": "Ho"})))["clips"][0]
    clock.now += TASK_TIME / 2
    assert value(pairs.answer(get(f"/words/{task}")))["state"] == "work"
    clock.now += TASK_TIME / 2
    found = value(pairs.answer(get(f"/words/{task}")))
    assert found["state"] == "done"
    assert len(found["audio"]) > 1000


def test_an_example_is_found_again_word_by_word(pairs: Offline) -> None:
    assert pairs.told(post("/sing", {"prompt": "Hi"})) is not None
    assert pairs.told(post("/sing", {"prompt": "Ho"})) is None


@pytest.mark.parametrize(("headers", "streamed"), [({}, False), ({"x-stream": "enable"}, True), ({"X-Stream": "no"}, False)])
def test_a_header_that_an_example_names_decides_too(pairs: Offline, headers: dict[str, str], streamed: bool) -> None:
    assert pairs.answer(Asked("POST", "/list", headers=headers, body={"page": 2})).streamed is streamed


SPEAKING = """
platform: speaking
upstream: https://api.example.com
protocol: messages
auth: none
routes:
  POST /v1/embeddings: carry
  POST /v1/images/generations: carry
  GET /v1/voices/{voice}: carry
  POST /v1/chat/completions: carry
native: carry
examples:
  - title: vectors
    client: {send: POST /speaking/v1/embeddings, json: {model: m-1, input: [Hi, Ho], dimensions: 2, user: u}}
    answer:
      repeat: {data: input, "data[].vector": dimensions}
      json: {model: m-1, for: u, data: [{index: 0, vector: [0.5, 1]}, {index: 1, vector: [0.5, 1]}]}
  - title: pictures
    client: {send: POST /speaking/v1/images/generations, json: {prompt: Hi, size: 8x8, n: 1}}
    answer: {repeat: {data: n}, json: {size: 8x8, data: [{b64_json: iVBORw0KGgo=}]}}
  - title: a voice
    client: {send: GET /speaking/v1/voices/alto-1}
    answer: {json: {id: alto-1, of: voices/alto-1, size: 8x8}}
  - title: a chat
    client: {send: POST /speaking/v1/chat/completions, json: {model: m, messages: []}}
    answer: {json: {choices: [{message: {content: Hi}}]}}
  - title: a chat that draws
    client: {send: POST /speaking/v1/chat/completions, json: {model: m, modalities: [image], messages: []}}
    answer: {json: {choices: [{message: {images: [iVBORw0KGgo=]}}]}}
  - title: something it does not have
    client: {send: POST /speaking/v1/moderations, json: {input: Hi}}
    answer: {status: 404, json: {oops: not here}}
"""


@pytest.fixture
def speaking(tmp_path: Path, clock: Clock) -> Offline:
    (tmp_path / "speaking.yaml").write_text(SPEAKING)
    return side(load((tmp_path,)).platforms["speaking"], clock)


@pytest.mark.parametrize(
    ("asked", "lengths"),
    [
        ({"input": "one", "dimensions": 3}, [3]),
        ({"input": ["a", "b", "c"], "dimensions": 1}, [1, 1, 1]),
        ({"input": ["a"]}, [2]),
        ({"dimensions": 4}, [4, 4]),
        ({"input": [], "dimensions": "5"}, []),
    ],
)
def test_lists_are_as_long_as_the_request_says(speaking: Offline, asked: dict[str, object], lengths: list[int]) -> None:
    data = value(speaking.answer(post("/v1/embeddings", asked)))["data"]
    assert [len(one["vector"]) for one in data] == lengths
    assert [one["index"] for one in data] == list(range(len(lengths)))


def test_what_an_answer_repeats_of_its_request_is_that_of_the_request_at_hand(speaking: Offline) -> None:
    said = value(speaking.answer(post("/v1/embeddings", {"model": "m-2", "input": "x"})))
    assert (said["model"], said["for"]) == ("m-2", "u"), "only members of the same name are repeated"
    voice = value(speaking.answer(Asked.read("GET", "/v1/voices/bass%2F2", "", {}, b"")))
    assert voice == {"id": "bass/2", "of": "voices/bass/2", "size": "8x8"}


def test_pictures_differ_and_have_the_size_that_is_asked_for(speaking: Offline) -> None:
    said = value(speaking.answer(post("/v1/images/generations", {"prompt": "Hi", "size": "48x16", "n": 2})))
    pictures = [base64.b64decode(one["b64_json"]) for one in said["data"]]
    assert said["size"] == "48x16"
    assert [picture[16:24] for picture in pictures] == [bytes((0, 0, 0, 48, 0, 0, 0, 16))] * 2
    assert pictures[0] != pictures[1]


def test_a_conversation_that_asks_for_media_is_answered_by_its_example(speaking: Offline) -> None:
    path = "/v1/chat/completions"
    assert speaking.converses("POST", path)
    assert not speaking.converses("GET", path)
    assert speaking.pictured(post(path, {"model": "m", "messages": []})) is None
    said = speaking.pictured(post(path, {"model": "m", "modalities": ["text", "image"], "messages": [{"role": "user"}]}))
    assert said is not None
    assert base64.b64decode(value(said)["choices"][0]["message"]["images"][0]).startswith(b"\x89PNG")


def test_a_platform_without_conversations_has_none(sides: dict[str, Offline]) -> None:
    assert not sides["kling"].converses("POST", "/v1/chat/completions")
    assert sides["minimax"].converses("POST", "/v1/chat/completions")


def test_what_a_platform_does_not_have_is_said_in_its_protocol_or_as_its_example_has_it(speaking: Offline) -> None:
    said = speaking.answer(post("/v1/images/edits", {}))
    assert said.status == 404
    assert value(said)["type"] == "error"
    assert value(said)["error"]["type"] == "not_found_error"
    assert is_unknown(said)
    said = speaking.answer(post("/v1/moderations", {"input": "Ho"}))
    assert (said.status, value(said)) == (404, {"oops": "not here"})
