"""Dragoman speaks: the rule language, loaded, checked and compiled. Pure: no sockets, no clock, no files but rule files."""
