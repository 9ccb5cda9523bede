"""docs/configuration.md against the program: every name, every default, every zero, every option."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from proxy import cli
from proxy.config import COUNTS, ZERO, load_config
from proxy.settings import KIB, MIB, Limits, Settings, Timeouts

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "configuration.md").read_text("utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table's lines by the name in the first; a repeated name is an error."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    found = {line[0].strip("`"): line[1:] for line in lines}
    assert len(found) == len(lines)
    return found


def marked(name: str) -> dict[str, list[str]]:
    match = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert match is not None
    return rows(match.group(1))


LIMITS, TIMEOUTS = marked("limits"), marked("timeouts")
SETTINGS = rows(TEXT.partition("## Settings")[2].partition("## Limits")[0])


def size(value: int) -> str:
    if value and value % MIB == 0:
        return f"{value // MIB} MiB"
    return f"{value // KIB} KiB" if value and value % KIB == 0 else str(value)


def test_every_limit_is_documented_with_its_default() -> None:
    documented = {name: cells[0] for name, cells in LIMITS.items()}
    assert documented == {
        field.name: str(field.default) if field.name in COUNTS else size(field.default) for field in fields(Limits)
    }


def test_every_timeout_is_documented_with_its_default() -> None:
    documented = {name: cells[0] for name, cells in TIMEOUTS.items()}
    rates = {"body_min_rate": f"{size(Timeouts().body_min_rate)}/s"}
    assert documented == {field.name: f"{field.default:g} s" for field in fields(Timeouts)} | rates


def test_zero_has_a_meaning_exactly_where_the_configuration_allows_it() -> None:
    assert {name for name, cells in (LIMITS | TIMEOUTS).items() if cells[1] != "-"} == ZERO


@pytest.mark.parametrize("table", [LIMITS, TIMEOUTS], ids=["limits", "timeouts"])
def test_every_line_says_what_is_bounded(table: dict[str, list[str]]) -> None:
    assert all(len(cells) == 4 and cells[2] for cells in table.values())


def test_every_setting_is_documented_with_its_default() -> None:
    def shown(value: object) -> str:
        if isinstance(value, tuple) and value:
            return " ".join(f"`{item}`" for item in value)
        if value is True or value is False:
            return f"`{str(value).lower()}`"
        if value == "":
            return "empty"
        return f"`{value}`" if value else "none"

    defaults = Settings()
    expected = {field.name: shown(getattr(defaults, field.name)) for field in fields(Settings)} | {"limits": "", "timeouts": ""}
    assert {name: cells[1] for name, cells in SETTINGS.items()} == expected


def test_every_option_of_serve_is_documented_beside_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    offered = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--config"}
    documented = {option: name for name, cells in SETTINGS.items() for option in re.findall(r"--[a-z-]+", cells[0])}
    assert set(documented) == offered
    singular = {"--upstream": "upstreams"}
    assert all(name == singular.get(option, option.removeprefix("--").replace("-", "_")) for option, name in documented.items())


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    match = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert match is not None
    file = tmp_path / "dragoman.yaml"
    file.write_text(match.group(1))
    settings = load_config(file)
    assert settings.limits.body == 64 * MIB
    assert settings.timeouts.t_first_byte == 120
    assert settings.timeouts.pre_drain == 0


def test_every_limit_and_timeout_is_read_by_the_engine() -> None:
    """A setting that nobody reads is a promise that nobody keeps."""
    engine = [file for file in (ROOT / "proxy").rglob("*.py") if file.name not in {"settings.py", "config.py"}]
    code = "\n".join(file.read_text("utf-8") for file in engine)
    reads = set(re.findall(r"(?:limits|timeouts|times)\.([a-z_]+)", code))
    unread = {field.name for record in (Limits, Timeouts) for field in fields(record)} - reads
    assert unread == set()
