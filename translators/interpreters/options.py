"""What a rule says of the platform's side of a pair (`with`): names, values, and the `Settings` that come of them.

The same checks hold for a constant when the file is loaded, and for what an expression gives when a request is there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from translators.interpreters.base import Settings


class Option(NamedTuple):
    """`expected` says in words what `fits` accepts."""

    fits: Callable[[Any], bool]
    expected: str


class BadOptionError(ValueError):
    """The value of an option is none that it can have; the text says so."""


def _one_of(*choices: str) -> Option:
    return Option(lambda value: value in choices, f"one of {', '.join(choices)}")


_FLAG: Final = Option(lambda value: isinstance(value, bool), "true or false")

OPTIONS: Final[Mapping[str, Option]] = {
    "max_tokens": Option(lambda value: type(value) is int and 0 < value < 1 << 31, "a whole number above 0"),
    "thinking": _one_of("adaptive", "budget", "level", "off"),
    "sampling": _FLAG,
    "system_turns": _FLAG,
    "urls": _one_of("pass", "inline"),
    "reasoning_history": _FLAG,
    "schema": _one_of("full", "subset"),
    "foreign_signature": Option(lambda value: isinstance(value, str) and bool(value), "a text"),
}


def checked(name: str, value: Any) -> Any:
    """The value of an option. Raises BadOptionError."""
    option = OPTIONS[name]
    if not option.fits(value):
        raise BadOptionError(f"the option `{name}` is {value!r:.80}; expected {option.expected}")
    return value


def settings(unsupported: str, values: Mapping[str, Any]) -> Settings:
    """The settings; an option that is None keeps its default. Raises BadOptionError."""
    given = {name: checked(name, value) for name, value in values.items() if value is not None}
    return Settings(unsupported="drop" if unsupported == "drop" else "refuse", **given)
