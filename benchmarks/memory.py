"""Bytes per operation: of the kept records, and at the peak.

Kept bytes are measured twice: as the size of the records' columns, and as the memory that Python's allocator still
holds after the run has returned its result. (NumPy reports its arrays to this allocator.) The peak is measured
twice too: as the process's peak of resident memory, less that of a process with few operations, and as the
allocator's peak. Resident memory is what the user's machine needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from . import measuring
from .measuring import Effort, Figure

_KEPT: Final = 24
_PEAK: Final = 250
_AGENTS: Final = (4, 512)
_SMALLEST: Final = 10


def measure(effort: Effort) -> Iterator[Figure]:
    for agents in _AGENTS:
        share = effort.operations // agents
        operations = share * agents
        traced = measuring.ask("recorded_run", agents, share, "traced")
        plain = measuring.ask("recorded_run", agents, share)
        smallest = measuring.ask("recorded_run", agents, _SMALLEST)
        run = f"{agents} agents, {operations} operations:"
        columns = plain["columns"] / operations
        yield measuring.at_most(f"{run} columns kept", columns, f"{columns:.1f} bytes", _KEPT, "bytes")
        retained = traced["retained"] / operations
        yield measuring.at_most(
            f"{run} allocated after the run", retained, f"{retained:.1f} bytes", _KEPT, "bytes"
        )
        if plain["peak"] is None:
            yield Figure(f"{run} peak of resident memory", "not measured: this system has no /proc/self/status")
        else:
            peak = (plain["peak"] - smallest["peak"]) / operations
            yield measuring.at_most(f"{run} peak of resident memory", peak, f"{peak:.0f} bytes", _PEAK, "bytes")
        allocated = traced["peak"] / operations
        yield measuring.at_most(f"{run} peak of allocations", allocated, f"{allocated:.0f} bytes", _PEAK, "bytes")
