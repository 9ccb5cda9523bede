"""The frame around the program: what the README shows, the demo, the wheel, the files of the project."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from proxy import __version__, cli, demo
from translators.load import load, shipped_rules

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))


def snippet(name: str) -> str:
    match = re.search(rf"<!-- snippet: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert match is not None, name
    return match.group(1)


def chat(address: str, path: str, model: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection(address, timeout=60)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


# --- the README's examples


@pytest.mark.parametrize("name", ["openai", "anthropic", "google-genai"])
def test_the_sdk_examples_of_the_readme_get_an_answer(name: str) -> None:
    with demo.gateway() as (address, _):
        code = snippet(name)
        assert "127.0.0.1:8080" in code
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code.replace("127.0.0.1:8080", address)],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert "sandbox" in done.stdout


def test_the_rule_of_the_readme_is_served_with_and_without_its_prefix(tmp_path: Path) -> None:
    text = snippet("rule")
    assert len(text.splitlines()) == 10
    name = text.splitlines()[0].removeprefix("platform: ")
    (tmp_path / f"{name}.yaml").write_text(text)
    assert name in load((shipped_rules(), tmp_path)).platforms
    with demo.gateway("--rules", str(tmp_path)) as (address, _):
        for path in (f"/{name}/v1/chat/completions", "/v1/chat/completions"):
            status, body = chat(address, path, "mistral-small-latest")
            assert (status, body["object"]) == (200, "chat.completion")


def test_the_readme_needs_no_more_options_than_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    offered = set()
    for command in ("serve", "routes", "check", "explain", "sandbox", "licence"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        offered |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    for document in DOCUMENTS:
        for line in re.findall(r"dragoman (?:serve|routes|check|explain|sandbox|licence)[^`\n#]*", document.read_text("utf-8")):
            assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= offered, f"{document.name}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text("utf-8")):
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{document.name} links to {target}#{anchor}"


# --- the demo


def test_the_demo_streams_an_answer_and_shows_that_it_was_counted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy.demo", "openai", "gpt-4o-mini"], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "sandbox" in done.stdout.partition("\n< ")[2]
    assert re.search(r'dragoman_exchanges_total\{platform="openai".*outcome="ok"\} 1(\.0)?\n', done.stdout)
    assert "curl -N http://127.0.0.1:8080/openai/v1/chat/completions" in done.stdout


def test_the_demo_fails_loudly_when_the_gateway_does_not_start() -> None:
    with (
        pytest.raises(demo.DemoError, match=r"ended at once with status 1 and said:\n.*no rule file names"),
        demo.gateway("--upstream", "nobody=http://127.0.0.1:9"),
    ):
        pytest.fail("it started")


def test_the_demo_fails_when_no_answer_comes(capsys: pytest.CaptureFixture[str]) -> None:
    with demo.gateway() as (_, admin), pytest.raises(demo.DemoError, match="did not count"):
        demo.show_metrics(admin, "openai")
    with demo.gateway() as (address, _), pytest.raises(demo.DemoError, match="answered 404"):
        demo.stream_chat(address, "no-such-platform", "gpt-4o-mini")
    assert "< " in capsys.readouterr().out


def test_the_gateway_of_the_demo_is_gone_afterwards() -> None:
    with demo.gateway() as (address, _):
        assert chat(address, "/openai/v1/chat/completions", "gpt-4o-mini")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        chat(address, "/openai/v1/chat/completions", "gpt-4o-mini")


# --- the project's files


def test_the_license_is_the_full_text() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_target_of_the_makefile_is_explained_by_make_help() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^\.PHONY: (\w+)$", makefile, re.MULTILINE)) - {"node"}
    helped = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert (
        set(re.findall(r"^ *make (\w+) +\S", helped, re.MULTILINE)) == targets >= {"demo", "test", "lint", "bench", "clean", "help"}
    )


def test_the_verification_is_executable_and_valid_bash() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=30)


# --- the wheel

PATIENT_PIP = {**os.environ, "PIP_RETRIES": "10", "PIP_DEFAULT_TIMEOUT": "30"}  # it asks a registry


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what belongs to it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in ("proxy", "translators", "rules", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--wheel-dir", str(target), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, env=PATIENT_PIP)
    assert built.returncode == 0, built.stdout + built.stderr
    assert not re.findall(r".*Warning:.*", built.stdout + built.stderr)
    (found,) = target.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_program_and_the_rules_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names} == {"proxy", "translators", "rules", f"dragoman-{__version__}.dist-info"}
    assert {name for name in names if name.startswith("rules/")} == {
        f"rules/{file.name}" for file in (ROOT / "rules").glob("*.yaml")
    }
    modules = {str(file.relative_to(ROOT)) for room in ("proxy", "translators") for file in (ROOT / room).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {"proxy/py.typed", "translators/py.typed", f"dragoman-{__version__}.dist-info/licenses/LICENSE"} <= names


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python, dragoman = (tmp_path / "env" / "bin" / name for name in ("python", "dragoman"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=300, cwd=tmp_path, env=PATIENT_PIP)

    def run(*arguments: str) -> str:
        return subprocess.run([dragoman, *arguments], check=True, capture_output=True, text=True, timeout=120, cwd=tmp_path).stdout

    assert run("--version") == f"dragoman {__version__}\n"
    assert re.search(r"site-packages/rules: \d+ platforms, \d+ routes, no problems", run("check"))
    assert "/openai/v1/chat/completions" in run("routes")
    with demo.gateway(program=(str(dragoman),)) as (address, _):
        assert chat(address, "/openai/v1/chat/completions", "gpt-4o-mini")[0] == 200
