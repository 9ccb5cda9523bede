"""Battery Y, cases 79 to 84: what a rule that works on bodies leaves alone, refuses and survives, over real sockets."""

import gzip
import json
import random
import zlib
from collections.abc import Iterator

import pytest

from tests.harness.chaos import Heard, Peer, answer
from tests.harness.gateway import rule_file, stage
from tests.harness.runner import async_test

MIB = 1 << 20
ROUTES = """\
  POST /v1/edited:
    edit:
      - set: {marked: "${body.mark}"}
        when: ${body.mark}
  POST /v1/template:
    body: {text: "${body.text}", n: "${body.n}"}
    unknown: drop
  POST /v1/answered:
    edit: [{remove: [gone]}]
    response:
      body: {said: "${body.text}"}
      unknown: drop
"""


def rules(peer: Peer) -> dict[str, str]:
    return {"test": rule_file(peer.url).replace("native: carry\n", "") + ROUTES}


def posted(body: bytes, path: str = "/test/v1/edited", kind: bytes = b"application/json", more: bytes = b"") -> bytes:
    head = b"POST " + path.encode() + b" HTTP/1.1\r\nHost: h\r\nModelName: m1\r\nContent-Type: " + kind + b"\r\n" + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


LETTERS = ["a", "\\u00e9", "é", "\\/", "/", "\\n", "\\ud83d\\ude00", "漢", '\\"', "\\\\", "\\u0000"]
NUMBERS = ["0", "-0", "1E5", "1e+05", "-1.0000", "0.1000000000000000055", "9" * 40, "1E400", "5e-324"]


def value(dice: random.Random, depth: int = 0) -> str:
    """A JSON value as somebody may have written it: numbers of every form, escapes, white space."""
    space = dice.choice(["", " ", "\n\t", "\r\n "])
    kind = dice.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return dice.choice(NUMBERS)
    if kind == 1:
        return dice.choice(["true", "false", "null"])
    if kind < 5:
        return '"' + "".join(dice.choices(LETTERS, k=dice.randrange(6))) + '"'
    inner = [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind < 7:
        return "{" + f",{space}".join(f'{space}"k{dice.randrange(4)}"{space}:{one}' for one in inner) + "}"
    return f"[{space}" + ", ".join(inner) + "]"


def documents(count: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """The members of random objects, with distinct keys at the top and duplicates below."""
    dice = random.Random(seed)
    for _ in range(count):
        yield [(f"member {number}", value(dice)) for number in range(dice.randrange(6))]


def written(members: list[tuple[str, str]]) -> bytes:
    return ("{ " + " , ".join(f'"{key}": {text}' for key, text in members) + "\n}").encode()


@async_test(loops=False, patience=60)
async def test_P01_case79_two_thousand_documents_that_no_rule_changes_arrive_as_they_were() -> None:
    bodies: list[bytes] = []

    async def respond(heard: Heard) -> None:
        bodies.append(heard.body)
        await heard.say(answer())

    async with stage(Peer(respond), rules=None) as scene:
        client = await scene.client()
        sent = [written(members) for members in documents(2000, 79)]
        for body in sent:
            await client.says(posted(body, "/test/v1/chat/completions"))
            assert (await client.hears()).status == 200
        assert bodies == sent
    bodies.clear()
    peer = Peer(respond)
    async with stage(peer, rules=rules(peer)) as scene:
        client = await scene.client()
        for body in sent:
            await client.says(posted(body))
            assert (await client.hears()).status == 200, body
        assert bodies == sent


@async_test(loops=False, patience=60)
async def test_P04_case80_a_change_of_one_member_leaves_every_other_byte() -> None:
    bodies: list[bytes] = []

    async def respond(heard: Heard) -> None:
        bodies.append(heard.body)
        await heard.say(answer())

    peer = Peer(respond)
    async with stage(peer, rules=rules(peer)) as scene:
        client = await scene.client()
        for members in documents(300, 80):
            given = [*members[:2], ("mark", '"x"'), *members[2:], ("marked", "1.50")]
            await client.says(posted(written(given)))
            assert (await client.hears()).status == 200
            assert bodies.pop() == written([*given[:-1], ("marked", '"x"')])


@async_test(loops=False)
async def test_P02_case81_a_model_that_stands_twice_is_a_400() -> None:
    peer = Peer()
    async with stage(peer, rules=rules(peer)) as scene:
        for body in (b'{"model":"m1","model":"m1"}', b'{"model":"m1","x":1,"mod\\u0065l":"m2"}'):
            request = posted(body).replace(b"ModelName: m1\r\n", b"")
            reply = await scene.asks(request)
            assert reply.status == 400
            assert reply.error == "http_request_error"
        assert not peer.requests


BAD = {
    "depth 129": b'{"a":' * 129 + b"1" + b"}" * 129,
    "depth 100,000": b"[" * 100_000 + b"]" * 100_000,
    "nan": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "trailing comma": b'{"a":1,}',
    "trailing data": b'{"a":1} x',
    "bom": b'\xef\xbb\xbf{"a":1}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "bad utf-8": b'{"a":"\xff"}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "no object": b"5",
    "cut": b'{"a":"',
}


@pytest.mark.parametrize("path", ["/test/v1/edited", "/test/v1/template"])
@pytest.mark.parametrize("size", ["small", "large"])
@async_test(loops=False)
async def test_P03_case82_what_is_no_strict_json_is_refused_and_never_a_fault(path: str, size: str) -> None:
    peer = Peer()
    async with stage(peer, rules=rules(peer)) as scene:
        for name, body in BAD.items():
            if size == "large":  # beyond the size from which a body stays in its pieces
                if not body.startswith(b'{"a":') or name == "depth 129":
                    continue
                body = b'{"b":"' + b"x" * 600_000 + b'",' + body[1:]
            reply = await scene.asks(posted(body, path))
            assert reply.status in {400, 415, 422}, name
            assert reply.local, name
        assert not peer.requests
        assert not scene.errors


def codings() -> dict[str, bytes]:
    bomb = b'{"a":"' + b"0" * (64 * MIB) + b'"}'
    packed = gzip.compress(bomb)
    nested = packed
    for _ in range(4):
        nested = gzip.compress(nested)
    return {"gzip": packed, "deflate": zlib.compress(bomb), "gzip, gzip, gzip, gzip, gzip": nested}


@async_test(loops=False, patience=60)
async def test_P05_case83_bombs_in_requests_and_answers_are_refused_in_bounds() -> None:
    said: list[bytes] = []

    async def respond(heard: Heard) -> None:
        await heard.say(said[0])

    peer = Peer(respond)
    async with stage(peer, rules=rules(peer), limits={"buffered_body": 2 * MIB}) as scene:
        for coding, packed in codings().items():
            header = b"Content-Encoding: %b\r\n" % coding.encode()
            before = len(peer.requests)
            reply = await scene.asks(posted(packed, more=header))
            assert (reply.status, len(peer.requests)) == (413, before)
            said[:] = [b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (header, len(packed)) + packed]
            reply = await scene.asks(posted(b"{}", "/test/v1/answered"))
            assert (reply.status, reply.local) == (502, True)
            assert scene.count("held_bytes") == 0


def multipart(parts: list[bytes], boundary: bytes = b"XX", end: bool = True) -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + (b"--%b--\r\n" % boundary if end else b"")


def part(name: bytes, data: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="%b"%b\r\n\r\n%b' % (name, more, data)


FILE = bytes(range(256)) * 4096
FORMS = {
    "plain": ([part(b"text", b"t"), part(b"f", FILE, b'; filename="a b.png"\r\nContent-Type: image/png')], True, 200),
    "boundary inside data": ([part(b"f", b"x\r\n--XXY\r\n--X\r\n y"), part(b"g", b"x--XX")], True, 200),
    "nested": ([part(b"n", multipart([part(b"i", b"1")], b"YY"), b"\r\nContent-Type: multipart/mixed; boundary=YY")], True, 200),
    "missing end": ([part(b"text", b"t")], False, 400),
    "201 parts": ([part(b"p%d" % number, b"") for number in range(200)], True, 413),
    "large part head": ([b"X-A: " + b"a" * 65536 + b"\r\n" + part(b"text", b"t")], True, 431),
}


@pytest.mark.parametrize("name", FORMS)
@async_test(loops=False)
async def test_P07_case84_forms_are_byte_exact_but_for_what_the_rule_names_or_refused(name: str) -> None:
    async def respond(heard: Heard) -> None:
        await heard.say(answer())

    parts, end, status = FORMS[name]
    peer = Peer(respond)
    async with stage(peer, rules=rules(peer)) as scene:
        body = multipart([*parts[:1], part(b"gone", b"secret"), *parts[1:]], end=end)
        reply = await scene.asks(posted(body, "/test/v1/answered", b"multipart/form-data; boundary=XX"))
        assert (reply.status in {200, 502}) == (status == 200)
        if status != 200:
            assert reply.status in {status, 400}
            assert reply.local
            assert not peer.requests
        else:
            assert peer.requests[0].body == multipart(parts)
            assert peer.requests[0].get(b"content-type") == b"multipart/form-data; boundary=XX"
        assert not scene.errors
        assert json.dumps(scene.gateway.counts()["held_bytes"]) == "0"
