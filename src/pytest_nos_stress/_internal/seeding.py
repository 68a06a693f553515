"""Random generators of one thing's own: what it is decides all that it draws, in any process and any order."""

from __future__ import annotations

from random import Random


def random_of(*parts: object) -> Random:
    """A generator seeded by these parts as text. Python's hash seed has no say: bytes seed by their SHA-512."""
    return Random("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"))
