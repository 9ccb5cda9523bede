"""The connections to one upstream: a list and a decision (rules K02 to K08, K15). It knows no HTTP."""

import asyncio
from collections import deque
from math import inf
from typing import Protocol

from proxy.net.timers import Wheel
from proxy.outcomes import ErrorType, Phase
from proxy.settings import Limits
from proxy.telemetry.metrics import UpstreamMetrics
from proxy.upstream.connection import Consumer, State, UpstreamConnection
from proxy.upstream.dialing import Dialer
from proxy.wire.refusal import Refusal
from proxy.wire.response import ResponseReader


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
        dialer: Dialer,
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

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._all) - len(self._idle)

    def acquire(self, consumer: Consumer, *, fresh: bool = False) -> UpstreamConnection | asyncio.Task[None]:
        """A connection that is ready, or the task that is opening one and will call `upstream_ready` or `upstream_failed`."""
        idle = self._idle
        while idle and not fresh:
            connection = idle.pop()  # the most recently used one, so that old ones time out (rule K04)
            if reusable(connection, self.wheel.now, self._t_idle, self._t_age):
                connection.reused = True
                self.metrics.reuses.inc()
                connection.begin(consumer)
                return connection
            connection.abort()
        task = asyncio.get_running_loop().create_task(self._open(consumer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self, consumer: Consumer) -> None:
        try:
            connection = await self._wait_for_slot(consumer)
            if connection is not None and not connection.usable():
                connection.abort()
                connection = None
            if connection is None:
                connection = await self._dial(consumer)
        except Refusal as refusal:
            consumer.upstream_failed(refusal, silent=False)
            return
        connection.begin(consumer)
        consumer.upstream_ready(connection)

    async def _wait_for_slot(self, consumer: Consumer) -> UpstreamConnection | None:
        """A connection given back meanwhile, or None: one may be opened."""
        limit = self.limits.upstream_connections
        if not limit or len(self._all) + self._opening < limit:
            return None
        consumer.phase = Phase.POOL
        started = self.wheel.now
        future: asyncio.Future[UpstreamConnection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(self._t_wait):
                return await future
        except TimeoutError:
            raise Refusal(
                503,
                ErrorType.CONNECTION_LIMIT_REACHED,
                "upstream_busy",
                "All connections to this upstream are in use.",
                limit="upstream_connections",
                fields=(("Retry-After", "1"),),
            ) from None
        finally:
            self.metrics.pool_wait.observe(self.wheel.now - started)
            if future in self._waiting:
                self._waiting.remove(future)
            elif future.done() and not future.cancelled():
                self._pass_on_if_unused(future)

    def _pass_on_if_unused(self, future: "asyncio.Future[UpstreamConnection | None]") -> None:
        """The waiter was cancelled in the very turn it was served: nothing may be lost with it."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            connection = future.result()
            if connection is None:
                self._wake_one()
            elif not self.put(connection):
                connection.abort()

    async def _dial(self, consumer: Consumer) -> UpstreamConnection:
        self._opening += 1
        try:
            connection = await self._dialer.dial(lambda: UpstreamConnection(self), consumer)
        except BaseException:
            self._opening -= 1
            self._wake_one()
            raise
        self._opening -= 1
        self._all.add(connection)
        connection.reused = False
        return connection

    def _wake_one(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def put(self, connection: UpstreamConnection) -> bool:
        """Keep an idle connection for the next exchange; False if it is not wanted any more."""
        wheel = self.wheel
        if self.closed or wheel.now - connection.born >= self._t_age:
            return False
        connection.state = State.IDLE
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

    async def close(self) -> None:
        """Close everything, running exchanges included."""
        self.closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._all):
            connection.abort()


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
