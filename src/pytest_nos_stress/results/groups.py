"""Counts and exact percentiles of operations by group: one sort by latency serves every grouping of a run.

Operations sorted by latency once stay sorted within each group when they are sorted by group in a stable way,
and NumPy's stable sort of 16-bit keys is a radix sort: a million operations take some 20 ms for each grouping.
A percentile is then the interpolation between two places of the group, as in ``statistics`` (Hyndman and Fan's
type 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR, SUCCESS

from .records import Column

_NARROW: Final = 1 << 16


class Operations(NamedTuple):
    """The operations of a run as columns.

    ``outcome`` is ``ERROR`` for an error, which is then not among the failed. ``at`` is the end in nanoseconds
    since the run's start.
    """

    agent: Column
    task: Column
    outcome: Column
    at: Column


class Samples(NamedTuple):
    """The operations with a latency, in the order of their latencies."""

    latency: Column
    rows: Column


def samples_in_order(latency: Column, rows: Column) -> Samples:
    """The latencies of the operations in ``rows``, the shortest first."""
    chosen = latency[rows]
    order = np.argsort(chosen)
    return Samples(chosen[order], rows[order])


def count_outcomes(group: Column, outcome: Column, groups: int) -> Column:
    """How many operations of each group ended how: a row for each outcome, a column for each group.

    Those in a group below 0 are left out.
    """
    cells = (group * CELLS + outcome)[group >= 0]
    return np.bincount(cells, minlength=groups * CELLS).reshape(groups, CELLS).T


class Durations:
    """The latencies of each group; those in a group below 0 are left out."""

    def __init__(self, samples: Samples, group: Column, groups: int) -> None:
        of_sample = group[samples.rows]
        latency = samples.latency
        kept = of_sample >= 0
        if not kept.all():
            of_sample, latency = of_sample[kept], latency[kept]
        keys = of_sample.astype(np.uint16) if groups <= _NARROW else of_sample
        self._ordered = latency[np.argsort(keys, kind="stable")]
        self.counts: Column = np.bincount(of_sample, minlength=groups)
        self._starts = np.cumsum(self.counts) - self.counts

    def percentile(self, share: float) -> Column:
        """The percentile of every group (``share`` from 0 to 1) in nanoseconds; NaN without a sample."""
        return self.quantiles(np.arange(self.counts.size), np.full(self.counts.size, share))

    def quantiles(self, groups: Column, shares: Column) -> Column:
        """For each pair of a group and a share, the quantile in nanoseconds."""
        if not self._ordered.size:
            return np.full(groups.size, np.nan)
        counts, starts = self.counts[groups], self._starts[groups]
        place = np.maximum(counts - 1, 0) * shares
        below = place.astype(np.int64)
        last = self._ordered.size - 1
        above = np.minimum(below + 1, np.maximum(counts - 1, 0))
        low = self._ordered[np.minimum(starts + below, last)].astype(np.float64)
        high = self._ordered[np.minimum(starts + above, last)].astype(np.float64)
        return np.where(counts > 0, low + (high - low) * (place - below), np.nan)

    def mean(self) -> Column:
        """The mean of every group in nanoseconds; NaN where a group has no sample."""
        of_group = np.repeat(np.arange(self.counts.size), self.counts)
        sums = np.bincount(of_group, weights=self._ordered, minlength=self.counts.size)
        means: Column = np.full(self.counts.size, np.nan)
        return np.divide(sums, self.counts, out=means, where=self.counts > 0)


def percentile_grid(samples: int, per_decade: int) -> Column:
    """Shares on which HdrHistogram's plot is drawn: even steps of log10(1/(1-p)), up to the last sample.

    Beyond 1 - 1/n there is only the longest of n samples, so the grid ends there, with the maximum.
    """
    if samples < 1:
        return np.empty(0)
    steps = np.arange(int(np.log10(samples) * per_decade + 1e-9) + 1) / per_decade
    return np.append(1 - 10.0**-steps, 1.0)


def rounded(nanoseconds: Column, digits: int) -> list[int]:
    """Durations with so many significant digits, in whole nanoseconds; -1 in place of NaN."""
    known = ~np.isnan(nanoseconds)
    values = np.where(known, nanoseconds, 0.0)
    magnitude = np.floor(np.log10(np.maximum(values, 1.0)))
    step = 10.0 ** np.maximum(magnitude - (digits - 1), 0.0)
    whole: list[int] = np.where(known, np.round(values / step) * step, -1).astype(np.int64).tolist()
    return whole


def worst_first(counts: Column, of: Sequence[Column] = ()) -> Column:
    """Groups by errors, then by all operations without success, then by what else is given, the most first."""
    without_success = counts.sum(axis=0) - counts[SUCCESS]
    keys = [*(np.nan_to_num(one) for one in reversed(of)), without_success, counts[ERROR]]
    return np.lexsort([-one for one in keys])
