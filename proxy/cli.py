"""The command line: `dragoman serve | routes | check | explain | sandbox | licence`."""

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
        prog="dragoman",
        description="A byte-faithful reverse proxy for model APIs.",
        epilog="dragoman COMMAND --help lists the options of a command; dragoman serve --sandbox runs without any key.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dragoman {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)

    _add_serve(command("serve", "run the gateway"))
    laid = "rule directory laid over the shipped one; may be repeated"
    routes = command("routes", "list what the rule files serve")
    routes.add_argument("platforms", metavar="PLATFORM", nargs="*", help="list these platforms only")
    routes.add_argument("--format", choices=("table", "json"), default="table", help="how the list is printed (default table)")
    routes.add_argument("--rules", metavar="DIR", type=Path, action="append", default=[], help=laid)
    routes.set_defaults(run=_routes)
    _add_check(command("check", "check rule files, and play their examples"))
    _add_explain(command("explain", "show what becomes of a request, without sending it"))
    sandbox = command("sandbox", "answer as the platforms would, by their examples")
    sandbox.add_argument(
        "--listen", metavar="ADDRESS", default="127.0.0.1:8081", help="HOST:PORT or [IPV6]:PORT (default 127.0.0.1:8081)"
    )
    sandbox.add_argument("--rules", metavar="DIR", type=Path, action="append", default=[], help=laid)
    sandbox.add_argument("--task-time", metavar="SECONDS", type=float, default=2.0, help="how long a task takes (default 2)")
    sandbox.set_defaults(run=_sandbox)
    licence = command("licence", "make a client licence, or hash one given on standard input")
    licence.add_argument("--hash", action="store_true", help="read a licence from standard input and print its hash")
    licence.set_defaults(run=_licence)
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add(
        "--listen",
        metavar="ADDRESS",
        action="append",
        help="HOST:PORT, [IPV6]:PORT or unix:PATH; may be repeated (default 127.0.0.1:8080)",
    )
    add("--admin", metavar="ADDRESS", help="listener for metrics and health, or 'off' (default 127.0.0.1:9090)")
    add("--rules", metavar="DIR", type=Path, action="append", help="rule directory laid over the shipped one; may be repeated")
    add("--upstream", metavar="PLATFORM=URL", action="append", help="replace a platform's base URL; may be repeated")
    add("--sandbox", action="store_true", default=None, help="answer from an embedded sandbox: no key, no network")
    add("--open", action="store_true", default=None, help="let everybody in, also from other machines")
    add("--config", metavar="FILE", type=Path, help="configuration file; options win over it")
    add("--access-log", metavar="TARGET", help="a path, '-' for standard output (default), or 'off'")
    add("--log-level", choices=LOG_LEVELS, help="of the program's log on standard error (default info)")
    add("--event-loop", choices=EVENT_LOOPS, help="auto takes uvloop where it is installed")
    serve.set_defaults(run=_serve)


def _add_check(check: argparse.ArgumentParser) -> None:
    add = check.add_argument
    add("directory", metavar="DIR", type=Path, nargs="?", help="a rule directory (default: the shipped one)")
    add("--format", choices=("text", "github", "json"), default="text", help="how problems are printed (default text)")
    add("--no-examples", action="store_true", help="load and check the files, but play no examples")
    check.set_defaults(run=_check)


def _add_explain(explain: argparse.ArgumentParser) -> None:
    add = explain.add_argument
    add("method", metavar="METHOD", type=str.upper, help="GET, POST, ...")
    add("url", metavar="URL", help="/PLATFORM/PATH, /PATH, or the same behind http://HOST")
    add("-H", "--header", metavar="'Name: value'", action="append", default=[], help="a header of the request; may be repeated")
    add("-d", "--data", metavar="DATA", help="the request's body: text, @FILE, or - for standard input")
    add(
        "--form", metavar="NAME=VALUE", action="append", default=[], help="a part of a form; NAME=@FILE for a file; may be repeated"
    )
    add("--answer", metavar="@FILE", action="append", default=[], help="the platform's answer (or -); once for each call")
    add("--status", metavar="N", type=int, default=200, help="the status of the answers (default 200)")
    add("--rules", metavar="DIR", type=Path, action="append", help="rule directory laid over the shipped one; may be repeated")
    add("--config", metavar="FILE", type=Path, help="configuration file: upstreams, secrets, limits")
    add("--no-color", action="store_true", help="no colours (nor where NO_COLOR is set, or the output is no terminal)")
    add("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)


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

    def on_hangup() -> None:
        gateway.reopen_logs()
        reloads.append(loop.create_task(gateway.reload()))
        reloads[:] = [task for task in reloads if not task.done()]

    loop = asyncio.get_running_loop()
    reloads: list[asyncio.Task[bool]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)  # before the start: unhandled, it would end a gateway that is just ready
    await gateway.start()
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
    rules = load((shipped_rules(), *options.rules))
    unknown = [name for name in options.platforms if name not in rules.platforms]
    if unknown:
        print(f"dragoman: no rule file names the platform {unknown[0]!r}; known: {', '.join(rules.platforms)}", file=sys.stderr)
        return USAGE
    found = [row for row in report.rows(rules) if not options.platforms or row.platform in options.platforms]
    print(report.as_json(found) if options.format == "json" else report.as_table(found), end="")
    return 0


def _check(options: argparse.Namespace) -> int:
    directory = options.directory or shipped_rules()
    if not directory.is_dir():
        print(f"dragoman: {directory} is not a directory", file=sys.stderr)
        return USAGE
    from proxy.rehearsal import checking  # with all of the proxy behind it; the other commands start faster without

    found = checking.check(directory, examples=not options.no_examples)
    if options.format == "text":
        print(checking.as_text(found, directory), file=sys.stderr if found.problems else sys.stdout)
    elif text := (checking.as_json if options.format == "json" else checking.as_github)(found):
        print(text)
    return FAILED if found.problems else 0


def _explain(options: argparse.Namespace) -> int:
    from proxy.assembly import StartError, load_rules
    from proxy.rehearsal import asking, explaining

    try:
        settings = load_config(options.config) if options.config else Settings()
        if options.rules:
            settings = dataclasses.replace(settings, rules=(*settings.rules, *options.rules))
        request = asking.request(options.method, options.url, options.header, options.data, options.form)
        answers = [asking.answer(text, options.status) for text in options.answer]
    except (ValueError, OSError) as exc:
        print(f"dragoman: {exc}", file=sys.stderr)
        return USAGE
    try:
        found = explaining.explain(load_rules(settings), settings, dict(os.environ), request, answers)
    except (StartError, ValueError) as exc:
        print(f"dragoman: {exc}", file=sys.stderr)
        return FAILED
    colour = sys.stdout.isatty() and not options.no_color and not os.environ.get("NO_COLOR")
    print(explaining.as_json(found) if options.json else explaining.as_text(found, colour=colour), end="\n" if options.json else "")
    return 0


def _sandbox(options: argparse.Namespace) -> int:
    from proxy.sandbox.command import run  # the other commands need no sandbox

    return run(options.listen, options.rules, options.task_time)


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
