"""The finished work of a task: `GET {collection}/{task_id}/content`, by poll, further hops, and the bytes where they are.

What a platform gives may be a URL, a path of its own, a data URI or base64. URLs come from a third party: the host gets them as
they are, and reads them under the rule's `fetch` policy and without any header of the client.
"""

import base64
import binascii
import re
from collections.abc import Generator
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from translators.expressions.compile import Expression
from translators.formats.media import media_type_of
from translators.model import Upstream
from translators.runtime import ids
from translators.runtime.failures import NOT_JSON, bad_answer, from_answer, parsed
from translators.runtime.scope import Values, answer_scope
from translators.runtime.steps import Answer, Call, Download, Incoming, Note, Program, Reply, Result, RuleRefusal, Step
from translators.runtime.target import refused
from translators.runtime.tasks import TaskRules, View, looked

_INDEX = re.compile(r"[0-9]{1,3}")
_URL = re.compile(r"https?://", re.IGNORECASE)
_OCTETS = "application/octet-stream"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

Asked = tuple[str | None, int]  # variant and index


def content(rules: TaskRules, incoming: Incoming, identity: ids.Identity, text: str, attempt: int = 0) -> Program:
    """The program of the content route. `attempt` counts how often the source it gave was gone (403, 404, 410)."""
    asked = _asked(rules, incoming)
    client = rules.scope(incoming, identity)
    reply = yield rules.call(rules.task.poll, client)
    assert isinstance(reply, Reply)  # what a Call is answered with
    seen = looked(rules, reply, client, identity, text)
    if isinstance(seen, Answer):
        return seen
    view, _, scope = seen
    refuse_unfinished(rules, view)
    return (yield from deliver(rules, incoming, identity, text, scope, asked, attempt, view.notes))


def refuse_unfinished(rules: TaskRules, view: View) -> None:
    """Raises RuleRefusal (400) unless the task is completed."""
    kind = rules.task.kind
    if view.state == "failed":
        raise RuleRefusal(400, view.error["code"], f"the {kind} task failed: {view.error['message']}")
    if view.state != "completed":
        message = f"the {kind} is not ready: its task is {view.state.replace('_', ' ')}; ask for the task until it is completed"
        raise RuleRefusal(400, f"{kind}_not_ready", message)


def deliver(
    rules: TaskRules,
    incoming: Incoming,
    identity: ids.Identity,
    text: str,
    scope: Values,
    asked: Asked,
    attempt: int,
    notes: tuple[Note, ...] = (),
) -> Generator[Step, Any, Result]:
    """The bytes of a finished task, whose poll's answer is the body of `scope`."""
    variant, index = asked
    found = yield from sources(rules, scope, variant)
    if isinstance(found, Answer):
        return found
    candidates, alternatives = found
    if alternatives:  # several ways to one thing
        chosen = candidates[min(attempt, len(candidates) - 1)]
        more = attempt + 1 < max(2, len(candidates))
    else:
        if index >= len(candidates):
            raise refused(
                f"there is no result {index}: the task has {len(candidates)}, counted from 0", code="invalid_index", param="index"
            )
        chosen = candidates[index]
        more = attempt < 1
    content_type = None if variant else rules.task.content_type
    given = source(chosen, rules.platform.upstream if rules.task.download_auth else None, scope["model"], content_type)
    if isinstance(given, Answer):
        return Answer(given.status, given.body, given.content_type, given.headers, notes=notes)

    def again() -> Program:
        return content(rules, incoming, identity, text, attempt + 1)

    return Download(given, content_type=content_type, again=again if more else None, notes=notes)


def sources(rules: TaskRules, scope: Values, variant: str | None) -> Generator[Step, Any, tuple[list[str], bool] | Answer]:
    """Where the work is: texts, and whether they are several ways to one thing. Makes the further calls of `download`."""
    task = rules.task
    if variant is not None:
        expression = task.thumbnail if variant == "thumbnail" else task.variants.get(variant)
        return _texts(expression, scope, f"the variant {variant}"), False
    if not task.download:
        return _texts(task.result, scope, "the result"), False
    for hop in task.download:
        reply = yield rules.call(hop, scope)
        value = parsed(reply)
        scope = answer_scope({**scope, "body": scope["request"]}, None if value is NOT_JSON else value, reply.status, reply.headers)
        failure = rules.failures.found(reply, value, scope)
        if failure is not None:
            return failure.answer(rules.protocol)
    return _texts(task.download[-1].url, scope, "the download"), True


def source(chosen: str, upstream: Upstream | None, model: str | None, content_type: str | None) -> "str | Call | Answer":
    """What a text of the platform means: a URL, a call of its own (`upstream` is given: its credential goes along), or bytes."""
    if _URL.match(chosen):
        target = own_target(chosen, upstream) if upstream is not None else None
        return chosen if target is None else Call("GET", target, forward=False, model=model)
    if upstream is not None and chosen.startswith("/") and not chosen.startswith(("//", "/9j/")):
        if re.search(r"[^!-~]|#|\\", chosen) or any(part in (".", "..") for part in chosen.partition("?")[0].split("/")):
            raise bad_answer("the platform gives a path of its result that cannot be sent as it is")
        return Call("GET", chosen, forward=False, model=model)
    data, kind = octets(chosen)
    return Answer(200, data, kind or content_type or media_type_of(data) or _OCTETS)


def octets(text: str) -> tuple[bytes, str | None]:
    """The bytes of a data URI or of base64 text, and the media type if it says one. Raises RuleRefusal (502)."""
    if text[:5].lower() == "data:":
        head, comma, data = text[5:].partition(",")
        kind, _, coding = head.rpartition(";") if head.lower().endswith(";base64") else (head, "", "")
        if not comma:
            raise bad_answer("the platform's result is a data URI without data")
        if not coding:
            return unquote_to_bytes(data), kind.partition(";")[0] or None
        text, media = data, kind.partition(";")[0] or None
    else:
        media = None
    packed = "".join(text.split())
    try:
        if not _BASE64.fullmatch(packed):
            raise binascii.Error
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True), media
    except binascii.Error:
        raise bad_answer("the platform's result is neither a URL nor a data URI nor base64") from None


def own_target(url: str, upstream: Upstream) -> str | None:
    """The target of a URL that lies on the platform itself, below its base path; None for any other."""
    try:
        split = urlsplit(url)
        port = split.port or (443 if split.scheme.lower() == "https" else 80)
    except ValueError:
        return None
    if (
        split.scheme.lower() != upstream.scheme
        or (split.hostname or "") != upstream.host
        or port != upstream.port
        or "@" in split.netloc
    ):
        return None
    # The text itself and not its parts put together: signed URLs must keep every byte.
    rest = url.partition("://")[2][len(split.netloc) :].partition("#")[0]
    if not rest.startswith(upstream.base + "/") or re.search(r"[^!-~]|\\", rest):
        return None
    target = rest[len(upstream.base) :]
    return None if any(part in (".", "..") for part in target.partition("?")[0].split("/")) else target


def _texts(expression: Expression | None, scope: Values, what: str) -> list[str]:
    value = from_answer(expression, scope) if expression is not None else None
    listed = value if isinstance(value, list) else [value]
    texts = [text for text in listed if isinstance(text, str) and text]
    if not texts:
        raise bad_answer(f"the platform says that the task is completed and gives no place for {what}")
    return texts


def _asked(rules: TaskRules, incoming: Incoming) -> Asked:
    """`?variant=` and `?index=`. Raises RuleRefusal (400)."""
    task = rules.task
    known = [*(["thumbnail"] if task.thumbnail is not None else []), *task.variants]
    variant, index = incoming.query.get("variant"), incoming.query.get("index", "0")
    if isinstance(variant, list) or isinstance(index, list):
        raise refused("`variant` and `index` may be given once", code="invalid_parameter")
    if variant in ("", task.kind):
        variant = None
    if variant is not None and variant not in known:
        there = ", ".join([task.kind, *known])
        raise refused(f"there is no variant of that name; there are: {there}", code="invalid_variant", param="variant")
    if not _INDEX.fullmatch(index):
        raise refused("`index` needs a number, counted from 0", code="invalid_index", param="index")
    return variant, int(index)
