"""What a rule file says, as immutable data.

Everything here is plain frozen dataclasses: the loader (`translators.load`) makes them, the proxy compiles its routing
table from them. Nothing here knows a file format, a socket or a provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from translators.expressions.compile import Expression
from translators.expressions.template import ValueTemplate
from translators.place import Where


class Protocol(StrEnum):
    """A client protocol: decides the shape of local error bodies and of error events in a stream."""

    CHAT = "chat"  # OpenAI chat completions and everything OpenAI-shaped
    RESPONSES = "responses"  # OpenAI Responses
    MESSAGES = "messages"  # Anthropic Messages
    GENERATE = "generate"  # Gemini generateContent


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
    QUERY = "query"  # ?<name>=<value>
    JWT = "jwt"  # Authorization: Bearer <token>, signed HS256 with a secret
    VOLC_V4 = "volc_v4"  # the request is signed, by method HMAC-SHA256
    AWS_V4 = "aws_v4"  # the request is signed, by method AWS4-HMAC-SHA256
    GOOGLE = "google"  # Authorization: Bearer <access token of a service account>
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
    parts: Mapping[str, Template] = field(default_factory=dict)  # what a computed credential is made of: iss, key, region, ...
    # Of a token: ttl, skew, unit, split, its `claims.NAME` in order, `header.NAME`; scope of a service account; name of a parameter
    settings: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def secrets(self) -> frozenset[str]:
        templates = [*self.parts.values(), *([self.value] if self.value else [])]
        return frozenset[str]().union(*(template.secrets for template in templates))


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


# --- routes that say more than `carry` ---


class OnAbort(StrEnum):
    """What happens to an upstream call whose client has gone (rules of group L)."""

    CANCEL = "cancel"  # the call is ended at once
    DRAIN = "drain"  # it is read to its end, for the accounting
    DETACH = "detach"  # it goes on, and its task with it


class Unknown(StrEnum):
    """What happens to members of the client's message that a template does not name."""

    FORWARD = "forward"
    DROP = "drop"
    REFUSE = "refuse"


class Form(StrEnum):
    """In which form a reference (picture, audio, video) leaves."""

    URL = "url"
    BASE64 = "base64"
    DATA_URI = "data_uri"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Text:
    """A text with expressions in it, for a header, a query parameter or a path. A null expression makes it absent (None)."""

    parts: tuple[str | Expression, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.names for part in self.parts if not isinstance(part, str)))


@dataclass(frozen=True, slots=True)
class Send:
    """`METHOD /path/${expression}?name=${expression}`. Values are encoded when they are placed (O06); literals of the path are
    percent-encoded already, names and literals of the query are plain text."""

    method: str
    path: Text
    query: tuple[tuple[str, Text], ...]
    where: Where


class EditKind(StrEnum):
    SET = "set"
    DEFAULT = "default"
    RENAME = "rename"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of named paths. `value` for set and default (null: nothing is done), `to` for rename."""

    kind: EditKind
    path: tuple[str, ...]
    where: Where
    value: ValueTemplate | None = None
    to: tuple[str, ...] | None = None
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A template for a whole message; `form` sends it as multipart/form-data."""

    template: ValueTemplate
    unknown: Unknown
    form: bool = False
    drop: frozenset[str] = frozenset()  # members of the client's message that are not sent although no expression reads them


@dataclass(frozen=True, slots=True)
class Media:
    """In which form references leave, by name (`refs`, `mask`)."""

    forms: Mapping[str, Form]


@dataclass(frozen=True, slots=True)
class Usage:
    """Where token counts stand, in the provider's message."""

    input: Expression | None = None
    output: Expression | None = None
    cached: Expression | None = None
    reasoning: Expression | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """How an answer is said: `body` a template, `bytes` (base64 text of its bytes), or `url` (its bytes are fetched)."""

    body: Body | None
    where: Where
    bytes: Expression | None = None
    url: Expression | None = None
    content_type: Text | None = None
    status: Expression | None = None
    headers: tuple[tuple[str, Text], ...] = ()


@dataclass(frozen=True, slots=True)
class EventRule:
    """What goes out for an event that came in: `send` (each a template: a mapping becomes `data:` JSON, a text stands as it is),
    or `bytes` (base64 text of bytes), or nothing (`drop`), or an error. `name` is the event's name on the way out."""

    where: Where
    when: Expression | None = None
    send: tuple[ValueTemplate, ...] = ()
    name: Text | None = None
    bytes: Expression | None = None
    drop: bool = False
    error: "ErrorRule | None" = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Events in, events out; the first rule that holds counts, an event that none names goes out as it came."""

    events: tuple[EventRule, ...]
    where: Where
    when: Expression | None = None  # of the client's request; None: it streams when the answer does
    lines: bool = False  # newline-delimited JSON instead of server-sent events
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """How a failure is recognised and said. `when` also holds for answers below 400; those above always are failures."""

    where: Where
    when: Expression | None = None
    status: Mapping[str, int] = field(default_factory=dict)  # by code, ranges `a-b` possible
    otherwise: int | None = None  # for a code the table does not name, where HTTP says 200; None: 502
    code: Expression | None = None
    message: Expression | None = None
    type: Expression | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a download: a call whose answer holds the next URL."""

    send: Send
    url: Expression  # over its answer; a list is tried in order
    where: Where
    body: "Body | None" = None
    headers: tuple[tuple[str, Text], ...] = ()


@dataclass(frozen=True, slots=True)
class Poll:
    """A call about a task: poll, cancel, delete."""

    send: Send
    where: Where
    headers: tuple[tuple[str, Text], ...] = ()
    body: "Body | None" = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The bridge that waits for a task behind a synchronous call; seconds."""

    first: float = 2.0
    every: float = 5.0
    timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class Task:
    """An asynchronous job of a platform, as the unified task object shows it."""

    name: str
    kind: str  # video, image, music, audio: the `object` of the task object and the prefix of its id
    collection: str  # /v1/videos: where its polls stand
    id: Expression
    poll: Poll
    status: Expression
    states: Mapping[str, str]  # lower-case word of the platform -> queued, in_progress, completed, failed
    where: Where
    waits: bool = False  # a call without ?async= waits for the task's end
    keep: tuple[tuple[str, Expression], ...] = ()  # carried in the id, known as task.NAME
    progress: Expression | None = None
    created_at: Expression | None = None
    completed_at: Expression | None = None
    expires_at: Expression | None = None
    error_code: Expression | None = None
    error_message: Expression | None = None
    result: Expression | None = None  # URLs, data URIs or base64 of the finished work
    thumbnail: Expression | None = None
    variants: Mapping[str, Expression] = field(default_factory=dict)
    object: ValueTemplate | None = None  # further members of the task object
    answer: "Response | None" = None  # what a waiting client gets; None: by kind
    download: tuple[Hop, ...] = ()
    download_auth: bool = False  # the platform's credential goes along, to its own origin only
    content_type: str | None = None  # of the content, where its origin tells none
    cancel: Poll | None = None
    delete: Poll | None = None
    wait: Wait = field(default_factory=Wait)


@dataclass(frozen=True, slots=True)
class Retry:
    """Further attempts of a call that failed before anything of its answer had gone to the client."""

    attempts: int
    on: frozenset[int]
    wait: float = 1.0


@dataclass(frozen=True, slots=True)
class FetchRule:
    """Which URLs may be read on behalf of a client (group R); without it none is."""

    hosts: tuple[str, ...]
    types: tuple[str, ...] = ()  # media types, `image/*` possible; empty: any
    size: int = 20 * 1024 * 1024
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Branch:
    """One way of a route: `choose` has several, the first whose `when` holds counts."""

    where: Where
    when: Expression | None = None
    refuse: Text | None = None
    send: Send | None = None  # None: the client's own path
    headers: tuple[tuple[str, Text], ...] = ()
    query: tuple[tuple[str, Text], ...] = ()
    edits: tuple[Edit, ...] = ()
    body: Body | None = None
    media: Media | None = None
    comments: bool = False  # `//` comments in the client's JSON are taken out
    response: Response | None = None
    stream: Stream | None = None

    @property
    def touches_body(self) -> bool:
        return bool(self.edits or self.body or self.comments)


class Spoken(StrEnum):
    """What a client of a translated route speaks: a protocol, or legacy completions, whose failures are said as in chat."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    GENERATE = "generate"

    @property
    def protocol(self) -> Protocol:
        """In whose words failures are said."""
        return Protocol.CHAT if self is Spoken.COMPLETIONS else Protocol(self.value)


@dataclass(frozen=True, slots=True)
class Translation:
    """`translate: chat to messages`: the client speaks one protocol, the platform another.

    The route's only branch says `send`, `query` and `headers`; without `send` the request goes on by the file's own route for the
    platform's protocol. `options` are read by `translators.runtime.options`, which knows their names and values.
    """

    client: Spoken
    platform: Protocol
    where: Where
    unsupported: str = "refuse"  # or `drop`: what happens to a field that the platform's protocol cannot say
    options: tuple[tuple[str, Expression], ...] = ()
    brought: bool = False  # the file's `translate` has brought the route
    counts: bool = False  # the client asks for a number of tokens, and not for an answer

    @property
    def pair(self) -> str:
        return f"{self.client} to {self.platform}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The list of a platform's models, or one of them, said to clients of the pairs that its file translates.

    `pairs`: client, platform, the headers of such calls. Clients of other protocols get the platform's own answer.
    """

    pairs: tuple[tuple[Protocol, Protocol, tuple[tuple[str, Text], ...]], ...]
    brought: bool = False


@dataclass(frozen=True, slots=True)
class Handling:
    """Everything a route says beyond `carry`."""

    branches: tuple[Branch, ...]
    errors: ErrorRule | None = None
    task: str | None = None  # the name of a task of the platform that the route starts
    of: str | None = None  # the route is about tasks of a collection: the first of them, empty where there are only deferred calls
    action: str | None = None  # poll, content, delete
    deferred: str | None = None  # the kind of task object for ?async=true on a synchronous platform
    translation: Translation | None = None
    listing: Listing | None = None
    usage: Usage | None = None
    retry: Retry | None = None
    on_client_abort: OnAbort = OnAbort.CANCEL
    timeouts: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)


# --- routes and platforms ---


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
    handling: Handling | None = None  # None: carried

    @property
    def id(self) -> str:
        return f"{self.method} {self.path}"


# --- examples ---


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an example. `json`, `text`, `data` (bytes) or `form`: what the body is; several are an error."""

    where: Where
    method: str | None = None
    target: str | None = None
    status: int | None = None  # None: of a request; of a result, any
    headers: tuple[tuple[str, str], ...] = ()
    json: object = None
    has_json: bool = False
    text: str | None = None
    data: bytes | None = None
    form: tuple[tuple[str, object], ...] | None = None
    open: bool = False  # `"...": any` stands at the top of `json`: further members may be there; deeper ones stay where they are
    same: bool = False  # `upstream: same` (or left out): the client's message; `result: same`: the answer
    sse: bool = False  # `text` is a stream of events and ends in a blank line
    repeat: tuple[tuple[str, str], ...] = ()  # of an answer: paths to lists, and which member of the request says how long they are


@dataclass(frozen=True, slots=True)
class Example:
    """What a client sends, what must go upstream, what the platform answers, what the client must get.

    `calls` are the pairs upstream and answer, in order; `fetches` what fetched URLs hold. `after` names the example whose result
    gives `${id}`.
    """

    title: str
    where: Where
    client: Message
    calls: tuple[tuple[Message, Message | None], ...]
    result: Message | None
    fetches: Mapping[str, Message] = field(default_factory=dict)
    after: str | None = None
    now: float = 1_760_000_000.0


# --- a platform ---


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
    query: tuple[tuple[str, Text], ...] = ()  # on every call; the client's of the same name win
    tables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    fetch: FetchRule | None = None
    usage: Usage | None = None  # of native paths and of routes that say nothing else; a Handling has its own
    errors: ErrorRule | None = None  # as written for the whole file; a Handling says whether it counts there
    retry: Retry | None = None  # the same
    on_client_abort: OnAbort = OnAbort.CANCEL
    examples: tuple[Example, ...] = ()
    extends: str | None = None

    @property
    def secrets(self) -> frozenset[str]:
        names = self.auth.secrets
        for header in self.headers:
            names |= header.value.secrets
        return names


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All platforms, by name, in order of their names."""

    platforms: Mapping[str, Platform]
