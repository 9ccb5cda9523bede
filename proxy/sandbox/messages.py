"""The messages protocol: `message` objects, their event streams, and the counting of tokens.

No thinking blocks and no hosted tools. A call that was not forced is announced by a text block before it.
"""

from collections.abc import Iterator
from dataclasses import replace

from proxy.sandbox import text as words
from proxy.sandbox.answers import Answer, Ask, Choice, Tool, answer
from proxy.sandbox.chat import prompt_tokens
from proxy.sandbox.reading import items, mapping, pictures_in, required, string, strings, text_of, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, RefusalError, Reply, Stream

REASONS = {"stop": "end_turn", "stop_sequence": "stop_sequence", "length": "max_tokens", "calls": "tool_use"}


def reply(body: Json, context: Context) -> Reply:
    """Answer `POST .../messages`."""
    required(body, "max_tokens", "max_tokens: Field required")
    ask = read(body)
    said = answer(ask)
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
    return Plain({**shell, "content": blocks, **ending, "usage": usage(ask, said.tokens)})


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
    last = turns[-1] if turns[-1].get("role") != "assistant" else {}
    content = last.get("content")
    results = [block for block in items(content) if block.get("type") == "tool_result"]
    spoken = [block for block in items(content) if block.get("type") != "tool_result"] if results else content
    tools, choice = tools_of(body)
    wanted = mapping(mapping(body.get("output_config")).get("format"))
    return Ask(
        asked=text_of(spoken),
        model=model,
        tools=tools,
        choice=choice,
        parallel=mapping(body.get("tool_choice")).get("disable_parallel_tool_use") is not True,
        result=text_of([block.get("content") for block in results]) if results else None,
        pictures=pictures_in(spoken),
        form=mapping(wanted.get("schema")) if wanted.get("type") == "json_schema" else None,
        limit=whole(body, "max_tokens", low=0),
        stops=strings(body.get("stop_sequences")),
        prompt_tokens=prompt_tokens([{"content": body.get("system")}, *turns], tools),
    )


def tools_of(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    """The client's tools (those without a dated type) and whether one must be called."""
    tools = tuple(
        Tool(string(entry.get("name")), string(entry.get("description")), mapping(entry.get("input_schema")))
        for entry in items(body.get("tools"))
        if entry.get("type", "custom") == "custom" and string(entry.get("name"))
    )
    chosen = mapping(body.get("tool_choice"))
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
    texts: list[Json] = [{"type": "text", "text": said.text}] if said.text else []
    calls = [{"type": "tool_use", "id": context.mint("toolu_"), "name": call.name, "input": call.arguments} for call in said.calls]
    return texts + calls


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
        opened = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        if index == 0:
            yield {"type": "ping"}
        if block["type"] == "text":
            steps: list[Json] = [{"type": "text_delta", "text": step} for step in words.pieces(block["text"])]
        else:
            fragments = ["", *words.fragments(next(calls).text)]
            steps = [{"type": "input_json_delta", "partial_json": fragment} for fragment in fragments]
        for step in steps:
            yield {"type": "content_block_delta", "index": index, "delta": step}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": REASONS[said.ending], "stop_sequence": said.stopped_by},
        "usage": {"output_tokens": said.tokens},
    }
    yield {"type": "message_stop"}
