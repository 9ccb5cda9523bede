"""Tests of the engine without sockets: parts on their own, and dialogues over in-memory transports."""
