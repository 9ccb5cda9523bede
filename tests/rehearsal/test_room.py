"""This room looks at the proxy; the proxy does not know of it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = sorted(file for file in (ROOT / "proxy").rglob("*.py") if "rehearsal" not in file.parts and file.name != "cli.py")


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_serves_imports_nothing_of_the_rehearsal(file: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    assert not {name for name in names if name.startswith("proxy.rehearsal")}
