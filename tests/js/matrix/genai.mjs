// The official `@google/genai` client: generate, plain and streamed.
import { GoogleGenAI } from "@google/genai";
import { armed, DEGREES, headersOf, KEY, LIMIT, main, PICTURE, question, rounds, SCHEMA, TOOLS } from "./asking.mjs";

await main(async (job) => {
  const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: job.base } });
  const config = { httpOptions: { headers: headersOf(job) } };
  if (armed(job)) config.tools = [{ functionDeclarations: TOOLS.map(declared) }];
  if (job.case === "structured") Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: SCHEMA });
  if (job.case === "short") config.maxOutputTokens = LIMIT;
  if (job.case === "thinking") config.thinkingConfig = { includeThoughts: true, thinkingBudget: 1024 };
  const generate = async (contents) => {
    const asked = { model: job.model, contents, config };
    if (!job.stream) return [await client.models.generateContent(asked)];
    const chunks = [];
    for await (const chunk of await client.models.generateContentStream(asked)) chunks.push(chunk);
    return chunks;
  };
  const contents = [{ role: "user", parts: [{ text: question(job) }] }];
  if (job.case === "picture") contents[0].parts.push({ inlineData: { mimeType: "image/png", data: PICTURE } });
  let chunks = await generate(contents);
  const calls = partsOf(chunks).filter((part) => part.functionCall).map((part) => part.functionCall);
  if (rounds(job) === 2) {
    const parts = partsOf(chunks);
    const results = calls.map(({ id, name }) => ({ functionResponse: { id, name, response: { result: DEGREES } } }));
    chunks = await generate([...contents, { role: "model", parts }, { role: "user", parts: results }]);
  }
  const parts = partsOf(chunks);
  const last = chunks.at(-1);
  return {
    text: parts.filter((part) => part.text && !part.thought).map((part) => part.text).join(""),
    calls: calls.map((call) => [call.name, call.args]),
    finish: last.candidates[0].finishReason,
    usage: [last.usageMetadata.promptTokenCount, last.usageMetadata.candidatesTokenCount],
    thinking: parts.filter((part) => part.text && part.thought).map((part) => part.text).join(""),
  };
});

function declared({ schema, ...tool }) {
  return { ...tool, parametersJsonSchema: schema };
}

function partsOf(chunks) {
  return chunks.flatMap((chunk) => chunk.candidates ?? []).flatMap((candidate) => candidate.content?.parts ?? []);
}
