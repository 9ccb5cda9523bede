"""What the documents say to an operator against the program: commands, log fields, variables, headers, snippets, messages."""

import argparse
import asyncio
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from proxy import cli
from proxy.config import load_config
from proxy.server import Gateway, StartError
from proxy.settings import Settings
from proxy.telemetry.access_log import AccessRecord
from tests.harness.certificates import Authority
from tests.harness.chaos import OK, Peer, says
from tests.harness.gateway import rule_file, stage
from tests.harness.runner import async_test
from tests.harness.words import post
from translators.load import load

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text("utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
COMMANDS = DOCS["commands.md"]
CODE = "\n".join(path.read_text("utf-8") for room in ("proxy", "translators") for path in sorted((ROOT / room).rglob("*.py")))
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][a-z-]*")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    whole = cli._parser()
    return next(dict(action.choices) for action in whole._actions if isinstance(action, argparse._SubParsersAction))


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {text for action in parser._actions for text in action.option_strings} - {"-h", "--help"}


# --- commands


def test_every_command_is_documented_and_no_other() -> None:
    listed = re.findall(r"^\| `dragoman (\w+)[^`]*` \|", COMMANDS, re.MULTILINE)
    assert sorted(listed) == sorted(parsers())


@pytest.mark.parametrize("command", sorted(parsers()))
def test_the_options_of_a_command_are_documented_and_no_others(command: str) -> None:
    section = re.search(rf"^## `{command}`\n(.*?)(?=^## |\Z)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert section is not None
    text = section[1]
    if command == "serve":
        documented = set(re.findall(r"`(--[a-z-]+)", text))
    else:
        cells = re.findall(r"^\| (`-[^|]*) \|", text, re.MULTILINE)
        documented = {option for cell in cells for option in re.findall(r"`(--?[a-zA-Z][a-z-]*)`", cell)}
    assert documented == options(parsers()[command])


@pytest.mark.parametrize("document", sorted(DOCS))
def test_a_command_that_a_document_gives_has_the_options_it_is_given(document: str) -> None:
    known = parsers()
    for command, line in re.findall(r"\bdragoman (\w+)((?:(?!\bdragoman )[^`\n#|])*)", DOCS[document]):
        if command in known:
            line = re.sub(r"'[^']*'", "", line)
            assert set(OPTION.findall(line)) <= options(known[command]), f"{document}: dragoman {command}{line}"


def test_every_option_says_what_it_is() -> None:
    unsaid = [(name, action.dest) for name, parser in parsers().items() for action in parser._actions if not action.help]
    assert unsaid == []


def test_routes_can_be_asked_for_one_platform(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["routes", "openai"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("METHOD")
    assert len(lines) > 2
    assert all(line.split()[1].startswith("/openai/") for line in lines[1:])


def test_routes_of_a_platform_that_is_not_there_names_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["routes", "opnai"]) == cli.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "no rule file names the platform 'opnai'; known: anthropic, " in said.err


# --- names


def test_the_fields_of_the_access_log_are_documented_and_no_others() -> None:
    table = re.search(r"<!-- table: access log -->\n(.*?)<!-- end -->", DOCS["metrics.md"], re.DOTALL)
    assert table is not None
    cells = [line.split("|")[1] for line in table[1].splitlines() if line.startswith("| `")]
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    put_together = "\n".join((ROOT / "proxy" / file).read_text("utf-8") for file in ("carry/record.py", "telemetry/access_log.py"))
    written = set(re.findall(r'"(\w+)":(?:"?%|true)', put_together)) | {"ts"}
    assert sorted(documented) == sorted(written | set(AccessRecord.__struct_fields__))


def test_every_variable_and_header_of_ours_is_documented() -> None:
    ours = re.compile(
        r"\b(?:DRAGOMAN_[A-Z]+(?:_FILE)?|X-(?:Dragoman|Sandbox)-[A-Za-z]+|STATE_DIRECTORY|XDG_STATE_HOME|NO_COLOR)\b", re.IGNORECASE
    )
    text = "\n".join(DOCS.values())
    named = {name.upper() for name in ours.findall(CODE) if name.lower() == name or name.upper() == name or name.startswith("X-")}
    assert {"DRAGOMAN_LICENCES", "DRAGOMAN_STORE", "X-DRAGOMAN-EXPLAIN", "X-SANDBOX-FAULT"} <= named
    assert named <= {name.upper() for name in ours.findall(text)}


def blocks(document: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", DOCS[document], re.MULTILINE | re.DOTALL)


def test_the_snippets_of_the_recipes_are_configurations_and_rules(tmp_path: Path) -> None:
    found = blocks("how-to.md")
    assert len(found) > 3
    for text in found:
        if "scrape_configs:" in text:
            assert set(yaml.safe_load(text)) == {"scrape_configs"}
        elif text.startswith("platform:"):
            name = text.split()[1]
            (tmp_path / f"{name}.yaml").write_text(text)
            assert name in load([tmp_path]).platforms
        else:
            (file := tmp_path / "gateway.conf").write_text(text)
            assert load_config(file) != Settings()


# --- what is said when it cannot start


def refusal(settings: Settings) -> str:
    """Why a gateway of these settings does not start."""
    quiet = replace(settings, access_log="off", admin=settings.admin if settings.admin != Settings().admin else None)
    with pytest.raises(StartError) as caught:
        asyncio.run(Gateway(quiet, environ={"OPENAI_API_KEY": "sk-test-x"}).start())
    return str(caught.value)


def test_a_port_in_use_is_named_with_the_option_that_gives_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refusal(Settings(listen=(address,)))
        assert said.startswith(f"cannot listen on {address}: Address already in use")
        assert said.endswith("--listen")
        said = refusal(Settings(listen=("127.0.0.1:0",), admin=address))
        assert said.startswith(f"cannot listen on {address} for metrics and health: ")
        assert said.endswith("--admin")


def test_an_upstream_that_is_the_gateway_itself_is_told_what_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = refusal(Settings(listen=(address,), upstreams={"openai": f"http://{address}"}))
    assert "the platform 'openai' is this gateway itself" in said
    assert "--upstream openai=URL" in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(ca_file=Path("nowhere.pem")), ["ca_file nowhere.pem", "No such file", "PEM"]),
        (
            Settings(tls_certificate=Path("no.pem"), tls_key=Path("no.key")),
            ["tls_certificate no.pem", "tls_key no.key", "No such file"],
        ),
        (Settings(secrets_dir=Path("nowhere")), ["secrets_dir nowhere", "not a directory"]),
        (Settings(licences_file=Path("nowhere")), ["licences file nowhere", "No such file"]),
    ],
    ids=["ca_file", "tls_certificate", "secrets_dir", "licences_file"],
)
def test_a_file_that_is_not_there_is_named_with_its_setting(settings: Settings, words: list[str]) -> None:
    said = refusal(replace(settings, listen=("127.0.0.1:0",)))
    assert all(word in said for word in words), said
    assert "Errno" not in said


# --- what is said when something goes wrong


@pytest.mark.parametrize(("flaw", "reason"), [("expired", "certificate has expired"), ("name", "Hostname mismatch")])
@async_test()
async def test_a_failed_handshake_is_logged_with_the_address_and_the_reason(
    flaw: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority.create(tmp_path)
    context = authority.server("localhost", expired=True) if flaw == "expired" else authority.server("elsewhere.example")
    async with (
        Peer(says(OK), tls=context) as peer,
        stage(rules={"test": rule_file(f"https://localhost:{peer.port}")}, ca_file=authority.file) as scene,
    ):
        assert (await scene.asks(post())).status == 502
    lines = [record.getMessage() for record in caplog.records if record.name == "dragoman.upstream"]
    assert len(lines) == 1
    assert lines[0].startswith(f"no TLS with localhost:{peer.port}: ")
    assert reason in lines[0]


@async_test()
async def test_a_path_without_a_platform_is_answered_with_how_paths_begin() -> None:
    async with Peer(says(OK)) as peer, stage(peer) as scene:
        answer = await scene.asks(post(path=b"/v1/v1/chat/completions"))
    assert answer.status == 404
    assert b"/{platform}/..." in answer.body
    assert b"dragoman routes" in answer.body
