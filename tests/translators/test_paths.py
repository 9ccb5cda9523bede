"""Path patterns, against a reference that is simple enough to be right."""

import re
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.paths import METHODS, PathTable, conflicts, find_conflict, parse_pattern, parse_route
from translators.problems import InvalidValueError

GENERATE = "/v1beta/models/{model}:generateContent"


def table(*patterns: str) -> PathTable[str]:
    return PathTable.build(("GET", pattern, pattern) for pattern in patterns)


def test_exact_paths_and_variables_are_matched() -> None:
    paths = table("/v1/models", "/v1/models/{model}", GENERATE, "/v1/files/{file_id}/content")
    assert paths.match("GET", "/v1/models") == ("/v1/models", {})
    assert paths.match("GET", "/v1/models/gpt-4o") == ("/v1/models/{model}", {"model": "gpt-4o"})
    assert paths.match("GET", "/v1beta/models/gemini-3:generateContent") == (GENERATE, {"model": "gemini-3"})
    assert paths.match("GET", "/v1beta/models/a:b:generateContent") == (GENERATE, {"model": "a:b"})
    assert paths.match("GET", "/v1/files/f-1/content") == ("/v1/files/{file_id}/content", {"file_id": "f-1"})
    for path in (
        "/v1/models/",
        "/v1/models/a/b",
        "/v1/model",
        "/v1beta/models/:generateContent",
        "/v1/files//content",
        "",
        "/",
        "v1/models",
    ):
        assert paths.match("GET", path) is None
    assert paths.match("POST", "/v1/models") is None


def test_C05_an_encoded_slash_is_opaque_and_stays_encoded() -> None:
    paths = table("/v1/models/{model}", "/v1/models/{model}/x")
    assert paths.match("GET", "/v1/models/ft:a%2Fb") == ("/v1/models/{model}", {"model": "ft:a%2Fb"})
    assert paths.match("GET", "/v1/models/a%2Fx") == ("/v1/models/{model}", {"model": "a%2Fx"})


def test_C07_percent_encoding_is_compared_byte_for_byte() -> None:
    paths = table("/a/~x", "/b/%7Ex", "/c/{name}")
    assert paths.match("GET", "/a/%7Ex") is None
    assert paths.match("GET", "/b/%7ex") is None
    assert paths.match("GET", "/%63/x") is None
    assert paths.match("GET", "/c/%7Ex%zz") == ("/c/{name}", {"name": "%7Ex%zz"})


def test_C10_the_longest_literal_prefix_wins_then_the_first_declared() -> None:
    paths = table("/v1/{a}/tasks", "/v1/images/{b}", "/v1/images/tasks", "/v1/{c}/{d}")
    assert paths.match("GET", "/v1/images/tasks") == ("/v1/images/tasks", {})
    assert paths.match("GET", "/v1/images/other") == ("/v1/images/{b}", {"b": "other"})
    assert paths.match("GET", "/v1/videos/tasks") == ("/v1/{a}/tasks", {"a": "videos"})
    assert paths.match("GET", "/v1/videos/other") == ("/v1/{c}/{d}", {"c": "videos", "d": "other"})


def test_A08_the_methods_of_a_path_are_known_for_allow() -> None:
    paths = PathTable.build(
        [("POST", "/v1/videos", 1), ("GET", "/v1/videos", 2), ("DELETE", "/v1/videos/{id}", 3), ("GET", "/v1/videos/{id}", 4)]
    )
    assert paths.methods("/v1/videos") == ("GET", "POST")
    assert paths.methods("/v1/videos/x") == ("GET", "DELETE")
    assert paths.methods("/v2") == ()


def test_values_may_be_none_or_false() -> None:
    paths: PathTable[None] = PathTable.build([("GET", "/a", None), ("GET", "/{b}/c", None)])
    assert paths.match("GET", "/a") == (None, {})
    assert paths.match("GET", "/x/c") == (None, {"b": "x"})
    assert paths.methods("/a") == ("GET",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v1/models", "does not start with `/`"),
        ("/a?b=c", "query or a fragment"),
        ("/a#b", "query or a fragment"),
        ("/a//b", "empty segment"),
        ("//a", "empty segment"),
        ("/a/../b", "dot segment"),
        ("/a/%2E%2e", "dot segment"),
        ("/a/.", "dot segment"),
        ("/a b", "no request path has"),
        ("/ä", "no request path has"),
        ("/a%2", "no request path has"),
        ("/a\\b", "no request path has"),
        ("/a/{}", "is no variable"),
        ("/a/{B}", "is no variable"),
        ("/a/{b-c}", "is no variable"),
        ("/a/{b", "no request path has"),
        ("/a/b}", "no request path has"),
        ("/{a}/{a}", "stands twice"),
        ("/{a}-{b}", "two variables in one segment"),
    ],
)
def test_O04_patterns_that_no_path_can_match_are_errors(text: str, expected: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(expected)):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["/", "/v1/models/", "/jimeng/", "/a/...", "/a/%2F", "/v1/~x/{a_1}.json"])
def test_unusual_patterns_are_possible(text: str) -> None:
    assert parse_pattern(text).text == text


@pytest.mark.parametrize("text", ["post /v1", "TRACE /x", "CONNECT /x", "* /x", "POST", "/v1/models", "POST  /x", " /x", ""])
def test_A09_methods_are_from_a_closed_list(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_route(text)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("/a/{x}", "/a/{y}", "matches the same paths as"),
        ("/a/b", "/a/b", "matches the same paths as"),
        ("/a/{x}", "/a/{x}:run", "is never reached, because all its paths are matched by"),
        ("/a/{x}:run", "/a/{x}", None),
        ("/a/{x}/b", "/a/{x}/{y}", None),
        ("/a/{x}/{y}", "/a/{x}/b", "is never reached, because all its paths are matched by"),
        ("/{x}/b{y}", "/{x}/{y}c", "matches some paths that are also matched by"),
        ("/a/{x}:run", "/a/{x}:stop", None),
        ("/a/{x}", "/a/b", None),
        ("/a/{x}", "/a/b{x}", None),
        ("/a/{x}", "/a/{x}/", None),
        ("/{x}/b", "/{x}/c", None),
    ],
)
def test_C10_O05_routes_that_cannot_stand_together_are_found(first: str, second: str, expected: str | None) -> None:
    assert find_conflict(parse_pattern(first), parse_pattern(second)) == expected


def test_conflicts_concern_one_method_only() -> None:
    same = parse_pattern("/a/{x}")
    assert list(conflicts([("GET", same, 1), ("POST", same, 2)])) == []
    assert list(conflicts([("GET", same, 1), ("GET", same, 2)])) == [(1, 2, "matches the same paths as")]


# --- properties ---

LETTERS = st.text("ab:%2F.", min_size=1, max_size=3)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A valid pattern over a small alphabet, so that patterns and paths meet often."""
    segments = []
    for index in range(draw(st.integers(1, 3))):
        before, after = draw(st.sampled_from(["", "a", "b", "ab"])), draw(st.sampled_from(["", ":b", "a", ":ab"]))
        segments.append(f"{before}{{v{index}}}{after}" if draw(st.booleans()) else before + after or "a")
    return "/" + "/".join(segments)


PATHS = st.lists(st.text("ab:", max_size=4), min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))


def reference_match(pattern: str, path: str) -> Mapping[str, str] | None:
    """Segment by segment, with nothing clever."""
    wanted, given_ = pattern.split("/"), path.split("/")
    if len(wanted) != len(given_):
        return None
    variables = {}
    for want, have in zip(wanted, given_, strict=True):
        if "{" not in want:
            if want != have:
                return None
            continue
        before, rest = want.split("{")
        name, after = rest.split("}")
        if not have.startswith(before) or not have[len(before) :].endswith(after) or len(have) <= len(before) + len(after):
            return None
        variables[name] = have[len(before) : len(have) - len(after)]
    return variables


def reference_table(routes: list[tuple[str, str]], method: str, path: str) -> tuple[int, Mapping[str, str]] | None:
    matches = []
    for index, (route_method, pattern) in enumerate(routes):
        variables = reference_match(pattern, path)
        if route_method == method and variables is not None:
            prefix = len(pattern.split("{")[0]) + (1 if "{" not in pattern else 0)
            matches.append((-prefix, index, variables))
    return (matches and cast("tuple[int, Mapping[str, str]]", min(matches, key=lambda found: found[:2])[1:])) or None


@given(st.lists(st.tuples(st.sampled_from(["GET", "POST"]), patterns()), max_size=8), st.sampled_from(["GET", "POST"]), PATHS)
def test_the_table_agrees_with_the_reference(routes: list[tuple[str, str]], method: str, path: str) -> None:
    built = PathTable.build((route_method, pattern, index) for index, (route_method, pattern) in enumerate(routes))
    assert built.match(method, path) == reference_table(routes, method, path)
    allowed = tuple(name for name in METHODS if reference_table(routes, name, path) is not None)
    assert built.methods(path) == allowed


@given(patterns(), st.lists(LETTERS, min_size=3, max_size=3))
def test_filling_in_variables_gives_a_path_that_matches(pattern: str, fillings: list[str]) -> None:
    names = re.findall(r"\{(\w+)\}", pattern)
    values = dict(zip(names, fillings, strict=False))
    path = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], pattern)
    assert table(pattern).match("GET", path) == (pattern, values)


@given(patterns(), patterns(), PATHS)
def test_what_is_said_about_conflicts_is_true_for_every_path(first: str, second: str, path: str) -> None:
    one, two = parse_pattern(first), parse_pattern(second)
    in_one, in_two = one.match(path) is not None, two.match(path) is not None
    assert not (in_one and in_two) or one.overlaps(two)
    assert not (one.covers(two) and in_two) or in_one
    assert one.overlaps(two) == two.overlaps(one)


def test_matching_long_paths_takes_no_time_that_could_be_felt() -> None:
    paths = table(GENERATE, "/{a}/{b}/{c}a{d}".replace("a{d}", ":x"))
    for path in ("/v1beta/models/" + ":generateContent" * 500 + "!", "/" + "a" * 8000 + "/" + ":" * 8000 + "/" + ":" * 8000):
        assert paths.match("GET", path) is None
