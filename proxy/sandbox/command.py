"""`dragoman sandbox`: the platforms' offline side as a server of its own, for gateways and for programs without one."""

import asyncio
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy.sandbox.server import Sandbox
from translators.load import load, shipped_rules

USAGE = 2
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+)):(\d{1,5})")


def run(listen: str, directories: Sequence[Path], task_time: float) -> int:
    """Serve until SIGINT or SIGTERM. Raises translators.problems.InvalidFileError for rules that cannot be loaded."""
    found = _ADDRESS.fullmatch(listen)
    if found is None or int(found[3]) > 65535:
        sys.stderr.write(f"dragoman: --listen {listen!r}: write HOST:PORT or [IPV6]:PORT; port 0 asks for a free one\n")
        return USAGE
    sandbox = Sandbox(load((shipped_rules(), *directories)), task_time=task_time)
    try:
        asyncio.run(_serve(sandbox, found[1] or found[2], int(found[3])))
    except OSError as exc:
        sys.stderr.write(f"dragoman: cannot listen on {listen}: {exc.strerror or exc}\n")
        return 1
    return 0


async def _serve(sandbox: Sandbox, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await sandbox.start(host, port)
    sys.stderr.write(welcome(sandbox) + "\n")
    sys.stderr.flush()
    try:
        await stop.wait()
    finally:
        await sandbox.stop()


def welcome(sandbox: Sandbox) -> str:
    """Says where which platform is."""
    lines = [f"the sandbox is listening on {sandbox.url}; each platform has an address of its own:"]
    lines += [f"  {sandbox.url_of(name)}" for name in sandbox.platforms]
    lines.append(f"for a gateway: dragoman serve --upstream PLATFORM={sandbox.url}/~PLATFORM, with any secrets")
    return "\n".join(lines)
