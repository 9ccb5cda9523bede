"""Connections to upstreams: names, dialling, one connection, the pool (rule group K). Knows no client and no rule."""
