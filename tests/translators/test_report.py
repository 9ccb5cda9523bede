"""The table of routes."""

import json
from pathlib import Path

from translators.load import load
from translators.report import as_json, as_table, rows

RULES = """\
platform: example
upstream: http://127.0.0.1:9000/base
auth: none
models: [a, b-*]
routes:
  POST /v1/chat/completions: carry
  GET /v1/{thing}: carry
native: carry
"""


def test_the_table_has_a_line_per_route_and_one_for_native_paths(tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(RULES)
    found = rows(load([tmp_path]))
    assert as_table(found).splitlines() == [
        "METHOD  PATH                          PLATFORM  UPSTREAM                                        MODELS  KIND",
        "POST    /example/v1/chat/completions  example   http://127.0.0.1:9000/base/v1/chat/completions  2       carry",
        "GET     /example/v1/{thing}           example   http://127.0.0.1:9000/base/v1/{thing}           2       carry",
        "*       /example/*                    example   http://127.0.0.1:9000/base/*                    0       carry",
    ]
    assert json.loads(as_json(found))[1] == {
        "method": "GET",
        "path": "/example/v1/{thing}",
        "platform": "example",
        "upstream": "http://127.0.0.1:9000/base/v1/{thing}",
        "models": 2,
        "kind": "carry",
    }
    assert as_table(found).endswith("carry\n")


def test_no_platform_gives_the_head_alone() -> None:
    assert as_table([]).splitlines() == ["METHOD  PATH  PLATFORM  UPSTREAM  MODELS  KIND"]
    assert json.loads(as_json([])) == []


def test_a_translated_route_says_its_pair_and_where_it_goes_on(tmp_path: Path) -> None:
    own = "  POST /v1/messages: {send: POST /own}\n  POST /ask: {translate: messages to chat, send: POST /there}\n"
    text = f"platform: example\nupstream: http://127.0.0.1:9000\nauth: none\nroutes:\n{own}translate: [chat to messages]\n"
    (tmp_path / "example.yaml").write_text(text)
    found = {row.path: (row.upstream, row.kind) for row in rows(load([tmp_path]))}
    assert found["/example/v1/chat/completions"] == ("http://127.0.0.1:9000/own", "chat to messages")
    assert found["/example/ask"] == ("http://127.0.0.1:9000/there", "messages to chat, send")
