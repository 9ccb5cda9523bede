"""The messages protocol: `message` objects, their event streams, and the counting of tokens.

The protocol's own client tools are called as others are; hosted ones are read past. A call that was not forced is announced by a
text block before it. Thinking comes in one block with a signature; returned signatures are not checked.
"""

from collections.abc import Iterator
from dataclasses import replace

from proxy.sandbox import text as words
from proxy.sandbox.brain import Answer, Ask, Choice, Tool, Turn, answer
from proxy.sandbox.reading import items, mapping, pictures_in, required, string, strings, text_of, whole
from proxy.sandbox.replies import SIGNATURE, Context, Framing, Json, Plain, RefusalError, Reply, Stream

REASONS = {"stop": "end_turn", "stop_sequence": "stop_sequence", "length": "max_tokens", "calls": "tool_use"}
OWN_TOOLS: dict[str, Json] = {
    "bash": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    "text": {
        "type": "object",
        "properties": {"command": {"type": "string", "enum": ["view"]}, "path": {"type": "string"}},
        "required": ["command", "path"],
    },
}
"""The tools whose schema the protocol fixes and the client runs, by the first word of their dated type."""


def reply(body: Json, context: Context) -> Reply:
    """Answer `POST .../messages`."""
    required(body, "max_tokens", "max_tokens: Field required")
    ask = read(body)
    said = continued(answer(ask), items(body.get("messages")))
    if said.calls and ask.choice == "auto":
        announced = words.announce([call.name for call in said.calls])
        said = replace(said, text=announced, tokens=said.tokens + words.count_tokens(announced))
    blocks = blocks_of(said, context)
    shell: Json = {
        "id": context.mint("msg_"),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage(ask, 1),
    }
    if body.get("stream") is True:
        return Stream(events(shell, blocks, said), Framing.NAMED)
    ending = {"stop_reason": REASONS[said.ending], "stop_sequence": said.stopped_by}
    return Plain({**shell, "content": blocks, **ending, "usage": usage(ask, said.tokens + said.thought_tokens)})


def count(body: Json, _context: Context) -> Reply:
    """Answer `POST .../messages/count_tokens`."""
    return Plain({"input_tokens": read(body).prompt_tokens})


def read(body: Json) -> Ask:
    """The request in common terms.

    Raises:
        RefusalError: status 400 when `model` or `messages` is missing or a number is out of bounds.
    """
    model = string(required(body, "model", "model: Field required"))
    turns = items(required(body, "messages", "messages: Field required"))
    if not turns:
        raise RefusalError(400, "messages: at least one message is required")
    tools, choice = tools_of(body)
    wanted = mapping(mapping(body.get("output_config")).get("format")) or mapping(body.get("output_format"))
    form = mapping(wanted.get("schema")) if wanted.get("type") == "json_schema" else None
    return Ask(
        model,
        (Turn("system", text_of(body.get("system"))), *(turn for entry in turns for turn in turns_of(entry))),
        tools,
        choice,
        parallel=mapping(body.get("tool_choice")).get("disable_parallel_tool_use") is not True,
        form={} if prefill(turns).startswith("{") else form,
        limit=whole(body, "max_tokens", low=0),
        stops=strings(body.get("stop_sequences")),
        thinks=mapping(body.get("thinking")).get("type") in ("enabled", "adaptive"),
    )


def turns_of(entry: Json) -> list[Turn]:
    """One message; what a user says beside results of tools stands before them, so that these still end the conversation."""
    content = entry.get("content")
    if entry.get("role") == "assistant":
        called = tuple(string(block.get("name")) for block in items(content) if block.get("type") == "tool_use")
        return [Turn("model", text_of(content), 0, called)]
    blocks = [content] if isinstance(content, str) else items(content)
    results = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    spoken = [block for block in blocks if block not in results]
    said = Turn("system" if entry.get("role") == "system" else "user", text_of(spoken), pictures_in(spoken))
    return [said] * bool(spoken) + [Turn("tool", text_of(one.get("content")), pictures_in(one.get("content"))) for one in results]


def prefill(turns: list[Json]) -> str:
    """The beginning of the answer, which the client may give."""
    return text_of(turns[-1].get("content")).strip() if turns and turns[-1].get("role") == "assistant" else ""


def continued(said: Answer, turns: list[Json]) -> Answer:
    """The answer without the beginning that the client gave."""
    given = prefill(turns)
    return replace(said, text=said.text.removeprefix(given)) if given and said.text.startswith(given) else said


def tools_of(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    """The tools that the client runs and whether one must be called."""
    found = []
    for entry in items(body.get("tools")):
        kind = string(entry.get("type")) or "custom"
        schema = mapping(entry.get("input_schema")) if kind == "custom" else OWN_TOOLS.get(kind.partition("_")[0])
        if schema is not None and string(entry.get("name")):
            found.append(Tool(string(entry.get("name")), string(entry.get("description")), schema))
    tools, chosen = tuple(found), mapping(body.get("tool_choice"))
    match chosen.get("type"):
        case "none":
            return tools, "none"
        case "any":
            return tools, "required"
        case "tool":
            return tuple(tool for tool in tools if tool.name == chosen.get("name")), "required"
        case _:
            return tools, "auto"


def blocks_of(said: Answer, context: Context) -> list[Json]:
    """The finished content blocks."""
    thoughts: list[Json] = [{"type": "thinking", "thinking": said.thought, "signature": SIGNATURE}] if said.thought else []
    texts: list[Json] = [{"type": "text", "text": said.text}] if said.text else []
    calls = [{"type": "tool_use", "id": context.mint("toolu_"), "name": call.name, "input": call.arguments} for call in said.calls]
    return thoughts + texts + calls


def usage(ask: Ask, produced: int) -> Json:
    """The `usage` object; nothing is ever cached here."""
    return {
        "input_tokens": ask.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": produced,
        "service_tier": "standard",
    }


def events(shell: Json, blocks: list[Json], said: Answer) -> Iterator[Json]:
    """The events of a stream; one ping follows the first opening, as the protocol's own servers send it."""
    yield {"type": "message_start", "message": shell}
    calls = iter(said.calls)
    for index, block in enumerate(blocks):
        steps: list[Json]
        match block["type"]:
            case "text":
                opened = {**block, "text": ""}
                steps = [{"type": "text_delta", "text": step} for step in words.pieces(block["text"])]
            case "thinking":
                opened = {**block, "thinking": "", "signature": ""}
                steps = [{"type": "thinking_delta", "thinking": step} for step in words.pieces(block["thinking"])]
                steps.append({"type": "signature_delta", "signature": block["signature"]})
            case _:
                opened = {**block, "input": {}}
                fragments = ["", *words.fragments(next(calls).text)]
                steps = [{"type": "input_json_delta", "partial_json": fragment} for fragment in fragments]
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        if index == 0:
            yield {"type": "ping"}
        for step in steps:
            yield {"type": "content_block_delta", "index": index, "delta": step}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": REASONS[said.ending], "stop_sequence": said.stopped_by},
        "usage": {"output_tokens": said.tokens + said.thought_tokens},
    }
    yield {"type": "message_stop"}
