"""Battery Y and M, rule files: hostile files, hostile values in templates, hostile URLs to fetch; all through a running gateway."""

import json
from pathlib import Path

import pytest

from tests.harness.chaos import OK, Peer, says
from tests.harness.gateway import Stage, stage
from tests.harness.runner import async_test
from tests.harness.words import post
from translators.load import load
from translators.problems import InvalidFileError

RULE = """\
platform: test
upstream: {url}
auth: {{bearer: "${{secret.TEST_KEY}}"}}
models: [m1]
{more}
routes:
  POST /v1/place:
    send: POST /in/${{body.segment}}/end?way=${{body.parameter}}
    headers: {{X-Placed: "a ${{body.field}} b"}}
    body: {{placed: "${{body.value}}", text: "<${{body.text}}>"}}
  POST /v1/images/edits:
    media: {{refs: base64}}
    send: POST /edit
    body: {{image: "${{refs[0]}}"}}
"""
PLACE, EDITS = b"/test/v1/place", b"/test/v1/images/edits"


def rules(url: str, more: str = "") -> dict[str, str]:
    return {"test": RULE.format(url=url, more=more)}


def write(directory: Path, text: str | bytes) -> Path:
    (directory / "bad.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "an alias bomb": BOMB,
    "brackets, two hundred thousand deep": "[" * 200_000,
    "mappings, twenty thousand deep": "{a: " * 20_000,
    "an alias of itself": "a: &a [*a]\n",
    "a tag of another language": "a: !!python/object/apply:os.system [id]\n",
    "a duplicate key": "platform: bad\nplatform: bad\n",
    "two megabytes": "# " + "x" * (2 << 20),
    "a hundred thousand values": "a: [" + "1, " * 120_000 + "]\n",
    "no text": b"\xff\xfe\x00a",
    "a NUL": "a: \0",
    "an include": "routes: !include /etc/passwd\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_O01_O02_case77_a_hostile_file_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        load([write(tmp_path, HOSTILE[name])])
    assert "bad.yaml:" in str(caught.value)
    assert len(str(caught.value)) < 5_000


@async_test()
async def test_M04_case77_a_running_gateway_survives_every_hostile_file() -> None:
    async with stage(Peer(says(OK))) as scene:
        for text in HOSTILE.values():
            path = scene.directory / "rules" / "bad.yaml"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            assert await scene.gateway.reload() is False
        assert (await scene.asks(post())).status == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${join('', body.a[].b[].c[].d[].e[].f[])", "}"),
        ("${" + "[" * 100 + "body" + "]" * 100 + "}", "nested"),
        ("${'" + "x" * 5000 + "'}", "4,096"),
        ("${__import__('os')}", "__import__"),
        ("${body.x.__class__ | system('id')}", "system"),
        ("${environ.HOME}", "environ"),
        ("${secret.TEST_KEY}", "secret"),
    ],
)
def test_O07_a_template_has_no_code_and_ends_in_time(tmp_path: Path, text: str, said: str) -> None:
    rule = (
        RULE.format(url="https://api.example.com", more="")
        .replace("${body.value}", text)
        .replace("platform: test", "platform: bad")
    )
    with pytest.raises(InvalidFileError) as caught:
        load([write(tmp_path, rule)])
    assert said in str(caught.value)


STRANGE = {
    "line ends": "x\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1",
    "escaped line ends": "%0d%0aX-Evil:%201",
    "a way up": "../../admin",
    "dots": "..",
    "escaped dots": "%2e%2e",
    "a query": "a?x=1&y=2#z",
    "another authority": "@evil.example/a",
    "a scheme": "https://evil.example/",
    "NUL": "a\0b",
    "not ASCII": "猫\u202e\x85",
    "a lone tab": "a\tb",
    "long": "a" * 1_000_000,
    "empty": "",
    "an object": {"a": ["b"]},
    "a number": 12345678901234567890123,
    "true": True,
}


@pytest.mark.parametrize("place", ["segment", "parameter", "field", "value", "text"])
@pytest.mark.parametrize("name", STRANGE)
@async_test(loops=False)
async def test_O06_case78_a_value_cannot_leave_its_place(name: str, place: str) -> None:
    ordinary = {"segment": "s", "parameter": "p", "field": "f", "value": "v", "text": "t"}
    peer = Peer(says(OK))
    async with peer, stage(peer, rules=rules(peer.url)) as scene:
        answer = await scene.asks(post(json.dumps({**ordinary, place: STRANGE[name]}).encode(), path=PLACE))
        if answer.status == 400:
            assert answer.local
            assert not peer.requests
            return
        assert answer.status == 200
        (heard,) = peer.requests
        assert (heard.method, heard.get(b"x-evil"), heard.get(b"host")) == (
            b"POST",
            None,
            peer.url.removeprefix("http://").encode(),
        )
        path, _, query = heard.target.partition(b"?")
        assert path.split(b"/")[:2] == [b"", b"in"]
        assert path.count(b"/") == 3
        assert path.endswith(b"/end")
        assert not {b"..", b"."} & set(path.split(b"/"))
        assert query.count(b"=") <= 1
        assert b"&" not in query
        assert query.startswith(b"way=") or place == "parameter"
        assert len(heard.all(b"x-placed")) <= 1
        sent = json.loads(heard.body)
        if place == "value":
            assert sent["placed"] == STRANGE[name]
        assert set(sent) <= {"placed", "text", "model"}


PRIVATE = [
    "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://017700000001/", "http://[::ffff:127.0.0.1]/", "http://[::1]/",
    "http://169.254.169.254/latest/meta-data/", "http://localhost/", "http://10.0.0.1/", "http://[fd00:ec2::254]/",
    "http://user:secret@example.com/", "ftp://example.com/a",
    "file:///etc/passwd", "http://example.com:22/", "https://" + "a" * 3000,
]  # fmt: skip


async def edited(scene: Stage, image: str) -> int:
    answer = await scene.asks(post(json.dumps({"prompt": "P", "image": image}).encode(), path=EDITS))
    if answer.status != 200:
        assert answer.local
        assert "refused" not in answer.json()["error"]["message"].lower()
    return answer.status


@pytest.mark.parametrize("url", PRIVATE)
@async_test(loops=False)
async def test_R02_R03_R05_case87_an_address_that_is_not_public_is_refused_before_a_connection(url: str) -> None:
    peer = Peer(says(OK))
    async with peer, stage(peer, rules=rules(peer.url, 'fetch: {hosts: ["*"]}')) as scene:
        assert await edited(scene, url) in {400, 502}
        assert not peer.lines


@async_test(loops=False)
async def test_R01_R03_case87_the_platforms_own_address_gains_no_trust_for_a_clients_url() -> None:
    peer = Peer(says(OK))
    async with peer, stage(peer, rules=rules(peer.url, 'fetch: {hosts: ["*"]}')) as scene:
        assert await edited(scene, f"{peer.url}/private.png") in {400, 502}
        assert not peer.requests


@async_test(loops=False)
async def test_R01_without_the_word_fetch_no_url_is_read_and_the_client_is_told_why() -> None:
    peer = Peer(says(OK))
    async with peer, stage(peer, rules=rules(peer.url)) as scene:
        answer = await scene.asks(post(b'{"image":"https://example.com/a.png"}', path=EDITS))
        assert answer.status == 400
        assert "URL" in answer.json()["error"]["message"]
        assert not peer.requests
