"""The words for what happens to a message: calls, edits, answers, streams, failures, token counts."""

from enum import StrEnum

from translators import schema, units, values
from translators.model import Form as MediaForm
from translators.model import Unknown
from translators.schema import Kind, Word
from translators.words.kinds import (
    EXPRESSION,
    HEADERS,
    MEDIA_TYPE,
    SEND,
    TEMPLATE,
    TEMPLATE_MAPPING,
    TEXT,
    VALUE,
    YES,
    above_zero,
)


class AnswerUnknown(StrEnum):
    """What happens to members of an answer that its template does not name."""

    FORWARD = "forward"
    DROP = "drop"


# --- edits ---

EDIT_SET = Word("set", "{path: value}", "Puts a value there, whether or not one was.", TEMPLATE_MAPPING)
EDIT_DEFAULT = Word("default", "{path: value}", "Puts a value there if none was.", TEMPLATE_MAPPING)
EDIT_RENAME = Word(
    "rename", "{path: path}", "Gives a member another name; its value stays byte for byte.",
    schema.mapping(values.dotted_path, schema.text(values.dotted_path), "Write old: new.", least=1),
)  # fmt: skip
EDIT_REMOVE = Word("remove", "list of paths", "Takes members out.", schema.items(schema.text(values.dotted_path), least=1))
EDIT_WHEN = Word("when", "expression", "Does it only if this holds for the client's message.", EXPRESSION)
EDIT_KINDS: tuple[Word[object], ...] = (EDIT_SET, EDIT_DEFAULT, EDIT_RENAME, EDIT_REMOVE)
EDIT: tuple[Word[object], ...] = (*EDIT_KINDS, EDIT_WHEN)

# --- references ---

_FORM = schema.one_of(MediaForm)
MEDIA_REFS = Word(
    "refs", "`url`, `base64`, `data_uri` or `file`", "The form of the client's references, as `refs` gives them.", _FORM
)
MEDIA_MASK = Word("mask", "`url`, `base64`, `data_uri` or `file`", "The form of the client's mask, as `mask` gives it.", _FORM)
MEDIA: tuple[Word[MediaForm], ...] = (MEDIA_REFS, MEDIA_MASK)

# --- calls of the proxy's own ---

CALL_SEND = Word("send", "METHOD /path", "What is called; expressions are encoded for their place.", SEND, required=True)
CALL_HEADERS = Word("headers", "{name: text}", "Headers of this call, beside the platform's own.", HEADERS)
CALL_BODY = Word("body", "template", "The JSON body of the call.", TEMPLATE)
CALL: tuple[Word[object], ...] = (CALL_SEND, CALL_HEADERS, CALL_BODY)
HOP_URL = Word(
    "url", "expression", "Where the next URL stands in its answer; of a list the first that works.", EXPRESSION, required=True
)
HOP: tuple[Word[object], ...] = (*CALL, HOP_URL)

# --- answers ---

RESPONSE_BODY = Word("body", "template", "The answer, in the client's protocol.", TEMPLATE)
RESPONSE_UNKNOWN = Word(
    "unknown", "`forward` or `drop`", "What happens to members of the platform's answer that the rule names nowhere.",
    schema.one_of(AnswerUnknown), default="`forward`",
)  # fmt: skip
RESPONSE_BYTES = Word("bytes", "expression", "Base64 text of the answer's bytes, in place of `body`.", EXPRESSION)
RESPONSE_URL = Word("url", "expression", "A URL whose bytes are the answer, in place of `body`.", EXPRESSION)
RESPONSE_TYPE = Word("type", "media type or text", "The media type of the answer.", TEXT)
RESPONSE_STATUS = Word("status", "number or expression", "The HTTP status.", VALUE, default="the platform's")
RESPONSE_HEADERS = Word("headers", "{name: text}", "Headers of the answer; each replaces the platform's.", HEADERS)
RESPONSE_CONTENT: tuple[Word[object], ...] = (RESPONSE_BODY, RESPONSE_BYTES, RESPONSE_URL)
RESPONSE: tuple[Word[object], ...] = (
    *RESPONSE_CONTENT, RESPONSE_UNKNOWN, RESPONSE_TYPE, RESPONSE_STATUS, RESPONSE_HEADERS,
)  # fmt: skip

# --- failures ---

ERROR_CODE = Word("code", "text or expression", "The error's code.", VALUE)
ERROR_MESSAGE = Word("message", "text or expression", "The error's message.", VALUE)
ERROR_TYPE = Word(
    "type", "text or expression", "The error's type, where the client's protocol has one.", VALUE, default="by status"
)
EVENT_ERROR_STATUS = Word("status", "number", "The HTTP status it stands for.", schema.whole(400, 599), default="by `errors`")
EVENT_ERROR: tuple[Word[object], ...] = (EVENT_ERROR_STATUS, ERROR_CODE, ERROR_MESSAGE, ERROR_TYPE)

ERRORS_WHEN = Word(
    "when", "expression", "Recognises a failure in an answer below 400; from 400 on every answer is one.", EXPRESSION
)
ERRORS_STATUS = Word(
    "status", "{code: status}", "The HTTP status by code; ranges of numbers as `1000-1004`.",
    schema.mapping(values.error_code, schema.whole(400, 599), "Write code: status, for example 1001-1004: 401.", least=1),
)  # fmt: skip
ERRORS_OTHERWISE = Word(
    "otherwise", "number", "The status of a code that stands in no table, where the platform says success.",
    schema.whole(400, 599), default="502",
)  # fmt: skip
ERRORS: tuple[Word[object], ...] = (ERRORS_WHEN, ERRORS_STATUS, ERRORS_OTHERWISE, ERROR_CODE, ERROR_MESSAGE, ERROR_TYPE)

# --- streams ---

EVENT_WHEN = Word("when", "expression", "Which events this line is for; without it: all others.", EXPRESSION)
EVENT_SEND = Word(
    "send", "template or list of templates", "What goes out: a mapping as `data: {json}`, a text as `data: text`.", TEMPLATE
)
EVENT_NAME = Word("event", "text", "The name of the event that goes out.", TEXT, default="none")
EVENT_BYTES = Word("bytes", "expression", "Base64 text of bytes that go out as they are.", EXPRESSION)
EVENT_DROP = Word("drop", "true", "Nothing goes out.", YES)
EVENT_FAILURE = Word(
    "error", "{status, code, message, type}",
    "The stream failed: an error event in the client's protocol goes out, or, where nothing has gone out yet, an answer with the "
    "status. What is not said here is as `errors` says.",
    schema.record(EVENT_ERROR, "`error`"),
)  # fmt: skip
EVENT_ACTIONS: tuple[Word[object], ...] = (EVENT_SEND, EVENT_BYTES, EVENT_DROP, EVENT_FAILURE)
EVENT: tuple[Word[object], ...] = (EVENT_WHEN, *EVENT_ACTIONS, EVENT_NAME)

STREAM_WHEN = Word("when", "expression", "Which requests stream.", EXPRESSION, default="those whose answer is a stream")
STREAM_LINES = Word(
    "lines", "true or false", "The platform streams one JSON text a line, not events.", schema.flag, default="`false`"
)
STREAM_TYPE = Word("type", "media type", "The media type of what goes out.", MEDIA_TYPE, default="as it came")
STREAM_EVENTS = Word(
    "events", "list of events", "The first that holds counts; an event that none names goes out as it came.",
    schema.items(schema.record(EVENT, "this event"), least=1), required=True,
)  # fmt: skip
STREAM: tuple[Word[object], ...] = (STREAM_WHEN, STREAM_LINES, STREAM_TYPE, STREAM_EVENTS)

# --- accounting and repetition ---

USAGE_INPUT = Word("input", "expression", "Tokens of the prompt.", EXPRESSION)
USAGE_OUTPUT = Word("output", "expression", "Tokens of the answer.", EXPRESSION)
USAGE_CACHED = Word("cached", "expression", "Those of the prompt that came from a cache.", EXPRESSION)
USAGE_REASONING = Word("reasoning", "expression", "Those of the answer that are reasoning.", EXPRESSION)
USAGE: tuple[Word[object], ...] = (USAGE_INPUT, USAGE_OUTPUT, USAGE_CACHED, USAGE_REASONING)

RETRY_ATTEMPTS = Word("attempts", "number", "Further calls after the first, from 1 to 5.", schema.whole(1, 5), required=True)
RETRY_ON = Word(
    "on", "list of statuses", "Which answers are tried again.", schema.items(schema.whole(400, 599), least=1), required=True
)
RETRY_WAIT = Word(
    "wait", "duration",
    "The time before the next attempt. Retry-After counts where it asks for more; beyond a minute the answer stands.",
    schema.number(units.duration), default="`1s`",
)  # fmt: skip
RETRY: tuple[Word[object], ...] = (RETRY_ATTEMPTS, RETRY_ON, RETRY_WAIT)

# --- fetching ---

FETCH_HOSTS = Word(
    "hosts", "list of host names", "Hosts that URLs may name; `*.example.com` for all below, `*` for any public host.",
    schema.items(schema.text(values.host_pattern), least=1), required=True,
)  # fmt: skip
FETCH_TYPES = Word(
    "types", "list of media types", "What may be fetched, `image/*` for a family.",
    schema.items(schema.text(values.media_range), least=1), default="anything",
)  # fmt: skip
FETCH_SIZE = Word("size", "size", "The largest.", schema.number(above_zero(units.size)), default="`20MiB`")
FETCH_TIMEOUT = Word("timeout", "duration", "The longest.", schema.number(above_zero(units.duration)), default="`30s`")
FETCH: tuple[Word[object], ...] = (FETCH_HOSTS, FETCH_TYPES, FETCH_SIZE, FETCH_TIMEOUT)

UNKNOWN: Kind[Unknown] = schema.one_of(Unknown)
