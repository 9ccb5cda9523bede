"""A chat stream as a stream of responses (table M8): one item after the other, numbered events, the whole response at the end.

A whole answer goes through here, too, as a stream of one chunk, so that both say the same. What was asked is known only as the
members of the response object that repeat it.
"""

from collections.abc import Mapping
from typing import Any, Final

from translators.interpreters.base import DONE, BadAnswerError, Event, FailedError, Failure, JsonObject, World
from translators.interpreters.common import arguments_of, finish_word, inner, said_object, said_objects, said_text, usage_in
from translators.interpreters.failures import failure_in, response_error
from translators.interpreters.responses_to_chat_calls import Call, Calls
from translators.interpreters.responses_words import (
    ToolName,
    arguments_input,
    cut_by,
    flat_citation,
    merge_details,
    packed,
    responses_usage,
    signature_entry,
)
from translators.model import Protocol

_CUT: Final = Failure(502, "the platform's stream ended before its answer was complete", "server_error")
_WORDS: Final = ("reasoning_content", "reasoning", "reasoning_details", "content", "images", "refusal", "annotations")
_DELTA: Final = "response.output_text.delta"


class ResponsesStream:
    """The stream of one response. `echo`: members of the response object that say what was asked; `tools`: by function name."""

    def __init__(self, echo: JsonObject, tools: Mapping[str, ToolName], model: str, world: World) -> None:
        self._echo = echo
        self._tools = tools
        self._model = model
        self._world = world
        self._head: JsonObject = {}  # of the response object, once the stream has begun
        self._sequence = 0
        self._unsaid: list[Event] = []  # what one event gave before it turned out to be a bad one
        self._output: list[JsonObject] = []  # the items that are closed
        self._usage: JsonObject | None = None
        self._tier: Any = None
        self._finish = ""
        self._over = False
        # the open item
        self._kind = ""  # reasoning, message or call; empty: none is open
        self._id = ""
        self._part = ""  # of a message: output_text or refusal; of reasoning: summary_text
        self._pieces: list[str] = []
        self._content: list[JsonObject] = []  # closed parts of the message
        self._annotations: list[JsonObject] = []
        self._logprobs: list[JsonObject] = []
        self._details: list[JsonObject] = []
        # calls
        self._late: list[tuple[JsonObject, Any]] = []  # deltas that came while a call went on, and their logprobs
        self._calls = Calls()
        self._queue = self._calls.queue

    # --- what comes in ---

    def event(self, event: Event) -> list[Event]:
        data = event.data
        if isinstance(data, str):
            return self._closing(data)
        if self._part == "output_text":
            # The delta of plain text, which most events are: nothing else is looked at.
            choices = data.get("choices")
            if isinstance(choices, list) and len(choices) == 1 and isinstance(choice := choices[0], dict):
                delta = choice.get("delta")
                if (
                    isinstance(delta, dict)
                    and len(delta) == 1
                    and isinstance(text := delta.get("content"), str)
                    and text
                    and not choice.get("finish_reason")
                    and not choice.get("logprobs")
                    and not choice.get("index")
                    and not data.get("usage")
                    and "usage" not in choice
                ):
                    self._pieces.append(text)
                    return [self._text_delta(text, [])]
        return self._any(said_object(data, "event"))

    def _closing(self, data: str) -> list[Event]:
        if data != DONE:
            raise BadAnswerError(f"the platform's stream has text where an object is expected: `{data[:60]}`")
        return self.end()

    def _any(self, data: JsonObject) -> list[Event]:
        out: list[Event] = []
        if self._over:
            return out
        self._unsaid = out
        if (failure := failure_in(Protocol.CHAT, data)) is not None:
            if not self._head:
                raise FailedError(failure)
            return self.failed(failure)
        if not self._head:
            self._begin(data, out)
        if usage := usage_in(data):
            self._usage = usage
        if data.get("service_tier") is not None:
            self._tier = data["service_tier"]
        for choice in said_objects(data.get("choices"), "choices"):
            if not choice.get("index"):  # others were not asked for
                self._choice(choice, out)
        self._unsaid = []
        return out

    def _choice(self, choice: JsonObject, out: list[Event]) -> None:
        delta = choice.get("delta")
        delta = {} if delta is None else said_object(delta, "choices[0].delta")
        if any(delta.get(name) for name in _WORDS):
            if self._late or (self._kind != "message" and self._calls.go_on()):
                self._late.append((delta, choice.get("logprobs")))
            else:
                self._words(delta, choice.get("logprobs"), out)
        if calls := delta.get("tool_calls"):
            for fragment in said_objects(calls, "choices[0].delta.tool_calls"):
                self._calls.take(fragment)
        if (old := delta.get("function_call")) is not None:  # calls as they were before there were tools
            self._calls.take({"index": 0, "function": old})
        if self._queue:
            self._pump(out, final=False)
        if self._late and not self._calls.go_on():
            self._say_late(out)
        if finish := finish_word(choice):
            self._finish = finish
            self._close_all(out)

    def _say_late(self, out: list[Event]) -> None:
        late, self._late = self._late, []
        for delta, logprobs in late:
            self._words(delta, logprobs, out)

    def _words(self, delta: JsonObject, logprobs: Any, out: list[Event]) -> None:
        """All but the calls of a delta."""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought:
            self._thought(said_text(thought, "choices[0].delta.reasoning_content"), out)
        if details := delta.get("reasoning_details"):
            details = said_objects(details, "choices[0].delta.reasoning_details")
            self._open_reasoning(out)
            merge_details(self._details, details)
        if text := delta.get("content"):
            self._said(said_text(text, "choices[0].delta.content"), logprobs, out)
        for image in said_objects(delta.get("images"), "choices[0].delta.images"):  # as some platforms give pictures
            if url := said_text(inner(image, "image_url").get("url"), "images[].image_url.url"):
                self._said(f"![image]({url})", None, out)
        if refusal := delta.get("refusal"):
            refusal = said_text(refusal, "choices[0].delta.refusal")
            self._open_part("refusal", out)
            self._pieces.append(refusal)
            self._emit(out, "response.refusal.delta", **self._place(), delta=refusal)
        if annotations := delta.get("annotations"):
            for annotation in said_objects(annotations, "choices[0].delta.annotations"):
                self._annotation(flat_citation(annotation), out)

    def _said(self, text: str, logprobs: Any, out: list[Event]) -> None:
        logprobs = said_objects(logprobs.get("content"), "choices[0].logprobs.content") if isinstance(logprobs, dict) else []
        self._open_part("output_text", out)
        self._pieces.append(text)
        self._logprobs += logprobs
        out.append(self._text_delta(text, logprobs))

    # --- the response ---

    def _emit(self, out: list[Event], kind: str, /, **members: Any) -> None:
        out.append(Event(kind, {"type": kind, "sequence_number": self._sequence, **members}))
        self._sequence += 1

    def _begin(self, data: JsonObject, out: list[Event]) -> None:
        created, model = data.get("created"), data.get("model")
        self._head = {
            "id": f"resp_{self._world.new_id()}",
            "object": "response",
            "created_at": created if isinstance(created, int) and created > 0 else int(self._world.now()),
            "model": model if isinstance(model, str) and model else self._model,
            **self._echo,
        }
        for kind in ("response.created", "response.in_progress"):
            self._emit(out, kind, response=self._response("in_progress"))

    def _response(self, status: str, error: JsonObject | None = None, reason: str | None = None) -> JsonObject:
        response = {
            **self._head,
            "status": status,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": list(self._output),
            "usage": responses_usage(self._usage) if self._usage is not None else None,
        }
        if self._tier is not None:
            response["service_tier"] = self._tier
        return response

    def end(self) -> list[Event]:
        """The closing word, or the end of the stream where the platform says none."""
        out: list[Event] = []
        if self._over:
            return out
        if not self._finish:
            return self.failed(_CUT)
        self._unsaid = out
        self._close_all(out)  # some go on behind their finish
        self._over = True
        reason = cut_by(self._finish)
        status = "incomplete" if reason else "completed"
        self._emit(out, f"response.{status}", response=self._response(status, None, reason))
        self._unsaid = []
        return out

    def failed(self, failure: Failure) -> list[Event]:
        """The end of a stream in a failure; one that has not begun begins for it, as readers want it. Empty: it has ended."""
        if self._over:
            return []
        out, self._unsaid = self._unsaid, []
        if not self._head:
            self._begin({}, out)
        self._over, self._part = True, ""
        self._emit(out, "response.failed", response=self._response("failed", response_error(failure)))
        return out

    # --- items ---

    def _open(self, kind: str, ident: str, item: JsonObject, out: list[Event]) -> None:
        self._close_item(out)
        self._kind, self._id = kind, ident
        self._emit(out, "response.output_item.added", output_index=len(self._output), item=item)

    def _closed(self, item: JsonObject, out: list[Event]) -> None:
        self._kind = self._part = ""
        self._emit(out, "response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)

    def _close_all(self, out: list[Event]) -> None:
        """Closes whatever is open, and says what is still waiting."""
        self._close_item(out)
        self._pump(out, final=True)
        self._say_late(out)
        self._close_item(out)

    def _close_item(self, out: list[Event]) -> None:
        if self._kind == "call":
            self._close_call(out)
        elif self._kind == "reasoning":
            self._close_reasoning(out)
        elif self._kind == "message":
            self._close_message(out)

    # messages

    def _text_delta(self, text: str, logprobs: list[JsonObject]) -> Event:
        number = self._sequence
        self._sequence = number + 1
        return Event(
            _DELTA,
            {
                "type": _DELTA,
                "sequence_number": number,
                "item_id": self._id,
                "output_index": len(self._output),
                "content_index": len(self._content),
                "delta": text,
                "logprobs": logprobs,
            },
        )

    def _open_part(self, kind: str, out: list[Event]) -> None:
        if self._kind != "message":
            self._close_item(out)
            ident = f"msg_{self._world.new_id()}"
            item = {"id": ident, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
            self._open("message", ident, item, out)
        if self._part == kind:
            return
        self._close_part(out)
        self._part = kind
        part = (
            {"type": kind, "text": "", "annotations": [], "logprobs": []}
            if kind == "output_text"
            else {"type": kind, "refusal": ""}
        )
        self._emit(out, "response.content_part.added", **self._place(), part=part)

    def _place(self) -> JsonObject:
        return {"item_id": self._id, "output_index": len(self._output), "content_index": len(self._content)}

    def _annotation(self, annotation: JsonObject, out: list[Event]) -> None:
        annotation = {key: value for key, value in annotation.items() if key != "index"}
        self._open_part("output_text", out)
        number = len(self._annotations)
        kind = "response.output_text.annotation.added"
        self._emit(out, kind, **self._place(), annotation_index=number, annotation=annotation)
        self._annotations.append(annotation)

    def _close_message(self, out: list[Event]) -> None:
        self._close_part(out)
        content, self._content = self._content, []
        self._closed({"id": self._id, "type": "message", "status": "completed", "role": "assistant", "content": content}, out)

    def _close_part(self, out: list[Event]) -> None:
        kind, text, place = self._part, "".join(self._pieces), self._place()
        if not kind:
            return
        if kind == "output_text":
            part: JsonObject = {"type": kind, "text": text, "annotations": self._annotations, "logprobs": self._logprobs}
            self._emit(out, "response.output_text.done", **place, text=text, logprobs=self._logprobs)
        else:
            part = {"type": kind, "refusal": text}
            self._emit(out, "response.refusal.done", **place, refusal=text)
        self._emit(out, "response.content_part.done", **place, part=part)
        self._content.append(part)
        self._part = ""
        self._pieces, self._annotations, self._logprobs = [], [], []

    # thoughts

    def _open_reasoning(self, out: list[Event]) -> None:
        if self._kind != "reasoning":
            ident = f"rs_{self._world.new_id()}"
            self._open("reasoning", ident, {"id": ident, "type": "reasoning", "summary": []}, out)

    def _thought(self, text: str, out: list[Event]) -> None:
        self._open_reasoning(out)
        place = {"item_id": self._id, "output_index": len(self._output), "summary_index": 0}
        if not self._part:
            self._part = "summary_text"
            part = {"type": "summary_text", "text": ""}
            self._emit(out, "response.reasoning_summary_part.added", **place, part=part)
        self._pieces.append(text)
        self._emit(out, "response.reasoning_summary_text.delta", **place, delta=text)

    def _close_reasoning(self, out: list[Event]) -> None:
        summary: list[JsonObject] = []
        if self._part:
            place = {"item_id": self._id, "output_index": len(self._output), "summary_index": 0}
            part = {"type": "summary_text", "text": "".join(self._pieces)}
            self._emit(out, "response.reasoning_summary_text.done", **place, text=part["text"])
            self._emit(out, "response.reasoning_summary_part.done", **place, part=part)
            summary.append(part)
        item: JsonObject = {"id": self._id, "type": "reasoning", "summary": summary}
        if self._details:
            item["encrypted_content"] = packed(self._details)
        self._pieces, self._details = [], []
        self._closed(item, out)

    # calls

    def _pump(self, out: list[Event], *, final: bool) -> None:
        """Says what can be said of the calls: the first one as it comes, the others when it is complete (M6.3)."""
        queue = self._queue
        while queue:
            call = queue[0]
            if call.item is None:
                if not (call.pieces or final):
                    return
                self._open_call(call, out)
            if call.item and call.item["type"] == "function_call":
                for piece in call.pieces[call.sent :]:
                    kind = "response.function_call_arguments.delta"
                    self._emit(out, kind, item_id=self._id, output_index=len(self._output), delta=piece)
                call.sent = len(call.pieces)
            if not final and (len(queue) == 1 or not call.complete()):
                return
            self._close_call(out)

    def _open_call(self, call: Call, out: list[Event]) -> None:
        if not call.name:
            raise BadAnswerError("the platform's stream has a call without a name")
        call.ident = call.ident or f"call_{self._world.new_id()}"
        if call.signature:
            # Only thoughts come back from every client; the signature stands in the item before its call.
            self._open_reasoning(out)
            self._details.append(signature_entry(call.ident, call.signature))
        item = call.opened(self._tools.get(call.name) or ToolName(call.name, None, call.custom), self._world.new_id())
        self._open("call", item["id"], item, out)

    def _close_call(self, out: list[Event]) -> None:
        call = self._queue[0]
        text = "".join(call.pieces)
        item = call.item or {}
        place = {"item_id": self._id, "output_index": len(self._output)}
        status = "completed"
        if len(self._queue) == 1 and cut_by(self._finish) and (call.custom or not text or arguments_of(text) is None):
            status = "incomplete"  # the answer ended within this call: nobody knows its arguments
        if item["type"] == "custom_tool_call":
            text = text if call.custom else arguments_input(text)
            if text:
                self._emit(out, "response.custom_tool_call_input.delta", **place, delta=text)
            self._emit(out, "response.custom_tool_call_input.done", **place, input=text)
            item = {**item, "status": status, "input": text}
        else:
            if not text and status == "completed":  # a call without arguments
                text = "{}"
                self._emit(out, "response.function_call_arguments.delta", **place, delta=text)
            self._emit(out, "response.function_call_arguments.done", **place, arguments=text)
            item = {**item, "status": status, "arguments": text}
        call.ended = True
        del self._queue[0]
        self._closed(item, out)
