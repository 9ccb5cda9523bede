"""Tasks: the unified object, its four statuses, polls, content, deletion, the bridges."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.translators.runtime.making import (
    HERE,
    NOW,
    Played,
    body,
    branch,
    constant,
    errors,
    ex,
    incoming,
    passed,
    platform,
    poll,
    reply,
    route,
    send,
    template,
)
from translators.model import Handling, Hop, Platform, Protocol, Response, Route, Task, Upstream, Wait
from translators.runtime import deferred, ids
from translators.runtime.request import prepare, program
from translators.runtime.steps import Answer, Call, Download, Fetched, Note, Pause, Program, Reply, RuleRefusal

ERRORS = errors(when="body.code != `0`", status={"1000-1004": 401, "1203": 404}, code="body.code", message="body.message")
TASK = Task(
    name="video",
    kind="video",
    collection="/v1/videos",
    id=ex("body.data.id"),
    poll=poll("GET ${submitted.path}/${id}"),
    status=ex("body.data.status"),
    states={"submitted": "queued", "running": "in_progress", "done": "completed", "broken": "failed"},
    where=HERE,
    keep=(("action", ex("body.data.action")),),
    progress=ex("body.data.progress"),
    created_at=ex("unix(body.data.created)"),
    error_code=constant("generation_failed"),
    error_message=ex("body.data.reason"),
    result=ex("body.data.urls"),
    thumbnail=ex("body.data.cover"),
    variants={"gif": ex("body.data.gif")},
)
CREATE = route(
    branch(send="POST /v1/make/${model}", body=body({"p": "${body.prompt}"})), on="POST /v1/videos", task="video", errors=ERRORS
)
REQUEST = json.dumps({"model": "public", "prompt": "P", "seconds": 8, "size": "1280x720"}).encode()
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(16)


def about(action: str, on: str, task: Task = TASK) -> Route:
    method, _, path = on.partition(" ")
    return Route(method, path, Protocol.CHAT, HERE, Handling((), errors=ERRORS, of=task.name, action=action))


POLL = about("poll", "GET /v1/videos/{task_id}")
CONTENT = about("content", "GET /v1/videos/{task_id}/content")
DELETE = about("delete", "DELETE /v1/videos/{task_id}")


def here(task: Task = TASK, create: Route = CREATE, **more: Any) -> Platform:
    return platform(create, POLL, CONTENT, DELETE, tasks={task.name: task}, **more)


def data(**said: Any) -> Reply:
    return reply(json.dumps({"code": 0, "data": said}))


def said(answer: object) -> Any:
    assert isinstance(answer, Answer)
    return json.loads(answer.body)


def started(on: Platform, answered: Reply | None = None, create: Route = CREATE) -> Any:
    result = passed(program(on, create, incoming(REQUEST, model="private", public="public")))
    assert result.convert is not None
    return said(result.convert.whole(answered or data(id=8293, status="submitted", created=1722769557708, action="text")))


def polled(on: Platform, answered: Reply, task_id: str, **query: str) -> Answer:
    result = passed(program(on, POLL, incoming(method="GET", path={"task_id": task_id}, query=dict(query), model=None)))
    assert result.convert is not None
    answer = result.convert.whole(answered)
    assert answer is not None
    return answer


def getting(on: Platform, task_id: str, *answers: Reply, **query: str) -> Played:
    return Played(program(on, CONTENT, incoming(method="GET", path={"task_id": task_id}, query=dict(query), model=None)), *answers)


# --- creation and polls ---


def test_creating_a_task_gives_the_unified_object() -> None:
    made = started(here())
    assert made.pop("id").startswith("video_")
    assert made == {
        "object": "video",
        "model": "public",
        "status": "queued",
        "progress": 0,
        "created_at": 1722769557,
        "completed_at": None,
        "expires_at": None,
        "error": None,
        "seconds": "8",
        "size": "1280x720",
    }


def test_the_id_carries_what_a_poll_needs() -> None:
    identity = ids.decode(started(here())["id"])
    assert identity.provider_id == "8293"
    assert (identity.platform, identity.task, identity.public_model, identity.created_at) == (
        "example",
        "video",
        "public",
        1722769557,
    )
    assert identity.keep == {"seconds": "8", "size": "1280x720", "action": "text"}


def test_any_replica_can_answer_a_poll() -> None:
    task_id = started(here())["id"]
    other = replace(here())  # another object, as in another process
    call = passed(program(other, POLL, incoming(method="GET", path={"task_id": task_id}, model=None))).call
    assert (call.method, call.target, call.forward, call.model) == ("GET", "/v1/make/private/8293", False, "private")
    shown = said(polled(other, data(status="running", progress="35%"), task_id))
    assert (shown["id"], shown["status"], shown["progress"], shown["seconds"], shown["created_at"]) == (
        task_id,
        "in_progress",
        35,
        "8",
        1722769557,
    )


def test_a_poll_still_finds_its_path_when_the_rules_have_more_branches() -> None:
    task_id = started(here())["id"]
    more = route(branch(when="body.a", send="POST /v1/other"), *CREATE.handling.branches, on="POST /v1/videos", task="video")  # type: ignore[union-attr]
    call = passed(program(here(create=more), POLL, incoming(method="GET", path={"task_id": task_id}, model=None))).call
    assert call.target == "/v1/make/private/8293"


def test_a_task_whose_branch_the_rules_have_no_more_is_404() -> None:
    task_id = started(here())["id"]
    other = route(branch(send="POST /v1/other"), on="POST /v1/videos", task="video")
    with pytest.raises(RuleRefusal) as caught:
        Played(program(here(create=other), POLL, incoming(method="GET", path={"task_id": task_id})))
    assert caught.value.status == 404


@pytest.mark.parametrize("provider_id", ["a/../b", "..", "a?b=c", "a\r\nb", "@evil", "a b", "/x", "%2e%2e"])
def test_O06_the_platforms_id_stays_one_segment(provider_id: str) -> None:
    task_id = started(here(), data(id=provider_id))["id"]
    try:
        call = passed(program(here(), POLL, incoming(method="GET", path={"task_id": task_id}, model=None))).call
    except RuleRefusal as refusal:
        assert provider_id == ".."
        assert refusal.status == 400  # noqa: PT017
        return
    assert call.target.count("/") == 4
    assert "?" not in call.target


@pytest.mark.parametrize("word", ["DONE", " done ", "Done"])
def test_words_of_a_status_are_compared_whatever_the_case(word: str) -> None:
    shown = said(polled(here(), data(status=word, progress=40), started(here())["id"]))
    assert (shown["status"], shown["progress"]) == ("completed", 100)


def test_an_unknown_word_means_in_progress_and_is_noted() -> None:
    answer = polled(here(), data(status="Warming up", progress=100), started(here())["id"])
    assert (said(answer)["status"], said(answer)["progress"]) == ("in_progress", 99)
    assert answer.notes == (Note("unknown_task_status", "warming up"),)


@pytest.mark.parametrize(
    ("given", "shown"), [(None, 50), (True, 50), ("x", 50), (-3, 0), (250, 99), (12.7, 12), ("7.9 %", 7), (10**30, 99)]
)
def test_progress_is_a_whole_number_and_never_100_while_it_runs(given: Any, shown: int) -> None:
    answered = reply(json.dumps({"code": 0, "data": {"status": "running", "progress": given}}))
    assert said(polled(here(), answered, started(here())["id"]))["progress"] == shown


def test_a_failed_task_is_a_good_poll_with_an_error() -> None:
    answer = polled(here(), data(status="broken", reason="too loud"), started(here())["id"])
    assert answer.status == 200
    assert said(answer)["error"] == {"code": "generation_failed", "message": "too loud"}
    assert said(answer)["status"] == "failed"


def test_a_poll_that_fails_is_an_error_and_no_failed_task() -> None:
    task_id = started(here())["id"]
    assert polled(here(), reply('{"code":1203,"message":"gone"}'), task_id).status == 404
    assert polled(here(), reply("<html>", 502), task_id).status == 502
    assert said(polled(here(), reply('{"code":5,"data":{"status":"broken"}}', 400), task_id))["status"] == "failed"
    with pytest.raises(RuleRefusal) as caught:
        polled(here(), reply("<html>"), task_id)
    assert caught.value.status == 502


def test_detail_shows_the_platforms_own_answer() -> None:
    task_id = started(here())["id"]
    answered = data(status="running")
    assert said(polled(here(), answered, task_id, detail="true"))["detail"] == json.loads(answered.body)
    assert "detail" not in said(polled(here(), answered, task_id))


def test_further_members_of_the_object_come_from_the_rule() -> None:
    task = replace(
        TASK, object=template({"seconds": "${body.data.length}", "id": "no", "tracks": ["${task.action}", "${task.model}"]})
    )
    task_id = started(here(task))["id"]
    shown = said(polled(here(task), data(status="running", length="10"), task_id))
    assert (shown["id"], shown["seconds"], shown["tracks"]) == (task_id, "10", ["text", "public"])


@pytest.mark.parametrize(
    "answered", ['{"code":0,"data":{}}', '{"code":0,"data":{"id":""}}', '{"code":0,"data":{"id":[1]}}', "<html>"]
)
def test_an_answer_without_an_id_is_502(answered: str) -> None:
    with pytest.raises(RuleRefusal) as caught:
        started(here(), reply(answered))
    assert caught.value.status == 502


def test_a_refused_creation_is_an_error_in_the_clients_protocol() -> None:
    result = passed(program(here(), CREATE, incoming(REQUEST)))
    assert result.convert is not None
    answer = result.convert.whole(reply('{"code":1001,"message":"bad key"}'))
    assert answer is not None
    assert answer.status == 401
    assert said(answer)["error"]["message"] == "bad key"


def test_a_huge_numeric_id_keeps_its_digits() -> None:
    made = started(here(), reply('{"code":0,"data":{"id":123456789012345678901234567890}}'))
    assert ids.decode(made["id"]).provider_id == "123456789012345678901234567890"


@pytest.mark.parametrize("text", ["video_abc", "x", "..", "music_" + "A" * 20])
def test_an_id_that_is_none_is_404(text: str) -> None:
    for about_it in (POLL, CONTENT, DELETE):
        with pytest.raises(RuleRefusal) as caught:
            Played(program(here(), about_it, incoming(method="GET", path={"task_id": text})))
        assert caught.value.status == 404


def test_an_id_of_another_platform_or_task_is_404() -> None:
    good = ids.decode(started(here())["id"])
    for other in (replace(good, platform="other"), replace(good, task="song"), replace(good, kind="image")):
        with pytest.raises(RuleRefusal) as caught:
            Played(program(here(), POLL, incoming(method="GET", path={"task_id": ids.encode(other)})))
        assert caught.value.status == 404


def test_a_poll_can_be_a_POST_with_a_body() -> None:
    task = replace(TASK, poll=poll("POST /v1/query?Action=Get", {"task_id": "${id}", "key": "${task.action}"}))
    task_id = started(here(task))["id"]
    call = passed(program(here(task), POLL, incoming(method="GET", path={"task_id": task_id}, model=None))).call
    assert call == Call(
        "POST", "/v1/query?Action=Get", (), b'{"task_id":"8293","key":"text"}', "application/json", forward=False, model="private"
    )


def test_a_follow_up_knows_its_task_and_takes_its_model() -> None:
    remix = route(
        branch(send="POST /v1/remix", body=body({"of": "${id}", "how": "${task.action}", "m": "${model}", "p": "${body.prompt}"})),
        on="POST /v1/videos/{task_id}/remix",
        task="video",
        errors=ERRORS,
    )
    on = platform(CREATE, remix, POLL, tasks={"video": TASK})
    task_id = started(on)["id"]
    result = passed(program(on, remix, incoming(b'{"prompt":"Q"}', path={"task_id": task_id}, model=None)))
    assert json.loads(result.call.body) == {"of": "8293", "how": "text", "m": "private", "p": "Q"}  # type: ignore[arg-type]
    assert result.convert is not None
    made = said(result.convert.whole(data(id="9")))
    assert made["model"] == "public"
    call = passed(program(on, POLL, incoming(method="GET", path={"task_id": made["id"]}, model=None))).call
    assert call.target == "/v1/remix/9"


def test_async_is_for_the_proxy_and_does_not_go_on() -> None:
    given = incoming(b'{"prompt":"P","async":true}', query={"async": "true", "k": "v"}, target="/v1/videos?async=true&k=v")
    result = passed(program(here(), CREATE, given))
    assert result.call.body == b'{"p":"P"}'
    assert result.call.target == "/v1/make/m-1?k=v"
    with pytest.raises(RuleRefusal):
        Played(program(here(), CREATE, incoming(b"{}", query={"async": "maybe"})))


def test_an_id_is_known_below_its_own_collection_only() -> None:
    on = platform(CREATE, PAINT, POLL, tasks={"video": TASK, "image": IMAGE})
    picture = ids.encode(replace(ids.decode(started(on)["id"]), kind="image", task="image"))
    with pytest.raises(RuleRefusal) as caught:
        Played(program(on, POLL, incoming(method="GET", path={"task_id": picture})))
    assert caught.value.status == 404


# --- content ---


def test_content_is_downloaded_from_where_the_platform_says() -> None:
    played = getting(
        here(), started(here())["id"], data(status="done", urls=["https://cdn.example/a?sig=%2Fx", "https://cdn.example/b"])
    )
    assert [call.target for call in played.calls] == ["/v1/make/private/8293"]
    assert isinstance(played.result, Download)
    assert played.result.source == "https://cdn.example/a?sig=%2Fx"
    assert played.result.headers == ()


def test_content_has_indices_and_variants() -> None:
    task_id = started(here())["id"]
    done = data(status="done", urls=["https://x/a", "https://x/b"], cover="https://x/c", gif="https://x/g")
    assert getting(here(), task_id, done, index="1").result.source == "https://x/b"  # type: ignore[union-attr]
    assert getting(here(), task_id, done, variant="thumbnail").result.source == "https://x/c"  # type: ignore[union-attr]
    assert getting(here(), task_id, done, variant="gif").result.source == "https://x/g"  # type: ignore[union-attr]
    for query in ({"index": "2"}, {"index": "-1"}, {"index": "x"}, {"variant": "spritesheet"}, {"variant": "../x"}):
        with pytest.raises(RuleRefusal) as caught:
            getting(here(), task_id, done, **query)
        assert caught.value.status == 400


def test_content_of_an_unfinished_or_failed_task_is_400() -> None:
    task_id = started(here())["id"]
    with pytest.raises(RuleRefusal) as caught:
        getting(here(), task_id, data(status="running"))
    assert (caught.value.status, caught.value.code) == (400, "video_not_ready")
    with pytest.raises(RuleRefusal) as caught:
        getting(here(), task_id, data(status="broken", reason="too loud"))
    assert (caught.value.status, caught.value.code) == (400, "generation_failed")
    assert "too loud" in caught.value.message


def again(result: object) -> Program:
    assert isinstance(result, Download)
    assert result.again is not None
    return result.again()


def test_a_source_that_is_gone_is_asked_for_once_more() -> None:
    first = getting(here(), started(here())["id"], data(status="done", urls="https://x/old"))
    second = Played(again(first.result), data(status="done", urls="https://x/new"))
    assert isinstance(second.result, Download)
    assert (second.result.source, second.result.again) == ("https://x/new", None)


def test_hops_lead_to_the_file_and_its_spare_copy() -> None:
    hop = Hop(send("GET /v1/files?id=${body.data.file}"), ex("body.urls"), HERE)
    task = replace(TASK, download=(hop,), result=None)
    done = data(status="done", file="f 1")
    found = reply('{"code":0,"urls":["https://x/main","https://x/spare"]}')
    task_id = started(here(task))["id"]
    played = getting(here(task), task_id, done, found)
    assert [call.target for call in played.calls] == ["/v1/make/private/8293", "/v1/files?id=f%201"]
    assert played.result.source == "https://x/main"  # type: ignore[union-attr]
    assert Played(again(played.result), done, found).result.source == "https://x/spare"  # type: ignore[union-attr]
    failed = getting(here(task), task_id, done, reply('{"code":1000,"message":"no"}'))
    assert isinstance(failed.result, Answer)
    assert failed.result.status == 401


def test_the_platforms_credential_goes_to_its_own_origin_only() -> None:
    task = replace(TASK, download_auth=True, content_type="video/mp4")
    on = here(task, upstream=Upstream("https", "api.example.com", 443, "/base"))
    task_id = started(on)["id"]

    def source(url: str) -> object:
        return getting(on, task_id, data(status="done", urls=url)).result.source  # type: ignore[union-attr]

    assert source("https://api.example.com/base/f/a:download?alt=media") == Call(
        "GET", "/f/a:download?alt=media", forward=False, model="private"
    )
    assert source("https://API.example.com:443/base/f") == Call("GET", "/f", forward=False, model="private")
    for url in (
        "https://api.example.com/other/f",
        "https://api.example.com/base/../other",
        "https://api.example.com.evil.example/base/f",
        "https://api.example.com@evil.example/base/f",
        "https://user@api.example.com/base/f",
        "http://api.example.com/base/f",
        "https://api.example.com:8443/base/f",
        "https://api.example.com:x/base/f",
        "https://[::1/base/f",
    ):
        assert source(url) == url
    with pytest.raises(RuleRefusal):
        source("/base/../x")


@pytest.mark.parametrize("form", ["data:image/png;base64,{}", "{}", "data:;base64,{}"])
def test_content_that_stands_in_the_answer_is_decoded(form: str) -> None:
    encoded = base64.b64encode(PICTURE).decode()
    played = getting(here(), started(here())["id"], data(status="done", urls=form.format(encoded)))
    assert isinstance(played.result, Answer)
    assert (played.result.body, played.result.content_type) == (PICTURE, "image/png")


@pytest.mark.parametrize("urls", [None, [], [None], "not base64!", "file:///etc/passwd", "data:image/png;base64,***", {"a": 1}])
def test_a_finished_task_without_a_usable_result_is_502(urls: Any) -> None:
    with pytest.raises(RuleRefusal) as caught:
        getting(here(), started(here())["id"], data(status="done", urls=urls))
    assert caught.value.status == 502


# --- deletion ---


def test_a_task_is_deleted() -> None:
    task = replace(TASK, delete=poll("DELETE /v1/jobs/${id}"))
    task_id = started(here(task))["id"]
    result = passed(program(here(task), DELETE, incoming(method="DELETE", path={"task_id": task_id}, model=None)))
    assert (result.call.method, result.call.target) == ("DELETE", "/v1/jobs/8293")
    assert result.convert is not None
    assert said(result.convert.whole(Reply(204, {}, b""))) == {"id": task_id, "object": "video.deleted", "deleted": True}
    failed = result.convert.whole(reply('{"code":1203,"message":"gone"}'))
    assert failed is not None
    assert failed.status == 404


# --- waiting ---

IMAGE = replace(TASK, name="image", kind="image", collection="/v1/images", waits=True, wait=Wait(1, 2, 5), created_at=None)
PAINT = route(
    branch(send="POST /v1/paint", body=body({"p": "${body.prompt}"})), on="POST /v1/images/generations", task="image", errors=ERRORS
)


def waiting(request: Any, *answers: Reply, task: Task = IMAGE, fetches: Any = None, create: Route = PAINT, **said_: Any) -> Played:
    on = platform(create, tasks={task.name: task})
    return Played(program(on, create, incoming(json.dumps(request).encode(), **said_)), *answers, fetches=fetches)


def test_a_waiting_client_gets_the_finished_images() -> None:
    played = waiting({"prompt": "P"}, data(id="7"), data(status="running"), data(status="done", urls=["https://x/a", PICTURE64]))
    assert said(played.result) == {"created": NOW, "data": [{"url": "https://x/a"}, {"b64_json": PICTURE64}]}
    assert [pause.seconds for pause in played.pauses] == [1, 2]
    assert [call.target for call in played.calls] == ["/v1/paint", "/v1/paint/7", "/v1/paint/7"]
    assert ids.decode(played.pauses[0].task_id or "").provider_id == "7"


PICTURE64 = base64.b64encode(PICTURE).decode()


def test_a_client_that_asked_for_base64_gets_it() -> None:
    url = "https://x/a"
    played = waiting(
        {"prompt": "P", "response_format": "b64_json"},
        data(id="7"),
        data(status="done", urls=[url]),
        fetches={url: Fetched(PICTURE, "image/png")},
    )
    assert said(played.result)["data"] == [{"b64_json": PICTURE64}]


def test_a_task_that_is_finished_at_once_is_not_polled() -> None:
    played = waiting({"prompt": "P"}, data(id="7", status="done", urls=["https://x/a"]))
    assert (len(played.calls), played.pauses) == (1, [])
    assert said(played.result)["data"] == [{"url": "https://x/a"}]


def test_a_client_that_asks_for_a_task_does_not_wait() -> None:
    on = platform(PAINT, tasks={"image": IMAGE})
    passed(program(on, PAINT, incoming(b'{"prompt":"P"}', query={"async": "true"})))
    passed(program(on, PAINT, incoming(b'{"prompt":"P","async":true}')))
    played = Played(
        program(here(), CREATE, incoming(REQUEST, query={"async": "false"})),
        data(id="7"),
        data(status="done", urls=["https://x/a"]),
    )
    assert said(played.result)["status"] == "completed"


def test_a_task_that_takes_too_long_is_504_with_its_id() -> None:
    played = waiting({"prompt": "P"}, data(id="7"), *[data(status="running")] * 9)
    assert isinstance(played.result, Answer)
    assert (played.result.status, played.result.local) == (504, True)
    error = said(played.result)["error"]
    assert error["code"] == "timeout"
    assert ids.decode(error["task_id"]).provider_id == "7"
    assert ("x-should-retry", "false") in played.result.headers
    assert len(played.left) == 6


def test_a_failed_task_is_an_error_for_a_waiting_client() -> None:
    played = waiting({"prompt": "P"}, data(id="7"), data(status="mystery"), data(status="broken", reason="too loud"))
    assert isinstance(played.result, Answer)
    assert played.result.status == 400
    assert said(played.result)["error"]["message"] == "too loud"
    assert played.result.notes == (Note("unknown_task_status", "mystery"),)


def test_polls_that_fail_in_passing_do_not_end_the_waiting() -> None:
    bad = reply("busy", 503)
    played = waiting(
        {"prompt": "P"}, data(id="7"), bad, bad, data(status="done", urls=["https://x/a"]), task=replace(IMAGE, wait=Wait(1, 1, 60))
    )
    assert said(played.result)["data"] == [{"url": "https://x/a"}]
    played = waiting({"prompt": "P"}, data(id="7"), bad, bad, bad, bad, task=replace(IMAGE, wait=Wait(1, 1, 60)))
    assert isinstance(played.result, Answer)
    assert played.result.status == 503
    played = waiting({"prompt": "P"}, data(id="7"), reply('{"code":1203,"message":"gone"}'))
    assert isinstance(played.result, Answer)
    assert played.result.status == 404


def test_a_waiting_client_of_sound_gets_its_bytes() -> None:
    task = replace(IMAGE, name="audio", kind="audio", content_type="audio/mpeg")
    create = route(
        branch(send="POST /v1/say", body=body({"p": "${body.input}"})), on="POST /v1/audio/speech", task="audio", errors=ERRORS
    )
    played = waiting({"input": "P"}, data(id="7"), data(status="done", urls="https://x/a.mp3"), task=task, create=create)
    assert isinstance(played.result, Download)
    assert (played.result.source, played.result.content_type) == ("https://x/a.mp3", "audio/mpeg")


def test_the_rule_says_what_a_waiting_client_gets() -> None:
    task = replace(IMAGE, answer=Response(body({"pictures": "${body.data.urls}", "for": "${request.prompt}"}, "drop"), HERE))
    played = waiting({"prompt": "P"}, data(id="7"), data(status="done", urls=["https://x/a"]), task=task)
    assert said(played.result) == {"pictures": ["https://x/a"], "for": "P"}
    task = replace(IMAGE, answer=Response(None, HERE, url=ex("body.data.urls")))
    assert waiting({"prompt": "P"}, data(id="7"), data(status="done", urls=["https://x/a"]), task=task).result == Download(
        "https://x/a"
    )


def test_a_task_whose_client_left_can_be_ended() -> None:
    task = replace(IMAGE, cancel=poll("POST /v1/stop/${id}"))
    on = platform(PAINT, tasks={"image": task})
    running = program(on, PAINT, incoming(b'{"prompt":"P"}'))
    next(running)
    pause = running.send(data(id="7"))
    assert isinstance(pause, Pause)
    ended = Played(prepare(on, PAINT).cancelling(incoming(), pause.task_id or ""), reply("{}"))
    assert [(call.method, call.target) for call in ended.calls] == [("POST", "/v1/stop/7")]


# --- a synchronous call behind ?async=true ---

SYNC = route(branch(send="POST /v1/draw"), on="POST /v1/images/generations", deferred="image")


def test_a_synchronous_call_can_be_a_task() -> None:
    on = platform(SYNC)
    assert deferred.wanted(SYNC, incoming(b"{}", query={"async": "true"}))
    assert deferred.wanted(SYNC, incoming(b'{"async":true}'))
    assert not deferred.wanted(SYNC, incoming(b'{"prompt":"async"}'))
    assert not deferred.wanted(SYNC, incoming(b'{"async":true}', query={"async": "false"}))
    assert not deferred.wanted(PAINT, incoming(b'{"async":true}'))
    identity = deferred.begin(on, SYNC, incoming(b"{}", public="public"))
    text = ids.encode(identity)
    assert deferred.identify(on, text) == identity
    assert said(deferred.running(identity)) == {
        "id": text,
        "object": "image",
        "model": "public",
        "status": "in_progress",
        "progress": 50,
        "created_at": NOW,
        "completed_at": None,
        "expires_at": None,
        "error": None,
    }
    result = passed(program(on, SYNC, incoming(b'{"p":1,"async":true}', query={"async": "true"}, target="/x?async=true")))
    assert (result.call.body, result.call.target) == (b'{"p":1}', "/v1/draw")


def test_the_kept_answer_shows_in_the_task_and_its_content() -> None:
    identity = deferred.begin(platform(SYNC), SYNC, incoming(b"{}"))
    kept = deferred.Stored(200, "application/json", json.dumps({"created": 1, "data": [{"b64_json": PICTURE64}]}).encode(), NOW + 5)
    shown = said(deferred.task(identity, kept, detail=True))
    assert (shown["status"], shown["progress"], shown["completed_at"], shown["data"]) == (
        "completed",
        100,
        NOW + 5,
        [{"b64_json": PICTURE64}],
    )
    assert shown["detail"]["created"] == 1
    found = deferred.content(identity, kept, incoming())
    assert isinstance(found, Answer)
    assert (found.body, found.content_type) == (PICTURE, "image/png")
    kept = deferred.Stored(200, "application/json", b'{"data":[{"url":"https://x/a"}]}', NOW)
    assert deferred.content(identity, kept, incoming()) == Download("https://x/a")
    sound = deferred.content(identity, deferred.Stored(200, "audio/mpeg", b"ID3", NOW), incoming())
    assert isinstance(sound, Answer)
    assert (sound.body, sound.content_type) == (b"ID3", "audio/mpeg")
    with pytest.raises(RuleRefusal) as caught:
        deferred.content(identity, None, incoming())
    assert caught.value.code == "image_not_ready"


def test_a_kept_failure_is_a_failed_task() -> None:
    identity = deferred.begin(platform(SYNC), SYNC, incoming(b"{}"))
    for kept, code in (
        (deferred.Stored(429, "application/json", b'{"error":{"message":"slow","code":"rate"}}', NOW), "rate"),
        (deferred.Stored(502, "text/html", b"<html>", NOW), "upstream_error"),
        (deferred.lost(identity, NOW), "interrupted"),
    ):
        shown = said(deferred.task(identity, kept))
        assert (shown["status"], shown["error"]["code"]) == ("failed", code)
        with pytest.raises(RuleRefusal) as caught:
            deferred.content(identity, kept, incoming())
        assert caught.value.status == 400


def test_an_id_of_a_platforms_own_task_is_not_a_deferred_one() -> None:
    task_id = started(here())["id"]
    assert deferred.identify(here(), task_id) is None
    with pytest.raises(RuleRefusal) as caught:
        deferred.identify(replace(here(), name="other"), task_id)
    assert caught.value.status == 404
