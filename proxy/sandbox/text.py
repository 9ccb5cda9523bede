"""The sandbox's words: what it says, and how it counts.

Token counts here are an approximation of the sandbox's own and agree with no model's tokenizer: a token is a run of letters,
digits and underscores, or one ideograph, kana or Hangul syllable, or one punctuation mark. Streams send one token per event,
so the number of text events and the completion tokens agree.
"""

import re

PICTURE_TOKENS = 64
"""What one picture in a prompt counts for."""

SHOWN = 200
"""How many characters of a question are repeated in the answer."""

_IDEOGRAPHIC = "぀-ヿ㐀-䶿一-鿿가-힯"
_TOKEN = re.compile(rf"[{_IDEOGRAPHIC}]|[^\W{_IDEOGRAPHIC}]+|[^\w\s]")


def count_tokens(text: str) -> int:
    """The number of tokens in a text, by the rule in the module's docstring."""
    return sum(1 for _ in _TOKEN.finditer(text))


def pieces(text: str) -> list[str]:
    """The text in the steps in which it is streamed: one token each with the blanks before it. Joined they are the text."""
    ends = [match.end() for match in _TOKEN.finditer(text)]
    if not ends:
        return [text] if text else []
    ends[-1] = len(text)
    return [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def fragments(text: str, size: int = 8) -> list[str]:
    """Tool arguments in the steps in which they are streamed; at least one, joined they are the text."""
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]


def shortened(text: str, most: int = SHOWN) -> str:
    """A text on one line, cut at so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most].rstrip()}..."


def names_in(text: str) -> list[str]:
    """Words that look like names (capitalised, not opening the text), to fill arguments with something from the question."""
    words = re.findall(r"\w+", text)
    return [word for word in words[1:] if word[0].isupper() and len(word) > 1]


def echo(asked: str, model: str, pictures: int = 0) -> str:
    """The answer to a question."""
    heard = f'You asked: "{shortened(asked)}".' if asked.strip() else "Your request reached me without any text."
    seen = f" I also received {pictures} picture{'s' if pictures > 1 else ''}." if pictures else ""
    return (
        f"Hello, this is the sandbox speaking. {heard}{seen} "
        f'No model stands behind me, so I cannot really answer as "{model}", '
        "but your request came all the way through, and this is how an answer comes back."
    )


def echo_result(result: str) -> str:
    """The answer after a tool has been run."""
    return (
        f'Thank you, this is the sandbox speaking. The tool answered: "{shortened(result)}". '
        "A real model would now put that into its own words."
    )


def announce(names: list[str]) -> str:
    """What is said before tools are called, in the protocol that lets text and calls stand in one answer."""
    return f"This is the sandbox speaking, I will call {' and '.join(names)} for that."


def thought(asked: str, names: list[str]) -> str:
    """What is thought before the answer, for clients that want to see it."""
    plan = f"I will call {' and '.join(names)}." if names else "I will answer at once."
    return f'They said "{shortened(asked, 60)}". {plan}'


def continuation(prompt: str) -> str:
    """What follows a prompt of the legacy completions."""
    return f' ... and the sandbox goes on from "{shortened(prompt)}" with these words, because no model stands behind it.'
