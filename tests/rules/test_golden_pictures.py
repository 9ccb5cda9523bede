"""The golden vectors of pictures (G-I*) stand in the examples of the rule file that answers them, which `check` plays."""

from pathlib import Path
from typing import Any

import yaml

from tests.interpreters.vectors import vectors

RULES = Path(__file__).parents[2] / "rules" / "gemini.yaml"
NO_PART_OF_IT = ("model", "created")  # the name of a relay, and the clock


def without(value: dict[str, Any]) -> dict[str, Any]:
    return {key: member for key, member in value.items() if key not in NO_PART_OF_IT}


def example(title: str) -> Any:
    file = yaml.load(RULES.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)  # the parser that reads rule files
    return next(one for one in file["examples"] if one["title"] == title)


def test_a_picture_is_asked_for_and_answered_as_the_vectors_say() -> None:
    found, golden = example("a picture in the words of the unified API, from two others"), vectors()
    assert without(found["client"]["json"]) == without(golden["G-I1-OAI"].json)
    assert found["upstream"]["json"] == golden["G-I1-GEM"].json
    assert found["answer"]["json"] == golden["G-I2-GEM"].json
    assert without(found["result"]["json"]) == without(golden["G-I2-OAI"].json)


def test_an_answer_without_a_picture_is_the_one_of_the_vector() -> None:
    assert example("no picture was made")["answer"]["json"] == vectors()["G-I3-GEM"].json
