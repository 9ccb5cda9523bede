"""The second listener: metrics and health, for the operator and the orchestrator, never for clients (rules Q04, Q07).

It shares the process and the loop with the data path and nothing else: no route of the proxy leads here. Nothing it answers calls
a provider, and a scrape lets the loop turn while it collects.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.telemetry.exposition import CONTENT_TYPE
from proxy.telemetry.metrics import Metrics

KEEPALIVE = 75.0  # seconds; Prometheus scrapes over one connection
SHUTDOWN = 0.5  # seconds for a running scrape
BACKLOG = 64
_INDEX = """Dragoman, admin listener

/metrics   Prometheus text format
/healthz   200 while the event loop turns
/readyz    200 when requests are welcome, else 503 and the reason
"""

logger = logging.getLogger("dragoman.admin")


class Admin:
    """`readiness` says why the process is not ready, or None when it is. `start` in the running loop, `stop` at the end."""

    def __init__(self, metrics: Metrics, readiness: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._address = ""
        self._socket_path: Path | None = None

    @property
    def address(self) -> str:
        """What it listens on, in the form of a listen string, with the real port; empty before `start`."""
        return self._address

    async def start(self, listen: str) -> None:
        """Listen on `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. ValueError for another form, OSError when it cannot be had."""
        if self._runner is not None:
            raise RuntimeError("the admin listener is already started")
        listener = _unix_socket(listen) if listen.startswith("unix:") else _tcp_socket(listen)
        app = web.Application(middlewares=[_no_surprises])
        app.on_response_prepare.append(_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/metrics", self._scrape)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=SHUTDOWN)
        await self._runner.setup()
        loop, manager = asyncio.get_running_loop(), self._runner.server
        assert manager is not None

        def accept() -> asyncio.Protocol:
            return _Handler(manager, loop=loop, keepalive_timeout=KEEPALIVE, access_log=None)  # type: ignore[arg-type]

        if listener.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(accept, sock=listener, backlog=BACKLOG)
            self._socket_path = Path(listen.removeprefix("unix:"))
            self._address = listen
        else:
            self._server = await loop.create_server(accept, sock=listener, backlog=BACKLOG)
            host, port = listener.getsockname()[:2]
            self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Close the listener and its connections; a scrape that runs has half a second."""
        if self._runner is None:
            return
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        self._runner = self._server = None
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
            self._socket_path = None

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=_INDEX)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        reason = self._look()
        if reason is None:
            return web.Response(body=b'{"ready":true}\n', content_type="application/json")
        body = orjson.dumps({"ready": False, "reason": reason}, option=orjson.OPT_APPEND_NEWLINE)
        return web.Response(status=503, body=body, content_type="application/json", headers={"Retry-After": "1"})

    async def _scrape(self, _: web.Request) -> web.Response:
        self._look()
        parts = []
        for part in self._metrics.exposition_parts():
            parts.append(part)
            await asyncio.sleep(0)
        return web.Response(body=b"".join(parts), headers={"Content-Type": CONTENT_TYPE})

    def _look(self) -> str | None:
        """Asks for the readiness and lets the gauge say the same as the endpoint."""
        reason = self._readiness()
        self._metrics.ready.set(1.0 if reason is None else 0.0)
        return reason


class _Handler(web.RequestHandler):
    """The library's own answer to bad syntax quotes the request, and its log adds a traceback (rules A12, N09)."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the quotation
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, there is no room for an error")
        if status >= 500:
            logger.error("admin listener: internal error", exc_info=exc)
        # This answer passes no hook that could take the library's name out, so another one stands in its place.
        response = web.Response(status=status, text=f"{status}: refused\n", headers={"Server": "dragoman"})
        response.force_close()
        return response


@web.middleware
async def _no_surprises(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A fault of ours is logged here, because the library's own log of it is switched off."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("admin listener: %s failed", request.match_info.route.resource)
        return web.Response(status=500, text="internal error, see the log\n")


async def _headers(_: web.Request, response: web.StreamResponse) -> None:
    """No advertisement of versions, nothing for a browser to guess or keep."""
    response.headers.pop("Server", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _tcp_socket(listen: str) -> socket.socket:
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"cannot listen on {listen!r}: expected HOST:PORT, [IPV6]:PORT or unix:PATH")
    host = host[1:-1] if bracketed else host
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _unix_socket(listen: str) -> socket.socket:
    """Takes the path over when a dead process left it behind, but not from a living one."""
    path = listen.removeprefix("unix:")
    if not path:
        raise ValueError(f"cannot listen on {listen!r}: expected unix:PATH")
    if Path(path).is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    return listener
