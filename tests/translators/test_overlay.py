"""Overlays: `extends`, over directories and inside one, with every place in the file where it stands."""

# ruff: noqa: E501 - a slip and what is said about it stand on one line

from pathlib import Path

import pytest

from tests.translators.rulefiles import write
from translators.load import load, load_file
from translators.problems import InvalidFileError

BASE = """\
platform: base
title: Base
upstream: https://api.example.com
auth: {bearer: "${secret.BASE_KEY}"}
models: [one-*]
tables: {size: {a: 1}}
routes:
  POST /v1/a: {body: {x: "${lookup('size', body.s)}", y: 2}}
  POST /v1/b: carry
native: carry
examples:
  - {title: a, client: {send: POST /base/v1/a, json: {s: a}}, upstream: {send: POST /v1/a, json: {x: 1, y: 2}}}
  - {title: b, client: {send: POST /v1/b, json: {}}}
"""


def directories(tmp_path: Path, *layers: dict[str, str]) -> list[Path]:
    found = []
    for index, files in enumerate(layers):
        directory = tmp_path / str(index)
        directory.mkdir()
        for name, text in files.items():
            write(directory, text, name)
        found.append(directory)
    return found


def problems_of(tmp_path: Path, *layers: dict[str, str]) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        load(directories(tmp_path, *layers))
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_law_8_a_few_lines_change_a_platform_of_an_earlier_directory(tmp_path: Path) -> None:
    own = "platform: base\nextends: base\nupstream: https://relay.example.com/x\nroutes:\n  POST /v1/a: {body: {y: 3}}\n"
    platform = load(directories(tmp_path, {"base": BASE}, {"base": own})).platforms["base"]
    assert (platform.upstream.host, platform.upstream.base, platform.title) == ("relay.example.com", "/x", "Base")
    assert [route.id for route in platform.routes] == ["POST /v1/a", "POST /v1/b"]
    assert platform.routes[0].handling is not None
    body = platform.routes[0].handling.branches[0].body
    assert body is not None
    assert body.template.evaluate({"body": {"s": "a"}}) == {"x": 1, "y": 3}
    assert platform.extends == "base"
    assert [example.title for example in platform.examples] == ["a", "b"]
    assert [route.where.file.parent.name for route in platform.routes] == ["1", "0"]


def test_law_8_null_takes_a_key_out_lists_and_auth_replace(tmp_path: Path) -> None:
    own = "platform: base\nextends: base\nauth: {key: '${secret.OTHER_KEY}'}\nmodels: [two-*]\nroutes: {POST /v1/a: null}\nexamples: []\n"
    platform = load(directories(tmp_path, {"base": BASE}, {"base": own})).platforms["base"]
    assert [route.id for route in platform.routes] == ["POST /v1/b"]
    assert [model.name for model in platform.models] == ["two-*"]
    assert platform.secrets == {"OTHER_KEY"}
    assert platform.examples == ()


def test_law_8_another_name_makes_a_platform_beside_the_old_one(tmp_path: Path) -> None:
    own = "platform: mine\nextends: base\nmodels: [mine-*]\n"
    platforms = load(directories(tmp_path, {"base": BASE, "mine": own})).platforms
    assert list(platforms) == ["base", "mine"]
    assert [example.client.target for example in platforms["mine"].examples] == ["/mine/v1/a", "/mine/v1/b"]
    assert [example.client.target for example in platforms["base"].examples] == ["/base/v1/a", "/v1/b"]
    assert [route.id for route in load_file(tmp_path / "0" / "mine.yaml").routes] == ["POST /v1/a", "POST /v1/b"]


def test_an_overlay_may_be_extended_in_turn(tmp_path: Path) -> None:
    middle = "platform: base\nextends: base\ntitle: Middle\n"
    top = "platform: base\nextends: base\ndocs: https://docs.example.com\n"
    platform = load(directories(tmp_path, {"base": BASE}, {"base": middle}, {"base": top})).platforms["base"]
    assert (platform.title, platform.docs) == ("Middle", "https://docs.example.com")


def test_problems_name_the_file_in_which_the_line_stands(tmp_path: Path) -> None:
    own = "platform: mine\nextends: base\nmodels: [mine-*]\nroutes:\n  POST /v1/b: {edit: [{remove: [a..b]}]}\n"
    found = problems_of(tmp_path, {"base": BASE.replace("body.s", "bodi.s"), "mine": own})
    assert found[0].startswith("0/base.yaml:8:26: `bodi` is not known here")
    assert found[1].startswith("0/mine.yaml:5:33: `a..b` is no path of members")
    assert len(found) == 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"base": BASE, "mine": "platform: mine\nextends: bace\n"}, "0/mine.yaml:2:10: there is no platform `bace` to extend\n    Did you mean `base`?"),
        ({"mine": "platform: mine\nextends: mine\n"}, "0/mine.yaml:2:10: there is no platform `mine` to extend\n    A file of its own name must stand in an earlier directory."),
        ({"a": "platform: a\nextends: b\n", "b": "platform: b\nextends: a\n"}, "0/a.yaml:2:10: a circle: b extends a extends b"),
        ({"base": BASE, "mine": "extends: base\nmodels: []\n"}, "0/base.yaml:1:1: the platform `base` stands in a file of another name"),
        ({"base": BASE, "mine": "platform: mine\nextends: 5\n"}, "0/mine.yaml:2:10: a text is expected here, not a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_said(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    found = problems_of(tmp_path, files)
    assert any(problem.startswith(expected) for problem in found), found


def test_law_7_one_bad_overlay_and_nothing_is_loaded(tmp_path: Path) -> None:
    own = "platform: base\nextends: base\nupsteam: https://relay.example.com\n"
    found = problems_of(tmp_path, {"base": BASE}, {"base": own})
    assert found[0].startswith("1/base.yaml:3:1: unknown word `upsteam` in a rule file\n    Did you mean `upstream`?")


def test_O02_a_chain_of_overlays_has_an_end(tmp_path: Path) -> None:
    files = {f"p{index}": f"platform: p{index}\nextends: p{index + 1}\nmodels: []\n" for index in range(30)}
    found = problems_of(tmp_path, {**files, "p30": BASE.replace("base", "p30")})
    assert any("more than 16 files extend one another" in problem for problem in found)


def test_law_8_inherited_examples_do_not_speak_of_a_host_or_credential_that_was_replaced(tmp_path: Path) -> None:
    said = "headers: {Host: api.example.com, Authorization: Bearer test-BASE_KEY, X-Kept: k}"
    example = (
        f"  - {{title: c, client: {{send: POST /base/v1/a, json: {{}}}}, upstream: {{send: POST /v1/a, json: {{y: 2}}, {said}}}}}\n"
    )
    several = f"  - {{title: d, client: {{send: POST /base/v1/a, json: {{}}}}, calls: [{{upstream: {{send: POST /v1/a, json: {{y: 2}}, {said}}}, answer: {{json: 1}}}}]}}\n"
    own = "platform: base\nextends: base\nupstream: https://relay.example.com\nauth: {key: '${secret.OTHER_KEY}'}\n"
    layers = directories(
        tmp_path, {"base": BASE + example + several}, {"base": own}, {"base": "platform: base\nextends: base\ntitle: T\n"}
    )
    for examples in (load(layers[:2]).platforms["base"].examples, load(layers).platforms["base"].examples):
        assert [call.headers for one in examples[2:] for call, _ in one.calls] == [(("X-Kept", "k"),)] * 2
    kept = load(layers[:1]).platforms["base"].examples[2].calls[0][0].headers
    assert [name for name, _ in kept] == ["Host", "Authorization", "X-Kept"]
