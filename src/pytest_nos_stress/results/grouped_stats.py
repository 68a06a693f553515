"""Counts and exact percentiles of operations by group. One sort by duration serves every grouping of a run.

Operations sorted by duration once stay sorted within each group when they are sorted by group in a stable way,
and NumPy's stable sort of 16-bit keys is a radix sort: a million operations take some 20 ms for each grouping.
A percentile is then interpolated between two samples of the group, as in ``aggregation`` (Hyndman and Fan's
type 7).
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
    """Return the type of a column of so many groups: 16 bits are sorted and looked up fastest."""
    return np.int16 if groups < _NARROW else np.int32


def count_outcomes(group: Column, outcome: Column, groups: int) -> Column:
    """Count the operations of each group by outcome: a row for each outcome, a column for each group.

    Operations in group -1 are left out.
    """
    cells = np.multiply(group, CELLS, dtype=np.intp)
    cells += outcome
    cells += CELLS
    return np.bincount(cells, minlength=(groups + 1) * CELLS)[CELLS:].reshape(groups, CELLS).T


class GroupedDurations:
    """Durations of the operations of each group.

    ``ordered`` has the durations of the first group in ascending order, then those of the next one; ``counts`` is
    the number of durations of each group.
    """

    def __init__(self, ordered: Column, counts: Column) -> None:
        self._ordered = ordered
        self.counts = counts
        self._starts = np.cumsum(counts) - counts

    @classmethod
    def of_one_group(cls, ordered: Column) -> Self:
        """Return durations in ascending order as those of one group."""
        return cls(ordered, np.array([ordered.size]))

    @classmethod
    def by_group(cls, samples: OrderedSamples, group: Column, groups: int) -> Self:
        """Group the samples by the group of their operation, and leave out those in group -1."""
        of_sample = group.take(samples.rows)
        counts = np.bincount(of_sample + 1, minlength=groups + 1)
        left_out = int(counts[0])
        if groups == 1 and not left_out:
            return cls.of_one_group(samples.duration)
        ordered = samples.duration.take(np.argsort(of_sample, kind="stable"))
        return cls(ordered[left_out:], counts[1:])

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
        means: Column = np.full(self.counts.size, np.nan)
        filled = self.counts > 0
        if filled.any():
            sums = np.add.reduceat(self._ordered, self._starts[filled], dtype=np.int64)
            means[filled] = sums / self.counts[filled]
        return means


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
