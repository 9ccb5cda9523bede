"""The words of translated protocols: which pair, and what the platform's side of it wants."""

from enum import StrEnum

from translators import schema, yamlfile
from translators.interpreters.options import OPTIONS, BadOptionError, checked
from translators.model import Protocol, Spoken
from translators.place import Where
from translators.problems import InvalidValueError, Problems, quote, suggest, suggest_or_list
from translators.schema import Fields, Form, Kind, Shape, Word, either
from translators.words import message
from translators.words.kinds import HEADERS, VALUE
from translators.yamlfile import Node, Scalar, Sequence

Pair = tuple[Spoken, Protocol]
WrittenPair = tuple[Where, Pair, Fields | None]


class Unsupported(StrEnum):
    """What happens to a field that the platform's protocol cannot say."""

    REFUSE = "refuse"
    DROP = "drop"


_HINT = "Write CLIENT to PLATFORM, for example chat to messages: the client speaks the first, the platform the second."
_PAIR_PATTERN = rf"^({'|'.join(Spoken)}) to ({'|'.join(Protocol)})$"


def pair(text: str) -> Pair:
    """`chat to messages`."""
    client, _, platform = text.partition(" to ")
    if not platform:
        raise InvalidValueError(f"{quote(text)} is no pair of protocols", _HINT)
    clients, platforms = [one.value for one in Spoken], [one.value for one in Protocol]
    if client not in clients:
        raise InvalidValueError(f"no client speaks {quote(client)} here", suggest_or_list(client, clients, "Protocols"))
    if platform not in platforms:
        hint = suggest(platform, platforms) or f"Platforms speak one of {', '.join(platforms)}."
        raise InvalidValueError(f"no platform speaks {quote(platform)} here", hint)
    if client == platform:
        raise InvalidValueError(f"both sides speak {client}: there is nothing to translate", "Write `carry`.")
    return Spoken(client), Protocol(platform)


def _option(node: Node, problems: Problems, name: str) -> Scalar | None:
    found = VALUE(node, problems)
    if found is not None and not (isinstance(found.value, str) and "${" in found.value):
        try:
            checked(name, found.value)
        except BadOptionError as error:
            problems.add(str(error), found.where)
            return None
    return found


def _kind(name: str) -> Kind[Scalar]:
    return Kind(lambda node, problems: _option(node, problems, name), VALUE.shape)


_DOCS = {
    "max_tokens": ("number", "The limit where the client names none and the platform demands one (messages)."),
    "thinking": (
        "`adaptive`, `budget`, `level` or `off`",
        "In which form the model is told how much to think: messages know the first two, generate the second and third.",
    ),
    "sampling": ("true or false", "The model takes temperature, top_p and top_k (messages)."),
    "system_turns": ("true or false", "A system message may stand between the turns (messages)."),
    "urls": ("`pass` or `inline`", "URLs of pictures and documents go on, or are read here under `fetch` and sent as data."),
    "reasoning_history": ("true or false", "Reasoning of earlier turns goes back to the platform (chat)."),
    "schema": ("`full` or `subset`", "JSON Schema of tools goes on as it is, or in the platform's own subset (generate)."),
    "foreign_signature": ("text", "What stands for the thought signature of a call that another platform made (generate)."),
}
_DEFAULTS = {
    "max_tokens": "4096", "thinking": "`budget`", "sampling": "`true`", "system_turns": "`false`", "urls": "`pass`",
    "reasoning_history": "`false`", "schema": "`full`", "foreign_signature": "none",
}  # fmt: skip
OPTION_WORDS: tuple[Word[object], ...] = tuple(
    Word(name, _DOCS[name][0], _DOCS[name][1], _kind(name), default=_DEFAULTS[name]) for name in OPTIONS
)

WITH = Word(
    "with", "{option: value or expression}", "What the platform's side of `translate` wants; see below.",
    schema.record(OPTION_WORDS, "`with`", least=1),
)  # fmt: skip
UNSUPPORTED = Word(
    "unsupported", "`refuse` or `drop`",
    "What `translate` does with a field that the platform's protocol cannot say: the request is refused, or the field left out.",
    schema.one_of(Unsupported), default="`refuse`",
)  # fmt: skip
TRANSLATE = Word(
    "translate", "CLIENT to PLATFORM", "The client speaks one protocol, the platform another: `chat to messages`.",
    schema.text(pair, _PAIR_PATTERN),
)  # fmt: skip
PAIR_HEADERS = Word("headers", "{name: text}", "Request headers of such calls; each replaces the client's.", HEADERS)
PAIR_EDIT = Word(
    "edit", "list of edits", "Changes members of the platform's request, once it is translated.",
    schema.items(schema.record(message.EDIT, "this edit"), least=1),
)  # fmt: skip
PAIR: tuple[Word[object], ...] = (WITH, UNSUPPORTED, PAIR_HEADERS, PAIR_EDIT)


def _pairs(node: Node, problems: Problems) -> tuple[WrittenPair, ...] | None:
    """A list of pairs, or a mapping from pairs to what is said of each."""
    found: list[WrittenPair] = []
    if isinstance(node, Sequence):
        read = [(item.where, schema.text(pair)(item, problems)) for item in node.items]
        found += [(where, said, None) for where, said in read if said is not None]
    elif isinstance(node, yamlfile.Mapping):
        for key, value in node.entries:
            named = schema.read_value(pair, key, problems, key.text)
            fields = schema.read_fields(value, PAIR, problems, "this pair")
            if named is not None:
                found.append((key.where, named, fields))
    else:
        message = f"`translate` must be a list or a mapping, not {schema.kind_of(node)}"
        problems.add(message, node.where, "Write [chat to messages].")
        return None
    return tuple(found)


PAIRS: Kind[tuple[WrittenPair, ...]] = Kind(
    _pairs,
    either(
        Shape(Form.LIST, parts=(Shape(Form.TEXT, _PAIR_PATTERN),)),
        Shape(Form.MAP, _PAIR_PATTERN, parts=(Shape(Form.RECORD, words=PAIR),)),
    ),
)
