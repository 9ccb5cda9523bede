"""Compiled rules from short Python texts, requests, and a host that plays a program: what the tests of this room share."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from translators.expressions.compile import Expression, compile_expression
from translators.expressions.functions import FUNCTIONS
from translators.expressions.template import Interpolated, ValueTemplate, compile_template
from translators.model import (
    Auth,
    AuthKind,
    Body,
    Branch,
    Edit,
    EditKind,
    ErrorRule,
    Handling,
    ModelRule,
    Platform,
    Poll,
    Protocol,
    Route,
    Send,
    Task,
    Text,
    Unknown,
    Upstream,
)
from translators.place import Where
from translators.runtime.steps import Call, Fetch, Fetched, Incoming, Pass, Pause, Program, Reply, Result

HERE = Where(Path("example.yaml"), 1, 1)
NOW = 1_760_000_000
TABLES: dict[str, dict[str, object]] = {"ratio": {"1280x720": "16:9"}}
NAMES = frozenset(
    [
        "body",
        "request",
        "model",
        "refs",
        "mask",
        "path",
        "query",
        "header",
        "status",
        "id",
        "task",
        "submitted",
        "event",
        "data",
        "first",
    ]
)


def ex(source: str) -> Expression:
    return compile_expression(source, names=NAMES, functions=FUNCTIONS, tables=TABLES)


def constant(value: object) -> Expression:
    return Expression("", frozenset(), frozenset(), lambda _: value)


def text(source: str) -> Text:
    parts = re.split(r"\$\{(.*?)\}", source)
    return Text(tuple(ex(part) if place % 2 else part for place, part in enumerate(parts) if place % 2 or part))


def _tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tree(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_tree(item) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    parts = text(value).parts
    return parts[0] if len(parts) == 1 else Interpolated(parts)


def template(value: Any) -> ValueTemplate:
    return compile_template(_tree(value))


def body(value: Any, unknown: str = "forward", *, form: bool = False) -> Body:
    return Body(template(value), Unknown(unknown), form)


def send(source: str) -> Send:
    method, _, target = source.partition(" ")
    path, _, query = target.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    return Send(method, text(path), tuple((name, text(value)) for name, _, value in pairs), HERE)


def poll(source: str, value: Any = None) -> Poll:
    return Poll(send(source), HERE, body=body(value, "drop") if value is not None else None)


def edit(kind: str, changes: Any, when: str | None = None) -> tuple[Edit, ...]:
    condition = ex(when) if when else None
    if kind == "remove":
        return tuple(Edit(EditKind.REMOVE, tuple(path.split(".")), HERE, when=condition) for path in changes)
    if kind == "rename":
        return tuple(
            Edit(EditKind.RENAME, tuple(old.split(".")), HERE, to=tuple(new.split(".")), when=condition)
            for old, new in changes.items()
        )
    return tuple(
        Edit(EditKind(kind), tuple(path.split(".")), HERE, template(value), when=condition) for path, value in changes.items()
    )


def errors(**said: Any) -> ErrorRule:
    for name in ("when", "code", "message", "type"):
        if name in said:
            said[name] = ex(said[name])
    return ErrorRule(HERE, **said)


def branch(**said: Any) -> Branch:
    if isinstance(said.get("when"), str):
        said["when"] = ex(said["when"])
    if isinstance(said.get("send"), str):
        said["send"] = send(said["send"])
    if isinstance(said.get("refuse"), str):
        said["refuse"] = text(said["refuse"])
    for name in ("headers", "query"):
        if name in said:
            said[name] = tuple((key, text(value)) for key, value in said[name].items())
    return Branch(HERE, **said)


def route(*branches: Branch, on: str = "POST /v1/chat/completions", protocol: Protocol = Protocol.CHAT, **handling: Any) -> Route:
    method, _, path = on.partition(" ")
    return Route(method, path, protocol, HERE, Handling(branches, **handling))


def platform(*routes: Route, tasks: Mapping[str, Task] | None = None, **more: Any) -> Platform:
    upstream = more.pop("upstream", Upstream("https", "api.example.com", 443))
    models = (ModelRule("public", "private", HERE), ModelRule("m-*", None, HERE))
    return Platform(
        "example", "Example", None, upstream, Auth(AuthKind.NONE), HERE, models=models, routes=routes, tasks=tasks or {}, **more
    )


def incoming(
    data: bytes = b"",
    *,
    method: str = "POST",
    content_type: str | None = "application/json",
    model: str | None = "m-1",
    public: str | None = None,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, str | list[str]] | None = None,
    target: str | None = None,
    **headers: str,
) -> Incoming:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None and data:
        fields["content-type"] = content_type
    return Incoming(
        method, path or {}, query or {}, fields, data, model, public or model, lambda: float(NOW), lambda: "id-1", True, target
    )


def reply(data: bytes | str = b"", status: int = 200, **headers: str) -> Reply:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = data.encode() if isinstance(data, str) else data
    return Reply(status, {"content-type": "application/json"} | fields, raw)


class Played:
    """A program played to its end: what it asked for in order, and what came out."""

    def __init__(self, program: Program, *answers: Reply, fetches: Mapping[str, Fetched] | None = None) -> None:
        self.calls: list[Call] = []
        self.pauses: list[Pause] = []
        self.fetched: list[str] = []
        left = list(answers)
        sent: Reply | Fetched | None = None
        while True:
            try:
                step = program.send(sent)
            except StopIteration as end:
                self.result: Result = end.value
                break
            sent = None
            if isinstance(step, Call):
                self.calls.append(step)
                sent = left.pop(0)
            elif isinstance(step, Fetch):
                self.fetched.append(step.url)
                sent = (fetches or {})[step.url]
            else:
                self.pauses.append(step)
        self.left = left


def passed(program: Program) -> Pass:
    """The Pass of a program that asks for nothing."""
    played = Played(program)
    assert isinstance(played.result, Pass)
    assert [played.calls, played.pauses, played.fetched] == [[], [], []]
    return played.result


Maker = Callable[..., Incoming]
