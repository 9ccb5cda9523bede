"""How problems are said."""

from pathlib import Path

from translators.place import Where
from translators.problems import REPORTED_PROBLEMS, InvalidFileError, Problem, Problems, quote, suggest, suggest_or_list


def test_a_problem_is_said_with_its_place_and_its_hint() -> None:
    problem = Problem("unknown word `x`", Where(Path("a/b.yaml"), 3, 7), "Did you mean `y`?")
    assert str(problem) == "a/b.yaml:3:7: unknown word `x`\n    Did you mean `y`?"
    assert str(Problem("nothing to serve")) == "nothing to serve"


def test_problems_are_in_the_order_of_their_places() -> None:
    places = [("b.yaml", 1, 1), ("a.yaml", 10, 1), ("a.yaml", 2, 9), ("a.yaml", 2, 1)]
    error = InvalidFileError([Problem("m", Where(Path(file), line, column)) for file, line, column in places])
    assert str(error).splitlines() == ["a.yaml:2:1: m", "a.yaml:2:9: m", "a.yaml:10:1: m", "b.yaml:1:1: m"]


def test_suggestions_ignore_case_and_far_words() -> None:
    words = ("upstream", "headers", "routes")
    assert suggest("Upsteam", words) == "Did you mean `upstream`?"
    assert suggest("ROUTES", words) == "Did you mean `routes`?"
    assert suggest("zzz", words) is None
    assert suggest_or_list("zzz", words, "Words") == "Words: upstream, headers, routes"


def test_N07_quoted_text_is_short_and_holds_no_control_characters() -> None:
    assert quote("a\x1b[31m\n\u202eb") == "`a\\u{1b}[31m\\u{a}\\u{202e}b`"
    assert len(quote("x" * 10_000)) < 100


def test_equal_problems_count_once_and_their_number_is_bounded() -> None:
    problems = Problems()
    for _ in range(2):
        problems.add("same", None)
    assert len(problems) == 1
    for number in range(1000):
        problems.add(str(number), None)
    assert len(problems) == REPORTED_PROBLEMS
