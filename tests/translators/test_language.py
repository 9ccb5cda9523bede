"""Routes that say more than `carry`: what they give, and what every common slip says."""

# ruff: noqa: E501 - a slip and what is said about it stand on one line

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.translators.rulefiles import HEAD, branch, handling, problem, problems, read
from tests.translators.test_tasks_of_a_file import TASK
from translators import yamlfile
from translators.load import read_platform
from translators.model import AuthKind, EditKind, Form, OnAbort, Unknown
from translators.problems import InvalidFileError

RULES = """\
tables: {ratio: {1280x720: "16:9"}}
models: [film-*]
errors: {when: "${body.code != `0`}", status: {1000-1004: 401, 1200: 400}, code: "${body.code}"}
fetch: {hosts: ["*.example.com"], types: [image/*], size: 5MiB}
routes:
  POST /v1/films/{kind}:
    media: {refs: base64}
    unknown: drop
    choose:
      - when: ${length(refs) == `0`}
        send: POST /films/${path.kind}?size=${body.size}&v=2
        headers: {X-Kind: "film ${model}"}
        body: &common
          prompt: ${body.prompt}
          ratio: ${lookup('ratio', body.size)}
      - when: ${length(refs) == `1`}
        unknown: refuse
        body:
          <<: *common
          image: ${refs[0]}
      - refuse: One picture at most, not ${length(refs)}
  POST /v1/x:
    edit:
      - rename: {a.b: c}
      - default: {stream_options.include_usage: true}
        when: ${body.stream}
      - remove: [user]
    on_client_abort: drain
native: carry
"""


def test_a_route_chooses_among_branches_that_inherit_from_it(tmp_path: Path) -> None:
    platform = read(tmp_path, RULES)
    made = platform.routes[0].handling
    assert made is not None
    first, second, third = made.branches
    assert (first.body and first.body.unknown, second.body and second.body.unknown) == (Unknown.DROP, Unknown.REFUSE)
    assert first.media == second.media
    assert first.media is not None
    assert first.media.forms == {"refs": Form.BASE64}
    assert third.refuse is not None
    assert (third.when, third.body, third.media) == (None, None, None)
    scope = {"body": {"prompt": "Hi", "size": "1280x720"}, "refs": ["AAAA"], "model": "film-1", "path": {"kind": "short"}}
    assert second.body is not None
    assert second.body.template.evaluate(scope) == {"prompt": "Hi", "ratio": "16:9", "image": "AAAA"}
    assert second.body.template.body_keys == {"prompt", "size"}
    assert first.when is not None
    assert first.when.evaluate(scope) is False
    assert first.send is not None
    assert [part if isinstance(part, str) else part.text for part in first.send.path.parts] == ["/films/", "path.kind"]
    assert [(name, [part if isinstance(part, str) else part.text for part in text.parts]) for name, text in first.send.query] == [
        ("size", ["body.size"]),
        ("v", ["2"]),
    ]


def test_the_errors_of_the_file_count_where_answers_are_said_anew(tmp_path: Path) -> None:
    films, edited = read(tmp_path, RULES).routes[:2]
    assert films.handling is not None
    assert edited.handling is not None
    assert films.handling.errors is not None
    assert films.handling.errors.status == {"1000-1004": 401, "1200": 400}
    assert films.handling.errors.otherwise is None
    assert edited.handling.errors is None
    own = handling(tmp_path, "    edit: [{remove: [a]}]\n    errors: {code: x}\n")
    assert own.errors is not None
    assert own.errors.code is not None
    assert own.errors.code.evaluate({}) == "x"


def test_edits_come_in_their_order_one_for_each_path(tmp_path: Path) -> None:
    made = read(tmp_path, RULES).routes[1].handling
    assert made is not None
    rename, default, remove = made.branches[0].edits
    assert (rename.kind, rename.path, rename.to) == (EditKind.RENAME, ("a", "b"), ("c",))
    assert (default.kind, default.path) == (EditKind.DEFAULT, ("stream_options", "include_usage"))
    assert default.when is not None
    assert default.value is not None
    assert default.value.evaluate({}) is True
    assert (remove.kind, remove.path) == (EditKind.REMOVE, ("user",))
    assert made.on_client_abort is OnAbort.DRAIN


@pytest.mark.parametrize("words", ["carry", "{protocol: messages}"])
def test_what_says_no_more_than_the_protocol_is_carried(tmp_path: Path, words: str) -> None:
    assert read(tmp_path, f"routes:\n  POST /v1/x: {words}\n").routes[0].handling is None


def test_a_response_and_a_stream_are_read_on_their_own_sides(tmp_path: Path) -> None:
    made = branch(
        tmp_path,
        """\
    response:
      body: {text: "${body.out}", asked: "${request.prompt}", "...": "${body}"}
      status: 201
      headers: {X-Id: "${header.x-id}"}
    stream:
      when: ${body.stream}
      events:
        - when: ${data.done}
          send: "[DONE]"
        - when: ${event == 'error'}
          error: {status: 429, message: "${data.message}"}
        - send: [{delta: "${data.text}"}]
          event: message
""".replace("${header.x-id}", '${header.\\"x-id\\"}'),
    )
    assert made.response is not None
    assert made.response.body is not None
    assert made.response.body.template.spreads_rest
    assert made.response.status is not None
    assert made.response.status.evaluate({}) == 201
    assert made.stream is not None
    done, failed, rest = made.stream.events
    assert done.send[0].evaluate({}) == "[DONE]"
    assert failed.error is not None
    assert failed.error.otherwise == 429
    assert rest.send[0].evaluate({"data": {"text": "a"}}) == {"delta": "a"}
    assert rest.name is not None


def test_a_constant_an_expression_and_a_text_can_stand_for_a_code(tmp_path: Path) -> None:
    texts = {"plain": "plain", "5": 5, '"${body.a}"': {"b": 1}, '"code ${body.n}"': "code 7"}
    for written, expected in texts.items():
        made = handling(tmp_path, f"    errors: {{code: {written}}}\n")
        assert made.errors is not None
        assert made.errors.code is not None
        assert made.errors.code.evaluate({"body": {"a": {"b": 1}, "n": 7}}) == expected


def test_a_folded_expression_is_one_expression(tmp_path: Path) -> None:
    made = branch(tmp_path, "    body:\n      a: >\n        ${body.x ||\n         '}'}\n")
    assert made.body is not None
    assert made.body.template.evaluate({"body": {"x": [1]}}) == {"a": [1]}
    assert made.body.template.evaluate({"body": {}}) == {"a": "}"}


@pytest.mark.parametrize(
    ("auth", "kind", "parts", "settings"),
    [
        ('{query: {key: "${secret.K}"}}', AuthKind.QUERY, {}, {"name": "key"}),
        ('{jwt: {iss: "${secret.A}", key: "${secret.B}"}}', AuthKind.JWT, {"iss": "A", "key": "B"}, {"ttl": 1800.0, "skew": 5.0, "unit": "seconds"}),
        (
            '{jwt: {secret: "${secret.A}", unit: milliseconds, header: {sign_type: SIGN}, claims: {api_key: iss, exp: exp, timestamp: now}, ttl: 1h, skew: 0}}',
            AuthKind.JWT,
            {"secret": "A"},
            {"ttl": 3600.0, "skew": 0.0, "unit": "milliseconds", "split": ".", "header.sign_type": "SIGN", "claims.api_key": "iss", "claims.exp": "exp", "claims.timestamp": "now"},
        ),
        ('{volc_v4: {access_key: "${secret.A}", secret_key: "${secret.B}", region: cn-north-1, service: cv}}', AuthKind.VOLC_V4, {"access_key": "A", "secret_key": "B"}, {}),
        ('{aws_v4: {access_key: "${secret.A}", secret_key: "${secret.B}", region: us-east-1, service: bedrock, session_token: "${secret.C}"}}', AuthKind.AWS_V4, {"access_key": "A", "secret_key": "B", "session_token": "C"}, {}),
        ('{google: {service_account: "${secret.A}", scope: "https://example.com/scope"}}', AuthKind.GOOGLE, {"service_account": "A"}, {"scope": "https://example.com/scope"}),
    ],
)  # fmt: skip
def test_computed_credentials_are_made_of_secrets(
    tmp_path: Path, auth: str, kind: AuthKind, parts: dict[str, str], settings: dict[str, object]
) -> None:
    found = read(tmp_path, "native: carry\n", f"platform: example\nupstream: https://api.example.com\nauth: {auth}\n").auth
    assert found.kind is kind
    assert {name: next(iter(template.secrets)) for name, template in found.parts.items() if template.secrets} == parts
    assert found.settings == settings
    assert found.secrets == (set(parts.values()) or {"K"})


def test_the_model_of_an_alias_may_be_used_by_a_route(tmp_path: Path) -> None:
    platform = read(tmp_path, "models: {public: private}\nroutes:\n  POST /v1/x:\n    edit: [{set: {model: '${model}'}}]\n")
    assert platform.models[0].upstream == "private"


# Each slip: the words of a route, and what is said. The route's words start in line 6, column 5.
SLIPS = [
    ("body: {a: '${bdoy.x}'}", "6:15: `bdoy` is not known here (column 1 of the expression, on the request side)\n    Did you mean `body`?"),
    ("body: {a: '${body.x | lenght(@)}'}", "6:15: there is no function `lenght()` (column 10 of the expression, on the request side)\n    Did you mean `length`?"),
    ("body: {a: '${body.x'}", "6:15: the `${` in column 1 is not closed by `}`"),
    ("body: {a: '${body.x ==}'}", "6:15: the expression ends before it is complete"),
    ("body: {a: '${status}'}", "6:15: `status` is not known here"),
    ("body: {a: '${request.x}'}", "6:15: `request` is not known here"),
    ("body: {a: '${secret.KEY}'}", "6:15: a secret can stand in `auth` and in the `headers` of the file only (column 1 of the expression, on the request side)\n    Move it there."),
    ("body: {a: '${path.id}'}", "6:15: `path.id` is not known here\n    The path of this route has no variables."),
    ("body: {a: \"${lookup('ratios', body.x)}\"}", "6:15: there is no table `ratios`"),
    ("body: {'${body.x}': 1}", "6:12: the name of a member cannot be an expression"),
    ("body: {'...': any}", '6:19: "..." spreads the members of an expression'),
    ("body: {a: .inf}", "6:15: JSON has no infinite numbers and no NaN"),
    ("body: [a]", "6:11: a mapping is expected here, not a list"),
    ("{edit: [{remove: [a]}], body: {a: 1}}", "6:29: `edit` and `body` cannot stand together"),
    ("{form: {a: 1}, body: {a: 1}}", "6:6: `body` and `form` cannot stand together"),
    ("edit: []", "6:11: an empty list says nothing"),
    ("edit: [{remove: [a], set: {b: 1}}]", "6:12: an edit needs exactly one of `set`, `default`, `rename`, `remove`; found `set` and `remove`"),
    ("edit: [{when: '${body.a}'}]", "6:12: an edit needs exactly one of `set`, `default`, `rename`, `remove`; found none"),
    ("edit: [{remove: [a..b]}]", "6:22: `a..b` is no path of members"),
    ("edit: [{remove: ['a[0]']}]", "6:22: `a[0]` goes into a list"),
    ("edit: [{delete: [a]}]", "6:13: unknown word `delete` in this edit"),
    ("edit: [{remove: [a], when: body.stream}]", "6:32: an expression is expected here\n    Write ${...}, for example ${body.name}."),
    ("edit: [{remove: [a], when: 'is ${body.stream}'}]", "6:32: an expression is expected here"),
    ("unknown: drop", "6:5: `unknown` belongs to `body` or `form`"),
    ("{body: {a: 1}, unknown: dorp}", "6:29: `dorp` is not possible here\n    Did you mean `drop`?"),
    ("media: {refs: base64}", "6:5: `media` gives `refs` a form, but no expression here uses it"),
    ("{media: {ref: base64}, body: {a: '${refs}'}}", "6:14: unknown word `ref` in `media`\n    Did you mean `refs`?"),
    ("{media: {refs: bas64}, body: {a: '${refs}'}}", "6:20: `bas64` is not possible here\n    Did you mean `base64`?"),
    ("send: /v1/y", "6:11: a call starts with its method"),
    ("send: POST https://other.example.com/v1/y", "6:11: a call names a path, not a whole URL"),
    ("send: POST v1/y", "6:11: the path of a call starts with `/`"),
    ("send: POST /v1/../y", "6:11: the path of this call, `/v1/../y`, cannot be sent"),
    ("send: POST /v1//y", "6:11: the path of this call, `/v1//y`, cannot be sent"),
    ("send: POST /v1/y#z", "6:11: a call has no fragment"),
    ("send: PSOT /v1/y", "6:11: `PSOT` is no method\n    Did you mean `POST`?"),
    ("send: POST /v1/y?a", "6:11: the query of a call is `name=value`"),
    ("send: POST /v1/y?a=ä", "6:11: `ä` holds a character that no query has"),
    ("send: POST /v1/${body.a", "6:11: the `${` in column 10 is not closed by `}`"),
    ("headers: {X Y: a}", "6:15: `X Y` is no header name"),
    ("headers: {X-Y: a, x-y: b}", "6:23: the header `x-y` stands twice: `X-Y` is the same name"),
    ("headers: {Host: a}", "6:15: the header `Host` belongs to the connection"),
    ("headers: {Authorization: '${header.authorization}'}", "6:15: the header `Authorization` carries a credential"),
    ("headers: {X-Y: \"a\\nb\"}", "6:20: a control character (U+000A) in a header value"),
    ("query: {'a b': c}", "6:13: `a b` is no name of a query parameter"),
    ("choose: [{send: POST /a}, {send: POST /b}]", "6:31: this branch is never reached: the one in line 6 has no `when`"),
    ("choose: []", "6:13: an empty list says nothing"),
    ("{choose: [{send: POST /a}], when: '${body.a}'}", "6:33: beside `choose`, `when` belongs into a branch"),
    ("{refuse: No, send: POST /a}", "6:18: who refuses sends nothing: `send` has no effect"),
    ("task: video", "6:5: there is no task `video` in this file\n    Say what it is under `tasks`."),
    ("async: vidio", "6:12: `vidio` is not possible here\n    Did you mean `video`?"),
    ("response: {status: 200}", "6:15: an answer needs exactly one of `body`, `bytes`, `url`; found none"),
    ("response: {body: {a: 1}, url: '${body.u}'}", "6:15: an answer needs exactly one of `body`, `bytes`, `url`; found `body` and `url`"),
    ("response: {url: '${body.u}', unknown: drop}", "6:34: `unknown` belongs to `body`"),
    ("response: {body: {a: 1}, status: 99}", "6:38: a status is a whole number from 200 to 599"),
    ("response: {body: {a: 1}, status: ok}", "6:38: a status is a number or an expression"),
    ("response: {body: {a: 1}, type: json}", "6:36: `json` is no media type"),
    ("response: {body: {a: '${refs}'}}", "6:26: `refs` is not known here (column 1 of the expression, on the answer side)"),
    ("stream: {events: []}", "6:22: an empty list says nothing"),
    ("stream: {events: [{drop: true}, {drop: true}]}", "6:23: the events below this one are never reached: it has no `when`"),
    ("stream: {events: [{drop: false}]}", "6:30: `false` says nothing here"),
    ("stream: {events: [{send: [DONE]}]}", '6:30: [DONE] is a list in YAML\n    Quote it: "[DONE]".'),
    ("stream: {events: [{send: 5}]}", "6:30: what goes out is a mapping or a text"),
    ("stream: {events: [{send: a, drop: true}]}", "6:23: an event needs exactly one of"),
    ("stream: {events: [{drop: true, event: x}]}", "6:36: `event` names what `send` sends"),
    ("stream: {events: [{send: '${body.x}'}]}", "6:30: `body` is not known here (column 1 of the expression, on a stream)"),
    ("errors: {status: {1-5: 400, 5-9: 500}}", "6:33: the codes `5-9` overlap with `1-5`"),
    ("errors: {status: {5-1: 400}}", "6:23: the range `5-1` is empty"),
    ("errors: {status: {1: 200}}", "6:26: a whole number from 400 to 599 is expected here"),
    ("errors: {}", "6:13: an empty mapping says nothing\n    Words: when, status"),
    ("media: {}", "6:12: an empty mapping says nothing"),
    ("usage: {input: 5}", "6:20: an expression is expected here, not a number"),
    ("retry: {attempts: 2}", "6:12: the word `on` is missing in `retry`"),
    ("timeouts: {t_drain: 2s}", "6:16: `t_drain` is no timeout a route can set"),
    ("limits: {buffered_body: 2}", "6:14: `buffered_body` is no limit a route can set"),
    ("on_client_abort: cancle", "6:22: `cancle` is not possible here\n    Did you mean `cancel`?"),
    ("comments: yes", "6:15: true or false is expected here, not a text"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), SLIPS, ids=[words for words, _ in SLIPS])
def test_O03_O04_a_slip_in_a_route_is_said_with_its_place_and_a_cure(tmp_path: Path, words: str, expected: str) -> None:
    text = f"routes:\n  POST /v1/x:\n    {words}\n"
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]


def test_a_table_that_nothing_uses_is_an_error(tmp_path: Path) -> None:
    found = problem(tmp_path, "tables: {size: {a: 1}}\nnative: carry\n")
    assert found.startswith("4:10: no expression uses the table `size`")


@pytest.mark.parametrize(
    ("fetch", "expected"),
    [
        ("{hosts: []}", "an empty list says nothing"),
        ("{hosts: ['https://a.example.com']}", "`https://a.example.com` is no host"),
        ("{hosts: [a.*.com]}", "`a.*.com` is no host"),
        ("{hosts: ['*'], types: [png]}", "`png` is no media type"),
        ("{types: [image/*]}", "the word `hosts` is missing in `fetch`"),
    ],
)
def test_R_what_may_be_fetched_is_said_by_hosts_and_types(tmp_path: Path, fetch: str, expected: str) -> None:
    assert expected in problem(tmp_path, f"fetch: {fetch}\nnative: carry\n")


@pytest.mark.parametrize(
    "jwt",
    ['{iss: "${secret.A}"}', '{iss: "${secret.A}", key: "${secret.B}", secret: "${secret.C}"}', "{ttl: 5m}"],
)
def test_a_token_has_two_parts_or_one_credential_that_holds_both(tmp_path: Path, jwt: str) -> None:
    head = f"platform: example\nupstream: https://api.example.com\nauth: {{jwt: {jwt}}}\n"
    assert "`jwt` needs `iss` and `key`, or `secret`" in problem(tmp_path, "native: carry\n", head)


def test_problems_of_expressions_in_all_places_are_said_in_one_run(tmp_path: Path) -> None:
    text = "routes:\n  POST /v1/x:\n    when: ${a}\n    send: POST /${b}\n    headers: {X: '${c}'}\n    body: {x: '${d}', y: ['${e}']}\n"
    names = [line.partition("`")[2].partition("`")[0] for line in problems(tmp_path, text)]
    assert names == ["a", "b", "c", "d", "e"]


SHAPES = ("5", "null", "true", "[]", "{}", "[a, [b]]", "{a: {b: 1}}", "text", "${body.x}", "1.5", "${", "[{}]")


def every_place(node: yamlfile.Node) -> Iterator[Callable[[yamlfile.Node], yamlfile.Node]]:
    """For every node of a tree: what gives the tree with another node there."""
    yield lambda new: new
    if isinstance(node, yamlfile.Mapping):
        for index, (key, value) in enumerate(node.entries):
            for change in every_place(value):
                yield (
                    lambda new, i=index, k=key, c=change: yamlfile.Mapping(  # type: ignore[misc]
                        (*node.entries[:i], (k, c(new)), *node.entries[i + 1 :]), node.where
                    )
                )
    elif isinstance(node, yamlfile.Sequence):
        for index, item in enumerate(node.items):
            for change in every_place(item):
                yield (
                    lambda new, i=index, c=change: yamlfile.Sequence(  # type: ignore[misc]
                        (*node.items[:i], c(new), *node.items[i + 1 :]), node.where
                    )
                )


def test_O03_a_value_of_any_wrong_shape_anywhere_is_a_problem_and_never_a_crash(tmp_path: Path) -> None:
    """Every value of a file is replaced by values of other shapes; what is left is a platform or InvalidFileError."""
    file = tmp_path / "example.yaml"
    tree = yamlfile.parse((HEAD + TASK + RULES.partition("routes:\n")[2]).encode(), file)
    shapes = [yamlfile.parse(f"- {shape}\n".encode(), file) for shape in SHAPES]
    news = [shape.items[0] for shape in shapes if isinstance(shape, yamlfile.Sequence)]
    places = list(every_place(tree))
    refused = 0
    for index, change in enumerate(places):
        for new in (news[index % len(news)], news[(index * 5 + 3) % len(news)]):
            try:
                read_platform(change(new), file)
            except InvalidFileError:
                refused += 1
    assert len(places) > 50
    assert refused > len(places)
