"""Battery P, case 16: thousands of damaged requests. What the gateway accepts is read alike by h11 on both sides of it.

The same bytes are read by h11 as the client sent them and as the peer received them; what a rule removes or adds is taken away
before comparing. A batch of mutations runs side by side, each over its own connection, so that waiting for timeouts costs little.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import h11
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.harness.chaos import Heard, Peer, answer
from tests.harness.client import Answer, Client, SilenceError
from tests.harness.gateway import Stage, stage
from tests.harness.grammar import MalformedError
from tests.harness.runner import loop_factory, until
from tests.harness.words import get, post

BATCH, BATCHES = 50, 105  # 5,250 mutations
TOGETHER = 350  # so many connections at a time, because some wait for a timeout

QUICK = {"t_header": 0.1, "t_keepalive": 0.1, "t_body_idle": 0.1, "t_linger": 0.1}
SMUGGLED = b"GET /test/smuggled HTTP/1.1\r\nHost: gateway\r\n\r\n"
BASES = [
    post(b'{"model":"m1","n":[1,2,3]}', b"X-A: one", b"X-A: two", b"Accept: */*"),
    get(b"/test/v1/models?a=b%20c&d", b"X-A: one", b"Accept-Encoding: gzip"),
    post(b"", b"X-A: 1", path=b"/test/native/a%2Fb;c"),
    (
        b"POST /test/native HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
        b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n"
    ),
    b"POST /test/native HTTP/1.0\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello",
    get(b"/test/one") + get(b"/test/two"),
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\xa0", b"\xff", b":", b",", b";", b"%", b"%00",
    b"%2e%2e/",     b"../", b"//", b"\\", b"#", b"?", b"@", b"+", b"-", b"0x", b"_", b"0", b"9" * 20, b"GET ", b"CONNECT ",
    b" HTTP/1.0", b" HTTP/1.1", b" HTTP/2.0",     b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"transfer-encoding:chunked\r\n", b"Content-Length: 3\r\n",     b"Content-Length: 0\r\n", b"Content_Length: 3\r\n",
    b"Host: other\r\n", b"Connection: close\r\n", b"Connection: content-length, host\r\n",     b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n", b"TE: trailers\r\n", b" folded\r\n", b"\r\n\r\n", b"0\r\n\r\n",
    b"1\r\na\r\n", SMUGGLED,     b"chunked", b"identity", b"gateway", b"test", b"X: " + b"y" * 300 + b"\r\n",
]  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One change: at `place` (0 to 1 of the length) insert, replace, delete or double `span` bytes."""

    kind: str
    place: float
    token: bytes
    span: int

    def apply(self, raw: bytes) -> bytes:
        at = int(self.place * len(raw))
        match self.kind:
            case "insert":
                return raw[:at] + self.token + raw[at:]
            case "replace":
                return raw[:at] + self.token + raw[at + self.span :]
            case "delete":
                return raw[:at] + raw[at + self.span :]
            case _:
                return raw[: at + self.span] + raw[at:]


places = st.floats(0, 1, allow_nan=False, exclude_max=True)
tokens = st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=3)
mutations = st.builds(Mutation, st.sampled_from(["insert", "replace", "delete", "double"]), places, tokens, st.integers(1, 12))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = draw(st.sampled_from(BASES))
    for mutation in draw(st.lists(mutations, min_size=1, max_size=3)):
        raw = mutation.apply(raw)
    return raw


@dataclass
class Reading:
    """A request as h11 reads it."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes

    def without(self, names: set[bytes]) -> list[tuple[bytes, bytes]]:
        nominated = {
            option.strip().lower() for name, value in self.fields if name == b"connection" for option in value.split(b",")
        } - END_TO_END
        return [(name, value) for name, value in self.fields if name not in names | nominated]


END_TO_END = {b"host", b"content-length", b"content-type", b"x-a"}
OURS = {b"host", b"via", b"authorization", b"modelname", b"accept-encoding", b"x-request-id", b"connection", b"content-length"}
OURS |= {b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect", b"keep-alive", b"proxy-connection"}
OURS |= {b"content_length", b"x_api_key"}


def without_empty_lines(raw: bytes) -> bytes:
    while raw.startswith(b"\r\n"):
        raw = raw[2:]
    return raw


def readings(raw: bytes) -> Iterator[Reading]:
    """Every complete request in `raw` as h11 reads them one after the other; stops where h11 refuses.

    h11 knows no empty lines before a request line, which rule A10 skips: they are taken away first.
    """
    while raw := without_empty_lines(raw):
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(raw)
        try:
            event = connection.next_event()
            if not isinstance(event, h11.Request):
                return
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            body = b""
            while isinstance(part := connection.next_event(), h11.Data):
                body += bytes(part.data)
            if not isinstance(part, h11.EndOfMessage):
                return
        except h11.ProtocolError:
            return
        yield Reading(bytes(event.method), bytes(event.target), fields, body)
        raw = connection.trailing_data[0]


def reduced(target: bytes) -> bytes:
    """What the gateway makes of a target: origin-form without the platform prefix."""
    if target[:7].lower() == b"http://":
        target = b"/" + target[7:].partition(b"/")[2]
    return target.removeprefix(b"/test")


async def one(scene: Stage, raw: bytes) -> list[int]:
    """Send one damaged request; the numbers of the peer's requests that were answered through it."""
    client = await Client.connect(scene.address)
    claimed: list[int] = []
    try:
        await client.says(raw, tolerant=True)
        while True:
            # The answer to a HEAD cannot come: no mutation makes that method.
            reply = await client.hears()
            assert reply.status != 500, raw
            assert reply.complete, raw
            if not reply.local and not models(reply):
                claimed.append(int(reply.body))
    except SilenceError:
        assert not client.buffer or not claimed, (raw, bytes(client.buffer))
    except MalformedError as problem:
        raise AssertionError(f"{problem} in the answer to {raw!r}") from problem
    finally:
        client.leaves()
    return claimed


def models(reply: Answer) -> bool:
    """The list of all models, which is the gateway's own answer: a mutant may lose the prefix of its platform."""
    return reply.body.startswith(b'{"object":"list"')


def compare(raw: bytes, heard: list[Heard]) -> None:
    """The peer read the requests that h11 reads in what the client said: same method, target, fields, body, in the same order."""
    sent = list(readings(raw))
    position = 0
    for each in heard:
        (received,) = readings(each.head.raw + each_body(each))
        while position < len(sent) and not same(sent[position], received):
            position += 1
        assert position < len(sent), f"the peer read {received} which h11 does not read in {raw!r}: {sent}"
        position += 1


def same(sent: Reading, received: Reading) -> bool:
    return (
        sent.method == received.method
        and reduced(sent.target) == received.target
        and sent.body == received.body
        and sent.without(OURS) == received.without(OURS)
    )


def each_body(heard: Heard) -> bytes:
    """The body as it stood on the line, in one piece."""
    if heard.stream.chunked:
        return b"%x\r\n%s\r\n0\r\n\r\n" % (len(heard.body), heard.body) if heard.body else b"0\r\n\r\n"
    return heard.body


async def batch(scene: Stage, peer: Peer, raws: list[bytes]) -> None:
    peer.lines[:] = [line for line in peer.lines if line.ended is None]
    for line in peer.lines:
        line.requests.clear()
    NUMBERS.clear()
    claims = await asyncio.gather(*(one(scene, raw) for raw in raws))
    for raw, claimed in zip(raws, claims, strict=True):
        compare(raw, [NUMBERS[number] for number in claimed])
    answered = {number for claimed in claims for number in claimed}
    complete = {number for number, heard in enumerate(NUMBERS) if heard.complete}
    unclaimed = [NUMBERS[number].head.raw for number in complete - answered]
    assert not [head for head in unclaimed if b"smuggled" in head], unclaimed
    await until(lambda: scene.count("exchanges") == 0)
    assert not scene.errors, scene.errors


NUMBERS: list[Heard] = []


async def respond(heard: Heard) -> None:
    NUMBERS.append(heard)
    await heard.say(answer(b"200 OK", b"%d" % (len(NUMBERS) - 1)))


@contextmanager
def running_stage(loop_name: str) -> Iterator[tuple[asyncio.Runner, Stage, Peer]]:
    """A gateway whose loop turns only while a batch runs."""
    with asyncio.Runner(loop_factory=loop_factory(loop_name)) as runner:
        stack, peer = AsyncExitStack(), Peer(respond)
        scene = runner.run(stack.enter_async_context(stage(peer, timeouts=QUICK, access_log="off")))
        try:
            yield runner, scene, peer
        finally:
            runner.run(stack.aclose())


@pytest.mark.slow
def test_B08_C01_case16_five_thousand_mutations_are_refused_or_read_alike_by_h11(loop_name: str) -> None:
    with running_stage(loop_name) as (runner, scene, peer):
        for start in range(0, len(mutants := generated()), TOGETHER):
            runner.run(batch(scene, peer, mutants[start : start + TOGETHER]))


def generated() -> list[bytes]:
    """The damaged requests. They are only made by Hypothesis: a failure names its one request, and there is nothing to shrink."""
    found: list[bytes] = []

    @settings(max_examples=BATCHES, phases=[Phase.generate])
    @given(st.lists(damaged(), min_size=BATCH, max_size=BATCH))
    def collect(raws: list[bytes]) -> None:
        found.extend(raws)

    collect()
    assert len(found) >= 5000
    return found


def test_case16_the_bases_themselves_are_accepted_and_read_alike(loop_name: str) -> None:
    with running_stage(loop_name) as (runner, scene, peer):
        runner.run(batch(scene, peer, BASES))
        assert len(NUMBERS) == len(BASES) + 1


def test_the_comparison_sees_a_difference() -> None:
    one_request, other = Reading(b"GET", b"/test/a", [(b"x-a", b"1")], b""), Reading(b"GET", b"/a", [(b"x-a", b"1")], b"")
    assert same(one_request, other)
    for changed in (
        Reading(b"PUT", b"/a", [(b"x-a", b"1")], b""),
        Reading(b"GET", b"/b", [(b"x-a", b"1")], b""),
        Reading(b"GET", b"/a", [(b"x-a", b"2")], b""),
        Reading(b"GET", b"/a", [], b""),
        Reading(b"GET", b"/a", [(b"x-a", b"1")], b"x"),
    ):
        assert not same(one_request, changed)
