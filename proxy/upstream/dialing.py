"""Opening a connection to an upstream: name, address, TLS, each with its time limit and its own error (K05, K09, K10, K12)."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import aiohappyeyeballs

from proxy.net.sockets import tune
from proxy.outcomes import ErrorType, Phase
from proxy.telemetry.metrics import UpstreamMetrics
from proxy.upstream.resolver import Address, Resolver
from proxy.wire.refusal import Refusal, bad_response
from translators.model import Upstream

logger = logging.getLogger("dragoman.upstream")

HAPPY_EYEBALLS_DELAY = 0.25

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Phased(Protocol):
    """Whoever waits for the connection is told how far it is."""

    phase: Phase


class MissingTrustError(RuntimeError):
    """There are no certificates to verify upstreams against."""


def tls_context(*, insecure: bool, ca_file: Path | None) -> ssl.SSLContext:
    """A client context: TLS 1.2 at least, verification on unless the rule says `insecure` (rule K12)."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not context.get_ca_certs() and not _has_ca_directory():
        raise MissingTrustError(
            "no trusted certificates found to verify upstreams with; install the system's ca-certificates or set ca_file"
        )
    return context


def _has_ca_directory() -> bool:
    """OpenSSL looks certificates up in a directory lazily, so that none may be loaded yet."""
    path = ssl.get_default_verify_paths().capath
    return bool(path) and any(Path(path).iterdir())


class Dialer:
    """Opens connections to one upstream."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        resolver: Resolver,
        context: ssl.SSLContext | None,
        metrics: UpstreamMetrics,
        t_dns: float,
        t_connect: float,
        t_tls: float,
        socket_buffer: int,
    ) -> None:
        self._upstream = upstream
        self._resolver = resolver
        self._context = context
        self._metrics = metrics
        self._t_dns = t_dns
        self._t_connect = t_connect
        self._t_tls = t_tls
        self._socket_buffer = socket_buffer

    async def dial(self, factory: Callable[[], P], waiting: Phased) -> P:
        """A connected protocol. Raises Refusal (502 or 504) with the error of the phase that failed."""
        waiting.phase = Phase.DNS
        addresses = await self._resolve()
        waiting.phase = Phase.CONNECT
        sock = await self._connect(addresses)
        if self._context is not None:
            waiting.phase = Phase.TLS
        try:
            return await self._wrap(sock, factory)
        except BaseException:
            sock.close()
            raise

    async def _resolve(self) -> list[Address]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._t_dns):
                return list(await self._resolver.resolve(self._upstream.host, self._upstream.port))
        except TimeoutError:
            self._metrics.connect(ErrorType.DNS_TIMEOUT)
            raise Refusal(
                504, ErrorType.DNS_TIMEOUT, "dns_timeout", "The upstream's name was not resolved in time.", limit="t_dns"
            ) from None
        except OSError:
            self._metrics.connect(ErrorType.DNS_ERROR)
            raise bad_response(ErrorType.DNS_ERROR, "dns_error", "The upstream's name cannot be resolved.") from None
        finally:
            self._metrics.dns_time.observe(loop.time() - started)

    async def _connect(self, addresses: list[Address]) -> socket.socket:
        loop = asyncio.get_running_loop()
        started = loop.time()
        infos = [(a.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", a.sockaddr) for a in addresses]
        try:
            async with asyncio.timeout(self._t_connect):
                sock = await aiohappyeyeballs.start_connection(
                    infos,
                    happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY,
                    interleave=1,
                    socket_factory=self._make_socket,
                )
        except TimeoutError:
            self._metrics.connect(ErrorType.CONNECTION_TIMEOUT)
            raise Refusal(
                504,
                ErrorType.CONNECTION_TIMEOUT,
                "connection_timeout",
                "The connection to the upstream was not made in time.",
                limit="t_connect",
            ) from None
        except OSError:
            self._metrics.connect(ErrorType.CONNECTION_REFUSED)
            raise bad_response(ErrorType.CONNECTION_REFUSED, "connection_refused", "The upstream cannot be connected to.") from None
        finally:
            self._metrics.connect_time.observe(loop.time() - started)
        return sock

    def _make_socket(self, info: aiohappyeyeballs.AddrInfoType) -> socket.socket:
        sock = socket.socket(info[0], info[1], info[2])
        tune(sock, receive_buffer=self._socket_buffer)
        return sock

    async def _wrap(self, sock: socket.socket, factory: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        if self._context is None:
            _, protocol = await loop.create_connection(factory, sock=sock)
            self._metrics.connect()
            return protocol
        started = loop.time()
        try:
            _, protocol = await loop.create_connection(
                factory,
                sock=sock,
                ssl=self._context,
                server_hostname=self._upstream.host,
                ssl_handshake_timeout=self._t_tls,
            )
        except (OSError, ssl.CertificateError) as exc:
            refusal = _tls_refusal(exc)
            self._metrics.connect(refusal.error)
            why = getattr(exc, "verify_message", None) or getattr(exc, "reason", None) or type(exc).__name__
            logger.warning("no TLS with %s:%d: %s", self._upstream.host, self._upstream.port, why)
            raise refusal from None
        finally:
            self._metrics.tls_time.observe(loop.time() - started)
        self._metrics.connect()
        return protocol


def _tls_refusal(exc: OSError | ssl.CertificateError) -> Refusal:
    if isinstance(exc, ssl.SSLCertVerificationError | ssl.CertificateError):
        return bad_response(
            ErrorType.TLS_CERTIFICATE_ERROR, "tls_certificate_error", "The upstream's certificate cannot be verified."
        )
    if isinstance(exc, ssl.SSLError) and "ALERT" in (exc.reason or ""):
        return bad_response(ErrorType.TLS_ALERT_RECEIVED, "tls_alert_received", "The upstream ended the TLS handshake.")
    if isinstance(exc, ConnectionAbortedError | TimeoutError):
        return Refusal(
            504, ErrorType.CONNECTION_TIMEOUT, "tls_timeout", "The TLS handshake was not finished in time.", limit="t_tls"
        )
    return bad_response(ErrorType.TLS_PROTOCOL_ERROR, "tls_protocol_error", "The TLS handshake with the upstream failed.")
