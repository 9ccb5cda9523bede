"""The connections to one upstream: a list and a decision (rules K02 to K08, K15). It knows no HTTP."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol

from proxy.net.timers import Wheel
from proxy.outcomes import ErrorType, Phase
from proxy.settings import Limits
from proxy.telemetry.metrics import UpstreamMetrics
from proxy.upstream.connection import IDLE, Consumer, UpstreamConnection
from proxy.upstream.dialing import Phased
from proxy.wire.refusal import Refusal, bad_response
from proxy.wire.response import ResponseReader

logger = logging.getLogger("dragoman.upstream")


def reusable(connection: UpstreamConnection, now: float, t_idle: float, t_age: float) -> bool:
    """Whether an idle connection may serve again: not idle too long, not too old, open, nothing unread (rule K03)."""
    return now - connection.idle_since < t_idle and now - connection.born < t_age and connection.usable()


class Pool:
    """All connections to one upstream. Two platforms never share one (a stricter key than rule K01 asks for)."""

    def __init__(
        self,
        *,
        wheel: Wheel,
        reader: ResponseReader,
        limits: Limits,
        dialer: "OpensConnections",
        metrics: UpstreamMetrics,
        timeouts: "PoolTimeouts",
    ) -> None:
        self.wheel = wheel
        self.reader = reader
        self.limits = limits
        self.metrics = metrics
        self._t_idle = timeouts.t_pool_idle
        self._t_age = timeouts.t_pool_age
        self._t_wait = timeouts.t_pool_wait
        self.t_between_bytes = timeouts.t_between_bytes or inf
        self.t_first_byte = timeouts.t_first_byte or inf
        self.t_write_stall = timeouts.t_write_stall or inf
        self._dialer = dialer
        self._idle: deque[UpstreamConnection] = deque()
        self._all: set[UpstreamConnection] = set()
        self._waiting: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        self.retired = False  # a newer configuration has a pool of its own: nothing is kept any more

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._all) - len(self._idle)

    def acquire(self, consumer: Consumer, *, fresh: bool = False) -> UpstreamConnection | asyncio.Task[None]:
        """A connection that is ready, or the task that is opening one and will call `upstream_ready` or `upstream_failed`."""
        if not fresh:
            connection = self._take_idle()
            if connection is not None:
                connection.begin(consumer)
                return connection
        task = asyncio.get_running_loop().create_task(self._open(consumer, fresh=fresh))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _take_idle(self) -> UpstreamConnection | None:
        """The most recently used idle connection that may serve, so that old ones time out (rule K04)."""
        while self._idle:
            connection = self._idle.pop()
            if reusable(connection, self.wheel.now, self._t_idle, self._t_age):
                connection.reused = True
                self.metrics.reuses.inc()
                return connection
            connection.abort()
        return None

    async def _open(self, consumer: Consumer, *, fresh: bool) -> None:
        try:
            connection = await self._wait_for_slot(consumer, fresh=fresh)
            if connection is not None and not connection.usable():
                connection.abort()  # its end gives its slot to the next waiter, so ask for one again
                connection = await self._wait_for_slot(consumer, fresh=True)
            if connection is None:
                connection = await self._dial(consumer)
        except Refusal as refusal:
            consumer.upstream_failed(refusal, silent=False)
            return
        except Exception:
            logger.exception("opening a connection failed unexpectedly")
            consumer.upstream_failed(
                Refusal(500, ErrorType.PROXY_INTERNAL_ERROR, "internal_error", "The gateway failed to open a connection."),
                silent=False,
            )
            return
        connection.begin(consumer)
        consumer.upstream_ready(connection)

    async def _wait_for_slot(self, consumer: Consumer, *, fresh: bool) -> UpstreamConnection | None:
        """A connection to use, or None: then one slot is reserved (counted in `_opening`) for opening one."""
        limit = self.limits.upstream_connections
        if not limit or len(self._all) + self._opening < limit:
            self._opening += 1
            return None
        if not fresh:
            connection = self._take_idle()
            if connection is not None:
                return connection
        elif self._idle:
            self._opening += 1
            self._idle.popleft().abort()  # the oldest one makes room
            return None
        return await self._queue_for_slot(consumer)

    async def _queue_for_slot(self, consumer: Consumer) -> UpstreamConnection | None:
        loop = asyncio.get_running_loop()
        consumer.phase = Phase.POOL
        started = loop.time()
        future: asyncio.Future[UpstreamConnection | None] = loop.create_future()
        self._waiting.append(future)
        timer = loop.call_later(self._t_wait, _expire, future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())  # cancelled in the very turn it was served
            raise
        finally:
            timer.cancel()
            self.metrics.pool_wait.observe(loop.time() - started)
            if future in self._waiting:
                self._waiting.remove(future)

    def _give_back(self, connection: UpstreamConnection | None) -> None:
        """A slot or a connection that was handed to somebody who does not want it any more."""
        if connection is None:
            self._opening -= 1
            self._wake_one()
        elif not self.put(connection):
            connection.abort()

    async def _dial(self, consumer: Consumer) -> UpstreamConnection:
        """Open a connection on the reserved slot."""
        try:
            connection = await self._dialer.dial(lambda: UpstreamConnection(self), consumer)
            if connection.transport is None:
                raise bad_response(
                    ErrorType.CONNECTION_TERMINATED, "upstream_closed", "The upstream closed the connection without an answer."
                )
        except BaseException:
            self._give_back(None)
            raise
        self._opening -= 1
        self._all.add(connection)
        return connection

    def _wake_one(self) -> None:
        """A slot is free: reserve it for the first who waits."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                self._opening += 1
                future.set_result(None)
                return

    def put(self, connection: UpstreamConnection) -> bool:
        """Keep an idle connection for the next exchange; False if it is not wanted any more."""
        wheel = self.wheel
        if self.closed or self.retired or wheel.now - connection.born >= self._t_age:
            return False
        connection.state = IDLE
        connection.idle_since = wheel.now
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(connection)
                return True
        self._idle.append(connection)
        return True

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        if connection in self._all:
            self._all.discard(connection)
            self._wake_one()
            try:
                self._idle.remove(connection)
            except ValueError:
                pass

    def sweep(self) -> None:
        """Close idle connections that are too old; called about once a second."""
        now = self.wheel.now
        idle = self._idle
        while idle and now - idle[0].idle_since >= self._t_idle:
            idle.popleft().abort()

    def retire(self) -> None:
        """Keep no connection from now on; exchanges that run, or were planned with this pool, end as usual (rule M06)."""
        self.retired = True
        while self._idle:
            self._idle.popleft().abort()

    @property
    def deserted(self) -> bool:
        """Whether nothing is open or being opened here."""
        return not (self._all or self._tasks)

    async def close(self) -> None:
        """Close everything, running exchanges included."""
        self.closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._all):
            connection.abort()


def _expire(future: "asyncio.Future[UpstreamConnection | None]") -> None:
    if not future.done():
        future.set_exception(
            Refusal(
                503,
                ErrorType.CONNECTION_LIMIT_REACHED,
                "upstream_busy",
                "All connections to this upstream are in use.",
                limit="upstream_connections",
                fields=(("Retry-After", "1"),),
            )
        )


class OpensConnections(Protocol):
    """What a pool gets its connections from; `proxy.upstream.dialing.Dialer` is one."""

    async def dial(self, factory: Callable[[], UpstreamConnection], waiting: Phased) -> UpstreamConnection:
        """A connected protocol. Raises Refusal (502 or 504) with the error of the phase that failed."""


class PoolTimeouts(Protocol):
    """The times a pool needs; `proxy.settings.Timeouts` has them."""

    @property
    def t_pool_wait(self) -> float: ...
    @property
    def t_first_byte(self) -> float: ...
    @property
    def t_write_stall(self) -> float: ...
    @property
    def t_between_bytes(self) -> float: ...
    @property
    def t_pool_idle(self) -> float: ...
    @property
    def t_pool_age(self) -> float: ...
