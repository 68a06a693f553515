"""Lag of the log behind a run whose agents use the processor without a pause.

A killed process loses the operations that have ended, but have no line in the file yet. So another process, which
no agent can delay, samples the file's size every five milliseconds. After the run, the file is split at these
sizes. The lines of a piece were written between two samples, and their timestamps are the ends of their
operations. The lag of a line is the time of the later sample, less the line's timestamp. So a lag is never too
small. It is too large by at most the interval between samples, plus the millisecond to which timestamps are
truncated. Every line counts, even if a later batch writes it out of order.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from . import measuring
from .measuring import Effort, Figure

_INTERVAL: Final = 0.005
_BUDGET: Final = 0.5
_AGENTS: Final = (4, 512)
_TARGETS: Final = {"noop": "no-op target", "burn:0.2": "0.2 ms of CPU", "burn:2": "2 ms of CPU"}
_STAMP_LENGTH: Final = len("2026-11-22 06:26:05,655")


class _LogSize(NamedTuple):
    """A sample of the log file's size in bytes, and its time in seconds since the epoch."""

    time: float
    size: int


def measure(effort: Effort) -> Iterator[Figure]:
    for agents in _AGENTS:
        for target, description in _TARGETS.items():
            lags, operations = _lags_of_a_run(agents, effort.lag_seconds, target)
            text = (
                f"{max(lags):.3f} s ({statistics.median(lags):.3f} median of {len(lags)} batches, {operations} op)"
            )
            yield measuring.at_most(f"{agents} agents, {description}", max(lags), text, _BUDGET, "s")


def _lags_of_a_run(agents: int, seconds: float, target: str) -> tuple[list[float], int]:
    """Run the agents. Return the largest lag in each piece of the log, and the number of operations."""
    arguments = ["-m", "benchmarks.cpu_bound_run", str(agents), str(seconds), target]
    with measuring.started(arguments) as (process, directory):
        log = directory / "run" / "stress_test_results.log"
        sizes = _watch(process, log)
        operations = int(measuring.answer(process)["operations"])
        lags, lines = _lags(log, sizes)
    if lines != operations:
        raise RuntimeError(f"{operations} operations, but {lines} lines in the log")
    return lags, operations


def _watch(process: subprocess.Popen[str], log: Path) -> list[_LogSize]:
    """Return the sizes of the growing log, until the process has ended."""
    sizes = [_LogSize(time.time(), 0)]
    ended = False
    while not ended:
        ended = process.poll() is not None
        size = log.stat().st_size if log.exists() else 0
        now = time.time()
        if size > sizes[-1].size:
            sizes.append(_LogSize(now, size))
        time.sleep(_INTERVAL)
    return sizes


def _lags(log: Path, sizes: list[_LogSize]) -> tuple[list[float], int]:
    lags = []
    lines = 0
    with log.open("rb") as file:
        unfinished = b""
        for before, after in itertools.pairwise(sizes):
            *complete, unfinished = (unfinished + file.read(after.size - before.size)).split(b"\n")
            if complete:
                lags.append(after.time - _seconds(min(complete)[:_STAMP_LENGTH]))
                lines += len(complete)
    return lags, lines


def _seconds(stamp: bytes) -> float:
    """Return a timestamp of the log in seconds since the epoch."""
    whole, milliseconds = stamp.decode().split(",")
    return time.mktime(time.strptime(whole, "%Y-%m-%d %H:%M:%S")) + int(milliseconds) / 1e3
