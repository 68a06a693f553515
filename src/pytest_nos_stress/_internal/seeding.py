"""Random streams: derive an independent random generator from a key.

The parts of a key name the stream's owner and purpose. They are joined by NUL and encoded as UTF-8. So the same
key gives the same stream in every process. A stream does not depend on PYTHONHASHSEED, on other streams, or on the
order in which streams are made. Different streams must have different parts:

| stream | parts |
|---|---|
| ``Operation.random``, ``Operation.id`` | seed, agent, index |
| broken feed of an operation | ``feed``, seed, agent, index |
| attempt at a call | ``call``, seed, agent, index, attempt |
| call of a flaky client | ``client``, seed, client, (agent, index) if it is in an operation, call |
| exchange at a proxy | ``proxy``, seed, connection, exchange |
| plan of an agent | ``operation``, seed, agent |
| later attempts at operations | ``attempt N``, seed, agent |
| bursts of a fault | ``burst FAULT``, seed, agent |
| tie breakers | ``rank``, seed, agent |
| spans of telemetry | ``telemetry``, seed, agent |
| network of an agent or of a proxy's connection | ``network``, seed, agent or connection |
| toxic of a proxy's connection | ``toxic NAME``, seed, connection |
| prices of a symbol | ``market/...``, seed, symbol |

Small streams use Python's ``Random``, which hashes its key by SHA-512. Streams with random access (the n-th number
without those before it) use Philox, whose key is a 128-bit BLAKE2b digest.
"""

from __future__ import annotations

import uuid
from hashlib import blake2b
from random import Random

from .system import system


def drawn_seed() -> int:
    """Return a new seed of 32 bits, which does not depend on the state of ``random``."""
    return int.from_bytes(system.urandom(4))


def derived_rng(*parts: object) -> Random:
    """Return the generator of the stream whose key has these parts."""
    return Random(_key(parts))


def derived_uuid(*parts: object) -> str:
    """Return a UUID derived from these parts."""
    return str(uuid.UUID(bytes=_digest(parts), version=5))


def stream_key(seed: int, owner: str, purpose: str = "operation", *details: object) -> int:
    """Return the 128-bit Philox key of an owner's stream. Details distinguish streams of the same purpose."""
    return int.from_bytes(_digest((" ".join(map(str, (purpose, *details))), seed, owner)), "little")


def phase_of(owner: str, phase: str) -> str:
    """Return the owner's name for the streams of a phase of the run, such as recovery."""
    return f"{owner}\0{phase}"


def _key(parts: tuple[object, ...]) -> bytes:
    return "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")


def _digest(parts: tuple[object, ...]) -> bytes:
    return blake2b(_key(parts), digest_size=16).digest()
