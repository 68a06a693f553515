"""Counts and exact percentiles of operations by group. One sort by duration serves every grouping of a run.

A stable sort by group keeps operations that are already sorted by duration sorted within each group. NumPy's
stable sort of 16-bit keys is a radix sort, so each grouping of a million operations takes about 20 ms. Percentiles
are interpolated between two samples of the group, as in ``aggregation`` (Hyndman and Fan's type 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR, SUCCESS

from .records import Column
from .run_operations import OrderedSamples

_NARROW: Final = 1 << 15


def narrowest_type(groups: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest type for group numbers: columns of 16 bits are sorted and indexed fastest."""
    return np.int16 if groups < _NARROW else np.int32


def count_outcomes(group: Column, outcome: Column, groups: int) -> Column:
    """Count operations by outcome (rows) and group (columns).

    Operations in group -1 are ignored.
    """
    cells = np.multiply(group, CELLS, dtype=np.intp)
    cells += outcome
    cells += CELLS
    return np.bincount(cells, minlength=(groups + 1) * CELLS)[CELLS:].reshape(groups, CELLS).T


class GroupedDurations:
    """Durations of operations by group.

    ``ordered`` has the durations of the first group in ascending order, then those of the next group, and so on.
    ``counts`` is the number of durations of each group.
    """

    def __init__(self, ordered: Column, counts: Column) -> None:
        self._ordered = ordered
        self.counts = counts
        self._starts = np.cumsum(counts) - counts

    @classmethod
    def of_one_group(cls, ordered: Column) -> Self:
        """Return the durations of one group, given in ascending order."""
        return cls(ordered, np.array([ordered.size]))

    @classmethod
    def by_group(cls, samples: OrderedSamples, group: Column, groups: int) -> Self:
        """Group samples by the group of their operation. Ignore operations in group -1."""
        of_sample = group.take(samples.rows)
        counts = np.bincount(of_sample + 1, minlength=groups + 1)
        left_out = int(counts[0])
        if groups == 1 and not left_out:
            return cls.of_one_group(samples.duration)
        ordered = samples.duration.take(np.argsort(of_sample, kind="stable"))
        return cls(ordered[left_out:], counts[1:])

    def percentile(self, share: float) -> Column:
        """Return a percentile (``share`` from 0 to 1) of every group in nanoseconds; NaN if it has no samples."""
        return self.quantiles(np.arange(self.counts.size), np.full(self.counts.size, share))

    def quantiles(self, groups: Column, shares: Column) -> Column:
        """Return the quantile in nanoseconds for each pair of a group and a share; NaN without samples."""
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
        """Return the mean of every group in nanoseconds; NaN for groups without samples."""
        means: Column = np.full(self.counts.size, np.nan)
        filled = self.counts > 0
        if filled.any():
            sums = np.add.reduceat(self._ordered, self._starts[filled], dtype=np.int64)
            means[filled] = sums / self.counts[filled]
        return means


def percentile_grid(samples: int, per_decade: int) -> Column:
    """Return the shares at which to draw percentiles: even steps of log10(1/(1-p)), as in HdrHistogram's plot.

    Above 1 - 1/n there is only the longest of n samples, so the grid ends there, followed by the maximum.
    """
    if samples < 1:
        return np.empty(0)
    steps = np.arange(int(np.log10(samples) * per_decade + 1e-9) + 1) / per_decade
    return np.append(1 - 10.0**-steps, 1.0)


def rounded(nanoseconds: Column, digits: int) -> list[int]:
    """Round durations to significant digits, in whole nanoseconds; -1 stands for NaN."""
    known = ~np.isnan(nanoseconds)
    values = np.where(known, nanoseconds, 0.0)
    magnitude = np.floor(np.log10(np.maximum(values, 1.0)))
    step = 10.0 ** np.maximum(magnitude - (digits - 1), 0.0)
    whole: list[int] = np.where(known, np.round(values / step) * step, -1).astype(np.int64).tolist()
    return whole


def worst_first(counts: Column, ties: Sequence[Column] = ()) -> Column:
    """Order groups by errors, then by unsuccessful operations, then by ``ties``; the largest first."""
    without_success = counts.sum(axis=0) - counts[SUCCESS]
    keys = [*(np.nan_to_num(tie) for tie in reversed(ties)), without_success, counts[ERROR]]
    return np.lexsort([-key for key in keys])
