"""Model names and patterns."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.model import ModelRule
from translators.models import ModelTable
from translators.place import Where


def table(*names: str) -> ModelTable[str]:
    return ModelTable.build((name, name) for name in names)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4*"),
        ("gpt-5", "gpt-*"),
        ("gpt-", "gpt-*"),
        ("gpt-5-mini", "gpt-*-mini"),
        ("o3", "*"),
        ("", "*"),
    ],
)
def test_exact_names_win_then_the_longest_text_around_the_star(model: str, expected: str) -> None:
    assert table("*", "gpt-*", "gpt-*-mini", "gpt-4*", "gpt-4o").match(model) == expected


def test_the_two_ends_of_a_pattern_do_not_overlap() -> None:
    assert table("ab*ba").match("aba") is None
    assert table("ab*ba").match("abba") == "ab*ba"


def test_case_counts() -> None:
    assert table("gpt-*").match("GPT-4o") is None


def test_the_table_of_a_platform_gives_its_rules() -> None:
    rule = ModelRule("a-*", None, Where(Path("x.yaml"), 1, 1))
    models = ModelTable.of([rule])
    assert models.match("a-1") is rule
    assert models.match("b") is None


NAMES = st.text("ab", max_size=3)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["", "*"]), NAMES).map("".join), unique=True, max_size=6), st.text("ab", max_size=6)
)
def test_what_is_found_matches_and_nothing_that_matches_is_missed(names: list[str], model: str) -> None:
    matching = [name for name in names if fnmatchcase(model, name)]
    found = table(*names).match(model)
    if not matching:
        assert found is None
    elif model in matching:
        assert found == model
    else:
        assert found in matching
        assert len(found.partition("*")[0]) == max(len(name.partition("*")[0]) for name in matching)
