"""The legacy completions beside the chat protocol: a prompt in, its continuation out. Token arrays count as one token a number."""

from collections.abc import Iterator

from proxy.sandbox import chat
from proxy.sandbox import text as words
from proxy.sandbox.brain import Answer, cut
from proxy.sandbox.reading import required, string, strings, whole
from proxy.sandbox.replies import Context, Framing, Json, Plain, Reply, Stream

DEFAULT_LIMIT = 16
"""The protocol's own default of `max_tokens`."""


def reply(body: Json, context: Context) -> Reply:
    """Answer `POST .../completions`; an array of prompts gives `n` choices for each, numbered through."""
    model = string(required(body, "model", "You must provide a model parameter."))
    prompts = prompts_of(body.get("prompt"))
    limit = whole(body, "max_tokens", low=0)
    copies = whole(body, "n", low=1, high=128) or 1
    texts = [
        cut(words.continuation(prompt), DEFAULT_LIMIT if limit is None else limit, strings(body.get("stop"))) for prompt in prompts
    ]
    choices = [each for each in texts for _ in range(copies)]
    echoed = [prompt if body.get("echo") is True else "" for prompt in prompts for _ in range(copies)]
    counted = usage(prompts, choices)
    frame = {"id": context.mint("cmpl-"), "object": "text_completion", "created": context.now, "model": model}
    if body.get("stream") is True:
        return Stream(chunks(frame, choices, echoed, counted, told=chat.usage_wanted(body)), Framing.DATA, done=True)
    entries = [
        entry(index, opening + each.text, chat.FINISH[each.ending])
        for index, (opening, each) in enumerate(zip(echoed, choices, strict=True))
    ]
    return Plain({**frame, "choices": entries, "usage": counted})


def prompts_of(value: object) -> list[str]:
    """The prompts as texts; an array of numbers is one prompt."""
    if isinstance(value, list) and value:
        if all(isinstance(number, int) for number in value):
            return [" ".join(str(number) for number in value)]
        return [part if isinstance(part, str) else " ".join(prompts_of(part)) for part in value]
    return [string(value)]


def usage(prompts: list[str], choices: list[Answer]) -> Json:
    """The `usage` object, without the details that newer endpoints have."""
    asked = sum(words.count_tokens(prompt) for prompt in prompts)
    produced = sum(each.tokens for each in choices)
    return {"prompt_tokens": asked, "completion_tokens": produced, "total_tokens": asked + produced}


def chunks(frame: Json, choices: list[Answer], echoed: list[str], counted: Json, *, told: bool) -> Iterator[Json]:
    """The chunks of a stream, choice after choice; the last of each carries the finish reason."""
    extra: Json = {"usage": None} if told else {}
    for index, (opening, each) in enumerate(zip(echoed, choices, strict=True)):
        steps = [opening, *words.pieces(each.text)] if opening else words.pieces(each.text)
        for number, step in enumerate(steps or [""], start=1):
            finish = chat.FINISH[each.ending] if number >= len(steps) else None
            yield {**frame, "choices": [entry(index, step, finish)], **extra}
    if told:
        yield {**frame, "choices": [], "usage": counted}


def entry(index: int, text: str, finish: str | None) -> Json:
    """One element of `choices`."""
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
