"""The words of a task: an asynchronous job of a platform, shown as the unified task object."""

import re
from enum import StrEnum

from translators import schema, units, values
from translators.problems import InvalidValueError, quote
from translators.schema import Kind, Word
from translators.words import message
from translators.words.kinds import EXPRESSION, MEDIA_TYPE, SEND, TEMPLATE_MAPPING, VALUE, above_zero, string_or_record

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


class TaskKind(StrEnum):
    """The `object` of the task object, and the prefix of its id."""

    VIDEO = "video"
    IMAGE = "image"
    MUSIC = "music"
    AUDIO = "audio"


class State(StrEnum):
    """The only statuses that a client sees."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


COLLECTIONS = {
    TaskKind.VIDEO: "/v1/videos",
    TaskKind.IMAGE: "/v1/images",
    TaskKind.MUSIC: "/v1/music",
    TaskKind.AUDIO: "/v1/audio",
}
WAITING_KINDS = frozenset({TaskKind.IMAGE, TaskKind.AUDIO})  # a create call without ?async= waits for the end


def task_name(text: str) -> str:
    if not _NAME.match(text):
        raise InvalidValueError(f"{quote(text)} is no name of a task", "Use lower-case letters, digits and _.")
    return text


def _collection(text: str) -> str:
    values.plain_path(text)
    return text


TASK_KINDS: Kind[TaskKind] = schema.one_of(TaskKind)
_CALL: Kind[object] = string_or_record(SEND, message.CALL, "this call")

KIND = Word("kind", "`video`, `image`, `music` or `audio`", "The kind of the task object.", TASK_KINDS, default="the task's name")
COLLECTION = Word(
    "collection", "path", "Where its polls stand.", schema.text(_collection, "^/"),
    default="`/v1/videos`, `/v1/images`, `/v1/music` or `/v1/audio`",
)  # fmt: skip
ID = Word("id", "expression", "The platform's id, in the answer to the create call.", EXPRESSION, required=True)
KEEP = Word(
    "keep", "{name: expression}", "What a later call needs of the create call: carried in the task's id, known as `task.NAME`.",
    schema.mapping(values.kept_name, EXPRESSION, "Write name: ${...}.", least=1),
)  # fmt: skip
POLL = Word("poll", "METHOD /path or {send, headers, body}", "How the task is asked for.", _CALL, required=True)
STATUS = Word("status", "expression", "The platform's word for where the task is.", EXPRESSION, required=True)
STATES = Word(
    "states", "{word: `queued`, `in_progress`, `completed` or `failed`}",
    "What its words mean, whatever their case; any other word is `in_progress`.",
    schema.mapping(values.state_word, schema.one_of(State), "Write word: completed.", least=1), required=True,
)  # fmt: skip
PROGRESS = Word("progress", "expression", "0 to 100.", VALUE, default="0, 50, 100 by status")
CREATED_AT = Word("created_at", "expression", "Unix seconds.", EXPRESSION, default="when the create call was answered")
COMPLETED_AT = Word("completed_at", "expression", "Unix seconds.", EXPRESSION)
EXPIRES_AT = Word("expires_at", "expression", "Unix seconds: until when the result can be had.", EXPRESSION)
ERROR = Word(
    "error", "{code, message}", "Why the task failed.",
    schema.record((message.ERROR_CODE, message.ERROR_MESSAGE), "`error`", least=1),
)  # fmt: skip
RESULT = Word("result", "expression", "The finished work: a URL, a data URI or base64, or a list of these.", EXPRESSION)
THUMBNAIL = Word("thumbnail", "expression", "A picture of the work, for `?variant=thumbnail`.", EXPRESSION)
VARIANTS = Word(
    "variants", "{name: expression}", "Further forms of the work, for `?variant=NAME`.",
    schema.mapping(values.kept_name, EXPRESSION, "Write name: ${...}.", least=1),
)  # fmt: skip
OBJECT = Word("object", "template", "Further members of the task object.", TEMPLATE_MAPPING)
ANSWER = Word(
    "answer", "a `response`", "The answer to a client that waits.", schema.record(message.RESPONSE, "`answer`"), default="by kind"
)
DOWNLOAD = Word(
    "download", "list of calls with `url`", "Further calls between the poll and the work.",
    schema.items(schema.record(message.HOP, "this step"), least=1),
)  # fmt: skip
DOWNLOAD_AUTH = Word(
    "download_auth", "true or false", "The platform's credential goes with the download, to its own origin only.",
    schema.flag, default="`false`",
)  # fmt: skip
TYPE = Word("type", "media type", "The type of the work, where its origin tells none.", MEDIA_TYPE)
CANCEL = Word("cancel", "METHOD /path or {send, headers, body}", "How a running task is ended.", _CALL)
DELETE = Word("delete", "METHOD /path or {send, headers, body}", "How a task is removed.", _CALL)
WAIT_FIRST = Word("first", "duration", "Before the first poll.", schema.number(units.duration), default="`2s`")
WAIT_EVERY = Word("every", "duration", "Between polls.", schema.number(above_zero(units.duration)), default="`5s`")
WAIT_TIMEOUT = Word("timeout", "duration", "The longest wait.", schema.number(above_zero(units.duration)), default="`10m`")
WAIT: tuple[Word[float], ...] = (WAIT_FIRST, WAIT_EVERY, WAIT_TIMEOUT)
WAIT_WORD = Word(
    "wait", "{first, every, timeout}", "How the proxy polls for a client that waits.", schema.record(tuple(WAIT), "`wait`", least=1)
)
WAITS = Word(
    "waits", "true or false", "A create call without `?async=` is answered when the task has ended.",
    schema.flag, default="`true` for images and audio",
)  # fmt: skip
TASK: tuple[Word[object], ...] = (
    KIND, COLLECTION, ID, KEEP, POLL, STATUS, STATES, PROGRESS, CREATED_AT, COMPLETED_AT, EXPIRES_AT, ERROR, RESULT,
    THUMBNAIL, VARIANTS, OBJECT, ANSWER, DOWNLOAD, DOWNLOAD_AUTH, TYPE, CANCEL, DELETE, WAIT_WORD, WAITS,
)  # fmt: skip
TASKS = schema.mapping(task_name, schema.record(TASK, "this task"), "Write name: followed by the words of a task.", least=1)
