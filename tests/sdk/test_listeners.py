"""The SDKs over every kind of listener and on both event loops: plain, IPv6, unix socket, TLS."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anthropic import DefaultHttpxClient as AnthropicHttpClient
from google import genai
from openai import DefaultHttpxClient

from tests.conftest import NO_UVLOOP
from tests.harness.certificates import Authority
from tests.sdk.clients import CLAUDE, GEMINI, GPT, httpx, make_anthropic, make_genai, make_openai, say
from tests.sdk.host import Host, command, running

QUESTION = "Grüße an 東京 🙂"
Transport = Callable[[], Any]


@contextmanager
def _genai(base: str, http: Any) -> Iterator[genai.Client]:
    """This SDK does not close a client that was given to it."""
    client = make_genai(base, httpx_client=http)
    try:
        yield client
    finally:
        client.close()
        if http is not None:
            http.close()


def speak(base: str, transport: Transport | None = None) -> None:
    """Each SDK asks once plain and once streamed, and hears the same twice; `transport` makes the way to the gateway."""

    def http(make: Callable[..., Any]) -> Any:
        return None if transport is None else make(transport=transport())

    with make_openai(base + "/openai/v1", http_client=http(DefaultHttpxClient)) as one:
        plain = one.chat.completions.create(model=GPT, messages=say(QUESTION)).choices[0].message.content or ""
        with one.chat.completions.stream(model=GPT, messages=say(QUESTION)) as stream:
            streamed = stream.get_final_completion().choices[0].message.content
    assert QUESTION in plain
    assert streamed == plain

    with make_anthropic(base + "/anthropic", http_client=http(AnthropicHttpClient)) as two:
        plain = str(two.messages.create(model=CLAUDE, max_tokens=500, messages=say(QUESTION)).content[0].text)
        with two.messages.stream(model=CLAUDE, max_tokens=500, messages=say(QUESTION)) as messages:
            streamed = messages.get_final_text()
    assert QUESTION in plain
    assert streamed == plain

    with _genai(base + "/gemini", http(httpx.Client)) as three:
        plain = three.models.generate_content(model=GEMINI, contents=QUESTION).text or ""
        chunks = list(three.models.generate_content_stream(model=GEMINI, contents=QUESTION))
    assert QUESTION in plain
    assert "".join(chunk.text or "" for chunk in chunks) == plain


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def test_the_sdks_are_served_on_either_event_loop(loop: str) -> None:
    with running(loop=loop) as host:
        speak(host.url)
        assert ("uvloop" in type(host.loop).__module__) == (loop == "uvloop")


def test_the_sdks_are_served_by_the_command_as_it_is_typed(tmp_path: Path) -> None:
    with command(tmp_path) as base:
        speak(base)


def test_the_sdks_are_served_over_ipv6() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    with running(listen=("[::1]:0",)) as host:
        assert host.url.startswith("http://[::1]:")
        speak(host.url)


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def test_the_sdks_are_served_over_a_unix_socket(tmp_path: Path, loop: str) -> None:
    path = tmp_path / "gateway.sock"
    with running(loop=loop, listen=(f"unix:{path}",)):
        speak("http://gateway", lambda: httpx.HTTPTransport(uds=str(path)))
    assert not path.exists()


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)])
def test_the_sdks_are_served_over_tls_and_believe_only_the_right_certificate(tmp_path: Path, loop: str) -> None:
    authority = Authority.create(tmp_path)
    authority.server("127.0.0.1")
    (file,) = tmp_path.glob("127.0.0.1-*.pem")
    trust = ssl.create_default_context(cafile=authority.file)
    with running(loop=loop, tls_certificate=file, tls_key=file) as host:
        assert host.url.startswith("https://127.0.0.1:")
        speak(host.url, lambda: httpx.HTTPTransport(verify=trust))
        with httpx.Client(verify=ssl.create_default_context()) as distrustful, pytest.raises(httpx.ConnectError):
            distrustful.get(host.url + "/openai/v1/models")


def test_one_gateway_serves_several_listeners_at_once(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with running(listen=("127.0.0.1:0", f"unix:{path}")) as host:
        speak(host.url)
        speak("http://gateway", lambda: httpx.HTTPTransport(uds=str(path)))


def test_the_answers_of_all_platforms_are_counted_under_their_own_names() -> None:
    with running() as host:
        speak(host.url)
        assert [_counted(host, name) for name in ("openai", "anthropic", "gemini", "deepseek")] == [2, 2, 2, 0]


def _counted(host: Host, platform: str) -> float:
    return host.metric("dragoman_exchanges_total", platform=platform, outcome="ok")
