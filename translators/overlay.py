"""Rule files laid over each other: `extends`, resolved on trees of nodes, so that every node still knows the file it stands in.

A file that extends a platform is merged over that platform's file: mappings key by key, null takes a key out; lists, single
values and `auth` replace. The base is the platform as the directories up to this one give it: an earlier directory's file of the
same name, or a file of another name of the same or an earlier directory. Nothing here knows what the words mean, but for
`extends`, `auth`, `upstream`, and the requests of `examples`: their paths get the new platform's name, and they say nothing of the
credential or host that a file has replaced.
"""

from collections.abc import Callable
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence as List
from dataclasses import dataclass, field
from pathlib import Path

from translators import yamlfile
from translators.place import Where
from translators.problems import InvalidFileError, Problem, quote, suggest
from translators.values import CREDENTIAL_HEADERS
from translators.yamlfile import Mapping, Node, Scalar, Sequence

EXTENDS = "extends"
EXAMPLES = "examples"
MAX_CHAIN = 16
WHOLE = frozenset({"auth"})  # one kind of credential replaces another: these are never merged
# Headers of a call that a word decides: where a file says the word anew, the examples it inherits do not speak of them.
_SAID_BY = {"upstream": frozenset({"host"}), "auth": CREDENTIAL_HEADERS}


@dataclass(slots=True)
class Layers:
    """Directories laid over each other, as files by name, the first the lowest. Trees are read when they are asked for, once."""

    files: List[Dictionary[str, Path]]
    examples: bool = True  # False: what stands under `examples` is not read
    _trees: dict[tuple[Path, int], Node] = field(default_factory=dict)

    def names(self) -> list[str]:
        """All platforms, in the order of their names."""
        return sorted({name for layer in self.files for name in layer})

    def file(self, name: str) -> Path:
        """The file that counts for a name: that of the last directory which has it."""
        return next(layer[name] for layer in reversed(self.files) if name in layer)

    def tree(self, name: str) -> Node:
        """The tree of a platform, with everything that it extends. Raises InvalidFileError."""
        return self._tree(name, len(self.files), ())

    def _tree(self, name: str, below: int, above: tuple[str, ...]) -> Node:
        """The tree of a name as the first `below` directories give it; `above` are the names that extend it."""
        level = next(index for index in reversed(range(below)) if name in self.files[index])
        file = self.files[level][name]
        found = self._trees.get((file, level))
        if found is None:
            without = None if self.examples else EXAMPLES
            found = self._resolved(yamlfile.read(file, without=without), name, level, above)
            self._trees[file, level] = found
        return found

    def _resolved(self, tree: Node, name: str, level: int, above: tuple[str, ...]) -> Node:
        extends = _member(tree, EXTENDS)
        if not isinstance(tree, Mapping) or not isinstance(extends, Scalar) or not isinstance(extends.value, str):
            return tree  # the reader of the words says what is wrong, if something is
        base = extends.value
        below = level if base == name else level + 1
        if len(above) >= MAX_CHAIN:
            message = f"more than {MAX_CHAIN} files extend one another"
            raise _refused(message, extends.where, "Extend a file nearer to the first.")
        if base != name and base in above:
            circle = " extends ".join([*above[above.index(base) :], name, base])
            raise _refused(f"a circle: {circle}", extends.where, "One of them must stand on its own.")
        if not any(base in layer for layer in self.files[:below]):
            known = sorted({other for layer in self.files[:below] for other in layer} - {name})
            hint = suggest(base, known) or "A file of its own name must stand in an earlier directory."
            raise _refused(f"there is no platform {quote(base)} to extend", extends.where, hint)
        lower = self._tree(base, below, (*above, name))
        if not isinstance(lower, Mapping):
            return tree
        return _extended(lower, tree, base, name)


def _extended(lower: Mapping, upper: Mapping, base: str, name: str) -> Node:
    inherited = Mapping(tuple(entry for entry in lower.entries if entry[0].text != EXTENDS), lower.where)
    examples = _member(inherited, EXAMPLES)
    said = {key.text for key, _ in upper.entries}
    if isinstance(examples, Sequence) and EXAMPLES not in said:
        gone = frozenset(header for word in said for header in _SAID_BY.get(word, ()))
        elsewhere = name != base or "models" in said  # then the model alone may lead to another platform
        asked = [_renamed(example, base, name) if elsewhere else example for example in examples.items]
        fitting = (_without_headers(example, gone) for example in asked)
        fitted = Sequence(tuple(fitting), examples.where)
        entries = tuple((key, fitted if key.text == EXAMPLES else value) for key, value in inherited.entries)
        inherited = Mapping(entries, inherited.where)
    replaced = said & WHOLE
    return merge(Mapping(tuple(entry for entry in inherited.entries if entry[0].text not in replaced), inherited.where), upper)


def merge(lower: Node, upper: Node) -> Node:
    """`upper` laid over `lower`."""
    if not (isinstance(lower, Mapping) and isinstance(upper, Mapping)):
        return upper
    entries = {key.text: (key, value) for key, value in lower.entries}
    for key, value in upper.entries:
        if key.text in entries and isinstance(value, Scalar) and value.value is None:
            del entries[key.text]
        elif key.text in entries:
            entries[key.text] = (key, merge(entries[key.text][1], value))
        else:
            entries[key.text] = (key, value)
    return Mapping(tuple(entries.values()), upper.where)


def _renamed(example: Node, base: str, name: str) -> Node:
    """An example whose client asks the new platform."""
    if not isinstance(example, Mapping):
        return example
    return _with_member(example, "client", lambda client: _with_member(client, "send", lambda send: _moved(send, base, name)))


def _without_headers(example: Node, names: frozenset[str]) -> Node:
    """An example that does not say what these headers of its calls are."""

    def less(headers: Node) -> Node:
        if not isinstance(headers, Mapping):
            return headers
        return Mapping(tuple(entry for entry in headers.entries if entry[0].text.lower() not in names), headers.where)

    def call(message: Node) -> Node:
        return _with_member(message, "headers", less)

    def calls(listed: Node) -> Node:
        if not isinstance(listed, Sequence):
            return listed
        return Sequence(tuple(_with_member(one, "upstream", call) for one in listed.items), listed.where)

    return _with_member(_with_member(example, "upstream", call), "calls", calls) if names else example


def _with_member(node: Node, key: str, change: Callable[[Node], Node]) -> Node:
    if not isinstance(node, Mapping):
        return node
    return Mapping(tuple((name, change(value) if name.text == key else value) for name, value in node.entries), node.where)


def _moved(send: Node, base: str, name: str) -> Node:
    if not isinstance(send, Scalar) or not isinstance(send.value, str):
        return send
    method, blank, path = send.value.partition(" ")
    text = f"{method}{blank}/{name}/{path.removeprefix(f'/{base}/').removeprefix('/')}"
    return Scalar(text, text, send.where)


def _member(node: Node, key: str) -> Node | None:
    if isinstance(node, Mapping):
        for name, value in node.entries:
            if name.text == key:
                return value
    return None


def _refused(message: str, where: Where, hint: str) -> InvalidFileError:
    return InvalidFileError([Problem(message, where, hint)])
