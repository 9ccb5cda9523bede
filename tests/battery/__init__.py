"""The acceptance battery: the gateway between a raw client and a chaos peer, one test per case or rule, named by number."""
