"""A host without sockets: the proxy's own code on connections in memory, with scripted answers and a clock that jumps.

`check` and `explain` run here. Because client and upstream connections, exchanges, programs and heads are the proxy's own, the
bytes seen here are the bytes on the wire. The proxy itself imports nothing of this room.
"""
