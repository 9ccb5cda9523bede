"""What a raw client hears from aimock directly and through the gateway is the same, byte for byte, and so are its faults."""

import itertools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.harness.client import Answer
from tests.harness.gateway import SECRET
from tests.peers.aimock import CLIENT_KEY, Aimock, compare, exchange, request
from tests.sdk.clients import (
    CHAT_TOOL,
    CLAUDE,
    FUNCTION,
    GEMINI,
    GPT,
    MESSAGES_TOOL,
    make_anthropic,
    make_genai,
    make_openai,
    say,
)
from tests.sdk.host import PLATFORMS, Host, command, running

pytestmark = [pytest.mark.js, pytest.mark.peer]

# aimock ends a function call with a reason that the platform does not have, and the platform's SDK says so.
AIMOCKS_OWN_REASON = pytest.mark.filterwarnings("ignore:FUNCTION_CALL is not a valid FinishReason:UserWarning")
IDS = itertools.count(1)
ERRORS = {"limited": 429, "refused": 400, "broken": 500, "overloaded": 529}


class Protocol(NamedTuple):
    """How one protocol asks: the platform, the path plain and streamed, and the body of a question."""

    platform: str
    path: str
    stream_path: str
    model: str | None
    end: bytes  # what only a stream that ended well holds

    def body(self, question: str, *, streamed: bool) -> dict[str, Any]:
        if self.platform == "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": question}]}]}
        return {"model": self.model, "max_tokens": 500, "stream": streamed, "messages": say(question)}


CHAT = Protocol("openai", "/v1/chat/completions", "/v1/chat/completions", GPT, b"data: [DONE]")
MESSAGES = Protocol("anthropic", "/v1/messages", "/v1/messages", CLAUDE, b"message_stop")
GENERATE = Protocol(
    "gemini",
    f"/v1beta/models/{GEMINI}:generateContent",
    f"/v1beta/models/{GEMINI}:streamGenerateContent?alt=sse",
    None,
    b'"finishReason"',
)
PROTOCOLS = pytest.mark.parametrize("protocol", [CHAT, MESSAGES, GENERATE], ids=["chat", "messages", "generate"])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


class Pair(NamedTuple):
    """The same question asked twice."""

    direct: Answer | None
    through: Answer | None
    request_id: str


def ask_twice(aimock: Aimock, gateway: Host, protocol: Protocol, question: str, *fields: str, streamed: bool = False) -> Pair:
    """Ask aimock with its own key, then the gateway with a client's key that aimock would refuse."""
    path = protocol.stream_path if streamed else protocol.path
    body = protocol.body(question, streamed=streamed)
    identity = f"req-test-{next(IDS)}"
    fields = (f"x-request-id: {identity}", "anthropic-version: 2023-06-01", *fields)
    address = gateway.gateway.addresses[0]
    assert not isinstance(address, str)
    through = exchange(address, request("POST", f"/{protocol.platform}{path}", body, CLIENT_KEY, *fields))
    asked = len(aimock.requests(identity))
    direct = exchange(aimock.address, request("POST", path, body, SECRET, *fields))
    assert asked == 1, f"the gateway asked {asked} times"
    return Pair(direct, through, identity)


@PROTOCOLS
@STREAMED
@pytest.mark.parametrize("question", ["plain", "tool"])
def test_F08_an_answer_is_the_same_through_the_gateway(
    aimock: Aimock, gateway: Host, protocol: Protocol, streamed: bool, question: str
) -> None:
    pair = ask_twice(aimock, gateway, protocol, question, streamed=streamed)
    answer = compare(pair.direct, pair.through)
    assert answer.status == 200
    assert not answer.local
    if streamed:
        assert protocol.end in answer.body
    if question == "plain" and not streamed:
        assert "東京 🙂".encode() in answer.body


def test_F08_embeddings_with_odd_numbers_are_the_same(aimock: Aimock, gateway: Host) -> None:
    body = {"model": "text-embedding-test", "input": "vector", "encoding_format": "float"}
    address = gateway.gateway.addresses[0]
    assert not isinstance(address, str)
    raw = ("POST", "/v1/embeddings", body)
    through = exchange(address, request(raw[0], "/openai" + raw[1], body, CLIENT_KEY, "x-request-id: one"))
    answer = compare(exchange(aimock.address, request(*raw, SECRET, "x-request-id: one")), through)
    assert b"1e-7" in answer.body


@PROTOCOLS
def test_F03_a_slow_stream_is_the_same(aimock: Aimock, gateway: Host, protocol: Protocol) -> None:
    pair = ask_twice(aimock, gateway, protocol, "slow", streamed=True)
    answer = compare(pair.direct, pair.through)
    assert protocol.end in answer.body


@PROTOCOLS
@STREAMED
@pytest.mark.parametrize("question", ERRORS)
def test_I03_an_error_is_the_same(aimock: Aimock, gateway: Host, protocol: Protocol, streamed: bool, question: str) -> None:
    pair = ask_twice(aimock, gateway, protocol, question, streamed=streamed)
    answer = compare(pair.direct, pair.through)
    assert answer.status == ERRORS[question]
    assert answer.get(b"retry-after") == (b"7" if question == "limited" else None)


@PROTOCOLS
@STREAMED
@pytest.mark.parametrize(("chaos", "status"), [("drop", 500), ("ratelimit", 429), ("malformed", 200)])
def test_I03_chaos_that_answers_is_the_same(
    aimock: Aimock, gateway: Host, protocol: Protocol, streamed: bool, chaos: str, status: int
) -> None:
    pair = ask_twice(aimock, gateway, protocol, "plain", f"x-aimock-chaos-{chaos}: 1", streamed=streamed)
    answer = compare(pair.direct, pair.through)
    assert answer.status == status
    if chaos == "malformed":
        assert answer.body == b"{malformed json: <<<chaos>>>"
        assert answer.get(b"content-type") == b"application/json"
    if chaos == "ratelimit":
        assert answer.get(b"retry-after") == b"1"


@PROTOCOLS
@STREAMED
def test_I02_K06_a_disconnect_before_an_answer_is_a_bad_gateway_and_never_asked_again(
    aimock: Aimock, gateway: Host, protocol: Protocol, streamed: bool
) -> None:
    pair = ask_twice(aimock, gateway, protocol, "plain", "x-aimock-chaos-disconnect: 1", streamed=streamed)
    assert pair.direct is None
    assert pair.through is not None
    assert (pair.through.status, pair.through.error, pair.through.complete) == (502, "connection_terminated", True)
    assert "error" in pair.through.json()


@PROTOCOLS
def test_a_delay_before_the_answer_changes_nothing(aimock: Aimock, gateway: Host, protocol: Protocol) -> None:
    start = time.monotonic()
    pair = ask_twice(aimock, gateway, protocol, "plain", "x-aimock-chaos-latency: 150", streamed=True)
    assert time.monotonic() - start >= 0.3
    compare(pair.direct, pair.through)


@PROTOCOLS
@pytest.mark.parametrize(("question", "unbroken"), [("truncated", "plain"), ("interrupted", "unhurried")])
def test_I05_I07_G10_a_stream_that_breaks_looks_broken(
    aimock: Aimock, gateway: Host, protocol: Protocol, question: str, unbroken: str
) -> None:
    """The clock decides where aimock breaks off, so what was carried is compared with the unbroken stream."""
    pair = ask_twice(aimock, gateway, protocol, question, streamed=True)
    whole = ask_twice(aimock, gateway, protocol, unbroken, streamed=True).direct
    assert pair.direct is not None
    assert pair.through is not None
    assert whole is not None
    assert (pair.direct.complete, pair.through.complete, whole.complete) == (False, False, True)
    assert pair.through.status == 200
    carried, said = carried_and_said(pair.through.body, whole.body)
    assert carried
    assert protocol.end in whole.body
    assert protocol.end not in pair.through.body
    assert_error_event(protocol, said)


def carried_and_said(body: bytes, whole: bytes) -> tuple[bytes, bytes]:
    """The events of `whole` that `body` begins with, and what stands after them."""
    size = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(body, whole, strict=False)))
    end = body.rfind(b"\n\n", 0, size) + 2
    return body[:end], body[end:]


def assert_error_event(protocol: Protocol, said: bytes) -> None:
    """What the gateway says after the last byte of a broken stream (I07): an event in the protocol's words, or nothing."""
    if protocol is GENERATE:
        assert said == b""
        return
    lines = said.removesuffix(b"\n\n").split(b"\n")
    assert lines[:-1] == ([b"event: error"] if protocol is MESSAGES else [])
    error = json.loads(lines[-1].removeprefix(b"data: "))["error"]
    assert {"message", "type"} <= error.keys()


def test_D03_only_the_gateways_key_reaches_the_upstream(aimock: Aimock, gateway: Host) -> None:
    """aimock refuses a request if any credential in it, in whatever field, is not the one it knows."""
    fields = ("x-request-id: keys", f"x-api-key: {CLIENT_KEY}", f"x-goog-api-key: {CLIENT_KEY}", f"api-key: {CLIENT_KEY}")
    address = gateway.gateway.addresses[0]
    assert not isinstance(address, str)
    body = CHAT.body("plain", streamed=False)
    refused = exchange(aimock.address, request("POST", CHAT.path, body, SECRET, *fields))
    let_in = exchange(address, request("POST", "/openai" + CHAT.path, body, CLIENT_KEY, *fields))
    assert refused is not None
    assert let_in is not None
    assert (refused.status, let_in.status) == (401, 200)


@AIMOCKS_OWN_REASON
def test_the_sdks_get_plain_streamed_and_tool_answers_from_an_upstream_of_others(aimock: Aimock, gateway: Host) -> None:
    speak(gateway.url)


@AIMOCKS_OWN_REASON
def test_the_command_is_pointed_at_another_upstream(aimock: Aimock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = []
    for platform in PLATFORMS:
        monkeypatch.setenv(f"{platform.upper()}_API_KEY", SECRET)
        options += ["--upstream", f"{platform}={aimock.url}"]
    with command(tmp_path, *options, sandbox=False) as base:
        speak(base)


def speak(base: str) -> None:
    """Each SDK asks plain, streamed and with a tool; the texts are those of the fixtures."""
    text = "Grüße aus 東京 🙂, in words enough for several chunks."
    with make_openai(base + "/openai/v1") as one:
        assert one.chat.completions.create(model=GPT, messages=say("spoken")).choices[0].message.content == text
        with one.chat.completions.stream(model=GPT, messages=say("spoken")) as chat:
            assert chat.get_final_completion().choices[0].message.content == text
        called = one.chat.completions.create(model=GPT, messages=say("tool"), tools=[CHAT_TOOL]).choices[0].message
        assert called.tool_calls[0].function.name == "get_weather"
        assert one.responses.create(model=GPT, input="spoken").output_text == text
        with one.responses.stream(model=GPT, input="spoken") as response:
            assert response.get_final_response().output_text == text
    with make_anthropic(base + "/anthropic") as two:
        asked: Any = {"model": CLAUDE, "max_tokens": 500}
        assert two.messages.create(messages=say("spoken"), **asked).content[0].text == text
        with two.messages.stream(messages=say("spoken"), **asked) as messages:
            assert messages.get_final_text() == text
        assert two.messages.create(messages=say("tool"), tools=[MESSAGES_TOOL], **asked).content[0].name == "get_weather"
    three = make_genai(base + "/gemini", api_version="v1beta")
    try:
        assert three.models.generate_content(model=GEMINI, contents="spoken").text == text
        chunks = three.models.generate_content_stream(model=GEMINI, contents="spoken")
        assert "".join(chunk.text or "" for chunk in chunks) == text
        config: Any = {"tools": [FUNCTION]}
        call = three.models.generate_content(model=GEMINI, contents="tool", config=config).function_calls[0]
        assert (call.name, call.args) == ("get_weather", {"city": "Paris", "days": 2})
    finally:
        three.close()


def test_F08_a_response_stream_is_carried_byte_for_byte_though_its_ids_are_drawn_anew(aimock: Aimock) -> None:
    """aimock gives a fixed id to the response, not to its items: here a relay keeps what it said in this very exchange."""
    with running(
        sandbox=False, record=True, environ={"OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": SECRET, "GEMINI_API_KEY": SECRET}
    ) as host:
        host.recorded.target = aimock.url
        address = host.gateway.addresses[0]
        assert not isinstance(address, str)
        body = {"model": GPT, "input": "plain", "stream": True}
        answer = exchange(address, request("POST", "/openai/v1/responses", body, CLIENT_KEY))
        said = host.recorded.only().answer_body()
    assert answer is not None
    assert answer.complete
    assert b"response.completed" in answer.body
    assert answer.body == said
