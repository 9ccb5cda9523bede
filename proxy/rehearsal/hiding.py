"""Secrets out of what `explain` shows: each value becomes `[NAME]`, and what is made of secrets says of which.

What else looks like a credential (the client's own, where a rule passes it on) is taken out by the redaction of the logs.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from proxy.telemetry.redaction import redact
from translators.model import AuthKind, Platform

_TOKENS = frozenset((AuthKind.JWT, AuthKind.GOOGLE))
_SIGNATURE = re.compile(r"(Signature=)[0-9A-Za-z+/=]+")
_KEPT = "\n\t"


class Veil:
    """Hides the secrets of one platform: `values` are by name."""

    def __init__(self, platform: Platform | None, values: Mapping[str, str]) -> None:
        names = sorted(platform.secrets) if platform is not None else []
        self._values = sorted(((values[name], name) for name in names if name in values), key=lambda pair: -len(pair[0]))
        self._token = f"[token made of {', '.join(names)}]" if platform is not None and platform.auth.kind in _TOKENS else None
        self._header = (platform.auth.header or "Authorization").lower() if platform is not None else ""

    def text(self, text: str) -> str:
        """The text without the values."""
        for value, name in self._values:
            for form in {value, quote(value, safe=""), quote(value)}:
                text = text.replace(form, f"[{name}]")
        return text

    def line(self, line: str) -> str:
        """A line of a head."""
        hidden = _SIGNATURE.sub(r"\1[signature]", self.text(line))
        name, colon, value = hidden.partition(":")
        if self._token is not None and colon and name.strip().lower() == self._header:
            prefix = "Bearer " if value.strip().lower().startswith("bearer ") else ""
            return f"{name}: {prefix}{self._token}"
        return hidden if hidden != line else redact(line)

    @staticmethod
    def client_line(line: str) -> str:
        """A line of the client's head: what looks like a credential in it is the client's own."""
        return redact(line)

    def body(self, body: bytes) -> str:
        """A body as text that a terminal may show; one that is no text by its size."""
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return f"<{len(body)} bytes that are no text>"
        text = text.replace("\r\n", "\n")
        if any(not (character.isprintable() or character in _KEPT) for character in text[:4096]):
            return f"<{len(body)} bytes that are no text>"
        return self.text("".join(c if c.isprintable() or c in _KEPT else repr(c)[1:-1] for c in text))
