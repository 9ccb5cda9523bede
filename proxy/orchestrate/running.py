"""The loop over a program's steps: calls through the host, fetches under the rule's policy, pauses; bounded in time.

However it ends, the program is closed and nothing it asked for goes on, but for one thing: a task that was begun for a client that
has left is ended at the platform, where the rule says `on_client_abort: cancel` and the platform can.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from proxy.fetch.fetcher import Fetched as Found
from proxy.fetch.targets import FetchError, FetchPolicy
from proxy.orchestrate.downloads import refusal_of
from proxy.orchestrate.interface import Host
from proxy.orchestrate.policy import fetch_policy
from proxy.outcomes import ErrorType
from proxy.wire.answers import error_body
from proxy.wire.refusal import Refusal
from translators.model import OnAbort
from translators.runtime.steps import (
    Answer,
    Call,
    Download,
    Fetch,
    Fetched,
    Headers,
    Pass,
    Program,
    Reply,
    Result,
    RuleRefusal,
    Step,
)
from translators.runtime.tasks import NO_RETRY

logger = logging.getLogger("dragoman.orchestrate")

Read = Callable[[str, FetchPolicy], Awaitable[Found]]

_END_OF_TASK = 10.0  # seconds for telling a platform that nobody waits for a task any more
_MOST_ENDINGS = 64


class Runner:
    """Runs programs, each for at most `limit` seconds (0: no limit). `read` reads the file behind a URL, or raises FetchError;
    `hold` accounts for such files as long as their program runs, and raises Refusal when there are too many bytes."""

    def __init__(self, read: Read, limit: float, hold: Callable[[int], None]) -> None:
        self._read = read
        self._limit = limit
        self._hold = hold
        self._endings: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, program: Program, first_step: Step, host: Host) -> Result:
        """What the program ends with. Raises Refusal, and what the program raises."""
        steps = _Steps(program, host, self._read, self._hold)
        try:
            async with asyncio.timeout(self._limit or None):
                return await steps.run(first_step)
        except (Refusal, RuleRefusal) as refusal:
            refusal.fields += tuple(field for field in steps.advice if field not in refusal.fields)
            raise
        except TimeoutError:
            text = "All calls of this request took too long."
            refused = Refusal(504, ErrorType.HTTP_RESPONSE_TIMEOUT, "program_timeout", text, limit="t_program", fields=steps.advice)
            raise refused from None
        except asyncio.CancelledError:
            if steps.task_id is not None:
                self._end_task(host, steps.task_id)
            raise
        finally:
            program.close()
            self._hold(-steps.held)

    async def settle(self, result: Result, host: Host) -> Answer:
        """The whole answer that a result stands for, where it cannot be passed on as it comes. Raises Refusal, RuleRefusal."""
        if isinstance(result, Answer):
            return result
        if isinstance(result, Pass):
            reply = await host.call(result.call)
            made = result.convert.whole(reply) if result.convert is not None else None
            return made or Answer(reply.status, reply.body, reply.headers.get("content-type"))
        assert isinstance(result.source, Call)  # what is behind a URL is streamed
        reply = await host.call(result.source)
        return Answer(reply.status, reply.body, reply.headers.get("content-type") or result.content_type, notes=result.notes)

    async def again(self, download: Download, host: Host) -> Result:
        """A fresh source for a file that is gone. Raises Refusal, and what the program raises."""
        assert download.again is not None  # the caller looked
        program = download.again()
        try:
            step = next(program)
        except StopIteration as end:
            found: Result = end.value
            return found
        return await self.run(program, step, host)

    def _end_task(self, host: Host, task_id: str) -> None:
        """Tell the platform that nobody waits any more, beside everything else."""
        handling = host.route.handling if host.route is not None else None
        if handling is None or handling.on_client_abort is not OnAbort.CANCEL:
            return
        if self._closed or len(self._endings) >= _MOST_ENDINGS:
            return
        task = asyncio.get_running_loop().create_task(_tell(host, task_id))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        """Nothing goes on behind this, and nothing begins."""
        self._closed = True
        await end_all(self._endings)


class _Steps:
    """One program under way. `task_id`: the task that it waits for; `held`: bytes of the files that it has got."""

    def __init__(self, program: Program, host: Host, read: Read, hold: Callable[[int], None]) -> None:
        self.task_id: str | None = None
        self.held = 0
        self._program = program
        self._host = host
        self._read = read
        self._hold = hold
        self._called = False
        self._begun = False

    @property
    def advice(self) -> Headers:
        """Fields of a failure: what has been begun would be begun, and paid, once more by a client that repeats the request."""
        return NO_RETRY if self._begun else ()

    async def run(self, step: Step) -> Result:
        while True:
            value = await self._do(step)
            try:
                step = self._program.send(value)
            except StopIteration as end:
                self.task_id = None
                result: Result = end.value
                return result

    async def _do(self, step: Step) -> Reply | Fetched | None:
        if isinstance(step, Call):
            return await self._call(step)
        if isinstance(step, Fetch):
            return await self._fetch(step.url)
        self.task_id = step.task_id or self.task_id
        await asyncio.sleep(step.seconds)
        return None

    async def _fetch(self, url: str) -> Fetched:
        """The whole file behind a URL. Before its first call a program knows no URLs but the client's. Raises Refusal."""
        host = self._host
        try:
            found = await self._read(url, fetch_policy(host.platform, host.upstream, given=self._called))
        except FetchError as error:
            raise refusal_of(error) from None
        self.held += len(found.data)
        self._hold(len(found.data))
        return Fetched(found.data, found.media_type or None)

    async def _call(self, call: Call) -> Reply:
        self._called = True
        try:
            reply = await self._host.call(call)
        except Refusal as refusal:
            if self.task_id is None or refusal.status < 500:
                raise
            # A poll that found no platform says nothing of the task: the program knows how often that may happen.
            protocol = self._host.route.protocol if self._host.route is not None else refusal.protocol
            return Reply(refusal.status, {"content-type": "application/json"}, error_body(refusal, protocol))
        self._begun = self._begun or (self._host.incoming.method == "POST" and reply.status < 400)
        return reply


async def _tell(host: Host, task_id: str) -> None:
    """Run the program that ends a task; nobody waits for what comes of it."""
    assert host.prepared is not None  # a program ran
    program = host.prepared.cancelling(host.incoming, task_id)
    try:
        async with asyncio.timeout(_END_OF_TASK):
            step = next(program)
            while isinstance(step, Call):
                step = program.send(await host.call(step))
    except StopIteration:
        pass
    except (TimeoutError, Refusal, RuleRefusal) as error:
        logger.info("a task whose client has left could not be ended at the platform: %s", str(error) or "no answer in time")
    except Exception:
        logger.exception("ending a task whose client has left failed")
    finally:
        program.close()


async def end_all(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel and wait."""
    ending: list[Awaitable[None]] = list(tasks)
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
