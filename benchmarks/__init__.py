"""Benchmarks: this gateway beside nginx and beside the proxy everybody writes, interleaved in one run.

`python -m benchmarks --help` says how to call it; README.md says what is measured and how to read it. Nothing of this package is
installed with the gateway, and nothing in `proxy/` or `translators/` knows of it.
"""
