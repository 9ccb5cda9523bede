"""Rule files: what a good one gives, and what every common slip says."""

# ruff: noqa: E501 - a slip and what is said about it stand on one line

import os
from pathlib import Path

import pytest

from translators.load import load, load_file, shipped_rules
from translators.model import Auth, AuthKind, HeaderRule, Model, Platform, Protocol, Secret, Template, Upstream
from translators.problems import InvalidFileError

GOOD = """\
platform: example
title: Example
upstream: https://api.example.com/base
auth: {bearer: "${secret.EXAMPLE_KEY}"}
headers:
  ModelName: ${model}
models: [alpha-*, {public: private}]
routes:
  POST /v1/chat/completions: carry
  GET /v1/things/{thing_id}: carry
native: carry
timeouts: {t_connect: 2s}
"""


def write(directory: Path, text: str, name: str = "example") -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / f"{name}.yaml"
    file.write_text(text)
    return file


def read(tmp_path: Path, text: str) -> Platform:
    return load_file(write(tmp_path, text))


def problems_of(tmp_path: Path, text: str) -> list[str]:
    """The problems of one file, without its path: `line:column: message` and the hint."""
    with pytest.raises(InvalidFileError) as caught:
        read(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/example.yaml:") for problem in caught.value.problems]


def problem_of(tmp_path: Path, text: str) -> str:
    found = problems_of(tmp_path, text)
    assert len(found) == 1, found
    return found[0]


def minimal(auth: str = "none", rest: str = "native: carry") -> str:
    return f"platform: example\nupstream: https://api.example.com\nauth: {auth}\n{rest}\n"


def test_a_rule_file_gives_a_platform(tmp_path: Path) -> None:
    platform = read(tmp_path, GOOD)
    assert platform.name == "example"
    assert platform.upstream == Upstream("https", "api.example.com", 443, "/base")
    assert platform.auth == Auth(AuthKind.BEARER, "Authorization", "Bearer ", Template((Secret("EXAMPLE_KEY"),)))
    assert platform.headers == (HeaderRule("ModelName", Template((Model(),))),)
    assert [(model.name, model.upstream) for model in platform.models] == [("alpha-*", None), ("public", "private")]
    assert [(route.id, route.protocol) for route in platform.routes] == [
        ("POST /v1/chat/completions", Protocol.CHAT),
        ("GET /v1/things/{thing_id}", Protocol.CHAT),
    ]
    assert str(platform.routes[1].where) == f"{tmp_path}/example.yaml:10:3"
    assert platform.native
    assert platform.timeouts == {"t_connect": 2.0}
    assert platform.secrets == {"EXAMPLE_KEY"}


def test_what_a_file_does_not_say_has_the_quiet_default(tmp_path: Path) -> None:
    platform = read(tmp_path, minimal(rest="routes: {GET /v1/models: carry}"))
    assert (platform.title, platform.docs, platform.models, platform.headers) == ("example", None, (), ())
    flags = (platform.native, platform.set_cookie, platform.half_close, platform.early_hints, platform.upstream.insecure)
    assert flags == (False,) * 5
    assert platform.limits == {}


@pytest.mark.parametrize(
    ("written", "auth"),
    [
        ("none", Auth(AuthKind.NONE)),
        ("pass", Auth(AuthKind.PASS)),
        ("{pass: bearer}", Auth(AuthKind.PASS, "Authorization", "Bearer ")),
        ("{pass: key}", Auth(AuthKind.PASS, "Authorization", "Key ")),
        ("{pass: {header: x-api-key}}", Auth(AuthKind.PASS, "x-api-key")),
        ('{key: "${secret.K}"}', Auth(AuthKind.KEY, "Authorization", "Key ", Template((Secret("K"),)))),
        ('{header: {Api-Key: "${secret.K}"}}', Auth(AuthKind.HEADER, "Api-Key", "", Template((Secret("K"),)))),
        (
            '{bearer: "${secret.K}", client_headers: [x-mine, x-other]}',
            Auth(AuthKind.BEARER, "Authorization", "Bearer ", Template((Secret("K"),)), ("x-mine", "x-other")),
        ),
    ],
)
def test_every_kind_of_auth_can_be_said(tmp_path: Path, written: str, auth: Auth) -> None:
    assert read(tmp_path, minimal(written)).auth == auth


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/chat/completions", Protocol.CHAT),
        ("/v1/messages", Protocol.MESSAGES),
        ("/v1/messages/count_tokens", Protocol.MESSAGES),
        ("/v1/messages-of-mine", Protocol.CHAT),
        ("/v1/responses", Protocol.RESPONSES),
        ("/v1/responses/{id}", Protocol.RESPONSES),
        ("/v1beta/models/{model}:generateContent", Protocol.GENERATE),
        ("/v1/models", Protocol.CHAT),
    ],
)
def test_the_protocol_of_a_route_follows_from_its_path(tmp_path: Path, path: str, protocol: Protocol) -> None:
    rest = "routes:\n  POST " + path + ": carry"
    assert read(tmp_path, minimal(rest=rest)).routes[0].protocol is protocol


def test_a_route_or_the_file_may_say_the_protocol(tmp_path: Path) -> None:
    routes = "routes:\n  POST /v1/messages: {protocol: responses}\n  POST /x: carry\n  POST /v1/responses: carry"
    platform = read(tmp_path, minimal(rest="protocol: generate\n" + routes))
    assert [route.protocol for route in platform.routes] == [Protocol.RESPONSES, Protocol.GENERATE, Protocol.RESPONSES]
    assert platform.protocol is Protocol.GENERATE


def test_K12_insecure_is_a_property_of_the_upstream(tmp_path: Path) -> None:
    assert read(tmp_path, minimal(rest="insecure: true\nnative: carry")).upstream.insecure
    text = minimal(rest="insecure: true\nnative: carry").replace("https", "http")
    assert problem_of(tmp_path, text).startswith("4:1: `insecure` says nothing for an http upstream")


def test_limits_and_timeouts_are_read_in_their_units(tmp_path: Path) -> None:
    platform = read(
        tmp_path,
        minimal(rest="native: carry\nlimits: {body: 1GiB, upstream_connections: 8}\ntimeouts: {t_pool_idle: 0, t_dns: 500ms}"),
    )
    assert platform.limits == {"body": 1024**3, "upstream_connections": 8}
    assert platform.timeouts == {"t_pool_idle": 0.0, "t_dns": 0.5}


# Each slip: what is replaced in GOOD, by what, and what is said.
SLIPS = [
    ("upstream:", "upsteam:", "3:1: unknown word `upsteam` in a rule file\n    Did you mean `upstream`?"),
    ("title:", "Title:", "2:1: unknown word `Title` in a rule file\n    Did you mean `title`?"),
    ("routes:", "route:", "8:1: unknown word `route` in a rule file\n    Did you mean `routes`?"),
    ("native: carry", "nativ: carry", "11:1: unknown word `nativ` in a rule file\n    Did you mean `native`?"),
    ("native: carry", "native: cary", "11:9: `cary` is not possible here\n    Did you mean `carry`?"),
    ("native: carry", "native: true", "11:9: a text is expected here, not true or false"),
    ("{bearer:", "{baerer:", "4:8: unknown word `baerer` in `auth`\n    Did you mean `bearer`?"),
    ("secret.EXAMPLE_KEY", "secrets.EXAMPLE_KEY", "4:16: `${secrets.EXAMPLE_KEY}` is not known\n    Did you mean `${secret.NAME}`?"),
    ("secret.EXAMPLE_KEY", "secret.example_key", "4:16: this is no name of a secret"),
    ("${model}", "${modle}", "6:14: `${modle}` is not known\n    Did you mean `${model}`?"),
    ("ModelName:", "Model Name:", "6:3: `Model Name` is no header name"),
    ("ModelName:", "Host:", "6:3: the header `Host` belongs to the connection"),
    ("ModelName: ${model}", "ModelName: 5", "6:14: a text is expected here, not a number\n    Put it in quotes if it is meant as text."),
    ("POST /v1/chat", "Post /v1/chat", "9:3: `Post` is no method a route can have\n    Did you mean `POST`?"),
    ("POST /v1/chat", "POST v1/chat", "9:3: the path `v1/chat/completions` does not start with `/`"),
    ("POST /v1/chat", "/v1/chat", "9:3: `/v1/chat/completions` is no route\n    Write `METHOD /path`"),
    ("completions: carry", "completions: Carry", "9:30: a route is `carry` or a mapping of its words\n    Did you mean `carry`?"),
    ("completions: carry", "completions:", "9:29: a route is `carry` or a mapping of its words\n    Words: protocol, when, refuse, send,"),
    ("completions: carry", "completions: {}", "9:30: a route is `carry` or a mapping of its words\n    Words: protocol, when, refuse, send,"),
    ("completions: carry", "completions: {protocol: message}", "9:41: `message` is not possible here\n    Did you mean `messages`?"),
    ("completions: carry", "completions: {protocl: chat}", "9:31: unknown word `protocl` in this route\n    Did you mean `protocol`?"),
    ("completions: carry", "completions: {sent: POST /x}", "9:31: unknown word `sent` in this route\n    Did you mean `send`?"),
    ("{thing_id}", "{thing-id}", "10:3: `{thing-id}` is no variable"),
    ("t_connect: 2s", "t_conect: 2s", "12:12: `t_conect` is no timeout a platform can set\n    Did you mean `t_connect`?"),
    ("t_connect: 2s", "t_connect: 2 s", "12:23: `2 s` is no duration\n    Write seconds as a number, or 500ms, 10s, 5m, 1h."),
    ("t_connect: 2s", "t_connect: 0", "12:23: 0 is not possible here\n    Leave the line out for the default."),
    ("t_connect: 2s", "t_connect: [2s]", "12:23: a single value is expected here, not a list"),
    ("t_connect: 2s", "t_drain: 2s", "12:12: `t_drain` is no timeout a platform can set"),
    ("timeouts: {t_connect: 2s}", "limits: {bodi: 5}", "12:10: `bodi` is no limit a platform can set\n    Did you mean `body`?"),
    ("timeouts: {t_connect: 2s}", "set_cookie: yes", "12:13: true or false is expected here, not a text"),
    ("timeouts: {t_connect: 2s}", "protocol: messages_", "12:11: `messages_` is not possible here\n    Did you mean `messages`?"),
    ("[alpha-*, {public: private}]", "alpha-*", "7:9: `models` must be a list, not a text"),
    ("[alpha-*, {public: private}]", "[alpha-*, 4]", "7:19: a text is expected here, not a number"),
    ("[alpha-*, {public: private}]", "[a, b, a]", "7:16: the model `a` stands twice: first in line 7"),
    ("{public: private}", "{public: pri*}", "7:28: the platform's own name of a model cannot hold `*`"),
    ("https://api.example.com/base", "api.example.com", "3:11: not an absolute URL"),
    ("https://api.example.com/base", "https://api.example.com?x=y", "3:11: a base URL has no query and no fragment"),
    ("platform: example", "platform: Example", "1:11: `Example` is no platform name"),
    ("platform: example", "platform: other", "1:1: the platform `other` stands in a file of another name\n    Name the file other.yaml, or the platform example."),
    ("title: Example", "title: 2024", "2:8: a text is expected here, not a number"),
    ("title: Example", "docs: example", "2:7: `example` is no web address"),
    ("title: Example", "title: [Example]", "2:8: a text is expected here, not a list"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), SLIPS, ids=[f"{old} to {new}" for old, new, _ in SLIPS])
def test_O03_a_slip_is_said_with_its_place_and_a_suggestion(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = problems_of(tmp_path, GOOD.replace(old, new, 1))
    assert any(problem.startswith(expected) for problem in found), found


@pytest.mark.parametrize("word", ["platform", "upstream", "auth"])
def test_O03_a_missing_word_is_said(tmp_path: Path, word: str) -> None:
    text = "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(f"{word}:"))
    assert problem_of(tmp_path, text).startswith(f"1:1: the word `{word}` is missing in a rule file\n    `{word}`: ")


def test_O03_all_problems_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("title", "titel").replace("https://", "ftp://").replace("POST", "PSOT").replace("2s", "fast")
    assert [problem.split(": ")[0] for problem in problems_of(tmp_path, text)] == ["2:1", "3:11", "9:3", "12:23"]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_misses_its_words(tmp_path: Path, text: str) -> None:
    assert [problem.split(" is missing")[0] for problem in problems_of(tmp_path, text)][:3] == [
        "1:1: the word `platform`",
        "1:1: the word `upstream`",
        "1:1: the word `auth`",
    ]


@pytest.mark.parametrize("text", ["- a\n", "text\n", "---\n"])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    assert "a rule file must be a mapping" in problem_of(tmp_path, text)


def test_a_platform_that_serves_nothing_is_an_error(tmp_path: Path) -> None:
    assert "this platform serves nothing" in problem_of(tmp_path, minimal(rest="title: x"))


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("bearer", "`auth` is none of the known kinds"),
        ("sk-test-0123456789", "`auth` is none of the known kinds"),
        ("{}", "`auth` needs exactly one kind, found none"),
        ('{bearer: "${secret.K}", key: "${secret.K}"}', "`auth` needs exactly one kind, found `bearer` and `key`"),
        ("{bearer: sk-test-0123456789}", "a credential is written out here"),
        ('{bearer: "sk-test-0123456789 ${secret.K}"}', "looks like a credential"),
        ("{header: x-api-key}", "`header` takes one header and its value"),
        ('{header: {a: "${secret.K}", b: "${secret.K}"}}', "`header` takes one header and its value"),
        ('{header: {"x y": "${secret.K}"}}', "`x y` is no header name"),
        ('{header: {Host: "${secret.K}"}}', "belongs to the connection"),
        ("{pass: x-api-key}", "`pass` names the header"),
        ("{pass: {header: Content-Length}}", "belongs to the connection"),
        ("{pass: {headers: x}}", "`pass` names the header"),
        ("[bearer]", "`auth` must be a mapping, not a list"),
        ('{bearer: "${secret.K}", client_headers: x-mine}', "a list is expected here, not a text"),
    ],
)
def test_auth_that_cannot_be_is_said_without_showing_its_value(tmp_path: Path, auth: str, expected: str) -> None:
    found = problem_of(tmp_path, minimal(auth))
    assert found.startswith("3:")
    assert expected in found
    assert "0123456789" not in found


@pytest.mark.parametrize("header", ["Authorization: Bearer abc", "x-api-key: abc", "X-Custom: sk-test-0123456789", "Cookie: a=b"])
def test_N05_credentials_in_other_headers_are_errors(tmp_path: Path, header: str) -> None:
    found = problem_of(tmp_path, minimal(rest=f"native: carry\nheaders:\n  {header}"))
    assert found.startswith("6:")
    assert "0123456789" not in found


def test_one_header_is_written_by_one_rule(tmp_path: Path) -> None:
    twice = problem_of(tmp_path, minimal(rest="native: carry\nheaders:\n  X-A: b\n  x-a: c"))
    assert twice.startswith("7:3: the header `x-a` stands twice: `X-A` is the same name")
    both = problem_of(tmp_path, minimal('{bearer: "${secret.K}"}', 'native: carry\nheaders:\n  authorization: "${secret.K}"'))
    assert both.startswith("5:1: the header `Authorization` is written by `auth` already")


def test_an_alias_without_effect_is_an_error_that_says_why(tmp_path: Path) -> None:
    found = problem_of(tmp_path, minimal(rest="native: carry\nmodels:\n  - fine\n  - {public: private}"))
    assert found.startswith(
        "7:6: the alias `public` has no effect: bodies are carried, and no header of this platform holds ${model}"
    )
    assert "`private`" in found


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (["GET /a/{x}", "GET /a/{y}"], "6:3: `GET /a/{y}` matches the same paths as `GET /a/{x}` in line 5"),
        (["GET /a/{x}", "GET /a/{x}:run"], "6:3: `GET /a/{x}:run` is never reached, because all its paths are matched by `GET /a/{x}` in line 5"),
        (["GET /{x}/b{y}", "GET /{x}/{y}c"], "6:3: `GET /{x}/{y}c` matches some paths that are also matched by `GET /{x}/b{y}` in line 5"),
        (["GET /a", "GET /a"], "6:3: the key `GET /a` stands twice: first in line 5, column 3"),
    ],
)  # fmt: skip
def test_C10_O05_routes_that_overlap_are_errors_naming_both(tmp_path: Path, routes: list[str], expected: str) -> None:
    text = minimal(rest="routes:\n" + "".join(f"  {route}: carry\n" for route in routes))
    assert problem_of(tmp_path, text).startswith(expected)


# --- directories ---


def names(*directories: Path) -> list[str]:
    return list(load(directories).platforms)


def platform_text(name: str, **changes: str) -> str:
    lines = {"platform": name, "upstream": f"https://{name}.example.com", "auth": "none", "native": "carry"} | changes
    return "".join(f"{word}: {value}\n" for word, value in lines.items())


def test_a_directory_gives_its_platforms_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zeta", "alpha"):
        write(tmp_path, platform_text(name), name)
    (tmp_path / ".hidden.yaml").write_text("!broken")
    (tmp_path / "README.md").write_text("no rule")
    assert names(tmp_path) == ["alpha", "zeta"]


def test_a_later_directory_replaces_a_platform_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "one", platform_text("alpha", title="first", models="[m]"), "alpha")
    write(tmp_path / "one", "broken: [", "beta")
    write(tmp_path / "two", platform_text("alpha", title="second"), "alpha")
    write(tmp_path / "two", platform_text("beta"), "beta")
    rules = load([tmp_path / "one", tmp_path / "two"])
    assert rules.platforms["alpha"].title == "second"
    assert rules.platforms["alpha"].models == ()
    assert list(rules.platforms) == ["alpha", "beta"]


@pytest.mark.parametrize("name", ["alpha.yml", "alpha.YAML", "alpha.YML"])
def test_another_ending_says_to_rename(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(platform_text("alpha"))
    with pytest.raises(InvalidFileError, match=r"Rename it to alpha\.yaml"):
        load([tmp_path])


def test_problems_of_all_files_are_said_together(tmp_path: Path) -> None:
    write(tmp_path, "platform: alpha\n", "alpha")
    write(tmp_path, "broken: [", "beta")
    with pytest.raises(InvalidFileError) as caught:
        load([tmp_path, tmp_path / "absent"])
    files = {problem.where.file.name for problem in caught.value.problems if problem.where}
    assert files == {"alpha.yaml", "beta.yaml", "absent"}


def test_M05_a_mounted_config_map_is_read_through_its_links(tmp_path: Path) -> None:
    data = tmp_path / "..2024_01_01"
    data.mkdir()
    write(data, platform_text("alpha"), "alpha")
    os.symlink("..2024_01_01", tmp_path / "..data")
    os.symlink("..data/alpha.yaml", tmp_path / "alpha.yaml")
    assert names(tmp_path) == ["alpha"]


def test_O08_a_link_that_leads_out_of_the_directory_is_an_error(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", platform_text("alpha"), "alpha")
    inside = tmp_path / "inside"
    inside.mkdir()
    os.symlink(outside, inside / "alpha.yaml")
    os.symlink("loop.yaml", inside / "loop.yaml")
    with pytest.raises(InvalidFileError) as caught:
        load([inside])
    found = [str(problem) for problem in caught.value.problems]
    assert found[0].startswith(f"{inside}/alpha.yaml:1:1: this link leads out of the rule directory")
    assert found[1].startswith(f"{inside}/loop.yaml:1:1: ")


def test_C10_a_model_on_one_route_belongs_to_one_platform(tmp_path: Path) -> None:
    routes = "\n  POST /v1/{%s}: carry\n  POST /v1/x: carry"
    first = write(tmp_path, platform_text("alpha", models="[shared-*, own]", routes=routes % "kind"), "alpha")
    second = write(tmp_path, platform_text("beta", models="[shared-*]", routes=routes % "sort"), "beta")
    with pytest.raises(InvalidFileError) as caught:
        load([tmp_path])
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        f"{second}:5:10: the model `shared-*` on `POST /v1/{{sort}}` belongs to alpha already ({first}:5:10)\n"
    )
    assert "Remove it from one of the two: /beta/v1/{sort} reaches this platform in any case." in str(problem)


def test_C10_one_model_may_stand_on_different_routes_or_in_patterns_of_different_length(tmp_path: Path) -> None:
    write(tmp_path, platform_text("alpha", models="[shared-*, one]", routes="{POST /v1/a: carry}"), "alpha")
    write(tmp_path, platform_text("beta", models="[shared-x*]", routes="{POST /v1/a: carry}"), "beta")
    write(tmp_path, platform_text("gamma", models="[one]", routes="{POST /v1/b: carry, GET /v1/a: carry}"), "gamma")
    assert names(tmp_path) == ["alpha", "beta", "gamma"]


def test_N03_a_secret_goes_to_one_origin(tmp_path: Path) -> None:
    auth = '{bearer: "${secret.K}"}'
    write(tmp_path, platform_text("alpha", auth=auth, upstream="https://one.example.com/a"), "alpha")
    write(tmp_path, platform_text("beta", auth=auth, upstream="https://one.example.com/b"), "beta")
    assert names(tmp_path) == ["alpha", "beta"]
    write(tmp_path, platform_text("gamma", auth=auth, upstream="https://two.example.com"), "gamma")
    with pytest.raises(InvalidFileError, match=r"the secret K would go to two\.example\.com, but it belongs to one\.example\.com"):
        load([tmp_path])


def test_without_examples_nothing_else_is_different(tmp_path: Path) -> None:
    with_all, without = load([shipped_rules()]), load([shipped_rules()], examples=False)
    assert list(with_all.platforms) == list(without.platforms)
    for name, platform in without.platforms.items():
        whole = with_all.platforms[name]
        assert platform.examples == ()
        assert [(route.id, route.where) for route in platform.routes] == [(route.id, route.where) for route in whole.routes]
        assert (platform.models, platform.auth, platform.where) == (whole.models, whole.auth, whole.where)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_examples_that_are_not_read_may_stand_anywhere_and_lend_their_anchors(tmp_path: Path, place: str) -> None:
    rest = 'title: &t Some\nupstream: https://api.example.com\nauth: none\nroutes: {POST /v1/a: {body: {a: "${body.b}"}}}\n'
    examples = "examples:\n- title: one\n\n  # a remark\n  client: {send: POST /v1/a}\n"
    text = "platform: some\n" + (examples + rest if place == "before" else rest + examples)
    (tmp_path / "some.yaml").write_text(text)
    assert [route.where.line for route in load([tmp_path], examples=False).platforms["some"].routes] == [
        route.where.line for route in load([tmp_path]).platforms["some"].routes
    ]
    lending = examples.replace("title: one", "title: &lent one") + rest.replace("&t Some", "*lent")
    (tmp_path / "some.yaml").write_text("platform: some\n" + lending)
    assert load([tmp_path], examples=False).platforms["some"].title == "one"


def test_a_mistake_is_found_at_its_place_also_where_examples_are_not_read(tmp_path: Path) -> None:
    text = "platform: some\nexamples:\n  - {title: x}\nupstream: https://api.example.com\nauth: none\nroutez: {}\n"
    (tmp_path / "some.yaml").write_text(text)
    with pytest.raises(InvalidFileError, match=r"some\.yaml:6:1: unknown word `routez`"):
        load([tmp_path], examples=False)
