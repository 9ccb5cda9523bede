"""What the engine costs without sockets: microseconds per exchange and per streamed chunk on in-memory transports.

    python -m benchmarks.micro [--only WORDS] [--profile]

The figures hold everything of the data path but the system calls and the event loop: heads, planning, pool, splice, metrics, access
log. Absolute values depend on the machine; compare two versions in one sitting.
"""

import argparse
import asyncio
import cProfile
import itertools
import json
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.prepare import chat_request
from proxy.carry.client import ClientConnection
from proxy.server import Gateway
from proxy.settings import Settings
from proxy.upstream.connection import State, UpstreamConnection

BODY = b'{"model": "bm-json", "messages": [{"role": "user", "content": "' + b"x" * 920 + b'"}], "max_tokens": 256}'
REQUEST = (
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: OpenAI/Python 1.99.0\r\nAccept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAuthorization: Bearer sk-test-client-0000000000000000000000\r\n"
    b"X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.99.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n"
    b"X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\nX-Stainless-Async: async:asyncio\r\n%b"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
)
ANSWER_FIELDS = (
    b"Date: Thu, 20 Nov 2025 10:00:00 GMT\r\nServer: mock\r\nx-request-id: req_0123456789abcdef0123456789abcdef\r\n"
    b"openai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\nCache-Control: no-cache\r\n"
)
ANSWER_BODY = (
    b'{"id":"chatcmpl-AbCdEf","object":"chat.completion","created":1763632800,"model":"bm-json","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"' + b"y" * 250 + b'"},"finish_reason":"stop"}],"usage":{"prompt_tokens":219,'
    b'"completion_tokens":56,"total_tokens":275}}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\n" + ANSWER_FIELDS + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER_BODY)
) + ANSWER_BODY
STREAM_HEAD = b"HTTP/1.1 200 OK\r\n" + ANSWER_FIELDS + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"chatcmpl-AbCdEf","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"' + b"z" * 120
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT) + 6, EVENT + b'"}}]}\n\n'[:6])


def _chunk(data: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data.encode())


def _named(*events: dict[str, Any]) -> bytes:
    """A chunk of events that bear the name of their type."""
    return _chunk("".join(f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n" for event in events))


def _bare(event: dict[str, Any]) -> bytes:
    return _chunk(f"data: {json.dumps(event, separators=(',', ':'))}\r\n\r\n")


_TEXT = "z" * 80
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "bm", "content": [], "usage": {"input_tokens": 9}}
_PIECE = {"candidates": [{"content": {"parts": [{"text": _TEXT}], "role": "model"}, "index": 0}], "modelVersion": "bm"}
# The opening, an event and the closing of a stream in another protocol than the client's.
FOREIGN = {
    "messages": (
        _named(
            {"type": "message_start", "message": _MESSAGE},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _TEXT}}),
        _named(
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        ),
    ),
    "generate": (
        b"",
        _bare(_PIECE | {"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}, "responseId": "AbCdEfGhIjKlMnOp"}),
        _bare({"candidates": [{"finishReason": "STOP", "index": 0}], "modelVersion": "bm"}),
    ),
}


class Wire:
    """An in-memory transport: takes writes and forgets them."""

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass

    close = pause_reading = resume_reading = abort


async def _bench(profile: bool, rounds: int, only: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(__file__).parent / "rules"
        settings = Settings(
            listen=("127.0.0.1:0",),
            admin=None,
            rules=(rules,),
            shipped_rules=False,
            access_log=str(Path(folder) / "access.log"),
        )
        gateway = Gateway(settings, environ={"BENCH_KEY": "sk-test-bench"})
        await gateway.start()
        try:
            cases = [case for case in _cases(gateway) if only in case[0]]
            for name, run, per in cases:
                _measure(name, run, per, rounds)
            if profile and cases:
                _profile(cases[0][1])
        finally:
            await gateway.stop()


def _cases(gateway: Gateway) -> list[tuple[str, Callable[[], None], int]]:
    client = ClientConnection(gateway.worker)
    client.connection_made(Wire())  # type: ignore[arg-type]
    served = next(iter(gateway.worker.table.served.values()))
    assert served.pool is not None
    pool = served.pool
    upstream = UpstreamConnection(pool)
    upstream.connection_made(Wire())  # type: ignore[arg-type]
    pool.put(upstream)
    prefix = REQUEST % (b"/bench/v1/chat/completions", b"ModelName: bm\r\n", len(BODY), BODY)
    by_model = REQUEST % (b"/v1/chat/completions", b"", len(BODY), BODY)
    chat = chat_request("bm-json")
    edited = REQUEST % (b"/bench/edited", b"ModelName: bm\r\n", len(chat), chat)
    templated = REQUEST % (b"/bench/template", b"ModelName: bm\r\n", len(chat), chat)

    def exchange(request: bytes) -> Callable[[], None]:
        def run() -> None:
            client.data_received(request)
            assert upstream.state is State.WAIT
            upstream.data_received(ANSWER)
            assert upstream.state is State.IDLE

        return run

    numbers = itertools.count()

    def fresh() -> None:
        own = b"ModelName: bm\r\nIdempotency-Key: %d\r\n" % next(numbers)
        client.data_received(REQUEST % (b"/bench/v1/chat/completions", own, len(BODY), BODY))
        upstream.data_received(ANSWER)

    def stream() -> None:
        client.data_received(prefix)
        upstream.data_received(STREAM_HEAD)
        for _ in range(64):
            upstream.data_received(CHUNK)
        upstream.data_received(b"0\r\n\r\n")

    def translated(protocol: str, reads: int) -> Callable[[], None]:
        """64 events that come in so many reads."""
        opening, event, closing = FOREIGN[protocol]
        asked = chat_request("bm-s64")
        request = REQUEST % (b"/bench/" + protocol.encode(), b"", len(asked), asked)

        def run() -> None:
            client.data_received(request)
            upstream.data_received(STREAM_HEAD + opening)
            for _ in range(reads):
                upstream.data_received(event * (64 // reads))
            upstream.data_received(closing + b"0\r\n\r\n")
            assert upstream.state is State.IDLE

        return run

    return [
        ("exchange, prefix path, ModelName header", exchange(prefix), 1),
        ("exchange, model found in the body", exchange(by_model), 1),
        ("exchange, head never seen before", fresh, 1),
        ("edited 1 KB chat", exchange(edited), 1),
        ("body template", exchange(templated), 1),
        ("streamed chunk (64 per answer)", stream, 64),
        ("translated answer of no events, from messages", translated("messages", 0), 1),
        ("translated answer of no events, from generate", translated("generate", 0), 1),
        ("translated chunk, from messages", translated("messages", 64), 64),
        ("translated chunk, from messages, 16 a read", translated("messages", 4), 64),
        ("translated chunk, from generate", translated("generate", 64), 64),
        ("translated chunk, from generate, 16 a read", translated("generate", 4), 64),
    ]


def _measure(name: str, run: Callable[[], None], per: int, rounds: int) -> None:
    count = max(20_000 // per, 100)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            run()
        times.append((time.perf_counter() - start) / count / per * 1e6)
    print(f"{name:45} min {min(times):6.2f}  median {statistics.median(times):6.2f} us")


def _profile(run: Callable[[], None]) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(20_000):
        run()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="print where the first of the cases spends its time")
    parser.add_argument("--only", default="", metavar="WORDS", help="measure only the cases with these words in their names")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.environ.setdefault("BENCH_KEY", "sk-test-bench")
    asyncio.run(_bench(options.profile, options.rounds, options.only))


if __name__ == "__main__":
    main()
