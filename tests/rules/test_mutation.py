"""Examples watch their rules: nearly every broken line of a rule file is noticed (law 5), and the tool that says so is right.

The mutants of the shipped files take a while; `python -m tests.mutation FILE` tries all of them and lists those that survive.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.mutation import WATCHED, Kind, Score, mutants, noticed, score
from translators.load import shipped_rules

SAMPLE = 150  # mutants of one file; one of a large file takes a tenth of a second
ENOUGH = 0.95
ENOUGH_OF_SAMPLE = 0.92  # where all mutants of a file come to `ENOUGH`, a sample of them scatters by so much
FILES = sorted(shipped_rules().glob("*.yaml"))

RULE = """\
platform: example
title: A platform for this test
upstream: https://api.example.com/base
auth: {bearer: "${secret.EXAMPLE_KEY}"}

routes:
  POST /v1/chat/completions:
    edit:                                 # its own name for it
      - rename: {max_completion_tokens: max_tokens}

examples:
  - title: a limit by another name
    client: {send: POST /example/v1/chat/completions, json: {max_completion_tokens: 5}}
    upstream:
      send: POST /v1/chat/completions
      headers: {Host: api.example.com, Authorization: Bearer test-EXAMPLE_KEY}
      json: {max_tokens: 5}
    answer: {status: 200, json: {id: c1}}
    result: same
"""


def test_every_line_that_says_something_is_deleted_once_and_changed() -> None:
    found, excluded = mutants(RULE)
    lines = RULE.splitlines()
    deleted = [mutant.line for mutant in found if mutant.now is None]
    left_out = {number for number, line in enumerate(lines, 1) if not line.strip() or "title:" in line}
    assert deleted == [number for number in range(1, len(lines) + 1) if number not in left_out]
    assert excluded == len(left_out)
    assert all(mutant.now != mutant.was for mutant in found)
    assert all(mutant.now is None or mutant.now.endswith("# its own name for it") for mutant in found if mutant.line == 8)


def test_lines_are_told_apart_by_what_they_are_for() -> None:
    kinds = {mutant.line: mutant.kind for mutant in mutants(RULE)[0]}
    assert {kinds[number] for number in (1, 3, 4, 6, 7, 8, 9)} == {Kind.RULE}
    assert {kinds[number] for number in (13, 14, 15, 16, 17, 19)} == {Kind.EXAMPLE}
    assert kinds[18] is Kind.GIVEN


def test_a_file_that_is_right_is_noticed_by_nobody(tmp_path: Path) -> None:
    assert noticed(RULE, tmp_path / "example.yaml") is None


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("max_completion_tokens: max_tokens", "max_completion_tokens: max_tokenz"),
        ("upstream: https://api.example.com", "upstream: https://api.example.org"),
        ("json: {max_tokens: 5}", "json: {max_tokens: 6}"),
        ('"${secret.EXAMPLE_KEY}"', '"${secret.OTHER_KEY}"'),
        ("POST /v1/chat/completions:", "POST /v1/chat/completion:"),
        ("    edit:", "    edits:"),
    ],
)
def test_a_line_that_is_broken_is_noticed(line: str, broken: str, tmp_path: Path) -> None:
    assert line in RULE
    assert noticed(RULE.replace(line, broken), tmp_path / "example.yaml") is not None


def test_a_file_that_is_wrong_from_the_start_has_no_score(tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(RULE.replace("max_tokens: 5", "max_tokens: 6"))
    with pytest.raises(ValueError, match="is not right as it is"):
        score(file)


def test_the_examples_of_a_small_file_watch_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(RULE)
    found = score(file)
    assert found.share(Kind.RULE) == 1.0, found.survivors
    assert found.share(*WATCHED) >= ENOUGH, found.survivors


@pytest.fixture(scope="module")
def sampled() -> Iterator[dict[Path, Future[Score]]]:
    """The scores of the shipped files' samples, which are always the same; worked out side by side."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        yield {file: pool.submit(score, file, SAMPLE) for file in FILES}
        pool.shutdown(cancel_futures=True)


def watched(found: Score) -> str:
    """The survivors that are holes."""
    return "\n".join(f"{found.file.name} {mutant.kind} {mutant}" for mutant in found.survivors if mutant.kind in WATCHED)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nearly_every_broken_line_of_a_shipped_file_is_noticed(file: Path, sampled: dict[Path, Future[Score]]) -> None:
    found = sampled[file].result()
    assert found.tried(*WATCHED) >= SAMPLE / 2, "what is asked for and expected is most of a file"
    assert found.share(*WATCHED) >= ENOUGH_OF_SAMPLE, watched(found)


@pytest.mark.slow
def test_of_all_shipped_files_together_hardly_a_broken_line_goes_unnoticed(sampled: dict[Path, Future[Score]]) -> None:
    scores = [sampled[file].result() for file in FILES]
    caught = sum(found.caught[kind] for found in scores for kind in WATCHED)
    assert caught / sum(found.tried(*WATCHED) for found in scores) >= ENOUGH, "\n".join(filter(None, map(watched, scores)))
