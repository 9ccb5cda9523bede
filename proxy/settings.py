"""Everything an operator can set, with its default, as immutable data.

The names of `Limits` and `Timeouts` are those of the documentation's table of limits; rule files may override a few of them
per platform. Sizes are bytes, times are seconds. 0 means "no limit" only where a line says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and counts. Each has a metric that counts when it is hit (`dragoman_limit_hits_total`)."""

    request_line: int = 8 * KIB
    header_field: int = 16 * KIB
    header_section: int = 64 * KIB
    header_count: int = 128
    response_header_field: int = 32 * KIB
    response_header_section: int = 64 * KIB
    response_header_count: int = 256
    body: int = 512 * MIB  # 0: none
    buffered_body: int = 32 * MIB  # held while looking for the model of a request without ModelName
    buffered_bytes_total: int = 0  # 0: a quarter of the memory limit
    client_connections: int = 10_000
    pipelined_requests: int = 16
    upstream_connections: int = 0  # per upstream; 0: none
    fetches: int = 64  # URLs of media read into memory at one time; others wait for `t_pool_wait`
    deferred_calls: int = 64  # run in the background at one time (`?async=true` on a platform that answers at once)
    interim_responses: int = 16
    write_buffer: int = 64 * KIB  # high-water mark of one transport
    socket_buffer: int = 128 * KIB  # SO_SNDBUF to clients, SO_RCVBUF from upstreams; 0: the kernel's choice
    linger_bytes: int = 1 * MIB


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Times in seconds, measured with the monotonic clock."""

    t_header: float = 10.0
    t_keepalive: float = 75.0
    t_body_idle: float = 30.0
    body_min_rate: int = 1 * KIB  # bytes per second after `body_rate_grace`; 0: off
    body_rate_grace: float = 10.0
    t_write_stall: float = 60.0
    t_dns: float = 5.0
    t_connect: float = 5.0
    t_tls: float = 5.0
    t_pool_wait: float = 5.0
    t_first_byte: float = 600.0
    t_between_bytes: float = 300.0
    t_total: float = 0.0  # 0: none
    t_program: float = 3600.0  # all steps of a rule's program together; 0: none
    t_kept: float = 86400.0  # the answer of a deferred call
    t_lease: float = 30.0  # after which a deferred call whose worker is silent counts as interrupted
    t_pool_idle: float = 4.0
    t_pool_age: float = 300.0
    t_linger: float = 2.0
    pre_drain: float = 3.0
    t_drain: float = 25.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One run of the gateway.

    `listen` entries and `admin` are `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; port 0 asks the kernel for a free one.
    `rules` are directories laid over the shipped one, later ones win; `upstreams` replaces a platform's base URL.
    `platforms` names the platforms to serve (each must then have its secrets); empty means every platform whose secrets are there.
    """

    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    admin: str | None = "127.0.0.1:9090"
    rules: tuple[Path, ...] = ()
    shipped_rules: bool = True
    upstreams: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    sandbox: bool = False
    open: bool = False
    licences: tuple[str, ...] = ()  # sha256:<64 hex digits>
    licences_file: Path | None = None
    secrets_dir: Path | None = None
    secrets_prefix: str = ""  # of environment variables
    store: str = ""  # of deferred calls: a path, or a URL of Redis; empty: DRAGOMAN_STORE, else a file of this machine
    log_level: str = "info"
    access_log: str = "-"  # a path, "-" for standard output, "off"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    ca_file: Path | None = None  # trusted certificates for upstreams; None: the system's
    via: str = "dragoman"  # pseudonym in Via and Proxy-Status; empty: no Via
    event_loop: str = "auto"  # auto, uvloop, asyncio
    insecure_parser: bool = False  # allow aiohttp's pure-Python parser (development only)
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
