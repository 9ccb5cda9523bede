// What the three scripts share: arguments, the tool, and how a failure is told. Each prints one JSON object and nothing else.

export const TOOL = "get_weather";
export const WEATHER = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

/** Run `script` with the base URL and key of the command line and print what it returns. */
export async function run(script) {
  const [base, key] = process.argv.slice(2);
  const fault = (name) => ({ "X-Sandbox-Fault": name });
  process.stdout.write(JSON.stringify(await script({ base, key, fault })));
}

/** What went wrong in `attempt`; `{ended: true}` when nothing did, which no fault allows. */
export async function failure(attempt, ours) {
  try {
    await attempt();
  } catch (error) {
    return {
      name: error.constructor.name,
      own: error instanceof ours,
      status: error.status ?? null,
      retry_after: error.headers?.get?.("retry-after") ?? null,
      message: String(error.message),
    };
  }
  return { ended: true };
}
