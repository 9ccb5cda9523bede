"""An upstream that needs no key and no network: the first run, the tests and the demonstrations talk to it over real sockets.

It has two parts. Every platform of some rule files is answered by the examples of its file (`offline`): tasks that come to an end,
streams that tick, media that is real. What no example can say, because the answer depends on all that was asked, is written by
hand: conversations in the four protocols (chat with the older completions, responses, messages, generate). One `brain` says what
comes next, calls tools and fills schemas; four modules print it. Both parts fail on request. `server` alone owns sockets.
"""

from proxy.sandbox.server import Sandbox

__all__ = ["Sandbox"]
