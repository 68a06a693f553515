"""Counts and exact percentiles of operations by group. One sort by duration serves every grouping of a run.

Operations sorted by duration once stay sorted within each group when they are sorted by group in a stable way,
and NumPy's stable sort of 16-bit keys is a radix sort: a million operations take some 20 ms for each grouping.
A percentile is then interpolated between two samples of the group, as in ``aggregation`` (Hyndman and Fan's
type 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR, SUCCESS

from .records import Column
from .run_operations import OrderedSamples

_NARROW: Final = 1 << 16


def count_outcomes(group: Column, outcome: Column, groups: int) -> Column:
    """Count the operations of each group by outcome: a row for each outcome, a column for each group.

    Operations in a group below 0 are left out.
    """
    cells = (group * CELLS + outcome)[group >= 0]
    return np.bincount(cells, minlength=groups * CELLS).reshape(groups, CELLS).T


class GroupedDurations:
    """Durations of the operations of each group; operations in a group below 0 are left out."""

    def __init__(self, samples: OrderedSamples, group: Column, groups: int) -> None:
        of_sample = group[samples.rows]
        duration = samples.duration
        is_grouped = of_sample >= 0
        if not is_grouped.all():
            of_sample, duration = of_sample[is_grouped], duration[is_grouped]
        keys = of_sample.astype(np.uint16) if groups <= _NARROW else of_sample
        self._ordered = duration[np.argsort(keys, kind="stable")]
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
        rank = np.maximum(counts - 1, 0) * shares
        below = rank.astype(np.int64)
        last = self._ordered.size - 1
        above = np.minimum(below + 1, np.maximum(counts - 1, 0))
        low = self._ordered[np.minimum(starts + below, last)].astype(np.float64)
        high = self._ordered[np.minimum(starts + above, last)].astype(np.float64)
        return np.where(counts > 0, low + (high - low) * (rank - below), np.nan)

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


def worst_first(counts: Column, ties: Sequence[Column] = ()) -> Column:
    """Order groups by errors, then by operations without success, then by ``ties``, the most first."""
    without_success = counts.sum(axis=0) - counts[SUCCESS]
    keys = [*(np.nan_to_num(tie) for tie in reversed(ties)), without_success, counts[ERROR]]
    return np.lexsort([-key for key in keys])
