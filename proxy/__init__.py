"""Dragoman carries: sockets, HTTP framing, connection pool, streaming, limits, credentials, metrics, admin and the command line."""

__version__ = "0.1.0"
