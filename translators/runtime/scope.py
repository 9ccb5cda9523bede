"""The scopes in which expressions are evaluated: which names stand for what, on the request side and on the answer side.

A scope is a plain dict, made once for a side of an exchange; names that cost something (`refs`, `mask`) are added only where
a rule reads them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from translators.expressions.compile import Expression
from translators.expressions.template import ValueTemplate
from translators.formats.edits import Edit
from translators.model import Body, Branch, ErrorRule, Response, Text
from translators.runtime.steps import Call, Incoming

Values = dict[str, Any]


def client_scope(incoming: Incoming, body: Any, model: str | None) -> Values:
    """The scope of the request side. `model` is the platform's name of the model."""
    scope = {
        "body": body,
        "model": model,
        "path": incoming.path,
        "query": incoming.query,
        "header": incoming.headers,
        "now": lambda: int(incoming.now()),
        "uuid": incoming.new_id,
    }
    if incoming.stream is not None:
        scope["stream"] = incoming.stream
    return scope


class Standing:
    """What is the same for every request with one head and one model: `incoming` without its body, and what was made of it.

    A host that makes one for each head spares each request its part of the scope, and the calls whose head no body decides
    (`calls`, by what they were made from; filled by the route's program): 2.5 us of a request. `edited`: the call of a route that
    does the same edits to each JSON body, and these edits. `templated`: that of a route that puts each JSON body into one template,
    and what does so (None: the body is not plain enough). `kept`: what a route that is more than one keeps besides.
    """

    __slots__ = ("calls", "edited", "incoming", "kept", "scope", "templated")

    def __init__(self, incoming: Incoming) -> None:
        self.incoming = incoming
        self.scope = client_scope(incoming, None, incoming.model)
        self.calls: dict[tuple[int, str | None], Call] = {}
        self.edited: tuple[Call, Sequence[Edit]] | None = None
        self.templated: tuple[Call, Callable[[dict[str, Any], Values], bytes | None]] | None = None
        self.kept: dict[Any, Any] = {}

    @property
    def settled(self) -> bool:
        """Whether a body can make a difference to the body of the call only."""
        return self.edited is not None or self.templated is not None


def answer_scope(client: Mapping[str, Any], body: Any, status: int, headers: Mapping[str, str]) -> Values:
    """The scope of the answer side: what the client's had goes on, its `body` is `request` now."""
    return {**client, "request": client["body"], "body": body, "status": status, "header": headers}


def names_of(*parts: "Expression | ValueTemplate | Text | Body | None") -> frozenset[str]:
    """Every name that these read."""
    out: set[str] = set()
    for part in parts:
        if isinstance(part, Body):
            out |= part.template.names
        elif part is not None:
            out |= part.names
    return frozenset(out)


def _keys(part: "Expression | ValueTemplate | Text | None") -> frozenset[str] | None:
    """The members of `body` that it reads; None: all."""
    if part is None:
        return frozenset()
    if isinstance(part, Text):
        return union(_keys(inner) for inner in part.parts if not isinstance(inner, str))
    if "body" not in part.names:
        return frozenset()
    return part.body_keys


def union(sets: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """The union; None (all) as soon as one is."""
    out: frozenset[str] = frozenset()
    for keys in sets:
        if keys is None:
            return None
        out |= keys
    return out


def request_parts(branch: Branch) -> "list[Expression | ValueTemplate | Text | None]":
    """Everything of a branch that is evaluated over the client's request, but for its edits."""
    parts: list[Expression | ValueTemplate | Text | None] = [branch.when, branch.refuse]
    if branch.send:
        parts += [branch.send.path, *(text for _, text in branch.send.query)]
    parts += [text for _, text in (*branch.headers, *branch.query)]
    if branch.body:
        parts.append(branch.body.template)
    return parts


def named_by_branch(branch: Branch) -> frozenset[str] | None:
    """Top-level members of the client's body that the branch names; None: all of it."""
    return union(_keys(part) for part in request_parts(branch))


def response_parts(response: Response) -> "list[Expression | ValueTemplate | Text | None]":
    """Everything of a response rule that is evaluated over the platform's answer."""
    template = response.body.template if response.body else None
    texts = [text for _, text in response.headers]
    return [template, response.bytes, response.url, response.content_type, response.status, *texts]


def named_by_answer(response: Response, errors: ErrorRule | None, more: Iterable[Expression | None]) -> frozenset[str] | None:
    """Top-level members of the platform's answer that the rule names; None: all of it."""
    parts = response_parts(response) + list(more)
    if errors:
        parts += [errors.when, errors.code, errors.message, errors.type]
    return union(_keys(part) for part in parts)
