"""Credentials that are computed for each call: tokens that end, signatures over the request.

What they are made of comes from a rule's `auth` with its secrets put in; how they are computed stands in `translators.signing`.
Static credentials (a bearer key, a header) are plain field lines and never come here.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from proxy.outcomes import ErrorType
from proxy.wire.fields import field_line
from proxy.wire.refusal import Refusal
from translators.model import Auth, AuthKind
from translators.signing import aws_v4, volc_v4
from translators.signing.canonical import Field, SigningError
from translators.signing.jwt import JwtSpec, Moment, TokenCache, Unit, Value, split_pair

SIGNATURES = frozenset((AuthKind.VOLC_V4, AuthKind.AWS_V4))
# Fields that a signature sets, and that a client's own must not stand beside.
SIGNATURE_FIELDS = frozenset(
    (
        b"authorization", b"x-date", b"x-content-sha256", b"x-security-token", b"x-amz-date", b"x-amz-content-sha256",
        b"x-amz-security-token",
    )
)  # fmt: skip
_DEFAULT_TTL = 1800.0
_DEFAULT_SKEW = 5.0
_KINDS = {"exp": Moment.EXPIRES, "nbf": Moment.NOT_BEFORE, "iat": Moment.NOW, "now": Moment.NOW}
_STANDARD = {"iss": "iss", "exp": "exp", "nbf": "nbf"}


class TokenSource(Protocol):
    """Where a token comes from that must be asked for; the proxy's `upstream.tokens` is one."""

    def current(self, now: float) -> str | None:
        """The token at hand; None when it must be waited for."""

    async def wait(self) -> str:
        """A token that may be used. Raises Refusal."""

    def stop(self) -> None:
        """Ask no further."""


class Credential(Protocol):
    """What a computed credential adds to a call. `whole` tells whether it needs the body for it."""

    @property
    def whole(self) -> bool: ...
    @property
    def source(self) -> TokenSource | None: ...

    def lines(self, method: str, target: bytes, fields: Sequence[Field], body: bytes | None, now: float) -> bytes:
        """The field lines; `fields` are the call's own that take part, `Host` among them. Raises Refusal."""


class JsonWebToken:
    """A token signed with a secret, kept until shortly before its end."""

    whole = False
    source: TokenSource | None = None

    def __init__(self, auth: Auth, values: Mapping[str, str]) -> None:
        settings = auth.settings
        parts = dict(values)
        if "split" in settings and "secret" in parts:
            parts["iss"], parts["key"] = split_pair(parts.pop("secret"), str(settings["split"]))
        self._key = parts["key"].encode("utf-8")
        self._values = parts
        ttl = float(settings.get("ttl", _DEFAULT_TTL))
        claims = _prefixed(settings, "claims.") or _STANDARD
        self._spec = JwtSpec(
            claims={name: _KINDS.get(kind) or Value(kind) for name, kind in claims.items()},
            header=_prefixed(settings, "header."),
            ttl=ttl,
            skew=float(settings.get("skew", _DEFAULT_SKEW)),
            unit=Unit(str(settings.get("unit", Unit.SECONDS.value))),
        )
        self._cache = TokenCache(ttl)
        self._name = (auth.header or "Authorization").encode("ascii")
        self._prefix = auth.prefix

    def lines(self, method: str, target: bytes, fields: Sequence[Field], body: bytes | None, now: float) -> bytes:  # noqa: ARG002
        token = self._cache.token(self._key, now, lambda at: self._spec.token(self._values, self._key, at))
        return field_line(self._name, (self._prefix + token).encode("ascii"))


class Signature:
    """A signature over method, target, fields and body."""

    whole = True
    source: TokenSource | None = None

    def __init__(self, auth: Auth, values: Mapping[str, str]) -> None:
        self._aws = auth.kind is AuthKind.AWS_V4
        self._values = values

    def lines(self, method: str, target: bytes, fields: Sequence[Field], body: bytes | None, now: float) -> bytes:
        path, _, query = target.partition(b"?")
        values = self._values
        names = ("access_key", "secret_key", "region", "service")
        access_key, secret_key, region, service = (values[name] for name in names)
        try:
            sign = aws_v4.sign if self._aws else volc_v4.sign
            added = sign(
                method,
                path,
                query,
                [field for field in fields if _signed(field[0], aws=self._aws)],
                body or b"",
                access_key=access_key,
                secret_key=secret_key,
                region=region,
                service=service,
                now=now,
                session_token=values.get("session_token"),
            )
        except SigningError as error:
            raise Refusal(
                400, ErrorType.HTTP_REQUEST_ERROR, "cannot_sign", f"The call cannot be signed for the platform: {error}"
            ) from None
        return b"".join(field_line(name.encode("ascii"), value.encode("utf-8")) for name, value in added)


class AccessToken:
    """A token that is asked for at another place (a service account's)."""

    whole = True  # so that a call can wait for its token

    def __init__(self, source: TokenSource) -> None:
        self.source: TokenSource | None = source
        self._tokens = source

    def lines(self, method: str, target: bytes, fields: Sequence[Field], body: bytes | None, now: float) -> bytes:  # noqa: ARG002
        token = self._tokens.current(now)
        if token is None:  # the caller has waited for it
            raise Refusal(502, ErrorType.PROXY_INTERNAL_ERROR, "no_access_token", "The platform's access token has just ended.")
        return field_line(b"Authorization", b"Bearer " + token.encode("ascii"))


def _signed(name: str, *, aws: bool) -> bool:
    """Whether a field takes part in the signature: those that no hop may change, and no more."""
    lower = name.lower()
    return lower in {"host", "content-type"} or (lower.startswith("x-amz-") if aws else lower.startswith("x-"))


def _prefixed(settings: Mapping[str, float | str], prefix: str) -> dict[str, str]:
    """The settings below a word (`header.sign_type`), without it."""
    return {name.removeprefix(prefix): str(value) for name, value in settings.items() if name.startswith(prefix)}
