// What the three drivers share: jobs from standard input, what was seen to standard output, and how a failure is told. The words
// of jobs and answers stand in tests/matrix/drivers/asking.py.
import { readFileSync } from "node:fs";

export const KEY = "sk-test-client-key";
export const DEGREES = "18 degrees";
export const PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
export const TOOLS = [
  { name: "get_weather", description: "Forecast", schema: SCHEMA },
  { name: "get_time", description: "Clock", schema: { type: "object", properties: {} } },
];
export const LIMIT = 3; // tokens, of the answer that is cut short

/** Answer every job with `ask(job)`; a job that fails says how, and the others go on. */
export async function main(ask) {
  const seen = {};
  for (const job of JSON.parse(readFileSync(0, "utf8"))) {
    try {
      seen[job.id] = await ask(job);
    } catch (error) {
      seen[job.id] = { failed: failure(error) };
    }
  }
  process.stdout.write(JSON.stringify(seen));
}

/** The class of an SDK's error and what it tells: status, and when to come back. */
function failure(error) {
  return {
    class: error.constructor.name,
    status: error.status ?? null,
    retry_after: error.headers?.get?.("retry-after") ?? null,
    trace: String(error.stack),
  };
}

export const armed = (job) => ["tool", "result", "parallel"].includes(job.case);
export const question = (job) => {
  if (["tool", "result", "structured"].includes(job.case)) return "The weather in Paris?";
  return job.case === "parallel" ? "Call get_weather and get_time for Paris." : "Grüße an 東京 🙂";
};
export const rounds = (job) => (job.case === "result" || job.case === "parallel" ? 2 : 1);

/** Which job a request belongs to, and the fault that the embedded upstream is asked for. */
export const headersOf = (job) => ({ "X-Matrix-Job": job.id, ...(job.fault && { "X-Sandbox-Fault": job.fault }) });

/** Fails unless the increments of a stream are its text. */
export function same(deltas, text) {
  if (deltas.join("") !== text) throw new Error(`the increments are not the text: ${JSON.stringify([deltas.join(""), text])}`);
}
