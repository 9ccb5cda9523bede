"""The gateway: one process, its listeners, its pools, its table, from start to drained."""

import asyncio
import itertools
import logging
import os
import re
import secrets as random_source
import ssl
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import sockets
from proxy.client import ClientConnection
from proxy.departures import Departures
from proxy.dialing import Dialer, tls_context
from proxy.gate import Gate, LicenceError, read_licences
from proxy.platforms import Served
from proxy.record import Recorder
from proxy.resolver import CachingResolver, Resolver, SystemResolver
from proxy.secrets import SecretError, SecretStore
from proxy.settings import Settings, Timeouts
from proxy.table import NO_ROUTE, Plan, Table, echoed_id
from proxy.telemetry import logs
from proxy.telemetry.access_log import AccessLog, AccessRecord
from proxy.telemetry.admin import Admin
from proxy.telemetry.lag import LoopLag
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.outcomes import ErrorType, Outcome
from proxy.telemetry.redaction import shared as shared_redactor
from proxy.timers import Wheel
from proxy.upstream import Pool
from proxy.wire.head import read_request_head
from proxy.wire.parser import HeadParser, is_compiled, require_compiled
from proxy.wire.refusal import Refusal
from proxy.wire.response import ResponseReader
from translators.load import load, shipped_rules
from translators.model import Platform, RuleSet, Upstream
from translators.problems import InvalidValueError
from translators.values import upstream as parse_upstream

if TYPE_CHECKING:
    from proxy.sandbox import Sandbox

logger = logging.getLogger("dragoman")

_SANDBOX_SECRET = "sandbox"  # noqa: S105 - stands in for every secret: the sandbox asks for none


class StartError(RuntimeError):
    """The gateway cannot start; the text says in one line why and what to do (rule M07)."""


class Gateway:
    """`await start()` in a running loop, then `await drain()` or `await stop()`."""

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str] | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.timeouts = settings.timeouts
        self.metrics = Metrics()
        self.draining = False
        self.addresses: tuple[tuple[str, int] | str, ...] = ()
        self.sandbox: Sandbox | None = None
        self._environ = os.environ if environ is None else environ
        self._given_resolver = resolver
        self._ready = False
        self._servers: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._connections: set[ClientConnection] = set()
        self._pools: list[tuple[str, Pool]] = []
        self._held = 0
        self._held_limit = self.limits.buffered_bytes_total or _memory_limit() // 4
        self._id_prefix = random_source.token_hex(6).encode("ascii")
        self._ids = itertools.count(1)
        self._parse_log = logs.RateLimiter()
        self._lag = LoopLag(self.metrics.loop_lag)

    # -- start

    async def start(self) -> None:
        """Load, check, open the listeners. Raises StartError, or translators.problems.InvalidFileError."""
        self._check_parser()
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(_log_loop_error)
        self.parser = HeadParser(self.loop)
        self._responses = ResponseReader(self.parser)
        self.wheel = Wheel(self.loop)
        self.departures = Departures(self.loop)
        self._resolver = CachingResolver(self._given_resolver or SystemResolver())
        try:
            self.access_log = AccessLog.open(self.settings.access_log, self.metrics)
        except OSError as exc:
            raise StartError(f"cannot open the access log {self.settings.access_log}: {exc.strerror}") from None
        self.recorder = Recorder(self.metrics, self.access_log)
        rules = self._load_rules()
        if self.settings.sandbox:
            from proxy.sandbox import Sandbox  # here, because it costs start-up time that few runs need

            self.sandbox = Sandbox()
            await self.sandbox.start()
        try:
            self.table = self._make_table(rules)
            await self._listen()
            await self._start_admin()
        except BaseException:
            await self.stop()
            raise
        self.wheel.each_second(self._each_second)
        self.wheel.start()
        self._lag.start()
        self._ready = True
        self.metrics.ready.set(1)
        self.metrics.reload_success.set(1)
        self.metrics.reload_time.set(time.time())

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

    def _load_rules(self) -> RuleSet:
        shipped = (shipped_rules(),) if self.settings.shipped_rules else ()
        return load((*shipped, *self.settings.rules))

    def _make_table(self, rules: RuleSet) -> Table:
        gate = self._make_gate()
        store = SecretStore(self._environ, self.settings.secrets_prefix, self.settings.secrets_dir)
        unknown = sorted((set(self.settings.upstreams) | set(self.settings.platforms)) - set(rules.platforms))
        if unknown:
            raise StartError(f"no rule file names the platform {unknown[0]!r}; known: {', '.join(rules.platforms)}")
        served = {name: self._serve(platform, store) for name, platform in rules.platforms.items()}
        if not any(one.pool for one in served.values()):
            names = sorted({name for one in served.values() for name in one.missing})
            raise StartError(f"no platform has its secret: set one of {', '.join(names)}, or try --sandbox, which needs no key")
        via = self.settings.via.encode("ascii") or None
        return Table(rules, served, gate, self.metrics, via=via)

    def _make_gate(self) -> Gate:
        settings = self.settings
        environ = self._environ
        lists = [(settings.licences, "licences")]
        if environ.get("DRAGOMAN_LICENCES"):
            lists.append((tuple(re.split(r"[\s,]+", environ["DRAGOMAN_LICENCES"])), "DRAGOMAN_LICENCES"))
        path = settings.licences_file or (Path(environ["DRAGOMAN_LICENCES_FILE"]) if "DRAGOMAN_LICENCES_FILE" in environ else None)
        if path is not None:
            try:
                lists.append((tuple(path.read_text("utf-8").splitlines()), str(path)))
            except (OSError, UnicodeDecodeError) as exc:
                raise StartError(f"cannot read the licences file {path}: {exc}") from None
        try:
            digests = tuple(digest for lines, source in lists for digest in read_licences(lines, source))
        except LicenceError as exc:
            raise StartError(str(exc)) from None
        if settings.open:
            return Gate((), self.metrics)
        if not digests:
            public = [text for text in settings.listen if not sockets.is_loopback(text)]
            if public:
                raise StartError(
                    f"{public[0]} can be reached from other machines and no client licence is set; "
                    "make one with `dragoman licence`, or say --open to let everybody in"
                )
        return Gate(digests, self.metrics)

    def _serve(self, platform: Platform, store: SecretStore) -> Served:
        name = platform.name
        upstream = self._upstream_of(platform)
        named = not self.settings.platforms or name in self.settings.platforms
        values = {secret: self._secret(secret, store) for secret in sorted(platform.secrets)}
        missing = tuple(secret for secret, value in values.items() if value is None)
        if missing and (name in self.settings.platforms or name in self.settings.upstreams):
            raise StartError(
                f"the platform {name!r} needs the secret {missing[0]}: set it in the environment or as {missing[0]}_FILE"
            )
        secrets = {secret: value for secret, value in values.items() if value is not None}
        for value in secrets.values():
            shared_redactor.register(value)
        pool = self._make_pool(platform, upstream) if named and not missing else None
        body_limit = platform.limits.get("body", self.limits.body)
        return Served(platform, upstream, pool, secrets, body_limit=body_limit, missing=missing)

    def _secret(self, name: str, store: SecretStore) -> str | None:
        if self.settings.sandbox:
            return _SANDBOX_SECRET
        try:
            return store.get(name)
        except SecretError as exc:
            raise StartError(str(exc)) from None

    def _upstream_of(self, platform: Platform) -> Upstream:
        given = self.settings.upstreams.get(platform.name)
        if given is None and self.sandbox is not None:
            given = self.sandbox.url
        if given is None:
            return platform.upstream
        try:
            return parse_upstream(given)
        except InvalidValueError as exc:
            raise StartError(f"the upstream given for {platform.name!r} is not usable: {exc.message}. {exc.hint or ''}") from None

    def _make_pool(self, platform: Platform, upstream: Upstream) -> Pool:
        times = _overridden(self.timeouts, platform.timeouts)
        limits = replace(self.limits, **{k: v for k, v in platform.limits.items() if k != "body"})
        metrics = self.metrics.upstream(platform.name)
        insecure = upstream.insecure or platform.upstream.insecure
        if insecure:
            metrics.insecure.set(1)
            logger.warning("certificates of the platform %s are not verified: its rule says insecure", platform.name)
        context = tls_context(insecure=insecure, ca_file=self.settings.ca_file) if upstream.scheme == "https" else None
        dialer = Dialer(
            upstream,
            resolver=self._resolver,
            context=context,
            metrics=metrics,
            t_dns=times.t_dns,
            t_connect=times.t_connect,
            t_tls=times.t_tls,
            socket_buffer=limits.socket_buffer,
        )
        pool = Pool(wheel=self.wheel, reader=self._responses, limits=limits, dialer=dialer, metrics=metrics, timeouts=times)
        self._pools.append((platform.name, pool))
        return pool

    async def _listen(self) -> None:
        context = self._server_context()
        addresses: list[tuple[str, int] | str] = []
        for text in self.settings.listen:
            try:
                sock = sockets.bind(text, send_buffer=self.limits.socket_buffer)
            except ValueError as exc:
                raise StartError(str(exc)) from None
            except OSError as exc:
                raise StartError(f"cannot listen on {text}: {exc.strerror or exc}") from None
            server = await self.loop.create_server(lambda: ClientConnection(self), sock=sock, ssl=context, backlog=4096)
            self._servers.append(server)
            name = sock.getsockname()
            if isinstance(name, str):
                self._sockets.append(Path(name))
                addresses.append(name)
            else:
                addresses.append((name[0], name[1]))
        self.addresses = tuple(addresses)

    def _server_context(self) -> ssl.SSLContext | None:
        settings = self.settings
        self.scheme = b"http"
        if settings.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (OSError, ssl.SSLError) as exc:
            raise StartError(f"cannot use the certificate {settings.tls_certificate}: {exc}") from None
        self.scheme = b"https"
        return context

    async def _start_admin(self) -> None:
        self._admin: Admin | None = None
        if self.settings.admin is None:
            return
        self._admin = Admin(self.metrics, self._why_not_ready)
        try:
            await self._admin.start(self.settings.admin)
        except ValueError as exc:
            raise StartError(f"admin: {exc}") from None
        except OSError as exc:
            raise StartError(f"cannot listen on {self.settings.admin} for metrics and health: {exc.strerror or exc}") from None

    @property
    def admin_address(self) -> str:
        """Where metrics and health are; empty without an admin listener."""
        return self._admin.address if self._admin is not None else ""

    def _why_not_ready(self) -> str | None:
        if self.draining:
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
            base, hint = f"{self.scheme.decode()}://{host}:{first[1]}", "in your SDK"
        on = [name for name, one in self.table.served.items() if one.pool is not None]
        off = [f"{name} (set {', '.join(one.missing)})" for name, one in self.table.served.items() if one.missing]
        lines = [f"dragoman is listening on {base}"]
        lines.append(f"  set {hint}: base_url={base}/{{platform}}/v1 for OpenAI-shaped platforms, else {base}/{{platform}}")
        lines.append(f"  platforms: {', '.join(on)}")
        if self.sandbox is not None:
            lines.append("  all of them are answered by the embedded sandbox: any key does, nothing leaves this machine")
        elif off:
            lines.append(f"  switched off: {', '.join(off)}")
        if self.admin_address:
            lines.append(f"  metrics and health: http://{self.admin_address}/metrics, /healthz, /readyz")
        return "\n".join(lines)

    # -- for the connections

    def plan(self, head: bytes, peer: str) -> tuple[Plan, int]:
        """The plan of a request head and the length of its body. Raises Refusal."""
        known = self.table.recall(head)
        if known is not None:
            return known
        parsed = read_request_head(self.parser, head, self.limits, self.scheme)
        try:
            plan = self.table.plan(parsed, peer)
        except Refusal as refusal:
            refusal.request_id = echoed_id(parsed)
            refusal.head_only = parsed.method == "HEAD"
            refusal.close = refusal.close or parsed.length != 0 or not parsed.keep_alive
            raise
        self.table.remember(head, plan)
        return plan, parsed.length

    def new_id(self) -> bytes:
        """An id for a request: unique in this process, hard to guess from outside."""
        return b"%b%08x" % (self._id_prefix, next(self._ids))

    def hold(self, size: int) -> None:
        """Account for bytes that wait in memory. Raises Refusal (503) when the process holds too much."""
        self._held += size
        if size > 0 and self._held > self._held_limit:
            raise Refusal(
                503,
                ErrorType.CONNECTION_LIMIT_REACHED,
                "memory_limit",
                "The gateway holds too many request bodies at the moment.",
                limit="buffered_bytes_total",
                fields=(("Retry-After", "1"),),
                close=True,
            )

    def admit(self, connection: ClientConnection) -> bool:
        """Count a connection in; False when there are too many."""
        self._connections.add(connection)
        count = len(self._connections)
        self.metrics.client_connections.set(count)
        return count <= self.limits.client_connections

    def dismiss(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self.metrics.client_connections.set(len(self._connections))

    def note_refusal(self, refusal: Refusal, request_id: bytes, peer: str) -> None:
        """Count and log a local answer to a request that never became an exchange."""
        outcome = Outcome.OK if refusal.status < 400 else Outcome.REFUSED if refusal.status < 500 else Outcome.FAILED
        metrics = self.metrics.exchange(NO_ROUTE, NO_ROUTE, "other", None)
        metrics.count(refusal.status, outcome)
        metrics.error(refusal.error)
        if refusal.limit is not None:
            self.metrics.limit(refusal.limit).inc()
        if refusal.error is ErrorType.HTTP_REQUEST_ERROR and refusal.close:
            self.metrics.parse_errors.inc()
            if not self._parse_log.allow(peer):
                return
        self.access_log.write(
            AccessRecord(
                id=request_id.decode("ascii"),
                peer=peer,
                method="other",
                path="-",
                status=refusal.status,
                outcome=outcome.label,
                error=refusal.error,
            )
        )

    def reopen_logs(self) -> None:
        """After a log rotation."""
        self.access_log.reopen()

    def counts(self) -> dict[str, int]:
        """What is alive, for leak checks."""
        return {
            "client_connections": len(self._connections),
            "exchanges": sum(connection.exchange is not None for connection in self._connections),
            "upstream_idle": sum(pool.idle for _, pool in self._pools),
            "upstream_busy": sum(pool.busy for _, pool in self._pools),
            "held_bytes": self._held,
            "watched": len(self.departures),
            "tasks": len(asyncio.all_tasks()),
        }

    def _each_second(self) -> None:
        for name, pool in self._pools:
            pool.sweep()
            metrics = self.metrics.upstream(name)
            metrics.idle.set(pool.idle)
            metrics.busy.set(pool.busy)

    # -- the end

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """The shutdown of rule M01, in order; `hurry` set ends the waiting at once."""
        hurry = hurry or asyncio.Event()
        self.draining = True
        self.metrics.ready.set(0)
        self.metrics.draining.set(1)
        await _wait(hurry, self.timeouts.pre_drain)
        self._stop_accepting()
        deadline = self.loop.time() + self.timeouts.t_drain
        while self._connections and not hurry.is_set() and self.loop.time() < deadline:
            for connection in list(self._connections):
                connection.close_idle()
            await _wait(hurry, min(0.05, max(deadline - self.loop.time(), 0)))
        for connection in list(self._connections):
            connection.close_now()
        await _wait(asyncio.Event(), 0.1 if self._connections else 0)  # let last words go out
        await self.stop()

    def _stop_accepting(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path in self._sockets:
            path.unlink(missing_ok=True)
        self._sockets.clear()

    async def stop(self) -> None:
        """End at once."""
        self._ready = False
        self._stop_accepting()
        for connection in list(self._connections):
            connection.close_now()
            if connection.transport is not None:
                connection.transport.abort()
        for _, pool in self._pools:
            await pool.close()
        await self._resolver.close()
        self.wheel.stop()
        self._lag.stop()
        self.departures.stop()
        await asyncio.sleep(0)  # transports report their end in the next turn
        admin = getattr(self, "_admin", None)
        if admin is not None:
            await admin.stop()
        if self.sandbox is not None:
            await self.sandbox.stop()
        self.access_log.close()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _overridden(timeouts: Timeouts, given: Mapping[str, float]) -> Timeouts:
    known = {field.name for field in fields(Timeouts)}
    return replace(timeouts, **{name: value for name, value in given.items() if name in known})  # type: ignore[arg-type]


def _memory_limit() -> int:
    """The memory this process may use: the control group's limit, else the machine's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:  # noqa: ARG001
    """A fault of ours in a callback: one line with a traceback; never the end of the process (rule M08)."""
    error = context.get("exception")
    logger.error(
        "unexpected error in a callback: %s",
        context.get("message"),
        exc_info=error if isinstance(error, Exception) else None,
    )
