"""What a rule file says, as immutable data.

Everything here is plain frozen dataclasses: the loader (`translators.load`) makes them, the proxy compiles its routing
table from them. Nothing here knows a file format, a socket or a provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Protocol(StrEnum):
    """A client protocol: decides the shape of local error bodies and of error events in a stream."""

    CHAT = "chat"  # OpenAI chat completions and everything OpenAI-shaped
    RESPONSES = "responses"  # OpenAI Responses
    MESSAGES = "messages"  # Anthropic Messages
    GENERATE = "generate"  # Gemini generateContent


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a rule file; lines and columns count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Secret:
    """`${secret.NAME}`: replaced by the value of the secret NAME."""

    name: str


@dataclass(frozen=True, slots=True)
class Model:
    """`${model}`: the model of the exchange, after aliases; absent when the request names none."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders, in order. `render` gives None when a placeholder is absent: the field is then left out."""

    parts: tuple[str | Secret | Model, ...]

    @property
    def secrets(self) -> frozenset[str]:
        return frozenset(part.name for part in self.parts if isinstance(part, Secret))

    @property
    def needs_model(self) -> bool:
        return any(isinstance(part, Model) for part in self.parts)

    def render(self, secrets: Mapping[str, str], model: str | None) -> str | None:
        """The text; raises KeyError for an unknown secret."""
        out: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, Secret):
                out.append(secrets[part.name])
            elif model is None:
                return None
            else:
                out.append(model)
        return "".join(out)


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One request header the platform wants: it replaces every field of that name sent by the client."""

    name: str
    value: Template


class AuthKind(StrEnum):
    BEARER = "bearer"  # Authorization: Bearer <value>
    KEY = "key"  # Authorization: Key <value>
    HEADER = "header"  # <name>: <value>
    PASS = "pass"  # noqa: S105 - the client's own credential, in the platform's header
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Auth:
    """How a platform wants its credential.

    `header` is the field name that carries it (`Authorization` for bearer and key), `prefix` what stands before the value
    (`Bearer `, `Key ` or nothing), `value` the template (None for `pass` and `none`). For `pass` header and prefix say how the
    client's credential is written for the platform; `header` None then means: the client's credential fields go on unchanged.
    `client_headers` are further request fields that carry a client credential and are never forwarded (rule D03).
    """

    kind: AuthKind
    header: str | None = None
    prefix: str = ""
    value: Template | None = None
    client_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a platform lives: `base` is the path prefix without a trailing slash (often empty)."""

    scheme: str  # http or https
    host: str  # lower case; an IPv6 address without brackets
    port: int
    base: str = ""
    insecure: bool = False  # certificate verification off (rule K12)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ModelRule:
    """A model name served here. `name` may hold one `*` (any run of characters); `upstream` is the platform's own name for it."""

    name: str
    upstream: str | None
    where: Where


@dataclass(frozen=True, slots=True)
class Route:
    """`METHOD /path/{var}` and what happens to it.

    A variable stands for one non-empty run of characters inside one segment; literal text may stand before and after it in
    the same segment (`/v1beta/models/{model}:generateContent`). `{model}` names the model of the exchange.
    """

    method: str
    path: str
    protocol: Protocol
    where: Where

    @property
    def id(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Platform:
    """One rule file."""

    name: str
    title: str
    docs: str | None
    upstream: Upstream
    auth: Auth
    where: Where
    headers: tuple[HeaderRule, ...] = ()
    models: tuple[ModelRule, ...] = ()
    routes: tuple[Route, ...] = ()
    native: bool = False  # any other path under /{name}/ is carried as it is
    protocol: Protocol = Protocol.CHAT  # of native paths
    set_cookie: bool = False  # pass the platform's Set-Cookie lines on (rule E04)
    half_close: bool = False  # a client's FIN after a whole request is no disconnect (rule L04)
    early_hints: bool = False  # relay 103 (rule H01)
    timeouts: Mapping[str, float] = field(default_factory=dict)  # overrides of the J table, seconds
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def secrets(self) -> frozenset[str]:
        names = self.auth.value.secrets if self.auth.value else frozenset[str]()
        for header in self.headers:
            names |= header.value.secrets
        return names


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All platforms, by name, in order of their names."""

    platforms: Mapping[str, Platform]
