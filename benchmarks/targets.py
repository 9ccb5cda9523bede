"""What can be measured: how each server is started, and how a request must look to go through it.

A server is a process; a target is a way through one. `direct` is the mock without anything in between.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import prepare

REFERENCE = "nginx"
DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the servers of this run listen: fixed ports from `base` on, outside the range of outgoing connections."""

    base: int
    files: int  # how many files a process may open
    dragoman: str  # the command to measure

    @property
    def mock(self) -> int:
        return self.base

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.mock}"

    def port(self, server: str) -> int:
        return self.base + 1 + 2 * list(SERVERS).index(server)

    def admin(self, server: str) -> int:
        return self.port(server) + 1


@dataclass(frozen=True, slots=True)
class Server:
    """`ready_path`: asked on the admin port until it answers 200; None: ready when the port accepts a connection."""

    name: str
    needs: str  # the program that must be on PATH, or beside this Python
    command: Callable[[Site], list[str]]
    ready_path: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: {"BENCH_KEY": prepare.BENCH_KEY})


@dataclass(frozen=True, slots=True)
class Target:
    """`workloads`: those it is measured in; empty means all."""

    name: str
    server: str | None  # None: straight to the mock
    path: str = "/v1/chat/completions"
    fields: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    changed: bool = False  # the request's body must come out with EDITED in it instead of what the client said
    translated: bool = False  # the upstream speaks another protocol: nothing is compared byte for byte


def _nginx(site: Site) -> list[str]:
    conf = prepare.write_nginx_conf(site.port("nginx"), site.mock, site.files)
    return ["nginx", "-c", str(conf), "-e", str(prepare.LOGS / "nginx-error.log")]


def _aiohttp(name: str, *more: str) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        script = str(prepare.HERE / "peers" / "aiohttp_plain.py")
        return [sys.executable, script, "--port", str(site.port(name)), "--upstream", site.upstream, *more]

    return command


def access_log(server: str) -> Path:
    return prepare.LOGS / f"{server}-access.log"


def _dragoman(name: str, config: str) -> Callable[[Site], list[str]]:
    def command(site: Site) -> list[str]:
        return [
            *(site.dragoman, "serve"),
            *("--listen", f"127.0.0.1:{site.port(name)}"),
            *("--admin", f"127.0.0.1:{site.admin(name)}"),
            *("--rules", str(prepare.HERE / "rules")),
            *("--config", str(prepare.HERE / config)),
            *("--upstream", f"bench={site.upstream}"),
            *("--access-log", str(access_log(name))),
        ]

    return command


SERVERS = {
    server.name: server
    for server in (
        Server("nginx", "nginx", _nginx),
        Server("aiohttp-plain", "python", _aiohttp("aiohttp-plain")),
        Server("aiohttp-plain-uvloop", "python", _aiohttp("aiohttp-plain-uvloop", "--uvloop")),
        Server("dragoman", "dragoman", _dragoman("dragoman", "dragoman.yaml"), "/readyz"),
        Server("dragoman-asyncio", "dragoman", _dragoman("dragoman-asyncio", "dragoman-asyncio.yaml"), "/readyz"),
    )
}

# With the platform in the path and the model in a header, nothing looks into the body.
PREFIX_PATH = "/bench/v1/chat/completions"
MODEL_FIELD = ("ModelName: bm",)
EDITED = b'"max_tokens":512'  # by the rule; as long as the client's 256, because the mock's count of bytes is checked

TARGETS = {
    target.name: target
    for target in (
        Target(DIRECT, None),
        Target("nginx", "nginx"),
        Target("aiohttp-plain", "aiohttp-plain"),
        Target("aiohttp-plain-uvloop", "aiohttp-plain-uvloop"),
        Target("dragoman", "dragoman", PREFIX_PATH, MODEL_FIELD),
        Target("dragoman-by-model", "dragoman", workloads=("w1c1", "w1c32", "w1c256", "w2", "w5")),
        Target("dragoman-edited", "dragoman", "/bench/edited", MODEL_FIELD, ("w1c1", "w1c32", "w1c256", "w5"), changed=True),
        Target("dragoman-template", "dragoman", "/bench/template", MODEL_FIELD, ("w1c1", "w1c32", "w1c256"), changed=True),
        Target("dragoman-messages", "dragoman", "/bench/messages", workloads=("w2", "w3"), translated=True),
        Target("dragoman-generate", "dragoman", "/bench/generate", workloads=("w2", "w3"), translated=True),
        Target("dragoman-asyncio", "dragoman-asyncio", PREFIX_PATH, MODEL_FIELD),
    )
}
QUICK_TARGETS = (
    *("direct", "nginx", "aiohttp-plain"),
    *("dragoman", "dragoman-by-model", "dragoman-edited", "dragoman-template", "dragoman-messages", "dragoman-generate"),
)
DEFAULT_TARGETS = (*QUICK_TARGETS, "dragoman-asyncio")


def find_dragoman() -> str:
    """The command beside this Python, else the one on PATH."""
    beside = Path(sys.executable).with_name("dragoman")
    return str(beside) if os.access(beside, os.X_OK) else "dragoman"


def missing_program(target: Target, site: Site) -> str | None:
    """The name of the program that this target needs and this machine has not."""
    if target.server is None:
        return None
    needs = SERVERS[target.server].needs
    if needs == "python":
        return None
    command = site.dragoman if needs == "dragoman" else needs
    return None if shutil.which(command) else command
