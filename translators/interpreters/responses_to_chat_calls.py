"""The calls of a chat stream, put together from their fragments, with the habits that platforms have in cutting them.

When they are said to the client is not known here.
"""

from translators.interpreters.base import BadAnswerError, JsonObject
from translators.interpreters.common import arguments_of, said_object, said_text
from translators.interpreters.responses_words import ToolName, call_signature


class Call:
    """One call of a tool, as its fragments come."""

    __slots__ = ("checked", "custom", "ended", "ident", "item", "name", "pieces", "sent", "signature")

    def __init__(self) -> None:
        self.ident = ""
        self.name = ""
        self.signature = ""
        self.pieces: list[str] = []  # of its arguments, or of the input of a custom call
        self.sent = 0  # how many of them have gone out
        self.checked = 0  # how many there were when they were last found incomplete
        self.custom = False  # the platform called a custom tool, not a function
        self.item: JsonObject | None = None  # once it is open
        self.ended = False

    def complete(self) -> bool:
        """Whether the arguments are a JSON object already."""
        if self.checked == len(self.pieces):
            return False
        self.checked = len(self.pieces)
        return arguments_of("".join(self.pieces)) is not None

    def opened(self, tool: ToolName, new_id: str) -> JsonObject:
        """The item of the call, in which nothing is given yet. `tool`: what the client calls it."""
        custom = tool.custom or self.custom
        item = {
            "id": f"{'ctc' if custom else 'fc'}_{new_id}",
            "type": "custom_tool_call" if custom else "function_call",
            "status": "in_progress",
            "call_id": self.ident,
            "name": tool.name,
        }
        space = {} if tool.namespace is None else {"namespace": tool.namespace}
        self.item = {**item, **space, "input" if custom else "arguments": ""}
        return self.item


class Calls:
    """`queue`: the calls that the client has not been told in full, in their order."""

    __slots__ = ("_by_index", "_last", "queue")

    def __init__(self) -> None:
        self.queue: list[Call] = []
        self._by_index: dict[int, Call] = {}  # the last one of each index
        self._last: Call | None = None

    def go_on(self) -> bool:
        """Whether the first call of the queue may still get arguments: it has none yet, or they are no JSON object."""
        if not self.queue:
            return False
        call, text = self.queue[0], "".join(self.queue[0].pieces)
        return call.custom or not text or arguments_of(text) is None

    def take(self, fragment: JsonObject) -> None:
        """Puts a fragment to its call. Without an index it belongs to the last one, or, with a new id, to a new one."""
        ident = said_text(fragment.get("id"), "tool_calls[].id")
        index = fragment.get("index")
        index = index if isinstance(index, int) else None
        call = self._last if index is None else self._by_index.get(index)
        if call is None or (ident and call.ident and ident != call.ident):
            if index is None and not ident:
                raise BadAnswerError("the platform's stream has a fragment of a call with neither an index nor an id")
            call = Call()
            self.queue.append(call)
            if index is not None:
                self._by_index[index] = call
        self._last = call
        call.ident = call.ident or ident
        if "extra_content" in fragment:
            call.signature = call_signature(fragment) or call.signature
        if fragment.get("type") == "custom" or fragment.get("custom") is not None:
            call.custom = True
        key, member = ("custom", "input") if call.custom else ("function", "arguments")
        said = fragment.get(key)
        said = {} if said is None else said_object(said, "tool_calls[].function")
        name = said_text(said.get("name"), "tool_calls[].function.name")
        if name and name != call.name and not call.pieces:  # some repeat the name in every fragment
            call.name += name
        if piece := said_text(said.get(member), "tool_calls[].function.arguments"):
            if call.ended:
                raise BadAnswerError("the platform's stream goes on with the arguments of a call that has ended")
            call.pieces.append(piece)
