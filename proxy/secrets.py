"""Where the values of `${secret.NAME}` come from: environment, files, a mounted directory. Never a rule file (rule N05).

This is the only place that reads them. No message, `repr` or exception made here holds a value, not even in its context (rules N01,
N10). Values are read afresh at every call, so that a reload sees rotated files (M05); nothing here is for the hot path.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from translators.model import Platform

MAX_BYTES = 64 * 1024  # of a file with a secret; no header could carry more

_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")


class SecretError(Exception):
    """A secret that is there and cannot be used; the message names its source, never its value."""


class SecretStore:
    """Secrets by name. The first source that knows the name counts, also when what it holds is unusable:

    1. the environment variable PREFIX + NAME,
    2. the file whose path stands in the environment variable PREFIX + NAME + `_FILE`,
    3. the file NAME in the mounted directory.

    A trailing line end is stripped. An empty value is an error, never "no secret".
    """

    __slots__ = ("_directory", "_environ", "_prefix")

    def __init__(self, environ: Mapping[str, str], prefix: str = "", directory: Path | None = None) -> None:
        self._environ = environ
        self._prefix = prefix
        self._directory = directory

    def __repr__(self) -> str:
        return f"SecretStore(prefix={self._prefix!r}, directory={str(self._directory) if self._directory else None!r})"

    def get(self, name: str) -> str | None:
        """The value; None when no source knows the name. Raises SecretError for an unusable value, ValueError for a wrong name."""
        if not _NAME.match(name):
            raise ValueError("a secret's name has upper-case letters, digits and _")
        variable = self._prefix + name
        if variable in self._environ:
            return _checked(self._environ[variable], f"the environment variable {variable}")
        if variable + "_FILE" in self._environ:
            path = self._environ[variable + "_FILE"]
            if not path:
                raise SecretError(f"the environment variable {variable}_FILE is empty: it must hold the path of a file")
            return _read(Path(path), f"the file named by {variable}_FILE")
        if self._directory is not None and os.path.lexists(self._directory / name):
            return _read(self._directory / name, f"the file {name} in the directory of secrets")
        return None

    def missing(self, platform: Platform) -> tuple[str, ...]:
        """The names of the platform's secrets that no source knows, sorted; raises SecretError like `get`."""
        return tuple(name for name in sorted(platform.secrets) if self.get(name) is None)


def _read(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(f"{source} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SecretError(f"{source} is larger than {MAX_BYTES // 1024} KiB: it must hold one value")
    # Byte by byte, because a decoding error would keep the data inside the exception.
    return _checked(data.decode("latin-1"), source)


def _checked(value: str, source: str) -> str:
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise SecretError(f"{source} is empty: remove it, or put the value in")
    if any(character < " " or character == "\x7f" for character in value):
        raise SecretError(f"{source} holds a control character or a line end inside the value: it must be one line")
    if not value.isascii():
        raise SecretError(f"{source} holds a character outside ASCII: no header can carry it")
    if value != value.strip(" "):
        raise SecretError(f"{source} starts or ends with a blank: remove it")
    return value
