"""The documentation, the dashboard and the alert rules speak of the metrics that exist, and of all of them where they should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.outcomes import ErrorType, Outcome, Phase
from proxy.telemetry import catalogue
from proxy.telemetry.families import Kind, Spec
from proxy.telemetry.metrics import LIMIT_NAMES, Metrics

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "metrics.md"
DASHBOARD = ROOT / "grafana" / "dashboards" / "dragoman.json"
RULES = ROOT / "grafana" / "alerts" / "dragoman.rules.yml"
SPECS = {spec.name: spec for spec in catalogue.ALL}
ADDED_BY_PROMETHEUS = {"le", "instance", "job"}
VALUES = {
    "outcome": {outcome.label for outcome in Outcome},
    "status": {"1xx", "2xx", "3xx", "4xx", "5xx", "none"},
    "error": set(ErrorType),
    "result": {"ok", *ErrorType},
    "state": {"idle", "busy"},
    "phase": set(Phase),
    "limit": LIMIT_NAMES,
    "type": {"input", "output"},
}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def documented() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Name → type, labels, meaning, from the rows of the document's tables."""
    rows = re.findall(r"^\| `([a-z_]+_[a-z_]+)` \| (\w+) \|([^|]*)\| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == len({row[0] for row in rows}), "a metric is documented twice"
    return {name: (kind, tuple(filter(None, labels.strip().split(", "))), meaning) for name, kind, labels, meaning in rows}


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and every PromQL expression of the dashboard and the rules."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']!r}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']!r}", variable["definition"]
    for rule in all_rules():
        yield f"rule {rule['alert']!r}", rule["expr"]


def all_rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def family_of(name: str) -> Spec | None:
    """The spec behind a sample's name; None for `process_*` and the like."""
    spec = SPECS.get(name) or SPECS.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return spec if spec is None or spec.name == name or spec.kind is Kind.HISTOGRAM else None


def test_the_document_lists_exactly_the_metrics_there_are() -> None:
    assert set(documented()) == set(SPECS)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_document_has_type_labels_and_meaning_of(name: str) -> None:
    kind, labels, meaning = documented()[name]
    assert (kind, labels) == (SPECS[name].kind.value, SPECS[name].labels)
    assert len(meaning) > 10
    assert ("Buckets: times." in meaning) == (SPECS[name].bounds == catalogue.TIMES)


def test_the_document_lists_the_outcomes_and_the_phases() -> None:
    text = DOCUMENT.read_text()
    outcomes = text.partition("\nOutcomes:\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", outcomes, re.MULTILINE)) == VALUES["outcome"]
    for phase in Phase:
        assert f"`{phase}`" in text


def test_every_metric_in_dashboard_and_rules_exists() -> None:
    exposed = set(re.findall(r"^# TYPE (\w+) ", Metrics().exposition().decode(), re.MULTILINE))
    found = 0
    for where, expression in expressions():
        for name in re.findall(r"\b(?:dragoman|gen_ai|process|python)_[a-z_]+", expression):
            found += 1
            spec = family_of(name)
            assert spec is not None or name in exposed, f"{where}: there is no metric {name}"
            if spec is not None and spec.kind is Kind.HISTOGRAM:
                assert name != spec.name, f"{where}: {name} is a histogram, it has only _bucket, _sum and _count"
    assert found > 60


def test_every_label_and_value_selected_in_dashboard_and_rules_exists() -> None:
    for where, expression in expressions():
        for name, selector in re.findall(r"\b((?:dragoman|gen_ai)_[a-z_]+)\{([^}]*)\}", expression):
            spec = family_of(name)
            assert spec is not None, where
            for label, value in re.findall(r'(\w+)(?:=~|!=|=)"([^"]*)"', selector):
                assert label in spec.labels, f"{where}: {name} has no label {label}"
                if label in VALUES:
                    assert set(value.split("|")) <= VALUES[label], f"{where}: {label} is never {value}"


def test_every_label_grouped_by_in_dashboard_and_rules_exists() -> None:
    for where, expression in expressions():
        for labels, rest in re.findall(r"by \(([^)]*)\) \(\s*(.*)", expression):
            name = re.search(r"(?:dragoman|gen_ai)_[a-z_]+", rest)
            assert name is not None, where
            spec = family_of(name.group())
            assert spec is not None, where
            assert set(labels.split(", ")) <= {*spec.labels, *ADDED_BY_PROMETHEUS}, where


def test_every_metric_is_on_the_dashboard() -> None:
    text = DASHBOARD.read_text()
    assert [name for name in SPECS if name not in text] == []


def test_the_panels_of_the_dashboard_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_rule_says_how_bad_it_is_and_what_happened() -> None:
    rules = all_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.peer
@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    result = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.peer
@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    for file in (RULES, Path(__file__).with_name("alerts.test.yml")):
        shutil.copy(file, tmp_path)
    result = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.peer
@needs_promtool
def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, (where, expression) in enumerate(expressions())
        if where.startswith("panel")
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    result = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
