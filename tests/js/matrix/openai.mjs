// The official `openai` client: chat and responses, plain and streamed. Streams are put together by the SDK's own accumulators.
import OpenAI from "openai";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { armed, DEGREES, headersOf, KEY, LIMIT, main, PICTURE, question, rounds, same, SCHEMA, TOOLS } from "./asking.mjs";

const FUNCTIONS = TOOLS.map(({ name, description, schema }) => ({ name, description, parameters: schema }));
const FORM = { name: "forecast", schema: SCHEMA, strict: true };
const PICTURE_URL = `data:image/png;base64,${PICTURE}`;

async function chat(client, job) {
  const options = { model: job.model };
  if (armed(job)) options.tools = FUNCTIONS.map((each) => ({ type: "function", function: each }));
  if (job.case === "structured") options.response_format = { type: "json_schema", json_schema: FORM };
  if (job.case === "short") options.max_tokens = LIMIT;
  if (job.case === "thinking") options.reasoning_effort = "low";
  const headers = headersOf(job);
  const complete = async (messages) => {
    if (!job.stream) return client.chat.completions.create({ ...options, messages }, { headers });
    const asked = { ...options, messages, stream: true, stream_options: { include_usage: true } };
    const stream = await client.chat.completions.create(asked, { headers });
    const runner = ChatCompletionStream.fromReadableStream(stream.toReadableStream());
    const deltas = [];
    runner.on("content", (delta) => deltas.push(delta));
    const completion = await runner.finalChatCompletion();
    same(deltas, completion.choices[0].message.content ?? "");
    return completion;
  };
  const asked = [{ type: "text", text: question(job) }, { type: "image_url", image_url: { url: PICTURE_URL } }];
  const messages = [{ role: "user", content: job.case === "picture" ? asked : question(job) }];
  let completion = await complete(messages);
  const calls = completion.choices[0].message.tool_calls ?? [];
  if (rounds(job) === 2) {
    const said = completion.choices[0].message;
    const results = calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: DEGREES }));
    completion = await complete([...messages, said, ...results]);
  }
  const { message, finish_reason: finish } = completion.choices[0];
  return {
    text: message.content ?? "",
    calls: calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
    finish,
    usage: [completion.usage.prompt_tokens, completion.usage.completion_tokens],
    thinking: message.reasoning_content ?? "",
  };
}

async function responses(client, job) {
  const options = { model: job.model };
  if (armed(job)) options.tools = FUNCTIONS.map((each) => ({ type: "function", strict: false, ...each }));
  if (job.case === "structured") options.text = { format: { type: "json_schema", ...FORM } };
  if (job.case === "short") options.max_output_tokens = LIMIT;
  if (job.case === "thinking") options.reasoning = { effort: "low", summary: "auto" };
  const headers = headersOf(job);
  const respond = async (input) => {
    if (!job.stream) return client.responses.create({ ...options, input }, { headers });
    const deltas = [];
    const stream = client.responses.stream({ ...options, input }, { headers });
    for await (const event of stream) if (event.type === "response.output_text.delta") deltas.push(event.delta);
    const response = await stream.finalResponse();
    same(deltas, textOf(response));
    return response;
  };
  const asked = [{ type: "input_text", text: question(job) }, { type: "input_image", image_url: PICTURE_URL, detail: "auto" }];
  const input = [{ role: "user", content: job.case === "picture" ? asked : question(job) }];
  let response = await respond(input);
  const calls = response.output.filter((item) => item.type === "function_call");
  if (rounds(job) === 2) {
    const results = calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: DEGREES }));
    response = await respond([...input, ...response.output.map(plain), ...results]);
  }
  const thoughts = response.output.filter((item) => item.type === "reasoning");
  return {
    text: textOf(response),
    calls: calls.map((item) => [item.name, JSON.parse(item.arguments)]),
    finish: response.incomplete_details?.reason ?? response.status,
    usage: [response.usage.input_tokens, response.usage.output_tokens],
    thinking: thoughts.flatMap((item) => item.summary.length ? item.summary : (item.content ?? [])).map((part) => part.text).join(""),
  };
}

/** An item without what the SDK's own reader added to it. */
function plain({ parsed_arguments, ...item }) {
  return item;
}

function textOf(response) {
  const parts = response.output.filter((item) => item.type === "message").flatMap((item) => item.content);
  return parts.map((part) => part.text).join("");
}

await main((job) => {
  const client = new OpenAI({ baseURL: job.base, apiKey: KEY, maxRetries: 0 });
  return { chat, responses }[job.protocol](client, job);
});
