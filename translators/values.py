"""Single values of a rule file, read and checked: names, header fields, templates, base URLs (rule O04).

Every reader takes a text and gives the value or raises InvalidValueError. Nothing here knows nodes or words, and no message
shows a text that may hold a credential (rules N01, N05).
"""

import base64
import ipaddress
import re

from translators.formats.edits import parse_path
from translators.model import Model, Secret, Template, Upstream
from translators.problems import InvalidValueError, quote, suggest

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_VERSION = re.compile(r"v[0-9]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 section 5.6.2
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_MODEL_NAME = re.compile(r"[\x21-\x7e]+\Z")
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)\Z", re.DOTALL)
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*\Z")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?\Z")
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}\Z")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:; ?[A-Za-z0-9-]+=[A-Za-z0-9._-]+)*\Z")
_MEDIA_RANGE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/(?:\*|[A-Za-z0-9!#$&^_.+-]+)\Z")
_QUERY_NAME = re.compile(r"[A-Za-z0-9._~\[\]-]+\Z")
_QUERY_TEXT = re.compile(r"(?:[A-Za-z0-9._~!$'()*+,;:@/?\[\]-]|%[0-9A-Fa-f]{2})*\Z")
_WORD = re.compile(r"[a-z][a-z0-9_]*\Z")
_CODES = re.compile(r"(-?[0-9]{1,18})(?:-([0-9]{1,18}))?\Z")

# Fields that belong to one connection or to the framing; the proxy writes them itself (rules B08, C09, D01).
RESERVED_HEADERS = frozenset(
    (
        "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-authorization",
        "proxy-authenticate", "http2-settings", "content-length", "host", "expect", "via",
    )
)  # fmt: skip

# What keys of well-known shapes look like. A literal that matches is refused even where no secret is expected.
_CREDENTIAL = re.compile(
    r"\b(?:(?i:[spr]k)[-_][A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{16,}"
    r"|(?i:bearer|basic|key)\s+(?=\S*[0-9=]|\S+[A-Z])[A-Za-z0-9._~+/=-]{8,})"
)
_KEY = re.compile(
    r"\b(?:(?i:sk)[-_][A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{16,}\.eyJ"
    r"|(?i:bearer|basic)\s+(?=\S*[0-9=]|\S+[A-Z])[A-Za-z0-9._~+/=-]{8,})"
)
_MADE_UP = re.compile(r"(?:\bsk-|\b(?i:bearer|basic)\s+)?(?<![A-Za-z0-9])test-[A-Za-z0-9_.-]*")
_OPAQUE = re.compile(r"[A-Za-z0-9_-]{16,}")  # inside a credential, any long run is taken for a part of it

# Fields that carry a credential by their name (rule D03): what stands in them must come from a secret.
CREDENTIAL_HEADERS = frozenset(
    (
        "authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-key",
        "x-auth-token",
        "x-access-token",
    )
)


def slug(text: str) -> str:
    """The name of a platform: the first segment of its paths."""
    if not _SLUG.match(text) or len(text) > 40:
        raise InvalidValueError(
            f"{quote(text)} is no platform name", "Use lower-case letters, digits and single hyphens, at most 40."
        )
    if _VERSION.match(text):
        raise InvalidValueError(f"{quote(text)} would hide the paths /v1, /v1beta, ...", "Choose a name that is no version.")
    return text


def title(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise InvalidValueError("a title is one line of text")
    return text


def web_address(text: str) -> str:
    """Only shown to people, never called."""
    if not re.match(r"https?://[^\s/]+[^\s]*\Z", text) or not text.isprintable():
        raise InvalidValueError(f"{quote(text)} is no web address", "Write https://...")
    return text


def field_name(text: str) -> str:
    """The name of any field."""
    if not _TOKEN.match(text):
        hint = "A name has letters, digits and hyphens, without blanks or colon."
        raise InvalidValueError(f"{quote(text)} is no header name", hint)
    return text


def header_name(text: str) -> str:
    """The name of a request field that a rule may write."""
    field_name(text)
    if text.lower() in RESERVED_HEADERS:
        message = f"the header {quote(text)} belongs to the connection and is written by the proxy itself"
        raise InvalidValueError(message, "Remove it from the rule.")
    return text


def model_name(text: str) -> str:
    if not _MODEL_NAME.match(text):
        raise InvalidValueError(f"{quote(text)} is no model name", "Visible ASCII characters, without blanks.")
    if text.count("*") > 1:
        raise InvalidValueError(f"{quote(text)} has more than one `*`", "One `*` is possible: gpt-*.")
    return text


def template(text: str) -> Template:
    """A header value with `${secret.NAME}` and `${model}` in it."""
    parts: list[str | Secret | Model] = []
    for index, piece in enumerate(_PLACEHOLDER.split(text)):
        if index % 2:
            parts.append(_placeholder(piece))
        elif "${" in piece:
            raise InvalidValueError("a `${` is not closed by `}`", "Write ${secret.NAME} or ${model}.")
        elif piece:
            parts.append(header_literal(piece))
    if not parts:
        raise InvalidValueError("an empty value")
    first, last = parts[0], parts[-1]
    if (isinstance(first, str) and first[0] in " \t") or (isinstance(last, str) and last[-1] in " \t"):
        raise InvalidValueError(
            "the value starts or ends with a blank", "Blanks at the ends do not survive in a header: remove them."
        )
    return Template(tuple(parts))


def _placeholder(text: str) -> Secret | Model:
    name = text.strip()
    if name == "model":
        return Model()
    kind, dot, secret = name.partition(".")
    if kind == "secret" and dot:
        return Secret(secret_name(secret))
    hint = suggest(kind if dot else name, ("model", "secret"))
    if hint and "secret" in hint:
        hint = "Did you mean `${secret.NAME}`?"
    elif hint:
        hint = "Did you mean `${model}`?"
    raise InvalidValueError(f"{quote('${' + text + '}')} is not known", hint or "Known: ${secret.NAME}, ${model}.")


def secret_name(text: str) -> str:
    if not _SECRET_NAME.match(text) or text.endswith("_FILE"):
        hint = "Use upper-case letters, digits and _, and no name ending in _FILE: OPENAPI_KEY."
        raise InvalidValueError("this is no name of a secret", hint)
    return text


def header_literal(text: str) -> str:
    for character in text:
        if not (" " <= character <= "~" or character == "\t"):
            what = "a control character" if character < " " or character == "\x7f" else "a character outside ASCII"
            raise InvalidValueError(
                f"{what} (U+{ord(character):04X}) in a header value", "Only visible ASCII and blanks can stand there."
            )
    return text


def looks_like_credential(text: str) -> bool:
    return _CREDENTIAL.search(text) is not None


def holds_key(text: str) -> bool:
    """Whether a key of a well-known shape stands in any text of a rule file. Made-up ones say so: `test-...`, `sk-test-...`."""
    found = _KEY.search(text)
    return found is not None and _KEY.search(_MADE_UP.sub("", text)) is not None


def credential_template(text: str) -> Template:
    """A template that holds a secret and nothing that looks like one itself (rule N05)."""
    value = template(text)
    hint = "Write ${secret.NAME}; the value comes from the environment or a file, never from a rule file."
    if value.needs_model:
        raise InvalidValueError("${model} cannot be part of a credential", hint)
    if not value.secrets:
        raise InvalidValueError("a credential is written out here", hint)
    _refuse_credential(value, hint)
    if any(isinstance(part, str) and _OPAQUE.search(part) for part in value.parts):
        raise InvalidValueError("a part of a credential is written out here", hint)
    return value


def plain_template(text: str) -> Template:
    """A template for any other header: a literal that looks like a credential is refused (rule N05)."""
    value = template(text)
    _refuse_credential(value, "Write ${secret.NAME} if it is one.")
    return value


def _refuse_credential(value: Template, hint: str) -> None:
    if any(isinstance(part, str) and looks_like_credential(part) for part in value.parts):
        raise InvalidValueError("this looks like a credential that is written out", hint)


# --- words of requests and answers ---


def media_type(text: str) -> str:
    if not _MEDIA_TYPE.match(text):
        raise InvalidValueError(f"{quote(text)} is no media type", "Write type/subtype: application/json, audio/mpeg.")
    return text


def media_range(text: str) -> str:
    if not _MEDIA_RANGE.match(text):
        raise InvalidValueError(f"{quote(text)} is no media type", "Write type/subtype or type/*: image/png, image/*.")
    return text.lower()


def query_name(text: str) -> str:
    if not _QUERY_NAME.match(text):
        raise InvalidValueError(f"{quote(text)} is no name of a query parameter", "Use letters, digits and -._~[].")
    return text


def json_name(text: str) -> str:
    if not text or not text.isprintable() or "${" in text:
        raise InvalidValueError(f"{quote(text)} is no name here", "Write a plain name.")
    return text


def kept_name(text: str) -> str:
    """A name that expressions can use without quotes."""
    if not _WORD.match(text):
        raise InvalidValueError(f"{quote(text)} is no name here", "Use lower-case letters, digits and _.")
    return text


def state_word(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise InvalidValueError(f"{quote(text)} is no status word")
    return text.lower()


def error_code(text: str) -> str:
    """A code, or a range of numbers `1000-1004`."""
    if not text.strip() or not text.isprintable():
        raise InvalidValueError(f"{quote(text)} is no error code")
    if (span := code_range(text)) and span[0] > span[1]:
        raise InvalidValueError(f"the range {quote(text)} is empty", "Write the smaller number first.")
    return text


def code_range(text: str) -> tuple[int, int] | None:
    """The numbers of a code or of a range of codes; None for any other text."""
    match = _CODES.match(text)
    return (int(match[1]), int(match[2] or match[1])) if match else None


def dotted_path(text: str) -> tuple[str, ...]:
    """`stream_options.include_usage` as names; one that holds a dot stands in double quotes."""
    if '"' in text:
        try:
            return parse_path(text)
        except ValueError as error:
            raise InvalidValueError(str(error)) from None
    names = tuple(text.split("."))
    if not all(names) or "${" in text or not text.isprintable() or any(name != name.strip() for name in names):
        raise InvalidValueError(
            f"{quote(text)} is no path of members", "Write names with dots between them: stream_options.include_usage."
        )
    if any("[" in name or "]" in name for name in names):
        raise InvalidValueError(f"{quote(text)} goes into a list", "A path names members of objects only; write a `body` for more.")
    return names


def path_of_members(text: str) -> str:
    """`data[].embedding`: names, each of a list's elements said by `[]`."""
    dotted_path(text.replace("[]", ""))
    if any(name.count("[]") and not name.strip("[]") for name in text.split(".")):
        raise InvalidValueError(f"{quote(text)} is no path of members", "Write names with dots between them: data[].embedding.")
    return text


def separator(text: str) -> str:
    if len(text) != 1 or text.isalnum() or not text.isprintable():
        raise InvalidValueError(f"{quote(text)} is no separator", "Write one character that is no letter and no digit.")
    return text


def host_pattern(text: str) -> str:
    """A host, `*.example.com` for all below it, or `*`."""
    host = text.lower()
    bare = host.removeprefix("*.")
    if host != "*" and (not _HOST.match(bare) or "*" in bare):
        raise InvalidValueError(f"{quote(text)} is no host", "Write cdn.example.com, *.example.com, or * for any public host.")
    return host


def plain_path(text: str) -> str:
    """A literal path, percent-encoded already."""
    if not text.startswith("/"):
        raise InvalidValueError(f"the path {quote(text)} does not start with `/`", "Write a path: /v1/things.")
    if not _PATH.match(text) or text.endswith("/") or any(_DOTS.match(segment) for segment in text.split("/")):
        raise InvalidValueError(f"{quote(text)} is no path", "Plain segments, without doubled slashes, `.` or `..`.")
    return text


def call_path(text: str) -> str:
    """The literal path of a call; a slash at the end is possible."""
    if not _PATH.match(text) or any(_DOTS.match(segment) for segment in text.split("/")):
        hint = "Plain segments, without doubled slashes, `.` or `..`; other characters as %XX."
        raise InvalidValueError(f"the path of this call, {quote(text)}, cannot be sent", hint)
    return text


def is_query_text(text: str) -> bool:
    return _QUERY_TEXT.match(text) is not None


def request_line(text: str) -> tuple[str, str]:
    """`METHOD /path?query` of an example."""
    method, _, target = text.partition(" ")
    if not _TOKEN.match(method) or not method.isupper() or not target.startswith("/") or not target.isprintable() or " " in target:
        raise InvalidValueError(f"{quote(text)} is no request", "Write `METHOD /path`, for example `POST /name/v1/videos`.")
    return method, target


def base64_bytes(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise InvalidValueError("this is no base64", "Use the standard alphabet, with padding.") from None


def base64_text(text: str) -> str:
    base64_bytes(text)
    return "".join(text.split())


# --- base URLs ---


def upstream(text: str) -> Upstream:
    """A base URL: `https://host[:port][/base]`. Never shows the text in a message when it may hold userinfo (rule N04)."""
    hint = "Write an absolute address, for example https://api.example.com or http://127.0.0.1:9000/base."
    match = _URL.match(text)
    if not match:
        raise InvalidValueError("not an absolute URL", hint)
    scheme, authority = match["scheme"].lower(), match["authority"]
    if scheme not in ("http", "https"):
        raise InvalidValueError(f"the scheme {quote(match['scheme'])} is neither http nor https", hint)
    if "@" in authority:
        raise InvalidValueError("a URL with a user name or password in it", "Remove it, and say the credential with `auth`.")
    if match["rest"]:
        raise InvalidValueError("a base URL has no query and no fragment", hint)
    base = match["path"]
    if not _PATH.match(base) or any(_DOTS.match(segment) for segment in base.split("/")):
        raise InvalidValueError(f"{quote(base)} is no base path", "Plain segments, without doubled slashes, `.` or `..`.")
    host, port = _host_and_port(authority, 443 if scheme == "https" else 80)
    return Upstream(scheme, host, port, base.rstrip("/"))


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    hint = "Write a host name or an address, and a port from 1 to 65535 where needed: api.example.com:8443, [::1]:8080."
    if authority.startswith("["):
        literal, bracket, rest = authority[1:].partition("]")
        try:
            host = str(ipaddress.IPv6Address(literal))
        except ValueError:
            bracket = ""
        if not bracket or (rest and not rest.startswith(":")) or "%" in literal:
            raise InvalidValueError(f"{quote(authority)} is no IPv6 address in brackets", hint)
        port = rest[1:] if rest else None
    else:
        host, colon, rest = authority.partition(":")
        port = rest if colon else None
        last = host.rpartition(".")[2]
        if not _HOST.match(host) or (last.isdigit() and not _is_ipv4(host)):
            what = "Write international names in their ASCII form (xn--...)." if not host.isascii() else hint
            raise InvalidValueError(f"{quote(host)} is no host", what)
    if port is None:
        return host.lower(), default
    if not re.match(r"[0-9]{1,5}\Z", port) or not 1 <= int(port) <= 65535:
        raise InvalidValueError(f"{quote(port)} is no port", hint)
    return host.lower(), int(port)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
