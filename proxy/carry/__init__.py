"""Exchanges: client connections, what happens between them and the upstream, and what is recorded about it."""
