"""An exchange with a program: run as far as it goes without the world, and in a task of its own where it needs more than one call.

Most programs end with the one call that `called` makes, without a task. The loop over the steps of the others is the orchestrating
room's; what they end with comes back here. A message that is large is worked on in a thread, so that nobody else waits (rule P09).
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from time import perf_counter
from typing import Any

from proxy.carry.called import CalledExchange
from proxy.carry.converted import LENGTHLESS
from proxy.carry.downstream import Downstream, Gone
from proxy.carry.exchange import CLIENT_LEFT, Exchange, Framing
from proxy.carry.orchestration import Host
from proxy.carry.refusals import fault, raised
from proxy.carry.replies import reply_headers
from proxy.carry.sink import Sink
from proxy.outcomes import Outcome, Phase
from proxy.routing.plan import Plan
from proxy.wire.refusal import Refusal
from proxy.wire.refused import refusal_of
from proxy.wire.response import ResponseHead
from translators.model import OnAbort
from translators.runtime.steps import (
    RANGE_HEADERS,
    Answer,
    Call,
    Conversion,
    Download,
    Incoming,
    Pass,
    Program,
    Reply,
    Result,
    RuleRefusal,
    Step,
)

logger = logging.getLogger("dragoman.handled")

_GONE_AT_ORIGIN = frozenset((403, 404, 410))


class ProgrammedExchange(CalledExchange):
    """See the module."""

    __slots__ = ("_gone", "_incoming", "_over", "_sink", "_source", "_status", "_task")

    def __init__(self, client: Downstream, plan: Plan, request_id: bytes) -> None:
        CalledExchange.__init__(self, client, plan, request_id)  # not super(): 0.1 us less
        self._incoming: Incoming | None = None  # the request as programs see it
        self._task: asyncio.Task[None] | None = None
        self._sink: Sink | None = None
        self._source: Download | None = None  # the download that the call is for
        self._status = 0  # of an answer that comes through the sink
        self._gone = False  # the client has left, and the rule lets the call go on
        self._over = False  # recorded: nothing is said any more

    # -- the program

    def _step(self, program: Program) -> None:
        """Run the program as far as it goes without the world. Raises Refusal."""
        try:
            step = next(program)
        except StopIteration as end:
            result: Result = end.value
        except Exception as error:
            raise raised(error) from None
        else:
            self.phase = Phase.WAIT
            self._spawn(self._orchestrate(program, step))
            return
        self._finish(result)

    async def _step_aside(self, program: Program) -> None:
        """The same for a large message, in a thread: reading it takes too long for everybody else to wait (rule P09)."""
        step, result = await asyncio.to_thread(_first_step, program)
        if step is not None:
            await self._orchestrate(program, step)
        elif result is not None:
            self._task = None
            self._finish(result)

    def _convert_aside(self, convert: Conversion, reply: Reply) -> None:
        self._spawn(self._whole_aside(convert, reply))

    async def _whole_aside(self, convert: Conversion, reply: Reply) -> None:
        answer = await asyncio.to_thread(convert.whole, reply)
        self._task = None
        self._converted(answer)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self.client.worker.loop.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A task of this exchange: however it fails, the client hears of it."""
        try:
            await work
        except RuleRefusal as refusal:
            self._end_task(refusal_of(refusal))
        except Refusal as refusal:
            self._end_task(refusal)
        except Exception:
            logger.exception("the program of a route failed")
            self._end_task(fault())

    def _end_task(self, refusal: Refusal) -> None:
        self._task = None
        if not self._over:
            self.refuse(refusal)

    async def _deferred(self) -> None:
        """A call that the proxy runs for the client to ask about later, or a question about one."""
        result = await self.client.worker.orchestrator.serve(self._host())
        if isinstance(result, Download) and isinstance(result.source, str):
            await self._download(result)
        else:
            self._task = None
            self._finish(result)

    async def _orchestrate(self, program: Program, step: Step) -> None:
        result = await self.client.worker.orchestrator.run(program, step, self._host())
        if isinstance(result, Download) and isinstance(result.source, str):
            await self._download(result)
        else:
            self._task = None
            self._finish(result)

    async def _download(self, result: Download) -> None:
        """The client gets the bytes behind a URL."""
        self._note(result.notes)
        sink = self._sink = Sink(self, full=self.client.full)
        await self.client.worker.orchestrator.download(result, self._host(), sink)
        sink.close()

    def _host(self) -> Host:
        dispatch = self.dispatch
        assert dispatch is not None
        assert dispatch.work is not None
        assert self._incoming is not None
        return Host(dispatch, dispatch.work, self._incoming, self._raw, self.client.worker.recorder.later(self))

    def _finish(self, result: Result) -> None:
        """What the program has ended with. Raises Refusal."""
        dispatch = self.dispatch
        assert dispatch is not None
        assert dispatch.work is not None
        if isinstance(result, Pass):
            self._begin(dispatch.work, result.call, result.call.body, result.convert)
        elif isinstance(result, Answer):
            self._note(result.notes)
            self._write_answer(result, None)
        elif isinstance(result.source, str):
            self._spawn(self._download(result))
        else:
            self._note(result.notes)
            self._content_type = result.content_type
            self._source = result
            call = self._with_range(result.source)
            self._begin(dispatch.work, call, call.body, None)

    def _with_range(self, call: Call) -> Call:
        """The call of a download asks for the part that the client asks for, also where the client's headers do not go along."""
        assert self._incoming is not None
        asked = self._incoming.headers
        wanted = tuple((name, asked[name]) for name in RANGE_HEADERS if name in asked)
        return replace(call, headers=(*call.headers, *wanted)) if wanted and not call.forward else call

    # -- an answer that comes from elsewhere, for the sink

    @property
    def _begun(self) -> int:
        return self._status or super()._begun

    def begin_made(self, status: int, fields: tuple[tuple[str, str], ...], length: int | None) -> None:
        """The head of an answer that no upstream connection of ours brings; `length` None: not known."""
        self.head_at = perf_counter()
        self.phase = Phase.RECEIVE
        lines = self._made_head(None, status, fields, retyped=True)
        if status not in LENGTHLESS:
            if length is not None:
                lines.append(b"Content-Length: %d\r\n" % length)
            else:
                self._frame_open_end(lines)
        self._end_head(lines)
        self._status = status
        self.client.write(b"".join(lines))

    def write_made(self, data: bytes) -> None:
        if self.plan.method != "HEAD":
            self._made += len(data)
            self.client.write(self._framed(data))

    def end_made(self) -> None:
        if self._framing is Framing.ENCHUNK and self.plan.method != "HEAD":
            self.client.write(b"0\r\n\r\n")
        self._ended(self._status, Outcome.UPSTREAM_ERROR if self._status >= 400 else Outcome.OK)

    # -- the call it ends with

    def response_head(self, head: ResponseHead, body: bytes, done: bool) -> None:
        source = self._source
        if self._as_is and source is None:  # most often, and then nobody else need be asked
            if self._sending is not None:
                self._sending.stop()
            Exchange.response_head(self, head, body, done)
        elif source is None or self._pause(head.code, head) is not None or not self._look_elsewhere(source, head, done):
            super().response_head(head, body, done)

    def _look_elsewhere(self, source: Download, head: ResponseHead, done: bool) -> bool:
        """Whether the content of a download is somewhere else: gone, so that the program is asked once for its new place, or behind
        a redirect, which is read like any other URL that the platform gives (the pool follows none, rule K11)."""
        self._source = None
        if source.again is not None and head.code in _GONE_AT_ORIGIN:
            self._let_go(done)
            try:
                self._step(source.again())
            except Refusal as refusal:
                self.refuse(refusal)
            return True
        location = reply_headers(head).get("location") if 300 <= head.code < 400 else None
        if location is None:
            return False
        found = self.client.worker.orchestrator.redirected(source, self._host(), head.code, location)
        if found is None:
            return False
        self._let_go(done)
        self._spawn(self._download(found))
        return True

    # -- the end

    def client_full(self, full: bool) -> None:
        if self._sink is not None:
            self._sink.client_full(full)
        else:
            super().client_full(full)

    def client_left(self) -> None:
        """The client is gone; the rule may say that the call goes on all the same."""
        dispatch = self.dispatch
        work = dispatch.work if dispatch is not None else None
        wish = work.handling.on_client_abort if work is not None and work.handling is not None else OnAbort.CANCEL
        orchestrated = self._task is not None
        if not self.body_left and (wish is OnAbort.DETACH or (wish is OnAbort.DRAIN and not orchestrated)):
            self._gone = True
            worker = self.client.worker
            self.client = Gone(worker, self.client.peer_bytes)
            worker.background.add(self)
            if self.upstream is not None:
                self.upstream.resume()
            if self._sink is not None:
                self._sink.client_full(False)
        else:
            super().client_left()

    def stop(self) -> None:
        """The process ends, and with it what goes on without a client."""
        self._abandon()
        self._record(0, Outcome.DRAINED, None)

    def _record(self, status: int, outcome: Outcome, refusal: Refusal | None) -> None:
        self._over = True
        if self._gone:
            self.client.worker.background.discard(self)
            status, outcome = CLIENT_LEFT, Outcome.CLIENT_CLOSED
        super()._record(status, outcome, refusal)
        # Nothing of the bodies is needed any more, and `_sending` knows its way back here: a circle would keep them for long.
        self._incoming = self._sink = self._source = self._sending = self._message = None
        self._plain = self._raw = b""

    def _abandon(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        super()._abandon()


def _first_step(program: Program) -> tuple[Step | None, Result | None]:
    """The program as far as it goes without the world: what it asks for, or what it has ended with."""
    try:
        return next(program), None
    except StopIteration as end:
        return None, end.value
