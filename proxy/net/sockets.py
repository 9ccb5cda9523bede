"""Socket options and addresses: the few places where the kernel is spoken to directly."""

import asyncio
import socket
import ssl
import struct
from pathlib import Path

_LINGER_RESET = struct.pack("ii", 1, 0)


def tune(sock: socket.socket, *, receive_buffer: int = 0, send_buffer: int = 0) -> None:
    """Set what every TCP socket here has: no Nagle, dead peers found within 60 s (rule L07), bounded buffers (F06).

    Set on a listening socket, accepted ones inherit it, which saves the calls per connection.
    """
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        option = getattr(socket, name, None)  # Linux has them all, other systems some
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Make closing send a RST: the only way to say "cut" where the end of the connection is the end of the body (I06)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)


def ended_cleanly(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer's end of data was meant: over TLS only a close_notify says so, a bare FIN may be an attacker's (I08)."""
    session: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if session is None:
        return True
    try:
        return session.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False


def parse_listen(text: str) -> tuple[str, int] | Path:
    """`HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Raises ValueError with the cure."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"{text!r} names no path; write unix:/path/to/socket")
        return Path(path)
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r} is ambiguous; write an IPv6 address in brackets, such as [::1]:8080")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address to listen on; write HOST:PORT, [IPV6]:PORT or unix:PATH")
    return host, int(port)


def is_loopback(text: str) -> bool:
    """Whether a listen address can be reached from this machine only."""
    address = parse_listen(text)
    if isinstance(address, Path):
        return True
    host = address[0]
    return host == "localhost" or host == "::1" or host.startswith("127.")


def bind(text: str, *, backlog: int = 4096, send_buffer: int = 0) -> socket.socket:
    """A listening socket. Raises OSError (port in use, no permission)."""
    address = parse_listen(text)
    if isinstance(address, Path):
        return _bind_unix(address, backlog)
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host == "localhost":
        host = "127.0.0.1"
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        tune(sock, send_buffer=send_buffer)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path, backlog: int) -> socket.socket:
    """A unix socket; a stale one that nobody listens on any more is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(str(path))
                except OSError:
                    path.unlink()
                else:
                    raise OSError(f"another process is listening on {path}")
        sock.bind(str(path))
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
