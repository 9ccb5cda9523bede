"""Puts a configuration together: rules, secrets and settings become a table with pools (rules M07, N05, O05).

Everything that can be wrong with a configuration is found here, before a listener is opened.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from proxy.net import sockets
from proxy.net.timers import Wheel
from proxy.routing.gate import Gate, LicenceError, read_licences
from proxy.routing.served import Served
from proxy.routing.table import Table
from proxy.secrets import SecretError, SecretStore
from proxy.settings import Limits, Settings, Timeouts
from proxy.telemetry.metrics import Metrics, UpstreamMetrics
from proxy.telemetry.redaction import shared as shared_redactor
from proxy.upstream.dialing import Dialer, MissingTrustError, tls_context
from proxy.upstream.pool import OpensConnections, Pool
from proxy.upstream.resolver import Resolver
from proxy.upstream.tokens import AccessTokens
from proxy.wire.response import ResponseReader
from translators.load import load, shipped_rules
from translators.model import AuthKind, Handling, Platform, RuleSet, Upstream
from translators.problems import InvalidValueError
from translators.values import upstream as parse_upstream

logger = logging.getLogger("dragoman")

_SANDBOX_SECRET = "sandbox"  # noqa: S105 - stands in for every secret: the sandbox asks for none


def rule_directories(settings: Settings) -> tuple[Path, ...]:
    """The directories of rules, each laid over those before it."""
    return (*((shipped_rules(),) if settings.shipped_rules else ()), *settings.rules)


def load_rules(settings: Settings) -> RuleSet:
    """Read all rule files; raises translators.problems.InvalidFileError. Touches nothing shared, so a thread may run it."""
    return load(rule_directories(settings), examples=settings.sandbox)


class StartError(RuntimeError):
    """The gateway cannot start; the text says in one line why and what to do (rule M07)."""


@dataclass(frozen=True, slots=True)
class PoolKey:
    """What makes a pool: equal in two configurations, the pool stays (rule M06)."""

    platform: str
    upstream: Upstream
    insecure: bool
    limits: Limits
    timeouts: Timeouts


class Assembly:
    """Makes the table of one configuration. `sandbox_url` gives, by name, what replaces upstreams that the settings do not give.

    `former` holds the pools of the configuration before this one; those that would come out the same are taken over.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        wheel: Wheel,
        reader: ResponseReader,
        resolver: Resolver,
        metrics: Metrics,
        sandbox_url: Callable[[str], str] | None,
        former: Mapping[PoolKey, Pool] | None = None,
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.metrics = metrics
        self.pools: dict[PoolKey, Pool] = {}
        self._former = former or {}
        self._environ = environ
        self._wheel = wheel
        self._reader = reader
        self._resolver = resolver
        self._sandbox_url = sandbox_url

    def table(self, rules: RuleSet) -> Table:
        """Check and compile what `load_rules` gave. Raises StartError."""
        gate = self._make_gate()
        mounted = self.settings.secrets_dir
        if mounted is not None and not mounted.is_dir() and not self.settings.sandbox:
            raise StartError(
                f"secrets_dir {mounted} is not a directory; name one with a file for each secret, or leave the line out"
            )
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
                said = exc.strerror if isinstance(exc, OSError) else exc
                raise StartError(f"cannot read the licences file {path}: {said}") from None
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
        if self.settings.sandbox and "split" in platform.auth.settings:  # one credential of two parts
            values = dict.fromkeys(values, str(platform.auth.settings["split"]).join((_SANDBOX_SECRET, _SANDBOX_SECRET)))
        missing = tuple(secret for secret, value in values.items() if value is None)
        if missing and (name in self.settings.platforms or name in self.settings.upstreams):
            raise StartError(
                f"the platform {name!r} needs the secret {missing[0]}: set it in the environment or as {missing[0]}_FILE"
            )
        secrets = {secret: value for secret, value in values.items() if value is not None}
        for value in secrets.values():
            shared_redactor.register(value)
        limits = replace(self.limits, **platform.limits)
        if not named or missing:
            return Served(platform, upstream, None, secrets, limits=limits, missing=missing)
        pool = self._make_pool(platform, upstream)
        handled = {route.id: route.handling for route in platform.routes if route.handling is not None}
        pools = {name: self._make_pool(platform, upstream, one) for name, one in handled.items() if one.timeouts or one.limits}
        tokens = self._tokens(platform, secrets) if platform.auth.kind is AuthKind.GOOGLE else None
        try:
            return Served(platform, upstream, pool, secrets, limits=limits, pools=pools, tokens=tokens)
        except ValueError as exc:  # a credential of another form than the rule says
            raise StartError(f"the platform {name!r}: {exc}") from None

    def _tokens(self, platform: Platform, secrets: Mapping[str, str]) -> AccessTokens:
        """Where the access tokens of a service account come from."""
        account = platform.auth.parts["service_account"].render(secrets, None) or ""
        if self.settings.sandbox:
            return AccessTokens.fixed(_SANDBOX_SECRET)
        try:
            return AccessTokens(account, str(platform.auth.settings["scope"]))
        except ValueError as exc:
            raise StartError(f"the platform {platform.name!r}: {exc}") from None

    def _secret(self, name: str, store: SecretStore) -> str | None:
        if self.settings.sandbox:
            return _SANDBOX_SECRET
        try:
            return store.get(name)
        except SecretError as exc:
            raise StartError(str(exc)) from None

    def _upstream_of(self, platform: Platform) -> Upstream:
        given = self.settings.upstreams.get(platform.name)
        if given is None and self._sandbox_url is not None:
            given = self._sandbox_url(platform.name) + platform.upstream.base
        if given is None:
            return platform.upstream
        try:
            return parse_upstream(given)
        except InvalidValueError as exc:
            raise StartError(f"the upstream given for {platform.name!r} is not usable: {exc.message}. {exc.hint or ''}") from None

    def _make_pool(self, platform: Platform, upstream: Upstream, route: Handling | None = None) -> Pool:
        """The platform's pool, or that of a route with times and limits of its own."""
        times = _overridden(self.settings.timeouts, platform.timeouts)
        given = dict(platform.limits)
        if route is not None:
            times = _overridden(times, route.timeouts)
            given |= route.limits
        limits = replace(self.limits, **{k: v for k, v in given.items() if k != "body"})
        metrics = self.metrics.upstream(platform.name)
        insecure = upstream.insecure or platform.upstream.insecure
        if insecure:
            metrics.insecure.set(1)
            logger.warning("certificates of the platform %s are not verified: its rule says insecure", platform.name)
        key = PoolKey(platform.name, upstream, insecure, limits, times)
        known = self._former.get(key) or self.pools.get(key)
        if known is not None:
            self.pools[key] = known
            return known
        dialer = self._dialer(upstream, insecure, metrics, limits, times)
        pool = Pool(wheel=self._wheel, reader=self._reader, limits=limits, dialer=dialer, metrics=metrics, timeouts=times)
        self.pools[key] = pool
        return pool

    def _dialer(
        self, upstream: Upstream, insecure: bool, metrics: UpstreamMetrics, limits: Limits, times: Timeouts
    ) -> OpensConnections:
        """What opens a pool's connections; a rehearsal has its own. Raises StartError."""
        try:
            context = tls_context(insecure=insecure, ca_file=self.settings.ca_file) if upstream.scheme == "https" else None
        except MissingTrustError as exc:
            raise StartError(f"cannot verify upstreams: {exc}") from None
        except OSError as exc:
            said = exc.strerror or exc
            raise StartError(
                f"cannot verify upstreams with ca_file {self.settings.ca_file}: {said}; it must be a PEM file"
            ) from None
        return Dialer(
            upstream,
            resolver=self._resolver,
            context=context,
            metrics=metrics,
            t_dns=times.t_dns,
            t_connect=times.t_connect,
            t_tls=times.t_tls,
            socket_buffer=limits.socket_buffer,
        )


def _overridden(timeouts: Timeouts, given: Mapping[str, float]) -> Timeouts:
    known = {field.name for field in fields(Timeouts)}
    return replace(timeouts, **{name: value for name, value in given.items() if name in known})  # type: ignore[arg-type]
