"""What the drivers share: jobs from standard input, what was seen to standard output, and how a failure is told.

A driver runs in the interpreter of one generation of an SDK, so nothing here knows the project or an SDK. A job is one question:
`{"id", "protocol", "base", "model", "case", "stream", "fault"}`. What was seen of the answer, as the SDK says it:
`{"text", "calls": [[name, arguments]], "finish", "usage": [in, out], "thinking"}`, or `{"failed": {...}}`. The cases `result` and
`parallel` are two rounds: the calls are those of the first, all else is from the second, which the results of the tools began.
"""

import json
import sys
import traceback
import warnings

KEY = "sk-test-client-key"
DEGREES = "18 degrees"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # a PNG of one pixel
ARMED = ("tool", "result", "parallel")  # the cases that come with tools
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [("get_weather", "Forecast", SCHEMA), ("get_time", "Clock", {"type": "object", "properties": {}})]
LIMIT = 3  # tokens, of the answer that is cut short


def main(ask):
    """Answer every job with `ask(job)`; a job that fails says how, and the others go on."""
    warnings.simplefilter("ignore")
    seen = {}
    for job in json.load(sys.stdin):
        try:
            seen[job["id"]] = ask(job)
        except Exception as error:
            seen[job["id"]] = {"failed": failure(error)}
    json.dump(seen, sys.stdout)


def failure(error):
    """The class of an SDK's error and what it tells: status, code, when to come back."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    status = getattr(error, "status_code", None)
    return {
        "class": type(error).__name__,
        "status": getattr(error, "code", None) if status is None else status,
        "retry_after": headers.get("retry-after"),
        "trace": traceback.format_exc(limit=-3),
    }


def question(job):
    if job["case"] in ("tool", "result", "structured"):
        return "The weather in Paris?"
    return "Call get_weather and get_time for Paris." if job["case"] == "parallel" else "Grüße an 東京 🙂"


def rounds(job):
    return 2 if job["case"] in ("result", "parallel") else 1


def headers_of(job):
    """Which job a request belongs to, and the fault that the embedded upstream is asked for."""
    return {"X-Matrix-Job": job["id"], **({"X-Sandbox-Fault": job["fault"]} if job["fault"] else {})}
