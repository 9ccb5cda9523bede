"""Rule files as short texts, for tests: written to a directory, read, and their problems as people see them."""

from pathlib import Path

import pytest

from translators.load import load_file
from translators.model import Branch, Handling, Platform
from translators.problems import InvalidFileError

HEAD = "platform: example\nupstream: https://api.example.com\nauth: none\n"  # three lines: what follows starts in line 4


def write(directory: Path, text: str, name: str = "example") -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / f"{name}.yaml"
    file.write_text(text)
    return file


def read(directory: Path, rest: str, head: str = HEAD) -> Platform:
    return load_file(write(directory, head + rest))


def problems(directory: Path, rest: str, head: str = HEAD) -> list[str]:
    """`line:column: message` and the hint, for each problem."""
    with pytest.raises(InvalidFileError) as caught:
        read(directory, rest, head)
    return [str(problem).removeprefix(f"{directory}/example.yaml:") for problem in caught.value.problems]


def problem(directory: Path, rest: str, head: str = HEAD) -> str:
    found = problems(directory, rest, head)
    assert len(found) == 1, found
    return found[0]


def handling(directory: Path, route: str, more: str = "") -> Handling:
    """What is made of the words of one route, `POST /v1/x`, indented by four blanks."""
    found = read(directory, f"{more}routes:\n  POST /v1/x:\n{route}").routes[0].handling
    assert found is not None
    return found


def branch(directory: Path, route: str, more: str = "") -> Branch:
    (only,) = handling(directory, route, more).branches
    return only
