// The official `@anthropic-ai/sdk` client: asks everything once and prints what it got as one JSON object.
import Anthropic, { APIError } from "@anthropic-ai/sdk";
import { failure, run, TOOL, WEATHER } from "./asking.mjs";

await run(async ({ base, key, fault }) => {
  const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 });
  const common = { model: "claude-test", max_tokens: 500 };
  const messages = [{ role: "user", content: "Grüße an 東京 🙂" }];

  const plain = await client.messages.create({ ...common, messages });
  const stream = client.messages.stream({ ...common, messages });
  const events = [];
  for await (const event of stream) events.push(event.type);
  const final = await stream.finalMessage();

  const asked = { role: "user", content: "The weather in Paris?" };
  const tools = [{ name: TOOL, input_schema: WEATHER }];
  const called = await client.messages.create({ ...common, messages: [asked], tools });
  const call = called.content.at(-1);
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "18 degrees" }] };
  const after = await client.messages.create({
    ...common,
    messages: [asked, { role: "assistant", content: called.content }, result],
    tools,
  });
  const counted = await client.messages.countTokens({ model: common.model, messages });

  const failing = (name, streamed) => async () => {
    const answer = await client.messages.create({ ...common, messages, stream: streamed }, { headers: fault(name) });
    const seen = [];
    if (streamed) for await (const event of answer) seen.push(event);
    return seen.length;
  };
  return {
    plain: plain.content[0].text,
    streamed: final.content[0].text,
    events,
    tool: [call.name, call.input.city],
    after: after.content[0].text,
    counted: [counted.input_tokens, plain.usage.input_tokens],
    limited: await failure(failing("429", false), APIError),
    broken: await failure(failing("500", true), APIError),
    overloaded: await failure(failing("529", false), APIError),
    cut: await failure(failing("cut", false), APIError),
    cut_stream: await failure(failing("cut", true), APIError),
    reset_stream: await failure(failing("reset", true), APIError),
  };
});
