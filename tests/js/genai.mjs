// The official `@google/genai` client: asks everything once and prints what it got as one JSON object.
import { ApiError, GoogleGenAI } from "@google/genai";
import { failure, run, TOOL, WEATHER } from "./asking.mjs";

await run(async ({ base, key, fault }) => {
  const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: base } });
  const model = "gemini-test";
  const contents = "Grüße an 東京 🙂";

  const plain = await client.models.generateContent({ model, contents });
  const chunks = [];
  for await (const chunk of await client.models.generateContentStream({ model, contents })) chunks.push(chunk);

  const asked = { role: "user", parts: [{ text: "The weather in Paris?" }] };
  const config = { tools: [{ functionDeclarations: [{ name: TOOL, parametersJsonSchema: WEATHER }] }] };
  const called = await client.models.generateContent({ model, contents: [asked], config });
  const call = called.functionCalls[0];
  const result = { role: "user", parts: [{ functionResponse: { name: call.name, response: { result: "18 degrees" } } }] };
  const after = await client.models.generateContent({
    model,
    contents: [asked, called.candidates[0].content, result],
    config,
  });
  const embedded = await client.models.embedContent({
    model: "gemini-embedding-001",
    contents: ["a", "b"],
    config: { outputDimensionality: 8 },
  });

  const failing = (name, streamed) => async () => {
    const question = { model, contents, config: { httpOptions: { headers: fault(name) } } };
    if (!streamed) return client.models.generateContent(question);
    const seen = [];
    for await (const chunk of await client.models.generateContentStream(question)) seen.push(chunk);
    return seen.length;
  };
  return {
    plain: plain.text,
    streamed: chunks.map((chunk) => chunk.text ?? "").join(""),
    chunks: chunks.length,
    tool: [call.name, call.args.city],
    after: after.text,
    embeddings: embedded.embeddings.map((entry) => entry.values.length),
    counted: (await client.models.countTokens({ model, contents: "one two, three" })).totalTokens,
    limited: await failure(failing("429", false), ApiError),
    broken: await failure(failing("500", true), ApiError),
    cut: await failure(failing("cut", false), ApiError),
    cut_stream: await failure(failing("cut", true), ApiError),
    reset_stream: await failure(failing("reset", true), ApiError),
  };
});
