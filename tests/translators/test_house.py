"""Laws of the room: the documentation agrees with the words, the names with the proxy's, and dependencies point one way."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from proxy.settings import Limits, Timeouts
from translators import json_schema, reference
from translators.load import load, shipped_rules
from translators.words import route

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "translators").rglob("*.py"))


def test_the_reference_holds_the_tables_generated_from_the_words() -> None:
    document = (ROOT / "docs" / "rules.md").read_text()
    marked = re.findall(r"<!-- words: (\w+) -->\n(.*?)\n<!-- end -->", document, re.DOTALL)
    assert dict(marked) == reference.blocks(), "run `python -m translators.reference docs/rules.md`"


def test_the_schema_for_editors_is_generated_from_the_words() -> None:
    published = (ROOT / "docs" / "rules.schema.json").read_text("utf-8")
    assert published == json_schema.render(), "run `python -m translators.json_schema > docs/rules.schema.json`"


def test_every_example_of_the_reference_is_a_rule_file(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "rules.md").read_text("utf-8")
    texts = [text for text in re.findall(r"```yaml\n(.*?)```", document, re.DOTALL) if re.search("^platform:", text, re.MULTILINE)]
    assert len(texts) >= 4
    for layer in ("shipped", "own"):
        (tmp_path / layer).mkdir()
    for text in texts:
        name = re.findall("^platform: ([a-z]+)", text, re.MULTILINE)[0]
        (tmp_path / ("own" if "\nextends:" in text else "shipped") / f"{name}.yaml").write_text(text)
    shipped, both = load([tmp_path / "shipped"]), load([tmp_path / "shipped", tmp_path / "own"])
    assert len(shipped.platforms) == len(texts) - 1
    assert both.platforms["filmer"].upstream.host == "relay.example.com"


def test_every_word_of_the_tables_is_explained_in_one_sentence() -> None:
    for words in reference.WORDS.values():
        for word in words:
            assert word.doc.endswith("."), word.name
            assert "|" not in word.doc + word.form, word.name


def test_timeouts_and_limits_of_a_platform_are_names_of_the_proxy() -> None:
    assert set(route.TIMEOUTS) <= {field.name for field in fields(Timeouts)}
    assert set(route.LIMITS) <= {field.name for field in fields(Limits)}
    assert set(route.TIMEOUTS) >= route.ZERO_TIMEOUTS
    assert set(route.LIMITS) >= route.ZERO_LIMITS | set(route.ROUTE_LIMITS)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_here_imports_the_proxy_or_reaches_the_network(module: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
    imported = {name.partition(".")[0] for name in imported if name != "urllib.parse"}
    assert not imported & {"proxy", "socket", "asyncio", "aiohttp", "time", "urllib", "subprocess", "os"}


def test_no_python_file_knows_the_name_of_a_platform() -> None:
    known = "|".join(sorted(file.stem for file in shipped_rules().glob("*.yaml")))
    assert known
    pairs = ROOT / "translators" / "interpreters"  # protocols have header fields that are called after who made them
    for module in (module for module in MODULES if pairs not in module.parents):
        # Comments that explain a protocol may name who made it; code may not.
        code = "\n".join(line.partition("#")[0] for line in module.read_text().splitlines())
        assert not re.search(rf"\b({known})\b", code, re.IGNORECASE), module.name
