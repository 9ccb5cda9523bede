// The official `@anthropic-ai/sdk` client: messages, plain and streamed. Streams are put together by the SDK's own accumulator.
import Anthropic from "@anthropic-ai/sdk";
import { armed, DEGREES, headersOf, KEY, LIMIT, main, PICTURE, question, rounds, same, SCHEMA, TOOLS } from "./asking.mjs";

await main(async (job) => {
  const client = new Anthropic({ baseURL: job.base, apiKey: KEY, maxRetries: 0 });
  const options = { model: job.model, max_tokens: job.case === "short" ? LIMIT : 2000 };
  if (armed(job)) options.tools = TOOLS.map(({ schema, ...tool }) => ({ ...tool, input_schema: schema }));
  if (job.case === "structured") options.output_config = { format: { type: "json_schema", schema: SCHEMA } };
  if (job.case === "thinking") options.thinking = { type: "enabled", budget_tokens: 1024 };
  const headers = headersOf(job);
  const say = async (messages) => {
    if (!job.stream) return client.messages.create({ ...options, messages }, { headers });
    const stream = client.messages.stream({ ...options, messages }, { headers });
    const deltas = [];
    stream.on("text", (delta) => deltas.push(delta));
    const message = await stream.finalMessage();
    same(deltas, of(message, "text").map((block) => block.text).join(""));
    return message;
  };
  const source = { type: "base64", media_type: "image/png", data: PICTURE };
  const asked = [{ type: "text", text: question(job) }, { type: "image", source }];
  const messages = [{ role: "user", content: job.case === "picture" ? asked : question(job) }];
  let message = await say(messages);
  const calls = of(message, "tool_use");
  if (rounds(job) === 2) {
    const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: DEGREES }));
    message = await say([...messages, { role: "assistant", content: message.content }, { role: "user", content: results }]);
  }
  return {
    text: of(message, "text").map((block) => block.text).join(""),
    calls: calls.map((block) => [block.name, block.input]),
    finish: message.stop_reason,
    usage: [message.usage.input_tokens, message.usage.output_tokens],
    thinking: of(message, "thinking").map((block) => block.thinking).join(""),
  };
});

function of(message, type) {
  return message.content.filter((block) => block.type === type);
}
