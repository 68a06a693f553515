"""Time for statistics, snapshot and HTML report after the agents have ended, and the size of the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from . import measuring
from .measuring import Effort, Figure

_AGENTS: Final = (4, 512)


def measure(effort: Effort) -> Iterator[Figure]:
    for agents in _AGENTS:
        run = measuring.ask("recorded_run", agents, effort.operations // agents)
        for part in ("statistics", "snapshot", "report"):
            milliseconds = measuring.median_and_range([seconds * 1e3 for seconds in run[part]], 0)
            yield Figure(f"{agents} agents, {run['operations']} operations: {part}", f"{milliseconds} ms")
        yield Figure(f"{agents} agents: size of the report", f"{run['report_bytes'] / 1e6:.2f} MB")
