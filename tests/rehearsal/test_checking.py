"""`check`: what examples notice, what nothing reaches, and how it is said."""

import json
from pathlib import Path

import pytest

from proxy import cli
from proxy.rehearsal import checking
from tests.rehearsal.stage_rules import EXAMPLES, MAKER
from translators.paths import METHODS

GOOD = MAKER + EXAMPLES


def check(directory: Path, text: str = GOOD) -> checking.Report:
    (directory / "maker.yaml").write_text(text)
    return checking.check(directory)


def only_problem(report: checking.Report) -> tuple[int, str, str]:
    """Line, message and hint of the one problem there is."""
    assert len(report.problems) == 1, "\n".join(map(str, report.problems))
    problem = report.problems[0]
    assert problem.where is not None
    return problem.where.line, problem.message, problem.hint or ""


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_rule_file_that_does_what_its_examples_say_is_right(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert report.problems == ()
    assert (report.platforms, report.routes, report.examples) == (1, 6, 10)
    assert (report.carried, report.carried_reached) == (1, 1)


@pytest.mark.parametrize(
    ("said", "instead", "example", "difference"),
    [
        ("max_tokens: 5}", "max_tokens: 6}", "chat", "json.max_tokens: expected 6, got 5"),
        ("Bearer test-MAKER_KEY}", "Bearer test-OTHER}", "chat", "expected Bearer test-OTHER, got Bearer test-MAKER_KEY"),
        ('data: {"text":"a"}', 'data: {"text":"b"}', "a stream", "text: different from line 1 on"),
        ("{status: 429, json", "{status: 400, json", "too fast", "status: expected 400, got 429"),
        ("{send: GET /jobs/78}", "{send: GET /jobs/80}", "a poll", "path: expected /jobs/80, got /jobs/78"),
        ("video/mp4}, base64: AAAAG", "video/mp4}, base64: BAAAG", "the video", "body: different from byte 0 on"),
        ("status: in_progress, progress: 50", 'status: in_progress, progress: "50"', "a poll", 'expected "50", got 50'),
    ],
)
def test_an_example_that_is_not_so_fails_at_its_place(
    said: str, instead: str, example: str, difference: str, tmp_path: Path
) -> None:
    text = GOOD.replace(said, instead, 1)
    assert text != GOOD
    line, found, hint = only_problem(check(tmp_path, text))
    assert f"the example `{example}` fails" in found
    assert difference in hint
    assert "  - title:" not in text.splitlines()[line - 1]


def test_a_call_that_no_example_tells_is_told(tmp_path: Path) -> None:
    last = """      - {upstream: {send: GET /jobs/79}, answer: {json: {code: 0, state: good, url: "https://cdn.example.com/v.mp4"}}}\n"""
    assert last in GOOD
    found = "\n".join(map(str, check(tmp_path, GOOD.replace(last, "")).problems))
    assert "`it waits` fails: 2 calls to the platform are told, 3 went up" in found
    assert "one more: GET /base/jobs/79" in found
    assert "`it waits` fails: the client got no answer" in found


def test_a_call_that_does_not_go_up_is_told_with_what_the_client_got(tmp_path: Path) -> None:
    text = GOOD.replace('hosts: ["*.example.com"]', 'hosts: ["cdn.example.org"]')
    problems = "\n".join(map(str, check(tmp_path, text).problems))
    assert "1 calls to the platform are told, 0 went up" in problems
    assert "the client got 400" in problems


def test_an_example_says_what_the_client_gets(tmp_path: Path) -> None:
    text = GOOD.replace("    result: same\n", "", 1)
    _, message, _ = only_problem(check(tmp_path, text))
    assert "`chat` fails: it says no `result`" in message


@pytest.mark.parametrize(
    ("title", "message", "part"),
    [
        ("one picture", "no example reaches this branch of `POST /v1/videos`", "- when: ${length(refs) == `1`}"),
        ("too many", "no example reaches this refusal of `POST /v1/videos`", "- refuse:"),
        ("a poll", "no example reaches the poll of the task `video`", "  video:\n"),
        ("the video", "no example reaches the content of the task `video`", "  video:\n"),
    ],
)
def test_what_no_example_reaches_is_an_error_at_its_place(title: str, message: str, part: str, tmp_path: Path) -> None:
    before, _, rest = GOOD.partition(f"  - title: {title}\n")
    after = rest.partition("  - title: ")
    text = before + ("  - title: " + after[2] if after[1] else "")
    problems = check(tmp_path, text).problems
    found = [problem for problem in problems if message in problem.message]
    assert len(found) == 1
    assert found[0].where is not None
    assert abs(found[0].where.line - line_of(text, part)) <= 1


def test_a_route_and_an_event_rule_need_an_example_too(tmp_path: Path) -> None:
    before, _, rest = GOOD.partition("  - title: a stream\n")
    text = before + "  - title: " + rest.partition("  - title: ")[2]
    messages = [problem.message for problem in check(tmp_path, text).problems]
    assert messages == ["no example reaches this event rule of `POST /v1/chat/completions`"] * 2
    messages = [problem.message for problem in check(tmp_path, MAKER).problems]
    assert "no example reaches the route `POST /v1/chat/completions`" in messages
    assert "no example reaches the route `GET /v1/models`" in messages, "what is only carried needs one too"


CARRIED = """\
platform: maker
upstream: https://api.maker.example
auth: none
routes:
  {}: carry
native: carry
examples:
  - {{title: native, client: {{send: GET /maker/v2/other}}, answer: {{json: {{}}}}, result: same}}
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_carried_route_without_an_example_comes_with_a_line_that_is_one(method: str, tmp_path: Path) -> None:
    text = CARRIED.format(f"{method} /v1/models/{{model}}:count/{{job_id}}")
    line, message, hint = only_problem(check(tmp_path, text))
    assert (line, message) == (5, f"no example reaches the route `{method} /v1/models/{{model}}:count/{{job_id}}`")
    added = hint.removeprefix("Add one to `examples`: ")
    assert added.startswith("- {")
    assert check(tmp_path, f"{text}  {added}\n").problems == ()


def test_a_route_that_says_more_without_an_example_comes_with_a_line_to_fill_in(tmp_path: Path) -> None:
    text = CARRIED.format("POST /v1/chat/completions").replace(": carry\nnative", ": {send: POST /chat}\nnative")
    line, message, hint = only_problem(check(tmp_path, text))
    assert (line, message) == (5, "no example reaches the route `POST /v1/chat/completions`")
    added = hint.removeprefix("Add one to `examples`, with what is really sent and said: ")
    filled = added.replace('upstream: {send: "POST /v1/chat/completions"', 'upstream: {send: "POST /chat"')
    assert filled != added
    assert check(tmp_path, f"{text}  {filled}\n").problems == ()


def test_what_only_the_native_line_serves_needs_no_example(tmp_path: Path) -> None:
    text = CARRIED.format("GET /v1/models").partition("routes:")[0] + "native: carry\n"
    assert check(tmp_path, text) == checking.Report(platforms=1)


def test_an_empty_directory_has_nothing_to_be_wrong(tmp_path: Path) -> None:
    assert checking.check(tmp_path) == checking.Report()


def test_examples_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "maker.yaml").write_text(MAKER)
    assert checking.check(tmp_path, examples=False).problems == ()


def test_a_directory_that_extends_a_shipped_platform_sees_it(tmp_path: Path) -> None:
    text = "platform: mine\nextends: {}\nupstream: https://relay.example.com\nmodels: [relayed-*]\nauth: none\n"
    (tmp_path / "mine.yaml").write_text(text.format("deepseek"))
    report = checking.check(tmp_path, examples=False)
    assert report.problems == ()
    assert report.platforms == 1
    (tmp_path / "mine.yaml").write_text(text.format("nobody"))
    assert checking.check(tmp_path).problems


# --- the command ---


def test_the_exit_status_tells_right_wrong_and_misused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "maker.yaml").write_text(GOOD)
    assert cli.main(["check", str(tmp_path)]) == 0
    assert "1 platform, 6 routes, no problems" in capsys.readouterr().out
    (tmp_path / "maker.yaml").write_text(MAKER)
    assert cli.main(["check", str(tmp_path)]) == 1
    assert "no example reaches" in capsys.readouterr().err
    assert cli.main(["check", "--no-examples", str(tmp_path)]) == 0
    assert cli.main(["check", str(tmp_path / "nowhere")]) == 2


def test_github_gets_one_command_for_each_problem_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "maker.yaml").write_text(GOOD.replace("max_tokens: 5}", "max_tokens: 6}", 1))
    assert cli.main(["check", "--format", "github", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"::error file={tmp_path}/maker.yaml,line=")
    assert ",col=" in lines[0]
    assert "%0Ajson.max_tokens: expected 6, got 5" in lines[0]


def test_json_is_of_the_documented_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "maker.yaml").write_text(MAKER.replace("title: A", "titel: A"))
    assert cli.main(["check", "--format", "json", str(tmp_path)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert set(found) == {"ok", "platforms", "routes", "examples", "carried", "problems"}
    assert found["problems"][0]["line"] == 2
    assert found["problems"][0]["column"] == 1
    (tmp_path / "maker.yaml").write_text(GOOD)
    assert cli.main(["check", "--format", "json", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["examples"], found["carried"]) == (True, 10, {"routes": 1, "with_example": 1})
