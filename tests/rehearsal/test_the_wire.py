"""What a rehearsal shows is what is sent (law 6): every example of every rule file, rehearsed and played over real sockets.

A real gateway stands between a client that says what the example's client says and a peer that answers what the example's platform
answers. The bytes the peer hears must be those of the rehearsal, and so must be the client's answer. Waiting takes no time here.
"""

import asyncio
from dataclasses import dataclass, field

import pytest

from proxy.orchestrate.orchestrator import Orchestrator
from proxy.rehearsal.loop import JumpingLoop
from proxy.rehearsal.playing import answer_of, in_order, request_of, run_examples, task_id_in
from proxy.rehearsal.said import read_request
from proxy.rehearsal.stage import NEW_ID, NOW, Played, Stage, placeholders, rehearsed_orchestrator
from proxy.server import Gateway
from proxy.settings import Settings
from tests.harness.chaos import Heard, Peer
from tests.harness.client import Answer, Client
from translators.load import load, shipped_rules
from translators.model import Example, Platform, RuleSet

PATIENCE = 0.002  # seconds that a socket gets before the clock jumps
NAMES = sorted(file.stem for file in shipped_rules().glob("*.yaml"))


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load([shipped_rules()])


@dataclass
class Live:
    """What went over the sockets for one example."""

    example: Example
    heard: list[bytes] = field(default_factory=list)
    answer: Answer | None = None


class Theatre:
    """A gateway for one platform, a peer in its place, and the example that is on."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.rules = RuleSet({platform.name: platform})  # a whole rule set takes long to compile, and no other is asked
        self.live = Live(platform.examples[0])
        self.unanswered = asyncio.Event()
        self.orchestrator: Orchestrator | None = None
        self.peer = Peer(self._answer)

    @property
    def settings(self) -> Settings:
        base = self.platform.upstream.base
        return Settings(
            listen=("127.0.0.1:0",),
            admin=None,
            open=True,
            access_log="off",
            platforms=(self.platform.name,),
            upstreams={self.platform.name: self.peer.url + base},
        )

    async def _answer(self, heard: Heard) -> None:
        number = len(self.live.heard)
        self.live.heard.append(heard.head.raw + heard.body)
        said = read_request(heard.head.raw + heard.body)
        assert said is not None
        answer = answer_of(self.live.example, number, said[0])
        if answer is None:
            self.unanswered.set()
        else:
            await heard.say(answer)

    async def play_all(self) -> list[Live]:
        """Every example, in the order in which they are rehearsed."""
        gateway = Gateway(self.settings, environ=placeholders(self.rules))
        async with self.peer:
            await gateway.start()
            await gateway._watch.stop()
            try:
                self._fix(gateway)
                ids: dict[str, str] = {}
                return [await self._play(gateway, example, ids) for example in in_order(self.platform.examples)]
            finally:
                if self.orchestrator is not None:
                    await self.orchestrator.close()
                await gateway.stop()

    def _fix(self, gateway: Gateway) -> None:
        """The same time, ids and fetched files as in the rehearsal."""
        worker = gateway.worker
        for served in worker.table.served.values():
            served.now, served.new_id = lambda: NOW, lambda: NEW_ID
            if served.credential is not None and served.credential.source is not None:
                served.credential = None
        self.orchestrator = worker.orchestrator = rehearsed_orchestrator(worker, lambda: self.live.example.fetches)
        worker.new_id = lambda: b"rehearsal"  # type: ignore[method-assign]

    async def _play(self, gateway: Gateway, example: Example, ids: dict[str, str]) -> Live:
        live = self.live = Live(example)
        self.unanswered.clear()
        request = request_of(example, ids)
        assert request is not None
        address = gateway.addresses[0]
        client = await Client.connect(address)
        await client.says(request)
        hearing = asyncio.ensure_future(client.hears(to=request.partition(b" ")[0], within=1e6))
        starving = asyncio.ensure_future(self.unanswered.wait())
        await asyncio.wait((hearing, starving), return_when=asyncio.FIRST_COMPLETED)
        starving.cancel()
        if hearing.done():
            live.answer = hearing.result()
            if (text := task_id_in(live.answer.body)) is not None:
                ids[example.title] = text
            assert self.orchestrator is not None
            while self.orchestrator.deferred_running and not self.unanswered.is_set():
                await asyncio.sleep(0.1)
        else:
            hearing.cancel()
        client.leaves()
        return live


def rehearsed(theatre: Theatre) -> list[Played]:
    """The same examples on a stage with the same settings."""
    with Stage(theatre.rules, settings=theatre.settings) as stage:
        runs = list(run_examples(stage, theatre.platform))
    return [run.played for run in runs if run.played is not None]


def comparable(head: bytes) -> list[bytes]:
    """The lines of an answer's head but for its date."""
    return [line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")]


@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_shows_the_bytes_on_the_wire(name: str, rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = rules.platforms[name]
    if not platform.examples:
        assert all(route.handling is None for route in platform.routes), "only what is carried needs no example"
        return
    with asyncio.Runner(loop_factory=lambda: JumpingLoop(PATIENCE)) as runner:
        theatre = Theatre(platform)
        monkeypatch.setattr("proxy.server.load_rules", lambda _: theatre.rules)
        lives = runner.run(theatre.play_all())
    shown = rehearsed(theatre)
    assert len(shown) == len(lives) == len(platform.examples)
    for live, played in zip(lives, shown, strict=True):
        title = live.example.title
        assert live.heard == [said.raw for said in played.requests], title
        if played.answer is None:
            assert live.answer is None, title
            continue
        assert live.answer is not None, title
        assert comparable(live.answer.head.raw) == comparable(played.answer.head), title
        assert live.answer.body == played.answer.heard.body, title
