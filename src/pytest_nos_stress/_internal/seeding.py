"""Random generators of one thing's own: what it is decides all that it draws, in any process and any order."""

from __future__ import annotations

from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def derived_rng(*parts: object) -> Random:
    """A generator seeded by these parts as text. Python's hash seed has no say: bytes seed by their SHA-512."""
    return Random("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"))


def stream_key(seed: int, agent: str, purpose: str = "operation") -> int:
    """The 128-bit key under which an agent's draws for a purpose are made."""
    text = f"{purpose}\0{seed}\0{agent}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=16).digest(), "little")
