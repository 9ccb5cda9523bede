"""`dragoman explain`: one request, played, and everything that there is to say about it.

`explain` makes an `Explanation`, pure data; `as_text` and `as_json` print it. Every text in it is free of secrets.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxy.rehearsal.changes import Change, body_changes, head_changes
from proxy.rehearsal.hiding import Veil
from proxy.rehearsal.reasons import Reason, reasons
from proxy.rehearsal.said import Said, read_answer, read_request
from proxy.rehearsal.stage import Played, Stage, placeholders
from proxy.rehearsal.tracing import Trace, traced
from proxy.secrets import SecretError, SecretStore
from proxy.settings import Settings
from proxy.telemetry.redaction import redact
from proxy.wire.model import DuplicateModelError, peek_json
from translators.examples import Heard
from translators.model import RuleSet

_NEAR = 3  # so many platforms or routes that share a reason are named one by one


@dataclass(frozen=True, slots=True)
class Shown:
    """A message: its head lines and its body, without secrets, and what has changed from the one that it was made of."""

    head: tuple[str, ...]
    body: str
    head_changes: tuple[Change, ...]
    body_changes: tuple[Change, ...]
    same_body: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reasons` why it went where it went; `calls` to `upstream`; `answer` to the client. `waits`: the last call has no answer."""

    request: str
    upstream: str | None
    reasons: tuple[Reason, ...]
    calls: tuple[Shown, ...]
    answer: Shown | None
    waits: bool
    local: bool  # the answer was made by the gateway itself
    missing: tuple[str, ...]  # secrets that are not set; their placeholders are shown
    dropped: tuple[str, ...] = ()  # fields of the request that the translation has left out
    unread: tuple[str, ...] = ()  # URLs that the gateway would read here; explaining opens no connection


def explain(rules: RuleSet, settings: Settings, environ: dict[str, str], request: bytes, answers: Sequence[bytes]) -> Explanation:
    """Play the request. `answers` are whole answers of the platform, in order. Raises SecretError, StartError."""
    values, missing = _secrets(rules, settings, environ)
    quiet = replace(settings, secrets_prefix="", secrets_dir=None, platforms=(), sandbox=False, licences_file=None, licences=())
    trace = Trace()
    with Stage(traced(rules, trace), settings=quiet, environ=values, now=time.time) as stage:
        played = stage.play(request, lambda number, _: answers[number] if number < len(answers) else None)
        unread = list(stage.unknown)
    found = read_request(request)
    assert found is not None  # the caller made it whole
    client = found[0].heard
    path = client.target.partition("?")[0]
    taken = played.served
    veil = Veil(taken.platform if taken is not None else None, values)
    named = missing & taken.platform.secrets if taken is not None else frozenset[str]()
    upstream = f"{taken.upstream.scheme}://{taken.upstream.authority}" if taken is not None else None
    return Explanation(
        request=f"{client.method} {veil.line(client.target)}",
        upstream=upstream,
        reasons=tuple(reasons(rules, played, trace.looks, client.method, path, _model_of(client))),
        calls=tuple(_shown(said, _before(client, number), veil) for number, said in enumerate(played.requests)),
        answer=_answer(played, veil),
        waits=played.starved,
        local=played.answer is not None and played.answer.heard.header("proxy-status") is not None,
        missing=tuple(sorted(named)),
        dropped=tuple(veil.text(path) for path in played.dropped),
        unread=tuple(veil.text(redact(url)) for url in unread),
    )


def _secrets(rules: RuleSet, settings: Settings, environ: dict[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Every secret by name, a placeholder where none is set, and the names of those."""
    store = SecretStore(environ, settings.secrets_prefix, settings.secrets_dir)
    values, missing = placeholders(rules), set[str]()
    for name in values:
        try:
            value = store.get(name)
        except SecretError:
            value = None  # `serve` says what is wrong with it
        if value is None:
            missing.add(name)
        else:
            values[name] = value
    return values, frozenset(missing)


def _model_of(client: Heard) -> str | None:
    named = client.header("modelname")
    if named:
        return named
    try:
        return peek_json(client.body) if client.body else None
    except DuplicateModelError:
        return None


def _before(client: Heard, number: int) -> Heard:
    """What a call was made of: the first of the client's request, a further one of nothing."""
    return client if number == 0 else Heard((), b"")


def _answer(played: Played, veil: Veil) -> Shown | None:
    if played.answer is None:
        return None
    given = read_answer(played.given[-1], to=played.requests[-1].heard.method) if played.given else None
    return _shown(played.answer, given.heard if given is not None else Heard((), b""), veil)


def _shown(said: Said, before: Heard, veil: Veil) -> Shown:
    lines = said.head.decode("utf-8", "surrogateescape").split("\r\n")[:-2]
    heads = head_changes(before, said.heard) if before.headers else []
    changes = body_changes(before.body, said.heard.body) if before.headers else []
    return Shown(
        head=tuple(veil.line(line) for line in lines),
        body=veil.body(said.heard.body),
        head_changes=tuple((sign, veil.client_line(text) if sign == "-" else veil.line(text)) for sign, text in heads),
        body_changes=tuple((sign, veil.text(text)) for sign, text in changes),
        same_body=before.body == said.heard.body,
    )


# --- how it is said ---

_COLOURS = {"-": "31", "+": "32", "~": "33", "!": "1", ".": "2"}


def as_text(explanation: Explanation, *, colour: bool) -> str:
    """For people; `colour` with the escapes of a terminal."""

    def paint(sign: str, text: str) -> str:
        return f"\x1b[{_COLOURS[sign]}m{text}\x1b[0m" if colour and sign in _COLOURS else text

    lines = [paint("!", explanation.request), ""]
    lines += [f"  {reason.what}: {reason.why}  ({reason.where})" for reason in explanation.reasons if reason.taken]
    others = [reason for reason in explanation.reasons if not reason.taken]
    if others:
        lines.append(paint(".", "not taken:"))
        lines += [paint(".", f"  {text}") for text in _others(others)]
    lines.append("")
    for number, call in enumerate(explanation.calls, 1):
        which = f" {number} of {len(explanation.calls)}" if len(explanation.calls) > 1 else ""
        lines.append(paint("!", f"call{which} to {explanation.upstream}"))
        lines += _message(call, paint, "the client's")
    if explanation.missing:
        lines.append(f"not set here, so a placeholder stands for it: {', '.join(explanation.missing)}")
        lines.append("")
    if explanation.dropped:
        lines.append(f"left out, because the platform's protocol cannot say it: {', '.join(explanation.dropped)}")
        lines.append("")
    for url in explanation.unread:
        lines += [f"here the gateway would read {url}; explaining opens no connection, so it goes on as if that had failed", ""]
    if explanation.answer is not None:
        whose = "the gateway's own answer" if explanation.local else "the client's answer"
        lines.append(paint("!", whose))
        lines += _message(explanation.answer, paint, "the platform's")
    elif explanation.waits:
        lines.append("What the client gets depends on the platform's answer to this: give it with --answer @FILE.")
    return "\n".join(lines).rstrip("\n") + "\n"


def _others(found: list[Reason]) -> list[str]:
    """Each branch by itself; platforms and routes that share a reason together, where they are many."""
    groups: dict[tuple[str, str], list[Reason]] = {}
    for reason in found:
        kind = reason.what.partition(" ")[0]
        groups.setdefault((kind, reason.why if kind != "branch" else str(reason.where)), []).append(reason)
    lines = []
    for (kind, why), group in groups.items():
        if len(group) > _NEAR:
            lines.append(f"{len(group)} {kind}s: {why}")
        else:
            lines += [f"{reason.what}: {reason.why}  ({reason.where})" for reason in group]
    return lines


def _message(shown: Shown, paint: Any, whose: str) -> list[str]:
    lines = [f"  {line}" for line in shown.head]
    if shown.body:
        lines += ["", *(f"  {line}" for line in shown.body.split("\n"))]
    lines.append("")
    if shown.head_changes or shown.body_changes:
        lines.append(f"changed from {whose}:")
        lines += [paint(sign, f"  {sign} {text}") for sign, text in (*shown.head_changes, *shown.body_changes)]
    if shown.body and shown.same_body:
        lines.append(f"the body is {whose}, byte for byte")
    lines.append("")
    return lines


def as_json(explanation: Explanation) -> str:
    """The same for programs: `{request, upstream, reasons: [{what, where, taken, why}], calls: [message], answer: message or
    null, waits, local, missing, dropped, unread}`; a message is `{head: [line], body, changes: {head, body: [[sign, text]]},
    same_body}`."""
    shown = {
        "request": explanation.request,
        "upstream": explanation.upstream,
        "reasons": [
            {"what": reason.what, "where": str(reason.where), "taken": reason.taken, "why": reason.why}
            for reason in explanation.reasons
        ],
        "calls": [_plain(call) for call in explanation.calls],
        "answer": _plain(explanation.answer) if explanation.answer is not None else None,
        "waits": explanation.waits,
        "local": explanation.local,
        "missing": list(explanation.missing),
        "dropped": list(explanation.dropped),
        "unread": list(explanation.unread),
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _plain(shown: Shown) -> dict[str, Any]:
    changes = {"head": [list(pair) for pair in shown.head_changes], "body": [list(pair) for pair in shown.body_changes]}
    return {"head": list(shown.head), "body": shown.body, "changes": changes, "same_body": shown.same_body}
