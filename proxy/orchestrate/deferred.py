"""`?async=true` on a platform that answers at once: the gateway runs the call itself and keeps its answer in the store.

A call is in the store from before its first byte goes out, under a claim that its worker renews. Every writing is done under that
claim, so nobody overwrites an answer: neither a worker that was long stopped, nor a poll that takes the worker for dead.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial

from proxy.orchestrate.interface import Host
from proxy.orchestrate.records import RUNNING, BadRecordError, key_of, pack, unpack
from proxy.orchestrate.running import Runner, end_all
from proxy.outcomes import ErrorType, Outcome
from proxy.store.interface import RecordTooLargeError, Store, StoreError
from proxy.telemetry.slots import Gauge
from proxy.wire.answers import error_body
from proxy.wire.refusal import Refusal
from proxy.wire.refused import refusal_of
from translators.formats.strict_json import dumps
from translators.model import Protocol
from translators.runtime import deferred
from translators.runtime.ids import Identity
from translators.runtime.steps import Answer, Download, Incoming, Program, Result, RuleRefusal, Step
from translators.runtime.tasks import unknown_task

logger = logging.getLogger("dragoman.orchestrate")

_JSON = "application/json"
_BURIAL = 5.0  # seconds for which a poll claims a call whose worker is dead
_PUT_AWAY = 10.0  # seconds at the end for answers that are on their way into the store
_TRIES = 5  # to keep an answer
_RETRY_AFTER = (("Retry-After", "5"),)


class DeferredOutcome(StrEnum):
    """How a deferred call ended: the closed list for metrics (rule Q01)."""

    COMPLETED = "completed"
    FAILED = "failed"  # with an error, the platform's or ours
    INTERRUPTED = "interrupted"  # its worker was stopped, or has died
    NOT_KEPT = "not_kept"  # there is an answer, and the store did not take it


class DeferredCalls:
    """The deferred calls of this worker, and what any worker can say of any call. Times in seconds."""

    def __init__(
        self,
        open_store: Callable[[], Awaitable[Store]],
        runner: Runner,
        *,
        most: int,
        kept: float,
        lease: float,
        observe: Callable[[str, DeferredOutcome], None],
        gauge: Gauge,
        hold: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open_store = open_store
        self._runner = runner
        self._most = most
        self._kept = kept
        self._lease = lease
        self._observe = observe
        self._gauge = gauge
        self._hold = hold  # accounts for bodies in memory; raises Refusal when there are too many bytes
        self._clock = clock
        self._owner = uuid.uuid4().hex
        self._running: set[asyncio.Task[None]] = set()
        self._unanswered: dict[str, asyncio.Task[None]] = {}  # by key, of these
        self._reserved = 0  # by calls that are about to run
        self._closing = False

    @property
    def running(self) -> int:
        return len(self._running)

    # -- the client's requests

    async def begin(self, host: Host) -> Answer:
        """Start a call and answer with its task object. Raises Refusal, RuleRefusal."""
        assert host.prepared is not None  # the route has `async`
        assert host.route is not None
        identity = deferred.begin(host.platform, host.route, host.incoming)
        key = key_of(identity)
        assert key is not None  # we made the id
        if self._closing or len(self._running) + self._reserved >= self._most:
            raise _busy()
        program = host.prepared.program(host.incoming)
        try:
            step = next(program)  # what a client must not send is refused now, not in a task
        except StopIteration as end:
            first: Step | None = None
            result: Result | None = end.value
        else:
            first, result = step, None
        size = len(host.incoming.body)
        self._reserved += 1
        try:
            self._hold(size)
            store = await self._store()
            await self._say_running(store, key)
            if self._closing:
                raise _busy()
        except BaseException:
            program.close()
            self._hold(-size)
            raise
        finally:
            self._reserved -= 1
        call = _Call(identity, key, host, program, first, result)
        task = asyncio.get_running_loop().create_task(self._run(call, store))
        self._running.add(task)
        self._unanswered[key] = task
        self._gauge.inc()
        task.add_done_callback(partial(self._ended, size))
        return deferred.running(identity)

    def _ended(self, size: int, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._gauge.dec()
        self._hold(-size)

    async def look(self, identity: Identity, incoming: Incoming) -> Answer:
        """The task object. Raises RuleRefusal (404) for a call that is not known, or not any more; Refusal."""
        stored = await self._stored(identity)
        if stored is None:
            return deferred.running(identity)
        return deferred.task(identity, stored, detail=incoming.query.get("detail") == "true")

    async def content(self, identity: Identity, incoming: Incoming) -> Answer | Download:
        """The finished work. Raises RuleRefusal, Refusal."""
        return deferred.content(identity, await self._stored(identity), incoming)

    # -- what is in the store

    async def _store(self) -> Store:
        try:
            return await self._open_store()
        except StoreError as error:
            raise _no_store(error) from None

    async def _say_running(self, store: Store, key: str) -> None:
        try:
            if not await store.claim(key, self._owner, self._lease):
                raise StoreError("a new call is claimed by another worker")
            await store.put(key, RUNNING, self._kept)
        except StoreError as error:
            raise _no_store(error) from None

    async def _stored(self, identity: Identity) -> deferred.Stored | None:
        """What came of a call, None while it runs. Raises RuleRefusal (404), Refusal."""
        key = key_of(identity)
        if key is None:
            raise unknown_task("no call here has it")
        if key in self._unanswered:
            return None
        store = await self._store()
        try:
            stored = await _read(store, key)
            if stored is not None or not await store.claim(key, uuid.uuid4().hex, _BURIAL):
                return stored
            # Nobody works on it: its worker has died, or has just finished.
            stored = await _read(store, key)
            if stored is None:
                stored = deferred.lost(identity, int(self._clock()))
                await store.put(key, pack(stored), self._kept)
                self._observe(identity.platform, DeferredOutcome.INTERRUPTED)
        except StoreError as error:
            raise _no_store(error) from None
        return stored

    # -- the call

    async def _run(self, call: "_Call", store: Store) -> None:
        renewing = asyncio.get_running_loop().create_task(self._renew(call.key, store))
        try:
            try:
                stored, ended = await self._made(call)
                outcome = DeferredOutcome.COMPLETED if stored.status < 400 else DeferredOutcome.FAILED
            except asyncio.CancelledError:  # the worker stops; what is left is to say so
                stored, ended = deferred.lost(call.identity, int(self._clock())), Outcome.DRAINED
                outcome = DeferredOutcome.INTERRUPTED
                await self._bury(call.key, stored, store)
            else:
                self._unanswered.pop(call.key, None)
                if not await self._keep(call.key, stored, store):
                    outcome = DeferredOutcome.NOT_KEPT
            self._observe(call.identity.platform, outcome)
            call.host.ended(stored.status, ended, call.error, outcome.value, len(stored.body))
        finally:
            self._unanswered.pop(call.key, None)
            renewing.cancel()

    async def _bury(self, key: str, stored: deferred.Stored, store: Store) -> None:
        """Say of a call of ours that it was interrupted, unless a poll has done so; tried once, for the worker has to stop."""
        try:
            if await store.claim(key, self._owner, self._lease):
                await store.put(key, pack(stored), self._kept)
        except StoreError as error:
            logger.warning("it could not be said that a deferred call was interrupted: %s", error)

    async def _made(self, call: "_Call") -> tuple[deferred.Stored, Outcome]:
        """The call's answer, whatever it is, and how an exchange would have ended with it."""
        protocol = call.host.route.protocol if call.host.route is not None else Protocol.CHAT
        try:
            answer = await self._answer(call)
            stored = deferred.Stored(answer.status, answer.content_type, answer.body, int(self._clock()))
            return stored, Outcome.OK if stored.status < 400 else Outcome.UPSTREAM_ERROR
        except (Refusal, RuleRefusal) as refused:
            refusal = refused if isinstance(refused, Refusal) else refusal_of(refused)
            call.error = refusal.error
            stored = self._failed(protocol, refusal.status, refusal.code, refusal.message)
        except Exception:
            logger.exception("the program of a deferred call failed")
            call.error = ErrorType.PROXY_INTERNAL_ERROR
            stored = self._failed(protocol, 500, "internal_error", "The gateway failed to handle this request.")
        return stored, Outcome.REFUSED if stored.status < 500 else Outcome.FAILED

    async def _answer(self, call: "_Call") -> Answer:
        result = call.result
        if call.first is not None:
            result = await self._runner.run(call.program, call.first, call.host)
        assert result is not None  # a program that has no step has a result
        if isinstance(result, Download) and isinstance(result.source, str):
            # A file of any size: its place is kept, and whoever asks for the content gets it streamed from there.
            said = {"created": int(self._clock()), "data": [{"url": result.source}]}
            return Answer(200, dumps(said), _JSON)
        return await self._runner.settle(result, call.host)

    def _failed(self, protocol: Protocol, status: int, code: str, message: str) -> deferred.Stored:
        refusal = Refusal(status, ErrorType.PROXY_INTERNAL_RESPONSE, code, message)
        return deferred.Stored(status, _JSON, error_body(refusal, protocol), int(self._clock()))

    async def _keep(self, key: str, stored: deferred.Stored, store: Store) -> bool:
        """Put the answer into the store; False when it could not be, however often tried."""
        for attempt in range(_TRIES):
            try:
                await self._own(key, store)
                await store.put(key, pack(stored), self._kept)
            except RecordTooLargeError as error:
                logger.warning("the answer of a deferred call is not kept: %s", error)
                text = "The answer is too large to be kept; ask for it without async."
                await self._keep(key, self._failed(Protocol.CHAT, 502, "answer_too_large", text), store)
                return False
            except StoreError as error:
                logger.warning("the answer of a deferred call could not be kept (attempt %d of %d): %s", attempt + 1, _TRIES, error)
                if attempt + 1 < _TRIES:
                    await asyncio.sleep(0.1 * 4**attempt)
            else:
                return True
        return False

    async def _own(self, key: str, store: Store) -> None:
        """Have the claim. When a poll takes us for dead, it has it; not for long."""
        while not await store.claim(key, self._owner, self._lease):  # noqa: ASYNC110 - another process gives it back
            await asyncio.sleep(_BURIAL / 5)

    async def _renew(self, key: str, store: Store) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                await store.claim(key, self._owner, self._lease)
            except StoreError as error:
                logger.warning("the claim of a deferred call could not be renewed: %s", error)

    async def close(self) -> None:
        """Interrupt what runs, and say so in the store."""
        self._closing = True
        for task in self._unanswered.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_PUT_AWAY)
        await end_all(self._running)


class _Call:
    """A deferred call: its program with the first step, or the result that it had at once. `error`: what went wrong here."""

    __slots__ = ("error", "first", "host", "identity", "key", "program", "result")

    def __init__(
        self, identity: Identity, key: str, host: Host, program: Program, first: Step | None, result: Result | None
    ) -> None:
        self.identity = identity
        self.key = key
        self.host = host
        self.program = program
        self.first = first
        self.result = result
        self.error: ErrorType | None = None


async def _read(store: Store, key: str) -> deferred.Stored | None:
    """What is stored, None while the call runs. Raises RuleRefusal (404), StoreError."""
    record = await store.get(key)
    if record is None:
        raise unknown_task("no call here has it, or its answer was kept long enough")
    try:
        return unpack(record)
    except BadRecordError as error:
        raise StoreError(f"the store holds {error} where one should be") from None


def _busy() -> Refusal:
    return Refusal(
        503,
        ErrorType.CONNECTION_LIMIT_REACHED,
        "too_many_deferred",
        "The gateway runs as many calls in the background as it may; send this one later, or without async.",
        limit="deferred_calls",
        fields=_RETRY_AFTER,
    )


def _no_store(error: StoreError) -> Refusal:
    logger.error("deferred calls are not possible: %s", error)
    return Refusal(
        503,
        ErrorType.PROXY_INTERNAL_ERROR,
        "store_unavailable",
        "The gateway cannot reach the store of deferred calls at the moment.",
        fields=_RETRY_AFTER,
    )
