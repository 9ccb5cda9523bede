"""The official `openai` client: chat and responses, plain and streamed. Streams are put together by the SDK's own accumulators."""

import json

from asking import ARMED, DEGREES, KEY, LIMIT, PICTURE, SCHEMA, TOOLS, headers_of, main, question, rounds
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

FUNCTIONS = [{"name": name, "description": text, "parameters": schema} for name, text, schema in TOOLS]
CHAT_TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]
FLAT_TOOLS = [{"type": "function", "strict": False, **function} for function in FUNCTIONS]
FORM = {"name": "forecast", "schema": SCHEMA, "strict": True}
PICTURE_URL = f"data:image/png;base64,{PICTURE}"
CLIENTS = {}


def ask(job):
    base = job["base"]
    if base not in CLIENTS:
        CLIENTS[base] = OpenAI(api_key=KEY, base_url=base, max_retries=0)
    return {"chat": chat, "responses": responses}[job["protocol"]](CLIENTS[base], job)


# --- chat ---


def chat(client, job):
    options = {"model": job["model"], "extra_headers": headers_of(job)}
    case = job["case"]
    if case in ARMED:
        options["tools"] = CHAT_TOOLS
    if case == "short":
        options["max_tokens"] = LIMIT
    if case == "thinking":
        options["reasoning_effort"] = "low"
    if case == "structured":
        options["response_format"] = {"type": "json_schema", "json_schema": FORM}
    content = question(job)
    if case == "picture":
        content = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    messages = [{"role": "user", "content": content}]
    completion = complete(client, messages, options, stream=job["stream"])
    calls = completion.choices[0].message.tool_calls or []
    if rounds(job) == 2:
        said = completion.choices[0].message
        messages += [said, *({"role": "tool", "tool_call_id": call.id, "content": DEGREES} for call in calls)]
        completion = complete(client, messages, options, stream=job["stream"])
    (choice,) = completion.choices
    return {
        "text": choice.message.content or "",
        "calls": [[call.function.name, json.loads(call.function.arguments)] for call in calls],
        "finish": choice.finish_reason,
        "usage": [completion.usage.prompt_tokens, completion.usage.completion_tokens],
        "thinking": getattr(choice.message, "reasoning_content", None) or "",
    }


def complete(client, messages, options, *, stream):
    if not stream:
        return client.chat.completions.create(messages=messages, **options)
    state = ChatCompletionStreamState()
    options = {**options, "stream": True, "stream_options": {"include_usage": True}}
    for chunk in client.chat.completions.create(messages=messages, **options):
        state.handle_chunk(chunk)
    return state.current_completion_snapshot


# --- responses ---


def responses(client, job):
    options = {"model": job["model"], "extra_headers": headers_of(job)}
    case = job["case"]
    if case in ARMED:
        options["tools"] = FLAT_TOOLS
    if case == "short":
        options["max_output_tokens"] = LIMIT
    if case == "thinking":
        options["reasoning"] = {"effort": "low", "summary": "auto"}
    if case == "structured":
        options["text"] = {"format": {"type": "json_schema", **FORM}}
    content = question(job)
    if case == "picture":
        content = [{"type": "input_text", "text": content}, {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"}]
    given = [{"role": "user", "content": content}]
    response = respond(client, given, options, stream=job["stream"])
    calls = [item for item in response.output if item.type == "function_call"]
    if rounds(job) == 2:
        given += response.output
        given += [{"type": "function_call_output", "call_id": call.call_id, "output": DEGREES} for call in calls]
        response = respond(client, given, options, stream=job["stream"])
    thoughts = [part.text for item in response.output if item.type == "reasoning" for part in (item.summary or item.content or ())]
    return {
        "text": response.output_text,
        "calls": [[call.name, json.loads(call.arguments)] for call in calls],
        "finish": response.incomplete_details.reason if response.incomplete_details else response.status,
        "usage": [response.usage.input_tokens, response.usage.output_tokens],
        "thinking": "".join(thoughts),
    }


def respond(client, given, options, *, stream):
    if not stream:
        return client.responses.create(input=given, **options)
    deltas, numbers = [], []
    with client.responses.stream(input=given, **options) as events:
        for event in events:
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
            if event.type == "response.incomplete":  # the accumulator keeps completed responses only
                return event.response
        response = events.get_final_response()
    assert "".join(deltas) == response.output_text, "the increments are not the text"
    assert numbers == list(range(len(numbers))), f"the events are numbered {numbers}"
    return response


main(ask)
