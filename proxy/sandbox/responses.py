"""The responses protocol: `response` objects and the numbered events that build one.

Function, custom and local shell tools; hosted tools are echoed in `tools` and never used. Nothing is stored, so
`previous_response_id` is echoed and otherwise ignored, and `background` runs in the foreground.
"""

from collections.abc import Iterator

from proxy.sandbox import text as words
from proxy.sandbox.brain import Answer, Ask, Call, Tool, Turn, answer
from proxy.sandbox.chat import chosen, form_of
from proxy.sandbox.reading import items, mapping, pictures_in, required, string, strings, text_of, whole
from proxy.sandbox.replies import SIGNATURE, Context, Framing, Json, Plain, Reply, Stream

LOCAL_SHELL: Json = {
    "type": "object",
    "properties": {"command": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["command"],
}
_GROWING = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "local_shell_call": None,
}
"""The kinds of calls; the member that grows in a stream, and the name of its events."""


def reply(body: Json, context: Context) -> Reply:
    """Answer `POST .../responses`."""
    ask = read(body)
    said = answer(ask)
    shell = empty(body, ask, context)
    output = output_of(said, context, sealed="reasoning.encrypted_content" in strings(body.get("include")))
    if body.get("stream") is True:
        return Stream(numbered(events(shell, output, ask, said)), Framing.NAMED)
    return Plain(finished(shell, output, ask, said))


def count(body: Json, _context: Context) -> Reply:
    """Answer `POST .../responses/input_tokens`."""
    return Plain({"object": "response.input_tokens", "input_tokens": read(body).prompt_tokens})


def read(body: Json) -> Ask:
    """The request in common terms.

    Raises:
        RefusalError: status 400 when `model` or `input` is missing or a number is out of bounds.
    """
    model = string(required(body, "model", "Missing required parameter: 'model'."))
    given = required(body, "input", "Missing required parameter: 'input'.")
    entries = [{"role": "user", "content": given}] if isinstance(given, str) else items(given)
    tools, choice = chosen(tools_of(body), body.get("tool_choice"))
    return Ask(
        model,
        (Turn("system", string(body.get("instructions"))), *(turn for entry in entries if (turn := turn_of(entry)) is not None)),
        tools,
        choice,
        parallel=body.get("parallel_tool_calls") is not False,
        form=form_of(mapping(body.get("text")).get("format")),
        limit=whole(body, "max_output_tokens", low=1),
        thinks=mapping(body.get("reasoning")).get("summary") not in (None, "none"),
    )


def turn_of(entry: Json) -> Turn | None:
    """One item; None for those that are no part of what is said, such as thoughts."""
    kind = string(entry.get("type")) or "message"
    if kind == "message":
        content, role = entry.get("content"), string(entry.get("role"))
        known = {"assistant": "model", "system": "system", "developer": "system"}
        return Turn(known.get(role, "user"), text_of(content), pictures_in(content))  # type: ignore[arg-type]
    if kind in _GROWING:
        return Turn("model", called=(string(entry.get("name")) or "local_shell",))
    return Turn("tool", text_of(entry.get("output"))) if kind.endswith("_call_output") else None


def tools_of(body: Json) -> tuple[Tool, ...]:
    """The tools that the client runs (flat here)."""
    found = []
    for entry in items(body.get("tools")):
        name, told = string(entry.get("name")), string(entry.get("description"))
        match entry.get("type"):
            case "function":
                found.append(Tool(name, told, mapping(entry.get("parameters")) or {"type": "object"}))
            case "custom":
                found.append(Tool(name, told, None, "custom"))
            case "local_shell":
                found.append(Tool("local_shell", "Runs a command of the shell.", LOCAL_SHELL, "local_shell"))
    return tuple(tool for tool in found if tool.name)


def empty(body: Json, ask: Ask, context: Context) -> Json:
    """The response object before anything was said; settings of the request are echoed in it."""
    return {
        "id": context.mint("resp_"),
        "object": "response",
        "created_at": context.now,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": ask.limit,
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": ask.parallel,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None, **mapping(body.get("reasoning"))},
        "store": body.get("store") is not False,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, **mapping(body.get("text"))},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": items(body.get("tools")),
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
        "metadata": mapping(body.get("metadata")),
    }


def output_of(said: Answer, context: Context, *, sealed: bool) -> list[Json]:
    """The output items of the finished response; `sealed` asks for thoughts that the client can give back."""
    output: list[Json] = []
    if said.thought or sealed:
        summary = [{"type": "summary_text", "text": said.thought}] if said.thought else []
        output.append({"id": context.mint("rs_"), "type": "reasoning", "summary": summary})
        if sealed:
            output[-1]["encrypted_content"] = SIGNATURE
    if said.calls:
        return output + [call_item(call, context) for call in said.calls]
    status = "incomplete" if said.ending == "length" else "completed"
    content = [part(said.text)]
    return [*output, {"id": context.mint("msg_"), "type": "message", "status": status, "role": "assistant", "content": content}]


def call_item(call: Call, context: Context) -> Json:
    """One call, in the item of its tool's kind."""
    named: Json = {"status": "completed", "call_id": context.mint("call_"), "name": call.name}
    match call.tool.kind:
        case "custom":
            return {"id": context.mint("ctc_"), "type": "custom_tool_call", **named, "input": call.text}
        case "local_shell":
            del named["name"]
            action = {"type": "exec", "command": call.arguments["command"], "env": {}}
            return {"id": context.mint("lsh_"), "type": "local_shell_call", **named, "action": action}
        case _:
            return {"id": context.mint("fc_"), "type": "function_call", **named, "arguments": call.text}


def part(text: str) -> Json:
    """A text part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def finished(shell: Json, output: list[Json], ask: Ask, said: Answer) -> Json:
    """The response object at the end."""
    ended = said.ending == "length"
    produced = said.tokens + said.thought_tokens
    return {
        **shell,
        "status": "incomplete" if ended else "completed",
        "completed_at": None if ended else shell["created_at"],
        "incomplete_details": {"reason": "max_output_tokens"} if ended else None,
        "output": output,
        "usage": {
            "input_tokens": ask.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": produced,
            "output_tokens_details": {"reasoning_tokens": said.thought_tokens},
            "total_tokens": ask.prompt_tokens + produced,
        },
    }


def events(shell: Json, output: list[Json], ask: Ask, said: Answer) -> Iterator[Json]:
    """The events without their numbers: the response opens, each item opens, grows and closes, the response closes."""
    yield {"type": "response.created", "response": shell}
    yield {"type": "response.in_progress", "response": shell}
    for index, item in enumerate(output):
        place = {"item_id": item["id"], "output_index": index}
        opened = {**item, "status": "in_progress"} if "status" in item else dict(item)
        match item["type"]:
            case "message":
                opened, steps = {**opened, "content": []}, message_events(place, item)
            case "reasoning":
                opened, steps = {**opened, "summary": []}, thought_events(place, item)
            case kind:
                growing = _GROWING[kind]
                opened = {**opened, growing[0]: ""} if growing else opened
                steps = call_events(place, item, *growing) if growing else iter(())
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        yield from steps
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    last = finished(shell, output, ask, said)
    yield {"type": f"response.{last['status']}", "response": last}


def message_events(place: Json, item: Json) -> Iterator[Json]:
    """One message with one text part."""
    place, text = {**place, "content_index": 0}, item["content"][0]["text"]
    yield {"type": "response.content_part.added", **place, "part": part("")}
    for step in words.pieces(text):
        yield {"type": "response.output_text.delta", **place, "delta": step, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part(text)}


def thought_events(place: Json, item: Json) -> Iterator[Json]:
    """The summary of the thoughts."""
    for index, summary in enumerate(item["summary"]):
        here = {**place, "summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **here, "part": {"type": "summary_text", "text": ""}}
        for step in words.pieces(summary["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **here, "delta": step}
        yield {"type": "response.reasoning_summary_text.done", **here, "text": summary["text"]}
        yield {"type": "response.reasoning_summary_part.done", **here, "part": summary}


def call_events(place: Json, item: Json, member: str, name: str) -> Iterator[Json]:
    """One call whose arguments or input grow."""
    for fragment in words.fragments(item[member]):
        yield {"type": f"response.{name}.delta", **place, "delta": fragment}
    yield {"type": f"response.{name}.done", **place, member: item[member]}


def numbered(steps: Iterator[Json]) -> Iterator[Json]:
    """The events with `sequence_number`, from 0, after `type`."""
    for number, step in enumerate(steps):
        yield {"type": step["type"], "sequence_number": number, **step}
