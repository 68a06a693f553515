"""Random streams: the one place where their keys are made.

The parts of a stream say whose it is and what it is for. Their text, joined by NUL and encoded as UTF-8, is its
key, so a stream is the same in every process and does not depend on PYTHONHASHSEED, on other streams or on the
order in which streams are made. Parts of one stream must not be those of another:

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

Small streams are Python's ``Random``, which hashes a key by SHA-512. Streams of which any number can be asked for
take a 128-bit BLAKE2b digest of the key: Philox counts under it.
"""

from __future__ import annotations

import uuid
from hashlib import blake2b
from random import Random


def derived_rng(*parts: object) -> Random:
    """Make the generator of the stream with these parts."""
    return Random(_key(parts))


def derived_uuid(*parts: object) -> str:
    """Make the UUID of the thing with these parts."""
    return str(uuid.UUID(bytes=_digest(parts), version=5))


def stream_key(seed: int, owner: str, purpose: str = "operation", *details: object) -> int:
    """Make the 128-bit key of an owner's stream for a purpose, which details may tell from others of its kind."""
    return int.from_bytes(_digest((" ".join(map(str, (purpose, *details))), seed, owner)), "little")


def phase_of(owner: str, phase: str) -> str:
    """Name the owner in a phase of the run that has streams of its own."""
    return f"{owner}\0{phase}"


def _key(parts: tuple[object, ...]) -> bytes:
    return "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")


def _digest(parts: tuple[object, ...]) -> bytes:
    return blake2b(_key(parts), digest_size=16).digest()
