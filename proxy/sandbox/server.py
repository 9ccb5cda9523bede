"""The sandbox's sockets: requests are read, operations asked, answers paced and sent, faults carried out.

This is the only module of the sandbox that waits or writes. It is not the hot path of anything, so it stands on aiohttp's
public server.
"""

import asyncio
import random
import socket
import struct
import time
from typing import Any

import orjson
from aiohttp import BodyPartReader, web

from proxy.sandbox import dialect as dialects
from proxy.sandbox import faults
from proxy.sandbox.faults import Fault
from proxy.sandbox.replies import Context, Json, Plain, RefusalError, Reply, frames
from proxy.sandbox.routes import find

MAX_BODY = 64 * 1024 * 1024
"""The largest JSON body; file parts of forms are read past and may be larger."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: closing sends RST
_SERVER = {"Server": "dragoman-sandbox"}


class Sandbox:
    """An upstream without key and network.

    `pace` is the pause before each event of a stream and before a plain answer, in seconds. With a `seed` ids repeat from run
    to run. `url` is known after `start`; `cancelled` counts the answers whose client left before they were complete.
    """

    def __init__(self, *, pace: float = 0.02, seed: int | None = None) -> None:
        self.url = ""
        self.cancelled = 0
        self._pace = pace
        self._source = random.Random(seed)  # noqa: S311 - ids of a sandbox are no secrets
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

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        dialect = dialects.guess(path, request.headers, request.query)
        context = Context(int(time.time()), self.url, self._source)
        request_id = context.mint("req_")
        try:
            route = find(path, request.method, dialect, request.query)
            dialect = route.dialect
            body = await read_body(request) if route.method == "POST" else {}
            fault = faults.requested(request.headers.get(faults.HEADER))
            refused = faults.refusal(fault) if fault else None
            if refused is not None:
                raise refused
            reply = route.operation(body, context)
        except RefusalError as error:
            head = dialects.head(dialect, request_id, context.now, error.status)
            failed = Plain(dialects.error_body(dialect, error, request_id))
            return web.Response(status=error.status, body=failed.encode(), content_type=failed.content_type, headers=_SERVER | head)
        head = _SERVER | dialects.head(dialect, request_id, context.now)
        return await self._send(request, reply, head, fault)

    async def _send(self, request: web.Request, reply: Reply, head: dict[str, str], fault: Fault | None) -> web.StreamResponse:
        """Send an answer, step by step, with the fault it was asked for."""
        pace = self._pace * (faults.SLOWER if fault is Fault.SLOW else 1)
        response = web.StreamResponse(headers=head | {"Content-Type": reply.content_type})
        if isinstance(reply, Plain):
            whole = reply.encode()
            response.content_length = len(whole)
            steps = [whole]
        else:
            response.headers["Cache-Control"] = "no-cache"
            steps = list(frames(reply))
        steps, silenced = shaped(steps, fault)
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


def shaped(steps: list[bytes], fault: Fault | None) -> tuple[list[bytes], bool]:
    """What is really sent of an answer, and whether the fault then silences it.

    A stall keeps the first event; a cut and a reset keep half of the events and half of the next one. Of a plain body all
    three keep half.
    """
    if fault not in (Fault.CUT, Fault.RESET, Fault.STALL):
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
    """The request's body as an object: JSON, or the fields of a form.

    Raises:
        RefusalError: 400 when it is neither, 413 when it is too large.
    """
    if request.content_type.startswith("multipart/"):
        return await read_form(request)
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


async def read_form(request: web.Request) -> Json:
    """The fields of a multipart form: texts as they are, files as a word on their size; a repeated name gives an array.

    Raises:
        RefusalError: 400 when the body is no form.
    """
    fields: Json = {}
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise RefusalError(400, "A multipart body inside a multipart body is not understood here.")
            name = part.name or ""
            if part.filename is None:
                value = bytes(await part.read()).decode("utf-8", "replace")
            else:
                size = 0
                while chunk := await part.read_chunk(1 << 16):
                    size += len(chunk)
                value = f"{size} bytes"
            held = fields.get(name)
            fields[name] = value if held is None else [*(held if isinstance(held, list) else [held]), value]
    except (ValueError, RuntimeError, AssertionError, web.HTTPException) as error:
        raise RefusalError(400, f"The multipart body could not be read: {error}.") from None
    return fields
