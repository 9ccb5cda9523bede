"""Fetching URLs that come from a request or from a platform's answer, so that nobody can use the proxy to reach what it may not
(rules R01 to R05): which URLs and addresses are allowed, and a client that connects to nothing else."""
