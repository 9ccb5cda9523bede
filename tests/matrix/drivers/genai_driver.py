"""The official `google-genai` client: generate, plain and streamed. Each generation asks for the version it takes by default."""

import base64

from asking import ARMED, DEGREES, KEY, LIMIT, PICTURE, SCHEMA, TOOLS, headers_of, main, question, rounds
from google import genai
from google.genai import types

CLIENTS = {}


def ask(job):
    base, case = job["base"], job["case"]
    if base not in CLIENTS:
        CLIENTS[base] = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=base))
    client = CLIENTS[base]
    options = {"http_options": types.HttpOptions(headers=headers_of(job))}
    if case in ARMED:
        declared = [
            types.FunctionDeclaration(name=name, description=text, parameters_json_schema=schema) for name, text, schema in TOOLS
        ]
        options["tools"] = [types.Tool(function_declarations=declared)]
    if case == "short":
        options["max_output_tokens"] = LIMIT
    if case == "thinking":
        options["thinking_config"] = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    if case == "structured":
        options |= {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
    asked = [types.Part(text=question(job))]
    if case == "picture":
        asked.append(types.Part.from_bytes(data=base64.b64decode(PICTURE), mime_type="image/png"))
    contents = [types.Content(role="user", parts=asked)]
    parts, last = generate(client, job, contents, options)
    calls = [part.function_call for part in parts if part.function_call]
    if rounds(job) == 2:
        results = [
            types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": DEGREES}))
            for call in calls
        ]
        contents += [types.Content(role="model", parts=parts), types.Content(role="user", parts=results)]
        parts, last = generate(client, job, contents, options)
    usage = last.usage_metadata
    return {
        "text": "".join(part.text for part in parts if part.text and not part.thought),
        "calls": [[call.name, call.args] for call in calls],
        "finish": last.candidates[0].finish_reason.value,
        "usage": [usage.prompt_token_count, usage.candidates_token_count],
        "thinking": "".join(part.text for part in parts if part.text and part.thought),
    }


def generate(client, job, contents, options):
    """All parts of the answer, and the whole answer or the last chunk."""
    asked = {"model": job["model"], "contents": contents, "config": types.GenerateContentConfig(**options)}
    if job["stream"]:
        chunks = list(client.models.generate_content_stream(**asked))
    else:
        chunks = [client.models.generate_content(**asked)]
    contents = [candidate.content for chunk in chunks for candidate in chunk.candidates or ()]
    return [part for content in contents if content for part in content.parts or ()], chunks[-1]


main(ask)
