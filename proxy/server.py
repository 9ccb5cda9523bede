"""The gateway: one process, its listeners and its life, from start to drained (rule group M)."""

import asyncio
import errno
import logging
import os
import ssl
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.assembly import Assembly, PoolKey, StartError, load_rules, rule_directories
from proxy.carry.client import ClientConnection
from proxy.carry.worker import Worker
from proxy.net import sockets
from proxy.net.timers import Wheel
from proxy.orchestrate.orchestrator import Orchestrator
from proxy.orchestrate.place import VARIABLE, open_configured
from proxy.reload import Watch, fingerprint
from proxy.routing.table import Table
from proxy.settings import Settings
from proxy.store.interface import StoreError
from proxy.telemetry.access_log import AccessLog
from proxy.telemetry.admin import Admin
from proxy.telemetry.lag import LoopLag
from proxy.telemetry.metrics import Metrics
from proxy.upstream.resolver import CachingResolver, Resolver, SystemResolver
from proxy.wire.parser import HeadParser, is_compiled, require_compiled
from proxy.wire.response import ResponseReader
from translators.model import RuleSet
from translators.problems import InvalidFileError

if TYPE_CHECKING:
    from proxy.sandbox import Sandbox
    from proxy.upstream.pool import Pool

__all__ = ["Gateway", "StartError"]

logger = logging.getLogger("dragoman")


class Gateway:
    """`await start()` in a running loop, then `await drain()` or `await stop()`.

    `environ` holds the secrets (default: the process environment), `resolver` looks names up (default: the system's).
    """

    worker: Worker

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str] | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.addresses: tuple[tuple[str, int] | str, ...] = ()
        self.sandbox: Sandbox | None = None
        self._environ = os.environ if environ is None else environ
        self._given_resolver = resolver
        self._servers: list[asyncio.Server] = []
        self._socket_files: list[Path] = []
        self._admin: Admin | None = None
        self._assembly: Assembly | None = None
        self._access_log: AccessLog | None = None
        self._lag = LoopLag(self.metrics.loop_lag)
        self._orchestrator: Orchestrator | None = None
        self._watch = Watch(self._sources, self.reload)
        self._reloading = asyncio.Lock()
        self._loaded_at = 0.0
        self._retired: list[tuple[str, Pool]] = []
        self._ready = False
        self._draining = False

    # -- start

    async def start(self) -> None:
        """Load, check, open the listeners. Raises StartError, or translators.problems.InvalidFileError.

        A reload that is asked for meanwhile waits for the end of this.
        """
        async with self._reloading:
            await self._start()

    async def _start(self) -> None:
        self._check_parser()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_error)
        self._wheel = Wheel(loop)
        self._resolver = CachingResolver(self._given_resolver or SystemResolver())
        try:
            self._access_log = AccessLog.open(self.settings.access_log, self.metrics)
        except OSError as exc:
            raise StartError(f"cannot open the access log {self.settings.access_log}: {exc.strerror}") from None
        try:
            rules = load_rules(self.settings)
            await self._start_sandbox(rules)
            self._assemble(rules, HeadParser(loop), self._access_log)
            await self._watch.start()
            await self._listen()
            self._check_own_upstreams(self.worker.table)
            await self._open_store()
            await self._start_admin()
        except BaseException:
            await self.stop()
            raise
        self._wheel.each_second(self._each_second)
        self._wheel.start()
        self._lag.start()
        self._ready = True
        self.metrics.ready.set(1)
        self._note_load()

    def _check_parser(self) -> None:
        try:
            require_compiled()
        except RuntimeError as exc:
            if not self.settings.insecure_parser:
                raise StartError(str(exc)) from None
            logger.warning("running on an unsafe HTTP parser: %s", exc)
        compiled = is_compiled()
        self.metrics.insecure_parser.set(0 if compiled else 1)
        loop_name = "uvloop" if type(asyncio.get_running_loop()).__module__.startswith("uvloop") else "asyncio"
        self.metrics.set_build(loop_name, "compiled" if compiled else "python")

    async def _start_sandbox(self, rules: RuleSet) -> None:
        if self.settings.sandbox:
            from proxy.sandbox import Sandbox  # here, because it costs start-up time that few runs need

            self.sandbox = Sandbox(rules)
            await self.sandbox.start()

    def _assemble(self, rules: RuleSet, parser: HeadParser, access_log: AccessLog) -> None:
        self._reader = ResponseReader(parser)
        self._assembly = self._new_assembly({})
        self.worker = Worker(
            self.settings,
            self._assembly.table(rules),
            wheel=self._wheel,
            parser=parser,
            metrics=self.metrics,
            access_log=access_log,
        )
        self._orchestrator = Orchestrator(
            self.settings,
            resolver=self._resolver,
            metrics=self.metrics,
            open_store=partial(open_configured, self.settings.store, self._environ),
            hold=self.worker.hold,
        )
        self.worker.orchestrator = self._orchestrator

    def _new_assembly(self, former: "Mapping[PoolKey, Pool]") -> Assembly:
        return Assembly(
            self.settings,
            environ=self._environ,
            wheel=self._wheel,
            reader=self._reader,
            resolver=self._resolver,
            metrics=self.metrics,
            sandbox_url=self.sandbox.url_of if self.sandbox is not None else None,
            former=former,
        )

    async def _listen(self) -> None:
        context = self._server_context()
        addresses: list[tuple[str, int] | str] = []
        for text in self.settings.listen:
            try:
                sock = sockets.bind(text, send_buffer=self.settings.limits.socket_buffer)
            except ValueError as exc:
                raise StartError(str(exc)) from None
            except OSError as exc:
                raise StartError(f"cannot listen on {text}: {exc.strerror or exc}{_cure(exc, '--listen')}") from None
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: ClientConnection(self.worker), sock=sock, ssl=context, backlog=4096)
            self._servers.append(server)
            name = sock.getsockname()
            if isinstance(name, str):
                self._socket_files.append(Path(name))
                addresses.append(name)
            else:
                addresses.append((name[0], name[1]))
        self.addresses = tuple(addresses)

    def _server_context(self) -> ssl.SSLContext | None:
        settings = self.settings
        if settings.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (OSError, ssl.SSLError) as exc:
            files = f"tls_certificate {settings.tls_certificate} with tls_key {settings.tls_key}"
            raise StartError(
                f"cannot use {files}: {exc.strerror or exc}; both must be PEM files, and the key that of the certificate"
            ) from None
        return context

    def _check_own_upstreams(self, table: Table) -> None:
        """An upstream that is this gateway itself would be a loop (rule O05)."""
        own = {address for address in self.addresses if isinstance(address, tuple)}
        for name, one in table.served.items():
            host = "127.0.0.1" if one.upstream.host == "localhost" else one.upstream.host
            if one.pool is not None and (host, one.upstream.port) in own:
                where = f"this gateway itself ({host}:{one.upstream.port})"
                raise StartError(
                    f"the upstream of the platform {name!r} is {where}; give its own address with --upstream {name}=URL, "
                    "or move the gateway with --listen"
                )

    async def _open_store(self) -> None:
        """Find out whether a store that is named can be used; the one at the default place is opened when it is needed."""
        assert self._orchestrator is not None  # `_assemble` has made it
        if self.settings.store or {VARIABLE, f"{VARIABLE}_FILE"} & set(self._environ):
            try:
                await self._orchestrator.open_store()
            except StoreError as exc:
                raise StartError(f"cannot use the store of deferred calls: {exc}") from None

    async def _start_admin(self) -> None:
        if self.settings.admin is None:
            return
        self._admin = Admin(self.metrics, self._why_not_ready)
        try:
            await self._admin.start(self.settings.admin)
        except ValueError as exc:
            raise StartError(f"admin: {exc}") from None
        except OSError as exc:
            said = f"{exc.strerror or exc}{_cure(exc, '--admin')}"
            raise StartError(f"cannot listen on {self.settings.admin} for metrics and health: {said}") from None

    # -- another configuration

    def _sources(self) -> tuple[Path, ...]:
        """Every file and directory whose content makes the configuration, the configuration file itself aside."""
        settings, environ = self.settings, self._environ
        licences = settings.licences_file or environ.get("DRAGOMAN_LICENCES_FILE")
        secrets = {name for one in self.worker.table.served.values() for name in one.platform.secrets}
        files = [Path(environ[key]) for name in sorted(secrets) if (key := f"{settings.secrets_prefix}{name}_FILE") in environ]
        mounted = [settings.secrets_dir] if settings.secrets_dir else []
        return (*rule_directories(settings), *([Path(licences)] if licences else []), *files, *mounted)

    def _note_load(self) -> None:
        self._loaded_at = time.time()
        self.metrics.reload_success.set(1)
        self.metrics.reload_time.set(self._loaded_at)
        self.metrics.config_age.set(0)
        self.metrics.config_hash.set(int.from_bytes(fingerprint(rule_directories(self.settings))[:6], "big"))

    async def reload(self) -> bool:
        """Load rules, licences and secrets anew and put them in place of the old ones, as a whole; False when they were refused.

        What is wrong is logged, and the former configuration serves on (rule M04). Requests that have begun end under the
        configuration they began with. The configuration file (listeners, limits, timeouts) is read at the start only.
        """
        async with self._reloading:
            if self._draining:
                return False
            try:
                rules = await asyncio.to_thread(load_rules, self.settings)
                former = self._assembly.pools if self._assembly is not None else {}
                assembly = self._new_assembly(former)
                table = assembly.table(rules)
                self._check_own_upstreams(table)
            except (InvalidFileError, StartError) as error:
                self.metrics.reload_success.set(0)
                self.metrics.reloads.labels("refused").inc()
                logger.error("the new configuration is refused, the former one serves on: %s", error)
                return False
            self._assembly, self.worker.table = assembly, table
            if self.sandbox is not None:
                self.sandbox.update(rules)
            for key, pool in former.items():
                if key not in assembly.pools:
                    pool.retire()
                    self._retired.append((key.platform, pool))
            self._note_load()
            self.metrics.reloads.labels("applied").inc()
            logger.info("a new configuration is in use: %d platforms", len(rules.platforms))
            return True

    # -- what is going on

    @property
    def admin_address(self) -> str:
        """Where metrics and health are; empty without an admin listener."""
        return self._admin.address if self._admin is not None else ""

    def _why_not_ready(self) -> str | None:
        if self._draining:
            return "draining"
        return None if self._ready else "starting"

    def welcome(self) -> str:
        """Says in words where to point an SDK."""
        first = self.addresses[0]
        if isinstance(first, str):
            base, hint = f"http+unix://{first}", "through a client that can speak over a unix socket"
        else:
            host = f"[{first[0]}]" if ":" in first[0] else first[0]
            host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
            base, hint = f"{self.worker.scheme.decode()}://{host}:{first[1]}", "in your SDK"
        served = self.worker.table.served
        on = [name for name, one in served.items() if one.pool is not None]
        off = [f"{name} (set {', '.join(one.missing)})" for name, one in served.items() if one.missing]
        lines = [f"dragoman is listening on {base}"]
        lines.append(f"  set {hint}: base_url={base}/{{platform}}/v1 where its own base_url ends in /v1, else {base}/{{platform}}")
        lines.append(f"  platforms: {', '.join(on)}")
        if self.sandbox is not None:
            lines.append("  all of them are answered by the embedded sandbox: any key does, nothing leaves this machine")
        elif off:
            lines.append(f"  switched off: {', '.join(off)}")
        if self.admin_address:
            lines.append(f"  metrics and health: http://{self.admin_address}/metrics, /healthz, /readyz")
        return "\n".join(lines)

    def counts(self) -> dict[str, int]:
        """What is alive, for leak checks."""
        worker, pools = self.worker, self._pools
        return {
            "client_connections": len(worker.connections),
            "exchanges": sum(connection.exchange is not None for connection in worker.connections),
            "upstream_idle": sum(pool.idle for _, pool in pools),
            "upstream_busy": sum(pool.busy for _, pool in pools),
            "held_bytes": worker.held,
            "watched": len(worker.departures),
            "tasks": len(asyncio.all_tasks()),
        }

    @property
    def _deferred_running(self) -> int:
        return self._orchestrator.deferred_running if self._orchestrator is not None else 0

    @property
    def _pools(self) -> "list[tuple[str, Pool]]":
        current = self._assembly.pools.items() if self._assembly is not None else ()
        return [*((key.platform, pool) for key, pool in current), *self._retired]

    def _each_second(self) -> None:
        self.metrics.config_age.set(time.time() - self._loaded_at)
        self._retired = [(name, pool) for name, pool in self._retired if not pool.deserted]
        counts: dict[str, list[int]] = {}
        for name, pool in self._pools:
            pool.sweep()
            count = counts.setdefault(name, [0, 0])
            count[0] += pool.idle
            count[1] += pool.busy
        for name, (idle, busy) in counts.items():
            metrics = self.metrics.upstream(name)
            metrics.idle.set(idle)
            metrics.busy.set(busy)

    def reopen_logs(self) -> None:
        """After a log rotation."""
        if self._access_log is not None:
            self._access_log.reopen()

    # -- the end

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """The shutdown of rule M01, in order; `hurry` set ends the waiting at once."""
        hurry = hurry or asyncio.Event()
        loop, timeouts, worker = asyncio.get_running_loop(), self.settings.timeouts, self.worker
        self._draining = worker.draining = True
        self.metrics.ready.set(0)
        self.metrics.draining.set(1)
        await _wait(hurry, timeouts.pre_drain)
        self._stop_accepting()
        deadline = loop.time() + timeouts.t_drain
        while (worker.connections or worker.background or self._deferred_running) and not hurry.is_set() and loop.time() < deadline:
            for connection in list(worker.connections):
                connection.close_idle()
            await _wait(hurry, min(0.05, max(deadline - loop.time(), 0)))
        for connection in list(worker.connections):
            connection.close_now()
        if worker.connections:
            await asyncio.sleep(0.1)  # let last words go out
        await self.stop()

    def _stop_accepting(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path in self._socket_files:
            path.unlink(missing_ok=True)
        self._socket_files.clear()

    async def stop(self) -> None:
        """End at once. Also ends what a failed start has begun."""
        self._ready = False
        await self._watch.stop()
        self._stop_accepting()
        worker = getattr(self, "worker", None)
        if worker is not None:
            for connection in list(worker.connections):
                connection.close_now()
                if connection.transport is not None:
                    connection.transport.abort()
            worker.stop()
        if self._orchestrator is not None:
            await self._orchestrator.close()
        for _, pool in self._pools:
            await pool.close()
        await self._resolver.close()
        self._wheel.stop()
        self._lag.stop()
        for _ in range(3):  # transports report their end, and let go of their sockets, in the turns to come
            await asyncio.sleep(0)
        if self._admin is not None:
            await self._admin.stop()
        if self.sandbox is not None:
            await self.sandbox.stop()
        if self._access_log is not None:
            self._access_log.close()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _cure(error: OSError, option: str) -> str:
    """What to do about an address that cannot be listened on."""
    taken = error.errno == errno.EADDRINUSE
    return f"; end what listens there, or give another address with {option}" if taken else ""


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:  # noqa: ARG001
    """A fault of ours in a callback: one line with a traceback; never the end of the process (rule M08)."""
    error = context.get("exception")
    logger.error(
        "unexpected error in a callback: %s",
        context.get("message"),
        exc_info=error if isinstance(error, Exception) else None,
    )
