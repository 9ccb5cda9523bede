"""Where the answer of a call is kept that the proxy runs by itself (`?async=true` on a platform that answers at once): the one
state it has. SQLite for the workers of one machine, Redis for several machines, both behind one interface."""
