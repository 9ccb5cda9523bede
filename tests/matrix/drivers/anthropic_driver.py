"""The official `anthropic` client: messages, plain and streamed. Streams are put together by the SDK's own accumulator."""

from anthropic import Anthropic
from asking import ARMED, DEGREES, KEY, LIMIT, PICTURE, SCHEMA, TOOLS, headers_of, main, question, rounds

CLIENTS = {}


def ask(job):
    base, case = job["base"], job["case"]
    if base not in CLIENTS:
        CLIENTS[base] = Anthropic(api_key=KEY, base_url=base, max_retries=0)
    client = CLIENTS[base]
    options = {"model": job["model"], "max_tokens": LIMIT if case == "short" else 2000, "extra_headers": headers_of(job)}
    if case in ARMED:
        options["tools"] = [{"name": name, "description": text, "input_schema": schema} for name, text, schema in TOOLS]
    if case == "thinking":
        options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    if case == "structured":
        options["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    content = question(job)
    if case == "picture":
        source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
        content = [{"type": "text", "text": content}, {"type": "image", "source": source}]
    messages = [{"role": "user", "content": content}]
    message = say(client, messages, options, stream=job["stream"])
    calls = [block for block in message.content if block.type == "tool_use"]
    if rounds(job) == 2:
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": DEGREES} for call in calls]
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
        message = say(client, messages, options, stream=job["stream"])
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "calls": [[call.name, call.input] for call in calls],
        "finish": message.stop_reason,
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
        "thinking": "".join(block.thinking for block in message.content if block.type == "thinking"),
    }


def say(client, messages, options, *, stream):
    if not stream:
        return client.messages.create(messages=messages, **options)
    deltas, kinds = [], []
    with client.messages.stream(messages=messages, **options) as events:
        for event in events:
            kinds.append(event.type)
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                deltas.append(event.delta.text)
        message = events.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    assert "".join(deltas) == text, "the increments are not the text"
    assert kinds[-1] == "message_stop", f"the stream ended with {kinds[-1]}"
    return message


main(ask)
