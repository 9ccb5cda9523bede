"""Puts a configuration together: rules, secrets and settings become a table with pools (rules M07, N05, O05).

Everything that can be wrong with a configuration is found here, before a listener is opened.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from proxy.net import sockets
from proxy.net.timers import Wheel
from proxy.routing.gate import Gate, LicenceError, read_licences
from proxy.routing.served import Served
from proxy.routing.table import Table
from proxy.secrets import SecretError, SecretStore
from proxy.settings import Settings, Timeouts
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.redaction import shared as shared_redactor
from proxy.upstream.dialing import Dialer, MissingTrustError, tls_context
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from proxy.wire.response import ResponseReader
from translators.load import load, shipped_rules
from translators.model import Platform, Upstream
from translators.problems import InvalidValueError
from translators.values import upstream as parse_upstream

logger = logging.getLogger("dragoman")

_SANDBOX_SECRET = "sandbox"  # noqa: S105 - stands in for every secret: the sandbox asks for none


class StartError(RuntimeError):
    """The gateway cannot start; the text says in one line why and what to do (rule M07)."""


class Assembly:
    """Makes the table of one configuration. `sandbox_url` replaces every upstream that is not given by the settings."""

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        wheel: Wheel,
        reader: ResponseReader,
        resolver: Resolver,
        metrics: Metrics,
        sandbox_url: str | None,
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.metrics = metrics
        self.pools: list[tuple[str, Pool]] = []
        self._environ = environ
        self._wheel = wheel
        self._reader = reader
        self._resolver = resolver
        self._sandbox_url = sandbox_url

    def table(self) -> Table:
        """Load, check, compile. Raises StartError, or translators.problems.InvalidFileError."""
        settings = self.settings
        shipped = (shipped_rules(),) if settings.shipped_rules else ()
        rules = load((*shipped, *settings.rules))
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
        if given is None:
            given = self._sandbox_url
        if given is None:
            return platform.upstream
        try:
            return parse_upstream(given)
        except InvalidValueError as exc:
            raise StartError(f"the upstream given for {platform.name!r} is not usable: {exc.message}. {exc.hint or ''}") from None

    def _make_pool(self, platform: Platform, upstream: Upstream) -> Pool:
        times = _overridden(self.settings.timeouts, platform.timeouts)
        limits = replace(self.limits, **{k: v for k, v in platform.limits.items() if k != "body"})
        metrics = self.metrics.upstream(platform.name)
        insecure = upstream.insecure or platform.upstream.insecure
        if insecure:
            metrics.insecure.set(1)
            logger.warning("certificates of the platform %s are not verified: its rule says insecure", platform.name)
        try:
            context = tls_context(insecure=insecure, ca_file=self.settings.ca_file) if upstream.scheme == "https" else None
        except (MissingTrustError, OSError) as exc:
            raise StartError(f"cannot verify upstreams: {exc}") from None
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
        pool = Pool(wheel=self._wheel, reader=self._reader, limits=limits, dialer=dialer, metrics=metrics, timeouts=times)
        self.pools.append((platform.name, pool))
        return pool


def _overridden(timeouts: Timeouts, given: Mapping[str, float]) -> Timeouts:
    known = {field.name for field in fields(Timeouts)}
    return replace(timeouts, **{name: value for name, value in given.items() if name in known})  # type: ignore[arg-type]
