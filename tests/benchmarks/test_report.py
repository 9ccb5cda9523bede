"""The arithmetic of the benchmark report, on made-up runs."""

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.run import turns
from benchmarks.targets import DIRECT, TARGETS
from benchmarks.workloads import Run


def made(target: str, when: float, requests_per_s: float, problems: tuple[str, ...] = ()) -> Run:
    return Run("w1c32", target, when=when, figures={"requests_per_s": requests_per_s}, problems=list(problems))


def row_of(target: str, runs: list[Run]) -> list[str]:
    line = next(line for line in report.table("w1c32", runs) if line.startswith(f"| {target} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_run_is_divided_by_the_reference_nearest_in_time() -> None:
    runs = [made("nginx", 0, 100), made("dragoman", 1, 50), made("dragoman", 9, 150), made("nginx", 10, 200)]

    assert row_of("dragoman", runs)[3] == "0.50 / 0.62 / 0.75"


def test_a_failed_run_gives_no_figure_and_is_no_reference() -> None:
    runs = [made("nginx", 0, 100), made("nginx", 2, 900, ("3 errors",)), made("dragoman", 2, 50), made("dragoman", 3, 999, ("x",))]

    assert row_of("dragoman", runs)[1:4] == ["1 (+ 1 failed)", "50", "0.50 / 0.50 / 0.50"]


def test_a_target_that_only_failed_has_a_row_without_figures() -> None:
    assert row_of("dragoman", [made("nginx", 0, 100), made("dragoman", 1, 50, ("x",))])[1:4] == ["0 (+ 1 failed)", "-", "-"]


def test_added_latency_is_the_difference_to_the_direct_run_nearest_in_time() -> None:
    runs = [Run("w3", name, when=when, figures={"f_us": us}) for name, when, us in (("direct", 0, 5000.0), ("direct", 9, 7000.0))]
    ours = [Run("w3", "dragoman", when=8, figures={"f_us": 7250.0})]

    assert report.differences(ours, runs, "f_us") == [pytest.approx(250.0)]


@pytest.mark.parametrize("number", [0, 1])
def test_every_target_runs_next_to_the_reference(number: int) -> None:
    order = [target.name for target in turns([*TARGETS.values()], number)]

    assert {name for name in order if name != "nginx"} == set(TARGETS) - {"nginx"}
    for at, name in enumerate(order):
        assert name == "nginx" or "nginx" in order[max(at - 1, 0) : at + 2] or at == len(order) - 1


def test_without_the_reference_the_others_take_their_turns() -> None:
    assert turns([TARGETS[DIRECT]], 0) == [TARGETS[DIRECT]]


def test_what_is_written_names_its_conditions_and_failed_runs(tmp_path: Path) -> None:
    report.write(tmp_path, [made("nginx", 0, 100), made("dragoman", 1, 50, ("3 errors",))], {"commit": "abc"})

    text = (tmp_path / "latest.md").read_text()
    assert "| commit | abc |" in text
    assert "- w1c32, dragoman, round 1: 3 errors" in text
    assert [run["target"] for run in json.loads((tmp_path / "latest.json").read_text())["runs"]] == ["nginx", "dragoman"]
