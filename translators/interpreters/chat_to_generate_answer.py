"""What a generate platform answers, as chat says it: candidates, usage, citations, blocked prompts (G3).

`Candidate` takes the pieces of one candidate as they come; a whole answer is one piece.
"""

from collections.abc import Collection
from typing import Any, Final

from translators.formats.strict_json import BadJsonError
from translators.interpreters.base import BadAnswerError, Failure, JsonObject
from translators.interpreters.carriers import GENERATE
from translators.interpreters.common import chat_usage, count, inner, said_list, said_object, said_objects, said_text, text_of
from translators.interpreters.generate_words import DETAIL, FAILED, FILTERED, GOOGLE, chat_finish, markdown

_TEXT, _MEDIA = 1, 2
_MODALITIES: Final = {"AUDIO": "audio_tokens", "IMAGE": "image_tokens", "TEXT": "text_tokens"}

EMPTY: Final = Failure(502, "The platform's answer has no candidates, and no reason why.", "upstream_error", "empty_response")


def blocked(said: JsonObject) -> Failure | None:
    """The failure that a blocked prompt is, which comes with status 200 and without candidates."""
    reason = inner(said, "promptFeedback").get("blockReason")
    if not isinstance(reason, str) or not reason:
        return None
    message = f"The prompt was blocked by the provider ({reason})."
    return Failure(400, message, "invalid_request_error", "content_filter", "messages")


def usage_of(said: JsonObject) -> JsonObject | None:
    """Chat's usage; the counts are totals of the whole answer, never to be added up. Counts of zero are absent in generate."""
    usage = said.get("usageMetadata")
    if not isinstance(usage, dict) or not usage:
        return None
    thoughts = count(usage.get("thoughtsTokenCount"))
    made = chat_usage(
        count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount")),
        count(usage.get("candidatesTokenCount")) + thoughts,
        cached=count(usage.get("cachedContentTokenCount")),
        reasoning=thoughts,
        total=count(usage.get("totalTokenCount")) or None,
    )
    for key, member in (("promptTokensDetails", "prompt_tokens_details"), ("candidatesTokensDetails", "completion_tokens_details")):
        for detail in said_objects(usage.get(key), key):
            modality = detail.get("modality")
            if isinstance(modality, str) and modality in _MODALITIES:
                made[member][_MODALITIES[modality]] = count(detail.get("tokenCount"))
    return made


class CallIds:
    """Ids for calls that came without: `call_0`, `call_1`, ..., none of which stands in the conversation so far."""

    __slots__ = ("_next",)

    def __init__(self, messages: Any = None) -> None:
        self._next = 0
        for message in messages if isinstance(messages, list) else ():
            calls = message.get("tool_calls") if isinstance(message, dict) else None
            for call in calls if isinstance(calls, list) else ():
                ident = call.get("id") if isinstance(call, dict) else None
                if isinstance(ident, str) and ident.startswith("call_") and len(ident) < 15:
                    number = ident[5:]
                    self._next = max(self._next, int(number) + 1) if number.isascii() and number.isdecimal() else self._next

    def new(self) -> str:
        self._next += 1
        return f"call_{self._next - 1}"


class Candidate:
    """One candidate of an answer. `produced`: it has said something other than thoughts; `finish`: its reason, once it has one."""

    __slots__ = ("_custom", "_details", "_ids", "_kind", "_parts", "_text", "calls", "cited", "finish", "index", "note", "produced")

    def __init__(self, index: int, ids: CallIds, custom: Collection[str], *, searching: bool) -> None:
        self.index = index
        self.calls = 0
        self.produced = False
        self.finish: str | None = None
        self.note = ""  # why it finished so
        self.cited: list[JsonObject] = []
        self._ids = ids
        self._custom = custom
        self._text: list[str] | None = [] if searching else None  # of the answer so far: what citations point into
        self._parts = 0  # texts and pictures, neighbouring texts as one: what signatures point to
        self._kind = 0
        self._details = 0

    def take(self, said: JsonObject) -> JsonObject:
        """The delta of a piece; of a whole answer the message without its role."""
        text: list[str] = []
        thoughts: list[str] = []
        calls: list[JsonObject] = []
        details: list[JsonObject] = []
        content = said.get("content")
        parts = said_objects(None if content is None else said_object(content, "content").get("parts"), "parts")
        for part in parts:
            thought = part.get("thought") is True
            if part.get("functionCall") is not None:
                calls.append(self._call(part))
                continue
            shown, kind = _shown(part)
            if thought:
                # Drafts of pictures are no part of the answer, only what is said of them.
                thoughts.append(shown if kind is _TEXT else "")
            elif shown:
                text.append(shown)
                self._count(kind)
            if isinstance(part.get("thoughtSignature"), str) and not thought:
                details.append(self._detail(part["thoughtSignature"], kind))
        self._end(said)
        if text:
            self.produced = True
            if self._text is not None:
                self._text += text
        delta: JsonObject = {"content": "".join(text)} if text else {}
        if any(thoughts):
            delta["reasoning_content"] = "".join(thoughts)
        if details:
            delta["reasoning_details"] = details
        if calls:
            self.produced = True
            delta["tool_calls"] = calls
        return delta

    def has_text(self) -> bool:
        """Whether more text only adds to what is there: nothing of this candidate changes with it."""
        return self._kind == _TEXT and self._text is None

    def failed(self) -> bool:
        """It ended by a fault of the model, and there is nothing to show."""
        return self.finish in FAILED and not self.produced

    def failure(self) -> Failure:
        return Failure(502, self.note or f"The model gave no answer ({self.finish}).", "upstream_error", self.finish)

    def refusal(self) -> str | None:
        return self.note or None if self.finish in FILTERED else None

    def finish_reason(self) -> str:
        return chat_finish(self.finish or "", calls=self.calls > 0)

    def annotations(self) -> list[JsonObject]:
        """The sources that the answer names, with offsets into its text where it says for what."""
        text = "".join(self._text or ())
        found: list[JsonObject] = []
        for grounding in self.cited:
            found += _citations(grounding, text)
        return found

    def _count(self, kind: int) -> None:
        self._parts += not (kind == _TEXT == self._kind)
        self._kind = kind

    def _detail(self, signature: str, kind: int) -> JsonObject:
        if not self._parts:
            self._count(kind)
        self._details += 1
        place = self._parts - 1
        return {"type": DETAIL, "data": signature, "format": GENERATE, "index": self._details - 1, "part": place}

    def _call(self, part: JsonObject) -> JsonObject:
        said = said_object(part["functionCall"], "functionCall")
        name = said.get("name")
        if not isinstance(name, str):
            raise BadAnswerError("the platform's answer has a function call without a name; expected one in `functionCall`")
        ident = said.get("id")
        args = said_object({} if said.get("args") is None else said["args"], "functionCall.args")
        call: JsonObject = {"id": ident if isinstance(ident, str) and ident else self._ids.new()}
        if name in self._custom and isinstance(args.get("input"), str):
            call |= {"type": "custom", "custom": {"name": name, "input": args["input"]}}
        else:
            try:
                arguments = text_of(args)
            except BadJsonError as error:
                raise BadAnswerError(f"the arguments of a call in the platform's answer: {error.message}") from None
            call |= {"type": "function", "function": {"name": name, "arguments": arguments}}
        if isinstance(part.get("thoughtSignature"), str):
            call["extra_content"] = {GOOGLE: {"thought_signature": part["thoughtSignature"]}}
        self.calls += 1
        return call

    def _end(self, said: JsonObject) -> None:
        reason = said.get("finishReason")
        if isinstance(reason, str) and reason:
            self.finish = reason
            self.note = said_text(said.get("finishMessage"), "finishMessage")
        for key in ("groundingMetadata", "citationMetadata"):
            if isinstance(said.get(key), dict) and said[key]:
                self.cited = [held for held in self.cited if held.keys() != said[key].keys()] + [said[key]]


def _shown(part: JsonObject) -> tuple[str, int]:
    """What chat shows of a part, and whether it is text."""
    if (text := part.get("text")) is not None:
        return said_text(text, "text"), _TEXT
    if (data := part.get("inlineData")) is not None:
        data = said_object(data, "inlineData")
        return markdown(said_text(data.get("mimeType"), "mimeType"), said_text(data.get("data"), "data")), _MEDIA
    if (file := part.get("fileData")) is not None:
        file = said_object(file, "fileData")
        kind = said_text(file.get("mimeType"), "mimeType").partition("/")[0]
        return f"![{kind}]({said_text(file.get('fileUri'), 'fileUri')})", _TEXT
    if (code := part.get("executableCode")) is not None:
        code = said_object(code, "executableCode")
        return f"\n```{said_text(code.get('language'), 'language').lower()}\n{said_text(code.get('code'), 'code')}\n```\n", _TEXT
    if (result := part.get("codeExecutionResult")) is not None:
        return f"\n```\n{said_text(said_object(result, 'codeExecutionResult').get('output'), 'output')}\n```\n", _TEXT
    return "", _TEXT


# --- citations ---


def _citations(said: JsonObject, text: str) -> list[JsonObject]:
    raw = text.encode("utf-8", "surrogatepass")
    sources = [
        inner(chunk, "web") or inner(chunk, "retrievedContext")
        for chunk in said_objects(said.get("groundingChunks"), "groundingChunks")
    ]
    found: list[JsonObject] = []
    named: set[int] = set()
    for support in said_objects(said.get("groundingSupports"), "groundingSupports"):
        segment = inner(support, "segment")
        start, end = _offsets(segment, raw)
        for place in said_list(support.get("groundingChunkIndices"), "groundingChunkIndices"):
            if isinstance(place, int) and 0 <= place < len(sources):
                named.add(place)
                found.append(_citation(sources[place], start, end))
    found += [_citation(source, 0, 0) for place, source in enumerate(sources) if place not in named]  # of the answer as a whole
    for source in said_objects(said.get("citations") or said.get("citationSources"), "citations"):
        if source.get("uri"):
            found.append(_citation(source, *_offsets(source, raw)))
    return found


def _offsets(segment: JsonObject, raw: bytes) -> tuple[int, int]:
    """Characters from the start of the answer. Generate counts bytes of UTF-8 within a part; the text tells where that is."""
    start, end = count(segment.get("startIndex")), count(segment.get("endIndex"))
    quoted = segment.get("text")
    if isinstance(quoted, str) and quoted:
        wanted = quoted.encode("utf-8", "surrogatepass")
        if raw[start:end] != wanted:
            start = max(raw.find(wanted), 0)
            end = start + len(wanted)
    places = [len(raw[: min(place, len(raw))].decode("utf-8", "ignore")) for place in (start, end)]
    return places[0], max(places)


def _citation(source: JsonObject, start: int, end: int) -> JsonObject:
    url, title = source.get("uri"), source.get("title")
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": start,
            "end_index": end,
            "title": title if isinstance(title, str) else "",
            "url": url if isinstance(url, str) else "",
        },
    }


# --- probabilities of tokens ---


def logprobs_of(candidate: JsonObject) -> JsonObject | None:
    """`logprobsResult` as chat's logprobs."""
    said = inner(candidate, "logprobsResult")
    chosen = said_objects(said.get("chosenCandidates"), "chosenCandidates")
    if not chosen:
        return None
    tops = [
        said_objects(top.get("candidates"), "topCandidates") for top in said_objects(said.get("topCandidates"), "topCandidates")
    ]
    tops += [[]] * (len(chosen) - len(tops))
    content = [
        {**_token(token), "top_logprobs": [_token(other) for other in top]} for token, top in zip(chosen, tops, strict=False)
    ]
    return {"content": content, "refusal": None}


def _token(said: JsonObject) -> JsonObject:
    token = said_text(said.get("token"), "token")
    logprob = said.get("logProbability")
    return {
        "token": token,
        "logprob": logprob if isinstance(logprob, int | float) else 0,  # zero, a certainty, is absent
        "bytes": list(token.encode("utf-8", "surrogatepass")),
    }
