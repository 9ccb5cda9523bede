"""An upstream that needs no key and no network: the first run, the tests and the demonstrations talk to it over real sockets.

It speaks the four protocols natively (chat with its satellites, responses, messages, generate), plain and streamed. No model
stands behind it: it echoes, calls tools when asked, fills schemas, draws striped pictures, and fails on request. The protocol
modules are pure (a request body in, dictionaries out); `server` alone owns sockets.
"""

from proxy.sandbox.server import Sandbox

__all__ = ["Sandbox"]
