"""The command line: `dragoman serve | routes | check | licence`."""

import argparse
import asyncio
import dataclasses
import gc
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy import __version__
from proxy.config import EVENT_LOOPS, LOG_LEVELS, load_config
from proxy.routing.gate import hash_licence
from proxy.settings import Settings
from translators import report
from translators.load import load, shipped_rules
from translators.problems import InvalidFileError

FAILED, USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 when it did what it was asked to do."""
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except InvalidFileError as exc:
        print(exc, file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dragoman", description="A byte-faithful reverse proxy for model APIs.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"dragoman {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands.add_parser("serve", help="run the gateway", allow_abbrev=False))
    routes = commands.add_parser("routes", help="list what is served", allow_abbrev=False)
    routes.add_argument("--format", choices=("table", "json"), default="table")
    routes.add_argument("--rules", metavar="DIR", type=Path, action="append", default=[], help="further rule directories")
    routes.set_defaults(run=_routes)
    check = commands.add_parser("check", help="check rule files", allow_abbrev=False)
    check.add_argument("directory", metavar="DIR", type=Path, nargs="?", help="a rule directory (default: the shipped one)")
    check.set_defaults(run=_check)
    licence = commands.add_parser("licence", help="make a client licence, or hash one given on standard input", allow_abbrev=False)
    licence.add_argument("--hash", action="store_true", help="read a licence from standard input and print its hash")
    licence.set_defaults(run=_licence)
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add("--listen", metavar="ADDRESS", action="append", help="HOST:PORT, [IPV6]:PORT or unix:PATH; may be repeated")
    add("--admin", metavar="ADDRESS", help="listener for metrics and health, or 'off' (default 127.0.0.1:9090)")
    add("--rules", metavar="DIR", type=Path, action="append", help="rule directory laid over the shipped one; may be repeated")
    add("--upstream", metavar="PLATFORM=URL", action="append", help="replace a platform's base URL; may be repeated")
    add("--sandbox", action="store_true", default=None, help="answer from an embedded sandbox: no key, no network")
    add("--open", action="store_true", default=None, help="let everybody in, also from other machines")
    add("--config", metavar="FILE", type=Path, help="configuration file; options win over it")
    add("--access-log", metavar="TARGET", help="a path, '-' for standard output (default), or 'off'")
    add("--log-level", choices=LOG_LEVELS)
    add("--event-loop", choices=EVENT_LOOPS, help="auto takes uvloop where it is installed")
    serve.set_defaults(run=_serve)


def _settings(options: argparse.Namespace) -> Settings:
    """The configuration file with the options laid over it. Raises ValueError for a malformed option."""
    settings = load_config(options.config) if options.config else Settings()
    changes: dict[str, object] = {
        name: getattr(options, name)
        for name in ("sandbox", "open", "access_log", "log_level", "event_loop")
        if getattr(options, name) is not None
    }
    if options.listen:
        changes["listen"] = tuple(options.listen)
    if options.admin:
        changes["admin"] = None if options.admin == "off" else options.admin
    if options.rules:
        changes["rules"] = (*settings.rules, *options.rules)
    if options.upstream:
        changes["upstreams"] = {**settings.upstreams, **dict(map(_upstream, options.upstream))}
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


def _upstream(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals:
        raise ValueError(f"--upstream {text!r}: write PLATFORM=URL, with a URL such as http://127.0.0.1:9000")
    return name, url


def _serve(options: argparse.Namespace) -> int:
    from proxy.server import StartError  # the other commands need no server
    from proxy.telemetry import logs

    try:
        settings = _settings(options)
        logs.setup(settings.log_level)
        with asyncio.Runner(loop_factory=_loop_factory(settings.event_loop)) as runner:
            return runner.run(_run(settings))
    except (StartError, ValueError, OSError) as exc:
        print(f"dragoman: {exc}", file=sys.stderr)
        return FAILED


def _loop_factory(choice: str) -> "type[asyncio.AbstractEventLoop]":
    if choice != "asyncio":
        try:
            import uvloop
        except ImportError:
            if choice == "uvloop":
                raise ValueError("event_loop is uvloop, which is not installed: pip install 'dragoman[fast]'") from None
        else:
            return uvloop.Loop
    return asyncio.SelectorEventLoop


async def _run(settings: Settings) -> int:
    from proxy.server import Gateway

    gateway = Gateway(settings)
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await gateway.start()
    loop.add_signal_handler(signal.SIGHUP, gateway.reopen_logs)
    _quiet_collector()
    print(gateway.welcome(), file=sys.stderr, flush=True)
    await stop.wait()
    await gateway.drain(hurry)
    return 0


def _quiet_collector() -> None:
    """Look for cycles seldom: the data path makes none, and a look costs time for every object that is alive.

    With 256 connections the default thresholds cost a fifth of the requests per second (benchmarks, W1).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


def _routes(options: argparse.Namespace) -> int:
    found = report.rows(load((shipped_rules(), *options.rules)))
    print(report.as_json(found) if options.format == "json" else report.as_table(found))
    return 0


def _check(options: argparse.Namespace) -> int:
    directory = options.directory or shipped_rules()
    if not directory.is_dir():
        print(f"dragoman: {directory} is not a directory", file=sys.stderr)
        return USAGE
    rules = load((directory,))
    routes = sum(len(platform.routes) for platform in rules.platforms.values())
    print(f"{directory}: {len(rules.platforms)} platforms, {routes} routes, no problems")
    return 0


def _licence(options: argparse.Namespace) -> int:
    if options.hash:
        licence = sys.stdin.readline().strip()
        if not licence:
            print("dragoman: no licence on standard input", file=sys.stderr)
            return USAGE
        print(hash_licence(licence))
        return 0
    licence = "dm-" + secrets.token_urlsafe(32)
    print(f"licence (give it to the client, it is not kept): {licence}")
    print(f"hash (put it into `licences`):                   {hash_licence(licence)}")
    return 0
