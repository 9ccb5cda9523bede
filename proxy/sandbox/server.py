"""The sandbox's sockets: requests are read, operations asked, answers paced and sent, faults carried out.

This is the only module of the sandbox that waits or writes. It is not the hot path of anything, so it stands on aiohttp's
public server.
"""

import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from proxy.sandbox import dialect as dialects
from proxy.sandbox import faults, files, media, routes
from proxy.sandbox.asked import Asked
from proxy.sandbox.faults import Fault
from proxy.sandbox.offline import Offline, Said, Times
from proxy.sandbox.replies import Context, Json, Plain, RefusalError, frames
from translators.model import RuleSet

MAX_BODY = 64 * 1024 * 1024
"""The largest body that is read."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: closing sends RST
_SERVER = {"Server": "dragoman-sandbox"}
_JSON = "application/json"
_BODILESS = frozenset({204, 304})
_PLATFORM = re.compile(r"/~([^/]+)(?=/|$)")


class Sandbox:
    """An upstream without key and network: all platforms of some rules, each below an address of its own (`url_of`).

    `pace` is the pause before each event of a stream and before a plain answer, `task_time` how long a task takes, in seconds.
    With a `seed` ids repeat from run to run; `clock` gives Unix seconds. `url` is known after `start`; without a platform's name in
    the path it answers what any platform of the protocols would. `cancelled` counts the answers whose client left before they were
    complete.
    """

    def __init__(
        self,
        rules: RuleSet | None = None,
        *,
        pace: float = 0.02,
        task_time: float = 2.0,
        seed: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = ""
        self.cancelled = 0
        self._pace = pace
        self.times = Times(clock, task_time)
        self._source = random.Random(seed)  # noqa: S311 - ids of a sandbox are no secrets
        self._rules = rules or RuleSet({})
        self._sides: dict[str, Offline] = {}
        self._runner: web.AppRunner | None = None
        self._open: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 asks the kernel for a free one.

        Raises:
            OSError: the address is in use or not ours.
            RuntimeError: the sandbox runs already.
        """
        if self._runner is not None:
            raise RuntimeError(f"The sandbox already listens at {self.url}; stop it first.")
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._stopping = runner, False
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{runner.addresses[0][1]}"
        self.update(self._rules)

    def update(self, rules: RuleSet) -> None:
        """Answer by these rules from now on. Tasks that live go on, as far as their platforms are still there."""
        self._rules = rules
        self._sides = {
            name: Offline(
                platform, self.url_of(name) + platform.upstream.base, self.times, self._source, former.jobs if former else None
            )
            for name, platform in rules.platforms.items()
            for former in (self._sides.get(name),)
        }

    @property
    def platforms(self) -> tuple[str, ...]:
        """The names of the platforms that are served."""
        return tuple(self._sides)

    def url_of(self, platform: str) -> str:
        """The address that stands for a platform; its own base path may follow."""
        return f"{self.url}/~{platform}"

    async def stop(self) -> None:
        """Stop listening and drop what is still being answered. Stopping twice does nothing."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._stopping = True
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """One exchange, counted when the client leaves it early."""
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
        try:
            return await self._exchange(request)
        except asyncio.CancelledError:
            self.cancelled += not self._stopping
            raise
        finally:
            if task is not None:
                self._open.discard(task)

    def _place(self, raw: str) -> tuple[Offline | None, str]:
        """The platform that a path names, and the path that the platform would see."""
        found = _PLATFORM.match(raw)
        side = self._sides.get(found[1]) if found else None
        if found is None or side is None:
            return None, raw
        path = raw[found.end() :]
        base = side.platform.upstream.base
        return side, (path[len(base) :] if base and path.startswith(base + "/") else path) or "/"

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        side, path = self._place(request.rel_url.raw_path)
        if path.startswith(media.FILES):
            return file_answer(request, path.removeprefix(media.FILES))
        dialect = dialects.guess(path, request.headers, request.query)
        context = Context(int(self.times.clock()), self.url, self._source)
        request_id = context.mint("req_")
        try:
            fault = faults.requested(request.headers.get(faults.HEADER))
            if side is not None:
                said = await self._by_examples(request, side, path, fault)
                if said is not None:
                    return await self._send(request, said, fault)
            route = routes.find(path, request.method, request.query)
            dialect = route.dialect
            body = await read_body(request)
            refused = faults.refusal(fault) if fault else None
            if refused is not None:
                raise refused
            reply = route.operation(body, context)
        except RefusalError as error:
            told = await self._told(request, side, path) if side is not None and error.status in (400, 404) else None
            if told is not None:
                return await self._send(request, told, None)
            head = dialects.head(dialect, request_id, context.now, error.status) | {"Content-Type": _JSON}
            refusal = Plain(dialects.error_body(dialect, error, request_id)).encode()
            return web.Response(status=error.status, body=refusal, headers=_SERVER | head)
        head = dialects.head(dialect, request_id, context.now) | {"Content-Type": reply.content_type}
        streamed = not isinstance(reply, Plain)
        steps = (reply.encode(),) if isinstance(reply, Plain) else tuple(frames(reply))
        return await self._send(request, Said(200, head, steps, streamed), fault)

    async def _by_examples(self, request: web.Request, side: Offline, path: str, fault: Fault | None) -> Said | None:
        """The answer of the platform's examples; None for a conversation. Raises RefusalError for a fault that no example shows."""
        method = "GET" if request.method == "HEAD" else request.method
        talks = side.converses(method, path)
        status = fault.status if fault else None
        failed = side.fault(status, Asked.read(method, path, "", {}, b"")) if status is not None else None
        try:
            data = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise RefusalError(413, f"The body is larger than the sandbox reads ({MAX_BODY} bytes).") from None
        refused = faults.refusal(fault) if fault and failed is None else None
        if refused is not None:
            raise refused
        asked = Asked.read(method, path, request.rel_url.raw_query_string, request.headers, data)
        return failed or (side.pictured(asked) if talks else side.answer(asked))

    async def _told(self, request: web.Request, side: Offline, path: str) -> Said | None:
        """The answer of an example that asks just this: platforms stretch the protocols further than the sandbox speaks them."""
        data = await request.read()
        return side.told(Asked.read(request.method, path, request.rel_url.raw_query_string, request.headers, data))

    async def _send(self, request: web.Request, said: Said, fault: Fault | None) -> web.StreamResponse:
        """Send an answer, step by step, with the fault it was asked for."""
        pace = self._pace * (faults.SLOWER if fault is Fault.SLOW else 1)
        response = web.StreamResponse(status=said.status, headers=_SERVER | dict(said.headers))
        if said.streamed:
            response.headers["Cache-Control"] = "no-cache"
        else:
            response.content_length = sum(map(len, said.steps))
        bodiless = request.method == "HEAD" or said.status in _BODILESS
        steps, silenced = shaped([] if bodiless else list(said.steps), fault)
        try:
            await asyncio.sleep(pace)
            await response.prepare(request)
            for number, step in enumerate(steps):
                await asyncio.sleep(pace if number else 0)
                await response.write(step)
            if silenced:
                await silence(request, fault)
            else:
                await response.write_eof()
        except ConnectionError:
            self.cancelled += not self._stopping
        return response


def file_answer(request: web.Request, name: str) -> web.Response:
    """A file of the sandbox's own; 404 when the name is none that it gives out."""
    found = media.named(name)
    if found is None or request.method not in ("GET", "HEAD"):
        status, text = (405, "Files take GET and HEAD.") if found else (404, "The sandbox has no such file.")
        return web.Response(status=status, text=text, headers=_SERVER)
    status, head, data = files.serve(*found, request.headers)
    return web.Response(status=status, body=data, headers=_SERVER | head)


def shaped(steps: list[bytes], fault: Fault | None) -> tuple[list[bytes], bool]:
    """What is really sent of an answer, and whether the fault then silences it.

    A stall keeps the first event; a cut and a reset keep half of the events and half of the next one. Of a plain body all
    three keep half.
    """
    if not steps or fault not in (Fault.CUT, Fault.RESET, Fault.STALL):
        return steps, False
    if fault is Fault.STALL and len(steps) > 1:
        return steps[:1], True
    middle = len(steps) // 2
    return [*steps[:middle], steps[middle][: len(steps[middle]) // 2]], True


async def silence(request: web.Request, fault: Fault | None) -> None:
    """Carry out a fault of the connection: close it, reset it, or wait until the client leaves."""
    transport = request.transport
    if fault is Fault.STALL or transport is None:
        await asyncio.get_running_loop().create_future()
    elif fault is Fault.RESET:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()  # flushes what was written, then FIN: the body's end is missing


async def read_body(request: web.Request) -> Json:
    """The request's body as a JSON object.

    Raises:
        RefusalError: 400 when it is neither, 413 when it is too large.
    """
    try:
        body = orjson.loads(await request.read())
        # Printing it once with room for an envelope: what is nested too deeply for an answer is refused here.
        orjson.dumps([[[[[[[[[[body]]]]]]]]]])
    except web.HTTPRequestEntityTooLarge:
        raise RefusalError(413, f"The body is larger than the sandbox reads ({MAX_BODY} bytes).") from None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise RefusalError(400, f"We could not parse the JSON body of your request: {error}.") from None
    if not isinstance(body, dict):
        raise RefusalError(400, "The JSON body must be an object.")
    return body
