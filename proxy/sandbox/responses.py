"""The responses protocol: `response` objects and the numbered events that build one.

Function tools only; hosted tools are echoed in `tools` and never used. Nothing is stored, so `previous_response_id` is echoed
and otherwise ignored, and `background` runs in the foreground.
"""

from collections.abc import Iterator

from proxy.sandbox import text as words
from proxy.sandbox.answers import Answer, Ask, Choice, Tool, answer
from proxy.sandbox.chat import prompt_tokens
from proxy.sandbox.reading import items, mapping, pictures_in, required, string, text_of, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, Reply, Stream


def reply(body: Json, context: Context) -> Reply:
    """Answer `POST .../responses`."""
    ask = read(body)
    said = answer(ask)
    shell = empty(body, ask, context)
    output = output_of(said, context)
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
    last_users = [entry for entry in entries if entry.get("role") == "user"][-1:]
    results = [text_of(entry.get("output")) for entry in trailing(entries)]
    tools, choice = tools_of(body)
    return Ask(
        asked=text_of([entry.get("content") for entry in last_users]),
        model=model,
        tools=tools,
        choice=choice,
        parallel=body.get("parallel_tool_calls") is not False,
        result=" ".join(results) if results else None,
        pictures=sum(pictures_in(entry.get("content")) for entry in last_users),
        form=form_of(body.get("text")),
        limit=whole(body, "max_output_tokens", low=1),
        prompt_tokens=prompt_tokens([*entries, {"content": [body.get("instructions"), *results]}], tools),
    )


def trailing(entries: list[Json]) -> list[Json]:
    """The function outputs that end the input, if it ends with some."""
    found: list[Json] = []
    for entry in reversed(entries):
        if entry.get("type") != "function_call_output":
            break
        found.insert(0, entry)
    return found


def tools_of(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    """The function tools on offer (flat here) and whether one must be called."""
    tools = tuple(
        Tool(string(entry.get("name")), string(entry.get("description")), mapping(entry.get("parameters")) or {"type": "object"})
        for entry in items(body.get("tools"))
        if entry.get("type") == "function" and string(entry.get("name"))
    )
    chosen = body.get("tool_choice")
    if isinstance(chosen, str):
        return tools, "none" if chosen == "none" else "required" if chosen == "required" else "auto"
    wanted = mapping(chosen)
    if wanted.get("type") == "function":
        return tuple(tool for tool in tools if tool.name == wanted.get("name")), "required"
    if wanted.get("type") == "allowed_tools":
        names = {entry.get("name") for entry in items(wanted.get("tools"))}
        return tuple(tool for tool in tools if tool.name in names), "required" if wanted.get("mode") == "required" else "auto"
    return tools, "auto"


def form_of(value: object) -> Json | None:
    """The schema of `text.format` (flat here); {} for `json_object`, None for text."""
    wanted = mapping(mapping(value).get("format"))
    if wanted.get("type") == "json_schema":
        return mapping(wanted.get("schema"))
    return {} if wanted.get("type") == "json_object" else None


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


def output_of(said: Answer, context: Context) -> list[Json]:
    """The output items of the finished response."""
    if not said.calls:
        status = "incomplete" if said.ending == "length" else "completed"
        return [
            {"id": context.mint("msg_"), "type": "message", "status": status, "role": "assistant", "content": [part(said.text)]}
        ]
    return [
        {
            "id": context.mint("fc_"),
            "type": "function_call",
            "status": "completed",
            "call_id": context.mint("call_"),
            "name": call.name,
            "arguments": call.text,
        }
        for call in said.calls
    ]


def part(text: str) -> Json:
    """A text part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def finished(shell: Json, output: list[Json], ask: Ask, said: Answer) -> Json:
    """The response object at the end."""
    ended = said.ending == "length"
    return {
        **shell,
        "status": "incomplete" if ended else "completed",
        "completed_at": None if ended else shell["created_at"],
        "incomplete_details": {"reason": "max_output_tokens"} if ended else None,
        "output": output,
        "usage": {
            "input_tokens": ask.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": ask.prompt_tokens + said.tokens,
        },
    }


def events(shell: Json, output: list[Json], ask: Ask, said: Answer) -> Iterator[Json]:
    """The events without their numbers: the response opens, each item opens, grows and closes, the response closes."""
    yield {"type": "response.created", "response": shell}
    yield {"type": "response.in_progress", "response": shell}
    for index, item in enumerate(output):
        yield from message_events(index, item) if item["type"] == "message" else call_events(index, item)
    last = finished(shell, output, ask, said)
    yield {"type": f"response.{last['status']}", "response": last}


def message_events(index: int, item: Json) -> Iterator[Json]:
    """One message with one text part."""
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    text = item["content"][0]["text"]
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress", "content": []}}
    yield {"type": "response.content_part.added", **place, "part": part("")}
    for step in words.pieces(text):
        yield {"type": "response.output_text.delta", **place, "delta": step, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part(text)}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def call_events(index: int, item: Json) -> Iterator[Json]:
    """One function call."""
    place = {"item_id": item["id"], "output_index": index}
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress", "arguments": ""}}
    for fragment in words.fragments(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": fragment}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def numbered(steps: Iterator[Json]) -> Iterator[Json]:
    """The events with `sequence_number`, from 0, after `type`."""
    for number, step in enumerate(steps):
        yield {"type": step["type"], "sequence_number": number, **step}
