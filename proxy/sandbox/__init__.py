"""An upstream that needs no key and no network: the first run, the tests and the demonstrations talk to it over real sockets.

It has two parts. Every platform of some rule files is answered by the examples of its file (`offline`): tasks that come to an end,
streams that tick, media that is real. What no example can say, because the answer depends on all that was asked, is written by
hand: conversations in the four protocols (chat with its satellites, responses, messages, generate), which echo, call tools, fill
schemas and draw; also for platforms whose rules only carry these protocols. Both fail on request. `server` alone owns sockets.
"""

from proxy.sandbox.server import Sandbox

__all__ = ["Sandbox"]
