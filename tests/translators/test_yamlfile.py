"""Strict YAML: places, core scalars, and hostile files."""

import resource
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml

from translators import yamlfile
from translators.problems import InvalidFileError
from translators.yamlfile import Mapping, Node, Scalar, Sequence

FILE = Path("x.yaml")


@pytest.fixture(params=["compiled", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with libyaml's parser and with the one in Python, which stands in where PyYAML was built without it."""
    name: str = request.param
    if name == "python":
        monkeypatch.setattr(yamlfile, "_LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    return name


def parse(text: str | bytes) -> Node:
    return yamlfile.parse(text if isinstance(text, bytes) else text.encode(), FILE)


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


def problems_of(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def problem_of(text: str | bytes) -> str:
    found = problems_of(text)
    assert len(found) == 1
    return found[0]


def test_every_node_knows_its_place(parser: str) -> None:
    root = parse("a: 1\nb:\n  - x\n  - {c: ü, d: e}\n")
    assert isinstance(root, Mapping)
    places = {key.text: (str(key.where), str(value.where)) for key, value in root.entries}
    assert places == {"a": ("x.yaml:1:1", "x.yaml:1:4"), "b": ("x.yaml:2:1", "x.yaml:3:3")}
    items = root.entries[1][1]
    assert isinstance(items, Sequence)
    inner = items.items[1]
    assert isinstance(inner, Mapping)
    # Columns count characters, not bytes: ü is one.
    assert [(str(key.where), str(value.where)) for key, value in inner.entries] == [
        ("x.yaml:4:6", "x.yaml:4:9"),
        ("x.yaml:4:12", "x.yaml:4:15"),
    ]


@pytest.mark.parametrize(
    "written",
    ["no", "No", "yes", "on", "off", "y", "n", "010", "-012", "12:30", "1_000", "0b11", "2024-01-01", "tRUE", "=",
     "1e", "00.5", "+.e1", "0o8"],
)  # fmt: skip
def test_O01_what_yaml_1_1_reads_as_something_else_stays_text(written: str, parser: str) -> None:
    assert plain(parse(f"a: {written}")) == {"a": written}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True), ("TRUE", True), ("False", False), ("null", None), ("~", None), ("", None), ("0", 0), ("-7", -7), ("+7", 7),
        ("0o17", 15), ("0xfF", 255), ("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), ("1.e-2", 0.01), (".inf", float("inf")),
        ("-.INF", float("-inf")), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)),
    ],
)  # fmt: skip
def test_O01_plain_scalars_are_read_by_the_core_schema_of_yaml_1_2(written: str, value: object, parser: str) -> None:
    found = plain(parse(f"a: {written}"))
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_O01_not_a_number_is_a_float(parser: str) -> None:
    found = plain(parse("a: .nan"))
    assert isinstance(found, dict)
    assert found["a"] != found["a"]


@pytest.mark.parametrize("written", ["'true'", '"1"', "!!str true", "! 1", "|-\n  null", ">-\n  12"])
def test_quoted_block_and_str_tagged_scalars_are_text(written: str, parser: str) -> None:
    found = plain(parse(f"a: {written}"))
    assert isinstance(found, dict)
    assert isinstance(found["a"], str)


@pytest.mark.parametrize("tagged", ["!!int 5", "!!float 5", "!!bool true", "!!null ~", "!!seq [1]", "!!map {a: 1}"])
def test_O01_tags_of_the_core_set_are_read_when_they_fit(tagged: str, parser: str) -> None:
    assert isinstance(parse(f"a: {tagged}"), Mapping)


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.system [ls]", "!!python/name:os.system ''", "!!binary aGk=", "!!timestamp 2024-01-01",
        "!!set {a}", "!!omap []", "!mine x", "!<tag:example.com,2000:x> y", "!!seq {a: 1}", "!!map [a]", "!!str [a]",
    ],
)  # fmt: skip
def test_O01_any_other_tag_is_an_error(tagged: str, parser: str) -> None:
    problem = problem_of(f"ok: 1\na: {tagged}")
    assert problem.startswith("x.yaml:2:4: the tag `")
    assert "is not read here" in problem


def test_O01_a_core_tag_that_does_not_fit_is_an_error(parser: str) -> None:
    assert problem_of("a: !!int hello") == "x.yaml:1:4: `hello` is no int, as its tag says"


def test_O01_a_duplicate_key_names_both_places(parser: str) -> None:
    assert problem_of("a: 1\nb: 2\n'a': 3\n").splitlines()[0] == "x.yaml:3:1: the key `a` stands twice: first in line 1, column 1"


def test_all_problems_of_a_tree_are_reported_together(parser: str) -> None:
    found = problems_of("a: !x 1\nb: {c: 1, c: 2}\nd: 99999999999999999999\n? [k]\n: v\n")
    assert [problem.split(": ")[0] for problem in found] == ["x.yaml:1:4", "x.yaml:2:11", "x.yaml:3:4", "x.yaml:4:3"]


@pytest.mark.parametrize("number", ["9223372036854775808", "1" * 25, "1" * 10_000, "0x" + "f" * 17, "-" + "9" * 5000])
def test_integers_beyond_64_bits_are_errors_and_not_slow(number: str, parser: str) -> None:
    assert "more than 64 bits" in problem_of(f"a: {number}")


# --- rule O02: bounds ---

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{','.join(['*' + chr(97 + level)] * 9)}]\n" for level in range(10)
)
HOSTILE = {
    "nested lists": ("[" * 200_000, "nested deeper than 32 levels"),
    "nested lists, one a line": ("[\n" * 200_000, "nested deeper than 32 levels"),
    "nested mappings": ("{a: " * 200_000, "nested deeper than 32 levels"),
    "nested dashes": ("- " * 400_000, "nested deeper than 32 levels"),
    "nested blocks": ("".join(" " * level + "a:\n" for level in range(1000)), "nested deeper than 32 levels"),
    "alias bomb": (BOMB, "the aliases expand to more than 10 MiB"),
    "recursive alias in a list": ("a: &a [*a]", "stands inside what it names"),
    "recursive alias in a mapping": ("a: &a {b: {c: *a}}", "stands inside what it names"),
    "undefined alias": ("a: *b", "no anchor `&b`"),
    "many aliases": ("a: &a x\nb: [" + "*a, " * 101 + "]", "more than 100 aliases"),
    "too large": ("a: " + "x" * (2 * 1024 * 1024), "larger than 1024 KiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_O02_bounds_are_errors_within_200_milliseconds(name: str, parser: str) -> None:
    text, expected = HOSTILE[name]
    data = text.encode()
    started = time.thread_time()
    assert expected in problem_of(data)
    # Measured: at most 10 ms compiled, 100 ms in Python; the stand-in gets room for slow machines.
    assert time.thread_time() - started < (0.2 if parser == "compiled" else 2)


@pytest.mark.parametrize("text", ["- a\n" * 250_000, "[" + "a," * 500_000 + "]"])
def test_O02_more_than_100_000_values_are_an_error(text: str) -> None:
    assert "more than 100,000 values" in problem_of(text)


def test_O02_hostile_files_do_not_grow_the_memory() -> None:
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        for text, _ in HOSTILE.values():
            problems_of(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_O02_what_is_exactly_at_the_bounds_is_read(parser: str) -> None:
    deep = "[" * 32 + "]" * 32
    assert isinstance(parse(deep), Sequence)
    assert "nested deeper" in problem_of("[" + deep + "]")
    aliases = "a: &a x\nb: [" + "*a, " * 100 + "]"
    assert isinstance(parse(aliases), Mapping)
    filled = b"a: b\n#" + b"x" * (yamlfile.MAX_FILE_BYTES - 6)
    assert len(filled) == 1024 * 1024
    assert plain(parse(filled)) == {"a": "b"}
    assert "larger than" in problem_of(filled + b"x")


def test_aliases_give_the_node_they_name(parser: str) -> None:
    assert plain(parse("a: &x {k: 1}\nb: *x\nc: &x 2\nd: *x\n")) == {"a": {"k": 1}, "b": {"k": 1}, "c": 2, "d": 2}


# --- text and documents ---


def test_bytes_that_are_not_utf_8_are_named_by_their_place() -> None:
    assert problem_of("a: ü\nb: x".encode() + b"\xff\n") == "x.yaml:2:5: not UTF-8\n    Save the file as UTF-8."
    assert "not UTF-8" in problem_of("a: 1".encode("utf-16"))


def test_a_byte_order_mark_at_the_start_is_skipped(parser: str) -> None:
    assert plain(parse(b"\xef\xbb\xbfa: 1")) == {"a": 1}


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\ufffe"])
def test_control_characters_are_errors_with_their_place(character: str) -> None:
    assert problem_of(f"a: 1\nb: x{character}y").startswith(f"x.yaml:2:5: the character U+{ord(character):04X} is not allowed")


def test_a_tab_as_indentation_says_what_to_do(parser: str) -> None:
    problem = problem_of("a:\n\tb: 1\n")
    assert problem.startswith("x.yaml:2:")
    assert "Indent with blanks" in problem


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a: [1, 2\nb: 3", "x.yaml:2:", ""),
        ("a: b: c", "x.yaml:1:5", ""),
        ("auth: {bearer: ${secret.X}}", "x.yaml:1:", 'must be quoted: {bearer: "${secret.NAME}"}'),
        ("models: [*, b]", "x.yaml:1:", "must be quoted"),
    ],
)
def test_syntax_errors_have_a_place_and_a_hint(text: str, place: str, hint: str) -> None:
    problem = problem_of(text)
    assert problem.startswith(place)
    assert hint in problem


def test_one_file_holds_one_document(parser: str) -> None:
    assert problem_of("a: 1\n---\nb: 2\n").startswith("x.yaml:2:1: a second document starts here")
    assert plain(parse("---\na: 1\n...\n")) == {"a": 1}


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%TAG !e! tag:example.com,2000:"])
def test_directives_are_errors(directive: str, parser: str) -> None:
    assert "directives (%YAML, %TAG) are not read" in problem_of(f"{directive}\n---\na: 1\n")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_file_without_a_document_is_an_empty_mapping(text: str, parser: str) -> None:
    node = parse(text)
    assert isinstance(node, Mapping)
    assert node.entries == ()


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="no such file"):
        yamlfile.read(tmp_path / "absent.yaml")
    with pytest.raises(InvalidFileError, match="not a regular file"):
        yamlfile.read(tmp_path)
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    assert plain(yamlfile.read(file)) == {"a": 1}


# --- the merge key ---


def merged(text: str) -> object:
    def value(node: yamlfile.Node) -> object:
        if isinstance(node, yamlfile.Mapping):
            return {key.text: value(item) for key, item in node.entries}
        if isinstance(node, yamlfile.Sequence):
            return [value(item) for item in node.items]
        return node.value

    return value(yamlfile.parse(text.encode(), Path("rule.yaml")))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{<<: *one, c: 3}", {"a": 1, "b": 2, "c": 3}),
        ("{b: 9, <<: *one}", {"a": 1, "b": 9}),
        ("{<<: [*two, *one]}", {"a": 7, "b": 2}),
        ("{<<: {d: 4}}", {"d": 4}),
        ('{"<<": 5}', {"<<": 5}),
    ],
)
def test_a_merge_key_takes_in_what_is_not_written_out(written: str, expected: object) -> None:
    text = f"one: &one {{a: 1, b: 2}}\ntwo: &two {{a: 7}}\nx: {written}\n"
    found = merged(text)
    assert isinstance(found, dict)
    assert found["x"] == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{<<: 5}", "rule.yaml:1:5: `<<` takes in the entries of a mapping"),
        ("{<<: [{a: 1}, 5]}", "rule.yaml:1:5: `<<` takes in the entries of a mapping"),
        ("{<<: {a: 1}, <<: {b: 1}}", "rule.yaml:1:17: the key `<<` stands twice"),
    ],
)
def test_a_merge_key_with_anything_else_is_an_error(written: str, expected: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        yamlfile.parse(f"x: {written}\n".encode(), Path("rule.yaml"))
    assert str(caught.value).startswith(expected)


def test_O02_merge_keys_cannot_grow_without_end() -> None:
    lines = ["a0: &a0 {" + ", ".join(f"k{i}: {'x' * 60}" for i in range(100)) + "}"]
    lines += [f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}, <<: *a{i - 1}}}" for i in range(1, 30)]
    with pytest.raises(InvalidFileError, match="expand to more than 10 MiB"):
        yamlfile.parse("\n".join(lines).encode(), Path("rule.yaml"))
