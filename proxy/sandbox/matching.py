"""Which example answers a request: the same method and path, then the closest query and body.

An example whose answer is a failure answers only a request that says everything it says, and something among it that no example
of success on that path says: else a harmless prompt would be refused because a failure was written down with it.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from proxy.sandbox.asked import Asked, Leaf
from proxy.sandbox.known import Known, Part, said_by

_SAME_PATH, _EQUAL, _SAME_NAME, _MISSING, _EXTRA = 100.0, 3.0, 1.0, -1.0, -0.5
_WRONG_WORD = -4.0  # a word of a closed list, or a flag, often decides what the answer looks like
_STREAM: frozenset[Leaf] = frozenset({(".stream", True), (".stream", "true")})  # in JSON, and in a form
_WRONG_STREAM = -30.0  # one that is asked for and not given, or the other way round
_SAME_HEADER, _WRONG_HEADER = 10.0, -30.0  # some platforms are asked for a stream by a header
_STARTS = 8.0  # a call whose task can be followed, over the same one in an example of native paths
_WRONG_FORMAT = -15.0  # a form of the answer that is asked for and not given
_WRONG_QUERY = -50.0  # a parameter of the query often says which operation is meant
_FORMAT = re.compile(r"\.(?:\w+_)?format$")
_MEDIA = re.compile(r"iVBORw0KGgo|/9j/")  # PNG and JPEG in base64
_FREE = re.compile(r"(?:prompt|text|content|input|lyrics|title|name|model|id|ids|url|urls|uri|image|images|voice|seed)(?:\[\])*$")


def on_path(calls: Iterable[Known], asked: Asked) -> list[Known]:
    """The calls whose method and shape of path fit."""
    return [call for call in calls if call.method == asked.method and call.shape.fullmatch(asked.path)]


def best(calls: Sequence[Known], asked: Asked) -> Known | None:
    """The closest of some calls that fit by path; of equals the first. None: there is none, or failures only."""
    said = said_by(asked.query, asked.body)
    good = [call for call in calls if call.failure is None]
    harmless = frozenset[Leaf]().union(*(call.said for call in good))
    failing = [call for call in calls if call.failure is not None and call.said <= said and call.said - harmless]
    if failing:
        return max(failing, key=lambda call: len(call.said))
    ranked = [(score(call, asked, said), -place, call) for place, call in enumerate(good)]
    return max(ranked)[2] if ranked else None


def score(call: Known, asked: Asked, said: frozenset[Leaf]) -> float:
    """How close a call is to a request."""
    known = call.said
    names = {name for name, _ in said}
    total = _SAME_PATH if call.path == asked.path else 0.0
    total += _STARTS if call.task_id is not None else 0.0
    given = {name.lower(): value for name, value in (asked.headers or {}).items()}
    for name, value in call.headers.items():
        total += _SAME_HEADER if given.get(name) == value else _WRONG_HEADER
    if _STREAM.isdisjoint(known) != _STREAM.isdisjoint(said):
        total += _WRONG_STREAM
    for leaf in known:
        if leaf in said:
            total += _EQUAL
        elif leaf[0].startswith("?"):
            total += _WRONG_QUERY
        elif _is_word(leaf):
            total += _WRONG_WORD
        else:
            total += _SAME_NAME if leaf[0] in names else _MISSING
    total += _WRONG_FORMAT * len({leaf for leaf in said - known if _FORMAT.search(leaf[0])})
    return total + _EXTRA * len({name for name, _ in said} - {name for name, _ in known})


def pictured(calls: Sequence[Known], asked: Asked) -> Known | None:
    """The call whose answer holds media, if the request says all the words that tell it from calls whose answer holds none."""
    said = said_by(asked.query, asked.body)
    drawing = [call for call in calls if call.failure is None and call.answer is not None and _MEDIA.search(repr(call.answer))]
    plain = frozenset[Leaf]().union(*(call.said for call in calls if call.failure is None and call not in drawing))
    telling = [(frozenset(leaf for leaf in call.said - plain if _is_word(leaf)), call) for call in drawing]
    fitting = [(len(words), -place, call) for place, (words, call) in enumerate(telling) if words and words <= said]
    return max(fitting)[2] if fitting else None


def _is_word(leaf: Leaf) -> bool:
    """Whether a value is one of a few that are possible, rather than anything a client may say."""
    name, value = leaf
    if isinstance(value, bool):
        return True
    return isinstance(value, str) and len(value) < 24 and re.fullmatch(r"[\w:.-]+", value) is not None and not _FREE.search(name)


def answered_like(calls: Iterable[Known], call: Known, asked: Asked) -> Known | None:
    """The call whose answer stands in for one that has none: on the same path, else one that starts the same task."""
    others = [other for other in calls if other.answer is not None and other.failure is None and other.method == call.method]
    here = [other for other in others if other.path == call.path and other.part is call.part]
    starting = [other for other in others if call.part is Part.CREATE and other.part is call.part and other.task is call.task]
    return best(here, asked) or best(starting, asked)


def nearest(calls: Iterable[Known], asked: Asked) -> Known | None:
    """The call whose method and path look most like those of a request that nothing fits."""

    def likeness(call: Known) -> float:
        same = SequenceMatcher(None, call.path, asked.path[:500], autojunk=False).ratio()
        return same + (0.2 if call.method == asked.method else 0.0)

    return max(calls, key=likeness, default=None)
