"""Sketch of a run: the data that a baseline keeps, and that a comparison of runs uses.

The run's steady phase is divided into blocks of equal length. For each block and task a sketch has the counts of
outcomes and errors, and a histogram of each duration. So any figure of a run can be computed from any choice of
its blocks, as a block bootstrap requires (Künsch, "The jackknife and the bootstrap for general stationary
observations", Annals of Statistics 17, 1989). Successive operations are correlated, blocks hardly are.

A bucket of a histogram is a 64th of an octave, or 1.1% wide, about as fine as HdrHistogram with two significant
digits. Percentiles are interpolated within their bucket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR
from pytest_nos_stress.results.records import Column

MOST_BLOCKS: Final = 30
_OPERATIONS_PER_BLOCK: Final = 5
_BUCKETS_PER_OCTAVE: Final = 64
BUCKETS: Final = 64 * _BUCKETS_PER_OCTAVE + 1
"""Number of buckets: bucket 0 is for a duration of zero, the others cover 1 ns to 2**64 ns."""
RESOLUTION: Final = 2 ** (1 / _BUCKETS_PER_OCTAVE) - 1
"""Width of a bucket as a share of its lower edge."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of durations by cell (block times number of tasks, plus task) and bucket, without zeros."""

    cell: Column
    bucket: Column
    count: Column

    @classmethod
    def of(cls, cell: Column, nanoseconds: Column) -> Histogram:
        keys, count = np.unique(cell * BUCKETS + _buckets(nanoseconds), return_counts=True)
        return cls(keys // BUCKETS, keys % BUCKETS, count)

    def by_block(self, blocks: int, tasks: int, task: int | None) -> tuple[Column, Column]:
        """Return the buckets that occur, ascending, and each block's counts in them, for one task or all."""
        chosen = slice(None) if task is None else self.cell % tasks == task
        cell, bucket, count = self.cell[chosen], self.bucket[chosen], self.count[chosen]
        occurring, column = np.unique(bucket, return_inverse=True)
        flat = np.bincount(cell // tasks * occurring.size + column, count, blocks * occurring.size)
        return occurring, flat.reshape(blocks, occurring.size)


@dataclass(frozen=True, eq=False)
class RunSketch:
    """Steady phase of a run, divided into blocks.

    ``seconds`` is the length of each block. ``counts`` has three axes: block, task, and outcome (success, failed,
    missing data, and errors, which are also among the failed). ``histograms`` are of ``latency`` and
    ``response_time``.
    """

    tasks: tuple[str, ...]
    seconds: Column
    counts: Column
    histograms: Mapping[str, Histogram]

    @classmethod
    def of(
        cls,
        *,
        end_ns: Column,
        task: Column,
        outcome: Column,
        is_error: Column,
        called: Column,
        latency_ns: Column,
        response_ns: Column,
        tasks: Sequence[str],
        started_ns: int,
        ended_ns: int | None = None,
    ) -> RunSketch:
        """Return the sketch of the operations of one phase, given as columns with a row for each.

        Args:
            end_ns: End of each operation, in nanoseconds on any clock.
            task: Index of its task in ``tasks``.
            outcome: 0 success, 1 failed, 2 missing data.
            is_error: True if it failed by an unexpected exception.
            called: True if it called the target; only then it has durations.
            latency_ns: Time from the call's start to its end.
            response_ns: Time from the moment the operation was due to its end.
            tasks: Names of the tasks.
            started_ns: Start of the phase, on the clock of ``end_ns``.
            ended_ns: End of the phase; by default, the end of the last operation.
        """
        last = int(end_ns.max(initial=started_ns)) if ended_ns is None else ended_ns
        length = max(0, last - started_ns)
        blocks = _number_of_blocks(end_ns.size, length)
        block = (end_ns - started_ns) * blocks // max(1, length)
        cell = np.clip(block, 0, blocks - 1) * len(tasks) + task.astype(np.int64)
        return cls(
            tuple(tasks),
            np.full(blocks, length / 1e9 / blocks),
            _counts(cell, outcome, is_error, blocks, len(tasks)),
            {
                "latency": Histogram.of(cell[called], latency_ns[called]),
                "response_time": Histogram.of(cell[called], response_ns[called]),
            },
        )

    @property
    def blocks(self) -> int:
        return int(self.seconds.size)

    @property
    def operations(self) -> int:
        return int(self.counts[:, :, :ERROR].sum())

    def counts_of(self, task: str | None) -> Column:
        """Return the counts by block and outcome or error, of one task or of all."""
        chosen: Column = self.counts.sum(axis=1) if task is None else self.counts[:, self.tasks.index(task)]
        return chosen

    def durations(self, metric: str, task: str | None) -> tuple[Column, Column]:
        """Return the buckets that occur and the counts of each block in them; see ``Histogram.by_block``."""
        number = None if task is None else self.tasks.index(task)
        return self.histograms[metric].by_block(self.blocks, len(self.tasks), number)


def _number_of_blocks(operations: int, length: int) -> int:
    return max(1, min(MOST_BLOCKS, operations // _OPERATIONS_PER_BLOCK, length))


def _counts(cell: Column, outcome: Column, is_error: Column, blocks: int, tasks: int) -> Column:
    cells = blocks * tasks * CELLS
    counts = np.bincount(cell * CELLS + outcome, minlength=cells)
    counts += np.bincount(cell[is_error] * CELLS + ERROR, minlength=cells)
    return counts.reshape(blocks, tasks, CELLS)


def _buckets(nanoseconds: Column) -> Column:
    octaves = np.log2(np.maximum(nanoseconds, 1))
    return np.where(nanoseconds > 0, 1 + np.floor(octaves * _BUCKETS_PER_OCTAVE), 0).astype(np.int64)


def _edge(bucket: Column) -> Column:
    """Return the lower edges of buckets in seconds."""
    return np.where(bucket > 0, np.exp2((bucket - 1) / _BUCKETS_PER_OCTAVE), 0.0) / 1e9


def aggregate(buckets: Column, counts: Column, aggregation: str) -> Column:
    """Return ``min mean med max stddev`` or ``pNN`` in seconds for each row of counts by bucket; NaN without data.

    A percentile has the same rank as in ``results.aggregation``, and is interpolated by that rank within its
    bucket.
    """
    low = _edge(buckets)
    middle = low * (1 + RESOLUTION / 2)
    totals = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        if aggregation == "mean":
            return np.asarray(counts @ middle / totals)
        if aggregation == "stddev":
            mean = counts @ middle / totals
            return np.asarray(np.sqrt(np.maximum(counts @ middle**2 / totals - mean**2, 0.0)))
    if aggregation in ("min", "max"):
        return _extreme(middle, counts, aggregation)
    percent = 50.0 if aggregation == "med" else float(aggregation[1:])
    return _percentile(low, counts, totals, percent)


def _extreme(middle: Column, counts: Column, aggregation: str) -> Column:
    occurs = counts > 0
    if aggregation == "min":
        extremes = np.min(np.where(occurs, middle, math.inf), axis=1, initial=math.inf)
    else:
        extremes = np.max(np.where(occurs, middle, -math.inf), axis=1, initial=-math.inf)
    return np.where(np.isfinite(extremes), extremes, math.nan)


def _percentile(low: Column, counts: Column, totals: Column, percent: float) -> Column:
    if not low.size:
        return np.full(totals.shape, math.nan)
    rank = np.maximum(totals - 1, 0) * percent / 100 + 0.5
    reached = np.cumsum(counts, axis=1)
    column = np.minimum((reached < rank[:, None]).sum(axis=1), low.size - 1)
    rows = np.arange(totals.size)
    inside = counts[rows, column]
    share = (rank - (reached[rows, column] - inside)) / np.maximum(inside, 1)
    return np.where(totals > 0, low[column] * (1 + RESOLUTION * share), math.nan)
