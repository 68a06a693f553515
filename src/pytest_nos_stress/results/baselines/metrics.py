"""Figures computed from any choice of the blocks of one or several runs.

Every figure (a percentile, a rate, a throughput) is a function of a sum of rows, one row for each block. So the
figures of a thousand resamples take one product of matrices and one function of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR
from pytest_nos_stress.results.aggregation import percent_of, samples_needed
from pytest_nos_stress.results.metrics import Metric
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.units import PER_SECOND, RATIO, SECONDS

from .sketch import RunSketch, aggregate

FEWEST_BLOCKS: Final = 10
"""Number of blocks of each run that must have samples for an interval."""

_SECONDS: Final = CELLS


class BlockTable:
    """Table of a figure of one or several runs: a row for each block, and the function of a sum of rows."""

    def __init__(
        self, runs: Sequence[RunSketch], metric: Metric, aggregation: str | None, task: str | None
    ) -> None:
        self.runs = len(runs)
        self.is_relative = metric.is_timed
        is_duration = metric.unit is SECONDS
        self._aggregation = aggregation or ""
        tables, self._of_sum = (
            _tables_of_durations(runs, metric.name, self._aggregation, task)
            if is_duration
            else (_tables_of_counts(runs, task), _figure_of_counts(metric))
        )
        self._table = np.concatenate(tables)
        self.sizes = [len(table) for table in tables]
        judged = self._table if is_duration else self._table[:, :ERROR]
        in_blocks = judged.sum(axis=1)
        self.samples = int(in_blocks.sum())
        starts = np.cumsum([0, *self.sizes[:-1]])
        self._fewest_blocks = int(np.add.reduceat(in_blocks > 0, starts, dtype=np.int64).min())

    def figure(self) -> float | None:
        """Return the figure of all runs together; None without data."""
        value = float(self.resampled(np.ones((1, len(self._table))))[0])
        return value if math.isfinite(value) else None

    def figures(self) -> Column:
        """Return the figure of each run that has one."""
        run_of_block = np.repeat(np.arange(self.runs), self.sizes)
        values = self.resampled((run_of_block == np.arange(self.runs)[:, None]).astype(np.float64), runs=1)
        return values[np.isfinite(values)]

    def resampled(self, weights: Column, runs: int | None = None) -> Column:
        """Return the figure for each row of weights of the blocks."""
        return self._of_sum(weights @ self._table, runs or self.runs)

    def lacks(self, who: str) -> str:
        """Describe the lack of data for a judgement; return "" if there is enough. ``who`` begins the text."""
        if not self.samples:
            return f"{who} has no samples"
        needed = samples_needed(percent_of(self._aggregation))
        if self.samples < needed:
            return f"{who} has {self.samples} samples, {self._aggregation} needs {needed}"
        if self._fewest_blocks < FEWEST_BLOCKS:
            return f"{who} has samples in {self._fewest_blocks} time blocks, an interval needs {FEWEST_BLOCKS}"
        return ""


_Figure = Callable[[Column, int], Column]


def _tables_of_durations(
    runs: Sequence[RunSketch], metric: str, aggregation: str, task: str | None
) -> tuple[list[Column], _Figure]:
    histograms = [run.durations(metric, task) for run in runs]
    occurring = np.unique(np.concatenate([buckets for buckets, _ in histograms]))
    tables = []
    for buckets, counts in histograms:
        table = np.zeros((len(counts), occurring.size))
        table[:, np.searchsorted(occurring, buckets)] = counts
        tables.append(table)
    return tables, lambda sums, _: aggregate(occurring, sums, aggregation)


def _tables_of_counts(runs: Sequence[RunSketch], task: str | None) -> list[Column]:
    return [np.column_stack([run.counts_of(task), run.seconds]).astype(np.float64) for run in runs]


def _figure_of_counts(metric: Metric) -> _Figure:
    def count(sums: Column) -> Column:
        return np.asarray(sums[:, :ERROR].sum(axis=1) if metric.cell is None else sums[:, metric.cell])

    def figure(sums: Column, runs: int) -> Column:
        if metric.unit is PER_SECOND:
            return divided(count(sums), sums[:, _SECONDS])
        if metric.unit is RATIO:
            return divided(count(sums), sums[:, :ERROR].sum(axis=1))
        return count(sums) / runs

    return figure


def divided(counts: Column, by: Column) -> Column:
    """Return the quotients; NaN for divisors that are not positive."""
    return np.asarray(np.divide(counts, by, out=np.full(counts.shape, math.nan), where=by > 0))
