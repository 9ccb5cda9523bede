"""The chat protocol: `chat.completion` objects and `chat.completion.chunk` streams.

Function tools only: `custom` tools and the older `functions` are read past. `logprobs` is always null.
"""

from collections.abc import Iterator
from itertools import zip_longest

import orjson

from proxy.sandbox import text as words
from proxy.sandbox.answers import Answer, Ask, Choice, Tool, answer
from proxy.sandbox.reading import items, mapping, pictures_in, required, string, strings, text_of, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, RefusalError, Reply, Stream

FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length", "calls": "tool_calls"}


def reply(body: Json, context: Context) -> Reply:
    """Answer `POST .../chat/completions`."""
    ask = read(body)
    choices = [answer(ask) for _ in range(whole(body, "n", low=1, high=128) or 1)]
    frame = {"id": context.mint("chatcmpl-"), "created": context.now, "model": ask.model}
    if body.get("stream") is True:
        events = chunks(frame, choices, context, usage(ask, choices), told=usage_wanted(body))
        return Stream(events, Framing.DATA, done=True)
    entries = [
        {"index": index, "message": message(each, context), "logprobs": None, "finish_reason": FINISH[each.ending]}
        for index, each in enumerate(choices)
    ]
    return Plain({**_typed(frame, "chat.completion"), "choices": entries, "usage": usage(ask, choices)})


def usage_wanted(body: Json) -> bool:
    """Whether the stream ends with a usage chunk."""
    return mapping(body.get("stream_options")).get("include_usage") is True


def read(body: Json) -> Ask:
    """The request in common terms.

    Raises:
        RefusalError: status 400 when `model` or `messages` is missing or a number is out of bounds.
    """
    model = string(required(body, "model", "You must provide a model parameter."))
    messages = items(required(body, "messages", "Missing required parameter: 'messages'."))
    if not messages:
        raise RefusalError(400, "Invalid 'messages': expected an array with at least one message.", param="messages")
    limits = [whole(body, name, low=1) for name in ("max_completion_tokens", "max_tokens")]
    tools, choice = tools_of(body)
    last_users = [entry for entry in messages if entry.get("role") == "user"][-1:]
    results = [text_of(entry.get("content")) for entry in trailing(messages)]
    return Ask(
        asked=text_of([entry.get("content") for entry in last_users]),
        model=model,
        tools=tools,
        choice=choice,
        parallel=body.get("parallel_tool_calls") is not False,
        result=" ".join(results) if results else None,
        pictures=sum(pictures_in(entry.get("content")) for entry in last_users),
        form=form_of(body.get("response_format")),
        limit=next((limit for limit in limits if limit is not None), None),
        stops=strings(body.get("stop")),
        prompt_tokens=prompt_tokens(messages, tools),
    )


def trailing(messages: list[Json]) -> list[Json]:
    """The tool results that end the conversation, if it ends with some."""
    found: list[Json] = []
    for entry in reversed(messages):
        if entry.get("role") not in ("tool", "function"):
            break
        found.insert(0, entry)
    return found


def tools_of(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    """The function tools on offer and whether one must be called; a named choice leaves only the named ones."""
    functions = [mapping(entry.get("function")) for entry in items(body.get("tools"))]
    tools = tuple(
        Tool(string(entry.get("name")), string(entry.get("description")), mapping(entry.get("parameters")) or {"type": "object"})
        for entry in functions
        if string(entry.get("name"))
    )
    chosen = body.get("tool_choice")
    if isinstance(chosen, str):
        return tools, "none" if chosen == "none" else "required" if chosen == "required" else "auto"
    allowed = mapping(mapping(chosen).get("allowed_tools"))
    if allowed:
        names = {mapping(entry.get("function")).get("name") for entry in items(allowed.get("tools"))}
        return tuple(tool for tool in tools if tool.name in names), "required" if allowed.get("mode") == "required" else "auto"
    named = mapping(mapping(chosen).get("function")).get("name")
    if named is not None:
        return tuple(tool for tool in tools if tool.name == named), "required"
    return tools, "auto"


def form_of(asked: object) -> Json | None:
    """The schema of `response_format`; {} for `json_object`, None for text."""
    wanted = mapping(asked)
    if wanted.get("type") == "json_schema":
        return mapping(mapping(wanted.get("json_schema")).get("schema"))
    return {} if wanted.get("type") == "json_object" else None


def prompt_tokens(content: list[Json], tools: tuple[Tool, ...]) -> int:
    """The approximate size of a prompt: its texts, its pictures, the tools on offer."""
    spoken = words.count_tokens(text_of([entry.get("content") for entry in content]))
    seen = sum(pictures_in(entry.get("content")) for entry in content)
    offered = sum(words.count_tokens(f"{tool.name} {tool.description} {orjson.dumps(tool.schema).decode()}") for tool in tools)
    return spoken + words.PICTURE_TOKENS * seen + offered


def usage(ask: Ask, choices: list[Answer]) -> Json:
    """The `usage` object."""
    produced = sum(each.tokens for each in choices)
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": produced,
        "total_tokens": ask.prompt_tokens + produced,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def message(each: Answer, context: Context) -> Json:
    """The assistant's message of a plain answer."""
    said: Json = {"role": "assistant", "content": None if each.calls else each.text, "refusal": None, "annotations": []}
    if each.calls:
        said["tool_calls"] = [
            {"id": context.mint("call_"), "type": "function", "function": {"name": call.name, "arguments": call.text}}
            for call in each.calls
        ]
    return said


def chunks(frame: Json, choices: list[Answer], context: Context, counted: Json, *, told: bool) -> Iterator[Json]:
    """The chunks of a stream: role, increments and finish of each choice, the choices in turn; then usage, when asked for."""
    base = _typed(frame, "chat.completion.chunk")
    extra: Json = {"usage": None} if told else {}
    for round_of_steps in zip_longest(*(deltas(each, context) for each in choices)):
        for index, step in enumerate(round_of_steps):
            if step is not None:
                finish, delta = step
                entry = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
                yield {**base, "choices": [entry], **extra}
    if told:
        yield {**base, "choices": [], "usage": counted}


def deltas(each: Answer, context: Context) -> Iterator[tuple[str | None, Json]]:
    """The increments of one choice, each with its finish reason (None but for the last)."""
    yield None, {"role": "assistant", "content": None if each.calls else "", "refusal": None}
    for step in words.pieces(each.text):
        yield None, {"content": step}
    for index, call in enumerate(each.calls):
        opening = {"name": call.name, "arguments": ""}
        yield None, {"tool_calls": [{"index": index, "id": context.mint("call_"), "type": "function", "function": opening}]}
        for fragment in words.fragments(call.text):
            yield None, {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}
    yield FINISH[each.ending], {}


def _typed(frame: Json, kind: str) -> Json:
    return {
        "id": frame["id"],
        "object": kind,
        "created": frame["created"],
        "model": frame["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }
