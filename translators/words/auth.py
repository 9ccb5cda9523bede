"""The words of `auth`: how a platform wants its credential."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from translators import schema, units, values, yamlfile
from translators.model import Auth, AuthKind, Template
from translators.problems import Problems
from translators.schema import Fields, Form, Kind, Reader, Shape, Word, either
from translators.words.kinds import above_zero
from translators.yamlfile import Node, Scalar

SECRET: Kind[Template] = schema.text(values.credential_template, r"\$\{\s*secret\.")
PLAIN: Kind[Template] = schema.text(values.plain_template)


def _credential(kind: AuthKind, header: str, prefix: str) -> Kind[Auth]:
    def read(node: Node, problems: Problems) -> Auth | None:
        value = SECRET(node, problems)
        first = value.parts[0] if value else None
        if isinstance(first, str) and first.lower().startswith(prefix.lower()):
            problems.add(f"`{kind.value}` writes {prefix.strip()!r} itself", node.where, "Write the secret alone: ${secret.NAME}.")
        return Auth(kind, header, prefix, value) if value else None

    return Kind(read, SECRET.shape)


def _one(what: str, hint: str, name: Reader[str]) -> Reader[tuple[str, Template]]:
    """One name and its credential."""

    def read(node: Node, problems: Problems) -> tuple[str, Template] | None:
        if not isinstance(node, yamlfile.Mapping) or len(node.entries) != 1:
            problems.add(what, node.where, hint)
            return None
        ((key, value),) = node.entries
        written = name(key, problems)
        template = SECRET(value, problems)
        return (written, template) if written and template else None

    return read


def _key(parse: Any) -> Reader[str]:
    def read(node: Node, problems: Problems) -> str | None:
        return schema.read_value(parse, node, problems, node.text) if isinstance(node, Scalar) else None

    return read


_header = _one("`header` takes one header and its value", 'Write header: {x-api-key: "${secret.NAME}"}.', _key(values.header_name))
_query = _one("`query` takes one parameter and its value", 'Write query: {key: "${secret.NAME}"}.', _key(values.query_name))


def _header_credential(node: Node, problems: Problems) -> Auth | None:
    found = _header(node, problems)
    return Auth(AuthKind.HEADER, found[0], "", found[1]) if found else None


def _query_credential(node: Node, problems: Problems) -> Auth | None:
    found = _query(node, problems)
    return Auth(AuthKind.QUERY, None, "", found[1], settings={"name": found[0]}) if found else None


_PASS_SHAPES = {"bearer": ("Authorization", "Bearer "), "key": ("Authorization", "Key ")}


def _pass_on(node: Node, problems: Problems) -> Auth | None:
    hint = "Write pass: bearer, pass: key or pass: {header: x-api-key}."
    if isinstance(node, Scalar) and node.text in _PASS_SHAPES:
        return Auth(AuthKind.PASS, *_PASS_SHAPES[node.text])
    if isinstance(node, yamlfile.Mapping) and [key.text for key, _ in node.entries] == ["header"]:
        name = schema.text(values.header_name)(node.entries[0][1], problems)
        return Auth(AuthKind.PASS, name) if name else None
    problems.add("`pass` names the header the client's credential is written to", node.where, hint)
    return None


# --- computed credentials ---


class Unit(StrEnum):
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class Claim(StrEnum):
    """What a claim of a token holds."""

    ISS = "iss"  # the issuer, or the id part of a credential
    EXP = "exp"
    NBF = "nbf"
    IAT = "iat"
    NOW = "now"


JWT_ISS = Word("iss", "template", "The issuer: the public part of the credential.", SECRET)
JWT_KEY = Word("key", "template", "What the token is signed with (HS256).", SECRET)
JWT_SECRET = Word("secret", "template", "A credential that holds both parts, in place of `iss` and `key`; see `split`.", SECRET)
JWT_SPLIT = Word("split", "text", "What stands between the two parts of `secret`.", schema.text(values.separator), default='`"."`')
JWT_TTL = Word("ttl", "duration", "How long a token is valid.", schema.number(above_zero(units.duration)), default="`30m`")
JWT_SKEW = Word("skew", "duration", "How far before now a token starts (`nbf`).", schema.number(units.duration), default="`5s`")
JWT_UNIT = Word(
    "unit", "`seconds` or `milliseconds`", "In what the times of a token count.", schema.one_of(Unit), default="`seconds`"
)
JWT_HEADER = Word(
    "header",
    "{name: text}",
    "Further fields of the token's header, beside `alg`.",
    schema.mapping(values.json_name, schema.text(values.title), "Write name: value.", least=1),
)
JWT_CLAIMS = Word(
    "claims",
    "{name: `iss`, `exp`, `nbf`, `iat` or `now`}",
    "The claims, in this order, and what each holds.",
    schema.mapping(values.json_name, schema.one_of(Claim), "Write name: exp.", least=1),
    default="`iss`, `exp` and `nbf` by their names",
)
JWT: tuple[Word[object], ...] = (
    JWT_ISS, JWT_KEY, JWT_SECRET, JWT_SPLIT, JWT_TTL, JWT_SKEW, JWT_UNIT, JWT_HEADER, JWT_CLAIMS,
)  # fmt: skip


def _jwt(node: Node, problems: Problems) -> Auth | None:
    fields = schema.read_fields(node, JWT, problems, "`jwt`")
    if fields is None:
        return None
    pair, whole = fields.said((JWT_ISS, JWT_KEY)), JWT_SECRET in fields
    if (len(pair) != 2 or whole) and (pair or not whole):
        hint = 'Write {iss: "${secret.A}", key: "${secret.B}"}, or {secret: "${secret.X}", split: "."}.'
        problems.add("`jwt` needs `iss` and `key`, or `secret`", node.where, hint)
    if JWT_SPLIT in fields and not whole:
        problems.add("`split` belongs to `secret`", fields.where(JWT_SPLIT), "Remove it.")
    settings: dict[str, float | str] = {
        "ttl": fields.get(JWT_TTL) or 1800.0,
        "skew": 5.0 if (skew := fields.get(JWT_SKEW)) is None else skew,
        "unit": (fields.get(JWT_UNIT) or Unit.SECONDS).value,
    }
    if whole:
        settings["split"] = fields.get(JWT_SPLIT) or "."
    settings |= {f"header.{name}": value for _, name, value in fields.get(JWT_HEADER) or ()}
    settings |= {f"claims.{name}": claim.value for _, name, claim in fields.get(JWT_CLAIMS) or ()}
    return Auth(AuthKind.JWT, "Authorization", "Bearer ", parts=_parts(fields, (JWT_ISS, JWT_KEY, JWT_SECRET)), settings=settings)


def _parts(fields: Fields, words: tuple[Word[Template], ...]) -> Mapping[str, Template]:
    return {word.name: template for word in words if (template := fields.get(word)) is not None}


V4_ACCESS = Word("access_key", "template", "The access key.", SECRET, required=True)
V4_SECRET = Word("secret_key", "template", "The secret key.", SECRET, required=True)
V4_REGION = Word("region", "text", "The region of the signature.", PLAIN, required=True)
V4_SERVICE = Word("service", "text", "The service of the signature.", PLAIN, required=True)
V4_TOKEN = Word("session_token", "template", "The token of a temporary credential.", SECRET)
VOLC_V4: tuple[Word[Template], ...] = (V4_ACCESS, V4_SECRET, V4_REGION, V4_SERVICE)
AWS_V4: tuple[Word[Template], ...] = (*VOLC_V4, V4_TOKEN)
GOOGLE_ACCOUNT = Word("service_account", "template", "The JSON file of a service account.", SECRET, required=True)
GOOGLE_SCOPE = Word("scope", "web address", "The scope that is asked for.", schema.text(values.web_address), required=True)
GOOGLE: tuple[Word[object], ...] = (GOOGLE_ACCOUNT, GOOGLE_SCOPE)


def _signature(kind: AuthKind, words: tuple[Word[Template], ...]) -> Kind[Auth]:
    def read(node: Node, problems: Problems) -> Auth | None:
        fields = schema.read_fields(node, words, problems, f"`{kind.value}`")
        return Auth(kind, "Authorization", parts=_parts(fields, words)) if fields else None

    return Kind(read, Shape(Form.RECORD, words=tuple(words)))


def _google(node: Node, problems: Problems) -> Auth | None:
    fields = schema.read_fields(node, GOOGLE, problems, "`google`")
    if fields is None:
        return None
    settings: dict[str, float | str] = {"scope": fields.get(GOOGLE_SCOPE) or ""}
    return Auth(AuthKind.GOOGLE, "Authorization", "Bearer ", parts=_parts(fields, (GOOGLE_ACCOUNT,)), settings=settings)


# --- the kinds together ---

_ONE_SECRET = Shape(Form.MAP, parts=(SECRET.shape,), least=1, most=1)

AUTH_BEARER = Word(
    "bearer",
    "template",
    "Sends `Authorization: Bearer <value>`.",
    _credential(AuthKind.BEARER, "Authorization", "Bearer "),
)
AUTH_KEY = Word("key", "template", "Sends `Authorization: Key <value>`.", _credential(AuthKind.KEY, "Authorization", "Key "))
AUTH_HEADER = Word("header", "{name: template}", "Sends the value in a header of any name.", Kind(_header_credential, _ONE_SECRET))
AUTH_QUERY = Word("query", "{name: template}", "Sends the value as a query parameter.", Kind(_query_credential, _ONE_SECRET))
AUTH_JWT = Word(
    "jwt",
    "mapping, see below",
    "Sends `Authorization: Bearer <token>`; the token is signed for each use and kept for its time.",
    Kind(_jwt, Shape(Form.RECORD, words=JWT)),
)
AUTH_VOLC_V4 = Word(
    "volc_v4", "mapping, see below", "Signs each request by the method `HMAC-SHA256`.", _signature(AuthKind.VOLC_V4, VOLC_V4)
)
AUTH_AWS_V4 = Word(
    "aws_v4", "mapping, see below", "Signs each request by the method `AWS4-HMAC-SHA256`.", _signature(AuthKind.AWS_V4, AWS_V4)
)
AUTH_GOOGLE = Word(
    "google",
    "{service_account: template, scope: web address}",
    "Sends `Authorization: Bearer <access token>` of a service account.",
    Kind(_google, Shape(Form.RECORD, words=GOOGLE)),
)
AUTH_PASS = Word(
    "pass",
    "`bearer`, `key` or {header: name}",
    "Sends the client's own credential, in the header the platform wants.",
    Kind(
        _pass_on,
        either(
            Shape(Form.TEXT, values=tuple(_PASS_SHAPES)),
            Shape(Form.RECORD, words=(Word("header", "name", "", schema.text(values.header_name), required=True),)),
        ),
    ),
)
AUTH_CLIENT_HEADERS = Word(
    "client_headers",
    "list of header names",
    "Further request headers that carry a client's credential and are never forwarded.",
    schema.items(schema.text(values.header_name)),
)
AUTH_KINDS: tuple[Word[Auth], ...] = (
    AUTH_BEARER, AUTH_KEY, AUTH_HEADER, AUTH_QUERY, AUTH_JWT, AUTH_VOLC_V4, AUTH_AWS_V4, AUTH_GOOGLE, AUTH_PASS,
)  # fmt: skip
AUTH: tuple[Word[object], ...] = (*AUTH_KINDS, AUTH_CLIENT_HEADERS)
_PLAIN_AUTH = {"pass": Auth(AuthKind.PASS), "none": Auth(AuthKind.NONE)}


def _auth(node: Node, problems: Problems) -> Auth | None:
    kinds = ", ".join(word.name for word in AUTH_KINDS)
    if isinstance(node, Scalar):
        if node.text in _PLAIN_AUTH:
            return _PLAIN_AUTH[node.text]
        # The text is not shown: somebody may have written a key here.
        hint = 'Write `none`, `pass`, or for example {bearer: "${secret.NAME}"}.'
        problems.add("`auth` is none of the known kinds", node.where, hint)
        return None
    fields = schema.read_fields(node, AUTH, problems, "`auth`")
    if fields is None:
        return None
    said = [word for word in AUTH_KINDS if word in fields]
    if len(said) != 1:
        found = " and ".join(f"`{word.name}`" for word in said) or "none"
        problems.add(f"`auth` needs exactly one kind, found {found}", node.where, f"Kinds: {kinds}; or the plain words pass, none.")
        return None
    auth = fields.get(said[0])
    return replace(auth, client_headers=fields.get(AUTH_CLIENT_HEADERS) or ()) if auth else None


read_auth: Kind[Auth] = Kind(_auth, either(Shape(Form.TEXT, values=tuple(_PLAIN_AUTH)), Shape(Form.RECORD, words=AUTH, least=1)))
