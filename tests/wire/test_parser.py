"""The contract with aiohttp: every name of it that `wire.parser` relies on, used as it is used there.

These classes are not documented API. When a release changes one of them, a test here says which.
"""

import asyncio
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import http_parser
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import parser as parser_module
from proxy.wire.parser import HeadParser, UnsupportedParserError, is_compiled, require_compiled

KEYWORDS = {
    "max_line_size": 1 << 30,
    "max_field_size": 1 << 30,
    "max_headers": 1 << 30,
    "response_with_body": False,
    "auto_decompress": False,
}
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
BROKEN = b"GET / HTTP/1.1\r\nHost : h\r\n\r\n"
CODED = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
BAD_ANSWER = b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"
REQUESTS = (GET, POST, CHUNKED, CLOSE, UPGRADE, CODED)
RESPONSES = (OK, NO_CONTENT, STREAM, UNTIL_CLOSE, EARLY, SWITCH)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def fields_of(head: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The field lines, split by hand."""
    lines = head.split(b"\r\n")[1:-2]
    return tuple((name, value.strip(b" ")) for name, _, value in (line.partition(b":") for line in lines))


def test_the_names_in_use_are_the_compiled_classes() -> None:
    assert http_parser.HttpRequestParser is http_parser.HttpRequestParserC
    assert http_parser.HttpResponseParser is http_parser.HttpResponseParserC
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    assert http_parser.HttpRequestParser.__module__ == "aiohttp._http_parser"
    assert is_compiled()


@pytest.mark.parametrize("kind", [http_parser.HttpRequestParser, http_parser.HttpResponseParser])
def test_the_constructors_take_the_keywords_used(kind: type, loop: asyncio.AbstractEventLoop) -> None:
    assert kind(None, loop, 1 << 16, **KEYWORDS) is not None
    with pytest.raises(TypeError):
        kind(None, loop, 1 << 16, **KEYWORDS, no_such_keyword=True)


@pytest.mark.parametrize("head", REQUESTS)
def test_one_complete_request_head_gives_one_message_with_its_raw_fields(head: bytes, loop: asyncio.AbstractEventLoop) -> None:
    messages, _, _ = http_parser.HttpRequestParser(None, loop, 1 << 16, **KEYWORDS).feed_data(head)
    assert len(messages) == 1
    message = messages[0][0]
    assert tuple(message.raw_headers) == fields_of(head)
    assert message.should_close is (head == CLOSE)
    assert bool(message.upgrade) is (head == UPGRADE)


@pytest.mark.parametrize("head", RESPONSES)
def test_one_complete_response_head_gives_one_message_with_its_raw_fields(head: bytes, loop: asyncio.AbstractEventLoop) -> None:
    messages, _, _ = http_parser.HttpResponseParser(None, loop, 1 << 16, **KEYWORDS).feed_data(head)
    assert len(messages) == 1
    assert tuple(messages[0][0].raw_headers) == fields_of(head)


def test_with_response_with_body_off_a_request_parser_expects_no_body(loop: asyncio.AbstractEventLoop) -> None:
    raw = http_parser.HttpRequestParser(None, loop, 1 << 16, **KEYWORDS)
    for head in (POST, CHUNKED, CODED, GET, POST):
        messages, upgraded, tail = raw.feed_data(head)
        assert (len(messages), upgraded, tail) == (1, False, b"")
        assert tuple(messages[0][0].raw_headers) == fields_of(head)


@pytest.mark.parametrize(
    "broken", [BROKEN, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"get / HTTP/1.1\r\nHost: h\r\n\r\n"]
)
def test_a_broken_request_raises_and_the_next_head_is_read_as_if_nothing_had_been(parser: HeadParser, broken: bytes) -> None:
    for _ in range(3):
        with pytest.raises(aiohttp.http_exceptions.HttpProcessingError):
            parser.request(broken)
        assert tuple(parser.request(POST).raw_headers) == fields_of(POST)


def test_a_broken_response_raises_and_the_next_head_is_read_as_if_nothing_had_been(parser: HeadParser) -> None:
    for _ in range(3):
        with pytest.raises(aiohttp.http_exceptions.HttpProcessingError):
            parser.response(BAD_ANSWER)
        assert tuple(parser.response(OK).raw_headers) == fields_of(OK)


@given(st.lists(st.sampled_from((*REQUESTS, BROKEN, *RESPONSES, BAD_ANSWER)), max_size=30))
def test_one_parser_reads_any_sequence_of_heads_like_a_fresh_one_each_time(parser: HeadParser, heads: list[bytes]) -> None:
    for head in heads:
        read = parser.response if head.startswith(b"HTTP") else parser.request
        if head in {BROKEN, BAD_ANSWER}:
            with pytest.raises(aiohttp.http_exceptions.HttpProcessingError):
                read(head)
        else:
            assert tuple(read(head).raw_headers) == fields_of(head)


def test_a_parser_that_may_be_reused_is_reused(parser: HeadParser) -> None:
    parser.request(GET)
    kept = parser._request
    assert kept is not None
    parser.request(CHUNKED)
    assert parser._request is kept


@pytest.mark.parametrize("head", [CLOSE, UPGRADE])
def test_a_parser_that_stops_at_this_head_is_dropped(parser: HeadParser, head: bytes) -> None:
    parser.request(head)
    assert parser._request is None


def test_no_size_limit_of_the_parser_comes_before_ours(parser: HeadParser) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (number, b"v" * 1000) for number in range(500))
    head = b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: h\r\n" + many + b"\r\n"
    assert len(parser.request(head).raw_headers) == 501


def test_D09_bytes_that_are_not_utf8_come_out_of_the_parser_as_they_went_in(parser: HeadParser) -> None:
    value = bytes(range(0x80, 0x100))
    assert (b"X", value) in parser.request(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + value + b"\r\n\r\n").raw_headers
    assert (b"X", value) in parser.response(b"HTTP/1.1 200 OK\r\nX: " + value + b"\r\n\r\n").raw_headers


def test_A01_the_pure_python_parser_is_refused_in_a_process_that_has_no_other() -> None:
    program = (
        "from proxy.wire.parser import UnsupportedParserError, is_compiled, require_compiled\n"
        "assert not is_compiled()\n"
        "try:\n    require_compiled()\n"
        "except UnsupportedParserError as refused:\n    print(refused)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "compiled HTTP parser is not in use" in done.stdout
    assert "AIOHTTP_NO_EXTENSIONS" in done.stdout


@pytest.mark.parametrize("name", ["HttpRequestParser", "HttpResponseParser"])
def test_A01_one_class_that_is_not_compiled_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(http_parser, name, getattr(http_parser, f"{name}Py"))
    with pytest.raises(UnsupportedParserError, match="binary wheel"):
        require_compiled()


def test_A01_a_build_without_the_compiled_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(http_parser, "HttpRequestParserC")
    assert not is_compiled()


@pytest.mark.parametrize("version", ["3.13.9", "3.14.3", "3.15.0", "4.0.0", "3.15.0a1"])
def test_A01_a_version_outside_the_tested_range_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    with pytest.raises(UnsupportedParserError, match=f"aiohttp {version} is not a tested version"):
        require_compiled()


def test_the_installed_version_is_accepted_and_the_project_file_says_the_same_bounds() -> None:
    require_compiled()
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    lowest, above = parser_module._TESTED
    wanted = f"aiohttp>={'.'.join(map(str, lowest))},<{'.'.join(map(str, above))}"
    assert wanted in project["project"]["dependencies"]
