"""Tasks in a rule file: what they give, the routes they bring, and what every common slip says."""

# ruff: noqa: E501 - a slip and what is said about it stand on one line

from pathlib import Path

import pytest

from tests.translators.rulefiles import problem, problems, read

TASK = """\
tasks:
  video:
    id: ${body.id}
    poll: GET ${submitted.path}/${id}
    status: ${body.state}
    states: {Done: completed, broken: failed}
    keep: {group: "${request.group}"}
    result: ${body.urls}
routes:
  POST /v1/videos: {task: video, send: POST /films}
"""


def test_a_task_brings_its_routes_and_quiet_defaults(tmp_path: Path) -> None:
    platform = read(tmp_path, TASK)
    task = platform.tasks["video"]
    assert (task.kind, task.collection, task.waits, task.wait.every) == ("video", "/v1/videos", False, 5.0)
    assert task.states == {"done": "completed", "broken": "failed"}
    assert [name for name, _ in task.keep] == ["group"]
    assert [(route.id, route.handling and (route.handling.of, route.handling.action)) for route in platform.routes[1:]] == [
        ("GET /v1/videos/{task_id}", ("video", "poll")),
        ("GET /v1/videos/{task_id}/content", ("video", "content")),
        ("HEAD /v1/videos/{task_id}/content", ("video", "content")),
    ]
    assert platform.routes[0].handling is not None
    assert platform.routes[0].handling.task == "video"


def test_a_task_that_can_be_ended_brings_a_deletion(tmp_path: Path) -> None:
    text = TASK.replace("    result:", "    cancel: {send: 'POST /stop', body: {id: '${id}'}}\n    result:")
    platform = read(tmp_path, text)
    assert [route.id for route in platform.routes][-1] == "DELETE /v1/videos/{task_id}"
    cancel = platform.tasks["video"].cancel
    assert cancel is not None
    assert cancel.body is not None
    assert cancel.body.template.evaluate({"id": "7"}) == {"id": "7"}


@pytest.mark.parametrize(
    ("name", "collection", "waits"), [("image", "/v1/images", True), ("music", "/v1/music", False), ("audio", "/v1/audio", True)]
)
def test_the_kind_decides_where_polls_stand_and_who_waits(tmp_path: Path, name: str, collection: str, waits: bool) -> None:
    text = TASK.replace("  video:", f"  {name}:").replace("task: video", f"task: {name}")
    task = read(tmp_path, text).tasks[name]
    assert (task.kind, task.collection, task.waits) == (name, collection, waits)
    said = read(tmp_path, text.replace("    result:", f"    waits: {str(not waits).lower()}\n    result:")).tasks[name]
    assert said.waits is not waits


def test_tasks_of_one_collection_share_their_routes(tmp_path: Path) -> None:
    second = TASK.partition("routes:")[0].partition("  video:\n")[2]
    text = TASK.replace("routes:", f"  short:\n    kind: video\n{second}routes:\n  POST /v1/shorts: {{task: short, send: POST /s}}")
    platform = read(tmp_path, text)
    content = "/v1/videos/{task_id}/content"
    assert [route.id for route in platform.routes][2:] == ["GET /v1/videos/{task_id}", f"GET {content}", f"HEAD {content}"]


def test_a_synchronous_route_with_async_brings_polls_of_its_kind(tmp_path: Path) -> None:
    text = "routes:\n  POST /v1/images/generations: {async: image}\n  POST /v1/images/edits: {async: image}\n"
    platform = read(tmp_path, text)
    assert [route.handling and route.handling.deferred for route in platform.routes[:2]] == ["image", "image"]
    assert [(route.id, route.handling and (route.handling.of, route.handling.action)) for route in platform.routes[2:]] == [
        ("GET /v1/images/{task_id}", ("", "poll")),
        ("GET /v1/images/{task_id}/content", ("", "content")),
        ("HEAD /v1/images/{task_id}/content", ("", "content")),
    ]


def test_a_remix_knows_the_task_it_starts_from(tmp_path: Path) -> None:
    text = (
        TASK
        + "  POST /v1/videos/{task_id}/remix: {task: video, send: POST /films, body: {from: '${id}', group: '${task.group}'}}\n"
    )
    made = read(tmp_path, text).routes[1].handling
    assert made is not None
    body = made.branches[0].body
    assert body is not None
    assert body.template.evaluate({"id": "7", "task": {"group": "g"}}) == {"from": "7", "group": "g"}


def test_a_step_of_a_download_reads_the_answer_before_it(tmp_path: Path) -> None:
    hop = "    download: [{send: 'GET /files?id=${body.file}', url: '${body.url}'}]\n"
    (step,) = read(tmp_path, TASK.replace("    result:", hop + "    result:")).tasks["video"].download
    assert step.send.query[0][0] == "id"
    assert step.url.evaluate({"body": {"url": "u"}}) == "u"


# What is replaced in TASK, by what, and what is said.
SLIPS = [
    ("    id: ${body.id}\n", "", "6:5: the word `id` is missing in this task"),
    ("  video:", "  film:", "5:3: the kind of the task `film` is not said"),
    ("    keep:", "    kind: film\n    keep:", "10:11: `film` is not possible here"),
    ("task: video", "task: vidio", "13:21: there is no task `vidio` in this file\n    Did you mean `video`?"),
    ("{task: video, send: POST /films}", "carry", "5:3: no route starts the task `video`"),
    ("  POST /v1/videos: {", "  GET /v1/films: {", "13:3: a task is started by POST"),
    ("Done: completed", "Done: complete", "9:20: `complete` is not possible here\n    Did you mean `completed`?"),
    ("Done: completed, ", "", "9:5: no word means `completed`: this task would never end"),
    ("Done: completed", "Done: completed, done: failed", "9:31: the word `done` stands twice: `Done` is the same, whatever the case"),
    ("${submitted.path}", "${submitted.paht}", "7:11: `submitted.paht` is not known here\n    Did you mean `path`?"),
    ("${submitted.path}", "/x/${task.grup}", "7:11: `task.grup` is not known here\n    Did you mean `group`?"),
    ("${submitted.path}", "/x/${body.x}", "7:11: `body` is not known here (column 1 of the expression, on a call about a task)"),
    ("GET ${submitted.path}", "GET x${submitted.path}", "7:11: the path of a call starts with `/`"),
    ("send: POST /films", "send: 'POST /${body.x}'", "13:40: the task `video` needs `submitted.path`, but this path depends on `body`"),
    ("{task: video, send", "{task: video, async: video, send", "13:34: a route that starts a task is asynchronous already"),
    ("send: POST /films", "response: {body: {a: 1}}", "13:21: a route that starts a task answers with the task object"),
    ("request.group", "task.group", "10:19: `task` is not known here"),
    ("    result:", "    waits: no\n    result:", "11:12: true or false is expected here, not a text"),
    ("    result:", "    collection: v1/films\n    result:", "11:17: the path `v1/films` does not start with `/`"),
    ("    result:", "    wait: {every: 0}\n    result:", "11:19: 0 is not possible here"),
    ("    result:", "    poll_again: 1\n    result:", "11:5: unknown word `poll_again` in this task"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), SLIPS, ids=[expected for _, _, expected in SLIPS])
def test_O03_a_slip_in_a_task_is_said_with_its_place_and_a_cure(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in TASK
    found = problems(tmp_path, TASK.replace(old, new, 1))
    assert any(text.startswith(expected) for text in found), found


def test_O05_a_route_that_a_task_brings_cannot_be_written_too(tmp_path: Path) -> None:
    found = problem(tmp_path, TASK + "  GET /v1/videos/{id}: carry\n")
    assert found.startswith("14:3: `GET /v1/videos/{id}` matches the same paths as `GET /v1/videos/{task_id}`, which tasks bring")
