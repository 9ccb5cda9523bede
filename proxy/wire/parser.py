"""The one module that touches aiohttp's parser classes.

They are not documented API, so everything the rest of the program relies on stands here and has a contract test
(`tests/wire/test_parser.py`): the two class names, the constructor's keywords, `feed_data` on a complete head with
`response_with_body=False` (the parser then expects no body and the object serves the next head), and the attributes read from
the message. `require_compiled` refuses the pure-Python fallback, which accepts inputs the compiled parser rejects (rule A01).
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

import aiohttp
from aiohttp import http_parser

_TESTED = ((3, 14, 4), (3, 15))  # from, below
_NO_LIMIT = 1 << 30  # sizes are checked by wire.head, which knows which limit was hit


class Message(Protocol):
    """The attributes of aiohttp's parsed message that are used."""

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]: ...
    @property
    def should_close(self) -> bool: ...
    @property
    def upgrade(self) -> bool: ...


class UnsupportedParserError(RuntimeError):
    """The installed aiohttp cannot be used safely."""


def is_compiled() -> bool:
    """Whether both parser classes in use are the compiled ones."""
    request: object = getattr(http_parser, "HttpRequestParserC", None)
    response: object = getattr(http_parser, "HttpResponseParserC", None)
    return (
        request is not None
        and response is not None
        and http_parser.HttpRequestParser is request
        and http_parser.HttpResponseParser is response
    )


def require_compiled() -> None:
    """Raise UnsupportedParserError unless aiohttp is a tested version with its compiled parsers in use."""
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:3] if part.isdigit())
    if not _TESTED[0] <= version < _TESTED[1]:
        raise UnsupportedParserError(f"aiohttp {aiohttp.__version__} is not a tested version; install 'aiohttp>=3.14.4,<3.15'")
    if not is_compiled():
        raise UnsupportedParserError(
            "aiohttp's compiled HTTP parser is not in use and the pure-Python one is not safe in front of a network; "
            "install a binary wheel of aiohttp and unset AIOHTTP_NO_EXTENSIONS"
        )


class HeadParser:
    """Parses complete heads, one at a time; one object of each kind serves all connections of a process.

    Not for heads that come in pieces: the caller finds the empty line first.
    """

    __slots__ = ("_loop", "_request", "_response")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._request: http_parser.HttpRequestParser | None = None
        self._response: http_parser.HttpResponseParser | None = None

    def request(self, head: bytes) -> Message:
        """A request head with its final empty line. Raises what aiohttp raises on bad syntax."""
        parser = self._request
        if parser is None:
            parser = http_parser.HttpRequestParser(
                None,  # a protocol is only needed for bodies
                self._loop,
                1 << 16,
                max_line_size=_NO_LIMIT,
                max_field_size=_NO_LIMIT,
                max_headers=_NO_LIMIT,
                response_with_body=False,
                auto_decompress=False,
            )
        self._request = None  # dropped if the parser raises or must not be used again
        message = cast("Message", parser.feed_data(head)[0][0][0])
        if not (message.should_close or message.upgrade):
            self._request = parser
        return message

    def response(self, head: bytes) -> Message:
        """A response head with its final empty line."""
        parser = self._response
        if parser is None:
            parser = http_parser.HttpResponseParser(
                None,
                self._loop,
                1 << 16,
                max_line_size=_NO_LIMIT,
                max_field_size=_NO_LIMIT,
                max_headers=_NO_LIMIT,
                response_with_body=False,
                auto_decompress=False,
            )
        self._response = None
        message = cast("Message", parser.feed_data(head)[0][0][0])
        if not (message.should_close or message.upgrade):
            self._response = parser
        return message
