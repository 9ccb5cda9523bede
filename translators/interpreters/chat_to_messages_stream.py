"""A messages platform's stream as chat chunks, event by event (M5)."""

from typing import Final

from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, JsonObject
from translators.interpreters.chat_to_messages_answer import annotation, finish_of, free_text, refusal_of, thought, usage_of
from translators.interpreters.common import Chunks, inner, said_arguments, said_object, said_text, text_of
from translators.interpreters.failures import failure_event, failure_in
from translators.model import Protocol

CUT: Final = Failure(502, "the platform's stream ended before its answer did", "server_error", "upstream_error")


class _Block:
    """One block that is open. `parts` are the fragments of thoughts or arguments, `start` the block as it was announced."""

    __slots__ = ("citations", "number", "parts", "signature", "start", "where")

    def __init__(self, start: JsonObject, number: int, where: int) -> None:
        self.start = start
        self.number = number  # tool_use: which call it is
        self.where = where  # text: how long the content was before it
        self.parts: list[str] = []
        self.signature = ""
        self.citations: list[object] = []


class MessagesStream:
    """Takes a messages platform's events, gives chat's. `custom`: names of free-form tools; `usage`: the client asked for it."""

    def __init__(self, model: str, custom: set[str], created: int, new_id: str, *, usage: bool) -> None:
        self._custom = custom
        self._chunks = Chunks(new_id, created, model, usage=usage)
        self._usage: JsonObject = {}
        self._blocks: dict[object, _Block] = {}
        self._calls = -1  # blocks of other kinds shift the index of the platform, so calls are counted here
        self._thoughts = 0
        self._annotations = 0
        self._length = 0  # of the content so far
        self._started = False
        self._finished = False
        self._over = False
        self._on = {
            "message_start": self._start,
            "content_block_start": self._open,
            "content_block_delta": self._delta,
            "content_block_stop": self._stop,
            "message_delta": self._finish,
            "message_stop": self._end,
        }

    def event(self, event: Event) -> list[Event]:
        data = event.data
        if not isinstance(data, dict):
            if data == DONE:  # some relays say it; the end was said before it, or is missing
                return []
            raise BadAnswerError("the platform's stream has an event that is no JSON object; expected one of the messages protocol")
        if self._over:
            return []
        kind = data.get("type")
        if kind == "content_block_delta" and self._started:
            delta = data.get("delta")
            if type(delta) is dict and delta.get("type") == "text_delta" and type(text := delta.get("text")) is str:
                if not text:
                    return []
                self._length += len(text)
                return [self._chunks.delta({"content": text})]
            return self._delta(data)
        return self._rare(kind, data)

    def _rare(self, kind: object, data: JsonObject) -> list[Event]:
        failure = failure_in(Protocol.MESSAGES, data)
        if failure is not None:
            self._over = True
            if not self._started:
                raise FailedError(failure)
            return [failure_event(Protocol.CHAT, failure)]
        handler = self._on.get(kind) if isinstance(kind, str) else None
        if handler is None:  # ping, and whatever is new
            return []
        if not self._started and handler != self._start:
            raise BadAnswerError(f"the platform's stream begins with `{kind}`; expected `message_start`")
        return handler(data)

    def end(self) -> list[Event]:
        if self._over:
            return []
        if self._finished:
            return self._end({})
        self._over = True
        return [failure_event(Protocol.CHAT, CUT)]

    def _start(self, data: JsonObject) -> list[Event]:
        if self._started:
            return []
        message = said_object(data.get("message"), "message")
        chunks = self._chunks
        chunks.ident = said_text(message.get("id"), "message.id") or chunks.ident
        chunks.model = said_text(message.get("model"), "message.model") or chunks.model
        self._merge(message)
        self._started = True
        return [chunks.delta({"role": "assistant", "content": ""})]

    def _merge(self, data: JsonObject) -> None:
        """Usage is cumulative: what is told later counts. Null tells nothing, nor does a 0 for input that was counted before."""
        for key, value in inner(data, "usage").items():
            if value or (value is not None and (key == "output_tokens" or key not in self._usage)):
                self._usage[key] = value

    def _open(self, data: JsonObject) -> list[Event]:
        start, index = said_object(data.get("content_block"), "content_block"), _index(data)
        out = self._close(index)
        kind = start.get("type")
        if kind == "tool_use":
            self._calls += 1
            name, ident = said_text(start.get("name"), "content_block.name"), said_text(start.get("id"), "content_block.id")
            if name not in self._custom:
                function = {"name": name, "arguments": ""}
                call = {"index": self._calls, "id": ident, "type": "function", "function": function}
                out.append(self._chunks.delta({"tool_calls": [call]}))
        self._blocks[index] = block = _Block(start, self._calls, self._length)
        if kind == "text" and (text := said_text(start.get("text"), "content_block.text")):
            self._length += len(text)
            out.append(self._chunks.delta({"content": text}))
        elif kind == "thinking":
            block.signature = said_text(start.get("signature"), "content_block.signature")
            if text := said_text(start.get("thinking"), "content_block.thinking"):
                block.parts.append(text)
                out.append(self._chunks.delta({"reasoning_content": text}))
        return out

    def _delta(self, data: JsonObject) -> list[Event]:
        """Every delta but those of text."""
        delta, block = said_object(data.get("delta"), "delta"), self._blocks.get(_index(data))
        kind = delta.get("type")
        if kind == "text_delta":
            said_text(delta.get("text"), "delta.text")
        elif kind == "thinking_delta":
            if text := said_text(delta.get("thinking"), "delta.thinking"):
                if block is not None:
                    block.parts.append(text)
                return [self._chunks.delta({"reasoning_content": text})]
        elif block is None:
            pass
        elif kind == "signature_delta":
            block.signature += said_text(delta.get("signature"), "delta.signature")
        elif kind == "citations_delta":
            block.citations.append(delta.get("citation"))
        elif kind == "input_json_delta" and block.start.get("type") == "tool_use":
            return self._fragment(block, said_text(delta.get("partial_json"), "delta.partial_json"))
        return []

    def _fragment(self, block: _Block, text: str) -> list[Event]:
        if not text:
            return []
        block.parts.append(text)
        if block.start.get("name") in self._custom:
            return []
        return [self._chunks.delta({"tool_calls": [{"index": block.number, "function": {"arguments": text}}]})]

    def _stop(self, data: JsonObject) -> list[Event]:
        return self._close(_index(data))

    def _close(self, index: object) -> list[Event]:
        """What only the end of a block tells: its signature, its citations, arguments that came in one piece or not at all."""
        block = self._blocks.pop(index, None)
        if block is None:
            return []
        kind = block.start.get("type")
        if kind == "tool_use":
            return self._whole_call(block)
        if kind in ("thinking", "redacted_thinking"):
            held = {**block.start, "thinking": "".join(block.parts), "signature": block.signature}
            entry = thought(held, self._thoughts, "content_block")
            if entry is None:
                return []
            self._thoughts += 1
            return [self._chunks.delta({"reasoning_details": [entry]})]
        made = [annotation(citation, block.where, self._length) for citation in block.citations]
        annotations = [{"index": self._annotations + at, **entry} for at, entry in enumerate(filter(None, made))]
        self._annotations += len(annotations)
        return [self._chunks.delta({"annotations": annotations})] if annotations else []

    def _whole_call(self, block: _Block) -> list[Event]:
        name = said_text(block.start.get("name"), "content_block.name")
        if name in self._custom:
            given = inner(block.start, "input") if not block.parts else said_arguments("".join(block.parts))
            custom = {"name": name, "input": free_text(given)}
            call: JsonObject = {"index": block.number, "id": block.start.get("id"), "type": "custom", "custom": custom}
        elif block.parts:
            return []
        else:
            call = {"index": block.number, "function": {"arguments": text_of(inner(block.start, "input"))}}
        return [self._chunks.delta({"tool_calls": [call]})]

    def _finish(self, data: JsonObject) -> list[Event]:
        self._merge(data)
        delta = inner(data, "delta")
        finish = finish_of(delta.get("stop_reason"))
        if finish is None or self._finished:
            return []
        self._finished = True
        out = [event for index in list(self._blocks) for event in self._close(index)]
        if refusal := refusal_of(delta):
            out.append(self._chunks.delta({"refusal": refusal}))
        return [*out, self._chunks.delta({}, finish)]

    def _end(self, _: JsonObject) -> list[Event]:
        self._over = True
        if not self._finished:
            return [failure_event(Protocol.CHAT, CUT)]
        done = Event(None, DONE)
        return [self._chunks.total(usage_of(self._usage)), done] if self._chunks.usage and self._usage else [done]


def _index(data: JsonObject) -> object:
    index = data.get("index")
    return index if isinstance(index, int) else None
