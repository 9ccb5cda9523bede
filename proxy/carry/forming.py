"""A form that goes up part by part while it comes, with only the parts changed that its rule names (rule P07).

`Form` follows what comes from the client, `FormSending` what goes to the upstream. What goes out has another length than what
comes, and it is known at the end only: the upstream gets chunks, unless nothing is changed. Neither holds more than one read, but
while the model is looked for or a connection is opened; then the client is not read. A form that turns out to be broken is never
completed upstream: its last bytes and the last chunk go out only when its end was found to be right (rule B11).
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Protocol

from proxy.carry.downstream import Downstream
from proxy.carry.gathering import LARGE, Gathering
from proxy.carry.refusals import fault
from proxy.carry.upload import named_too_late, too_large
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.head import CHUNKED
from proxy.wire.model import ModelFinder
from proxy.wire.refusal import Refusal
from proxy.wire.refused import refusal_of
from translators.formats.multipart import MultipartError
from translators.formats.rewriter import MultipartRewriter
from translators.runtime.bodies import bad_form

logger = logging.getLogger("dragoman.handled")

_TURN = 256 * 1024


class Form(Gathering):
    """Collects a form until it is clear that it is small, and then hands on what has come; `sending` says that it does.

    `most`: how large it may be (0: no limit); `hold`: how much of it is held while its model is looked for. Raises Refusal.
    """

    __slots__ = ("_hold", "_most", "length", "sending")

    def __init__(
        self, length: int, most: int, hold: int, account: Callable[[int], None], *, section_limit: int, finder: ModelFinder | None
    ) -> None:
        if most and length > most:
            raise too_large()
        super().__init__(length, sys.maxsize, account, section_limit=section_limit, finder=finder)
        self.length = length  # as announced, or CHUNKED
        self.sending: FormSending | None = None
        self._most = most
        self._hold = hold

    @property
    def large(self) -> bool:
        """Whether it has begun to come, and is too large to be held."""
        least = min(LARGE, self._hold)
        return self._size >= least or (self.length >= least and self._size > 0)

    def _came(self, before: int) -> None:
        reader = self._reader
        if self._most and (reader.total if reader is not None else self._size) > self._most:
            raise too_large()
        super()._came(before)
        if not self.named and self.held_bytes > self._hold:
            raise named_too_late()

    def take(self) -> bytes:
        """The next bytes that have come, a turn's at most; they are not held any more."""
        pieces = self.pieces
        size = count = 0
        for piece in pieces:
            size += len(piece)
            count += 1
            if size >= _TURN:
                break
        data = pieces[0] if count == 1 else b"".join(pieces[:count])
        del pieces[:count]
        self.held_bytes -= size
        self._account(-size)
        return data


class Owner(Protocol):
    """The exchange, as its form sees it."""

    client: Downstream

    def refuse(self, refusal: Refusal) -> None: ...
    def leave_body(self) -> None:
        """The rest of the request is not wanted."""


class FormSending:
    """One form on its way up. `head`: the request's, up to its framing field; to be set before `send`.

    `begun`: bytes of it have gone out, so that it cannot be sent again. `rewriter` None: its bytes go on unread.
    """

    __slots__ = ("_connection", "_form", "_over", "_owner", "_rewriter", "_sent", "_turn", "begun", "head")

    def __init__(self, form: Form, rewriter: MultipartRewriter | None, owner: Owner, sent: Callable[[], None]) -> None:
        self.head = b""
        self.begun = False
        self._form = form
        self._rewriter = rewriter
        self._owner = owner
        self._sent = sent
        self._connection: UpstreamConnection | None = None
        self._turn: asyncio.Handle | None = None
        self._over = False  # all of it has gone out, or no more of it will

    @property
    def unchanged(self) -> bool:
        """Whether what goes out is what came."""
        return self._rewriter is None or self._rewriter.idle

    def send(self, connection: UpstreamConnection) -> None:
        """Send what has come, from the loop's next turn on, or from `came` if that is earlier."""
        self._connection = connection
        self._turn = asyncio.get_running_loop().call_soon(self._go_on)

    def came(self) -> None:
        """There is more of the form, or its end. Raises Refusal (400, 413, 431, 500)."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._pass_on()

    def room(self) -> None:
        """The connection takes more again."""
        if self._turn is None:
            self._go_on()

    def stop(self) -> None:
        """Send no further. A form of which nothing has gone out can still be sent on another connection."""
        self._connection = None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self.begun and not self._over:
            self._over = True
            self._form.forget()
            self._owner.leave_body()

    def _go_on(self) -> None:
        self._turn = None
        try:
            self._pass_on()
        except Refusal as refusal:
            self._owner.refuse(refusal)

    def _pass_on(self) -> None:
        """Pass on what has come, as far as the connection takes it and for one turn; then the client is read again, or is not."""
        form, connection, passed = self._form, self._connection, 0
        if self._over:
            form.forget()
            return
        while connection is not None and connection.transport is not None and not connection.full:
            if passed >= _TURN:
                self._turn = asyncio.get_running_loop().call_soon(self._go_on)
                break
            data = form.take()
            last = not (form.left or form.pieces)
            if not (data or last):
                self._owner.client.resume_reading()
                return
            self._write(connection.transport, self._rewritten(data, last), last)
            passed += len(data)
            if last:
                self._over = True
                self._connection = None
                connection.sent()
                self._sent()
                return
        if form.left:
            self._owner.client.pause_reading()

    def _rewritten(self, data: bytes, last: bool) -> bytes:
        rewriter = self._rewriter
        if rewriter is None:
            return data
        try:
            return rewriter.feed(data) + rewriter.finish() if last else rewriter.feed(data)
        except MultipartError as error:
            raise refusal_of(bad_form(error)) from None
        except Exception:
            logger.exception("a form could not be rewritten")
            raise fault() from None

    def _write(self, transport: asyncio.Transport, data: bytes, last: bool) -> None:
        counted = self.unchanged and self._form.length != CHUNKED
        out: list[bytes] = []
        if data:
            out = [data] if counted else [b"%x\r\n" % len(data), data, b"\r\n"]
        if last and not counted:
            out.append(b"0\r\n\r\n")
        if not out:
            return
        if not self.begun:
            self.begun = True
            framing = b"Content-Length: %d" % self._form.length if counted else b"Transfer-Encoding: chunked"
            out.insert(0, b"%b%b\r\n\r\n" % (self.head, framing))
        transport.write(out[0] if len(out) == 1 else b"".join(out))
