"""Exchanges that need more of the world than one call: several calls, a fetch, a pause, a file behind a URL, a call that outlives
its client. Readable coroutines over the same pools; single calls stay on the fast path of `proxy.carry`, never imported here."""
