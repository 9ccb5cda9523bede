"""Sees that a target does what it is credited with, before it is timed.

A gateway that answers errors quickly, forgets the credentials or swallows events must not get a figure.
"""

import http.client
import json

from benchmarks import prepare
from benchmarks.servers import Processes
from benchmarks.targets import DIRECT, EDITED, TARGETS, Target

TIMEOUT_S = 20


def _call(processes: Processes, target: Target, body: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", processes.port(target), timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-test-client-000000000000000000000000"}
    headers |= dict(line.split(": ", 1) for line in target.fields)
    try:
        connection.request("POST", target.path, prepare.body_path(body).read_bytes(), headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"{body}: status {response.status} instead of 200: {content[:300]!r}")
    return content


def _check_request_head(seen: bytes) -> None:
    lines = seen.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if not lines[0].startswith("POST /v1/chat/completions "):
        raise ValueError(f"the upstream saw the request line {lines[0]!r}")
    if fields.get("authorization") != f"Bearer {prepare.BENCH_KEY}":
        raise ValueError(f"the upstream saw the credentials {fields.get('authorization')!r}, not its own key")
    if "modelname" not in fields:
        raise ValueError("the upstream saw no ModelName field")


def _check_request_body(seen: bytes) -> None:
    body = seen.partition(b"\r\n\r\n")[2]
    if EDITED not in body:
        raise ValueError(f"the upstream saw a body without {EDITED!r}: {body!r}")


def _check_stream(stream: bytes) -> None:
    """A chat stream with the mock's events, each with its text; one that was translated may open and close with more."""
    events = [event for event in stream.split(b"\n\n") if event]
    if not events or events[-1] != b"data: [DONE]":
        raise ValueError(f"a stream of {len(events)} events that ends with {events[-1:]!r}")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
    texts = [chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"][0]["delta"].get("content")]
    if len(texts) != prepare.EVENTS_PER_STREAM or not all("Lorem ipsum" in text for text in texts):
        raise ValueError(f"a stream with {len(texts)} texts instead of {prepare.EVENTS_PER_STREAM}")


def check(processes: Processes, target: Target) -> None:
    """Raises ValueError, OSError or HTTPException when the target does not carry what it should."""
    with processes.awake(target):
        if target.translated:
            _check_stream(_call(processes, target, "burst"))
            return
        if target.server is not None:
            seen = _call(processes, target, "echo")
            _check_request_head(seen)
            if target.changed:
                _check_request_body(seen)
        if _call(processes, target, "json") != _call(processes, TARGETS[DIRECT], "json"):
            raise ValueError("the JSON answer differs from the upstream's")
        _check_stream(_call(processes, target, "burst"))
