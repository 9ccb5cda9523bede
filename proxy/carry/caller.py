"""One upstream call as something to wait for: for programs that make several (polls, hops, creates).

It goes over the same pool as everything else; its answer is read whole, within bounds, decoded.
"""

import asyncio

from proxy.carry.replies import ReplyReader, UnreadableCodingError, reply_headers
from proxy.carry.retrying import pause_before
from proxy.carry.sending import Sending
from proxy.outcomes import ErrorType, Phase
from proxy.routing.calls import Work
from proxy.routing.plan import Dispatch
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.fields import bodyless
from proxy.wire.refusal import Refusal, bad_response
from proxy.wire.response import ResponseHead
from translators.runtime.steps import Call, Pieces, Reply

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})  # rule K06


class Caller:
    """Makes calls for one exchange. `plain` is the client's body as a program saw it, `raw` the same as it came."""

    __slots__ = ("_dispatch", "_plain", "_raw", "_work")

    def __init__(self, dispatch: Dispatch, work: Work, plain: bytes, raw: bytes) -> None:
        self._dispatch = dispatch
        self._work = work
        self._plain = plain
        self._raw = raw

    async def call(self, call: Call) -> Reply:
        """The answer, whatever its status; cancelled, the request is given up at once. Raises Refusal."""
        work = self._work
        handling = work.handling
        retry = handling.retry if handling is not None else None
        attempts = 0
        while True:
            try:
                reply = await self._once(call)
            except Refusal as refusal:
                pause = pause_before(retry, attempts, refusal.status, {})
                if pause is None:
                    raise
            else:
                pause = pause_before(retry, attempts, reply.status, reply.headers)
                if pause is None:
                    return reply
            attempts += 1
            self._dispatch.pool.metrics.retries.inc()
            await asyncio.sleep(pause)

    async def _once(self, call: Call) -> Reply:
        work = self._work
        credential = work.served.credential
        if credential is not None and credential.source is not None:
            await credential.source.wait()
        same = call.forward and (call.body is self._plain or not (call.body or self._plain))
        body = self._raw if same else call.body
        data = None
        if credential is not None and credential.whole:
            data = body if isinstance(body, bytes) else b"".join(body.parts()) if body is not None else b""
        head = work.head(call, same_body=same, converted=True, data=data, now=work.served.now())
        return await _Single(self._dispatch, call.method, work.answer_limit).run(head, body)


class _Single:
    """One call under way: the consumer of its upstream connection."""

    __slots__ = (
        "_connection",
        "_dispatch",
        "_done",
        "_headers",
        "_limit",
        "_opening",
        "_reader",
        "_retried",
        "_sending",
        "method",
        "phase",
    )

    def __init__(self, dispatch: Dispatch, method: str, limit: int) -> None:
        self.method = method
        self.phase = Phase.POOL
        self._dispatch = dispatch
        self._limit = limit
        self._done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._connection: UpstreamConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._sending: Sending | None = None
        self._reader: ReplyReader | None = None
        self._headers: dict[str, str] = {}
        self._retried = False

    async def run(self, head: bytes, body: bytes | Pieces | None) -> Reply:
        self._sending = Sending(self.method, head, body, self._was_sent)
        try:
            self._connect(fresh=False)
            return await self._done
        finally:
            self._sending.stop()
            if self._opening is not None:
                self._opening.cancel()
            if self._connection is not None:
                self._connection.abort()

    def _connect(self, *, fresh: bool) -> None:
        got = self._dispatch.pool.acquire(self, fresh=fresh)
        if isinstance(got, UpstreamConnection):
            self._send(got)
        else:
            self._opening = got

    def _send(self, connection: UpstreamConnection) -> None:
        assert self._sending is not None
        self._connection = connection
        self.phase = Phase.SEND
        self._sending.send(connection)

    def _was_sent(self) -> None:
        self.phase = Phase.WAIT

    # -- for the upstream connection

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self._opening = None
        self._send(connection)

    def upstream_full(self, full: bool) -> None:
        if not full and self._sending is not None:
            self._sending.room()

    def interim_response(self, head: ResponseHead) -> None: ...

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        self.phase = Phase.RECEIVE
        assert self._sending is not None
        self._sending.stop()
        self._headers = reply_headers(head)
        try:
            self._reader = ReplyReader(head, self._headers, self._limit, whole=True)
        except UnreadableCodingError:
            self._fail(
                bad_response(ErrorType.HTTP_PROTOCOL_ERROR, "bad_content_encoding", "The upstream's answer has an unknown coding.")
            )
            return
        self.response_body(b"" if bodyless(head.code, self.method) else body, done)

    def response_body(self, data: bytes, done: bool) -> None:
        if done:
            self._connection = None
        reader = self._reader
        if reader is None or self._done.done():
            return
        try:
            if data:
                reader.feed(data)
            if done:
                self._done.set_result(reader.reply(self._headers))
        except Refusal as refusal:
            self._fail(refusal)

    def upstream_failed(self, refusal: Refusal, *, silent: bool) -> None:
        connection, self._connection = self._connection, None
        self._opening = None
        reused = connection is not None and connection.reused
        if silent and reused and not self._retried and self.method in _IDEMPOTENT:
            self._retried = True
            self._dispatch.pool.metrics.retries.inc()
            self._connect(fresh=True)
        else:
            self._fail(refusal)

    def _fail(self, refusal: Refusal) -> None:
        if not self._done.done():
            self._done.set_exception(refusal)
