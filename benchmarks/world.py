"""Extra cost of an operation that reads a market, or for which faults or a network are drawn.

Each of these runs is in a fresh process. The extra cost is the difference from the bare run of the same turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from . import measuring
from .measuring import Effort, Figure

_WORLDS = ("market", "faults", "network", "all", "all, 10% faults")
_MOST_MICROSECONDS = 3.0


def measure(effort: Effort) -> Iterator[Figure]:
    turns = [
        {name: _microseconds(name, effort.operations // 5) for name in ("bare", *_WORLDS)}
        for _ in range(effort.repetitions)
    ]
    bare = measuring.median_and_range([turn["bare"] for turn in turns])
    yield Figure("an operation that takes the Operation, bare", f"{bare} us")
    for name in _WORLDS:
        more = [turn[name] - turn["bare"] for turn in turns]
        if name == "all":
            text = f"{measuring.median_and_range(more)} us"
            yield measuring.at_most(f"{name}: extra", statistics.median(more), text, _MOST_MICROSECONDS, "us")
        else:
            yield Figure(f"{name}: extra", f"{measuring.median_and_range(more)} us")


def _microseconds(name: str, operations: int) -> float:
    return float(measuring.ask("world_run", name, operations)["microseconds"])
