// The official `openai` client: asks everything once and prints what it got as one JSON object.
import OpenAI, { APIError } from "openai";
import { failure, run, TOOL, WEATHER } from "./asking.mjs";

await run(async ({ base, key, fault }) => {
  const client = new OpenAI({ baseURL: base, apiKey: key, maxRetries: 0 });
  const model = "gpt-test";
  const messages = [{ role: "user", content: "Grüße an 東京 🙂" }];

  const plain = await client.chat.completions.create({ model, messages });
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) chunks.push(chunk);

  const asked = { role: "user", content: "The weather in Paris?" };
  const tools = [{ type: "function", function: { name: TOOL, parameters: WEATHER } }];
  const called = (await client.chat.completions.create({ model, messages: [asked], tools })).choices[0].message;
  const result = { role: "tool", tool_call_id: called.tool_calls[0].id, content: "18 degrees" };
  const after = await client.chat.completions.create({ model, messages: [asked, called, result], tools });

  const response = await client.responses.create({ model, input: "Say hi" });
  const events = [];
  for await (const event of await client.responses.create({ model, input: "Say hi", stream: true })) events.push(event);

  const embeddings = await client.embeddings.create({ model: "text-embedding-test", input: ["a", "b"], dimensions: 8 });
  const edited = await client.images.edit({
    model: "gpt-image-test",
    prompt: "Add a hat",
    image: new File([new Uint8Array(100_000)], "a.png", { type: "image/png" }),
    size: "64x64",
  });

  const failing = (name, stream) => async () => {
    const answer = await client.chat.completions.create({ model, messages, stream }, { headers: fault(name) });
    const seen = [];
    if (stream) for await (const chunk of answer) seen.push(chunk);
    return seen.length;
  };
  return {
    plain: plain.choices[0].message.content,
    streamed: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    chunks: chunks.length,
    tool: [called.tool_calls[0].function.name, JSON.parse(called.tool_calls[0].function.arguments).city],
    after: after.choices[0].message.content,
    response: response.output_text,
    response_streamed: events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join(""),
    events: events.map((event) => event.sequence_number),
    embeddings: embeddings.data.map((entry) => entry.embedding.length),
    picture: edited.data[0].b64_json.slice(0, 8),
    models: (await client.models.list()).data.map((entry) => entry.id),
    limited: await failure(failing("429", false), APIError),
    broken: await failure(failing("500", true), APIError),
    cut: await failure(failing("cut", false), APIError),
    cut_stream: await failure(failing("cut", true), APIError),
    reset_stream: await failure(failing("reset", true), APIError),
  };
});
