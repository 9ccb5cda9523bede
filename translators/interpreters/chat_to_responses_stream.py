"""A stream of responses as a chat stream (table M8, read backwards).

Items of the platform's own tools have no place in chat and are passed over; the closing events of parts and items only repeat
what was said, unless nothing was said before them.
"""

from collections.abc import Callable
from typing import Any, Final

from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, JsonObject, World
from translators.interpreters.chat_to_responses_answer import CALLS, finish_of, head_of, sealed_entry, shifted, thought_of
from translators.interpreters.common import Chunks, said_object, said_objects, said_text
from translators.interpreters.failures import failure_event, failure_in
from translators.interpreters.responses_words import chat_usage_of, nested_citation, picture_of
from translators.model import Protocol

_CUT: Final = Failure(502, "the platform's stream ended before its answer was complete", "server_error")


class _Item:
    """What was said of one item of the output."""

    __slots__ = ("begin", "call", "cited", "done", "said", "start")

    def __init__(self, start: int) -> None:
        self.said = False  # text, arguments or thoughts have gone out
        self.cited = False  # and sources
        self.done = False
        self.call = -1  # the index that its call has in chat
        self.begin = self.start = start  # how much text stood before it, and before its open part


class ChatStream:
    """The chat stream that one stream of responses becomes. `usage`: the client asked for it."""

    def __init__(self, model: str, world: World, *, usage: bool) -> None:
        self._model = model
        self._world = world
        self._wants_usage = usage
        self._chunks: Chunks | None = None
        self._items: dict[int | str, _Item] = {}
        self._writing: int | str | None = None  # the item whose text comes
        self._length = 0  # of the text so far
        self._calls = 0
        self._called: dict[str, _Item] = {}  # by their ids
        self._thoughts = 0
        self._annotations = 0
        self._over = False
        self._readers: dict[str, Callable[[JsonObject, list[Event]], None]] = {
            "response.created": self._begin,
            "response.in_progress": self._begin,
            "response.queued": self._begin,
            "response.output_item.added": self._added,
            "response.output_item.done": self._item_done,
            "response.content_part.added": self._part_added,
            "response.output_text.delta": self._text,
            "response.output_text.annotation.added": self._annotation,
            "response.refusal.delta": self._refusal,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": self._arguments_done,
            "response.custom_tool_call_input.delta": self._arguments,
            "response.custom_tool_call_input.done": self._arguments_done,
            "response.reasoning_summary_part.added": self._summary_part,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            "response.completed": self._finish,
            "response.incomplete": self._finish,
        }

    def event(self, event: Event) -> list[Event]:
        data = event.data
        if isinstance(data, str):
            if data != DONE:  # some say it, though it is no word of responses
                raise BadAnswerError(f"the platform's stream has text where an object is expected: `{data[:60]}`")
            return []
        chunks = self._chunks
        if chunks is not None and self._writing is not None and data.get("type") == "response.output_text.delta":
            # The delta of plain text, which most events are.
            text = data.get("delta")
            if isinstance(text, str) and text and data.get("output_index") == self._writing and not data.get("logprobs"):
                self._length += len(text)
                return [chunks.delta({"content": text})]
        return self._any(said_object(data, "event"))

    def _any(self, data: JsonObject) -> list[Event]:
        if self._over:
            return []
        if (failure := failure_in(Protocol.RESPONSES, data)) is not None:
            self._over, self._writing = True, None
            if self._chunks is None:
                raise FailedError(failure)
            return [failure_event(Protocol.CHAT, failure)]
        out: list[Event] = []
        kind = data.get("type")
        reader = self._readers.get(kind) if isinstance(kind, str) else None
        if reader is not None:
            if self._chunks is None:
                self._begin(data, out)
            reader(data, out)
        return out

    def end(self) -> list[Event]:
        """The end of the stream; an answer that was not complete by then is cut."""
        if self._over:
            return []
        self._over, self._writing = True, None
        return [failure_event(Protocol.CHAT, _CUT)]

    # --- the answer ---

    def _begin(self, data: JsonObject, out: list[Event]) -> None:
        if self._chunks is None:
            response = data.get("response")
            ident, created, model = head_of(response if isinstance(response, dict) else {}, self._model, self._world)
            self._chunks = Chunks(ident, created, model, usage=self._wants_usage)
            self._say({"role": "assistant", "content": ""}, out)

    def _say(self, delta: JsonObject, out: list[Event], finish: str | None = None) -> None:
        if self._chunks is not None:
            out.append(self._chunks.delta(delta, finish))

    def _finish(self, data: JsonObject, out: list[Event]) -> None:
        response = said_object(data.get("response"), "response")
        if (failure := failure_in(Protocol.RESPONSES, response)) is not None:
            self._over, self._writing = True, None
            out.append(failure_event(Protocol.CHAT, failure))
            return
        items = said_objects(response.get("output"), "response.output")
        untold = not self._items  # some tell the items only here, or the calls
        for index, item in enumerate(items):
            if untold:
                self._item_done({"output_index": index, "item": item}, out)
            elif item.get("type") in tuple(CALLS):
                self._call_at_last(item, out)
        incomplete = "response.incomplete" in (data.get("type"), f"response.{response.get('status')}")
        finish = finish_of(response, incomplete=incomplete, calls=self._calls > 0)
        self._over, self._writing = True, None
        self._say({}, out, finish)
        usage = response.get("usage")
        if self._wants_usage and isinstance(usage, dict) and self._chunks is not None:
            out.append(self._chunks.total(chat_usage_of(usage)))
        out.append(Event(None, DONE))

    # --- items ---

    def _item(self, data: JsonObject) -> _Item:
        key = _key(data)
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item(self._length)
        return item

    def _added(self, data: JsonObject, out: list[Event]) -> None:
        held = self._item(data)
        item = said_object(data.get("item"), "item")
        kind = item.get("type")
        if isinstance(kind, str) and kind in CALLS:
            self._open_call(held, kind, item, out)

    def _item_done(self, data: JsonObject, out: list[Event]) -> None:
        held = self._item(data)
        item = said_object(data.get("item"), "item")
        if held.done:
            return
        held.done = True
        kind = item.get("type")
        if kind == "reasoning":
            self._reasoning_done(held, item, out)
        elif isinstance(kind, str) and kind in CALLS:
            self._open_call(held, kind, item, out)
            self._whole_arguments(held, kind, said_text(item.get(CALLS[kind][1]), "item"), out)
        elif kind == "message":
            self._message_done(held, item, out)
        elif picture := picture_of(item):
            self._length += len(picture)
            self._say({"content": picture}, out)

    def _message_done(self, held: _Item, item: JsonObject, out: list[Event]) -> None:
        """The text of a message of which nothing was said before, and its sources where none was."""
        said, cited = held.said, held.cited
        held.said, held.start = True, held.begin
        for part in said_objects(item.get("content"), "item.content"):
            text, refusal = (
                said_text(part.get("text"), "item.content[].text"),
                said_text(part.get("refusal"), "item.content[].refusal"),
            )
            if text and not said:
                self._length += len(text)
                self._say({"content": text}, out)
            if refusal and not said:
                self._say({"refusal": refusal}, out)
            for annotation in () if cited else said_objects(part.get("annotations"), "item.content[].annotations"):
                self._cite(annotation, held.start, out)
            held.start += len(text)

    # text

    def _part_added(self, data: JsonObject, _: list[Event]) -> None:
        self._item(data).start = self._length

    def _text(self, data: JsonObject, out: list[Event]) -> None:
        text = said_text(data.get("delta"), "delta")
        if not text:
            return
        self._item(data).said = True
        self._writing = _key(data)
        self._length += len(text)
        self._say({"content": text}, out)
        if logprobs := said_objects(data.get("logprobs"), "logprobs"):
            chunk: Any = out[-1].data
            chunk["choices"][0]["logprobs"] = {"content": logprobs, "refusal": None}

    def _refusal(self, data: JsonObject, out: list[Event]) -> None:
        if text := said_text(data.get("delta"), "delta"):
            self._item(data).said = True
            self._say({"refusal": text}, out)

    def _annotation(self, data: JsonObject, out: list[Event]) -> None:
        held = self._item(data)
        held.cited = True
        self._cite(said_object(data.get("annotation"), "annotation"), held.start, out)

    def _cite(self, annotation: JsonObject, start: int, out: list[Event]) -> None:
        # With an index each, or the official clients cannot put the chunks together.
        said = {**nested_citation(shifted(annotation, start)), "index": self._annotations}
        self._annotations += 1
        self._say({"annotations": [said]}, out)

    # calls

    def _open_call(self, held: _Item, kind: str, item: JsonObject, out: list[Event]) -> None:
        if held.call >= 0:
            return
        held.call = self._calls
        self._calls += 1
        word, member = CALLS[kind]
        name = said_text(item.get("name"), "item.name")
        if not name:
            raise BadAnswerError("the platform's stream has a call without a name")
        ident = said_text(item.get("call_id"), "item.call_id") or f"call_{self._world.new_id()}"
        self._called[ident] = held
        call = {"index": held.call, "id": ident, "type": word, word: {"name": name, member: ""}}
        self._say({"tool_calls": [call]}, out)

    def _call_at_last(self, item: JsonObject, out: list[Event]) -> None:
        """A call as the whole response has it: what of it was not said in the stream."""
        ident, kind = said_text(item.get("call_id"), "item.call_id"), item["type"]
        if ident:
            held = self._called.get(ident) or _Item(self._length)
            self._open_call(held, kind, item, out)
            self._whole_arguments(held, kind, said_text(item.get(CALLS[kind][1]), "item"), out)

    def _arguments(self, data: JsonObject, out: list[Event]) -> None:
        held = self._item(data)
        text = said_text(data.get("delta"), "delta")
        if text and held.call >= 0:
            held.said = True
            self._fragment(held, "custom_tool_call" if "custom" in data["type"] else "function_call", text, out)

    def _arguments_done(self, data: JsonObject, out: list[Event]) -> None:
        kind = "custom_tool_call" if "custom" in data["type"] else "function_call"
        self._whole_arguments(self._item(data), kind, said_text(data.get(CALLS[kind][1]), kind), out)

    def _whole_arguments(self, held: _Item, kind: str, text: str, out: list[Event]) -> None:
        """The arguments of a call that came in no deltas."""
        if text and not held.said and held.call >= 0:
            held.said = True
            self._fragment(held, kind, text, out)

    def _fragment(self, held: _Item, kind: str, text: str, out: list[Event]) -> None:
        word, member = CALLS[kind]
        self._say({"tool_calls": [{"index": held.call, word: {member: text}}]}, out)

    # thoughts

    def _summary_part(self, data: JsonObject, out: list[Event]) -> None:
        if self._item(data).said:
            self._say({"reasoning_content": "\n\n"}, out)

    def _thought(self, data: JsonObject, out: list[Event]) -> None:
        if text := said_text(data.get("delta"), "delta"):
            self._item(data).said = True
            self._say({"reasoning_content": text}, out)

    def _reasoning_done(self, held: _Item, item: JsonObject, out: list[Event]) -> None:
        if not held.said and (text := thought_of(item)):
            self._say({"reasoning_content": text}, out)
        if (entry := sealed_entry(item, self._thoughts)) is not None:
            self._thoughts += 1
            self._say({"reasoning_details": [entry]}, out)


def _key(data: JsonObject) -> int | str:
    """What tells the items of an output apart."""
    for name in ("output_index", "item_id"):
        if isinstance(key := data.get(name), int | str):
            return key
    raise BadAnswerError("the platform's stream has an event of an item without `output_index`")
