"""Which names an expression may use at which place.

A `Scope` is what a place knows: the names at the root, and the members of those names whose members are known (the variables of the
route's path, what a task keeps).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Scope:
    """`what` names the place, for problems. `members`: for some names, the only members they have."""

    what: str
    names: frozenset[str]
    members: tuple[tuple[str, frozenset[str]], ...] = ()

    def knowing(self, name: str, members: Iterable[str]) -> "Scope":
        """The same, with one name more, of which the members are known."""
        others = tuple(entry for entry in self.members if entry[0] != name)
        return replace(self, names=self.names | {name}, members=(*others, (name, frozenset(members))))

    def with_names(self, *names: str) -> "Scope":
        return replace(self, names=self.names.union(names))


# What `task` holds besides what a task keeps: seconds and size where the client gave them.
TASK_MEMBERS = ("model", "created_at", "seconds", "size")
_ASKED = ("model", "path", "query", "header")

PLATFORM = Scope("the query of every call", frozenset({"model"}))
REQUEST = Scope("the request side", frozenset((*_ASKED, "body", "refs", "mask")))
TRANSLATED = Scope("a translated route", frozenset((*_ASKED, "body", "stream")))
SENT = Scope("the call of a translated route", frozenset(("model", "stream")))
ANSWER = Scope("the answer side", frozenset((*_ASKED, "body", "request", "status")))
STREAM = Scope("a stream", frozenset((*_ASKED, "event", "data", "first", "request", "status")))
USAGE = Scope("token counts", frozenset(("body", "data", "event", "status")))
CREATED = Scope("the answer to the create call", frozenset((*_ASKED, "body", "request", "status")))
TASK_CALL = Scope("a call about a task", frozenset((*_ASKED, "id"))).knowing("submitted", ("path",))
TASK_ANSWER = Scope("an answer about a task", frozenset((*_ASKED, "id", "body", "status"))).knowing("submitted", ("path",))
WAITED = Scope("the answer to a waiting client", TASK_ANSWER.names | {"request"}, TASK_ANSWER.members)
