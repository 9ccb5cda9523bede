"""The proxy everybody writes with aiohttp: a catch-all route, one ClientSession, iter_any.

    python aiohttp_plain.py --port PORT --upstream http://HOST:PORT [--uvloop]

It is a peer to compare with, not a recommendation: no limits, no timeouts, no metrics, and it holds every request body whole.
"""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

# `Content-Length` and `Content-Encoding` too: aiohttp frames and decodes the bodies itself.
NOT_FORWARDED = {"host", "connection", "content-length", "transfer-encoding", "content-encoding"}

session = web.AppKey("session", ClientSession)
upstream = web.AppKey("upstream", str)


async def proxy(request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_FORWARDED}
    headers["Authorization"] = f"Bearer {os.environ['BENCH_KEY']}"
    headers["ModelName"] = "bm"
    body = await request.read()
    call = request.app[session].request(request.method, request.app[upstream] + request.path_qs, headers=headers, data=body)
    async with call as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_FORWARDED}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def with_session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(timeout=ClientTimeout(total=None), connector=TCPConnector(limit=0)) as opened:
        app[session] = opened
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--uvloop", action="store_true")
    args = parser.parse_args()
    app = web.Application(client_max_size=128 * 1024 * 1024)
    app[upstream] = args.upstream
    app.cleanup_ctx.append(with_session)
    app.router.add_route("*", "/{path:.*}", proxy)
    loop: asyncio.AbstractEventLoop | None = None
    if args.uvloop:
        import uvloop

        loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=args.port, backlog=4096, print=None, loop=loop)


if __name__ == "__main__":
    main()
