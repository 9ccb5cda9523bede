"""The chat protocol: `chat.completion` objects and `chat.completion.chunk` streams.

Function and custom tools; the older `functions` are read past. `logprobs` is always null. Thoughts are shown as
`reasoning_content` to those who ask with a `thinking` that is enabled or with an effort, as relays have it.
"""

from collections.abc import Iterator
from itertools import zip_longest

from proxy.sandbox import text as words
from proxy.sandbox.brain import Answer, Ask, Call, Choice, Role, Tool, Turn, answer
from proxy.sandbox.reading import items, mapping, pictures_in, required, string, strings, text_of, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, RefusalError, Reply, Stream

FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length", "calls": "tool_calls"}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "model", "tool": "tool", "function": "tool"}


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
    tools, choice = chosen(tools_of(body), body.get("tool_choice"))
    return Ask(
        model,
        tuple(map(_turn, messages)),
        tools,
        choice,
        parallel=body.get("parallel_tool_calls") is not False,
        form=form_of(body.get("response_format")),
        limit=next((limit for limit in limits if limit is not None), None),
        stops=strings(body.get("stop")),
        thinks=mapping(body.get("thinking")).get("type") == "enabled" or body.get("reasoning_effort") not in (None, "none"),
    )


def _turn(entry: Json) -> Turn:
    content = entry.get("content")
    calls = [mapping(call.get(string(call.get("type")) or "function")) for call in items(entry.get("tool_calls"))]
    role = _ROLES.get(string(entry.get("role")), "user")
    return Turn(role, text_of(content), pictures_in(content), tuple(string(call.get("name")) for call in calls))


def tools_of(body: Json) -> tuple[Tool, ...]:
    """The tools on offer."""
    found = []
    for entry in items(body.get("tools")):
        kind = "custom" if entry.get("type") == "custom" else "function"
        told = mapping(entry.get(kind))
        schema = None if kind == "custom" else mapping(told.get("parameters")) or {"type": "object"}
        found.append(Tool(string(told.get("name")), string(told.get("description")), schema, kind))
    return tuple(tool for tool in found if tool.name)


def chosen(tools: tuple[Tool, ...], wanted: object) -> tuple[tuple[Tool, ...], Choice]:
    """The tools that may be called and whether one must be, by a `tool_choice` in the nested or the flat spelling; a named choice
    leaves only the named ones."""
    if isinstance(wanted, str):
        return tools, "none" if wanted == "none" else "required" if wanted == "required" else "auto"
    told = mapping(wanted)
    kind = string(told.get("type"))
    allowed = mapping(told.get("allowed_tools")) or (told if kind == "allowed_tools" else {})
    if allowed:
        names = {_name_of(entry) for entry in items(allowed.get("tools"))}
        return tuple(tool for tool in tools if tool.name in names), "required" if allowed.get("mode") == "required" else "auto"
    if kind:
        return tuple(tool for tool in tools if tool.name == (_name_of(told) or kind)), "required"
    return tools, "auto"


def _name_of(entry: Json) -> str:
    return string(entry.get("name")) or string(mapping(entry.get(string(entry.get("type")))).get("name"))


def form_of(asked: object) -> Json | None:
    """The schema of `response_format` or of a flat `format`; {} for `json_object`, None for text."""
    wanted = mapping(asked)
    if wanted.get("type") == "json_schema":
        return mapping((mapping(wanted.get("json_schema")) or wanted).get("schema"))
    return {} if wanted.get("type") == "json_object" else None


def usage(ask: Ask, choices: list[Answer]) -> Json:
    """The `usage` object."""
    thought = sum(each.thought_tokens for each in choices)
    produced = sum(each.tokens for each in choices) + thought
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": produced,
        "total_tokens": ask.prompt_tokens + produced,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def message(each: Answer, context: Context) -> Json:
    """The assistant's message of a plain answer."""
    said: Json = {"role": "assistant", "content": None if each.calls else each.text, "refusal": None, "annotations": []}
    if each.thought:
        said["reasoning_content"] = each.thought
    if each.calls:
        said["tool_calls"] = [{"id": context.mint("call_"), **_call(call, call.text)} for call in each.calls]
    return said


def _call(call: Call, text: str) -> Json:
    held = {"name": call.name, "input" if call.tool.kind == "custom" else "arguments": text}
    return {"type": call.tool.kind, call.tool.kind: held}


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
    for step in words.pieces(each.thought):
        yield None, {"reasoning_content": step}
    for step in words.pieces(each.text):
        yield None, {"content": step}
    for index, call in enumerate(each.calls):
        yield None, {"tool_calls": [{"index": index, "id": context.mint("call_"), **_call(call, "")}]}
        for fragment in words.fragments(call.text):
            member = "input" if call.tool.kind == "custom" else "arguments"
            yield None, {"tool_calls": [{"index": index, call.tool.kind: {member: fragment}}]}
    yield FINISH[each.ending], {}


def _typed(frame: Json, kind: str) -> Json:
    more = {"service_tier": "default", "system_fingerprint": "fp_sandbox"}
    return {"id": frame["id"], "object": kind, "created": frame["created"], "model": frame["model"], **more}
