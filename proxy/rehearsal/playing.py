"""Examples of a platform, played on a stage and compared with what they say.

What is compared, and how a difference reads, is `translators.examples`; what was reached by all of them is for `coverage`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from proxy.rehearsal.said import Said, client_request, platform_answer, read_answer, read_request
from proxy.rehearsal.stage import Played, Stage
from translators import examples as compare
from translators.examples import Heard
from translators.formats.strict_json import BadJsonError, loads
from translators.model import AuthKind, Example, Message, Platform
from translators.problems import Problem, quote

_ID = re.compile(r"\$\{\s*id\s*\}")
_SHOWN_DIFFERENCES = 6


@dataclass(slots=True)
class Run:
    """One example: how it was played (None: it could not be), and what is wrong."""

    example: Example
    played: Played | None
    problems: list[Problem] = field(default_factory=list)


def run_examples(stage: Stage, platform: Platform) -> Iterator[Run]:
    """All examples of a platform, one after the other, those that `after` names first."""
    ids: dict[str, str] = {}
    for example in in_order(platform.examples):
        run = _run(stage, platform, example, ids)
        answer = run.played.answer if run.played is not None else None
        if answer is not None and (text := task_id_in(answer.heard.body)) is not None:
            ids[example.title] = text
        yield run


def in_order(examples: Iterable[Example]) -> Iterator[Example]:
    """Each right behind the one it names, or another that names it too; of a circle, the rest comes as it stands."""
    listed = list(examples)
    done: set[str] = set()
    for example in (*(one for one in listed if one.after is None), *listed):
        yield from _with_followers(example, listed, done)


def _with_followers(example: Example, listed: list[Example], done: set[str]) -> Iterator[Example]:
    if example.title in done:
        return
    done.add(example.title)
    yield example
    for follower in listed:
        if follower.after == example.title:
            yield from _with_followers(follower, listed, done)


def task_id_in(body: bytes) -> str | None:
    """The id of a task in an answer."""
    try:
        value = loads(body) if body else None
    except BadJsonError:
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def request_of(example: Example, ids: Mapping[str, str]) -> bytes | None:
    """What the client of an example sends; None where the example that gives its id had none."""
    target = example.client.target or "/"
    if _ID.search(target):
        known = ids.get(example.after or "")
        if known is None:
            return None
        target = _ID.sub(known, target)
    return client_request(example.client, target)


def answer_of(example: Example, number: int, request: Said) -> bytes | None:
    """What the platform of an example answers to its call of this number; None where the example tells no answer."""
    if number >= len(example.calls):
        return None
    answer = example.calls[number][1]
    return platform_answer(answer, to=request.heard.method) if answer is not None else None


def _run(stage: Stage, platform: Platform, example: Example, ids: Mapping[str, str]) -> Run:
    request = request_of(example, ids)
    if request is None:
        before = quote(example.after or "")
        problem = Problem(
            f"the example {quote(example.title)} cannot be played: the result of {before} holds no `id`", example.client.where
        )
        return Run(example, None, [problem])
    played = stage.play(request, lambda number, said: answer_of(example, number, said), example.fetches)
    run = Run(example, played)
    _Comparison(platform, example, played, run.problems).compare()
    return run


class _Comparison:
    """One example that was played, beside what it says."""

    def __init__(self, platform: Platform, example: Example, played: Played, problems: list[Problem]) -> None:
        self._platform = platform
        self._example = example
        self._played = played
        self._problems = problems
        auth = platform.auth
        self._passing = frozenset(name.lower() for name in auth.parts) if auth.kind is AuthKind.QUERY else frozenset()

    def compare(self) -> None:
        example, played = self._example, self._played
        if played.served is not None and played.served.platform.name != self._platform.name:
            where = f"it went to the platform {quote(played.served.platform.name)}"
            self._add(
                example.client, "its request is another platform's", [f"{where}; begin the path with /{self._platform.name}/"]
            )
            return
        self._calls()
        result = example.result
        if result is None:
            if played.answer is not None:
                self._add(
                    example.client, "it says no `result`", ["write what the client gets: `result: same`, or a status and a body"]
                )
            return
        if played.answer is None:
            waits = "a call that went up has no answer in the example" if played.starved else "nothing was said to it"
            self._add(result, "the client got no answer", [waits])
        elif result.same:
            given = read_answer(played.given[-1], to=played.requests[-1].heard.method) if played.given else None
            if given is None:
                self._add(result, "`same` stands for the platform's answer", ["the platform gave none"])
            else:
                self._add(
                    result,
                    "the client's answer is not the platform's",
                    compare.same_answer_differences(given.heard, played.answer.heard),
                )
        else:
            self._add(result, "the client's answer is another", compare.answer_differences(result, played.answer.heard))

    def _calls(self) -> None:
        example, played = self._example, self._played
        expected = example.calls
        carried = played.route is None or played.route.handling is None
        if not expected and carried and len(played.requests) == 1 and example.result is None:
            expected = ((Message(example.where, same=True), None),)
        for number, (request, _) in enumerate(expected):
            which = "the call" if len(expected) == 1 else f"call {number + 1}"
            if number < len(played.requests):
                self._add(request, f"{which} to the platform is another", self._differences(request, played.requests[number]))
        if len(played.requests) != len(expected):
            message = f"{len(expected)} calls to the platform are told, {len(played.requests)} went up"
            more = [f"one more: {said.heard.method} {said.heard.target}" for said in played.requests[len(expected) :][:1]]
            if played.answer is not None and len(played.requests) < len(expected):
                heard = played.answer.heard
                more.append(f"the client got {heard.status}: {compare.shown(heard.body)}")
            where = expected[len(played.requests)][0] if len(played.requests) < len(expected) else example.client
            self._add(where, message, more or [""])

    def _differences(self, expected: Message, said: Said) -> list[str]:
        heard = self._own(said.heard)
        if not expected.same:
            return compare.request_differences(expected, heard, passing=self._passing)
        found = read_request(self._played.request)
        assert found is not None  # it was made whole
        client = found[0].heard
        prefix = f"/{self._platform.name}"
        target = client.target.removeprefix(prefix) if client.target.startswith(prefix + "/") else client.target
        client = Heard(client.headers, client.body, method=client.method, target=target)
        return compare.carried_differences(client, heard, passing=self._passing)

    def _own(self, heard: Heard) -> Heard:
        """The request with its target as rules write it: without the base path of the upstream."""
        base = self._platform.upstream.base
        target = heard.target.removeprefix(base) if base and heard.target.startswith(base + "/") else heard.target
        return Heard(heard.headers, heard.body, method=heard.method, target=target)

    def _add(self, message: Message, what: str, differences: list[str]) -> None:
        if not differences:
            return
        shown = [line for line in differences[:_SHOWN_DIFFERENCES] if line]
        if len(differences) > _SHOWN_DIFFERENCES:
            shown.append(f"and {len(differences) - _SHOWN_DIFFERENCES} more")
        text = f"the example {quote(self._example.title)} fails: {what}"
        self._problems.append(Problem(text, message.where, "\n    ".join(shown) or None))
