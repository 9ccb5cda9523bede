"""The generate protocol: `generateContent` in its plain and streamed forms, token counts, embeddings.

Requests are read in camelCase and snake_case alike, answers are camelCase. Calls come whole in one part, the first with a
signature; no thought parts are produced, and returned signatures are not checked. Zero counts are left out.
"""

from collections.abc import Iterator

import orjson

from proxy.sandbox import images
from proxy.sandbox import text as words
from proxy.sandbox.answers import Answer, Ask, Choice, Tool, answer
from proxy.sandbox.chat import prompt_tokens
from proxy.sandbox.embeddings import vector
from proxy.sandbox.reading import items, mapping, member, pictures_in, string, strings, text_of, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, RefusalError, Reply, Stream, base64_text

SIGNATURE = base64_text(b"sandbox")
VECTOR_SIZE = 768
FINISH = {"stop": "STOP", "stop_sequence": "STOP", "length": "MAX_TOKENS", "calls": "STOP"}


def reply(body: Json, context: Context, model: str) -> Reply:
    """Answer `:generateContent`."""
    ask = read(body, model)
    settings = mapping(member(body, "generationConfig"))
    said = answer(ask)
    copies = whole(settings, "candidateCount", low=1, high=8) or 1
    parts = parts_of(said, context)
    if picture_wanted(settings) and not said.calls:
        parts.append(picture_part(ask, settings))
    candidates = [candidate(parts, index, FINISH[said.ending]) for index in range(copies)]
    return Plain({"candidates": candidates, **trailer(ask, said.tokens * copies, context.mint(""))})


def stream(body: Json, context: Context, model: str, *, sse: bool) -> Reply:
    """Answer `:streamGenerateContent`; with `alt=sse` as SSE, without as a JSON array."""
    ask = read(body, model)
    settings = mapping(member(body, "generationConfig"))
    return Stream(chunks(ask, settings, answer(ask), context), Framing.CRLF if sse else Framing.ARRAY)


def count(body: Json, _context: Context, model: str) -> Reply:
    """Answer `:countTokens`; the request may stand inside `generateContentRequest`."""
    inner = mapping(member(body, "generateContentRequest")) or body
    total = read(inner, model).prompt_tokens
    return Plain({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]})


def embed(body: Json, _context: Context, _model: str) -> Reply:
    """Answer `:embedContent`."""
    return Plain({"embedding": embedding(body)})


def embed_batch(body: Json, _context: Context, _model: str) -> Reply:
    """Answer `:batchEmbedContents`."""
    return Plain({"embeddings": [embedding(entry) for entry in items(body.get("requests"))]})


def embedding(request: Json) -> Json:
    """The vector of one content."""
    size = whole(request, "outputDimensionality", low=1, high=8192) or VECTOR_SIZE
    return {"values": vector(text_of(request.get("content")), size)}


def read(body: Json, model: str) -> Ask:
    """The request in common terms.

    Raises:
        RefusalError: status 400 when `contents` is missing or a number is out of bounds.
    """
    turns = items(body.get("contents"))
    if not turns:
        raise RefusalError(400, "* GenerateContentRequest.contents: contents is not specified", param="contents")
    settings = mapping(member(body, "generationConfig"))
    parts = items(turns[-1].get("parts"))
    results = [mapping(member(part, "functionResponse")) for part in parts]
    answers = [orjson.dumps(entry.get("response")).decode() for entry in results if entry]
    tools, choice = tools_of(body)
    return Ask(
        asked=text_of(parts),
        model=model,
        tools=tools,
        choice=choice,
        result=" ".join(answers) if answers else None,
        pictures=pictures_in(parts),
        form=form_of(settings),
        limit=whole(settings, "maxOutputTokens", low=1),
        stops=strings(member(settings, "stopSequences")),
        prompt_tokens=counted(body, turns, answers, tools),
    )


def counted(body: Json, turns: list[Json], results: list[str], tools: tuple[Tool, ...]) -> int:
    """The approximate size of the prompt; results are counted as they are printed."""
    everything = [member(body, "systemInstruction"), *results]
    return prompt_tokens([{"content": everything}, *({"content": turn.get("parts")} for turn in turns)], tools)


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


def parts_of(said: Answer, context: Context) -> list[Json]:
    """The parts of a whole answer."""
    if not said.calls:
        return [{"text": said.text}]
    parts: list[Json] = [
        {"functionCall": {"id": context.mint("fc_"), "name": call.name, "args": call.arguments}} for call in said.calls
    ]
    parts[0]["thoughtSignature"] = SIGNATURE
    return parts


def picture_wanted(settings: Json) -> bool:
    """Whether the client asked for pictures; the case of the word varies in the wild."""
    return "IMAGE" in (word.upper() for word in strings(member(settings, "responseModalities")))


def picture_part(ask: Ask, settings: Json) -> Json:
    """A picture of the ratio asked for."""
    ratio = string(member(mapping(member(settings, "imageConfig")), "aspectRatio"))
    picture = images.Picture.of(ask.asked, images.size_of_ratio(ratio))
    return {"inlineData": {"mimeType": "image/png", "data": base64_text(picture.png())}}


def candidate(parts: list[Json], index: int = 0, finish: str | None = None) -> Json:
    """One element of `candidates`."""
    made: Json = {"content": {"role": "model", "parts": parts}}
    if finish is not None:
        made["finishReason"] = finish
    made["index"] = index
    return made


def trailer(ask: Ask, produced: int, answer_id: str) -> Json:
    """What every answer and every chunk repeats; the counts are cumulative."""
    usage: Json = {"promptTokenCount": ask.prompt_tokens}
    if produced:
        usage["candidatesTokenCount"] = produced
    usage["totalTokenCount"] = ask.prompt_tokens + produced
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": ask.prompt_tokens}]
    return {"usageMetadata": usage, "modelVersion": ask.model, "responseId": answer_id}


def chunks(ask: Ask, settings: Json, said: Answer, context: Context) -> Iterator[Json]:
    """The chunks of a stream; the finish reason comes with an empty text part, or with the calls."""
    answer_id = context.mint("")
    if said.calls:
        ending = candidate(parts_of(said, context), finish=FINISH[said.ending])
    else:
        for number, step in enumerate(words.pieces(said.text), start=1):
            yield {"candidates": [candidate([{"text": step}])], **trailer(ask, number, answer_id)}
        if picture_wanted(settings):
            yield {"candidates": [candidate([picture_part(ask, settings)])], **trailer(ask, said.tokens, answer_id)}
        ending = candidate([{"text": ""}], finish=FINISH[said.ending])
    yield {"candidates": [ending], **trailer(ask, said.tokens, answer_id)}
