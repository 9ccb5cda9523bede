"""The list of rules that are held here, against the names of all tests."""

import re
from pathlib import Path

import pytest

HELD = {
    "A": 13,
    "B": 20,
    "C": 12,
    "D": 13,
    "E": 11,
    "F": 11,
    "H": 4,
    "I": 10,
    "J": 4,
    "K": 15,
    "L": 7,
    "M": 9,
    "N": 10,
    "O": 8,
    "P": 9,
    "R": 5,
}
RULES = [f"{group}{number:02}" for group, count in HELD.items() for number in range(1, count + 1)]

NAMES = "\n".join(
    line for file in Path(__file__).parents[1].rglob("test_*.py") for line in file.read_text().splitlines() if "def test_" in line
)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_named_by_a_test(rule: str) -> None:
    assert re.search(rf"_{rule}(?![0-9])", NAMES), f"no test carries {rule} in its name"
