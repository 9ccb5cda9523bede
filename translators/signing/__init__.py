"""Credentials that are computed: signed tokens and signed requests. The time is an argument, never a clock."""
