"""Laws of the room: the documentation agrees with the words, the names with the proxy's, and dependencies point one way."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from proxy.settings import Limits, Timeouts
from translators import reference, words
from translators.load import load, shipped_rules

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "translators").rglob("*.py"))


def test_the_reference_holds_the_tables_generated_from_the_words() -> None:
    document = (ROOT / "docs" / "rules.md").read_text()
    marked = re.findall(r"<!-- words: (\w+) -->\n(.*?)\n<!-- end -->", document, re.DOTALL)
    assert dict(marked) == reference.blocks(), "run `python -m translators.reference` and put its tables into docs/rules.md"


def test_every_word_of_the_tables_is_explained_in_one_sentence() -> None:
    for word in (*words.PLATFORM, *words.AUTH, *words.ROUTE):
        assert word.doc.endswith(".")
        assert "|" not in word.doc + word.form


def test_timeouts_and_limits_of_a_platform_are_names_of_the_proxy() -> None:
    assert set(words.TIMEOUTS) <= {field.name for field in fields(Timeouts)}
    assert set(words.LIMITS) <= {field.name for field in fields(Limits)}
    assert set(words.TIMEOUTS) >= words.ZERO_TIMEOUTS
    assert set(words.LIMITS) >= words.ZERO_LIMITS


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_nothing_here_imports_the_proxy_or_reaches_the_network(module: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    assert not imported & {"proxy", "socket", "asyncio", "aiohttp", "time", "urllib", "subprocess", "os"}


def test_no_python_file_knows_the_name_of_a_platform() -> None:
    known = "|".join(load([shipped_rules()]).platforms)
    for module in MODULES:
        # Comments that explain a protocol may name who made it; code may not.
        code = "\n".join(line.partition("#")[0] for line in module.read_text().splitlines())
        assert not re.search(rf"\b({known})\b", code, re.IGNORECASE), module.name
