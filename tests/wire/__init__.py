"""Tests of the sans-I/O core: bytes in, bytes or a refusal out."""
