"""`python -m proxy.demo PLATFORM MODEL` (`make demo`): the main job, for real, without a key and without a network.

It starts `dragoman serve --sandbox` as a process of its own on free ports, streams one chat answer through it and prints it as it
arrives, then shows the lines of /metrics that counted it. Only the standard library speaks to the gateway here: any client does.
The platform must speak the chat protocol under /v1.
"""

import argparse
import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from translators.load import load, shipped_rules

START = 20.0  # seconds until the gateway must have said where it listens
PATIENCE = 30.0  # seconds for any single wait of the client
STOP = 10.0  # seconds for the gateway to end after it was told to

QUESTION = "What does a dragoman do?"
COUNTERS = (
    "dragoman_exchanges_total",
    "gen_ai_client_token_usage_total",
    "gen_ai_client_operation_time_to_first_chunk_seconds_sum",
    "dragoman_proxy_overhead_seconds_sum",
    "dragoman_response_body_bytes_total",
)

_WELCOME = re.compile(
    r"listening on http://(?P<gateway>[^\s/]+)\n.*metrics and health: http://(?P<admin>[^\s/]+)/metrics", re.DOTALL
)

_NEXT = """\
Try next, with a gateway running in a terminal of its own:

  .venv/bin/dragoman serve --sandbox         # http://127.0.0.1:8080, any key does

  curl -N http://127.0.0.1:8080/{platform}/v1/chat/completions -H 'Content-Type: application/json' \\
       -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "{question}"}}]}}'

  base_url="http://127.0.0.1:8080/{platform}/v1", api_key="any"      # your SDK: the rest of your program stays as it is

  .venv/bin/dragoman routes                  # everything that is served

With a real key, nothing else changes: {secret}=... .venv/bin/dragoman serve
README.md goes on from here, at "With a real key".
"""


class DemoError(Exception):
    """The demo did not show what it is there to show; the text says what happened instead."""


def main() -> int:
    """Run the demo; the exit status is 0 only when the answer arrived and was counted."""
    parser = argparse.ArgumentParser(prog="python -m proxy.demo", description="Stream a chat through a gateway of its own.")
    parser.add_argument("platform", metavar="PLATFORM", help="a platform of the rule files that speaks the chat protocol")
    parser.add_argument("model", metavar="MODEL")
    given = parser.parse_args()
    platform = load((shipped_rules(),)).platforms.get(given.platform)
    if platform is None:
        parser.error(f"no rule file names the platform {given.platform!r}")
    try:
        with gateway() as (address, admin):
            stream_chat(address, given.platform, given.model)
            show_metrics(admin, given.platform)
    except (DemoError, OSError, http.client.HTTPException) as exc:
        print(f"\ndemo: FAILED: {str(exc) or type(exc).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    secret = next(iter(sorted(platform.secrets)), "ITS_KEY")
    _say(_NEXT.format(platform=given.platform, model=given.model, question=QUESTION, secret=secret))
    return 0


@contextmanager
def gateway(*further: str, program: Sequence[str] = (sys.executable, "-m", "proxy")) -> Iterator[tuple[str, str]]:
    """A running gateway with its sandbox and further options; the addresses of its two listeners.

    It has ended when the block is left. Raises DemoError when it does not start or does not end well.
    """
    options = ["--sandbox", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", "off", *further]
    _say("$ dragoman serve " + " ".join(options))
    # What this shell has set for a gateway of its own (licences, say) must not reach into the demo.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")}
    command = [*program, "serve", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environ)  # noqa: S603 - nothing of it comes from outside
    try:
        yield _read_welcome(process)
    finally:
        _stop(process)
    if process.returncode != 0:
        raise DemoError(f"the gateway ended with status {process.returncode}")


def _read_welcome(process: "subprocess.Popen[bytes]") -> tuple[str, str]:
    """Wait until the gateway has said where it listens; show what it said."""
    assert process.stderr is not None
    deadline = time.monotonic() + START
    said = b""
    while time.monotonic() < deadline:
        if select.select([process.stderr], [], [], 0.1)[0]:
            data = os.read(process.stderr.fileno(), 65536)
            said += data
            text = said.decode("utf-8", "replace")
            match = _WELCOME.search(text)
            if match is not None:
                _say(text)
                return match["gateway"], match["admin"]
            if not data:
                process.wait()
                raise DemoError(f"the gateway ended at once with status {process.returncode} and said:\n{text}")
    raise DemoError(f"the gateway did not say within {START:g} s where it listens; it said:\n{said.decode('utf-8', 'replace')}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Two signals: the first begins the drain, the second spares the wait for load balancers that are not there."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


def stream_chat(address: str, platform: str, model: str) -> None:
    """One streamed chat, each delta printed when it is there."""
    path = f"/{platform}/v1/chat/completions"
    body = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": QUESTION}],
    }
    _say(f"\nPOST http://{address}{path}   stream: true, model: {model}\n> {QUESTION}\n< ", end="")
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        started = time.monotonic()
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": "Bearer any"})
        response = connection.getresponse()
        if response.status != 200:
            raise DemoError(f"the gateway answered {response.status}: {response.read(2000).decode('utf-8', 'replace')}")
        _print_deltas(response, started)
    finally:
        connection.close()


def _print_deltas(response: http.client.HTTPResponse, started: float) -> None:
    arrivals: list[float] = []
    ended = False
    for event in _events(response):
        if event == "[DONE]":
            ended = True
            continue
        for choice in json.loads(event)["choices"]:
            delta = choice["delta"].get("content")
            if delta:
                arrivals.append(time.monotonic() - started)
                _say(delta, end="")
    if not arrivals or not ended:
        raise DemoError("the stream ended without a whole answer")
    _say(f"\n\n{len(arrivals)} deltas; the first after {arrivals[0] * 1000:.0f} ms, the last after {arrivals[-1] * 1000:.0f} ms\n")


def _events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of the stream's events; enough of SSE for events of one data line each."""
    while line := response.readline():
        name, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        if name == "data":
            yield value.removeprefix(" ")


def show_metrics(admin: str, platform: str) -> None:
    """The samples that counted this exchange; it is an error when there are none."""
    connection = http.client.HTTPConnection(admin, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode("utf-8").splitlines()
    finally:
        connection.close()
    counted = [line for line in lines if line.startswith(COUNTERS) and f'platform="{platform}"' in line and not line.endswith(" 0")]
    exchanges = [line for line in counted if line.startswith("dragoman_exchanges_total") and 'outcome="ok"' in line]
    if [line.rpartition(" ")[2] for line in exchanges] not in (["1"], ["1.0"]):
        raise DemoError("the metrics did not count the exchange:\n" + "\n".join(counted or ["(no line of this platform)"]))
    _say(f"GET http://{admin}/metrics, the lines that counted it:\n")
    for line in counted:
        _say("  " + line)
    _say("")


def _say(text: str, *, end: str = "\n") -> None:
    print(text, end=end, flush=True)


if __name__ == "__main__":
    sys.exit(main())
