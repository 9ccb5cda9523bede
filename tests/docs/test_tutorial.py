"""The tutorial, run from its first line to its last: its files are written, its commands are given, its outputs must come.

A fenced block whose info string names a file is that file, or its end; a `console` block holds commands (`$ ...`), each with what
it prints. Only what cannot repeat is put in place of what is shown: ports, times and the ids of tasks.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from openai import OpenAI

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial-add-a-provider.md"
PATIENCE = 30.0  # seconds; for a changed file to be seen, and for a task to end
SHOWN = "http://127.0.0.1:8080"

_BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"video_[A-Za-z0-9_-]{12,}")
_AT_ITS_END = ", at its end"
_CHANGING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b1[789]\d{8}\b"), "TIME"),
    (_ID, "ID"),
    (re.compile(r"\b\d+ platforms: the path"), "N platforms: the path"),  # as many as ship
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it names, its text, and the line where it begins."""

    language: str
    file: str
    text: str
    line: int


def blocks() -> list[Block]:
    text = TUTORIAL.read_text("utf-8")
    return [Block(found[1], found[2] or "", found[3], text.count("\n", 0, found.start()) + 1) for found in _BLOCK.finditer(text)]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that is shown below it. A backslash continues a command on the next line."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.replace("\\\n", "").partition("\n")
        yield command, output


def steady(text: str) -> str:
    """The text without what changes from run to run."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text.strip("\n")


@dataclass
class Terminal:
    """A folder, a gateway once one was started, and the ids that were shown with those that they stand for."""

    folder: Path
    started: ExitStack
    url: str = ""
    ids: dict[str, str] = field(default_factory=dict)

    def give(self, command: str, shown: str) -> str:
        """Give a command; what it printed. What is served may still be on its way to what is shown, so it is asked again."""
        if command.startswith("dragoman serve "):
            self.url = self.started.enter_context(serving(self.folder, shlex.split(command)[1:]))
            return ""
        words = shlex.split(command)
        for old, new in ((SHOWN, self.url), *self.ids.items()):
            words = [word.replace(old, new) for word in words]
        deadline = time.monotonic() + PATIENCE
        while True:
            said = self.run(words)
            if words[0] != "curl" or steady(said) == steady(shown) or time.monotonic() > deadline:
                self.ids.update(zip(_ID.findall(shown), _ID.findall(said), strict=False))
                return said
            time.sleep(0.1)

    def run(self, words: list[str], *, status: int = 0) -> str:
        line = [sys.executable, "-m", "proxy", *words[1:]] if words[0] == "dragoman" else words
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # as a terminal shows them
        done = subprocess.run(line, cwd=self.folder, env=environment(), text=True, timeout=60, check=False, **both)
        assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout}"
        return str(done.stdout)

    def write(self, block: Block) -> None:
        """Write the file of a block, at once: a half-written one would be read."""
        path = self.folder / block.file.removesuffix(_AT_ITS_END)
        path.parent.mkdir(exist_ok=True)
        before = path.read_text("utf-8") if block.file.endswith(_AT_ITS_END) else ""
        (self.folder / "new").write_text(before + block.text, "utf-8")
        (self.folder / "new").replace(path)


def environment() -> dict[str, str]:
    """No key, no colours, and the program of this very tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "no_proxy": "127.0.0.1"}


@contextmanager
def serving(folder: Path, options: list[str]) -> Iterator[str]:
    """`dragoman serve` on a free port, without the listener for metrics; yields its URL."""
    line = [sys.executable, "-m", "proxy", *options, "--listen", "127.0.0.1:0", "--admin", "off", "--access-log", "off"]
    log = folder.parent / "serve.log"
    with log.open("wb") as written:
        process = subprocess.Popen(line, cwd=folder, env=environment(), stdout=written, stderr=written)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"is listening on (http://\S+)", log.read_text("utf-8"))):
            assert process.poll() is None, f"it ended: {log.read_text('utf-8')}"
            assert time.monotonic() < deadline, f"it never listened: {log.read_text('utf-8')}"
            time.sleep(0.02)
        yield found[1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.filterwarnings(r"ignore:The Sora API is scheduled:DeprecationWarning")  # openai marks its videos as deprecated
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial's calls are made with curl, which is not here")
def test_everything_that_the_tutorial_shows_happens(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with ExitStack() as started:
        terminal = Terminal(folder, started)
        for block in blocks():
            if block.file:
                terminal.write(block)
            for command, shown in commands(block) if block.language == "console" else ():
                said = terminal.give(command, shown)
                assert steady(said) == steady(shown), f"line {block.line} of the tutorial: {command}"
        an_sdk_does_what_the_introduction_says(terminal.url)
    assert (folder / "fox.mp4").read_bytes()[4:8] == b"ftyp"


def an_sdk_does_what_the_introduction_says(url: str) -> None:
    """It draws, films and talks."""

    def client(platform: str) -> OpenAI:
        return OpenAI(base_url=f"{url}/{platform}/v1", api_key="sk-test-any", max_retries=0)

    with client("acme") as painter, client("acme-film") as director, client("acme-talk") as talker:
        pictures = painter.images.generate(model="acme-1", prompt="A fox").data
        film = director.videos.create(model="film-1", prompt="A fox runs")
        chunks = talker.chat.completions.create(model="talk-1", messages=[{"role": "user", "content": "Hi"}], stream=True)
        said = [chunk.choices[0].delta.content for chunk in chunks]
    assert pictures
    assert pictures[0].url
    assert (film.object, film.model) == ("video", "film-1")
    assert said == ["Hello", None]


def test_a_slip_of_the_pen_is_found_as_shown(tmp_path: Path) -> None:
    first = next(block for block in blocks() if block.file == "rules/acme.yaml")
    slip = replace(first, text=first.text.replace("prompt: A fox, size", "promt: A fox, size"))
    shown = next(block.text for block in blocks() if block.language == "text")
    with ExitStack() as started:
        terminal = Terminal(tmp_path, started)
        terminal.write(slip)
        assert terminal.run(["dragoman", "check", "./rules"], status=1).strip() == shown.strip()


def test_the_first_file_has_at_most_30_lines() -> None:
    first = next(block for block in blocks() if block.file == "rules/acme.yaml")
    assert len(first.text.splitlines()) <= 30
    assert first.text.count("- title:") == 2


def test_no_block_escapes_the_tests_above() -> None:
    kinds = [(block.language, bool(block.file)) for block in blocks()]
    assert set(kinds) == {("yaml", True), ("console", False), ("text", False)}
    assert kinds.count(("text", False)) == 1
