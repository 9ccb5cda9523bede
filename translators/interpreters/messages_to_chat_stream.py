"""A chat platform's stream as a messages stream (M6): one block open at a time, strictly one after the other.

What arrives while a call is still incomplete waits in a queue, in the order of its arrival: calls that interleave come out in turn,
and the usual case, one call after another, is live. The end of the stream is held until the platform's usage is known.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, JsonObject
from translators.interpreters.carriers import detail_signature, detail_text, sealed
from translators.interpreters.common import (
    RAW_ARGUMENTS,
    arguments_of,
    finish_word,
    safe_id,
    said_list,
    said_object,
    said_objects,
    said_text,
    text_of,
    usage_in,
)
from translators.interpreters.failures import failure_event, failure_in
from translators.interpreters.messages_to_chat_answer import reasoning_of, redacted_of, stop_of, thinking, usage_of, words_of
from translators.model import Protocol

_CUT: Final = Failure(502, "the platform's stream ended before its answer did", "server_error", "upstream_error")
_FIELDS: Final = {"text": "text", "thinking": "thinking", "signature": "signature", "input_json": "partial_json"}
_CUTTING: Final = ("max_tokens", "refusal")  # reasons that may end an answer within a call
_OTHERS: Final = ("tool_calls", "reasoning_details", "refusal", "function_call")


class _Call:
    """A call that is arriving: the pieces of its arguments, how many `sent` of them went out, whether its block is `open`.

    `begins`: whether the arguments begin like an object; None while they are blank. `placed`: it was put in the queue.
    """

    __slots__ = ("begins", "checked", "closed", "extra", "ident", "name", "open", "pieces", "placed", "sent", "size")

    def __init__(self) -> None:
        self.ident = ""
        self.name = ""
        self.extra: object = None
        self.pieces: list[str] = []
        self.size = 0
        self.sent = 0
        self.begins: bool | None = None
        self.placed = False
        self.open = False
        self.closed = False
        self.checked = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.size += len(text)
        if self.begins is None and (start := text.lstrip()):
            self.begins = start[0] == "{"

    def is_complete(self) -> bool:
        """Whether the arguments are a JSON object; looked at only after they grew by an eighth, so that no stream costs squares."""
        if not self.begins or not self.name or self.size < self.checked:
            return False
        self.checked = self.size + self.size // 8 + 1
        return arguments_of(self.text) is not None


class _Words(NamedTuple):
    """Text or thinking that waits."""

    kind: str
    text: str


class _Thought(NamedTuple):
    """An entry of `reasoning_details` that waits; `text` are those of its words that nothing else tells."""

    entry: JsonObject
    text: str


class ChatStream:
    """Takes a chat platform's events, gives those of the messages protocol."""

    def __init__(self, model: str, new_id: Callable[[], str]) -> None:
        self._model = model
        self._new_id = new_id
        self._index = -1  # of the block that is open, or was last
        self._open: str | None = None  # text, thinking, tool
        self._calls: list[_Call] = []
        self._numbered: dict[int | str, _Call] = {}  # the last call of each index
        self._head: _Call | None = None  # the call whose turn it is
        self._queue: deque[_Words | _Thought | _Call] = deque()
        self._held: list[str] = []  # signatures that go out before the next block, if there is one: no answer ends with a thought
        self._broken: _Call | None = None  # went out live, and is no JSON object
        self._told = False  # thoughts came as text, so that their details only repeat them
        self._refused = False
        self._finish = ""
        self._usage: JsonObject = {}
        self._started = False
        self._over = False

    def event(self, event: Event) -> list[Event]:
        data = event.data
        if not isinstance(data, dict):
            if data == DONE:
                return self.end()
            raise BadAnswerError("the platform's stream has an event that is no JSON object; expected a chat chunk")
        kind = self._open
        if kind is not None and self._head is None and (text := _plain(data, kind)):
            if kind == "text":
                delta = {"type": "text_delta", "text": text}
            else:
                self._told = True
                delta = {"type": "thinking_delta", "thinking": text}
            return [Event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})]
        if self._over:
            return []
        failure = failure_in(Protocol.CHAT, data)
        if failure is not None:
            self._over, self._open = True, None
            if not self._started:
                raise FailedError(failure)
            return [failure_event(Protocol.MESSAGES, failure)]
        return self._chunk(data)

    def end(self) -> list[Event]:
        """The end, where the platform said a finish; an error event where it said none."""
        if self._over:
            return []
        self._over = True
        if not self._finish:
            self._open = None
            return [failure_event(Protocol.MESSAGES, _CUT)]
        out = self._drained(last=True)
        stop = stop_of(self._finish, calls=bool(self._calls), refused=self._refused)
        if self._broken is not None and stop not in _CUTTING:
            message = f"the arguments of the call `{self._broken.name[:64]}` are no JSON object"
            self._open = None
            return [*out, failure_event(Protocol.MESSAGES, Failure(502, message, "server_error", "upstream_error"))]
        self._close(out)
        usage = usage_of(self._usage) if self._usage else {"output_tokens": 0}
        delta = {"stop_reason": stop, "stop_sequence": None}
        out.append(Event("message_delta", {"type": "message_delta", "delta": delta, "usage": usage}))
        out.append(Event("message_stop", {"type": "message_stop"}))
        return out

    # --- chunks ---

    def _chunk(self, data: JsonObject) -> list[Event]:
        choices = said_objects(data.get("choices"), "choices")
        choice = next((choice for choice in choices if choice.get("index") in (0, None)), None)
        self._usage.update({key: value for key, value in usage_in(data).items() if value is not None})
        if choice is None:
            # The chunk with usage alone is the last one; any other without a choice says nothing.
            return self.end() if self._finish and not choices and isinstance(data.get("usage"), dict) else []
        out = [] if self._started else [self._start(data)]
        delta = {} if choice.get("delta") is None else said_object(choice["delta"], "choices[0].delta")
        if delta:
            self._delta(delta, out)
        self._finish = finish_word(choice) or self._finish
        return out

    def _start(self, data: JsonObject) -> Event:
        self._started = True
        message: JsonObject = {
            "id": said_text(data.get("id"), "id") or f"msg_{self._new_id()}",
            "type": "message",
            "role": "assistant",
            "model": said_text(data.get("model"), "model") or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(self._usage) if self._usage else {"input_tokens": 0, "output_tokens": 0},
        }
        return Event("message_start", {"type": "message_start", "message": message})

    def _delta(self, delta: JsonObject, out: list[Event]) -> None:
        where = "choices[0].delta"
        if text := reasoning_of(delta, where):
            self._told = True
            self._put(_Words("thinking", text), out)
        for entry in said_objects(delta.get("reasoning_details"), f"{where}.reasoning_details"):
            self._put(_Thought(entry, "" if self._told else detail_text(entry)), out)
        if text := words_of(delta.get("content"), f"{where}.content"):
            self._put(_Words("text", text), out)
        if text := said_text(delta.get("refusal"), f"{where}.refusal"):
            self._refused = True
            self._put(_Words("text", text), out)
        for fragment in said_list(delta.get("tool_calls"), f"{where}.tool_calls"):
            self._fragment(said_object(fragment, f"{where}.tool_calls"), out)
        if delta.get("function_call") is not None:  # the obsolete form
            self._fragment({"index": "function_call", "function": delta["function_call"]}, out)

    def _fragment(self, said: JsonObject, out: list[Event]) -> None:
        where = "choices[0].delta.tool_calls"
        ident = said_text(said.get("id"), f"{where}.id")
        call = self._call(said.get("index"), ident)
        if call.extra is None:
            call.extra = said.get("extra_content")
        function = {} if said.get("function") is None else said_object(said["function"], f"{where}.function")
        name = said_text(function.get("name"), f"{where}.function.name")
        if name != call.name and not call.open:  # a name may come in pieces; some platforms repeat the whole one
            call.name += name
        if not call.ident:
            call.ident = ident
        text = said_text(function.get("arguments"), f"{where}.function.arguments")
        if call.closed and text and not text.isspace():
            raise BadAnswerError(f"the arguments of the call `{call.name[:64]}` go on after their end")
        if text and not call.closed:
            call.add(text)
        if call is self._head:
            self._live(call, out)
        elif not call.placed:
            call.placed = True
            self._queue.append(call)
        if self._queue:
            out += self._drained()

    def _call(self, index: object, ident: str) -> _Call:
        """The call that a fragment belongs to. Some platforms number all of their calls 0, told apart by ids, or number none."""
        if isinstance(index, int | str):
            call = self._numbered.get(index)
        else:
            call = self._calls[-1] if self._calls else None
        if call is None or (ident and call.ident and ident != call.ident):
            call = _Call()
            self._calls.append(call)
            if isinstance(index, int | str):
                self._numbered[index] = call
        return call

    # --- the queue ---

    def _put(self, item: "_Words | _Thought | _Call", out: list[Event]) -> None:
        self._queue.append(item)
        out += self._drained()

    def _drained(self, *, last: bool = False) -> list[Event]:
        """What can go out of the queue: all of it up to a call that is not complete. `last`: nothing more comes to complete it."""
        out: list[Event] = []
        queue = self._queue
        while True:
            if self._head is not None:
                if not (last or (queue and self._head.is_complete())):
                    return out
                self._shut(self._head, out)
            if not queue:
                return out
            item = queue.popleft()
            if isinstance(item, _Words):
                self._words(item.kind, item.text, out)
            elif isinstance(item, _Thought):
                self._thought(item, out)
            else:
                self._head = item
                self._live(item, out)

    # --- blocks ---

    def _begin(self, kind: str, block: JsonObject, out: list[Event]) -> None:
        self._close(out)
        held, self._held = self._held, []
        for signature in held:
            self._sign(signature, out)
        self._index += 1
        self._open = kind
        out.append(Event("content_block_start", {"type": "content_block_start", "index": self._index, "content_block": block}))

    def _close(self, out: list[Event]) -> None:
        if self._open is not None:
            self._open = None
            out.append(Event("content_block_stop", {"type": "content_block_stop", "index": self._index}))

    def _say(self, kind: str, text: str, out: list[Event]) -> None:
        delta = {"type": f"{kind}_delta", _FIELDS[kind]: text}
        out.append(Event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta}))

    def _words(self, kind: str, text: str, out: list[Event]) -> None:
        if self._open != kind:
            self._begin(kind, {"type": "text", "text": ""} if kind == "text" else thinking("", ""), out)
        self._say(kind, text, out)

    def _sign(self, signature: str, out: list[Event]) -> None:
        """A signature ends the thought that is open, or is one without words."""
        if self._open != "thinking":
            self._begin("thinking", thinking("", ""), out)
        self._say("signature", signature, out)
        self._close(out)

    def _thought(self, item: _Thought, out: list[Event]) -> None:
        data = redacted_of(item.entry)
        if data is not None:
            self._begin("redacted", {"type": "redacted_thinking", "data": data}, out)
            self._close(out)
            return
        if item.text:
            self._words("thinking", item.text, out)
        signature = detail_signature(item.entry)
        if signature and self._open == "thinking":
            self._sign(signature, out)
        elif signature:
            self._held.append(signature)

    def _live(self, call: _Call, out: list[Event]) -> None:
        """Sends what has come of the call whose turn it is, from its first fragment on that begins an object."""
        if not call.open:
            if not call.begins:
                return
            self._begin_call(call, out)
        if text := "".join(call.pieces[call.sent :]):
            self._say("input_json", text, out)
            call.sent = len(call.pieces)

    def _begin_call(self, call: _Call, out: list[Event]) -> None:
        if call.extra:
            self._sign(sealed("call", call.extra), out)
        ident = safe_id(call.ident) if call.ident else f"toolu_{self._new_id()}"
        self._begin("tool", {"type": "tool_use", "id": ident, "name": call.name, "input": {}}, out)
        call.open = True

    def _shut(self, call: _Call, out: list[Event]) -> None:
        """Ends a call that is complete, or that nothing more comes for; broken arguments stand as they are (M4)."""
        text = call.text
        if not call.open:
            self._begin_call(call, out)
            if text and not text.isspace():
                self._say("input_json", text_of({RAW_ARGUMENTS: text}) if arguments_of(text) is None else text, out)
        elif arguments_of(text) is None:
            self._broken = call
        self._close(out)
        call.closed = True
        self._head = None


def _plain(data: JsonObject, kind: str) -> str | None:
    """What a chunk adds to the open block of text or thinking, where it says nothing else. Spares most chunks the long way."""
    choices = data.get("choices")
    if type(choices) is not list or len(choices) != 1 or data.get("usage") or "error" in data:
        return None
    choice = choices[0]
    if type(choice) is not dict or choice.get("finish_reason") or choice.get("index"):
        return None
    delta = choice.get("delta")
    if type(delta) is not dict:
        return None
    text = delta.get("content")
    if len(delta) > 1 or not text:
        if any(map(delta.get, _OTHERS)):
            return None
        thoughts = delta.get("reasoning_content") or delta.get("reasoning")
        if kind == "thinking":
            text, thoughts = thoughts, text
        if thoughts:
            return None
    elif kind != "text":
        return None
    return text if type(text) is str else None
