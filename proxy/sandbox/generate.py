"""The generate protocol: `generateContent` in its plain and streamed forms, and token counts.

Requests are read in camelCase and snake_case alike, answers are camelCase. Calls come whole in one part, the first with a
signature; thoughts come in one part where they are asked for. Returned signatures are not checked. Zero counts are left out.
"""

from collections.abc import Iterator

import orjson

from proxy.sandbox import text as words
from proxy.sandbox.brain import Answer, Ask, Choice, Tool, Turn, answer
from proxy.sandbox.reading import items, mapping, member, pictures_in, string, strings, text_of, whole
from proxy.sandbox.replies import SIGNATURE, Context, Framing, Json, Plain, RefusalError, Reply, Stream

FINISH = {"stop": "STOP", "stop_sequence": "STOP", "length": "MAX_TOKENS", "calls": "STOP"}


def reply(body: Json, context: Context, model: str) -> Reply:
    """Answer `:generateContent`."""
    ask = read(body, model)
    said = answer(ask)
    copies = whole(mapping(member(body, "generationConfig")), "candidateCount", low=1, high=8) or 1
    candidates = [candidate(thoughts_of(said) + parts_of(said, context), index, FINISH[said.ending]) for index in range(copies)]
    return Plain({"candidates": candidates, **trailer(ask, said.tokens * copies, said.thought_tokens * copies, context.mint(""))})


def stream(body: Json, context: Context, model: str, *, sse: bool) -> Reply:
    """Answer `:streamGenerateContent`; with `alt=sse` as SSE, without as a JSON array."""
    ask = read(body, model)
    return Stream(chunks(ask, answer(ask), context), Framing.CRLF if sse else Framing.ARRAY)


def count(body: Json, _context: Context, model: str) -> Reply:
    """Answer `:countTokens`; the request may stand inside `generateContentRequest`."""
    inner = mapping(member(body, "generateContentRequest")) or body
    total = read(inner, model).prompt_tokens
    return Plain({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]})


def read(body: Json, model: str) -> Ask:
    """The request in common terms.

    Raises:
        RefusalError: status 400 when `contents` is missing or a number is out of bounds.
    """
    contents = items(body.get("contents"))
    if not contents:
        raise RefusalError(400, "* GenerateContentRequest.contents: contents is not specified", param="contents")
    settings = mapping(member(body, "generationConfig"))
    tools, choice = tools_of(body)
    return Ask(
        model,
        (Turn("system", text_of(member(body, "systemInstruction"))), *(turn for entry in contents for turn in turns_of(entry))),
        tools,
        choice,
        form=form_of(settings),
        limit=whole(settings, "maxOutputTokens", low=1),
        stops=strings(member(settings, "stopSequences")),
        thinks=member(mapping(member(settings, "thinkingConfig")), "includeThoughts") is True,
    )


def turns_of(entry: Json) -> list[Turn]:
    """One content; what a user says beside results of functions stands before them, so that these still end the conversation."""
    parts = items(entry.get("parts"))
    if entry.get("role") == "model":
        called = (mapping(member(part, "functionCall")).get("name") for part in parts)
        return [Turn("model", text_of(parts), 0, tuple(name for name in called if isinstance(name, str)))]
    results = [mapping(member(part, "functionResponse")).get("response") for part in parts if member(part, "functionResponse")]
    spoken = [part for part in parts if not member(part, "functionResponse")]
    said = Turn("user", text_of(spoken), pictures_in(spoken))
    return [said] * bool(spoken) + [Turn("tool", result_text(one)) for one in results]


def result_text(response: object) -> str:
    """The one text that a function's response holds, or all of it as JSON."""
    texts = [value for value in mapping(response).values() if isinstance(value, str)]
    return texts[0] if len(texts) == len(mapping(response)) == 1 else orjson.dumps(response).decode()


def tools_of(body: Json) -> tuple[tuple[Tool, ...], Choice]:
    """The declared functions and whether one must be called."""
    declared = [entry for group in items(body.get("tools")) for entry in items(member(group, "functionDeclarations"))]
    tools = tuple(
        Tool(
            string(entry.get("name")),
            string(entry.get("description")),
            mapping(member(entry, "parametersJsonSchema")) or mapping(entry.get("parameters")) or {"type": "object"},
        )
        for entry in declared
        if string(entry.get("name"))
    )
    config = mapping(member(mapping(member(body, "toolConfig")), "functionCallingConfig"))
    allowed = strings(member(config, "allowedFunctionNames"))
    if allowed:
        tools = tuple(tool for tool in tools if tool.name in allowed)
    mode = string(config.get("mode")).upper()
    return tools, "none" if mode == "NONE" else "required" if mode == "ANY" else "auto"


def form_of(settings: Json) -> Json | None:
    """The response schema; {} for JSON without one, None for text."""
    if member(settings, "responseMimeType") != "application/json":
        return None
    return mapping(member(settings, "responseJsonSchema")) or mapping(member(settings, "responseSchema"))


def thoughts_of(said: Answer) -> list[Json]:
    """The part with the thoughts, if there are any."""
    return [{"text": said.thought, "thought": True}] if said.thought else []


def parts_of(said: Answer, context: Context) -> list[Json]:
    """The parts of a whole answer, without thoughts."""
    if not said.calls:
        return [{"text": said.text}]
    parts: list[Json] = [
        {"functionCall": {"id": context.mint("fc_"), "name": call.name, "args": call.arguments}} for call in said.calls
    ]
    parts[0]["thoughtSignature"] = SIGNATURE
    return parts


def candidate(parts: list[Json], index: int = 0, finish: str | None = None) -> Json:
    """One element of `candidates`."""
    made: Json = {"content": {"role": "model", "parts": parts}}
    if finish is not None:
        made["finishReason"] = finish
    made["index"] = index
    return made


def trailer(ask: Ask, produced: int, thought: int, answer_id: str) -> Json:
    """What every answer and every chunk repeats; the counts are cumulative."""
    counts = {"promptTokenCount": ask.prompt_tokens, "candidatesTokenCount": produced, "thoughtsTokenCount": thought}
    usage: Json = {name: value for name, value in counts.items() if value or name == "promptTokenCount"}
    usage["totalTokenCount"] = ask.prompt_tokens + produced + thought
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": ask.prompt_tokens}]
    return {"usageMetadata": usage, "modelVersion": ask.model, "responseId": answer_id}


def chunks(ask: Ask, said: Answer, context: Context) -> Iterator[Json]:
    """The chunks of a stream; the finish reason comes with an empty text part, or with the calls."""
    answer_id, thought = context.mint(""), said.thought_tokens
    if said.thought:
        yield {"candidates": [candidate(thoughts_of(said))], **trailer(ask, 0, thought, answer_id)}
    if said.calls:
        ending = candidate(parts_of(said, context), finish=FINISH[said.ending])
    else:
        for number, step in enumerate(words.pieces(said.text), start=1):
            yield {"candidates": [candidate([{"text": step}])], **trailer(ask, number, thought, answer_id)}
        ending = candidate([{"text": ""}], finish=FINISH[said.ending])
    yield {"candidates": [ending], **trailer(ask, said.tokens, thought, answer_id)}
